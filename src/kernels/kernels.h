/* The inner loops: pure, single-threaded functions on float arrays. No allocation,
 * no globals, no knowledge of graphs. There is one table of them per instruction
 * set, chosen once at start-up; `ref` is plain C and is what every other table is
 * tested against.
 *
 * Activations are NHWC. Convolution weights are (kernel, kernel, c_in, c_out), so
 * that c_out is the unit-stride axis; a linear layer is a 1x1 convolution. Pointers
 * need no alignment beyond float's, arrays must not overlap unless said.
 *
 * What an image gives does not depend on which images share its batch: every output
 * value is summed in an order fixed by the shape of one image. */
#ifndef ATH_KERNELS_KERNELS_H
#define ATH_KERNELS_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a pass of a convolution is done. Each table of kernels chooses by the shape; tests and benches say. A shape that
 * Winograd's algorithm does not fit, or a table that has none, is done directly all the same. */
typedef enum ath_conv_algorithm {
    ATH_CONV_CHOSEN,
    ATH_CONV_DIRECT,
    ATH_CONV_WINOGRAD,       /* transformed weights are packed once; four times the memory of the weights */
    ATH_CONV_WINOGRAD_REMADE /* they are made again in each call, a part that stays in L2 at a time */
} ath_conv_algorithm;

/* A 2-D convolution (cross-correlation, as in every framework) of n images.
 * out_h = (h + pad_before + pad_after - kernel) / stride + 1, and so out_w; the
 * asymmetric padding of DDPM's downsampling is pad_before 0, pad_after 1.
 *
 * `upsampled`: x is read through nearest-neighbour upsampling by two. h and w, which are even, are those that the
 * convolution sees; x and its gradient are stored at half of both, (n,h/2,w/2,c_in). */
typedef struct ath_conv_shape {
    int n, h, w, c_in, c_out, kernel, stride, pad_before, pad_after;
    bool upsampled;
    ath_conv_algorithm algorithm;
} ath_conv_shape;

static inline int ath_conv_out(int size, const ath_conv_shape *s) {
    return (size + s->pad_before + s->pad_after - s->kernel) / s->stride + 1;
}

/* What is added to a convolution's result as it is written, and what is told of it; any may be NULL. */
typedef struct ath_conv_add {
    const float *bias;     /* (c_out) of image i at bias + i * bias_step */
    size_t bias_step;      /* 0: the same for all images */
    const float *residual; /* (n,out_h,out_w,c_out), may be y itself */
    double *moments;       /* (n,2,c_out), sum and squares of each image as `moments` gives them; only of shapes that
                            * conv_gives_moments */
} ath_conv_add;

/* One of `of` parts of some work, which do not overlap and are the whole together. */
typedef struct ath_part {
    int index, of;
} ath_part;
static const ath_part ath_whole = {0, 1};

/* The three products of a convolutional layer. */
typedef enum ath_conv_pass { ATH_CONV_FORWARD, ATH_CONV_INPUT_GRAD, ATH_CONV_WEIGHT_GRAD } ath_conv_pass;

/* Three numbers a channel. */
typedef struct ath_affine {
    const float *m, *a, *b;
} ath_affine;

/* What an update of AdamW multiplies by, the same for every number (train/optimizer.h has the formula): rest is
 * 1 - beta, rounded once; step = lr / (1 - beta1^t); root2 = 1 / sqrt(1 - beta2^t); shrink = 1 - lr decay; scale is
 * what clipping left of the gradient; average = 1 - ema_decay. */
typedef struct ath_adamw_factors {
    float beta1, rest1, beta2, rest2, step, root2, eps, shrink, scale, average;
} ath_adamw_factors;

enum { ATH_SUM_LANES = 32 }; /* of sum_squares */

/* One head of one image: q, k, v, y have `tokens` rows of d floats, `stride` floats apart. */
typedef struct ath_attention_shape {
    int tokens, d, stride;
    float scale; /* of q k^T */
} ath_attention_shape;

/* Rows of `dim` numbers one after the other, as doubles or as floats: one of the two is not NULL. */
typedef struct ath_rows {
    const double *f64;
    const float *f32;
    size_t dim;
} ath_rows;

typedef struct ath_kernels {
    const char *isa; /* "ref"; "sse2", "avx2", "avx512" on x86-64; "neon" on arm64 */

    /* ---- convolution ----
     * A pass may want the weights in an order of its own (flipped and transposed for
     * the input gradient, Winograd-transformed, ...). conv_pack makes that copy once
     * per change of the weights; workers share it. conv_pack_floats is its size, 0
     * when the pass reads w as it is (packed is then w itself). It depends on the shape of
     * one image, never on n. conv_scratch_floats is the work memory of one call.
     * The weight gradient packs nothing. */
    size_t (*conv_pack_floats)(const ath_conv_shape *s, ath_conv_pass pass);
    void (*conv_pack)(const ath_conv_shape *s, ath_conv_pass pass, const float *w, float *packed);
    size_t (*conv_scratch_floats)(const ath_conv_shape *s, ath_conv_pass pass);
    /* y (n,out_h,out_w,c_out) = conv(x (n,h,w,c_in) or as upsampled says) + add: see ath_conv_add. `part` is of the output
     * channels. */
    void (*conv_forward)(const ath_conv_shape *s, const float *x, const float *packed, ath_conv_add add, ath_part part,
                         float *y, float *scratch);
    /* Whether conv_forward can take the sums of its result that a norm needs while it writes it. */
    bool (*conv_gives_moments)(const ath_conv_shape *s);
    /* The most parts that conv_forward is worth dividing into, 1 when it is not: threads take a while to wake. */
    int (*conv_parts)(const ath_conv_shape *s);
    /* dx (n,h,w,c_in) = (or += when acc) the adjoint applied to dy (n,out_h,out_w,c_out) */
    void (*conv_input_grad)(const ath_conv_shape *s, const float *dy, const float *packed, float *dx, bool acc,
                            float *scratch);
    /* dw (kernel,kernel,c_in,c_out) and db (c_out, may be NULL) are written, or added to when acc: what is added has the
     * bits that would be written. */
    void (*conv_weight_grad)(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *db, bool acc,
                             float *scratch);

    /* ---- channel by channel, x (hw,c) of one image: what group norm is made of (norm.h) ----
     * f(x) = (x - m) a + b with m, a, b (c), or the silu of that. */
    /* sum, squares (c): over positions, of x less its value at the first one, and of that squared */
    void (*moments)(int hw, int c, const float *x, double *sum, double *squares);
    /* y = f(x), position p at y + p * ldy */
    void (*affine)(int hw, int c, const float *x, ath_affine f, bool silu, float *y, size_t ldy);
    /* d (position p at d + p * ldd) is multiplied by silu's slope there, if silu; then sum = sums of d,
     * product = sums of d (x - m), (c) each */
    void (*affine_sums)(int hw, int c, const float *x, ath_affine f, bool silu, float *d, size_t ldd, double *sum,
                        double *product);
    /* dx = (or += when acc) d a + (x - m) b + shift */
    void (*affine_grad)(int hw, int c, const float *x, ath_affine f, const float *shift, const float *d, size_t ldd,
                        float *dx, bool acc);

    /* ---- elementwise over `len` floats ----
     * silu(x) = x / (1 + exp(-x)). Relative error of the exponential at most 4e-7 (4 ulp). y may be x. */
    void (*silu_forward)(size_t len, const float *x, float *y);
    void (*silu_vjp)(size_t len, const float *x, const float *dy, float *dx, bool acc);
    void (*add)(size_t len, const float *a, const float *b, float *y); /* y may be a or b */

    /* ---- rows ---- */
    /* y = (or += when acc) scale * x, of rows ldx and ldy floats apart */
    void (*copy_rows)(size_t rows, size_t cols, float scale, const float *x, size_t ldx, float *y, size_t ldy,
                      bool acc);
    /* y = (or +=) x * (1 + scale) + shift; scale and shift (cols), NULL for 0. y may be x. */
    void (*affine_rows)(size_t rows, size_t cols, const float *x, const float *scale, const float *shift, float *y,
                        bool acc);
    /* sum (cols) = (or +=) the sum of the rows of x, or of x * weights where that is not NULL */
    void (*sum_rows)(size_t rows, size_t cols, const float *x, const float *weights, float *sum, bool acc);

    /* ---- softmax over rows ----
     * y = softmax(scale * x) of each of `rows` rows of `cols`; y may be x. */
    void (*softmax_forward)(int rows, int cols, float scale, const float *x, float *y);
    /* dx = scale * y * (dy - sum(y * dy)); dx may be dy. */
    void (*softmax_vjp)(int rows, int cols, float scale, const float *y, const float *dy, float *dx);

    /* ---- the update of the parameters, over `len` floats ----
     * With g = scale grad: m = beta1 m + rest1 g; v = beta2 v + rest2 g^2;
     * w = shrink w - step m / (sqrt(v) root2 + eps); ema += average (w - ema). A number's result does not depend on
     * where the array begins or ends. It is within 2^-21 of the sizes of its terms of what ref gives, which rounds
     * once: m of |beta1 m| + |rest1 g|, v of v, w of |w| and four times its step, ema of |ema| and average w. */
    void (*adamw)(size_t len, const ath_adamw_factors *f, float *w, float *ema, float *m, float *v, const float *grad);
    /* Sum of x^2 in double: ATH_SUM_LANES sums, of every so-manyth number each, halved until one is left. The same
     * bits from every table. */
    double (*sum_squares)(size_t len, const float *x);

    /* ---- points and the rows of a table, in double (diffusion/mixture.h) ---- */
    /* d2[i * ld + k] = |x_i - row_{first + k}|^2 of points x (n, dim) and `count` rows. A pair's bits depend on the pair
     * alone. */
    void (*squared_distances)(size_t n, const double *x, ath_rows rows, size_t first, size_t count, double *d2,
                              size_t ld);
    /* sum[d] += sum_j weight[j] (row_{index[j]}[from + d] - row_base[from + d]) for d < len, in the order of j: the same
     * bits in one call or several. */
    void (*add_differences)(ath_rows rows, size_t from, size_t len, size_t count, const double *weight,
                            const uint32_t *index, size_t base, double *sum);

    /* ---- attention ----
     * y = P v with P = softmax(scale * q k^T). `part` is of the rows of q and y. */
    size_t (*attention_scratch_floats)(const ath_attention_shape *s, bool vjp);
    int (*attention_parts)(const ath_attention_shape *s); /* as conv_parts */
    void (*attention_forward)(const ath_attention_shape *s, const float *q, const float *k, const float *v,
                              ath_part part, float *y, float *scratch);
    /* Each of dq, dk, dv may be NULL; acc says which are added to rather than written. Where all are added to
     * they may be one array. */
    void (*attention_vjp)(const ath_attention_shape *s, const float *q, const float *k, const float *v, const float *dy,
                          float *dq, float *dk, float *dv, const bool acc[3], float *scratch);
} ath_kernels;

/* The fastest table this CPU can run; the environment's ATH_CPU=ref|sse2|avx2|avx512|neon
 * overrides it where the CPU allows. Never NULL. Chosen at the first call, which must
 * come before threads share it. */
const ath_kernels *ath_kernels_best(void);
/* Every table this CPU can run, ref first: for tests and benches. */
const ath_kernels *const *ath_kernels_all(int *n);

/* C = alpha op(A) op(B) + beta C, row-major, single-threaded (OpenBLAS behind gemm.c).
 * op(A) is (m,k), op(B) is (k,n); lda, ldb, ldc are row strides of the stored arrays. */
void ath_gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
              const float *b, int ldb, float beta, float *c, int ldc);

#endif
