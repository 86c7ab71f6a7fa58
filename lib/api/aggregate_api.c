/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include <math.h>
#include <string.h>

#include "aggregate/aggregate.h"
#include "aggregate/grouping.h"
#include "io/byteorder.h"
#include "io/crc32c.h"

enum { MOST_TASKS = 65536 };
static const uint64_t most_seed = 9007199254740991;

static mtl_status create(const char *kind, int64_t m, int64_t n, uint64_t seed,
                         mtl_aggregator **out, mtl_error *err)
{
    REQUIRE(kind);
    if (m < 1 || m > MOST_TASKS)
        return MTL_FAIL(err, MTL_ERR_RANGE, "m: %lld tasks, must be 1 .. %d", (long long)m,
                        MOST_TASKS);
    if (n < 0)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "n: gradients of %lld values", (long long)n);
    if (seed > most_seed)
        return MTL_FAIL(err, MTL_ERR_RANGE, "seed: must be at most %llu",
                        (unsigned long long)most_seed);
    return mtl__aggregator_create(kind, m, n, seed, &mtl__allocator_default, out, err);
}

mtl_status mtl_aggregator_create(const char *kind, int64_t m, int64_t n, uint64_t seed,
                                 mtl_aggregator **out, mtl_error *err)
{
    REQUIRE(out);
    return create(kind, m, n, seed, out, err);
}

void mtl_aggregator_destroy(mtl_aggregator *agg)
{
    mtl__aggregator_destroy(agg, &mtl__allocator_default);
}

void mtl_aggregator_reset(mtl_aggregator *agg)
{
    if (agg)
        mtl__aggregator_reset(agg);
}

/* Does the kind look at the gradients, one way or the other? */
static bool looks(const mtl_aggregator *agg)
{
    return agg->row->uses & (MTL__AGG_GRAM | MTL__AGG_JACOBIAN);
}

static mtl_status run(mtl_aggregator *agg, const mtl__agg_step *step, double *weights,
                      float *update, double *residual, mtl_error *err)
{
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__aggregator_run(agg, step, weights, update, residual, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_aggregator_step(mtl_aggregator *agg, const float *jacobian, int64_t row_stride,
                               const double *losses, double *weights, float *update,
                               double *residual, mtl_error *err)
{
    REQUIRE(agg);
    if (jacobian || looks(agg) || update) {
        mtl_status st = mtl__check_matrix("jacobian", jacobian, agg->m, agg->n, row_stride, err);
        if (st != MTL_OK)
            return st;
    }
    return run(agg,
               &(mtl__agg_step){.rows = agg->n > 0 ? jacobian : NULL,
                                .row_stride = row_stride,
                                .losses = losses},
               weights, agg->n > 0 ? update : NULL, residual, err);
}

mtl_status mtl_aggregator_step_gram(mtl_aggregator *agg, const double *gram, int64_t row_stride,
                                    const double *losses, double *weights, double *residual,
                                    mtl_error *err)
{
    REQUIRE(agg);
    if (agg->row->uses & MTL__AGG_JACOBIAN)
        return MTL_FAIL(err, MTL_ERR_INVALID, "%s needs the Jacobian, not its Gramian",
                        agg->row->choice.name);
    if (gram || looks(agg)) {
        mtl_status st = mtl__check_matrix("gram", gram, agg->m, agg->m, row_stride, err);
        if (st != MTL_OK)
            return st;
    }
    return run(agg, &(mtl__agg_step){.gram = gram, .gram_stride = row_stride, .losses = losses},
               weights, NULL, residual, err);
}

mtl_status mtl_aggregator_feedback(mtl_aggregator *agg, const double *losses, mtl_error *err)
{
    REQUIRE(agg);
    REQUIRE(losses);
    mtl__fpstate fp = mtl__fp_enter();
    mtl__aggregator_feedback(agg, losses);
    mtl__fp_leave(fp);
    return MTL_OK;
}

mtl_status mtl_aggregate(const char *kind, int64_t m, int64_t n, const float *jacobian,
                         int64_t row_stride, const double *losses, double *weights, float *update,
                         double *residual, mtl_error *err)
{
    mtl_aggregator *agg;
    mtl_status st = create(kind, m, n, 0, &agg, err);
    if (st != MTL_OK)
        return st;
    st = mtl_aggregator_step(agg, jacobian, row_stride, losses, weights, update, residual, err);
    mtl_aggregator_destroy(agg);
    return st;
}

mtl_status mtl_aggregate_gram(const char *kind, int64_t m, const double *gram, int64_t row_stride,
                              const double *losses, double *weights, double *residual,
                              mtl_error *err)
{
    mtl_aggregator *agg;
    mtl_status st = create(kind, m, 0, 0, &agg, err);
    if (st != MTL_OK)
        return st;
    st = mtl_aggregator_step_gram(agg, gram, row_stride, losses, weights, residual, err);
    mtl_aggregator_destroy(agg);
    return st;
}

/* --- groups of tasks -----------------------------------------------------------------------------
 */

enum { MOST_GROUPED = 1000 };

mtl_status mtl_task_groups(int64_t tasks, const double *affinity, int64_t row_stride,
                           int64_t most_groups, int64_t *group, double *score, mtl_error *err)
{
    REQUIRE(group);
    if (tasks < 1 || tasks > MOST_GROUPED)
        return MTL_FAIL(err, MTL_ERR_RANGE, "tasks: %lld, must be 1 .. %d", (long long)tasks,
                        MOST_GROUPED);
    if (most_groups < 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "most_groups: %lld, must be 0 or more",
                        (long long)most_groups);
    mtl_status st = mtl__check_matrix("affinity", affinity, tasks, tasks, row_stride, err);
    if (st != MTL_OK)
        return st;
    for (int64_t i = 0; i < tasks; i++)
        for (int64_t j = 0; j < tasks; j++)
            if (!(fabs(affinity[i * row_stride + j]) <= MTL__MOST_AFFINITY))
                return MTL_FAIL(err, MTL_ERR_VALUE,
                                "affinity of task %lld to task %lld: must be a number of at most "
                                "1e150 in size",
                                (long long)i, (long long)j);
    const int64_t most = most_groups == 0 || most_groups > tasks ? tasks : most_groups;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__task_groups(tasks, affinity, row_stride, most, group, score, &mtl__allocator_default,
                          err);
    mtl__fp_leave(fp);
    return st;
}

/* --- as bytes ------------------------------------------------------------------------------------
 */

/* "MTLAGG", version 1 and a zero; then, little-endian, 64 bits each: length of the kind, m, n,
   seed, step, number of states; the kind padded to 8 bytes with zeroes; the states; CRC-32C of all
   that. */
static const char magic[8] = "MTLAGG\1";
enum { FIELDS = 6, HEAD = 8 + 8 * FIELDS, VERSION_AT = 6, LONGEST_KIND = 1 << 24 };

static int64_t padded(int64_t length)
{
    return (length + 7) / 8 * 8;
}

static int64_t size_of(int64_t length, int64_t states)
{
    return HEAD + padded(length) + 8 * states + 8;
}

mtl_status mtl_aggregator_save_buffer(const mtl_aggregator *agg, void **buffer, int64_t *bytes,
                                      mtl_error *err)
{
    REQUIRE(agg);
    REQUIRE(buffer);
    REQUIRE(bytes);
    const int64_t length = (int64_t)strlen(agg->kind), size = size_of(length, agg->states);
    const uint64_t field[FIELDS] = {(uint64_t)length, (uint64_t)agg->m,    (uint64_t)agg->n,
                                    agg->seed,        (uint64_t)agg->step, (uint64_t)agg->states};
    char *p = mtl__buffer_alloc(&mtl__allocator_default, size);
    if (!p)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld bytes", (long long)size);
    memset(p, 0, (size_t)size);
    memcpy(p, magic, sizeof magic);
    for (int i = 0; i < FIELDS; i++)
        mtl__store_le64(p + 8 + 8 * i, field[i]);
    memcpy(p + HEAD, agg->kind, (size_t)length);
    for (int64_t i = 0; i < agg->states; i++) {
        uint64_t bits;
        memcpy(&bits, &agg->state[i], sizeof bits);
        mtl__store_le64(p + HEAD + padded(length) + 8 * i, bits);
    }
    mtl__store_le64(p + size - 8, mtl__crc32c(0, p, size - 8));
    *buffer = p;
    *bytes = size;
    return MTL_OK;
}

static mtl_status check_bytes(const char *p, int64_t bytes, mtl_error *err)
{
    if (bytes < size_of(0, 0) || memcmp(p, magic, VERSION_AT) != 0)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "no saved aggregator: %lld bytes", (long long)bytes);
    if (memcmp(p, magic, sizeof magic) != 0)
        return MTL_FAIL(err, MTL_ERR_VERSION, "an aggregator of a later version");
    const uint64_t length = mtl__load_le64(p + 8), states = mtl__load_le64(p + 48);
    if (length > LONGEST_KIND || states > (uint64_t)bytes / 8 ||
        size_of((int64_t)length, (int64_t)states) != bytes ||
        memchr(p + HEAD, 0, (size_t)length) != NULL)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "a saved aggregator of %lld bytes is cut or malformed",
                        (long long)bytes);
    if (mtl__load_le64(p + bytes - 8) != mtl__crc32c(0, p, bytes - 8))
        return MTL_FAIL(err, MTL_ERR_CHECKSUM, "a saved aggregator does not match its checksum");
    return MTL_OK;
}

/* The states of a handle made for these bytes. */
static mtl_status take_states(mtl_aggregator *agg, const char *p, int64_t length, mtl_error *err)
{
    const uint64_t step = mtl__load_le64(p + 40);
    if (mtl__load_le64(p + 48) != (uint64_t)agg->states || step > INT64_MAX / 2)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "a saved aggregator has the wrong number of states");
    agg->step = (int64_t)step;
    for (int64_t i = 0; i < agg->states; i++) {
        const uint64_t bits = mtl__load_le64(p + HEAD + padded(length) + 8 * i);
        memcpy(&agg->state[i], &bits, sizeof bits);
        if (!isfinite(agg->state[i]))
            return MTL_FAIL(err, MTL_ERR_FORMAT, "state %lld of a saved aggregator is not finite",
                            (long long)i);
    }
    return MTL_OK;
}

/* What is as large as J must be there before memory is taken for it. */
static bool fits(const char *kind, uint64_t m, uint64_t n, uint64_t states)
{
    mtl__choice choice;
    if (m > MOST_TASKS || n > INT64_MAX / 16 / MOST_TASKS ||
        mtl__choice_parse(&mtl__aggregate_table, kind, -1, &choice, NULL) != MTL_OK)
        return false;
    return !(((const mtl__aggregation *)choice.row)->uses & MTL__AGG_TRACKS) || m * n <= states;
}

mtl_status mtl_aggregator_load_buffer(const void *buffer, int64_t bytes, mtl_aggregator **out,
                                      mtl_error *err)
{
    const char *p = buffer;
    mtl_aggregator *agg = NULL;
    mtl_error why = {0};
    REQUIRE(buffer);
    REQUIRE(out);
    mtl_status st = check_bytes(p, bytes, err);
    if (st != MTL_OK)
        return st;
    const uint64_t length = mtl__load_le64(p + 8), m = mtl__load_le64(p + 16),
                   n = mtl__load_le64(p + 24);
    char *kind = mtl__alloc_zero(&mtl__allocator_default, (int64_t)length + 1);
    if (!kind)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for an aggregator");
    memcpy(kind, p + HEAD, length);
    if (!fits(kind, m, n, mtl__load_le64(p + 48)))
        st = MTL_ERR_FORMAT;
    else
        st = create(kind, (int64_t)m, (int64_t)n, mtl__load_le64(p + 32), &agg, &why);
    mtl__free(&mtl__allocator_default, kind, (int64_t)length + 1);
    if (st == MTL_ERR_NOMEM)
        return MTL_FAIL(err, st, "%s", why.message);
    if (st != MTL_OK)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "a saved aggregator is of no known kind: %s",
                        why.message);
    st = take_states(agg, p, (int64_t)length, err);
    if (st != MTL_OK)
        mtl_aggregator_destroy(agg);
    else
        *out = agg;
    return st;
}
