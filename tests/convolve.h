/* Convolution by its definition, in double, and the kernels' passes with packing, guard zones and NaN in the work
 * memory. */
#ifndef ATH_TESTS_CONVOLVE_H
#define ATH_TESTS_CONVOLVE_H
#include "check.h"
#include "arrays.h"
#include "kernels/kernels.h"

static inline const char *shape_name(const ath_conv_shape *s) {
    static char text[120];
    snprintf(text, sizeof text, "n %d, %dx%d, %d -> %d channels, kernel %d, stride %d, pad (%d,%d)%s, algorithm %d",
             s->n, s->h, s->w, s->c_in, s->c_out, s->kernel, s->stride, s->pad_before, s->pad_after,
             s->upsampled ? ", upsampled" : "", (int)s->algorithm);
    return text;
}

typedef struct sizes {
    size_t x, y, w, co;
} sizes;

static inline sizes sizes_of(const ath_conv_shape *s) {
    const size_t n = (size_t)s->n, ci = (size_t)s->c_in, co = (size_t)s->c_out;
    return (sizes){.x = n * (size_t)s->h * (size_t)s->w * ci / (s->upsampled ? 4 : 1),
                   .y = n * (size_t)ath_conv_out(s->h, s) * (size_t)ath_conv_out(s->w, s) * co,
                   .w = (size_t)s->kernel * (size_t)s->kernel * ci * co,
                   .co = co};
}

/* The definition, all three products at once: for each pair of pixels that a tap joins,
 * y += w' x, dx += w dy, dw += x dy'. Without the sanitizers, which would take most of a test's time here. */
__attribute__((no_sanitize("address", "undefined"))) static inline void convolve(const ath_conv_shape *s,
                                                                                 const float *x, const float *w,
                                                                                 const float *bias, const float *dy,
                                                                                 double *y, double *dx, double *dw,
                                                                                 double *db) {
    const sizes z = sizes_of(s);
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), ci = s->c_in, co = s->c_out;
    const int zoom = s->upsampled ? 2 : 1;
    memset(dx, 0, z.x * sizeof *dx);
    memset(dw, 0, z.w * sizeof *dw);
    memset(db, 0, z.co * sizeof *db);
    for (size_t i = 0; i < z.y; i++) {
        y[i] = bias != NULL ? (double)bias[i % z.co] : 0;
        db[i % z.co] += (double)dy[i];
    }
    for (int n = 0; n < s->n; n++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++)
                for (int tap = 0; tap < s->kernel * s->kernel; tap++) {
                    const int iy = oy * s->stride - s->pad_before + tap / s->kernel;
                    const int ix = ox * s->stride - s->pad_before + tap % s->kernel;
                    if (iy < 0 || ix < 0 || iy >= s->h || ix >= s->w) continue;
                    const size_t xi =
                        (size_t)((n * (s->h / zoom) + iy / zoom) * (s->w / zoom) + ix / zoom) * (size_t)ci;
                    const size_t yi = (size_t)((n * oh + oy) * ow + ox) * (size_t)co;
                    for (int i = 0; i < ci; i++)
                        for (int o = 0; o < co; o++) {
                            const size_t at = (size_t)((tap * ci + i) * co + o);
                            y[yi + (size_t)o] += (double)x[xi + (size_t)i] * (double)w[at];
                            dx[xi + (size_t)i] += (double)dy[yi + (size_t)o] * (double)w[at];
                            dw[at] += (double)x[xi + (size_t)i] * (double)dy[yi + (size_t)o];
                        }
                }
}

/* A pass with packing and exact, poisoned work memory. */
static inline void run_pass(const ath_kernels *k, const ath_conv_shape *s, ath_conv_pass pass, const float *in,
                            const float *w, ath_conv_add add, bool acc, float *out) {
    const size_t pack_len = k->conv_pack_floats(s, pass), scratch_len = k->conv_scratch_floats(s, pass);
    float *packed = poisoned(pack_len), *scratch = poisoned(scratch_len);
    if (pack_len > 0) k->conv_pack(s, pass, w, packed);
    check_guards(packed, pack_len, "packed weights");
    const float *used = pack_len > 0 ? packed : w;
    if (pass == ATH_CONV_FORWARD)
        k->conv_forward(s, in, used, add, ath_whole, out, scratch);
    else
        k->conv_input_grad(s, in, used, out, acc, scratch);
    check_guards(scratch, scratch_len, "scratch");
    release(packed);
    release(scratch);
}

static inline void run_weight_grad(const ath_kernels *k, const ath_conv_shape *s, const float *x, const float *dy,
                                   float *dw, float *db, bool acc) {
    const size_t scratch_len = k->conv_scratch_floats(s, ATH_CONV_WEIGHT_GRAD);
    float *scratch = poisoned(scratch_len);
    k->conv_weight_grad(s, x, dy, dw, db, acc, scratch);
    check_guards(scratch, scratch_len, "scratch");
    release(scratch);
}

/* What an image gives must be the same bits alone, and at any place of a batch of five: with a bias, with what is added
 * to, with a bias and a residual of each image. */
static inline void check_batch(const ath_kernels *k, const ath_conv_shape *s, bool backward, bool more) {
    ath_conv_shape one = *s, five = *s;
    one.n = 1;
    five.n = 5;
    const sizes z = sizes_of(&one);
    const size_t in_len = backward ? z.y : z.x, out_len = backward ? z.x : z.y;
    const ath_conv_pass pass = backward ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD;
    CHECK(k->conv_pack_floats(&one, pass) == k->conv_pack_floats(&five, pass), "%s: the packed weights depend on n; %s",
          k->isa, shape_name(&one));
    float *in = random_floats(5 * in_len), *w = random_floats(z.w), *bias = random_floats(5 * z.co),
          *residual = random_floats(5 * z.y);
    float *together = random_floats(5 * out_len), *alone = malloc(5 * out_len * sizeof *alone);
    memcpy(alone, together, 5 * out_len * sizeof *alone);
    ath_conv_add add = {.bias = bias};
    if (more) add = (ath_conv_add){.bias = bias, .bias_step = z.co, .residual = residual};
    run_pass(k, &five, pass, in, w, add, more, together);
    for (size_t b = 0; b < 5; b++) {
        run_pass(k, &one, pass, in + b * in_len, w, add, more, alone + b * out_len);
        if (more) add.bias += z.co, add.residual += z.y;
    }
    CHECK(memcmp(together, alone, 5 * out_len * sizeof *alone) == 0,
          "%s %s: five images at once and one by one differ; %s", k->isa, backward ? "input gradient" : "forward",
          shape_name(&one));
    free(in), free(w), free(bias), free(residual), free(together), free(alone);
}

#endif
