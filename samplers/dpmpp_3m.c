/* DPM-Solver++(3M): the multistep solver of Lu et al. 2022, arXiv:2211.01095, with three values of x0. A parabola goes through
 * them, D0 + D1 u + D2 u^2 in u = (lambda - lambda_s)/h, and with phi_2 = (e^-h - 1)/h + 1 and phi_3 = phi_2/h - 1/2
 *     x_t = e^-h x_s + (1 - e^-h) D0 + phi_2 D1 - phi_3 D2
 * is what the authors' code and those after it compute. The integral of u^2 is twice that, -2 phi_3, as their singlestep solver of
 * third order has it. With the shipped formula, and a first step of first order, the whole is of second order only.
 *     exact: the factor 2, and the first step done again with the trapezoidal rule once x0 at its end is known, which costs
 *     no evaluation: third order. In few steps the shipped form is often the better one.
 * One evaluation a step; steps 1 and 2 have fewer values. Onto the clean level: x0. */
#include "diffusion/exponential.h"

typedef struct dpmpp_3m_config {
    bool exact, lower_order_final, euler_at_final;
} dpmpp_3m_config;

static const ath_option options[] = {
    {.name = "exact",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmpp_3m_config, exact),
     .dflt = "false",
     .help = "third order: the factor 2 that the published form lacks, and a first step that keeps the order"},
    {.name = "lower_order_final",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmpp_3m_config, lower_order_final),
     .dflt = "true",
     .help = "with fewer than 15 steps the last two are of orders 2 and 1"},
    {.name = "euler_at_final",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(dpmpp_3m_config, euler_at_final),
     .dflt = "false",
     .help = "the last step is of first order, however many there are"},
};

static ath_status run(ath_sample_job *job) {
    const dpmpp_3m_config *config = job->config;
    return ath_exponential_multistep(job, &(ath_exponential){.order = 3,
                                                             .rule = config->exact ? NULL : ath_shipped_moments,
                                                             .correct_first = config->exact,
                                                             .lower_order_final = config->lower_order_final,
                                                             .euler_at_final = config->euler_at_final});
}

const ath_sampler ath_sampler_dpmpp_3m = {
    .name = "dpmpp_3m",
    .summary = "DPM-Solver++ from the last three x0; :exact is of third order",
    .paper = "arXiv:2211.01095",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_EXPONENTIAL_WORK(3),
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 3,
    .config_size = sizeof(dpmpp_3m_config),
    .run = run,
};
