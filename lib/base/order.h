/* SPDX-License-Identifier: MIT */
/* Rows in the order of a column of floats. */
#ifndef MTL__ORDER_H
#define MTL__ORDER_H

#include "base/base.h"

typedef struct mtl__ordered {
    uint32_t key;
    int64_t row;
} mtl__ordered;

/* Keys compare as the numbers do; -0 equals 0; every NaN has the same key, above all numbers. */
uint32_t mtl__order_key(float x);

/* Sort by ascending key; equal keys stay in the order they had. scratch: n more. */
void mtl__order_sort(int64_t n, mtl__ordered *a, mtl__ordered *scratch);

#endif
