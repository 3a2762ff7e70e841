/* The U-Net against diffusers' UNet2DModel (v0.40.0, run in double): outputs to 2e-5,
 * every gradient to 1e-4 of its tensor's norm. One network is in tests/golden, the
 * others are read from the shared goldens when they are there. */
#include "check.h"
#include "base/file.h"
#include "io/safetensors.h"
#include "model/model.h"
#include "model/workers.h"

typedef struct evaluation {
    const ath_model *m;
    ath_grad_sum *sum;
    float *x, *t, *label, *cotangent, *y, *dx;
    size_t dim;
} evaluation;

/* [n,c,h,w] to [n,h,w,c] or, `back`, the other way */
static void turn(size_t n, ath_shape s, const float *a, float *b, bool back) {
    const size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < c; j++)
            for (size_t p = 0; p < area; p++) {
                const size_t chw = (i * c + j) * area + p, hwc = (i * area + p) * c + j;
                if (back)
                    b[chw] = a[hwc];
                else
                    b[hwc] = a[chw];
            }
}

static void micro_batch(void *self, int worker, ath_plan *plan, ath_run *run, int first, int index) {
    (void)worker;
    evaluation *e = self;
    const size_t n = (size_t)run->n, at = (size_t)first * e->dim, bytes = n * e->dim * sizeof(float);
    memcpy(ath_plan_value(plan, e->m->x), e->x + at, bytes);
    memcpy(ath_plan_value(plan, e->m->t), e->t + first, n * sizeof(float));
    if (e->label) memcpy(ath_plan_value(plan, e->m->label), e->label + first, n * sizeof(float));
    for (size_t i = 0; i < n * (size_t)e->m->skips; i++) ath_plan_value(plan, e->m->skip_scales)[i] = 1;
    ath_plan_forward(plan, run);
    memcpy(e->y + at, ath_plan_value(plan, e->m->output), bytes);
    memcpy(ath_plan_grad(plan, e->m->output), e->cotangent + at, bytes);
    ath_plan_vjp(plan, run, e->sum, index);
    memcpy(e->dx + at, ath_plan_grad(plan, e->m->x), bytes);
}

static float *floats(const ath_safetensors *f, const char *name, size_t n) {
    const ath_array *a = ath_safetensors_find(f, name);
    CHECK(a && (size_t)ath_array_len(a) == n, "tensor %s", name);
    float *x = malloc(n * sizeof *x);
    ath_array_to_f32(a, x);
    return x;
}

/* |a - b| over the norm of b, which is taken as at least `floor`: some gradients are exactly
 * zero (a bias before a norm over the same channels) and come out as rounding in float32. */
static double error(const float *a, const float *b, size_t n, double floor) {
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        diff += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(diff) / fmax(sqrt(norm), floor);
}

static void check_network(const char *folder) {
    ath_err err = {0};
    ath_model *m;
    ath_safetensors *io, *grads;
    char *io_path = ath_path_join(folder, "io.safetensors"), *grads_path = ath_path_join(folder, "grads.safetensors");
    CHECK_OK(ath_model_open(&m, folder, &err));
    CHECK_OK(ath_safetensors_open(&io, io_path, &err));
    CHECK_OK(ath_safetensors_open(&grads, grads_path, &err));
    const int n = (int)ath_safetensors_find(io, "sample")->dim[0];
    const size_t dim = (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c, len = (size_t)n * dim;
    float *sample = floats(io, "sample", len), *output = floats(io, "output_f64", len),
          *cotangent = floats(io, "cotangent", len);
    float *grad_sample = floats(io, "grad_sample_f64", len), *turned = malloc(len * sizeof *turned);
    evaluation e = {.m = m, .dim = dim, .t = floats(io, "timesteps", (size_t)n)};
    e.x = malloc(len * sizeof(float));
    e.y = malloc(len * sizeof(float));
    e.dx = malloc(len * sizeof(float));
    e.cotangent = malloc(len * sizeof(float));
    if (m->classes) e.label = floats(io, "class_labels", (size_t)n);
    for (size_t i = 0; i < len; i++) cotangent[i] /= (float)len; /* the golden loss is a mean */
    turn((size_t)n, m->image, sample, e.x, false);
    turn((size_t)n, m->image, cotangent, e.cotangent, false);
    float *grad = calloc(m->n_params, sizeof *grad), *disk = malloc(m->n_params * sizeof *disk);
    ath_workers *workers;
    CHECK_OK(ath_grad_sum_create(&e.sum, m->graph, &err));
    CHECK_OK(ath_workers_create(&workers, m, 2, 1, ATH_GRAD_PARAMS | ATH_GRAD_INPUTS, &err));
    ath_workers_use(workers, m->params);
    ath_grad_sum_begin(e.sum, grad);
    ath_workers_run(workers, n, micro_batch, &e);

    turn((size_t)n, m->image, e.y, turned, true);
    for (size_t i = 0; i < len; i++) {
        const double off = fabs((double)turned[i] - (double)output[i]);
        CHECK(off <= 2e-5, "%s: output %zu differs by %g", folder, i, off);
    }
    turn((size_t)n, m->image, e.dx, turned, true);
    CHECK(error(turned, grad_sample, len, 0) <= 1e-4, "%s: the gradient of x is off by %g", folder,
          error(turned, grad_sample, len, 0));
    CHECK(ath_safetensors_count(grads) == ath_param_count(m->graph), "%s: %d parameters, expected %d", folder,
          ath_param_count(m->graph), ath_safetensors_count(grads));
    double whole = 0;
    for (size_t i = 0; i < m->n_params; i++) whole += (double)grad[i] * (double)grad[i];
    for (int i = 0; i < ath_param_count(m->graph); i++) {
        const ath_param *p = ath_param_at(m->graph, i);
        float *expected = floats(grads, p->name, p->len);
        ath_param_to_disk(p, grad + p->offset, disk);
        const double off = error(disk, expected, p->len, 1e-3 * sqrt(whole));
        CHECK(off <= 1e-4, "%s: the gradient of %s is off by %g", folder, p->name, off);
        free(expected);
    }
    ath_workers_destroy(workers);
    ath_grad_sum_destroy(e.sum);
    ath_safetensors_close(io);
    ath_safetensors_close(grads);
    ath_model_destroy(m);
    float *all[] = {sample, output, cotangent, grad_sample, turned, e.x, e.y,
                    e.dx,   e.t,    e.label,   e.cotangent, grad,   disk};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(io_path);
    free(grads_path);
}

static void asymmetric_padding_and_one_head(void **state) {
    (void)state;
    check_network(ATH_TEST_GOLDEN "/u3_8x8_cifar_style");
}

static void check_shared(const char *folder) {
    if (!ath_path_is_dir(folder)) skip();
    check_network(folder);
}

static void one_block_a_level_and_heads_of_eight(void **state) {
    (void)state;
    check_shared(ATH_SHARED_GOLDEN "/unet/u1_8x8_lpb1");
}

static void two_blocks_a_level_and_class_labels(void **state) {
    (void)state;
    check_shared(ATH_SHARED_GOLDEN "/unet/u2_16x16_lpb2_class");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asymmetric_padding_and_one_head),
        cmocka_unit_test(one_block_a_level_and_heads_of_eight),
        cmocka_unit_test(two_blocks_a_level_and_class_labels),
    };
    return cmocka_run_group_tests_name("U-Net against diffusers", tests, NULL, NULL);
}
