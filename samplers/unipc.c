/* UniPC: Zhao et al. 2023, arXiv:2302.04867. Exponential Adams: with lambda = -log sigma, h the step, f = x0 or eps,
 *     predictor, order p: the polynomial through the last p values is integrated (UniP);
 *     corrector: when f is known at the end, the same step again with that value too (UniC). The next step starts from the
 *     corrected state, but keeps the f of the predicted one, so that a step costs one evaluation.
 * The paper's B(h) cancels from all of these but the two with two values, predictor 2 and corrector 1, where it solves with 1/2: moment[1]
 * of exponential.h is then B/2 instead of the exact one, B(h) = h (bh1) or e^h - 1 (bh2, here over h). Order p converges with p + 1.
 * start = lower: the first steps have orders 1, 2, ..., each corrected, as published; that keeps order 3, whatever p. start = single: for
 * p >= 3 the first step is a third-order one of its own, with inner levels at 1/3 and 2/3 and two more evaluations; that keeps 4. (From
 * pure noise x0 hardly changes in the first steps, and the difference is not to be seen.)
 * States that are reported, and the last, are predicted ones. Onto the clean level: x0. (bh1 as diffusers has it gives 0 * inf there.) */
#include <math.h>
#include <string.h>
#include "solver/exponential.h"

typedef struct unipc_config {
    int order;
    char variant[ATH_TEXT_LEN], predict[ATH_TEXT_LEN], lower_order_final[ATH_TEXT_LEN], start[ATH_TEXT_LEN];
    bool corrector;
    ath_ints disable_corrector;
} unipc_config;

static const ath_option options[] = {
    {.name = "order",
     .type = ATH_OPT_INT,
     .offset = offsetof(unipc_config, order),
     .dflt = "2",
     .min = 1,
     .max = 4,
     .help = "of the predictor; the corrector's is one more"},
    {.name = "variant",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(unipc_config, variant),
     .dflt = "bh2",
     .choices = "bh1|bh2",
     .help = "the paper's B(h): h, or e^h - 1"},
    {.name = "predict",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(unipc_config, predict),
     .dflt = "x0",
     .choices = "x0|eps",
     .help = "what is integrated"},
    {.name = "corrector",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(unipc_config, corrector),
     .dflt = "true",
     .help = "false: UniP alone"},
    {.name = "disable_corrector",
     .type = ATH_OPT_INTS,
     .offset = offsetof(unipc_config, disable_corrector),
     .dflt = "none",
     .min = 0,
     .max = 1e6,
     .help = "steps, from 0, that are not corrected: 0/1"},
    {.name = "lower_order_final",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(unipc_config, lower_order_final),
     .dflt = "auto",
     .choices = "auto|true|false",
     .help = "the last steps have orders .., 2, 1; auto: where the end is clean, and with fewer than 15 steps"},
    {.name = "start",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(unipc_config, start),
     .dflt = "lower",
     .choices = "lower|single",
     .help = "lower: the first steps have lower orders; single, from order 3: two more evaluations keep order 4"},
};

/* bh1: B(h)/h = 1; bh2: that is moment[0]. */
static void half_h(double z, int n, double *moment) {
    (void)z;
    if (n == 2) moment[1] = 0.5;
}

static bool corrects(const unipc_config *config, int step) {
    for (int i = 0; i < config->disable_corrector.n; i++)
        if (config->disable_corrector.v[i] == step) return false;
    return config->corrector;
}

static bool starts_alone(const unipc_config *config) {
    return config->order >= 3 && strcmp(config->start, "single") == 0;
}

static int order_of(const ath_sample_job *job, const unipc_config *config, int known, int steps_left) {
    const bool clean = job->level[job->n_steps].sigma == 0, automatic = strcmp(config->lower_order_final, "auto") == 0;
    const bool lower = automatic ? clean || job->n_steps < 15 : strcmp(config->lower_order_final, "true") == 0;
    int order = known < config->order ? known : config->order;
    return lower && order > steps_left ? steps_left : order;
}

/* One step of third order from `from`, whose value is known: Heun's of third order, with exact weights. */
static ath_status single_step(ath_sample_job *job, bool eps, ath_values *past, double *x0, const double *from) {
    const double first = job->level[0].sigma, ratio = job->level[1].sigma / first;
    double sigma = first;
    for (int stage = 1; stage <= 3; stage++) {
        if (stage > 1) {
            double *f = ath_values_push(past, sigma);
            ATH_TRY(ath_exponential_predict(job, job->x, ath_level_at(job, sigma), eps, eps ? x0 : f, f));
        }
        sigma = first * pow(ratio, stage / 3.0);
        const ath_span span = ath_span_between(first, sigma, eps, 0);
        ath_span_advance(&span, past, past->n, NULL, job->n * job->dim, from, job->x);
    }
    ath_values_drop(past, past->n - 1);
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    const unipc_config *config = job->config;
    const bool eps = strcmp(config->predict, "eps") == 0, bh1 = strcmp(config->variant, "bh1") == 0;
    ath_moment_rule *rule = bh1 ? half_h : ath_midpoint_moments;
    const size_t len = job->n * job->dim;
    ath_values past;
    double *spare = ath_values_open(&past, config->order + 1, job->work, len), *from = spare + len, *x = job->x;
    ath_span span = {0};
    int order = 0; /* of the step before, 0: not to be corrected */
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        double *f = ath_values_push(&past, s.sigma), *x0 = eps ? spare : f;
        ATH_TRY(ath_exponential_predict(job, x, s, eps, x0, f));
        if (order > 0 && past.n > order) ath_span_advance(&span, &past, order + 1, rule, len, from, x);
        memcpy(from, x, len * sizeof *x);
        if (t.sigma == 0)
            memcpy(x, x0, len * sizeof *x);
        else if (i == 0 && starts_alone(config))
            ATH_TRY(single_step(job, eps, &past, x0, from));
        else {
            span = ath_span_between(s.sigma, t.sigma, eps, 0);
            order = order_of(job, config, past.n, job->n_steps - i);
            ath_span_advance(&span, &past, order, rule, len, from, x);
            if (!corrects(config, i)) order = 0;
        }
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

static int nfe(const void *config, int n_steps, bool to_clean) {
    return n_steps + (starts_alone(config) && n_steps > to_clean ? 2 : 0);
}

const ath_sampler ath_sampler_unipc = {
    .name = "unipc",
    .summary = "predictor and corrector of orders 1 to 4, good from 5 to 20 steps",
    .paper = "arXiv:2302.04867",
    .order = 3,
    .nfe_per_step = 1,
    .n_work = ATH_MAX_VALUES + 2,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 7,
    .config_size = sizeof(unipc_config),
    .nfe = nfe,
    .run = run,
};
