/* Denoisers that are exact, for data that are a mixture of Gaussians, and what runs a sampler
 * on them: its job, its levels, its start, a record of its states. All of it in double, so that
 * what is compared is the sampler alone. */
#ifndef ATH_TESTS_EXACT_H
#define ATH_TESTS_EXACT_H
#include "check.h"
#include "diffusion/prediction.h"
#include "diffusion/sampler.h"
#include "diffusion/shaping.h"

static ath_err err;

static inline void *get_memory(size_t bytes) {
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

static inline void mixture_at(const mixture *m, const double *x, ath_level at, double *x0, double *eps) {
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

/* A network that predicts F exactly, and what a wrapper makes of it: x0, perhaps clipped or thresholded. */
typedef struct exact_net {
    mixture data;
    ath_prediction says;
    double clip;                     /* 0: not */
    double threshold, threshold_max; /* 0: not; threshold_max 0: any */
    size_t n;
    int calls, fail_at; /* fail_at > 0: that call fails */
} exact_net;

static inline ath_status exact_x0(void *self, const double *x, const ath_level *level, size_t each, double *x0,
                                  ath_err *e) {
    exact_net *net = self;
    const size_t dim = (size_t)net->data.dim;
    if (++net->calls == net->fail_at) return ath_fail(e, ATH_E_MEM, "the network failed");
    for (size_t i = 0; i < net->n; i++) {
        const ath_level at = level[i * each];
        const ath_to_x0 to = ath_prediction_to_x0(net->says, at, 0);
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
        if (net->threshold > 0) ath_threshold_x0(x0 + i * dim, dim, net->threshold, net->threshold_max, image);
    }
    return ATH_OK;
}

/* One Gaussian, N(mean, deviation^2) in every pixel; deviation 0 is a single image. */
static inline exact_net gaussian(double mean, double deviation, int dim, size_t n) {
    exact_net net = {
        .data = {.parts = 1, .dim = dim, .weight = {1}, .deviation = {deviation}}, .says = ATH_SAMPLE, .n = n};
    for (int d = 0; d < dim; d++) net.data.mean[0][d] = mean + 0.1 * d;
    return net;
}

/* ---- running ---- */

typedef struct run_info {
    int nfe, draws;
} run_info;

/* tr Cov[x0 | x]/dim of an exact net's data, one Gaussian, at every level. */
static inline double *exact_x0_variance(const exact_net *net, const ath_level *level, int n_steps) {
    assert_int_equal(net->data.parts, 1);
    double *out = get_memory((size_t)n_steps * sizeof *out);
    const double v = net->data.deviation[0] * net->data.deviation[0];
    for (int i = 0; i < n_steps; i++) {
        const double noise = level[i].sigma * level[i].sigma;
        out[i] = v * noise / (level[i].alpha * level[i].alpha * v + noise);
    }
    return out;
}

/* Runs a sampler with its default options, changed by `options` ("eta=1"). A sampler that needs the variance of x0 gets the
 * exact net's. */
static inline ath_status run_job(const ath_sampler *s, const char *options, ath_sample_job *job, run_info *info) {
    void *config = get_memory(s->config_size);
    ath_options_default(s->options, s->n_options, config);
    CHECK_OK(ath_options_parse(s->options, s->n_options, config, options, &err));
    job->config = config;
    job->err = &err;
    double *variance = NULL;
    if (ath_sampler_needs_x0_variance(s, config) && !job->pilot && !job->x0_variance)
        job->x0_variance = variance = exact_x0_variance(job->net.self, job->level, job->n_steps);
    const ath_status status = ath_sampler_run(s, job);
    free(variance);
    if (info) *info = (run_info){job->nfe, job->draws};
    free(config);
    return status;
}

static inline const ath_sampler *find(const char *name) {
    const ath_sampler *s = ath_sampler_find(name);
    CHECK(s != NULL, "no sampler \"%s\"", name);
    return s;
}

static inline ath_schedule linear_schedule(void) {
    ath_schedule s;
    CHECK_OK(ath_schedule_make(&s, ath_schedule_kind_find("linear"), 1000, 1e-4, 0.02, &err));
    return s;
}

/* The levels of n steps with the linear schedule of 1000. */
static inline void usual_levels(ath_spacing how, int n, ath_level *level) {
    ath_schedule s = linear_schedule();
    CHECK_OK(ath_levels(&(ath_process){.schedule = &s}, how, NULL, n, level, &err));
    ath_schedule_free(&s);
}

/* x ~ alpha x0 + sigma eps at `at`, for data of mean mean_d and the given deviation */
static inline void start_at(const exact_net *net, ath_level at, ath_rng rng, uint64_t first, double *x) {
    const size_t dim = (size_t)net->data.dim;
    const double spread = sqrt(pow(at.alpha * net->data.deviation[0], 2) + at.sigma * at.sigma);
    for (size_t i = 0; i < net->n; i++) {
        ath_rng_normal_f64(rng, ATH_S_START, first + i, x + i * dim, dim);
        for (size_t d = 0; d < dim; d++) x[i * dim + d] = at.alpha * net->data.mean[0][d] + spread * x[i * dim + d];
    }
}

/* The states of a run as they come, by on_step = keep_state; `len` numbers each. */
enum { IMAGES = 8, MAX_STEPS = 128, STATE = IMAGES * MAX_DIM };
typedef struct recorder {
    size_t len;
    double x[MAX_STEPS + 1][STATE];
    int steps;
} recorder;

static inline ath_status keep_state(void *user, int step, const double *x, const double *x0) {
    recorder *r = user;
    (void)x0;
    CHECK(step == r->steps, "step %d is reported after %d steps", step, r->steps);
    memcpy(r->x[++r->steps], x, r->len * sizeof *x);
    return ATH_OK;
}

#endif
