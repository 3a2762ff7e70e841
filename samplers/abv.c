/* Variable-step Adams-Bashforth in sigma, orders 1 to 4, with a start that keeps the order (Hairer, Norsett & Wanner,
 * Solving Ordinary Differential Equations I, 2nd ed., Springer 1993, sec. III.1 and III.5):
 *     x_{i+1} = x_i + sum_j w_j d_j,   w_j = integral over sigma, from sigma_i to sigma_{i+1}, of l_j,
 * l_j the Lagrange basis on the last sigmas. One evaluation a step, and one more for order 4. Order p needs local errors
 * of h^p in the first steps, where there are fewer slopes than p:
 *     p = 3    step 0: Euler's, then the slope there, and with it the trapezoid rule from the start again. That slope is
 *              off by h^2, and by h^3 in what follows: it serves as step 1's own.
 *     p = 4    step 0: Kutta's rule of order 3, whose last slope serves as step 1's own.
 *              step 1: to where two slopes reach, and again with the slope there as a third.
 * The step onto the clean level returns x0. */
#include <string.h>
#include "solver/multistep.h"

typedef struct abv_config {
    int order;
} abv_config;

static const ath_option options[] = {
    {.name = "order",
     .type = ATH_OPT_INT,
     .offset = offsetof(abv_config, order),
     .dflt = "4",
     .min = 1,
     .max = 4,
     .help = "of convergence: slopes a step combines"},
};

/* One a level, and the middle of step 0; where a corrected step is the last, the slope at its end serves no other. */
static int nfe(const void *config, int n_steps, bool to_clean) {
    const int order = ((const abv_config *)config)->order, noisy = n_steps - to_clean;
    return n_steps + (order == 4 && noisy > 0) + (!to_clean && n_steps <= order - 2);
}

/* x from `start` at `from` to `to`, all that is known of the slope taken. */
static void step_from(const ath_slopes *s, const double *start, int order, double from, double to, double *x) {
    memcpy(x, start, s->len * sizeof *x);
    ath_slopes_add(s, ATH_CLOCK_SIGMA, order, from, to, x);
}

/* Kutta's rule: the slope in the middle, then at the end by -k1 + 2 k2, then Simpson's weights, which are the integrals
 * of the three slopes' Lagrange basis. The middle is no level: its slope goes again. */
static ath_status kutta_step(ath_sample_job *job, ath_slopes *s, ath_level from, ath_level to, double *start) {
    double *x = job->x, *x0 = job->work;
    const double h = to.sigma - from.sigma;
    const ath_level middle = ath_level_at(job, from.sigma + h / 2);
    ath_slopes_add(s, ATH_CLOCK_SIGMA, 1, from.sigma, middle.sigma, x);
    ATH_TRY(ath_slopes_evaluate(s, job, middle, false, x0));
    for (size_t k = 0; k < s->len; k++) x[k] = start[k] + h * (2 * s->d[0][k] - s->d[1][k]);
    ATH_TRY(ath_slopes_evaluate(s, job, to, false, x0));
    step_from(s, start, 3, from.sigma, to.sigma, x);
    ath_slopes_drop(s, 1);
    return ATH_OK;
}

/* Steps as far as the known slopes reach, and again with the slope found there. */
static ath_status corrected_step(ath_sample_job *job, ath_slopes *s, ath_level from, ath_level to, double *start) {
    ath_slopes_add(s, ATH_CLOCK_SIGMA, ATH_SLOPES, from.sigma, to.sigma, job->x);
    ATH_TRY(ath_slopes_evaluate(s, job, to, false, job->work));
    step_from(s, start, ATH_SLOPES, from.sigma, to.sigma, job->x);
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    const abv_config *c = job->config;
    const size_t len = job->n * job->dim;
    double *x = job->x, *x0 = job->work, *start = job->work + ATH_MULTISTEP_WORK * len;
    ath_slopes s = ath_slopes_over(job->work + len, len);
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level from = job->level[i], to = job->level[i + 1];
        if (s.kept == 0 || s.at[0] != from.sigma) ATH_TRY(ath_slopes_evaluate(&s, job, from, false, x0));
        memcpy(start, x, len * sizeof *x);
        if (to.sigma == 0)
            memcpy(x, x0, len * sizeof *x);
        else if (c->order == 4 && s.kept == 1 && to.sigma < from.sigma)
            ATH_TRY(kutta_step(job, &s, from, to, start));
        else if (s.kept < c->order - 1)
            ATH_TRY(corrected_step(job, &s, from, to, start));
        else
            ath_slopes_add(&s, ATH_CLOCK_SIGMA, c->order, from.sigma, to.sigma, x);
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

const ath_sampler ath_sampler_abv = {
    .name = "abv",
    .summary = "Adams-Bashforth for steps of any lengths, of full order from the start",
    .paper = "ISBN 978-3-540-56670-0",
    .order = 4,
    .nfe_per_step = 1,
    .n_work = ATH_MULTISTEP_WORK + 1,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 1,
    .config_size = sizeof(abv_config),
    .nfe = nfe,
    .run = run,
};
