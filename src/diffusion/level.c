/* Schedules and the levels that samplers visit: see level.h. */
#include "diffusion/level.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double half_pi = 1.5707963267948966;

static double at_fraction(double a, double b, int i, int n) { return n > 1 ? a + (b - a) * i / (n - 1) : a; }

/* beta_i evenly spaced from beta_start to beta_end. */
static void linear(int timesteps, double beta_start, double beta_end, double *beta) {
    for (int i = 0; i < timesteps; i++) beta[i] = at_fraction(beta_start, beta_end, i, timesteps);
}

/* The square roots are evenly spaced (Rombach et al. 2022). */
static void scaled_linear(int timesteps, double beta_start, double beta_end, double *beta) {
    for (int i = 0; i < timesteps; i++) {
        const double root = at_fraction(sqrt(beta_start), sqrt(beta_end), i, timesteps);
        beta[i] = root * root;
    }
}

/* beta from a closed form of alpha_bar on [0,1], capped. */
static void from_alpha_bar(int timesteps, double (*alpha_bar)(double), double cap, double *beta) {
    for (int i = 0; i < timesteps; i++) {
        const double b = 1 - alpha_bar((i + 1.0) / timesteps) / alpha_bar((double)i / timesteps);
        beta[i] = b < cap ? b : cap;
    }
}

/* alpha_bar(u) = cos^2((u + s)/(1 + s) pi/2), s = 0.008 (eq. 17) */
static double cosine_alpha_bar(double u) {
    const double c = cos((u + 0.008) / 1.008 * half_pi);
    return c * c;
}

static void cosine(int timesteps, double beta_start, double beta_end, double *beta) {
    (void)beta_start, (void)beta_end;
    from_alpha_bar(timesteps, cosine_alpha_bar, 0.999, beta);
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* alpha_bar(u) = (S(3) - S(6u - 3)) / (S(3) - S(-3)), S the logistic function: start -3,
 * end 3, tau 1. */
static double sigmoid_alpha_bar(double u) {
    const double high = logistic(3), low = logistic(-3);
    return (high - logistic(6 * u - 3)) / (high - low);
}

static void sigmoid(int timesteps, double beta_start, double beta_end, double *beta) {
    (void)beta_start, (void)beta_end;
    from_alpha_bar(timesteps, sigmoid_alpha_bar, 0.999, beta);
}

/* The betas themselves follow a sigmoid (GeoDiff; diffusers' "sigmoid"). */
static void sigmoid_beta(int timesteps, double beta_start, double beta_end, double *beta) {
    for (int i = 0; i < timesteps; i++)
        beta[i] = logistic(at_fraction(-6, 6, i, timesteps)) * (beta_end - beta_start) + beta_start;
}

/* In Su's notation alpha_t = sqrt(1 - 0.02 t/T), t = 1..T: beta_t = 0.02 t/T in DDPM's. */
static void su(int timesteps, double beta_start, double beta_end, double *beta) {
    (void)beta_start, (void)beta_end;
    for (int i = 0; i < timesteps; i++) beta[i] = 0.02 * (i + 1) / timesteps;
}

static const ath_schedule_kind kinds[] = {
    {"linear", "beta rises linearly from beta-start to beta-end", "arXiv:2006.11239", "linear", linear},
    {"scaled_linear", "the square root of beta rises linearly", "arXiv:2112.10752", "scaled_linear", scaled_linear},
    {"cosine", "alpha_bar follows a squared cosine; good for small images", "arXiv:2102.09672", "squaredcos_cap_v2",
     cosine},
    {"sigmoid", "alpha_bar follows a sigmoid; for images above 64 pixels", "arXiv:2212.11972", NULL, sigmoid},
    {"sigmoid_beta", "beta follows a sigmoid (what diffusers calls sigmoid)", "arXiv:2203.02923", "sigmoid",
     sigmoid_beta},
    {"su", "beta_t = 0.02 t/T", "kexue.fm/archives/9119", NULL, su},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const ath_schedule_kind *ath_schedule_kinds(int *n) {
    *n = N_KINDS;
    return kinds;
}

const ath_schedule_kind *ath_schedule_kind_find(const char *name) {
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

static ath_status from_betas(ath_schedule *s, const double *beta, int timesteps, ath_err *err) {
    double product = 1;
    for (int i = 0; i < timesteps; i++) {
        if (!(beta[i] > 0 && beta[i] <= 1))
            return ath_fail(err, ATH_E_ARG, "schedule: beta %d of %d is %g, expected 0 < beta <= 1", i, timesteps,
                            beta[i]);
        product *= 1 - beta[i];
        s->beta[i] = beta[i];
        s->alpha_bar[i] = product;
    }
    return ATH_OK;
}

static ath_status check_timesteps(int timesteps, ath_err *err) {
    if (timesteps < 1 || timesteps > 1000000)
        return ath_fail(err, ATH_E_ARG, "schedule: %d timesteps, expected 1 to 1000000", timesteps);
    return ATH_OK;
}

ath_status ath_schedule_from_betas(ath_schedule *s, const double *beta, int timesteps, ath_err *err) {
    *s = (ath_schedule){.timesteps = timesteps};
    ATH_TRY(check_timesteps(timesteps, err));
    s->beta = malloc((size_t)timesteps * sizeof *s->beta);
    s->alpha_bar = malloc((size_t)timesteps * sizeof *s->alpha_bar);
    const ath_status status = s->beta && s->alpha_bar ? from_betas(s, beta, timesteps, err)
                                                      : ath_fail(err, ATH_E_MEM, "schedule: out of memory");
    if (status != ATH_OK) ath_schedule_free(s);
    return status;
}

ath_status ath_schedule_make(ath_schedule *s, const ath_schedule_kind *kind, int timesteps, double beta_start,
                             double beta_end, ath_err *err) {
    *s = (ath_schedule){0};
    ATH_TRY(check_timesteps(timesteps, err));
    double *beta = malloc((size_t)timesteps * sizeof *beta);
    if (!beta) return ath_fail(err, ATH_E_MEM, "schedule: out of memory");
    kind->betas(timesteps, beta_start, beta_end, beta);
    const ath_status status = ath_schedule_from_betas(s, beta, timesteps, err);
    free(beta);
    s->kind = kind;
    s->beta_start = beta_start;
    s->beta_end = beta_end;
    return status;
}

ath_status ath_schedule_rescale_zero_snr(ath_schedule *s, ath_err *err) {
    const int last = s->timesteps - 1;
    const double first = sqrt(s->alpha_bar[0]), least = sqrt(s->alpha_bar[last]);
    if (!(first > least))
        return ath_fail(
            err, ATH_E_ARG,
            "schedule: alpha_bar is %g at the first timestep and %g at the last: expected less at the last, "
            "to be rescaled to zero terminal SNR",
            s->alpha_bar[0], s->alpha_bar[last]);
    for (int i = 0; i < last; i++) {
        const double root = (sqrt(s->alpha_bar[i]) - least) * (first / (first - least));
        s->alpha_bar[i] = root * root;
    }
    s->alpha_bar[last] = 0;
    s->zero_snr = true;
    return ATH_OK;
}

void ath_schedule_free(ath_schedule *s) {
    free(s->beta);
    free(s->alpha_bar);
    s->beta = s->alpha_bar = NULL;
}

ath_level ath_schedule_level(const ath_schedule *s, double t) {
    if (t < 0) return (ath_level){-1, 1, 0};
    if (t > s->timesteps - 1) t = s->timesteps - 1;
    const int low = (int)t;
    double alpha_bar = s->alpha_bar[low];
    const double fraction = t - low;
    if (fraction > 0 && s->alpha_bar[low + 1] == 0)
        alpha_bar *= (1 - fraction) * (1 - fraction);
    else if (fraction > 0) {
        /* sigma/alpha = sqrt((1 - alpha_bar)/alpha_bar), geometrically between neighbours */
        const double next = s->alpha_bar[low + 1];
        const double log_ratio = (1 - fraction) * log((1 - alpha_bar) / alpha_bar) + fraction * log((1 - next) / next);
        alpha_bar = 1 / (1 + exp(log_ratio));
    }
    return (ath_level){t, sqrt(alpha_bar), sqrt(1 - alpha_bar)};
}

static const char *const process_names[] = {"vp", "ve", "flow"};

const char *ath_process_name(ath_process_kind kind) { return process_names[kind]; }

/* The timestep where sigma/alpha = ratio, the inverse of ath_schedule_level. */
static double timestep_of(const ath_schedule *s, double ratio) {
    const double alpha_bar = 1 / (1 + ratio * ratio);
    int low = 0, high = s->timesteps - 1; /* alpha_bar falls from low to high */
    if (alpha_bar >= s->alpha_bar[low]) return low;
    if (alpha_bar <= s->alpha_bar[high]) return high;
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        if (s->alpha_bar[middle] >= alpha_bar)
            low = middle;
        else
            high = middle;
    }
    const double a = s->alpha_bar[low], b = s->alpha_bar[high];
    if (b == 0) return low + 1 - sqrt(alpha_bar / a);
    const double from = log((1 - a) / a), to = log((1 - b) / b);
    return low + (2 * log(ratio) - from) / (to - from);
}

ath_level ath_process_level(const ath_process *p, double ratio) {
    if (ratio <= 0) return (ath_level){-1, 1, 0};
    if (p->kind == ATH_PROCESS_VE) return (ath_level){log(ratio) / 4, 1, ratio};
    const bool pure = isinf(ratio);
    if (p->kind == ATH_PROCESS_FLOW) {
        const double sigma = pure ? 1 : ratio / (1 + ratio);
        return (ath_level){1000 * sigma, pure ? 0 : 1 / (1 + ratio), sigma};
    }
    const double alpha = pure ? 0 : 1 / sqrt(1 + ratio * ratio);
    return (ath_level){p->schedule ? timestep_of(p->schedule, ratio) : 0, alpha, pure ? 1 : ratio * alpha};
}
