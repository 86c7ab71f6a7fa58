/* SPDX-License-Identifier: MIT */
#include "gemm/gemm.h"

#include "gemm/gemm_kernel.h"

/* Multiply-adds of a product that is too small for more than one job and one block. */
enum { SMALL = 1 << 20 };
/* Multiply-adds of a job where there is enough for several to a slot, and the most of them. Each job
   packs for itself: with four 1024 cubed ran 2 to 3 points of the peak slower than with two; with one,
   a thread that another program holds up would hold up half of the work. */
enum { JOB = 4 << 20, SLOT_JOBS = 2, NARROWEST = 16 };
/* Packing a row of R or a column of S takes as long as this many of its multiply-adds. */
enum { PACK_COST = 5 };
/* Most columns of a narrow C that is made transposed, and so rows of its scratch. */
enum { NARROW = 32 };
/* A copy of S pays once this many rows read it and it is larger than half of a second-level cache;
   below that tiles read it where it lies: 384 cubed ran at 98 % of peak so and at 96 % packed. */
enum { PACK_ROWS = 64, PACK_FLOATS = 256 * 1024 };
/* Most steps of k of a block, and most columns of a copied block of S. Each block reads and writes
   all of C once, so it is deep; the block, the panels of R that pass by and C share a second-level
   cache, of which a neighbour on the same core may hold half. Measured at 1024 to 4096 cubed: 192
   columns 2 to 4 points of the peak slower, 1024 or 384 steps 1 to 2. */
enum { DEPTH = 512, WIDTH = 96 };
/* A copy of R pays where it lies by columns that are far apart, which costs the TLB an entry for
   each step of k and puts them into few sets of the cache, unless it is small, if this many columns
   of C use it; and always where S is copied too. As many floats are copied at a time, for all columns
   of C. */
enum { R_LEAST = 16 * 1024, R_COLS = 96, R_FLOATS = 512 * 1024, R_PANELS = 4, R_STEPS = 32 };

/* A call as the kernels see it: C [m, n] = R [m, k] S [k, n], where R is broadcast and S is read by
   vectors. With a narrow C the roles are exchanged and C is made transposed. */
typedef struct plan {
    const mtl__gemm *g;
    const mtl__gemm_call *call;
    int64_t m, n, k;
    const float *r, *s;
    int64_t ldr, lds;
    bool r_by_cols;    /* element (i, p) of R at r[p * ldr + i], else r[i * ldr + p] */
    bool s_transposed; /* element (p, j) of S at s[j * lds + p], else s[p * lds + j] */
    bool swapped;      /* C is to be written transposed */
    bool s_given;      /* in panels already, all of k in each */
    bool pack_r, pack_s;
    bool ask_s; /* S is large, few rows read it, and where it lies */
    int64_t ib, kb, nb, mb;                  /* steps of the loops of a job */
    int64_t job_rows, job_cols, jobs_across; /* the grid of jobs */
    float *work;
    int64_t slot_floats;
} plan;

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t b)
{
    return ceil_div(a, b) * b;
}

/* Steps to cut n into: all of it if that is at most `most`, else equal parts, rounded to `unit`. */
static int64_t even_step(int64_t n, int64_t most, int64_t unit)
{
    if (n <= most)
        return mtl__max(n, 1);
    return round_up(ceil_div(n, ceil_div(n, most)), unit);
}

/* Rows of each tile when `rows` are cut evenly, above 4 in pairs, as tiles have them. There are never
   many, and a short division takes half of the time of a long one, which counts in a product of two
   tiles. */
static int tile_rows(int rows, int most)
{
    if (rows <= most)
        return rows;
    unsigned tiles = ((unsigned)rows + (unsigned)most - 1) / (unsigned)most;
    unsigned each = ((unsigned)rows + tiles - 1) / tiles;
    return (int)(each > 4 ? each + each % 2 : each);
}

static int64_t vectors_for(const mtl__gemm *g, int64_t cols)
{
    return (cols + mtl__gemm_lanes(g) - 1) >> g->lane_bits;
}

/* Half a vector has a tile that takes half of the time. */
static bool is_half(const mtl__gemm *g, int64_t cols)
{
    return g->half_rows > 0 && 2 * cols <= mtl__gemm_lanes(g);
}

static int64_t tile_cols(const mtl__gemm *g)
{
    return (int64_t)g->vectors << g->lane_bits;
}

/* --- scratch of a slot: a panel of R, a narrow C, a block of S -------------------------------- */

static int64_t r_floats(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n, int64_t k)
{
    if (m < PACK_ROWS || (kind != MTL__GEMM_TN && n * k <= PACK_FLOATS))
        return 0;
    return mtl__min(round_up(m, g->panel) * mtl__round_floats(k), R_FLOATS);
}

static int64_t narrow_floats(const mtl__gemm *g, int64_t narrow, int64_t wide)
{
    return mtl__min(NARROW, narrow) * mtl__min(mtl__round_floats(wide), g->nc);
}

static int64_t s_floats(const mtl__gemm *g, int64_t n, int64_t k)
{
    return mtl__min(k * mtl__round_floats(n), (int64_t)g->kc * g->nc);
}

static int64_t slot_floats(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n, int64_t k)
{
    /* The roles of m and n may be exchanged. */
    return r_floats(g, kind, m, n, k) + narrow_floats(g, n, m) + s_floats(g, mtl__max(m, n), k);
}

int64_t mtl__gemm_drive_workspace(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n,
                                  int64_t k, int slots)
{
    return slot_floats(g, kind, m, n, k) * slots;
}

/* --- one job ---------------------------------------------------------------------------------- */

enum { LINE = 16 }; /* floats of a cache line */

/* Columns of the next tile when `cols` are left: the kernel's own number of vectors, but never one
   vector alone behind wider tiles, whose chains would be too few to hide the latency of the FMA. A
   row alone is as wide as can be for the same reason. */
static int64_t next_cols(const mtl__gemm *g, int64_t rows, int64_t cols)
{
    int64_t lanes = mtl__gemm_lanes(g);
    if (rows == 1)
        return mtl__min(cols, MTL__GEMM_WIDE * lanes);
    if (cols <= g->vectors * lanes) {
        int64_t rest = cols & (lanes - 1);
        return cols > lanes && rest > 0 && rows >= 8 && is_half(g, rest) ? cols - rest : cols;
    }
    return cols <= (g->vectors + 1) * lanes ? 2 * lanes : g->vectors * lanes;
}

/* S as tiles find it: where it lies, or in panels of panel_cols() columns that follow each other,
   each with its rows side by side. */
typedef struct s_block {
    const float *s; /* element (0, 0), or all panels */
    int64_t lds;    /* of S where it lies; 0 = in panels */
    int64_t cols;   /* panels: columns that they hold, and steps of k */
    int64_t depth;
    int64_t row, col; /* panels: where this block begins in them */
} s_block;

static int64_t panel_cols(const mtl__gemm *g)
{
    return (int64_t)MTL__GEMM_WIDE << g->lane_bits;
}

static void pack_s(const plan *p, const float *s, int64_t depth, int64_t cols, float *to)
{
    const mtl__gemm *g = p->g;
    mtl__gemm_pack_fn *pack = p->s_transposed ? g->transpose : g->copy;
    int64_t step = p->s_transposed ? p->lds : 1;
    for (int64_t j = 0, width; j < cols; j += width) {
        width = mtl__min(panel_cols(g), cols - j);
        pack(to + j * depth, vectors_for(g, width) << g->lane_bits, s + j * step, p->lds, width,
             depth);
    }
}

/* Point t at column j of a block of S. Returns how many columns lie side by side from there on. */
static int64_t find_s(const mtl__gemm *g, const s_block *s, int64_t j, mtl__gemm_tile *t)
{
    if (s->lds > 0) {
        t->s = s->s + j;
        t->lds = s->lds;
        return INT64_MAX;
    }
    int64_t most = panel_cols(g), in = (s->col + j) & (most - 1), first = s->col + j - in;
    t->lds = mtl__min(most, vectors_for(g, s->cols - first) << g->lane_bits);
    t->s = s->s + first * s->depth + s->row * t->lds + in;
    return most - in;
}

/* Part of a matrix that will be wanted soon. It is asked for while tiles run, in shares: memory
   answers late, and later where others use it too. */
typedef struct region {
    const float *x;
    int64_t ld, rows, cols;
} region;

static void ask(const region *r, int64_t first, int64_t end)
{
    for (int64_t i = first; i < end; i++)
        for (int64_t j = 0; j < r->cols; j += LINE)
            __builtin_prefetch(r->x + i * r->ld + j, 0, 2);
    __asm__ volatile("" ::: "memory"); /* else gcc sees no effect and no need for a call */
}

/* What to ask for during some rows of tiles. */
typedef struct errands {
    region r[3];
    int count;
} errands;

static void add_errand(errands *e, const float *x, int64_t ld, int64_t rows, int64_t cols)
{
    e->r[e->count++] = (region){x, ld, rows, cols};
}

/* The share of columns from j to j + width out of `cols`. */
static void run_errands(const errands *e, int64_t j, int64_t width, int64_t cols)
{
    for (int i = 0; i < e->count; i++)
        ask(&e->r[i], e->r[i].rows * j / cols, e->r[i].rows * (j + width) / cols);
}

/* Rows of R whose distance is a multiple of this are in one set of a first-level cache, which holds
   eight lines of them. */
enum { SET_FLOATS = 1024, SET_ROWS = 8 };

/* Rows of the tiles of some columns: for half a vector full tiles and what is left, else even ones. */
static int tile_height(const mtl__gemm *g, const mtl__gemm_tile *t, int rows, int64_t cols)
{
    if (!is_half(g, cols))
        return rows == 1 ? 1 : tile_rows(rows, g->rows[vectors_for(g, cols) - 1]);
    return t->r_by_cols || t->ldr % SET_FLOATS ? g->half_rows : SET_ROWS;
}

/* The tiles of some rows. t holds R and C of the first one, and k. */
static void rows_of_tiles(const plan *p, mtl__gemm_tile t, const s_block *s, const errands *e,
                          int rows, int64_t cols)
{
    const mtl__gemm *g = p->g;
    const float *r = t.r;
    float *c = t.c;
    const int64_t r_step = t.r_by_cols ? 1 : t.ldr;
    for (int64_t j = 0, width; j < cols; j += width) {
        width = next_cols(g, rows, mtl__min(cols - j, find_s(g, s, j, &t)));
        if (e->count > 0) {
            region next = {c + j + width, t.ldc, rows, mtl__min(tile_cols(g), cols - j - width)};
            ask(&next, 0, rows);
            run_errands(e, j, width, cols);
        }
        int height = tile_height(g, &t, rows, width);
        region next_s = {t.s + width, t.lds, t.k, mtl__min(tile_cols(g), cols - j - width)};
        t.cols = (int)width;
        for (int i = 0; i < rows; i += height) {
            if (p->ask_s)
                ask(&next_s, t.k * i / rows, t.k * mtl__min(i + height, rows) / rows);
            t.rows = mtl__min(height, rows - i);
            t.r = r + i * r_step;
            t.c = c + i * t.ldc + j;
            g->tile(&t);
        }
    }
}

/* A block of C: rows from i0 to i1 and columns from j0 to j1, as the kernels see it. */
typedef struct block {
    int64_t i0, i1, j0, j1;
    float *c; /* where element (0, first) goes: into C or into the scratch for a narrow one */
    int64_t ldc, first;
    float *r, *s;       /* scratch */
    int64_t begin, end; /* columns that the same R is for */
} block;

static void epilogue(const mtl__gemm_call *q, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    if (q->epilogue)
        q->epilogue(q->epilogue_arg, rows, cols, q->c + row * q->ldc + col, q->ldc, row, col);
}

static s_block block_of_s(const plan *p, const block *b, int64_t k0, int64_t depth)
{
    if (p->s_given)
        return (s_block){.s = p->s, .cols = p->n, .depth = p->k, .row = k0, .col = b->j0};
    const float *s = p->s + (p->s_transposed ? b->j0 * p->lds + k0 : k0 * p->lds + b->j0);
    if (!p->pack_s)
        return (s_block){.s = s, .lds = p->lds};
    pack_s(p, s, depth, b->j1 - b->j0, b->s);
    return (s_block){.s = b->s, .cols = b->j1 - b->j0, .depth = depth};
}

/* Where R has its rows from i on and its steps from k0 on. */
static const float *r_at(const plan *p, int64_t i, int64_t k0)
{
    return p->r + (p->r_by_cols ? k0 * p->ldr + i : i * p->ldr + k0);
}

/* Rows of R that are copied together: a panel, or some side by side where it lies by columns, since
   a page then gives more than one line. */
static int64_t group_rows(const plan *p)
{
    return p->r_by_cols ? R_PANELS * p->g->panel : p->g->panel;
}

/* Some rows of R in panels that follow each other, each step by step. */
static void pack_r(const plan *p, const block *b, int64_t i, int64_t rows, int64_t k0, int64_t depth)
{
    const mtl__gemm *g = p->g;
    const int64_t panel = g->panel, most = p->r_by_cols ? R_STEPS : depth;
    mtl__gemm_pack_fn *pack = p->r_by_cols ? g->copy : g->transpose;
    for (int64_t k = 0, steps; k < depth; k += steps) {
        steps = mtl__min(most, depth - k);
        for (int64_t j = 0; j < rows; j += panel)
            pack(b->r + (i + j - b->i0) * depth + k * panel, panel, r_at(p, i + j, k0 + k), p->ldr,
                 mtl__min(panel, rows - j), steps);
    }
}

/* A tile with its R set to rows from i on. */
static mtl__gemm_tile rows_of_r(const plan *p, const block *b, int64_t i, int64_t k0, int64_t depth)
{
    mtl__gemm_tile t = {.k = depth, .ldr = p->ldr, .r_by_cols = p->r_by_cols};
    t.r = r_at(p, i, k0);
    if (p->pack_r) {
        t.r = b->r + (i - b->i0) * depth;
        t.ldr = p->g->panel;
        t.r_by_cols = true;
    }
    return t;
}

/* The next group of R while the panel from i on is at work: lines of it by the panel's place in its
   own group. */
static void add_r(const plan *p, const block *b, int64_t i, int64_t k0, int64_t depth, errands *e)
{
    int64_t group = group_rows(p), place = (i - b->i0) % group, next = i - place + group;
    int64_t rows = mtl__min(group, b->i1 - next);
    int64_t lines = p->r_by_cols ? depth : rows;
    int64_t from = lines * place / group, to = lines * (place + p->g->panel) / group;
    if (rows <= 0)
        return;
    if (p->r_by_cols)
        add_errand(e, r_at(p, next, k0 + from), p->ldr, to - from, rows);
    else
        add_errand(e, r_at(p, next + from, k0), p->ldr, to - from, depth);
}

/* What rows from i on of a block have to ask for: the next rows of C and, the first time, of R; at
   the end of the block, the next block of S. */
static void find_errands(const plan *p, const block *b, int64_t i, int64_t rows, int64_t k0,
                         int64_t depth, errands *e)
{
    int64_t all = b->i1 - b->i0, next = i + rows, more = mtl__min(p->mb, b->i1 - next);
    int64_t cols = mtl__min(p->nb, b->end - b->j1), late = b->i1 - all / 4;
    add_errand(e, b->c + next * b->ldc + b->j0 - b->first, b->ldc, more, tile_cols(p->g));
    if (b->j0 == b->begin)
        add_r(p, b, i, k0, depth, e);
    if (p->pack_s && cols > 0 && i >= late) {
        int64_t lines = p->s_transposed ? cols : depth;
        int64_t from = lines * (i - late) / (b->i1 - late), to = lines * (next - late) / (b->i1 - late);
        const float *s = p->s_transposed ? p->s + (b->j1 + from) * p->lds + k0
                                         : p->s + (k0 + from) * p->lds + b->j1;
        add_errand(e, s, p->lds, to - from, p->s_transposed ? depth : cols);
    }
}

/* Steps k0 .. k0 + depth of the chains of a block. */
static void times_block(const plan *p, const block *b, int64_t k0, int64_t depth)
{
    const s_block s = block_of_s(p, b, k0, depth);
    for (int64_t i = b->i0; i < b->i1; i += p->mb) {
        int64_t rows = mtl__min(p->mb, b->i1 - i);
        errands e; /* no initialiser: clearing it takes time that small products have not got */
        e.count = 0;
        if (p->pack_r) {
            if (b->j0 == b->begin && (i - b->i0) % group_rows(p) == 0)
                pack_r(p, b, i, mtl__min(group_rows(p), b->i1 - i), k0, depth);
            find_errands(p, b, i, rows, k0, depth, &e);
        }
        mtl__gemm_tile t = rows_of_r(p, b, i, k0, depth);
        t.c = b->c + i * b->ldc + b->j0 - b->first;
        t.ldc = b->ldc;
        t.accumulate = k0 > 0 || p->call->accumulate;
        rows_of_tiles(p, t, &s, &e, (int)rows, b->j1 - b->j0);
        if (k0 + depth == p->k && !p->swapped)
            epilogue(p->call, i, rows, b->j0, b->j1 - b->j0);
    }
}

/* Steps k0 .. k0 + depth of the chains of all columns of some rows. Here and below a block is cut
   in place: a copy of what has just been written by parts would have to wait for the writes. */
static void times_rows(const plan *p, block *b, int64_t k0, int64_t depth)
{
    const int64_t j0 = b->j0, j1 = b->j1;
    b->begin = j0;
    b->end = j1;
    for (; b->j0 < j1; b->j0 = b->j1) {
        b->j1 = mtl__min(j1, b->j0 + p->nb);
        times_block(p, b, k0, depth);
    }
    b->j0 = j0;
}

static void run_chains(const plan *p, block *b)
{
    const int64_t i1 = b->i1;
    for (; b->i0 < i1; b->i0 = b->i1) {
        b->i1 = mtl__min(i1, b->i0 + p->ib);
        int64_t k0 = 0;
        do { /* once even when k is 0 */
            int64_t depth = mtl__min(p->kb, p->k - k0);
            times_rows(p, b, k0, depth);
            k0 += depth;
        } while (k0 < p->k);
    }
}

/* Some columns of a narrow C, which are rows here. */
static void run_narrow(const plan *p, block *b, float *scratch)
{
    const mtl__gemm_call *q = p->call;
    int64_t row = b->j0, rows = b->j1 - row;
    float *c = q->c + row * q->ldc;
    b->i0 = 0, b->i1 = p->m;
    b->c = scratch;
    b->ldc = mtl__round_floats(rows);
    b->first = row;
    if (q->accumulate)
        p->g->transpose(scratch, b->ldc, c, q->ldc, rows, p->m);
    run_chains(p, b);
    p->g->transpose(c, q->ldc, scratch, b->ldc, p->m, rows);
    epilogue(q, row, rows, 0, p->m);
}

static void run_block(const plan *p, block *b, float *work)
{
    const mtl__gemm_call *q = p->call;
    b->r = work;
    b->s = work + r_floats(p->g, q->kind, q->m, q->n, q->k);
    if (!p->swapped) {
        b->c = q->c;
        b->ldc = q->ldc;
        b->first = 0;
        run_chains(p, b);
        return;
    }
    const int64_t end = b->j1;
    float *scratch = b->s;
    b->s += narrow_floats(p->g, p->m, p->n);
    for (; b->j0 < end; b->j0 = b->j1) {
        b->j1 = mtl__min(end, b->j0 + p->nb);
        run_narrow(p, b, scratch);
    }
}

static void run_job(void *arg, int64_t job, int slot)
{
    const plan *p = arg;
    int64_t down = job / p->jobs_across, across = job - down * p->jobs_across;
    block b = {.i0 = down * p->job_rows, .j0 = across * p->job_cols};
    b.i1 = mtl__min(p->m, b.i0 + p->job_rows);
    b.j1 = mtl__min(p->n, b.j0 + p->job_cols);
    run_block(p, &b, p->work + slot * p->slot_floats);
}

/* --- the plan --------------------------------------------------------------------------------- */

/* Work per step of k, in sixteenths of an instruction: an FMA for each row of each vector, and five
   for each vector that a transpose must bring into place. A half vector takes more than half. */
static int64_t cost(const mtl__gemm *g, int64_t m, int64_t n, bool transposed)
{
    int64_t vectors = vectors_for(g, n), rest = n & (mtl__gemm_lanes(g) - 1);
    int64_t saved = rest > 0 && is_half(g, rest) ? 6 * m : 0;
    return vectors * (16 * m + (transposed ? 80 : 0)) - saved;
}

static void choose_roles(plan *p)
{
    const mtl__gemm_call *q = p->call;
    p->s_given = false;
    /* A narrow B in panels is one panel: like any other matrix, but for its stride. */
    int64_t ldb = q->b_packed ? vectors_for(p->g, q->n) << p->g->lane_bits : q->ldb;
    bool nt = q->kind == MTL__GEMM_NT, tn = q->kind == MTL__GEMM_TN;
    p->swapped = q->n <= NARROW && cost(p->g, q->n, q->m, !tn) < cost(p->g, q->m, q->n, nt);
    if (p->swapped) {
        p->m = q->n, p->n = q->m;
        p->r = q->b, p->ldr = ldb, p->r_by_cols = !nt;
        p->s = q->a, p->lds = q->lda, p->s_transposed = !tn;
    } else {
        p->m = q->m, p->n = q->n;
        p->r = q->a, p->ldr = q->lda, p->r_by_cols = tn;
        p->s = q->b, p->lds = ldb, p->s_transposed = nt, p->s_given = q->b_packed;
    }
    p->k = q->k;
}

/* Multiply-adds. A narrow product takes as long as one that is a vector wide. */
static int64_t work_of(const plan *p)
{
    return mtl__max(NARROWEST, p->m) * mtl__max(NARROWEST, p->n) * mtl__max(NARROWEST, p->k);
}

/* How the work is cut: one job for the caller alone, else equal parts, at least one for each slot,
   more when they are long, so that a slot that is held up does not hold up the rest. A job packs
   for itself, so nearly square ones pack least. Each output is in one job, with all of its k. */
static void choose_jobs(plan *p, const mtl__pool *pool, bool shared)
{
    p->job_rows = p->m;
    p->job_cols = p->n;
    p->jobs_across = 1;
    int64_t macs = work_of(p), slots = mtl__pool_slots(pool);
    if (!shared)
        return;
    int64_t jobs = slots * mtl__max(1, mtl__min(SLOT_JOBS, macs / (slots * JOB)));
    int64_t lanes = mtl__gemm_lanes(p->g), height = p->g->rows[p->g->vectors - 1];
    int64_t best = INT64_MAX;
    for (int64_t across = 1; across <= jobs; across++) {
        int64_t down = p->swapped ? 1 : jobs / across;
        int64_t rows = mtl__min(p->m, round_up(ceil_div(p->m, down), height));
        int64_t cols = mtl__min(p->n, round_up(ceil_div(p->n, across), lanes));
        int64_t longest = (rows + PACK_COST) * (cols + PACK_COST);
        if (longest >= best)
            continue;
        best = longest;
        p->job_rows = rows;
        p->job_cols = cols;
    }
    p->jobs_across = ceil_div(p->n, p->job_cols);
}

static void choose_blocks(plan *p)
{
    const mtl__gemm *g = p->g;
    int64_t m = p->job_rows, n = p->job_cols;
    bool outside = n * p->k > PACK_FLOATS, large = outside && m >= PACK_ROWS;
    p->ask_s = outside && !large && !p->s_transposed && !p->s_given && m >= g->panel;
    p->pack_s = p->s_transposed || (large && !p->s_given);
    p->pack_r = large || (p->r_by_cols && p->ldr >= g->far && m >= PACK_ROWS && n >= R_COLS &&
                          m * p->k >= R_LEAST);
    bool deep = p->pack_s || p->pack_r || p->ask_s;
    p->kb = deep ? even_step(p->k, DEPTH, 1) : p->k;
    int64_t most = deep ? (int64_t)g->kc * g->nc / mtl__max(1, p->kb) : g->nc;
    most = mtl__min(most, g->nc) / tile_cols(g) * tile_cols(g);
    if (large)
        most = p->s_given ? panel_cols(g) : WIDTH;
    p->nb = even_step(n, most, p->s_given ? panel_cols(g) : tile_cols(g));
    p->mb = p->pack_r ? g->panel : even_step(m, 4 * g->panel, g->panel);
    p->ib = p->pack_r ? R_FLOATS / p->kb / g->panel * g->panel : m;
}

/* Small products: one job of one block, and the plan must not take longer than the work. */
static bool is_small(const plan *p)
{
    return p->n <= p->g->nc && p->k <= p->g->kc && work_of(p) < SMALL;
}

static void run_small(plan *p)
{
    block b = {.i1 = p->m, .j1 = p->n, .c = p->call->c, .ldc = p->call->ldc, .s = p->work};
    p->pack_s = p->s_transposed;
    p->pack_r = p->ask_s = false;
    p->kb = p->k;
    p->nb = p->n;
    p->ib = p->mb = p->m;
    if (p->swapped)
        run_block(p, &b, p->work);
    else
        times_block(p, &b, 0, p->k);
}

/* One row, as of a prediction, has nothing to plan: its tiles one after the other. */
static void run_row(const mtl__gemm *g, const mtl__gemm_call *q)
{
    const s_block s = {.s = q->b, .lds = q->b_packed ? 0 : q->ldb, .cols = q->n, .depth = q->k};
    mtl__gemm_tile t = {
        .k = q->k, .r = q->a, .ldr = q->lda, .rows = 1, .accumulate = q->accumulate};
    for (int64_t j = 0; j < q->n; j += t.cols) {
        t.cols = (int)next_cols(g, 1, mtl__min(q->n - j, find_s(g, &s, j, &t)));
        t.c = q->c + j;
        g->tile(&t);
    }
    epilogue(q, 0, 1, 0, q->n);
}

void mtl__gemm_drive(const mtl__gemm *g, const mtl__gemm_call *call, mtl__pool *pool, float *work)
{
    if (call->m == 1 && call->kind == MTL__GEMM_NN && call->n * call->k < SMALL) {
        run_row(g, call);
        return;
    }
    plan p; /* no initialiser: clearing it takes as long as the smallest product */
    p.g = g, p.call = call, p.work = work;
    choose_roles(&p);
    const bool shared = pool && mtl__pool_pays(pool, work_of(&p));
    if (!shared && is_small(&p)) {
        run_small(&p);
        return;
    }
    choose_jobs(&p, pool, shared);
    choose_blocks(&p);
    if (p.job_rows == p.m && p.jobs_across == 1) {
        run_job(&p, 0, 0);
        return;
    }
    p.slot_floats = slot_floats(g, call->kind, call->m, call->n, call->k);
    mtl__pool_run(pool, p.jobs_across * ceil_div(p.m, p.job_rows), run_job, &p);
}

/* --- API -------------------------------------------------------------------------------------- */

const mtl__gemm *mtl__gemm_native(mtl__cpu_level level)
{
#if MTL__ARCH_X86
    if (level >= MTL__CPU_AVX512)
        return &mtl__gemm_avx512;
    if (level >= MTL__CPU_AVX2)
        return &mtl__gemm_avx2;
#elif MTL__ARCH_ARM64
    if (level >= MTL__CPU_NEON)
        return &mtl__gemm_neon;
#endif
    (void)level;
    return &mtl__gemm_c;
}

const char *mtl__gemm_name(const mtl__gemm *g)
{
    return g->name;
}

int64_t mtl__gemm_workspace(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n,
                            int64_t k, int slots)
{
    assert(m >= 0 && n >= 0 && k >= 0 && slots >= 1);
    return g->workspace(g, kind, m, n, k, slots);
}

int64_t mtl__gemm_packed_floats(const mtl__gemm *g, int64_t k, int64_t n)
{
    assert(k >= 0 && n >= 0);
    return g->copy ? k * (vectors_for(g, n) << g->lane_bits) : 0;
}

void mtl__gemm_pack_b(const mtl__gemm *g, int64_t k, int64_t n, const float *b, int64_t ldb,
                      float *packed)
{
    plan p = {.g = g, .lds = ldb};
    pack_s(&p, b, k, n, packed);
}

void mtl__gemm_run(const mtl__gemm *g, const mtl__gemm_call *call, mtl__pool *pool, float *work)
{
    assert(call->m >= 0 && call->n >= 0 && call->k >= 0);
    assert(!call->b_packed || (g->copy && call->kind == MTL__GEMM_NN));
    if (call->m > 0 && call->n > 0)
        g->run(g, call, pool, work);
}
