/* SPDX-License-Identifier: MIT */
/* Numbers in texts and files do not follow the host's locale, nor does the library change it. */
#include "api_testing.h"

#include <locale.h>
#include <sys/stat.h>

static char folder[64]; /* of a locale that was made for this test */

static bool has_comma(const char *name)
{
    return setlocale(LC_ALL, name) && strcmp(localeconv()->decimal_point, ",") == 0;
}

/* Sets a locale with a decimal comma: one that is installed, or one made by localedef. */
static bool set_comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE",
                                        "pt_BR.UTF-8"};
    char command[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (has_comma(names[i]))
            return true;
    strcpy(folder, "/tmp/mtl_locale_XXXXXX");
    if (!mkdtemp(folder))
        return false;
    snprintf(command, sizeof command,
             "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", folder);
    if (system(command) > 255)
        return false;
    setenv("LOCPATH", folder, 1);
    return has_comma("de_DE.UTF-8");
}

static void remove_folder(void)
{
    char command[128];
    if (!*folder)
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s was left\n", folder);
}

static const char csv_text[] = "a,b,label:y\n0.5,1e3,1\n-2.25,.125,0\n1,5,1\n";

/* Everything that reads or writes a number as text; a hash of it all. */
static uint64_t texts(void)
{
    problem p = problem_make(40, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL), *csv = NULL;
    mtl_model *m = problem_model(NULL), *back = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2");
    mtl_report *r = NULL;
    char *json = NULL, *summary = NULL, path[] = "/tmp/mtl_csv_XXXXXX";
    void *buffer = NULL;
    int64_t bytes;
    float x[6];
    done(mtl_options_set_str(o, "optimizer", "adam:beta1=0.5,eps=1.5e-3", err));
    done(mtl_fit(m, d, NULL, o, &r, err));
    done(mtl_report_to_json(r, &json, err));
    done(mtl_model_summary(m, &summary, err));
    done(mtl_model_save_buffer(m, &buffer, &bytes, err));
    done(mtl_model_load_buffer(NULL, buffer, bytes, &back, err));
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, csv_text, strlen(csv_text)), (ssize_t)strlen(csv_text));
    close(fd);
    done(mtl_dataset_load_csv(NULL, path, NULL, &csv, err));
    unlink(path);
    ck_assert_int_eq(mtl_dataset_inputs(csv), 2);
    done(mtl_dataset_get_inputs(csv, 0, 3, x, 2, err));
    ck_assert(x[0] == 0.5f && x[1] == 1000 && x[2] == -2.25f && x[3] == 0.125f);
    refused(mtl_options_set_str(o, "optimizer", "adam:beta1=0,5", err), MTL_ERR_RANGE, "");
    refused(mtl_options_set_f64(o, "learning_rate", -0.5, err), MTL_ERR_RANGE, "-0.5");

    uint64_t hash = hash_bytes(predict_hash(back, &p), buffer, (size_t)bytes);
    hash = hash_bytes(hash, summary, strlen(summary));
    /* "seconds" differs from run to run. */
    char *seconds = strstr(json, "\"seconds\"");
    ck_assert_ptr_nonnull(seconds);
    char *end = seconds + strcspn(seconds, "\n");
    ck_assert_ptr_null(memchr(seconds + 10, ',', (size_t)(end - seconds) - 11));
    memset(seconds, ' ', (size_t)(end - seconds));
    for (int i = 0; json[i]; i++)
        if (json[i] != ' ')
            hash = hash_bytes(hash, json + i, 1);
    for (int32_t group = 1; group <= 7; group++)
        for (int64_t i = 0; i < mtl_option_count(group); i++) {
            const char *initial, *range;
            done(mtl_option_info(group, i, NULL, NULL, &initial, &range, NULL, err));
            hash = hash_bytes(hash_bytes(hash, initial, strlen(initial)), range, strlen(range));
        }
    mtl_free(json), mtl_free(summary), mtl_free(buffer);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_dataset_destroy(csv), mtl_dataset_destroy(d);
    mtl_model_destroy(m), mtl_model_destroy(back);
    problem_free(&p);
    return hash;
}

START_TEST(decimal_comma)
{
    uint64_t expected = texts();
    if (!set_comma_locale()) {
        remove_folder();
        fprintf(stderr, "no locale with a decimal comma and none could be made: not tested\n");
        return;
    }
    char text[32];
    snprintf(text, sizeof text, "%.1f", 1.5);
    ck_assert_str_eq(text, "1,5"); /* the locale is at work */
    char *before = strdup(setlocale(LC_ALL, NULL));
    uint64_t found = texts();
    ck_assert_str_eq(setlocale(LC_ALL, NULL), before);
    remove_folder();
    ck_assert_uint_eq(found, expected);
    free(before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_locale");
    add_case(s, "a decimal comma changes nothing", decimal_comma);
    return run_suite(s);
}
