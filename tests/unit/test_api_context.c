/* SPDX-License-Identifier: MIT */
/* Group context: allocator, threads, instruction set, log, life time. */
#include "api_testing.h"

/* Everything that can be made from a context. */
static void use_everything(mtl_context *ctx)
{
    problem p = problem_make(60, 1, 20);
    mtl_dataset *d = problem_data(&p, ctx), *part = NULL, *rest = NULL, *copy = NULL, *both = NULL;
    mtl_model *m = problem_model(ctx), *clone = NULL, *loaded = NULL, *moved = NULL;
    mtl_report *r = NULL, *judged = NULL;
    char *text = NULL, *json = NULL;
    void *buffer = NULL;
    int64_t bytes = 0;
    done(mtl_dataset_split(d, 0.7, 1, &part, &rest, err));
    done(mtl_dataset_copy(part, &copy, err));
    done(mtl_dataset_concat(2, (const mtl_dataset *[]){part, rest}, &both, err));
    done(mtl_dataset_add_rows(copy, "extra", 3, p.x, PROBLEM_INPUTS, 1, (float[]){0, 1, 1}, 1, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2 validation_split=0.2 patience=5");
    done(mtl_fit(m, both, NULL, o, &r, err));
    done(mtl_evaluate(m, rest, NULL, &judged, err));
    done(mtl_report_to_json(r, &json, err));
    done(mtl_model_summary(m, &text, err));
    done(mtl_model_clone(m, &clone, err));
    done(mtl_model_save_buffer(m, &buffer, &bytes, err));
    done(mtl_model_load_buffer(ctx, buffer, bytes, &loaded, err));
    mtl_options *how = options(MTL_OPTIONS_TRANSFER, "epochs=2");
    done(mtl_transfer(m, copy, part, how, &moved, NULL, err));
    predict_hash(loaded, &p);
    mtl_options_destroy(o), mtl_options_destroy(how);
    mtl_free(json), mtl_free(text), mtl_free(buffer);
    mtl_report_destroy(r), mtl_report_destroy(judged);
    mtl_model_destroy(moved), mtl_model_destroy(loaded), mtl_model_destroy(clone);
    mtl_model_destroy(m);
    mtl_dataset_destroy(both), mtl_dataset_destroy(copy), mtl_dataset_destroy(rest);
    mtl_dataset_destroy(part), mtl_dataset_destroy(d);
    problem_free(&p);
}

START_TEST(allocator_gets_everything_back)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=3");
    use_everything(ctx);
    ck_assert_int_gt(t.calls, 20);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(t.live, 0);
    ck_assert_int_eq(t.live_bytes, 0);
}
END_TEST

START_TEST(allocator_rules)
{
    test_memory t = {0};
    mtl_context *ctx = context("");
    refused(mtl_context_set_allocator(NULL, test_alloc, test_free, &t, err), MTL_ERR_INVALID, "ctx");
    refused(mtl_context_set_allocator(ctx, test_alloc, NULL, &t, err), MTL_ERR_INVALID, "free_cb");
    refused(mtl_context_set_allocator(ctx, NULL, test_free, &t, err), MTL_ERR_INVALID, "alloc_cb");
    done(mtl_context_set_allocator(ctx, test_alloc, test_free, &t, err));
    done(mtl_context_set_allocator(ctx, NULL, NULL, NULL, err)); /* back to the C library's */
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, 3, &s, err));
    ck_assert_int_eq(t.calls, 0);
    refused(mtl_context_set_allocator(ctx, test_alloc, test_free, &t, err), MTL_ERR_STATE, "");
    mtl_spec_destroy(s);
    mtl_context_destroy(ctx);
}
END_TEST

START_TEST(handles_keep_the_context)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=2");
    problem p = problem_make(40, 1, 0);
    mtl_dataset *d = problem_data(&p, ctx), *part = NULL, *rest = NULL;
    mtl_spec *s = problem_spec(ctx);
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    void *buffer = NULL;
    int64_t bytes;
    mtl_context_destroy(ctx); /* the handles hold it */
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    done(mtl_dataset_split(d, 0.5, 0, &part, &rest, err));
    mtl_dataset_destroy(d);
    done(mtl_fit(m, part, rest, NULL, &r, err));
    done(mtl_model_save_buffer(m, &buffer, &bytes, err));
    mtl_model_destroy(m);
    mtl_dataset_destroy(part);
    mtl_dataset_destroy(rest);
    ck_assert_double_eq(figure(r, "epochs"), 10);
    mtl_report_destroy(r);
    /* A buffer does not hold the context, yet is released with the context's allocator. */
    ck_assert_int_ge(t.live, 1);
    mtl_free(buffer);
    ck_assert_int_eq(t.live, 0);
    problem_free(&p);
}
END_TEST

START_TEST(levels)
{
    static const char *const names[] = {"c", "neon", "avx2", "avx512"};
    const char *best = mtl_cpu_level(NULL);
    bool known = false;
    for (int i = 0; i < 4; i++)
        known = known || strcmp(best, names[i]) == 0;
    ck_assert_msg(known, "level \"%s\"", best);
    mtl_context *ctx = context("cpu=c");
    ck_assert_str_eq(mtl_cpu_level(ctx), "c");
    mtl_context_destroy(ctx);
    ctx = context("cpu=auto");
    ck_assert_str_eq(mtl_cpu_level(ctx), best);
    mtl_context_destroy(ctx);
    ctx = context("cpu=avx512"); /* a wish: what the CPU lacks is not used */
    ck_assert_str_eq(mtl_cpu_level(ctx), best);
    mtl_context_destroy(ctx);
}
END_TEST

START_TEST(environment)
{
    const char *before = getenv("MTL_CPU");
    char *kept = before ? strdup(before) : NULL;
    setenv("MTL_CPU", "c", 1);
    ck_assert_str_eq(mtl_cpu_level(NULL), "c");
    mtl_context *ctx = context("cpu=avx512");
    ck_assert_str_eq(mtl_cpu_level(ctx), "c");
    mtl_context_destroy(ctx);
    unsetenv("MTL_CPU");
    const char *best = mtl_cpu_level(NULL);
    setenv("MTL_CPU", "nonsense", 1); /* ignored */
    ck_assert_str_eq(mtl_cpu_level(NULL), best);
    if (kept)
        setenv("MTL_CPU", kept, 1);
    else
        unsetenv("MTL_CPU");
    free(kept);
}
END_TEST

START_TEST(blis_is_asked_for)
{
    mtl_options *o = options(MTL_OPTIONS_CONTEXT, "gemm=blis");
    mtl_context *ctx = NULL;
    if (mtl_has("blis")) {
        done(mtl_context_create(o, &ctx, err));
        use_everything(ctx);
    } else {
        refused(mtl_context_create(o, &ctx, err), MTL_ERR_INVALID, "blis");
        ck_assert_ptr_null(ctx);
    }
    mtl_context_destroy(ctx);
    mtl_options_destroy(o);
}
END_TEST

static void count_lines(int32_t level, const char *message, void *user)
{
    ck_assert(level == 1 || level == 2);
    ck_assert_ptr_null(strchr(message, '\n'));
    ++*(int *)user;
}

START_TEST(log_is_optional)
{
    int lines = 0;
    mtl_context *ctx = context("");
    refused(mtl_context_set_log(NULL, count_lines, &lines, err), MTL_ERR_INVALID, "ctx");
    done(mtl_context_set_log(ctx, count_lines, &lines, err));
    use_everything(ctx);
    int after = lines;
    done(mtl_context_set_log(ctx, NULL, NULL, err));
    use_everything(ctx);
    ck_assert_int_eq(lines, after);
    mtl_context_destroy(ctx);
}
END_TEST

START_TEST(arguments)
{
    refused(mtl_context_create(NULL, NULL, err), MTL_ERR_INVALID, "out");
    mtl_context_destroy(NULL);
}
END_TEST

/* Nothing goes to the host's standard output and error. */
START_TEST(silence)
{
    FILE *catcher = tmpfile();
    ck_assert_ptr_nonnull(catcher);
    fflush(NULL);
    int out = dup(1), errors = dup(2);
    dup2(fileno(catcher), 1), dup2(fileno(catcher), 2);
    mtl_context *ctx = context("threads=2");
    use_everything(ctx);
    mtl_context_destroy(ctx);
    mtl_model *m = NULL;
    mtl_status st = mtl_model_load(NULL, "/no/such/file", &m, NULL);
    fflush(NULL);
    dup2(out, 1), dup2(errors, 2);
    close(out), close(errors);
    ck_assert_int_eq(st, MTL_ERR_IO);
    ck_assert_int_eq(lseek(fileno(catcher), 0, SEEK_END), 0);
    fclose(catcher);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_context");
    add_case(s, "the allocator gets everything back", allocator_gets_everything_back);
    add_case(s, "an allocator is set before anything is made", allocator_rules);
    add_case(s, "handles keep their context", handles_keep_the_context);
    add_case(s, "the instruction set can be lowered, not raised", levels);
    add_case(s, "MTL_CPU lowers the instruction set", environment);
    add_case(s, "blis is there or refused", blis_is_asked_for);
    add_case(s, "the log can be set and taken away", log_is_optional);
    add_case(s, "arguments are checked", arguments);
    add_case(s, "nothing is printed", silence);
    return run_suite(s);
}
