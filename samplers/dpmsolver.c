/* DPM-Solver: Lu et al. 2022, arXiv:2206.00927, the exponential integrator in eps (dpmpp and dpmpp_2m are those in x0),
 * multistep or singlestep. With lambda = -log sigma, h the step in it and eps0, eps1, ... the known values (x/alpha throughout):
 *     1  x_t = x_s - sigma_t (e^h - 1) eps0, which is DDIM
 *     2  ... - sigma_t c (slope of eps in u),  midpoint: c = (e^h - 1)/2;  heun: c = (e^h - 1)/h - 1, the line's own integral
 *     3  ... - sigma_t ((e^h - 1)/h - 1) E1 - sigma_t ((e^h - 1 - h)/h^2 - 1/2) E2 for the parabola eps0 + E1 u + E2 u^2, as the
 *        multistep form is shipped; it lacks the factor 2 of the last term like dpmpp_3m. Singlestep has it (heun), or goes without
 *        the first inner value (midpoint)
 * Singlestep: blocks as in dpmpp. eta > 0: the reverse SDE (sde-dpmsolver), both terms times 1 + eta and noise of deviation
 * sigma_t sqrt(eta (e^{2h} - 1)). One evaluation a step. Onto the clean level, where eps says nothing any more: x0. */
#include <string.h>
#include "diffusion/exponential.h"

typedef struct dpmsolver_config {
    int order;
    char method[ATH_TEXT_LEN], type[ATH_TEXT_LEN];
    double eta;
    bool lower_order_final, euler_at_final;
} dpmsolver_config;

static const ath_option options[] = {
    {.name = "order",
     .type = ATH_OPT_INT,
     .offset = offsetof(dpmsolver_config, order),
     .dflt = "2",
     .min = 1,
     .max = 3,
     .help = "values of eps that a step uses at most"},
    {.name = "method",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(dpmsolver_config, method),
     .dflt = "multistep",
     .choices = "multistep|singlestep",
     .help = "values of the steps before, or of a block of steps"},
    {.name = "type",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(dpmsolver_config, type),
     .dflt = "midpoint",
     .choices = "midpoint|heun",
     .help = "how the slope of eps counts"},
    {.name = "eta",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpmsolver_config, eta),
     .dflt = "0",
     .min = 0,
     .max = 1,
     .help = "noise: 0 for the flow, 1 for the reverse SDE"},
    {.name = "lower_order_final",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmsolver_config, lower_order_final),
     .dflt = "true",
     .help = "multistep: with fewer than 15 steps the last have orders 2 and 1; singlestep: see dpmpp"},
    {.name = "euler_at_final",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmsolver_config, euler_at_final),
     .dflt = "false",
     .help = "multistep: the last step is of first order"},
};

static ath_status run(ath_sample_job *job) {
    const dpmsolver_config *config = job->config;
    const bool midpoint = strcmp(config->type, "midpoint") == 0;
    ath_exponential e = {.order = config->order,
                         .eps = true,
                         .eta = config->eta,
                         .s_noise = 1,
                         .skip_inner = midpoint,
                         .lower_order_final = config->lower_order_final,
                         .euler_at_final = config->euler_at_final};
    if (strcmp(config->method, "singlestep") == 0) {
        e.rule = midpoint ? ath_midpoint_moments : NULL;
        return ath_exponential_singlestep(job, &e);
    }
    e.rule = midpoint ? ath_shipped_moments : ath_half_square_moments;
    return ath_exponential_multistep(job, &e);
}

const ath_sampler ath_sampler_dpmsolver = {
    .name = "dpmsolver",
    .summary = "DPM-Solver, in eps: multistep or singlestep, orders 1 to 3",
    .paper = "arXiv:2206.00927",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_EXPONENTIAL_WORK(3),
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 6,
    .config_size = sizeof(dpmsolver_config),
    .run = run,
};
