/* DPM-Solver++ singlestep, 1S, 2S and 3S: Lu et al. 2022, arXiv:2211.01095, with the levels of the grid as inner points: of `order`
 * steps each starts where the first did and uses the x0 found since, so that the last of them is a step of that order over
 * all. With D_k the x0 at u_k = (lambda_k - lambda_s)/h of that step:
 *     2S  x_t = e^-h x_s + (1 - e^-h) D0 + c (D1 - D0)/u1,  midpoint: c = (1 - e^-h)/2;  heun: c = phi_2 = 1 - (1 - e^-h)/h
 *     3S  midpoint: the straight line through D0 and D2, integrated;  heun: the parabola through all three
 * eta > 0: the same on the reverse SDE, with H = (1 + eta) h for h and noise of deviation sigma_t sqrt(1 - e^{-2 eta h}).
 * One evaluation a step. The last block is smaller, see ath_exponential_singlestep. Onto the clean level: x0. */
#include <string.h>
#include "diffusion/exponential.h"

typedef struct dpmpp_config {
    int order;
    char type[ATH_TEXT_LEN];
    double eta;
    bool lower_order_final;
} dpmpp_config;

static const ath_option options[] = {
    {.name = "order",
     .type = ATH_OPT_INT,
     .offset = offsetof(dpmpp_config, order),
     .dflt = "2",
     .min = 1,
     .max = 3,
     .help = "steps in a block, and its order"},
    {.name = "type",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(dpmpp_config, type),
     .dflt = "midpoint",
     .choices = "midpoint|heun",
     .help = "how the values of a block are used"},
    {.name = "eta",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpmpp_config, eta),
     .dflt = "0",
     .min = 0,
     .max = 1,
     .help = "noise: 0 for the flow, 1 for the reverse SDE"},
    {.name = "lower_order_final",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmpp_config, lower_order_final),
     .dflt = "true",
     .help = "end with smaller blocks also where whole ones would fit"},
};

static ath_status run(ath_sample_job *job) {
    const dpmpp_config *config = job->config;
    const bool midpoint = strcmp(config->type, "midpoint") == 0;
    return ath_exponential_singlestep(job, &(ath_exponential){.order = config->order,
                                                              .eta = config->eta,
                                                              .s_noise = 1,
                                                              .rule = midpoint ? ath_midpoint_moments : NULL,
                                                              .skip_inner = midpoint,
                                                              .lower_order_final = config->lower_order_final});
}

const ath_sampler ath_sampler_dpmpp = {
    .name = "dpmpp",
    .summary = "DPM-Solver++ singlestep of orders 1 to 3",
    .paper = "arXiv:2211.01095",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_EXPONENTIAL_WORK(3),
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 4,
    .config_size = sizeof(dpmpp_config),
    .run = run,
};
