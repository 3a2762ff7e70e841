/* Euler's method on the probability flow dx/dsigma = (x - x0)/sigma, with EDM's churn (Karras et al. 2022,
 * arXiv:2206.00364, algorithm 2 without its second-order correction; k-diffusion's sample_euler). On a flow process
 * it is rectified flow's Euler, x += (t' - t) v (Liu et al. 2022, arXiv:2209.03003). First order, one evaluation a step.
 * Without churn, in time sigma, it is DDIM with eta = 0. Onto the clean level it gives x0.
 *
 * evaluate=before is what diffusers' EulerDiscreteScheduler does with a network that predicts epsilon: the slope is that of
 * the state before the churn noise. */
#include <string.h>
#include "solver/flow_time.h"
#include "solver/one_step.h"

typedef struct euler_config {
    ath_churn churn;
    char evaluate[ATH_TEXT_LEN], time[ATH_TEXT_LEN];
} euler_config;

static const ath_option options[] = {
    ATH_CHURN_OPTIONS(euler_config),
    {.name = "evaluate",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(euler_config, evaluate),
     .dflt = "after",
     .choices = "after|before",
     .help = "the network after the churn noise is added, or before it as diffusers does"},
    ATH_FLOW_TIME_OPTION(euler_config, "sigma"),
};

static bool evaluates_before(const euler_config *config) { return strcmp(config->evaluate, "before") == 0; }

static ath_status step(ath_sample_job *job, ath_level at, ath_level to, const double *x0, double *work) {
    const euler_config *config = job->config;
    const ath_flow_time time = ath_flow_time_of(job, config->time);
    const size_t len = job->n * job->dim;
    double *x = job->x, *d = work, *z = d + len;
    ath_flow_slope(ath_moment_of(time, at.sigma), x, x0, d, len);
    if (evaluates_before(config)) ATH_TRY(ath_churn_up(job, &config->churn, &at, z));
    const ath_moment s = ath_moment_of(time, at.sigma), t = ath_moment_of(time, to.sigma);
    for (size_t k = 0; k < len; k++) x[k] = (s.scale * x[k] + (t.u - s.u) * d[k]) / t.scale;
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    const euler_config *config = job->config;
    return ath_one_step_run(job, evaluates_before(config) ? NULL : &config->churn, step);
}

const ath_sampler ath_sampler_euler = {
    .name = "euler",
    .summary = "Euler's method, which is DDIM; with s_churn stochastic",
    .paper = "arXiv:2206.00364",
    .order = 1,
    .nfe_per_step = 1,
    .n_work = 3,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(euler_config),
    .run = run,
};
