/* DDPM's ancestral sampler: Ho et al. 2020, arXiv:2006.11239, algorithm 2, in the form of
 * eq. 7 (from x0), over any subsequence of levels with beta taken between neighbours
 * (Nichol & Dhariwal 2021, arXiv:2102.09672), for any alpha and sigma:
 *     a = (alpha_s / alpha_t)^2,  beta = sigma_s^2 - a sigma_t^2,      s noisier, t next (VP: beta = 1 - a)
 *     mean = alpha_t beta / sigma_s^2 x0 + sqrt(a) sigma_t^2 / sigma_s^2 x
 *     variance = beta sigma_t^2 / sigma_s^2 (fixed_small)  or  beta (fixed_large)
 *                or fixed_small + (alpha_t beta / sigma_s^2)^2 V_s (analytic),
 * V_s = E tr Cov[x0 | x] / dim at level s: the best variance that is one number a level (Analytic-DPM: Bao et al. 2022,
 * arXiv:2201.06503, theorem 1, where V_s = (sigma_s/alpha_s)^2 (1 - E|eps|^2/dim)). For Gaussian data of one variance the
 * steps are then exact. One number serves all pixels, though what is uncertain near the end is edges, and the background
 * would be grainy: the noise onto the last level before the clean one is limited (their appendix on variance clipping,
 * E|noise| <= 2/255 y in [-1,1], y = 1 or 2). No noise is added onto the clean level: diffusers does with fixed_large where its last timestep
 * is not 0, and the image is grainy by sigma of that timestep. */
#include "diffusion/sampler.h"
#include <math.h>
#include <string.h>

typedef struct ddpm_config {
    char variance[ATH_TEXT_LEN];
    double grain;
} ddpm_config;

static const ath_option options[] = {
    {.name = "variance",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(ddpm_config, variance),
     .dflt = "fixed_small",
     .choices = "fixed_small|fixed_large|analytic",
     .help = "fixed_small: the posterior's; fixed_large: beta; analytic: measured on a pilot run, best for few steps"},
    {.name = "grain",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(ddpm_config, grain),
     .dflt = "2",
     .min = 0,
     .max = 255,
     .help = "analytic: the last noise's mean size in grey levels of 255, at most; 0: any"},
};

static bool needs_x0_variance(const void *config) {
    return strcmp(((const ddpm_config *)config)->variance, "analytic") == 0;
}

/* The level's own sigma is no grain: the network takes it away. E|N(0, s^2)| = s sqrt(2/pi); a grey level is 2/255. */
static double limit_grain(double variance, double sigma, double grain) {
    const double most = fmax(grain * 2 / 255 * sqrt(acos(-1) / 2), sigma);
    return grain > 0 ? fmin(variance, most * most) : variance;
}

static ath_status run(ath_sample_job *job) {
    const ddpm_config *config = job->config;
    const bool large = strcmp(config->variance, "fixed_large") == 0, analytic = needs_x0_variance(config);
    const size_t len = job->n * job->dim;
    double *x = job->x, *x0 = job->work, *z = x0 + len;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        ATH_TRY(ath_predict(job, x, s, x0));
        const double ratio = s.alpha / t.alpha, kept = ratio * t.sigma, beta = s.sigma * s.sigma - kept * kept;
        const double noise_left = t.sigma * t.sigma / (s.sigma * s.sigma);
        const double k_x0 = t.alpha * beta / (s.sigma * s.sigma), k_x = ratio * noise_left;
        double variance = large ? beta : beta * noise_left;
        if (analytic) {
            const bool last = i == job->n_steps - 2 && job->level[i + 2].sigma == 0;
            variance += k_x0 * k_x0 * ath_x0_variance(job, i, x0);
            if (last) variance = limit_grain(variance, t.sigma, config->grain);
        }
        for (size_t k = 0; k < len; k++) x[k] = k_x0 * x0[k] + k_x * x[k];
        if (t.sigma > 0) {
            const double deviation = sqrt(variance);
            ATH_TRY(ath_draw_noise(job, s, t, z));
            for (size_t k = 0; k < len; k++) x[k] += deviation * z[k];
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

const ath_sampler ath_sampler_ddpm = {
    .name = "ddpm",
    .summary = "ancestral sampling of the trained reverse process",
    .paper = "arXiv:2006.11239",
    .nfe_per_step = 1,
    .n_work = 2,
    .stochastic = true,
    .options = options,
    .n_options = 2,
    .config_size = sizeof(ddpm_config),
    .needs_x0_variance = needs_x0_variance,
    .run = run,
};
