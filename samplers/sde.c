/* Euler-Maruyama on the reverse SDE: Song et al. 2021, arXiv:2011.13456, eq. 6, of the process dX = sqrt(2 sigma) dW, sigma
 * as time. The family with the same marginals (their appendix D.1; Karras et al. 2022, arXiv:2206.00364, eq. 6) is
 *     dX = (1 + eta^2) (X - x0)/sigma dsigma + eta sqrt(2 sigma) dW      as sigma falls:
 * eta = 0 is the probability-flow ODE, and then this is Euler and DDIM; eta = 1 the reverse SDE. The drift is taken at
 * the step's beginning, the noise has its exact variance eta^2 (sigma_s^2 - sigma_t^2). One evaluation a step, weak order 1:
 * the plain method, for comparison and for many steps (100 and more); ddim with eta solves the linear part exactly.
 * The step onto the clean level is x0. */
#include "diffusion/sampler.h"
#include <math.h>

typedef struct sde_config {
    double eta;
} sde_config;

static const ath_option options[] = {
    {.name = "eta",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(sde_config, eta),
     .dflt = "1",
     .min = 0,
     .max = 2,
     .help = "noise: 0 the ODE, 1 the reverse SDE, more stirs more"},
};

static ath_status run(ath_sample_job *job) {
    const sde_config *config = job->config;
    const size_t len = job->n * job->dim;
    double *x = job->x, *x0 = job->work, *z = x0 + len;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        ATH_TRY(ath_predict(job, x, s, x0));
        const double way = (1 + config->eta * config->eta) * (1 - t.sigma / s.sigma); /* from X to x0 */
        const double kept = t.sigma > 0 ? 1 - way : 0;
        for (size_t k = 0; k < len; k++) x[k] = x0[k] + kept * (x[k] - x0[k]);
        if (config->eta > 0 && t.sigma > 0) {
            const double deviation = config->eta * sqrt(s.sigma * s.sigma - t.sigma * t.sigma);
            ATH_TRY(ath_draw_noise(job, s, t, z));
            for (size_t k = 0; k < len; k++) x[k] += deviation * z[k];
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

const ath_sampler ath_sampler_sde = {
    .name = "sde",
    .summary = "Euler-Maruyama on the reverse SDE, for many steps",
    .paper = "arXiv:2011.13456",
    .nfe_per_step = 1,
    .n_work = 2,
    .stochastic = true,
    .needs_signal = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 1,
    .config_size = sizeof(sde_config),
    .run = run,
};
