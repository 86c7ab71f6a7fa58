/* SPDX-License-Identifier: MIT */
/* mtl__trainer_state and mtl__train_now are all that a run goes on from beside the parameters: lost in
   the middle of a fit and put back from copies, the fit ends with the same bits. */
#include "api_testing.h"

#include <unistd.h>

#include "train/fit.h"

enum { AT_EPOCH = 3, VECTORS = 4 };

/* What is done at the end of an epoch: keep the state, lose it, put it back. */
typedef struct accident {
    bool lose_vectors, lose_figures, put_back;
    int64_t vectors;
    float *kept[VECTORS];
    mtl__train_now now;
} accident;

static void happen(void *self, mtl__trainer *t)
{
    accident *a = self;
    size_t bytes = (size_t)t->m->net.params * sizeof(float);
    const char *name, *names[VECTORS + 1];
    float *values;
    if (t->epoch != AT_EPOCH)
        return;
    for (a->vectors = 0; mtl__trainer_state(t, a->vectors, &name, &values); a->vectors++) {
        ck_assert_int_lt(a->vectors, VECTORS);
        names[a->vectors] = name;
        for (int64_t i = 0; i < a->vectors; i++)
            ck_assert_str_ne(names[i], name);
        a->kept[a->vectors] = memcpy(malloc(bytes), values, bytes);
        if (a->lose_vectors)
            memset(values, 0, bytes);
        if (a->put_back)
            memcpy(values, a->kept[a->vectors], bytes);
    }
    a->now = t->now;
    if (a->lose_figures)
        memset(&t->now, 0, sizeof t->now);
    if (a->put_back)
        memcpy(&t->now, &a->now, sizeof t->now);
}

static mtl_status add_hook(void *self, mtl__trainer *t, mtl_error *err)
{
    (void)err;
    mtl__trainer_hook(t, (mtl__hook){.self = self, .after_epoch = happen});
    return MTL_OK;
}

static uint64_t run(const char *text, accident *a)
{
    const mtl__fit_changes changes = {.self = a, .trainer = add_hook};
    problem p = problem_make(60, 4, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl__fit_changed(m, d, NULL, o, &changes, NULL, err));
    uint64_t hash = model_hash(m);
    for (int64_t i = 0; i < a->vectors; i++)
        free(a->kept[i]);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
    return hash;
}

static const struct {
    const char *text;
    int64_t vectors;
    bool by_figures; /* is the run another one without its figures? */
} rows[] = {
    {"epochs=8 optimizer=adam", 2, true},
    {"epochs=8 optimizer=adamw:amsgrad=1 average=ema:decay=0.9", 4, true},
    {"epochs=8 optimizer=nadam average=swa:start=0.2", 3, true},
    {"epochs=8 optimizer=sgd:momentum=0.9 schedule=one_cycle", 1, false},
    {"epochs=8 optimizer=adam schedule=one_cycle:max_momentum=0.95", 2, true},
    {"epochs=8 optimizer=rmsprop:momentum=0.5 average=swa:start=0.1", 3, true},
    {"epochs=8 optimizer=adagrad learning_rate=0.1 validation_split=0.2 "
     "schedule=plateau:patience=0,threshold=1,factor=0.5", 1, true},
    {"epochs=8 optimizer=lion warmup=9", 1, false},
};

START_TEST(state_is_all)
{
    const bool f = false, t = true;
    accident none = {.put_back = f}, healed = {.lose_vectors = t, .lose_figures = t, .put_back = t};
    accident vectors = {.lose_vectors = t}, figures = {.lose_figures = t};
    uint64_t expected = run(rows[_i].text, &none);
    ck_assert_int_eq(none.vectors, rows[_i].vectors);
    ck_assert_uint_eq(run(rows[_i].text, &healed), expected);
    ck_assert_uint_ne(run(rows[_i].text, &vectors), expected);
    ck_assert_int_eq(run(rows[_i].text, &figures) != expected, rows[_i].by_figures);
}
END_TEST

/* Writes a checkpoint of a state that no run has. */
typedef struct forger {
    const char *path;
    const mtl_dataset *data;
    int what;
} forger;

static mtl_status forge(void *self, mtl__trainer *t, mtl_error *err)
{
    const forger *f = self;
    mtl__checkpoint c;
    if (t->step != 3) /* in the second of two epochs of two steps */
        return MTL_OK;
    const mtl__trainer kept = *t;
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2 batch_size=30");
    mtl__checkpoint_init(&c, o, f->data, NULL);
    mtl_status st = mtl__checkpoint_prepare(&c, err);
    switch (f->what) {
    case 0: t->epoch = 2; break; /* and in the third */
    case 1: t->epoch = 0; break; /* with one value in each series */
    case 2: t->step = INT64_MAX; break;
    case 3: t->rows_seen = INT64_MAX - 1; break;
    case 4: t->feed.source[0].round = INT64_MAX; break;
    case 5: t->now.optim.step = INT64_MAX; break;
    case 6: t->report->entry[t->series_train].count = 2; break;
    default: break;
    }
    if (st == MTL_OK)
        st = mtl__checkpoint_write(&c, t, f->path, err);
    if (f->what == 6)
        t->report->entry[t->series_train].count = 1;
    t->epoch = kept.epoch, t->step = kept.step, t->rows_seen = kept.rows_seen, t->now = kept.now;
    t->feed.source[0].round = kept.feed.source[0].round;
    mtl_options_destroy(o);
    return st;
}

static mtl_status add_forger(void *self, mtl__trainer *t, mtl_error *err)
{
    (void)err;
    mtl__trainer_hook(t, (mtl__hook){.self = self, .at_rest = forge});
    return MTL_OK;
}

enum { FORGERIES = 8 }; /* the last one is none */

START_TEST(forged_states_are_refused)
{
    problem p = problem_make(60, 4, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL), *out = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2 batch_size=30");
    temp_file file = temp_file_make("", 0);
    forger f = {.path = file.path, .data = d, .what = _i};
    const mtl__fit_changes changes = {.self = &f, .trainer = add_forger};
    done(mtl__fit_changed(m, d, NULL, o, &changes, NULL, err));
    if (_i == FORGERIES - 1) {
        done(mtl_resume(NULL, file.path, d, NULL, NULL, &out, NULL, err));
        assert_same_model(m, out);
    } else {
        refused(mtl_resume(NULL, file.path, d, NULL, NULL, &out, NULL, err), MTL_ERR_FORMAT,
                "cannot be");
        ck_assert_ptr_null(out);
    }
    mtl_model_destroy(m), mtl_model_destroy(out);
    mtl_options_destroy(o);
    mtl_dataset_destroy(d);
    unlink(file.path);
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("train_state");
    TCase *tc = tcase_create("vectors and figures are the state of a run");
    tcase_add_loop_test(tc, state_is_all, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(s, tc);
    tc = tcase_create("states that no run has");
    tcase_add_loop_test(tc, forged_states_are_refused, 0, FORGERIES);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
