/* The way of one-step solvers down the levels: see one_step.h. */
#include "solver/one_step.h"
#include <math.h>
#include <string.h>

ath_status ath_churn_up(ath_sample_job *job, const ath_churn *c, ath_level *at, double *z) {
    if (c->s_churn == 0) return ATH_OK;
    ATH_TRY(ath_draw_fresh_noise(job, *at, z));
    const double ratio = at->sigma / at->alpha; /* infinite at pure noise, to which none can be added */
    if (!(ratio >= c->s_tmin && ratio <= c->s_tmax)) return ATH_OK;
    const double gamma = fmin(c->s_churn / job->n_steps, sqrt(2) - 1), noisier = ratio * (1 + gamma);
    const bool flow = at->alpha < 1; /* a flow's own view has alpha = 1 - sigma, the view SIGMA alpha = 1 */
    const ath_level hat = ath_level_at(job, flow ? noisier / (1 + noisier) : noisier);
    const double keep = hat.alpha / at->alpha, kept = keep * at->sigma;
    const double added = sqrt(fmax(hat.sigma * hat.sigma - kept * kept, 0)) * c->s_noise;
    for (size_t k = 0; k < job->n * job->dim; k++) job->x[k] = keep * job->x[k] + added * z[k];
    *at = hat;
    return ATH_OK;
}

ath_status ath_one_step_run(ath_sample_job *job, const ath_churn *churn, ath_one_step step) {
    const size_t len = job->n * job->dim;
    double *x0 = job->work, *work = x0 + len;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level to = job->level[i + 1];
        ath_level at = job->level[i];
        if (churn) ATH_TRY(ath_churn_up(job, churn, &at, work));
        ATH_TRY(ath_predict(job, job->x, at, x0));
        if (to.sigma > 0)
            ATH_TRY(step(job, at, to, x0, work));
        else
            memcpy(job->x, x0, len * sizeof *x0);
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}
