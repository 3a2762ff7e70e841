/* The kernels of every table this CPU can run: against their definitions in double, on
 * shapes that do not divide by anything, with guard zones around what is written and
 * NaN in the work memory; and the laws that do not need a reference (adjoints, and that an
 * image does not see its batch). What is not here: speed (bench/bench_conv.c). */
#include "check.h"
#include <float.h>
#include "kernels/kernels.h"

/* ---- arrays ---- */

enum { GUARD = 32 };
static const float guard_value = 12345.5F;

/* `len` floats with GUARD known ones on both sides, by turns at a cache line's start and a float after. */
static float *guarded(size_t len) {
    static size_t turn;
    const size_t shift = turn++ % 2;
    float *p = aligned_alloc(64, ((len + 2 * GUARD + shift) * sizeof *p + 63) / 64 * 64);
    assert_non_null(p);
    for (size_t i = 0; i < len + 2 * GUARD; i++) p[shift + i] = guard_value;
    return p + shift + GUARD;
}

static void check_guards(const float *p, size_t len, const char *what) {
    for (size_t i = 0; i < GUARD; i++)
        CHECK(p[-1 - (ptrdiff_t)i] == guard_value && p[len + i] == guard_value, "%s: written outside of its %zu floats",
              what, len);
}

static void release(float *p) { free((void *)((uintptr_t)(p - GUARD) / 64 * 64)); }

/* Work memory of exactly `len` floats, all NaN: nothing may count on what it holds. */
static float *poisoned(size_t len) {
    float *p = guarded(len);
    for (size_t i = 0; i < len; i++) p[i] = NAN;
    return p;
}

static uint64_t seed = 1;

static double uniform(void) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    return (double)(seed >> 11) * 0x1p-53;
}

/* Values in [-1, 1), in memory of exactly that size. */
static float *random_floats(size_t len) {
    float *p = malloc(len * sizeof *p + 1);
    assert_non_null(p);
    for (size_t i = 0; i < len; i++) p[i] = (float)(2 * uniform() - 1);
    return p;
}

static double norm_error(const float *a, const double *b, size_t n) {
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - b[i];
        diff += d * d;
        norm += b[i] * b[i];
    }
    return diff == 0 ? 0 : sqrt(diff / norm);
}

static double dot(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* ---- convolution ---- */

static const ath_conv_shape shapes[] = {
    /* n, h, w, c_in, c_out, kernel, stride, pad_before, pad_after */
    {1, 1, 1, 1, 1, 3, 1, 1, 1},
    {2, 5, 7, 3, 5, 3, 1, 1, 1},
    {5, 4, 4, 24, 33, 3, 1, 1, 1},
    {1, 1, 1, 33, 24, 1, 1, 0, 0},
    {5, 1, 1, 24, 100, 1, 1, 0, 0},
    {2, 7, 3, 5, 3, 3, 2, 1, 1},
    {2, 8, 6, 24, 24, 3, 2, 0, 1},
    {1, 9, 5, 3, 1, 5, 1, 2, 2},
    {2, 6, 6, 4, 4, 2, 2, 0, 0},
    {2, 7, 7, 33, 33, 3, 1, 0, 0},
    {1, 5, 5, 16, 16, 3, 1, 2, 2},
    {2, 8, 8, 3, 24, 4, 4, 0, 0},
    {2, 5, 4, 5, 8, 1, 2, 0, 0},
    {1, 3, 1, 1, 32, 3, 1, 1, 1},
    {2, 28, 28, 1, 32, 3, 1, 1, 1},
    {2, 28, 28, 32, 1, 3, 1, 1, 1},
    {1, 9, 11, 64, 3, 3, 1, 1, 1},
    {1, 9, 11, 3, 64, 3, 1, 1, 1},
    {2, 16, 16, 32, 32, 3, 2, 0, 1},
    {1, 14, 14, 64, 64, 3, 2, 1, 1},
    {3, 7, 7, 64, 32, 3, 2, 1, 1},
    {2, 7, 5, 16, 48, 1, 1, 0, 0},
    {1, 6, 7, 100, 8, 3, 1, 1, 1},
    {2, 11, 3, 8, 40, 3, 3, 1, 2},
    /* what Winograd takes */
    {1, 4, 4, 16, 16, 3, 1, 1, 1},
    {5, 7, 7, 64, 64, 3, 1, 1, 1},
    {2, 4, 4, 32, 48, 3, 1, 1, 1},
    {2, 14, 9, 16, 32, 3, 1, 1, 1},
    {1, 28, 28, 32, 32, 3, 1, 1, 1},
    {2, 5, 6, 48, 16, 3, 1, 1, 1},
    {1, 8, 8, 128, 64, 3, 1, 1, 1},
    {3, 4, 4, 256, 16, 3, 1, 1, 1},
    {5, 8, 9, 32, 80, 3, 1, 1, 1},
    {1, 4, 19, 112, 32, 3, 1, 1, 1},
    {2, 16, 16, 96, 64, 3, 1, 1, 1},
    {1, 4, 4, 320, 256, 3, 1, 1, 1},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static const char *shape_name(const ath_conv_shape *s) {
    static char text[120];
    snprintf(text, sizeof text, "n %d, %dx%d, %d -> %d channels, kernel %d, stride %d, pad (%d,%d)", s->n, s->h, s->w,
             s->c_in, s->c_out, s->kernel, s->stride, s->pad_before, s->pad_after);
    return text;
}

typedef struct sizes {
    size_t x, y, w, co;
} sizes;

static sizes sizes_of(const ath_conv_shape *s) {
    const size_t n = (size_t)s->n, ci = (size_t)s->c_in, co = (size_t)s->c_out;
    return (sizes){.x = n * (size_t)s->h * (size_t)s->w * ci,
                   .y = n * (size_t)ath_conv_out(s->h, s) * (size_t)ath_conv_out(s->w, s) * co,
                   .w = (size_t)s->kernel * (size_t)s->kernel * ci * co,
                   .co = co};
}

/* The definition, all three products at once: for each pair of pixels that a tap joins,
 * y += w' x, dx += w dy, dw += x dy'. */
static void convolve(const ath_conv_shape *s, const float *x, const float *w, const float *bias, const float *dy,
                     double *y, double *dx, double *dw, double *db) {
    const sizes z = sizes_of(s);
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), ci = s->c_in, co = s->c_out;
    memset(dx, 0, z.x * sizeof *dx);
    memset(dw, 0, z.w * sizeof *dw);
    memset(db, 0, z.co * sizeof *db);
    for (size_t i = 0; i < z.y; i++) {
        y[i] = bias != NULL ? (double)bias[i % z.co] : 0;
        db[i % z.co] += (double)dy[i];
    }
    for (int n = 0; n < s->n; n++)
        for (int iy = 0; iy < s->h; iy++)
            for (int ix = 0; ix < s->w; ix++)
                for (int oy = 0; oy < oh; oy++)
                    for (int ox = 0; ox < ow; ox++) {
                        const int ky = iy - oy * s->stride + s->pad_before, kx = ix - ox * s->stride + s->pad_before;
                        if (ky < 0 || kx < 0 || ky >= s->kernel || kx >= s->kernel) continue;
                        const size_t xi = (size_t)((n * s->h + iy) * s->w + ix) * (size_t)ci;
                        const size_t yi = (size_t)((n * oh + oy) * ow + ox) * (size_t)co;
                        const size_t wi = (size_t)(ky * s->kernel + kx) * (size_t)ci * (size_t)co;
                        for (int i = 0; i < ci; i++)
                            for (int o = 0; o < co; o++) {
                                const size_t at = wi + (size_t)(i * co + o);
                                y[yi + (size_t)o] += (double)x[xi + (size_t)i] * (double)w[at];
                                dx[xi + (size_t)i] += (double)dy[yi + (size_t)o] * (double)w[at];
                                dw[at] += (double)x[xi + (size_t)i] * (double)dy[yi + (size_t)o];
                            }
                    }
}

/* A pass with packing and exact, poisoned work memory. */
static void run_pass(const ath_kernels *k, const ath_conv_shape *s, ath_conv_pass pass, const float *in, const float *w,
                     const float *bias, bool acc, float *out) {
    const size_t pack_len = k->conv_pack_floats(s, pass), scratch_len = k->conv_scratch_floats(s, pass);
    float *packed = poisoned(pack_len), *scratch = poisoned(scratch_len);
    if (pack_len > 0) k->conv_pack(s, pass, w, packed);
    check_guards(packed, pack_len, "packed weights");
    const float *used = pack_len > 0 ? packed : w;
    if (pass == ATH_CONV_FORWARD)
        k->conv_forward(s, in, used, bias, out, scratch);
    else
        k->conv_input_grad(s, in, used, out, acc, scratch);
    check_guards(scratch, scratch_len, "scratch");
    release(packed);
    release(scratch);
}

static void run_weight_grad(const ath_kernels *k, const ath_conv_shape *s, const float *x, const float *dy, float *dw,
                            float *db) {
    const size_t scratch_len = k->conv_scratch_floats(s, ATH_CONV_WEIGHT_GRAD);
    float *scratch = poisoned(scratch_len);
    k->conv_weight_grad(s, x, dy, dw, db, scratch);
    check_guards(scratch, scratch_len, "scratch");
    release(scratch);
}

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
                run_pass(k, s, ATH_CONV_FORWARD, x, w, with ? bias : NULL, false, y);
                check_guards(y, z.y, "y");
                for (size_t j = 0; j < z.x; j++) dx[j] = with ? before[j] : NAN;
                run_pass(k, s, ATH_CONV_INPUT_GRAD, dy, w, NULL, with, dx);
                check_guards(dx, z.x, "dx");
                for (size_t j = 0; j < z.w; j++) dw[j] = NAN;
                for (size_t j = 0; j < z.co; j++) db[j] = NAN;
                run_weight_grad(k, s, x, dy, dw, with ? db : NULL);
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

/* What an image gives must be the same bits alone, and at any place of any batch. */
static void an_image_does_not_see_its_batch(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 1; t < n_tables; t++)
        for (int i = 0; i < N_SHAPES; i++)
            for (int backward = 0; backward < 2; backward++) {
                const ath_kernels *k = table[t];
                ath_conv_shape one = shapes[i], five = shapes[i];
                one.n = 1;
                five.n = 5;
                const sizes z = sizes_of(&one);
                const size_t in_len = backward ? z.y : z.x, out_len = backward ? z.x : z.y;
                const ath_conv_pass pass = backward ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD;
                CHECK(k->conv_pack_floats(&one, pass) == k->conv_pack_floats(&five, pass),
                      "%s: the packed weights depend on n; %s", k->isa, shape_name(&one));
                float *in = random_floats(5 * in_len), *w = random_floats(z.w), *bias = random_floats(z.co);
                float *together = random_floats(5 * out_len), *alone = malloc(5 * out_len * sizeof *alone);
                memcpy(alone, together, 5 * out_len * sizeof *alone);
                run_pass(k, &five, pass, in, w, bias, i % 2, together);
                for (size_t b = 0; b < 5; b++)
                    run_pass(k, &one, pass, in + b * in_len, w, bias, i % 2, alone + b * out_len);
                CHECK(memcmp(together, alone, 5 * out_len * sizeof *alone) == 0,
                      "%s %s: five images at once and one by one differ; %s", k->isa,
                      backward ? "input gradient" : "forward", shape_name(&one));
                free(in), free(w), free(bias), free(together), free(alone);
            }
}

/* <conv(x), dy> = <x, input_grad(dy)> = <w, weight_grad(x, dy)>: the three are one trilinear form. */
static void the_gradients_are_adjoints_of_the_convolution(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    static const ath_conv_shape big[] = {{4, 14, 14, 64, 64, 3, 1, 1, 1},   {2, 32, 32, 64, 64, 3, 1, 1, 1},
                                         {8, 4, 4, 128, 128, 3, 1, 1, 1},   {2, 16, 16, 128, 128, 3, 2, 0, 1},
                                         {2, 16, 16, 192, 128, 3, 1, 1, 1}, {1, 8, 8, 512, 256, 3, 1, 1, 1},
                                         {8, 28, 28, 32, 32, 3, 1, 1, 1},   {3, 10, 7, 100, 24, 3, 1, 1, 1}};
    for (int t = 1; t < n_tables; t++)
        for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
            const ath_kernels *k = table[t];
            const ath_conv_shape *s = &big[i];
            const sizes z = sizes_of(s);
            float *x = random_floats(z.x), *w = random_floats(z.w), *dy = random_floats(z.y);
            float *y = guarded(z.y), *dx = guarded(z.x), *dw = guarded(z.w);
            run_pass(k, s, ATH_CONV_FORWARD, x, w, NULL, false, y);
            run_pass(k, s, ATH_CONV_INPUT_GRAD, dy, w, NULL, false, dx);
            run_weight_grad(k, s, x, dy, dw, NULL);
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
    const ath_conv_shape s = {5, 8, 8, 64, 32, 3, 1, 1, 1};
    const sizes z = sizes_of(&s);
    float *x = random_floats(z.x), *dy = random_floats(z.y), *a = guarded(z.w), *b = guarded(z.w);
    run_weight_grad(k, &s, x, dy, a, NULL);
    run_weight_grad(k, &s, x, dy, b, NULL);
    assert_memory_equal(a, b, z.w * sizeof *a);
    free(x), free(dy);
    release(a), release(b);
}

/* ---- group norm ---- */

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
                    k->group_norm_forward(s->n, s->hw, s->c, s->groups, 1e-5F, x, gamma, beta, o[0], o[1]);
                    k->group_norm_vjp(s->n, s->hw, s->c, s->groups, x, gamma, out[0][1], dy, o[2], acc, o[3], o[4]);
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
                table[t]->group_norm_vjp(s->n, s->hw, s->c, s->groups, x, gamma, out[0][1], dy, again, acc, NULL, NULL);
                assert_memory_equal(again, out[1][2], len * sizeof *again);
                float *dgamma = guarded(c), *dbeta = guarded(c);
                table[t]->group_norm_vjp(s->n, s->hw, s->c, s->groups, x, gamma, out[0][1], dy, NULL, false, dgamma,
                                         dbeta);
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
    k->group_norm_forward(5, HW, C, G, 1e-5F, x, gamma, beta, y, stats[0]);
    k->group_norm_vjp(5, HW, C, G, x, gamma, stats[0], dy, dx, false, NULL, NULL);
    for (size_t b = 0; b < 5; b++) {
        float *st = &stats[1][b * 2 * G];
        k->group_norm_forward(1, HW, C, G, 1e-5F, x + b * LEN, gamma, beta, y + (5 + b) * LEN, st);
        k->group_norm_vjp(1, HW, C, G, x + b * LEN, gamma, st, dy + b * LEN, dx + (5 + b) * LEN, false, NULL, NULL);
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
        cmocka_unit_test(every_group_norm_agrees_with_its_definition),
        cmocka_unit_test(group_norm_does_not_see_the_batch),
        cmocka_unit_test(silu_has_the_error_it_states),
        cmocka_unit_test(silu_is_right_at_the_ends_of_the_range),
        cmocka_unit_test(values_are_taken_one_by_one_for_every_length),
        cmocka_unit_test(every_softmax_agrees_with_its_definition),
        cmocka_unit_test(softmax_has_no_overflow_and_a_small_error),
        cmocka_unit_test(gemm_is_the_product_for_every_transposition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
