/* SPDX-License-Identifier: MIT */
#include "layer/activation.h"

#include "base/text.h"

/* The functions stand in the table of the CPU level, so a row can only say which ones it means. */
#define FORWARD(name)                                                                              \
    static mtl__bias_act_fn *forward_##name(const mtl__vec *v)                                     \
    {                                                                                              \
        return v->bias_##name;                                                                     \
    }
#define BACKWARD(name)                                                                             \
    static mtl__act_grad_fn *backward_##name(const mtl__vec *v)                                    \
    {                                                                                              \
        return v->grad_##name;                                                                     \
    }

FORWARD(identity)
FORWARD(relu)
FORWARD(tanh)
FORWARD(sigmoid)
BACKWARD(relu)
BACKWARD(tanh)
BACKWARD(sigmoid)

static const mtl__choice_param leaky_params[] = {{"slope", 0.01, 0, 1, NULL}, {NULL, 0, 0, 0, NULL}};
static const mtl__choice_param elu_params[] = {{"alpha", 1, 0, 1000, NULL}, {NULL, 0, 0, 0, NULL}};

static const mtl__activation rows[] = {
    {{.name = "identity"}, forward_identity, NULL, {0}},
    {{.name = "relu"}, forward_relu, backward_relu, {0}},
    {{.name = "tanh"}, forward_tanh, backward_tanh, {0}},
    {{.name = "sigmoid"}, forward_sigmoid, backward_sigmoid, {0}},
    /* Maas et al. 2013 */
    {{"leaky_relu", leaky_params}, NULL, NULL, {MTL__CURVE_LEAKY_RELU, 0, 0}},
    /* Clevert et al. 2016, eq. 1 */
    {{"elu", elu_params}, NULL, NULL, {MTL__CURVE_ELU, 0, 1}},
    /* Klambauer et al. 2017, eq. 2 and the constants behind eq. 14 */
    {{.name = "selu"}, NULL, NULL, {MTL__CURVE_ELU, 1.6732632423543772f, 1.0507009873554805f}},
    /* Hendrycks & Gimpel 2016, and the approximation there */
    {{.name = "gelu"}, NULL, NULL, {MTL__CURVE_GELU, 0, 0}},
    {{.name = "gelu_tanh"}, NULL, NULL, {MTL__CURVE_GELU_TANH, 0, 0}},
    /* Elfwing et al. 2018; Ramachandran et al. 2017 (swish with beta = 1) */
    {{.name = "silu"}, NULL, NULL, {MTL__CURVE_SILU, 0, 0}},
    /* Dugas et al. 2001 */
    {{.name = "softplus"}, NULL, NULL, {MTL__CURVE_SOFTPLUS, 0, 0}},
    /* Howard et al. 2019, section 5.2 */
    {{.name = "hard_swish"}, NULL, NULL, {MTL__CURVE_HARD_SWISH, 0, 0}},
    /* Misra 2019 */
    {{.name = "mish"}, NULL, NULL, {MTL__CURVE_MISH, 0, 0}},
};

const mtl__choice_table mtl__activations = MTL__CHOICE_TABLE("activation", rows);

mtl_status mtl__act_parse(const char *text, int64_t length, mtl__act *out, mtl_error *err)
{
    mtl__choice c;
    mtl_status st = mtl__choice_parse(&mtl__activations, text, length, &c, err);
    if (st != MTL_OK)
        return st;
    out->row = c.row;
    out->curve = out->row->curve;
    if (out->row->choice.param)
        out->curve.a = (float)c.value[0];
    return MTL_OK;
}

void mtl__act_text(const mtl__act *a, mtl__bytes *out)
{
    const mtl__choice_param *param = a->row->choice.param;
    mtl__bytes_text(out, a->row->choice.name);
    if (param)
        mtl__bytes_format(out, ":%s=%s", param->key, mtl__num((double)a->curve.a).text);
}
