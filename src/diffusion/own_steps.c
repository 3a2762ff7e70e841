/* Steps that are not the grid's: see own_steps.h. */
#include "diffusion/own_steps.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int ath_last_noisy_level(const ath_sample_job *job) { return job->n_steps - !(job->level[job->n_steps].sigma > 0); }

void ath_error_norms(const ath_sample_job *job, const char *control, const double *vector, const double *scale,
                     double *norm) {
    const size_t n = job->n, dim = job->dim;
    double all = 0;
    for (size_t i = 0; i < n; i++) {
        double squares = 0;
        for (size_t k = i * dim; k < (i + 1) * dim; k++) squares += pow(vector[k] / scale[k], 2);
        norm[i] = sqrt(squares / (double)dim);
        all += squares;
    }
    if (strcmp(control, "batch") == 0)
        for (size_t i = 0; i < n; i++) norm[i] = sqrt(all / (double)(n * dim));
}

ath_status ath_trace_begin(ath_trace *t, ath_sample_job *job) {
    *t = (ath_trace){.job = job, .last = ath_last_noisy_level(job)};
    t->time = ath_flow_time_of(job, "flow");
    if (!job->on_step) return ATH_OK;
    const size_t len = job->n * job->dim;
    t->reached = calloc(job->n + 1, sizeof *t->reached);
    t->u = malloc((job->n + 1) * sizeof *t->u);
    t->y = malloc((2 * len + 1) * sizeof *t->y);
    t->at = calloc((size_t)t->last + 1, sizeof *t->at);
    if (!t->reached || !t->u || !t->y || !t->at)
        return ath_fail(job->err, ATH_E_MEM, "out of memory for the way of %zu images", job->n);
    t->d = t->y + len;
    for (size_t i = 0; i < job->n; i++) t->u[i] = INFINITY;
    return ATH_OK;
}

void ath_trace_free(ath_trace *t) {
    for (int l = 0; t->at && l <= t->last; l++) free(t->at[l]);
    free(t->at);
    free(t->reached);
    free(t->u);
    free(t->y);
}

/* The state of image i at level l, to be written; NULL: out of memory. */
static double *place(ath_trace *t, int l, size_t i) {
    const size_t dim = t->job->dim;
    if (!t->at[l]) t->at[l] = malloc((t->job->n * dim + 1) * sizeof **t->at);
    return t->at[l] ? t->at[l] + i * dim : NULL;
}

/* Image i at a moment between where it was, which t has, and `to`, where it has state x and, if known, x0: the cubic at part p of
 * the way from (y, dy/du = d) to (z, e); without e the parabola. */
static void interpolate(const ath_trace *t, size_t i, ath_moment at, ath_moment to, const double *x, const double *x0,
                        double *out) {
    const size_t dim = t->job->dim;
    const double way = to.u - t->u[i], p = (at.u - t->u[i]) / way, q = 1 - p;
    const double *y = t->y + i * dim, *d = t->d + i * dim;
    for (size_t k = 0; k < dim; k++) {
        double e;
        if (x0) ath_flow_slope(to, x + k, x0 + k, &e, 1);
        const double rise = to.scale * x[k] - y[k], left = way * d[k] - rise, right = x0 ? rise - way * e : left;
        out[k] = (y[k] + p * rise + p * q * (q * left + p * right)) / at.scale;
    }
}

ath_status ath_trace_state(ath_trace *t, size_t i, double sigma, const double *x, const double *x0) {
    ath_sample_job *job = t->job;
    if (!job->on_step) return ATH_OK;
    const size_t dim = job->dim;
    const ath_moment to = ath_moment_of(t->time, sigma);
    if (to.u == t->u[i]) return ATH_OK;
    while (t->reached[i] < t->last && job->level[t->reached[i] + 1].sigma >= sigma) {
        const int l = ++t->reached[i];
        const ath_moment at = ath_moment_of(t->time, job->level[l].sigma);
        double *out = place(t, l, i);
        if (!out) return ath_fail(job->err, ATH_E_MEM, "out of memory for the way of %zu images", job->n);
        if (at.u == to.u || isinf(t->u[i]))
            memcpy(out, x, dim * sizeof *x);
        else
            interpolate(t, i, at, to, x, x0, out);
    }
    t->u[i] = to.u;
    for (size_t k = 0; k < dim; k++) t->y[i * dim + k] = to.scale * x[k];
    if (x0) ath_flow_slope(to, x, x0, t->d + i * dim, dim);
    return ATH_OK;
}

ath_status ath_trace_tell(ath_trace *t) {
    const ath_sample_job *job = t->job;
    if (!job->on_step) return ATH_OK;
    int least = t->last;
    for (size_t i = 0; i < job->n; i++) least = t->reached[i] < least ? t->reached[i] : least;
    while (t->told < least) {
        const int l = ++t->told;
        ATH_TRY(ath_step_done_at(t->job, l - 1, t->at[l], NULL));
        free(t->at[l]);
        t->at[l] = NULL;
    }
    return ATH_OK;
}

ath_status ath_trace_finish(ath_trace *t, double *x0, bool known) {
    ath_sample_job *job = t->job;
    const bool to_clean = t->last < job->n_steps;
    const ath_level end = job->level[t->last];
    if (to_clean && !known) ATH_TRY(ath_predict(job, job->x, end, x0));
    for (size_t i = 0; i < job->n; i++) {
        const size_t at = i * job->dim;
        ATH_TRY(ath_trace_state(t, i, end.sigma, job->x + at, to_clean || known ? x0 + at : NULL));
    }
    ATH_TRY(ath_trace_tell(t));
    if (!to_clean) return ATH_OK;
    memcpy(job->x, x0, job->n * job->dim * sizeof *x0);
    return ath_step_done(job, job->n_steps - 1, x0);
}
