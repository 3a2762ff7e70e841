/* Points and the rows of a table, in double: distances, and weighted sums of differences.
 * Part of template.h. */

typedef double dvec __attribute__((vector_size(4 * ATH_W)));
typedef double dvec_unaligned __attribute__((vector_size(4 * ATH_W), aligned(8), may_alias));

/* A tile of POINT_TILE x ROW_TILE accumulators hides the latency of their sums. */
enum { DW = ATH_W / 2, POINT_TILE = MR == 14 ? 4 : 2, ROW_TILE = 4 };

/* The first n <= DW lanes from memory; the others are 0. */
INLINE dvec load_doubles(const double *p, size_t n) {
    if (n >= DW) return *(const dvec_unaligned *)p;
#if ATH_W == 16
    return (dvec)_mm512_maskz_loadu_pd((__mmask8)((1U << n) - 1U), p);
#elif ATH_W == 8
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return (dvec)_mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), lane));
#else
    return (dvec){p[0], 0};
#endif
}

/* By intrinsics throughout: GCC 12 makes two conversions and an insertion of __builtin_convertvector to 512 bits. */
INLINE dvec load_widened(const float *p, size_t n) {
#if ATH_W == 16
    if (n >= DW) return (dvec)_mm512_cvtps_pd(_mm256_loadu_ps(p));
    return (dvec)_mm512_cvtps_pd(_mm256_maskz_loadu_ps((__mmask8)((1U << n) - 1U), p));
#elif ATH_W == 8
    if (n >= DW) return (dvec)_mm256_cvtps_pd(_mm_loadu_ps(p));
    const __m128i lane = _mm_setr_epi32(0, 1, 2, 3);
    return (dvec)_mm256_cvtps_pd(_mm_maskload_ps(p, _mm_cmpgt_epi32(_mm_set1_epi32((int)n), lane)));
#else
    return (dvec){(double)p[0], n >= DW ? (double)p[1] : 0};
#endif
}

INLINE dvec load_row(ath_rows rows, bool wide, size_t at, size_t n) {
    return wide ? load_doubles(rows.f64 + at, n) : load_widened(rows.f32 + at, n);
}

INLINE double sum_lanes(dvec v) {
    double lane[DW];
    memcpy(lane, &v, sizeof lane);
    for (int n = DW / 2; n > 0; n /= 2)
        for (int l = 0; l < n; l++) lane[l] += lane[l + n];
    return lane[0];
}

/* The squares of one vector of columns; `left` columns are there. */
INLINE void add_squares(int points, int count, bool wide, const double *x, ath_rows rows, size_t first, size_t d,
                        size_t left, dvec sum[POINT_TILE][ROW_TILE]) {
    dvec p[POINT_TILE];
#pragma GCC unroll 4
    for (int i = 0; i < points; i++) p[i] = load_doubles(x + sz(i) * rows.dim + d, left);
#pragma GCC unroll 4
    for (int k = 0; k < count; k++) {
        const dvec row = load_row(rows, wide, (first + sz(k)) * rows.dim + d, left);
#pragma GCC unroll 4
        for (int i = 0; i < points; i++) {
            const dvec difference = p[i] - row;
            sum[i][k] += difference * difference;
        }
    }
}

/* `points` and `count` are constants where this is called, up to the tile's. */
INLINE void distance_tile(int points, int count, bool wide, const double *x, ath_rows rows, size_t first, double *d2,
                          size_t ld) {
    dvec sum[POINT_TILE][ROW_TILE];
#pragma GCC unroll 4
    for (int i = 0; i < points; i++)
#pragma GCC unroll 4
        for (int k = 0; k < count; k++) sum[i][k] = (dvec){0};
    size_t d = 0;
    for (; d + DW <= rows.dim; d += DW) add_squares(points, count, wide, x, rows, first, d, DW, sum);
    if (d < rows.dim) add_squares(points, count, wide, x, rows, first, d, rows.dim - d, sum);
#pragma GCC unroll 4
    for (int i = 0; i < points; i++)
#pragma GCC unroll 4
        for (int k = 0; k < count; k++) d2[sz(i) * ld + sz(k)] = sum_lanes(sum[i][k]);
}

/* `points` is a constant where this is called. */
INLINE void distances_to_rows(int points, bool wide, const double *x, ath_rows rows, size_t first, size_t count,
                              double *d2, size_t ld) {
    size_t k = 0;
    for (; k + ROW_TILE <= count; k += ROW_TILE) distance_tile(points, ROW_TILE, wide, x, rows, first + k, d2 + k, ld);
    for (; k < count; k++) distance_tile(points, 1, wide, x, rows, first + k, d2 + k, ld);
}

INLINE void distances_of(bool wide, size_t n, const double *x, ath_rows rows, size_t first, size_t count, double *d2,
                         size_t ld) {
    size_t i = 0;
    for (; i + POINT_TILE <= n; i += POINT_TILE)
        distances_to_rows(POINT_TILE, wide, x + i * rows.dim, rows, first, count, d2 + i * ld, ld);
    for (; i < n; i++) distances_to_rows(1, wide, x + i * rows.dim, rows, first, count, d2 + i * ld, ld);
}

static void squared_distances(size_t n, const double *x, ath_rows rows, size_t first, size_t count, double *d2,
                              size_t ld) {
    if (rows.f64 != NULL)
        distances_of(true, n, x, rows, first, count, d2, ld);
    else
        distances_of(false, n, x, rows, first, count, d2, ld);
}

enum { SUM_TILE = 4 }; /* vectors of `sum` in registers at once */

/* `vectors` and `n`, the columns of the last of them, are known where this is called. */
INLINE void difference_tile(int vectors, size_t n, bool wide, ath_rows rows, size_t at, size_t count,
                            const double *weight, const uint32_t *index, size_t base, double *sum) {
    dvec total[SUM_TILE], origin[SUM_TILE];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        total[v] = load_doubles(sum + v * DW, n);
        origin[v] = load_row(rows, wide, base * rows.dim + at + sz(v) * DW, n);
    }
    for (size_t j = 0; j < count; j++) {
        const dvec w = weight[j] - (dvec){0};
        const size_t row = index[j] * rows.dim + at;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) total[v] += w * (load_row(rows, wide, row + sz(v) * DW, n) - origin[v]);
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) memcpy(sum + v * DW, &total[v], n * sizeof *sum);
}

INLINE void differences_of(bool wide, ath_rows rows, size_t from, size_t len, size_t count, const double *weight,
                           const uint32_t *index, size_t base, double *sum) {
    size_t d = 0;
    for (; d + sz(SUM_TILE) * DW <= len; d += sz(SUM_TILE) * DW)
        difference_tile(SUM_TILE, DW, wide, rows, from + d, count, weight, index, base, sum + d);
    for (; d + DW <= len; d += DW) difference_tile(1, DW, wide, rows, from + d, count, weight, index, base, sum + d);
    if (d < len) difference_tile(1, len - d, wide, rows, from + d, count, weight, index, base, sum + d);
}

static void add_differences(ath_rows rows, size_t from, size_t len, size_t count, const double *weight,
                            const uint32_t *index, size_t base, double *sum) {
    if (rows.f64 != NULL)
        differences_of(true, rows, from, len, count, weight, index, base, sum);
    else
        differences_of(false, rows, from, len, count, weight, index, base, sum);
}
