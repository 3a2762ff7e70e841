/* Dormand and Prince's Runge-Kutta pair of order 5(4) with adaptive steps on the probability flow dy/du = d(y, u), by default in
 * a flow's time, u = sigma/(sigma + alpha) (solver/flow_time.h), where a flow process has its own and others have a third of the
 * evaluations that time sigma takes (on the mixtures of the tests, from 80 to 0.002 at 1e-5: 62 instead of 206). Coefficients
 * and step control are those of scipy's RK45 (Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section II.4;
 * for diffusion Song et al. 2021, arXiv:2011.13456, section D.4): a step is kept when the root mean square of
 *     error / (atol + rtol max(|y|, |y'|)) < 1,   and the next is 0.9 error^(-1/5) times as long, 0.2 to 10.
 * It goes from the first level to the last that is not clean; levels between are reported, not visited; onto the clean level it
 * gives x0, which the last stage has evaluated. Six evaluations a step, two at the start.
 *
 * control=image gives each image its own steps, so that it does not depend on its batch; batch takes the norm over all, as scipy
 * does. In a batch all images are evaluated until the last one arrives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/dormand_prince.h"
#include "solver/flow_time.h"
#include "solver/own_steps.h"

typedef struct rk45_config {
    double rtol, atol;
    char control[ATH_TEXT_LEN], time[ATH_TEXT_LEN];
} rk45_config;

static const ath_option options[] = {
    {.name = "rtol",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(rk45_config, rtol),
     .dflt = "1e-5",
     .min = 1e-13,
     .max = 1,
     .help = "error allowed in a step, relative to the state"},
    {.name = "atol",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(rk45_config, atol),
     .dflt = "1e-5",
     .min = 1e-13,
     .max = 1,
     .help = "the same, absolute"},
    ATH_CONTROL_OPTION(rk45_config),
    ATH_FLOW_TIME_OPTION(rk45_config, "flow"),
};

/* Where an image is: at u, trying for `to`; at its end both are the last level's u. */
typedef struct image {
    double u, to, length;
    bool rejected; /* the last try */
} image;

typedef struct solver {
    ath_sample_job *job;
    const rk45_config *config;
    ath_flow_time time;
    int tries;
    double start, end;  /* u of the first level and of the last that is not clean */
    ath_level last;     /* the level at `end`                                     */
    image *image;       /* (n)                                                    */
    ath_level *at;      /* (n): where the network is asked,                       */
    ath_moment *moment; /* (n): and what that is in time u                        */
    /* (n, dim) each: dy/du of the stages, a stage's state, the network's x0 there, a vector and its scale for norms */
    double *slope[ATH_DP_STAGES], *stage, *x0, *vector, *scale;
    double *norm[3]; /* (n) each: the error's is the first */
    ath_trace trace;
} solver;

static ath_moment moment_of(const solver *s, double u) {
    const double first = s->job->level[0].sigma;
    return ath_moment_of(s->time, u == s->start ? first
                                  : u == s->end ? s->last.sigma
                                                : ath_flow_time_sigma(s->time, u));
}

/* Image i's stage is at u. */
static void set_moment(solver *s, size_t i, double u) {
    s->moment[i] = moment_of(s, u);
    s->at[i] = u == s->start ? s->job->level[0] : u == s->end ? s->last : ath_level_at(s->job, s->moment[i].sigma);
}

/* slope = dy/du of the stages, each where its moment is. */
static ath_status evaluate(solver *s, double *slope) {
    const size_t dim = s->job->dim;
    ATH_TRY(ath_predict_each(s->job, s->stage, s->at, s->x0));
    for (size_t i = 0; i < s->job->n; i++)
        ath_flow_slope(s->moment[i], s->stage + i * dim, s->x0 + i * dim, slope + i * dim, dim);
    return ATH_OK;
}

/* Stage k of each image's step from u to `to`, and the slope there. */
static ath_status take_stage(solver *s, int k) {
    const size_t dim = s->job->dim;
    for (size_t i = 0; i < s->job->n; i++) {
        const image *m = &s->image[i];
        const double h = m->to - m->u, scale = moment_of(s, m->u).scale;
        set_moment(s, i, ath_dp_node[k] < 1 ? m->u + ath_dp_node[k] * h : m->to);
        for (size_t j = i * dim; j < (i + 1) * dim; j++) {
            double sum = 0;
            for (int p = 0; p < k; p++) sum += ath_dp_weight[k][p] * s->slope[p][j];
            s->stage[j] = h == 0 ? s->job->x[j] : (scale * s->job->x[j] + h * sum) / s->moment[i].scale;
        }
    }
    return evaluate(s, s->slope[k]);
}

/* The first slopes, and how long the first steps are: Hairer et al., section II.4, "starting step size". */
static ath_status start(solver *s) {
    const size_t n = s->job->n, dim = s->job->dim, len = n * dim;
    memcpy(s->stage, s->job->x, len * sizeof *s->stage);
    for (size_t i = 0; i < n; i++) set_moment(s, i, s->start);
    ATH_TRY(evaluate(s, s->slope[0]));
    for (size_t i = 0; i < n; i++) {
        s->image[i] = (image){.u = s->start, .to = s->end};
        ATH_TRY(ath_trace_state(&s->trace, i, s->at[i].sigma, s->stage + i * dim, s->x0 + i * dim));
    }
    if (s->start == s->end) return ATH_OK;
    for (size_t j = 0; j < len; j++) {
        s->vector[j] = s->moment[j / dim].scale * s->job->x[j];
        s->scale[j] = s->config->atol + s->config->rtol * fabs(s->vector[j]);
    }
    const char *control = s->config->control;
    double *bend = s->norm[0], *of_state = s->norm[1], *of_slope = s->norm[2];
    ath_error_norms(s->job, control, s->vector, s->scale, of_state);
    ath_error_norms(s->job, control, s->slope[0], s->scale, of_slope);
    for (size_t i = 0; i < n; i++) {
        image *m = &s->image[i];
        const double guess = of_state[i] < 1e-5 || of_slope[i] < 1e-5 ? 1e-6 : 0.01 * of_state[i] / of_slope[i];
        m->length = fmin(guess, s->start - s->end);
        m->to = s->start - m->length / ath_dp_node[1]; /* stage 1 is Euler's step over that length */
    }
    ATH_TRY(take_stage(s, 1));
    for (size_t j = 0; j < len; j++) s->vector[j] = s->slope[1][j] - s->slope[0][j];
    ath_error_norms(s->job, control, s->vector, s->scale, bend);
    for (size_t i = 0; i < n; i++) {
        image *m = &s->image[i];
        const double most = fmax(of_slope[i], bend[i] / m->length);
        const double length = most <= 1e-15 ? fmax(1e-6, 1e-3 * m->length) : pow(0.01 / most, 1. / 5);
        m->length = fmin(100 * m->length, length);
    }
    return ATH_OK;
}

/* One try of every image; norm[0] is their errors. */
static ath_status try_steps(solver *s) {
    const size_t n = s->job->n, dim = s->job->dim;
    s->tries++;
    for (size_t i = 0; i < n; i++) s->image[i].to = fmax(s->image[i].u - s->image[i].length, s->end);
    for (int k = 1; k < ATH_DP_STAGES; k++) ATH_TRY(take_stage(s, k));
    for (size_t i = 0; i < n; i++) {
        const double h = s->image[i].to - s->image[i].u, scale = moment_of(s, s->image[i].u).scale;
        for (size_t j = i * dim; j < (i + 1) * dim; j++) {
            double sum = 0;
            for (int p = 0; p < ATH_DP_STAGES; p++) sum += ath_dp_error[p] * s->slope[p][j];
            s->vector[j] = h * sum;
            const double most = fmax(fabs(scale * s->job->x[j]), fabs(s->moment[i].scale * s->stage[j]));
            s->scale[j] = s->config->atol + s->config->rtol * most;
        }
    }
    ath_error_norms(s->job, s->config->control, s->vector, s->scale, s->norm[0]);
    return ATH_OK;
}

/* Image i's step is kept or tried again, and the next one's length is chosen. */
static ath_status judge(solver *s, size_t i) {
    const size_t dim = s->job->dim, at = i * dim;
    image *m = &s->image[i];
    const double error = s->norm[0][i], length = m->u - m->to, factor = 0.9 * pow(error, -1. / 5);
    const double least = 10 * (m->u - nextafter(m->u, -INFINITY));
    const bool kept = error < 1;
    if (isnan(error) || (!kept && length < least) || s->tries > ATH_MOST_TRIES)
        return ath_fail(s->job->err, ATH_E_ARG, "rk45: no step at sigma %g has an error below rtol %g, atol %g",
                        moment_of(s, m->u).sigma, s->config->rtol, s->config->atol);
    m->length = length * (kept ? fmin(m->rejected ? 1 : 10, factor) : fmax(0.2, factor));
    m->rejected = !kept;
    if (!kept) return ATH_OK;
    m->u = m->to;
    m->length = fmax(m->length, least);
    memcpy(s->job->x + at, s->stage + at, dim * sizeof(double));
    memcpy(s->slope[0] + at, s->slope[ATH_DP_STAGES - 1] + at, dim * sizeof(double));
    return ath_trace_state(&s->trace, i, s->moment[i].sigma, s->stage + at, s->x0 + at);
}

static bool has_arrived(const solver *s, size_t i) { return s->image[i].u == s->end; }

static bool all_have_arrived(const solver *s) {
    for (size_t i = 0; i < s->job->n; i++)
        if (!has_arrived(s, i)) return false;
    return true;
}

static ath_status solve(solver *s) {
    ATH_TRY(ath_trace_begin(&s->trace, s->job));
    ATH_TRY(start(s));
    while (!all_have_arrived(s)) {
        ATH_TRY(try_steps(s));
        for (size_t i = 0; i < s->job->n; i++)
            if (!has_arrived(s, i)) ATH_TRY(judge(s, i));
        ATH_TRY(ath_trace_tell(&s->trace));
    }
    return ath_trace_finish(&s->trace, s->x0, true); /* the last stage of the last step was there */
}

static ath_status run(ath_sample_job *job) {
    const rk45_config *config = job->config;
    const ath_flow_time time = ath_flow_time_of(job, config->time);
    const size_t len = job->n * job->dim;
    const ath_level last = job->level[ath_last_noisy_level(job)];
    solver s = {.job = job, .config = config, .time = time, .last = last};
    s.start = ath_moment_of(time, job->level[0].sigma).u;
    s.end = ath_moment_of(time, last.sigma).u;
    for (int k = 0; k < ATH_DP_STAGES; k++) s.slope[k] = job->work + (size_t)k * len;
    s.stage = s.slope[ATH_DP_STAGES - 1] + len;
    s.x0 = s.stage + len;
    s.vector = s.x0 + len;
    s.scale = s.vector + len;
    double *norms = malloc((3 * job->n + 1) * sizeof *norms);
    for (size_t k = 0; norms && k < 3; k++) s.norm[k] = norms + k * job->n;
    s.image = malloc((job->n + 1) * sizeof *s.image);
    s.at = malloc((job->n + 1) * sizeof *s.at);
    s.moment = malloc((job->n + 1) * sizeof *s.moment);
    const ath_status status = norms && s.image && s.at && s.moment
                                  ? solve(&s)
                                  : ath_fail(job->err, ATH_E_MEM, "out of memory for %zu images", job->n);
    ath_trace_free(&s.trace);
    free(norms);
    free(s.image);
    free(s.at);
    free(s.moment);
    return status;
}

const ath_sampler ath_sampler_rk45 = {
    .name = "rk45",
    .summary = "Dormand-Prince with steps by tolerance: the flow's exact solution, for comparison",
    .paper = "arXiv:2011.13456",
    .order = 5,
    .nfe_per_step = 6,
    .n_work = ATH_DP_STAGES + 4,
    .adaptive = true,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(rk45_config),
    .run = run,
};
