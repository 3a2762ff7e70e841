/* Scores: what is known of them in closed form, and that neither order nor threads matter. */
#include "check.h"
#include <stdbool.h>
#include "base/rng.h"
#include "eval/score.h"

static ath_err err;

typedef struct score_result {
    double value, deviation;
} score_result;

static score_result score(const char *name, ath_image_set a, ath_image_set b, uint64_t seed, int threads) {
    const ath_score *s = ath_score_find(name);
    CHECK(s != NULL, "there is no score %s", name);
    score_result r;
    CHECK_OK(ath_score_compute(s, &a, &b, (ath_rng){seed}, threads, &r.value, &r.deviation, &err));
    return r;
}

static float *normal(size_t n, uint64_t index) {
    float *x = malloc(n * sizeof *x);
    ath_rng_normal((ath_rng){5}, ATH_S_TEST, index, x, n);
    return x;
}

static void every_score_can_be_found_and_is_described(void **state) {
    (void)state;
    int n;
    const ath_score *const *all = ath_score_all(&n);
    CHECK(n >= 1, "%d scores", n);
    for (int i = 0; i < n; i++) {
        CHECK(ath_score_find(all[i]->name) == all[i], "%s is not found", all[i]->name);
        CHECK(all[i]->title[0] && all[i]->summary[0] && all[i]->least_images >= 1 && all[i]->compute,
              "%s lacks something", all[i]->name);
    }
    CHECK(ath_score_find("no such") == NULL, "a score that there is not was found");
}

static void a_set_is_at_no_distance_from_itself_in_any_order(void **state) {
    (void)state;
    enum { N = 301, DIM = 7 * 5 * 3 };
    float *x = normal(N * DIM, 0), *y = malloc(N * DIM * sizeof *y);
    for (size_t i = 0; i < N; i++)
        memcpy(y + i * DIM, x + ath_rng_permute((ath_rng){1}, ATH_S_TEST, 0, i, N) * DIM, DIM * sizeof *y);
    const ath_image_set a = {x, N, 7, 5, 3}, b = {y, N, 7, 5, 3};
    const score_result same = score("swd", a, a, 0, 2), shuffled = score("swd", a, b, 0, 2);
    CHECK(same.value == 0 && same.deviation == 0, "itself: %g +- %g", same.value, same.deviation);
    CHECK(shuffled.value == 0, "in another order: %g", shuffled.value);
    free(x);
    free(y);
}

/* A shift by a vector c moves each projection by theta^T c, whose mean square is |c|^2 / dim and whose square's
 * standard deviation is sqrt(2 (dim - 1) / (dim + 2)) of that. */
static void a_shifted_set_is_as_far_as_the_shifts_root_mean_square(void **state) {
    (void)state;
    enum { N = 200, DIM = 8 * 8 };
    float *x = normal(N * DIM, 1), *y = malloc(N * DIM * sizeof *y), *c = normal(DIM, 2);
    double squares = 0;
    for (int k = 0; k < DIM; k++) squares += (double)c[k] * (double)c[k];
    for (int i = 0; i < N * DIM; i++) y[i] = x[i] + c[i % DIM];
    const double expected = sqrt(squares / DIM), spread = expected * sqrt(2.0 * (DIM - 1) / (DIM + 2) / 512) / 2;
    double worst = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        const score_result r = score("swd", (ath_image_set){x, N, 8, 8, 1}, (ath_image_set){y, N, 8, 8, 1}, seed, 2);
        CHECK(fabs(r.value - expected) < 4 * spread, "seed %d: %g, expected %g +- %g", (int)seed, r.value, expected,
              spread);
        CHECK(r.deviation > 0.8 * spread && r.deviation < 1.25 * spread, "seed %d: deviation %g, expected %g",
              (int)seed, r.deviation, spread);
        worst = fmax(worst, fabs(r.value - expected));
    }
    CHECK(worst > 0, "the seed makes no difference");
    free(x);
    free(y);
    free(c);
}

/* Between N(0, s^2 I) and N(0, t^2 I) the quantile functions of each projection are s and t times that of N(0,1): the
 * distance is |s - t|. What finite samples add is of the order of 1/sqrt(n). */
static void gaussians_are_as_far_as_their_deviations(void **state) {
    (void)state;
    enum { N = 10000, M = 8000, DIM = 12 };
    float *x = normal(N * DIM, 3), *y = normal(M * DIM, 4);
    for (int i = 0; i < N * DIM; i++) x[i] *= 0.8f;
    for (int i = 0; i < M * DIM; i++) y[i] *= 0.3f;
    const ath_image_set a = {x, N, 2, 2, 3}, b = {y, M, 2, 2, 3};
    const score_result r = score("swd", a, b, 0, 2);
    CHECK(fabs(r.value - 0.5) < 0.005, "%g, expected 0.5", r.value);
    CHECK(score("swd", b, a, 0, 2).value == r.value, "the distance is not the same both ways");
    free(x);
    free(y);
}

/* In one dimension a direction is 1 or -1, and the distance can be worked out by hand. */
static void sets_of_different_sizes_compare_by_their_quantiles(void **state) {
    (void)state;
    static const struct {
        float x[6], y[6];
        int n, m;
        double squared;
    } cases[] = {{{0}, {0.5f}, 1, 1, 0.25},
                 {{0, 1, 2}, {1.5f, 0.5f}, 3, 2, 0.25},
                 {{5, 0, 1}, {0, 2}, 3, 2, (1.0 / 6 + 1.0 / 6 + 9.0 / 3)},
                 {{3}, {1, 2, 3, 6}, 1, 4, (4 + 1 + 0 + 9) / 4.0},
                 {{1, 2, 3}, {3, 1, 2, 1, 3, 2}, 3, 6, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const ath_image_set a = {cases[i].x, cases[i].n, 1, 1, 1}, b = {cases[i].y, cases[i].m, 1, 1, 1};
        const double expected = sqrt(cases[i].squared), ab = score("swd", a, b, 0, 1).value,
                     ba = score("swd", b, a, 0, 1).value;
        CHECK(fabs(ab - expected) < 1e-6 && fabs(ba - expected) < 1e-6, "case %zu: %.9g and %.9g, expected %.9g", i, ab,
              ba, expected);
    }
}

static void a_set_taken_twice_is_the_same_distribution(void **state) {
    (void)state;
    enum { N = 150, DIM = 28 * 28 };
    float *x = malloc(2 * N * DIM * sizeof *x), *one = normal(N * DIM, 6);
    memcpy(x, one, N * DIM * sizeof *x);
    memcpy(x + N * DIM, one, N * DIM * sizeof *x);
    const double value =
        score("swd", (ath_image_set){x, 2 * N, 28, 28, 1}, (ath_image_set){x, N, 28, 28, 1}, 0, 2).value;
    CHECK(value == 0, "%g", value);
    free(x);
    free(one);
}

static void threads_change_no_bit(void **state) {
    (void)state;
    enum { N = 333, M = 130, DIM = 9 * 11 };
    float *x = normal((N + M) * DIM, 7);
    const ath_image_set a = {x, N, 9, 11, 1}, b = {x + N * DIM, M, 9, 11, 1};
    const score_result one = score("swd", a, b, 3, 1);
    for (int threads = 2; threads <= 5; threads++) {
        const score_result r = score("swd", a, b, 3, threads);
        CHECK(r.value == one.value && r.deviation == one.deviation, "%d threads: %.17g, one: %.17g", threads, r.value,
              one.value);
    }
    free(x);
}

static void sets_that_cannot_be_compared_are_refused(void **state) {
    (void)state;
    float x[24] = {0};
    int n;
    const ath_score *const *all = ath_score_all(&n);
    const ath_image_set good = {x, 6, 2, 2, 1}, other = {x, 6, 2, 1, 2}, none = {x, 0, 2, 2, 1}, flat = {x, 6, 0, 2, 1};
    double value, deviation;
    for (int i = 0; i < n; i++) {
        const ath_score *s = all[i];
        CHECK_FAILS(ath_score_compute(s, &good, &other, (ath_rng){0}, 1, &value, &deviation, &err), ATH_E_SHAPE,
                    s->name);
        CHECK_FAILS(ath_score_compute(s, &none, &good, (ath_rng){0}, 1, &value, &deviation, &err), ATH_E_ARG, "first");
        CHECK_FAILS(ath_score_compute(s, &good, &none, (ath_rng){0}, 1, &value, &deviation, &err), ATH_E_ARG, "second");
        CHECK_FAILS(ath_score_compute(s, &good, &flat, (ath_rng){0}, 1, &value, &deviation, &err), ATH_E_ARG, "second");
        x[13] = NAN;
        CHECK_FAILS(ath_score_compute(s, &good, &good, (ath_rng){0}, 1, &value, &deviation, &err), ATH_E_ARG,
                    "image 3");
        x[13] = 0;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_score_can_be_found_and_is_described),
        cmocka_unit_test(a_set_is_at_no_distance_from_itself_in_any_order),
        cmocka_unit_test(a_shifted_set_is_as_far_as_the_shifts_root_mean_square),
        cmocka_unit_test(gaussians_are_as_far_as_their_deviations),
        cmocka_unit_test(sets_of_different_sizes_compare_by_their_quantiles),
        cmocka_unit_test(a_set_taken_twice_is_the_same_distribution),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(sets_that_cannot_be_compared_are_refused),
    };
    return cmocka_run_group_tests_name("scores", tests, NULL, NULL);
}
