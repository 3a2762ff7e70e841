/* DPM-Solver++(2S) with ancestral noise (k-diffusion's sample_dpmpp_2s_ancestral; Lu et al. 2022, arXiv:2211.01095,
 * algorithm 1 with r = 1/2), a midpoint rule in lambda = -log sigma for x0 as the flow's data:
 *     mid = sqrt(sigma down),   x_mid = x0 + mid/sigma (x - x0),   x_down = x0_mid + down/sigma (x - x0_mid)
 *     x' = x_down + up s_noise z
 * (solver/ancestral.h says what down and up are). At eta = 0 second order. Two evaluations a step; onto the clean level
 * one, which gives x0. */
#include <math.h>
#include "solver/ancestral.h"

typedef struct dpmpp_2s_ancestral_config {
    ath_ancestral noise;
} dpmpp_2s_ancestral_config;

static const ath_option options[] = {ATH_ANCESTRAL_OPTIONS(dpmpp_2s_ancestral_config, "1", 1)};

static ath_status step(ath_sample_job *job, ath_level at, ath_level to, const double *x0, double *work) {
    const size_t len = job->n * job->dim;
    const double mid = sqrt(at.sigma * to.sigma), part = mid / at.sigma, left = to.sigma / at.sigma;
    double *x = job->x, *x_mid = work, *x0_mid = x_mid + len;
    for (size_t k = 0; k < len; k++) x_mid[k] = x0[k] + part * (x[k] - x0[k]);
    ATH_TRY(ath_predict(job, x_mid, ath_level_at(job, mid), x0_mid));
    for (size_t k = 0; k < len; k++) x[k] = x0_mid[k] + left * (x[k] - x0_mid[k]);
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    return ath_ancestral_run(job, &((const dpmpp_2s_ancestral_config *)job->config)->noise, step);
}

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    return 2 * n_steps - to_clean;
}

const ath_sampler ath_sampler_dpmpp_2s_ancestral = {
    .name = "dpmpp_2s_ancestral",
    .summary = "DPM-Solver++(2S) with noise at each step",
    .paper = "arXiv:2211.01095",
    .nfe_per_step = 2,
    .n_work = 3,
    .stochastic = true,
    .needs_signal = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(dpmpp_2s_ancestral_config),
    .nfe = nfe,
    .run = run,
};
