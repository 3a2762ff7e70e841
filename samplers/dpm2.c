/* DPM-Solver-2 as k-diffusion has it (sample_dpm_2; diffusers' KDPM2; diff-sampler's dpm2), on dx/dsigma = (x - x0)/sigma: the
 * second slope is taken where DPM-Solver-2 takes it, at a geometric mean of the two noise levels (Lu et al. 2022,
 * arXiv:2206.00927), and the steps are straight in sigma (Karras et al. 2022, arXiv:2206.00364):
 *     mid = sigma^(1-r) sigma'^r,   x' = x + (sigma' - sigma) ((1 - 1/(2r)) d(x, sigma) + 1/(2r) d(x_mid, mid))
 * with EDM's churn. For any r of second order as the steps get small; two evaluations a step; onto the clean level one, which
 * gives x0. */
#include <math.h>
#include "solver/one_step.h"

typedef struct dpm2_config {
    double r;
    ath_churn churn;
} dpm2_config;

static const ath_option options[] = {
    {.name = "r",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm2_config, r),
     .dflt = "0.5",
     .min = 0.05,
     .max = 1,
     .help = "how far down in log sigma the second evaluation is"},
    ATH_CHURN_OPTIONS(dpm2_config),
};

static ath_status step(ath_sample_job *job, ath_level at, ath_level to, const double *x0, double *work) {
    const dpm2_config *config = job->config;
    const size_t len = job->n * job->dim;
    double *x = job->x, *d = work, *x_mid = d + len, *d_mid = x_mid + len;
    const double mid = pow(at.sigma, 1 - config->r) * pow(to.sigma, config->r);
    for (size_t k = 0; k < len; k++) {
        d[k] = (x[k] - x0[k]) / at.sigma;
        x_mid[k] = x[k] + (mid - at.sigma) * d[k];
    }
    ATH_TRY(ath_slope(job, x_mid, ath_level_at(job, mid), d_mid));
    const double h = to.sigma - at.sigma, second = 1 / (2 * config->r);
    for (size_t k = 0; k < len; k++) x[k] += h * ((1 - second) * d[k] + second * d_mid[k]);
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    return ath_one_step_run(job, &((const dpm2_config *)job->config)->churn, step);
}

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    return 2 * n_steps - to_clean;
}

const ath_sampler ath_sampler_dpm2 = {
    .name = "dpm2",
    .summary = "DPM-Solver-2's midpoint on EDM's flow; with s_churn stochastic",
    .paper = "arXiv:2206.00927",
    .order = 2,
    .nfe_per_step = 2,
    .n_work = 4,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(dpm2_config),
    .nfe = nfe,
    .run = run,
};
