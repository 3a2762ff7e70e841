/* Grids of levels: see grid.h. */
#include "diffusion/grid.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *name, *summary;
} spacings[ATH_SPACINGS] = {
    {"leading", "timesteps 0, T/n, 2T/n, ...: keeps away from pure noise"},
    {"linspace", "timesteps evenly from T-1 to 0"},
    {"trailing", "timesteps T-1, T-1-T/n, ...: starts at the noise itself"},
    {"quadratic", "the root of the timestep is even: more levels near the image"},
    {"karras", "sigma^(1/rho) is even, rho = 7"},
    {"edm", "karras from 80 to 0.002 whatever the model"},
    {"exponential", "log sigma is even"},
    {"lambda", "half the log-SNR is even: exponential by its other name"},
    {"polyexponential", "log sigma follows a power, rho"},
    {"time", "t^(1/rho) is even, t the time of the continuous vp process: what DEIS calls uniform"},
    {"beta", "sigma at the quantiles of a beta distribution: more levels at both ends"},
    {"flow", "sigma/(alpha + sigma) is even, shifted towards noise by `shift`"},
};

ath_status ath_spacing_parse(const char *name, ath_spacing *out, ath_err *err) {
    for (int i = 0; i < ATH_SPACINGS; i++)
        if (strcmp(name, spacings[i].name) == 0) {
            *out = (ath_spacing)i;
            return ATH_OK;
        }
    return ath_fail(err, ATH_E_ARG, "spacing \"%s\" is not known, see `athanor list spacings`", name);
}

const char *ath_spacing_name(ath_spacing s) { return spacings[s].name; }
const char *ath_spacing_summary(ath_spacing s) { return spacings[s].summary; }

#define FIELD(key) .name = #key, .offset = offsetof(ath_grid_options, key)
static const ath_option table[] = {
    {FIELD(rho), .type = ATH_OPT_FLOAT, .dflt = "0", .min = 0, .max = 1000,
     .help = "of karras (7), polyexponential and time (1)"},
    {FIELD(sigma_min), .type = ATH_OPT_FLOAT, .dflt = "0", .min = 0, .max = 1e6,
     .help = "least sigma/alpha; 0: the model's"},
    {FIELD(sigma_max), .type = ATH_OPT_FLOAT, .dflt = "0", .min = 0, .max = 1e6, .help = "greatest; 0: the model's"},
    {FIELD(shift), .type = ATH_OPT_FLOAT, .dflt = "0", .min = 0, .max = 1000, .help = "of flow; 0: the model's"},
    {FIELD(final), .type = ATH_OPT_TEXT, .dflt = "zero", .choices = "zero|sigma_min",
     .help = "where the last step ends"},
};

const ath_option *ath_grid_table(int *n) {
    *n = sizeof table / sizeof *table;
    return table;
}

static double ratio_of(ath_level at) { return at.alpha > 0 ? at.sigma / at.alpha : (double)INFINITY; }

/* ---- by timestep ---- */

/* rint rounds halves to even, as numpy does. */
static double timestep(ath_spacing how, int T, int n, int i) {
    const double left = n - 1 - i, whole = n > 1 ? n - 1 : 1;
    if (how == ATH_LEADING) return left * (T / n);
    if (how == ATH_LINSPACE) return rint(left * (T - 1) / whole);
    if (how == ATH_QUADRATIC) return n > 1 ? (T - 1) * (left / whole) * (left / whole) : T - 1;
    return rint(T - i * ((double)T / n)) - 1;
}

static ath_level level_at_timestep(const ath_process *p, int T, double t) {
    if (p->kind == ATH_PROCESS_VP) return ath_schedule_level(p->schedule, t);
    const double sigma = (t + 1) / T; /* the last timestep of a flow is the noise itself */
    return ath_process_level(p, sigma / (1 - sigma));
}

static ath_status by_timestep(const ath_process *p, ath_spacing how, bool to_the_least, int n_steps, ath_level *level,
                              ath_err *err) {
    if (p->kind == ATH_PROCESS_VE || (p->kind == ATH_PROCESS_VP && !p->schedule))
        return ath_fail(err, ATH_E_ARG, "spacing %s counts timesteps, which this model has not: use karras",
                        ath_spacing_name(how));
    const int T = p->schedule ? p->schedule->timesteps : 1000;
    const int points = n_steps + (to_the_least && how != ATH_TRAILING);
    if (n_steps < 1 || points > T)
        return ath_fail(err, ATH_E_ARG, "%d steps: expected 1 to the schedule's %d timesteps", n_steps, T);
    for (int i = 0; i < points; i++) level[i] = level_at_timestep(p, T, timestep(how, T, points, i));
    if (points == n_steps) level[n_steps] = to_the_least ? level_at_timestep(p, T, 0) : ath_process_level(p, 0);
    return ATH_OK;
}

/* ---- by sigma/alpha ---- */

static const double least_time = 1e-3; /* of the continuous vp process; its greatest is 1 */

/* beta_d and beta_min of grid.h. The curve starts at 0 and must rise all the way from least_time to 1. */
static bool fit_time(double least, double most, double *beta_d, double *beta_min) {
    const double low = log1p(least * least), high = log1p(most * most);
    *beta_d = 2 * (high - low / least_time) / (1 - least_time);
    *beta_min = high - *beta_d / 2;
    return *beta_d + *beta_min > 0;
}

static double ratio_at_time(double r, double least, double most, double rho) {
    double beta_d, beta_min;
    fit_time(least, most, &beta_d, &beta_min);
    const double end = pow(least_time, 1 / rho), t = pow(end + r * (1 - end), rho);
    return sqrt(expm1(t * (beta_d / 2 * t + beta_min)));
}

/* The integral of (u (1 - u))^(a - 1) from 0 to x, x <= 1/2: x^a sum_k (1-a)(2-a)..(k-a)/k! x^k/(a + k). */
static double beta_integral(double a, double x) {
    double term = 1, sum = 1 / a;
    for (int k = 1; term > 1e-17; k++) {
        term *= (k - a) / k * x;
        sum += term / (a + k);
    }
    return pow(x, a) * sum;
}

/* The x below which a beta distribution with both parameters 0.6 has the part r, by halving. */
static double beta_quantile(double r) {
    const double a = 0.6, wanted = fmin(r, 1 - r) * 2 * beta_integral(a, 0.5);
    double low = 0, high = 0.5;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        *(beta_integral(a, middle) < wanted ? &low : &high) = middle;
    }
    return r < 0.5 ? low : 1 - low;
}

/* `r` falls from 1 at the noisiest level to 0 at the least noisy. */
static double ratio_at(ath_spacing how, double r, double least, double most, double rho) {
    if (how == ATH_KARRAS || how == ATH_EDM) {
        const double low = pow(least, 1 / rho), high = pow(most, 1 / rho);
        return pow(high + (1 - r) * (low - high), rho);
    }
    if (how == ATH_TIME) return ratio_at_time(r, least, most, rho);
    if (how == ATH_BETA) return least + beta_quantile(r) * (most - least);
    return exp(pow(r, rho) * (log(most) - log(least)) + log(least));
}

static void range_of(const ath_process *p, ath_spacing how, double *least, double *most) {
    const bool own = p->kind == ATH_PROCESS_VE && how != ATH_EDM;
    *least = own && p->sigma_min > 0 ? p->sigma_min : 0.002;
    *most = own && p->sigma_max > 0 ? p->sigma_max : 80;
    if (p->kind != ATH_PROCESS_VP || !p->schedule || how == ATH_EDM) return;
    *least = ratio_of(ath_schedule_level(p->schedule, 0));
    *most = fmin(ratio_of(ath_schedule_level(p->schedule, p->schedule->timesteps - 1)), ath_most_vp_ratio);
}

static ath_status by_ratio(const ath_process *p, ath_spacing how, const ath_grid_options *o, int points,
                           ath_level *level, ath_err *err) {
    double least, most;
    range_of(p, how, &least, &most);
    if (o->sigma_min > 0) least = o->sigma_min;
    if (o->sigma_max > 0) most = o->sigma_max;
    if (!(least < most))
        return ath_fail(err, ATH_E_ARG, "sigma from %g to %g: expected sigma_max above sigma_min", most, least);
    double beta_d, beta_min;
    if (how == ATH_TIME && !fit_time(least, most, &beta_d, &beta_min))
        return ath_fail(err, ATH_E_ARG, "sigma from %g to %g: spacing time needs a smaller sigma_min", most, least);
    double rho = how == ATH_KARRAS || how == ATH_EDM ? 7 : 1;
    if (how == ATH_KARRAS && p->kind == ATH_PROCESS_VE && p->rho > 0) rho = p->rho;
    if (o->rho > 0 && how != ATH_EXPONENTIAL && how != ATH_LAMBDA) rho = o->rho;
    for (int i = 0; i < points; i++) {
        const double r = points > 1 ? 1 - (double)i / (points - 1) : 1;
        level[i] = ath_process_level(p, ratio_at(how, r, least, most, rho));
    }
    return ATH_OK;
}

/* t = shift u / (1 + (shift - 1) u), u = 1 - i/n. Only a flow starts at the noise itself: an epsilon network can say no image there.
 * For others u starts where t is that of the noisiest level. */
static void by_flow_time(const ath_process *p, const ath_grid_options *o, int n_steps, int points, ath_level *level) {
    const double shift = o->shift > 0 ? o->shift : p->shift > 0 ? p->shift : 1;
    double least, most, first = 1;
    if (p->kind != ATH_PROCESS_FLOW) {
        range_of(p, ATH_UNIFORM_FLOW, &least, &most);
        first = most / (most + shift); /* t = most / (1 + most) there */
    }
    for (int i = 0; i < points; i++) {
        const double u = first * (1 - (double)i / (points > n_steps ? points : n_steps));
        level[i] = ath_process_level(p, shift * u / (1 - u)); /* t/(1 - t) */
    }
}

ath_status ath_levels(const ath_process *p, ath_spacing how, const ath_grid_options *o, int n_steps, ath_level *level,
                      ath_err *err) {
    static const ath_grid_options usual = {.final = "zero"};
    if (!o) o = &usual;
    const bool to_the_least = strcmp(o->final, "sigma_min") == 0;
    if (how <= ATH_QUADRATIC) return by_timestep(p, how, to_the_least, n_steps, level, err);
    if (n_steps < 1) return ath_fail(err, ATH_E_ARG, "%d steps: expected 1 or more", n_steps);
    const int points = n_steps + to_the_least;
    if (how == ATH_UNIFORM_FLOW)
        by_flow_time(p, o, n_steps, points, level);
    else
        ATH_TRY(by_ratio(p, how, o, points, level, err));
    if (!to_the_least) level[n_steps] = ath_process_level(p, 0);
    return ATH_OK;
}

ath_status ath_levels_from_ratios(const ath_process *p, const double *ratio, int n, ath_level *level, ath_err *err) {
    if (n < 2) return ath_fail(err, ATH_E_ARG, "%d sigmas: expected two or more, the noisiest first", n);
    for (int i = 0; i < n; i++) {
        if (!(ratio[i] >= 0) || (i < n - 1 && ratio[i] == 0))
            return ath_fail(err, ATH_E_ARG, "sigma %d is %g: expected numbers above 0, the last may be 0", i, ratio[i]);
        if (i && ratio[i] > ratio[i - 1])
            return ath_fail(err, ATH_E_ARG, "sigma %d, %g, is above the one before it, %g", i, ratio[i], ratio[i - 1]);
        level[i] = ath_process_level(p, ratio[i]);
    }
    return ATH_OK;
}
