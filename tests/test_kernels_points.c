/* Distances of points to the rows of a table, and weighted sums of differences: every table against the definition in
 * long double, on sizes that divide by nothing, and bits that depend on nothing else. */
#include "arrays.h"
#include "kernels/kernels.h"

static const size_t dims[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257};
enum { N_DIMS = sizeof dims / sizeof *dims, POINTS = 9, ROWS = 23 };

static double *random_doubles(size_t len) {
    double *p = malloc(len * sizeof *p + 1);
    assert_non_null(p);
    for (size_t i = 0; i < len; i++) p[i] = 2 * uniform() - 1;
    return p;
}

/* The rows as doubles or as floats, in memory of exactly their size. */
typedef struct table {
    double *f64;
    float *f32;
    ath_rows rows;
} table;

static table make_table(size_t dim, bool wide) {
    table t = {0};
    if (wide)
        t.f64 = random_doubles(ROWS * dim);
    else
        t.f32 = random_floats(ROWS * dim);
    t.rows = (ath_rows){t.f64, t.f32, dim};
    return t;
}

static void free_table(table *t) {
    free(t->f64);
    free(t->f32);
}

static double value(const table *t, size_t row, size_t d) {
    return t->f64 ? t->f64[row * t->rows.dim + d] : (double)t->f32[row * t->rows.dim + d];
}

static void every_distance_is_what_its_definition_says(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *kernels = ath_kernels_all(&n_tables);
    for (size_t q = 0; q < 2 * N_DIMS; q++) {
        const size_t dim = dims[q / 2], first = q % 5, count = ROWS - first, ld = ROWS + 2;
        seed = q + 1;
        table t = make_table(dim, q % 2);
        double *x = random_doubles(POINTS * dim), d2[POINTS * (ROWS + 2)], one;
        for (int k = 0; k < n_tables; k++) {
            for (size_t i = 0; i < POINTS * ld; i++) d2[i] = -1;
            kernels[k]->squared_distances(POINTS, x, t.rows, first, count, d2, ld);
            for (size_t i = 0; i < POINTS; i++) {
                for (size_t r = count; r < ld; r++) CHECK(d2[i * ld + r] == -1, "%s writes too far", kernels[k]->isa);
                for (size_t r = 0; r < count; r++) {
                    long double sum = 0;
                    for (size_t d = 0; d < dim; d++) {
                        const long double difference =
                            (long double)x[i * dim + d] - (long double)value(&t, first + r, d);
                        sum += difference * difference;
                    }
                    const double got = d2[i * ld + r], expected = (double)sum;
                    CHECK(fabs(got - expected) <= 1e-15 * (double)dim * expected + 1e-300,
                          "%s, dim %zu: distance %.17g, expected %.17g", kernels[k]->isa, dim, got, expected);
                    kernels[k]->squared_distances(1, x + i * dim, t.rows, first + r, 1, &one, 1);
                    CHECK(one == got, "%s, dim %zu: a pair alone gives other bits", kernels[k]->isa, dim);
                }
            }
        }
        free(x);
        free_table(&t);
    }
}

static void every_sum_of_differences_is_what_its_definition_says(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *kernels = ath_kernels_all(&n_tables);
    for (size_t q = 0; q < 2 * N_DIMS; q++) {
        const size_t dim = dims[q / 2], from = dim > 3 ? q % 3 : 0, len = dim - from, base = q % ROWS;
        seed = q + 1;
        table t = make_table(dim, q % 2);
        double *weight = random_doubles(ROWS), *start = random_doubles(len), *sum = random_doubles(len),
               *parts = random_doubles(len);
        uint32_t index[ROWS];
        size_t count = 0;
        for (uint32_t r = 0; r < ROWS; r++)
            if (uniform() < 0.7) index[count++] = r;
        for (int k = 0; k < n_tables; k++) {
            memcpy(sum, start, len * sizeof *sum);
            memcpy(parts, start, len * sizeof *sum);
            kernels[k]->add_differences(t.rows, from, len, count, weight, index, base, sum);
            const size_t half = count / 2;
            kernels[k]->add_differences(t.rows, from, len, half, weight, index, base, parts);
            kernels[k]->add_differences(t.rows, from, len, count - half, weight + half, index + half, base, parts);
            CHECK(memcmp(sum, parts, len * sizeof *sum) == 0, "%s: two calls give other bits", kernels[k]->isa);
            for (size_t d = 0; d < len; d++) {
                long double expected = (long double)start[d];
                for (size_t j = 0; j < count; j++)
                    expected += (long double)weight[j] *
                                ((long double)value(&t, index[j], from + d) - (long double)value(&t, base, from + d));
                CHECK(fabs(sum[d] - (double)expected) < 1e-14, "%s, dim %zu: sum %.17g, expected %.17g",
                      kernels[k]->isa, dim, sum[d], (double)expected);
            }
        }
        free(weight), free(start), free(sum), free(parts);
        free_table(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_distance_is_what_its_definition_says),
        cmocka_unit_test(every_sum_of_differences_is_what_its_definition_says),
    };
    return cmocka_run_group_tests_name("points and rows", tests, NULL, NULL);
}
