/* SPDX-License-Identifier: MIT */
#include "train/gramian.h"

#include <string.h>

#include "train/trainer.h"

/* Memory goes with the network's own: of D as much as twice the parameters, in multiples of LEAST_COLS
   columns and no more than pays (what a task has of the layer above is worked out again for each block of
   columns); of a slice of A'D half of them, or one row. */
enum {
    LEAST_COLS = 16,
    MOST_COLS = 128,
    BLOCK_FLOATS = 1 << 13,
    PART_FLOATS = 1 << 12,
    CHUNK = 256, /* floats of one inner product, which are added in double; those of all tasks stay near */
};
/* A gradient whose rows cancel to less than this share of their squares' sum is compared by its own
   products: in those of rows a float's rounding would be seen. */
static const double least_share = 1e-3;

/* --- memory ------------------------------------------------------------------------------------ */

static const mtl__chain *chain_of(const mtl__network *net, int64_t task)
{
    return &net->head[net->task[task].chain];
}

/* One of the matrix of all plain heads? */
static bool is_plain(const mtl__network *net, int64_t task)
{
    return chain_of(net, task)->count == 1;
}

static bool any_tower(const mtl__network *net)
{
    bool any = false;
    for (int64_t i = 0; i < net->tasks; i++)
        any = any || !is_plain(net, i);
    return any;
}

static bool is_stack(const mtl__network *net)
{
    bool all = true;
    for (int64_t i = 0; i < net->trunk_layers; i++)
        all = all && net->layer[i].type == &mtl__dense_layer;
    return all;
}

/* The task's gradient of the trunk's output comes from its outputs' by a product as small as they. */
static bool comes_from_dz(const mtl__gramian *g, const mtl__network *net, int64_t task)
{
    return (g->features || g->is_stack) && is_plain(net, task);
}

/* Whether products of rows take less than the gradients' own. */
static bool by_rows(const mtl__layer *l, int64_t rows, int64_t tasks)
{
    return rows < l->in && rows * (l->in + tasks * l->out) < tasks * l->in * l->out;
}

/* Floats of the gradients of a layer's tensors that are compared whole. */
static int64_t tensor_floats(const mtl__layer *l)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < l->type->params; k++)
        if (l->type->param[k].role != MTL__STATE)
            sum += mtl__round_floats(mtl__layer_floats(l, k));
    return sum;
}

/* Two small products need less than the rows of all tasks: of outputs x outputs each. */
static bool heads_are_less(const mtl__network *net, int64_t rows)
{
    const double outputs = (double)net->outputs, pairs = (double)net->tasks * (double)net->tasks;
    const double n = (double)rows, width = (double)net->trunk_out;
    return !any_tower(net) && outputs * outputs * (n + width) <= pairs * n * width;
}

/* What tasks need that go down the network one after the other. */
static void plan_held(const mtl__trainer *t, int64_t rows, mtl__arena *arena, mtl__gramian *g)
{
    const mtl__network *net = &t->m->net;
    const bool all = !g->features && (!g->is_stack || net->trunk_layers > 2);
    for (int64_t i = 0; i < net->tasks; i++) {
        const bool goes = all || !comes_from_dz(g, net, i);
        float *held = goes ? mtl__arena_floats(arena, rows * net->widest) : NULL;
        if (goes)
            mtl__network_plan_task(net, rows, arena, &t->buffers, g->own ? &g->own[i] : NULL);
        if (g->held)
            g->held[i] = held;
    }
    g->spare = all ? mtl__arena_floats(arena, rows * net->widest) : NULL;
}

/* Scratch for what a layer's own products do not have: A A', and what two small ones need. It lies in
   the block, which is filled behind them. */
static int64_t work_floats(const mtl__gramian *g, const mtl__trainer *t, int64_t rows)
{
    const mtl__network *net = &t->m->net;
    const mtl__gemm *gemm = t->m->ctx->gemm;
    const int slots = mtl__pool_slots(atomic_load(&t->m->ctx->pool));
    int64_t most = 0;
    if (g->is_product)
        most = mtl__gemm_workspace(gemm, MTL__GEMM_TN, net->outputs, net->outputs,
                                   mtl__max(rows, net->trunk_out), slots);
    for (int64_t i = 0; i < net->trunk_layers && !g->features; i++) {
        const mtl__layer *l = &net->layer[i];
        if (l->type == &mtl__dense_layer && by_rows(l, rows, net->tasks))
            most = mtl__max(most,
                            mtl__gemm_workspace(gemm, MTL__GEMM_NT, rows, rows, l->in, slots));
    }
    return most;
}

/* Columns of D of so many rows and tasks that go into so many floats, all of them if those go. */
static int64_t block_cols(int64_t floats, int64_t rows, int64_t tasks, int64_t out)
{
    const int64_t most = floats / (rows * tasks);
    return most >= out ? out : mtl__max(most - most % LEAST_COLS, mtl__min(LEAST_COLS, out));
}

static void plan_layer(const mtl__network *net, const mtl__layer *l, int64_t rows, mtl__gramian *g)
{
    const bool is_dense = l->type == &mtl__dense_layer;
    const int64_t most = mtl__max(2 * net->params, BLOCK_FLOATS);
    const int64_t cols = block_cols(most, rows, net->tasks, mtl__min(l->out, MOST_COLS));
    int64_t part = net->tasks * (is_dense ? l->out : tensor_floats(l));
    g->block_floats = mtl__max(g->block_floats, rows * net->tasks * cols);
    if (is_dense && by_rows(l, rows, net->tasks)) {
        part = mtl__max(part, rows * l->out);
        g->row_most = rows * rows;
    } else if (is_dense) {
        part = mtl__max(part, mtl__min(mtl__max(net->params / 2, PART_FLOATS),
                                       net->tasks * l->in * l->out));
    }
    g->part_floats = mtl__max(g->part_floats, part);
}

static void plan_parts(const mtl__network *net, int64_t rows, mtl__gramian *g)
{
    g->block_floats = g->part_floats = g->row_most = 0;
    for (int64_t i = 0; i < net->trunk_layers; i++)
        if (!g->features || i == net->trunk_layers - 1)
            plan_layer(net, &net->layer[i], rows, g);
    if (g->features)
        g->part_floats = g->row_most = 0;
    if (g->is_product) {
        g->part_floats = 2 * net->outputs * net->outputs;
        g->block_floats = 0;
    }
}

/* Of the sum of the tasks' gradients of a dense layer's output. */
static int64_t mix_floats(const mtl__network *net, int64_t rows)
{
    int64_t most = 0;
    for (int64_t i = 0; i < net->trunk_layers; i++)
        if (net->layer[i].type == &mtl__dense_layer)
            most = mtl__max(most, rows * net->layer[i].out);
    return most;
}

void mtl__gramian_plan(mtl__trainer *t, bool features, bool by_layer, mtl__arena *arena,
                       mtl__gramian *g)
{
    const mtl__network *net = &t->m->net;
    const int64_t rows = mtl__feed_max_rows(&t->feed), tasks = net->tasks;
    g->features = features;
    g->is_stack = is_stack(net);
    g->is_product = features && heads_are_less(net, rows);
    g->live = mtl__arena_take(arena, tasks, sizeof *g->live);
    g->sum = mtl__arena_take(arena, tasks * tasks, sizeof *g->sum);
    g->layer = mtl__arena_take(arena, tasks * tasks, sizeof *g->layer);
    g->bound = mtl__arena_take(arena, tasks, sizeof *g->bound);
    g->own = mtl__arena_take(arena, tasks, sizeof *g->own);
    g->way = mtl__arena_take(arena, tasks, sizeof *g->way);
    g->held = mtl__arena_take(arena, tasks, sizeof *g->held);
    g->off = mtl__arena_take(arena, net->layers, sizeof *g->off);
    g->trained = mtl__arena_take(arena, net->layers, sizeof *g->trained);
    plan_held(t, rows, arena, g);
    plan_parts(net, rows, g);
    g->block = mtl__arena_floats(arena, mtl__max(g->block_floats, work_floats(g, t, rows)));
    g->part = mtl__arena_floats(arena, g->part_floats);
    g->row_products = mtl__arena_floats(arena, g->row_most);
    g->scale = by_layer ? mtl__arena_take(arena, tasks, sizeof *g->scale) : NULL;
    g->mix = by_layer ? mtl__arena_floats(arena, mix_floats(net, rows)) : NULL;
}

void mtl__gramian_start(const mtl__trainer *t, mtl__gramian *g)
{
    memset(g->trained, 0, (size_t)t->m->net.layers * sizeof *g->trained);
    for (int64_t i = 0; i < t->m->params; i++)
        if (mtl__trainer_trains(t, &t->m->param[i]))
            g->trained[t->m->param[i].layer] |= (uint8_t)(1 << t->m->param[i].number);
}

/* --- products ---------------------------------------------------------------------------------- */

/* What all of it runs on. */
typedef struct run {
    const mtl__trainer *t;
    const mtl__network *net;
    const mtl__pass *p;
    mtl__gramian *g;
    int64_t count, rows, stop; /* live tasks, rows of the batch, lowest layer of the trunk */
    bool compares;
    mtl__gramian_fn *fn; /* by layer, or NULL */
    void *self;
} run;

/* out[i, j] += <x_i, y_j> for j <= i, i from `first` on: vectors of n floats one after the other; y has
   all tasks, x those from `first` on. */
static void add_products(const run *r, double *out, int64_t first, int64_t tasks, int64_t n,
                         const float *x, const float *y)
{
    for (int64_t at = 0; at < n; at += CHUNK)
        for (int64_t i = 0; i < tasks; i++)
            for (int64_t j = 0; j <= first + i; j++)
                out[(first + i) * r->count + j] += (double)r->p->vec->dot(
                    mtl__min(CHUNK, n - at), x + i * n + at, y + j * n + at);
}

static void add_own_products(const run *r, double *out, int64_t n, const float *x)
{
    add_products(r, out, 0, r->count, n, x, x);
}

static void multiply(const run *r, mtl__gemm_kind kind, int64_t m, int64_t n, int64_t k,
                     const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                     int64_t ldc, float *work)
{
    const mtl__gemm_call call = {.kind = kind, .m = m, .n = n, .k = k, .a = a, .lda = lda, .b = b,
                                 .ldb = ldb, .c = c, .ldc = ldc};
    mtl__gemm_run(r->p->gemm, &call, r->p->pool, work);
}

/* --- gradients of outputs ---------------------------------------------------------------------- */

/* Columns of the gradient of the output of a layer of the trunk, from that of a layer above it. */
static void columns_from(const run *r, const mtl__layer *above, float *dy, int64_t lddy,
                         mtl__dense_part part, int64_t layer, bool through_activation, float *to,
                         int64_t ld)
{
    const mtl__layer *l = &r->net->layer[layer];
    const mtl__buffers *b = &r->t->buffers;
    const bool is_curve = mtl__act_is_curve(&l->act);
    const mtl__layer_io io = {
        .rows = r->rows, .x = b->y[layer] + part.input, .ldx = l->out};
    const mtl__layer_grad grad = {.dy = dy,
                                  .lddy = lddy,
                                  .dx = to,
                                  .lddx = ld,
                                  .made_by = through_activation ? &l->act : NULL,
                                  .made_slope = is_curve ? b->kept[layer] + part.input : NULL,
                                  .ldslope = l->out};
    mtl__dense_input_gradient(above, r->p, part, &io, &grad);
}

/* Of the trunk's output, from the task's outputs. */
static void columns_from_dz(const run *r, int64_t i, int64_t first, int64_t cols, float *to,
                            int64_t ld)
{
    const int64_t task = r->g->live[i], column = r->net->task[task].column;
    const mtl__chain *c = chain_of(r->net, task);
    const mtl__dense_part part = {first, cols, column - c->column,
                                  r->t->m->spec->task[task].outputs};
    columns_from(r, &r->net->layer[c->first], r->t->buffers.dz + column, r->net->outputs, part,
                 r->net->trunk_layers - 1, !r->g->features, to, ld);
}

/* The task's gradient of the output of the layer that its way has come to, all columns. */
static mtl__layer_grad whole(const run *r, int64_t i)
{
    if (r->g->way[i].g.dy)
        return r->g->way[i].g;
    float *to = r->t->buffers.turn[0];
    columns_from_dz(r, i, 0, r->net->trunk_out, to, r->net->trunk_out);
    return (mtl__layer_grad){.dy = to, .lddy = r->net->trunk_out};
}

/* The lowest layer's gradients are never there as a whole when the layer above has them. */
static bool comes_from_above(const run *r, int64_t layer)
{
    return r->g->is_stack && layer == r->stop && layer < r->net->trunk_layers - 1;
}

/* A task's matrix among those of `cols` columns that lie one after the other. */
static float *of_task(const run *r, float *all, int64_t i, int64_t cols)
{
    return all + i * r->rows * cols;
}

/* Columns of D_i, of all tasks. */
static void fill(const run *r, int64_t layer, int64_t first, int64_t cols)
{
    for (int64_t i = 0; i < r->count; i++) {
        float *to = of_task(r, r->g->block, i, cols);
        if (comes_from_above(r, layer)) {
            const mtl__layer *above = &r->net->layer[layer + 1];
            const mtl__layer_grad d = whole(r, i);
            columns_from(r, above, d.dy, d.lddy, (mtl__dense_part){first, cols, 0, above->out}, layer,
                         true, to, cols);
        } else if (!r->g->way[i].g.dy) {
            columns_from_dz(r, i, first, cols, to, cols);
        } else {
            const mtl__layer_grad *d = &r->g->way[i].g;
            for (int64_t row = 0; row < r->rows; row++)
                memcpy(to + row * cols, d->dy + row * d->lddy + first, (size_t)cols * sizeof *to);
        }
    }
}

/* --- a dense layer ----------------------------------------------------------------------------- */

/* <A'D_i, A'D_j> by slices of A'D, as wide as the layer's own products at most. */
static void compare_weights(const run *r, const mtl__layer *l, const mtl__layer_io *io, int64_t cols)
{
    const int64_t most = r->g->part_floats / (r->count * cols);
    for (int64_t row = 0, rows; row < l->in; row += rows) {
        rows = mtl__min(most, l->in - row);
        for (int64_t i = 0; i < r->count; i++)
            multiply(r, MTL__GEMM_TN, rows, cols, r->rows, io->x + row, io->ldx,
                     of_task(r, r->g->block, i, cols), cols, r->g->part + i * rows * cols, cols,
                     r->p->gemm_work);
        add_own_products(r, r->g->layer, rows * cols, r->g->part);
    }
}

/* <D_i, (A A') D_j>, some tasks at a time. */
static void compare_rows(const run *r, int64_t cols)
{
    mtl__gramian *g = r->g;
    const int64_t most = g->part_floats / (r->rows * cols);
    for (int64_t i = 0, tasks; i < r->count; i += tasks) {
        tasks = mtl__min(most, r->count - i);
        for (int64_t k = 0; k < tasks; k++)
            multiply(r, MTL__GEMM_NN, r->rows, cols, r->rows, g->row_products, r->rows,
                     of_task(r, g->block, i + k, cols), cols, of_task(r, g->part, k, cols), cols,
                     r->p->gemm_work);
        add_products(r, g->layer, i, tasks, r->rows * cols, g->part, g->block);
    }
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t i = 0; i < r->count; i++) {
            const float *d = of_task(r, g->block, i, cols) + row * cols;
            g->bound[i] += (double)g->row_products[row * r->rows + row] *
                           (double)r->p->vec->dot(cols, d, d);
        }
}

static void compare_bias(const run *r, int64_t cols)
{
    for (int64_t i = 0; i < r->count; i++)
        r->p->vec->col_sums(r->rows, cols, of_task(r, r->g->block, i, cols), cols,
                            r->g->part + i * cols, false);
    add_own_products(r, r->g->sum, cols, r->g->part);
}

static void compare_blocks(const run *r, int64_t layer, const mtl__layer_io *io, bool rows,
                           bool bias)
{
    const mtl__layer *l = &r->net->layer[layer];
    const int64_t most = block_cols(r->g->block_floats, r->rows, r->count, l->out);
    const bool weights = r->g->trained[layer] & 1;
    memset(r->g->layer, 0, (size_t)(r->count * r->count) * sizeof *r->g->layer);
    for (int64_t first = 0, cols; first < l->out; first += cols) {
        cols = mtl__min(most, l->out - first);
        fill(r, layer, first, cols);
        if (weights && rows)
            compare_rows(r, cols);
        else if (weights)
            compare_weights(r, l, io, cols);
        if (bias)
            compare_bias(r, cols);
    }
}

static void compare_dense(const run *r, int64_t layer)
{
    const mtl__layer *l = &r->net->layer[layer];
    const mtl__batch *b = &r->t->feed.batch;
    mtl__gramian *g = r->g;
    const mtl__layer_io io =
        mtl__network_trunk_io(r->net, &r->t->buffers, layer, r->rows, b->x, r->net->inputs);
    const bool bias = g->trained[layer] & 2;
    const bool rows = g->trained[layer] & 1 &&
                      by_rows(l, mtl__feed_max_rows(&r->t->feed), r->net->tasks);
    bool fine = true;
    memset(g->bound, 0, (size_t)r->count * sizeof *g->bound);
    if (rows)
        multiply(r, MTL__GEMM_NT, r->rows, r->rows, l->in, io.x, io.ldx, io.x, io.ldx,
                 g->row_products, r->rows, g->block);
    compare_blocks(r, layer, &io, rows, bias);
    for (int64_t i = 0; i < r->count && rows; i++)
        fine = fine && !(g->layer[i * r->count + i] < least_share * g->bound[i]);
    if (!fine)
        compare_blocks(r, layer, &io, false, false);
    for (int64_t i = 0; i < r->count * r->count; i++)
        g->sum[i] += g->layer[i];
}

/* --- other layers ------------------------------------------------------------------------------ */

/* What the layer's backward pass has left of the trained tensors' gradients for one task, or, scale not
   NULL, what is to be there: the sum of those that were taken. Returns its length. */
static int64_t take_tensors(const run *r, int64_t layer, const double *scale, int64_t all, float *to)
{
    mtl__layer l = r->net->layer[layer];
    int64_t n = 0;
    for (int32_t k = 0; k < l.type->params; k++) {
        const int64_t count = mtl__layer_floats(&l, k);
        float *grad = r->p->grads + *mtl__layer_offset(&l, k);
        if (l.type->param[k].role == MTL__STATE || !(r->g->trained[layer] >> k & 1))
            continue;
        if (scale)
            memset(grad, 0, (size_t)count * sizeof *grad);
        else
            memcpy(to + n, grad, (size_t)count * sizeof *to);
        for (int64_t i = 0; scale && i < r->count; i++)
            r->p->vec->axpy(count, (float)scale[i], to + i * all + n, grad);
        n += count;
    }
    return n;
}

/* --- by layer ------------------------------------------------------------------------------------ */

/* Both triangles. */
static void mirror(const run *r)
{
    for (int64_t i = 0; i < r->count; i++)
        for (int64_t j = 0; j < i; j++)
            r->g->sum[j * r->count + i] = r->g->sum[i * r->count + j];
}

/* The layer's weights. */
static bool ask(const run *r, int64_t layer)
{
    mirror(r);
    return r->fn(r->self, layer, r->g->scale);
}

/* The layer's gradient from the sum of the tasks' gradients of its output. */
static void sum_dense(const run *r, int64_t layer)
{
    const mtl__layer *l = &r->net->layer[layer];
    mtl__gramian *g = r->g;
    const int64_t most = block_cols(g->block_floats, r->rows, r->count, l->out);
    const mtl__layer_io io = mtl__network_trunk_io(r->net, &r->t->buffers, layer, r->rows,
                                                   r->t->feed.batch.x, r->net->inputs);
    memset(g->mix, 0, (size_t)(r->rows * l->out) * sizeof *g->mix);
    for (int64_t first = 0, cols; first < l->out; first += cols) {
        cols = mtl__min(most, l->out - first);
        if (cols < l->out || !r->compares) /* else they are there */
            fill(r, layer, first, cols);
        for (int64_t row = 0; row < r->rows; row++)
            for (int64_t i = 0; i < r->count; i++)
                r->p->vec->axpy(cols, (float)g->scale[i], of_task(r, g->block, i, cols) + row * cols,
                                g->mix + row * l->out + first);
    }
    l->type->backward(l, r->p, &io,
                      &(mtl__layer_grad){.dy = g->mix, .lddy = l->out, .want_params = true});
}

/* --- down the trunk ------------------------------------------------------------------------------ */

/* One task through a layer; what was its place is the next one's. */
static void step_down(const run *r, int64_t layer, int64_t i)
{
    mtl__gramian *g = r->g;
    mtl__buffers *own = &g->own[g->live[i]];
    float **held = &g->held[g->live[i]];
    const mtl__batch *b = &r->t->feed.batch;
    const bool is_dense = r->net->layer[layer].type == &mtl__dense_layer;
    g->way[i].g = whole(r, i);
    own->turn[0] = own->turn[1] = g->spare;
    mtl__network_task_step(r->net, r->p, own, is_dense ? g->off : r->t->layer_on, layer, r->stop,
                           r->rows, b->x, r->net->inputs, &g->way[i]);
    if (g->way[i].g.dy == g->spare) {
        g->spare = *held;
        *held = g->way[i].g.dy;
    }
}

static void compare_trunk(const run *r)
{
    mtl__gramian *g = r->g;
    for (int64_t layer = r->net->trunk_layers - 1; layer >= r->stop; layer--) {
        const mtl__layer *l = &r->net->layer[layer];
        const bool is_dense = l->type == &mtl__dense_layer, is_on = r->t->layer_on[layer];
        int64_t n = 0;
        if (r->fn)
            memset(g->sum, 0, (size_t)(r->count * r->count) * sizeof *g->sum);
        if (is_dense && is_on && r->compares)
            compare_dense(r, layer);
        if (is_dense && is_on && r->fn) {
            if (!ask(r, layer))
                return;
            sum_dense(r, layer);
        }
        if (is_dense && (layer == r->stop || comes_from_above(r, layer - 1)))
            continue;
        for (int64_t i = 0; i < r->count; i++) {
            step_down(r, layer, i);
            if (!is_dense && is_on)
                n = take_tensors(r, layer, NULL, n, g->part + i * n);
        }
        if (r->compares)
            add_own_products(r, g->sum, n, g->part);
        if (r->fn && n > 0) {
            if (!ask(r, layer))
                return;
            take_tensors(r, layer, g->scale, n, g->part);
        }
    }
}

/* --- the trunk's output ------------------------------------------------------------------------ */

/* All tasks have plain heads, their gradients are dz_i W_i': <dz_i W_i', dz_j W_j'> is the sum over
   (W_i'W_j) o (dz_i'dz_j). */
static void compare_heads(const run *r)
{
    const mtl__network *net = r->net;
    const int64_t n = net->outputs;
    const float *w = r->p->params + net->layer[net->head[0].first].weight, *dz = r->t->buffers.dz;
    float *ww = r->g->part, *dd = ww + n * n;
    multiply(r, MTL__GEMM_TN, n, n, net->trunk_out, w, n, w, n, ww, n, r->g->block);
    multiply(r, MTL__GEMM_TN, n, n, r->rows, dz, n, dz, n, dd, n, r->g->block);
    for (int64_t i = 0; i < r->count; i++)
        for (int64_t j = 0; j <= i; j++) {
            const int64_t a = r->g->live[i], b = r->g->live[j];
            const int64_t row = net->task[a].column, col = net->task[b].column;
            double sum = 0;
            for (int64_t s = 0; s < r->t->m->spec->task[a].outputs; s++)
                for (int64_t u = 0; u < r->t->m->spec->task[b].outputs; u++) {
                    const int64_t at = (row + s) * n + col + u;
                    sum += (double)ww[at] * (double)dd[at];
                }
            r->g->sum[i * r->count + j] = sum;
        }
}

static void compare_features(const run *r)
{
    const int64_t out = r->net->trunk_out;
    const int64_t most = block_cols(r->g->block_floats, r->rows, r->count, out);
    for (int64_t first = 0, cols; first < out; first += cols) {
        cols = mtl__min(most, out - first);
        fill(r, r->net->trunk_layers - 1, first, cols);
        add_own_products(r, r->g->sum, r->rows * cols, r->g->block);
    }
}

/* --- all of it --------------------------------------------------------------------------------- */

/* The beginning of a task's way: what its tower hands to the trunk. */
static void begin(const run *r, int64_t i)
{
    mtl__gramian *g = r->g;
    const int64_t task = g->live[i];
    const mtl__batch *b = &r->t->feed.batch;
    g->way[i] = (mtl__way_back){0};
    if (comes_from_dz(g, r->net, task)) {
        if (g->held[task])
            memset(g->own[task].has_later, 0, (size_t)r->net->layers * sizeof(bool));
        return;
    }
    g->own[task].turn[1] = g->held[task];
    mtl__network_task_begin(r->net, r->p, &r->t->buffers, &g->own[task], g->off, task,
                            r->t->m->spec->task[task].outputs, !g->features, r->rows, b->x,
                            r->net->inputs, &g->way[i]);
}

void mtl__gramian_run(const mtl__trainer *t, const mtl__pass *p, mtl__gramian *g, int64_t count)
{
    const run r = {t, &t->m->net, p, g, count, t->feed.batch.rows,
                   g->features ? t->m->net.trunk_layers - 1
                               : mtl__network_trunk_stop(&t->m->net, t->layer_on), true, NULL, NULL};
    memset(g->sum, 0, (size_t)(count * count) * sizeof *g->sum);
    for (int64_t i = 0; i < count && !g->is_product; i++)
        begin(&r, i);
    if (g->is_product)
        compare_heads(&r);
    else if (g->features)
        compare_features(&r);
    else
        compare_trunk(&r);
    mirror(&r);
}

void mtl__gramian_layers(const mtl__trainer *t, const mtl__pass *p, mtl__gramian *g, int64_t count,
                         bool asks, mtl__gramian_fn *fn, void *self)
{
    const run r = {t,    &t->m->net, p, g, count, t->feed.batch.rows,
                   mtl__network_trunk_stop(&t->m->net, t->layer_on),
                   asks, fn,         self};
    for (int64_t i = 0; i < count; i++)
        begin(&r, i);
    compare_trunk(&r);
}
