/* SPDX-License-Identifier: MIT */
#include "data/request.h"

#include <string.h>

#include "data/array_priv.h"
#include "io/npy.h"

enum { WINDOW_BYTES = 32 << 20, SCAN_BYTES = 1 << 20 };

/* ---- Streams ---- */

void mtl__stream_ref(mtl__stream *s)
{
    if (s)
        atomic_fetch_add(&s->refs, 1);
}

void mtl__stream_unref(mtl__stream *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    mtl__allocator al = s->al;
    if (s->end)
        s->end(s);
    else
        mtl__free(&al, s, sizeof *s);
}

static int64_t rows_of_bytes(int64_t cols, int64_t bytes)
{
    return mtl__max(1, bytes / (cols * (int64_t)sizeof(float)));
}

mtl_status mtl__dataset_make_stream(mtl_context *ctx, int64_t rows, mtl__stream *s,
                                    mtl_dataset **out, mtl_error *err)
{
    if (s->window == 0)
        s->window = rows_of_bytes(s->cols, WINDOW_BYTES);
    mtl_status st =
        mtl__dataset_make(ctx, rows, s->cols, &(mtl__array){.stride = s->cols}, out, err);
    if (st == MTL_OK)
        (*out)->stream = s;
    return st;
}

mtl_status mtl__dataset_create_stream(mtl_context *ctx, int64_t rows, int64_t cols, int64_t window,
                                      mtl_rows_cb read, void *user, mtl_dataset **out,
                                      mtl_error *err)
{
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    mtl__stream *s = mtl__alloc(&ctx->al, sizeof *s);
    if (!s) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a data set");
    } else {
        *s = (mtl__stream){
            .al = ctx->al, .cols = cols, .window = window, .read = read, .user = user};
        atomic_init(&s->refs, 1);
        st = mtl__dataset_make_stream(ctx, rows, s, out, err);
        if (st != MTL_OK)
            mtl__stream_unref(s);
    }
    mtl__context_unref(ctx);
    return st;
}

/* ---- Reading ---- */

mtl_status mtl__dataset_in_memory(const mtl_dataset *d, const char *what, mtl_error *err)
{
    if (d->stream)
        return MTL_FAIL(err, MTL_ERR_STATE, "%s: the inputs of the data set are not in memory",
                        what);
    return MTL_OK;
}

int64_t mtl__dataset_window(const mtl_dataset *d)
{
    return d->stream ? mtl__min(d->stream->window, d->rows) : 0;
}

mtl_status mtl__dataset_read(const mtl_dataset *d, int64_t first, int64_t rows, float *to,
                             mtl_error *err)
{
    const mtl__stream *s = d->stream;
    first += d->stream_first;
    if (rows == 0 || s->read(first, rows, to, s->user) == MTL_CONTINUE)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_IO, "inputs: rows %lld .. %lld could not be read",
                    (long long)first, (long long)(first + rows - 1));
}

mtl_status mtl__dataset_scan(const mtl_dataset *d, mtl__scan_fn *fn, void *arg, mtl_error *err)
{
    mtl__array block;
    mtl_status st = MTL_OK;
    assert(!d->csr.start);
    if (!d->stream) {
        fn(arg, &d->x, 0, d->rows);
        return MTL_OK;
    }
    const int64_t most = mtl__min(d->rows, rows_of_bytes(d->inputs, SCAN_BYTES));
    if (!mtl__array_alloc(&d->ctx->al, most, d->inputs, &block))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory to read %lld rows", (long long)most);
    for (int64_t first = 0; first < d->rows && st == MTL_OK; first += most) {
        int64_t rows = mtl__min(most, d->rows - first);
        st = mtl__dataset_read(d, first, rows, mtl__array_own(&block), err);
        if (st == MTL_OK)
            fn(arg, &block, first, rows);
    }
    mtl__array_release(&block);
    return st;
}

/* ---- npy ---- */

typedef struct npy_stream {
    mtl__stream s; /* first: the one is the other */
    mtl__npy npy;  /* without data */
    int64_t start; /* of the data in the file */
    int fd;
} npy_stream;

static void npy_end(mtl__stream *s)
{
    npy_stream *n = (npy_stream *)s;
    mtl__allocator al = s->al;
    mtl__fd_close(n->fd);
    mtl__free(&al, n, sizeof *n);
}

/* Elements follow each other in the file whatever the rows. */
static int32_t npy_rows(int64_t first, int64_t rows, float *x, void *user)
{
    enum { PIECE = 1024, WIDEST = 8 };
    char bytes[PIECE * WIDEST];
    const npy_stream *n = user;
    const int64_t size = mtl__npy_element_bytes(&n->npy), end = (first + rows) * n->s.cols;
    for (int64_t i = first * n->s.cols, count; i < end; i += count, x += count) {
        count = mtl__min(PIECE, end - i);
        if (mtl__fd_read_at(n->fd, bytes, count * size, n->start + i * size) != 0)
            return 0;
        mtl__npy piece = n->npy;
        piece.rows = 1;
        piece.cols = count;
        piece.data = bytes;
        mtl__npy_read(&piece, x, count);
    }
    return MTL_CONTINUE;
}

/* The header lies in the file's first bytes; of the rest only the size is looked at. */
static mtl_status open_npy(npy_stream *n, const char *path, mtl_error *err)
{
    char head[MTL__NPY_HEAD];
    int64_t size = 0;
    mtl_error why = {0};
    mtl_status st = mtl__fd_size(n->fd, path, &size, err);
    if (st != MTL_OK)
        return st;
    int failed = mtl__fd_read_at(n->fd, head, mtl__min(size, MTL__NPY_HEAD), 0);
    if (failed)
        return mtl__io_fail(err, path, "read", failed);
    st = mtl__npy_open(&n->npy, head, size, &why);
    if (st != MTL_OK)
        return MTL_FAIL(err, st, "%s: %s", mtl__path_tail(path), why.message);
    if (n->npy.fortran_order)
        return MTL_FAIL(err, MTL_ERR_FORMAT,
                        "%s: the array is in Fortran order; rows cannot be read one by one",
                        mtl__path_tail(path));
    n->start = n->npy.data - head;
    n->s.cols = n->npy.cols;
    return MTL_OK;
}

mtl_status mtl__dataset_open_npy(mtl_context *ctx, const char *path, int64_t window,
                                 mtl_dataset **out, mtl_error *err)
{
    npy_stream *n = NULL;
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    int fd = mtl__fd_open(path);
    if (fd < 0)
        st = mtl__io_fail(err, path, "open", -fd);
    else if (!(n = mtl__alloc(&ctx->al, sizeof *n)))
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a data set");
    if (!n) {
        mtl__fd_close(fd);
    } else {
        *n = (npy_stream){
            .s = {.al = ctx->al, .window = window, .read = npy_rows, .user = n, .end = npy_end},
            .fd = fd};
        atomic_init(&n->s.refs, 1);
        st = open_npy(n, path, err);
        if (st == MTL_OK)
            st = mtl__dataset_make_stream(ctx, n->npy.rows, &n->s, out, err);
        if (st != MTL_OK)
            mtl__stream_unref(&n->s);
    }
    mtl__context_unref(ctx);
    return st;
}
