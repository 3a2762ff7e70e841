/* The convolutions of every table this CPU can run: what is added to a result as it is written, sums into a gradient that
 * is there, and shapes with many channels, whose transformed weights are made piece by piece and whose weight gradient is
 * taken in squares of channels. The rest of convolution: test_kernels.c. */
#include "convolve.h"

/* ---- what is added ---- */

static const ath_conv_shape added_to[] = {
    /* n, h, w, c_in, c_out, kernel, stride, pad_before, pad_after, upsampled, algorithm */
    {3, 5, 7, 3, 5, 3, 1, 1, 1, false, 0},     {2, 7, 5, 16, 48, 1, 1, 0, 0, false, 0},
    {3, 1, 1, 24, 100, 1, 1, 0, 0, false, 0},  {2, 8, 6, 24, 24, 3, 2, 0, 1, false, 0},
    {3, 9, 11, 64, 3, 3, 1, 1, 1, false, 0},   {2, 28, 28, 1, 32, 3, 1, 1, 1, false, 0},
    {4, 7, 7, 40, 33, 3, 1, 0, 0, false, 0},   {3, 5, 6, 16, 16, 3, 1, 1, 1, false, 0},
    {3, 11, 10, 16, 48, 3, 1, 1, 1, false, 0}, {2, 9, 8, 32, 16, 3, 1, 1, 1, false, 0},
    {3, 4, 4, 40, 33, 3, 1, 1, 1, false, 0},   {5, 4, 4, 32, 48, 3, 1, 1, 1, false, 0},
    {2, 14, 9, 48, 80, 3, 1, 1, 1, false, 0},  {2, 8, 8, 144, 128, 3, 1, 1, 1, false, 0},
    {3, 10, 8, 32, 48, 3, 1, 1, 1, true, 0},   {2, 4, 6, 24, 40, 3, 1, 1, 1, true, 0},
    {3, 7, 5, 101, 112, 1, 1, 0, 0, false, 0}, {2, 9, 8, 40, 100, 3, 2, 0, 1, false, 0}};
enum { N_ADDED = sizeof added_to / sizeof *added_to };

/* The three products of a shape in double, of random arrays. */
typedef struct example {
    sizes z;
    float *x, *w, *dy;
    double *y, *dx, *dw, *db;
} example;

static example example_of(const ath_conv_shape *s) {
    const sizes z = sizes_of(s);
    example e = {.z = z, .x = random_floats(z.x), .w = random_floats(z.w), .dy = random_floats(z.y)};
    e.y = malloc(z.y * sizeof *e.y), e.dx = malloc(z.x * sizeof *e.dx);
    e.dw = malloc(z.w * sizeof *e.dw), e.db = malloc(z.co * sizeof *e.db);
    convolve(s, e.x, e.w, NULL, e.dy, e.y, e.dx, e.dw, e.db);
    return e;
}

static void free_example(example *e) {
    free(e->x), free(e->w), free(e->dy);
    free(e->y), free(e->dx), free(e->dw), free(e->db);
}

enum { BIAS = 1, BIAS_OF_IMAGE = 2, RESIDUAL = 4, RESIDUAL_IN_PLACE = 8 };

/* One call with what `mode` says, against the definition plus that. Biases of images lie three floats apart. */
static double added_error(const ath_kernels *k, const ath_conv_shape *s, const example *e, int mode, const float *bias,
                          const float *residual) {
    const size_t step = mode & BIAS_OF_IMAGE ? e->z.co + 3 : 0;
    float *y = guarded(e->z.y);
    double *exact = malloc(e->z.y * sizeof *exact);
    ath_conv_add add = {.bias = mode & (BIAS | BIAS_OF_IMAGE) ? bias : NULL, .bias_step = step};
    if (mode & RESIDUAL) add.residual = residual;
    if (mode & RESIDUAL_IN_PLACE) add.residual = y;
    for (size_t i = 0; i < e->z.y; i++) {
        exact[i] = e->y[i] + (add.residual ? (double)residual[i] : 0);
        if (add.bias) exact[i] += (double)bias[i / (e->z.y / (size_t)s->n) * step + i % e->z.co];
        y[i] = add.residual == y ? residual[i] : NAN;
    }
    run_pass(k, s, ATH_CONV_FORWARD, e->x, e->w, add, false, y);
    check_guards(y, e->z.y, "y");
    const double error = norm_error(y, exact, e->z.y);
    release(y);
    free(exact);
    return error;
}

static void bias_and_residual_are_added_as_the_result_is_written(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    static const int modes[] = {0,
                                BIAS_OF_IMAGE,
                                RESIDUAL,
                                RESIDUAL_IN_PLACE,
                                BIAS | RESIDUAL,
                                BIAS | RESIDUAL_IN_PLACE,
                                BIAS_OF_IMAGE | RESIDUAL,
                                BIAS_OF_IMAGE | RESIDUAL_IN_PLACE};
    double worst = 0;
    for (int i = 0; i < N_ADDED; i++) {
        const ath_conv_shape *s = &added_to[i];
        example e = example_of(s);
        float *bias = random_floats((size_t)s->n * (e.z.co + 3)), *residual = random_floats(e.z.y);
        /* as large as what it is added to: what is missing must not be lost in the norm */
        for (size_t j = 0; j < (size_t)s->n * (e.z.co + 3); j++) bias[j] *= 10;
        for (size_t j = 0; j < e.z.y; j++) residual[j] *= 10;
        for (int t = 0; t < n_tables; t++)
            for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
                const double error = added_error(table[t], s, &e, modes[m], bias, residual);
                CHECK(error <= 5e-6, "%s, mode %d: relative error %.2e; %s", table[t]->isa, modes[m], error,
                      shape_name(s));
                worst = fmax(worst, error);
            }
        free(bias), free(residual);
        free_example(&e);
    }
    print_message("    largest relative error %.1e\n", worst);
}

static void an_image_does_not_see_what_is_added_to_others(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < N_ADDED; i++) check_batch(table[t], &added_to[i], false, true);
}

/* ---- what is told ---- */

/* Sums of each image and channel of y less its first value, and of the squares of that. */
static void check_moments(const ath_conv_shape *s, const char *isa, const float *y, const double *moments) {
    const sizes z = sizes_of(s);
    const size_t positions = z.y / (size_t)s->n / z.co;
    for (size_t i = 0; i < (size_t)s->n * z.co; i++) {
        const float *from = y + i / z.co * positions * z.co + i % z.co;
        double sum = 0, squares = 0;
        for (size_t p = 0; p < positions; p++) {
            const double d = (double)from[p * z.co] - (double)from[0];
            sum += d;
            squares += d * d;
        }
        const double *told = moments + 2 * (i / z.co) * z.co + i % z.co;
        CHECK(fabs(told[0] - sum) <= 1e-6 * sqrt((double)positions * squares) &&
                  fabs(told[z.co] - squares) <= 1e-6 * squares,
              "%s: image and channel %zu: sum %.9g and squares %.9g, not %.9g and %.9g; %s", isa, i, told[0],
              told[z.co], sum, squares, shape_name(s));
    }
}

/* They are right, nobody else's, in any number of parts, and the result has the bits that it has without them. */
static void check_told(const ath_kernels *k, const ath_conv_shape *s, ath_conv_add add, const float *x,
                       const float *w) {
    const sizes z = sizes_of(s);
    const size_t len = 2 * (size_t)s->n * z.co;
    float *plain = poisoned(z.y), *y = poisoned(z.y), *told = poisoned_for_doubles(2 * len);
    run_pass(k, s, ATH_CONV_FORWARD, x, w, add, false, plain);
    add.moments = (double *)(void *)told;
    run_pass(k, s, ATH_CONV_FORWARD, x, w, add, false, y);
    check_guards(y, z.y, "y"), check_guards(told, 2 * len, "moments");
    CHECK(memcmp(y, plain, z.y * sizeof *y) == 0, "%s: another result with moments; %s", k->isa, shape_name(s));
    check_moments(s, k->isa, y, add.moments);
    ath_conv_shape one = *s;
    one.n = 1;
    float *alone = poisoned_for_doubles(4 * z.co);
    for (size_t i = 0; i < (size_t)s->n; i++) {
        ath_conv_add of_one = {.bias = add.bias ? add.bias + i * add.bias_step : NULL,
                               .bias_step = add.bias_step,
                               .residual = add.residual ? add.residual + i * z.y / (size_t)s->n : NULL,
                               .moments = (double *)(void *)alone};
        run_pass(k, &one, ATH_CONV_FORWARD, x + i * z.x / (size_t)s->n, w, of_one, false, y);
        CHECK(memcmp(alone, told + 4 * i * z.co, 4 * z.co * sizeof *alone) == 0,
              "%s: image %zu alone has other moments; %s", k->isa, i, shape_name(s));
    }
    release(plain), release(y), release(told), release(alone);
}

/* With one of three things to add, by turns. */
static int check_told_of(const ath_kernels *k, const ath_conv_shape *s, int turn) {
    if (!k->conv_gives_moments(s)) return 0;
    const sizes z = sizes_of(s);
    float *x = random_floats(z.x), *w = random_floats(z.w), *residual = random_floats(z.y);
    float *bias = random_floats((size_t)s->n * z.co);
    for (size_t i = 0; i < (size_t)s->n * z.co; i++)
        bias[i] *= 1000; /* a mean that sums about zero would lose them to */
    const ath_conv_add added[] = {{0}, {.bias = bias, .residual = residual}, {.bias = bias, .bias_step = z.co}};
    check_told(k, s, added[turn % 3], x, w);
    free(x), free(w), free(residual), free(bias);
    return 1;
}

/* ---- parts ---- */

static void check_parts(const ath_kernels *k, const ath_conv_shape *s, bool of_images) {
    const sizes z = sizes_of(s);
    const size_t pack_len = k->conv_pack_floats(s, ATH_CONV_FORWARD),
                 work = k->conv_scratch_floats(s, ATH_CONV_FORWARD);
    float *x = random_floats(z.x), *w = random_floats(z.w), *residual = random_floats(z.y);
    float *bias = random_floats((size_t)s->n * z.co);
    float *packed = pack_len ? poisoned(pack_len) : NULL, *whole = poisoned(z.y);
    const size_t told_len = 4 * (size_t)s->n * z.co;
    float *whole_told = poisoned_for_doubles(told_len);
    if (packed) k->conv_pack(s, ATH_CONV_FORWARD, w, packed);
    ath_conv_add add = {.bias = bias, .bias_step = of_images ? z.co : 0, .residual = residual};
    for (int of = 1; of <= 5; of++) {
        float *y = poisoned(z.y), *told = poisoned_for_doubles(told_len);
        if (k->conv_gives_moments(s)) add.moments = (double *)(void *)(of == 1 ? whole_told : told);
        for (int i = of - 1; i >= 0; i--) {
            float *scratch = poisoned(work);
            k->conv_forward(s, x, packed ? packed : w, add, (ath_part){i, of}, of == 1 ? whole : y, scratch);
            check_guards(scratch, work, "scratch");
            release(scratch);
        }
        check_guards(y, z.y, "y"), check_guards(told, told_len, "moments");
        CHECK(of == 1 || (memcmp(y, whole, z.y * sizeof *y) == 0 &&
                          (!add.moments || memcmp(told, whole_told, told_len * sizeof *told) == 0)),
              "%s: %d parts are not the whole; %s", k->isa, of, shape_name(s));
        release(y), release(told);
    }
    free(x), free(w), free(bias), free(residual);
    if (packed) release(packed);
    release(whole), release(whole_told);
}

static void parts_of_a_convolution_are_the_whole(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    const ath_conv_shape large = {1, 32, 32, 64, 96, 3, 1, 1, 1, false, 0},
                         remade = {1, 8, 8, 144, 160, 3, 1, 1, 1, false, 0},
                         pixels = {2, 16, 16, 256, 96, 1, 1, 0, 0, false, 0};
    for (int t = 0; t < n_tables; t++) {
        for (int i = 0; i < N_ADDED; i++) {
            check_parts(table[t], &added_to[i], false);
            check_parts(table[t], &added_to[i], true);
            CHECK(table[t]->conv_parts(&added_to[i]) == 1, "%s: divides a small one; %s", table[t]->isa,
                  shape_name(&added_to[i]));
        }
        check_parts(table[t], &remade, false);
        if (strcmp(table[t]->isa, "ref") == 0) continue;
        const struct {
            const ath_conv_shape *s;
            int parts;
        } divided[] = {{&large, 3}, {&pixels, 2}};
        for (int i = 0; i < 2; i++) {
            const int parts = table[t]->conv_parts(divided[i].s);
            CHECK(parts == divided[i].parts, "%s: %d parts; %s", table[t]->isa, parts, shape_name(divided[i].s));
            check_parts(table[t], divided[i].s, false);
        }
    }
}

/* ---- sums into a gradient ---- */

/* old + what is written into an empty place, to the bit: a sum over micro-batches must not depend on who waited. */
static void check_weight_sum(const ath_kernels *k, const ath_conv_shape *s) {
    const sizes z = sizes_of(s);
    float *x = random_floats(z.x), *dy = random_floats(z.y), *old_w = random_floats(z.w), *old_b = random_floats(z.co);
    float *dw = guarded(z.w), *db = guarded(z.co), *sum_w = guarded(z.w), *sum_b = guarded(z.co);
    memcpy(sum_w, old_w, z.w * sizeof *sum_w);
    memcpy(sum_b, old_b, z.co * sizeof *sum_b);
    run_weight_grad(k, s, x, dy, dw, db, false);
    run_weight_grad(k, s, x, dy, sum_w, sum_b, true);
    check_guards(sum_w, z.w, "dw");
    check_guards(sum_b, z.co, "db");
    for (size_t i = 0; i < z.w; i++)
        CHECK(sum_w[i] == old_w[i] + dw[i], "%s: dw %zu is %.9g, not %.9g + %.9g; %s", k->isa, i, (double)sum_w[i],
              (double)old_w[i], (double)dw[i], shape_name(s));
    for (size_t i = 0; i < z.co; i++)
        CHECK(sum_b[i] == old_b[i] + db[i], "%s: db %zu is %.9g, not %.9g + %.9g; %s", k->isa, i, (double)sum_b[i],
              (double)old_b[i], (double)db[i], shape_name(s));
    memcpy(sum_w, old_w, z.w * sizeof *sum_w);
    run_weight_grad(k, s, x, dy, sum_w, NULL, true);
    for (size_t i = 0; i < z.w; i++) CHECK(sum_w[i] == old_w[i] + dw[i], "%s: dw %zu without db", k->isa, i);
    free(x), free(dy), free(old_w), free(old_b);
    release(dw), release(db), release(sum_w), release(sum_b);
}

/* Weight gradients in squares of channels, in one block of tiles and in several, and in one or two tiles directly. */
static const ath_conv_shape squares[] = {
    {2, 8, 8, 96, 160, 3, 1, 1, 1, false, 0},   {1, 12, 12, 160, 96, 3, 1, 1, 1, false, 0},
    {3, 16, 16, 96, 160, 3, 1, 1, 1, false, 0}, {5, 16, 16, 80, 96, 3, 1, 1, 1, false, 0},
    {5, 16, 16, 144, 80, 3, 1, 1, 1, false, 0}, {3, 28, 28, 64, 64, 3, 1, 1, 1, false, 0},
    {3, 14, 14, 16, 48, 3, 1, 1, 1, false, 0},  {2, 4, 4, 96, 160, 3, 1, 1, 1, false, 0},
    {3, 16, 16, 80, 96, 3, 1, 1, 1, true, 0}};
enum { N_SQUARES = sizeof squares / sizeof *squares };

static void a_weight_gradient_is_added_with_the_bits_it_is_written_with(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 0; t < n_tables; t++) {
        for (int i = 0; i < N_ADDED; i++) check_weight_sum(table[t], &added_to[i]);
        for (int i = 0; t > 0 && i < N_SQUARES; i++) check_weight_sum(table[t], &squares[i]);
    }
}

/* ---- many channels ---- */

/* c_in * c_out >= 128 * 128: weights are transformed as they are needed, 64 channels read at a time. */
static const ath_conv_shape wide[] = {
    {1, 8, 8, 128, 128, 3, 1, 1, 1, false, 0}, {2, 8, 8, 128, 128, 3, 1, 1, 1, false, 0},
    {1, 8, 8, 256, 128, 3, 1, 1, 1, false, 0}, {3, 16, 16, 144, 128, 3, 1, 1, 1, false, 0},
    {2, 8, 8, 128, 144, 3, 1, 1, 1, false, 0}, {1, 5, 6, 208, 80, 3, 1, 1, 1, false, 0},
    {2, 7, 9, 112, 176, 3, 1, 1, 1, false, 0}, {5, 16, 16, 128, 144, 3, 1, 1, 1, false, 0},
    {2, 8, 8, 256, 256, 3, 1, 1, 1, true, 0}};
enum { N_WIDE = sizeof wide / sizeof *wide };

/* Largest of forward's, the input gradient's and the weight gradient's error. */
static void measure(const ath_kernels *k, const ath_conv_shape *s, const example *e, double worst[3]) {
    float *y = guarded(e->z.y), *dx = guarded(e->z.x), *dw = guarded(e->z.w), *db = guarded(e->z.co);
    run_pass(k, s, ATH_CONV_FORWARD, e->x, e->w, (ath_conv_add){0}, false, y);
    run_pass(k, s, ATH_CONV_INPUT_GRAD, e->dy, e->w, (ath_conv_add){0}, false, dx);
    run_weight_grad(k, s, e->x, e->dy, dw, db, false);
    check_guards(y, e->z.y, "y"), check_guards(dx, e->z.x, "dx");
    check_guards(dw, e->z.w, "dw"), check_guards(db, e->z.co, "db");
    const double error[3] = {norm_error(y, e->y, e->z.y), norm_error(dx, e->dx, e->z.x), norm_error(dw, e->dw, e->z.w)};
    static const char *const what[3] = {"forward", "input gradient", "weight gradient"};
    for (int p = 0; p < 3; p++) {
        CHECK(error[p] <= 1e-5, "%s %s: relative error %.2e; %s", k->isa, what[p], error[p], shape_name(s));
        worst[p] = fmax(worst[p], error[p]);
    }
    CHECK(norm_error(db, e->db, e->z.co) <= 1e-6, "%s db; %s", k->isa, shape_name(s));
    release(y), release(dx), release(dw), release(db);
}

/* By whichever algorithm. */
static void measure_all(const ath_conv_shape *list, int n) {
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    double worst[3] = {0};
    for (int i = 0; i < n; i++) {
        example e = example_of(&list[i]);
        for (int algorithm = ATH_CONV_CHOSEN; algorithm <= ATH_CONV_WINOGRAD_REMADE; algorithm++) {
            ath_conv_shape s = list[i];
            s.algorithm = (ath_conv_algorithm)algorithm;
            for (int t = 1; t < n_tables; t++) measure(table[t], &s, &e, worst);
        }
        free_example(&e);
    }
    print_message("    largest relative errors: forward %.1e, input gradient %.1e, weight gradient %.1e\n", worst[0],
                  worst[1], worst[2]);
}

static void weights_that_are_made_piece_by_piece_are_the_same(void **state) {
    (void)state;
    measure_all(wide, N_WIDE);
}

static void what_is_small_is_the_same_by_every_algorithm(void **state) {
    (void)state;
    measure_all(added_to, N_ADDED);
}

static void a_weight_gradient_in_squares_of_channels_is_whole(void **state) {
    (void)state;
    measure_all(squares, N_SQUARES);
}

static void an_image_of_many_channels_does_not_see_its_batch(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 1; t < n_tables; t++)
        for (int i = 0; i < 4 * N_WIDE; i++) check_batch(table[t], &wide[i / 4], i & 1, i & 2);
}

/* All that Winograd's algorithm takes, and with the reference all. */
static void moments_are_those_of_what_is_written(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 0; t < n_tables; t++) {
        int told = 0;
        for (int algorithm = ATH_CONV_WINOGRAD; algorithm <= (t > 0 ? ATH_CONV_WINOGRAD_REMADE : ATH_CONV_WINOGRAD);
             algorithm++)
            for (int i = 0; i < N_ADDED + (t > 0 ? N_WIDE : 0); i++) {
                ath_conv_shape s = i < N_ADDED ? added_to[i] : wide[i - N_ADDED];
                s.algorithm = (ath_conv_algorithm)algorithm;
                told += check_told_of(table[t], &s, i + algorithm);
            }
        CHECK(told == (t > 0 ? 2 * (7 + N_WIDE) : N_ADDED), "%s: %d shapes with moments", table[t]->isa, told);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_and_residual_are_added_as_the_result_is_written),
        cmocka_unit_test(an_image_does_not_see_what_is_added_to_others),
        cmocka_unit_test(moments_are_those_of_what_is_written),
        cmocka_unit_test(parts_of_a_convolution_are_the_whole),
        cmocka_unit_test(a_weight_gradient_is_added_with_the_bits_it_is_written_with),
        cmocka_unit_test(weights_that_are_made_piece_by_piece_are_the_same),
        cmocka_unit_test(what_is_small_is_the_same_by_every_algorithm),
        cmocka_unit_test(a_weight_gradient_in_squares_of_channels_is_whole),
        cmocka_unit_test(an_image_of_many_channels_does_not_see_its_batch),
    };
    return cmocka_run_group_tests_name("convolutions", tests, NULL, NULL);
}
