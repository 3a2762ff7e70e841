/* The Brownian path that samplers draw their noise from: what makes it Brownian, that it is one function whoever asks, and that
 * runs of different lengths on it give related pictures. */
#include "diffusion/brownian.h"
#include "exact.h"

enum { N = 20000 }; /* numbers of a path, independent of each other */
static const ath_rng seed = {17};

/* W at one sigma, from memory of its own each time; free it. */
static double *path_at(ath_rng rng, uint64_t path, double sigma, size_t dim) {
    double *w = get_memory(dim * sizeof *w), *work = get_memory(3 * dim * sizeof *work);
    ath_brownian(rng, path, sigma, w, dim, work);
    free(work);
    return w;
}

/* W(to) - W(from) */
static double *increment(ath_rng rng, uint64_t path, double from, double to) {
    double *w = path_at(rng, path, to, N), *before = path_at(rng, path, from, N);
    for (int i = 0; i < N; i++) w[i] -= before[i];
    free(before);
    return w;
}

static double mean_product(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum / (double)n;
}

static double correlation(const double *a, const double *b, size_t n) {
    return mean_product(a, b, n) / sqrt(mean_product(a, a, n) * mean_product(b, b, n));
}

/* Standard errors of a variance and of a correlation from N numbers are sqrt(2/N) = 0.01 and sqrt(1/N) = 0.007 of theirs; five
 * of them are allowed. */
static const double variance_slack = 0.05, correlation_slack = 0.036;

static const double sigmas[] = {1e-5, 0.002, 0.03, 0.0303, 0.99, 1, 1.01, 3, 14.6, 80, 157, 20000, 1e6};
enum { N_SIGMAS = sizeof sigmas / sizeof *sigmas };

static void the_variance_of_an_increment_is_its_length(void **state) {
    (void)state;
    double *w[N_SIGMAS + 1] = {get_memory(N * sizeof *w[0])}; /* W(0) = 0 */
    for (int k = 0; k < N_SIGMAS; k++) w[k + 1] = path_at(seed, 3, sigmas[k], N);
    for (int a = 0; a <= N_SIGMAS; a++)
        for (int b = a + 1; b <= N_SIGMAS; b++) {
            const double from = a ? sigmas[a - 1] : 0, to = sigmas[b - 1];
            double squares = 0;
            for (int i = 0; i < N; i++) squares += (w[b][i] - w[a][i]) * (w[b][i] - w[a][i]);
            const double variance = squares / N / (to - from);
            CHECK(fabs(variance - 1) < variance_slack, "from %g to %g: %.4f of the length", from, to, variance);
        }
    for (int k = 0; k <= N_SIGMAS; k++) free(w[k]);
}

static void increments_that_do_not_overlap_are_independent(void **state) {
    (void)state;
    double *w[N_SIGMAS - 1];
    for (int k = 0; k + 1 < N_SIGMAS; k++) w[k] = increment(seed, 4, sigmas[k], sigmas[k + 1]);
    for (int a = 0; a + 1 < N_SIGMAS; a++)
        for (int b = a + 1; b + 1 < N_SIGMAS; b++) {
            const double r = correlation(w[a], w[b], N);
            CHECK(fabs(r) < correlation_slack, "from %g to %g and from %g to %g: correlation %.3f", sigmas[a],
                  sigmas[a + 1], sigmas[b], sigmas[b + 1], r);
        }
    for (int k = 0; k + 1 < N_SIGMAS; k++) free(w[k]);
}

static void seeds_paths_and_numbers_of_a_path_are_independent(void **state) {
    (void)state;
    double *one = path_at(seed, 5, 2, N);
    double *other[] = {path_at((ath_rng){18}, 5, 2, N), path_at(seed, 6, 2, N), path_at(seed, 5 + (1ull << 40), 2, N)};
    for (int k = 0; k < 3; k++) {
        const double r = correlation(one, other[k], N);
        CHECK(fabs(r) < correlation_slack, "path %d of another seed or number: correlation %.3f", k, r);
        free(other[k]);
    }
    const double r = correlation(one, one + 1, N - 1);
    CHECK(fabs(r) < correlation_slack, "neighbours: correlation %.3f", r);
    free(one);
}

static void a_path_is_the_same_in_whatever_order_it_is_asked(void **state) {
    (void)state;
    enum { DIM = 37 };
    double first[N_SIGMAS][DIM], w[DIM], work[3 * DIM];
    for (int k = 0; k < N_SIGMAS; k++) ath_brownian(seed, 9, sigmas[k], first[k], DIM, work);
    for (int k = N_SIGMAS - 1; k >= 0; k -= 2) {
        ath_brownian(seed, 8, sigmas[k], w, DIM, work); /* another in between */
        memset(work, 0x55, sizeof work);
        ath_brownian(seed, 9, sigmas[k], w, DIM, work);
        assert_memory_equal(w, first[k], sizeof w);
    }
    double *longer = path_at(seed, 9, sigmas[4], N); /* a number does not depend on how many are wanted */
    assert_memory_equal(longer, first[4], sizeof first[4]);
    free(longer);
    double *below = path_at(seed, 9, 0, DIM), *least = path_at(seed, 9, exp(-14), DIM);
    assert_memory_equal(below, least, DIM * sizeof *below);
    free(below);
    free(least);
}

/* Across the edges of cells, which are at log sigma = -14 + 28 k/2^15, as within: a way of length h is never more than the root of
 * h, and some. */
static void a_path_has_no_jumps(void **state) {
    (void)state;
    static const int cells[] = {0, 1, 2, 777, 8192, 16384, 16385, 20001, 24576, 32767};
    for (size_t k = 0; k < sizeof cells / sizeof *cells; k++)
        for (int inside = 0; inside < 2; inside++)
            for (double part = 1e-4; part > 1e-10; part /= 100) {
                const double at = exp(-14 + 28 * (cells[k] + 0.4 * inside) / 32768.0), h = at * part;
                double *w = increment(seed, 11, at - h / 2, at + h / 2);
                const double step = sqrt(mean_product(w, w, N) / h);
                CHECK(step < 1.1, "cell %d, about sigma %g: a way of %.1e sigma is %.3f of the root of its length",
                      cells[k], at, part, step);
                free(w);
            }
}

/* ---- runs on a path ---- */

enum { PICTURES = 64, DIM = 16, NUMBERS = PICTURES * DIM };

/* DDPM from one and the same start, less the data's mean. */
static void ddpm(int steps, uint64_t noise_seed, double *x) {
    ath_level level[401];
    usual_levels(ATH_TRAILING, steps, level);
    exact_net net = gaussian(0.1, 0.5, DIM, PICTURES);
    start_at(&net, level[0], (ath_rng){1}, 0, x);
    ath_sample_job job = {.net = {&net, exact_x0},
                          .level = level,
                          .n_steps = steps,
                          .x = x,
                          .n = PICTURES,
                          .dim = DIM,
                          .rng = {noise_seed}};
    CHECK_OK(run_job(find("ddpm"), "", &job, NULL));
    for (int i = 0; i < NUMBERS; i++) x[i] -= net.data.mean[0][i % DIM];
}

static void runs_of_few_and_of_many_steps_with_one_seed_draw_related_pictures(void **state) {
    (void)state;
    double few[NUMBERS], many[NUMBERS], other[NUMBERS];
    ddpm(50, 2, few);
    ddpm(400, 2, many);
    ddpm(400, 3, other);
    const double same = correlation(few, many, NUMBERS), apart = correlation(many, other, NUMBERS);
    printf("DDPM in 50 and 400 steps: correlation %.3f; with another seed %.3f\n", same, apart);
    CHECK(same > 0.8, "50 and 400 steps with one seed: correlation %.3f", same);
    CHECK(fabs(apart) < 0.2, "400 steps with two seeds: correlation %.3f", apart);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variance_of_an_increment_is_its_length),
        cmocka_unit_test(increments_that_do_not_overlap_are_independent),
        cmocka_unit_test(seeds_paths_and_numbers_of_a_path_are_independent),
        cmocka_unit_test(a_path_is_the_same_in_whatever_order_it_is_asked),
        cmocka_unit_test(a_path_has_no_jumps),
        cmocka_unit_test(runs_of_few_and_of_many_steps_with_one_seed_draw_related_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
