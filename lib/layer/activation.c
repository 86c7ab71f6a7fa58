/* SPDX-License-Identifier: MIT */
#include "layer/activation.h"

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

static const mtl__activation rows[] = {
    {{.name = "identity"}, forward_identity, NULL},
    {{.name = "relu"}, forward_relu, backward_relu},
    {{.name = "tanh"}, forward_tanh, backward_tanh},
    {{.name = "sigmoid"}, forward_sigmoid, backward_sigmoid},
};

const mtl__choice_table mtl__activations = MTL__CHOICE_TABLE("activation", rows);
