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

/* W columns, or the `n` that are left, of affine_rows. */
INLINE void affine_columns(size_t rows, size_t ld, int n, const float *x, const float *scale, const float *shift,
                           float *y, bool acc) {
    const vec factor = 1 + (scale != NULL ? load_some(scale, n) : (vec){0});
    const vec constant = shift != NULL ? load_some(shift, n) : (vec){0};
    for (; rows > 0; rows--, x += ld, y += ld) {
        const vec value = load_some(x, n) * factor + constant;
        store_some(y, acc ? load_some(y, n) + value : value, n);
    }
}

static void affine_rows(size_t rows, size_t cols, const float *x, const float *scale, const float *shift, float *y,
                        bool acc) {
    enum { AT_ONCE = 64 }; /* rows that stay in L1 while the columns are walked */
    for (size_t r = 0; r < rows; r += AT_ONCE, x += AT_ONCE * cols, y += AT_ONCE * cols)
        for (size_t j = 0; j < cols; j += W) {
            const size_t count = rows - r < AT_ONCE ? rows - r : AT_ONCE;
            const float *a = scale != NULL ? scale + j : NULL, *b = shift != NULL ? shift + j : NULL;
            if (j + W <= cols)
                affine_columns(count, cols, W, x + j, a, b, y + j, acc);
            else
                affine_columns(count, cols, (int)(cols - j), x + j, a, b, y + j, acc);
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
