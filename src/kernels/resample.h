/* Nearest-neighbour upsampling by two and its adjoint, of images (h,w,c) on the small side: what graph/ops/resample.c and the
 * direct convolutions (vector/template.h) share. `copy` is a table's copy_rows. */
#ifndef ATH_KERNELS_RESAMPLE_H
#define ATH_KERNELS_RESAMPLE_H
#include <stdbool.h>
#include <stddef.h>

typedef void ath_copy_rows(size_t rows, size_t cols, float scale, const float *x, size_t ldx, float *y, size_t ldy,
                           bool acc);

/* big (n,2h,2w,c) = (or += when acc) factor * small (n,h,w,c), each value four times */
static inline void ath_spread(ath_copy_rows *copy, size_t n, size_t h, size_t w, size_t c, float factor,
                              const float *small, float *big, bool acc) {
    for (size_t r = 0; r < n * h; r++)
        for (size_t at = 0; at < 4; at++)
            copy(w, c, factor, small + r * w * c, c, big + ((2 * r + at / 2) * 2 * w + at % 2) * c, 2 * c, acc);
}

/* small (n,h,w,c) = (or += when acc) factor * the sum of four values of big (n,2h,2w,c) */
static inline void ath_gather(ath_copy_rows *copy, size_t n, size_t h, size_t w, size_t c, float factor,
                              const float *big, float *small, bool acc) {
    for (size_t r = 0; r < n * h; r++)
        for (size_t at = 0; at < 4; at++)
            copy(w, c, factor, big + ((2 * r + at / 2) * 2 * w + at % 2) * c, 2 * c, small + r * w * c, c,
                 acc || at > 0);
}

#endif
