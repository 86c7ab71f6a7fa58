/* SPDX-License-Identifier: MIT */
/* The bits of whole fits, transfers and saved numbers, so that modules can be rewritten without fear. A hash
   that changes is a change of numbers: it needs a reason, a line in CHANGELOG.md and a new hash here
   (MTL_TEST_PRINT=1 prints them). They hold for every instruction set, thread count, compiler and
   architecture. */
#include "api_testing.h"

enum { ROWS = 120 };

static const char *const contexts[] = {"threads=1 cpu=c", "threads=1 cpu=avx2", "threads=2",
                                       "threads=3 cpu=c", "threads=7"};

typedef uint64_t golden_fn(mtl_context *ctx, const problem *p);

static uint64_t fresh(mtl_context *ctx, const problem *p)
{
    mtl_model *m = problem_model(ctx);
    uint64_t hash = model_hash(m) ^ predict_hash(m, p);
    mtl_model_destroy(m);
    return hash;
}

static mtl_model *fitted(mtl_context *ctx, const problem *p, const char *text)
{
    mtl_dataset *d = problem_data(p, ctx);
    mtl_model *m = problem_model(ctx);
    fit(m, d, text);
    mtl_dataset_destroy(d);
    return m;
}

static uint64_t plain_fit(mtl_context *ctx, const problem *p)
{
    mtl_model *m = fitted(ctx, p, "epochs=5 seed=1");
    uint64_t hash = model_hash(m) ^ predict_hash(m, p);
    mtl_model_destroy(m);
    return hash;
}

static uint64_t full_fit(mtl_context *ctx, const problem *p)
{
    mtl_model *m = fitted(ctx, p,
                          "epochs=30 seed=2 batch_size=7 learning_rate=0.02 l1=0.0001 l2=0.001 "
                          "validation_split=0.25 validation=random patience=3");
    uint64_t hash = model_hash(m) ^ predict_hash(m, p);
    mtl_model_destroy(m);
    return hash;
}

static uint64_t moved(mtl_context *ctx, const problem *p)
{
    mtl_model *m = fitted(ctx, p, "epochs=5 seed=1"), *tuned = NULL;
    mtl_dataset *known = problem_data(p, ctx), *target = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=lp_ft epochs=4 seed=3");
    done(mtl_dataset_create(ctx, p->x, 30, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, p->tags, 2, err));
    done(mtl_transfer(m, target, known, o, &tuned, NULL, err));
    uint64_t hash = model_hash(tuned) ^ predict_hash(tuned, p);
    mtl_options_destroy(o);
    mtl_dataset_destroy(known), mtl_dataset_destroy(target);
    mtl_model_destroy(m), mtl_model_destroy(tuned);
    return hash;
}

static uint64_t saved(mtl_context *ctx, const problem *p)
{
    mtl_model *m = fitted(ctx, p, "epochs=2");
    void *buffer = NULL;
    int64_t bytes;
    done(mtl_model_save_buffer(m, &buffer, &bytes, err));
    uint64_t header; /* has the library's version in it: only the numbers count here */
    memcpy(&header, buffer, 8);
    uint64_t hash = hash_bytes(HASH_START, (char *)buffer + 8 + header, (size_t)bytes - 8 - header);
    mtl_free(buffer);
    mtl_model_destroy(m);
    return hash;
}

static uint64_t made(mtl_context *ctx, const problem *p)
{
    (void)p;
    mtl_dataset *d = NULL, *a = NULL, *b = NULL;
    float x[50 * 20], y[50];
    done(mtl_dataset_make_classification(ctx, NULL, &d, err));
    done(mtl_dataset_split(d, 0.5, 4, &a, &b, err));
    ck_assert_int_eq(mtl_dataset_inputs(a), 20);
    done(mtl_dataset_get_inputs(a, 0, 50, x, 20, err));
    done(mtl_dataset_get_labels(a, "class", 0, 50, y, 1, err));
    uint64_t hash = hash_bytes(hash_bytes(HASH_START, x, sizeof x), y, sizeof y);
    mtl_dataset_destroy(d), mtl_dataset_destroy(a), mtl_dataset_destroy(b);
    return hash;
}

static const struct {
    const char *name;
    golden_fn *fn;
    uint64_t expected;
} rows[] = {
    {"fresh weights", fresh, 0x9d1bedd336b8c9f0},
    {"a fit", plain_fit, 0x89ea3144864c5159},
    {"a fit with everything", full_fit, 0x3f9fc6663feb8950},
    {"a transfer", moved, 0x60be047cdc3880d9},
    {"the numbers of a file", saved, 0x68bb6a4cba144f1f},
    {"generated data, split", made, 0x3933ab1809ef0e66},
};

START_TEST(golden_bits)
{
    problem p = problem_make(ROWS, 5, 15);
    for (size_t c = 0; c < sizeof contexts / sizeof *contexts; c++) {
        mtl_context *ctx = context(contexts[c]);
        uint64_t hash = rows[_i].fn(ctx, &p);
        mtl_context_destroy(ctx);
        if (getenv("MTL_TEST_PRINT") && c == 0)
            printf("    {\"%s\", ..., 0x%016llx},\n", rows[_i].name, (unsigned long long)hash);
        ck_assert_msg(hash == rows[_i].expected, "%s with %s: 0x%016llx", rows[_i].name, contexts[c],
                      (unsigned long long)hash);
    }
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden_bits");
    TCase *tc = tcase_create("bits are those that they were");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, golden_bits, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
