/* AdamW as torch computes it, clipping, the moving average, and the same bits for any
 * number of threads. */
#include "golden/golden.h"
#include <float.h>
#include "base/rng.h"
#include "train/optimizer.h"

static void *get_memory(size_t bytes) {
    void *p = calloc(1, bytes);
    assert_non_null(p);
    return p;
}

/* A graph's five arrays and its gradient. */
typedef struct arrays {
    size_t n;
    float *w, *ema, *m, *v, *grad;
} arrays;
static arrays make_arrays(const ath_graph *g) {
    const size_t n = ath_param_total(g), bytes = n * sizeof(float);
    return (arrays){n, get_memory(bytes), get_memory(bytes), get_memory(bytes), get_memory(bytes), get_memory(bytes)};
}
static void free_arrays(arrays a) {
    free(a.w);
    free(a.ema);
    free(a.m);
    free(a.v);
    free(a.grad);
}
static ath_weights weights_of(arrays a) { return (ath_weights){a.w, a.ema, a.m, a.v, a.grad}; }

static ath_err err;

static double norm_of(const ath_graph *g, const float *grad, int threads) {
    ath_pool *pool;
    CHECK_OK(ath_pool_create(&pool, threads, &err));
    const double norm = ath_grad_norm(pool, ath_param_total(g), grad);
    ath_pool_destroy(pool);
    return norm;
}

static void step(const ath_graph *g, const ath_adamw *o, uint64_t t, arrays a, int threads) {
    ath_pool *pool;
    CHECK_OK(ath_pool_create(&pool, threads, &err));
    ath_adamw_step(pool, g, o, t, ath_grad_norm(pool, ath_param_total(g), a.grad), weights_of(a));
    ath_pool_destroy(pool);
}

static const ath_param *param(const ath_graph *g, const char *name) {
    const ath_param *p = ath_param_find(g, name);
    CHECK(p != NULL, "no parameter \"%s\"", name);
    return p;
}

/* A weight of c_out * c_in numbers and a bias of c_out. */
static ath_graph *one_layer(int c_in, int c_out) {
    ath_graph *g = ath_graph_create();
    assert_non_null(g);
    ath_output(g, ath_linear(g, ath_input(g, "x", (ath_shape){1, 1, c_in}, true), "layer", c_out, false));
    return g;
}

/* One parameter of each kind, of lengths that do not divide into blocks of 8192. */
static ath_graph *every_kind_of_parameter(void) {
    ath_graph *g = ath_graph_create();
    assert_non_null(g);
    const ath_tensor x = ath_input(g, "x", (ath_shape){4, 4, 6}, true);
    const ath_tensor label = ath_input(g, "label", (ath_shape){1, 1, 1}, false);
    ath_tensor h = ath_conv2d(g, x, "conv", 50, (ath_conv){0});
    h = ath_group_norm(g, h, "norm", 10, 1e-5);
    h = ath_linear(g, h, "wide", 1030, false);
    h = ath_add(g, h, ath_label_embedding(g, label, "classes", 11, 1030));
    h = ath_layer_norm(g, h, "layer_norm", 1e-5);
    ath_output(g, ath_linear(g, h, "out", 3, true));
    return g;
}

static void fill(const ath_graph *g, uint64_t seed, arrays a) {
    ath_param_init(g, (ath_rng){seed}, a.w);
    ath_rng_normal((ath_rng){seed}, ATH_S_TEST, 1, a.grad, a.n);
    ath_rng_normal((ath_rng){seed}, ATH_S_TEST, 2, a.m, a.n);
    ath_rng_uniform((ath_rng){seed}, ATH_S_TEST, 3, a.v, a.n);
    memcpy(a.ema, a.w, a.n * sizeof(float));
}

/* ---- golden ---- */

enum { SIZE = 10, STEPS = 20 };

/* torch.optim on loss(p) = (p - c)^T A (p - c) / 2, whose gradient is taken in double at our float parameters. adam
 * is AdamW without decay; adam_l2 adds weight_decay p to the gradient, which we do here. Left out: amsgrad, SGD, Lion
 * and Tiger, which are other rules. */
static double follow_torch(const json_t *root, const json_t *one, double tolerance) {
    double A[SIZE * SIZE], c[SIZE], p[SIZE], betas[2], worst = 0;
    const json_t *args = golden_at(one, "args"), *decay = json_object_get(args, "weight_decay");
    const bool l2 = strcmp(golden_text(one, "name"), "adam_l2") == 0;
    const double weight_decay = decay ? golden_value(decay) : 0;
    golden_list(golden_at(root, "A"), A, SIZE * SIZE);
    golden_list(golden_at(root, "c"), c, SIZE);
    golden_list(golden_at(root, "p0"), p, SIZE);
    golden_list(golden_at(args, "betas"), betas, 2);
    const ath_adamw o = {.lr = golden_number(args, "lr"),
                         .beta1 = betas[0],
                         .beta2 = betas[1],
                         .eps = golden_number(args, "eps"),
                         .weight_decay = l2 ? 0 : weight_decay};
    ath_graph *g = one_layer(5, 2); /* the weight is the ten numbers; the bias rests */
    arrays a = make_arrays(g);
    const size_t at = param(g, "layer.weight")->offset;
    for (int i = 0; i < SIZE; i++) a.w[at + (size_t)i] = (float)p[i];
    for (int t = 1; t <= STEPS; t++) {
        float *w = a.w + at;
        for (int i = 0; i < SIZE; i++) {
            double slope = l2 ? weight_decay * (double)w[i] : 0;
            for (int j = 0; j < SIZE; j++) slope += A[i * SIZE + j] * ((double)w[j] - c[j]);
            a.grad[at + (size_t)i] = (float)slope;
        }
        step(g, &o, (uint64_t)t, a, 1);
        golden_list(json_array_get(golden_at(one, "params"), (size_t)t), p, SIZE);
        for (int i = 0; i < SIZE; i++) {
            const double error = fabs((double)w[i] - p[i]);
            worst = fmax(worst, error);
            CHECK(error < tolerance, "%s, update %d, parameter %d: %.9g, expected %.9g", golden_text(one, "name"), t, i,
                  (double)w[i], p[i]);
        }
    }
    const float *bias = a.w + param(g, "layer.bias")->offset;
    CHECK(bias[0] == 0 && bias[1] == 0, "the bias moved without a gradient");
    free_arrays(a);
    ath_graph_destroy(g);
    return worst;
}

/* Each update rounds w, m, v and the quotient to float, a few 2^-24 of numbers up to 2; over 20 updates most of it
 * averages out (1e-5 if it did not: 20 x 4 x 2^-24 x 2). 7e-7 were measured; 1 - beta2 in float would make 7e-6. */
static void check_optimizer(json_t *root) {
    const json_t *cases = golden_at(root, "cases");
    double worst = 0;
    int compared = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        const char *name = golden_text(one, "name");
        if (strcmp(name, "adam") != 0 && strcmp(name, "adam_l2") != 0 && strcmp(name, "adamw") != 0) continue;
        worst = fmax(worst, follow_torch(root, one, 2e-6));
        compared++;
    }
    CHECK(compared == 3, "%d cases were compared, expected 3", compared);
    print_message("%d optimizers: largest error of a parameter %.1e\n", compared, worst);
    json_decref(root);
}

static void updates_are_torchs(void **state) {
    (void)state;
    check_optimizer(golden_tree("optimizers.json"));
}
static void updates_are_torchs_in_the_full_set(void **state) {
    (void)state;
    check_optimizer(golden_shared("training/optimizers.json"));
}

/* diffusers counts from the update after the first, which it makes a copy (decay 0); we begin with 1/10, so the
 * decays are equal from the second on. The averages themselves are made with the decays that were recorded, by
 * updates that do not move the weights, of values up to 12. Of the decays, those with use_ema_warmup follow
 * another rule. */
static void check_ema(json_t *root) {
    const json_t *params = golden_at(root, "params"), *cases = golden_at(root, "cases");
    double worst = 0;
    ath_graph *g = one_layer(1, 2);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *args = golden_at(one, "args"),
                     *more = golden_at(one, "get_decay");
        const double limit = golden_number(args, "decay");
        double decay[STEPS], value[4];
        golden_list(golden_at(one, "decay_per_step"), decay, STEPS);
        if (!json_object_get(args, "use_ema_warmup")) {
            for (int s = 1; s < STEPS; s++)
                CHECK(fabs(ath_ema_decay(limit, (uint64_t)s) - decay[s]) < 1e-15,
                      "decay at update %d: %.17g, expected %.17g", s, ath_ema_decay(limit, (uint64_t)s), decay[s]);
            const char *key;
            json_t *expected;
            json_object_foreach((json_t *)(uintptr_t)more, key, expected) {
                const int count = atoi(key); /* diffusers' optimization_step, one more than ours */
                if (count < 2) continue;
                const double got = ath_ema_decay(limit, (uint64_t)count - 1);
                CHECK(fabs(got - golden_value(expected)) < 1e-15, "decay at update %d: %.17g, expected %.17g",
                      count - 1, got, golden_value(expected));
            }
        }
        arrays a = make_arrays(g);
        CHECK(a.n == 4, "%zu parameters, expected 4", a.n);
        for (int k = 0; k <= STEPS; k++) {
            golden_list(json_array_get(params, (size_t)k), value, 4);
            for (int j = 0; j < 4; j++) a.w[j] = (float)value[j];
            if (k == 0)
                memcpy(a.ema, a.w, 4 * sizeof(float));
            else
                step(g, &(ath_adamw){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .ema_decay = decay[k - 1]}, (uint64_t)k,
                     a, 1);
            golden_list(json_array_get(golden_at(one, "shadow"), (size_t)k), value, 4);
            for (int j = 0; j < 4; j++) {
                worst = fmax(worst, fabs((double)a.ema[j] - value[j]));
                CHECK(fabs((double)a.ema[j] - value[j]) < 2 * 12 * (double)FLT_EPSILON,
                      "case %zu, after update %d: average %.9g, expected %.9g", i, k, (double)a.ema[j], value[j]);
            }
        }
        free_arrays(a);
    }
    print_message("%zu averages: largest error %.1e\n", json_array_size(cases), worst);
    ath_graph_destroy(g);
    json_decref(root);
}

static void the_average_and_its_decay_are_those_of_diffusers(void **state) {
    (void)state;
    check_ema(golden_tree("ema.json"));
}
static void the_average_is_the_same_in_the_full_set(void **state) {
    (void)state;
    check_ema(golden_shared("training/ema.json"));
}

/* ---- laws ---- */

static void weights_decay_and_biases_and_gains_do_not(void **state) {
    (void)state;
    ath_graph *g = every_kind_of_parameter();
    arrays a = make_arrays(g);
    for (size_t i = 0; i < a.n; i++) a.w[i] = 1 + (float)i / (float)a.n;
    float *before = get_memory(a.n * sizeof *before);
    memcpy(before, a.w, a.n * sizeof *before);
    const ath_adamw o = {.lr = 0.5, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.25};
    step(g, &o, 1, a, 2); /* without a gradient only the decay acts */
    int kinds[5] = {0};
    for (int i = 0; i < ath_param_count(g); i++) {
        const ath_param *p = ath_param_at(g, i);
        const bool decays = p->kind != ATH_P_BIAS && p->kind != ATH_P_GAIN;
        const float left = decays ? 0.875f : 1;
        kinds[p->kind]++;
        for (size_t j = p->offset; j < p->offset + p->len; j++)
            CHECK(a.w[j] == left * before[j], "%s: %g became %g, expected %g of it", p->name, (double)before[j],
                  (double)a.w[j], (double)left);
    }
    for (int k = 0; k < 5; k++) CHECK(kinds[k] > 0, "no parameter of kind %d was tried", k);
    free(before);
    free_arrays(a);
    ath_graph_destroy(g);
}

/* sqrt of the sum of squares in double; the sum in long double is the judge. */
static void the_norm_is_the_euclidean_one(void **state) {
    (void)state;
    static const int widths[] = {1, 3, 90, 91, 128, 500}; /* 90 * 91: just under a block of 8192 */
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        ath_graph *g = one_layer(widths[i], widths[i]);
        arrays a = make_arrays(g);
        ath_rng_normal((ath_rng){4}, ATH_S_TEST, i, a.grad, a.n);
        long double sum = 0;
        for (size_t j = 0; j < a.n; j++) sum += (long double)a.grad[j] * (long double)a.grad[j];
        const double expected = sqrt((double)sum), got = norm_of(g, a.grad, 2);
        CHECK(fabs(got - expected) <= 1e-14 * (double)a.n * expected && fabs(got - expected) < 1e-11 * expected,
              "%zu numbers: norm %.17g, expected %.17g (seed 4)", a.n, got, expected);
        free_arrays(a);
        ath_graph_destroy(g);
    }
}

/* With beta = 0 the moments are the gradient that was used and its square. */
static void a_long_gradient_is_scaled_to_the_clip_norm_and_a_short_one_is_not(void **state) {
    (void)state;
    ath_graph *g = every_kind_of_parameter();
    arrays a = make_arrays(g), b = make_arrays(g);
    fill(g, 6, a);
    const double norm = norm_of(g, a.grad, 1);
    static const double fraction[] = {0.01, 0.5, 0.999, 1, 1.001, 100, 0};
    for (int i = 0; i < 7; i++) {
        fill(g, 6, a);
        fill(g, 6, b);
        ath_adamw o = {.lr = 1e-3, .beta2 = 0, .eps = 1e-8, .clip_norm = fraction[i] * norm};
        step(g, &o, 1, a, 1);
        const bool clipped = fraction[i] > 0 && fraction[i] < 1;
        const double expected = clipped ? fraction[i] * norm : norm, got = norm_of(g, a.m, 1);
        CHECK(fabs(got - expected) < 1e-6 * expected,
              "clipped at %g of its norm %g, a gradient has norm %g, expected %g (seed 6)", fraction[i], norm, got,
              expected);
        for (size_t j = 0; j < a.n; j++) {
            const float scaled = (float)(clipped ? fraction[i] : 1) * a.grad[j];
            CHECK(fabsf(a.m[j] - scaled) <= 4 * FLT_EPSILON * fabsf(scaled), "number %zu: %.9g, expected %.9g (seed 6)",
                  j, (double)a.m[j], (double)scaled);
        }
        if (clipped) continue; /* else as without clipping, bit by bit */
        o.clip_norm = 0;
        step(g, &o, 1, b, 1);
        CHECK(memcmp(a.w, b.w, a.n * sizeof(float)) == 0, "a gradient shorter than the clip norm was changed");
    }
    free_arrays(a);
    free_arrays(b);
    ath_graph_destroy(g);
}

static void norm_and_update_are_the_same_bits_for_any_number_of_threads(void **state) {
    (void)state;
    ath_graph *g = every_kind_of_parameter();
    const ath_adamw o = {
        .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip_norm = 1, .ema_decay = 0.99};
    arrays one = make_arrays(g), many = make_arrays(g);
    fill(g, 8, one);
    const double norm = norm_of(g, one.grad, 1);
    for (uint64_t t = 1; t <= 3; t++) step(g, &o, t, one, 1);
    static const int threads[] = {1, 2, 3, 5};
    for (int i = 0; i < 4; i++) {
        fill(g, 8, many);
        const double got = norm_of(g, many.grad, threads[i]);
        CHECK(got == norm, "norm with %d threads %a, with one %a (seed 8)", threads[i], got, norm);
        for (uint64_t t = 1; t <= 3; t++) step(g, &o, t, many, threads[i]);
        const size_t bytes = one.n * sizeof(float);
        CHECK(memcmp(one.w, many.w, bytes) == 0, "weights differ with %d threads (seed 8)", threads[i]);
        CHECK(memcmp(one.ema, many.ema, bytes) == 0, "the average differs with %d threads (seed 8)", threads[i]);
        CHECK(memcmp(one.m, many.m, bytes) == 0, "m differs with %d threads (seed 8)", threads[i]);
        CHECK(memcmp(one.v, many.v, bytes) == 0, "v differs with %d threads (seed 8)", threads[i]);
    }
    free_arrays(one);
    free_arrays(many);
    ath_graph_destroy(g);
}

/* Every number of every parameter, block borders and odd lengths too, against the formulas in double. */
static void every_number_is_updated_by_the_formula(void **state) {
    (void)state;
    ath_graph *g = every_kind_of_parameter();
    const ath_adamw o = {
        .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip_norm = 50, .ema_decay = 0.9};
    arrays a = make_arrays(g), b = make_arrays(g);
    fill(g, 9, a);
    fill(g, 9, b);
    const uint64_t t = 5;
    const double norm = norm_of(g, a.grad, 1), scale = norm > o.clip_norm ? o.clip_norm / norm : 1;
    CHECK(scale < 1, "the gradient is meant to be clipped, its norm is %g", norm);
    ath_pool *pool;
    CHECK_OK(ath_pool_create(&pool, 2, &err));
    ath_adamw_step(pool, g, &o, t, norm, weights_of(a));
    ath_pool_destroy(pool);
    for (int i = 0; i < ath_param_count(g); i++) {
        const ath_param *p = ath_param_at(g, i);
        for (size_t j = p->offset; j < p->offset + p->len; j++) {
            const double grad = scale * (double)b.grad[j];
            const double m = o.beta1 * (double)b.m[j] + (1 - o.beta1) * grad,
                         v = o.beta2 * (double)b.v[j] + (1 - o.beta2) * grad * grad;
            const double m_hat = m / (1 - pow(o.beta1, (double)t)), v_hat = v / (1 - pow(o.beta2, (double)t));
            const double shrink = p->decay ? 1 - o.lr * o.weight_decay : 1, move = o.lr * m_hat / (sqrt(v_hat) + o.eps);
            const double w = shrink * (double)b.w[j] - move,
                         ema = (double)b.ema[j] + (1 - o.ema_decay) * (w - (double)b.ema[j]);
            /* m is a sum of two rounded terms; the rest follows it */
            const double rough = 4 * (double)FLT_EPSILON;
            CHECK(fabs((double)a.m[j] - m) <= rough * (fabs((double)b.m[j]) + fabs(grad)),
                  "%s, number %zu: m %.9g, expected %.9g (seed 9)", p->name, j - p->offset, (double)a.m[j], m);
            CHECK(fabs((double)a.v[j] - v) <= rough * v, "%s, number %zu: v %.9g, expected %.9g (seed 9)", p->name,
                  j - p->offset, (double)a.v[j], v);
            const double room =
                2 * rough *
                (fabs((double)b.w[j]) + o.lr * 3 * (fabs((double)b.m[j]) + fabs(grad)) / (sqrt(v_hat) + o.eps));
            CHECK(fabs((double)a.w[j] - w) <= room, "%s, number %zu: weight %.9g, expected %.9g (seed 9)", p->name,
                  j - p->offset, (double)a.w[j], w);
            CHECK(fabs((double)a.ema[j] - ema) <= room + rough * fabs(ema),
                  "%s, number %zu: average %.9g, expected %.9g (seed 9)", p->name, j - p->offset, (double)a.ema[j],
                  ema);
        }
    }
    CHECK(memcmp(a.grad, b.grad, a.n * sizeof(float)) == 0, "the gradient was changed");
    free_arrays(a);
    free_arrays(b);
    ath_graph_destroy(g);
}

static void the_averages_decay_grows_to_its_limit(void **state) {
    (void)state;
    double before = 0;
    for (uint64_t s = 0; s < 200000; s += 1 + s / 10) {
        const double decay = ath_ema_decay(0.9999, s), warm = (1 + (double)s) / (10 + (double)s);
        CHECK(decay >= before && decay <= 0.9999, "at step %llu: %.17g after %.17g", (unsigned long long)s, decay,
              before);
        CHECK(decay == warm || decay == 0.9999, "at step %llu: %.17g, expected %.17g or the limit",
              (unsigned long long)s, decay, warm);
        before = decay;
    }
    CHECK(before == 0.9999, "the limit is not reached: %.17g", before);
    CHECK(ath_ema_decay(0, 0) == 0, "a decay of 0 is %g", ath_ema_decay(0, 0));
    CHECK(ath_ema_decay(0.9999, UINT64_MAX) == 0.9999, "at the last step: %.17g", ath_ema_decay(0.9999, UINT64_MAX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_are_torchs),
        cmocka_unit_test(updates_are_torchs_in_the_full_set),
        cmocka_unit_test(the_average_and_its_decay_are_those_of_diffusers),
        cmocka_unit_test(the_average_is_the_same_in_the_full_set),
        cmocka_unit_test(weights_decay_and_biases_and_gains_do_not),
        cmocka_unit_test(the_norm_is_the_euclidean_one),
        cmocka_unit_test(a_long_gradient_is_scaled_to_the_clip_norm_and_a_short_one_is_not),
        cmocka_unit_test(norm_and_update_are_the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(every_number_is_updated_by_the_formula),
        cmocka_unit_test(the_averages_decay_grows_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
