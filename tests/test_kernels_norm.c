/* The kernels of every table this CPU can run, group norm, silu, sums, softmax and the update: against their
 * definitions, in double or in the plain version, with guard zones around what is written, at the
 * ends of the range, and that an image does not see its batch. Convolution: test_kernels.c. */
#include "check.h"
#include "arrays.h"
#include <float.h>
#include "kernels/norm.h"

/* ---- group norm ---- */

/* Group norm of one part without an activation, as the operation uses norm.h. */
static ath_norm plain(int n, int hw, int c, int groups, const float *x, const float *gamma, const float *beta) {
    return (ath_norm){
        .n = n, .hw = hw, .groups = groups, .c = {c, 0}, .x = {x}, .eps = 1e-5F, .gamma = gamma, .beta = beta};
}

static void norm_forward(const ath_kernels *k, const ath_norm *v, float *y, float *stats) {
    float *work = poisoned_for_doubles(ath_norm_work_floats(v->c[0] + v->c[1]));
    ath_norm_forward(k, v, stats, 0, v->n, y, work);
    check_guards(work, ath_norm_work_floats(v->c[0] + v->c[1]), "norm's work memory");
    release(work);
}

static void norm_vjp(const ath_kernels *k, const ath_norm *v, const float *stats, const float *dy, float *dx, bool acc,
                     float *dgamma, float *dbeta) {
    const size_t len = (size_t)v->n * (size_t)v->hw * (size_t)v->c[0];
    float *work = poisoned_for_doubles(ath_norm_work_floats(v->c[0])), *d = malloc(len * sizeof *d);
    memcpy(d, dy, len * sizeof *d);
    const ath_norm_grads to = {.dx = {dx}, .acc = {acc}, .dgamma = dgamma, .dbeta = dbeta};
    ath_norm_vjp(k, v, stats, 0, v->n, d, to, work);
    assert_memory_equal(d, dy, len * sizeof *d); /* only an activation changes it */
    release(work);
    free(d);
}

typedef struct norm_shape {
    int n, hw, c, groups;
    float offset; /* the mean of x, in standard deviations of about 0.6 */
} norm_shape;

static const norm_shape norms[] = {{1, 1, 1, 1, 0},     {2, 49, 32, 8, 0},   {3, 5, 24, 8, 0},    {2, 7, 33, 11, 0},
                                   {2, 7, 33, 3, 0},    {5, 64, 128, 32, 0}, {2, 16, 100, 4, 0},  {1, 1, 512, 1, 0},
                                   {1, 3, 300, 100, 0}, {1, 1000, 64, 4, 9}, {2, 784, 32, 8, 30}, {2, 33, 260, 130, 0}};

static void every_group_norm_agrees_with_its_definition(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    const ath_kernels *ref = table[0];
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        const norm_shape *s = &norms[i];
        const size_t c = (size_t)s->c, len = (size_t)s->n * (size_t)s->hw * c,
                     st = 2 * (size_t)s->n * (size_t)s->groups;
        float *x = random_floats(len), *gamma = random_floats(c), *beta = random_floats(c), *dy = random_floats(len);
        float *before = random_floats(len), *out[2][5]; /* y, stats, dx, dgamma, dbeta: of ref and of the table */
        const size_t lens[5] = {len, st, len, c, c};
        for (size_t j = 0; j < len; j++) x[j] += s->offset;
        for (int j = 0; j < 5; j++) out[0][j] = guarded(lens[j]), out[1][j] = guarded(lens[j]);
        for (int t = 0; t < n_tables; t++)
            for (int acc = 0; acc < 2; acc++) {
                for (int which = 0; which < 2; which++) {
                    const ath_kernels *k = which ? table[t] : ref;
                    float **o = out[which];
                    for (int j = 0; j < 5; j++)
                        for (size_t l = 0; l < lens[j]; l++) o[j][l] = NAN;
                    if (acc) memcpy(o[2], before, len * sizeof *before);
                    const ath_norm v = plain(s->n, s->hw, s->c, s->groups, x, gamma, beta);
                    norm_forward(k, &v, o[0], o[1]);
                    norm_vjp(k, &v, out[0][1], dy, o[2], acc, o[3], o[4]);
                    for (int j = 0; j < 5; j++) check_guards(o[j], lens[j], "group norm output");
                }
                static const char *const what[5] = {"y", "stats", "dx", "dgamma", "dbeta"};
                for (int j = 0; j < 5; j++) {
                    /* x is known to 2^-24 of its size, so x - mean to that times the offset. */
                    const double allowed = (double)(1 + 2 * s->offset) * 1e-6;
                    const double e = relative_error(out[1][j], out[0][j], lens[j]);
                    CHECK(e <= allowed || s->hw * s->c / s->groups == 1,
                          "%s %s: relative error %.2e, at most %.1e allowed; n %d, hw %d, c %d, groups %d",
                          table[t]->isa, what[j], e, allowed, s->n, s->hw, s->c, s->groups);
                }
                /* What is not wanted changes nothing. */
                float *again = guarded(len);
                memcpy(again, before, len * sizeof *before);
                const ath_norm v = plain(s->n, s->hw, s->c, s->groups, x, gamma, beta);
                norm_vjp(table[t], &v, out[0][1], dy, again, acc, NULL, NULL);
                assert_memory_equal(again, out[1][2], len * sizeof *again);
                float *dgamma = guarded(c), *dbeta = guarded(c);
                norm_vjp(table[t], &v, out[0][1], dy, NULL, false, dgamma, dbeta);
                assert_memory_equal(dgamma, out[1][3], c * sizeof *dgamma);
                assert_memory_equal(dbeta, out[1][4], c * sizeof *dbeta);
                release(again), release(dgamma), release(dbeta);
            }
        for (int j = 0; j < 5; j++) release(out[0][j]), release(out[1][j]);
        free(x), free(gamma), free(beta), free(dy), free(before);
    }
}

static void group_norm_does_not_see_the_batch(void **state) {
    (void)state;
    const ath_kernels *k = ath_kernels_best();
    enum { HW = 49, C = 24, G = 8, LEN = HW * C };
    float *x = random_floats(5 * LEN), *gamma = random_floats(C), *beta = random_floats(C),
          *dy = random_floats(5 * LEN);
    float *y = guarded(10 * LEN), *dx = guarded(10 * LEN), stats[2][5 * 2 * G];
    const ath_norm all = plain(5, HW, C, G, x, gamma, beta);
    norm_forward(k, &all, y, stats[0]);
    norm_vjp(k, &all, stats[0], dy, dx, false, NULL, NULL);
    for (size_t b = 0; b < 5; b++) {
        float *st = &stats[1][b * 2 * G];
        const ath_norm one = plain(1, HW, C, G, x + b * LEN, gamma, beta);
        norm_forward(k, &one, y + (5 + b) * LEN, st);
        norm_vjp(k, &one, st, dy + b * LEN, dx + (5 + b) * LEN, false, NULL, NULL);
    }
    assert_memory_equal(stats[0], stats[1], sizeof stats[0]);
    assert_memory_equal(y, y + 5 * LEN, 5 * LEN * sizeof *y);
    assert_memory_equal(dx, dx + 5 * LEN, 5 * LEN * sizeof *dx);
    free(x), free(gamma), free(beta), free(dy);
    release(y), release(dx);
}

/* ---- value by value ---- */

/* For x << 0, silu(x) = x exp(x) (1 - ...): its relative error is that of the exponential. */
static void silu_has_the_error_it_states(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    enum { LEN = 1 << 18 };
    float *x = random_floats(LEN), *y = guarded(LEN), *dx = guarded(LEN), *dy = random_floats(LEN);
    for (int t = 0; t < n_tables; t++) {
        double worst = 0, worst_slope = 0;
        for (int part = 0; part < 2; part++) { /* all of [-80, 80], then densely around 0 */
            for (int i = 0; i < LEN; i++) x[i] = (float)((part ? 4.0 : 80.0) * (2.0 * i / (LEN - 1) - 1));
            table[t]->silu_forward(LEN, x, y);
            table[t]->silu_vjp(LEN, x, dy, dx, false);
            for (int i = 0; i < LEN; i++) {
                const double v = (double)x[i], s = 1 / (1 + exp(-v)), exact = v * s;
                const double slope = s * (1 + v / (1 + exp(v))), g = (double)dy[i] * slope;
                const double e = exact != 0 ? fabs((double)y[i] - exact) / fabs(exact) : fabs((double)y[i]);
                /* the slope crosses zero at x = -1.28, where it is a difference */
                const double es = fabs((double)dx[i] - g) / (fabs((double)dy[i]) * s * (1 + fabs(v) / (1 + exp(v))));
                if (e > worst) worst = e;
                if (es > worst_slope) worst_slope = es;
            }
        }
        CHECK(worst <= 5.2e-7, "%s silu: relative error %.2e", table[t]->isa,
              worst); /* 4e-7, and the sum and the quotient */
        CHECK(worst_slope <= 9e-7, "%s silu vjp: relative error %.2e", table[t]->isa, worst_slope);
        print_message("    %s: largest relative errors: silu %.1e, its vjp %.1e\n", table[t]->isa, worst, worst_slope);
    }
    free(x), free(dy);
    release(y), release(dx);
}

static void silu_is_right_at_the_ends_of_the_range(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    /* the limits, and as many again so that vectors and the rest are both met */
    static const float ends[] = {0,     -0.0F,  1e4F,   -1e4F,   FLT_MAX, -FLT_MAX, 88.7F,  -88.7F,
                                 89.5F, -89.5F, 104.5F, -104.5F, FLT_MIN, -FLT_MIN, 1e-40F, -1e-40F};
    enum { N = sizeof ends / sizeof *ends, LEN = N + 13 };
    for (int t = 0; t < n_tables; t++) {
        float x[LEN], *y = guarded(LEN), dy[LEN], *dx = guarded(LEN);
        for (int i = 0; i < LEN; i++) x[i] = ends[i % N], dy[i] = 1;
        table[t]->silu_forward(LEN, x, y);
        table[t]->silu_vjp(LEN, x, dy, dx, false);
        check_guards(y, LEN, "silu");
        check_guards(dx, LEN, "silu vjp");
        for (int i = 0; i < LEN; i++) {
            const double v = (double)x[i], s = 1 / (1 + exp(-v)), slope = s * (1 + v / (1 + exp(v)));
            const double exact = v * s;
            CHECK(fabs((double)y[i] - exact) <= fmax(5e-7 * fabs(exact), 1e-36), "%s silu(%g) = %g, not %g",
                  table[t]->isa, v, (double)y[i], exact);
            CHECK(signbit(y[i]) == signbit(x[i]), "%s silu(%g) = %g has another sign", table[t]->isa, v, (double)y[i]);
            CHECK(fabs((double)dx[i] - slope) <= fmax(1e-6 * fabs(slope), 1e-34), "%s silu'(%g) = %g, not %g",
                  table[t]->isa, v, (double)dx[i], slope);
        }
        x[3] = x[LEN - 1] = NAN;
        table[t]->silu_forward(LEN, x, x);
        table[t]->silu_vjp(LEN, x, dy, dx, true);
        CHECK(isnan(x[3]) && isnan(x[LEN - 1]) && isnan(dx[3]) && isnan(dx[LEN - 1]), "%s: NaN did not stay NaN",
              table[t]->isa);
        CHECK(!isnan(x[0]) && !isnan(dx[0]), "%s: NaN where there was none", table[t]->isa);
        release(y), release(dx);
    }
}

static void values_are_taken_one_by_one_for_every_length(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 1; t < n_tables; t++)
        for (size_t len = 0; len < 70; len++) {
            float *a = random_floats(len), *b = random_floats(len), *y = guarded(len), *e = guarded(len);
            table[t]->add(len, a, b, y);
            check_guards(y, len, "add");
            for (size_t i = 0; i < len; i++) assert_true(y[i] == a[i] + b[i]);
            table[t]->silu_forward(len, a, y);
            table[0]->silu_forward(len, a, e);
            CHECK(relative_error(y, e, len) < 5e-7, "%s silu of %zu values", table[t]->isa, len);
            table[t]->silu_vjp(len, a, b, y, true);
            table[0]->silu_vjp(len, a, b, e, true);
            check_guards(y, len, "silu");
            /* 1 + x (1 - s) loses a factor of up to 6 to cancellation down to x = -1 */
            CHECK(relative_error(y, e, len) < 3e-6, "%s silu vjp of %zu values", table[t]->isa, len);
            table[t]->add(len, a, b, a); /* in place */
            table[0]->add(len, b, b, b);
            free(a), free(b);
            release(y), release(e);
        }
}

/* Both tables on the same values, where each writes into its own copy of `before`. */
static void check_rows(const char *isa, const char *what, float *a, float *e, size_t len) {
    check_guards(a, len, what);
    for (size_t i = 0; i < len; i++)
        CHECK(fabs((double)a[i] - (double)e[i]) <= 1e-5, "%s %s: value %zu is %g, not %g", isa, what, i, (double)a[i],
              (double)e[i]);
}

static void work_on_rows_agrees_with_its_definition(void **state) {
    (void)state;
    enum { ROWS = 67, ROOM = 100 };
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables), *ref = table[0];
    static const size_t columns[] = {1, 3, 8, 16, 17, 40, 64, 83};
    for (int t = 1; t < n_tables; t++)
        for (size_t i = 0; i < sizeof columns / sizeof *columns * 12; i++) {
            const ath_kernels *k = table[t];
            const size_t cols = columns[i / 12], rows = i % 3 == 0 ? 1 : ROWS, len = rows * cols, all = rows * ROOM;
            const bool acc = i % 2, both = i % 4 < 2;
            const size_t ldx = both ? cols + 1 : cols, ldy = i % 12 < 6 ? ROOM : cols;
            float *x = random_floats(all), *w = random_floats(len), *scale = random_floats(cols);
            float *shift = random_floats(cols), *before = random_floats(all), *a = guarded(all), *e = guarded(all);
            memcpy(a, before, all * sizeof *a), memcpy(e, before, all * sizeof *e);
            k->copy_rows(rows, cols, 0.7F, x, ldx, a, ldy, acc);
            ref->copy_rows(rows, cols, 0.7F, x, ldx, e, ldy, acc);
            check_rows(k->isa, "copy_rows", a, e, all); /* what is between the rows too */
            memcpy(a, before, all * sizeof *a), memcpy(e, before, all * sizeof *e);
            k->affine_rows(rows, cols, x, both ? scale : NULL, i % 3 ? shift : NULL, a, acc);
            ref->affine_rows(rows, cols, x, both ? scale : NULL, i % 3 ? shift : NULL, e, acc);
            check_rows(k->isa, "affine_rows", a, e, all);
            memcpy(a, before, all * sizeof *a), memcpy(e, before, all * sizeof *e);
            k->sum_rows(rows, cols, x, both ? w : NULL, a, acc);
            ref->sum_rows(rows, cols, x, both ? w : NULL, e, acc);
            check_rows(k->isa, "sum_rows", a, e, all);
            k->affine_rows(rows, cols, x, scale, shift, a, false);
            k->affine_rows(rows, cols, x, scale, shift, x, false); /* in place */
            assert_memory_equal(a, x, len * sizeof *a);
            free(x), free(w), free(scale), free(shift), free(before);
            release(a), release(e);
        }
}

/* ---- softmax ---- */

static void every_softmax_agrees_with_its_definition(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    static const int columns[] = {1, 2, 3, 7, 8, 15, 16, 17, 33, 49, 64, 100, 196, 257, 1024};
    for (int t = 1; t < n_tables; t++)
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            enum { ROWS = 3 };
            const int cols = columns[i];
            const size_t len = ROWS * (size_t)cols;
            float *x = random_floats(len), *dy = random_floats(len), *y = guarded(len), *e = guarded(len);
            float *dx = guarded(len), *edx = guarded(len);
            for (size_t j = 0; j < len; j++) x[j] *= 20;
            table[0]->softmax_forward(ROWS, cols, 0.7F, x, e);
            table[t]->softmax_forward(ROWS, cols, 0.7F, x, y);
            check_guards(y, len, "softmax");
            /* the argument, up to 28, is a float: 28 * 2^-24 of relative error, and that of the exponential */
            CHECK(relative_error(y, e, len) < 3e-6, "%s softmax of %d columns: %.2e", table[t]->isa, cols,
                  relative_error(y, e, len));
            table[0]->softmax_vjp(ROWS, cols, 0.7F, e, dy, edx);
            table[t]->softmax_vjp(ROWS, cols, 0.7F, e, dy, dx);
            check_guards(dx, len, "softmax vjp");
            for (size_t j = 0; j < len; j++)
                CHECK(fabs((double)dx[j] - (double)edx[j]) <= 1e-6 * (double)e[j] + 1e-38,
                      "%s softmax vjp of %d columns: %g, not %g", table[t]->isa, cols, (double)dx[j], (double)edx[j]);
            table[t]->softmax_forward(ROWS, cols, 0.7F, x, x);
            assert_memory_equal(x, y, len * sizeof *x);
            table[t]->softmax_vjp(ROWS, cols, 0.7F, e, dy, dy);
            assert_memory_equal(dy, dx, len * sizeof *dx);
            free(x), free(dy);
            release(y), release(e), release(dx), release(edx);
        }
}

/* softmax(0, -t)[1] = exp(-t) / (1 + exp(-t)): the exponential on the negative side. */
static void softmax_has_no_overflow_and_a_small_error(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 0; t < n_tables; t++) {
        double worst = 0;
        for (int i = 0; i < 100000; i++) {
            const float x[2] = {0, (float)(-87.0 * i / 100000)};
            float y[2];
            table[t]->softmax_forward(1, 2, 1, x, y);
            const double exact = 1 / (1 + exp(-(double)x[1]));
            worst = fmax(worst, fabs((double)y[1] - exact) / exact);
        }
        CHECK(worst <= 5e-7, "%s softmax: relative error %.2e", table[t]->isa, worst);
        float far[20];
        for (int i = 0; i < 20; i++) far[i] = i % 2 ? -3e38F : 3e38F;
        table[t]->softmax_forward(1, 20, 1, far, far);
        for (int i = 0; i < 20; i++)
            CHECK(fabsf(far[i] - (i % 2 ? 0 : 0.1F)) < 1e-7F, "%s: %g", table[t]->isa, (double)far[i]);
        float bad[20] = {0};
        bad[18] = NAN;
        table[t]->softmax_forward(1, 20, 1, bad, bad);
        CHECK(isnan(bad[0]) && isnan(bad[18]), "%s: NaN did not stay NaN", table[t]->isa);
    }
}

/* ---- the update of the parameters ---- */

enum { UPDATE_LEN = 4099 };
static const char *const update_names[4] = {"w", "ema", "m", "v"};

/* w, ema, m, v and the gradient, of many sizes and both signs; v is not negative. */
static void update_arrays(float *a[5]) {
    for (int k = 0; k < 5; k++) {
        a[k] = random_floats(UPDATE_LEN);
        for (size_t i = 0; i < UPDATE_LEN; i++) a[k][i] *= (float)pow(10, -6 * uniform());
    }
    for (size_t i = 0; i < UPDATE_LEN; i++) a[3][i] = i % 7 == 0 ? 0 : fabsf(a[3][i]);
    for (size_t i = 0; i < UPDATE_LEN; i += 11) a[2][i] = a[4][i] = 0;
}

static const ath_adamw_factors update_factors = {0.9F, 0.1F, 0.999F, 0.001F, 3e-4F, 1.3F, 1e-8F, 0.9999F, 0.37F, 0.01F};

static void every_update_agrees_with_the_plain_one(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    const ath_adamw_factors *f = &update_factors;
    float *before[5], *ref[5];
    update_arrays(before);
    for (int k = 0; k < 5; k++) {
        ref[k] = random_floats(UPDATE_LEN);
        memcpy(ref[k], before[k], UPDATE_LEN * sizeof(float));
    }
    table[0]->adamw(UPDATE_LEN, f, ref[0], ref[1], ref[2], ref[3], ref[4]);
    for (int t = 1; t < n_tables; t++) {
        float *a[5];
        double worst[4] = {0};
        for (int k = 0; k < 5; k++) memcpy(a[k] = guarded(UPDATE_LEN), before[k], UPDATE_LEN * sizeof(float));
        table[t]->adamw(UPDATE_LEN, f, a[0], a[1], a[2], a[3], a[4]);
        for (size_t i = 0; i < UPDATE_LEN; i++) {
            const double m_terms = fabs((double)f->beta1 * (double)before[2][i]) +
                                   fabs((double)f->rest1 * (double)f->scale * (double)before[4][i]);
            /* the step as long as it is when the terms of m do not cancel */
            const double move =
                (double)f->step * m_terms / (sqrt((double)ref[3][i]) * (double)f->root2 + (double)f->eps);
            const double size[4] = {fabs((double)before[0][i]) + 4 * move,
                                    fabs((double)before[1][i]) +
                                        (double)f->average * (fabs((double)before[0][i]) + move),
                                    m_terms, (double)ref[3][i]};
            for (int k = 0; k < 4; k++) {
                const double off = fabs((double)a[k][i] - (double)ref[k][i]);
                if (off > worst[k] * size[k]) worst[k] = off / size[k];
            }
        }
        for (int k = 0; k < 4; k++) {
            check_guards(a[k], UPDATE_LEN, "update");
            CHECK(worst[k] <= 0x1p-21, "%s: %s is off by %.1e of its terms", table[t]->isa, update_names[k], worst[k]);
        }
        assert_memory_equal(a[4], before[4], UPDATE_LEN * sizeof(float));
        print_message("    %s: w, ema, m, v off by %.1e, %.1e, %.1e, %.1e of their terms\n", table[t]->isa, worst[0],
                      worst[1], worst[2], worst[3]);
        for (int k = 0; k < 5; k++) release(a[k]);
    }
    for (int k = 0; k < 5; k++) free(before[k]), free(ref[k]);
}

/* Wherever the array begins and ends: parts differ between networks, and memory between runs. */
static void an_update_does_not_see_its_neighbours(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    float *before[5];
    update_arrays(before);
    for (int t = 0; t < n_tables; t++) {
        float *whole[5];
        for (int k = 0; k < 5; k++) memcpy(whole[k] = guarded(UPDATE_LEN), before[k], UPDATE_LEN * sizeof(float));
        table[t]->adamw(UPDATE_LEN, &update_factors, whole[0], whole[1], whole[2], whole[3], whole[4]);
        for (size_t len = 0; len < 70; len++) {
            const size_t at = 37 * len;
            float *a[5];
            for (int k = 0; k < 5; k++) memcpy(a[k] = guarded(len), before[k] + at, len * sizeof(float));
            table[t]->adamw(len, &update_factors, a[0], a[1], a[2], a[3], a[4]);
            for (int k = 0; k < 5; k++) {
                check_guards(a[k], len, "update");
                assert_memory_equal(a[k], whole[k] + at, len * sizeof(float));
                release(a[k]);
            }
        }
        for (int k = 0; k < 5; k++) release(whole[k]);
    }
    for (int k = 0; k < 5; k++) free(before[k]);
}

static void a_number_that_is_not_finite_shows_in_the_update(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 0; t < n_tables; t++)
        for (size_t at = 0; at < 21; at++) {
            float w[21] = {0}, ema[21] = {0}, m[21] = {0}, v[21] = {0}, grad[21] = {0};
            grad[at] = NAN;
            assert_true(isnan(table[t]->sum_squares(21, grad)));
            table[t]->adamw(21, &update_factors, w, ema, m, v, grad);
            for (size_t i = 0; i < 21; i++)
                CHECK(isnan(w[i]) == (i == at) && isnan(ema[i]) == (i == at) && isnan(m[i]) == (i == at) &&
                          isnan(v[i]) == (i == at),
                      "%s: NaN at %zu, and at %zu came %g", table[t]->isa, at, i, (double)w[i]);
        }
}

static void sums_of_squares_are_the_same_bits_from_every_table(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    static const size_t longer[] = {1000, 8191, 100003};
    for (size_t l = 0; l < 103; l++) {
        const size_t len = l < 100 ? l : longer[l - 100];
        float *x = random_floats(len + 1);
        for (size_t i = 0; i <= len; i++) x[i] *= (float)pow(10, 18 - 36 * uniform());
        long double exact = 0;
        for (size_t i = 0; i < len; i++) exact += (long double)x[i] * (long double)x[i];
        const double plain = table[0]->sum_squares(len, x);
        CHECK(fabs(plain - (double)exact) <= 1e-16 * (double)(len / ATH_SUM_LANES + 8) * (double)exact,
              "%zu numbers: %.17g, expected %.17g", len, plain, (double)exact);
        for (int t = 1; t < n_tables; t++) {
            const double got = table[t]->sum_squares(len, x);
            CHECK(got == plain, "%s, %zu numbers: %a, and %a by ref", table[t]->isa, len, got, plain);
        }
        free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_group_norm_agrees_with_its_definition),
        cmocka_unit_test(group_norm_does_not_see_the_batch),
        cmocka_unit_test(silu_has_the_error_it_states),
        cmocka_unit_test(silu_is_right_at_the_ends_of_the_range),
        cmocka_unit_test(values_are_taken_one_by_one_for_every_length),
        cmocka_unit_test(work_on_rows_agrees_with_its_definition),
        cmocka_unit_test(every_softmax_agrees_with_its_definition),
        cmocka_unit_test(softmax_has_no_overflow_and_a_small_error),
        cmocka_unit_test(every_update_agrees_with_the_plain_one),
        cmocka_unit_test(an_update_does_not_see_its_neighbours),
        cmocka_unit_test(a_number_that_is_not_finite_shows_in_the_update),
        cmocka_unit_test(sums_of_squares_are_the_same_bits_from_every_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
