/* Exponential integrators: their arithmetic to rounding, and their order on an exact model (the table of
 * shared/golden/README.md, section 8, where they are in it). */
#include "solver/exponential.h"
#include "diffusion/mixture_flow.h"
#include "follow.h"

/* ---- arithmetic ---- */

/* int_0^1 e^{z(1-u)} u^k du by Gauss-Legendre with 5 points in 400 parts. */
static double integral(double z, int k) {
    static const double place[] = {0, 0.53846931010568309104, 0.90617984593866399280};
    static const double weight[] = {128 / 225.0, 0.47862867049936646804, 0.23692688505618908751};
    enum { PARTS = 400 };
    double sum = 0;
    for (int p = 0; p < PARTS; p++)
        for (int j = -2; j <= 2; j++) {
            const double u = (p + 0.5 + (j < 0 ? -0.5 : 0.5) * place[abs(j)]) / PARTS;
            sum += weight[abs(j)] / 2 / PARTS * exp(z * (1 - u)) * pow(u, k);
        }
    return sum;
}

static void moments_are_exact_for_small_and_large_steps(void **state) {
    (void)state;
    static const double size[] = {0, 1e-300, 1e-17, 1e-12, 1e-8, 1e-5, 1e-3, 0.1, 0.7, 1, 1.999999, 2, 3, 10, 30};
    double worst = 0;
    for (size_t i = 0; i < 2 * sizeof size / sizeof *size; i++) {
        const double z = i % 2 ? -size[i / 2] : size[i / 2];
        for (int n = 1; n <= ATH_MAX_VALUES; n++) {
            double moment[ATH_MAX_VALUES];
            ath_exponential_moments(z, n, moment);
            for (int k = 0; k < n; k++) {
                const double expected = integral(z, k), error = fabs(moment[k] / expected - 1);
                worst = fmax(worst, error);
                CHECK(error < 1e-13, "z = %g, moment %d of %d: %.16g, expected %.16g", z, k, n, moment[k], expected);
            }
        }
    }
    print_message("largest relative error %.1e\n", worst);
    double moment[ATH_MAX_VALUES];
    ath_exponential_moments(-1e4, ATH_MAX_VALUES,
                            moment); /* onto almost no noise: all weight at the start of u^k = 1 */
    CHECK(fabs(moment[0] * 1e4 - 1) < 1e-13 && moment[4] > 0, "z = -1e4: %g, %g", moment[0], moment[4]);
}

static void weights_give_the_moments_whatever_the_places(void **state) {
    (void)state;
    static const double places[][ATH_MAX_VALUES] = {{0, -1, -2, -3, -4},
                                                    {1, 0, -0.01, -5, -5.5},
                                                    {0, 0.3333, 0.6667, -1e-3, 1},
                                                    {0, -1e-3, -40, -41, 1},
                                                    {2, 1.5, 0.1, 7, -3}};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (int n = 1; n <= ATH_MAX_VALUES; n++) {
            double moment[ATH_MAX_VALUES], weight[ATH_MAX_VALUES];
            ath_exponential_moments(-0.8, n, moment);
            ath_moment_weights(n, places[p], moment, weight);
            double heaviest = 0, farthest = 1;
            for (int j = 0; j < n; j++) {
                heaviest = fmax(heaviest, fabs(weight[j]));
                farthest = fmax(farthest, fabs(places[p][j]));
            }
            for (int k = 0; k < n; k++) {
                double sum = 0;
                for (int j = 0; j < n; j++) sum += weight[j] * pow(places[p][j], k);
                CHECK(fabs(sum - moment[k]) < 1e-15 * heaviest * pow(farthest, k) + 1e-15,
                      "places %zu, n = %d: moment %d is %.15g, not %.15g", p, n, k, sum, moment[k]);
            }
        }
}

/* x0 = a + b lambda, whatever x: both forms of the flow have x(lambda) = a + b (lambda - 1) + c e^-lambda. */
static void a_step_is_exact_where_the_values_are_a_straight_line(void **state) {
    (void)state;
    const double a = 0.3, b = -1.2, from = 3, to = 0.4, before = 5;
    for (int eps = 0; eps < 2; eps++) {
        double memory[2], x, c, expected;
        ath_values v;
        ath_values_open(&v, 2, memory, 1);
        const double sigma[] = {before, from}, ls = -log(from), lt = -log(to);
        x = a + b * (ls - 1) + 0.8 * from; /* c = 0.8 */
        c = 0.8;
        for (int i = 0; i < 2; i++) {
            double *f = ath_values_push(&v, sigma[i]);
            *f = a - b * log(sigma[i]);
        }
        if (eps) { /* eps = c - b/sigma is no line in lambda, but with b = 0 it is a constant */
            v.f[0][0] = v.f[1][0] = c;
            x = a + c * from;
        }
        expected = eps ? a + c * to : a + b * (lt - 1) + c * to;
        const ath_span span = ath_span_between(from, to, eps, 0);
        ath_span_advance(&span, &v, 2, NULL, 1, &x, &x);
        CHECK(fabs(x - expected) < 1e-14, "%s: %.16g, expected %.16g", eps ? "eps" : "x0", x, expected);
        const ath_span none = ath_span_between(to, to, eps, 0);
        ath_span_advance(&none, &v, 2, NULL, 1, &x, &x);
        CHECK(fabs(x - expected) < 1e-14, "%s: a step of no length went to %.16g", eps ? "eps" : "x0", x);
    }
}

static void values_are_kept_newest_first(void **state) {
    (void)state;
    double memory[3];
    ath_values v;
    CHECK(ath_values_open(&v, 3, memory, 1) == memory + 3, "memory after the values");
    for (int i = 1; i <= 5; i++) *ath_values_push(&v, 1.0 / i) = i;
    *ath_values_push(&v, 1.0 / 5) = 6; /* the same place: replaced */
    CHECK(v.n == 3 && *v.f[0] == 6 && *v.f[1] == 4 && *v.f[2] == 3, "%d values: %g %g %g", v.n, *v.f[0], *v.f[1],
          *v.f[2]);
    CHECK(v.lambda[0] == log(5) && v.lambda[1] == log(4), "lambda %g, %g", v.lambda[0], v.lambda[1]);
    ath_values_drop(&v, 2);
    CHECK(v.n == 1 && *v.f[0] == 3 && v.lambda[0] == log(3), "left: %g", *v.f[0]);
    *ath_values_push(&v, 0.1) = 7;
    CHECK(v.n == 2 && *v.f[0] == 7 && *v.f[1] == 3, "then: %g %g", *v.f[0], *v.f[1]);
}

/* ---- order ---- */

typedef struct model {
    mixture data;
    ath_mixture *exact;
    double z0[STATE];
} model;

static model open_model(void) {
    json_t *mixtures = golden_tree("mixtures.json"), *noise = golden_tree("noise.json");
    model m = {.data = read_mixture(mixtures, "A2")};
    golden_list(golden_at(golden_at(noise, "A2"), "z0"), m.z0, STATE);
    double mean[MAX_PARTS * MAX_DIM];
    for (int k = 0; k < m.data.parts; k++)
        memcpy(mean + k * m.data.dim, m.data.mean[k], (size_t)m.data.dim * sizeof *mean);
    CHECK_OK(ath_mixture_create(&m.exact, (size_t)m.data.parts, (size_t)m.data.dim, m.data.weight, mean,
                                m.data.deviation, &err));
    json_decref(mixtures);
    json_decref(noise);
    return m;
}

/* Grids of that table: sigma/alpha of n levels, most to least. */
typedef struct grid {
    ath_process_kind process;
    double most, least, rho; /* rho 0: log sigma even */
    bool to_clean;           /* the clean level comes after them */
} grid;

static void fill_grid(const grid *g, int n, ath_level *level) {
    const ath_process p = {.kind = g->process};
    const double power = g->rho > 0 ? 1 / g->rho : 0;
    for (int i = 0; i < n; i++) {
        const double part = (double)i / (n - 1);
        const double a = pow(g->most, power), b = pow(g->least, power);
        const double ratio = power > 0 ? pow(a + part * (b - a), g->rho) : g->most * pow(g->least / g->most, part);
        level[i] = ath_process_level(&p, ratio);
    }
    level[n] = (ath_level){-1, 1, 0};
}

typedef struct keeper {
    int step; /* whose state is kept */
    size_t len;
    double x[STATE];
} keeper;

static ath_status keep_one(void *user, int step, const double *x, const double *x0) {
    keeper *k = user;
    (void)x0;
    if (step == k->step) memcpy(k->x, x, k->len * sizeof *x);
    return ATH_OK;
}

/* The largest error at the last level that is not clean, of the run with n levels before the clean one, or n steps. */
static double error_in(const model *m, const grid *g, const char *sampler, const char *options, int n) {
    const int levels = g->to_clean ? n : n + 1;
    ath_level *level = get_memory((size_t)(levels + 1) * sizeof *level);
    fill_grid(g, levels, level);
    exact_net net = {.data = m->data, .n = IMAGES, .says = ATH_SAMPLE};
    const size_t dim = (size_t)m->data.dim, len = IMAGES * dim;
    keeper kept = {.step = levels - 2, .len = len};
    double x[STATE], exact[STATE], worst = 0;
    for (size_t k = 0; k < len; k++) x[k] = exact[k] = m->z0[k] * (g->process == ATH_PROCESS_VE ? g->most : 1);
    ath_sample_job job = {.net = {&net, exact_x0},
                          .process = {.kind = g->process},
                          .level = level,
                          .n_steps = n,
                          .x = x,
                          .n = IMAGES,
                          .dim = dim,
                          .on_step = keep_one,
                          .user = &kept};
    CHECK_OK(run_job(find(sampler), options, &job, NULL));
    CHECK_OK(ath_mixture_flow(m->exact, NULL, IMAGES, exact, level[0], level[levels - 1], 0, NULL, &err));
    for (size_t k = 0; k < len; k++) worst = fmax(worst, fabs(kept.x[k] - exact[k]));
    free(level);
    return worst;
}

/* The schedule linear from 1e-4 to 0.02, both ends; k-diffusion's; EDM's; diff-sampler's. */
static const grid vp = {ATH_PROCESS_VP, 157.40728081040757, 0.010000500037502575, 7, true},
                  k = {ATH_PROCESS_VE, 15, 0.03, 7, true}, edm = {ATH_PROCESS_VE, 80, 0.002, 7, true},
                  logsnr = {ATH_PROCESS_VE, 80, 0.002, 0, false};

/* The order and error at 320 steps that were measured of other implementations. */
static void orders_are_those_of_other_implementations(void **state) {
    (void)state;
    static const struct {
        const grid *grid;
        const char *sampler, *options;
        double order, error;
    } rows[] = {
        {&vp, "dpmpp", "order=1", 1.01, 9.8e-3},
        {&vp, "dpmpp_2m", "", 2.04, 1.8e-4},
        {&vp, "dpmpp_2m", "type=heun", 2.05, 2.4e-4},
        {&vp, "dpmpp_3m", "", 1.83, 4.3e-5},
        {&vp, "dpmsolver", "", 1.94, 2.6e-4},
        {&vp, "dpmsolver", "order=3", 2.23, 7.6e-5},
        {&vp, "dpmpp", "order=2", 1.90, 6.5e-4},
        {&vp, "dpmpp", "order=2,type=heun", 1.90, 4.6e-4},
        {&vp, "dpmpp", "order=3", 2.81, 6.3e-5},
        {&vp, "dpmpp", "order=3,type=heun", 2.91, 3.3e-5},
        {&vp, "unipc", "order=1,variant=bh1", 1.97, 3.5e-4},
        {&vp, "unipc", "order=1", 1.96, 4.9e-4},
        {&vp, "unipc", "order=2,variant=bh1", 3.04, 9.4e-6},
        {&vp, "unipc", "", 3.16, 1.3e-5},
        {&vp, "unipc", "order=3,variant=bh1", 3.13, 1.5e-6},
        {&vp, "unipc", "order=3", 3.13, 1.5e-6},
        {&vp, "unipc", "order=3,corrector=false", 3.41, 8.3e-6},
        {&edm, "dpmpp_2m", "", 2.04, 1.6e-4},
        {&edm, "dpmpp_3m", "", 1.84, 3.9e-5},
        {&k, "dpmpp_2m", "", 2.03, 5.7e-5},
        {&k, "dpmpp_2m_sde", "eta=0", 2.03, 5.7e-5},
        {&k, "dpmpp_3m_sde", "eta=0", 1.93, 1.4e-5},
        {&k, "dpmpp_sde", "eta=0", 1.98, 4.9e-5},
        {&logsnr, "dpmsolver", "order=1", 1.00, 9.4e-3},
        {&logsnr, "dpmsolver", "order=2", 1.94, 2.6e-4},
        {&logsnr, "dpmsolver", "order=3", 2.19, 7.3e-5},
    };
    model m = open_model();
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const double coarse = error_in(&m, rows[r].grid, rows[r].sampler, rows[r].options, 160);
        const double fine = error_in(&m, rows[r].grid, rows[r].sampler, rows[r].options, 320);
        const double order = log2(coarse / fine);
        print_message("%-13s %-24s %.2e -> %.2e: order %.2f\n", rows[r].sampler, rows[r].options, coarse, fine, order);
        CHECK(fabs(order - rows[r].order) < 0.02 && fabs(fine / rows[r].error - 1) < 0.05,
              "%s %s: order %.3f, error %.2e, theirs %.2f and %.1e", rows[r].sampler, rows[r].options, order, fine,
              rows[r].order, rows[r].error);
    }
    ath_mixture_destroy(m.exact);
}

static double order_in(const model *m, const grid *g, const char *sampler, const char *options, int least, int most) {
    double before = 0, order = 0;
    print_message("%-9s %-52s", sampler, options);
    for (int n = least; n <= most; n *= 2) {
        const double error = error_in(m, g, sampler, options, n);
        order = n > least ? log2(before / error) : 0;
        print_message(n > least ? "  %.1e (%.2f)" : "  %.1e", error, order);
        before = error;
    }
    print_message("\n");
    return order;
}

static void dpmpp_3m_exact_and_unipc_are_of_third_order(void **state) {
    (void)state;
    model m = open_model();
    for (int which = 0; which < 2; which++) {
        const double order = order_in(&m, &vp, which ? "unipc" : "dpmpp_3m", which ? "" : "exact", 10, 320);
        CHECK(order > 3, "order %.2f", order);
    }
    ath_mixture_destroy(m.exact);
}

/* From pure noise the first steps hardly matter, for x0 hardly changes there; from sigma = 2 they do. */
static void start_ups_keep_the_order(void **state) {
    (void)state;
    static const grid low = {ATH_PROCESS_VE, 2, 0.03, 7, true};
    static const struct {
        const char *sampler, *options;
        double order;
    } rows[] = {
        {"dpmpp_3m", "exact", 3},
        {"unipc", "", 3},
        {"unipc", "order=3,lower_order_final=false", 3.1},
        {"unipc", "order=3,start=single,lower_order_final=false", 4},
        {"unipc", "order=3,predict=eps,start=single,lower_order_final=false", 4},
    };
    model m = open_model();
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const double order = order_in(&m, &low, rows[r].sampler, rows[r].options, 20, 640);
        CHECK(fabs(order - rows[r].order) < 0.1, "%s %s: order %.2f, expected %g", rows[r].sampler, rows[r].options,
              order, rows[r].order);
    }
    ath_mixture_destroy(m.exact);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_exact_for_small_and_large_steps),
        cmocka_unit_test(weights_give_the_moments_whatever_the_places),
        cmocka_unit_test(a_step_is_exact_where_the_values_are_a_straight_line),
        cmocka_unit_test(values_are_kept_newest_first),
        cmocka_unit_test(orders_are_those_of_other_implementations),
        cmocka_unit_test(dpmpp_3m_exact_and_unipc_are_of_third_order),
        cmocka_unit_test(start_ups_keep_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
