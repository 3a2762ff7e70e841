/* DPM-Solver++(2M) SDE: the multistep solver of Lu et al. 2022, arXiv:2211.01095, for the reverse SDE, with the eta of
 * k-diffusion. With H = (1 + eta) h, r = h_before/h and D0, D1 the last two x0 (x/alpha throughout):
 *     x_t = e^-H x_s + (1 - e^-H) D0 + c (D0 - D1)/r + s_noise sigma_t sqrt(1 - e^{-2 eta h}) z
 *     midpoint: c = (1 - e^-H)/2        heun: c = 1 - (1 - e^-H)/H
 * eta = 0 is dpmpp_2m. One evaluation a step. Onto the clean level: x0, without noise. */
#include <string.h>
#include "diffusion/exponential.h"

typedef struct dpmpp_2m_sde_config {
    char type[ATH_TEXT_LEN];
    double eta, s_noise;
} dpmpp_2m_sde_config;

static const ath_option options[] = {
    {.name = "type",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(dpmpp_2m_sde_config, type),
     .dflt = "midpoint",
     .choices = "midpoint|heun",
     .help = "how the slope of x0 counts"},
    {.name = "eta",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpmpp_2m_sde_config, eta),
     .dflt = "1",
     .min = 0,
     .max = 10,
     .help = "noise: 0 for the flow, 1 for the reverse SDE"},
    {.name = "s_noise",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpmpp_2m_sde_config, s_noise),
     .dflt = "1",
     .min = 0,
     .max = 10,
     .help = "the noise is multiplied by this"},
};

static ath_status run(ath_sample_job *job) {
    const dpmpp_2m_sde_config *config = job->config;
    const bool midpoint = strcmp(config->type, "midpoint") == 0;
    return ath_exponential_multistep(job, &(ath_exponential){.order = 2,
                                                             .eta = config->eta,
                                                             .s_noise = config->s_noise,
                                                             .rule = midpoint ? ath_midpoint_moments : NULL});
}

const ath_sampler ath_sampler_dpmpp_2m_sde = {
    .name = "dpmpp_2m_sde",
    .summary = "DPM-Solver++ on the reverse SDE from the last two x0",
    .paper = "arXiv:2211.01095",
    .nfe_per_step = 1,
    .n_work = ATH_EXPONENTIAL_WORK(2),
    .stochastic = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 3,
    .config_size = sizeof(dpmpp_2m_sde_config),
    .run = run,
};
