/* SPDX-License-Identifier: MIT */
#include "train/touched.h"

void mtl__touched_plan(mtl__touched *t, int64_t columns, mtl__arena *arena)
{
    const int64_t words = (columns + 63) / 64;
    t->groups = (words + 63) / 64;
    t->column = mtl__arena_take(arena, columns, sizeof *t->column);
    t->word = mtl__arena_take(arena, words, sizeof *t->word);
    t->group = mtl__arena_take(arena, t->groups, sizeof *t->group);
}

static int64_t take_lowest(uint64_t *bits)
{
    const int64_t i = __builtin_ctzll(*bits);
    *bits &= *bits - 1;
    return i;
}

/* Sorted by marking; what is marked is found by groups of words and clears itself. */
void mtl__touched_collect(mtl__touched *t, int64_t rows, const mtl__sparse_row *row)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < row[r].count; i++) {
            const int64_t c = row[r].column[i], w = c / 64;
            t->word[w] |= (uint64_t)1 << (c % 64);
            t->group[w / 64] |= (uint64_t)1 << (w % 64);
        }
    t->count = 0;
    for (int64_t g = 0; g < t->groups; g++)
        while (t->group[g]) {
            const int64_t w = 64 * g + take_lowest(&t->group[g]);
            while (t->word[w])
                t->column[t->count++] = (int32_t)(64 * w + take_lowest(&t->word[w]));
        }
}
