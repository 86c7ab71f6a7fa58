/* SPDX-License-Identifier: MIT */
/* A model laid out for predict: its dense layers in the order in which they run, each with the
   buffers that it reads and writes, and what turns their outputs into what predict gives. It stands
   on the model's own numbers, or on a copy of them that outlives the model.

      inputs, scaled -> trunk -> heads -> z -> calibration -> links, label units -> out

   The z of an ensemble is the one whose prediction is the mean of its members' predictions.

   Where z has its columns in the order of the tasks, z is the caller's matrix itself. */
#ifndef MTL__FORWARD_H
#define MTL__FORWARD_H

#include "data/warp.h"
#include "mem/arena.h"
#include "model/network.h"

/* Where a layer reads and writes: one of these, or a turn, a place that nobody needs any more. */
typedef enum mtl__place {
    MTL__INPUTS,
    MTL__TRUNK, /* what several heads read */
    MTL__Z,
    MTL__MEMBERS, /* z of every member of an ensemble */
    MTL__TURNS /* the first one */
} mtl__place;

typedef struct mtl__step {
    mtl__layer layer;
    int64_t from, to; /* places */
    int64_t from_column, ldx; /* of what it reads there */
    int64_t skip, ldskip;     /* place of what it reads back, columns there */
    int64_t column; /* in z, for a head's last layer */
    int64_t chain;  /* number of the head chain, -1 = trunk */
} mtl__step;

/* Adjacent columns of z, of one task or more, that become in one way what predict gives. */
typedef struct mtl__outlet {
    mtl__link_fn *link;        /* NULL = identity */
    bool joins;                /* the link looks at each element alone */
    const float *mean, *scale; /* [cols]: to label units; NULL = none */
    const float *low, *high;   /* [cols], where there is a scale: what they stay within, if clipped */
    int64_t column, cols;
    int64_t out_column; /* among the columns of all tasks in their order */
} mtl__outlet;

/* How inputs are scaled; mean NULL = not at all. */
typedef struct mtl__input_scale {
    int64_t raw_inputs, inputs; /* as in mtl__network */
    const float *mean, *inverse;
    mtl__warp warp; /* of the raw inputs */
} mtl__input_scale;

/* Members in the place of steps (mix.h). */
typedef struct mtl__mix mtl__mix;

typedef struct mtl__forward {
    const mtl__gemm *gemm;
    const mtl__vec *vec;
    const float *values; /* where the layers' offsets begin */
    bool packed;         /* weights are in panels (mtl__gemm_pack_b) */
    mtl__input_scale scale;
    const float *slope, *shift; /* [outputs]: see mtl__pipeline */
    bool is_calibrated;         /* they change something */
    bool is_clipped;
    int64_t raw_inputs, inputs, outputs; /* as in mtl__network */
    int64_t members; /* of an ensemble, 1 = none */
    int64_t work; /* multiply-adds of a row */
    mtl__step *step;
    int64_t steps;
    mtl__outlet *outlet;
    int64_t outlets;
    int64_t *width; /* [places]: columns of each buffer, 0 = not used */
    int64_t places;
    mtl__mix *mix; /* NULL = the steps make the outputs */
    bool in_order;              /* z has its columns where predict gives them */
    mtl__arena arena;
} mtl__forward;

/* Of the model's own numbers, or of a copy of them if `copy`. */
mtl_status mtl__forward_init(mtl__forward *f, const mtl_model *m, bool copy, mtl_error *err);
void mtl__forward_free(mtl__forward *f, const mtl__allocator *al);

/* Buffers for blocks of up to max_rows, which is at most MTL__SIZE_MAX. */
typedef struct mtl__forward_buffers {
    float **place; /* [places]; that of sparse inputs is NULL */
    float *gemm_work;
    mtl__sparse_row *row; /* [max_rows] of sparse inputs, else NULL */
    mtl__sparse sparse;   /* over them */
    struct mtl__forward_buffers *member; /* of a mixture: of its members, which take turns */
    float *one;                          /* a member's predictions */
    double *sum;                         /* [max_rows, outputs] */
} mtl__forward_buffers;

void mtl__forward_plan(const mtl__forward *f, int64_t max_rows, int slots, bool is_sparse,
                       mtl__arena *arena, mtl__forward_buffers *b);
/* The buffers themselves, b->place and, for sparse inputs, b->row being there. */
void mtl__forward_plan_places(const mtl__forward *f, int64_t max_rows, int slots, bool is_sparse,
                              mtl__arena *arena, mtl__forward_buffers *b);

/* Rows of a block that run well: enough for the GEMM, few enough for the caches. */
enum { MTL__BLOCK_ROWS = 256 };
static inline int64_t mtl__forward_block_rows(const mtl__forward *f)
{
    return mtl__max(MTL__BLOCK_ROWS / f->members, 16);
}

/* Part of the outputs: a task's. */
typedef struct mtl__forward_part {
    int64_t column, cols; /* of z */
    int64_t chain;
    int64_t task;
} mtl__forward_part;

/* What the network sees of rows of x (at index, or as they follow): columns scaled, missing ones 0,
   then, where `inputs` is more than raw_inputs, the indicators. to [rows, inputs]. */
void mtl__forward_scale(const mtl__vec *vec, const mtl__input_scale *s, int64_t rows, const float *x,
                        int64_t ldx, const int64_t *index, float *to);

/* One block: x [rows, raw_inputs], or NULL for the sparse rows in the buffers, to out, all tasks side by side, or part [rows, part->cols]. */
void mtl__forward_run(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                      const mtl__forward_part *part, int64_t rows, const float *x, int64_t ldx,
                      float *out, int64_t ldo);

/* Its stages, all columns. Layers: from the scaled inputs in place[MTL__INPUTS] to z. */
void mtl__forward_layers(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                         int64_t rows, float *z, int64_t ldz);
void mtl__forward_calibrate(const mtl__forward *f, int64_t rows, float *z, int64_t ldz);
void mtl__forward_link(const mtl__forward *f, int64_t rows, float *z, int64_t ldz);
/* The way back: predictions become outputs that the links turn into them. */
void mtl__forward_unlink(const mtl__forward *f, int64_t rows, float *z, int64_t ldz);
/* Of one outlet's columns, z being the first one. */
void mtl__outlet_unlink(const mtl__outlet *o, int64_t rows, float *z, int64_t ldz);
void mtl__outlet_link(const mtl__forward *f, const mtl__outlet *o, int64_t rows, float *z,
                      int64_t ldz);

#endif
