/* Laws of the stochastic samplers that are their own: what sde and pc become at the ends of their options, the width that a
 * Langevin step of finite size leaves, and the variance that ddpm measures. What holds for every sampler is in
 * test_samplers.c. */
#include "exact.h"

enum { N = 6, DIM = 4 };

/* Ends of two samplers from one start with one seed. */
static double apart(const char *a, const char *a_options, const char *b, const char *b_options, ath_spacing how,
                    int steps) {
    ath_level level[101];
    double x[2][N * DIM], worst = 0;
    usual_levels(how, steps, level);
    for (int k = 0; k < 2; k++) {
        exact_net net = gaussian(0.2, 0.7, DIM, N);
        start_at(&net, level[0], (ath_rng){21}, 0, x[k]);
        ath_sample_job job = {
            .net = {&net, exact_x0}, .level = level, .n_steps = steps, .x = x[k], .n = N, .dim = DIM, .rng = {21}};
        CHECK_OK(run_job(find(k ? b : a), k ? b_options : a_options, &job, NULL));
    }
    for (int i = 0; i < N * DIM; i++) worst = fmax(worst, fabs(x[0][i] - x[1][i]));
    return worst;
}

static void check_same(const char *a, const char *a_options, const char *b, const char *b_options) {
    static const int counts[] = {1, 5, 20, 100};
    for (int c = 0; c < 4; c++)
        for (int how = 0; how < 3; how++) {
            const double error = apart(a, a_options, b, b_options, (ath_spacing)how, counts[c]);
            CHECK(error < 1e-11, "%d %s steps: %s %s and %s %s are %.1e apart (seed 21)", counts[c],
                  ath_spacing_name((ath_spacing)how), a, a_options, b, b_options, error);
        }
}

static void without_noise_the_sde_is_ddim(void **state) {
    (void)state;
    check_same("sde", "eta=0", "ddim", "eta=0");
}

static void a_predictor_without_a_corrector_is_ddpm(void **state) {
    (void)state;
    check_same("pc", "predictor=ancestral,corrector_steps=0", "ddpm", "variance=fixed_small");
}

/* The corrector's noise belongs to no path, so that the predictor's draws stay what they are without it. */
static void a_corrector_that_stands_still_changes_nothing(void **state) {
    (void)state;
    check_same("pc", "corrector_steps=3,snr=0", "ddpm", "variance=fixed_small");
}

static void langevin_steps_alone_need_to_be_some(void **state) {
    (void)state;
    ath_level level[4];
    double x[N * DIM] = {0};
    usual_levels(ATH_LEADING, 3, level);
    exact_net net = gaussian(0.2, 0.7, DIM, N);
    ath_sample_job job = {.net = {&net, exact_x0}, .level = level, .n_steps = 3, .x = x, .n = N, .dim = DIM};
    CHECK_FAILS(run_job(find("pc"), "predictor=none,corrector_steps=0", &job, NULL), ATH_E_ARG, "corrector_steps");
}

static double variance_of(const double *x, const exact_net *net, double alpha) {
    const size_t dim = (size_t)net->data.dim, len = net->n * dim;
    double sum = 0;
    for (size_t i = 0; i < len; i++) sum += pow(x[i] - alpha * net->data.mean[0][i % dim], 2);
    return sum / (double)len;
}

/* X = X - e X/V + sqrt(2 e) z keeps the variance V/(1 - e/(2 V)); e = 2 (snr sigma)^2. */
static void annealed_langevin_steps_keep_the_variance_that_their_size_allows(void **state) {
    (void)state;
    enum { MANY = 2000, NUMBERS = MANY * DIM };
    const double sigma = 0.5, snr = 0.7, V = 0.6 * 0.6 + sigma * sigma, e = 2 * snr * snr * sigma * sigma;
    const double expected = V / (1 - e / (2 * V));
    ath_level level[2] = {{1, 1, sigma}, {1, 1, sigma * (1 - 1e-12)}};
    double *x = get_memory(NUMBERS * sizeof *x);
    exact_net net = gaussian(0.2, 0.6, DIM, MANY);
    start_at(&net, level[0], (ath_rng){5}, 0, x);
    ath_sample_job job = {.net = {&net, exact_x0},
                          .process = {.kind = ATH_PROCESS_VE},
                          .level = level,
                          .n_steps = 1,
                          .x = x,
                          .n = MANY,
                          .dim = DIM,
                          .rng = {5}};
    CHECK_OK(run_job(find("pc"), "predictor=none,corrector=annealed,corrector_steps=40,snr=0.7", &job, NULL));
    const double variance = variance_of(x, &net, 1);
    CHECK(fabs(variance - expected) < 4.5 * expected * sqrt(2.0 / NUMBERS),
          "variance %.4f, expected %.4f +- 4.5 x %.4f; of the data and noise it is %.4f (seed 5)", variance, expected,
          expected * sqrt(2.0 / NUMBERS), V);
    free(x);
}

/* One number an image: the score passes 0, and a step whose size is divided by it must not leave. */
static void langevin_steps_stay_bounded_where_the_score_is_zero(void **state) {
    (void)state;
    enum { MANY = 4000, STEPS = 100 };
    ath_level level[STEPS + 1];
    double *x = get_memory(MANY * sizeof *x);
    exact_net net = gaussian(0.2, 0.6, 1, MANY);
    usual_levels(ATH_LEADING, STEPS, level);
    start_at(&net, level[0], (ath_rng){6}, 0, x);
    x[0] = level[0].alpha * net.data.mean[0][0]; /* where the score is exactly 0 */
    ath_sample_job job = {
        .net = {&net, exact_x0}, .level = level, .n_steps = STEPS, .x = x, .n = MANY, .dim = 1, .rng = {6}};
    CHECK_OK(run_job(find("pc"), "corrector_steps=2", &job, NULL));
    for (int i = 0; i < MANY; i++) CHECK(fabs(x[i]) < 10, "image %d ends at %g (seed 6)", i, x[i]);
    free(x);
}

/* ---- the variance of x0 ---- */

/* E|eps|^2/dim is a mean of squares, with the error sqrt(2/numbers) of itself; it is multiplied by (sigma/alpha)^2. */
static void a_pilot_run_measures_the_variance_of_x0(void **state) {
    (void)state;
    enum { MANY = 4000, WIDE = 16, STEPS = 10 };
    ath_level level[STEPS + 1];
    double *x = get_memory(MANY * WIDE * sizeof *x), pilot[STEPS];
    exact_net net = gaussian(0.5, 0.6, WIDE, MANY);
    usual_levels(ATH_TRAILING, STEPS, level);
    start_at(&net, level[0], (ath_rng){8}, 0, x);
    ath_sample_job job = {.net = {&net, exact_x0},
                          .level = level,
                          .n_steps = STEPS,
                          .x = x,
                          .n = MANY,
                          .dim = WIDE,
                          .rng = {8},
                          .pilot = pilot,
                          .pilot_most = 1};
    CHECK_OK(run_job(find("ddpm"), "variance=analytic,grain=0", &job, NULL));
    double *exact = exact_x0_variance(&net, level, STEPS);
    for (int i = 0; i < STEPS; i++) {
        const double square = pow(level[i].sigma / level[i].alpha, 2), power = 1 - exact[i] / square;
        const double error = square * power * sqrt(2.0 / (MANY * WIDE));
        print_message("sigma/alpha %8.3f: measured %.4f, exact %.4f, standard error %.4f\n", sqrt(square), pilot[i],
                      exact[i], error);
        CHECK(fabs(pilot[i] - exact[i]) < 4.5 * error && pilot[i] >= 0 && pilot[i] <= 1,
              "level %d: measured %.5f, exact %.5f +- 4.5 x %.5f (seed 8)", i, pilot[i], exact[i], error);
    }
    free(exact);
    free(x);
}

/* A denoiser that is far from exact, or states that are not of their level, would ask for less than nothing. */
static void the_variance_of_x0_is_not_negative(void **state) {
    (void)state;
    ath_level level[4];
    double x[N * DIM], pilot[3];
    usual_levels(ATH_LEADING, 3, level);
    exact_net net = gaussian(0.2, 0, DIM, N);
    for (int i = 0; i < N * DIM; i++) x[i] = 5;
    ath_sample_job job = {
        .net = {&net, exact_x0}, .level = level, .n_steps = 3, .x = x, .n = N, .dim = DIM, .pilot = pilot};
    CHECK_OK(run_job(find("ddpm"), "variance=analytic", &job, NULL));
    CHECK(pilot[0] == 0, "far from all data: %g", pilot[0]);
}

static ath_status same_noise(void *self, int k, double *out, ath_err *e) {
    (void)k, (void)e;
    for (int i = 0; i < DIM; i++) out[i] = *(const double *)self;
    return ATH_OK;
}

/* The state at the level before the clean one, all noise being z. */
static double before_the_last_step(const char *options, const ath_level *level, double z) {
    double x[DIM] = {0.1, 0.1, 0.1, 0.1};
    static const double variance[2] = {0.5, 0.5};
    exact_net net = gaussian(0.2, 0, DIM, 1);
    recorder r = {.len = DIM};
    ath_sample_job job = {.net = {&net, exact_x0},
                          .level = level,
                          .n_steps = 2,
                          .x = x,
                          .n = 1,
                          .dim = DIM,
                          .noise = {&z, same_noise},
                          .x0_variance = variance,
                          .on_step = keep_state,
                          .user = &r};
    CHECK_OK(run_job(find("ddpm"), options, &job, NULL));
    return r.x[1][0];
}

/* The noise onto the last noisy level: as much as grain allows, or as the level has anyway. */
static void the_analytic_variance_leaves_no_grain(void **state) {
    (void)state;
    const ath_level level[2][3] = {{{9, 0.8, 0.6}, {1, sqrt(1 - 1e-4), 0.01}, {-1, 1, 0}},
                                   {{9, 0.8, 0.6}, {1, 0.96, 0.28}, {-1, 1, 0}}};
    for (int i = 0; i < 2; i++) {
        const double at_zero = before_the_last_step("", level[i], 0);
        const double any = before_the_last_step("variance=analytic,grain=0", level[i], 1) - at_zero;
        const double limited = before_the_last_step("variance=analytic,grain=3", level[i], 1) - at_zero;
        const double mean_of_3 = 3.0 * 2 / 255 * sqrt(1.5707963267948966),
                     expected = fmax(level[i][1].sigma, mean_of_3);
        print_message("sigma %.2f: noise %.4f, limited %.4f\n", level[i][1].sigma, any, limited);
        CHECK(any > 2 * expected, "the noise is %g without a limit", any);
        CHECK(fabs(limited - expected) < 1e-12, "the last noise is %.6f, expected %.6f", limited, expected);
    }
}

static void the_variance_of_x0_must_come_from_somewhere(void **state) {
    (void)state;
    const ath_sampler *s = find("ddpm");
    ath_level level[4];
    double x[DIM] = {0}, pilot[3];
    usual_levels(ATH_LEADING, 3, level);
    exact_net net = gaussian(0.2, 0.7, DIM, 1);
    void *config = get_memory(s->config_size);
    ath_options_default(s->options, s->n_options, config);
    CHECK_OK(ath_options_set(s->options, s->n_options, config, "variance", "analytic", &err));
    ath_sample_job job = {.net = {&net, exact_x0},
                          .level = level,
                          .n_steps = 3,
                          .x = x,
                          .n = 1,
                          .dim = DIM,
                          .config = config,
                          .err = &err};
    CHECK_FAILS(ath_sampler_run(s, &job), ATH_E_ARG, "variance of x0");
    job.pilot = pilot;
    CHECK_OK(ath_sampler_run(s, &job));
    free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_noise_the_sde_is_ddim),
        cmocka_unit_test(a_predictor_without_a_corrector_is_ddpm),
        cmocka_unit_test(a_corrector_that_stands_still_changes_nothing),
        cmocka_unit_test(langevin_steps_alone_need_to_be_some),
        cmocka_unit_test(annealed_langevin_steps_keep_the_variance_that_their_size_allows),
        cmocka_unit_test(langevin_steps_stay_bounded_where_the_score_is_zero),
        cmocka_unit_test(a_pilot_run_measures_the_variance_of_x0),
        cmocka_unit_test(the_variance_of_x0_is_not_negative),
        cmocka_unit_test(the_analytic_variance_leaves_no_grain),
        cmocka_unit_test(the_variance_of_x0_must_come_from_somewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
