/* DPM-Solver's steps: see dpm_step.h. */
#include "solver/dpm_step.h"
#include <math.h>
#include <stdlib.h>
#include "solver/own_steps.h"

ath_status ath_dpm_step_begin(ath_dpm_step *s, const ath_sample_job *job, double *work) {
    const size_t n = job->n, len = n * job->dim;
    *s = (ath_dpm_step){.x0 = work, .eps = work + len, .d = work + 2 * len, .mid = work + 3 * len};
    s->start = -log(job->level[0].sigma);
    s->end = -log(job->level[ath_last_noisy_level(job)].sigma);
    s->from = malloc((2 * n + 1) * sizeof *s->from);
    s->at = malloc((n + 1) * sizeof *s->at);
    if (!s->from || !s->at) return ath_fail(job->err, ATH_E_MEM, "out of memory for %zu images", n);
    s->to = s->from + n;
    for (size_t i = 0; i < n; i++) s->from[i] = s->to[i] = s->start;
    return ATH_OK;
}

void ath_dpm_step_free(ath_dpm_step *s) {
    free(s->from);
    free(s->at);
}

/* eps of x where part r of the way is done, by way of x0; `less`, where not NULL, is taken off. */
static ath_status evaluate(ath_sample_job *job, ath_dpm_step *s, double r, const double *x, double *x0, double *eps,
                           const double *less) {
    for (size_t i = 0; i < job->n; i++) {
        const double lambda = s->from[i] + r * (s->to[i] - s->from[i]);
        s->at[i] = lambda == s->start ? job->level[0] : ath_level_at(job, exp(-lambda));
    }
    ATH_TRY(ath_predict_each(job, x, s->at, x0));
    for (size_t i = 0; i < job->n; i++)
        for (size_t k = i * job->dim; k < (i + 1) * job->dim; k++)
            eps[k] = (x[k] - x0[k]) / s->at[i].sigma - (less ? less[k] : 0);
    return ATH_OK;
}

/* out = x over part r of each way: with `bend` 0 the step of first order, and bend (e^rh - 1) d beside it; with `curve` the third
 * order's curve ((e^rh - 1)/(rh) - 1) d. */
static void move(const ath_sample_job *job, const ath_dpm_step *s, double r, double bend, double curve, const double *x,
                 double *out) {
    for (size_t i = 0; i < job->n; i++) {
        const double h = r * (s->to[i] - s->from[i]), sigma = exp(-s->from[i] - h), grow = expm1(h);
        const double k_d = bend * grow + (h > 0 ? curve * (grow / h - 1) : 0);
        for (size_t k = i * job->dim; k < (i + 1) * job->dim; k++)
            out[k] = x[k] - sigma * (grow * s->eps[k] + (k_d != 0 ? k_d * s->d[k] : 0));
    }
}

ath_status ath_dpm_step_take(ath_sample_job *job, ath_dpm_step *s, int order, const double *x, double *high,
                             double *low) {
    const double r1 = order == 3 ? 1. / 3 : 1. / 2, r2 = 2. / 3;
    ATH_TRY(evaluate(job, s, 0, x, s->x0, s->eps, NULL));
    double *first = order == 1 ? high : order == 2 ? low : NULL, *second = order == 2 ? high : low;
    if (first) move(job, s, 1, 0, 0, x, first);
    if (order == 1) return ATH_OK;
    move(job, s, r1, 0, 0, x, s->mid);
    ATH_TRY(evaluate(job, s, r1, s->mid, s->d, s->d, s->eps));
    if (second) move(job, s, 1, 1 / (2 * r1), 0, x, second);
    if (order == 2) return ATH_OK;
    move(job, s, r2, 0, r2 / r1, x, s->mid);
    ATH_TRY(evaluate(job, s, r2, s->mid, s->d, s->d, s->eps));
    move(job, s, 1, 0, 1 / r2, x, high);
    return ATH_OK;
}

double ath_dpm_down(double from, double to, double end, double eta, double *up) {
    *up = 0;
    if (eta == 0) return to;
    const double next = exp(-to), down = fmin(end, -log(ath_ancestral_between(exp(-from), next, eta).down));
    *up = sqrt(fmax(next * next - exp(-2 * down), 0));
    return down;
}
