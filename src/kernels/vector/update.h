/* The update of the parameters: one pass over memory, which is what it costs; and the sum of squares.
 * Part of template.h. */

INLINE vec vec_sqrt(vec v) {
#if ATH_W == 16
    return (vec)_mm512_sqrt_ps((__m512)v);
#elif ATH_W == 8
    return (vec)_mm256_sqrt_ps((__m256)v);
#else
    return (vec){sqrtf(v[0]), sqrtf(v[1]), sqrtf(v[2]), sqrtf(v[3])};
#endif
}

typedef struct adamw_vectors {
    vec beta1, rest1, beta2, rest2, step, root2, eps, shrink, scale, average;
} adamw_vectors;

/* One vector, or the first n lanes of it. */
INLINE void adamw_vector(const adamw_vectors *f, int n, float *w, float *ema, float *m, float *v, const float *grad) {
    const vec g = f->scale * load_some(grad, n);
    const vec m1 = f->beta1 * load_some(m, n) + f->rest1 * g;
    const vec v1 = f->beta2 * load_some(v, n) + f->rest2 * (g * g);
    const vec w1 = f->shrink * load_some(w, n) - f->step * m1 / (vec_sqrt(v1) * f->root2 + f->eps);
    const vec average = load_some(ema, n);
    store_some(m, m1, n);
    store_some(v, v1, n);
    store_some(w, w1, n);
    store_some(ema, average + f->average * (w1 - average), n);
}

enum { UPDATE_AHEAD = 256 }; /* floats: the processor's own prefetching of five streams stops at each page's end */

static void adamw(size_t len, const ath_adamw_factors *o, float *w, float *ema, float *m, float *v, const float *grad) {
    const adamw_vectors f = {.beta1 = splat(o->beta1),
                             .rest1 = splat(o->rest1),
                             .beta2 = splat(o->beta2),
                             .rest2 = splat(o->rest2),
                             .step = splat(o->step),
                             .root2 = splat(o->root2),
                             .eps = splat(o->eps),
                             .shrink = splat(o->shrink),
                             .scale = splat(o->scale),
                             .average = splat(o->average)};
    size_t i = 0;
    for (; i + W <= len; i += W) {
        /* An address beyond the end is only a hint, and never read. */
        const uintptr_t ahead = (i + UPDATE_AHEAD) * sizeof *w;
        __builtin_prefetch((const void *)((uintptr_t)w + ahead));
        __builtin_prefetch((const void *)((uintptr_t)ema + ahead));
        __builtin_prefetch((const void *)((uintptr_t)m + ahead));
        __builtin_prefetch((const void *)((uintptr_t)v + ahead));
        __builtin_prefetch((const void *)((uintptr_t)grad + ahead));
        adamw_vector(&f, W, w + i, ema + i, m + i, v + i, grad + i);
    }
    if (i < len) adamw_vector(&f, (int)(len - i), w + i, ema + i, m + i, v + i, grad + i);
}

/* A square of a float is exact in double, so the sum depends on the order alone: that of ref, LANES sums
 * by turns, which are then halved. */
static double sum_squares(size_t len, const float *x) {
    typedef double dvec __attribute__((vector_size(4 * ATH_W)));
    typedef float half __attribute__((vector_size(2 * ATH_W), aligned(4), may_alias));
    enum { D = ATH_W / 2, N = ATH_SUM_LANES / D };
    dvec sum[N];
    for (int j = 0; j < N; j++) sum[j] = (dvec){0};
    size_t i = 0;
    for (; i + ATH_SUM_LANES <= len; i += ATH_SUM_LANES) {
        __builtin_prefetch((const void *)((uintptr_t)x + (i + 2 * UPDATE_AHEAD) * sizeof *x));
        __builtin_prefetch((const void *)((uintptr_t)x + (i + 2 * UPDATE_AHEAD + 16) * sizeof *x));
#pragma GCC unroll 16
        for (int j = 0; j < N; j++) {
            const dvec d = __builtin_convertvector(*(const half *)(x + i + j * D), dvec);
            sum[j] += d * d;
        }
    }
    double lane[ATH_SUM_LANES];
    memcpy(lane, sum, sizeof lane);
    for (int l = 0; i < len; i++, l++) lane[l] += (double)x[i] * (double)x[i];
    for (int n = ATH_SUM_LANES / 2; n > 0; n /= 2)
        for (int l = 0; l < n; l++) lane[l] += lane[l + n];
    return lane[0];
}
