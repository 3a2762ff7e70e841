/* Guidance, its rescaling, dynamic thresholding and clipping as arithmetic on one image (diffusion/shaping.h). With a network
 * behind them: test_denoiser.c; thresholding beside diffusers: test_samplers_golden.c. */
#include "check.h"
#include "base/rng.h"
#include "diffusion/shaping.h"

enum { MOST = 300 };
static ath_err err;

static void fill(double *x, size_t n, uint64_t index, double deviation) {
    ath_rng_normal_f64((ath_rng){3}, ATH_S_TEST, index, x, n);
    for (size_t i = 0; i < n; i++) x[i] *= deviation;
}

static double deviation_of(const double *x, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    for (size_t i = 0; i < n; i++) squares += pow(x[i] - sum / (double)n, 2);
    return sqrt(squares / (double)n);
}

/* ---- thresholding ---- */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The slow twin sorts. */
static double slow_threshold(const double *x, size_t n, double quantile, double most) {
    double sorted[MOST];
    for (size_t i = 0; i < n; i++) sorted[i] = fabs(x[i]);
    qsort(sorted, n, sizeof *sorted, by_size);
    const double place = quantile * (double)(n - 1);
    const size_t k = (size_t)place;
    const double next = sorted[k + 1 < n ? k + 1 : k],
                 s = fmax(1, sorted[k] + (place - (double)k) * (next - sorted[k]));
    return most > 0 ? fmin(s, most) : s;
}

static void thresholds_are_the_quantile_that_sorting_gives(void **state) {
    (void)state;
    static const double quantiles[] = {1e-9, 0.1, 0.5, 0.9, 0.995, 1}, most[] = {0, 1, 1.2, 5};
    double x[MOST], y[MOST], work[MOST];
    for (size_t n = 1; n <= MOST; n += n < 10 ? 1 : 29)
        for (int q = 0; q < 6; q++)
            for (int m = 0; m < 4; m++)
                for (int kind = 0; kind < 3; kind++) {
                    fill(x, n, n, 3);
                    if (kind) /* many equal numbers; all of them */
                        for (size_t i = 0; i < n; i++) x[i] = kind == 1 ? rint(x[i]) : -1.5;
                    memcpy(y, x, sizeof x);
                    ath_threshold_x0(y, n, quantiles[q], most[m], work);
                    const double s = slow_threshold(x, n, quantiles[q], most[m]);
                    for (size_t i = 0; i < n; i++) {
                        const double expected = fmax(-s, fmin(s, x[i])) / s;
                        CHECK(fabs(y[i] - expected) < 1e-15,
                              "%zu numbers, quantile %g, at most %g: %g became %g, expected %g", n, quantiles[q],
                              most[m], x[i], y[i], expected);
                    }
                }
}

static void an_image_within_range_is_not_thresholded(void **state) {
    (void)state;
    double x[MOST], y[MOST], work[MOST];
    fill(x, MOST, 1, 0.2);
    memcpy(y, x, sizeof x);
    ath_threshold_x0(y, MOST, 0.995, 0, work);
    assert_memory_equal(x, y, sizeof x);
}

static void numbers_that_are_none_stay_so(void **state) {
    (void)state;
    double x[MOST], work[MOST];
    const ath_shaping s = {.threshold = 0.9};
    for (int nans = 1; nans <= MOST; nans += 13) {
        fill(x, MOST, 2, 2);
        for (int i = 0; i < nans; i++) x[(i * 7) % MOST] = NAN;
        ath_shape_x0(&s, true, x, MOST, work);
        for (int i = 0; i < nans; i++) CHECK(isnan(x[(i * 7) % MOST]), "NaN %d became %g", i, x[(i * 7) % MOST]);
    }
}

static void clipping_has_a_range_and_may_be_off(void **state) {
    (void)state;
    double x[MOST], y[MOST];
    fill(x, MOST, 4, 2);
    for (int k = 0; k < 3; k++) { /* off, at 1, at 0.9 */
        const ath_shaping s = {.clip_range = k == 2 ? 0.9 : 0};
        const double range = k == 2 ? 0.9 : 1;
        memcpy(y, x, sizeof x);
        ath_shape_x0(&s, k > 0, y, MOST, NULL);
        for (int i = 0; i < MOST; i++) {
            const double expected = k ? fmax(-range, fmin(range, x[i])) : x[i];
            CHECK(y[i] == expected, "%g clipped at %g: %g", x[i], k ? range : INFINITY, y[i]);
        }
    }
}

/* ---- guidance ---- */

static void guidance_goes_from_the_unlabelled_through_the_labelled(void **state) {
    (void)state;
    double with[MOST], without[MOST], x[MOST];
    fill(with, MOST, 5, 1);
    fill(without, MOST, 6, 1);
    memcpy(x, with, sizeof x);
    ath_guide_x0(x, without, MOST, 1, 0.7);
    assert_memory_equal(x, with, sizeof x); /* 1: none, whatever the rescaling */
    ath_guide_x0(x, without, MOST, 0, 0);
    assert_memory_equal(x, without, sizeof x);
    memcpy(x, with, sizeof x);
    ath_guide_x0(x, without, MOST, 3, 0);
    for (int i = 0; i < MOST; i++)
        CHECK(fabs(x[i] - (3 * with[i] - 2 * without[i])) < 1e-13, "number %d: %g with the label, %g without: %g", i,
              with[i], without[i], x[i]);
}

/* Fully rescaled the deviation is the labelled one's; in part it is in between, and the picture's shape is kept. */
static void rescaling_keeps_the_deviation(void **state) {
    (void)state;
    double with[MOST], without[MOST], guided[MOST], x[MOST];
    fill(with, MOST, 7, 0.5);
    fill(without, MOST, 8, 0.6);
    memcpy(guided, with, sizeof x);
    ath_guide_x0(guided, without, MOST, 4, 0);
    const double wide = deviation_of(guided, MOST), kept = deviation_of(with, MOST);
    CHECK(wide > 2 * kept, "guidance made the deviation %g of %g", wide, kept);
    for (int k = 0; k <= 4; k++) {
        const double phi = k / 4.0, expected = phi * kept + (1 - phi) * wide;
        memcpy(x, with, sizeof x);
        ath_guide_x0(x, without, MOST, 4, phi);
        CHECK(fabs(deviation_of(x, MOST) - expected) < 1e-12, "phi %g: deviation %.15g, expected %.15g", phi,
              deviation_of(x, MOST), expected);
        for (int i = 0; i < MOST; i++)
            CHECK(fabs(x[i] * wide - guided[i] * expected) < 1e-12, "phi %g: number %d is %g of %g", phi, i, x[i],
                  guided[i]);
    }
    double flat[4] = {1, 1, 1, 1}, dark[4] = {0, 0, 0, 0};
    ath_guide_x0(flat, dark, 4, 2, 1);
    for (int i = 0; i < 4; i++)
        CHECK(flat[i] == 2, "a picture of one brightness has no deviation to keep: %g", flat[i]);
}

/* ---- where ---- */

static void intervals_are_in_sigma_over_alpha(void **state) {
    (void)state;
    const ath_level quarter = {0, 0.8, 0.2}, pure = {0, 0, 1}, clean = {0, 1, 0};
    assert_true(ath_level_within(quarter, 0, 0));
    assert_true(ath_level_within(quarter, 0.2, 0.25));
    assert_false(ath_level_within(quarter, 0.25, 3));
    assert_false(ath_level_within(quarter, 0, 0.24));
    assert_true(ath_level_within(pure, 5, 0));
    assert_false(ath_level_within(pure, 0, 1e6));
    assert_false(ath_level_within(clean, 0, 0));
}

static void what_is_out_of_range_is_refused_by_name(void **state) {
    (void)state;
    CHECK_OK(ath_shaping_check(&(ath_shaping){0}, &err));
    CHECK_OK(ath_shaping_check(&(ath_shaping){0.3, 5, 0.7, 0.995, 2, 0.9, 1, 0}, &err));
    CHECK_FAILS(ath_shaping_check(&(ath_shaping){.guidance_low = 5, .guidance_high = 1}, &err), ATH_E_ARG,
                "interval 5:1");
    CHECK_FAILS(ath_shaping_check(&(ath_shaping){.guidance_low = -1}, &err), ATH_E_ARG, "guidance interval");
    CHECK_FAILS(ath_shaping_check(&(ath_shaping){.skip_high = NAN}, &err), ATH_E_ARG, "skip window");
    CHECK_FAILS(ath_shaping_check(&(ath_shaping){.guidance_rescale = 1.1}, &err), ATH_E_ARG, "rescale");
    CHECK_FAILS(ath_shaping_check(&(ath_shaping){.threshold = 99.5}, &err), ATH_E_ARG, "quantile");
    CHECK_FAILS(ath_shaping_check(&(ath_shaping){.threshold_max = 0.5}, &err), ATH_E_ARG, "maximum");
    CHECK_FAILS(ath_shaping_check(&(ath_shaping){.clip_range = -1}, &err), ATH_E_ARG, "clip range");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_are_the_quantile_that_sorting_gives),
        cmocka_unit_test(an_image_within_range_is_not_thresholded),
        cmocka_unit_test(numbers_that_are_none_stay_so),
        cmocka_unit_test(clipping_has_a_range_and_may_be_off),
        cmocka_unit_test(guidance_goes_from_the_unlabelled_through_the_labelled),
        cmocka_unit_test(rescaling_keeps_the_deviation),
        cmocka_unit_test(intervals_are_in_sigma_over_alpha),
        cmocka_unit_test(what_is_out_of_range_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
