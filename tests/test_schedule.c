/* Noise schedules and the levels samplers visit: alpha_bar and timesteps as other
 * implementations have them, and the laws of the forward process. */
#include "golden/golden.h"
#include "base/rng.h"
#include "diffusion/grid.h"

static ath_err err;

static ath_schedule make(const char *name, int timesteps, double beta_start, double beta_end) {
    const ath_schedule_kind *kind = ath_schedule_kind_find(name);
    CHECK(kind != NULL, "no schedule \"%s\"", name);
    ath_schedule s;
    CHECK_OK(ath_schedule_make(&s, kind, timesteps, beta_start, beta_end, &err));
    return s;
}

static ath_schedule make_kind(int k, int timesteps) {
    int n = 0;
    return make(ath_schedule_kinds(&n)[k].name, timesteps, 1e-4, 0.02);
}

static int kinds_count(void) {
    int n = 0;
    (void)ath_schedule_kinds(&n);
    return n;
}

/* ---- golden ---- */

/* Our name for one of the golden file's; NULL for what we do not have under any name: improved-diffusion's, which are rescaled by 1000/T and equal ours at T = 1000. */
static const char *our_name(const char *golden) {
    static const char *const names[][2] = {{"linear", "linear"},
                                           {"scaled_linear", "scaled_linear"},
                                           {"scaled_linear_zero_snr", "scaled_linear"},
                                           {"squaredcos_cap_v2", "cosine"},
                                           {"sigmoid", "sigmoid_beta"},
                                           {"su_keras_ddpm", "su"},
                                           {"lucidrains_linear", "linear"},
                                           {"lucidrains_cosine", "cosine"},
                                           {"lucidrains_sigmoid", "sigmoid"},
                                           {"improved_diffusion_cosine", "cosine"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(golden, names[i][0]) == 0) return names[i][1];
    return NULL;
}

static double number_or(const json_t *object, const char *key, double otherwise) {
    const json_t *item = json_object_get(object, key);
    return item ? json_number_value(item) : otherwise;
}

static void check_alpha_bars(const json_t *root) {
    const json_t *list = golden_at(root, "beta_schedules");
    double worst = 0;
    int compared = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *params = golden_at(one, "params"),
                     *index = json_object_get(one, "index");
        const char *name = golden_text(one, "name"), *ours = our_name(name);
        if (!ours) continue;
        double alpha_bar[1000], at[1000];
        const size_t n = golden_list(golden_at(one, "alphas_cumprod"), alpha_bar, 1000);
        if (index)
            golden_list(index, at, 1000);
        else
            for (size_t k = 0; k < n; k++) at[k] = (double)k;
        ath_schedule s = make(ours, (int)golden_number(one, "T"), number_or(params, "beta_start", 1e-4),
                              number_or(params, "beta_end", 0.02));
        if (json_is_true(json_object_get(params, "rescale_betas_zero_snr")))
            CHECK_OK(ath_schedule_rescale_zero_snr(&s, &err));
        for (size_t k = 0; k < n; k++) {
            const double got = s.alpha_bar[(int)at[k]], error = fabs(got - alpha_bar[k]) / fmax(alpha_bar[k], 1e-300);
            if (error > worst) worst = error;
            CHECK(error < 1e-12, "%s, timestep %g: alpha_bar %.17g, expected %.17g", name, at[k], got, alpha_bar[k]);
        }
        ath_schedule_free(&s);
        compared++;
    }
    CHECK(compared >= 7, "only %d schedules were compared", compared);
    print_message("%d schedules: largest relative error of alpha_bar %.1e\n", compared, worst);
}

static void alpha_bar_is_what_diffusers_lucidrains_and_su_compute(void **state) {
    (void)state;
    json_t *root = golden_tree("schedules.json");
    check_alpha_bars(root);
    json_decref(root);
}

static void alpha_bar_is_the_same_in_the_full_set(void **state) {
    (void)state;
    json_t *root = golden_shared("schedules.json");
    check_alpha_bars(root);
    json_decref(root);
}

/* DDIMScheduler and DDPMScheduler; the solvers of higher order take n + 1 points and drop one. */
static void check_timesteps(const json_t *root) {
    ath_schedule s = make("linear", 1000, 1e-4, 0.02);
    const json_t *list = golden_at(root, "timesteps");
    int compared = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *config = golden_at(one, "config");
        const char *class_name = golden_text(one, "cls");
        if (strcmp(class_name, "DDIMScheduler") != 0 && strcmp(class_name, "DDPMScheduler") != 0) continue;
        if (golden_number(config, "steps_offset") != 0) continue; /* Stable Diffusion's shift, which we do not have */
        const char *name = golden_text(config, "timestep_spacing");
        ath_spacing how;
        CHECK_OK(ath_spacing_parse(name, &how, &err));
        double expected[1000];
        ath_level level[1001];
        const int n = (int)golden_list(golden_at(one, "timesteps"), expected, 1000);
        CHECK_OK(ath_levels(&(ath_process){.schedule = &s}, how, NULL, n, level, &err));
        for (int k = 0; k < n; k++)
            CHECK(level[k].t == expected[k], "%s, %s, %d steps: level %d is timestep %g, expected %g", class_name, name,
                  n, k, level[k].t, expected[k]);
        compared++;
    }
    ath_schedule_free(&s);
    CHECK(compared >= 15, "only %d lists of timesteps were compared", compared);
    print_message("%d lists of timesteps are the same\n", compared);
}

static void few_steps_visit_the_timesteps_of_diffusers(void **state) {
    (void)state;
    json_t *root = golden_tree("schedules.json");
    check_timesteps(root);
    json_decref(root);
}

static void few_steps_visit_the_same_timesteps_in_the_full_set(void **state) {
    (void)state;
    json_t *root = golden_shared("schedules.json");
    check_timesteps(root);
    json_decref(root);
}

/* ---- laws ---- */

static void every_level_preserves_variance(void **state) {
    (void)state;
    static const int lengths[] = {1, 2, 10, 100, 1000};
    for (int k = 0; k < kinds_count(); k++)
        for (int l = 0; l < 5; l++) {
            const int T = lengths[l];
            ath_schedule s = make_kind(k, T);
            for (int i = 0; i < 4 * T; i++) {
                const ath_level at = ath_schedule_level(&s, 0.25 * i);
                const double sum = at.alpha * at.alpha + at.sigma * at.sigma;
                CHECK(fabs(sum - 1) < 1e-15, "%s, T %d, t %g: alpha^2 + sigma^2 = 1 %+.1e", s.kind->name, T, at.t,
                      sum - 1);
            }
            ath_schedule_free(&s);
        }
}

static void noise_grows_with_time_at_fractions_too(void **state) {
    (void)state;
    for (int k = 0; k < kinds_count(); k++) {
        ath_schedule s = make_kind(k, 1000);
        ath_level before = ath_schedule_level(&s, -1);
        CHECK(before.t == -1 && before.alpha == 1 && before.sigma == 0, "%s: the clean level is (%g, %g, %g)",
              s.kind->name, before.t, before.alpha, before.sigma);
        for (int i = 0; i <= 8 * 999; i++) {
            const double t = i / 8.0;
            const ath_level at = ath_schedule_level(&s, t);
            CHECK(at.t == t, "%s: asked for %g, got timestep %g", s.kind->name, t, at.t);
            CHECK(at.alpha < before.alpha && at.sigma > before.sigma,
                  "%s, t %g: (alpha, sigma) = (%.17g, %.17g) after (%.17g, %.17g)", s.kind->name, t, at.alpha, at.sigma,
                  before.alpha, before.sigma);
            before = at;
        }
        ath_schedule_free(&s);
    }
}

/* log(sigma/alpha) is linear between timesteps, so the levels just before and just behind a
 * timestep are the timestep's, and the one in the middle is the mean. */
static void levels_are_continuous_in_time(void **state) {
    (void)state;
    for (int k = 0; k < kinds_count(); k++) {
        ath_schedule s = make_kind(k, 1000);
        for (int t = 1; t < 999; t++) {
            double log_ratio[5];
            static const double shift[5] = {-1, -1e-9, 0, 1e-9, 1};
            for (int i = 0; i < 5; i++) {
                const ath_level at = ath_schedule_level(&s, t + shift[i]);
                log_ratio[i] = log(at.sigma / at.alpha);
            }
            const double jump = fabs(log_ratio[1] - log_ratio[2]) + fabs(log_ratio[3] - log_ratio[2]);
            CHECK(jump < 1e-7, "%s, t %d: log(sigma/alpha) jumps by %.1e", s.kind->name, t, jump);
            const ath_level middle = ath_schedule_level(&s, t + 0.5);
            const double got = log(middle.sigma / middle.alpha), expected = (log_ratio[2] + log_ratio[4]) / 2;
            CHECK(fabs(got - expected) < 1e-11, "%s, t %d.5: log(sigma/alpha) %.15g, expected %.15g", s.kind->name, t,
                  got, expected);
        }
        const ath_level last = ath_schedule_level(&s, 999), beyond = ath_schedule_level(&s, 1e9);
        CHECK(memcmp(&last, &beyond, sizeof last) == 0, "%s: beyond the last timestep t is %g", s.kind->name, beyond.t);
        ath_schedule_free(&s);
    }
}

/* x_t = sqrt(1 - beta_t) x_(t-1) + sqrt(beta_t) z_t, simulated step by step, has the mean alpha x_0 and the variance
 * sigma^2 of the level, within 4.5 standard errors: sigma/sqrt(N) of the mean, sigma^2 sqrt(2/N) of the variance. */
static void noising_step_by_step_gives_the_moments_of_the_level(void **state) {
    (void)state;
    enum { T = 60, N = 20000 };
    const ath_rng rng = {2026};
    const double start = 0.7;
    double *x = malloc(N * sizeof *x), *z = malloc(N * sizeof *z), beta[T];
    assert_non_null(x);
    assert_non_null(z);
    for (int k = 0; k < kinds_count(); k++) {
        ath_schedule s = make_kind(k, T);
        s.kind->betas(T, 1e-4, 0.02, beta);
        for (int i = 0; i < N; i++) x[i] = start;
        for (int t = 0; t < T; t++) {
            ath_rng_normal_f64(rng, ATH_S_TEST, (uint64_t)(k * T + t), z, N);
            double sum = 0, squares = 0;
            for (int i = 0; i < N; i++) {
                x[i] = sqrt(1 - beta[t]) * x[i] + sqrt(beta[t]) * z[i];
                sum += x[i], squares += x[i] * x[i];
            }
            const ath_level at = ath_schedule_level(&s, t);
            const double mean = sum / N, variance = squares / N - mean * mean, noise = at.sigma * at.sigma;
            CHECK(fabs(mean - at.alpha * start) < 4.5 * at.sigma / sqrt(N),
                  "%s, t %d: mean %.5f, expected %.5f +- 4.5 x %.5f (seed 2026)", s.kind->name, t, mean,
                  at.alpha * start, at.sigma / sqrt(N));
            CHECK(fabs(variance - noise) < 4.5 * noise * sqrt(2.0 / N),
                  "%s, t %d: variance %.6f, expected %.6f +- 4.5 x %.6f (seed 2026)", s.kind->name, t, variance, noise,
                  noise * sqrt(2.0 / N));
        }
        ath_schedule_free(&s);
    }
    free(x);
    free(z);
}

/* For x_0 of mean m and variance v, alpha x_0 + sigma eps has mean alpha m and variance alpha^2 v + sigma^2; x_0 is
 * -1 or 1/2 with equal probability, fourth central moments in the standard error of the variance. */
static void one_jump_to_a_level_gives_the_moments_of_the_forward_process(void **state) {
    (void)state;
    enum { N = 40000 };
    static const double times[] = {0, 10, 250, 500, 750, 900, 999};
    const ath_rng rng = {31};
    float *u = malloc(N * sizeof *u);
    double *eps = malloc(N * sizeof *eps);
    assert_non_null(u);
    assert_non_null(eps);
    for (int k = 0; k < kinds_count(); k++) {
        ath_schedule s = make_kind(k, 1000);
        for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
            const uint64_t index = (uint64_t)k * 100 + i;
            const ath_level at = ath_schedule_level(&s, times[i]);
            ath_rng_uniform(rng, ATH_S_TEST, index, u, N);
            ath_rng_normal_f64(rng, ATH_S_TEST, 10000 + index, eps, N);
            double sum = 0, squares = 0;
            for (int j = 0; j < N; j++) {
                const double x = at.alpha * (u[j] < 0.5f ? -1 : 0.5) + at.sigma * eps[j];
                sum += x, squares += x * x;
            }
            const double mean = sum / N, variance = squares / N - mean * mean;
            const double spread = 0.75 * at.alpha, expected = spread * spread + at.sigma * at.sigma;
            /* E(y + n)^4 = y^4 + 6 y^2 sigma^2 + 3 sigma^4 with y = +- spread */
            const double fourth = pow(spread, 4) + 6 * pow(spread * at.sigma, 2) + 3 * pow(at.sigma, 4);
            const double mean_error = sqrt(expected / N), variance_error = sqrt((fourth - expected * expected) / N);
            CHECK(fabs(mean + 0.25 * at.alpha) < 4.5 * mean_error,
                  "%s, t %g: mean %.5f, expected %.5f +- 4.5 x %.5f (seed 31)", s.kind->name, times[i], mean,
                  -0.25 * at.alpha, mean_error);
            CHECK(fabs(variance - expected) < 4.5 * variance_error + 1e-12,
                  "%s, t %g: variance %.5f, expected %.5f +- 4.5 x %.5f (seed 31)", s.kind->name, times[i], variance,
                  expected, variance_error);
        }
        ath_schedule_free(&s);
    }
    free(u);
    free(eps);
}

static void levels_go_from_noisy_to_clean_for_any_number_of_steps(void **state) {
    (void)state;
    static const int lengths[] = {1, 2, 7, 37, 100, 1000};
    ath_level level[1001];
    for (int l = 0; l < 6; l++) {
        const int T = lengths[l];
        ath_schedule s = make("linear", T, 1e-4, 0.02);
        for (int how = 0; how < 3; how++)
            for (int n = 1; n <= T; n += T > 100 ? 13 : 1) {
                CHECK_OK(ath_levels(&(ath_process){.schedule = &s}, (ath_spacing)how, NULL, n, level, &err));
                const char *name = ath_spacing_name((ath_spacing)how);
                for (int i = 0; i < n; i++) {
                    const ath_level expected = ath_schedule_level(&s, level[i].t);
                    CHECK(level[i].t == floor(level[i].t) && level[i].t >= 0 && level[i].t < T,
                          "%s, T %d, %d steps: level %d is at %g", name, T, n, i, level[i].t);
                    CHECK(memcmp(&level[i], &expected, sizeof expected) == 0, "%s, T %d, %d steps: level %d", name, T,
                          n, i);
                    CHECK(i == 0 || level[i].t < level[i - 1].t, "%s, T %d, %d steps: timestep %g after %g", name, T, n,
                          level[i].t, level[i - 1].t);
                }
                CHECK(level[n].t == -1 && level[n].alpha == 1 && level[n].sigma == 0, "%s: the last level", name);
                CHECK(how == ATH_TRAILING || level[n - 1].t == 0, "%s, T %d, %d steps: the last timestep is %g", name,
                      T, n, level[n - 1].t);
                CHECK(how == ATH_LEADING || n == 1 || level[0].t == T - 1,
                      "%s, T %d, %d steps: the first timestep is %g", name, T, n, level[0].t);
            }
        ath_schedule_free(&s);
    }
}

/* numpy's round, which diffusers uses, takes halves to the even neighbour: 937.5 to 938 and 812.5 to 812. */
static void halves_of_timesteps_are_rounded_to_even(void **state) {
    (void)state;
    static const double trailing[16] = {999, 937, 874, 811, 749, 687, 624, 561, 499, 437, 374, 311, 249, 187, 124, 61};
    static const double linspace[7] = {999, 832, 666, 500, 333, 166, 0};
    ath_schedule s = make("linear", 1000, 1e-4, 0.02);
    ath_level level[17];
    CHECK_OK(ath_levels(&(ath_process){.schedule = &s}, ATH_TRAILING, NULL, 16, level, &err));
    for (int i = 0; i < 16; i++)
        CHECK(level[i].t == trailing[i], "trailing level %d: %g, expected %g", i, level[i].t, trailing[i]);
    CHECK_OK(ath_levels(&(ath_process){.schedule = &s}, ATH_LINSPACE, NULL, 7, level, &err));
    for (int i = 0; i < 7; i++)
        CHECK(level[i].t == linspace[i], "linspace level %d: %g, expected %g", i, level[i].t, linspace[i]);
    ath_schedule_free(&s);
}

static void given_betas_make_the_schedule_they_came_from(void **state) {
    (void)state;
    double beta[1000];
    for (int k = 0; k < kinds_count(); k++) {
        ath_schedule s = make_kind(k, 1000), from;
        s.kind->betas(1000, 1e-4, 0.02, beta);
        CHECK_OK(ath_schedule_from_betas(&from, beta, 1000, &err));
        assert_memory_equal(s.alpha_bar, from.alpha_bar, 1000 * sizeof *beta);
        CHECK(from.kind == NULL && from.timesteps == 1000, "%s", s.kind->name);
        ath_schedule_free(&s);
        ath_schedule_free(&from);
        ath_schedule_free(&from); /* again */
    }
    /* A last beta of 1 is a schedule that ends in pure noise (Lin et al. 2023). */
    beta[999] = 1;
    ath_schedule s;
    CHECK_OK(ath_schedule_from_betas(&s, beta, 1000, &err));
    const ath_level last = ath_schedule_level(&s, 999), before = ath_schedule_level(&s, 998.5);
    CHECK(last.alpha == 0 && last.sigma == 1, "the last level is (%g, %g)", last.alpha, last.sigma);
    CHECK(before.alpha >= 0 && before.sigma <= 1, "the level before is (%g, %g)", before.alpha, before.sigma);
    ath_schedule_free(&s);
}

/* sqrt(alpha_bar) is shifted and scaled: 0 at the last timestep, as it was at the first, differences in proportion. */
static void rescaled_schedules_end_in_pure_noise(void **state) {
    (void)state;
    for (int k = 0; k < kinds_count(); k++) {
        ath_schedule plain = make_kind(k, 1000), s = make_kind(k, 1000);
        CHECK(!s.zero_snr, "%s is rescaled from the start", s.kind->name);
        CHECK_OK(ath_schedule_rescale_zero_snr(&s, &err));
        const ath_level last = ath_schedule_level(&s, 999);
        CHECK(s.zero_snr && last.alpha == 0 && last.sigma == 1, "%s ends in alpha %g, sigma %g", s.kind->name,
              last.alpha, last.sigma);
        const double a = sqrt(plain.alpha_bar[0]), b = sqrt(plain.alpha_bar[999]);
        for (int t = 0; t < 1000; t++) {
            const double expected = (sqrt(plain.alpha_bar[t]) - b) * a / (a - b);
            CHECK(fabs(sqrt(s.alpha_bar[t]) - expected) < 1e-15 && s.beta[t] == plain.beta[t],
                  "%s, timestep %d: sqrt(alpha_bar) %.17g, expected %.17g", s.kind->name, t, sqrt(s.alpha_bar[t]),
                  expected);
        }
        const ath_process p = {.schedule = &s};
        for (double t = 0; t < 999; t += 0.25) {
            const ath_level at = ath_schedule_level(&s, t), next = ath_schedule_level(&s, t + 0.25);
            CHECK(next.alpha < at.alpha, "%s: alpha %g at %g, then %g", s.kind->name, at.alpha, t, next.alpha);
            const ath_level same = ath_process_level(&p, at.sigma / at.alpha);
            CHECK(fabs(same.t - t) < 1e-6, "%s: the level of timestep %g is that of %.9g", s.kind->name, t, same.t);
        }
        CHECK(ath_process_level(&p, (double)INFINITY).t == 999, "%s: pure noise is not the last timestep",
              s.kind->name);
        memcpy(plain.alpha_bar, s.alpha_bar, 1000 * sizeof *s.alpha_bar);
        CHECK_OK(ath_schedule_rescale_zero_snr(&s, &err));
        for (int t = 0; t < 1000; t++)
            CHECK(fabs(s.alpha_bar[t] - plain.alpha_bar[t]) < 1e-15, "%s: again is not the same", s.kind->name);
        ath_schedule_free(&s);
        ath_schedule_free(&plain);
    }
    ath_schedule one = make("linear", 1, 1e-4, 0.02);
    CHECK_FAILS(ath_schedule_rescale_zero_snr(&one, &err), ATH_E_ARG, "zero terminal SNR");
    ath_schedule_free(&one);
}

static void wrong_schedules_are_refused(void **state) {
    (void)state;
    const ath_schedule_kind *linear = ath_schedule_kind_find("linear");
    ath_schedule s;
    CHECK_FAILS(ath_schedule_make(&s, linear, 0, 1e-4, 0.02, &err), ATH_E_ARG, "0 timesteps");
    CHECK_FAILS(ath_schedule_make(&s, linear, -5, 1e-4, 0.02, &err), ATH_E_ARG, "timesteps");
    CHECK_FAILS(ath_schedule_make(&s, linear, 1000001, 1e-4, 0.02, &err), ATH_E_ARG, "1000001 timesteps");
    CHECK_FAILS(ath_schedule_make(&s, linear, 10, 0, 0.02, &err), ATH_E_ARG, "beta 0");
    CHECK_FAILS(ath_schedule_make(&s, linear, 10, 1e-4, 1.5, &err), ATH_E_ARG, "beta");
    CHECK_FAILS(ath_schedule_make(&s, linear, 10, -0.1, 0.1, &err), ATH_E_ARG, "beta 0");
    CHECK_FAILS(ath_schedule_make(&s, linear, 10, (double)NAN, 0.1, &err), ATH_E_ARG, "beta 0");
    CHECK(s.alpha_bar == NULL, "a schedule that was refused owns memory");
    ath_schedule_free(&s);
    CHECK(ath_schedule_kind_find("linea") == NULL, "linea is no schedule");
    CHECK(ath_schedule_kind_find("") == NULL, "the empty name is no schedule");
}

static void wrong_spacings_and_step_counts_are_refused(void **state) {
    (void)state;
    ath_schedule s = make("linear", 10, 1e-4, 0.02);
    ath_level level[11];
    CHECK_FAILS(ath_levels(&(ath_process){.schedule = &s}, ATH_LEADING, NULL, 0, level, &err), ATH_E_ARG, "1 to");
    CHECK_FAILS(ath_levels(&(ath_process){.schedule = &s}, ATH_TRAILING, NULL, 11, level, &err), ATH_E_ARG, "11 steps");
    CHECK_FAILS(ath_levels(&(ath_process){.schedule = &s}, ATH_LINSPACE, NULL, -1, level, &err), ATH_E_ARG, "-1 steps");
    CHECK_OK(ath_levels(&(ath_process){.schedule = &s}, ATH_LINSPACE, NULL, 10, level, &err));
    ath_schedule_free(&s);
    ath_spacing how;
    CHECK_FAILS(ath_spacing_parse("middle", &how, &err), ATH_E_ARG, "middle");
    for (int i = 0; i < ATH_SPACINGS; i++) {
        CHECK_OK(ath_spacing_parse(ath_spacing_name((ath_spacing)i), &how, &err));
        CHECK((int)how == i, "%s is read as %s", ath_spacing_name((ath_spacing)i), ath_spacing_name(how));
    }
}

static void every_kind_is_found_by_its_name(void **state) {
    (void)state;
    int n = 0;
    const ath_schedule_kind *kinds = ath_schedule_kinds(&n);
    CHECK(n >= 6, "%d kinds", n);
    for (int i = 0; i < n; i++) {
        CHECK(ath_schedule_kind_find(kinds[i].name) == &kinds[i], "%s", kinds[i].name);
        CHECK(kinds[i].summary && *kinds[i].summary && kinds[i].paper && *kinds[i].paper, "%s", kinds[i].name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alpha_bar_is_what_diffusers_lucidrains_and_su_compute),
        cmocka_unit_test(alpha_bar_is_the_same_in_the_full_set),
        cmocka_unit_test(few_steps_visit_the_timesteps_of_diffusers),
        cmocka_unit_test(few_steps_visit_the_same_timesteps_in_the_full_set),
        cmocka_unit_test(every_level_preserves_variance),
        cmocka_unit_test(noise_grows_with_time_at_fractions_too),
        cmocka_unit_test(levels_are_continuous_in_time),
        cmocka_unit_test(noising_step_by_step_gives_the_moments_of_the_level),
        cmocka_unit_test(one_jump_to_a_level_gives_the_moments_of_the_forward_process),
        cmocka_unit_test(levels_go_from_noisy_to_clean_for_any_number_of_steps),
        cmocka_unit_test(halves_of_timesteps_are_rounded_to_even),
        cmocka_unit_test(given_betas_make_the_schedule_they_came_from),
        cmocka_unit_test(rescaled_schedules_end_in_pure_noise),
        cmocka_unit_test(wrong_schedules_are_refused),
        cmocka_unit_test(wrong_spacings_and_step_counts_are_refused),
        cmocka_unit_test(every_kind_is_found_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
