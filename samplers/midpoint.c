/* The midpoint method (Runge 1895) on the probability flow dy/du = d(y, u), by default in a flow's time, u = sigma/(sigma + alpha)
 * (solver/flow_time.h):
 *     y' = y + h d(y + h/2 d(y, u), u + h/2)
 * Second order, two evaluations a step; onto the clean level one, which gives x0. */
#include "solver/flow_time.h"
#include "solver/one_step.h"

typedef struct midpoint_config {
    char time[ATH_TEXT_LEN];
} midpoint_config;

static const ath_option options[] = {ATH_FLOW_TIME_OPTION(midpoint_config, "flow")};

static ath_status step(ath_sample_job *job, ath_level at, ath_level to, const double *x0, double *work) {
    const ath_flow_time time = ath_flow_time_of(job, ((const midpoint_config *)job->config)->time);
    const size_t len = job->n * job->dim;
    double *x = job->x, *d = work, *x_mid = d + len;
    const ath_moment s = ath_moment_of(time, at.sigma), t = ath_moment_of(time, to.sigma);
    const double h = t.u - s.u;
    const ath_moment mid = ath_moment_of(time, ath_flow_time_sigma(time, s.u + h / 2));
    ath_flow_slope(s, x, x0, d, len);
    for (size_t k = 0; k < len; k++) x_mid[k] = (s.scale * x[k] + h / 2 * d[k]) / mid.scale;
    ATH_TRY(ath_predict(job, x_mid, ath_level_at(job, mid.sigma), d));
    ath_flow_slope(mid, x_mid, d, d, len);
    for (size_t k = 0; k < len; k++) x[k] = (s.scale * x[k] + h * d[k]) / t.scale;
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) { return ath_one_step_run(job, NULL, step); }

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    return 2 * n_steps - to_clean;
}

const ath_sampler ath_sampler_midpoint = {
    .name = "midpoint",
    .summary = "the midpoint method, second order",
    .paper = "arXiv:2206.00364",
    .order = 2,
    .nfe_per_step = 2,
    .n_work = 3,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 1,
    .config_size = sizeof(midpoint_config),
    .nfe = nfe,
    .run = run,
};
