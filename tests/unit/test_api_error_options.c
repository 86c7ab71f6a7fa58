/* SPDX-License-Identifier: MIT */
/* Groups library, error and options of the public header. */
#include "api_testing.h"

static const int32_t groups[] = {MTL_OPTIONS_CONTEXT,  MTL_OPTIONS_FIT, MTL_OPTIONS_TRANSFER,
                                 MTL_OPTIONS_EVALUATE, MTL_OPTIONS_CSV,
                                 MTL_OPTIONS_MAKE_CLASSIFICATION, MTL_OPTIONS_CALIBRATE};
enum { GROUPS = sizeof groups / sizeof *groups };

typedef struct row {
    int32_t group, type;
    const char *key, *initial, *range, *meaning;
} row;

static row row_of(int32_t group, int64_t index)
{
    row r = {.group = group};
    done(mtl_option_info(group, index, &r.key, &r.type, &r.initial, &r.range, &r.meaning, err));
    return r;
}

static mtl_options *created(int32_t group)
{
    mtl_options *o = NULL;
    done(mtl_options_create(group, &o, err));
    return o;
}

/* "low .. high" of a number's row. */
static void bounds(const row *r, double *low, double *high)
{
    char *end;
    *low = strtod(r->range, &end);
    ck_assert_msg(strncmp(end, " .. ", 4) == 0, "%s: range \"%s\"", r->key, r->range);
    *high = strtod(end + 4, &end);
    ck_assert_msg(*end == 0 && *low <= *high, "%s: range \"%s\"", r->key, r->range);
}

/* ---- library -------------------------------------------------------------------------------- */

START_TEST(library)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", mtl_version() / 10000, mtl_version() / 100 % 100,
             mtl_version() % 100);
    ck_assert_str_eq(mtl_version_string(), text);
    ck_assert_str_eq(MTL_VERSION_STRING, text);
    ck_assert_str_eq(mtl_status_name(MTL_OK), "MTL_OK");
    ck_assert_str_eq(mtl_status_name(MTL_ERR_DIVERGED), "MTL_ERR_DIVERGED");
    ck_assert_str_eq(mtl_status_name(1), "unknown status");
    ck_assert_str_eq(mtl_status_name(INT32_MIN), "unknown status");
    ck_assert_int_eq(mtl_has(NULL), 0);
    ck_assert_int_eq(mtl_has("magic"), 0);
    ck_assert(mtl_has("blis") == 0 || mtl_has("blis") == 1);
    mtl_free(NULL);
}
END_TEST

START_TEST(status_numbers)
{
    static const struct {
        mtl_status status, pinned;
        const char *name;
    } all[] = {
#define STATUS(name, number) {name, number, #name}
        STATUS(MTL_OK, 0),           STATUS(MTL_ERR_NOMEM, -1),   STATUS(MTL_ERR_INVALID, -10),
        STATUS(MTL_ERR_RANGE, -11),  STATUS(MTL_ERR_SHAPE, -12),  STATUS(MTL_ERR_KEY, -13),
        STATUS(MTL_ERR_TYPE, -14),   STATUS(MTL_ERR_NAME, -15),   STATUS(MTL_ERR_VALUE, -16),
        STATUS(MTL_ERR_DATA, -17),   STATUS(MTL_ERR_BUSY, -30),   STATUS(MTL_ERR_STATE, -31),
        STATUS(MTL_ERR_IO, -40),     STATUS(MTL_ERR_FORMAT, -41), STATUS(MTL_ERR_CHECKSUM, -42),
        STATUS(MTL_ERR_VERSION, -43), STATUS(MTL_ERR_DIVERGED, -60),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_int_eq(all[i].status, all[i].pinned);
        ck_assert_str_eq(mtl_status_name(all[i].status), all[i].name);
    }
}
END_TEST

/* ---- error ---------------------------------------------------------------------------------- */

START_TEST(error_life)
{
    mtl_error *err = mtl_error_create();
    ck_assert_ptr_nonnull(err);
    ck_assert_int_eq(mtl_error_code(err), MTL_OK);
    ck_assert_str_eq(mtl_error_message(err), "");
    mtl_options *o = created(MTL_OPTIONS_FIT);
    ck_assert_int_eq(mtl_options_set_i64(o, "epochs", 0, err), MTL_ERR_RANGE);
    ck_assert_int_eq(mtl_error_code(err), MTL_ERR_RANGE);
    char first[512];
    strcpy(first, mtl_error_message(err));
    /* The first failure stays, and a success does not clear it. */
    ck_assert_int_eq(mtl_options_set_i64(o, "nonsense", 0, err), MTL_ERR_KEY);
    ck_assert_int_eq(mtl_options_set_i64(o, "epochs", 7, err), MTL_OK);
    ck_assert_int_eq(mtl_error_code(err), MTL_ERR_RANGE);
    ck_assert_str_eq(mtl_error_message(err), first);
    mtl_error_clear(err);
    ck_assert_int_eq(mtl_error_code(err), MTL_OK);
    ck_assert_str_eq(mtl_error_message(err), "");
    ck_assert_int_eq(mtl_options_set_i64(o, "nonsense", 0, err), MTL_ERR_KEY);
    ck_assert_int_eq(mtl_error_code(err), MTL_ERR_KEY);
    mtl_options_destroy(o);
    mtl_error_destroy(err);
}
END_TEST

START_TEST(error_null)
{
    ck_assert_int_eq(mtl_error_code(NULL), MTL_OK);
    ck_assert_str_eq(mtl_error_message(NULL), "");
    mtl_error_clear(NULL);
    mtl_error_destroy(NULL);
    mtl_options *o = created(MTL_OPTIONS_FIT);
    ck_assert_int_eq(mtl_options_set_i64(o, "epochs", 0, NULL), MTL_ERR_RANGE);
    mtl_options_destroy(o);
}
END_TEST

START_TEST(error_long_text)
{
    /* A name that fills any fixed buffer is cut, not written past its end. */
    char key[5000];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    mtl_options *o = created(MTL_OPTIONS_FIT);
    refused(mtl_options_set_i64(o, key, 1, err), MTL_ERR_KEY, "kkkk");
    refused(mtl_options_set_str(o, "optimizer", key, err), MTL_ERR_RANGE, "kkkk");
    mtl_options_destroy(o);
}
END_TEST

/* ---- options: every row --------------------------------------------------------------------- */

START_TEST(rows_describe_themselves)
{
    for (int g = 0; g < GROUPS; g++) {
        ck_assert_int_gt(mtl_option_count(groups[g]), 0);
        for (int64_t i = 0; i < mtl_option_count(groups[g]); i++) {
            row r = row_of(groups[g], i);
            ck_assert_msg(r.type >= MTL_TYPE_I64 && r.type <= MTL_TYPE_STR, "%s", r.key);
            ck_assert_msg(*r.key && *r.meaning && r.initial && r.range, "%s", r.key);
            ck_assert_ptr_null(strchr(r.meaning, '\n'));
            for (int64_t j = 0; j < i; j++)
                ck_assert_str_ne(row_of(groups[g], j).key, r.key);
        }
        refused(mtl_option_info(groups[g], mtl_option_count(groups[g]), NULL, NULL, NULL, NULL,
                                NULL, err),
                MTL_ERR_RANGE, "");
        refused(mtl_option_info(groups[g], -1, NULL, NULL, NULL, NULL, NULL, err), MTL_ERR_RANGE,
                "-1");
    }
    ck_assert_int_gt(mtl_option_count(MTL_OPTIONS_TASK), 0);
    ck_assert_int_eq(mtl_option_count(0), 0);
    ck_assert_int_eq(mtl_option_count(99), 0);
    done(mtl_option_info(MTL_OPTIONS_FIT, 0, NULL, NULL, NULL, NULL, NULL, err));
}
END_TEST

static void check_number_row(mtl_options *o, const row *r)
{
    double low, high, initial = strtod(r->initial, NULL), value;
    int64_t whole;
    bounds(r, &low, &high);
    ck_assert_msg(low <= initial && initial <= high, "%s: default %s", r->key, r->initial);
    if (r->type == MTL_TYPE_I64) {
        done(mtl_options_get_i64(o, r->key, &whole, err));
        ck_assert_msg((double)whole == initial, "%s: %lld", r->key, (long long)whole);
        done(mtl_options_set_i64(o, r->key, (int64_t)high, err));
        refused(mtl_options_set_i64(o, r->key, (int64_t)high + 1, err), MTL_ERR_RANGE, r->key);
        refused(mtl_options_set_i64(o, r->key, INT64_MAX, err), MTL_ERR_RANGE, r->range);
        refused(mtl_options_set_i64(o, r->key, INT64_MIN, err), MTL_ERR_RANGE, r->range);
        refused(mtl_options_set_i64(o, r->key, (int64_t)low - 1, err), MTL_ERR_RANGE, r->key);
        done(mtl_options_get_i64(o, r->key, &whole, err));
        ck_assert_int_eq(whole, (int64_t)high); /* a refusal changes nothing */
        done(mtl_options_set_i64(o, r->key, (int64_t)low, err));
        done(mtl_options_get_i64(o, r->key, &whole, err));
        ck_assert_int_eq(whole, (int64_t)low);
        refused(mtl_options_set_f64(o, r->key, low, err), MTL_ERR_TYPE, r->key);
        refused(mtl_options_get_f64(o, r->key, &value, err), MTL_ERR_TYPE, r->key);
        return;
    }
    done(mtl_options_get_f64(o, r->key, &value, err));
    ck_assert_double_eq(value, initial);
    done(mtl_options_set_f64(o, r->key, high, err));
    refused(mtl_options_set_f64(o, r->key, nextafter(high, INFINITY), err), MTL_ERR_RANGE, r->key);
    refused(mtl_options_set_f64(o, r->key, INFINITY, err), MTL_ERR_RANGE, r->range);
    refused(mtl_options_set_f64(o, r->key, NAN, err), MTL_ERR_RANGE, r->key);
    refused(mtl_options_set_f64(o, r->key, nextafter(low, -INFINITY), err), MTL_ERR_RANGE, r->key);
    done(mtl_options_get_f64(o, r->key, &value, err));
    ck_assert_double_eq(value, high);
    double between = low + (high - low) / 3;
    done(mtl_options_set_f64(o, r->key, between, err));
    done(mtl_options_get_f64(o, r->key, &value, err));
    ck_assert_double_eq(value, between);
    double up = ceil(low);
    if (up <= high) { /* a whole number is a number */
        done(mtl_options_set_i64(o, r->key, (int64_t)up, err));
        done(mtl_options_get_f64(o, r->key, &value, err));
        ck_assert_double_eq(value, up);
    }
    refused(mtl_options_get_i64(o, r->key, &(int64_t){0}, err), MTL_ERR_TYPE, r->key);
    refused(mtl_options_set_str(o, r->key, "1", err), MTL_ERR_TYPE, r->key);
}

static void check_text_row(mtl_options *o, const row *r)
{
    const char *value;
    done(mtl_options_get_str(o, r->key, &value, err));
    ck_assert_str_eq(value, r->initial);
    done(mtl_options_set_str(o, r->key, r->initial, err));
    refused(mtl_options_set_i64(o, r->key, 1, err), MTL_ERR_TYPE, r->key);
    refused(mtl_options_get_f64(o, r->key, &(double){0}, err), MTL_ERR_TYPE, r->key);
    if (!*r->range) { /* free text */
        done(mtl_options_set_str(o, r->key, "any text", err));
        done(mtl_options_get_str(o, r->key, &value, err));
        ck_assert_str_eq(value, "any text");
        return;
    }
    char list[512];
    strcpy(list, r->range);
    for (char *word = strtok(list, "|"); word; word = strtok(NULL, "|")) {
        char copy[128];
        strcpy(copy, word);
        done(mtl_options_set_str(o, r->key, copy, err));
        memset(copy, 'x', sizeof copy); /* texts are copied */
        done(mtl_options_get_str(o, r->key, &value, err));
        ck_assert_str_eq(value, word);
    }
    char kept[512];
    strcpy(kept, value);
    refused(mtl_options_set_str(o, r->key, "no_such_choice", err), MTL_ERR_RANGE, "no_such_choice");
    refused(mtl_options_set_str(o, r->key, "", err), MTL_ERR_RANGE, "");
    done(mtl_options_get_str(o, r->key, &value, err));
    ck_assert_str_eq(value, kept);
}

START_TEST(rows_keep_their_ranges)
{
    for (int g = 0; g < GROUPS; g++)
        for (int64_t i = 0; i < mtl_option_count(groups[g]); i++) {
            row r = row_of(groups[g], i);
            mtl_options *o = created(groups[g]);
            if (r.type == MTL_TYPE_STR)
                check_text_row(o, &r);
            else
                check_number_row(o, &r);
            mtl_options_destroy(o);
        }
}
END_TEST

START_TEST(rows_name_the_nearest)
{
    for (int g = 0; g < GROUPS; g++)
        for (int64_t i = 0; i < mtl_option_count(groups[g]); i++) {
            row r = row_of(groups[g], i);
            mtl_options *o = created(groups[g]);
            char key[128];
            snprintf(key, sizeof key, "%s_", r.key);
            refused(mtl_options_set_i64(o, key, 1, err), MTL_ERR_KEY, r.key);
            refused(mtl_options_set_str(o, key, "a", err), MTL_ERR_KEY, key);
            refused(mtl_options_get_f64(o, key, &(double){0}, err), MTL_ERR_KEY, r.key);
            mtl_options_destroy(o);
        }
    mtl_options *o = created(MTL_OPTIONS_FIT);
    refused(mtl_options_set_i64(o, "epoch", 3, err), MTL_ERR_KEY, "\"epochs\"");
    refused(mtl_options_set_f64(o, "learningrate", 1, err), MTL_ERR_KEY, "\"learning_rate\"");
    mtl_options_destroy(o);
}
END_TEST

START_TEST(promised_keys)
{
    /* Keys that API.md promises to programs outside. */
    static const char *const fit_keys[] = {
        "epochs",      "batch_size", "learning_rate", "optimizer", "validation_split", "validation",
        "patience",    "shuffle",    "seed",          "l1",        "l2",               "time_limit",
        "scale_inputs", "scale_targets"};
    static const char *const transfer_keys[] = {"strategy", "replay", "seed", "time_limit"};
    for (size_t i = 0; i < sizeof fit_keys / sizeof *fit_keys; i++)
        option_type(MTL_OPTIONS_FIT, fit_keys[i]);
    for (size_t i = 0; i < sizeof transfer_keys / sizeof *transfer_keys; i++)
        option_type(MTL_OPTIONS_TRANSFER, transfer_keys[i]);
    option_type(MTL_OPTIONS_CONTEXT, "threads");
    option_type(MTL_OPTIONS_CONTEXT, "cpu");
    option_type(MTL_OPTIONS_CONTEXT, "gemm");
    option_type(MTL_OPTIONS_CSV, "labels");
    option_type(MTL_OPTIONS_EVALUATE, "metrics");
}
END_TEST

START_TEST(choices_with_parameters)
{
    mtl_options *o = created(MTL_OPTIONS_FIT);
    const char *value;
    done(mtl_options_set_str(o, "optimizer", "adam:beta1=0.8,eps=1e-9", err));
    done(mtl_options_get_str(o, "optimizer", &value, err));
    ck_assert_str_eq(value, "adam:beta1=0.8,eps=1e-9");
    refused(mtl_options_set_str(o, "optimizer", "adam:beta3=0.8", err), MTL_ERR_RANGE, "beta");
    refused(mtl_options_set_str(o, "optimizer", "adam:beta1=1.5", err), MTL_ERR_RANGE, "1.5");
    refused(mtl_options_set_str(o, "optimizer", "adam:beta1=", err), MTL_ERR_RANGE, "beta1");
    refused(mtl_options_set_str(o, "optimizer", "adam:beta1", err), MTL_ERR_RANGE, "beta1");
    refused(mtl_options_set_str(o, "optimizer", "adam:beta1=0.5x", err), MTL_ERR_RANGE, "beta1");
    refused(mtl_options_set_str(o, "optimizer", "adam:beta1=0,5", err), MTL_ERR_RANGE, "");
    refused(mtl_options_set_str(o, "optimizer", "adam:beta1=nan", err), MTL_ERR_RANGE, "beta1");
    refused(mtl_options_set_str(o, "optimizer", "adan", err), MTL_ERR_RANGE, "adam");
    done(mtl_options_get_str(o, "optimizer", &value, err));
    ck_assert_str_eq(value, "adam:beta1=0.8,eps=1e-9");
    mtl_options_destroy(o);
}
END_TEST

static int32_t go_on(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                     void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid, (void)user;
    return MTL_CONTINUE;
}

START_TEST(arguments)
{
    mtl_options *o = NULL;
    refused(mtl_options_create(0, &o, err), MTL_ERR_INVALID, "0");
    refused(mtl_options_create(99, &o, err), MTL_ERR_INVALID, "99");
    ck_assert_ptr_null(o); /* written on success only */
    refused(mtl_options_create(MTL_OPTIONS_FIT, NULL, err), MTL_ERR_INVALID, "out");
    mtl_options_destroy(NULL);
    o = created(MTL_OPTIONS_FIT);
    refused(mtl_options_set_i64(NULL, "epochs", 1, err), MTL_ERR_INVALID, "options");
    refused(mtl_options_set_i64(o, NULL, 1, err), MTL_ERR_INVALID, "key");
    refused(mtl_options_set_str(o, "optimizer", NULL, err), MTL_ERR_INVALID, "value");
    refused(mtl_options_get_i64(o, "epochs", NULL, err), MTL_ERR_INVALID, "value");
    refused(mtl_options_get_i64(NULL, "epochs", &(int64_t){0}, err), MTL_ERR_INVALID, "options");
    refused(mtl_options_set_progress(NULL, go_on, NULL, err), MTL_ERR_INVALID, "options");
    done(mtl_options_set_progress(o, go_on, NULL, err));
    done(mtl_options_set_progress(o, NULL, NULL, err));
    mtl_options_destroy(o);
    o = created(MTL_OPTIONS_EVALUATE);
    refused(mtl_options_set_progress(o, go_on, NULL, err), MTL_ERR_INVALID, "");
    mtl_options_destroy(o);
}
END_TEST

START_TEST(group_mismatch)
{
    problem p = problem_make(20, 1, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL), *moved = NULL;
    mtl_options *fit_options = created(MTL_OPTIONS_FIT), *csv = created(MTL_OPTIONS_CSV);
    mtl_report *r = NULL;
    mtl_context *ctx = NULL;
    refused(mtl_fit(m, d, NULL, csv, &r, err), MTL_ERR_TYPE, "");
    refused(mtl_evaluate(m, d, fit_options, &r, err), MTL_ERR_TYPE, "");
    refused(mtl_transfer(m, d, NULL, fit_options, &moved, &r, err), MTL_ERR_TYPE, "");
    refused(mtl_context_create(fit_options, &ctx, err), MTL_ERR_TYPE, "");
    ck_assert(!r && !moved && !ctx);
    mtl_options_destroy(fit_options);
    mtl_options_destroy(csv);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_error_options");
    add_case(s, "version, status names and features", library);
    add_case(s, "status numbers are pinned", status_numbers);
    add_case(s, "the first failure stays until it is cleared", error_life);
    add_case(s, "an error of NULL is fine everywhere", error_null);
    add_case(s, "long texts are cut in messages", error_long_text);
    add_case(s, "every option has key, type, range and meaning", rows_describe_themselves);
    add_case(s, "every option keeps default, round trip and range", rows_keep_their_ranges);
    add_case(s, "an unknown key names the nearest", rows_name_the_nearest);
    add_case(s, "the promised keys are there", promised_keys);
    add_case(s, "a choice's parameters are checked", choices_with_parameters);
    add_case(s, "arguments are checked", arguments);
    add_case(s, "options of another group are refused", group_mismatch);
    return run_suite(s);
}
