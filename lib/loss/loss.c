/* SPDX-License-Identifier: MIT */
#include "loss/loss.h"

#define KIND(kind) (1u << (kind))

static mtl__columns_fn *fn_binary(const mtl__vec *v)
{
    return v->binary_cross_entropy;
}

static mtl__rows_loss_fn *fn_softmax(const mtl__vec *v)
{
    return v->softmax_cross_entropy;
}

static mtl__columns_fn *fn_squared(const mtl__vec *v)
{
    return v->squared_error;
}

static void link_sigmoid(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    if (ldz == cols) {
        v->sigmoid(rows * cols, z, z);
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        v->sigmoid(cols, z + r * ldz, z + r * ldz);
}

static void link_softmax(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    v->softmax(rows, cols, z, ldz);
}

static const mtl__loss rows[] = {
    {.choice = {.name = "auto"}, .kinds = ~0u},
    {.choice = {.name = "binary_cross_entropy"},
     .kinds = KIND(MTL_BINARY) | KIND(MTL_MULTILABEL),
     .by_columns = fn_binary,
     .link = link_sigmoid},
    {.choice = {.name = "cross_entropy"},
     .kinds = KIND(MTL_MULTICLASS),
     .by_rows = fn_softmax,
     .link = link_softmax},
    {.choice = {.name = "squared_error"}, .kinds = KIND(MTL_REGRESSION), .by_columns = fn_squared},
};

const mtl__choice_table mtl__losses = MTL__CHOICE_TABLE("loss", rows);

mtl_status mtl__loss_choose(const char *text, const char *task, int32_t kind, const mtl__loss **out,
                            mtl_error *err)
{
    mtl__choice c;
    mtl_status st = mtl__choice_parse(&mtl__losses, text, -1, &c, err);
    if (st != MTL_OK)
        return st;
    const mtl__loss *loss = c.row;
    for (int64_t i = 1; loss == &rows[0] && i < MTL__COUNT_OF(rows); i++)
        if (rows[i].kinds & KIND(kind))
            loss = &rows[i];
    if (!(loss->kinds & KIND(kind)))
        return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": loss %s does not serve its kind", task,
                        loss->choice.name);
    *out = loss;
    return MTL_OK;
}
