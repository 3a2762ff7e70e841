/* A trained model as a denoiser: guidance, where it applies and what it costs, skip scales, thresholding, whatever the network
 * predicts; and a sampler's pilot run when images are drawn. The arithmetic alone: test_shaping.c. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include "diffusion/grid.h"
#include "model/generate.h"
#include "train/trainer.h"

enum { SIDE = 8, DIM = SIDE * SIDE, CLASSES = 3, N = 5, STEPS = 6 };
static ath_err err;

/* Bars whose height is their class. */
static ath_dataset bars(void) {
    enum { IMAGES = 24 };
    ath_dataset d = {.n = IMAGES, .h = SIDE, .w = SIDE, .c = 1, .n_class = CLASSES, .format = (char *)"test"};
    d.pixel = calloc(IMAGES, DIM);
    d.label = calloc(IMAGES, sizeof *d.label);
    assert_true(d.pixel && d.label);
    for (int i = 0; i < IMAGES; i++) {
        d.label[i] = i % CLASSES;
        for (int y = 0; y < 2 * (i % CLASSES) + 2; y++) d.pixel[i * DIM + y * SIDE + i / CLASSES % SIDE] = 255;
    }
    return d;
}

/* A model with three classes and a null class that predicts what `objective` says, its weights shaken so that the label and
 * every layer count. extra: ",option=value". */
static ath_model *model_of(const char *objective, const char *extra) {
    static int runs;
    int n;
    const ath_option *table = ath_train_table(&n);
    ath_train_options o;
    char text[512];
    snprintf(text, sizeof text,
             "base-channels=8,norm-groups=4,time-embedding=16,batch=8,sample-count=0,steps=2,objective=%s%s", objective,
             extra);
    ath_options_default(table, n, &o);
    CHECK_OK(ath_preset_apply("tiny", &o, &err));
    CHECK_OK(ath_options_parse(table, n, &o, text, &err));
    snprintf(o.out, sizeof o.out, "%s-%d", in_folder(objective), runs++);
    ath_dataset d = bars();
    CHECK_OK(ath_train(&o, &d, NULL, NULL, &err));
    free(d.pixel);
    free(d.label);
    ath_model *m;
    CHECK_OK(ath_model_open(&m, o.out, &err));
    float *noise = malloc(m->n_params * sizeof *noise);
    assert_non_null(noise);
    ath_rng_normal((ath_rng){1}, ATH_S_TEST, 0, noise, m->n_params);
    for (size_t i = 0; i < m->n_params; i++) m->params[i] += 0.1f * noise[i];
    free(noise);
    return m;
}

static const char conditional[] = ",class-conditional=true,label-dropout=0.2";

/* A model with its workers, its levels, and states at a different one for each image. */
typedef struct subject {
    ath_model *m;
    ath_workers *workers;
    ath_level level[STEPS + 1], at[N];
    double x[N * DIM];
    float label[N], skips[16];
} subject;

static subject subject_of(const char *objective, const char *extra, int threads) {
    subject s = {.m = model_of(objective, extra)};
    CHECK_OK(ath_workers_create(&s.workers, s.m, threads, 2, ATH_FORWARD, &err));
    ath_workers_use(s.workers, s.m->params);
    const ath_process process = ath_model_process(s.m);
    CHECK_OK(ath_levels(&process, ATH_KARRAS, NULL, STEPS, s.level, &err));
    assert_true(s.m->skips > 0 && s.m->skips <= 16);
    for (int k = 0; k < s.m->skips; k++) s.skips[k] = 0.7f + 0.1f * (float)k;
    for (int i = 0; i < N; i++) {
        s.at[i] = s.level[i];
        s.label[i] = (float)(i % CLASSES);
        ath_rng_normal_f64((ath_rng){2}, ATH_S_TEST, (uint64_t)i, s.x + i * DIM, DIM);
        for (int k = 0; k < DIM; k++) s.x[i * DIM + k] *= s.at[i].alpha + s.at[i].sigma;
    }
    return s;
}

static void destroy(subject *s) {
    ath_workers_destroy(s->workers);
    ath_model_destroy(s->m);
}

/* x0 of images first .. first + n - 1, each at its own level, by a denoiser set up as `how` says. */
static void denoise(const subject *s, ath_model_denoiser how, int first, int n, double *x0) {
    how.model = s->m;
    how.workers = s->workers;
    how.n = n;
    if (how.label) how.label += first;
    CHECK_OK(ath_model_denoiser_init(&how, &err));
    const ath_denoiser net = ath_model_denoiser_as(&how);
    CHECK_OK(net.x0(net.self, s->x + first * DIM, s->at + first, 1, x0, &err));
    ath_model_denoiser_free(&how);
}

static double ratio(ath_level at) { return at.sigma / at.alpha; }

static void check_bytes(const double *a, const double *b, int image, const char *what) {
    CHECK(memcmp(a + image * DIM, b + image * DIM, DIM * sizeof *a) == 0, "%s: image %d begins with %.17g and %.17g",
          what, image, a[image * DIM], b[image * DIM]);
}

/* ---- guidance ---- */

/* For every prediction, the same sum of the x0 with the label and that of the null class. */
static void check_guidance(const char *objective) {
    subject s = subject_of(objective, conditional, 1);
    double with[N * DIM], without[N * DIM], guided[N * DIM];
    float null[N];
    for (int i = 0; i < N; i++) null[i] = (float)s.m->null_class;
    denoise(&s, (ath_model_denoiser){.label = s.label, .guidance = 1}, 0, N, with);
    denoise(&s, (ath_model_denoiser){.label = null, .guidance = 1}, 0, N, without);
    denoise(&s, (ath_model_denoiser){.label = s.label, .guidance = 2.5}, 0, N, guided);
    double apart = 0;
    for (int i = 0; i < N * DIM; i++) {
        const double expected = without[i] + 2.5 * (with[i] - without[i]);
        apart = fmax(apart, fabs(with[i] - without[i]));
        CHECK(fabs(guided[i] - expected) <= 1e-12 * (1 + fabs(expected)), "%s: number %d is %.15g, expected %.15g",
              objective, i, guided[i], expected);
    }
    CHECK(apart > 1e-3, "%s: the label changes x0 by %g", objective, apart);
    destroy(&s);
}

static void guidance_is_of_x0_whatever_the_network_predicts(void **state) {
    (void)state;
    for (int p = 0; p < ath_prediction_count(); p++) check_guidance(ath_prediction_name((ath_prediction)p));
}

/* Images inside the interval are guided as without one, the others not at all, though they are one batch. */
static void an_interval_is_decided_for_each_image(void **state) {
    (void)state;
    subject s = subject_of("epsilon", conditional, 1);
    const ath_shaping shaping = {.guidance_low = ratio(s.at[3]), .guidance_high = ratio(s.at[1])};
    double plain[N * DIM], guided[N * DIM], mixed[N * DIM];
    denoise(&s, (ath_model_denoiser){.label = s.label, .guidance = 1}, 0, N, plain);
    denoise(&s, (ath_model_denoiser){.label = s.label, .guidance = 3}, 0, N, guided);
    denoise(&s, (ath_model_denoiser){.label = s.label, .guidance = 3, .shaping = shaping}, 0, N, mixed);
    for (int i = 0; i < N; i++) {
        CHECK(memcmp(plain + i * DIM, guided + i * DIM, DIM * sizeof *plain) != 0, "image %d: guidance changes nothing",
              i);
        check_bytes(mixed, i == 1 || i == 2 ? guided : plain, i, i == 1 || i == 2 ? "inside" : "outside");
    }
    destroy(&s);
}

/* The network's results for images without their labels are behind those with them; where none is wanted, none is there. */
static void outside_the_interval_the_network_runs_once(void **state) {
    (void)state;
    subject s = subject_of("epsilon", conditional, 1);
    ath_model_denoiser d = {.model = s.m,
                            .workers = s.workers,
                            .n = N,
                            .label = s.label,
                            .guidance = 3,
                            .shaping = {.guidance_low = ratio(s.at[3]), .guidance_high = ratio(s.at[1])}};
    CHECK_OK(ath_model_denoiser_init(&d, &err));
    for (int i = 0; i < 2 * N * DIM; i++) d.f[i] = 12345;
    const ath_denoiser net = ath_model_denoiser_as(&d);
    double x0[N * DIM];
    CHECK_OK(net.x0(net.self, s.x, s.at, 1, x0, &err));
    for (int i = 0; i < 2 * N; i++)
        CHECK((d.f[i * DIM] != 12345) == (i < N + 2), "slot %d of %d images, two of them guided: %g", i, N,
              (double)d.f[i * DIM]);
    for (int i = 0; i < 2 * N * DIM; i++) d.f[i] = 12345;
    CHECK_OK(net.x0(net.self, s.x, &s.at[4], 0, x0, &err));
    for (int i = N; i < 2 * N; i++) CHECK(d.f[i * DIM] == 12345, "slot %d, none guided: %g", i, (double)d.f[i * DIM]);
    ath_model_denoiser_free(&d);
    destroy(&s);
}

static double deviation_of(const double *x) {
    double sum = 0, squares = 0;
    for (int i = 0; i < DIM; i++) sum += x[i];
    for (int i = 0; i < DIM; i++) squares += pow(x[i] - sum / DIM, 2);
    return sqrt(squares / DIM);
}

static void rescaled_guidance_keeps_each_images_deviation(void **state) {
    (void)state;
    subject s = subject_of("v_prediction", conditional, 1);
    double plain[N * DIM], guided[N * DIM];
    denoise(&s, (ath_model_denoiser){.label = s.label, .guidance = 1}, 0, N, plain);
    denoise(&s, (ath_model_denoiser){.label = s.label, .guidance = 4, .shaping = {.guidance_rescale = 1}}, 0, N,
            guided);
    for (int i = 0; i < N; i++) {
        const double expected = deviation_of(plain + i * DIM), deviation = deviation_of(guided + i * DIM);
        CHECK(fabs(deviation - expected) < 1e-12 * expected, "image %d: deviation %.15g, expected %.15g", i, deviation,
              expected);
    }
    destroy(&s);
}

/* ---- skip scales, thresholding ---- */

static void skip_scales_apply_within_their_window(void **state) {
    (void)state;
    subject s = subject_of("epsilon", "", 1);
    const ath_shaping window = {.skip_low = ratio(s.at[3]), .skip_high = ratio(s.at[1])};
    double plain[N * DIM], scaled[N * DIM], mixed[N * DIM];
    denoise(&s, (ath_model_denoiser){.guidance = 1}, 0, N, plain);
    denoise(&s, (ath_model_denoiser){.guidance = 1, .skip_scales = s.skips}, 0, N, scaled);
    denoise(&s, (ath_model_denoiser){.guidance = 1, .skip_scales = s.skips, .shaping = window}, 0, N, mixed);
    for (int i = 0; i < N; i++) {
        CHECK(memcmp(plain + i * DIM, scaled + i * DIM, DIM * sizeof *plain) != 0, "image %d: scales change nothing",
              i);
        check_bytes(mixed, i == 1 || i == 2 ? scaled : plain, i, i == 1 || i == 2 ? "inside" : "outside");
    }
    destroy(&s);
}

static void x0_is_thresholded_and_clipped_image_by_image(void **state) {
    (void)state;
    subject s = subject_of("epsilon", "", 1);
    double plain[N * DIM], work[DIM], thresholded[N * DIM], clipped[N * DIM];
    denoise(&s, (ath_model_denoiser){.guidance = 1}, 0, N, plain);
    denoise(&s, (ath_model_denoiser){.guidance = 1, .clip = true, .shaping = {.threshold = 0.9, .threshold_max = 3}}, 0,
            N, thresholded);
    denoise(&s, (ath_model_denoiser){.guidance = 1, .clip = true, .shaping = {.clip_range = 0.5}}, 0, N, clipped);
    for (int i = 0; i < N * DIM; i++)
        CHECK(clipped[i] == fmax(-0.5, fmin(0.5, plain[i])), "%g clipped at 0.5: %g", plain[i], clipped[i]);
    for (int i = 0; i < N; i++) {
        ath_threshold_x0(plain + i * DIM, DIM, 0.9, 3, work);
        check_bytes(thresholded, plain, i, "thresholded");
    }
    destroy(&s);
}

/* With everything on, an image's x0 is the same alone and among others, by one thread and by two. */
static void an_image_is_the_same_in_any_batch(void **state) {
    (void)state;
    const ath_shaping everything = {0.02, 50, 0.7, 0.95, 2, 0.9, 0.05, 20};
    subject one = subject_of("epsilon", conditional, 1), two = subject_of("epsilon", conditional, 2);
    ath_model_denoiser how = {.label = one.label, .guidance = 3, .clip = true, .shaping = everything};
    how.skip_scales = one.skips;
    double all[N * DIM], some[N * DIM];
    denoise(&one, how, 0, N, all);
    for (int first = 0; first < N; first++)
        for (int n = 1; first + n <= N; n++) {
            denoise(&two, how, first, n, some);
            CHECK(memcmp(all + first * DIM, some, (size_t)n * DIM * sizeof *all) == 0,
                  "images %d to %d of %d are not what they are among all", first, first + n - 1, N);
        }
    destroy(&one);
    destroy(&two);
}

static void what_cannot_be_done_is_refused(void **state) {
    (void)state;
    subject s = subject_of("epsilon", "", 1), c = subject_of("sample", conditional, 1);
    ath_model_denoiser d = {.model = s.m, .workers = s.workers, .n = N, .guidance = 2};
    CHECK_FAILS(ath_model_denoiser_init(&d, &err), ATH_E_ARG, "null class");
    d = (ath_model_denoiser){.model = c.m, .workers = c.workers, .n = N, .label = c.label, .guidance = 2};
    d.shaping.guidance_rescale = 2;
    CHECK_FAILS(ath_model_denoiser_init(&d, &err), ATH_E_ARG, "rescale");
    destroy(&s);
    destroy(&c);
}

/* ---- a pilot run ---- */

typedef struct seen {
    int calls, pilots, last, total;
} seen;

static ath_status count_steps(void *user, int done, int total, int first, int n, int step, const double *x,
                              const double *x0) {
    (void)first, (void)x, (void)x0, (void)step;
    seen *s = user;
    s->calls++;
    s->pilots += n == 0;
    CHECK(done == s->calls && (n > 0 || s->pilots == s->calls), "step %d of %d, the %dth told of", done, total,
          s->calls);
    s->last = done, s->total = total;
    return ATH_OK;
}

static void draw(const subject *s, const char *variance, const double *given, int count, seen *told, float *out) {
    const ath_sampler *ddpm = ath_sampler_find("ddpm");
    void *config = calloc(1, ddpm->config_size);
    assert_non_null(config);
    ath_options_default(ddpm->options, ddpm->n_options, config);
    CHECK_OK(ath_options_set(ddpm->options, ddpm->n_options, config, "variance", variance, &err));
    const ath_source source = ath_source_of(s->m, s->workers);
    ath_generate_job job = {.sampler = ddpm,
                            .sampler_config = config,
                            .level = s->level,
                            .n_steps = STEPS,
                            .count = count,
                            .rng = {4},
                            .label = -1,
                            .guidance = 1,
                            .clip = true,
                            .x0_variance = given,
                            .on_step = count_steps,
                            .user = told};
    *told = (seen){0};
    CHECK_OK(ath_generate(&source, &job, out, &err));
    CHECK(job.nfe == STEPS && told->last == told->total, "%d evaluations an image, %d steps of %d told", job.nfe,
          told->last, told->total);
    free(config);
}

/* What it measures does not depend on the images asked for; none runs where the numbers are given; and numbers of 0
 * are the small variance. */
static void a_pilot_run_serves_any_number_of_images(void **state) {
    (void)state;
    enum { MANY = 40 };
    subject s = subject_of("epsilon", conditional, 1);
    float *many = malloc(MANY * DIM * sizeof *many), some[3 * DIM], small[3 * DIM];
    assert_non_null(many);
    const double zero[STEPS] = {0};
    seen told;
    draw(&s, "analytic", NULL, MANY, &told, many);
    CHECK(told.calls == 2 * STEPS && told.pilots == STEPS, "%d steps, %d of them a pilot run's", told.calls,
          told.pilots);
    draw(&s, "analytic", NULL, 3, &told, some);
    CHECK(memcmp(many, some, sizeof some) == 0, "three images are not the first of %d", MANY);
    draw(&s, "fixed_small", NULL, 3, &told, small);
    CHECK(told.pilots == 0 && memcmp(small, some, sizeof some) != 0, "a small variance, %d steps of a pilot run",
          told.pilots);
    draw(&s, "analytic", zero, 3, &told, some);
    CHECK(told.pilots == 0 && memcmp(small, some, sizeof some) == 0, "no variance of x0 is not the small variance");
    free(many);
    destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guidance_is_of_x0_whatever_the_network_predicts),
        cmocka_unit_test(an_interval_is_decided_for_each_image),
        cmocka_unit_test(outside_the_interval_the_network_runs_once),
        cmocka_unit_test(rescaled_guidance_keeps_each_images_deviation),
        cmocka_unit_test(skip_scales_apply_within_their_window),
        cmocka_unit_test(x0_is_thresholded_and_clipped_image_by_image),
        cmocka_unit_test(an_image_is_the_same_in_any_batch),
        cmocka_unit_test(what_cannot_be_done_is_refused),
        cmocka_unit_test(a_pilot_run_serves_any_number_of_images),
    };
    return cmocka_run_group_tests_name("denoiser", tests, make_folder, remove_folder);
}
