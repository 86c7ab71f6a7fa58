/* SPDX-License-Identifier: MIT */
/* A model as a safetensors file: tensors under their public names and those of the pipeline, the
   network's description (spec_file.c) as JSON texts in the metadata. docs/formats.md describes it. */
#include "model/model_file_priv.h"

#include <stdio.h>
#include <string.h>

#include "io/safetensors.h"

/* Raised when an older reader could no longer make sense of a file: models of members have the
   second one, since what they consist of looks like no network to the first. */
#define FORMAT "1"
#define FORMAT_MEMBERS "2"

/* --- the texts of members ---------------------------------------------------------------------- */

enum { TEXTS = 5 };

/* Keys and texts of the metadata, in turns in `made`. */
typedef struct text_list {
    const mtl__allocator *al;
    mtl__text_pair *pair; /* [capacity] */
    mtl__bytes *made;     /* [2 * capacity] */
    int64_t count, capacity;
    bool failed;
} text_list;

static void free_texts(text_list *l)
{
    for (int64_t i = 0; l->made && i < 2 * l->capacity; i++)
        mtl__bytes_free(&l->made[i]);
    mtl__free(l->al, l->made, 2 * l->capacity * (int64_t)sizeof *l->made);
    mtl__free(l->al, l->pair, l->capacity * (int64_t)sizeof *l->pair);
}

/* A text under prefix + key, to be written to what is returned. */
static mtl__bytes *new_text(text_list *l, const char *prefix, const char *key)
{
    mtl__bytes *name = &l->made[2 * l->count++];
    mtl__bytes_text(name, prefix);
    mtl__bytes_append(name, key, (int64_t)strlen(key) + 1);
    return name + 1;
}

static void write_model(text_list *l, const mtl_model *m, const char *prefix)
{
    mtl__spec_write(new_text(l, prefix, "spec"), m->spec, m->members);
    mtl__pipeline_write(new_text(l, prefix, "pipeline"), m);
}

static void add_text(text_list *l, const char *key, const char *text)
{
    mtl__bytes_append(new_text(l, "", key), text, (int64_t)strlen(text) + 1);
}

static void finish_texts(text_list *l)
{
    for (int64_t i = 0; i < l->count; i++) {
        l->failed = l->failed || l->made[2 * i].failed || l->made[2 * i + 1].failed;
        l->pair[i] = (mtl__text_pair){l->made[2 * i].p, l->made[2 * i + 1].p};
    }
}

/* --- saving ------------------------------------------------------------------------------------ */

/* Free the list whatever came of it. */
static void list_texts(const mtl_model *m, const mtl__model_extra *extra, text_list *l)
{
    const int64_t members = m->members ? m->members->count : 0;
    *l = (text_list){.al = &m->ctx->al, .capacity = TEXTS + 2 * members};
    l->pair = mtl__alloc_zero(l->al, l->capacity * (int64_t)sizeof *l->pair);
    l->made = mtl__alloc_zero(l->al, 2 * l->capacity * (int64_t)sizeof *l->made);
    l->failed = !l->pair || !l->made;
    if (l->failed)
        return;
    for (int64_t i = 0; i < 2 * l->capacity; i++)
        mtl__bytes_init(&l->made[i], l->al);
    add_text(l, "mtl.format", members ? FORMAT_MEMBERS : FORMAT);
    add_text(l, "mtl.version", MTL_VERSION_STRING);
    write_model(l, m, "mtl.");
    for (int64_t k = 0; k < members; k++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "mtl.member.%lld.", (long long)k);
        write_model(l, m->members->model[k], prefix);
    }
    if (extra)
        add_text(l, extra->key, extra->text);
    finish_texts(l);
}

/* To path, or to *buffer when path is NULL. */
static mtl_status save(const mtl_model *m, const mtl__model_extra *extra, const char *path,
                       void **buffer, int64_t *bytes, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    mtl__tensor_list tensors;
    text_list texts;
    list_texts(m, extra, &texts);
    mtl_status st = mtl__tensors_list(m, extra ? extra->tensors : 0, &tensors, err);
    for (int64_t i = 0; st == MTL_OK && extra && i < extra->tensors; i++)
        tensors.tensor[tensors.count++] = extra->tensor[i];
    if (st == MTL_OK && texts.failed)
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the model's description");
    if (st == MTL_OK) {
        const mtl__safetensors_out what = {tensors.tensor, tensors.count, texts.pair, texts.count};
        st = path ? mtl__safetensors_write(&what, path, al, err)
                  : mtl__safetensors_write_buffer(&what, al, buffer, bytes, err);
    }
    mtl__tensors_free(&tensors);
    free_texts(&texts);
    return st;
}

mtl_status mtl__model_save(const mtl_model *m, const char *path, mtl_error *err)
{
    return save(m, NULL, path, NULL, NULL, err);
}

mtl_status mtl__model_save_buffer(const mtl_model *m, void **buffer, int64_t *bytes, mtl_error *err)
{
    return save(m, NULL, NULL, buffer, bytes, err);
}

mtl_status mtl__model_save_with(const mtl_model *m, const mtl__model_extra *extra, const char *path,
                                mtl_error *err)
{
    return save(m, extra, path, NULL, NULL, err);
}

/* --- loading ----------------------------------------------------------------------------------- */

/* A metadata text that is JSON itself: unescaped to *copy (for mtl__strfree) and checked. */
static mtl_status open_text(const mtl__safetensors *in, const char *key, char **copy,
                            mtl__json *root, mtl_error *err)
{
    mtl__json text = mtl__safetensors_text(in, key);
    if (mtl__json_type_of(text) != MTL__JSON_STRING)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "the file has no \"%s\": it is no libmtl model", key);
    *copy = mtl__json_strdup(text, in->al);
    if (!*copy)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for \"%s\"", key);
    return mtl__json_check(*copy, (int64_t)strlen(*copy), in->al, root, err);
}

/* Before the memory for it is taken: can a file of this size hold what the spec promises? */
static mtl_status check_size(const mtl_spec *s, int64_t file_bytes, int64_t *floats, mtl_error *err)
{
    mtl__network net;
    mtl_status st = mtl__network_build(s, &net, err);
    if (st != MTL_OK)
        return st;
    int64_t padding = 4 * MTL__ALIGN_FLOATS * net.layers; /* no layer has more than 4 tensors */
    *floats += net.params - padding; /* of all members; each sum is checked before the next */
    if (*floats > file_bytes / (int64_t)sizeof(float))
        st = MTL_FAIL(err, MTL_ERR_FORMAT,
                      "the network has %lld parameters, which a file of %lld bytes cannot hold",
                      (long long)*floats, (long long)file_bytes);
    mtl__network_free(&net);
    return st;
}

static mtl_status check_format(const mtl__safetensors *in, bool *has_members, mtl_error *err)
{
    mtl__json format = mtl__safetensors_text(in, "mtl.format");
    if (mtl__json_type_of(format) != MTL__JSON_STRING)
        return MTL_FAIL(err, MTL_ERR_FORMAT,
                        "the file has no \"mtl.format\": it is no libmtl model");
    *has_members = mtl__json_is(format, FORMAT_MEMBERS);
    if (!*has_members && !mtl__json_is(format, FORMAT))
        return MTL_FAIL(err, MTL_ERR_VERSION, "the file's format is newer than %s", FORMAT_MEMBERS);
    return MTL_OK;
}

/* What the checks of spec and model refuse as an argument is a malformed file here. */
static mtl_status as_format_error(mtl_status st, mtl_error *err)
{
    if (st > MTL_ERR_INVALID || st <= MTL_ERR_BUSY)
        return st;
    if (err && err->code == st)
        err->code = MTL_ERR_FORMAT;
    return MTL_ERR_FORMAT;
}

/* A reader's place: the file, and what it has promised so far. */
typedef struct reading {
    mtl_context *ctx; /* in use, not NULL */
    mtl__safetensors in;
    int64_t bytes, floats;
    bool has_members;
} reading;

static mtl_status with_text(reading *r, const char *prefix, const char *key, char **copy,
                            mtl__json *root, mtl_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix, key);
    return open_text(&r->in, name, copy, root, err);
}

static mtl_status read_state_text(reading *r, const char *prefix, mtl_model *m, mtl_error *err)
{
    char *text = NULL;
    mtl__json root;
    mtl_status st = with_text(r, prefix, "pipeline", &text, &root, err);
    if (st == MTL_OK)
        st = mtl__pipeline_read(m, root, err);
    mtl__strfree(&r->ctx->al, text);
    return st;
}

static mtl_status read_member(reading *r, int64_t k, mtl_model **out, mtl_error *err)
{
    char prefix[48], *text = NULL;
    mtl__json root;
    mtl_spec *spec = NULL;
    mtl_status st;
    snprintf(prefix, sizeof prefix, "mtl.member.%lld.", (long long)k);
    MTL_TRY(st, with_text(r, prefix, "spec", &text, &root, err), done);
    if (mtl__json_type_of(mtl__json_member(root, "members")) != MTL__JSON_NONE) {
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "member %lld has members itself", (long long)k);
        goto done;
    }
    MTL_TRY(st, mtl__spec_read(r->ctx, root, &spec, err), done);
    MTL_TRY(st, check_size(spec, r->bytes, &r->floats, err), done);
    MTL_TRY(st, mtl__model_create_blank(spec, out, err), done);
    st = read_state_text(r, prefix, *out, err);
done:
    mtl__spec_destroy(spec);
    mtl__strfree(&r->ctx->al, text);
    return st;
}

/* Its weights stand in the file, so a table of them is not much larger than that. */
static bool is_table(mtl__json list, int64_t cols)
{
    mtl__json row;
    bool fine = mtl__json_count(list) > 0;
    mtl__json_iter it = mtl__json_iterate(list);
    while (fine && mtl__json_next(&it, NULL, &row))
        fine = mtl__json_type_of(row) == MTL__JSON_ARRAY && mtl__json_count(row) == cols;
    return fine;
}

static bool read_weights(mtl__json list, mtl__members *s)
{
    mtl__json row, item;
    double *w = s->weight;
    mtl__json_iter rows = mtl__json_iterate(list);
    while (mtl__json_next(&rows, NULL, &row)) {
        mtl__json_iter cells = mtl__json_iterate(row);
        while (mtl__json_next(&cells, NULL, &item))
            if (!mtl__json_f64(item, w++))
                return false;
    }
    return true;
}

static mtl_status read_members(reading *r, mtl_spec *spec, mtl__json root, mtl_model **out,
                               mtl_error *err)
{
    mtl__json list;
    bool has_layers = spec->trunk.count > 0 || spec->linear_skip || spec->zero_heads || spec->missing_indicators ||
                      spec->members > 1;
    for (int64_t t = 0; t < spec->tasks; t++)
        has_layers = has_layers || spec->task[t].tower.count > 0;
    mtl_status st = mtl__json_get(root, "members", MTL__JSON_ARRAY, &list, err);
    if (st == MTL_OK && (has_layers || !is_table(list, spec->tasks)))
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "the file's members cannot be");
    if (st != MTL_OK)
        return st;
    mtl__members *s = mtl__members_alloc(&r->ctx->al, mtl__json_count(list), spec->tasks);
    if (!s)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for members");
    if (!read_weights(list, s))
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "a member's weight is no number");
    for (int64_t k = 0; k < s->count && st == MTL_OK; k++)
        st = read_member(r, k, &s->model[k], err);
    if (st != MTL_OK) {
        mtl__members_free(s, &r->ctx->al);
        return st;
    }
    spec->of_members = true;
    return mtl__members_model(spec, s, out, err);
}

static mtl_status read_model(reading *r, mtl_model **out, mtl_error *err)
{
    char *text = NULL;
    mtl__json root;
    mtl_spec *spec = NULL;
    mtl_status st;
    MTL_TRY(st, check_format(&r->in, &r->has_members, err), done);
    MTL_TRY(st, open_text(&r->in, "mtl.spec", &text, &root, err), done);
    MTL_TRY(st, mtl__spec_read(r->ctx, root, &spec, err), done);
    if (r->has_members) {
        MTL_TRY(st, read_members(r, spec, root, out, err), done);
    } else {
        MTL_TRY(st, check_size(spec, r->bytes, &r->floats, err), done);
        MTL_TRY(st, mtl__model_create_blank(spec, out, err), done);
    }
    MTL_TRY(st, read_state_text(r, "mtl.", *out, err), done);
    st = mtl__tensors_read(*out, &r->in, err);
done:
    mtl__spec_destroy(spec);
    mtl__strfree(&r->ctx->al, text);
    return st;
}

static mtl_status load(mtl_context *ctx, const void *buffer, int64_t bytes, mtl_model **out,
                       mtl_error *err)
{
    reading r = {.ctx = ctx, .bytes = bytes};
    mtl_model *m = NULL;
    mtl_status st = mtl__safetensors_open(&r.in, buffer, bytes, true, &ctx->al, err);
    if (st != MTL_OK)
        return st;
    st = read_model(&r, &m, err);
    if (st == MTL_OK)
        *out = m;
    else
        mtl__model_destroy(m);
    mtl__safetensors_close(&r.in);
    return as_format_error(st, err);
}

mtl_status mtl__model_load_buffer(mtl_context *ctx, const void *buffer, int64_t bytes,
                                  mtl_model **out, mtl_error *err)
{
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    st = load(ctx, buffer, bytes, out, err);
    mtl__context_unref(ctx);
    return st;
}

mtl_status mtl__model_load(mtl_context *ctx, const char *path, mtl_model **out, mtl_error *err)
{
    void *data = NULL;
    int64_t bytes = 0;
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    st = mtl__file_read(path, INT64_MAX / 4, &ctx->al, &data, &bytes, err);
    if (st == MTL_OK)
        st = load(ctx, data, bytes, out, err);
    mtl__free(&ctx->al, data, bytes);
    mtl__context_unref(ctx);
    return st;
}
