/* SPDX-License-Identifier: MIT */
/* Golden arrays: .npy files (NumPy format 1.0, C order) of f4 or f8, read without the library. */
#ifndef MTL_GOLDEN_H
#define MTL_GOLDEN_H

#include "testing.h"

typedef struct golden {
    int64_t count;
    float *f;  /* as float */
    double *d; /* as double */
} golden;

static inline golden golden_read(const char *file)
{
    char path[512], head[10], text[512] = {0};
    FILE *in = fopen(data_path(file, path, sizeof path), "rb");
    ck_assert_msg(in != NULL, "cannot open %s", path);
    ck_assert_uint_eq(fread(head, 1, sizeof head, in), sizeof head);
    ck_assert_msg(memcmp(head, "\x93NUMPY\x01\x00", 8) == 0, "%s is no .npy file", path);
    size_t length = (unsigned char)head[8] + 256u * (unsigned char)head[9];
    ck_assert_uint_lt(length, sizeof text);
    ck_assert_uint_eq(fread(text, 1, length, in), length);
    bool is_f8 = strstr(text, "'<f8'") != NULL;
    ck_assert_msg(is_f8 || strstr(text, "'<f4'"), "%s: %s", path, text);
    ck_assert_ptr_nonnull(strstr(text, "'fortran_order': False"));

    golden g = {1, NULL, NULL};
    for (char *p = strchr(text, '(') + 1; *p && *p != ')'; p += strspn(p, ", "))
        g.count *= strtoll(p, &p, 10);
    g.f = calloc((size_t)g.count, sizeof *g.f);
    g.d = calloc((size_t)g.count, sizeof *g.d);
    void *raw = is_f8 ? (void *)g.d : (void *)g.f;
    ck_assert_uint_eq(fread(raw, is_f8 ? 8 : 4, (size_t)g.count, in), (size_t)g.count);
    ck_assert_int_eq(fgetc(in), EOF);
    fclose(in);
    for (int64_t i = 0; i < g.count; i++)
        if (is_f8)
            g.f[i] = (float)g.d[i];
        else
            g.d[i] = (double)g.f[i];
    return g;
}

static inline void golden_free(golden *g)
{
    free(g->f), free(g->d);
}

/* max |a - b| / max |b| over n values: the distance in the norm that all golden bounds are stated in.
   NaN must meet NaN. */
static inline double golden_distance(int64_t n, const float *a, const double *b)
{
    double difference = 0, size = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(a[i]) != isnan(b[i]))
            return INFINITY;
        if (isnan(b[i]))
            continue;
        difference = fmax(difference, fabs((double)a[i] - b[i]));
        size = fmax(size, fabs(b[i]));
    }
    return difference / size;
}

#endif
