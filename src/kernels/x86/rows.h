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

static void sum_rows(size_t rows, size_t cols, const float *x, const float *weights, float *sum, bool acc) {
    const float zero[STRIP * ATH_W] = {0};
    double one[STRIP * ATH_W], two[STRIP * ATH_W];
    const int c = (int)cols;
    for (int j = 0, took; j < c; j += took) {
        if (weights != NULL)
            took = some_sums(SUM_PRODUCTS, c - j, (int)rows, c, x + j, zero, weights + j, one, two);
        else
            took = some_sums(SUM_X, c - j, (int)rows, c, x + j, NULL, NULL, one, two);
        for (int l = 0; l < took; l++) sum[j + l] = (float)one[l] + (acc ? sum[j + l] : 0);
    }
}
