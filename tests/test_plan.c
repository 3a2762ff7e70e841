/* Plans of whole networks: planned memory changes nothing, nor does the number of
 * images that run together nor who adds to the gradient first, and nothing is read that was not written. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <stdatomic.h>
#include <time.h>
#include "base/pool.h"
#include "base/rng.h"
#include "diffusion/net.h"
#include "graph/op.h"
#include "graph/plan.h"

enum { SIZE = 8, CHANNELS = 3, CLASSES = 5, IMAGES = 4 };

/* A small network of any kind, as a user would ask for it. */
typedef struct subject {
    ath_graph *g;
    ath_tensor x, t, label, skip, out;
    float *params;
} subject;

static subject make(const ath_net *net, const char *extra) {
    ath_err err = {0};
    const ath_net_request request = {.image_size = SIZE,
                                     .channels = CHANNELS,
                                     .classes = CLASSES,
                                     .base_channels = 16,
                                     .res_blocks = 1,
                                     .norm_groups = 4,
                                     .channel_mults = {2, {1, 2}},
                                     .attention = {1, {4}},
                                     .dropout = 0.1};
    void *config = calloc(1, net->config_size);
    ath_options_default(net->options, net->n_options, config);
    CHECK_OK(net->configure(&request, config, &err));
    CHECK_OK(ath_options_parse(net->options, net->n_options, config, extra, &err));
    subject s = {.g = ath_graph_create()};
    s.x = ath_input(s.g, "x", (ath_shape){SIZE, SIZE, CHANNELS}, true);
    s.t = ath_input(s.g, "t", (ath_shape){1, 1, 1}, true);
    s.label = ath_input(s.g, "label", (ath_shape){1, 1, 1}, false);
    s.out = net->build(s.g, (ath_net_io){s.x, s.t, s.label}, config);
    ath_output(s.g, s.out);
    s.skip = ath_input_find(s.g, "skip_scales");
    s.params = malloc((ath_param_total(s.g) + 1) * sizeof *s.params);
    ath_rng_normal((ath_rng){5}, ATH_S_TEST, 0, s.params, ath_param_total(s.g));
    for (size_t i = 0; i < ath_param_total(s.g); i++) s.params[i] *= 0.1f;
    free(config);
    return s;
}

static void destroy(subject *s) {
    ath_graph_destroy(s->g);
    free(s->params);
}

enum { DIM = SIZE * SIZE * CHANNELS };

/* What one run gives: output, parameters' gradient, x's gradient. */
typedef struct result {
    float y[IMAGES * DIM], dx[IMAGES * DIM], *grad;
} result;

/* A plan that has run images first .. first + n - 1 of a fixed set of IMAGES forward. */
typedef struct micro_batch {
    ath_plan *plan;
    float *packed;
    ath_run how;
} micro_batch;

static micro_batch begin(const subject *s, int room, int first, int n, unsigned want) {
    ath_err err = {0};
    micro_batch m;
    CHECK_OK(ath_plan_compile(&m.plan, s->g, room, want, &err));
    ath_plan_poison(m.plan);
    m.packed = malloc((ath_plan_packed_floats(m.plan) + 1) * sizeof *m.packed);
    ath_plan_pack(m.plan, s->params, m.packed, 0, 2);
    ath_plan_pack(m.plan, s->params, m.packed, 1, 2);
    for (int i = 0; i < n; i++) {
        ath_rng_normal((ath_rng){6}, ATH_S_TEST, (uint64_t)(first + i), ath_plan_value(m.plan, s->x) + i * DIM, DIM);
        ath_plan_value(m.plan, s->t)[i] = 100.0f * (float)(first + i);
        ath_plan_value(m.plan, s->label)[i] = (float)((first + i) % CLASSES);
        const int skips = ath_shape_of(s->g, s->skip).c;
        for (int k = 0; k < skips; k++) ath_plan_value(m.plan, s->skip)[i * skips + k] = 1;
    }
    m.how = (ath_run){.n = n,
                      .params = s->params,
                      .packed = m.packed,
                      .training = (want & ATH_GRAD_PARAMS) != 0,
                      .rng = {9},
                      .first_image = (uint64_t)first};
    ath_plan_forward(m.plan, &m.how);
    if (want & ATH_GRAD_PARAMS)
        ath_rng_normal((ath_rng){8}, ATH_S_TEST, (uint64_t)first, ath_plan_grad(m.plan, s->out), (size_t)(n * DIM));
    return m;
}

static void end(micro_batch *m) {
    free(m->packed);
    ath_plan_destroy(m->plan);
}

static ath_grad_sum *sum_into(const subject *s, float **total) {
    ath_err err = {0};
    ath_grad_sum *sum;
    CHECK_OK(ath_grad_sum_create(&sum, s->g, &err));
    *total = calloc(ath_param_total(s->g) + 1, sizeof **total);
    ath_grad_sum_begin(sum, *total);
    return sum;
}

static void run(const subject *s, int room, int first, int n, unsigned want, result *out) {
    micro_batch m = begin(s, room, first, n, want);
    memcpy(out->y + first * DIM, ath_plan_value(m.plan, s->out), (size_t)(n * DIM) * sizeof(float));
    if (want & ATH_GRAD_PARAMS) {
        ath_grad_sum *sum = sum_into(s, &out->grad);
        ath_plan_vjp(m.plan, &m.how, sum, 0);
        if (want & ATH_GRAD_INPUTS) memcpy(out->dx, ath_plan_grad(m.plan, s->x), (size_t)(n * DIM) * sizeof(float));
        ath_grad_sum_destroy(sum);
    }
    end(&m);
}

static void check_same(const char *net, const char *what, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        CHECK(memcmp(&a[i], &b[i], sizeof a[i]) == 0, "%s: %s %zu is %.9g and %.9g", net, what, i, (double)a[i],
              (double)b[i]);
}

static const char *const variants[] = {"", "resnet_time_scale_shift=scale_shift,attention_head_dim=8",
                                       "downsample_padding=0,flip_sin_to_cos=false,freq_shift=1"};

/* Every network there is, the U-Net in three variants. */
static int subjects(subject *list, const char **name) {
    int n_nets, n = 0;
    const ath_net *const *nets = ath_net_all(&n_nets);
    for (int i = 0; i < n_nets; i++)
        for (int v = 0; v < 3; v++) {
            if (v && strcmp(nets[i]->name, "unet") != 0) continue;
            name[n] = nets[i]->name;
            list[n++] = make(nets[i], variants[v]);
        }
    return n;
}

static void planned_memory_gives_the_bytes_of_unshared_memory(void **state) {
    (void)state;
    subject list[16];
    const char *name[16];
    const int n = subjects(list, name);
    for (int i = 0; i < n; i++) {
        static result planned, unshared, forward;
        const unsigned all = ATH_GRAD_PARAMS | ATH_GRAD_INPUTS;
        run(&list[i], IMAGES, 0, IMAGES, all, &planned);
        run(&list[i], IMAGES, 0, IMAGES, all | ATH_UNSHARED, &unshared);
        check_same(name[i], "output", planned.y, unshared.y, IMAGES * DIM);
        check_same(name[i], "x's gradient", planned.dx, unshared.dx, IMAGES * DIM);
        check_same(name[i], "parameter gradient", planned.grad, unshared.grad, ath_param_total(list[i].g));
        for (size_t k = 0; k < ath_param_total(list[i].g); k++)
            CHECK(isfinite(planned.grad[k]), "%s: gradient %zu is %g", name[i], k, (double)planned.grad[k]);
        free(planned.grad);
        free(unshared.grad);
        run(&list[i], IMAGES, 0, IMAGES, ATH_FORWARD, &forward);
        run(&list[i], IMAGES, 0, IMAGES, ATH_FORWARD | ATH_UNSHARED, &unshared);
        check_same(name[i], "output of a forward plan", forward.y, unshared.y, IMAGES * DIM);
        destroy(&list[i]);
    }
}

/* With the inputs' gradients, for which concatenations stay, and without. */
static void networks_put_together_give_what_their_operations_give(void **state) {
    (void)state;
    subject list[16];
    const char *name[16];
    const int n = subjects(list, name);
    double worst = 0;
    for (int i = 0; i < n; i++) {
        static result apart, fused[2];
        const size_t total = ath_param_total(list[i].g);
        run(&list[i], IMAGES, 0, IMAGES, ATH_GRAD_PARAMS | ATH_GRAD_INPUTS | ATH_UNFUSED, &apart);
        for (unsigned k = 0; k < 2; k++) {
            run(&list[i], IMAGES, 0, IMAGES, ATH_GRAD_PARAMS | (k ? ATH_GRAD_INPUTS : 0), &fused[k]);
            const double e[3] = {relative_error(fused[k].y, apart.y, IMAGES * DIM),
                                 relative_error(fused[k].grad, apart.grad, total),
                                 k ? relative_error(fused[k].dx, apart.dx, IMAGES * DIM) : 0};
            static const char *const what[3] = {"output", "gradient", "x's gradient"};
            for (int j = 0; j < 3; j++) {
                CHECK(e[j] <= 1e-5, "%s: %s differs by %.2e of its norm", name[i], what[j], e[j]);
                worst = fmax(worst, e[j]);
            }
            free(fused[k].grad);
        }
        free(apart.grad);
        destroy(&list[i]);
    }
    print_message("    largest difference %.1e of the norm\n", worst);
}

static void an_image_gives_the_same_bytes_in_any_micro_batch(void **state) {
    (void)state;
    subject list[16];
    const char *name[16];
    const int n = subjects(list, name);
    for (int i = 0; i < n; i++) {
        static result together, apart;
        run(&list[i], IMAGES, 0, IMAGES, ATH_FORWARD, &together);
        run(&list[i], 1, 0, 1, ATH_FORWARD, &apart);
        run(&list[i], IMAGES, 1, 3, ATH_FORWARD, &apart); /* fewer than the plan has room for */
        check_same(name[i], "output", together.y, apart.y, IMAGES * DIM);
        destroy(&list[i]);
    }
}

static void sharing_saves_memory_and_forward_plans_need_less(void **state) {
    (void)state;
    ath_err err = {0};
    subject s = make(ath_net_find("unet"), "");
    ath_plan *train, *forward, *unshared;
    CHECK_OK(ath_plan_compile(&train, s.g, IMAGES, ATH_GRAD_PARAMS, &err));
    CHECK_OK(ath_plan_compile(&forward, s.g, IMAGES, ATH_FORWARD, &err));
    CHECK_OK(ath_plan_compile(&unshared, s.g, IMAGES, ATH_GRAD_PARAMS | ATH_UNSHARED, &err));
    const size_t t = ath_plan_bytes(train), f = ath_plan_bytes(forward), u = ath_plan_bytes(unshared);
    CHECK(2 * t < u, "training takes %zu bytes planned and %zu unshared", t, u);
    CHECK(2 * f < t, "forward takes %zu bytes and training %zu", f, t);
    ath_plan_destroy(train);
    ath_plan_destroy(forward);
    ath_plan_destroy(unshared);
    destroy(&s);
}

static void skip_scales_of_one_change_nothing_and_others_do(void **state) {
    (void)state;
    ath_err err = {0};
    subject s = make(ath_net_find("unet"), "");
    ath_plan *plan;
    CHECK_OK(ath_plan_compile(&plan, s.g, 1, ATH_GRAD_INPUTS, &err));
    const int skips = ath_shape_of(s.g, s.skip).c;
    CHECK(skips == 1 + 2 + 1, "%d skip connections", skips); /* conv_in, one block on two levels, one downsampling */
    float *packed = malloc((ath_plan_packed_floats(plan) + 1) * sizeof *packed);
    ath_plan_pack(plan, s.params, packed, 0, 1);
    float y[2][DIM];
    for (int k = 0; k < 2; k++) {
        ath_rng_normal((ath_rng){6}, ATH_S_TEST, 0, ath_plan_value(plan, s.x), DIM);
        ath_plan_value(plan, s.t)[0] = 10;
        ath_plan_value(plan, s.label)[0] = 1;
        for (int j = 0; j < skips; j++) ath_plan_value(plan, s.skip)[j] = k ? 0.8f : 1.0f;
        const ath_run how = {.n = 1, .params = s.params, .packed = packed};
        ath_plan_forward(plan, &how);
        memcpy(y[k], ath_plan_value(plan, s.out), sizeof y[k]);
    }
    CHECK(relative_error(y[1], y[0], DIM) > 1e-3, "scales of 0.8 changed the output by %g",
          relative_error(y[1], y[0], DIM));
    free(packed);
    ath_plan_destroy(plan);
    destroy(&s);
}

/* ---- one forward, several threads ---- */

/* Blocks as networks have them, with operations that are worth dividing and others that are not: norm and activation
 * before a convolution, a residual after it, a plain one, a linear layer, attention. */
static ath_graph *large_blocks(ath_tensor *x, ath_tensor *out) {
    ath_graph *g = ath_graph_create();
    *x = ath_input(g, "x", (ath_shape){32, 32, 64}, false);
    ath_tensor h = ath_silu(g, ath_group_norm(g, *x, "norm", 8, 1e-5));
    h = ath_add(g, *x, ath_conv2d(g, h, "conv", 64, (ath_conv){0}));
    h = ath_conv2d(g, h, "plain", 64, (ath_conv){0});
    ath_tensor v = ath_linear(g, h, "value", 256, false);
    h = ath_linear(g, ath_attention(g, v, v, v, 2), "out", 64, false);
    *out = ath_conv2d(g, h, "last", 3, (ath_conv){0});
    ath_output(g, *out);
    return g;
}

static void threads_that_share_a_forward_give_the_bytes_of_one(void **state) {
    (void)state;
    ath_err err = {0};
    ath_tensor x, out;
    ath_graph *g = large_blocks(&x, &out);
    CHECK_OK(ath_graph_status(g, &err));
    const ath_kernels *k = ath_kernels_best();
    const ath_conv_shape middle = {1, 32, 32, 64, 64, 3, 1, 1, 1, false, 0},
                         value = {1, 32, 32, 64, 256, 1, 1, 0, 0, false, 0};
    const ath_attention_shape heads = {1024, 256, 256, 1};
    CHECK(strcmp(k->isa, "ref") == 0 ||
              (k->conv_parts(&middle) > 1 && k->conv_parts(&value) > 1 && k->attention_parts(&heads) > 1),
          "%s does not divide the test's operations", k->isa);
    const size_t total = ath_param_total(g), len = 32 * 32 * 3;
    float *params = malloc(total * sizeof *params), *packed = NULL, *alone = malloc(len * sizeof *alone);
    ath_rng_normal((ath_rng){5}, ATH_S_TEST, 0, params, total);
    for (int threads = 1; threads <= 3; threads++) {
        ath_pool *pool;
        ath_plan *plan[3];
        CHECK_OK(ath_pool_create(&pool, threads, &err));
        for (int i = 0; i < threads; i++) {
            CHECK_OK(ath_plan_compile(&plan[i], g, 2, 0, &err));
            ath_plan_poison(plan[i]);
        }
        if (!packed) {
            packed = malloc((ath_plan_packed_floats(plan[0]) + 1) * sizeof *packed);
            ath_plan_pack(plan[0], params, packed, 0, 1);
        }
        ath_rng_normal((ath_rng){6}, ATH_S_TEST, 0, ath_plan_value(plan[0], x), 32 * 32 * 64);
        ath_plan_forward(plan[0], &(ath_run){.n = 1,
                                             .params = params,
                                             .packed = packed,
                                             .pool = threads > 1 ? pool : NULL,
                                             .plan_of = threads > 1 ? plan : NULL});
        const float *y = ath_plan_value(plan[0], out);
        if (threads == 1) memcpy(alone, y, len * sizeof *y);
        CHECK(isfinite(y[0]) && memcmp(y, alone, len * sizeof *y) == 0, "%d threads give other bytes", threads);
        for (int i = 0; i < threads; i++) ath_plan_destroy(plan[i]);
        ath_pool_destroy(pool);
    }
    free(params), free(packed), free(alone);
    ath_graph_destroy(g);
}

/* ---- the gradient's sum ---- */

/* What micro-batches of two images give by themselves, summed in order: what every way of summing must give. */
static float *sum_of_parts(const subject *s) {
    const size_t total = ath_param_total(s->g);
    float *sum = NULL;
    for (int first = 0; first < IMAGES; first += 2) {
        static result part;
        run(s, 2, first, 2, ATH_GRAD_PARAMS, &part);
        for (size_t i = 0; sum && i < total; i++) sum[i] += part.grad[i];
        if (sum)
            free(part.grad);
        else
            sum = part.grad;
    }
    return sum;
}

static void micro_batches_in_one_thread_add_up_to_the_bits_of_their_sum(void **state) {
    (void)state;
    subject list[16];
    const char *name[16];
    const int n = subjects(list, name);
    for (int i = 0; i < n; i++) {
        float *grad, *expected = sum_of_parts(&list[i]);
        ath_grad_sum *sum = sum_into(&list[i], &grad);
        for (int k = 0; 2 * k < IMAGES; k++) { /* always its turn: into the sum itself */
            micro_batch m = begin(&list[i], 2, 2 * k, 2, ATH_GRAD_PARAMS);
            ath_plan_vjp(m.plan, &m.how, sum, k);
            end(&m);
        }
        check_same(name[i], "gradient", grad, expected, ath_param_total(list[i].g));
        ath_grad_sum_destroy(sum);
        free(grad), free(expected);
        destroy(&list[i]);
    }
}

/* Two micro-batches at once, one of which begins when the other has long begun. */
typedef struct race {
    micro_batch m[2];
    ath_grad_sum *sum;
    int late;
    atomic_bool begun;
} race;

static void take_part(void *self, int worker) {
    race *r = self;
    if (worker == r->late) {
        while (!atomic_load(&r->begun)) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    } else
        atomic_store(&r->begun, true);
    ath_plan_vjp(r->m[worker].plan, &r->m[worker].how, r->sum, worker);
}

/* When the first is late the second waits for its turn, with gradients in memory of its own; else it finds its turn come. */
static void whoever_is_late_the_sum_has_the_same_bits(void **state) {
    (void)state;
    ath_err err = {0};
    ath_pool *pool;
    CHECK_OK(ath_pool_create(&pool, 2, &err));
    subject list[16];
    const char *name[16];
    const int n = subjects(list, name);
    for (int i = 0; i < n; i++) {
        float *grad, *expected = sum_of_parts(&list[i]);
        for (int late = 0; late < 2; late++) {
            race r = {.sum = sum_into(&list[i], &grad), .late = late};
            for (int k = 0; k < 2; k++) r.m[k] = begin(&list[i], 2, 2 * k, 2, ATH_GRAD_PARAMS);
            ath_pool_run(pool, take_part, &r);
            check_same(name[i], late ? "gradient, second late," : "gradient, first late,", grad, expected,
                       ath_param_total(list[i].g));
            for (int k = 0; k < 2; k++) end(&r.m[k]);
            ath_grad_sum_destroy(r.sum);
            free(grad);
        }
        free(expected);
        destroy(&list[i]);
    }
    ath_pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planned_memory_gives_the_bytes_of_unshared_memory),
        cmocka_unit_test(networks_put_together_give_what_their_operations_give),
        cmocka_unit_test(an_image_gives_the_same_bytes_in_any_micro_batch),
        cmocka_unit_test(sharing_saves_memory_and_forward_plans_need_less),
        cmocka_unit_test(skip_scales_of_one_change_nothing_and_others_do),
        cmocka_unit_test(threads_that_share_a_forward_give_the_bytes_of_one),
        cmocka_unit_test(micro_batches_in_one_thread_add_up_to_the_bits_of_their_sum),
        cmocka_unit_test(whoever_is_late_the_sum_has_the_same_bits),
    };
    return cmocka_run_group_tests_name("plans", tests, NULL, NULL);
}
