/* SPDX-License-Identifier: MIT */
/* The register tile, written once over a handful of vector operations and unrolled for each shape.
   Included by the files of x86/ and arm/, which define before:

       LANES, vec, mask              floats in a vector, its type, the type of a lane mask
       mask first_lanes(int n)       the first n lanes, 1 <= n <= LANES
       vec zero(void), splat(const float *p), load(const float *p), load_some(const float *p, mask)
       void store(float *p, vec), store_some(float *p, mask, vec)
       vec fused(vec a, vec b, vec c)  a b + c, rounded once
       ROWS_1, ROWS_2, ROWS_3        most rows of a tile of 1, 2, 3 vectors, at most 16

   and get tile(). Everything is static and inlined: no code built for one instruction set can be
   taken by the linker for another. */

#define MAX_ROWS 16
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef struct tile_state {
    vec sum[MAX_ROWS][MTL__GEMM_MAX_VECTORS];
    const float *r, *s;
    int64_t ldr, lds;
    mask some; /* the last vector of a row of S and of C may be short */
} tile_state;

/* One step of k for all chains. rows, vectors and by_cols are constants in every copy, so the loops
   over them vanish and the sums live in registers. */
MTL__INLINE void tile_step(const int rows, const int vectors, const bool by_cols, tile_state *x)
{
    vec row[MTL__GEMM_MAX_VECTORS];
    UNROLL for (int v = 0; v < vectors - 1; v++)
        row[v] = load(x->s + v * LANES);
    row[vectors - 1] = load_some(x->s + (vectors - 1) * LANES, x->some);
    UNROLL for (int i = 0; i < rows; i++) {
        const vec r = splat(by_cols ? x->r + i : x->r + i * x->ldr);
        UNROLL for (int v = 0; v < vectors; v++)
            x->sum[i][v] = fused(r, row[v], x->sum[i][v]);
    }
    x->r += by_cols ? x->ldr : 1;
    x->s += x->lds;
    __asm__ volatile("" ::: "memory"); /* clang would load for the next steps and spill */
}

MTL__INLINE void tile_of(const int rows, const int vectors, const bool by_cols,
                         const mtl__gemm_tile *t)
{
    const int last = vectors - 1;
    float *c = t->c;
    int64_t ldc = t->ldc;
    tile_state x; /* no initialiser: it would set the sums in memory first */
    x.r = t->r, x.ldr = t->ldr;
    x.s = t->s, x.lds = t->lds;
    x.some = first_lanes(t->cols - last * LANES);

    if (t->accumulate) {
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < last; v++)
                x.sum[i][v] = load(c + i * ldc + v * LANES);
            x.sum[i][last] = load_some(c + i * ldc + last * LANES, x.some);
        }
    } else {
        UNROLL for (int i = 0; i < rows; i++)
            UNROLL for (int v = 0; v < vectors; v++)
                x.sum[i][v] = zero();
    }
    /* Four steps to a turn: the branch that ends a loop of more turns is predicted badly, and the
       restart cost 80 cycles of the 6144 of a full tile of 256 steps. */
    int64_t k = t->k;
    for (; k >= 4; k -= 4)
        UNROLL for (int u = 0; u < 4; u++)
            tile_step(rows, vectors, by_cols, &x);
    for (; k > 0; k--)
        tile_step(rows, vectors, by_cols, &x);

    /* Else compilers keep the addresses from above in registers that the loop has not got. */
    __asm__("" : "+r"(c), "+r"(ldc));
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < last; v++)
            store(c + i * ldc + v * LANES, x.sum[i][v]);
        store_some(c + i * ldc + last * LANES, x.some, x.sum[i][last]);
    }
}

#define SHAPE(rows, vectors)                                                                       \
    static void tile_r##rows##x##vectors(const mtl__gemm_tile *t)                                  \
    {                                                                                              \
        tile_of(rows, vectors, false, t);                                                          \
    }                                                                                              \
    static void tile_c##rows##x##vectors(const mtl__gemm_tile *t)                                  \
    {                                                                                              \
        tile_of(rows, vectors, true, t);                                                           \
    }

/* X(rows, vectors) for every shape there is. */
#define UP_TO_4(X, v) X(1, v) X(2, v) X(3, v) X(4, v)
#define UP_TO_6(X, v) UP_TO_4(X, v) X(5, v) X(6, v)
#define UP_TO_8(X, v) UP_TO_6(X, v) X(7, v) X(8, v)
#define UP_TO_16(X, v)                                                                             \
    UP_TO_8(X, v) X(9, v) X(10, v) X(11, v) X(12, v) X(13, v) X(14, v) X(15, v) X(16, v)
#define UP_TO__(n, X, v) UP_TO_##n(X, v)
#define UP_TO(n, X, v) UP_TO__(n, X, v)
#define SHAPES(X) UP_TO(ROWS_1, X, 1) UP_TO(ROWS_2, X, 2) UP_TO(ROWS_3, X, 3)

SHAPES(SHAPE)

static void tile(const mtl__gemm_tile *t)
{
#define BY_ROWS(rows, vectors) [vectors - 1][rows - 1] = tile_r##rows##x##vectors,
#define BY_COLS(rows, vectors) [vectors - 1][rows - 1] = tile_c##rows##x##vectors,
    static mtl__gemm_tile_fn *const shapes[2][MTL__GEMM_MAX_VECTORS][MAX_ROWS] = {
        {SHAPES(BY_ROWS)}, {SHAPES(BY_COLS)}};
    shapes[t->r_by_cols][(t->cols - 1) / LANES][t->rows - 1](t);
}
