/* SPDX-License-Identifier: MIT */
/* A pool of threads and one parallel loop over numbered jobs. A NULL pool is the caller's thread. */
#ifndef MTL__POOL_H
#define MTL__POOL_H

#include "base/base.h"
#include "mem/alloc.h"

typedef struct mtl__pool mtl__pool;

/* A pool for up to `threads` (>= 1) threads, the caller's included. No thread is started before the
   first loop that has work for it; where the system refuses a thread the pool runs with fewer.
   NULL when memory is short. */
mtl__pool *mtl__pool_create(const mtl__allocator *al, int threads);

/* Joins the threads. NULL is fine. In a child after fork() it only frees. */
void mtl__pool_destroy(mtl__pool *pool);

/* Number of slots: the most threads that a loop may use at once. 1 for NULL. */
int mtl__pool_slots(const mtl__pool *pool);

/* A hint: true while a thread of the pool waits without sleeping, as it does for a moment after a
   loop. The next loop then starts within a microsecond; waking a thread takes about ten. */
bool mtl__pool_is_warm(const mtl__pool *pool);

/* A hint: true for a while after a loop whose caller waited long for a job that another thread had
   taken and could not go on with, as when another program holds its CPU. Such a loop can take many
   times as long as the work does alone. */
bool mtl__pool_is_held_up(const mtl__pool *pool);

/* Does it pay to share work that takes as long as so many multiply-adds of a good matrix product?
   Never for one slot, nor while the pool is held up; from a lower number on when it is warm, or when
   the same has been asked so often in the last millisecond that waking it pays for all together. */
bool mtl__pool_pays(mtl__pool *pool, int64_t work);

/* Run fn(arg, job, slot) for job = 0 .. jobs-1, each once, in any order, and return when all are
   done. slot is in [0, mtl__pool_slots) and no two jobs run in the same slot at the same time, so a
   slot can own a scratch buffer. The caller works too, as slot 0. One loop runs at a time: when
   another thread is in one, or from inside a job, the caller does all the jobs itself. Jobs run
   under the default floating-point state. Which thread runs a job must not change its result. */
typedef void mtl__job_fn(void *arg, int64_t job, int slot);
void mtl__pool_run(mtl__pool *pool, int64_t jobs, mtl__job_fn *fn, void *arg);

/* Run fn(arg, first, count) over parts of [0, n) that begin at multiples of 16, if that pays. `grain`
   = the least count that takes some 5 us: shorter parts are not made. */
typedef void mtl__range_fn(void *arg, int64_t first, int64_t count);
void mtl__pool_ranges(mtl__pool *pool, int64_t n, int64_t grain, mtl__range_fn *fn, void *arg);

#endif
