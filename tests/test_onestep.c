/* Solvers of the probability flow on a mixture in the plane: their errors beside those measured on other implementations, their times, their
 * noise on every process, what adaptive ones report between their steps, and how they fail. Their steps beside recorded
 * ones: test_follow_onestep.c, test_follow_own_steps.c. */
#include "check.h"
#include "diffusion/ancestral.h"
#include "diffusion/flow_time.h"
#include "diffusion/grid.h"
#include "follow.h"

enum { MOST = 400 };

/* The mixture A2 and eight starts of unit variance. */
typedef struct plane {
    exact_net net;
    double z0[STATE];
    size_t len;
} plane;

static plane open_plane(void) {
    json_t *mixtures = golden_tree("mixtures.json"), *noise = golden_tree("noise.json");
    plane p = {.net = {.data = read_mixture(mixtures, "A2"), .n = IMAGES, .says = ATH_SAMPLE}};
    p.len = golden_list(golden_at(golden_at(noise, "A2"), "z0"), p.z0, STATE);
    json_decref(mixtures);
    json_decref(noise);
    return p;
}

/* x from the start, z0 times `scale`, to the last level. */
static run_info solve(plane *p, ath_process_kind kind, const char *sampler, const char *options, const ath_level *level,
                      int n, double scale, double *x) {
    for (size_t k = 0; k < p->len; k++) x[k] = scale * p->z0[k];
    ath_sample_job job = {.net = {&p->net, exact_x0},
                          .process = {.kind = kind},
                          .level = level,
                          .n_steps = n,
                          .x = x,
                          .n = IMAGES,
                          .dim = 2,
                          .rng = {3}};
    run_info info;
    CHECK_OK(run_job(find(sampler), options, &job, &info));
    return info;
}

/* rk45 in log sigma, whose steps are scipy's, to 1e-12. */
static void solve_exactly(plane *p, ath_process_kind kind, ath_level from, ath_level to, double scale, double *x) {
    solve(p, kind, "rk45", "rtol=1e-12,atol=1e-12,time=log_sigma", (ath_level[]){from, to}, 1, scale, x);
}

static double largest_difference(const plane *p, const double *x, const double *y) {
    double worst = 0;
    for (size_t k = 0; k < p->len; k++) worst = fmax(worst, fabs(x[k] - y[k]));
    return worst;
}

/* n steps from the greatest sigma/alpha to the least: Karras' grid, or for a flow even in t. */
static void grid(ath_process_kind kind, double most, double least, int n, ath_level *level) {
    const ath_process ve = {.kind = kind, .sigma_min = least, .sigma_max = most};
    const ath_grid_options o = {.final = "sigma_min"};
    if (kind != ATH_PROCESS_FLOW) CHECK_OK(ath_levels(&ve, ATH_KARRAS, &o, n, level, &err));
    for (int i = 0; kind == ATH_PROCESS_FLOW && i <= n; i++) {
        const double t = most + (least - most) * i / n;
        level[i] = (ath_level){1000 * t, 1 - t, t};
    }
}

/* ---- convergence ---- */

/* Where a table of errors was measured. `less`: how many steps fewer than counted there, where the last ended on sigma = 0.
 * scale 0: that of the first level. reference: what the solution compared with there is off by. */
typedef struct range {
    ath_process_kind kind;
    double most, least, scale;
    int less, first;
    double reference;
} range;
static const range diffusers = {ATH_PROCESS_VE, 157.40728081040757, 0.010000500037502575, 0, 1, 10, 0},
                   flow_match = {ATH_PROCESS_FLOW, 1, 1e-3, 1, 1, 10, 3e-6},
                   edm_scheduler = {ATH_PROCESS_VE, 80, 0.002, 80.00624975587844, 1, 10, 0},
                   edm = {ATH_PROCESS_VE, 80, 0.002, 0, 1, 10, 0}, zju = {ATH_PROCESS_VE, 80, 0.002, 0, 0, 10, 0},
                   k_diffusion = {ATH_PROCESS_VE, 15, 0.03, 0, 1, 10, 0},
                   k_diffusion_fast = {ATH_PROCESS_VE, 15, 0.03, 0, 0, 9, 0};

/* shared/golden/README.md, section 8: the error at the last noisy level after 10 (9), 20, ... steps, of two digits. */
static const struct {
    const char *peer, *sampler, *options;
    const range *on;
    double error[6];
} table[] = {
    {"Euler karras", "euler", "", &diffusers, {3.6e-1, 1.7e-1, 8.1e-2, 4.0e-2, 2.0e-2, 9.8e-3}},
    {"Heun karras", "heun", "", &diffusers, {3.2e-1, 5.8e-2, 1.2e-2, 2.8e-3, 6.7e-4, 1.6e-4}},
    {"KDPM2 karras", "dpm2", "", &diffusers, {2.7e-1, 3.4e-2, 7.3e-3, 1.7e-3, 4.1e-4, 1.0e-4}},
    {"FlowMatch Euler", "euler", "", &flow_match, {1.6e-1, 7.9e-2, 3.9e-2, 1.9e-2, 9.7e-3, 4.8e-3}},
    {"FlowMatch Heun", "heun", "", &flow_match, {1.1e-2, 3.9e-3, 1.1e-3, 2.9e-4, 7.2e-5, 1.6e-5}},
    {"EDMEuler (diffusers)", "euler", "", &edm_scheduler, {3.3e-1, 1.6e-1, 7.6e-2, 3.8e-2, 1.9e-2, 9.3e-3}},
    {"k-diffusion euler", "euler", "", &k_diffusion, {2.0e-1, 9.3e-2, 4.5e-2, 2.2e-2, 1.1e-2, 5.5e-3}},
    {"k-diffusion heun", "heun", "", &k_diffusion, {8.3e-2, 1.6e-2, 3.6e-3, 8.6e-4, 2.1e-4, 5.2e-5}},
    {"k-diffusion dpm_2", "dpm2", "", &k_diffusion, {5.2e-2, 9.8e-3, 2.2e-3, 5.2e-4, 1.3e-4, 3.2e-5}},
    {"k-diffusion dpmpp_2s",
     "dpmpp_2s_ancestral",
     "eta=0",
     &k_diffusion,
     {3.0e-2, 1.0e-2, 2.9e-3, 7.5e-4, 1.9e-4, 4.9e-5}},
    {"k-diffusion dpm_fast", "dpm_fast", "", &k_diffusion_fast, {1.7e-1, 2.0e-2, 1.1e-3, 3.0e-4, 7.3e-5, 1.8e-5}},
    {"EDM official Heun", "heun", "", &edm, {3.0e-1, 5.1e-2, 1.1e-2, 2.5e-3, 6.0e-4, 1.5e-4}},
    {"zju euler", "euler", "", &zju, {3.1e-1, 1.5e-1, 7.5e-2, 3.7e-2, 1.9e-2, 9.3e-3}},
    {"zju heun", "heun", "", &zju, {2.1e-1, 4.5e-2, 1.0e-2, 2.4e-3, 5.9e-4, 1.5e-4}},
    {"zju dpm2", "dpm2", "", &zju, {1.4e-1, 2.7e-2, 6.1e-3, 1.5e-3, 3.6e-4, 8.9e-5}},
};

static void errors_are_those_measured_elsewhere(void **state) {
    (void)state;
    plane p = open_plane();
    for (size_t r = 0; r < sizeof table / sizeof *table; r++) {
        const range *on = table[r].on;
        ath_level level[MOST];
        double x[STATE], exact[STATE], error[6];
        for (int k = 0; k < 6; k++) {
            const int counted = on->first << k, n = counted - on->less;
            grid(on->kind, on->most, on->least, n, level);
            const double scale = on->scale > 0 ? on->scale : level[0].sigma, theirs = table[r].error[k];
            if (k == 0) solve_exactly(&p, on->kind, level[0], level[n], scale, exact);
            solve(&p, on->kind, table[r].sampler, table[r].options, level, n, scale, x);
            error[k] = largest_difference(&p, x, exact);
            const double half_a_digit = 0.051 * pow(10, floor(log10(theirs)));
            CHECK(fabs(error[k] - theirs) < half_a_digit + on->reference, "%s, %d: error %.3e, measured elsewhere %.1e",
                  table[r].peer, counted, error[k], theirs);
        }
        print_message("%-21s error %.1e .. %.1e, order %.2f\n", table[r].peer, error[0], error[5],
                      log2(error[4] / error[5]));
    }
}

/* Of those that nobody measured: the order at the last pair, 160 and 320 steps, in each time. */
static void orders_hold_in_every_time(void **state) {
    (void)state;
    static const char *const samplers[] = {"euler", "heun", "midpoint", "rk4"};
    static const char *const times[] = {"sigma", "log_sigma", "ve", "vp", "flow"};
    plane p = open_plane();
    ath_level level[MOST];
    double x[STATE], exact[STATE];
    grid(ATH_PROCESS_VE, 15, 0.03, 320, level);
    solve_exactly(&p, ATH_PROCESS_VE, level[0], level[320], level[0].sigma, exact);
    for (int s = 0; s < 4; s++)
        for (int t = 0; t < 5; t++) {
            double error[2];
            char options[32];
            snprintf(options, sizeof options, "time=%s", times[t]);
            for (int k = 0; k < 2; k++) {
                grid(ATH_PROCESS_VE, 15, 0.03, 160 << k, level);
                solve(&p, ATH_PROCESS_VE, samplers[s], options, level, 160 << k, level[0].sigma, x);
                error[k] = largest_difference(&p, x, exact);
            }
            const double order = log2(error[0] / error[1]);
            print_message("%-8s %-14s error %.1e, %.1e: order %.2f\n", samplers[s], options, error[0], error[1], order);
            CHECK(fabs(order - find(samplers[s])->order) < 0.2, "%s %s: order %.2f", samplers[s], options, order);
        }
}

static void times_are_turned_back_into_sigma_and_their_rates_are_derivatives(void **state) {
    (void)state;
    const ath_sample_job job = {.process = {.kind = ATH_PROCESS_VP}};
    static const char *const times[] = {"sigma", "log_sigma", "ve", "vp", "flow"};
    for (int t = 0; t < 5; t++)
        for (double sigma = 1e-3; sigma < 200; sigma *= 1.7) {
            const ath_flow_time time = ath_flow_time_of(&job, times[t]);
            const ath_moment at = ath_moment_of(time, sigma), before = ath_moment_of(time, sigma * (1 - 1e-5)),
                             after = ath_moment_of(time, sigma * (1 + 1e-5));
            const double back = ath_flow_time_sigma(time, at.u), du = after.u - before.u;
            CHECK(fabs(back / sigma - 1) < 1e-10, "%s: sigma %g becomes %.15g", times[t], sigma, back);
            CHECK(fabs((after.sigma - before.sigma) / du / at.sigma_rate - 1) < 1e-6,
                  "%s at %g: dsigma/du %g, expected %g", times[t], sigma, at.sigma_rate,
                  (after.sigma - before.sigma) / du);
            CHECK(fabs((after.scale - before.scale) / du - at.scale_rate) < 1e-6 * (1 + fabs(at.scale_rate)),
                  "%s at %g: ds/du %g, expected %g", times[t], sigma, at.scale_rate, (after.scale - before.scale) / du);
        }
}

/* ---- equal methods ---- */

static void methods_that_are_the_same_agree(void **state) {
    (void)state;
    static const char *const pairs[][4] = {{"euler", "", "ddim", ""},
                                           {"euler", "time=flow", "ddim", ""},
                                           {"euler_ancestral", "eta=0", "ddim", ""},
                                           {"heun", "alpha=0.5,time=flow", "midpoint", ""},
                                           {"dpm2_ancestral", "eta=0", "dpm2", ""},
                                           {"euler_ancestral", "eta=0.6", "ddim", "eta=0.6"}};
    plane p = open_plane();
    for (int kind = 0; kind < 3; kind++)
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
            ath_level level[21];
            double x[2][STATE];
            const ath_process process = {.kind = (ath_process_kind)kind};
            const bool flow = kind == ATH_PROCESS_FLOW;
            /* dpm2 in a flow's own time is not dpm2 in sigma's */
            if (flow && strcmp(pairs[k][2], "dpm2") == 0) continue;
            const ath_grid_options o = {.sigma_min = 0.01, .sigma_max = 50, .final = "zero"};
            CHECK_OK(ath_levels(&process, ATH_KARRAS, &o, 20, level, &err));
            for (int j = 0; j < 2; j++)
                solve(&p, process.kind, pairs[k][2 * j], pairs[k][2 * j + 1], level, 20, level[0].sigma, x[j]);
            const double apart = largest_difference(&p, x[0], x[1]);
            CHECK(apart < 1e-12, "%s: %s %s and %s %s are %.1e apart", ath_process_name(process.kind), pairs[k][0],
                  pairs[k][1], pairs[k][2], pairs[k][3], apart);
        }
}

/* In the time of a flow any process is sampled as the flow process is. */
static void the_time_of_a_flow_makes_any_process_one(void **state) {
    (void)state;
    static const char *const samplers[] = {"euler", "heun", "midpoint", "rk4", "rk45"};
    plane p = open_plane();
    const ath_grid_options o = {.sigma_min = 0.01, .sigma_max = 50, .final = "zero"};
    for (int s = 0; s < 5; s++) {
        double x[3][STATE];
        for (int kind = 0; kind < 3; kind++) {
            ath_level level[16];
            const ath_process process = {.kind = (ath_process_kind)kind};
            CHECK_OK(ath_levels(&process, ATH_KARRAS, &o, 15, level, &err));
            solve(&p, process.kind, samplers[s], "time=flow", level, 15, level[0].sigma, x[kind]);
            const double apart = largest_difference(&p, x[0], x[kind]);
            CHECK(apart < 1e-9, "%s: %s ends %.1e from vp", samplers[s], ath_process_name(process.kind), apart);
        }
    }
}

/* ---- evaluations ---- */

static void as_many_evaluations_as_were_promised(void **state) {
    (void)state;
    plane p = open_plane();
    int n = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    for (int s = 0; s < n; s++)
        for (int steps = 1; steps <= 7; steps++)
            for (int clean = 0; clean < 2; clean++) {
                ath_level level[9];
                double x[STATE];
                if (all[s]->adaptive) continue;
                grid(ATH_PROCESS_VE, 20, 0.1, steps, level);
                if (clean) level[steps] = (ath_level){-1, 1, 0};
                void *config = get_memory(all[s]->config_size);
                ath_options_default(all[s]->options, all[s]->n_options, config);
                const int promised = ath_sampler_nfe(all[s], config, steps, clean);
                free(config);
                const int counted = solve(&p, ATH_PROCESS_VE, all[s]->name, "", level, steps, 20, x).nfe;
                CHECK(counted == promised, "%s, %d steps%s: %d evaluations, promised %d", all[s]->name, steps,
                      clean ? " to x0" : "", counted, promised);
            }
}

/* ---- noise ---- */

/* Data N(mean, 0.5^2): with many steps the end has its mean and variance, whatever the process. */
static void noise_keeps_the_distribution_on_every_process(void **state) {
    (void)state;
    enum { N = 400, DIM = 4, STEPS = 200 };
    static const char *const runs[][2] = {{"heun", "s_churn=40"},
                                          {"heun", "s_churn=40,time=flow"},
                                          {"dpm2", "s_churn=40,s_tmin=0.05,s_tmax=50"},
                                          {"euler_ancestral", ""},
                                          {"dpm2_ancestral", ""},
                                          {"dpmpp_2s_ancestral", "eta=0.5"},
                                          {"dpm_adaptive", "eta=1,rtol=0.01,atol=0.01"}};
    double *x = get_memory(sizeof *x * N * DIM);
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++)
        for (int kind = ATH_PROCESS_VE; kind <= ATH_PROCESS_FLOW; kind++) {
            ath_level level[STEPS + 1];
            const ath_process process = {.kind = (ath_process_kind)kind};
            const ath_grid_options o = {.final = "zero"};
            exact_net net = gaussian(-0.2, 0.5, DIM, N);
            CHECK_OK(
                ath_levels(&process, kind == ATH_PROCESS_FLOW ? ATH_UNIFORM_FLOW : ATH_KARRAS, &o, STEPS, level, &err));
            start_at(&net, level[0], (ath_rng){8}, 0, x);
            ath_sample_job job = {.net = {&net, exact_x0},
                                  .process = process,
                                  .level = level,
                                  .n_steps = STEPS,
                                  .x = x,
                                  .n = N,
                                  .dim = DIM,
                                  .rng = {8}};
            run_info info;
            CHECK_OK(run_job(find(runs[r][0]), runs[r][1], &job, &info));
            double sum = 0, squares = 0;
            for (int k = 0; k < N * DIM; k++) {
                const double centred = x[k] - net.data.mean[0][k % DIM];
                sum += centred, squares += centred * centred;
            }
            const double mean = sum / (N * DIM), variance = squares / (N * DIM), deviation = sqrt(2.0 / (N * DIM));
            print_message("%-4s %s %s: mean off by %.4f, variance %.4f of 0.25\n", ath_process_name(process.kind),
                          runs[r][0], runs[r][1], mean, variance);
            CHECK(info.draws > 0 && fabs(mean) < 4.5 * 0.5 / sqrt(N * DIM) + 0.005 &&
                      fabs(variance / 0.25 - 1) < 4.5 * deviation + 0.04,
                  "%s %s %s: mean off by %.4f, variance %.4f, expected 0.25 (seed 8)", ath_process_name(process.kind),
                  runs[r][0], runs[r][1], mean, variance);
        }
    free(x);
}

/* Churn between s_tmin and s_tmax: at the one level of three that lies between, and by gamma's cap. */
static void churn_is_added_between_its_bounds(void **state) {
    (void)state;
    plane p = open_plane();
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    const ath_level level[] = {ath_process_level(&ve, 20), ath_process_level(&ve, 5), ath_process_level(&ve, 1),
                               ath_process_level(&ve, 0)};
    double calm[STATE], outside[STATE], inside[STATE];
    solve(&p, ATH_PROCESS_VE, "euler", "", level, 3, 20, calm);
    const run_info info = solve(&p, ATH_PROCESS_VE, "euler", "s_churn=9,s_tmin=6,s_tmax=19", level, 3, 20, outside);
    CHECK(memcmp(calm, outside, p.len * sizeof *calm) == 0 && info.draws == 3, "churn of no level: %d draws",
          info.draws);
    solve(&p, ATH_PROCESS_VE, "euler", "s_churn=9,s_tmin=4,s_tmax=6", level, 3, 20, inside);
    CHECK(largest_difference(&p, calm, inside) > 1e-3, "churn at sigma 5 changes nothing");
    const ath_ancestral_split half = ath_ancestral_between(20, 5, 1), all = ath_ancestral_between(20, 5, 1e6);
    CHECK(fabs(half.up * half.up + half.down * half.down - 25) < 1e-12 &&
              fabs(half.up - 5 * sqrt(1 - 25. / 400)) < 1e-12,
          "down %g, up %g", half.down, half.up);
    CHECK(all.down == 0 && all.up == 5, "all the noise anew: down %g, up %g", all.down, all.up);
}

/* ---- adaptive ones ---- */

typedef struct between {
    plane *p;
    const ath_level *level;
    ath_process_kind kind;
    double scale, worst;
} between;

static ath_status compare_with_exact(void *user, int step, const double *x, const double *x0) {
    (void)x0;
    between *b = user;
    double exact[STATE];
    if (!(b->level[step + 1].sigma > 0)) return ATH_OK;
    solve_exactly(b->p, b->kind, b->level[0], b->level[step + 1], b->scale, exact);
    const double size = fmax(1, b->level[step + 1].sigma);
    b->worst = fmax(b->worst, largest_difference(b->p, x, exact) / size);
    return ATH_OK;
}

/* The states between a solver's steps: the cubic's error beside the solver's. And the grid's inner levels, or that somebody looks,
 * change nothing. */
static void levels_between_are_reported_and_change_nothing(void **state) {
    (void)state;
    static const struct {
        const char *sampler, *options;
        double allowed;
    } runs[] = {{"rk45", "", 5e-3},
                {"rk45", "control=batch", 1e-2},
                {"dpm_adaptive", "rtol=1e-4,atol=1e-4", 5e-3},
                {"dpm_fast", "", 5e-3}};
    plane p = open_plane();
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++)
        for (int kind = ATH_PROCESS_VE; kind <= ATH_PROCESS_FLOW; kind++)
            for (int clean = 0; clean < 2; clean++) {
                enum { N = 24 };
                ath_level level[N + 1];
                const bool flow = kind == ATH_PROCESS_FLOW;
                grid((ath_process_kind)kind, flow ? 0.98 : 50, flow ? 0.01 : 0.02, N, level);
                if (clean) level[N] = (ath_level){-1, 1, 0};
                double x[STATE], alone[STATE];
                between b = {&p, level, (ath_process_kind)kind, level[0].sigma, 0};
                for (size_t k = 0; k < p.len; k++) x[k] = b.scale * p.z0[k];
                ath_sample_job job = {.net = {&p.net, exact_x0},
                                      .process = {.kind = b.kind},
                                      .level = level,
                                      .n_steps = N,
                                      .x = x,
                                      .n = IMAGES,
                                      .dim = 2,
                                      .on_step = compare_with_exact,
                                      .user = &b};
                run_info seen;
                CHECK_OK(run_job(find(runs[r].sampler), runs[r].options, &job, &seen));
                print_message("%-4s %s %s: %d evaluations, %d levels off by %.1e at most\n", ath_process_name(b.kind),
                              runs[r].sampler, runs[r].options, seen.nfe, N, b.worst);
                CHECK(b.worst < runs[r].allowed, "%s %s: a level is off by %.1e", runs[r].sampler, runs[r].options,
                      b.worst);
                const ath_level few[] = {level[0], level[N - clean], level[N]};
                const bool own = find(runs[r].sampler)->adaptive;
                const run_info unseen =
                    own ? solve(&p, b.kind, runs[r].sampler, runs[r].options, few, 1 + clean, b.scale, alone)
                        : solve(&p, b.kind, runs[r].sampler, runs[r].options, level, N, b.scale, alone);
                CHECK(seen.nfe == unseen.nfe && memcmp(x, alone, p.len * sizeof *x) == 0,
                      "%s %s: %d evaluations and another end when nobody looks, %d", runs[r].sampler, runs[r].options,
                      unseen.nfe, seen.nfe);
            }
}

static ath_status says_nothing(void *self, const double *x, const ath_level *at, size_t each, double *x0, ath_err *e) {
    (void)x, (void)at, (void)each, (void)e;
    for (size_t k = 0; k < *(size_t *)self; k++) x0[k] = NAN;
    return ATH_OK;
}

/* A network of noise: no step is short enough for a tolerance that is less than it. */
typedef struct noisy {
    size_t len;
    int calls;
} noisy;

static ath_status says_noise(void *self, const double *x, const ath_level *at, size_t each, double *x0, ath_err *e) {
    (void)x, (void)at, (void)each, (void)e;
    noisy *n = self;
    n->calls++;
    for (size_t k = 0; k < n->len; k++) x0[k] = 1e3 * sin(1e9 * n->calls);
    return ATH_OK;
}

static void adaptive_samplers_give_up_with_a_message(void **state) {
    (void)state;
    static const char *const samplers[] = {"rk45", "dpm_adaptive"};
    ath_level level[2];
    grid(ATH_PROCESS_VE, 10, 0.1, 1, level);
    for (int s = 0; s < 2; s++) {
        noisy net = {2, 0};
        double x[2] = {3, -4};
        ath_sample_job job = {.net = {&net, says_nothing},
                              .process = {.kind = ATH_PROCESS_VE},
                              .level = level,
                              .n_steps = 1,
                              .x = x,
                              .n = 1,
                              .dim = 2};
        CHECK_FAILS(run_job(find(samplers[s]), "", &job, NULL), ATH_E_ARG, "no step at sigma 10");
        job.net.x0 = says_noise;
        x[0] = 3, x[1] = -4;
        CHECK_FAILS(run_job(find(samplers[s]), "rtol=1e-12,atol=1e-12", &job, NULL), ATH_E_ARG, "rtol 1e-12");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_those_measured_elsewhere),
        cmocka_unit_test(orders_hold_in_every_time),
        cmocka_unit_test(times_are_turned_back_into_sigma_and_their_rates_are_derivatives),
        cmocka_unit_test(methods_that_are_the_same_agree),
        cmocka_unit_test(the_time_of_a_flow_makes_any_process_one),
        cmocka_unit_test(as_many_evaluations_as_were_promised),
        cmocka_unit_test(noise_keeps_the_distribution_on_every_process),
        cmocka_unit_test(churn_is_added_between_its_bounds),
        cmocka_unit_test(levels_between_are_reported_and_change_nothing),
        cmocka_unit_test(adaptive_samplers_give_up_with_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
