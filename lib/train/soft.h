/* SPDX-License-Identifier: MIT */
/* Soft parameter sharing: lambda / 2 times the squared distance of the tasks' trunks from their mean. */
#ifndef MTL__SOFT_H
#define MTL__SOFT_H

#include "mem/arena.h"

struct mtl__trainer;

/* Room for it, where the architecture has it; NULL else. */
float *mtl__soft_plan(const struct mtl__trainer *t, mtl__arena *arena);
/* The hook that adds its gradient to that of the losses. */
void mtl__soft_hang(struct mtl__trainer *t);

#endif
