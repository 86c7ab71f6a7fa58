/* SPDX-License-Identifier: MIT */
#include "train/checkpoint.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "data/csr.h"
#include "io/crc32c.h"
#include "train/fit.h"

/* --- fingerprints of data ---------------------------------------------------------------------- */

static uint32_t print_array(uint32_t crc, const mtl__array *a, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; a && a->p && r < rows; r++)
        crc = mtl__crc32c(crc, mtl__array_row(a, r), cols * (int64_t)sizeof(float));
    return crc;
}

typedef struct inputs_print {
    uint32_t crc;
    int64_t cols;
} inputs_print;

static void print_inputs(void *arg, const mtl__array *x, int64_t first, int64_t rows)
{
    inputs_print *p = arg;
    (void)first;
    p->crc = print_array(p->crc, x, rows, p->cols);
}

static uint32_t print_sparse(uint32_t crc, const mtl_dataset *d)
{
    for (int64_t i = 0; i < d->rows; i++) {
        const mtl__sparse_row r = mtl__dataset_sparse_row(d, i);
        crc = mtl__crc32c(crc, &r.count, sizeof r.count);
        crc = mtl__crc32c(crc, r.column, r.count * (int64_t)sizeof *r.column);
        crc = mtl__crc32c(crc, r.value, r.count * (int64_t)sizeof *r.value);
    }
    return crc;
}

static uint32_t print_task(const mtl_dataset *d, int64_t task)
{
    const mtl__labels *l = &d->labels[task];
    uint32_t crc = mtl__crc32c((uint32_t)d->rows, l->task, (int64_t)strlen(l->task));
    crc = print_array(crc, &l->y, d->rows, l->cols);
    return print_array(crc, mtl__dataset_weight(d, task), d->rows, 1);
}

/* Of everything that training reads, streamed inputs too, and of the windows where these take several,
   since they decide the order of rows; 0 = no data set. */
static mtl_status print_of(const mtl_dataset *d, uint32_t *out, mtl_error *err)
{
    *out = 0;
    if (!d)
        return MTL_OK;
    inputs_print p = {(uint32_t)d->rows, d->inputs};
    mtl_status st = MTL_OK;
    if (mtl__dataset_is_sparse(d))
        p.crc = print_sparse(p.crc, d);
    else
        st = mtl__dataset_scan(d, print_inputs, &p, err);
    const int64_t window = mtl__binding_window(d);
    if (window < d->rows)
        p.crc = mtl__crc32c(p.crc, &window, sizeof window);
    uint32_t sum = 0; /* whatever the order of the tasks */
    for (int64_t t = 0; t < d->tasks && st == MTL_OK; t++)
        sum += print_task(d, t);
    p.crc = mtl__crc32c(p.crc, &sum, sizeof sum);
    *out = p.crc ? p.crc : 1;
    return st;
}

/* --- figures ----------------------------------------------------------------------------------- */

/* What a run goes on from beside vectors. Written byte by byte: a checkpoint is for the version that
   wrote it, which alone gives the same bits. */
typedef struct mark {
    mtl__train_now now;
    int64_t in_epoch, epoch, step, rows_seen, best_epoch;
    double train_loss, valid_loss, step_loss, best_loss;
    int64_t round[MTL__SOURCES], next[MTL__SOURCES];
} mark;

static mark take_mark(const mtl__trainer *t)
{
    mark k;
    memset(&k, 0, sizeof k); /* the gaps too */
    k.now = t->now;
    k.in_epoch = t->in_epoch;
    k.epoch = t->epoch;
    k.step = t->step;
    k.rows_seen = t->rows_seen;
    k.best_epoch = t->best_epoch;
    k.train_loss = t->train_loss;
    k.valid_loss = t->valid_loss;
    k.step_loss = t->step_loss;
    k.best_loss = t->best_loss;
    for (int i = 0; i < t->feed.sources; i++) {
        k.round[i] = t->feed.source[i].round;
        k.next[i] = t->feed.source[i].next;
    }
    return k;
}

/* Every epoch has left one value in every series. */
static bool has_series(const mtl_report *r, int64_t epochs)
{
    bool fine = true;
    for (int64_t i = 0; i < r->count; i++)
        fine = fine && (r->entry[i].type != MTL_TYPE_SERIES || r->entry[i].count == epochs);
    return fine;
}

/* What a run can have left. Counts are far from where they could overflow. */
static bool is_possible(const mark *k, const mtl__trainer *t)
{
    const int64_t count[] = {k->epoch,         k->step,         k->rows_seen,
                             k->best_epoch,    k->now.averaged, k->now.optim.step,
                             k->now.sched.bad, k->round[0],     k->now.sched.cooling,
                             k->round[1],      k->now.caught_up};
    for (int i = 0; i < MTL__COUNT_OF(count); i++)
        if (count[i] < 0 || count[i] > INT64_MAX / 4)
            return false;
    const int64_t behind = k->now.averaged - k->now.caught_up;
    for (int64_t i = 0; t->seen && i < t->m->net.inputs; i++)
        if (!(behind >= 0 && t->seen[i] >= 0 && (double)t->seen[i] <= (double)behind))
            return false;
    return k->epoch + (k->in_epoch != 0) <= t->set.epochs && k->best_epoch <= k->epoch &&
           has_series(t->report, k->epoch);
}

static bool put_mark(mtl__trainer *t, const mark *k)
{
    if (!is_possible(k, t))
        return false;
    t->now = k->now;
    t->in_epoch = k->in_epoch != 0;
    t->epoch = k->epoch;
    t->step = k->step;
    t->rows_seen = t->rows_before = k->rows_seen;
    t->best_epoch = k->best_epoch;
    t->train_loss = k->train_loss;
    t->valid_loss = k->valid_loss;
    t->step_loss = k->step_loss;
    t->best_loss = k->best_loss;
    for (int i = 0; i < t->feed.sources; i++)
        if (!mtl__feed_seek(&t->feed, i, k->round[i], k->next[i]))
            return false;
    /* What ended the run for good ends it again; a deadline or a cancel does not. */
    if (!t->in_epoch && t->set.patience && t->epoch - t->best_epoch >= t->set.patience)
        t->reason = "patience";
    else if (!t->in_epoch && t->epoch == t->set.epochs)
        t->reason = "epochs";
    return true;
}

mtl_status mtl__checkpoint_check(const mtl_model *m, mtl_error *err)
{
    for (int64_t t = 0; t < m->net.tasks; t++)
        if (m->spec->task[t].loss_cb)
            return MTL_FAIL(err, MTL_ERR_STATE,
                            "task \"%.64s\" has a loss of the caller's own, which a checkpoint cannot "
                            "hold",
                            m->spec->task[t].name);
    return MTL_OK;
}

/* --- writing ----------------------------------------------------------------------------------- */

static void write_hex(mtl__bytes *b, const char *key, const void *p, int64_t size)
{
    static const char digit[] = "0123456789abcdef";
    const unsigned char *byte = p;
    mtl__json_write_key(b, key);
    mtl__bytes_text(b, "\"");
    for (int64_t i = 0; i < size; i++) {
        const char pair[2] = {digit[byte[i] >> 4], digit[byte[i] & 15]};
        mtl__bytes_append(b, pair, 2);
    }
    mtl__bytes_text(b, "\"");
}

static void write_options(mtl__bytes *b, const mtl_options *o)
{
    const mtl__option_group *g = &mtl__fit_options;
    mtl__json_write_key(b, "options");
    mtl__bytes_text(b, "{");
    for (int64_t i = 0; i < g->count; i++) {
        const mtl__option *d = &g->options[i];
        mtl__json_write_key(b, d->key);
        if (d->type == MTL_TYPE_STR)
            mtl__json_write_string(b, mtl__option_str(o, g, d->key));
        else
            mtl__json_write_f64(b, d->type == MTL_TYPE_I64 ? (double)mtl__option_i64(o, g, d->key)
                                                           : mtl__option_f64(o, g, d->key));
    }
    mtl__bytes_text(b, "}");
}

static void write_series(mtl__bytes *b, const mtl_report *r)
{
    mtl__json_write_key(b, "series");
    mtl__bytes_text(b, "{");
    for (int64_t i = 0; i < r->count; i++) {
        const mtl__entry *e = &r->entry[i];
        if (e->type != MTL_TYPE_SERIES)
            continue;
        write_hex(b, e->name, e->series, e->count * (int64_t)sizeof *e->series);
    }
    mtl__bytes_text(b, "}");
}

static const char *const weighting_keys[] = {"weighting", "weighting_state"};

static void write_weighting(mtl__bytes *b, mtl__weighting *w)
{
    double *values;
    int64_t count;
    for (int i = 0; mtl__weighting_block(w, i, &values, &count); i++)
        write_hex(b, weighting_keys[i], values, count * (int64_t)sizeof *values);
}

static void write_text(mtl__bytes *b, const mtl__checkpoint *c, mtl__trainer *t)
{
    const mark k = take_mark(t);
    int64_t tasks = t->m->net.tasks * (int64_t)sizeof(double);
    mtl__bytes_text(b, "{");
    write_options(b, c->options);
    mtl__json_write_key(b, "train");
    mtl__json_write_i64(b, c->print[0]);
    mtl__json_write_key(b, "valid");
    mtl__json_write_i64(b, c->print[1]);
    write_hex(b, "mark", &k, sizeof k);
    write_hex(b, "sum", t->sum, tasks);
    write_hex(b, "total", t->total, tasks);
    write_hex(b, "epoch_loss", t->epoch_loss, tasks);
    write_weighting(b, &t->weighting);
    if (t->gates.count)
        write_hex(b, "gates", t->gates.sum, (t->gates.count + 1) * (int64_t)sizeof(double));
    write_series(b, t->report);
    mtl__bytes_text(b, "}");
    mtl__bytes_append(b, "", 1);
}

enum { MOST_VECTORS = 8 };

static void add_vector(const char *name, int64_t length, float *values, mtl__tensor *tensors,
                       int64_t *count)
{
    assert(*count < MOST_VECTORS);
    tensors[(*count)++] = (mtl__tensor){
        .name = name, .rank = 1, .shape = {length}, .data = values};
}

/* The flat vectors beside the parameters: those of the optimizer and the average, then the last good
   and the best parameters. */
static int64_t list_vectors(mtl__trainer *t, mtl__tensor tensors[MOST_VECTORS])
{
    const int64_t params = t->m->net.params;
    int64_t count = 0;
    const char *name;
    float *values;
    while (mtl__trainer_state(t, count, &name, &values))
        add_vector(name, params, values, tensors, &count);
    add_vector("training.last_good", params, t->last_good, tensors, &count);
    if (t->best)
        add_vector("training.best", params, t->best, tensors, &count);
    if (t->seen)
        add_vector("training.seen", t->m->net.inputs, t->seen, tensors, &count);
    return count;
}

mtl_status mtl__checkpoint_write(const mtl__checkpoint *c, mtl__trainer *t, const char *path,
                                 mtl_error *err)
{
    mtl__tensor tensors[MOST_VECTORS];
    mtl__bytes text;
    if (!mtl__trainer_is_finite(t))
        return MTL_FAIL(err, MTL_ERR_DIVERGED, "a parameter is not finite: no checkpoint");
    mtl__bytes_init(&text, &t->m->ctx->al);
    write_text(&text, c, t);
    const mtl__model_extra extra = {
        .tensor = tensors, .tensors = list_vectors(t, tensors), .key = "mtl.training", .text = text.p};
    mtl_status st = text.failed ? MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a checkpoint")
                                : mtl__model_save_with(t->m, &extra, path, err);
    mtl__bytes_free(&text);
    return st;
}

/* --- when -------------------------------------------------------------------------------------- */

void mtl__checkpoint_init(mtl__checkpoint *c, const mtl_options *o, const mtl_dataset *train,
                          const mtl_dataset *valid)
{
    const mtl__option_group *g = &mtl__fit_options;
    *c = (mtl__checkpoint){.path = mtl__option_str(o, g, "checkpoint"),
                           .every_steps = mtl__option_i64(o, g, "checkpoint_steps"),
                           .every_seconds = mtl__option_f64(o, g, "checkpoint_seconds"),
                           .options = o,
                           .train = train,
                           .valid = valid};
}

static bool is_due(const mtl__checkpoint *c, const mtl__trainer *t)
{
    if (c->every_steps > 0 && t->step - c->last_step >= c->every_steps)
        return true;
    if (c->every_seconds > 0 && mtl__seconds() - c->last_time >= c->every_seconds)
        return true;
    return t->reason || (c->every_steps == 0 && c->every_seconds == 0 && !t->in_epoch);
}

static mtl_status write_when_due(void *self, mtl__trainer *t, mtl_error *err)
{
    mtl__checkpoint *c = self;
    /* Parameters that are not finite end the run soon; the last good file stays. */
    if (!is_due(c, t) || !mtl__trainer_is_finite(t))
        return MTL_OK;
    mtl_status st = mtl__checkpoint_write(c, t, c->path, err);
    c->last_step = t->step;
    c->last_time = mtl__seconds();
    return st;
}

mtl_status mtl__checkpoint_prepare(mtl__checkpoint *c, mtl_error *err)
{
    uint32_t print[2];
    if (c->print[0])
        return MTL_OK;
    mtl_status st = print_of(c->train, &print[0], err);
    if (st == MTL_OK)
        st = print_of(c->valid, &print[1], err);
    if (st == MTL_OK)
        memcpy(c->print, print, sizeof print);
    return st;
}

void mtl__checkpoint_hook(mtl__checkpoint *c, mtl__trainer *t)
{
    c->last_step = t->step;
    c->last_time = mtl__seconds();
    mtl__trainer_hook(t, (mtl__hook){.self = c, .at_rest = write_when_due});
}

/* --- reading ----------------------------------------------------------------------------------- */

static bool is_whole(double x)
{
    return fabs(x) < 0x1p62 && x == (double)(int64_t)x;
}

static mtl_status read_options(mtl__resumption *r, mtl_error *err)
{
    mtl__json list, key, value;
    mtl_status st = mtl__json_get(r->root, "options", MTL__JSON_OBJECT, &list, err);
    r->options = st == MTL_OK ? mtl__options_create(&mtl__fit_options) : NULL;
    if (st == MTL_OK && !r->options)
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for options");
    mtl__json_iter it = mtl__json_iterate(list);
    while (st == MTL_OK && mtl__json_next(&it, &key, &value)) {
        double number;
        bool is_text = mtl__json_type_of(value) == MTL__JSON_STRING;
        char *name = mtl__json_strdup(key, r->al);
        char *text = is_text ? mtl__json_strdup(value, r->al) : NULL;
        if (!name || (is_text && !text))
            st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for options");
        else if (text)
            st = mtl__options_set_text(r->options, name, text, err);
        else if (mtl__json_f64(value, &number))
            st = mtl__options_set_number(r->options, name, number, is_whole(number),
                                         err);
        else
            st = MTL_FAIL(err, MTL_ERR_FORMAT, "option \"%.64s\" of the checkpoint is no value", name);
        mtl__strfree(r->al, name);
        mtl__strfree(r->al, text);
    }
    return st;
}

static mtl_status open_file(mtl__resumption *r, const char *path, mtl_error *err)
{
    mtl_status st = mtl__safetensors_open(&r->file, r->data, r->bytes, true, r->al, err);
    if (st != MTL_OK)
        return st;
    mtl__json text = mtl__safetensors_text(&r->file, "mtl.training");
    if (mtl__json_type_of(text) != MTL__JSON_STRING)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "%s: a model, but no checkpoint of a run",
                        mtl__path_tail(path));
    if (!mtl__json_is(mtl__safetensors_text(&r->file, "mtl.version"), MTL_VERSION_STRING))
        return MTL_FAIL(err, MTL_ERR_VERSION,
                        "%s: written by another version of the library, which this one does not "
                        "go on from; as a model it can be loaded",
                        mtl__path_tail(path));
    r->text = mtl__json_strdup(text, r->al);
    if (!r->text)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a checkpoint");
    return mtl__json_check(r->text, (int64_t)strlen(r->text), r->al, &r->root, err);
}

mtl_status mtl__checkpoint_read(mtl_context *ctx, const char *path, mtl__resumption *out,
                                mtl_error *err)
{
    mtl__resumption r = {0};
    mtl_status st = mtl__model_load(ctx, path, &r.model, err);
    if (st != MTL_OK)
        return st;
    r.al = &r.model->ctx->al;
    MTL_TRY(st, mtl__file_read(path, INT64_MAX / 4, r.al, &r.data, &r.bytes, err), fail);
    MTL_TRY(st, open_file(&r, path, err), fail);
    MTL_TRY(st, read_options(&r, err), fail);
    *out = r;
    return MTL_OK;
fail:
    mtl__resumption_free(&r);
    return st;
}

void mtl__resumption_free(mtl__resumption *r)
{
    if (!r->al)
        return;
    mtl__strfree(r->al, r->text);
    if (r->file.al)
        mtl__safetensors_close(&r->file);
    mtl__free(r->al, r->data, r->bytes);
    mtl__options_destroy(r->options);
    mtl__model_destroy(r->model); /* whose allocator was in use until here */
    *r = (mtl__resumption){0};
}

static mtl_status same_print(const mtl__resumption *r, const char *key, const mtl_dataset *d,
                             mtl_error *err)
{
    int64_t print;
    uint32_t here;
    mtl_status st = mtl__json_get_i64(r->root, key, 0, UINT32_MAX, &print, err);
    if (st == MTL_OK)
        st = print_of(d, &here, err);
    if (st != MTL_OK || print == here)
        return st;
    return MTL_FAIL(err, MTL_ERR_DATA, "%s: not the data set that the checkpoint was made with%s",
                    key, print == 0 ? ": there was none" : d ? "" : ": there was one");
}

mtl_status mtl__resumption_check(const mtl__resumption *r, const mtl_dataset *train,
                                 const mtl_dataset *valid, mtl_error *err)
{
    mtl_status st = same_print(r, "train", train, err);
    return st == MTL_OK ? same_print(r, "valid", valid, err) : st;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly `size` bytes, or as many as there are, up to `size`, if *got is wanted. */
static mtl_status read_hex(mtl__json object, const char *key, void *out, int64_t size, int64_t *got,
                           mtl_error *err)
{
    const char *s = NULL;
    int64_t n = 0;
    bool fine = mtl__json_plain(mtl__json_member(object, key), &s, &n) && n % 2 == 0 &&
                (got ? n / 2 <= size : n / 2 == size);
    for (int64_t i = 0; fine && i < n / 2; i++) {
        int high = nibble(s[2 * i]), low = nibble(s[2 * i + 1]);
        fine = high >= 0 && low >= 0;
        ((unsigned char *)out)[i] = (unsigned char)(16 * high + low);
    }
    if (!fine)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "the checkpoint's \"%.64s\" cannot be", key);
    if (got)
        *got = n / 2;
    return MTL_OK;
}

static mtl_status restore_series(const mtl__resumption *r, mtl_report *report, mtl_error *err)
{
    mtl__json list;
    mtl_status st = mtl__json_get(r->root, "series", MTL__JSON_OBJECT, &list, err);
    for (int64_t i = 0; i < report->count && st == MTL_OK; i++) {
        mtl__entry *e = &report->entry[i];
        int64_t bytes;
        if (e->type != MTL_TYPE_SERIES)
            continue;
        st = read_hex(list, e->name, e->series, e->capacity * (int64_t)sizeof *e->series, &bytes,
                      err);
        if (st == MTL_OK)
            e->count = bytes / (int64_t)sizeof *e->series;
    }
    return st;
}

static mtl_status restore_weighting(const mtl__resumption *r, mtl__weighting *w, mtl_error *err)
{
    double *values;
    int64_t count;
    mtl_status st = MTL_OK;
    for (int i = 0; mtl__weighting_block(w, i, &values, &count) && st == MTL_OK; i++)
        st = read_hex(r->root, weighting_keys[i], values, count * (int64_t)sizeof *values, NULL, err);
    if (st == MTL_OK && !mtl__weighting_resume(w))
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "the checkpoint's weighting cannot be");
    return st;
}

mtl_status mtl__resumption_restore(const mtl__resumption *r, mtl__trainer *t, mtl_error *err)
{
    mtl__tensor tensors[MOST_VECTORS];
    int64_t vectors = list_vectors(t, tensors), bytes = t->m->net.tasks * (int64_t)sizeof(double);
    mark k;
    mtl_status st;
    MTL_TRY(st, mtl__safetensors_read(&r->file, tensors, vectors, err), done);
    MTL_TRY(st, read_hex(r->root, "mark", &k, sizeof k, NULL, err), done);
    MTL_TRY(st, read_hex(r->root, "sum", t->sum, bytes, NULL, err), done);
    MTL_TRY(st, read_hex(r->root, "total", t->total, bytes, NULL, err), done);
    MTL_TRY(st, read_hex(r->root, "epoch_loss", t->epoch_loss, bytes, NULL, err), done);
    MTL_TRY(st, restore_weighting(r, &t->weighting, err), done);
    if (t->gates.count)
        MTL_TRY(st,
                read_hex(r->root, "gates", t->gates.sum,
                         (t->gates.count + 1) * (int64_t)sizeof(double), NULL, err),
                done);
    MTL_TRY(st, restore_series(r, t->report, err), done);
    if (!put_mark(t, &k))
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "the checkpoint's position in the data cannot be");
done:
    return st;
}
