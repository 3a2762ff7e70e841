/* DPM-Solver++(2M): Lu et al. 2022, arXiv:2211.01095, algorithm 2, the multistep solver of second order in x0. With lambda = -log
 * sigma, h the step in it, r = h_before/h and D0, D1 the last two x0 (x/alpha throughout):
 *     x_t = e^-h x_s + (1 - e^-h) D0 + c (D0 - D1)/r
 *     midpoint: c = (1 - e^-h)/2        heun: c = 1 - (1 - e^-h)/h, the integral of the straight line itself
 * One evaluation a step; the first step is of first order, which leaves the whole of second. Onto the clean level: x0. */
#include <string.h>
#include "solver/exponential.h"

typedef struct dpmpp_2m_config {
    char type[ATH_TEXT_LEN];
    bool lower_order_final, euler_at_final;
} dpmpp_2m_config;

static const ath_option options[] = {
    {.name = "type",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(dpmpp_2m_config, type),
     .dflt = "midpoint",
     .choices = "midpoint|heun",
     .help = "how the slope of x0 counts"},
    {.name = "lower_order_final",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmpp_2m_config, lower_order_final),
     .dflt = "true",
     .help = "with fewer than 15 steps the last is of first order"},
    {.name = "euler_at_final",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmpp_2m_config, euler_at_final),
     .dflt = "false",
     .help = "the last step is of first order, however many there are"},
};

static ath_status run(ath_sample_job *job) {
    const dpmpp_2m_config *config = job->config;
    const bool midpoint = strcmp(config->type, "midpoint") == 0;
    return ath_exponential_multistep(job, &(ath_exponential){.order = 2,
                                                             .rule = midpoint ? ath_midpoint_moments : NULL,
                                                             .lower_order_final = config->lower_order_final,
                                                             .euler_at_final = config->euler_at_final});
}

const ath_sampler ath_sampler_dpmpp_2m = {
    .name = "dpmpp_2m",
    .summary = "DPM-Solver++ of second order from the last two x0, good from 10 to 30 steps",
    .paper = "arXiv:2211.01095",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_EXPONENTIAL_WORK(2),
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 3,
    .config_size = sizeof(dpmpp_2m_config),
    .run = run,
};
