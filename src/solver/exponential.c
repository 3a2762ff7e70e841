/* Exponential integrators: see exponential.h. */
#include "solver/exponential.h"
#include <math.h>
#include <string.h>

/* ---- arithmetic ---- */

/* By parts, M_k = (k M_{k-1} - 1)/z. Upwards that cancels where z is small; there the last moment comes from its series,
 * M_{n-1} = sum_j z^j (n-1)!/(n+j)!, and the others from it, M_{k-1} = (1 + z M_k)/k. */
void ath_exponential_moments(double z, int n, double *moment) {
    if (fabs(z) < 2) {
        enum { TERMS = 30 }; /* 2^30/30! < 1e-23 */
        double term = 1.0 / n, sum = 0;
        for (int j = 1; j <= TERMS; j++) {
            sum += term;
            term *= z / (n + j);
        }
        moment[n - 1] = sum;
        for (int k = n - 1; k > 0; k--) moment[k - 1] = (1 + z * moment[k]) / k;
    } else {
        moment[0] = expm1(z) / z;
        for (int k = 1; k < n; k++) moment[k] = (k * moment[k - 1] - 1) / z;
    }
}

/* The Vandermonde system by Newton's polynomials: Bjorck & Pereyra 1970, "Solution of Vandermonde systems of equations". */
void ath_moment_weights(int n, const double *place, const double *moment, double *weight) {
    memcpy(weight, moment, (size_t)n * sizeof *weight);
    for (int k = 0; k < n - 1; k++)
        for (int i = n - 1; i > k; i--) weight[i] -= place[k] * weight[i - 1];
    for (int k = n - 2; k >= 0; k--) {
        for (int i = k + 1; i < n; i++) weight[i] /= place[i] - place[i - k - 1];
        for (int i = k; i < n - 1; i++) weight[i] -= weight[i + 1];
    }
}

void ath_midpoint_moments(double z, int n, double *moment) {
    (void)z;
    if (n == 2) moment[1] = moment[0] / 2;
}

void ath_half_square_moments(double z, int n, double *moment) {
    (void)z;
    if (n == 3) moment[2] /= 2;
}

void ath_shipped_moments(double z, int n, double *moment) {
    ath_midpoint_moments(z, n, moment);
    ath_half_square_moments(z, n, moment);
}

/* ---- values of f ---- */

double *ath_values_open(ath_values *v, int room, double *memory, size_t len) {
    *v = (ath_values){.room = room};
    for (int i = 0; i < room; i++, memory += len) v->f[i] = memory;
    return memory;
}

double *ath_values_push(ath_values *v, double sigma) {
    const double lambda = -log(sigma);
    if (v->n == 0 || fabs(v->lambda[0] - lambda) > 1e-9) {
        double *oldest = v->f[v->room - 1];
        for (int i = v->room - 1; i > 0; i--) v->f[i] = v->f[i - 1], v->lambda[i] = v->lambda[i - 1];
        v->f[0] = oldest;
        if (v->n < v->room) v->n++;
    }
    v->lambda[0] = lambda;
    return v->f[0];
}

void ath_values_drop(ath_values *v, int count) {
    for (; count > 0; count--, v->n--) {
        double *newest = v->f[0];
        for (int i = 1; i < v->room; i++) v->f[i - 1] = v->f[i], v->lambda[i - 1] = v->lambda[i];
        v->f[v->room - 1] = newest;
    }
}

ath_status ath_exponential_predict(ath_sample_job *job, const double *x, ath_level at, bool eps, double *x0,
                                   double *f) {
    ATH_TRY(ath_predict(job, x, at, x0));
    if (eps)
        for (size_t k = 0; k < job->n * job->dim; k++) f[k] = (x[k] - x0[k]) / at.sigma;
    return ATH_OK;
}

/* ---- a step ---- */

ath_span ath_span_between(double from, double to, bool eps, double eta) {
    const double h = log(from / to), H = (1 + eta) * h;
    ath_span s = {.lambda = -log(from), .h = h};
    if (eps) {
        s.keep = 1;
        s.gain = -to * H;
        s.z = h;
        s.noise = eta > 0 ? to * sqrt(eta * expm1(2 * h)) : 0;
    } else {
        s.keep = eta > 0 ? exp(-H) : to / from;
        s.gain = H;
        s.z = -H;
        s.noise = eta > 0 ? to * sqrt(-expm1(-2 * eta * h)) : 0;
    }
    return s;
}

void ath_span_advance(const ath_span *span, const ath_values *v, int n, ath_moment_rule *rule, size_t len,
                      const double *x, double *out) {
    double place[ATH_MAX_VALUES], moment[ATH_MAX_VALUES], weight[ATH_MAX_VALUES] = {0};
    if (span->h == 0) n = 0; /* no way, no change, and no place to speak of */
    if (n > 0) {
        for (int j = 0; j < n; j++) place[j] = (v->lambda[j] - span->lambda) / span->h;
        ath_exponential_moments(span->z, n, moment);
        if (rule) rule(span->z, n, moment);
        ath_moment_weights(n, place, moment, weight);
    }
    for (size_t k = 0; k < len; k++) {
        double sum = 0;
        for (int j = 0; j < n; j++) sum += weight[j] * v->f[j][k];
        out[k] = span->keep * x[k] + span->gain * sum;
    }
}

/* ---- whole samplers ---- */

/* Memory of a run, as ATH_EXPONENTIAL_WORK counts it. */
typedef struct workspace {
    ath_values past;
    double *x0, *z, *start;
} workspace;

static workspace open_workspace(const ath_sample_job *job, const ath_exponential *e) {
    const size_t len = job->n * job->dim;
    workspace w;
    w.x0 = ath_values_open(&w.past, e->order, job->work, len);
    w.z = w.x0 + len;
    w.start = w.z + len;
    return w;
}

/* The value at s, where x is; returns its x0. */
static ath_status evaluate(ath_sample_job *job, const ath_exponential *e, workspace *w, ath_level s, double **x0) {
    double *f = ath_values_push(&w->past, s.sigma);
    *x0 = e->eps ? w->x0 : f;
    return ath_exponential_predict(job, job->x, s, e->eps, *x0, f);
}

/* x from `start` at s to t with the values v, and noise. */
static ath_status step(ath_sample_job *job, const ath_exponential *e, const ath_values *v, int n, ath_moment_rule *rule,
                       const double *start, ath_level s, ath_level t, double *z) {
    const size_t len = job->n * job->dim;
    const ath_span span = ath_span_between(s.sigma, t.sigma, e->eps, e->eta);
    ath_span_advance(&span, v, n, rule, len, start, job->x);
    if (!(span.noise > 0)) return ATH_OK;
    ATH_TRY(ath_draw_noise(job, s, t, z));
    const double deviation = e->s_noise * span.noise;
    for (size_t k = 0; k < len; k++) job->x[k] += deviation * z[k];
    return ATH_OK;
}

static int multistep_order(const ath_exponential *e, int known, int steps_left, int n_steps) {
    const bool lower = e->lower_order_final && n_steps < 15;
    int order = known < e->order ? known : e->order;
    if (lower && order > steps_left) order = steps_left;
    return e->euler_at_final && steps_left == 1 ? 1 : order;
}

ath_status ath_exponential_multistep(ath_sample_job *job, const ath_exponential *e) {
    const size_t len = job->n * job->dim;
    workspace w = open_workspace(job, e);
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        double *x0;
        ATH_TRY(evaluate(job, e, &w, s, &x0));
        if (e->correct_first && i == 0) memcpy(w.start, job->x, len * sizeof *job->x);
        if (e->correct_first && i == 1) {
            const ath_span first = ath_span_between(job->level[0].sigma, s.sigma, e->eps, e->eta);
            ath_span_advance(&first, &w.past, w.past.n, NULL, len, w.start, job->x);
        }
        if (t.sigma == 0)
            memcpy(job->x, x0, len * sizeof *x0);
        else {
            const int order = multistep_order(e, w.past.n, job->n_steps - i, job->n_steps);
            ATH_TRY(step(job, e, &w.past, order, e->rule, job->x, s, t, w.z));
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

/* The place of step i in its block, 0 ..: full blocks, then what is left. */
static int place_in_block(const ath_sample_job *job, const ath_exponential *e, int i) {
    const int n = job->n_steps, over = n % e->order;
    const bool clean = job->level[n].sigma == 0;
    if (over == 0 && !clean && !e->lower_order_final) return i % e->order;
    const int left = over ? over : e->order, place = i < n - left ? i % e->order : i - (n - left);
    return i == n - 1 && (clean || left == e->order) ? 0 : place;
}

/* Of a whole block's values those that are used. */
static ath_values chosen(const ath_values *v, bool skip_inner) {
    ath_values c = *v;
    if (v->n == 3 && skip_inner) c.n = 2, c.f[1] = v->f[2], c.lambda[1] = v->lambda[2];
    return c;
}

ath_status ath_exponential_singlestep(ath_sample_job *job, const ath_exponential *e) {
    const size_t len = job->n * job->dim;
    workspace w = open_workspace(job, e);
    ath_level begin = job->level[0];
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        if (place_in_block(job, e, i) == 0) {
            begin = s;
            memcpy(w.start, job->x, len * sizeof *job->x);
            ath_values_drop(&w.past, w.past.n);
        }
        double *x0;
        ATH_TRY(evaluate(job, e, &w, s, &x0));
        if (t.sigma == 0)
            memcpy(job->x, x0, len * sizeof *x0);
        else {
            const ath_values used = chosen(&w.past, e->skip_inner);
            ATH_TRY(step(job, e, &used, used.n, used.n < w.past.n ? NULL : e->rule, w.start, begin, t, w.z));
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}
