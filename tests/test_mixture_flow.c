/* Exact solutions: the solver of ordinary differential equations keeps its tolerance, and the flow of a mixture is that
 * of SciPy's DOP853 (shared/golden), of closed forms, and its own inverse. */
#include "check.h"
#include <math.h>
#include "base/rng.h"
#include "diffusion/mixture_flow.h"
#include "diffusion/ode.h"
#include "golden/golden.h"

static ath_err err;

/* ---- the solver ---- */

/* Rotations of different speeds: x'' = -(1 + i)^2 x as a system of two numbers cannot tell which it is, so
 * the speed is a third. */
static ath_status rotation(void *self, size_t n, const double *t, const double *x, double *dx, ath_err *e) {
    (void)t, (void)e;
    int *calls = self;
    ++*calls;
    for (size_t i = 0; i < n; i++, x += 3, dx += 3) {
        dx[0] = x[2] * x[1];
        dx[1] = -x[2] * x[0];
        dx[2] = 0;
    }
    return ATH_OK;
}

static double rotate(size_t n, double tolerance, double to, double *x, ath_ode *out) {
    int calls = 0;
    for (size_t i = 0; i < n; i++) x[3 * i] = 0, x[3 * i + 1] = 1, x[3 * i + 2] = (double)(i + 1);
    ath_ode ode = {.n = n, .dim = 3, .self = &calls, .slope = rotation, .tolerance = tolerance};
    CHECK_OK(ath_ode_solve(&ode, 0, to, x, &err));
    CHECK(ode.calls == calls, "%ld calls counted of %d", ode.calls, calls);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double angle = (double)(i + 1) * to;
        worst = fmax(worst, fmax(fabs(x[3 * i] - sin(angle)), fabs(x[3 * i + 1] - cos(angle))));
    }
    if (out) *out = ode;
    return worst;
}

static void the_error_follows_the_tolerance_and_the_steps_its_fifth_root(void **state) {
    (void)state;
    double x[30];
    ath_ode coarse, fine;
    for (double tolerance = 1e-4; tolerance > 1e-13; tolerance /= 100) {
        const double error = rotate(1, tolerance, 10, x, NULL), back = rotate(1, tolerance, -10, x, NULL);
        CHECK(error < 20 * tolerance && back < 20 * tolerance, "tolerance %g: errors %.2e and, backwards, %.2e",
              tolerance, error, back);
    }
    rotate(10, 1e-6, 3, x, &coarse);
    rotate(10, 1e-11, 3, x, &fine);
    const double more = (double)fine.steps / (double)coarse.steps;
    CHECK(more > 7 && more < 14, "a hundred thousandth of the error takes %g times the steps, expected about 10", more);
}

static void a_system_does_not_see_the_others(void **state) {
    (void)state;
    double together[30], alone[30];
    rotate(10, 1e-9, 2, together, NULL);
    for (size_t n = 1; n < 10; n++) {
        rotate(n, 1e-9, 2, alone, NULL);
        CHECK(memcmp(together, alone, 3 * n * sizeof *alone) == 0, "%zu systems differ from the same among ten", n);
    }
}

/* x' = x^2, x(0) = 1: 1/(1 - t), which ends at 1 */
static ath_status explosion(void *self, size_t n, const double *t, const double *x, double *dx, ath_err *e) {
    (void)t;
    if (self) return ath_fail(e, ATH_E_MEM, "the slope failed");
    for (size_t i = 0; i < n; i++) dx[i] = x[i] * x[i];
    return ATH_OK;
}

static void what_cannot_be_solved_is_refused(void **state) {
    (void)state;
    double x[2] = {1, 0.1};
    ath_ode ode = {.n = 2, .dim = 1, .slope = explosion, .tolerance = 1e-10};
    CHECK_FAILS(ath_ode_solve(&ode, 0, 2, x, &err), ATH_E_ARG, "too short");
    CHECK_FAILS(ath_ode_solve(&ode, 0, INFINITY, x, &err), ATH_E_ARG, "finite ends");
    ode.max_steps = 3;
    CHECK_FAILS(ath_ode_solve(&ode, 0, 0.9, (double[2]){1, 0.1}, &err), ATH_E_ARG, "more steps");
    ode.tolerance = 0;
    CHECK_FAILS(ath_ode_solve(&ode, 0, 0.9, x, &err), ATH_E_ARG, "tolerance");
    ode = (ath_ode){.n = 1, .dim = 1, .self = &ode, .slope = explosion, .tolerance = 1e-10};
    CHECK_FAILS(ath_ode_solve(&ode, 0, 0.9, x, &err), ATH_E_MEM, "the slope failed");
    double nan[1] = {NAN};
    ode.self = NULL;
    CHECK_FAILS(ath_ode_solve(&ode, 0, 0.5, nan, &err), ATH_E_ARG, "not finite");
    ode.n = 0;
    CHECK_OK(ath_ode_solve(&ode, 0, 0.5, NULL, &err));
}

/* ---- the flow ---- */

enum { POINTS = 8, MOST = POINTS * 16 };

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

static ath_level golden_level(const char *kind, const json_t *at) {
    if (strcmp(kind, "vp_probability_flow") == 0) {
        const double alpha_bar = golden_number(at, "abar");
        return (ath_level){0, sqrt(alpha_bar), sqrt(1 - alpha_bar)};
    }
    if (strcmp(kind, "ve_probability_flow") == 0) return (ath_level){0, 1, golden_number(at, "sigma")};
    assert_string_equal(kind, "rectified_flow");
    return (ath_level){0, 1 - golden_number(at, "t"), golden_number(at, "t")};
}

static size_t golden_state(const char *kind, const json_t *at, double *x) {
    return golden_list(golden_at(at, kind[0] == 'v' && kind[1] == 'p' ? "x_vp" : "x"), x, MOST);
}

/* From the first level to every checkpoint at once, and from each to the next. */
static double follow_reference(const ath_mixture *m, const json_t *one, ath_level first, const double *start) {
    const char *kind = golden_text(one, "kind");
    const json_t *points = golden_at(one, "checkpoints");
    double step[MOST], expected[MOST], worst = 0;
    memcpy(step, start, sizeof step);
    ath_level before = first;
    for (size_t c = 0; c < json_array_size(points); c++) {
        const json_t *at = json_array_get(points, c);
        const ath_level level = golden_level(kind, at);
        double x[MOST];
        memcpy(x, start, sizeof x);
        const size_t len = golden_state(kind, at, expected);
        CHECK_OK(ath_mixture_flow(m, NULL, len / m->dim, x, first, level, 0, NULL, &err));
        CHECK_OK(ath_mixture_flow(m, NULL, len / m->dim, step, before, level, 0, NULL, &err));
        before = level;
        for (size_t d = 0; d < len; d++) {
            const double error = fmax(fabs(x[d] - expected[d]), fabs(step[d] - expected[d])) / (1 + fabs(expected[d]));
            worst = fmax(worst, error);
            CHECK(error < 1e-11, "%s, to sigma %g: %.15g in one way and %.15g in steps, expected %.15g", kind,
                  level.sigma, x[d], step[d], expected[d]);
        }
    }
    return worst;
}

static void the_flow_is_scipys(void **state) {
    (void)state;
    json_t *root = golden_shared("ode_reference.json"), *mixtures = golden_shared("mixtures.json"),
           *noise = golden_shared("noise.json");
    const json_t *refs = golden_at(root, "refs");
    for (size_t i = 0; i < json_array_size(refs); i++) {
        const json_t *one = json_array_get(refs, i), *points = golden_at(one, "checkpoints");
        const char *kind = golden_text(one, "kind"), *name = golden_text(one, "mixture");
        ath_mixture *m = golden_mixture(mixtures, name);
        double x[MOST];
        ath_level first = golden_level(kind, json_array_get(points, 0));
        golden_state(kind, json_array_get(points, 0), x);
        if (json_array_size(points) == 1) { /* where it starts is told in words: at t = 0.999, at z0 */
            first = (ath_level){0, 1 - 0.999, 0.999};
            golden_list(golden_at(golden_at(noise, name), "z0"), x, MOST);
        }
        const double worst = follow_reference(m, one, first, x);
        print_message("%s %s, %s: largest error %.1e\n", name, kind, golden_text(one, "start"), worst);
        ath_mixture_destroy(m);
    }
    json_decref(root);
    json_decref(mixtures);
    json_decref(noise);
}

static ath_level vp(double tau) { return (ath_level){0, 1 / hypot(1, tau), tau / hypot(1, tau)}; }

/* Of N(m, s^2): (X - m) / sqrt(s^2 + tau^2) stays what it is; from pure noise, x itself is that. */
static void one_gaussian_flows_as_its_formula_says(void **state) {
    (void)state;
    const double weight = 1, mean[3] = {0.4, -3, 0};
    const ath_level from[] = {{0, 0, 1}, {0, 0, 3}, vp(1e4), {0, 1, 80}, vp(0.3), {0, 0.9, 0.1}};
    const ath_level to[] = {vp(100), vp(1), {0, 1, 0.01}, {0, 1, 1e-4}, {0, 0.99, 0.01}, {0, 2, 0}, {0, 1, 1e-6}};
    double worst = 0;
    for (double s = 0; s < 200; s = s == 0 ? 1e-7 : 30 * s) {
        ath_mixture *m;
        CHECK_OK(ath_mixture_create(&m, 1, 3, &weight, mean, &s, &err));
        for (size_t a = 0; a < sizeof from / sizeof *from; a++)
            for (size_t b = 0; b < sizeof to / sizeof *to; b++) {
                const double start[3] = {0.7 * from[a].sigma, -1.2 * from[a].sigma, 2 * from[a].sigma};
                double x[3];
                memcpy(x, start, sizeof x);
                CHECK_OK(ath_mixture_flow(m, NULL, 1, x, from[a], to[b], 0, NULL, &err));
                for (int d = 0; d < 3; d++) {
                    const double unit = (start[d] - from[a].alpha * mean[d]) / hypot(from[a].alpha * s, from[a].sigma);
                    const double expected = to[b].alpha * mean[d] + unit * hypot(to[b].alpha * s, to[b].sigma);
                    const double size = m->scale * to[b].alpha + to[b].sigma + fabs(expected);
                    const double error = fabs(x[d] - expected) / size;
                    worst = fmax(worst, error);
                    CHECK(error < 1e-11, "s %g, from %g/%g to %g/%g: %.15g, expected %.15g", s, from[a].sigma,
                          from[a].alpha, to[b].sigma, to[b].alpha, x[d], expected);
                }
            }
        ath_mixture_destroy(m);
    }
    print_message("largest error %.1e\n", worst);
}

enum { IMAGES = 40, DIM = 12, STARTS = 30 };

/* Images of 0s and 1s, the fifth twice. */
static ath_mixture *images(double std) {
    float *image = malloc(IMAGES * DIM * sizeof *image);
    assert_non_null(image);
    for (int k = 0; k < IMAGES; k++)
        for (int d = 0; d < DIM; d++)
            image[k * DIM + d] =
                ath_rng_uniform1((ath_rng){4}, ATH_S_TEST, (uint64_t)((k == 9 ? 4 : k) * DIM + d)) < 0.5 ? 0.0F : 1.0F;
    ath_mixture *m;
    CHECK_OK(ath_mixture_from_images(&m, IMAGES, DIM, image, std, &err));
    return m;
}

/* Memorisation: with std 0 every path ends on an image, and noise that sigma still has at small levels is what
 * separates it from there. */
static void a_data_set_is_reached_exactly(void **state) {
    (void)state;
    ath_mixture *m = images(0);
    double x[STARTS * DIM], near[STARTS * DIM];
    ath_rng_normal_f64((ath_rng){2}, ATH_S_TEST, 0, x, STARTS * DIM);
    memcpy(near, x, sizeof x);
    CHECK_OK(ath_mixture_flow(m, NULL, STARTS, x, (ath_level){0, 0, 1}, (ath_level){0, 1, 0}, 0, NULL, &err));
    CHECK_OK(ath_mixture_flow(m, NULL, STARTS, near, (ath_level){0, 0, 1}, (ath_level){0, 1, 1e-3}, 0, NULL, &err));
    for (int i = 0; i < STARTS; i++) {
        double least = INFINITY;
        for (int k = 0; k < IMAGES; k++) {
            double most = 0;
            for (int d = 0; d < DIM; d++) most = fmax(most, fabs(x[i * DIM + d] - (double)m->image[k * DIM + d]));
            least = fmin(least, most);
        }
        CHECK(least < 1e-14, "point %d ends %g from the nearest image", i, least);
        double step = 0;
        for (int d = 0; d < DIM; d++) step += pow(near[i * DIM + d] - x[i * DIM + d], 2) / DIM;
        CHECK(sqrt(step) < 3e-3, "point %d is %g from its image at sigma 1e-3", i, sqrt(step));
    }
    CHECK_FAILS(ath_mixture_flow(m, NULL, 1, x, (ath_level){0, 1, 0}, (ath_level){0, 1, 1}, 0, NULL, &err), ATH_E_ARG,
                "no way back");
    CHECK_FAILS(ath_mixture_flow(m, NULL, 1, x, (ath_level){0, 0, 0}, (ath_level){0, 1, 1}, 0, NULL, &err), ATH_E_ARG,
                "not a noise level");
    ath_mixture_destroy(m);
}

static void there_and_back_is_where_it_began(void **state) {
    (void)state;
    static const double ends[][2] = {{50, 0.01}, {50, 0}, {3, 0.3}, {INFINITY, 0.05}};
    ath_mixture *m = images(0.1);
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
        const ath_level from = isinf(ends[e][0]) ? (ath_level){0, 0, 1} : vp(ends[e][0]), to = vp(ends[e][1]);
        double start[STARTS * DIM], x[STARTS * DIM];
        long down, up;
        ath_rng_normal_f64((ath_rng){3}, ATH_S_TEST, e, start, STARTS * DIM);
        memcpy(x, start, sizeof x);
        CHECK_OK(ath_mixture_flow(m, NULL, STARTS, x, from, to, 0, &down, &err));
        CHECK_OK(ath_mixture_flow(m, NULL, STARTS, x, to, from, 0, &up, &err));
        CHECK(down > STARTS && up > STARTS, "%ld steps down, %ld up", down, up);
        for (int i = 0; i < STARTS * DIM; i++)
            CHECK(fabs(x[i] - start[i]) < 1e-9, "from tau %g to %g and back: %.15g, began as %.15g", ends[e][0],
                  ends[e][1], x[i], start[i]);
    }
    ath_mixture_destroy(m);
}

static void threads_and_company_change_no_bit(void **state) {
    (void)state;
    ath_mixture *m = images(0.05);
    double start[STARTS * DIM], x[STARTS * DIM], other[STARTS * DIM];
    ath_rng_normal_f64((ath_rng){5}, ATH_S_TEST, 0, start, STARTS * DIM);
    memcpy(x, start, sizeof x);
    const ath_level from = vp(30), to = vp(0);
    CHECK_OK(ath_mixture_flow(m, NULL, STARTS, x, from, to, 1e-9, NULL, &err));
    for (int threads = 2; threads <= 3; threads++) {
        ath_pool *pool;
        CHECK_OK(ath_pool_create(&pool, threads, &err));
        memcpy(other, start, sizeof other);
        CHECK_OK(ath_mixture_flow(m, pool, STARTS, other, from, to, 1e-9, NULL, &err));
        CHECK(memcmp(x, other, sizeof x) == 0, "%d threads give other bits", threads);
        ath_pool_destroy(pool);
    }
    for (int i = 0; i < STARTS; i++) {
        memcpy(other, start + i * DIM, DIM * sizeof *other);
        CHECK_OK(ath_mixture_flow(m, NULL, 1, other, from, to, 1e-9, NULL, &err));
        CHECK(memcmp(x + i * DIM, other, DIM * sizeof *x) == 0, "point %d alone gives other bits", i);
    }
    ath_mixture_destroy(m);
}

/* More points than a chunk takes, and a tolerance that is kept. */
static void the_tolerance_is_kept(void **state) {
    (void)state;
    enum { MANY = 300 };
    ath_mixture *m = images(0.2);
    static double start[MANY * DIM], exact[MANY * DIM], x[MANY * DIM];
    ath_rng_normal_f64((ath_rng){6}, ATH_S_TEST, 0, start, MANY * DIM);
    memcpy(exact, start, sizeof exact);
    CHECK_OK(ath_mixture_flow(m, NULL, MANY, exact, vp(80), vp(0.01), 1e-11, NULL, &err));
    long before = 0;
    for (double tolerance = 1e-4; tolerance > 1e-9; tolerance /= 100) {
        long steps;
        double worst = 0;
        memcpy(x, start, sizeof x);
        CHECK_OK(ath_mixture_flow(m, NULL, MANY, x, vp(80), vp(0.01), tolerance, &steps, &err));
        for (int i = 0; i < MANY * DIM; i++) worst = fmax(worst, fabs(x[i] - exact[i]));
        CHECK(worst < 300 * tolerance && steps > before, "tolerance %g: error %g in %ld steps", tolerance, worst,
              steps);
        before = steps;
    }
    ath_mixture_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_follows_the_tolerance_and_the_steps_its_fifth_root),
        cmocka_unit_test(a_system_does_not_see_the_others),
        cmocka_unit_test(what_cannot_be_solved_is_refused),
        cmocka_unit_test(the_flow_is_scipys),
        cmocka_unit_test(one_gaussian_flows_as_its_formula_says),
        cmocka_unit_test(a_data_set_is_reached_exactly),
        cmocka_unit_test(there_and_back_is_where_it_began),
        cmocka_unit_test(threads_and_company_change_no_bit),
        cmocka_unit_test(the_tolerance_is_kept),
    };
    return cmocka_run_group_tests_name("exact flows", tests, NULL, NULL);
}
