/* SPDX-License-Identifier: MIT */
#ifndef PEAK_H
#define PEAK_H

#include "cpu/cpu.h"

/* GFLOP/s of independent FMA chains in registers at this level (1 thread), now: the clock of a
   shared machine changes, so it is measured beside each figure. Takes a fraction of a
   millisecond. */
double ck_peak(mtl__cpu_level level);

#endif
