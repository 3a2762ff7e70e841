/* Random numbers: a draw is a function of (seed, stream, index) and of nothing else, the
 * numbers are Philox's, distributed as they should be, and the shuffle is a permutation. */
#include "check.h"
#include <stdbool.h>
#include "base/rng.h"

static const ath_rng seed7 = {7};

static void *get_memory(size_t bytes) {
    void *p = malloc(bytes);
    assert_non_null(p);
    return p;
}

/* Random123 1.14, kat_vectors: philox4x32-10 of a zero counter and a zero key. Seed 0, stream 0, index 0 and
 * block 0 are that counter and key; a uniform float is the upper 24 bits of a word. */
static void the_generator_gives_the_known_answer_of_random123(void **state) {
    (void)state;
    const uint32_t answer[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    float u[4];
    ath_rng_uniform((ath_rng){0}, (ath_stream)0, 0, u, 4);
    for (int i = 0; i < 4; i++) {
        const float expected = (float)(answer[i] >> 8) * 0x1p-24f;
        CHECK(u[i] == expected, "word %d: %a, expected %a", i, (double)u[i], (double)expected);
    }
    const uint64_t both = (uint64_t)answer[0] << 32 | answer[1];
    const double one = ath_rng_uniform1((ath_rng){0}, (ath_stream)0, 0), expected = (double)(both >> 11) * 0x1p-53;
    CHECK(one == expected, "one draw: %a, expected %a", one, expected);
}

static void the_same_counters_give_the_same_draw(void **state) {
    (void)state;
    float a[33], b[33];
    double c[33], d[33];
    ath_rng_normal(seed7, ATH_S_NOISE, 5, a, 33);
    ath_rng_normal_f64(seed7, ATH_S_NOISE, 5, c, 33);
    ath_rng_uniform(seed7, ATH_S_SHUFFLE, 1, b, 33); /* something else in between */
    ath_rng_normal(seed7, ATH_S_NOISE, 5, b, 33);
    ath_rng_normal_f64(seed7, ATH_S_NOISE, 5, d, 33);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(c, d, sizeof c);
    for (int i = 0; i < 33; i++)
        CHECK(a[i] == (float)c[i], "number %d: float %a, double %a rounded differs", i, (double)a[i], c[i]);
    CHECK(ath_rng_uniform1(seed7, ATH_S_TIMESTEP, 9) == ath_rng_uniform1(seed7, ATH_S_TIMESTEP, 9), "seed 7, index 9");
}

static void a_longer_fill_begins_with_the_shorter_one(void **state) {
    (void)state;
    enum { MOST = 70 };
    float normal[MOST], uniform[MOST], part[MOST];
    double wide[MOST], wide_part[MOST];
    ath_rng_normal(seed7, ATH_S_TEST, 3, normal, MOST);
    ath_rng_uniform(seed7, ATH_S_TEST, 3, uniform, MOST);
    ath_rng_normal_f64(seed7, ATH_S_TEST, 3, wide, MOST);
    for (size_t n = 0; n < MOST; n++) {
        part[n] = 42; /* the one behind the last must stay */
        ath_rng_normal(seed7, ATH_S_TEST, 3, part, n);
        CHECK(memcmp(part, normal, n * sizeof *part) == 0 && part[n] == 42, "normal, first %zu of %d", n, MOST);
        ath_rng_uniform(seed7, ATH_S_TEST, 3, part, n);
        CHECK(memcmp(part, uniform, n * sizeof *part) == 0 && part[n] == 42, "uniform, first %zu of %d", n, MOST);
        wide_part[n] = 42;
        ath_rng_normal_f64(seed7, ATH_S_TEST, 3, wide_part, n);
        CHECK(memcmp(wide_part, wide, n * sizeof *wide) == 0 && wide_part[n] == 42, "double, first %zu of %d", n, MOST);
    }
}

static uint32_t scramble(uint32_t i) { return i * 2654435761u ^ i * 40503u << 13; }

/* libm's, where the angle is brought to an eighth of a turn in integers first: beside a quarter turn the cosine of
 * 2 pi u2 would be the rounding of its argument. */
static void box_muller_by_libm(uint32_t a, uint32_t b, double *z) {
    const double radius = sqrt(-2 * log(((double)a + 1) * 0x1p-32));
    const uint32_t quarter = (b + (1u << 29)) >> 30 & 3;
    const double angle = (double)(int32_t)(b - (quarter << 30)) * 0x1p-30 * 1.5707963267948966;
    const double c = cos(angle), s = sin(angle);
    const double turned[4][2] = {{c, s}, {-s, c}, {-c, -s}, {s, -c}};
    z[0] = radius * turned[quarter][0];
    z[1] = radius * turned[quarter][1];
}

/* The relative error of a pair. */
static double error_of(uint32_t a, uint32_t b) {
    double z[2], expected[2], worst = 0;
    ath_box_muller(&a, &b, 1, z);
    box_muller_by_libm(a, b, expected);
    for (int j = 0; j < 2; j++) {
        const double error = fabs(z[j] - expected[j]);
        CHECK(error <= 2e-13 * fabs(expected[j]), "words %08x %08x: %.17g, libm says %.17g", (unsigned)a, (unsigned)b,
              z[j], expected[j]);
        if (error > 0) worst = fmax(worst, error / fabs(expected[j]));
    }
    return worst;
}

/* Both sides of every power of two are both sides of exponents, quarters and eighths of a turn. */
static void box_muller_agrees_with_libm(void **state) {
    (void)state;
    enum { EDGES = 33 * 3, N = 1 << 20 };
    uint32_t edge[EDGES];
    double worst = 0;
    for (int i = 0; i < EDGES; i++) edge[i] = (uint32_t)(((uint64_t)1 << (i / 3)) + (uint64_t)(i % 3) - 1);
    for (int i = 0; i < EDGES; i++)
        for (int j = 0; j < EDGES; j++) worst = fmax(worst, error_of(edge[i], edge[j]));
    for (uint32_t i = 0; i < N; i++) worst = fmax(worst, error_of(scramble(i), scramble(i + 77)));
    print_message("largest relative error %.1e\n", worst);
}

/* Vectors and what is left over do the same arithmetic. */
static void box_muller_gives_the_same_in_any_number(void **state) {
    (void)state;
    enum { N = 67 };
    uint32_t a[N], b[N];
    double all[2 * N], one[2];
    for (uint32_t i = 0; i < N; i++) a[i] = scramble(i), b[i] = scramble(i + 1000);
    ath_box_muller(a, b, N, all);
    for (size_t i = 0; i < N; i++) {
        ath_box_muller(a + i, b + i, 1, one);
        CHECK(memcmp(one, all + 2 * i, sizeof one) == 0, "pair %zu: alone %.17g, among %d %.17g", i, one[0], N,
              all[2 * i]);
    }
}

/* A uniform is the upper 24 bits of the same word. */
static void normal_numbers_are_made_of_the_generators_words(void **state) {
    (void)state;
    enum { N = 1000 };
    double z[N];
    float u[N];
    int compared = 0;
    ath_rng_normal_f64(seed7, ATH_S_TEST, 4, z, N);
    ath_rng_uniform(seed7, ATH_S_TEST, 4, u, N);
    for (int i = 0; i < N; i += 2) {
        if (u[i] < 0.01f || u[i] > 0.99f) continue; /* where the logarithm's slope is moderate */
        const double radius = sqrt(-2 * log((double)u[i])), angle = 6.283185307179586 * (double)u[i + 1];
        CHECK(fabs(z[i] - radius * cos(angle)) < 1e-4 && fabs(z[i + 1] - radius * sin(angle)) < 1e-4,
              "numbers %d and %d: %g %g, expected %g %g", i, i + 1, z[i], z[i + 1], radius * cos(angle),
              radius * sin(angle));
        compared++;
    }
    CHECK(compared > N / 3, "%d pairs of %d", compared, N / 2);
}

static double correlation(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum / (double)n; /* of N(0,1) numbers; its standard error is 1/sqrt(n) */
}

/* Every pair of (seed, stream, index) here differs in one thing, in both words of the wide ones. */
static void seeds_streams_and_indices_draw_independent_numbers(void **state) {
    (void)state;
    enum { N = 1 << 16 };
    static const struct source {
        uint64_t seed;
        ath_stream who;
        uint64_t index;
    } source[] = {{7, ATH_S_TEST, 0},       {8, ATH_S_TEST, 0},          {7 + (1ull << 32), ATH_S_TEST, 0},
                  {7, ATH_S_SAMPLER, 0},    {7, ATH_S_NOISE, 0},         {7, ATH_S_TEST, 1},
                  {7, ATH_S_TEST, 1 << 24}, {7, ATH_S_TEST, 1ull << 32}, {0, ATH_S_TEST, 7},
                  {1, ATH_S_TEST, 0},       {7, ATH_S_TEST, UINT64_MAX}, {UINT64_MAX, ATH_S_TEST, 0}};
    enum { SOURCES = sizeof source / sizeof *source };
    float *all = get_memory((size_t)SOURCES * N * sizeof *all);
    for (int i = 0; i < SOURCES; i++)
        ath_rng_normal((ath_rng){source[i].seed}, source[i].who, source[i].index, all + (size_t)i * N, N);
    for (int i = 0; i < SOURCES; i++)
        for (int j = 0; j <= i; j++)
            for (size_t shift = 0; shift <= 4; shift++) { /* 4: the same place of the next block */
                if (i == j && shift == 0) continue;
                const double c = correlation(all + (size_t)i * N + shift, all + (size_t)j * N, N - shift);
                CHECK(fabs(c) < 5 / sqrt(N),
                      "sources %d and %d, shift %zu: correlation %.4f, 5 standard errors are %.4f", i, j, shift, c,
                      5 / sqrt(N));
            }
    free(all);
}

/* First moments of N(0,1) are 0, 1, 0, 3, with variances 1, 2, 6 (15 without centring), 24 (96) over n. */
static void normal_numbers_have_the_moments_of_the_normal(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    double *x = get_memory(N * sizeof *x), sum[5] = {0}, largest = 0;
    ath_rng_normal_f64(seed7, ATH_S_TEST, 0, x, N);
    for (int i = 0; i < N; i++) {
        double power = 1;
        for (int k = 1; k <= 4; k++) sum[k] += power *= x[i];
        if (fabs(x[i]) > largest) largest = fabs(x[i]);
    }
    static const double expected[5] = {1, 0, 1, 0, 3}, variance[5] = {0, 1, 2, 15, 96};
    for (int k = 1; k <= 4; k++) {
        const double moment = sum[k] / N, error = sqrt(variance[k] / N);
        CHECK(fabs(moment - expected[k]) < 4 * error,
              "moment %d of %d numbers, seed 7: %.5f, expected %.5f +- 4 x %.5f", k, N, moment, expected[k], error);
    }
    const double mean = sum[1] / N, var = sum[2] / N - mean * mean;
    const double fourth = sum[4] / N - 4 * mean * sum[3] / N + 6 * mean * mean * sum[2] / N - 3 * pow(mean, 4);
    CHECK(fabs(fourth / (var * var) - 3) < 4 * sqrt(24.0 / N), "kurtosis %.5f, expected 3 +- 4 x %.5f",
          fourth / (var * var), sqrt(24.0 / N));
    CHECK(largest > 4 && largest < 7, "largest of %d normals: %.2f", N, largest);
    free(x);
}

static void uniform_numbers_fill_the_unit_interval_evenly(void **state) {
    (void)state;
    enum { N = 1 << 20, BINS = 256 };
    float *x = get_memory(N * sizeof *x);
    ath_rng_uniform(seed7, ATH_S_TEST, 1, x, N);
    double sum = 0, squares = 0;
    int count[BINS] = {0};
    for (int i = 0; i < N; i++) {
        CHECK(x[i] >= 0 && x[i] < 1, "number %d is %g", i, (double)x[i]);
        const float step = x[i] * 0x1p24f;
        CHECK(step == floorf(step), "number %d is no multiple of 2^-24: %a", i, (double)x[i]);
        sum += (double)x[i], squares += (double)x[i] * (double)x[i];
        count[(int)(x[i] * BINS)]++;
    }
    /* moments 1/2 and 1/3; variances of x and x^2 are 1/12 and 4/45 */
    CHECK(fabs(sum / N - 0.5) < 4 * sqrt(1.0 / 12 / N), "mean %.6f, seed 7", sum / N);
    CHECK(fabs(squares / N - 1.0 / 3) < 4 * sqrt(4.0 / 45 / N), "mean square %.6f, seed 7", squares / N);
    double chi2 = 0;
    for (int b = 0; b < BINS; b++) chi2 += pow(count[b] - (double)N / BINS, 2) / ((double)N / BINS);
    CHECK(fabs(chi2 - (BINS - 1)) < 5 * sqrt(2.0 * (BINS - 1)), "chi-squared of %d bins: %.1f, seed 7", BINS, chi2);
    free(x);
}

static void single_uniform_draws_are_even_over_indices(void **state) {
    (void)state;
    enum { N = 1 << 18 };
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double u = ath_rng_uniform1(seed7, ATH_S_TIMESTEP, i);
        CHECK(u >= 0 && u < 1, "index %llu gives %g", (unsigned long long)i, u);
        sum += u, squares += u * u;
    }
    CHECK(fabs(sum / N - 0.5) < 4 * sqrt(1.0 / 12 / N), "mean %.6f, seed 7", sum / N);
    CHECK(fabs(squares / N - 1.0 / 3) < 4 * sqrt(4.0 / 45 / N), "mean square %.6f, seed 7", squares / N);
}

static const uint64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 63, 64, 65, 255, 1000, 4097, 60000};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void a_shuffle_visits_every_item_once(void **state) {
    (void)state;
    bool *seen = get_memory(60000 * sizeof *seen);
    for (int s = 0; s < SIZES; s++)
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            const uint64_t n = sizes[s];
            memset(seen, 0, 60000 * sizeof *seen);
            for (uint64_t i = 0; i < n; i++) {
                const uint64_t at = ath_rng_permute(seed7, ATH_S_SHUFFLE, epoch, i, n);
                CHECK(at < n, "n %llu, epoch %llu: item %llu goes to %llu", (unsigned long long)n,
                      (unsigned long long)epoch, (unsigned long long)i, (unsigned long long)at);
                CHECK(!seen[at], "n %llu, epoch %llu: %llu is visited twice", (unsigned long long)n,
                      (unsigned long long)epoch, (unsigned long long)at);
                seen[at] = true;
            }
        }
    free(seen);
}

/* Two random permutations agree in one place on average, with variance 1. */
static void epochs_and_seeds_shuffle_differently(void **state) {
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        const uint64_t n = sizes[s];
        if (n < 64) continue;
        int same_epoch = 0, same_seed = 0, in_place = 0;
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t here = ath_rng_permute(seed7, ATH_S_SHUFFLE, 0, i, n);
            same_epoch += here == ath_rng_permute(seed7, ATH_S_SHUFFLE, 1, i, n);
            same_seed += here == ath_rng_permute((ath_rng){8}, ATH_S_SHUFFLE, 0, i, n);
            in_place += here == i;
        }
        CHECK(same_epoch <= 8 && same_seed <= 8 && in_place <= 8,
              "n %llu: %d places the same in the next epoch, %d with the next seed, %d in place; 1 is expected",
              (unsigned long long)n, same_epoch, same_seed, in_place);
    }
}

/* Over many epochs an item is in each eighth of the order equally often. (In sets of a few items four Feistel
 * rounds are visibly uneven: of 5 items one keeps its place 26 times in 100. Nothing depends on that.) */
static void every_item_comes_to_every_part_of_the_order(void **state) {
    (void)state;
    enum { EPOCHS = 4000, PARTS = 8 };
    static const uint64_t many[] = {256, 1000, 60000};
    for (int s = 0; s < 3; s++)
        for (uint64_t item = 0; item < many[s]; item += many[s] / 7) {
            const uint64_t n = many[s];
            int count[PARTS] = {0};
            for (uint64_t epoch = 0; epoch < EPOCHS; epoch++)
                count[ath_rng_permute(seed7, ATH_S_SHUFFLE, epoch, item, n) * PARTS / n]++;
            const double expected = (double)EPOCHS / PARTS, error = sqrt(expected * (1 - 1.0 / PARTS));
            for (int p = 0; p < PARTS; p++)
                CHECK(fabs(count[p] - expected) < 5 * error,
                      "n %llu: item %llu in part %d of %d %d times of %d, expected %.0f +- 5 x %.0f",
                      (unsigned long long)n, (unsigned long long)item, p, PARTS, count[p], EPOCHS, expected, error);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_gives_the_known_answer_of_random123),
        cmocka_unit_test(the_same_counters_give_the_same_draw),
        cmocka_unit_test(a_longer_fill_begins_with_the_shorter_one),
        cmocka_unit_test(box_muller_agrees_with_libm),
        cmocka_unit_test(box_muller_gives_the_same_in_any_number),
        cmocka_unit_test(normal_numbers_are_made_of_the_generators_words),
        cmocka_unit_test(seeds_streams_and_indices_draw_independent_numbers),
        cmocka_unit_test(normal_numbers_have_the_moments_of_the_normal),
        cmocka_unit_test(uniform_numbers_fill_the_unit_interval_evenly),
        cmocka_unit_test(single_uniform_draws_are_even_over_indices),
        cmocka_unit_test(a_shuffle_visits_every_item_once),
        cmocka_unit_test(epochs_and_seeds_shuffle_differently),
        cmocka_unit_test(every_item_comes_to_every_part_of_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
