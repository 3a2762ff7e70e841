/* The classical Runge-Kutta method (Kutta 1901) on the probability flow dy/du = d(y, u), by default in a flow's time, u =
 * sigma/(sigma + alpha) (solver/flow_time.h):
 *     k1 = d(y, u), k2 = d(y + h/2 k1, u + h/2), k3 = d(y + h/2 k2, u + h/2), k4 = d(y + h k3, u + h)
 *     y' = y + h/6 (k1 + 2 k2 + 2 k3 + k4)
 * Fourth order, four evaluations a step; onto the clean level one, which gives x0. */
#include "solver/flow_time.h"
#include "solver/one_step.h"

typedef struct rk4_config {
    char time[ATH_TEXT_LEN];
} rk4_config;

static const ath_option options[] = {ATH_FLOW_TIME_OPTION(rk4_config, "flow")};

static ath_status step(ath_sample_job *job, ath_level at, ath_level to, const double *x0, double *work) {
    const ath_flow_time time = ath_flow_time_of(job, ((const rk4_config *)job->config)->time);
    const size_t len = job->n * job->dim;
    double *x = job->x, *k = work, *sum = k + len, *ahead = sum + len;
    const ath_moment s = ath_moment_of(time, at.sigma), t = ath_moment_of(time, to.sigma);
    const double h = t.u - s.u;
    const ath_moment mid = ath_moment_of(time, ath_flow_time_sigma(time, s.u + h / 2));
    const ath_moment where[] = {mid, mid, t};
    const ath_level level[] = {ath_level_at(job, mid.sigma), ath_level_at(job, mid.sigma), to};
    static const double reach[] = {0.5, 0.5, 1}, weight[] = {1. / 3, 1. / 3, 1. / 6};
    ath_flow_slope(s, x, x0, k, len);
    for (size_t j = 0; j < len; j++) sum[j] = k[j] / 6;
    for (int i = 0; i < 3; i++) {
        for (size_t j = 0; j < len; j++) ahead[j] = (s.scale * x[j] + reach[i] * h * k[j]) / where[i].scale;
        ATH_TRY(ath_predict(job, ahead, level[i], k));
        ath_flow_slope(where[i], ahead, k, k, len);
        for (size_t j = 0; j < len; j++) sum[j] += weight[i] * k[j];
    }
    for (size_t j = 0; j < len; j++) x[j] = (s.scale * x[j] + h * sum[j]) / t.scale;
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) { return ath_one_step_run(job, NULL, step); }

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    return 4 * n_steps - 3 * to_clean;
}

const ath_sampler ath_sampler_rk4 = {
    .name = "rk4",
    .summary = "the classical Runge-Kutta method, fourth order",
    .paper = "arXiv:2206.00364",
    .order = 4,
    .nfe_per_step = 4,
    .n_work = 4,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 1,
    .config_size = sizeof(rk4_config),
    .nfe = nfe,
    .run = run,
};
