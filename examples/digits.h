/* SPDX-License-Identifier: MIT */
/* The quickstart's data: images of digits with the labels of the known tasks and of the new ones. */
#ifndef DIGITS_H
#define DIGITS_H

#include <mtl/mtl.h>

enum { PIXELS = 64, KNOWN_DIGITS = 7, NEW_DIGITS = 3 };

typedef struct digits {
    int64_t rows;
    float *x, *digit;              /* [rows, PIXELS] and what the image shows, [rows] */
    float *odd, *above_four, *ink; /* [rows] labels of the other known tasks */
    float *is_new[NEW_DIGITS];     /* [rows] labels of the new tasks: is it a 7, an 8, a 9? */
    int64_t *order, *pool;         /* [rows] row numbers in random order; scratch */
    int64_t train_rows;            /* order[0 .. train_rows-1] are for training, the rest for tests */
    mtl_dataset *known, *fresh[NEW_DIGITS]; /* all rows, with the labels of the tasks */
    mtl_dataset *known_train, *known_test;  /* of these, the digits 0 to 6 */
    mtl_dataset *new_test[NEW_DIGITS];      /* of these, the digits 7 to 9 */
} digits;

/* The new tasks' names, "is_7" to "is_9". */
extern const char *const new_tasks[NEW_DIGITS];

/* Read digits_x.npy and digits_y.npy and share the rows out, seven in ten for training. d starts as
   zeros; close it also after a failure. */
mtl_status open_digits(digits *d, const char *folder, mtl_error *err);
void close_digits(digits *d);

/* Training rows of the digits 7 to 9 with the label of one new task, a third of them positive, drawn
   anew for each seed: its 10 rows are among its 30, and these among its 100. */
mtl_status draw_labelled(digits *d, int which, int64_t count, uint64_t seed, mtl_dataset **out,
                         mtl_error *err);

#endif
