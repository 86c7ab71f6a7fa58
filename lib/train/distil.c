/* SPDX-License-Identifier: MIT */
#include "train/distil.h"

#include <string.h>

#include "train/preset.h"

/* --- the gradient ------------------------------------------------------------------------------ */

void mtl__soften(const mtl__vec *v, bool is_softmax, bool is_sigmoid, double temperature,
                 int64_t rows, int64_t cols, float *z, int64_t ld)
{
    for (int64_t r = 0; r < rows && (is_softmax || is_sigmoid); r++) {
        v->scale(cols, (float)(1 / temperature), z + r * ld);
        if (is_sigmoid)
            v->sigmoid(cols, z + r * ld, z + r * ld);
    }
    if (is_softmax)
        v->softmax(rows, cols, z, ld);
}

void mtl__teach_task(mtl__trainer *t, int64_t task, double alpha, double temperature, bool adds,
                     float *want, float *have)
{
    const mtl__vec *v = t->m->ctx->vec;
    const mtl__task_spec *spec = &t->m->spec->task[task];
    const int64_t rows = t->feed.batch.rows * t->m->net.members, cols = spec->outputs;
    const int64_t ld = t->m->net.outputs, column = t->m->net.task[task].column;
    const bool plain = spec->loss->has_thresholds;
    const bool softmax = !plain && spec->kind == MTL_MULTICLASS;
    const bool sigmoid = !plain && (spec->kind == MTL_BINARY || spec->kind == MTL_MULTILABEL);
    const double slope = softmax || sigmoid ? temperature : 2;
    const double parts = (double)rows * (softmax ? 1 : (double)cols);
    const float factor = (float)(alpha * t->task_weight[task] * slope / parts);
    want += column;
    have += column;
    mtl__soften(v, softmax, sigmoid, temperature, rows, cols, want, ld);
    mtl__soften(v, softmax, sigmoid, temperature, rows, cols, have, ld);
    for (int64_t r = 0; r < rows; r++) {
        float *d = t->buffers.dz + column + r * ld;
        v->axpy(cols, -1, want + r * ld, have + r * ld);
        if (!adds)
            memset(d, 0, (size_t)cols * sizeof *d);
        v->axpy(cols, factor, have + r * ld, d);
    }
}

/* --- the teacher's answers --------------------------------------------------------------------- */

/* Share of the rows to judge on, at random, where the options say nothing. */
#define HELD_OUT 0.2

typedef struct distilling {
    const mtl_model *teacher;
    mtl__arena arena;
    mtl__judge *judge; /* of the teacher on the training rows; it predicted them */
    int64_t rows, outputs, batch_rows;
    float *z;           /* [rows, outputs]: what the student is to have; with thresholds, to predict */
    float *label;       /* [rows, outputs]: labels as the teacher would give them, task after task */
    float *want, *have; /* [batch_rows, outputs] */
    float *y, *w;       /* [batch_rows] */
} distilling;

static mtl_status ask(distilling *d, const mtl_dataset *train, mtl_error *err)
{
    mtl__binding bound;
    mtl_status st = mtl__binding_create_bare(d->teacher, train, "train", &bound, err);
    if (st == MTL_OK)
        st = mtl__judge_create(d->teacher, &bound, &d->judge, err);
    if (st == MTL_OK)
        mtl__judge_run(d->judge);
    return st;
}

static void plan(distilling *d, mtl__arena *a)
{
    d->z = mtl__arena_take(a, d->rows, d->outputs * (int64_t)sizeof *d->z);
    d->label = mtl__arena_take(a, d->rows, d->outputs * (int64_t)sizeof *d->label);
    d->want = mtl__arena_take(a, d->batch_rows, d->outputs * (int64_t)sizeof *d->want);
    d->have = mtl__arena_take(a, d->batch_rows, d->outputs * (int64_t)sizeof *d->have);
    d->y = mtl__arena_floats(a, d->batch_rows);
    d->w = mtl__arena_floats(a, d->batch_rows);
}

/* The label that p [outputs] stands for. */
static void decide(const mtl__task_spec *t, const float *p, float *label)
{
    int64_t best = 0;
    for (int64_t j = 1; j < t->outputs; j++)
        best = p[j] > p[best] ? j : best;
    for (int64_t j = 0; j < mtl__label_cols(t->kind, t->outputs); j++)
        label[j] = t->kind == MTL_MULTICLASS      ? (float)best
                   : t->kind == MTL_QUANTILE      ? p[t->outputs / 2]
                   : mtl__kind_is_class(t->kind) ? (float)(p[j] >= 0.5f)
                                                  : p[j];
}

/* Of all tasks, whether the rows have labels or not: they say how the student scales its outputs. */
static mtl_status fill_labels(distilling *d, mtl_dataset *train, mtl_error *err)
{
    mtl_status st = MTL_OK;
    float *to = d->label;
    for (int64_t i = 0; i < d->teacher->net.tasks && st == MTL_OK; i++) {
        const mtl__task_spec *t = &d->teacher->spec->task[i];
        const int64_t cols = mtl__label_cols(t->kind, t->outputs);
        const float *p = d->judge->predicted + d->teacher->net.task[i].column;
        for (int64_t r = 0; r < d->rows; r++)
            decide(t, p + r * d->outputs, to + r * cols);
        st = mtl__dataset_set_labels(train, t->name, cols, to, cols, err);
        to += d->rows * cols;
    }
    return st;
}

/* Thresholds are the same for all rows, so no z is that of a mean: the loss of every class, weighed by
   its probability. */
static void teach_thresholds(const distilling *d, mtl__trainer *t, int64_t task)
{
    const mtl__vec *v = t->m->ctx->vec;
    const mtl__task_spec *spec = &t->m->spec->task[task];
    const int64_t rows = t->feed.batch.rows, n = d->outputs, column = t->m->net.task[task].column;
    const mtl__rows_args a = {.rows = rows,
                              .cols = spec->outputs,
                              .z = t->buffers.z + column,
                              .ldz = n,
                              .y = d->y,
                              .w = d->w,
                              .scale = (float)(t->task_weight[task] / (double)rows),
                              .g = d->have + column,
                              .ldg = n,
                              .param = spec->loss_param};
    for (int64_t k = 0; k < spec->outputs; k++) {
        for (int64_t r = 0; r < rows; r++) {
            d->y[r] = (float)k;
            d->w[r] = d->want[r * n + column + k];
        }
        mtl__loss_rows(v, spec->loss, &a);
        for (int64_t r = 0; r < rows; r++) {
            float *dz = t->buffers.dz + r * n + column;
            if (k == 0)
                memset(dz, 0, (size_t)spec->outputs * sizeof *dz);
            v->axpy(spec->outputs, 1, a.g + r * n, dz);
        }
    }
}

static void teach(void *self, mtl__trainer *t)
{
    const distilling *d = self;
    const mtl__feed_source *s = &t->feed.source[0];
    const int64_t rows = t->feed.batch.rows, n = d->outputs;
    const int64_t *row = s->order + (s->next - s->begin) - rows;
    for (int64_t r = 0; r < rows; r++)
        memcpy(d->want + r * n, d->z + row[r] * n, (size_t)n * sizeof *d->want);
    memcpy(d->have, t->buffers.z, (size_t)(rows * n) * sizeof *d->have);
    for (int64_t i = 0; i < t->m->net.tasks; i++)
        if (t->m->spec->task[i].loss->has_thresholds)
            teach_thresholds(d, t, i);
        else
            mtl__teach_task(t, i, 1, 1, false, d->want, d->have);
}

/* What the teacher predicted of a task, in the student's columns. */
static void copy_task(const distilling *d, const mtl_model *student, int64_t task)
{
    const float *from = d->judge->predicted + d->teacher->net.task[task].column;
    float *to = d->z + student->net.task[task].column;
    for (int64_t r = 0; r < d->rows; r++)
        memcpy(to + r * d->outputs, from + r * d->outputs,
               (size_t)student->spec->task[task].outputs * sizeof *to);
}

/* The student has its scaling now. */
static mtl_status begin(void *self, mtl__trainer *t, mtl_error *err)
{
    distilling *d = self;
    const mtl_model *student = t->m;
    (void)err;
    for (int64_t i = 0; i < student->net.tasks; i++)
        copy_task(d, student, i);
    mtl__forward_unlink(&student->forward, d->rows, d->z, d->outputs);
    for (int64_t i = 0; i < student->net.tasks; i++)
        if (student->spec->task[i].loss->has_thresholds)
            copy_task(d, student, i);
    mtl__trainer_hook(t, (mtl__hook){.self = d, .before_backward = teach});
    return MTL_OK;
}

/* --- the student ------------------------------------------------------------------------------- */

/* The columns with embeddings that any member gives them. */
static const mtl_spec *numeric_spec(const mtl_model *m)
{
    for (int64_t k = 0; m->members && k < m->members->count; k++)
        if (m->members->model[k]->spec->numerics)
            return m->members->model[k]->spec;
    return m->spec;
}

/* Layers by the options. */
static mtl_status describe_new(const mtl_model *teacher, const mtl_options *o, mtl_spec **out,
                               mtl_error *err)
{
    const mtl_spec *whole = teacher->spec, *numeric = numeric_spec(teacher);
    const mtl_spec *leading = mtl__members_leading(teacher)->spec;
    const mtl__option_group *g = &mtl__fit_options;
    mtl_spec *s = NULL;
    mtl_status st = mtl__spec_create(whole->ctx, whole->inputs, &s, err);
    if (st == MTL_OK)
        st = mtl__spec_set_missing_indicators(s, leading->missing_indicators, err);
    if (st == MTL_OK && numeric->numerics)
        st = mtl__spec_add_numeric(s, mtl__option_str(o, g, "embedding"), numeric->numerics,
                                   numeric->numeric, err);
    if (st == MTL_OK)
        st = mtl__spec_add_layers(s, mtl__option_str(o, g, "layers"), err);
    if (st == MTL_OK)
        st = mtl__spec_set_initializer(s, "he_uniform", err);
    for (int64_t t = 0; t < whole->tasks && st == MTL_OK; t++)
        st = mtl__spec_copy_task(s, &whole->task[t], false, err);
    *out = s;
    return st;
}

/* A blank student: of a network without its ensemble, or of layers by the options, where `is_new`. */
static mtl_status make_student(const mtl_model *teacher, bool is_new, const mtl_options *o,
                               mtl_model **out, mtl_error *err)
{
    mtl_spec *s = NULL;
    mtl_status st = is_new ? describe_new(teacher, o, &s, err)
                           : mtl__spec_clone(teacher->spec, false, &s, err);
    if (st == MTL_OK) {
        s->members = 1;
        st = mtl__model_create_blank(s, out, err);
    }
    mtl__spec_destroy(s);
    return st;
}

/* --- the whole --------------------------------------------------------------------------------- */

static mtl_status fill_options(int64_t rows, bool is_split, mtl_options *o, mtl_error *err)
{
    mtl_status st = mtl__preset_fill(rows, o, err);
    if (st == MTL_OK && is_split && !mtl__options_has(o, "validation_split")) {
        st = mtl__options_set_number(o, "validation_split", HELD_OUT, false, err);
        if (st == MTL_OK && !mtl__options_has(o, "validation"))
            st = mtl__options_set(o, "validation", "random", err);
    }
    return st;
}

/* "student/loss", "teacher/loss": on the rows left out. */
static mtl_status tell(const mtl_model *teacher, const mtl_model *student, const mtl_dataset *valid,
                       mtl_report *r, mtl_error *err)
{
    const mtl_model *const models[] = {teacher, student};
    mtl_status st = MTL_OK;
    for (int i = 0; i < 2 && st == MTL_OK; i++) {
        mtl__judge *j = NULL;
        st = mtl__judge_data(models[i], valid, "valid", &j, err);
        if (st == MTL_OK)
            st = mtl__judge_report(j, i ? "student/loss" : "teacher/loss", r, err);
        mtl__judge_destroy(j);
    }
    return st;
}

static mtl_status train_student(distilling *d, mtl_model *student, const mtl_dataset *train,
                                const mtl_dataset *valid, const mtl_options *o, mtl_report **r,
                                mtl_error *err)
{
    const mtl__fit_changes changes = {.self = d, .trainer = begin};
    mtl_dataset *filled = NULL;
    mtl_status st = ask(d, train, err);
    d->rows = train->rows;
    d->outputs = d->teacher->net.outputs;
    d->batch_rows = mtl__min(train->rows, mtl__option_i64(o, &mtl__fit_options, "batch_size"));
    plan(d, &d->arena);
    if (st == MTL_OK && !mtl__arena_reserve(&d->arena, &d->teacher->ctx->al))
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the predictions of %lld rows",
                      (long long)train->rows);
    if (st != MTL_OK)
        return st;
    plan(d, &d->arena);
    st = mtl__dataset_range(train, 0, train->rows, &filled, err);
    if (st == MTL_OK)
        st = fill_labels(d, filled, err);
    if (st == MTL_OK)
        st = mtl__fit_changed(student, filled, valid, o, &changes, r, err);
    mtl__dataset_destroy(filled);
    return st;
}

mtl_status mtl__distil_fit(const mtl_model *teacher, const mtl_dataset *train,
                           const mtl_dataset *valid, const mtl_options *o, mtl_model **out,
                           mtl_report **report, mtl_error *err)
{
    const mtl__allocator *al = &teacher->ctx->al;
    const bool is_new = teacher->members || (o && mtl__options_has(o, "layers"));
    distilling d = {.teacher = teacher};
    mtl_dataset *split[2] = {NULL, NULL};
    mtl_options *own = NULL;
    mtl_model *student = NULL;
    mtl_report *r = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__dataset_in_memory(train, "distillation", err), done);
    MTL_TRY(st, mtl__options_copy(o, &mtl__fit_options, &own, err), done);
    MTL_TRY(st, fill_options(train->rows, !valid, own, err), done);
    MTL_TRY(st, mtl__split_validation(own, &train, &valid, split, err), done);
    if (!valid) {
        st = MTL_FAIL(err, MTL_ERR_INVALID, "distillation states its loss on validation rows: give "
                                            "them, or a validation_split above 0");
        goto done;
    }
    MTL_TRY(st, make_student(teacher, is_new, own, &student, err), done);
    MTL_TRY(st, train_student(&d, student, train, valid, own, &r, err), done);
    MTL_TRY(st, tell(teacher, student, valid, r, err), done);
    *out = student;
    student = NULL;
    if (report) {
        *report = r;
        r = NULL;
    }
done:
    mtl__report_destroy(r);
    mtl__model_destroy(student);
    mtl__judge_destroy(d.judge);
    mtl__arena_release(&d.arena, al);
    mtl__options_destroy(own);
    mtl__dataset_destroy(split[0]);
    mtl__dataset_destroy(split[1]);
    return st;
}
