/* SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <string.h>

#include "base/text.h"

static void dense_line(mtl__bytes *b, const char *where, const mtl__layer *l)
{
    const int64_t streams = mtl__streams_count(l->to);
    mtl__bytes_format(b, "%-24.64s ", where);
    if (l->to.tasks)
        mtl__bytes_format(b, "%lld times ", (long long)streams);
    mtl__bytes_format(b, "dense %lld -> %lld ", (long long)l->rows, (long long)(l->out / streams));
    mtl__act_text(&l->act, b);
    mtl__bytes_format(b, ", %lld parameters\n", (long long)((l->rows + 1) * l->out));
}

static void layer_line(mtl__bytes *b, const char *where, const mtl__layer *l)
{
    if (l->type == &mtl__dense_layer)
        dense_line(b, where, l);
    else if (l->type == &mtl__dropout_layer)
        mtl__bytes_format(b, "%-24.64s dropout %s\n", where, mtl__num(l->rate).text);
    else if (l->type == &mtl__residual_layer)
        mtl__bytes_format(b, "%-24.64s residual over %lld layers\n", where, (long long)l->column);
    else if (l->type == &mtl__embedding_layer)
        mtl__bytes_format(b, "%-24.64s embedding of column %lld, %lld categories -> %lld\n", where,
                          (long long)l->input, (long long)l->rows - 1, (long long)l->cols);
    else if (l->type == &mtl__factors_layer && l->members == 1)
        mtl__bytes_format(b, "%-24.64s scaling of %lld inputs, %s times the learning rate\n", where,
                          (long long)l->out, mtl__num(l->rate).text);
    else if (l->type == &mtl__parametric_layer) {
        mtl__bytes_format(b, "%-24.64s a share of ", where);
        mtl__act_text(&l->mixed, b);
        mtl__bytes_format(b, " in %lld columns, %s times the learning rate\n", (long long)l->out,
                          mtl__num(l->rate).text);
    } else if (mtl__numeric_of(l->type))
        mtl__bytes_format(b, "%-24.64s %s of %lld columns -> %lld each\n", where, l->type->name,
                          (long long)l->embeds, (long long)l->units);
    else if (l->type == &mtl__stitch_layer)
        mtl__bytes_format(b, "%-24.64s cross-stitch of %lld tasks\n", where, (long long)l->cols);
    else if (l->type == &mtl__gate_layer)
        mtl__bytes_format(b, "%-24.64s %lld gates over %lld experts, %lld parameters\n", where,
                          (long long)mtl__streams_count(l->to),
                          (long long)mtl__streams_count(l->from), (long long)(l->rows * l->cols));
    else
        mtl__bytes_format(b, "%-24.64s %s %lld\n", where, l->type->name, (long long)l->out);
}

static void task_lines(mtl__bytes *b, const mtl_model *m, int64_t task)
{
    const mtl__task_spec *t = &m->spec->task[task];
    const mtl__chain *c = &m->net.head[m->net.task[task].chain];
    const int64_t in = m->net.layer[c->first + c->count - 1].in, members = m->net.members;
    for (int64_t i = 0; i < c->count - 1; i++)
        layer_line(b, t->name, &m->net.layer[c->first + i]);
    mtl__bytes_format(b, "%-24.64s %s, %s, weight %s, dense %lld -> %lld, %lld parameters\n",
                      t->name, mtl__kind_name(t->kind), t->loss->choice.name,
                      mtl__num(t->weight).text, (long long)in, (long long)t->outputs,
                      (long long)((in + 1) * t->outputs * members));
}

static int64_t count_params(const mtl_model *m)
{
    int64_t n = 0;
    for (int64_t i = 0; i < m->params; i++)
        n += m->param[i].shape[0] * m->param[i].shape[1];
    return n;
}

static void network_lines(mtl__bytes *b, const mtl_model *m)
{
    mtl__bytes_format(b, "%-24s %lld columns%s\n", "inputs", (long long)m->net.raw_inputs,
                      m->pipe.is_fitted ? ", scaled as the training rows say" : "");
    if (m->net.has_streams) {
        mtl__bytes_format(b, "%-24s ", "architecture");
        mtl__spec_architecture_text(m->spec, b);
        mtl__bytes_text(b, "\n");
    }
    if (m->net.members > 1)
        mtl__bytes_format(b, "%-24s %s, %lld members\n", "ensemble",
                          mtl__ensemble_name(m->spec->ensemble), (long long)m->net.members);
    if (m->spec->missing_indicators)
        mtl__bytes_format(b, "%-24s 1 where an input is missing\n", "missing indicators");
    for (int64_t i = 0; i < m->net.trunk_layers; i++)
        layer_line(b, "trunk", &m->net.layer[i]);
    for (int64_t t = 0; t < m->net.tasks; t++)
        task_lines(b, m, t);
    if (m->net.skip >= 0)
        mtl__bytes_format(b, "%-24s inputs -> all tasks, %lld parameters\n", "linear skip",
                          (long long)(m->net.inputs * m->net.outputs));
}

/* Its weights for the tasks that it has a share in, then its layers. */
static void member_lines(mtl__bytes *b, const mtl_model *m, int64_t k)
{
    mtl__bytes_format(b, "member.%lld", (long long)k);
    for (int64_t t = 0; t < m->net.tasks; t++) {
        const double weight = m->members->weight[k * m->net.tasks + t];
        if (weight > 0)
            mtl__bytes_format(b, ", %s of %.64s", mtl__num(weight).text, m->spec->task[t].name);
    }
    mtl__bytes_text(b, "\n");
    network_lines(b, m->members->model[k]);
}

mtl_status mtl__model_summary(const mtl_model *m, char **text, mtl_error *err)
{
    mtl__bytes b;
    mtl__bytes_init(&b, &m->ctx->al);
    if (!m->members)
        network_lines(&b, m);
    for (int64_t k = 0; m->members && k < m->members->count; k++)
        member_lines(&b, m, k);
    mtl__bytes_format(&b, "%-24s %lld parameters\n", "in all", (long long)count_params(m));
    mtl__bytes_append(&b, "", 1);
    char *copy = b.failed ? NULL : mtl__buffer_alloc(&m->ctx->al, b.size);
    if (copy)
        memcpy(copy, b.p, (size_t)b.size);
    mtl__bytes_free(&b);
    if (!copy)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a summary");
    *text = copy;
    return MTL_OK;
}
