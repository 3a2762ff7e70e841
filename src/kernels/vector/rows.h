/* Plain work on rows of floats: copies, shifts and sums that the operations between the layers are made of.
 * Part of template.h. */

static void copy_rows(size_t rows, size_t cols, float scale, const float *x, size_t ldx, float *y, size_t ldy,
                      bool acc) {
    if (ldx == cols && ldy == cols) cols *= rows, rows = 1;
    const vec factor = splat(scale);
    for (; rows > 0; rows--, x += ldx, y += ldy) {
        size_t j = 0;
        if (acc)
            for (; j + W <= cols; j += W) store(y + j, load(y + j) + factor * load(x + j));
        else
            for (; j + W <= cols; j += W) store(y + j, factor * load(x + j));
        const int rest = (int)(cols - j);
        if (rest > 0)
            store_part(y + j, (acc ? load_part(y + j, rest) : (vec){0}) + factor * load_part(x + j, rest), rest);
    }
}

/* n <= W columns of one row of affine_rows. */
INLINE void affine_columns(int n, const float *x, const float *scale, const float *shift, float *y, bool acc) {
    vec value = load_some(x, n);
    if (scale != NULL) value *= 1 + load_some(scale, n);
    if (shift != NULL) value += load_some(shift, n);
    store_some(y, acc ? load_some(y, n) + value : value, n);
}

static void affine_rows(size_t rows, size_t cols, const float *x, const float *scale, const float *shift, float *y,
                        bool acc) {
    for (; rows > 0; rows--, x += cols, y += cols) {
        size_t j = 0;
        for (; j + W <= cols; j += W)
            affine_columns(W, x + j, scale != NULL ? scale + j : NULL, shift != NULL ? shift + j : NULL, y + j, acc);
        if (j < cols)
            affine_columns((int)(cols - j), x + j, scale != NULL ? scale + j : NULL, shift != NULL ? shift + j : NULL,
                           y + j, acc);
    }
}

INLINE void sum_strip(int nv, int lanes, size_t rows, size_t cols, const float *x, const float *weights, double *sum) {
    for (int i = 0; i < (nv - 1) * W + lanes; i++) sum[i] = 0;
    for (size_t r0 = 0; r0 < rows; r0 += CHAIN) {
        vec s[STRIP] = {0};
        const size_t end = r0 + CHAIN < rows ? r0 + CHAIN : rows;
        for (size_t at = r0 * cols; at < end * cols; at += cols)
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) {
                const vec value = load_lanes(x + at + v * W, lanes);
                s[v] += weights != NULL ? value * load_lanes(weights + at + v * W, lanes) : value;
            }
        for (int v = 0; v < nv; v++) add_lanes(sum + v * W, s[v], lanes);
    }
}

static void sum_rows(size_t rows, size_t cols, const float *x, const float *weights, float *sum, bool acc) {
    double total[STRIP * ATH_W];
#define F(nv, lanes, j)                                                                                                \
    sum_strip(nv, lanes, rows, cols, x + (j), weights != NULL ? weights + (j) : NULL, total);                          \
    for (int i = 0; i < ((nv)-1) * W + (lanes); i++) sum[(j) + i] = (acc ? sum[(j) + i] : 0) + (float)total[i]
    STRIPS((int)cols, F)
#undef F
}
