/* The sliced Wasserstein distance of two sets of images, on their pixels (Rabin et al. 2011, "Wasserstein barycenter and its
 * application to texture mixing"; Bonneel et al. 2015): with unit vectors theta drawn uniformly,
 *     SW2^2 = E_theta[ W2^2(theta^T A, theta^T B) ],
 * where in one dimension W2^2 = integral over u in (0,1) of (F_A^-1(u) - F_B^-1(u))^2, F^-1 the quantile function: of n sorted
 * numbers a staircase of n equal steps. That integral is exact for sets of different sizes too.
 *
 * For a set and itself shifted by a vector c it is |c| / sqrt(dim): a distance of images' root mean square pixels. Two
 * finite samples of one distribution are not at 0; only values of the same two sizes compare. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "eval/score.h"
#include "kernels/kernels.h"

enum {
    PROJECTIONS = 512,
    BLOCK = 16, /* projections made at once, by one product */
    PARTS = PROJECTIONS / BLOCK,
    CHUNK = 128 /* images of a product */
};

typedef struct job {
    const ath_image_set *set[2];
    int dim;
    ath_rng rng;
    const ath_kernels *kernels;
    atomic_int next; /* part */
    /* work memory of each worker: directions (dim,BLOCK), one of them, what the product wants, its result (CHUNK,BLOCK),
     * and the projections (BLOCK,n) of both sets */
    float *work;
    size_t work_floats, packed_floats, scratch_floats;
    double squared[PROJECTIONS]; /* W2^2 */
} job;

/* A linear layer is a 1x1 convolution. */
static ath_conv_shape product_shape(int dim, int n) {
    return (ath_conv_shape){.n = n, .h = 1, .w = 1, .c_in = dim, .c_out = BLOCK, .kernel = 1, .stride = 1};
}

/* Directions theta (dim,BLOCK): normal numbers divided by their length. */
static void draw_directions(const job *j, int part, float *one, float *theta) {
    for (int k = 0; k < BLOCK; k++) {
        ath_rng_normal(j->rng, ATH_S_SCORE, (uint64_t)(part * BLOCK + k), one, (size_t)j->dim);
        double squares = 0;
        for (int i = 0; i < j->dim; i++) squares += (double)one[i] * (double)one[i];
        const double scale = squares > 0 ? 1 / sqrt(squares) : 0;
        for (int i = 0; i < j->dim; i++) theta[i * BLOCK + k] = (float)(one[i] * scale);
    }
}

static int compare(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Sorted projections (BLOCK,n) of a set. */
static void project(const job *j, const ath_image_set *set, const float *packed, float *product, float *scratch,
                    float *out) {
    for (int i = 0; i < set->n; i += CHUNK) {
        const int n = set->n - i < CHUNK ? set->n - i : CHUNK;
        const ath_conv_shape shape = product_shape(j->dim, n);
        j->kernels->conv_forward(&shape, set->x + (size_t)i * (size_t)j->dim, packed, (ath_conv_add){0}, ath_whole,
                                 product, scratch);
        for (int k = 0; k < BLOCK; k++)
            for (int m = 0; m < n; m++) out[(size_t)k * (size_t)set->n + (size_t)(i + m)] = product[m * BLOCK + k];
    }
    for (int k = 0; k < BLOCK; k++) qsort(out + (size_t)k * (size_t)set->n, (size_t)set->n, sizeof *out, compare);
}

/* W2^2 of n and m sorted numbers. With n m units of mass, each of the n has m of them and each of the m has n; the
 * smallest are moved onto each other first. */
static double wasserstein2(const float *p, int n, const float *q, int m) {
    double sum = 0;
    for (int i = 0, k = 0, left_p = m, left_q = n; i < n;) {
        const int moved = left_p < left_q ? left_p : left_q;
        const double d = (double)p[i] - (double)q[k];
        sum += moved * d * d;
        if ((left_p -= moved) == 0) left_p = m, i++;
        if ((left_q -= moved) == 0) left_q = n, k++;
    }
    return sum / ((double)n * m);
}

static void work(void *self, int worker) {
    job *j = self;
    const size_t dim = (size_t)j->dim;
    float *theta = j->work + (size_t)worker * j->work_floats, *one = theta + dim * BLOCK, *packed = one + dim,
          *scratch = packed + j->packed_floats, *product = scratch + j->scratch_floats, *p = product + CHUNK * BLOCK,
          *q = p + (size_t)j->set[0]->n * BLOCK;
    const ath_conv_shape shape = product_shape(j->dim, CHUNK);
    for (int part; (part = atomic_fetch_add(&j->next, 1)) < PARTS;) {
        draw_directions(j, part, one, theta);
        const float *weights = theta;
        if (j->packed_floats) {
            j->kernels->conv_pack(&shape, ATH_CONV_FORWARD, theta, packed);
            weights = packed;
        }
        project(j, j->set[0], weights, product, scratch, p);
        project(j, j->set[1], weights, product, scratch, q);
        for (int k = 0; k < BLOCK; k++)
            j->squared[part * BLOCK + k] = wasserstein2(p + (size_t)k * (size_t)j->set[0]->n, j->set[0]->n,
                                                        q + (size_t)k * (size_t)j->set[1]->n, j->set[1]->n);
    }
}

/* Mean and its standard error over the projections, of the square; that of the root follows to first order. */
static void summarize(const double *squared, double *value, double *deviation) {
    double mean = 0, variance = 0;
    for (int k = 0; k < PROJECTIONS; k++) mean += squared[k] / PROJECTIONS;
    for (int k = 0; k < PROJECTIONS; k++) variance += (squared[k] - mean) * (squared[k] - mean) / (PROJECTIONS - 1);
    *value = sqrt(mean);
    *deviation = mean > 0 ? sqrt(variance / PROJECTIONS) / (2 * *value) : 0;
}

static ath_status compute(const ath_image_set *a, const ath_image_set *b, ath_rng rng, ath_pool *pool, double *value,
                          double *deviation, ath_err *err) {
    job j = {.set = {a, b}, .dim = a->h * a->w * a->c, .rng = rng, .kernels = ath_kernels_best()};
    const ath_conv_shape shape = product_shape(j.dim, CHUNK);
    j.packed_floats = j.kernels->conv_pack_floats(&shape, ATH_CONV_FORWARD);
    j.scratch_floats = j.kernels->conv_scratch_floats(&shape, ATH_CONV_FORWARD);
    j.work_floats = (size_t)j.dim * (BLOCK + 1) + j.packed_floats + j.scratch_floats +
                    ((size_t)CHUNK + (size_t)a->n + (size_t)b->n) * BLOCK;
    j.work = malloc((size_t)ath_pool_threads(pool) * j.work_floats * sizeof *j.work);
    if (!j.work) return ath_fail(err, ATH_E_MEM, "swd: out of memory for %d projections at once", BLOCK);
    ath_pool_run(pool, work, &j);
    free(j.work);
    summarize(j.squared, value, deviation);
    return ATH_OK;
}

const ath_score ath_score_swd = {
    .name = "swd",
    .title = "sliced Wasserstein distance",
    .summary = "sliced Wasserstein distance on pixels, 512 projections (Bonneel et al. 2015)",
    .lower_is_better = true,
    .least_images = 1,
    .compute = compute,
};
