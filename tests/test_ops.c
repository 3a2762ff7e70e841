/* Every operation's vjp against finite differences, for every input and parameter, in
 * an arena filled with NaN: what a vjp reads must have been written. */
#include "check.h"
#include "base/rng.h"
#include "graph/graph.h"
#include "graph/params.h"
#include "graph/plan.h"

enum { IMAGES = 3, MAX_INPUTS = 4, DIRECTIONS = 3 };

/* One graph under test: its inputs, and how large values the inputs take. */
typedef struct bench {
    ath_graph *g;
    ath_tensor in[MAX_INPUTS];
    bool differentiable[MAX_INPUTS];
    int n_in;
    ath_tensor out;
    ath_plan *plan;
    float *params, *packed, *value[MAX_INPUTS], *dy;
    double scale;
    bool training;
} bench;

static size_t len_of(const bench *b, ath_tensor t) {
    const ath_shape s = ath_shape_of(b->g, t);
    return (size_t)IMAGES * (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

static ath_tensor input(bench *b, const char *name, int h, int w, int c) {
    const ath_tensor t = ath_input(b->g, name, (ath_shape){h, w, c}, true);
    b->differentiable[b->n_in] = true;
    b->in[b->n_in++] = t;
    return t;
}

static void run_forward(bench *b, float *y) {
    ath_plan_poison(b->plan);
    for (int i = 0; i < b->n_in; i++)
        memcpy(ath_plan_value(b->plan, b->in[i]), b->value[i], len_of(b, b->in[i]) * sizeof(float));
    ath_plan_pack(b->plan, b->params, b->packed, 0, 1);
    const ath_run run = {
        .n = IMAGES, .params = b->params, .packed = b->packed, .training = b->training, .rng = {7}, .first_image = 40};
    ath_plan_forward(b->plan, &run);
    memcpy(y, ath_plan_value(b->plan, b->out), len_of(b, b->out) * sizeof(float));
}

/* sum(y dy) with the values as they are */
static double objective(bench *b) {
    const size_t n = len_of(b, b->out);
    float *y = malloc(n * sizeof *y);
    run_forward(b, y);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)y[i] * (double)b->dy[i];
    free(y);
    return sum;
}

/* The derivative along a random direction, by central differences extrapolated from two
 * step widths (error h^4), and by the gradient. */
static void compare(bench *b, const char *what, float *values, const float *gradient, size_t n, uint64_t direction) {
    float *v = malloc(n * sizeof *v), *kept = malloc(n * sizeof *kept);
    ath_rng_normal((ath_rng){11}, ATH_S_TEST, direction, v, n);
    memcpy(kept, values, n * sizeof *kept);
    double slope[2], by_gradient = 0, size = 0;
    for (int k = 0; k < 2; k++) {
        const double h = 0.02 / (k + 1);
        double at[2];
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < n; i++) values[i] = kept[i] + (float)((side ? h : -h)) * v[i];
            at[side] = objective(b);
        }
        slope[k] = (at[1] - at[0]) / (2 * h);
    }
    memcpy(values, kept, n * sizeof *kept);
    const double by_difference = (4 * slope[1] - slope[0]) / 3;
    for (size_t i = 0; i < n; i++) {
        by_gradient += (double)gradient[i] * (double)v[i];
        size += (double)gradient[i] * (double)gradient[i];
    }
    /* float32 values of size 1 summed over some hundred outputs: about 1e-5/h of rounding */
    const double tol = 2e-3 * (sqrt(size) + 1) + 2e-3;
    CHECK(fabs(by_gradient - by_difference) <= tol,
          "%s: gradient says %.8g, differences say %.8g (tolerance %.2g, direction %d)", what, by_gradient,
          by_difference, tol, (int)direction);
    free(v);
    free(kept);
}

static bench begin(void) {
    bench b = {.g = ath_graph_create(), .scale = 1};
    CHECK(b.g != NULL, "no graph");
    return b;
}

/* Compiles, draws values, checks every input and parameter, cleans up. */
static void check_gradients(bench *b, ath_tensor out) {
    ath_err err = {0};
    b->out = out;
    ath_output(b->g, out);
    CHECK_OK(ath_plan_compile(&b->plan, b->g, IMAGES, ATH_GRAD_PARAMS | ATH_GRAD_INPUTS, &err));
    const size_t total = ath_param_total(b->g);
    b->params = malloc((total + 1) * sizeof *b->params);
    b->packed = malloc((ath_plan_packed_floats(b->plan) + 1) * sizeof *b->packed);
    ath_rng_normal((ath_rng){1}, ATH_S_TEST, 1, b->params, total); /* zero-initialised layers too */
    for (size_t i = 0; i < total; i++) b->params[i] *= 0.3f;
    for (int i = 0; i < b->n_in; i++) {
        b->value[i] = malloc(len_of(b, b->in[i]) * sizeof(float));
        ath_rng_normal((ath_rng){2}, ATH_S_TEST, (uint64_t)i, b->value[i], len_of(b, b->in[i]));
        if (!b->differentiable[i]) /* labels: one row twice, one out of range */
            for (int j = 0; j < IMAGES; j++) b->value[i][j] = (float)(j == 2 ? 99 : 1);
    }
    const size_t n_out = len_of(b, out);
    b->dy = malloc(n_out * sizeof *b->dy);
    ath_rng_normal((ath_rng){3}, ATH_S_TEST, 0, b->dy, n_out);

    ath_grad_sum *sum;
    CHECK_OK(ath_grad_sum_create(&sum, b->g, &err));
    float *grad = malloc((total + 1) * sizeof *grad), *y = malloc(n_out * sizeof *y);
    ath_grad_sum_begin(sum, grad);
    run_forward(b, y);
    for (size_t i = 0; i < n_out; i++)
        CHECK(isfinite(y[i]), "output %zu is %g: something unwritten was read", i, (double)y[i]);
    memcpy(ath_plan_grad(b->plan, out), b->dy, n_out * sizeof(float));
    const ath_run run = {
        .n = IMAGES, .params = b->params, .packed = b->packed, .training = b->training, .rng = {7}, .first_image = 40};
    ath_plan_vjp(b->plan, &run, sum, 0);
    float *dx[MAX_INPUTS] = {NULL};
    for (int i = 0; i < b->n_in; i++) {
        if (!b->differentiable[i]) continue;
        const size_t n = len_of(b, b->in[i]);
        CHECK(ath_plan_grad(b->plan, b->in[i]) != NULL, "input %d has no gradient", i);
        dx[i] = malloc(n * sizeof(float));
        memcpy(dx[i], ath_plan_grad(b->plan, b->in[i]), n * sizeof(float));
        for (size_t j = 0; j < n; j++)
            CHECK(isfinite(dx[i][j]), "gradient %zu of input %d is %g", j, i, (double)dx[i][j]);
    }
    for (uint64_t d = 0; d < DIRECTIONS; d++) {
        for (int i = 0; i < b->n_in; i++) {
            char what[32];
            snprintf(what, sizeof what, "input %d", i);
            if (dx[i]) compare(b, what, b->value[i], dx[i], len_of(b, b->in[i]), d * 100 + (uint64_t)i);
        }
        for (int i = 0; i < ath_param_count(b->g); i++) {
            const ath_param *p = ath_param_at(b->g, i);
            compare(b, p->name, b->params + p->offset, grad + p->offset, p->len, d * 100 + 50 + (uint64_t)i);
        }
    }
    for (int i = 0; i < b->n_in; i++) {
        free(b->value[i]);
        free(dx[i]);
    }
    free(grad);
    free(y);
    free(b->params);
    free(b->packed);
    free(b->dy);
    ath_grad_sum_destroy(sum);
    ath_plan_destroy(b->plan);
    ath_graph_destroy(b->g);
}

static void convolutions_of_every_kind(void **state) {
    (void)state;
    const ath_conv kinds[] = {{.kernel = 3},
                              {.kernel = 1},
                              {.kernel = 3, .stride = 2},
                              {.kernel = 3, .stride = 2, .pad_after = 1},
                              {.kernel = 5},
                              {.kernel = 2, .stride = 2, .valid = true},
                              {.kernel = 3, .zero_init = true}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int wide = 0; wide < 2; wide++) {
            bench b = begin();
            const ath_tensor x = input(&b, "x", 6, 8, wide ? 16 : 3);
            check_gradients(&b, ath_conv2d(b.g, x, "conv", wide ? 32 : 5, kinds[i]));
        }
}

static void linear_on_vectors_and_on_positions(void **state) {
    (void)state;
    for (int size = 1; size <= 3; size += 2) {
        bench b = begin();
        const ath_tensor x = input(&b, "x", size, size, 7);
        check_gradients(&b, ath_linear(b.g, x, "linear", 5, false));
    }
}

static void group_norm_with_small_and_large_groups(void **state) {
    (void)state;
    for (int groups = 1; groups <= 8; groups *= 2) {
        bench b = begin();
        const ath_tensor x = input(&b, "x", 4, 3, 8);
        check_gradients(&b, ath_group_norm(b.g, x, "norm", groups, 1e-5));
    }
}

static void layer_norm(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 2, 3, 12);
    check_gradients(&b, ath_layer_norm(b.g, x, "norm", 1e-5));
}

static void silu(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 3, 3, 5);
    check_gradients(&b, ath_silu(b.g, x));
}

static void gelu(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 3, 3, 5);
    check_gradients(&b, ath_gelu(b.g, x));
}

static void adding_tensors_and_vectors(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 3, 2, 5), y = input(&b, "y", 3, 2, 5), v = input(&b, "v", 1, 1, 5);
    check_gradients(&b, ath_add(b.g, ath_add(b.g, x, y), v));
}

static void adding_a_tensor_to_itself(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 3, 2, 5), s = ath_silu(b.g, x);
    check_gradients(&b, ath_add(b.g, s, s));
}

static void a_tensor_with_three_readers_sums_their_gradients(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 2, 2, 4), h = ath_linear(b.g, x, "a", 4, false);
    const ath_tensor p = ath_silu(b.g, h), q = ath_linear(b.g, h, "b", 4, false);
    check_gradients(&b, ath_add(b.g, ath_add(b.g, p, q), h));
}

static void adding_with_a_scale(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 3, 2, 5), y = input(&b, "y", 3, 2, 5), s = input(&b, "s", 1, 1, 3);
    check_gradients(&b, ath_add_scaled(b.g, ath_add_scaled(b.g, x, y, s, 2), y, s, 0));
}

static void concatenating_with_and_without_a_scale(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 3, 2, 5), y = input(&b, "y", 3, 2, 4), s = input(&b, "s", 1, 1, 2);
    check_gradients(&b, ath_concat(b.g, ath_concat(b.g, x, y, s, 1), y, (ath_tensor){0}, 0));
}

static void slices_that_overlap(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 2, 2, 7);
    check_gradients(&b, ath_add(b.g, ath_slice(b.g, x, 0, 4), ath_slice(b.g, x, 3, 4)));
}

static void scale_and_shift(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 3, 2, 5), scale = input(&b, "scale", 1, 1, 5),
                     shift = input(&b, "shift", 1, 1, 5);
    check_gradients(&b, ath_scale_shift(b.g, x, scale, shift));
}

static void upsampling_pooling_and_reshaping(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 2, 4, 3);
    const ath_tensor pooled = ath_avg_pool2(b.g, ath_silu(b.g, ath_upsample2(b.g, x)));
    check_gradients(&b, ath_reshape(b.g, ath_avg_pool2(b.g, pooled), (ath_shape){1, 1, 6}));
}

static void attention_with_one_and_with_two_heads(void **state) {
    (void)state;
    for (int heads = 1; heads <= 2; heads++) {
        bench b = begin();
        const ath_tensor q = input(&b, "q", 3, 2, 8), k = input(&b, "k", 3, 2, 8), v = input(&b, "v", 3, 2, 8);
        check_gradients(&b, ath_attention(b.g, q, k, v, heads));
    }
}

static void attention_of_a_tensor_with_itself(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 2, 2, 4);
    check_gradients(&b, ath_attention(b.g, x, x, x, 1));
}

static void timestep_embedding(void **state) {
    (void)state;
    for (int flip = 0; flip < 2; flip++) {
        bench b = begin();
        const ath_tensor t = input(&b, "t", 1, 1, 1);
        check_gradients(&b, ath_timestep_embedding(b.g, t, 8, flip, flip));
    }
}

static void label_embedding_repeats_rows_and_ignores_labels_out_of_range(void **state) {
    (void)state;
    bench b = begin();
    const ath_tensor x = input(&b, "x", 1, 1, 6);
    b.in[b.n_in] = ath_input(b.g, "label", (ath_shape){1, 1, 1}, false);
    const ath_tensor e = ath_label_embedding(b.g, b.in[b.n_in++], "table", 4, 6);
    check_gradients(&b, ath_add(b.g, ath_silu(b.g, x), e));
}

static void dropout_in_training(void **state) {
    (void)state;
    bench b = begin();
    b.training = true;
    const ath_tensor x = input(&b, "x", 5, 5, 20);
    check_gradients(&b, ath_dropout(b.g, ath_silu(b.g, x), 0.3));
}

static void a_graph_reports_its_first_mistake_with_the_layer(void **state) {
    (void)state;
    ath_err err = {0};
    ath_plan *plan;
    ath_graph *g = ath_graph_create();
    ath_scope_push(g, "down.%d", 3);
    const ath_tensor x = ath_input(g, "x", (ath_shape){5, 5, 6}, true);
    const ath_tensor bad = ath_group_norm(g, x, "norm1", 4, 1e-5);
    ath_output(g, ath_conv2d(g, ath_avg_pool2(g, bad), "conv", 8, (ath_conv){0}));
    ath_scope_pop(g);
    CHECK_FAILS(ath_plan_compile(&plan, g, 1, 0, &err), ATH_E_SHAPE, "down.3");
    CHECK(strstr(err.text, "norm1") && strstr(err.text, "4 groups"), "the message was \"%s\"", err.text);
    ath_graph_destroy(g);
    g = ath_graph_create();
    ath_input(g, "x", (ath_shape){5, 5, 6}, true);
    CHECK_FAILS(ath_plan_compile(&plan, g, 1, 0, &err), ATH_E_SHAPE, "no output");
    ath_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_of_every_kind),
        cmocka_unit_test(linear_on_vectors_and_on_positions),
        cmocka_unit_test(group_norm_with_small_and_large_groups),
        cmocka_unit_test(layer_norm),
        cmocka_unit_test(silu),
        cmocka_unit_test(gelu),
        cmocka_unit_test(adding_tensors_and_vectors),
        cmocka_unit_test(adding_a_tensor_to_itself),
        cmocka_unit_test(a_tensor_with_three_readers_sums_their_gradients),
        cmocka_unit_test(adding_with_a_scale),
        cmocka_unit_test(concatenating_with_and_without_a_scale),
        cmocka_unit_test(slices_that_overlap),
        cmocka_unit_test(scale_and_shift),
        cmocka_unit_test(upsampling_pooling_and_reshaping),
        cmocka_unit_test(attention_with_one_and_with_two_heads),
        cmocka_unit_test(attention_of_a_tensor_with_itself),
        cmocka_unit_test(timestep_embedding),
        cmocka_unit_test(label_embedding_repeats_rows_and_ignores_labels_out_of_range),
        cmocka_unit_test(dropout_in_training),
        cmocka_unit_test(a_graph_reports_its_first_mistake_with_the_layer),
    };
    return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
