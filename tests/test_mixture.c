/* Exact denoisers of mixtures: against recorded values, against their definition in long double on awkward
 * sizes and extreme levels, and the laws that hold without a reference. */
#include "check.h"
#include "base/rng.h"
#include "diffusion/mixture.h"
#include "golden/golden.h"

static ath_err err;

static double *normals(uint64_t index, size_t n) {
    double *p = malloc((n + 1) * sizeof *p);
    assert_non_null(p);
    ath_rng_normal_f64((ath_rng){7}, ATH_S_TEST, index, p, n);
    return p;
}

static double *zeros(size_t n) {
    double *p = calloc(n + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

/* ---- recorded values ---- */

static ath_mixture *golden_mixture(const json_t *root, const char *name) {
    const json_t *one = golden_at(root, name);
    double weight[4], mean[64], std[4];
    const size_t parts = golden_list(golden_at(one, "weights"), weight, 4);
    golden_list(golden_at(one, "means"), mean, 64);
    golden_list(golden_at(one, "stds"), std, 4);
    ath_mixture *m;
    CHECK_OK(ath_mixture_create(&m, parts, (size_t)golden_number(one, "d"), weight, mean, std, &err));
    return m;
}

/* Values under `key`, where the case has them. */
static double compare_golden(const json_t *one, const char *key, const double *got, size_t n) {
    double expected[128], worst = 0;
    const json_t *list = json_object_get(one, key);
    if (!list) return 0;
    CHECK(golden_list(list, expected, 128) == n, "\"%s\" has not %zu numbers", key, n);
    for (size_t i = 0; i < n; i++) {
        const double error = fabs(got[i] - expected[i]) / (1 + fabs(expected[i]));
        worst = fmax(worst, error);
        CHECK(error < 1e-12, "%s %s %zu: %.16g, expected %.16g", golden_text(one, "kind"), key, i, got[i], expected[i]);
    }
    return worst;
}

static void check_golden(const json_t *mixtures, const json_t *values) {
    const json_t *cases = golden_at(values, "cases");
    double worst = 0;
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *one = json_array_get(cases, c);
        ath_mixture *m = golden_mixture(mixtures, golden_text(one, "mixture"));
        const char *kind = golden_text(one, "kind");
        ath_level at = {0, 1, 0};
        if (strcmp(kind, "vp") == 0)
            at = (ath_level){0, sqrt(golden_number(one, "abar")), sqrt(1 - golden_number(one, "abar"))};
        else if (strcmp(kind, "ve") == 0)
            at.sigma = golden_number(one, "sigma");
        else
            at = (ath_level){0, 1 - golden_number(one, "t"), golden_number(one, "t")};
        double x[128], x0[128], eps[128], other[128], log_p[64];
        const size_t len = golden_list(golden_at(one, "x"), x, 128), n = len / m->dim;
        CHECK_OK(ath_mixture_denoise(m, NULL, n, x, &at, 0, x0, eps, &err));
        const char *const names[2][2] = {{"x0", "eps"}, {"D", "ode_rhs"}};
        for (int k = 0; k < 2; k++) {
            worst = fmax(worst, compare_golden(one, names[k][0], x0, len));
            worst = fmax(worst, compare_golden(one, names[k][1], eps, len));
        }
        for (size_t i = 0; i < len; i++) other[i] = at.alpha * eps[i] - at.sigma * x0[i];
        worst = fmax(worst, compare_golden(one, "v", other, len));
        for (size_t i = 0; i < len; i++) other[i] = eps[i] - x0[i];
        worst = fmax(worst, compare_golden(one, "velocity", other, len));
        for (size_t i = 0; i < len; i++) other[i] = -eps[i] / at.sigma;
        worst = fmax(worst, compare_golden(one, "score", other, len));
        CHECK_OK(ath_mixture_log_density(m, NULL, n, x, at, log_p, &err));
        worst = fmax(worst, compare_golden(one, "logp", log_p, n));
        ath_mixture_destroy(m);
    }
    print_message("%zu cases: largest relative error %.1e\n", json_array_size(cases), worst);
}

static void the_values_are_those_recorded(void **state) {
    (void)state;
    json_t *mixtures = golden_tree("mixtures.json"), *values = golden_tree("model_values.json");
    check_golden(mixtures, values);
    json_decref(mixtures);
    json_decref(values);
}

static void the_values_are_those_of_the_full_set(void **state) {
    (void)state;
    json_t *mixtures = golden_shared("mixtures.json"), *values = golden_shared("model_values.json");
    check_golden(mixtures, values);
    json_decref(mixtures);
    json_decref(values);
}

/* ---- the definition, in long double ---- */

typedef struct parts {
    size_t n, dim;
    double *weight, *mean, *std;
} parts;

/* Every third std is 0 where `points` says so, or all are. */
enum spread { BROAD, MIXED, POINTS };
static parts random_parts(size_t n, size_t dim, enum spread spread, uint64_t index) {
    parts p = {n, dim, normals(index, n), normals(index + 1, n * dim), normals(index + 2, n)};
    for (size_t k = 0; k < n; k++) {
        p.weight[k] = exp(p.weight[k]);
        p.std[k] = spread == POINTS || (spread == MIXED && k % 3 == 0) ? 0 : 0.1 + fabs(p.std[k]);
    }
    return p;
}

static void free_parts(parts *p) { free(p->weight), free(p->mean), free(p->std); }

static ath_mixture *mixture_of(const parts *p) {
    ath_mixture *m;
    CHECK_OK(ath_mixture_create(&m, p->n, p->dim, p->weight, p->mean, p->std, &err));
    return m;
}

/* x0 and eps at x, as mixture.h defines them but in x's own scale: V = alpha^2 s^2 + sigma^2. */
static void define(const parts *p, const double *x, ath_level at, double *x0, double *eps) {
    const long double alpha = (long double)at.alpha, sigma = (long double)at.sigma;
    long double *log_r = malloc(p->n * sizeof *log_r), most = -INFINITY, sum = 0;
    assert_non_null(log_r);
    for (size_t k = 0; k < p->n; k++) {
        const long double s = (long double)p->std[k], V = alpha * alpha * s * s + sigma * sigma;
        long double d2 = 0;
        for (size_t d = 0; d < p->dim; d++) {
            const long double diff = (long double)x[d] - alpha * (long double)p->mean[k * p->dim + d];
            d2 += diff * diff;
        }
        log_r[k] = logl((long double)p->weight[k]) - (long double)p->dim / 2 * logl(V) - d2 / (2 * V);
        if (log_r[k] > most) most = log_r[k];
    }
    for (size_t k = 0; k < p->n; k++) sum += expl(log_r[k] - most);
    for (size_t d = 0; d < p->dim; d++) {
        long double image = 0, noise = 0;
        for (size_t k = 0; k < p->n; k++) {
            const long double s = (long double)p->std[k], V = alpha * alpha * s * s + sigma * sigma;
            const long double m = (long double)p->mean[k * p->dim + d], r = expl(log_r[k] - most) / sum;
            image += r * (m + alpha * s * s / V * ((long double)x[d] - alpha * m));
            noise += r * sigma / V * ((long double)x[d] - alpha * m);
        }
        x0[d] = (double)image;
        eps[d] = (double)noise;
    }
    free(log_r);
}

/* Points as the process makes them. */
static double *states(const parts *p, ath_level at, size_t n, uint64_t index) {
    double *x = normals(index, n * p->dim);
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < p->dim; d++)
            x[i * p->dim + d] = at.alpha * p->mean[(i * 5 + 1) % p->n * p->dim + d] + at.sigma * x[i * p->dim + d];
    return x;
}

static double compare(const parts *p, const ath_mixture *m, const double *x, size_t n, ath_level at, double room) {
    double *x0 = zeros(n * p->dim), *eps = zeros(n * p->dim), *e0 = zeros(p->dim), *e1 = zeros(p->dim), worst = 0;
    CHECK_OK(ath_mixture_denoise(m, NULL, n, x, &at, 0, x0, eps, &err));
    for (size_t i = 0; i < n; i++) {
        define(p, x + i * p->dim, at, e0, e1);
        for (size_t d = 0; d < p->dim; d++) {
            const double a = x0[i * p->dim + d], b = eps[i * p->dim + d];
            const double error = fmax(fabs(a - e0[d]) / (1 + fabs(e0[d])), fabs(b - e1[d]) / (1 + fabs(e1[d])));
            worst = fmax(worst, error);
            CHECK(error <= room,
                  "%zu parts of %zu, alpha %g, sigma %g: x0 %.16g and eps %.16g, expected %.16g and %.16g", p->n,
                  p->dim, at.alpha, at.sigma, a, b, e0[d], e1[d]);
        }
    }
    free(x0), free(eps), free(e0), free(e1);
    return worst;
}

static ath_level vp(double tau) { return (ath_level){0, 1 / hypot(1, tau), tau / hypot(1, tau)}; }
static ath_level flow(double tau) { return (ath_level){0, 1 / (1 + tau), tau / (1 + tau)}; }

static void every_size_and_level_gives_what_the_definition_says(void **state) {
    (void)state;
    static const size_t size[][3] = {/* parts, dim, points */
                                     {1, 1, 1},    {2, 3, 5},    {7, 1, 17},   {8, 8, 16}, {9, 33, 3},
                                     {65, 100, 4}, {64, 257, 2}, {200, 16, 7}, {3, 513, 2}};
    double worst = 0;
    for (size_t q = 0; q < sizeof size / sizeof *size; q++)
        for (int spread = BROAD; spread <= POINTS; spread++) {
            parts p = random_parts(size[q][0], size[q][1], (enum spread)spread, 10 * q);
            ath_mixture *m = mixture_of(&p);
            for (double tau = 1e-6; tau < 2e4; tau *= 10) {
                const ath_level at[3] = {{0, 1, tau}, vp(tau), flow(tau)};
                for (int k = 0; k < 3; k++) {
                    /* the state is rounded: of |x| 2^-53 that is, which at small tau is a part of the noise */
                    double *x = states(&p, at[k], size[q][2], 10 * q + 5);
                    const double room = 1e-13 * sqrt((double)p.dim) + 1e-15 / fmin(1, tau);
                    worst = fmax(worst, compare(&p, m, x, size[q][2], at[k], room));
                    free(x);
                }
            }
            ath_mixture_destroy(m);
            free_parts(&p);
        }
    print_message("largest error %.1e\n", worst);
}

static void points_far_from_all_data_are_denoised_too(void **state) {
    (void)state;
    for (int spread = BROAD; spread <= POINTS; spread++) {
        parts p = random_parts(9, 6, (enum spread)spread, 300);
        ath_mixture *m = mixture_of(&p);
        for (double far = 10; far < 2e4; far *= 10)
            for (double sigma = 0.1; sigma < 20; sigma *= 10) {
                double x[6];
                for (int d = 0; d < 6; d++) x[d] = far * (d % 2 ? 1 : -0.7);
                const ath_level at = {0, 1, sigma};
                double log_r_error = 1e-16 * 6 * far * far / (sigma * sigma); /* of the differences of their squares */
                compare(&p, m, x, 1, at, 1e-13 + 10 * log_r_error);
            }
        double x[6] = {1e30, -1e30, 1e30, 0, 0, 0}, x0[6], eps[6];
        CHECK_OK(ath_mixture_denoise(m, NULL, 1, x, &(ath_level){0, 1, 1e-6}, 0, x0, eps, &err));
        for (int d = 0; d < 6; d++) CHECK(isfinite(x0[d]) && isfinite(eps[d]), "x0 %g, eps %g", x0[d], eps[d]);
        ath_mixture_destroy(m);
        free_parts(&p);
    }
}

static void the_ends_are_the_limits(void **state) {
    (void)state;
    parts p = random_parts(5, 3, BROAD, 400);
    ath_mixture *m = mixture_of(&p);
    const double x[3] = {0.3, -1.2, 0.7};
    double x0[3], eps[3], near0[3], near_eps[3];
    CHECK_OK(ath_mixture_denoise(m, NULL, 1, x, &(ath_level){0, 0.5, 0}, 0, x0, eps, &err));
    CHECK_OK(ath_mixture_denoise(m, NULL, 1, x, &(ath_level){0, 0.5, 1e-8}, 0, near0, near_eps, &err));
    for (int d = 0; d < 3; d++) {
        CHECK(x0[d] == x[d] / 0.5 && eps[d] == 0, "clean: x0 %g of %g, eps %g", x0[d], x[d], eps[d]);
        CHECK(fabs(x0[d] - near0[d]) < 1e-12 && fabs(near_eps[d]) < 1e-5, "near clean: %g, %g", near0[d], near_eps[d]);
    }
    double mean[3] = {0}, sum = 0;
    for (size_t k = 0; k < p.n; k++) sum += p.weight[k];
    for (size_t k = 0; k < p.n * 3; k++) mean[k % 3] += p.weight[k / 3] / sum * p.mean[k];
    for (double alpha = 1e-9; alpha > 1e-310; alpha = alpha > 1e-300 ? alpha * 1e-60 : 0) {
        CHECK_OK(ath_mixture_denoise(m, NULL, 1, x, &(ath_level){0, alpha, 2}, 0, x0, eps, &err));
        for (int d = 0; d < 3; d++)
            CHECK(fabs(x0[d] - mean[d]) < 1e-8 && fabs(eps[d] - x[d] / 2) < 1e-8,
                  "noise, alpha %g: x0 %g, expected %g; eps %g, expected %g", alpha, x0[d], mean[d], eps[d], x[d] / 2);
        if (alpha == 0) break;
    }
    ath_mixture_destroy(m);
    free_parts(&p);
}

static void a_data_set_is_a_mixture_of_points(void **state) {
    (void)state;
    enum { N = 70, DIM = 300 };
    float *image = malloc(N * DIM * sizeof *image);
    assert_non_null(image);
    parts p = random_parts(N, DIM, POINTS, 500);
    for (size_t i = 0; i < N * DIM; i++) {
        image[i] = (float)p.mean[i];
        p.mean[i] = (double)image[i];
    }
    for (size_t k = 0; k < N; k++) p.weight[k] = 1, p.std[k] = 0.05;
    ath_mixture *m;
    CHECK_OK(ath_mixture_from_images(&m, N, DIM, image, 0.05, &err));
    for (double tau = 1e-4; tau < 1e4; tau *= 10) {
        double *x = states(&p, vp(tau), 20, 501);
        compare(&p, m, x, 20, vp(tau), 1e-11);
        free(x);
    }
    double square = 0;
    for (size_t i = 0; i < N * DIM; i++) square += p.mean[i] * p.mean[i] / (N * DIM);
    CHECK(fabs(m->scale - sqrt(square + 0.05 * 0.05)) < 1e-12, "scale %.15g", m->scale);
    ath_mixture_destroy(m);
    free_parts(&p);
}

/* ---- laws ---- */

static void threads_and_company_change_no_bit(void **state) {
    (void)state;
    enum { N = 45 };
    parts p = random_parts(130, 300, MIXED, 600);
    ath_mixture *m = mixture_of(&p);
    double *x = states(&p, vp(2), N, 601), *x0 = zeros(N * p.dim), *eps = zeros(N * p.dim), *other0 = zeros(N * p.dim),
           *other1 = zeros(N * p.dim);
    ath_level at[N];
    for (int i = 0; i < N; i++) at[i] = vp(exp((i - 20) / 3.0));
    CHECK_OK(ath_mixture_denoise(m, NULL, N, x, at, 1, x0, eps, &err));
    for (int threads = 1; threads <= 4; threads++) {
        ath_pool *pool;
        CHECK_OK(ath_pool_create(&pool, threads, &err));
        CHECK_OK(ath_mixture_denoise(m, pool, N, x, at, 1, other0, other1, &err));
        CHECK(memcmp(x0, other0, N * p.dim * sizeof *x0) == 0 && memcmp(eps, other1, N * p.dim * sizeof *x0) == 0,
              "%d threads give other bits", threads);
        ath_pool_destroy(pool);
    }
    for (size_t i = 0; i < N; i++) {
        CHECK_OK(ath_mixture_denoise(m, NULL, 1, x + i * p.dim, &at[i], 0, other0, NULL, &err));
        CHECK_OK(ath_mixture_denoise(m, NULL, 1, x + i * p.dim, &at[i], 0, NULL, other1, &err));
        CHECK(memcmp(x0 + i * p.dim, other0, p.dim * sizeof *x0) == 0 &&
                  memcmp(eps + i * p.dim, other1, p.dim * sizeof *x0) == 0,
              "point %zu alone gives other bits", i);
    }
    CHECK_OK(ath_mixture_denoise(m, NULL, N, x, at, 1, x, other1, &err));
    CHECK(memcmp(x0, x, N * p.dim * sizeof *x0) == 0, "in place gives other bits");
    ath_mixture_destroy(m);
    free(x), free(x0), free(eps), free(other0), free(other1);
    free_parts(&p);
}

/* x = alpha x0 + sigma eps, whatever the data */
static void image_and_noise_add_up_to_the_state(void **state) {
    (void)state;
    parts p = random_parts(40, 10, MIXED, 700);
    ath_mixture *m = mixture_of(&p);
    for (double tau = 1e-6; tau < 2e4; tau *= 10) {
        double *x = states(&p, vp(tau), 30, 701), *x0 = zeros(300), *eps = zeros(300);
        const ath_level at = vp(tau);
        CHECK_OK(ath_mixture_denoise(m, NULL, 30, x, &at, 0, x0, eps, &err));
        for (int i = 0; i < 300; i++)
            CHECK(fabs(at.alpha * x0[i] + at.sigma * eps[i] - x[i]) < 1e-14,
                  "tau %g: %.16g and %.16g make %.16g, not %.16g", tau, x0[i], eps[i],
                  at.alpha * x0[i] + at.sigma * eps[i], x[i]);
        free(x), free(x0), free(eps);
    }
    ath_mixture_destroy(m);
    free_parts(&p);
}

static void the_noise_is_the_slope_of_the_log_density(void **state) {
    (void)state;
    parts p = random_parts(6, 4, BROAD, 800);
    ath_mixture *m = mixture_of(&p);
    for (double tau = 0.01; tau < 200; tau *= 3) {
        const ath_level at = vp(tau);
        double *x = states(&p, at, 1, 801), eps[4], moved[8 * 4], log_p[8];
        CHECK_OK(ath_mixture_denoise(m, NULL, 1, x, &at, 0, NULL, eps, &err));
        const double h = 1e-5 * hypot(0.1, at.sigma);
        for (int d = 0; d < 4; d++)
            for (int side = 0; side < 2; side++) {
                memcpy(moved + (2 * d + side) * 4, x, 4 * sizeof *x);
                moved[(2 * d + side) * 4 + d] += side ? h : -h;
            }
        CHECK_OK(ath_mixture_log_density(m, NULL, 8, moved, at, log_p, &err));
        for (int d = 0; d < 4; d++) {
            const double slope = (log_p[2 * d + 1] - log_p[2 * d]) / (2 * h);
            CHECK(fabs(slope + eps[d] / at.sigma) < 1e-5 * (1 + fabs(slope)), "tau %g: slope %g, -eps/sigma %g", tau,
                  slope, -eps[d] / at.sigma);
        }
        free(x);
    }
    const ath_level noise = {0, 0, 2}; /* N(0, 4) */
    const double origin[4] = {0, 0, 0, 2};
    double log_p;
    CHECK_OK(ath_mixture_log_density(m, NULL, 1, origin, noise, &log_p, &err));
    CHECK(fabs(log_p + 4 * log(2 * sqrt(2 * 3.14159265358979323846)) + 0.5) < 1e-12, "log density %.15g", log_p);
    ath_mixture_destroy(m);
    free_parts(&p);
}

/* Of one Gaussian the flow keeps (X - m) / sqrt(s^2 + tau^2). */
static void one_part_lands_where_its_flow_ends(void **state) {
    (void)state;
    const double mean[2] = {0.3, -2}, weight = 3, x[2] = {1.7, 0.4};
    for (double s = 0; s < 3; s = s * 10 + 1e-3) {
        ath_mixture *m;
        CHECK_OK(ath_mixture_create(&m, 1, 2, &weight, mean, &s, &err));
        for (double tau = 1e-3; tau < 200; tau *= 10) {
            const ath_level at = vp(tau);
            double landed[2];
            CHECK_OK(ath_mixture_land(m, NULL, 1, x, &at, 0, landed, &err));
            for (int d = 0; d < 2; d++) {
                const double expected = mean[d] + (x[d] / at.alpha - mean[d]) * s / hypot(s, tau);
                CHECK(fabs(landed[d] - expected) < 1e-14 * (1 + fabs(x[d] / at.alpha)),
                      "s %g, tau %g: %.15g, expected %.15g", s, tau, landed[d], expected);
            }
        }
        ath_mixture_destroy(m);
    }
}

static void as_a_denoiser_it_gives_the_same_clipped(void **state) {
    (void)state;
    parts p = random_parts(12, 5, BROAD, 900);
    ath_mixture *m = mixture_of(&p);
    double *x = states(&p, vp(1), 3, 901), x0[15], given[15];
    const ath_level at[3] = {vp(1), vp(2), vp(0.5)};
    ath_mixture_denoiser d = {.mixture = m, .n = 3, .clip = true};
    const ath_denoiser net = ath_mixture_denoiser_as(&d);
    CHECK_OK(ath_mixture_denoise(m, NULL, 3, x, at, 1, x0, NULL, &err));
    CHECK_OK(net.x0(net.self, x, at, 1, given, &err));
    int clipped = 0;
    for (int i = 0; i < 15; i++) {
        CHECK(given[i] == fmax(-1, fmin(1, x0[i])), "x0 %g, clipped %g", x0[i], given[i]);
        clipped += fabs(x0[i]) > 1;
    }
    CHECK(clipped > 0, "nothing to clip in this test");
    free(x);
    ath_mixture_destroy(m);
    free_parts(&p);
}

static void what_is_no_mixture_or_no_level_is_refused(void **state) {
    (void)state;
    const double weight[2] = {1, 2}, mean[4] = {0, 1, 2, 3}, std[2] = {0, 1};
    ath_mixture *m;
    CHECK_FAILS(ath_mixture_create(&m, 0, 2, weight, mean, std, &err), ATH_E_ARG, "0 parts");
    CHECK_FAILS(ath_mixture_create(&m, 2, 0, weight, mean, std, &err), ATH_E_ARG, "of 0 numbers");
    CHECK_FAILS(ath_mixture_create(&m, SIZE_MAX / 2, 2, weight, mean, std, &err), ATH_E_ARG, "parts");
    CHECK_FAILS(ath_mixture_create(&m, 2, 2, (double[]){1, 0}, mean, std, &err), ATH_E_ARG, "weight 1");
    CHECK_FAILS(ath_mixture_create(&m, 2, 2, (double[]){NAN, 1}, mean, std, &err), ATH_E_ARG, "weight 0");
    CHECK_FAILS(ath_mixture_create(&m, 2, 2, (double[]){1e308, 1e308}, mean, std, &err), ATH_E_ARG, "sum");
    CHECK_FAILS(ath_mixture_create(&m, 2, 2, weight, mean, (double[]){0, -1}, &err), ATH_E_ARG, "std 1");
    CHECK_FAILS(ath_mixture_create(&m, 2, 2, weight, mean, (double[]){0, NAN}, &err), ATH_E_ARG, "std 1");
    CHECK_FAILS(ath_mixture_create(&m, 2, 2, weight, (double[]){0, 1, INFINITY, 3}, std, &err), ATH_E_ARG, "mean 1");
    CHECK(m == NULL, "a refused mixture is returned");
    float *image = malloc(4 * sizeof *image);
    assert_non_null(image);
    image[0] = image[1] = image[2] = 0, image[3] = NAN;
    CHECK_FAILS(ath_mixture_from_images(&m, 2, 2, image, 0, &err), ATH_E_ARG, "mean 1");
    image = malloc(4 * sizeof *image);
    CHECK_FAILS(ath_mixture_from_images(&m, 2, 2, image, -1, &err), ATH_E_ARG, "std");
    ath_mixture_destroy(NULL);

    CHECK_OK(ath_mixture_create(&m, 2, 2, weight, mean, std, &err));
    double x[2] = {0, 0}, x0[2];
    static const ath_level bad[] = {{0, 0, 0}, {0, -1, 1}, {0, 1, -1}, {0, NAN, 1}, {0, 1, INFINITY}};
    for (int i = 0; i < 5; i++)
        CHECK_FAILS(ath_mixture_denoise(m, NULL, 1, x, &bad[i], 0, x0, NULL, &err), ATH_E_ARG, "not a noise level");
    CHECK_FAILS(ath_mixture_log_density(m, NULL, 1, x, (ath_level){0, 1, 0}, x0, &err), ATH_E_ARG, "part 0");
    CHECK_OK(ath_mixture_denoise(m, NULL, 0, x, &(ath_level){0, 1, 1}, 0, x0, NULL, &err));
    ath_mixture_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_values_are_those_recorded),
        cmocka_unit_test(the_values_are_those_of_the_full_set),
        cmocka_unit_test(every_size_and_level_gives_what_the_definition_says),
        cmocka_unit_test(points_far_from_all_data_are_denoised_too),
        cmocka_unit_test(the_ends_are_the_limits),
        cmocka_unit_test(a_data_set_is_a_mixture_of_points),
        cmocka_unit_test(threads_and_company_change_no_bit),
        cmocka_unit_test(image_and_noise_add_up_to_the_state),
        cmocka_unit_test(the_noise_is_the_slope_of_the_log_density),
        cmocka_unit_test(one_part_lands_where_its_flow_ends),
        cmocka_unit_test(as_a_denoiser_it_gives_the_same_clipped),
        cmocka_unit_test(what_is_no_mixture_or_no_level_is_refused),
    };
    return cmocka_run_group_tests_name("mixtures", tests, NULL, NULL);
}
