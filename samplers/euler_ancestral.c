/* Euler's method with ancestral noise (k-diffusion's sample_euler_ancestral, diffusers' EulerAncestralDiscreteScheduler): with
 * sigma noise over signal, x down to down, then noise up to the next level (solver/ancestral.h), for any alpha and sigma:
 *     x_t = alpha_t (x0 + down eps + up s_noise z),   eps = (x_s - alpha_s x0) / sigma_s
 * eta = 1 is DDPM with its small variance; it is DDIM for any eta up to 1. Beyond, down to 0 and up to next: all the noise is made
 * anew, x_t = alpha_t x0 + sigma_t z (diffusers' stochastic_sampling of a flow). One evaluation a step; onto the clean
 * level x0. */
#include <math.h>
#include "solver/ancestral.h"

typedef struct euler_ancestral_config {
    ath_ancestral noise;
} euler_ancestral_config;

static const ath_option options[] = {ATH_ANCESTRAL_OPTIONS(euler_ancestral_config, "1", 1e6)};

static double ratio_of(ath_level at) { return at.alpha > 0 ? at.sigma / at.alpha : INFINITY; }

static ath_status run(ath_sample_job *job) {
    const ath_ancestral *noise = &((const euler_ancestral_config *)job->config)->noise;
    const size_t len = job->n * job->dim;
    double *x = job->x, *x0 = job->work, *z = x0 + len;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        const ath_ancestral_split to = ath_ancestral_between(ratio_of(s), ratio_of(t), noise->eta);
        ATH_TRY(ath_predict(job, x, s, x0));
        for (size_t k = 0; k < len; k++) x[k] = t.alpha * (x0[k] + to.down * (x[k] - s.alpha * x0[k]) / s.sigma);
        if (to.up > 0) {
            ATH_TRY(ath_draw_noise(job, s, t, z));
            for (size_t k = 0; k < len; k++) x[k] += t.alpha * to.up * noise->s_noise * z[k];
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

const ath_sampler ath_sampler_euler_ancestral = {
    .name = "euler_ancestral",
    .summary = "Euler's method with noise at each step (\"Euler a\"), DDPM's equal",
    .paper = "arXiv:2006.11239",
    .nfe_per_step = 1,
    .n_work = 2,
    .stochastic = true,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(euler_ancestral_config),
    .run = run,
};
