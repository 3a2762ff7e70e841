/* Samplers, on denoisers that are exact: every plug-in converges as it claims, draws, counts
 * and stops as sampler.h says, and DDIM and DDPM follow diffusers step by step. All of it
 * in double, so that what is compared is the sampler alone. */
#include "golden/golden.h"
#include "diffusion/prediction.h"
#include "diffusion/sampler.h"

static ath_err err;

static void *get_memory(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}

/* ---- denoisers ---- */

/* Data sum_k w_k N(m_k, s_k^2 I). With V_k = alpha^2 s_k^2 + sigma^2 and r = softmax_k(log w_k - dim/2 log V_k -
 * |x - alpha m_k|^2 / (2 V_k)):  x0(x) = sum_k r_k (m_k + alpha s_k^2 / V_k (x - alpha m_k)),
 * eps(x) = sigma sum_k r_k (x - alpha m_k) / V_k. */
enum { MAX_DIM = 16, MAX_PARTS = 4 };
typedef struct mixture {
    int parts, dim;
    double weight[MAX_PARTS], mean[MAX_PARTS][MAX_DIM], deviation[MAX_PARTS];
} mixture;

static void mixture_at(const mixture *m, const double *x, ath_level at, double *x0, double *eps) {
    double log_r[MAX_PARTS], most = -INFINITY, sum = 0;
    for (int k = 0; k < m->parts; k++) {
        const double V = pow(at.alpha * m->deviation[k], 2) + at.sigma * at.sigma;
        log_r[k] = log(m->weight[k]) - m->dim / 2.0 * log(V);
        for (int d = 0; d < m->dim; d++) log_r[k] -= pow(x[d] - at.alpha * m->mean[k][d], 2) / (2 * V);
        most = fmax(most, log_r[k]);
    }
    for (int d = 0; d < m->dim; d++) x0[d] = eps[d] = 0;
    for (int k = 0; k < m->parts; k++) {
        const double V = pow(at.alpha * m->deviation[k], 2) + at.sigma * at.sigma, r = exp(log_r[k] - most);
        sum += r;
        for (int d = 0; d < m->dim; d++) {
            const double diff = x[d] - at.alpha * m->mean[k][d];
            x0[d] += r * (m->mean[k][d] + at.alpha * m->deviation[k] * m->deviation[k] / V * diff);
            eps[d] += r * at.sigma / V * diff;
        }
    }
    for (int d = 0; d < m->dim; d++) x0[d] /= sum, eps[d] /= sum;
}

/* A network that predicts F exactly, and what a wrapper makes of it: x0, perhaps clipped. */
typedef struct exact_net {
    mixture data;
    ath_prediction says;
    double clip; /* 0: not */
    size_t n;
    int calls, fail_at; /* fail_at > 0: that call fails */
} exact_net;

static ath_status exact_x0(void *self, const double *x, ath_level at, double *x0, ath_err *e) {
    exact_net *net = self;
    const size_t dim = (size_t)net->data.dim;
    if (++net->calls == net->fail_at) return ath_fail(e, ATH_E_MEM, "the network failed");
    const ath_to_x0 to = ath_prediction_to_x0(net->says, at);
    for (size_t i = 0; i < net->n; i++) {
        double image[MAX_DIM], eps[MAX_DIM];
        mixture_at(&net->data, x + i * dim, at, image, eps);
        for (size_t d = 0; d < dim; d++) {
            double F = image[d];
            if (net->says == ATH_EPSILON) F = eps[d];
            if (net->says == ATH_V) F = at.alpha * eps[d] - at.sigma * image[d];
            if (net->says == ATH_SCORE) F = -eps[d] / at.sigma;
            double value = net->says == ATH_SAMPLE ? F : to.k_x * x[i * dim + d] + to.k_f * F;
            if (net->clip > 0) value = fmax(-net->clip, fmin(net->clip, value));
            x0[i * dim + d] = value;
        }
    }
    return ATH_OK;
}

/* One Gaussian, N(mean, deviation^2) in every pixel; deviation 0 is a single image. */
static exact_net gaussian(double mean, double deviation, int dim, size_t n) {
    exact_net net = {
        .data = {.parts = 1, .dim = dim, .weight = {1}, .deviation = {deviation}}, .says = ATH_SAMPLE, .n = n};
    for (int d = 0; d < dim; d++) net.data.mean[0][d] = mean + 0.1 * d;
    return net;
}

/* ---- running ---- */

typedef struct run_info {
    int nfe, draws;
} run_info;

/* Runs a sampler with its default options, changed by `options` ("eta=1"). */
static ath_status run_job(const ath_sampler *s, const char *options, ath_sample_job *job, run_info *info) {
    void *config = get_memory(s->config_size);
    job->work = get_memory((size_t)s->n_work * job->n * job->dim * sizeof(double));
    ath_options_default(s->options, s->n_options, config);
    CHECK_OK(ath_options_parse(s->options, s->n_options, config, options, &err));
    job->config = config;
    job->err = &err;
    const ath_status status = s->run(job);
    if (info) *info = (run_info){job->nfe, job->draws};
    free(job->work);
    free(config);
    return status;
}

static const ath_sampler *find(const char *name) {
    const ath_sampler *s = ath_sampler_find(name);
    CHECK(s != NULL, "no sampler \"%s\"", name);
    return s;
}

static ath_schedule linear_schedule(void) {
    ath_schedule s;
    CHECK_OK(ath_schedule_make(&s, ath_schedule_kind_find("linear"), 1000, 1e-4, 0.02, &err));
    return s;
}

/* The levels of n steps with the linear schedule of 1000. */
static void usual_levels(ath_spacing how, int n, ath_level *level) {
    ath_schedule s = linear_schedule();
    CHECK_OK(ath_levels(&s, how, n, level, &err));
    ath_schedule_free(&s);
}

/* x ~ alpha x0 + sigma eps at `at`, for data of mean mean_d and the given deviation */
static void start_at(const exact_net *net, ath_level at, ath_rng rng, uint64_t first, double *x) {
    const size_t dim = (size_t)net->data.dim;
    const double spread = sqrt(pow(at.alpha * net->data.deviation[0], 2) + at.sigma * at.sigma);
    for (size_t i = 0; i < net->n; i++) {
        ath_rng_normal_f64(rng, ATH_S_START, first + i, x + i * dim, dim);
        for (size_t d = 0; d < dim; d++) x[i * dim + d] = at.alpha * net->data.mean[0][d] + spread * x[i * dim + d];
    }
}

/* ---- the exact denoiser itself ---- */

static mixture read_mixture(const json_t *root, const char *name) {
    const json_t *one = golden_at(root, name);
    mixture m = {.dim = (int)golden_number(one, "d")};
    m.parts = (int)golden_list(golden_at(one, "weights"), m.weight, MAX_PARTS);
    golden_list(golden_at(one, "stds"), m.deviation, MAX_PARTS);
    for (int k = 0; k < m.parts; k++)
        golden_list(json_array_get(golden_at(one, "means"), (size_t)k), m.mean[k], MAX_DIM);
    return m;
}

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
 *   thresholding                       we clip at a fixed value only
 *   DDIM clipping without use_clipped_model_output
 *                                      diffusers then keeps the eps of the unclipped x0; ours is always of the x0
 *                                      that is used, which is the other case (and Ho's clip_denoised)
 *   DDIM linspace                      diffusers steps to t - T/n, not to the next timestep of its list, and evaluates
 *                                      the network somewhere else than the sample is
 * Compared in part:
 *   DDPM fixed_large where the last timestep is not 0 (trailing)
 *                                      diffusers adds noise of the size of sigma onto the clean level; we add none:
 *                                      all states but the last
 * DDPM fixed_small adds noise of deviation 1e-10 there (its clamp), which is below the tolerance. */
static bool is_on(const json_t *config, const json_t *defaults, const char *key) {
    const json_t *own = json_object_get(config, key);
    return json_is_true(own ? own : json_object_get(defaults, key));
}

static double config_number(const json_t *config, const json_t *defaults, const char *key) {
    const json_t *own = json_object_get(config, key);
    return golden_value(own ? own : golden_at(defaults, key));
}

static const char *config_text(const json_t *config, const json_t *defaults, const char *key) {
    const json_t *own = json_object_get(config, key);
    return own ? json_string_value(own) : golden_text(defaults, key);
}

enum { IMAGES = 8, MAX_STEPS = 64, STATE = IMAGES * MAX_DIM };

/* noise[k] of noise.json, and the states as they come */
typedef struct recorder {
    const json_t *noise;
    size_t len;
    double x[MAX_STEPS + 1][STATE];
    int steps;
} recorder;

static ath_status recorded_noise(void *self, int k, double *out, ath_err *e) {
    const recorder *r = self;
    const json_t *tensor = json_array_get(r->noise, (size_t)k);
    if (!tensor) return ath_fail(e, ATH_E_ARG, "no noise %d", k);
    CHECK(golden_list(tensor, out, r->len) == r->len, "noise %d is too short", k);
    return ATH_OK;
}

static ath_status keep_state(void *user, int step, const double *x, const double *x0) {
    recorder *r = user;
    (void)x0;
    CHECK(step == r->steps, "step %d is reported after %d steps", step, r->steps);
    memcpy(r->x[++r->steps], x, r->len * sizeof *x);
    return ATH_OK;
}

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
    return s;
}

/* The levels of a case: ours where the configuration is one we have, else (an offset, zero terminal SNR, an end
 * that is not clean) from the timesteps and alpha_bars that were recorded. */
static void levels_of(const json_t *one, const json_t *config, const json_t *defaults, ath_level *level) {
    const int n = (int)golden_number(one, "num_inference_steps");
    double t[MAX_STEPS], alpha_bar[MAX_STEPS];
    CHECK((int)golden_list(golden_at(one, "timesteps"), t, MAX_STEPS) == n, "%d timesteps expected", n);
    golden_list(golden_at(golden_at(one, "evals"), "abar"), alpha_bar, MAX_STEPS);
    ath_schedule s = schedule_of(config, defaults);
    ath_spacing how;
    CHECK_OK(ath_spacing_parse(config_text(config, defaults, "timestep_spacing"), &how, &err));
    CHECK_OK(ath_levels(&s, how, n, level, &err));
    const bool rescaled = is_on(config, defaults, "rescale_betas_zero_snr");
    const double offset = how == ATH_LEADING ? config_number(config, defaults, "steps_offset") : 0;
    for (int i = 0; i < n; i++) {
        CHECK(level[i].t + offset == t[i], "level %d is timestep %g, expected %g - %g", i, level[i].t, t[i], offset);
        if (rescaled)
            level[i] = (ath_level){t[i], sqrt(alpha_bar[i]), sqrt(1 - alpha_bar[i])};
        else if (offset != 0)
            level[i] = ath_schedule_level(&s, t[i]);
        CHECK(fabs(level[i].alpha * level[i].alpha - alpha_bar[i]) <= 1e-12 * alpha_bar[i],
              "level %d: alpha_bar %.17g, expected %.17g", i, level[i].alpha * level[i].alpha, alpha_bar[i]);
    }
    if (json_object_get(defaults, "set_alpha_to_one") && !is_on(config, defaults, "set_alpha_to_one"))
        level[n] = ath_schedule_level(&s, 0);
    ath_schedule_free(&s);
}

/* Why a case is left out; NULL when it is not. */
static const char *left_out(const json_t *one, const json_t *config, const json_t *defaults, bool ddim) {
    if (is_on(config, defaults, "thresholding")) return "thresholding";
    if (ddim && is_on(config, defaults, "clip_sample") &&
        !json_is_true(json_object_get(golden_at(one, "step_kwargs"), "use_clipped_model_output")))
        return "eps of the unclipped x0";
    if (ddim && strcmp(config_text(config, defaults, "timestep_spacing"), "linspace") == 0)
        return "steps beside the list";
    return NULL;
}

static double follow_case(const json_t *one, const json_t *defaults, const mixture *data, const json_t *noise,
                          bool ddim) {
    const char *id = golden_text(one, "id");
    const json_t *config = golden_at(one, "config"), *eta = json_object_get(golden_at(one, "step_kwargs"), "eta");
    ath_level level[MAX_STEPS + 1];
    levels_of(one, config, defaults, level);
    exact_net net = {.data = *data, .n = IMAGES};
    CHECK_OK(ath_prediction_parse(golden_text(one, "prediction_type"), &net.says, &err));
    if (is_on(config, defaults, "clip_sample")) net.clip = config_number(config, defaults, "clip_sample_range");

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
    recorder r = {.noise = noise, .len = IMAGES * (size_t)data->dim};
    double x[STATE], expected[STATE], worst = 0;
    golden_list(json_array_get(states, 0), x, STATE);
    ath_sample_job job = {.net = {&net, exact_x0},
                          .level = level,
                          .n_steps = n,
                          .x = x,
                          .n = IMAGES,
                          .dim = (size_t)data->dim,
                          .noise = {&r, recorded_noise},
                          .on_step = keep_state,
                          .user = &r};
    CHECK_OK(run_job(find(ddim ? "ddim" : "ddpm"), options, &job, NULL));
    CHECK(r.steps == n && net.calls == n, "%s: %d steps and %d calls, expected %d", id, r.steps, net.calls, n);
    const int comparable = large && level[n - 1].t > 0 ? n - 1 : n;
    for (int i = 1; i <= comparable; i++) {
        golden_list(json_array_get(states, (size_t)i), expected, STATE);
        for (size_t k = 0; k < r.len; k++) {
            const double error = fabs(r.x[i][k] - expected[k]);
            worst = fmax(worst, error);
            CHECK(error < 1e-9, "%s, after step %d, number %zu: %.15g, expected %.15g", id, i - 1, k, r.x[i][k],
                  expected[k]);
        }
    }
    return worst;
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
        worst = fmax(worst, follow_case(one, defaults, &data, golden_at(golden_at(noise, name), "noise"), ddim));
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
    follow(ATH_TEST_GOLDEN, false, "diffusers_ddim.json", true, 8);
}
static void ddim_follows_diffusers_through_the_full_set(void **state) {
    (void)state;
    follow(ATH_SHARED_GOLDEN, true, "trajectories/diffusers_ddim.json", true, 19);
}
static void ddpm_follows_diffusers_step_by_step(void **state) {
    (void)state;
    follow(ATH_TEST_GOLDEN, false, "diffusers_ddpm.json", false, 7);
}
static void ddpm_follows_diffusers_through_the_full_set(void **state) {
    (void)state;
    follow(ATH_SHARED_GOLDEN, true, "trajectories/diffusers_ddpm.json", false, 18);
}

/* ---- laws of every sampler ---- */

/* For data N(mu, s^2) the flow is known: x_t = alpha_t mu + (x_s - alpha_s mu) sqrt(V_t / V_s), V = alpha^2 s^2 +
 * sigma^2. The grid is even in log(sigma/alpha) and ends before the clean level, where the last step of most
 * solvers is of first order: what is left is the solver's own error, and twice the steps must divide it by
 * 2^order. */
static double flow_error(const ath_sampler *s, int steps) {
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
    CHECK_OK(run_job(s, "", &job, NULL));
    for (int i = 0; i < N * DIM; i++) {
        const double mean = net.data.mean[0][i % DIM], s2 = pow(net.data.deviation[0], 2);
        const double stretch =
            sqrt((pow(last.alpha, 2) * s2 + pow(last.sigma, 2)) / (pow(first.alpha, 2) * s2 + pow(first.sigma, 2)));
        worst = fmax(worst, fabs(x[i] - last.alpha * mean - stretch * (start[i] - first.alpha * mean)));
    }
    free(level);
    return worst;
}

static void every_sampler_converges_at_the_order_it_claims(void **state) {
    (void)state;
    int n = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    for (int i = 0; i < n; i++) {
        const ath_sampler *s = all[i];
        if (s->stochastic) continue; /* held to moments below */
        const double coarse = flow_error(s, 128), fine = flow_error(s, 256), order = log2(coarse / fine);
        print_message("%s: error %.2e in 128 steps, %.2e in 256: order %.2f\n", s->name, coarse, fine, order);
        CHECK(fabs(order - s->order) < 0.2, "%s: order %.2f, claims %d (error %.2e -> %.2e)", s->name, order, s->order,
              coarse, fine);
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
 * ends on it. */
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
                    CHECK(fabs(x[k] - expected) < 1e-12, "%s, %d %s steps: %.15g, expected %.15g", all[i]->name,
                          counts[c], ath_spacing_name((ath_spacing)how), x[k], expected);
                }
            }
}

/* Every sampler, and the one deterministic by default that can draw. */
static int variants(const ath_sampler **sampler, const char **options, int room) {
    int n = 0, count = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    for (int i = 0; i < n && count + 2 < room; i++) {
        sampler[count] = all[i], options[count++] = "";
        if (ath_options_find(all[i]->options, all[i]->n_options, "eta"))
            sampler[count] = all[i], options[count++] = "eta=0.7";
        if (ath_options_find(all[i]->options, all[i]->n_options, "variance"))
            sampler[count] = all[i], options[count++] = "variance=fixed_large";
    }
    return count;
}
enum { MAX_VARIANTS = 64 };

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

static ath_status stop_at_two(void *user, int step, const double *x, const double *x0) {
    (void)x, (void)x0;
    ++*(int *)user;
    return step == 2 ? ATH_E_STOP : ATH_OK;
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
        /* a step onto the clean level may cost less */
        CHECK(info.nfe == net.calls && info.nfe <= STEPS * s->nfe_per_step && info.nfe > (STEPS - 1) * s->nfe_per_step,
              "%s: counted %d evaluations of %d calls in %d steps of %d", s->name, info.nfe, net.calls, STEPS,
              s->nfe_per_step);
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
        CHECK(net.calls <= 3 * s->nfe_per_step, "%s: %d evaluations in 3 steps", s->name, net.calls);
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
        if (!sampler[v]->stochastic && !*options[v]) continue;
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
 * (Ho et al. 2020, section 3.2). */
static void marginals_are_exact_where_the_variance_is(void **state) {
    (void)state;
    static const int counts[] = {2, 5, 25};
    for (int c = 0; c < 3; c++) {
        check_marginals("ddpm", "variance=fixed_small", 0.3, 0, counts[c], true);
        check_marginals("ddpm", "variance=fixed_large", 0, 1, counts[c], false);
        check_marginals("ddim", "eta=0.5", 0.3, 0, counts[c], true);
        check_marginals("ddim", "eta=0", 0.3, 0, counts[c], true);
    }
}

/* With many steps every stochastic sampler draws from the data. The error of the discrete reverse process is of
 * order 1/steps: for 1000 it is below 0.01 of the variance here, which is allowed beside 4.5 standard errors. */
static void stochastic_samplers_draw_from_the_data(void **state) {
    (void)state;
    enum { N = 1500, DIM = 8, STEPS = 1000 };
    const ath_sampler *sampler[MAX_VARIANTS];
    const char *options[MAX_VARIANTS];
    ath_level *level = get_memory((STEPS + 1) * sizeof *level);
    double *x = get_memory((size_t)N * DIM * sizeof *x);
    usual_levels(ATH_LEADING, STEPS, level);
    for (int v = variants(sampler, options, MAX_VARIANTS) - 1; v >= 0; v--) {
        if (!sampler[v]->stochastic && !*options[v]) continue;
        exact_net net = gaussian(-0.2, 0.5, DIM, N);
        start_at(&net, level[0], (ath_rng){123}, 0, x);
        ath_sample_job job = {
            .net = {&net, exact_x0}, .level = level, .n_steps = STEPS, .x = x, .n = N, .dim = DIM, .rng = {123}};
        CHECK_OK(run_job(sampler[v], options[v], &job, NULL));
        double sum = 0, squares = 0;
        for (int i = 0; i < N * DIM; i++) {
            const double centred = x[i] - net.data.mean[0][i % DIM];
            sum += centred, squares += centred * centred;
        }
        const double mean = sum / (N * DIM), variance = squares / (N * DIM);
        print_message("%s %s: mean off by %.4f (standard error %.4f), variance %.4f of 0.25 (%.4f)\n", sampler[v]->name,
                      options[v], mean, 0.5 / sqrt(N * DIM), variance, 0.25 * sqrt(2.0 / (N * DIM)));
        CHECK(fabs(mean) < 4.5 * 0.5 / sqrt(N * DIM) + 0.001, "%s %s: mean off by %.5f (seed 123)", sampler[v]->name,
              options[v], mean);
        CHECK(fabs(variance - 0.25) < 0.25 * (4.5 * sqrt(2.0 / (N * DIM)) + 0.01),
              "%s %s: variance %.5f, expected 0.25 (seed 123)", sampler[v]->name, options[v], variance);
    }
    free(level);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_denoiser_of_these_tests_is_exact),
        cmocka_unit_test(ddim_follows_diffusers_step_by_step),
        cmocka_unit_test(ddim_follows_diffusers_through_the_full_set),
        cmocka_unit_test(ddpm_follows_diffusers_step_by_step),
        cmocka_unit_test(ddpm_follows_diffusers_through_the_full_set),
        cmocka_unit_test(every_sampler_converges_at_the_order_it_claims),
        cmocka_unit_test(every_sampler_says_what_it_is),
        cmocka_unit_test(data_of_one_image_is_sampled_exactly),
        cmocka_unit_test(an_image_does_not_depend_on_its_batch),
        cmocka_unit_test(another_seed_draws_another_image_where_there_is_noise),
        cmocka_unit_test(evaluations_are_counted_and_a_stop_is_passed_on),
        cmocka_unit_test(failures_of_the_network_and_the_noise_end_the_run),
        cmocka_unit_test(ddim_with_eta_one_is_ddpm_with_the_small_variance),
        cmocka_unit_test(marginals_are_exact_where_the_variance_is),
        cmocka_unit_test(stochastic_samplers_draw_from_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
