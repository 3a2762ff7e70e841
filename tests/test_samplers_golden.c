/* Samplers beside other implementations: the exact denoisers of these tests give the values
 * that were recorded, and DDIM and DDPM follow diffusers step by step on them. */
#include "check.h"
#include "follow.h"

/* ---- the exact denoiser itself ---- */

/* Kinds: vp by alpha_bar, with eps and x0; ve (alpha = 1), where x0 is called D and eps is the slope of the flow;
 * rf (alpha = 1 - t, sigma = t), with the velocity eps - x0. */
static void check_model_values(const json_t *mixtures, const json_t *values) {
    const json_t *cases = golden_at(values, "cases");
    double worst = 0;
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *one = json_array_get(cases, c);
        const mixture m = read_mixture(mixtures, golden_text(one, "mixture"));
        const char *kind = golden_text(one, "kind");
        const bool vp = strcmp(kind, "vp") == 0, ve = strcmp(kind, "ve") == 0;
        ath_level at = {0, 1, 0};
        if (vp)
            at = (ath_level){0, sqrt(golden_number(one, "abar")), sqrt(1 - golden_number(one, "abar"))};
        else if (ve)
            at = (ath_level){0, 1, golden_number(one, "sigma")};
        else
            at = (ath_level){0, 1 - golden_number(one, "t"), golden_number(one, "t")};
        double x[8 * MAX_DIM], first[8 * MAX_DIM], second[8 * MAX_DIM];
        const size_t len = golden_list(golden_at(one, "x"), x, 8 * MAX_DIM), dim = (size_t)m.dim;
        golden_list(golden_at(one, vp ? "eps" : ve ? "ode_rhs" : "velocity"), first, 8 * MAX_DIM);
        if (vp || ve) golden_list(golden_at(one, vp ? "x0" : "D"), second, 8 * MAX_DIM);
        for (size_t i = 0; i < len; i += dim) {
            double x0[MAX_DIM], eps[MAX_DIM];
            mixture_at(&m, x + i, at, x0, eps);
            for (size_t d = 0; d < dim; d++) {
                double error = fabs((vp || ve ? eps[d] : eps[d] - x0[d]) - first[i + d]);
                if (vp || ve) error = fmax(error, fabs(x0[d] - second[i + d]));
                worst = fmax(worst, error);
                CHECK(error < 1e-11, "case %zu, %s: x0 %.15g, eps %.15g are %.1e off", c, kind, x0[d], eps[d], error);
            }
        }
    }
    print_message("%zu cases: largest error of x0 and eps %.1e\n", json_array_size(cases), worst);
}

static void the_denoiser_of_these_tests_is_exact(void **state) {
    (void)state;
    json_t *mixtures = golden_tree("mixtures.json"), *values = golden_tree("model_values.json");
    check_model_values(mixtures, values);
    json_decref(mixtures);
    json_decref(values);
    mixtures = golden_open(ATH_SHARED_GOLDEN, "mixtures.json");
    values = golden_open(ATH_SHARED_GOLDEN, "model_values.json");
    if (mixtures && values) check_model_values(mixtures, values);
    json_decref(mixtures);
    json_decref(values);
}

/* ---- golden trajectories ----
 * Left out, by their configuration:
 *   DDIM clipping or thresholding without use_clipped_model_output
 *                                      diffusers then keeps the eps of the unclipped x0; ours is always of the x0
 *                                      that is used, which is the other case (and Ho's clip_denoised)
 * Compared step by step, each from the recorded state:
 *   DDIM linspace                      diffusers steps to t - T/n, not to the next timestep of its list, and evaluates
 *                                      the network somewhere else than the sample is. A run of ours does not.
 * Compared in part:
 *   DDPM fixed_large where the last timestep is not 0 (trailing)
 *                                      diffusers adds noise of the size of sigma onto the clean level; we add none:
 *                                      all states but the last
 * DDPM fixed_small adds noise of deviation 1e-10 there (its clamp), which is below the tolerance. */
static ath_schedule schedule_of(const json_t *config, const json_t *defaults) {
    int n = 0;
    const ath_schedule_kind *kinds = ath_schedule_kinds(&n);
    const char *name = config_text(config, defaults, "beta_schedule");
    ath_schedule s = {0};
    for (int k = 0; k < n; k++)
        if (kinds[k].diffusers && strcmp(kinds[k].diffusers, name) == 0)
            CHECK_OK(ath_schedule_make(&s, &kinds[k], (int)config_number(config, defaults, "num_train_timesteps"),
                                       config_number(config, defaults, "beta_start"),
                                       config_number(config, defaults, "beta_end"), &err));
    CHECK(s.alpha_bar != NULL, "no schedule is diffusers' \"%s\"", name);
    if (is_on(config, defaults, "rescale_betas_zero_snr")) CHECK_OK(ath_schedule_rescale_zero_snr(&s, &err));
    return s;
}

/* The levels of a case: ours where the configuration is one we have, else (an offset, an end that
 * is not clean) from the timesteps and alpha_bars that were recorded. */
static void levels_of(const json_t *one, const json_t *config, const json_t *defaults, ath_level *level) {
    const int n = (int)golden_number(one, "num_inference_steps");
    double t[MAX_STEPS], alpha_bar[MAX_STEPS];
    CHECK((int)golden_list(golden_at(one, "timesteps"), t, MAX_STEPS) == n, "%d timesteps expected", n);
    golden_list(golden_at(golden_at(one, "evals"), "abar"), alpha_bar, MAX_STEPS);
    ath_schedule s = schedule_of(config, defaults);
    ath_spacing how;
    CHECK_OK(ath_spacing_parse(config_text(config, defaults, "timestep_spacing"), &how, &err));
    CHECK_OK(ath_levels(&(ath_process){.schedule = &s}, how, NULL, n, level, &err));
    const double offset = how == ATH_LEADING ? config_number(config, defaults, "steps_offset") : 0;
    for (int i = 0; i < n; i++) {
        CHECK(level[i].t + offset == t[i], "level %d is timestep %g, expected %g - %g", i, level[i].t, t[i], offset);
        if (offset != 0) level[i] = ath_schedule_level(&s, t[i]);
        CHECK(fabs(level[i].alpha * level[i].alpha - alpha_bar[i]) <= 1e-12 * alpha_bar[i],
              "level %d: alpha_bar %.17g, expected %.17g", i, level[i].alpha * level[i].alpha, alpha_bar[i]);
    }
    if (json_object_get(defaults, "set_alpha_to_one") && !is_on(config, defaults, "set_alpha_to_one"))
        level[n] = ath_schedule_level(&s, 0);
    ath_schedule_free(&s);
}

/* Why a case is left out; NULL when it is not. */
static const char *left_out(const json_t *one, const json_t *config, const json_t *defaults, bool ddim) {
    if (ddim && (is_on(config, defaults, "clip_sample") || is_on(config, defaults, "thresholding")) &&
        !json_is_true(json_object_get(golden_at(one, "step_kwargs"), "use_clipped_model_output")))
        return "eps of the unclipped x0";
    return NULL;
}

/* What diffusers does to x0, in the net. */
static exact_net net_of(const json_t *one, const json_t *config, const json_t *defaults, const mixture *data) {
    exact_net net = {.data = *data, .n = IMAGES};
    CHECK_OK(ath_prediction_parse(golden_text(one, "prediction_type"), &net.says, &err));
    if (is_on(config, defaults, "thresholding")) {
        net.threshold = config_number(config, defaults, "dynamic_thresholding_ratio");
        net.threshold_max = config_number(config, defaults, "sample_max_value");
    } else if (is_on(config, defaults, "clip_sample"))
        net.clip = config_number(config, defaults, "clip_sample_range");
    return net;
}

/* The largest error of one step after which state `at` was recorded. */
static double error_at(const char *id, const json_t *states, int at, const double *x, size_t len) {
    double expected[STATE], worst = 0;
    golden_list(json_array_get(states, (size_t)at), expected, STATE);
    for (size_t k = 0; k < len; k++) {
        const double error = fabs(x[k] - expected[k]);
        worst = fmax(worst, error);
        CHECK(error < 1e-9, "%s, after step %d, number %zu: %.15g, expected %.15g", id, at - 1, k, x[k], expected[k]);
    }
    return worst;
}

/* DDIM's steps one by one, each to t - T/n. */
static double compare_steps(const json_t *one, const json_t *defaults, const mixture *data) {
    const json_t *config = golden_at(one, "config"), *states = golden_at(one, "x");
    const int n = (int)json_array_size(states) - 1;
    exact_net net = net_of(one, config, defaults, data);
    ath_schedule s = schedule_of(config, defaults);
    double t[MAX_STEPS], worst = 0;
    golden_list(golden_at(one, "timesteps"), t, MAX_STEPS);
    for (int i = 0; i < n; i++) {
        const ath_level level[2] = {ath_schedule_level(&s, t[i]), ath_schedule_level(&s, t[i] - s.timesteps / n)};
        double x[STATE];
        const size_t len = golden_list(json_array_get(states, (size_t)i), x, STATE);
        ath_sample_job job = {
            .net = {&net, exact_x0}, .level = level, .n_steps = 1, .x = x, .n = IMAGES, .dim = (size_t)data->dim};
        CHECK_OK(run_job(find("ddim"), "", &job, NULL));
        worst = fmax(worst, error_at(golden_text(one, "id"), states, i + 1, x, len));
    }
    ath_schedule_free(&s);
    return worst;
}

static double compare_case(const json_t *one, const json_t *defaults, const mixture *data, const json_t *noise,
                           bool ddim) {
    const char *id = golden_text(one, "id");
    const json_t *config = golden_at(one, "config"), *eta = json_object_get(golden_at(one, "step_kwargs"), "eta");
    ath_level level[MAX_STEPS + 1];
    levels_of(one, config, defaults, level);
    exact_net net = net_of(one, config, defaults, data);
    char options[64] = "";
    bool large = false;
    if (ddim)
        snprintf(options, sizeof options, "eta=%g", eta ? golden_value(eta) : 0.0);
    else {
        large = strcmp(config_text(config, defaults, "variance_type"), "fixed_large") == 0;
        snprintf(options, sizeof options, "variance=%s",
                 large ? "fixed_large" : "fixed_small"); /* and fixed_small_log, which is it */
    }
    const json_t *states = golden_at(one, "x");
    const int n = (int)json_array_size(states) - 1;
    recorder r = {.len = IMAGES * (size_t)data->dim};
    noise_list draws = {noise, r.len, NULL};
    double x[STATE], worst = 0;
    golden_list(json_array_get(states, 0), x, STATE);
    ath_sample_job job = {.net = {&net, exact_x0},
                          .level = level,
                          .n_steps = n,
                          .x = x,
                          .n = IMAGES,
                          .dim = (size_t)data->dim,
                          .noise = {&draws, recorded_noise},
                          .on_step = keep_state,
                          .user = &r};
    CHECK_OK(run_job(find(ddim ? "ddim" : "ddpm"), options, &job, NULL));
    CHECK(r.steps == n && net.calls == n, "%s: %d steps and %d calls, expected %d", id, r.steps, net.calls, n);
    const int comparable = large && level[n - 1].t > 0 ? n - 1 : n;
    for (int i = 1; i <= comparable; i++) worst = fmax(worst, error_at(id, states, i, r.x[i], r.len));
    return worst;
}

/* DDIM on timesteps that are not what it steps by. */
static bool steps_beside_the_list(const json_t *config, const json_t *defaults, bool ddim) {
    return ddim && strcmp(config_text(config, defaults, "timestep_spacing"), "linspace") == 0;
}

static void follow(const char *folder, bool full, const char *file, bool ddim, int at_least) {
    json_t *mixtures = golden_open(folder, "mixtures.json"), *noise = golden_open(folder, "noise.json"),
           *root = golden_open(folder, file);
    if (full && !(mixtures && noise && root)) {
        json_decref(mixtures);
        json_decref(noise);
        json_decref(root);
        skip();
    }
    assert_non_null(mixtures);
    assert_non_null(noise);
    assert_non_null(root);
    const json_t *defaults = golden_at(golden_at(root, "class_defaults"), ddim ? "DDIMScheduler" : "DDPMScheduler");
    const json_t *cases = golden_at(root, "cases");
    double worst = 0;
    int compared = 0;
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *one = json_array_get(cases, c);
        if (left_out(one, golden_at(one, "config"), defaults, ddim)) continue;
        const char *name = golden_text(one, "mixture");
        const mixture data = read_mixture(mixtures, name);
        const double error = steps_beside_the_list(golden_at(one, "config"), defaults, ddim)
                                 ? compare_steps(one, defaults, &data)
                                 : compare_case(one, defaults, &data, golden_at(golden_at(noise, name), "noise"), ddim);
        worst = fmax(worst, error);
        compared++;
    }
    CHECK(compared >= at_least, "%s: only %d trajectories of %zu were compared", file, compared,
          json_array_size(cases));
    print_message("%s: %d of %zu trajectories, largest error %.1e\n", file, compared, json_array_size(cases), worst);
    json_decref(mixtures);
    json_decref(noise);
    json_decref(root);
}

static void ddim_follows_diffusers_step_by_step(void **state) {
    (void)state;
    follow(ATH_TEST_GOLDEN, false, "diffusers_ddim.json", true, 9);
}
static void ddim_follows_diffusers_through_the_full_set(void **state) {
    (void)state;
    follow(ATH_SHARED_GOLDEN, true, "trajectories/diffusers_ddim.json", true, 20);
}
static void ddpm_follows_diffusers_step_by_step(void **state) {
    (void)state;
    follow(ATH_TEST_GOLDEN, false, "diffusers_ddpm.json", false, 8);
}
static void ddpm_follows_diffusers_through_the_full_set(void **state) {
    (void)state;
    follow(ATH_SHARED_GOLDEN, true, "trajectories/diffusers_ddpm.json", false, 19);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_denoiser_of_these_tests_is_exact),
        cmocka_unit_test(ddim_follows_diffusers_step_by_step),
        cmocka_unit_test(ddim_follows_diffusers_through_the_full_set),
        cmocka_unit_test(ddpm_follows_diffusers_step_by_step),
        cmocka_unit_test(ddpm_follows_diffusers_through_the_full_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
