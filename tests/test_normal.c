/* Quantiles of the normal distribution: the inverse of its distribution function, which libm has. */
#include "check.h"
#include "base/normal.h"

static const double root_half = 0.70710678118654752440;

/* d z = dp / density: a rounding of p alone moves z by p 2^-53 / density. */
static void a_quantile_has_the_probability_it_was_asked_for(void **state) {
    (void)state;
    double worst = 0, before = -INFINITY;
    for (double p = 1e-300; p < 1; p = p < 1e-3 ? p * 1.7 : p + 0.00037) {
        const double z = ath_normal_quantile(p), back = 0.5 * erfc(-z * root_half);
        const double error = fabs(back - p) / p; /* of the tail, so relative */
        const double room = 4e-16 * (4 + z * z); /* erfc's argument is rounded: z^2 times as much of its value */
        worst = fmax(worst, error / room);
        CHECK(error < room, "p %.17g: z %.17g has probability %.17g", p, z, back);
        CHECK(z > before, "p %g: z %.17g is not above the one before", p, z);
        before = z;
    }
    for (double p = 0x1p-40; p < 0.5; p *= 1.3)
        CHECK(ath_normal_quantile(1 - p) == -ath_normal_quantile(1 - (1 - p)), "p %g: not symmetrical", p);
    CHECK(fabs(ath_normal_quantile(0.975) - 1.959963984540054) < 1e-14, "97.5 %%: %.16g", ath_normal_quantile(0.975));
    CHECK(fabs(ath_normal_quantile(0.5)) < 1e-16, "the median is %g", ath_normal_quantile(0.5));
    print_message("largest error %.2f of what rounding allows\n", worst);
}

static void beyond_0_and_1_there_is_none(void **state) {
    (void)state;
    CHECK(ath_normal_quantile(0) == -INFINITY && ath_normal_quantile(1) == INFINITY, "the ends are finite");
    CHECK(isnan(ath_normal_quantile(-0.1)) && isnan(ath_normal_quantile(1.1)) && isnan(ath_normal_quantile(NAN)),
          "no number is a probability");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quantile_has_the_probability_it_was_asked_for),
        cmocka_unit_test(beyond_0_and_1_there_is_none),
    };
    return cmocka_run_group_tests_name("normal quantiles", tests, NULL, NULL);
}
