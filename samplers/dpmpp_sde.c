/* DPM-Solver++ (stochastic) of k-diffusion: the singlestep solver 2S of Lu et al. 2022, arXiv:2211.01095, with ancestral steps,
 * noise added at the inner level m, lambda_m = lambda_s + r h, and at the end. With sigma_up and sigma_down of ancestral.h and q = sigma_down(s, .)/sigma_s:
 *     x_m = q x_s + (1 - q) D(x_s) + s_noise sigma_up(s, m) z(s, m)
 *     x_t = q x_s + (1 - q) ((1 - 1/(2r)) D(x_s) + 1/(2r) D(x_m)) + s_noise sigma_up(s, t) z(s, t)
 * noise = brownian: z(s, m) and z(s, t) are of one path, so that they share what happens before m; independent: they share nothing.
 * eta = 0: second order. Two evaluations a step; onto the clean level one: x0. */
#include <math.h>
#include <string.h>
#include "solver/ancestral.h"

typedef struct dpmpp_sde_config {
    double r, eta, s_noise;
    char noise[ATH_TEXT_LEN];
} dpmpp_sde_config;

static const ath_option options[] = {
    {.name = "r",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpmpp_sde_config, r),
     .dflt = "0.5",
     .min = 0.01,
     .max = 1,
     .help = "where the inner level lies in the step, in log sigma"},
    {.name = "eta",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpmpp_sde_config, eta),
     .dflt = "1",
     .min = 0,
     .max = 10,
     .help = "noise: 0 for the flow, 1 for the reverse SDE"},
    {.name = "s_noise",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpmpp_sde_config, s_noise),
     .dflt = "1",
     .min = 0,
     .max = 10,
     .help = "the noise is multiplied by this"},
    {.name = "noise",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(dpmpp_sde_config, noise),
     .dflt = "brownian",
     .choices = "brownian|independent",
     .help = "whether the two draws of a step are of one path"},
};

/* out = q x + (1 - q) D + deviation z */
static void ancestral_step(size_t len, double from, double to, double eta, double s_noise, const double *x,
                           const double *D, const double *z, double *out) {
    const ath_ancestral_split step = ath_ancestral_between(from, to, eta);
    const double q = step.down / from, deviation = s_noise * step.up;
    for (size_t k = 0; k < len; k++) out[k] = q * x[k] + (1 - q) * D[k] + (step.up > 0 ? deviation * z[k] : 0);
}

static ath_status run(ath_sample_job *job) {
    const dpmpp_sde_config *config = job->config;
    const bool brownian = strcmp(config->noise, "brownian") == 0;
    const size_t len = job->n * job->dim;
    const double inner = 1 / (2 * config->r);
    double *x = job->x, *x0 = job->work, *mid = x0 + len, *mid_x0 = mid + len, *z = mid_x0 + len, *z2 = z + len;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        ATH_TRY(ath_predict(job, x, s, x0));
        if (t.sigma == 0) {
            memcpy(x, x0, len * sizeof *x);
            ATH_TRY(ath_step_done(job, i, x0));
            continue;
        }
        const ath_level m = ath_level_at(job, s.sigma * pow(t.sigma / s.sigma, config->r));
        if (config->eta > 0) ATH_TRY(ath_draw_noise(job, s, m, z));
        ancestral_step(len, s.sigma, m.sigma, config->eta, config->s_noise, x, x0, z, mid);
        ATH_TRY(ath_predict(job, mid, m, mid_x0));
        if (config->eta > 0) ATH_TRY(ath_draw_noise(job, m, t, z2));
        const double way = s.sigma - t.sigma, first = brownian && way > 0 ? (s.sigma - m.sigma) / way : 0;
        for (size_t k = 0; k < len; k++) {
            mid_x0[k] = (1 - inner) * x0[k] + inner * mid_x0[k];
            if (config->eta > 0) z[k] = sqrt(first) * z[k] + sqrt(1 - first) * z2[k];
        }
        ancestral_step(len, s.sigma, t.sigma, config->eta, config->s_noise, x, mid_x0, z, x);
        ATH_TRY(ath_step_done(job, i, mid_x0));
    }
    return ATH_OK;
}

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    return 2 * n_steps - to_clean;
}

const ath_sampler ath_sampler_dpmpp_sde = {
    .name = "dpmpp_sde",
    .summary = "DPM-Solver++ 2S with noise at both of its evaluations",
    .paper = "arXiv:2211.01095",
    .nfe_per_step = 2,
    .n_work = 5,
    .stochastic = true,
    .needs_signal = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 4,
    .config_size = sizeof(dpmpp_sde_config),
    .nfe = nfe,
    .run = run,
};
