/* The kernels of every table this CPU can run, convolution and products: against their
 * definitions in double, on shapes that do not divide by anything, with guard zones around what
 * is written and NaN in the work memory; and the laws that do not need a reference (adjoints, and
 * that an image does not see its batch). Large channels, and what is added to a
 * result: test_kernels_conv.c. The other kernels: test_kernels_norm.c. What is not
 * here: speed (bench/bench_conv.c). */
#include "convolve.h"

/* ---- convolution ---- */

static const ath_conv_shape shapes[] = {
    /* n, h, w, c_in, c_out, kernel, stride, pad_before, pad_after, upsampled, algorithm */
    {1, 1, 1, 1, 1, 3, 1, 1, 1, false, 0},
    {2, 5, 7, 3, 5, 3, 1, 1, 1, false, 0},
    {5, 4, 4, 24, 33, 3, 1, 1, 1, false, 0},
    {1, 1, 1, 33, 24, 1, 1, 0, 0, false, 0},
    {5, 1, 1, 24, 100, 1, 1, 0, 0, false, 0},
    {2, 7, 3, 5, 3, 3, 2, 1, 1, false, 0},
    {2, 8, 6, 24, 24, 3, 2, 0, 1, false, 0},
    {1, 9, 5, 3, 1, 5, 1, 2, 2, false, 0},
    {2, 6, 6, 4, 4, 2, 2, 0, 0, false, 0},
    {2, 7, 7, 33, 33, 3, 1, 0, 0, false, 0},
    {1, 5, 5, 16, 16, 3, 1, 2, 2, false, 0},
    {2, 8, 8, 3, 24, 4, 4, 0, 0, false, 0},
    {2, 5, 4, 5, 8, 1, 2, 0, 0, false, 0},
    {1, 3, 1, 1, 32, 3, 1, 1, 1, false, 0},
    {2, 28, 28, 1, 32, 3, 1, 1, 1, false, 0},
    {2, 28, 28, 32, 1, 3, 1, 1, 1, false, 0},
    {1, 9, 11, 64, 3, 3, 1, 1, 1, false, 0},
    {1, 9, 11, 3, 64, 3, 1, 1, 1, false, 0},
    {2, 16, 16, 32, 32, 3, 2, 0, 1, false, 0},
    {1, 14, 14, 64, 64, 3, 2, 1, 1, false, 0},
    {3, 7, 7, 64, 32, 3, 2, 1, 1, false, 0},
    {2, 7, 5, 16, 48, 1, 1, 0, 0, false, 0},
    {1, 6, 7, 100, 8, 3, 1, 1, 1, false, 0},
    {2, 11, 3, 8, 40, 3, 3, 1, 2, false, 0},
    {2, 9, 8, 5, 20, 5, 2, 2, 2, false, 0},
    {2, 8, 7, 6, 9, 2, 3, 0, 1, false, 0},
    {1, 6, 5, 3, 33, 2, 1, 3, 1, false, 0}, /* some windows see nothing */
    {1, 2, 600, 2, 3, 3, 1, 1, 1, false, 0},
    {1, 1, 700, 3, 40, 1, 1, 0, 0, false, 0},
    {3, 8, 8, 32, 64, 3, 2, 0, 1, false, 0},
    {5, 6, 6, 64, 32, 1, 2, 0, 0, false, 0},
    /* tap by tap */
    {3, 4, 3, 20, 40, 3, 1, 1, 1, false, 0},
    {2, 2, 2, 33, 24, 3, 1, 1, 1, false, 0},
    {2, 3, 4, 24, 24, 3, 1, 2, 0, false, 0},
    {1, 4, 4, 16, 24, 5, 1, 2, 2, false, 0},
    {9, 1, 4, 8, 17, 3, 1, 1, 1, false, 0},
    {2, 4, 4, 24, 24, 2, 1, 1, 0, false, 0},
    {4, 4, 4, 320, 256, 3, 1, 1, 1, false, 0},
    /* what Winograd takes */
    {1, 4, 4, 16, 16, 3, 1, 1, 1, false, 0},
    {5, 7, 7, 64, 64, 3, 1, 1, 1, false, 0},
    {2, 4, 4, 32, 48, 3, 1, 1, 1, false, 0},
    {2, 14, 9, 16, 32, 3, 1, 1, 1, false, 0},
    {1, 28, 28, 32, 32, 3, 1, 1, 1, false, 0},
    {2, 5, 6, 48, 16, 3, 1, 1, 1, false, 0},
    {1, 8, 8, 128, 64, 3, 1, 1, 1, false, 0},
    {3, 4, 4, 256, 16, 3, 1, 1, 1, false, 0},
    {5, 8, 9, 32, 80, 3, 1, 1, 1, false, 0},
    {1, 4, 19, 112, 32, 3, 1, 1, 1, false, 0},
    {2, 16, 16, 96, 64, 3, 1, 1, 1, false, 0},
    {1, 4, 4, 320, 256, 3, 1, 1, 1, false, 0},
    /* with tiles of 3 and 2 (and 1) rows and columns */
    {2, 10, 11, 16, 32, 3, 1, 1, 1, false, 0},
    {1, 11, 10, 32, 16, 3, 1, 1, 1, false, 0},
    {3, 11, 11, 16, 16, 3, 1, 1, 1, false, 0},
    {9, 11, 8, 16, 48, 3, 1, 1, 1, false, 0},
    {1, 8, 10, 32, 32, 3, 1, 1, 1, false, 0},
    {2, 13, 15, 16, 16, 3, 1, 1, 1, false, 0},
    {1, 10, 10, 144, 144, 3, 1, 1, 1, false, 0}, /* weights made as they are used */
    /* read through upsampling: directly, by Winograd, with tiles of 2 rows and columns, with weights made as they are used */
    {2, 2, 2, 3, 5, 3, 1, 1, 1, true, 0},
    {3, 6, 10, 5, 24, 3, 1, 1, 1, true, 0},
    {2, 8, 6, 16, 24, 3, 2, 0, 1, true, 0},
    {2, 2, 4, 24, 33, 1, 1, 0, 0, true, 0},
    {5, 4, 4, 32, 48, 3, 1, 1, 1, true, 0},
    {2, 6, 4, 16, 16, 3, 1, 1, 1, true, 0},
    {3, 8, 8, 48, 32, 3, 1, 1, 1, true, 0},
    {5, 14, 14, 64, 64, 3, 1, 1, 1, true, 0},
    {2, 8, 10, 16, 48, 3, 1, 1, 1, true, 0},
    {1, 10, 8, 80, 16, 3, 1, 1, 1, true, 0},
    {1, 28, 28, 32, 32, 3, 1, 1, 1, true, 0},
    {1, 10, 10, 144, 144, 3, 1, 1, 1, true, 0},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Sums of up to 2900 products in float: 2^-24 times about the square root of their number is 3e-6;
 * Winograd's transforms multiply by up to 8 * 8 and subtract again, which costs about 10 times that. */
static double tolerance(const ath_kernels *k, const ath_conv_shape *s) {
    if (strcmp(k->isa, "ref") == 0) return 1e-7;
    const bool winograd = s->kernel == 3 && s->stride == 1 && s->pad_before == 1 && s->pad_after == 1;
    return winograd && s->c_in >= 16 && s->c_out >= 16 && s->h >= 4 && s->w >= 4 ? 1e-5 : 1e-6;
}

static void every_convolution_is_what_its_definition_says(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    double worst[3] = {0};
    for (int i = 0; i < N_SHAPES; i++) {
        const ath_conv_shape *s = &shapes[i];
        const sizes z = sizes_of(s);
        seed = (uint64_t)i + 1;
        float *x = random_floats(z.x), *w = random_floats(z.w), *bias = random_floats(z.co), *dy = random_floats(z.y);
        float *before = random_floats(z.x), *y = guarded(z.y), *dx = guarded(z.x), *dw = guarded(z.w),
              *db = guarded(z.co);
        double *ey = malloc(z.y * sizeof *ey), *edx = malloc(z.x * sizeof *edx), *edw = malloc(z.w * sizeof *edw),
               *edb = malloc(z.co * sizeof *edb);
        for (int with = 0; with < 2; with++) { /* bias, accumulation, db: without and with */
            convolve(s, x, w, with ? bias : NULL, dy, ey, edx, edw, edb);
            for (size_t j = 0; with && j < z.x; j++) edx[j] += (double)before[j];
            for (int t = 0; t < n_tables; t++) {
                const ath_kernels *k = table[t];
                for (size_t j = 0; j < z.y; j++) y[j] = NAN;
                run_pass(k, s, ATH_CONV_FORWARD, x, w, (ath_conv_add){.bias = with ? bias : NULL}, false, y);
                check_guards(y, z.y, "y");
                for (size_t j = 0; j < z.x; j++) dx[j] = with ? before[j] : NAN;
                run_pass(k, s, ATH_CONV_INPUT_GRAD, dy, w, (ath_conv_add){0}, with, dx);
                check_guards(dx, z.x, "dx");
                for (size_t j = 0; j < z.w; j++) dw[j] = NAN;
                for (size_t j = 0; j < z.co; j++) db[j] = NAN;
                run_weight_grad(k, s, x, dy, dw, with ? db : NULL, false);
                check_guards(dw, z.w, "dw");
                check_guards(db, z.co, "db");
                const double e[3] = {norm_error(y, ey, z.y), norm_error(dx, edx, z.x), norm_error(dw, edw, z.w)};
                static const char *const what[3] = {"forward", "input gradient", "weight gradient"};
                for (int p = 0; p < 3; p++) {
                    CHECK(e[p] <= tolerance(k, s), "%s %s: relative error %.2e, at most %.0e allowed; %s; seed %d",
                          k->isa, what[p], e[p], tolerance(k, s), shape_name(s), i + 1);
                    if (e[p] > worst[p]) worst[p] = e[p];
                }
                if (with)
                    CHECK(norm_error(db, edb, z.co) < 1e-6, "%s bias gradient: relative error %.2e; %s", k->isa,
                          norm_error(db, edb, z.co), shape_name(s));
            }
        }
        free(x), free(w), free(bias), free(dy), free(before);
        release(y), release(dx), release(dw), release(db);
        free(ey), free(edx), free(edw), free(edb);
    }
    print_message("    largest relative errors: forward %.1e, input gradient %.1e, weight gradient %.1e\n", worst[0],
                  worst[1], worst[2]);
}

static void an_image_does_not_see_its_batch(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 1; t < n_tables; t++)
        for (int i = 0; i < 4 * N_SHAPES; i++) check_batch(table[t], &shapes[i / 4], i & 1, i & 2);
}

/* <conv(x), dy> = <x, input_grad(dy)> = <w, weight_grad(x, dy)>: the three are one trilinear form. */
static void the_gradients_are_adjoints_of_the_convolution(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    static const ath_conv_shape big[] = {
        {4, 14, 14, 64, 64, 3, 1, 1, 1, false, 0},   {2, 32, 32, 64, 64, 3, 1, 1, 1, false, 0},
        {8, 4, 4, 128, 128, 3, 1, 1, 1, false, 0},   {2, 16, 16, 128, 128, 3, 2, 0, 1, false, 0},
        {2, 16, 16, 192, 128, 3, 1, 1, 1, false, 0}, {1, 8, 8, 512, 256, 3, 1, 1, 1, false, 0},
        {8, 28, 28, 32, 32, 3, 1, 1, 1, false, 0},   {3, 10, 7, 100, 24, 3, 1, 1, 1, false, 0},
        {8, 14, 14, 64, 64, 3, 1, 1, 1, true, 0},    {1, 16, 16, 256, 256, 3, 1, 1, 1, true, 0}};
    for (int t = 1; t < n_tables; t++)
        for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
            const ath_kernels *k = table[t];
            const ath_conv_shape *s = &big[i];
            const sizes z = sizes_of(s);
            float *x = random_floats(z.x), *w = random_floats(z.w), *dy = random_floats(z.y);
            float *y = guarded(z.y), *dx = guarded(z.x), *dw = guarded(z.w);
            run_pass(k, s, ATH_CONV_FORWARD, x, w, (ath_conv_add){0}, false, y);
            run_pass(k, s, ATH_CONV_INPUT_GRAD, dy, w, (ath_conv_add){0}, false, dx);
            run_weight_grad(k, s, x, dy, dw, NULL, false);
            const double a = dot(y, dy, z.y), b = dot(x, dx, z.x), c = dot(w, dw, z.w);
            /* Errors of 1e-5 of y's norm, in a direction that has nothing to do with dy's. */
            const double size = 1e-6 * sqrt(dot(y, y, z.y) * dot(dy, dy, z.y));
            CHECK(fabs(a - b) <= size && fabs(a - c) <= size, "%s: <y,dy> %.8g, <x,dx> %.8g, <w,dw> %.8g (+-%.1g); %s",
                  k->isa, a, b, c, size, shape_name(s));
            free(x), free(w), free(dy);
            release(y), release(dx), release(dw);
        }
}

static void the_weight_gradient_is_the_same_bits_every_time(void **state) {
    (void)state;
    const ath_kernels *k = ath_kernels_best();
    const ath_conv_shape s = {5, 8, 8, 64, 32, 3, 1, 1, 1, false, 0};
    const sizes z = sizes_of(&s);
    float *x = random_floats(z.x), *dy = random_floats(z.y), *a = guarded(z.w), *b = guarded(z.w);
    run_weight_grad(k, &s, x, dy, a, NULL, false);
    run_weight_grad(k, &s, x, dy, b, NULL, false);
    assert_memory_equal(a, b, z.w * sizeof *a);
    free(x), free(dy);
    release(a), release(b);
}

/* ---- products, tables ---- */

static void gemm_is_the_product_for_every_transposition(void **state) {
    (void)state;
    enum { M = 7, N = 5, K = 9, LD = 12 };
    float *a = random_floats(LD * LD), *b = random_floats(LD * LD), *c0 = random_floats(M * LD),
          *c = malloc(M * LD * sizeof *c);
    for (int mode = 0; mode < 8; mode++) {
        const bool ta = mode & 1, tb = mode & 2;
        const float beta = mode & 4 ? 0.5F : 0;
        memcpy(c, c0, M * LD * sizeof *c);
        ath_gemm(ta, tb, M, N, K, 1.5F, a, LD, b, LD, beta, c, LD);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < LD; j++) {
                double sum = (double)beta * (double)c0[i * LD + j];
                for (int k = 0; k < K; k++)
                    sum += 1.5 * (double)a[ta ? k * LD + i : i * LD + k] * (double)b[tb ? j * LD + k : k * LD + j];
                if (j >= N) sum = (double)c0[i * LD + j];
                CHECK(fabs((double)c[i * LD + j] - sum) < 2e-6, "mode %d: c[%d][%d] = %g, not %g", mode, i, j,
                      (double)c[i * LD + j], sum);
            }
    }
    free(a), free(b), free(c0), free(c);
}

static void the_first_table_is_ref_and_the_best_is_one_of_them(void **state) {
    (void)state;
    int n_tables, found = 0;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    assert_string_equal(table[0]->isa, "ref");
    for (int t = 0; t < n_tables; t++) found += ath_kernels_best() == table[t];
    assert_int_equal(found, 1);
    const char *wanted = getenv("ATH_CPU");
    for (int t = 0; wanted != NULL && t < n_tables; t++)
        if (strcmp(wanted, table[t]->isa) == 0) assert_ptr_equal(ath_kernels_best(), table[t]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_table_is_ref_and_the_best_is_one_of_them),
        cmocka_unit_test(every_convolution_is_what_its_definition_says),
        cmocka_unit_test(an_image_does_not_see_its_batch),
        cmocka_unit_test(the_gradients_are_adjoints_of_the_convolution),
        cmocka_unit_test(the_weight_gradient_is_the_same_bits_every_time),
        cmocka_unit_test(gemm_is_the_product_for_every_transposition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
