/* Every sampler on every objective: a trained network gives finite images through each of them, the same
 * whatever the number of images and of threads. Both lists enrol themselves. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include "diffusion/grid.h"
#include "model/generate.h"
#include "train/trainer.h"

enum { SIDE = 8, DIM = SIDE * SIDE, IMAGES = 24, COUNT = 5, STEPS = 6 };

/* Bars of different heights. */
static ath_dataset bars(void) {
    ath_dataset d = {.n = IMAGES, .h = SIDE, .w = SIDE, .c = 1, .format = (char *)"test"};
    d.pixel = calloc(IMAGES, DIM);
    assert_non_null(d.pixel);
    for (int i = 0; i < IMAGES; i++)
        for (int y = 0; y < 1 + i % SIDE; y++) d.pixel[i * DIM + y * SIDE + i / SIDE * 2] = 255;
    return d;
}

static void train(const char *objective, const char *extra, const char *run) {
    int n;
    ath_err err = {0};
    const ath_option *table = ath_train_table(&n);
    ath_train_options o;
    char text[512];
    snprintf(text, sizeof text,
             "base-channels=8,norm-groups=4,time-embedding=16,batch=8,sample-count=0,steps=20,lr=2e-3,objective=%s%s",
             objective, extra);
    ath_options_default(table, n, &o);
    CHECK_OK(ath_preset_apply("tiny", &o, &err));
    CHECK_OK(ath_options_parse(table, n, &o, text, &err));
    snprintf(o.out, sizeof o.out, "%s", run);
    ath_dataset d = bars();
    CHECK_OK(ath_train(&o, &d, NULL, NULL, &err));
    free(d.pixel);
}

static void draw(const ath_source *s, const ath_sampler *sampler, ath_spacing spacing, int count, bool clip,
                 float *out) {
    ath_err err = {0};
    ath_level level[STEPS + 1];
    void *config = calloc(1, sampler->config_size + 1);
    assert_non_null(config);
    ath_options_default(sampler->options, sampler->n_options, config);
    CHECK_OK(ath_levels(&s->process, spacing, NULL, STEPS, level, &err));
    ath_generate_job job = {.sampler = sampler,
                            .sampler_config = config,
                            .level = level,
                            .n_steps = STEPS,
                            .count = count,
                            .rng = {4},
                            .label = -1,
                            .guidance = 1,
                            .clip = clip};
    const ath_status status = ath_generate(s, &job, out, &err);
    CHECK(status == ATH_OK, "%s, %s: %s", sampler->name, ath_spacing_name(spacing), err.text);
    free(config);
}

static void check_sampler(const ath_source *one, const ath_source *two, const ath_sampler *sampler, ath_spacing how,
                          const char *objective) {
    float all[COUNT * DIM], some[COUNT * DIM];
    draw(one, sampler, how, COUNT, true, all);
    draw(two, sampler, how, 2, true, some);
    for (int i = 0; i < COUNT * DIM; i++)
        CHECK(isfinite(all[i]), "%s on %s, %s: pixel %d is %g", sampler->name, objective, ath_spacing_name(how), i,
              (double)all[i]);
    CHECK(memcmp(all, some, 2 * DIM * sizeof *all) == 0,
          "%s on %s, %s: two images by two threads are not what they are among five by one", sampler->name, objective,
          ath_spacing_name(how));
}

/* Trains, and draws with every sampler: on these spacings, and on the one that suits. */
static void check_every_sampler(const char *objective, const char *extra, const char *name, const ath_spacing *spacings,
                                int n_spacings) {
    ath_err err = {0};
    int n;
    const ath_sampler *const *all = ath_sampler_all(&n);
    const char *run = in_folder(name);
    train(objective, extra, run);
    ath_source *one, *two;
    CHECK_OK(ath_source_open(&one, run, 1, &err));
    CHECK_OK(ath_source_open(&two, run, 2, &err));
    for (int i = 0; i < n; i++)
        for (int k = 0; k <= n_spacings; k++)
            check_sampler(one, two, all[i], k < n_spacings ? spacings[k] : ath_source_spacing(one, all[i]), name);
    ath_source_close(one);
    ath_source_close(two);
    print_message("%d samplers on %s\n", n, name);
}

static const ath_spacing spacings[] = {ATH_KARRAS, ATH_UNIFORM_FLOW, ATH_TRAILING};

static void every_sampler_draws_finite_images_from_every_objective(void **state) {
    (void)state;
    for (int p = 0; p < ath_prediction_count(); p++) {
        const char *objective = ath_prediction_name((ath_prediction)p);
        check_every_sampler(objective, "", objective, spacings, 2);
    }
}

static void every_sampler_draws_finite_images_from_pure_noise(void **state) {
    (void)state;
    check_every_sampler("v_prediction", ",zero-snr=true", "zero-snr", spacings + 1, 2); /* karras suits most */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sampler_draws_finite_images_from_every_objective),
        cmocka_unit_test(every_sampler_draws_finite_images_from_pure_noise),
    };
    return cmocka_run_group_tests_name("every sampler", tests, make_folder, remove_folder);
}
