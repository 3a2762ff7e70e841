/* Steps down and noise up: see ancestral.h. */
#include "solver/ancestral.h"
#include <math.h>
#include <string.h>

ath_ancestral_split ath_ancestral_between(double sigma, double next, double eta) {
    const double part = next / sigma, up = fmin(next, eta * next * sqrt(fmax(1 - part * part, 0)));
    return (ath_ancestral_split){sqrt(next * next - up * up), up};
}

ath_status ath_ancestral_run(ath_sample_job *job, const ath_ancestral *noise, ath_one_step step) {
    const size_t len = job->n * job->dim;
    double *x = job->x, *x0 = job->work, *work = x0 + len;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level at = job->level[i], next = job->level[i + 1];
        const ath_ancestral_split to = ath_ancestral_between(at.sigma, next.sigma, noise->eta);
        ATH_TRY(ath_predict(job, x, at, x0));
        if (to.down > 0)
            ATH_TRY(step(job, at, to.up > 0 ? ath_level_at(job, to.down) : next, x0, work));
        else
            memcpy(x, x0, len * sizeof *x);
        if (to.up > 0) {
            ATH_TRY(ath_draw_noise(job, at, next, work));
            for (size_t k = 0; k < len; k++) x[k] += to.up * noise->s_noise * work[k];
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}
