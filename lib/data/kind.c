/* SPDX-License-Identifier: MIT */
/* What labels mean when nobody said: the rule stands at mtl_dataset_set_kind() in mtl.h. */
#include <math.h>

#include "data/array_priv.h"

enum { MAX_CLASSES = 100 };

typedef struct findings {
    int64_t labels;
    bool are_bits, are_classes; /* all 0 or 1; all whole and 0 .. MAX_CLASSES-1 */
    bool seen[MAX_CLASSES];
} findings;

static void look_at(findings *f, float y)
{
    f->labels++;
    f->are_bits = f->are_bits && (y == 0 || y == 1);
    f->are_classes = f->are_classes && y >= 0 && y < MAX_CLASSES && y == (float)(int)y;
    if (f->are_classes)
        f->seen[(int)y] = true;
}

/* Number of classes, or 0 when one between 0 and the highest is missing. */
static int64_t count_classes(const findings *f)
{
    int64_t count = 0, highest = -1;
    for (int64_t c = 0; c < MAX_CLASSES; c++)
        if (f->seen[c]) {
            highest = c;
            count++;
        }
    return highest == count - 1 ? count : 0;
}

mtl_status mtl__dataset_kind(const mtl_dataset *d, int64_t task, int32_t *kind, int64_t *outputs,
                             mtl_error *err)
{
    const mtl__labels *l = &d->labels[task];
    if (l->kind) {
        *kind = l->kind;
        *outputs = l->outputs;
        return MTL_OK;
    }
    findings f = {.are_bits = true, .are_classes = true};
    for (int64_t i = 0; i < d->rows; i++) {
        const float *y = mtl__array_row(&l->y, i);
        for (int64_t j = 0; j < l->cols; j++)
            if (!isnan(y[j]))
                look_at(&f, y[j]);
    }
    if (f.labels == 0)
        return MTL_FAIL(err, MTL_ERR_DATA,
                        "task \"%.64s\" has no label to read its kind off; state it", l->task);
    int64_t classes = l->cols == 1 && f.are_classes ? count_classes(&f) : 0;
    *outputs = l->cols;
    if (f.are_bits) {
        *kind = l->cols == 1 ? MTL_BINARY : MTL_MULTILABEL;
    } else if (classes > 0) {
        *kind = MTL_MULTICLASS;
        *outputs = classes;
    } else {
        *kind = MTL_REGRESSION;
    }
    return MTL_OK;
}
