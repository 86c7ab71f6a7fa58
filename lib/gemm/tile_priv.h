/* SPDX-License-Identifier: MIT */
/* The register tile, written once over a handful of vector operations and unrolled for each shape.
   Included by the files of x86/ and arm/, which define before:

       LANES, vec, mask              floats in a vector, its type, the type of a lane mask
       mask first_lanes(int n)       the first n lanes, 1 <= n <= LANES
       vec zero(void), splat(const float *p), load(const float *p), load_some(const float *p, mask)
       void store(float *p, vec), store_some(float *p, mask, vec)
       vec fused(vec a, vec b, vec c)  a b + c, rounded once
       FREE_MASK                     1 if a masked load takes no register, else 0
       TWICE(rows, vectors)          whether the loop of that shape is short of instructions a cycle
       ROWS_1, ROWS_2, ROWS_3        most rows of a tile of 1, 2, 3 vectors, of 1, 4, 6, 8

   and get tile(). Everything is static and inlined: no code built for one instruction set can be
   taken by the linker for another. */

#define MAX_ROWS 8
/* Steps of k that R is fetched ahead. Where it lies by columns each step finds it on another line,
   of another page when columns are long, and no CPU foresees that; in other places it costs
   nothing. */
#define AHEAD 16
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* For each i below n, unrolled. clang unrolls a loop of one turn too late and leaves the sums in memory,
   so it gets two, one of them empty. */
#define EACH(i, n) UNROLL for (int i = 0; i < ((n) < 2 ? 2 : (n)); i++) if (i < (n))

typedef struct tile_state {
    vec sum[MAX_ROWS * MTL__GEMM_MAX_VECTORS]; /* row by row */
    const float *r, *r4, *s;                   /* rows 0 and 4 of R */
    int64_t row, row3;                         /* between rows of R, and three of them */
    int64_t r_step, lds;                       /* between steps of k */
    mask some;                                 /* lanes of the last vector of a row of S and of C */
} tile_state;

/* What a copy of the code is for. The members are constants, so the loops over them vanish and the
   sums live in registers. */
typedef struct tile_shape {
    int rows, vectors;
    bool is_short; /* the last vector is not whole: a mask is needed */
} tile_shape;

/* Element i of a column of R. An address has a base and an index times 1 or 2 elements: so eight rows
   take four registers and not eight, which the loop has not got. */
MTL__INLINE const float *r_at(const tile_state *x, int i)
{
    const float *r = i < 4 ? x->r : x->r4;
    return i % 4 == 3 ? r + x->row3 : r + i % 4 * x->row;
}

/* One step of k for all chains. */
MTL__INLINE void tile_step(const tile_shape h, tile_state *x)
{
    const int last = h.vectors - 1;
    vec row[MTL__GEMM_WIDE];
    if (h.vectors > 1)
        __builtin_prefetch(x->r + AHEAD * x->r_step);
    EACH(v, last)
        row[v] = load(x->s + v * LANES);
    row[last] = h.is_short ? load_some(x->s + last * LANES, x->some) : load(x->s + last * LANES);
    EACH(i, h.rows) {
        const vec r = splat(r_at(x, i));
        EACH(v, h.vectors)
            x->sum[i * h.vectors + v] = fused(r, row[v], x->sum[i * h.vectors + v]);
    }
    x->r += x->r_step;
    x->r4 += x->r_step;
    x->s += x->lds;
    /* clang would load for the next steps and spill, gcc make other pointers and spill. */
    __asm__ volatile("" : "+r"(x->r), "+r"(x->s)::"memory");
    if (h.rows > 4)
        __asm__("" : "+r"(x->r4));
}

MTL__INLINE void tile_begin(const tile_shape h, const float *c, int64_t ldc, bool accumulate,
                            tile_state *x)
{
    const int last = h.vectors - 1;
    if (!accumulate) {
        EACH(i, h.rows)
            EACH(v, h.vectors)
                x->sum[i * h.vectors + v] = zero();
        return;
    }
    EACH(i, h.rows) {
        const float *row = c + i * ldc;
        EACH(v, last)
            x->sum[i * h.vectors + v] = load(row + v * LANES);
        x->sum[i * h.vectors + last] =
            h.is_short ? load_some(row + last * LANES, x->some) : load(row + last * LANES);
    }
}

/* A masked store that is not one instruction is kept out of the shapes. */
static __attribute__((noinline)) void store_ends(float *c, int64_t ldc, mask some, int rows,
                                                 const vec *x)
{
    for (int i = 0; i < rows; i++)
        store_some(c + i * ldc, some, x[i]);
}

MTL__INLINE void tile_end(const tile_shape h, float *c, int64_t ldc, tile_state *x)
{
    const int last = h.vectors - 1;
    vec ends[MAX_ROWS];
    /* Else compilers keep the addresses of tile_begin in registers that the loop has not got. */
    __asm__("" : "+r"(c), "+r"(ldc));
    EACH(i, h.rows) {
        float *row = c + i * ldc;
        EACH(v, last)
            store(row + v * LANES, x->sum[i * h.vectors + v]);
        if (!h.is_short)
            store(row + last * LANES, x->sum[i * h.vectors + last]);
        else if (FREE_MASK)
            store_some(row + last * LANES, x->some, x->sum[i * h.vectors + last]);
        else
            ends[i] = x->sum[i * h.vectors + last];
    }
    if (h.is_short && !FREE_MASK)
        store_ends(c + last * LANES, ldc, x->some, h.rows, ends);
}

/* by_twos: two steps to a turn of the loop. */
MTL__INLINE void tile_run(const tile_shape h, const bool by_twos, const mtl__gemm_tile *t)
{
    tile_state x; /* no initialiser: it would set the sums in memory first */
    int64_t k = t->k;
    x.r = t->r;
    x.row = t->r_by_cols ? 1 : t->ldr;
    x.row3 = 3 * x.row;
    x.r4 = x.r + 4 * x.row;
    __asm__("" : "+r"(x.row), "+r"(x.row3));
    x.r_step = t->r_by_cols ? t->ldr : 1;
    x.s = t->s, x.lds = t->lds;
    x.some = first_lanes(t->cols - (h.vectors - 1) * LANES);
    tile_begin(h, t->c, t->ldc, t->accumulate, &x);
    for (; by_twos && k >= 2; k -= 2)
        EACH(u, 2)
            tile_step(h, &x);
    for (; k > 0; k--)
        tile_step(h, &x);
    tile_end(h, t->c, t->ldc, &x);
}

/* A mask is used where it must be: it takes a register, and then the code is kept short, or at least
   a slot of the units that multiply, as on Intel's CPUs, which tall tiles would feel. */
MTL__INLINE void tile_of(int rows, int vectors, const mtl__gemm_tile *t)
{
    if ((!FREE_MASK || rows * vectors >= 16) && t->cols == vectors * LANES)
        tile_run((tile_shape){rows, vectors, false}, TWICE(rows, vectors), t);
    else
        tile_run((tile_shape){rows, vectors, true}, FREE_MASK && TWICE(rows, vectors), t);
}

#define SHAPE(rows, vectors)                                                                       \
    static void tile_##rows##x##vectors(const mtl__gemm_tile *t)                                   \
    {                                                                                              \
        tile_of(rows, vectors, t);                                                                 \
    }

/* X(rows, vectors) for every shape there is. 5 and 7 rows are two tiles each: a third of the code. */
#define UP_TO_1(X, v)    X(1, v)
#define UP_TO_4(X, v)    X(1, v) X(2, v) X(3, v) X(4, v)
#define UP_TO_6(X, v)    UP_TO_4(X, v) X(6, v)
#define UP_TO_8(X, v)    UP_TO_6(X, v) X(8, v)
#define UP_TO__(n, X, v) UP_TO_##n(X, v)
#define UP_TO(n, X, v)   UP_TO__(n, X, v)
#define WIDE(X)          X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)
#define SHAPES(X)        UP_TO(ROWS_1, X, 1) UP_TO(ROWS_2, X, 2) UP_TO(ROWS_3, X, 3) WIDE(X)

SHAPES(SHAPE)

static void by_halves(const mtl__gemm_tile *t);

static void tile(const mtl__gemm_tile *t)
{
#define ENTRY(rows, vectors) [vectors - 1][rows - 1] = tile_##rows##x##vectors,
    static mtl__gemm_tile_fn *const shapes[MTL__GEMM_WIDE][MAX_ROWS] = {
        [0][4] = by_halves, [0][6] = by_halves, [1][4] = by_halves,
        [1][6] = by_halves, [2][4] = by_halves, [2][6] = by_halves, SHAPES(ENTRY)};
    shapes[(t->cols - 1) / LANES][t->rows - 1](t);
}

/* The lower half of the rows, then the upper one. */
static __attribute__((noinline)) void tile_pair(mtl__gemm_tile_fn *fn, const mtl__gemm_tile *t)
{
    mtl__gemm_tile part = *t;
    part.rows = t->rows / 2;
    fn(&part);
    part.r += part.rows * (t->r_by_cols ? 1 : t->ldr);
    part.c += part.rows * t->ldc;
    part.rows = t->rows - part.rows;
    fn(&part);
}

static void by_halves(const mtl__gemm_tile *t)
{
    tile_pair(tile, t);
}
