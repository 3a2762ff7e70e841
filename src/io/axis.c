/* Ranges and ticks: see axis.h. */
#include "io/axis.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

double ath_axis_pixel(const ath_axis *a, double at) {
    return a->pixel0 + (at - a->lo) / (a->hi - a->lo) * (a->pixel1 - a->pixel0);
}

/* Beyond 1e300 differences overflow, below 1e-300 they lose their digits. */
bool ath_axis_measure(const ath_axis *a, double value, double *at) {
    if (!(fabs(value) <= 1e300) || (a->log && !(value >= 1e-300))) return false;
    *at = a->log ? log10(value) : fabs(value) >= 1e-300 ? value : 0;
    return true;
}

void ath_axis_open(ath_axis *a, double lo, double hi, double room, bool to_zero) {
    /* a range that double could not divide into ticks, or none at all */
    const double size = fmax(a->log ? 1 : 0, fmax(fabs(lo), fabs(hi)));
    if (hi - lo <= 1e-9 * size || hi == lo) {
        const double open = a->log ? 0.5 : size > 0 ? 0.1 * size : 1;
        lo -= open;
        hi += open;
    }
    const double more = room * (hi - lo);
    a->lo = to_zero && !a->log && lo >= 0 && lo < more ? 0 : lo - more;
    a->hi = hi + more;
}

/* "1e-05" to "1e-5", "2e+06" to "2e6". */
static void shorten_exponent(char *text) {
    char *e = strchr(text, 'e');
    if (!e) return;
    char *to = e + 1, *from = e + 1;
    if (*from == '-') to++;
    from++;
    while (*from == '0' && from[1]) from++;
    memmove(to, from, strlen(from) + 1);
}

static void add_tick(ath_axis *a, double at, const char *label) {
    if (a->n_tick == ATH_MAX_TICK) return;
    const double slack = 1e-9 * (a->hi - a->lo);
    if (!(at >= a->lo - slack && at <= a->hi + slack)) return;
    ath_tick *t = &a->tick[a->n_tick++];
    t->at = at;
    t->minor = label == NULL;
    snprintf(t->label, sizeof t->label, "%s", label ? label : "");
}

/* The smallest 1, 2 or 5 times a power of ten that is no less than `least`. */
static double nice_step(double least) {
    const double power = pow(10, floor(log10(least)));
    const double f = least / power;
    return power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

/* Ticks at multiples of a round step between two values; on a log axis they are placed by their log. */
static void linear_ticks(ath_axis *a, double lo, double hi, int want) {
    const double step = nice_step((hi - lo) / want), size = fmax(fabs(lo), fabs(hi));
    double unit = 1;
    const char *suffix = "";
    if (size >= 1e5 && size < 1e13) {
        unit = size >= 1e9 ? 1e9 : size >= 1e6 ? 1e6 : 1e3;
        suffix = size >= 1e9 ? "G" : size >= 1e6 ? "M" : "k";
    }
    const int decimals = (int)fmax(0, -floor(log10(step / unit) + 1e-6));
    const bool scientific = decimals > 6 || size >= 1e13;
    const int digits = (int)fmin(12, fmax(0, floor(log10(size) + 1e-6) - floor(log10(step) + 1e-6)));
    for (double k = ceil(lo / step - 1e-6); k * step <= hi + 1e-6 * step; k++) {
        const double value = k * step;
        char label[sizeof a->tick->label];
        if (k == 0)
            snprintf(label, sizeof label, "0");
        else if (scientific)
            snprintf(label, sizeof label, "%.*e", digits, value);
        else
            snprintf(label, sizeof label, "%.*f%s", decimals, value / unit, suffix);
        shorten_exponent(label);
        if (!a->log)
            add_tick(a, value, label);
        else if (value > 0)
            add_tick(a, log10(value), label);
    }
}

static void log_ticks(ath_axis *a, int want) {
    const double span = a->hi - a->lo;
    if (span < 0.7) { /* less than from 1 to 5: powers of ten would leave the axis bare */
        linear_ticks(a, pow(10, a->lo), pow(10, a->hi), want);
        return;
    }
    const int most = ATH_MAX_TICK / 10; /* powers of ten whose nine ticks each find room */
    const int every = (int)ceil(span / (want < most ? want : most));
    const bool with_2_and_5 = span < 2;
    for (int e = (int)floor(a->lo); e <= (int)ceil(a->hi); e++)
        for (int m = 1; m < 10; m++) {
            if (m > 1 && every > 1) break;
            const bool labelled = (m == 1 && e % every == 0) || ((m == 2 || m == 5) && with_2_and_5);
            char label[sizeof a->tick->label];
            snprintf(label, sizeof label, m * pow(10, e) >= 1e5 || e < -4 ? "%.0e" : "%g", m * pow(10, e));
            shorten_exponent(label);
            add_tick(a, e + log10(m), labelled ? label : NULL);
        }
}

void ath_axis_find_ticks(ath_axis *a, int want) {
    a->n_tick = 0;
    if (want < 2) want = 2;
    if (a->log)
        log_ticks(a, want);
    else
        linear_ticks(a, a->lo, a->hi, want);
}
