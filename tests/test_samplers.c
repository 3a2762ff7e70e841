/* Samplers, on denoisers that are exact: every plug-in converges as it claims, draws, counts
 * and stops as sampler.h says, and DDIM and DDPM keep their laws. Their steps beside those of
 * diffusers: test_samplers_golden.c. */
#include "check.h"
#include "exact.h"

/* ---- laws of every sampler ---- */

/* For data N(mu, s^2) the flow is known: x_t = alpha_t mu + (x_s - alpha_s mu) sqrt(V_t / V_s), V = alpha^2 s^2 +
 * sigma^2. The grid is even in log(sigma/alpha) and ends before the clean level, where the last step of most
 * solvers is of first order: what is left is the solver's own error, and twice the steps must divide it by
 * 2^order. */
static double flow_error(const ath_sampler *s, const char *options, int steps) {
    enum { N = 4, DIM = 3 };
    exact_net net = gaussian(0.3, 0.5, DIM, N);
    ath_level *level = get_memory((size_t)(steps + 1) * sizeof *level);
    for (int i = 0; i <= steps; i++) {
        const double ratio = exp(2.5 - 4.5 * i / steps); /* sigma/alpha from 12 to 0.14 */
        level[i] = (ath_level){1000 - i, 1 / sqrt(1 + ratio * ratio), ratio / sqrt(1 + ratio * ratio)};
    }
    double x[N * DIM], start[N * DIM], worst = 0;
    const ath_level first = level[0], last = level[steps];
    start_at(&net, first, (ath_rng){11}, 0, start);
    memcpy(x, start, sizeof x);
    ath_sample_job job = {
        .net = {&net, exact_x0}, .level = level, .n_steps = steps, .x = x, .n = N, .dim = DIM, .rng = {11}};
    CHECK_OK(run_job(s, options, &job, NULL));
    for (int i = 0; i < N * DIM; i++) {
        const double mean = net.data.mean[0][i % DIM], s2 = pow(net.data.deviation[0], 2);
        const double stretch =
            sqrt((pow(last.alpha, 2) * s2 + pow(last.sigma, 2)) / (pow(first.alpha, 2) * s2 + pow(first.sigma, 2)));
        worst = fmax(worst, fabs(x[i] - last.alpha * mean - stretch * (start[i] - first.alpha * mean)));
    }
    free(level);
    return worst;
}

/* The flow of one Gaussian is y = sqrt(q(u)) with q a polynomial of degree 2, and of the midpoint method's local error, h^3
 * (y'''/24 + q'/(2q) y''/8), the two parts cancel then. */
static int order_on_a_gaussian(const ath_sampler *s) { return strcmp(s->name, "midpoint") == 0 ? 3 : s->order; }

/* 120 and 240 steps: dpm_fast's last orders are the same for both. */
static void every_sampler_converges_at_the_order_it_claims(void **state) {
    (void)state;
    int n = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    for (int i = 0; i < n; i++) {
        const ath_sampler *s = all[i];
        if (s->stochastic || s->adaptive) continue; /* held to moments, and to their tolerance, below */
        const double coarse = flow_error(s, "", 120), fine = flow_error(s, "", 240), order = log2(coarse / fine);
        print_message("%s: error %.2e in 120 steps, %.2e in 240: order %.2f\n", s->name, coarse, fine, order);
        CHECK(fabs(order - order_on_a_gaussian(s)) < 0.2, "%s: order %.2f, claims %d (error %.2e -> %.2e)", s->name,
              order, s->order, coarse, fine);
    }
}

/* What a step may err by, as often as there are steps and stretched or shrunk by the flow: within a small factor. */
static void adaptive_samplers_follow_their_tolerance(void **state) {
    (void)state;
    int n = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    for (int i = 0; i < n; i++) {
        if (!all[i]->adaptive || all[i]->stochastic) continue;
        double last = INFINITY;
        for (double tolerance = 1e-3; tolerance > 5e-8; tolerance /= 100) {
            char options[64];
            snprintf(options, sizeof options, "rtol=%g,atol=%g", tolerance, tolerance);
            const double error = flow_error(all[i], options, 4);
            print_message("%s %s: error %.2e\n", all[i]->name, options, error);
            CHECK(error < 50 * tolerance && error < last / 5, "%s %s: error %.2e, before %.2e", all[i]->name, options,
                  error, last);
            last = error;
        }
    }
}

static void every_sampler_says_what_it_is(void **state) {
    (void)state;
    int n = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    CHECK(n >= 2, "%d samplers", n);
    for (int i = 0; i < n; i++) {
        const ath_sampler *s = all[i];
        CHECK(ath_sampler_find(s->name) == s, "%s is found by its name", s->name);
        CHECK(s->summary && *s->summary && s->paper && *s->paper && s->run, "%s", s->name);
        CHECK(s->nfe_per_step >= 1 && (s->stochastic ? s->order == 0 : s->order >= 1), "%s: order %d", s->name,
              s->order);
        for (int o = 0; o < s->n_options; o++)
            CHECK(s->options[o].help && s->options[o].dflt, "%s: option %s", s->name, s->options[o].name);
    }
    CHECK(ath_sampler_find("no such") == NULL, "no such sampler");
}

/* When all data are one image the denoiser says that image from anywhere, and every sampler that is consistent
 * ends on it. The bound is for rounding: in two steps of a linspace grid a slope at sigma/alpha = 0.01 is weighed with a step
 * from 157, and in a Runge-Kutta step the next stage is weighed with it again. */
static void data_of_one_image_is_sampled_exactly(void **state) {
    (void)state;
    enum { N = 3, DIM = 4 };
    int n = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    static const int counts[] = {1, 2, 3, 10, 50};
    for (int i = 0; i < n; i++)
        for (int c = 0; c < 5; c++)
            for (int how = 0; how < 3; how++) {
                exact_net net = gaussian(-0.4, 0, DIM, N);
                ath_level level[51];
                double x[N * DIM];
                usual_levels((ath_spacing)how, counts[c], level);
                start_at(&net, level[0], (ath_rng){5}, 0, x);
                ath_sample_job job = {.net = {&net, exact_x0},
                                      .level = level,
                                      .n_steps = counts[c],
                                      .x = x,
                                      .n = N,
                                      .dim = DIM,
                                      .rng = {5}};
                CHECK_OK(run_job(all[i], "", &job, NULL));
                for (int k = 0; k < N * DIM; k++) {
                    const double expected = net.data.mean[0][k % DIM];
                    CHECK(fabs(x[k] - expected) < 1e-6, "%s, %d %s steps: %.15g, expected %.15g", all[i]->name,
                          counts[c], ath_spacing_name((ath_spacing)how), x[k], expected);
                }
            }
}

/* Every sampler, and what its options make of it. */
static int variants(const ath_sampler **sampler, const char **options, int room) {
    static const char *const more[][2] = {{"abv", "order=1"},
                                          {"abv", "order=3"},
                                          {"amed", "base=euler,r=0.45/0.55"},
                                          {"amed", "base=ipndm,scale_dir=0.98/1.01,scale_time=1.02,afs=1"},
                                          {"ddpm", "variance=analytic"},
                                          {"pc", "predictor=none,corrector_steps=12"},
                                          {"pc", "predictor=reverse,corrector_steps=2,corrector=annealed"},
                                          {"deis", "mode=rhoab,order=4"},
                                          {"deis", "mode=tab,afs=1"},
                                          {"dpmpp", "order=3,eta=0.7"},
                                          {"dpmpp", "order=3,type=heun,lower_order_final=false"},
                                          {"dpmpp_2m", "type=heun"},
                                          {"dpmpp_3m", "exact"},
                                          {"dpmpp_3m_sde", "variant=exact"},
                                          {"dpmpp_sde", "r=0.4,noise=independent"},
                                          {"dpmsolver", "order=3"},
                                          {"dpmsolver", "order=3,method=singlestep"},
                                          {"ipndm", "afs=1"},
                                          {"ipndm", "order=2,denoise_to_zero=0"},
                                          {"ipndm_v", "afs=1,denoise_to_zero=0"},
                                          {"lms", "order=2,denoise_to_zero=1"},
                                          {"plms", "denoise_to_zero=1"},
                                          {"pndm", "denoise_to_zero=1"},
                                          {"unipc", "order=3,predict=eps,variant=bh1"},
                                          {"unipc", "order=4,start=single"}};
    int n = 0, count = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    for (int i = 0; i < n && count + 2 < room; i++) {
        sampler[count] = all[i], options[count++] = "";
        if (ath_options_find(all[i]->options, all[i]->n_options, "eta"))
            sampler[count] = all[i], options[count++] = "eta=0.7";
        if (ath_options_find(all[i]->options, all[i]->n_options, "variance"))
            sampler[count] = all[i], options[count++] = "variance=fixed_large";
        if (ath_options_find(all[i]->options, all[i]->n_options, "s_churn"))
            sampler[count] = all[i], options[count++] = "s_churn=30";
    }
    for (size_t i = 0; i < sizeof more / sizeof *more && count < room; i++)
        sampler[count] = find(more[i][0]), options[count++] = more[i][1];
    return count;
}
enum { MAX_VARIANTS = 96 };

/* Whether it draws noise with these options. */
static bool draws(const ath_sampler *s, const char *options) {
    enum { DIM = 2, STEPS = 6 };
    ath_level level[STEPS + 1];
    double x[DIM];
    run_info info;
    exact_net net = gaussian(0.1, 0.6, DIM, 1);
    usual_levels(ATH_LEADING, STEPS, level);
    start_at(&net, level[0], (ath_rng){1}, 0, x);
    ath_sample_job job = {.net = {&net, exact_x0}, .level = level, .n_steps = STEPS, .x = x, .n = 1, .dim = DIM};
    CHECK_OK(run_job(s, options, &job, &info));
    return info.draws > 0;
}

static void an_image_does_not_depend_on_its_batch(void **state) {
    (void)state;
    enum { N = 7, DIM = 5, STEPS = 12 };
    const ath_sampler *sampler[MAX_VARIANTS];
    const char *options[MAX_VARIANTS];
    ath_level level[STEPS + 1];
    usual_levels(ATH_LEADING, STEPS, level);
    for (int v = variants(sampler, options, MAX_VARIANTS) - 1; v >= 0; v--) {
        double all[N * DIM], some[N * DIM];
        exact_net net = gaussian(0.1, 0.6, DIM, N);
        start_at(&net, level[0], (ath_rng){3}, 100, all);
        ath_sample_job job = {.net = {&net, exact_x0},
                              .level = level,
                              .n_steps = STEPS,
                              .x = all,
                              .n = N,
                              .dim = DIM,
                              .rng = {3},
                              .first_image = 100};
        CHECK_OK(run_job(sampler[v], options[v], &job, NULL));
        for (size_t first = 0; first < N; first++)
            for (size_t count = 1; first + count <= N; count += 2) {
                net.n = count;
                start_at(&net, level[0], (ath_rng){3}, 100 + first, some);
                job = (ath_sample_job){.net = {&net, exact_x0},
                                       .level = level,
                                       .n_steps = STEPS,
                                       .x = some,
                                       .n = count,
                                       .dim = DIM,
                                       .rng = {3},
                                       .first_image = 100 + first};
                CHECK_OK(run_job(sampler[v], options[v], &job, NULL));
                CHECK(memcmp(some, all + first * DIM, count * DIM * sizeof *some) == 0,
                      "%s %s: images %zu..%zu of a batch of %d are not what they are alone (seed 3)", sampler[v]->name,
                      options[v], first, first + count - 1, N);
            }
    }
}

static void another_seed_draws_another_image_where_there_is_noise(void **state) {
    (void)state;
    enum { DIM = 8, STEPS = 6 };
    const ath_sampler *sampler[MAX_VARIANTS];
    const char *options[MAX_VARIANTS];
    ath_level level[STEPS + 1];
    usual_levels(ATH_TRAILING, STEPS, level);
    for (int v = variants(sampler, options, MAX_VARIANTS) - 1; v >= 0; v--) {
        double x[3][DIM];
        run_info info = {0};
        for (int k = 0; k < 3; k++) { /* the same start; seeds 1, 1, 2 */
            exact_net net = gaussian(0.1, 0.6, DIM, 1);
            start_at(&net, level[0], (ath_rng){9}, 0, x[k]);
            ath_sample_job job = {.net = {&net, exact_x0},
                                  .level = level,
                                  .n_steps = STEPS,
                                  .x = x[k],
                                  .n = 1,
                                  .dim = DIM,
                                  .rng = {k < 2 ? 1 : 2}};
            CHECK_OK(run_job(sampler[v], options[v], &job, &info));
        }
        CHECK(memcmp(x[0], x[1], sizeof x[0]) == 0, "%s %s: the same seed gave two images", sampler[v]->name,
              options[v]);
        CHECK((memcmp(x[0], x[2], sizeof x[0]) != 0) == (info.draws > 0), "%s %s: %d draws, but another seed %s",
              sampler[v]->name, options[v], info.draws, info.draws ? "changes nothing" : "changes the image");
        CHECK(*options[v] || (info.draws > 0) == sampler[v]->stochastic, "%s: %d draws by default", sampler[v]->name,
              info.draws);
    }
}

/* dpm_fast has n_steps evaluations and shares them out as it likes. */
static bool steps_by_the_grid(const ath_sampler *s) { return !s->adaptive && strcmp(s->name, "dpm_fast") != 0; }

static ath_status stop_at_two(void *user, int step, const double *x, const double *x0) {
    (void)x, (void)x0;
    ++*(int *)user;
    return step == 2 ? ATH_E_STOP : ATH_OK;
}

static int promised_nfe(const ath_sampler *s, const char *options, int steps, bool to_clean) {
    void *config = get_memory(s->config_size);
    ath_options_default(s->options, s->n_options, config);
    CHECK_OK(ath_options_parse(s->options, s->n_options, config, options, &err));
    const int nfe = ath_sampler_nfe(s, config, steps, to_clean);
    free(config);
    return nfe;
}

static void evaluations_are_counted_and_a_stop_is_passed_on(void **state) {
    (void)state;
    enum { DIM = 2, STEPS = 9 };
    const ath_sampler *sampler[MAX_VARIANTS];
    const char *options[MAX_VARIANTS];
    ath_level level[STEPS + 1];
    usual_levels(ATH_LEADING, STEPS, level);
    for (int v = variants(sampler, options, MAX_VARIANTS) - 1; v >= 0; v--) {
        const ath_sampler *s = sampler[v];
        double x[DIM];
        run_info info;
        exact_net net = gaussian(0.1, 0.6, DIM, 1);
        start_at(&net, level[0], (ath_rng){1}, 0, x);
        recorder r = {.len = DIM};
        ath_sample_job job = {.net = {&net, exact_x0},
                              .level = level,
                              .n_steps = STEPS,
                              .x = x,
                              .n = 1,
                              .dim = DIM,
                              .on_step = keep_state,
                              .user = &r};
        CHECK_OK(run_job(s, options[v], &job, &info));
        const int whole = info.nfe;
        const int expected = promised_nfe(s, options[v], STEPS, true);
        CHECK(info.nfe == net.calls && (s->adaptive || info.nfe == expected),
              "%s %s: counted %d evaluations of %d calls in %d steps, expected %d", s->name, options[v], info.nfe,
              net.calls, STEPS, expected);
        CHECK(r.steps == STEPS && memcmp(r.x[STEPS], x, sizeof x) == 0, "%s: on_step saw %d steps of %d", s->name,
              r.steps, STEPS);

        int seen = 0;
        net.calls = 0;
        start_at(&net, level[0], (ath_rng){1}, 0, x);
        job = (ath_sample_job){.net = {&net, exact_x0},
                               .level = level,
                               .n_steps = STEPS,
                               .x = x,
                               .n = 1,
                               .dim = DIM,
                               .on_step = stop_at_two,
                               .user = &seen};
        const ath_status status = run_job(s, options[v], &job, &info);
        CHECK(status == ATH_E_STOP && seen == 3, "%s: status %d after %d steps, expected a stop after 3", s->name,
              (int)status, seen);
        CHECK(net.calls <= (steps_by_the_grid(s) ? promised_nfe(s, options[v], 3, false) : whole),
              "%s %s: %d evaluations in 3 steps", s->name, options[v], net.calls);
    }
}

/* ath_sampler_nfe is what --nfe buys steps by: it holds for the shortest runs too, onto the clean level or not. */
static void evaluations_are_promised_for_any_number_of_steps(void **state) {
    (void)state;
    enum { DIM = 2, MOST = 6 };
    const ath_sampler *sampler[MAX_VARIANTS];
    const char *options[MAX_VARIANTS];
    for (int v = variants(sampler, options, MAX_VARIANTS) - 1; v >= 0; v--)
        for (int steps = 1; steps <= MOST && !sampler[v]->adaptive; steps++)
            for (int to_clean = 0; to_clean < 2; to_clean++) {
                double x[DIM];
                run_info info;
                ath_level level[MOST + 2];
                usual_levels(ATH_LEADING, steps + !to_clean, level);
                exact_net net = gaussian(0.1, 0.6, DIM, 1);
                start_at(&net, level[0], (ath_rng){1}, 0, x);
                ath_sample_job job = {
                    .net = {&net, exact_x0}, .level = level, .n_steps = steps, .x = x, .n = 1, .dim = DIM};
                CHECK_OK(run_job(sampler[v], options[v], &job, &info));
                const int expected = promised_nfe(sampler[v], options[v], steps, to_clean);
                CHECK(info.nfe == expected, "%s %s: %d evaluations in %d steps%s, expected %d", sampler[v]->name,
                      options[v], info.nfe, steps, to_clean ? " to the clean level" : "", expected);
            }
}

static ath_status no_noise(void *self, int k, double *out, ath_err *e) {
    (void)self, (void)out;
    return ath_fail(e, ATH_E_IO, "noise %d cannot be read", k);
}

static void failures_of_the_network_and_the_noise_end_the_run(void **state) {
    (void)state;
    enum { DIM = 2, STEPS = 9 };
    const ath_sampler *sampler[MAX_VARIANTS];
    const char *options[MAX_VARIANTS];
    ath_level level[STEPS + 1];
    usual_levels(ATH_LEADING, STEPS, level);
    for (int v = variants(sampler, options, MAX_VARIANTS) - 1; v >= 0; v--) {
        double x[DIM];
        exact_net net = gaussian(0.1, 0.6, DIM, 1);
        net.fail_at = 4;
        start_at(&net, level[0], (ath_rng){1}, 0, x);
        ath_sample_job job = {.net = {&net, exact_x0}, .level = level, .n_steps = STEPS, .x = x, .n = 1, .dim = DIM};
        CHECK_FAILS(run_job(sampler[v], options[v], &job, NULL), ATH_E_MEM, "the network failed");
        CHECK(net.calls == 4, "%s: %d calls, the fourth failed", sampler[v]->name, net.calls);
        if (!draws(sampler[v], options[v])) continue;
        net.fail_at = 0;
        job = (ath_sample_job){.net = {&net, exact_x0},
                               .level = level,
                               .n_steps = STEPS,
                               .x = x,
                               .n = 1,
                               .dim = DIM,
                               .noise = {NULL, no_noise}};
        CHECK_FAILS(run_job(sampler[v], options[v], &job, NULL), ATH_E_IO, "noise 0");
    }
}

/* ---- DDIM and DDPM ---- */

static void ddim_with_eta_one_is_ddpm_with_the_small_variance(void **state) {
    (void)state;
    enum { N = 6, DIM = 4 };
    static const int counts[] = {1, 5, 20, 100};
    for (int c = 0; c < 4; c++)
        for (int how = 0; how < 3; how++) {
            ath_level level[101];
            double x[2][N * DIM], worst = 0;
            usual_levels((ath_spacing)how, counts[c], level);
            for (int k = 0; k < 2; k++) {
                exact_net net = gaussian(0.2, 0.7, DIM, N);
                start_at(&net, level[0], (ath_rng){21}, 0, x[k]);
                ath_sample_job job = {.net = {&net, exact_x0},
                                      .level = level,
                                      .n_steps = counts[c],
                                      .x = x[k],
                                      .n = N,
                                      .dim = DIM,
                                      .rng = {21}};
                CHECK_OK(run_job(find(k ? "ddpm" : "ddim"), k ? "variance=fixed_small" : "eta=1", &job, NULL));
            }
            for (int i = 0; i < N * DIM; i++) worst = fmax(worst, fabs(x[0][i] - x[1][i]));
            CHECK(worst < 1e-12, "%d %s steps: DDIM at eta 1 and DDPM are %.1e apart (seed 21)", counts[c],
                  ath_spacing_name((ath_spacing)how), worst);
        }
}

/* Mean and variance at every level, by on_step. */
typedef struct moments {
    const exact_net *net;
    const ath_level *level;
    const char *name;
    int last; /* the last level to be checked */
} moments;

/* N numbers of variance V: their mean has the standard error sqrt(V/N), their variance V sqrt(2/N). */
static ath_status check_moments(void *user, int step, const double *x, const double *x0) {
    (void)x0;
    const moments *m = user;
    const ath_level at = m->level[step + 1];
    if (step + 1 > m->last) return ATH_OK;
    const size_t n = m->net->n, dim = (size_t)m->net->data.dim;
    const double V = pow(at.alpha * m->net->data.deviation[0], 2) + at.sigma * at.sigma, N = (double)(n * dim);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n * dim; i++) {
        const double centred = x[i] - at.alpha * m->net->data.mean[0][i % dim];
        sum += centred, squares += centred * centred;
    }
    CHECK(fabs(sum / N) <= 4.5 * sqrt(V / N) + 1e-12,
          "%s, after step %d: mean off by %.5f, standard error %.5f (seed 77)", m->name, step, sum / N, sqrt(V / N));
    CHECK(fabs(squares / N - V) <= 4.5 * V * sqrt(2 / N) + 1e-12,
          "%s, after step %d: variance %.6f, expected %.6f, standard error %.6f (seed 77)", m->name, step, squares / N,
          V, V * sqrt(2 / N));
    return ATH_OK;
}

static void check_marginals(const char *sampler, const char *options, double mean, double deviation, int steps,
                            bool to_the_end) {
    enum { N = 5000, DIM = 8 };
    ath_level *level = get_memory((size_t)(steps + 1) * sizeof *level);
    double *x = get_memory((size_t)N * DIM * sizeof *x);
    char name[64];
    snprintf(name, sizeof name, "%s %s, %d steps", sampler, options, steps);
    usual_levels(ATH_TRAILING, steps, level);
    exact_net net = gaussian(mean, deviation, DIM, N);
    if (deviation == 1) memset(net.data.mean, 0, sizeof net.data.mean);
    moments m = {&net, level, name, to_the_end ? steps : steps - 1};
    start_at(&net, level[0], (ath_rng){77}, 0, x);
    ath_sample_job job = {.net = {&net, exact_x0},
                          .level = level,
                          .n_steps = steps,
                          .x = x,
                          .n = N,
                          .dim = DIM,
                          .rng = {77},
                          .on_step = check_moments,
                          .user = &m};
    CHECK_OK(run_job(find(sampler), options, &job, NULL));
    free(level);
    free(x);
}

/* Of one image's data the small variance is the exact one, however few the steps, and DDIM's family keeps the
 * marginals by construction; of N(0, 1) data the large one is, until the last step, which adds no noise
 * (Ho et al. 2020, section 3.2). The analytic variance is exact for any Gaussian. */
static void marginals_are_exact_where_the_variance_is(void **state) {
    (void)state;
    static const int counts[] = {2, 5, 25};
    for (int c = 0; c < 3; c++) {
        check_marginals("ddpm", "variance=fixed_small", 0.3, 0, counts[c], true);
        check_marginals("ddpm", "variance=fixed_large", 0, 1, counts[c], false);
        check_marginals("ddpm", "variance=analytic,grain=0", 0.3, 0.5, counts[c], false);
        check_marginals("ddim", "eta=0.5", 0.3, 0, counts[c], true);
        check_marginals("ddim", "eta=0", 0.3, 0, counts[c], true);
    }
}

/* Draw k as a fresh tensor: a path's numbers cost seventeen times as much. */
static ath_status plain_noise(void *self, int k, double *out, ath_err *e) {
    (void)e;
    ath_rng_normal_f64((ath_rng){123}, ATH_S_TEST, (uint64_t)k, out, *(const size_t *)self);
    return ATH_OK;
}

/* Ancestral steps and two draws within a step are held to the path itself, the others to plain noise. */
static bool walks_the_path(const ath_sampler *s, const char *options) {
    return !*options && (strcmp(s->name, "ddpm") == 0 || strcmp(s->name, "dpmpp_sde") == 0);
}

/* With many steps every stochastic sampler draws from the data. The error of the discrete reverse process is of
 * order 1/steps: for 250 it is below 0.04 of the variance here, which is allowed beside 4.5 standard errors.
 * Langevin steps whose size depends on the image draw 2/DIM too wide (samplers/pc.c). */
static void stochastic_samplers_draw_from_the_data(void **state) {
    (void)state;
    enum { N = 400, DIM = 8, STEPS = 250 };
    const ath_sampler *sampler[MAX_VARIANTS];
    const char *options[MAX_VARIANTS];
    ath_level *level = get_memory((STEPS + 1) * sizeof *level);
    double *x = get_memory((size_t)N * DIM * sizeof *x);
    usual_levels(ATH_LEADING, STEPS, level);
    for (int v = variants(sampler, options, MAX_VARIANTS) - 1; v >= 0; v--) {
        if (!draws(sampler[v], options[v])) continue;
        exact_net net = gaussian(-0.2, 0.5, DIM, N);
        start_at(&net, level[0], (ath_rng){123}, 0, x);
        ath_sample_job job = {
            .net = {&net, exact_x0}, .level = level, .n_steps = STEPS, .x = x, .n = N, .dim = DIM, .rng = {123}};
        size_t len = N * DIM;
        if (!walks_the_path(sampler[v], options[v])) job.noise = (ath_noise_source){&len, plain_noise};
        CHECK_OK(run_job(sampler[v], options[v], &job, NULL));
        double sum = 0, squares = 0;
        for (int i = 0; i < N * DIM; i++) {
            const double centred = x[i] - net.data.mean[0][i % DIM];
            sum += centred, squares += centred * centred;
        }
        const double mean = sum / (N * DIM), variance = squares / (N * DIM);
        print_message("%s %s: mean off by %.4f (standard error %.4f), variance %.4f of 0.25 (%.4f)\n", sampler[v]->name,
                      options[v], mean, 0.5 / sqrt(N * DIM), variance, 0.25 * sqrt(2.0 / (N * DIM)));
        const double too_wide = strcmp(sampler[v]->name, "pc") == 0 ? 2.0 / DIM : 0;
        CHECK(fabs(mean) < 4.5 * 0.5 / sqrt(N * DIM) + 0.004, "%s %s: mean off by %.5f (seed 123)", sampler[v]->name,
              options[v], mean);
        CHECK(fabs(variance - 0.25) < 0.25 * (4.5 * sqrt(2.0 / (N * DIM)) + 0.04 + too_wide),
              "%s %s: variance %.5f, expected 0.25 (seed 123)", sampler[v]->name, options[v], variance);
    }
    free(level);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sampler_converges_at_the_order_it_claims),
        cmocka_unit_test(adaptive_samplers_follow_their_tolerance),
        cmocka_unit_test(every_sampler_says_what_it_is),
        cmocka_unit_test(data_of_one_image_is_sampled_exactly),
        cmocka_unit_test(an_image_does_not_depend_on_its_batch),
        cmocka_unit_test(another_seed_draws_another_image_where_there_is_noise),
        cmocka_unit_test(evaluations_are_counted_and_a_stop_is_passed_on),
        cmocka_unit_test(evaluations_are_promised_for_any_number_of_steps),
        cmocka_unit_test(failures_of_the_network_and_the_noise_end_the_run),
        cmocka_unit_test(ddim_with_eta_one_is_ddpm_with_the_small_variance),
        cmocka_unit_test(marginals_are_exact_where_the_variance_is),
        cmocka_unit_test(stochastic_samplers_draw_from_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
