/* Grids: their levels against other programs' lists of sigmas, against the formulas, and what every spacing owes to every
 * process. (Timesteps of leading, linspace and trailing are in test_schedule.c.) */
#include "exact.h"
#include "golden/golden.h"

enum { T = 1000, MOST = 64 };
static const int counts[] = {1, 2, 3, 10, 50};
enum { N_COUNTS = sizeof counts / sizeof *counts };

static double ratio_of(ath_level at) { return at.alpha > 0 ? at.sigma / at.alpha : (double)INFINITY; }

static void check_ratio(double got, double expected, double tolerance, const char *what, int n, int i) {
    CHECK(got == expected || fabs(got - expected) <= tolerance * fabs(expected),
          "%s, %d: sigma/alpha %d is %.17g, expected %.17g", what, n, i, got, expected);
}

static ath_schedule make(const char *kind, double beta_start, double beta_end) {
    ath_schedule s;
    CHECK_OK(ath_schedule_make(&s, ath_schedule_kind_find(kind), T, beta_start, beta_end, &err));
    return s;
}

/* ---- other programs ---- */

/* What an entry of the golden file is to us, by its name, a word of its source and a key of its parameters: the first row
 * that fits. */
typedef struct rule {
    const char *name, *source, *key;
    ath_spacing how;
    bool to_the_least; /* their list ends at the least sigma, or has one more before 0 that they drop */
    const char *other; /* why it is not our rule; NULL: it is */
} rule;
static const rule rules[] = {
    {"karras", "k-diffusion", NULL, ATH_KARRAS, false, NULL},
    {"edm", "NVlabs/edm", NULL, ATH_EDM, false, NULL},
    {"exponential", "k-diffusion", NULL, ATH_EXPONENTIAL, false, NULL},
    {"polyexponential", "k-diffusion", NULL, ATH_POLYEXPONENTIAL, false, NULL},
    {"vp", "k-diffusion", NULL, ATH_TIME, false, NULL},
    {"zju_polynomial", "zju-pi", NULL, ATH_KARRAS, true, NULL},
    {"zju_logsnr", "zju-pi", NULL, ATH_LAMBDA, true, NULL},
    {"zju_time_uniform", "zju-pi", NULL, ATH_TIME, true, NULL},
    {"scheduler_sigmas", "diffusers", "use_karras_sigmas", ATH_KARRAS, false, NULL},
    {"scheduler_sigmas", "diffusers", "use_exponential_sigmas", ATH_EXPONENTIAL, false, NULL},
    {"scheduler_sigmas", "diffusers", "use_lu_lambdas", ATH_LAMBDA, false, NULL},
    {"scheduler_sigmas", "diffusers", "use_beta_sigmas", ATH_BETA, false, NULL},
    {"scheduler_sigmas", "EulerDiscrete", NULL, ATH_LINSPACE, false,
     "keeps fractions of timesteps and puts sigma on a straight line between its neighbours"},
    {"scheduler_sigmas", "DPMSolverMultistep", NULL, ATH_LINSPACE, true, NULL},
    {"scheduler_sigmas", "UniPCMultistep", NULL, ATH_LINSPACE, true, NULL},
    {"flow_match", "FlowMatchHeun", NULL, ATH_UNIFORM_FLOW, false, "as Euler's, with every level twice"},
    {"flow_match", "FlowMatchEuler", NULL, ATH_UNIFORM_FLOW, false, "shifts the low end twice and visits it before 0"},
    {"flow_match_dynamic_exponential", "FlowMatchEuler", NULL, ATH_UNIFORM_FLOW, false,
     "the same, with a shift of exp(mu)"},
};

static const rule *rule_of(const json_t *entry) {
    const char *name = golden_text(entry, "name"), *source = golden_text(entry, "source");
    const json_t *params = golden_at(entry, "params");
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const rule *r = &rules[i];
        if (strcmp(r->name, name) == 0 && strstr(source, r->source) && (!r->key || json_object_get(params, r->key)))
            return r;
    }
    CHECK(false, "no rule says what %s of %s is", name, source);
    return NULL;
}

static double number_or(const json_t *object, const char *key, double otherwise) {
    return json_object_get(object, key) ? golden_number(object, key) : otherwise;
}

/* k-diffusion's `vp` gives the two numbers of its beta(t) in place of the ends. */
static double continuous_vp(const json_t *params, double t) {
    const double beta_d = golden_number(params, "beta_d"), beta_min = golden_number(params, "beta_min");
    return sqrt(exp(t * (beta_d / 2 * t + beta_min)) - 1);
}

static ath_grid_options options_of(const json_t *params, bool to_the_least) {
    ath_grid_options o = {.sigma_min = number_or(params, "sigma_min", 0),
                          .sigma_max = number_or(params, "sigma_max", 0)};
    o.rho = number_or(params, "rho", number_or(params, "schedule_rho", 0));
    if (json_object_get(params, "beta_d")) {
        o.sigma_max = continuous_vp(params, 1);
        o.sigma_min = continuous_vp(params, golden_number(params, "eps_s"));
    }
    strcpy(o.final, to_the_least ? "sigma_min" : "zero");
    return o;
}

/* Euler's timesteps are fractions, ours; the other classes round them, or cut them off. */
static void check_timesteps(const json_t *entry, const ath_level *level, int n) {
    double t[MOST];
    const bool fractions = strstr(golden_text(entry, "source"), "Euler") != NULL;
    const size_t found = golden_list(golden_at(entry, "timesteps"), t, MOST);
    CHECK((int)found == n, "%zu timesteps, expected %d", found, n);
    for (int i = 0; i < n; i++)
        CHECK(fabs(level[i].t - t[i]) < (fractions ? 1e-8 : 1), "%s, %d steps: timestep %d is %.12g, expected %.12g",
              golden_text(entry, "source"), n, i, level[i].t, t[i]);
}

static void compare(const json_t *entry, const rule *r) {
    const json_t *params = golden_at(entry, "params");
    const bool vp = json_object_get(params, "beta_schedule") != NULL;
    ath_schedule s = {0};
    if (vp) s = make("scaled_linear", golden_number(params, "beta_start"), golden_number(params, "beta_end"));
    const ath_process p = {.kind = vp ? ATH_PROCESS_VP : ATH_PROCESS_VE, .schedule = vp ? &s : NULL};
    const ath_grid_options o = options_of(params, r->to_the_least);
    double expected[MOST];
    ath_level level[MOST];
    int listed = (int)golden_list(golden_at(entry, "sigmas"), expected, MOST);
    const int n = (int)number_or(params, "n", listed) - (json_object_get(params, "num_steps") != NULL);
    if (r->how == ATH_LINSPACE) listed--; /* n + 1 points, the last of which they put 0 in place of */
    CHECK_OK(ath_levels(&p, r->how, &o, n, level, &err));
    CHECK(listed >= n && listed <= n + 1, "%s: %d sigmas for %d steps", r->name, listed, n);
    for (int i = 0; i < listed; i++)
        check_ratio(ratio_of(level[i]), expected[i], 1e-9, golden_text(entry, "source"), n, i);
    if (vp) check_timesteps(entry, level, n);
    ath_schedule_free(&s);
}

static void levels_are_those_of_k_diffusion_edm_diff_sampler_and_diffusers(void **state) {
    (void)state;
    json_t *root = golden_shared("schedules.json");
    const json_t *list = golden_at(root, "sigma_schedules");
    int same = 0, other = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const rule *r = rule_of(entry);
        if (!r->other) compare(entry, r);
        *(r->other ? &other : &same) += 1;
    }
    json_decref(root);
    printf("%d lists are the same, %d of another rule\n", same, other);
    CHECK(same > 100, "only %d lists were compared", same);
}

/* What --levels does with diffusers' lists of a flow: sigma there is t here. */
static void diffusers_flow_sigmas_are_levels_of_a_flow(void **state) {
    (void)state;
    json_t *root = golden_shared("schedules.json");
    const json_t *list = golden_at(root, "sigma_schedules");
    const ath_process flow = {.kind = ATH_PROCESS_FLOW};
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *entry = json_array_get(list, k);
        if (!strstr(golden_text(entry, "source"), "FlowMatchEuler")) continue;
        double sigma[MOST], t[MOST], ratio[MOST];
        ath_level level[MOST];
        const int n = (int)golden_list(golden_at(entry, "sigmas"), sigma, MOST);
        golden_list(golden_at(entry, "timesteps"), t, MOST);
        for (int i = 0; i < n; i++) ratio[i] = sigma[i] / (1 - sigma[i]);
        CHECK_OK(ath_levels_from_ratios(&flow, ratio, n, level, &err));
        for (int i = 0; i < n; i++) {
            CHECK(fabs(level[i].sigma - sigma[i]) < 1e-15, "sigma %d is %.17g", i, level[i].sigma);
            CHECK(i == n - 1 || fabs(level[i].t - t[i]) < 1e-9, "timestep %d is %.17g, not %.17g", i, level[i].t, t[i]);
        }
    }
    json_decref(root);
}

/* ---- formulas ---- */

static void ratios_from(const ath_process *p, ath_spacing how, const ath_grid_options *o, int n, double *ratio) {
    ath_level level[MOST];
    CHECK_OK(ath_levels(p, how, o, n, level, &err));
    for (int i = 0; i <= n; i++) ratio[i] = ratio_of(level[i]);
}

static void levels_follow_the_formulas(void **state) {
    (void)state;
    enum { N = 7 };
    const ath_process ve = {.kind = ATH_PROCESS_VE}, flow = {.kind = ATH_PROCESS_FLOW, .shift = 3};
    const ath_grid_options usual = {.final = "zero"}, rho_2 = {.rho = 2, .final = "sigma_min"},
                           own = {.sigma_min = sqrt(exp(0.00010995) - 1),
                                  .sigma_max = sqrt(exp(10.05) - 1),
                                  .rho = 2,
                                  .final = "sigma_min"};
    double karras[N + 1], log_even[N + 1], power[N + 1], time[N + 1], t[N + 1];
    ratios_from(&ve, ATH_KARRAS, &usual, N, karras);
    ratios_from(&ve, ATH_EXPONENTIAL, &usual, N, log_even);
    ratios_from(&ve, ATH_POLYEXPONENTIAL, &rho_2, N, power);
    ratios_from(&ve, ATH_TIME, &own, N, time);
    ratios_from(&flow, ATH_UNIFORM_FLOW, &usual, N, t);
    for (int i = 0; i <= N; i++) {
        const double part = (double)i / (N - 1), rest = 1 - (double)i / N, u = 1 - (double)i / N;
        const double root = 1 + (sqrt(1e-3) - 1) * (1 - rest), at = root * root;
        const bool end = i == N;
        check_ratio(karras[i], end ? 0 : pow(pow(80, 1 / 7.0) + part * (pow(0.002, 1 / 7.0) - pow(80, 1 / 7.0)), 7),
                    1e-12, "karras", N, i);
        check_ratio(log_even[i], end ? 0 : 80 * pow(0.002 / 80, part), 1e-12, "exponential", N, i);
        check_ratio(power[i], 0.002 * pow(80 / 0.002, rest * rest), 1e-12, "polyexponential", N, i);
        check_ratio(time[i], sqrt(exp(9.95 * at * at + 0.1 * at) - 1), 1e-9, "time", N, i);
        const double shifted = 3 * u / (1 + 2 * u);
        check_ratio(t[i], i ? shifted / (1 - shifted) : (double)INFINITY, 1e-12, "flow", N, i);
    }
}

/* The integral of (u (1 - u))^-0.4 from 0 to x, which in v = u^0.6 is that of (1 - v^(5/3))^-0.4 / 0.6, by Simpson's rule. */
static double beta_integral(double x) {
    enum { PARTS = 20000 };
    const double h = pow(x, 0.6) / PARTS;
    double sum = 0;
    for (int i = 0; i <= PARTS; i++)
        sum += (i == 0 || i == PARTS ? 1 : i % 2 ? 4 : 2) * pow(1 - pow(i * h, 5 / 3.0), -0.4);
    return sum * h / 3 / 0.6;
}

static void beta_levels_are_quantiles_of_the_beta_distribution(void **state) {
    (void)state;
    enum { N = 12 };
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    const ath_grid_options o = {.sigma_min = 1, .sigma_max = 2, .final = "sigma_min"};
    double ratio[N + 1];
    ratios_from(&ve, ATH_BETA, &o, N, ratio);
    const double whole = 2 * beta_integral(0.5);
    for (int i = 0; i <= N; i++) {
        const double x = ratio[i] - 1, below = x <= 0.5 ? beta_integral(x) / whole : 1 - beta_integral(1 - x) / whole;
        CHECK(fabs(below - (1 - (double)i / N)) < 1e-9, "quantile %d: %.12f of the distribution is below %g", i, below,
              x);
    }
}

/* ---- every spacing on every process ---- */

typedef struct subject {
    const char *name;
    ath_process process;
    double least, most; /* sigma/alpha of its own range */
} subject;

static bool counts_timesteps(ath_spacing how) { return how <= ATH_QUADRATIC; }

static void check_on_curve(const subject *s, ath_level at, const char *where) {
    const double miss = s->process.kind == ATH_PROCESS_VP   ? at.alpha * at.alpha + at.sigma * at.sigma - 1
                        : s->process.kind == ATH_PROCESS_VE ? at.alpha - 1
                                                            : at.alpha + at.sigma - 1;
    CHECK(fabs(miss) < 1e-14, "%s: (%.17g, %.17g) is not on the curve", where, at.alpha, at.sigma);
    if (at.sigma == 0) return;
    if (s->process.kind == ATH_PROCESS_VE) {
        CHECK(at.t == log(at.sigma) / 4, "%s: t is %g at sigma %g", where, at.t, at.sigma);
        return;
    }
    const double last = s->process.kind == ATH_PROCESS_VP ? T - 1 : 1000;
    CHECK(at.t >= 0 && at.t <= last, "%s: t is %g", where, at.t);
}

static void check_round_trip(const subject *s, ath_level at, const char *where) {
    const ath_level back = ath_process_level(&s->process, ratio_of(at));
    CHECK(fabs(back.alpha - at.alpha) <= 1e-12 && fabs(back.sigma - at.sigma) <= 1e-12 * fmax(1, at.sigma) &&
              fabs(back.t - at.t) <= 1e-7,
          "%s: (%.17g, %.17g, %.17g) comes back as (%.17g, %.17g, %.17g)", where, at.t, at.alpha, at.sigma, back.t,
          back.alpha, back.sigma);
}

static void check_grid(const subject *s, ath_spacing how, bool to_the_least, int n) {
    ath_level level[MOST];
    const ath_grid_options o = {.final = {0}}, least = {.final = "sigma_min"};
    char where[128];
    CHECK_OK(ath_levels(&s->process, how, to_the_least ? &least : &o, n, level, &err));
    for (int i = 0; i <= n; i++) {
        snprintf(where, sizeof where, "%s on %s, %d steps, final %s, level %d", ath_spacing_name(how), s->name, n,
                 to_the_least ? "sigma_min" : "zero", i);
        check_on_curve(s, level[i], where);
        check_round_trip(s, level[i], where);
        if (i == 0) continue;
        const double before = ratio_of(level[i - 1]), here = ratio_of(level[i]);
        CHECK(here < before || (i == n && to_the_least && here == before), "%s: %g after %g", where, here, before);
    }
    if (!to_the_least) {
        CHECK(level[n].t == -1 && level[n].alpha == 1 && level[n].sigma == 0, "%s: not the clean level", where);
        return;
    }
    CHECK(level[n].sigma > 0, "%s: the end is clean", where);
    if (counts_timesteps(how) || how == ATH_UNIFORM_FLOW) return;
    const double from = how == ATH_EDM ? 80 : s->most, to = how == ATH_EDM ? 0.002 : s->least;
    check_ratio(ratio_of(level[0]), from, 1e-9, where, n, 0);
    check_ratio(ratio_of(level[n]), to, 1e-9, where, n, n);
}

static void every_spacing_falls_on_every_process(void **state) {
    (void)state;
    ath_schedule linear = make("linear", 1e-4, 0.02), cosine = make("cosine", 0, 0);
    const double first[2] = {ratio_of(ath_schedule_level(&linear, 0)), ratio_of(ath_schedule_level(&cosine, 0))};
    const subject subjects[] = {
        {"vp linear", {.schedule = &linear}, first[0], ratio_of(ath_schedule_level(&linear, T - 1))},
        {"vp cosine", {.schedule = &cosine}, first[1], 200},
        {"vp without a schedule", {.kind = ATH_PROCESS_VP}, 0.002, 80},
        {"ve", {.kind = ATH_PROCESS_VE}, 0.002, 80},
        {"ve 0.01 to 50", {.kind = ATH_PROCESS_VE, .sigma_min = 0.01, .sigma_max = 50, .rho = 5}, 0.01, 50},
        {"flow", {.kind = ATH_PROCESS_FLOW}, 0.002, 80},
        {"flow shifted", {.kind = ATH_PROCESS_FLOW, .shift = 3}, 0.002, 80}};
    for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++)
        for (int how = 0; how < ATH_SPACINGS; how++)
            for (int c = 0; c < 2 * N_COUNTS; c++) {
                const subject *s = &subjects[k];
                const bool timesteps = s->process.schedule || s->process.kind == ATH_PROCESS_FLOW;
                if (timesteps || !counts_timesteps((ath_spacing)how)) {
                    check_grid(s, (ath_spacing)how, c % 2, counts[c / 2]);
                    continue;
                }
                ath_level level[MOST];
                CHECK_FAILS(ath_levels(&s->process, (ath_spacing)how, NULL, counts[c / 2], level, &err), ATH_E_ARG,
                            "karras");
            }
    ath_schedule_free(&linear);
    ath_schedule_free(&cosine);
}

/* Where the noise range cuts a shifted flow grid, the levels still differ. */
static void a_flow_grid_of_many_steps_falls_on_vp_and_ve(void **state) {
    (void)state;
    enum { N = 1000 };
    ath_schedule linear = make("linear", 1e-4, 0.02);
    const ath_process processes[] = {{.schedule = &linear}, {.kind = ATH_PROCESS_VE}};
    const ath_grid_options o = {.shift = 12, .final = "zero"};
    ath_level level[N + 1];
    for (int k = 0; k < 2; k++) {
        CHECK_OK(ath_levels(&processes[k], ATH_UNIFORM_FLOW, &o, N, level, &err));
        const double most = k ? 80 : ratio_of(ath_schedule_level(&linear, T - 1));
        check_ratio(ratio_of(level[0]), most, 1e-12, "flow", N, 0);
        for (int i = 1; i <= N; i++)
            CHECK(ratio_of(level[i]) < ratio_of(level[i - 1]), "process %d: level %d is at %g as the one before it", k,
                  i, ratio_of(level[i]));
    }
    ath_schedule_free(&linear);
}

/* ---- what cannot be ---- */

static void impossible_grids_are_refused(void **state) {
    (void)state;
    ath_schedule s = make("linear", 1e-4, 0.02);
    const ath_process vp = {.schedule = &s}, ve = {.kind = ATH_PROCESS_VE}, flow = {.kind = ATH_PROCESS_FLOW};
    ath_level level[MOST];
    for (int how = 0; how < ATH_SPACINGS; how++) {
        CHECK_FAILS(ath_levels(&vp, (ath_spacing)how, NULL, 0, level, &err), ATH_E_ARG, "0 steps");
        CHECK_FAILS(ath_levels(&flow, (ath_spacing)how, NULL, -3, level, &err), ATH_E_ARG, "-3 steps");
        if (!counts_timesteps((ath_spacing)how)) continue;
        CHECK_FAILS(ath_levels(&vp, (ath_spacing)how, NULL, T + 1, level, &err), ATH_E_ARG, "1001 steps");
        CHECK_FAILS(ath_levels(&flow, (ath_spacing)how, NULL, T + 1, level, &err), ATH_E_ARG, "1001 steps");
    }
    const ath_grid_options crossed = {.sigma_min = 3, .sigma_max = 2, .final = "zero"},
                           above = {.sigma_min = 80, .final = "zero"}, below = {.sigma_max = 0.002, .final = "zero"},
                           late = {.sigma_min = 0.5, .final = "zero"};
    for (int how = ATH_KARRAS; how < ATH_UNIFORM_FLOW; how++) {
        CHECK_FAILS(ath_levels(&ve, (ath_spacing)how, &crossed, 5, level, &err), ATH_E_ARG, "sigma from 2 to 3");
        CHECK_FAILS(ath_levels(&ve, (ath_spacing)how, &above, 5, level, &err), ATH_E_ARG, "sigma_max above");
        CHECK_FAILS(ath_levels(&ve, (ath_spacing)how, &below, 5, level, &err), ATH_E_ARG, "sigma_max above");
    }
    CHECK_FAILS(ath_levels(&ve, ATH_TIME, &late, 5, level, &err), ATH_E_ARG, "smaller sigma_min");
    ath_schedule_free(&s);
}

static void lists_that_do_not_fall_are_refused(void **state) {
    (void)state;
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    ath_level level[3];
    CHECK_OK(ath_levels_from_ratios(&ve, (double[]){3, 2, 0}, 3, level, &err));
    CHECK(level[1].sigma == 2 && level[2].t == -1 && level[2].sigma == 0, "3, 2, 0 ends at %g", level[2].sigma);
    CHECK_FAILS(ath_levels_from_ratios(&ve, (double[]){3}, 1, level, &err), ATH_E_ARG, "two or more");
    CHECK_FAILS(ath_levels_from_ratios(&ve, (double[]){2, 3, 0}, 3, level, &err), ATH_E_ARG, "sigma 1, 3, is above");
    CHECK_FAILS(ath_levels_from_ratios(&ve, (double[]){2, 0, 0}, 3, level, &err), ATH_E_ARG, "sigma 1 is 0");
    CHECK_FAILS(ath_levels_from_ratios(&ve, (double[]){2, -1}, 2, level, &err), ATH_E_ARG, "sigma 1 is -1");
    CHECK_FAILS(ath_levels_from_ratios(&ve, (double[]){(double)NAN, 1}, 2, level, &err), ATH_E_ARG, "sigma 0 is");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_those_of_k_diffusion_edm_diff_sampler_and_diffusers),
        cmocka_unit_test(diffusers_flow_sigmas_are_levels_of_a_flow),
        cmocka_unit_test(levels_follow_the_formulas),
        cmocka_unit_test(beta_levels_are_quantiles_of_the_beta_distribution),
        cmocka_unit_test(every_spacing_falls_on_every_process),
        cmocka_unit_test(a_flow_grid_of_many_steps_falls_on_vp_and_ve),
        cmocka_unit_test(impossible_grids_are_refused),
        cmocka_unit_test(lists_that_do_not_fall_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
