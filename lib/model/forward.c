/* SPDX-License-Identifier: MIT */
#include "model/forward.h"

#include <math.h>
#include <string.h>

#include "model/mix.h"

/* --- laying out -------------------------------------------------------------------------------- */

/* Laying out: where each trunk layer leaves its outputs, and until which layer each place is needed. */
typedef struct layout {
    int64_t *place_of; /* [layers] */
    int64_t *needed;   /* [places] */
} layout;

/* The last trunk layer that reads what layer i makes: the next one, or one that reads back. */
static int64_t last_reader(const mtl__network *net, int64_t i)
{
    int64_t last = i + 1;
    for (int64_t j = i + 2; j < net->trunk_layers; j++)
        if (net->layer[j].type->reads_back && j - net->layer[j].column - 1 == i)
            last = j;
    return last;
}

static int64_t free_turn(const mtl__forward *f, const layout *l, int64_t layer)
{
    int64_t place = MTL__TURNS;
    while (l->needed[place] >= layer && place < f->places - 1)
        place++;
    return place;
}

static void add_trunk(mtl__forward *f, const mtl__network *net, layout *l)
{
    int64_t from = MTL__INPUTS;
    for (int64_t i = 0; i < net->trunk_layers; i++) {
        const mtl__layer *layer = &net->layer[i];
        int64_t source = i - layer->column - 1, to = from;
        if (!layer->type->training_only) {
            to = free_turn(f, l, i);
            f->step[f->steps++] =
                (mtl__step){.layer = *layer,
                            .from = from,
                            .to = to,
                            .ldx = layer->in,
                            .skip = source < 0 ? MTL__INPUTS : l->place_of[source],
                            .ldskip = source < 0 ? net->inputs : net->layer[source].out,
                            .chain = -1};
        }
        l->place_of[i] = from = to;
        l->needed[to] = mtl__max(l->needed[to], last_reader(net, i));
    }
}

/* A chain of a head: by turns, which the trunk has left. */
static void add_chain(mtl__forward *f, const mtl__network *net, int64_t number, int64_t from)
{
    const mtl__chain *c = &net->head[number];
    for (int64_t i = c->first; i < c->first + c->count; i++) {
        int64_t to = from == MTL__TURNS ? MTL__TURNS + 1 : MTL__TURNS;
        f->step[f->steps++] =
            (mtl__step){.layer = net->layer[i],
                        .from = from,
                        .to = to,
                        .from_column = i == c->first ? c->input : 0,
                        .ldx = i == c->first ? net->trunk_out : net->layer[i].in,
                        .chain = number};
        from = to;
    }
    f->step[f->steps - 1].to = MTL__Z;
    f->step[f->steps - 1].column = c->column;
}

static void add_steps(mtl__forward *f, const mtl__network *net, layout *l)
{
    add_trunk(f, net, l);
    int64_t trunk = f->steps > 0 ? f->step[f->steps - 1].to : MTL__INPUTS;
    if (net->heads > 1 && f->steps > 0)
        trunk = f->step[f->steps - 1].to = MTL__TRUNK; /* the heads use the turns */
    if (net->skip >= 0)
        f->step[f->steps++] = (mtl__step){.layer = net->layer[net->skip],
                                          .from = MTL__INPUTS,
                                          .to = MTL__Z,
                                          .ldx = net->inputs,
                                          .chain = -1};
    for (int64_t i = 0; i < net->heads; i++)
        add_chain(f, net, i, trunk);
    f->width[MTL__INPUTS] = f->inputs;
    f->width[MTL__Z] = f->outputs;
    f->width[MTL__MEMBERS] = f->members > 1 ? f->members * f->outputs : 0;
    for (int64_t i = 0; i < f->steps; i++) {
        const mtl__step *s = &f->step[i];
        int64_t members = mtl__layer_members(&s->layer);
        if (s->to != MTL__Z)
            f->width[s->to] = mtl__max(f->width[s->to], s->layer.out * members);
        if (s->layer.type->is_product)
            f->work += (mtl__layer_is_split(&s->layer) ? s->layer.rows : s->layer.in) * s->layer.out *
                       members;
    }
}

/* Make `next` part of the outlet before it. */
static bool join(mtl__outlet *before, const mtl__outlet *next)
{
    if (!before->joins || !next->joins || before->link != next->link ||
        !before->mean != !next->mean || before->column + before->cols != next->column)
        return false;
    before->cols += next->cols;
    return true;
}

static void add_outlets(mtl__forward *f, const mtl_model *m, const float *const of_labels[4])
{
    f->in_order = true;
    for (int64_t t = 0; t < m->net.tasks; t++) {
        const mtl__task_spec *s = &m->spec->task[t];
        int64_t column = m->net.task[t].column;
        bool scaled = mtl__kind_is_scaled(s->kind);
        const mtl__outlet next = {.link = s->loss->link,
                                  .joins = mtl__loss_is_by_columns(s->loss) && !m->members,
                                  .mean = scaled ? of_labels[0] + column : NULL,
                                  .scale = scaled ? of_labels[1] + column : NULL,
                                  .low = scaled ? of_labels[2] + column : NULL,
                                  .high = scaled ? of_labels[3] + column : NULL,
                                  .column = column,
                                  .cols = s->outputs,
                                  .out_column = m->out_column[t]};
        f->in_order = f->in_order && column == m->out_column[t];
        if (!f->outlets || !join(&f->outlet[f->outlets - 1], &next))
            f->outlet[f->outlets++] = next;
    }
}

/* A copy of n floats from the arena, the floats themselves, or NULL while planning. */
static const float *keep(mtl__arena *arena, bool copy, const float *x, int64_t n)
{
    if (!copy)
        return x;
    float *y = mtl__arena_floats(arena, n);
    return y ? memcpy(y, x, (size_t)n * sizeof *y) : NULL;
}

/* The layer of that number among the steps, sought from *from on, where it stands but for the linear
   skip; NULL while planning. */
static mtl__layer *find_step(mtl__forward *f, int64_t id, int64_t *from)
{
    for (int64_t i = 0; i < f->steps; i++) {
        int64_t step = (*from + i) % f->steps;
        if (f->step[step].layer.id != id)
            continue;
        *from = step + 1;
        return &f->step[step].layer;
    }
    return NULL;
}

static const float *keep_tensor(const mtl__forward *f, const mtl__layer *l, int32_t number,
                                const float *x, mtl__arena *arena)
{
    bool is_matrix = l->type->param[number].role == MTL__MATRIX;
    if (!f->packed || !l->type->is_product || !is_matrix)
        return keep(arena, true, x, mtl__layer_floats(l, number));
    /* Of members below each other, of streams side by side. */
    const bool is_split = mtl__layer_is_split(l);
    const mtl__layer one = is_split ? mtl__layer_of_stream(l) : *l;
    const int64_t matrices = is_split ? mtl__streams_count(l->to) : l->rows / l->in;
    const int64_t apart = is_split ? one.out : l->in * l->out;
    const int64_t step = mtl__member_stride(&one, f->gemm, true);
    float *packed = mtl__arena_floats(arena, matrices * step);
    for (int64_t i = 0; packed && i < matrices; i++)
        mtl__gemm_pack_b(f->gemm, one.in, one.out, x + i * apart, l->cols, packed + i * step);
    return packed;
}

/* The tensors of all steps in a place of their own, the weights of products in panels of the GEMM. */
static void keep_layers(mtl__forward *f, const mtl_model *m, mtl__arena *arena)
{
    f->values = (const float *)(const void *)arena->p;
    f->packed = mtl__gemm_packed_floats(f->gemm, 1, 1) > 0;
    int64_t next = 0;
    for (int64_t i = 0; i < m->net.layers; i++) {
        mtl__layer source = m->net.layer[i];
        if (source.type->training_only)
            continue;
        mtl__layer *l = find_step(f, i, &next);
        if (source.columns) {
            int64_t *columns = mtl__arena_take(arena, source.embeds, sizeof *columns);
            if (l && columns)
                l->columns = memcpy(columns, source.columns, (size_t)source.embeds * sizeof *columns);
        }
        for (int32_t k = 0; k < source.type->params; k++) {
            int64_t offset = *mtl__layer_offset(&source, k);
            const float *copy = keep_tensor(f, &source, k, m->values + offset, arena);
            if (l && copy)
                *mtl__layer_offset(l, k) = copy - f->values;
        }
    }
}

static void lay_out(mtl__forward *f, const mtl_model *m, bool copy, mtl__arena *arena)
{
    const mtl__network *net = &m->net;
    *f = (mtl__forward){
        .gemm = m->ctx->gemm, .vec = m->ctx->vec, .raw_inputs = net->raw_inputs,
        .inputs = net->inputs, .outputs = net->outputs, .members = net->members};
    f->places = MTL__TURNS + 2 + net->trunk_layers;
    f->step = mtl__arena_take(arena, net->layers, sizeof *f->step);
    f->width = mtl__arena_take(arena, f->places, sizeof *f->width);
    layout l = {mtl__arena_take(arena, net->layers, sizeof *l.place_of),
                mtl__arena_take(arena, f->places, sizeof *l.needed)};
    f->outlet = mtl__arena_take(arena, net->tasks, sizeof *f->outlet);
    f->scale = mtl__model_scale(m);
    f->scale.mean = keep(arena, copy, m->pipe.x_mean, net->inputs);
    f->scale.inverse = keep(arena, copy, m->pipe.x_inverse, net->inputs);
    if (copy) {
        const int64_t count = net->raw_inputs * m->pipe.warp.knots;
        float *knot = mtl__arena_floats(arena, count);
        if (knot && count)
            memcpy(knot, m->pipe.warp.knot, (size_t)count * sizeof *knot);
        f->scale.warp.knot = knot;
    }
    if (m->pipe.is_calibrated || !copy) {
        f->slope = keep(arena, copy, m->pipe.slope, net->outputs);
        f->shift = keep(arena, copy, m->pipe.shift, net->outputs);
    }
    f->is_calibrated = m->pipe.is_calibrated;
    f->is_clipped = m->pipe.is_clipped;
    const float *of_labels[] = {m->pipe.y_mean, m->pipe.y_scale, m->pipe.y_low, m->pipe.y_high};
    for (int i = 0; i < MTL__COUNT_OF(of_labels); i++)
        of_labels[i] = keep(arena, copy, of_labels[i], net->outputs);
    if (f->step) {
        memset(f->width, 0, (size_t)f->places * sizeof *f->width);
        for (int64_t i = 0; i < f->places; i++)
            l.needed[i] = -1;
        add_steps(f, net, &l);
        add_outlets(f, m, of_labels);
    }
    f->values = m->values;
    if (copy)
        keep_layers(f, m, arena);
    if (m->members)
        f->mix = mtl__mix_lay_out(m, copy, arena);
}

mtl_status mtl__forward_init(mtl__forward *f, const mtl_model *m, bool copy, mtl_error *err)
{
    mtl__arena arena = {0};
    lay_out(f, m, copy, &arena);
    if (!mtl__arena_reserve_raw(&arena, &m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predicting with %lld layers",
                        (long long)m->net.layers);
    lay_out(f, m, copy, &arena);
    f->arena = arena;
    return f->mix ? mtl__mix_init(f, m, err) : MTL_OK;
}

void mtl__forward_free(mtl__forward *f, const mtl__allocator *al)
{
    if (f->mix)
        mtl__mix_free(f->mix, al);
    mtl__arena_release(&f->arena, al);
}

void mtl__forward_plan(const mtl__forward *f, int64_t max_rows, int slots, bool is_sparse,
                       mtl__arena *arena, mtl__forward_buffers *b)
{
    *b = (mtl__forward_buffers){.place = mtl__arena_take(arena, f->places, sizeof *b->place)};
    b->row = is_sparse ? mtl__arena_take(arena, max_rows, sizeof *b->row) : NULL;
    mtl__forward_plan_places(f, max_rows, slots, is_sparse, arena, b);
    if (f->mix)
        mtl__mix_plan(f, max_rows, slots, is_sparse, arena, b);
}

void mtl__forward_plan_places(const mtl__forward *f, int64_t max_rows, int slots, bool is_sparse,
                              mtl__arena *arena, mtl__forward_buffers *b)
{
    int64_t work = 0;
    for (int64_t i = 0; i < f->steps; i++) {
        const mtl__layer *l = &f->step[i].layer;
        work = mtl__max(work, mtl__layer_workspace(l, f->gemm, max_rows * mtl__layer_members(l),
                                                   slots, false));
    }
    for (int64_t i = 0; i < f->places; i++) {
        bool is_dense = !is_sparse || i != MTL__INPUTS;
        float *place = is_dense ? mtl__arena_floats(arena, max_rows * f->width[i]) : NULL;
        if (b->place)
            b->place[i] = place;
    }
    b->sparse = (mtl__sparse){b->row, f->scale.inverse};
    b->gemm_work = mtl__arena_floats(arena, work);
}

/* --- running ----------------------------------------------------------------------------------- */

static void run_steps(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                      int64_t chain, int64_t rows, float *z, int64_t ldz)
{
    /* All members are named for the same reason as in dense.c. */
    const mtl__pass pass = {.gemm = f->gemm,
                            .vec = f->vec,
                            .pool = pool,
                            .gemm_work = b->gemm_work,
                            .sparse = &b->sparse,
                            .params = f->values,
                            .weights_packed = f->packed,
                            .grads = NULL,
                            .state = NULL,
                            .trains = NULL,
                            .dropout = 0,
                            .seed = 0,
                            .counter = 0};
    for (int64_t i = 0; i < f->steps; i++) {
        const mtl__step *s = &f->step[i];
        const mtl__layer *l = &s->layer;
        bool is_end = s->to == MTL__Z;
        const int64_t many = rows * mtl__layer_members(l);
        if (chain >= 0 && s->chain >= 0 && s->chain != chain)
            continue;
        const mtl__layer_io io = {.rows = many,
                                  .x = b->place[s->from] ? b->place[s->from] + s->from_column : NULL,
                                  .ldx = s->ldx,
                                  .y = is_end ? z + s->column : b->place[s->to],
                                  .ldy = is_end ? ldz : l->out,
                                  .skip = b->place[s->skip],
                                  .ldskip = s->ldskip,
                                  .kept = NULL,
                                  .after = NULL};
        mtl__layer_forward(l, &pass, &io);
    }
}

static void calibrate_columns(const mtl__forward *f, int64_t column, int64_t cols, int64_t rows,
                              float *z, int64_t ldz)
{
    if (!f->is_calibrated)
        return;
    const float *slope = f->slope + column, *shift = f->shift + column;
    z += column;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            if (slope[j] != 1 || shift[j] != 0)
                z[r * ldz + j] = z[r * ldz + j] * slope[j] + shift[j];
}

/* The part of an outlet's columns that lies in [column, column + cols). */
static void link_columns(const mtl__forward *f, const mtl__outlet *o, int64_t column, int64_t cols,
                         int64_t rows, float *z, int64_t ldz)
{
    int64_t from = mtl__max(o->column, column);
    int64_t n = mtl__min(o->column + o->cols, column + cols) - from;
    if (n <= 0)
        return;
    z += from;
    if (o->link)
        o->link(f->vec, rows, n, z, ldz);
    if (!o->mean)
        return;
    const float *mean = o->mean + from - o->column, *scale = o->scale + from - o->column;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++)
            z[r * ldz + j] = z[r * ldz + j] * scale[j] + mean[j];
    const float *low = o->low + from - o->column, *high = o->high + from - o->column;
    for (int64_t r = 0; r < rows && f->is_clipped; r++)
        for (int64_t j = 0; j < n; j++) {
            const float y = z[r * ldz + j];
            z[r * ldz + j] = y < low[j] ? low[j] : y > high[j] ? high[j] : y;
        }
}

static void copy_columns(int64_t rows, int64_t cols, const float *from, int64_t ldf, float *to,
                         int64_t ldt)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            to[r * ldt + j] = from[r * ldf + j];
}

/* From the members' z to that of the ensemble: the mean of what their links give, through the link
   backwards. Of an outlet's columns, those in [column, column + cols). */
static void average_members(const mtl__forward *f, const mtl__outlet *o, int64_t column,
                            int64_t cols, int64_t rows, float *members, float *z, int64_t ldz)
{
    const int64_t k = f->members, from = mtl__max(o->column, column);
    const int64_t n = mtl__min(o->column + o->cols, column + cols) - from;
    if (n <= 0)
        return;
    members += from;
    z += from;
    if (o->link)
        o->link(f->vec, rows * k, n, members, f->outputs);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t i = 0; i < k; i++)
                sum += members[(r * k + i) * f->outputs + j];
            z[r * ldz + j] = sum / (float)k;
        }
    for (int64_t r = 0; r < rows && o->link; r++)
        mtl__loss_unlink(o->link)(n, z + r * ldz);
}

/* z of some columns, those of a chain if that is not -1. */
static void run_network(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                        int64_t chain, int64_t column, int64_t cols, int64_t rows, float *z,
                        int64_t ldz)
{
    float *members = b->place[MTL__MEMBERS];
    const bool alone = f->members == 1;
    run_steps(f, b, pool, chain, rows, alone ? z : members, alone ? ldz : f->outputs);
    for (int64_t i = 0; i < f->outlets && !alone; i++)
        average_members(f, &f->outlet[i], column, cols, rows, members, z, ldz);
}

void mtl__forward_layers(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                         int64_t rows, float *z, int64_t ldz)
{
    run_network(f, b, pool, -1, 0, f->outputs, rows, z, ldz);
}

void mtl__forward_calibrate(const mtl__forward *f, int64_t rows, float *z, int64_t ldz)
{
    calibrate_columns(f, 0, f->outputs, rows, z, ldz);
}

void mtl__forward_link(const mtl__forward *f, int64_t rows, float *z, int64_t ldz)
{
    for (int64_t i = 0; i < f->outlets; i++)
        link_columns(f, &f->outlet[i], 0, f->outputs, rows, z, ldz);
}

void mtl__outlet_link(const mtl__forward *f, const mtl__outlet *o, int64_t rows, float *z,
                      int64_t ldz)
{
    mtl__outlet here = *o;
    here.column = 0;
    link_columns(f, &here, 0, o->cols, rows, z, ldz);
}

void mtl__outlet_unlink(const mtl__outlet *o, int64_t rows, float *z, int64_t ldz)
{
    mtl__unlink_fn *unlink = mtl__loss_unlink(o->link);
    for (int64_t r = 0; r < rows; r++) {
        float *row = z + r * ldz;
        for (int64_t j = 0; o->mean && j < o->cols; j++)
            row[j] = (row[j] - o->mean[j]) / o->scale[j];
        if (unlink)
            unlink(o->cols, row);
    }
}

void mtl__forward_unlink(const mtl__forward *f, int64_t rows, float *z, int64_t ldz)
{
    for (int64_t i = 0; i < f->outlets; i++)
        mtl__outlet_unlink(&f->outlet[i], rows, z + f->outlet[i].column, ldz);
}

static void run_part(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                     const mtl__forward_part *part, int64_t rows, float *out, int64_t ldo)
{
    float *z = b->place[MTL__Z];
    run_network(f, b, pool, part->chain, part->column, part->cols, rows, z, f->outputs);
    calibrate_columns(f, part->column, part->cols, rows, z, f->outputs);
    for (int64_t i = 0; i < f->outlets; i++)
        link_columns(f, &f->outlet[i], part->column, part->cols, rows, z, f->outputs);
    copy_columns(rows, part->cols, z + part->column, f->outputs, out, ldo);
}

static void fill_indicators(const mtl__input_scale *s, int64_t rows, const float *x, int64_t ldx,
                            const int64_t *index, float *to)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + (index ? index[r] : r) * ldx;
        float *row = to + r * s->inputs;
        for (int64_t j = 0; j < s->raw_inputs; j++) {
            row[j] = from[j];
            row[s->raw_inputs + j] = isnan(from[j]);
        }
    }
}

void mtl__forward_scale(const mtl__vec *vec, const mtl__input_scale *s, int64_t rows, const float *x,
                        int64_t ldx, const int64_t *index, float *to)
{
    const int64_t inputs = s->inputs;
    if (!s->mean) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * inputs, x + (index ? index[r] : r) * ldx,
                   (size_t)inputs * sizeof *to);
        return;
    }
    if (inputs == s->raw_inputs) {
        vec->standardize(rows, inputs, x, ldx, index, s->mean, s->inverse, to);
    } else {
        fill_indicators(s, rows, x, ldx, index, to);
        /* The indicators have mean 0 and scale 1. */
        vec->standardize(rows, inputs, to, inputs, NULL, s->mean, s->inverse, to);
    }
    for (int64_t r = 0; r < rows && s->warp.knots; r++)
        mtl__warp_row(vec, &s->warp, s->raw_inputs, x + (index ? index[r] : r) * ldx, to + r * inputs);
}

static void run(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                const mtl__forward_part *part, int64_t rows, const float *x, int64_t ldx, float *out,
                int64_t ldo)
{
    if (f->mix) {
        mtl__mix_run(f, b, pool, part, rows, x, ldx, out, ldo);
        mtl__mix_calibrate(f, part, rows, out, ldo);
        return;
    }
    float *scaled = b->place[MTL__INPUTS];
    if (x)
        mtl__forward_scale(f->vec, &f->scale, rows, x, ldx, NULL, scaled);
    if (part) {
        run_part(f, b, pool, part, rows, out, ldo);
        return;
    }
    float *z = f->in_order ? out : b->place[MTL__Z];
    const int64_t ldz = f->in_order ? ldo : f->outputs;
    mtl__forward_layers(f, b, pool, rows, z, ldz);
    mtl__forward_calibrate(f, rows, z, ldz);
    mtl__forward_link(f, rows, z, ldz);
    for (int64_t i = 0; i < f->outlets && !f->in_order; i++) {
        const mtl__outlet *o = &f->outlet[i];
        copy_columns(rows, o->cols, z + o->column, ldz, out + o->out_column, ldo);
    }
}

/* Sign and payload of a NaN depend on the instructions that made it: one stands for all. */
void mtl__forward_run(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                      const mtl__forward_part *part, int64_t rows, const float *x, int64_t ldx,
                      float *out, int64_t ldo)
{
    const int64_t cols = part ? part->cols : f->outputs;
    run(f, b, pool, part, rows, x, ldx, out, ldo);
    if (ldo == cols && f->vec->all_finite(rows * cols, out))
        return; /* as good as always */
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            if (isnan(out[r * ldo + j]))
                out[r * ldo + j] = NAN;
}
