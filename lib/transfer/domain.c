/* SPDX-License-Identifier: MIT */
#include "transfer/domain.h"

#include <math.h>
#include <string.h>

#include "data/csr.h"
#include "data/scaler.h"

/* --- rows with a label ------------------------------------------------------------------------- */

bool mtl__has_label(const mtl__job *job, const mtl_dataset *d, int64_t row)
{
    for (int64_t t = 0; t < job->tasks; t++)
        if (mtl__labels_at(&d->labels[mtl__dataset_task(d, job->task[t].name)], row))
            return true;
    return false;
}

mtl_status mtl__labelled_rows(const mtl__job *job, const mtl_dataset *d, mtl_dataset **out,
                              mtl_error *err)
{
    const mtl__allocator *al = &job->source->ctx->al;
    int64_t *rows = mtl__alloc_array(al, d->rows, sizeof *rows), count = 0;
    if (!rows)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)d->rows);
    for (int64_t i = 0; i < d->rows; i++)
        if (mtl__has_label(job, d, i))
            rows[count++] = i;
    *out = NULL;
    mtl_status st = count ? mtl__dataset_subset(d, count, rows, out, err) : MTL_OK;
    mtl__free(al, rows, d->rows * (int64_t)sizeof *rows);
    return st;
}

/* --- means and deviations of inputs ------------------------------------------------------------ */

/* The target's figures as if it had PSEUDO_ROWS more rows with the known ones'. The variance is that
   within both, as the paper has it: a shift of the mean is no spread. */
static void add_pseudo(const mtl__moments *known, mtl__moments *target)
{
    const double k = MTL__PSEUDO_ROWS, n = (double)target->count;
    const double s = mtl__moments_deviation(known);
    target->mean = (n * target->mean + k * known->mean) / (n + k);
    target->squares += k * s * s;
    target->count += MTL__PSEUDO_ROWS;
}

/* Where in the target stands what stood at x in the known rows. */
typedef struct shift {
    double from, to, by;
} shift;

static float moved(const shift *s, float x)
{
    return (float)(s->to + ((double)x - s->from) * s->by);
}

/* False where the column's numbers are not those of its ranks. */
static bool move_ranks(mtl__warp *w, int64_t column, const shift *s)
{
    const int64_t knots = w->knots;
    if (knots <= 1)
        return false;
    float *knot = w->knot + column * knots;
    const bool is_ranked = knot[0] <= knot[knots - 1];
    const bool fine = is_ranked && isfinite(moved(s, knot[0])) && isfinite(moved(s, knot[knots - 1]));
    for (int64_t i = 0; i < knots && fine; i++)
        knot[i] = moved(s, knot[i]);
    return is_ranked;
}

static void move_column(mtl__pipeline *p, int64_t column, const shift *s)
{
    const float mean = moved(s, p->x_mean[column]);
    const float scale = (float)((double)p->x_scale[column] * s->by);
    if (move_ranks(&p->warp, column, s) || !isfinite(mean) || !isfinite(scale) ||
        !isfinite(1 / scale))
        return;
    p->x_mean[column] = mean;
    p->x_scale[column] = scale;
}

static void move_scaling(mtl_model *m, const mtl__moments *known, mtl__moments *target)
{
    for (int64_t j = 0; j < m->net.raw_inputs; j++) {
        if (known[j].count == 0)
            continue;
        add_pseudo(&known[j], &target[j]);
        const double from = mtl__moments_deviation(&known[j]);
        const double to = mtl__moments_deviation(&target[j]);
        const shift s = {known[j].mean, target[j].mean, from > 0 && to > 0 ? to / from : 1};
        move_column(&m->pipe, j, &s);
    }
}

static mtl_status restate_inputs(mtl_model *m, const mtl_dataset *known, const mtl_dataset *target,
                                 mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    const int64_t inputs = m->net.raw_inputs, bytes = 2 * inputs * (int64_t)sizeof(mtl__moments);
    mtl__moments *both = mtl__alloc_zero(al, bytes);
    if (!both)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for statistics");
    mtl_status st = mtl__dataset_moments(known, both, err);
    if (st == MTL_OK)
        st = mtl__dataset_moments(target, both + inputs, err);
    if (st == MTL_OK) {
        move_scaling(m, both, both + inputs);
        mtl__model_keep_categories(m, m->pipe.x_mean, m->pipe.x_scale);
        mtl__model_scaled(m);
    }
    mtl__free(al, both, bytes);
    return st;
}

/* --- running statistics ------------------------------------------------------------------------ */

enum { MOST_ROWS = 2048 };

/* One pass of rows as in training, in which batch norms alone are trained. */
typedef struct restating {
    mtl_model *m;
    mtl__arena arena;
    mtl__buffers buffers;
    mtl__layer *layer; /* [layers] as they were */
    bool *trains, *chain_on;
    int64_t *index, *scratch;
    float *x, *grads;
} restating;

static void plan(restating *r, int64_t rows, mtl__arena *a)
{
    const mtl__network *net = &r->m->net;
    mtl__network_plan(net, r->m->ctx->gemm, mtl__pool_slots(atomic_load(&r->m->ctx->pool)), rows, a,
                      &r->buffers);
    r->layer = mtl__arena_take(a, net->layers, sizeof *r->layer);
    r->trains = mtl__arena_take(a, net->layers, sizeof *r->trains);
    r->chain_on = mtl__arena_take(a, net->heads, sizeof *r->chain_on);
    r->index = mtl__arena_take(a, rows, sizeof *r->index);
    r->scratch = mtl__arena_take(a, rows, sizeof *r->scratch);
    r->x = mtl__arena_floats(a, rows * net->inputs);
    r->grads = mtl__arena_floats(a, net->params);
}

void mtl__spread(int64_t all, int64_t rows, int64_t *index)
{
    for (int64_t i = 0; i < rows; i++)
        index[i] = (int64_t)((double)i * (double)all / (double)rows);
}

/* Dropout drops nothing, and the running figures go as far as so many rows weigh. */
static void pass_rows(restating *r, const mtl_dataset *d, int64_t rows)
{
    const mtl__network *net = &r->m->net;
    const mtl__binding bound = {.data = d};
    const size_t bytes = (size_t)net->layers * sizeof *net->layer;
    const mtl__pass pass = {.gemm = r->m->ctx->gemm, .vec = r->m->ctx->vec,
                            .pool = atomic_load(&r->m->ctx->pool),
                            .gemm_work = r->buffers.gemm_work, .params = r->m->values,
                            .grads = r->grads, .state = r->m->values, .trains = r->trains};
    memcpy(r->layer, net->layer, bytes);
    for (int64_t i = 0; i < net->layers; i++) {
        r->trains[i] = net->layer[i].type == &mtl__batch_norm_layer;
        net->layer[i].momentum = (double)rows / (double)(rows + MTL__PSEUDO_ROWS);
        net->layer[i].rate = 0;
    }
    for (int64_t i = 0; i < net->heads; i++)
        r->chain_on[i] = true;
    mtl__spread(d->rows, rows, r->index);
    mtl__binding_inputs(&bound, r->m, (mtl__rows){.index = r->index, .count = rows}, r->scratch,
                        r->x);
    mtl__network_forward(net, &pass, &r->buffers, r->chain_on, rows, r->x, net->inputs);
    memcpy(net->layer, r->layer, bytes);
}

static bool has_running(const mtl__network *net)
{
    int64_t i = 0;
    while (i < net->layers && net->layer[i].type != &mtl__batch_norm_layer)
        i++;
    return i < net->layers;
}

static mtl_status restate_norms(mtl_model *m, const mtl_dataset *target, mtl_error *err)
{
    restating r = {.m = m};
    const int64_t rows = mtl__min(target->rows, MOST_ROWS);
    if (!has_running(&m->net))
        return MTL_OK;
    plan(&r, rows, &r.arena);
    if (!mtl__arena_reserve(&r.arena, &m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for statistics");
    plan(&r, rows, &r.arena);
    pass_rows(&r, target, rows);
    mtl__arena_release(&r.arena, &m->ctx->al);
    return MTL_OK;
}

mtl_status mtl__restate(mtl_model *m, const mtl_dataset *known, const mtl_dataset *target,
                        mtl_error *err)
{
    const mtl_dataset *const both[] = {known, target};
    mtl_status st = MTL_OK;
    for (int i = 0; i < 2 && st == MTL_OK; i++) {
        st = mtl__dataset_in_memory(both[i], "the strategy \"statistics\"", err);
        if (st == MTL_OK)
            st = mtl__dataset_is_dense(both[i], "the strategy \"statistics\"", err);
    }
    if (st == MTL_OK)
        st = restate_inputs(m, known, target, err);
    return st == MTL_OK ? restate_norms(m, target, err) : st;
}

/* --- the distance ------------------------------------------------------------------------------ */

enum { MOST_OF_EACH = 256 };

/* The trunk's outputs for rows from all over a data set. */
static mtl_status features_of(const mtl_model *m, const mtl_dataset *d, int64_t rows, float *h,
                              mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    mtl_model *eye = NULL;
    const int64_t cols = d->inputs;
    float *x = mtl__alloc_array(al, rows, cols * (int64_t)sizeof *x);
    int64_t *index = mtl__alloc_array(al, rows, sizeof *index);
    mtl_status st = x && index ? MTL_OK : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for features");
    if (st == MTL_OK)
        st = mtl__model_eye(m, &eye, err);
    if (st == MTL_OK) {
        mtl__spread(d->rows, rows, index);
        mtl__array_gather(&d->x, cols, (mtl__rows){.index = index, .count = rows}, x, cols);
        st = mtl__model_predict(eye, -1, rows, x, cols, h, eye->net.outputs, err);
    }
    mtl__model_destroy(eye);
    mtl__free(al, x, rows * cols * (int64_t)sizeof *x);
    mtl__free(al, index, rows * (int64_t)sizeof *index);
    return st;
}

static mtl_status report_both(const mtl__parts *p, double *work, const char *when, mtl_report *r,
                              mtl_error *err)
{
    const double coral = mtl__distance_of(MTL__CORAL, p, work, 0, NULL);
    const double mmd = mtl__distance_of(MTL__MMD, p, work, 0, NULL);
    mtl_status st = mtl__report_number(r, "distance/coral", when, NULL, coral, err);
    return st == MTL_OK ? mtl__report_number(r, "distance/mmd", when, NULL, mmd, err) : st;
}

mtl_status mtl__report_distance(const mtl_model *of_known, const mtl_dataset *known,
                                const mtl_model *of_target, const mtl_dataset *target,
                                const char *when, mtl_report *r, mtl_error *err)
{
    const mtl_model *m = of_target;
    const mtl__allocator *al = &m->ctx->al;
    const int64_t cols = m->net.trunk_out, split = mtl__min(target->rows, MOST_OF_EACH);
    const int64_t rows = split + mtl__min(known->rows, MOST_OF_EACH);
    const int64_t room = mtl__distance_room(rows, cols);
    if (m->net.trunk_layers == 0 || !mtl__network_has_features(&m->net) || known->stream || target->stream ||
        mtl__dataset_is_sparse(known) || mtl__dataset_is_sparse(target))
        return MTL_OK;
    float *h = mtl__alloc_array(al, rows, cols * (int64_t)sizeof *h);
    double *work = mtl__alloc_array(al, room, sizeof *work);
    mtl_status st = h && work ? MTL_OK : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a distance");
    if (st == MTL_OK)
        st = features_of(of_target, target, split, h, err);
    if (st == MTL_OK)
        st = features_of(of_known, known, rows - split, h + split * cols, err);
    if (st == MTL_OK)
        st = report_both(&(mtl__parts){rows, split, cols, h}, work, when, r, err);
    mtl__free(al, h, rows * cols * (int64_t)sizeof *h);
    mtl__free(al, work, room * (int64_t)sizeof *work);
    return st;
}
