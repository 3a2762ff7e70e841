/* Guidance, thresholding, clipping: see shaping.h. */
#include "diffusion/shaping.h"
#include <math.h>

static ath_status check_interval(const char *what, double low, double high, ath_err *err) {
    if (low >= 0 && (high == 0 || high > low) && isfinite(low) && !isnan(high)) return ATH_OK;
    return ath_fail(err, ATH_E_ARG, "%s %g:%g: expected LOW:HIGH in sigma/alpha, 0 <= LOW < HIGH (HIGH 0: no bound)",
                    what, low, high);
}

ath_status ath_shaping_check(const ath_shaping *s, ath_err *err) {
    ATH_TRY(check_interval("guidance interval", s->guidance_low, s->guidance_high, err));
    ATH_TRY(check_interval("skip window", s->skip_low, s->skip_high, err));
    if (!(s->guidance_rescale >= 0 && s->guidance_rescale <= 1))
        return ath_fail(err, ATH_E_ARG, "guidance rescale %g: expected 0 to 1", s->guidance_rescale);
    if (!(s->threshold >= 0 && s->threshold <= 1))
        return ath_fail(err, ATH_E_ARG, "threshold %g: expected a quantile from 0 (off) to 1, such as 0.995",
                        s->threshold);
    if (!(s->threshold_max == 0 || s->threshold_max >= 1))
        return ath_fail(err, ATH_E_ARG, "threshold's maximum %g: expected 1 or more", s->threshold_max);
    if (!(s->clip_range >= 0)) return ath_fail(err, ATH_E_ARG, "clip range %g: expected more than 0", s->clip_range);
    return ATH_OK;
}

bool ath_level_within(ath_level at, double low, double high) {
    return at.sigma > low * at.alpha && (high == 0 || at.sigma <= high * at.alpha);
}

static double standard_deviation(const double *x, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (double)n);
}

void ath_guide_x0(double *x0, const double *null, size_t dim, double weight, double rescale) {
    if (weight == 1) return;
    const double before = rescale > 0 ? standard_deviation(x0, dim) : 0;
    for (size_t i = 0; i < dim; i++) x0[i] = null[i] + weight * (x0[i] - null[i]);
    if (rescale == 0) return;
    const double after = standard_deviation(x0, dim);
    if (after == 0) return;
    const double by = rescale * before / after + 1 - rescale;
    for (size_t i = 0; i < dim; i++) x0[i] *= by;
}

/* The k-th smallest of a (Hoare 1961, "FIND"), which is reordered: what is behind place k is not less. */
static double select_smallest(double *a, ptrdiff_t n, ptrdiff_t k) {
    ptrdiff_t low = 0, high = n - 1;
    while (low < high) {
        const double pivot = a[low + (high - low) / 2];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (a[i] < pivot) i++;
            while (pivot < a[j]) j--;
            if (i > j) break;
            const double t = a[i];
            a[i++] = a[j];
            a[j--] = t;
        }
        if (k > j && k < i) break;
        *(k <= j ? &high : &low) = k <= j ? j : i;
    }
    return a[k];
}

static double quantile_of(double *a, size_t n, double quantile) {
    const double place = quantile * (double)(n - 1);
    const size_t k = (size_t)place;
    const double value = select_smallest(a, (ptrdiff_t)n, (ptrdiff_t)k), part = place - (double)k;
    if (part == 0) return value;
    double next = INFINITY;
    for (size_t i = k + 1; i < n; i++) next = fmin(next, a[i]);
    return value + part * (next - value);
}

/* NaN stays NaN. */
static void clamp(double *x, size_t n, double range) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > range ? range : x[i] < -range ? -range : x[i];
}

void ath_threshold_x0(double *x0, size_t dim, double quantile, double most, double *work) {
    for (size_t i = 0; i < dim; i++) work[i] = fabs(x0[i]);
    double s = fmax(quantile_of(work, dim, quantile), 1);
    if (most > 0) s = fmin(s, most);
    clamp(x0, dim, s);
    for (size_t i = 0; i < dim; i++) x0[i] /= s;
}

void ath_shape_x0(const ath_shaping *s, bool clip, double *x0, size_t dim, double *work) {
    if (s->threshold > 0) ath_threshold_x0(x0, dim, s->threshold, s->threshold_max, work);
    if (clip) clamp(x0, dim, s->clip_range > 0 ? s->clip_range : 1);
}
