/* SPDX-License-Identifier: MIT */
/* lib/transfer: exact heads on figures alone. */
#include "testing.h"

#include "../golden/heads.h"
#include "transfer/head.h"

enum { MOST = 64 };

static mtl__head_data data_of(const struct golden_head *g)
{
    return (mtl__head_data){.rows = g->rows, .cols = g->cols, .ld = g->cols, .outputs = g->outputs,
                            .kind = g->kind, .block = g->cols, .learnt = g->cols, .phi = g->phi,
                            .y = g->y, .w = g->w};
}

START_TEST(as_scipy_has_them)
{
    for (size_t i = 0; i < sizeof golden_heads / sizeof *golden_heads; i++) {
        const struct golden_head *g = &golden_heads[i];
        const mtl__head_data d = data_of(g);
        double out[MOST];
        assert_ok(mtl__head_path(&d, &mtl__allocator_default, g->penalty, 1, 1e-10, out, NULL));
        for (int64_t j = 0; j < g->outputs * (g->cols + 1); j++)
            ck_assert_msg(fabs(out[j] - g->b[j]) < 1e-6 * (1 + fabs(g->b[j])),
                          "head %zu, number %d: %.9g, not %.9g", i, (int)j, out[j], g->b[j]);
    }
}
END_TEST

START_TEST(a_path_is_its_points)
{
    const mtl__head_data d = data_of(&golden_heads[10]);
    double path[MTL__HEAD_PENALTIES * MOST], one[MOST];
    const int64_t size = d.outputs * (d.cols + 1);
    assert_ok(mtl__head_path(&d, &mtl__allocator_default, 0, MTL__HEAD_PENALTIES, 1e-9, path, NULL));
    for (int64_t i = 0; i < MTL__HEAD_PENALTIES - 2; i++) { /* the last ones end at the step limit */
        assert_ok(mtl__head_path(&d, &mtl__allocator_default, i, 1, 1e-9, one, NULL));
        for (int64_t j = 0; j < size; j++)
            ck_assert_double_eq_tol(path[i * size + j], one[j], 1e-5 * (1 + fabs(one[j])));
    }
}
END_TEST

/* Separable classes, one class alone, constant and equal columns, one row. */
START_TEST(stays_finite)
{
    const float phi[] = {1, 1, 5, 2, 2, 5, -1, -1, 5, -2, -2, 5};
    const float split[] = {1, 1, 0, 0}, same[] = {1, 1, 1, 1};
    for (int rows = 1; rows <= 4; rows++)
        for (int k = 0; k < 2; k++) {
            const mtl__head_data d = {.rows = rows, .cols = 3, .ld = 3, .outputs = 1,
                                      .kind = MTL_BINARY, .block = 3, .learnt = 3, .phi = phi,
                                      .y = k ? same : split};
            double out[MTL__HEAD_PENALTIES * 4];
            assert_ok(mtl__head_path(&d, &mtl__allocator_default, 0, MTL__HEAD_PENALTIES, 1e-6, out,
                                     NULL));
            for (int j = 0; j < MTL__HEAD_PENALTIES * 4; j++)
                ck_assert(isfinite(out[j]) && fabs(out[j]) < 100);
            ck_assert_double_eq(out[2], 0); /* the constant column */
        }
}
END_TEST

/* Features that say nothing: what is left is the rate, few rows or a single class as they may be. */
START_TEST(nothing_but_the_rate)
{
    static const float phi[8] = {2, 2, 2, 2, 2, 2, 2, 2};
    static const float y[4][12] = {{1, 0, 0, 0}, {1, 1, 1, 1}, {1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0},
                                   {0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0}};
    for (int i = 0; i < 4; i++) {
        const int outputs = i < 2 ? 1 : 3;
        const mtl__head_data d = {.rows = 4, .cols = 2, .ld = 2, .outputs = outputs,
                                  .kind = i < 2 ? MTL_BINARY : MTL_MULTICLASS, .block = 2,
                                  .learnt = 2, .phi = phi, .y = y[i]};
        double out[9], z[3], rate[3];
        assert_ok(mtl__head_path(&d, &mtl__allocator_default, 2, 1, 1e-12, out, NULL));
        assert_ok(mtl__head_constant(&d, NULL, &mtl__allocator_default, rate, NULL));
        for (int j = 0; j < outputs; j++)
            z[j] = out[3 * j + 2];
        mtl__head_link(d.kind, outputs, z);
        mtl__head_link(d.kind, outputs, rate);
        for (int j = 0; j < outputs; j++)
            ck_assert_double_eq_tol(z[j], rate[j], 1e-9);
    }
}
END_TEST

/* A missing element of a row is no row less for the others. */
START_TEST(missing_elements)
{
    float phi[20], y[20], half[10];
    uint64_t state = 3;
    for (int i = 0; i < 20; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        phi[i] = (float)(state >> 40) / 16777216.0f - 0.5f;
    }
    for (int i = 0; i < 10; i++) {
        y[2 * i] = half[i] = phi[2 * i] - 2 * phi[2 * i + 1] + 0.1f * (float)(i % 3);
        y[2 * i + 1] = i < 5 ? NAN : phi[2 * i];
    }
    mtl__head_data d = {.rows = 10, .cols = 2, .ld = 2, .outputs = 2, .kind = MTL_REGRESSION,
                        .block = 2, .learnt = 2, .phi = phi, .y = y};
    double both[6], alone[3];
    assert_ok(mtl__head_path(&d, &mtl__allocator_default, 6, 1, 1e-12, both, NULL));
    d.outputs = 1;
    d.y = half;
    assert_ok(mtl__head_path(&d, &mtl__allocator_default, 6, 1, 1e-12, alone, NULL));
    for (int j = 0; j < 3; j++)
        ck_assert_double_eq_tol(both[j], alone[j], 1e-7);
    ck_assert_double_eq_tol(both[3], 1, 0.05); /* the other output found its slope */
}
END_TEST

START_TEST(constants)
{
    const float value[] = {1, 4, NAN, 7}, bits[] = {1, 0, NAN, 1};
    const float classes[] = {1, 0, 0, 0, 1, 0, NAN, NAN, NAN, 1, 0, 0};
    double out[3];
    mtl__head_data d = {.rows = 4, .outputs = 1, .kind = MTL_REGRESSION, .y = value};
    assert_ok(mtl__head_constant(&d, NULL, &mtl__allocator_default, out, NULL));
    ck_assert_double_eq_tol(out[0], 4, 1e-12);
    d.kind = MTL_COUNT;
    assert_ok(mtl__head_constant(&d, NULL, &mtl__allocator_default, out, NULL));
    mtl__head_link(MTL_COUNT, 1, out);
    ck_assert_double_eq_tol(out[0], 12.5 / 3.5, 1e-12);
    d.kind = MTL_BINARY;
    d.y = bits;
    assert_ok(mtl__head_constant(&d, NULL, &mtl__allocator_default, out, NULL));
    mtl__head_link(MTL_BINARY, 1, out);
    ck_assert_double_eq_tol(out[0], 2.5 / 4, 1e-12);
    d = (mtl__head_data){.rows = 4, .outputs = 3, .kind = MTL_MULTICLASS, .y = classes};
    assert_ok(mtl__head_constant(&d, NULL, &mtl__allocator_default, out, NULL));
    mtl__head_link(MTL_MULTICLASS, 3, out);
    ck_assert_double_eq_tol(out[0], 2.5 / 4.5, 1e-12);
    ck_assert_double_eq_tol(out[2], 0.5 / 4.5, 1e-12);
    const float spread[] = {1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5};
    d = (mtl__head_data){.rows = 5, .outputs = 3, .kind = MTL_QUANTILE, .y = spread};
    assert_ok(mtl__head_constant(&d, NULL, &mtl__allocator_default, out, NULL));
    mtl__head_link(MTL_QUANTILE, 3, out);
    for (int j = 0; j < 3; j++)
        ck_assert_double_eq_tol(out[j], 2 + j, 1e-9);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("head");
    add_case(s, "heads as SciPy and scikit-learn have them", as_scipy_has_them);
    add_case(s, "a path is made of its points", a_path_is_its_points);
    add_case(s, "degenerate features and classes stay finite", stays_finite);
    add_case(s, "features that say nothing leave the rate", nothing_but_the_rate);
    add_case(s, "missing elements", missing_elements);
    add_case(s, "constants by kind", constants);
    return run_suite(s);
}
