/* SPDX-License-Identifier: MIT */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const new_tasks[NEW_DIGITS] = {"is_7", "is_8", "is_9"};

void close_digits(digits *d)
{
    mtl_dataset_destroy(d->known);
    mtl_dataset_destroy(d->known_train);
    mtl_dataset_destroy(d->known_test);
    for (int k = 0; k < NEW_DIGITS; k++) {
        mtl_dataset_destroy(d->fresh[k]);
        mtl_dataset_destroy(d->new_test[k]);
    }
    free(d->x); /* the other columns lie behind it */
    free(d->order);
}

static mtl_status allocate(digits *d, int64_t rows)
{
    enum { COLUMNS = 4 + NEW_DIGITS };
    d->rows = rows;
    d->x = malloc((size_t)rows * (PIXELS + COLUMNS) * sizeof *d->x);
    d->order = malloc((size_t)rows * 2 * sizeof *d->order);
    if (!d->x || !d->order)
        return MTL_ERR_NOMEM;
    d->pool = d->order + rows;
    float **column[COLUMNS] = {&d->digit,     &d->odd,       &d->above_four, &d->ink,
                               &d->is_new[0], &d->is_new[1], &d->is_new[2]};
    for (int k = 0; k < COLUMNS; k++)
        *column[k] = d->x + rows * (PIXELS + k);
    return MTL_OK;
}

/* Copied to arrays of our own, from which the other labels are computed. */
static mtl_status read_files(digits *d, const char *folder, mtl_error *err)
{
    char path[4096];
    mtl_dataset *file = NULL;
    mtl_status status;

    snprintf(path, sizeof path, "%s/digits_x.npy", folder);
    if ((status = mtl_dataset_load_npy(NULL, path, &file, err)))
        return status;
    snprintf(path, sizeof path, "%s/digits_y.npy", folder);
    if ((status = mtl_dataset_load_npy_labels(file, "digit", path, err)) ||
        (status = allocate(d, mtl_dataset_rows(file))) ||
        (status = mtl_dataset_get_inputs(file, 0, d->rows, d->x, PIXELS, err)))
        goto done;
    status = mtl_dataset_get_labels(file, "digit", 0, d->rows, d->digit, 1, err);
done:
    mtl_dataset_destroy(file);
    return status;
}

static void compute_labels(digits *d)
{
    for (int64_t i = 0; i < d->rows; i++) {
        int digit = (int)d->digit[i];
        float sum = 0;
        for (int k = 0; k < PIXELS; k++)
            sum += d->x[i * PIXELS + k];
        d->odd[i] = (float)(digit % 2);
        d->above_four[i] = (float)(digit > 4);
        d->ink[i] = sum / PIXELS;
        for (int k = 0; k < NEW_DIGITS; k++)
            d->is_new[k][i] = (float)(digit == KNOWN_DIGITS + k);
    }
}

/* Data sets borrow the arrays: all of these look at the same rows. */
static mtl_status name_labels(digits *d, mtl_error *err)
{
    mtl_status status;
    if ((status = mtl_dataset_create(NULL, d->x, d->rows, PIXELS, PIXELS, &d->known, err)) ||
        (status = mtl_dataset_set_labels(d->known, "digit", 1, d->digit, 1, err)) ||
        (status = mtl_dataset_set_labels(d->known, "odd", 1, d->odd, 1, err)) ||
        (status = mtl_dataset_set_labels(d->known, "above_four", 1, d->above_four, 1, err)) ||
        (status = mtl_dataset_set_labels(d->known, "ink", 1, d->ink, 1, err)))
        return status;
    for (int k = 0; k < NEW_DIGITS; k++) {
        mtl_dataset **fresh = &d->fresh[k];
        if ((status = mtl_dataset_create(NULL, d->x, d->rows, PIXELS, PIXELS, fresh, err)) ||
            (status = mtl_dataset_set_labels(*fresh, new_tasks[k], 1, d->is_new[k], 1, err)))
            return status;
    }
    return MTL_OK;
}

/* A small generator for the example's own draws (splitmix64; Steele, Lea & Flood 2014). */
static int64_t draw_below(uint64_t *state, int64_t n)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (int64_t)((z ^ (z >> 31)) % (uint64_t)n);
}

static void shuffle(int64_t *rows, int64_t count, uint64_t seed)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t k = draw_below(&seed, i + 1), row = rows[i];
        rows[i] = rows[k];
        rows[k] = row;
    }
}

/* Rows order[first .. last-1] of a data set that show a digit of low .. high. */
static mtl_status take_rows(digits *d, const mtl_dataset *from, int64_t first, int64_t last, int low,
                            int high, mtl_dataset **out, mtl_error *err)
{
    int64_t count = 0;
    for (int64_t i = first; i < last; i++) {
        int digit = (int)d->digit[d->order[i]];
        if (low <= digit && digit <= high)
            d->pool[count++] = d->order[i];
    }
    return mtl_dataset_subset(from, count, d->pool, out, err);
}

static mtl_status share_out(digits *d, mtl_error *err)
{
    const int first_new = KNOWN_DIGITS;
    int64_t end = d->rows, cut = d->rows * 7 / 10;
    mtl_status status;

    d->train_rows = cut;
    for (int64_t i = 0; i < d->rows; i++)
        d->order[i] = i;
    shuffle(d->order, d->rows, 1);
    if ((status = take_rows(d, d->known, 0, cut, 0, first_new - 1, &d->known_train, err)) ||
        (status = take_rows(d, d->known, cut, end, 0, first_new - 1, &d->known_test, err)))
        return status;
    for (int k = 0; k < NEW_DIGITS && !status; k++)
        status = take_rows(d, d->fresh[k], cut, end, first_new, 9, &d->new_test[k], err);
    return status;
}

mtl_status open_digits(digits *d, const char *folder, mtl_error *err)
{
    mtl_status status = read_files(d, folder, err);
    if (status)
        return status;
    compute_labels(d);
    if ((status = name_labels(d, err)))
        return status;
    return share_out(d, err);
}

mtl_status draw_labelled(digits *d, int which, int64_t count, uint64_t seed, mtl_dataset **out,
                         mtl_error *err)
{
    int64_t taken = 0, wanted[2] = {count - count / 3, count / 3};
    memcpy(d->pool, d->order, (size_t)d->train_rows * sizeof *d->pool);
    shuffle(d->pool, d->train_rows, seed);
    for (int64_t i = 0; i < d->train_rows; i++) {
        int64_t row = d->pool[i];
        if (d->digit[row] >= KNOWN_DIGITS && wanted[d->is_new[which][row] > 0]-- > 0)
            d->pool[taken++] = row; /* taken <= i: never ahead of the reading */
    }
    return mtl_dataset_subset(d->fresh[which], taken, d->pool, out, err);
}
