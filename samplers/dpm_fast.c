/* DPM-Solver-fast: Lu et al. 2022, arXiv:2206.00927, section 3.4 ("DPM-Solver with a fixed number of evaluations"), as
 * k-diffusion's sample_dpm_fast. Here n_steps is a number of evaluations n: m = n/3 + 1 steps, even in lambda = -log sigma
 * from the first level to the last that is not clean, are of orders 3, 3, ..., 3, 2, 1 (n a multiple of 3), or end with the order
 * n mod 3. Where the grid ends clean one of the n_steps evaluations is for that, x0. The levels between are not visited but
 * reported, by interpolation. One step of first order at the end makes the
 * whole second order, one of second (n mod 3 = 2) third. With eta ancestral noise after each step but the last, as k-diffusion
 * adds it. */
#include <math.h>
#include "solver/dpm_step.h"
#include "solver/own_steps.h"

typedef struct dpm_fast_config {
    ath_ancestral noise;
} dpm_fast_config;

static const ath_option options[] = {ATH_ANCESTRAL_OPTIONS(dpm_fast_config, "0", 1)};

static int order_of(int step, int steps, int evaluations) {
    if (evaluations % 3 != 0) return step < steps - 1 ? 3 : evaluations % 3;
    return step < steps - 2 ? 3 : steps - step; /* 2, then 1 */
}

static ath_status solve(ath_sample_job *job, ath_dpm_step *s, ath_trace *trace, double *next) {
    const ath_ancestral *noise = &((const dpm_fast_config *)job->config)->noise;
    const int evaluations = ath_last_noisy_level(job), steps = evaluations / 3 + 1;
    const size_t n = job->n, dim = job->dim, len = n * dim;
    for (int step = 0; evaluations > 0 && step < steps; step++) {
        const double way = s->end - s->start, from = s->start + way * step / steps;
        const double to = step + 1 < steps ? s->start + way * (step + 1) / steps : s->end;
        double up;
        const double down = ath_dpm_down(from, to, s->end, noise->eta, &up);
        for (size_t i = 0; i < n; i++) s->from[i] = from, s->to[i] = down;
        ATH_TRY(ath_dpm_step_take(job, s, order_of(step, steps, evaluations), job->x, next, NULL));
        for (size_t i = 0; i < n; i++)
            ATH_TRY(ath_trace_state(trace, i, exp(-from), job->x + i * dim, s->x0 + i * dim));
        ATH_TRY(ath_trace_tell(trace));
        for (size_t k = 0; k < len; k++) job->x[k] = next[k];
        if (noise->eta > 0) {
            const ath_level high = ath_level_at(job, exp(-from)), low = ath_level_at(job, exp(-to));
            ATH_TRY(ath_draw_noise(job, high, low, next));
            for (size_t k = 0; k < len; k++) job->x[k] += up * noise->s_noise * next[k];
        }
    }
    return ath_trace_finish(trace, s->x0, false);
}

static ath_status run(ath_sample_job *job) {
    const size_t len = job->n * job->dim;
    ath_dpm_step s = {0};
    ath_trace trace = {0};
    ath_status status = ath_dpm_step_begin(&s, job, job->work);
    if (status == ATH_OK) status = ath_trace_begin(&trace, job);
    if (status == ATH_OK) status = solve(job, &s, &trace, job->work + ATH_DPM_STATES * len);
    ath_trace_free(&trace);
    ath_dpm_step_free(&s);
    return status;
}

const ath_sampler ath_sampler_dpm_fast = {
    .name = "dpm_fast",
    .summary = "DPM-Solver with as many evaluations as steps are asked for",
    .paper = "arXiv:2206.00927",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_DPM_STATES + 1,
    .needs_signal = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(dpm_fast_config),
    .run = run,
};
