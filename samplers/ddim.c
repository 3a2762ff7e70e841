/* DDIM: Song et al. 2021, arXiv:2010.02502, eq. 12 and 16, for any alpha and sigma:
 *     x_t = alpha_t x0 + sqrt(sigma_t^2 - tau^2) eps + tau z,   eps = (x_s - alpha_s x0) / sigma_s,
 *     tau = eta (sigma_t / sigma_s) sqrt(sigma_s^2 - (alpha_s / alpha_t)^2 sigma_t^2).
 * eta = 0 is Euler's method on the probability-flow ODE in sigma/alpha, first order;
 * eta = 1 is DDPM with its small variance. */
#include "diffusion/sampler.h"
#include <math.h>

typedef struct ddim_config {
    double eta;
} ddim_config;

static const ath_option options[] = {
    {.name = "eta",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(ddim_config, eta),
     .dflt = "0",
     .min = 0,
     .max = 1,
     .help = "noise put back at each step, 0 (none) to 1 (as DDPM)"},
};

static ath_status run(ath_sample_job *job) {
    const ddim_config *config = job->config;
    const size_t len = job->n * job->dim;
    double *x = job->x, *x0 = job->work, *z = x0 + len;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        ATH_TRY(ath_predict(job, x, s, x0));
        const double kept = s.alpha / t.alpha * t.sigma, added = s.sigma * s.sigma - kept * kept;
        const double tau = config->eta > 0 ? config->eta * t.sigma / s.sigma * sqrt(fmax(added, 0)) : 0;
        const double k_eps = sqrt(fmax(t.sigma * t.sigma - tau * tau, 0));
        for (size_t k = 0; k < len; k++) {
            const double eps = (x[k] - s.alpha * x0[k]) / s.sigma;
            x[k] = t.alpha * x0[k] + k_eps * eps;
        }
        if (tau > 0) {
            ATH_TRY(ath_draw_noise(job, s, t, z));
            for (size_t k = 0; k < len; k++) x[k] += tau * z[k];
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

const ath_sampler ath_sampler_ddim = {
    .name = "ddim",
    .summary = "deterministic at eta 0, good from 10 to 50 steps",
    .paper = "arXiv:2010.02502",
    .order = 1,
    .nfe_per_step = 1,
    .n_work = 2,
    .options = options,
    .n_options = 1,
    .config_size = sizeof(ddim_config),
    .run = run,
};
