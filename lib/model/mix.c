/* SPDX-License-Identifier: MIT */
#include "model/mix.h"

#include <string.h>

/* --- laying out -------------------------------------------------------------------------------- */

static int64_t count_shares(const mtl_model *m)
{
    int64_t n = 0;
    for (int64_t i = 0; i < m->members->count * m->net.tasks; i++)
        n += m->members->weight[i] > 0;
    return n;
}

mtl__mix *mtl__mix_lay_out(const mtl_model *m, bool copy, mtl__arena *arena)
{
    const int64_t members = m->members->count;
    mtl__mix *x = mtl__arena_take(arena, 1, sizeof *x);
    const mtl__forward **member = mtl__arena_take(arena, members, sizeof *member);
    mtl__forward *copies = copy ? mtl__arena_take(arena, members, sizeof *copies) : NULL;
    mtl__share *share = mtl__arena_take(arena, count_shares(m), sizeof *share);
    if (!x)
        return NULL;
    *x = (mtl__mix){.member = member, .copy = copies, .members = members, .share = share};
    for (int64_t k = 0; k < members && copy; k++)
        copies[k] = (mtl__forward){0};
    return x;
}

static void add_share(mtl__mix *x, const mtl_model *m, int64_t k, int64_t task)
{
    const mtl_model *of = m->members->model[k];
    const int64_t own = mtl__spec_task(of->spec, m->spec->task[task].name);
    const int64_t cols = m->spec->task[task].outputs;
    x->share[x->shares++] = (mtl__share){.member = k,
                                         .task = task,
                                         .weight = m->members->weight[k * m->net.tasks + task],
                                         .from = of->out_column[own],
                                         .column = m->net.task[task].column,
                                         .cols = cols,
                                         .part = {.column = of->net.task[own].column,
                                                  .cols = cols,
                                                  .chain = of->net.task[own].chain,
                                                  .task = own}};
}

mtl_status mtl__mix_init(mtl__forward *f, const mtl_model *m, mtl_error *err)
{
    mtl__mix *x = f->mix;
    for (int64_t k = 0; k < x->members; k++) {
        const mtl_model *of = m->members->model[k];
        const int64_t before = x->shares;
        for (int64_t t = 0; t < m->net.tasks; t++)
            if (m->members->weight[k * m->net.tasks + t] > 0)
                add_share(x, m, k, t);
        x->widest = mtl__max(x->widest, of->net.outputs);
        x->member[k] = &of->forward;
        if (x->shares > before)
            f->work += of->forward.work;
        if (!x->copy)
            continue;
        mtl_status st = mtl__forward_init(&x->copy[k], of, true, err);
        if (st != MTL_OK)
            return st;
        x->member[k] = &x->copy[k];
    }
    return MTL_OK;
}

void mtl__mix_free(mtl__mix *x, const mtl__allocator *al)
{
    for (int64_t k = 0; x->copy && k < x->members; k++)
        mtl__forward_free(&x->copy[k], al);
}

/* Members run one after the other, in the same memory but for what says where it lies. */
void mtl__mix_plan(const mtl__forward *f, int64_t max_rows, int slots, bool is_sparse,
                   mtl__arena *arena, mtl__forward_buffers *b)
{
    const mtl__mix *x = f->mix;
    b->member = mtl__arena_take(arena, x->members, sizeof *b->member);
    b->one = mtl__arena_floats(arena, max_rows * x->widest);
    b->sum = mtl__arena_take(arena, max_rows, f->outputs * (int64_t)sizeof *b->sum);
    for (int64_t k = 0; k < x->members; k++) {
        float **place = mtl__arena_take(arena, x->member[k]->places, sizeof *place);
        if (b->member)
            b->member[k] = (mtl__forward_buffers){.place = place, .row = b->row};
    }
    const int64_t start = arena->used;
    int64_t end = start;
    for (int64_t k = 0; k < x->members; k++) {
        mtl__forward_buffers none = {0};
        arena->used = start;
        mtl__forward_plan_places(x->member[k], max_rows, slots, is_sparse, arena,
                                 b->member ? &b->member[k] : &none);
        end = mtl__max(end, arena->used);
    }
    arena->used = end;
}

/* --- running ----------------------------------------------------------------------------------- */

static void add_columns(const mtl__share *s, int64_t rows, const float *from, int64_t ldf,
                        double *sum, int64_t lds)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < s->cols; j++)
            sum[r * lds + j] += s->weight * (double)from[r * ldf + j];
}

/* Every task, or that of part: members without a share of it do not run. */
void mtl__mix_run(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                  const mtl__forward_part *part, int64_t rows, const float *x, int64_t ldx,
                  float *out, int64_t ldo)
{
    const mtl__mix *mix = f->mix;
    const int64_t cols = part ? part->cols : f->outputs;
    int64_t last = -1;
    memset(b->sum, 0, (size_t)(rows * cols) * sizeof *b->sum);
    for (int64_t i = 0; i < mix->shares; i++) {
        const mtl__share *s = &mix->share[i];
        const mtl__forward *member = mix->member[s->member];
        const int64_t ld = part ? cols : member->outputs;
        if (part && s->task != part->task)
            continue;
        if (s->member != last)
            mtl__forward_run(member, &b->member[s->member], pool, part ? &s->part : NULL, rows, x,
                             ldx, b->one, ld);
        last = s->member;
        add_columns(s, rows, part ? b->one : b->one + s->from, ld,
                    part ? b->sum : b->sum + s->column, cols);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            out[r * ldo + j] = (float)b->sum[r * cols + j];
}

static bool changes(const mtl__forward *f, const mtl__outlet *o)
{
    for (int64_t j = o->column; j < o->column + o->cols; j++)
        if (f->slope[j] != 1 || f->shift[j] != 0)
            return true;
    return false;
}

void mtl__mix_calibrate(const mtl__forward *f, const mtl__forward_part *part, int64_t rows,
                        float *out, int64_t ldo)
{
    for (int64_t t = 0; f->is_calibrated && t < f->outlets; t++) {
        const mtl__outlet *o = &f->outlet[t];
        float *z = part ? out : out + o->column;
        if ((part && t != part->task) || !changes(f, o))
            continue;
        mtl__outlet_unlink(o, rows, z, ldo);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < o->cols; j++)
                z[r * ldo + j] = z[r * ldo + j] * f->slope[o->column + j] + f->shift[o->column + j];
        mtl__outlet_link(f, o, rows, z, ldo);
    }
}
