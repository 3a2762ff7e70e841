/* dpm2 with ancestral noise (k-diffusion's sample_dpm_2_ancestral, diffusers' KDPM2AncestralDiscreteScheduler): with d = (x - x0)/sigma
 *     mid = sqrt(sigma down),   x_down = x + (down - sigma) d(x + (mid - sigma) d, mid),   x' = x_down + up s_noise z
 * (solver/ancestral.h says what down and up are). At eta = 0 second order. Two evaluations a step; onto the clean level one,
 * which gives x0. */
#include <math.h>
#include "solver/ancestral.h"

typedef struct dpm2_ancestral_config {
    ath_ancestral noise;
} dpm2_ancestral_config;

static const ath_option options[] = {ATH_ANCESTRAL_OPTIONS(dpm2_ancestral_config, "1", 1)};

static ath_status step(ath_sample_job *job, ath_level at, ath_level to, const double *x0, double *work) {
    const size_t len = job->n * job->dim;
    const double mid = sqrt(at.sigma * to.sigma), part = mid / at.sigma;
    double *x = job->x, *d = work, *x_mid = d + len;
    for (size_t k = 0; k < len; k++) x_mid[k] = x0[k] + part * (x[k] - x0[k]);
    ATH_TRY(ath_slope(job, x_mid, ath_level_at(job, mid), d));
    for (size_t k = 0; k < len; k++) x[k] += (to.sigma - at.sigma) * d[k];
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    return ath_ancestral_run(job, &((const dpm2_ancestral_config *)job->config)->noise, step);
}

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    return 2 * n_steps - to_clean;
}

const ath_sampler ath_sampler_dpm2_ancestral = {
    .name = "dpm2_ancestral",
    .summary = "dpm2 with noise at each step",
    .paper = "arXiv:2206.00927",
    .nfe_per_step = 2,
    .n_work = 3,
    .stochastic = true,
    .needs_signal = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(dpm2_ancestral_config),
    .nfe = nfe,
    .run = run,
};
