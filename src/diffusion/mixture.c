/* Exact denoisers of Gaussian mixtures: see mixture.h.
 *
 * An evaluation has three passes over a chunk of points. Distances to all parts, by blocks of points and blocks of parts;
 * the softmax of each point, which keeps a list of the parts that count; and the weighted sum of their means, by blocks
 * of points and slices of columns. Each number is made by one task in a fixed order, so that the bits do not depend on
 * who does which task. */
#include "diffusion/mixture.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/kernels.h"

enum {
    POINT_BLOCK = 16,        /* points that share a block of parts in cache                    */
    BLOCK_NUMBERS = 1 << 14, /* of means in a block of parts: 128 KiB of doubles, a part of L2 */
    PART_TILE = 8,
    SLICE = 256, /* columns of a weighted sum: 16 points of them are 32 KiB        */
    SLICE_PARTS = BLOCK_NUMBERS / SLICE,
    CHUNK_NUMBERS = 1 << 21 /* distances in memory at once                                    */
};
static const size_t worth_threads = 1 << 18; /* differences: below, waking threads takes longer than the work */
static const double negligible = -41.5;      /* log(1e-18) */
/* Beyond these ratios of noise to signal the limits are exact in double, and squares would overflow. */
static const double clean_tau = 1e-100, noise_tau = 1e100;

/* ---- making them ---- */

void ath_mixture_destroy(ath_mixture *m) {
    if (!m) return;
    free(m->log_weight);
    free(m->std);
    free(m->mean);
    free(m->image);
    free(m);
}

static ath_status check_size(size_t parts, size_t dim, ath_err *err) {
    if (parts < 1 || parts > INT32_MAX || dim < 1 || dim > INT32_MAX || parts > SIZE_MAX / sizeof(double) / dim)
        return ath_fail(err, ATH_E_ARG, "mixture: %zu parts of %zu numbers, expected 1 to 2^31 of each", parts, dim);
    return ATH_OK;
}

static ath_mixture *allocate(size_t parts, size_t dim) {
    ath_mixture *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    *m = (ath_mixture){.parts = parts,
                       .dim = dim,
                       .log_weight = malloc(parts * sizeof *m->log_weight),
                       .std = malloc(parts * sizeof *m->std)};
    if (m->log_weight && m->std) return m;
    ath_mixture_destroy(m);
    return NULL;
}

static ath_rows means_of(const ath_mixture *m) { return (ath_rows){m->mean, m->image, m->dim}; }

/* E[x_d^2] = sum_k w_k (|m_k|^2 / dim + s_k^2): also finds what is not finite. */
static ath_status measure_scale(ath_mixture *m, ath_err *err) {
    const double *zero = NULL;
    double total = 0, *origin = calloc(m->dim, sizeof *origin);
    if (!(zero = origin)) return ath_fail(err, ATH_E_MEM, "mixture: out of memory for %zu numbers", m->dim);
    const ath_kernels *kernels = ath_kernels_best();
    for (size_t k = 0; k < m->parts; k++) {
        double d2;
        kernels->squared_distances(1, zero, means_of(m), k, 1, &d2, 1);
        if (!isfinite(d2)) {
            free(origin);
            return ath_fail(err, ATH_E_ARG, "mixture: mean %zu has a number that is not finite, or beyond 1e150", k);
        }
        total += exp(m->log_weight[k]) * (d2 / (double)m->dim + m->std[k] * m->std[k]);
    }
    free(origin);
    m->scale = total > 0 ? sqrt(total) : 1;
    return ATH_OK;
}

static ath_status fill(ath_mixture *m, const double *weight, const double *mean, const double *std, ath_err *err) {
    double sum = 0;
    for (size_t k = 0; k < m->parts; k++) {
        if (!(weight[k] > 0 && isfinite(weight[k])))
            return ath_fail(err, ATH_E_ARG, "mixture: weight %zu is %g, expected a positive number", k, weight[k]);
        if (!(std[k] >= 0 && std[k] < 1e100))
            return ath_fail(err, ATH_E_ARG, "mixture: std %zu is %g, expected 0 or a positive number", k, std[k]);
        sum += weight[k];
    }
    if (!isfinite(sum)) return ath_fail(err, ATH_E_ARG, "mixture: the weights' sum is not finite");
    for (size_t k = 0; k < m->parts; k++) m->log_weight[k] = log(weight[k] / sum);
    memcpy(m->std, std, m->parts * sizeof *std);
    m->mean = malloc(m->parts * m->dim * sizeof *m->mean);
    if (!m->mean) return ath_fail(err, ATH_E_MEM, "mixture: out of memory for %zu means of %zu", m->parts, m->dim);
    memcpy(m->mean, mean, m->parts * m->dim * sizeof *mean);
    return measure_scale(m, err);
}

static ath_status finish(ath_mixture **out, ath_mixture *m, ath_status status) {
    if (status == ATH_OK)
        *out = m;
    else
        ath_mixture_destroy(m);
    return status;
}

ath_status ath_mixture_create(ath_mixture **out, size_t parts, size_t dim, const double *weight, const double *mean,
                              const double *std, ath_err *err) {
    *out = NULL;
    ATH_TRY(check_size(parts, dim, err));
    ath_mixture *m = allocate(parts, dim);
    if (!m) return ath_fail(err, ATH_E_MEM, "mixture: out of memory for %zu parts", parts);
    return finish(out, m, fill(m, weight, mean, std, err));
}

ath_status ath_mixture_from_images(ath_mixture **out, size_t parts, size_t dim, float *image, double std,
                                   ath_err *err) {
    *out = NULL;
    ath_mixture *m = NULL;
    ath_status status = check_size(parts, dim, err);
    if (status == ATH_OK && !(std >= 0 && std < 1e100))
        status = ath_fail(err, ATH_E_ARG, "mixture: std is %g, expected 0 or a positive number", std);
    if (status == ATH_OK && !(m = allocate(parts, dim)))
        status = ath_fail(err, ATH_E_MEM, "mixture: out of memory for %zu parts", parts);
    if (status != ATH_OK) {
        free(image);
        return status;
    }
    m->image = image;
    for (size_t k = 0; k < parts; k++) {
        m->log_weight[k] = -log((double)parts);
        m->std[k] = std;
    }
    return finish(out, m, measure_scale(m, err));
}

/* ---- evaluating them ---- */

/* What a weighted sum over the parts is for: sum_k r_k (m_k + keep_k (X - m_k)). */
typedef enum goal {
    MEAN_IMAGE, /* keep = s^2 / V    */
    LANDING,    /* keep = s / sqrt V */
} goal;

typedef struct point {
    double alpha, sigma, tau;
    double kept, moved; /* sum_k r_k keep_k, sum_k r_k (1 - keep_k) */
    size_t nearest;     /* the part with the largest r */
    size_t count;       /* parts that are not negligible */
    double log_sum;     /* log sum_k w_k V_k^{-dim/2} exp(-d2_k / (2 V_k)) */
} point;

typedef struct evaluation {
    const ath_mixture *m;
    const ath_kernels *kernels;
    ath_pool *pool;
    goal goal;
    size_t n;
    const double *x; /* (n, dim) */
    double *x0, *eps, *log_p;
    const ath_level *at;
    size_t each; /* point i is at level at[i * each] */
    /* of the chunk, of up to `room` points */
    size_t first, some, room;
    point *point;    /* (some) */
    double *scaled;  /* X (some, dim) */
    double *weight;  /* (some, parts): squared distances, then r_k (1 - keep_k) of those that count */
    uint32_t *index; /* (some, parts): and which they are */
} evaluation;

static size_t blocks(size_t n, size_t size) { return (n + size - 1) / size; }

/* Runs the tasks 0 .. n-1, in the threads when there is enough to do. */
static void each_task(evaluation *e, size_t n, void (*task)(void *self, int task)) {
    if (e->pool && e->some * e->m->parts * e->m->dim >= worth_threads)
        ath_pool_each(e->pool, (int)n, task, e);
    else
        for (size_t i = 0; i < n; i++) task(e, (int)i);
}

static bool is_noise(const point *p) { return p->tau > noise_tau; }
static bool is_clean(const point *p) { return p->tau < clean_tau; }

static void scale_points(evaluation *e) {
    const size_t dim = e->m->dim;
    for (size_t i = 0; i < e->some; i++) {
        const ath_level at = e->at[(e->first + i) * e->each];
        e->point[i] = (point){.alpha = at.alpha, .sigma = at.sigma, .tau = at.sigma / at.alpha};
        const double *x = e->x + (e->first + i) * dim;
        for (size_t d = 0; d < dim; d++) e->scaled[i * dim + d] = is_noise(&e->point[i]) ? 0 : x[d] / at.alpha;
    }
}

/* A multiple of what the kernels take at once. */
static size_t parts_of_block(const evaluation *e) {
    const size_t parts = BLOCK_NUMBERS / e->m->dim / PART_TILE * PART_TILE;
    return parts > 0 ? parts : PART_TILE;
}

static void distances_task(void *self, int task) {
    const evaluation *e = self;
    const size_t size = parts_of_block(e), n_blocks = blocks(e->m->parts, size);
    const size_t i = (size_t)task / n_blocks * POINT_BLOCK, k = (size_t)task % n_blocks * size;
    const size_t points = e->some - i < POINT_BLOCK ? e->some - i : POINT_BLOCK;
    const size_t parts = e->m->parts - k < size ? e->m->parts - k : size;
    e->kernels->squared_distances(points, e->scaled + i * e->m->dim, means_of(e->m), k, parts,
                                  e->weight + i * e->m->parts + k, e->m->parts);
}

/* log r_k up to a constant, in place of the squared distances; the largest decides what is negligible. */
static double log_responsibilities(const ath_mixture *m, point *p, double *d2) {
    const double half = 0.5 * (double)m->dim, tau2 = p->tau * p->tau;
    double most = -INFINITY, s = -1, log_volume = 0, factor = 0;
    p->nearest = 0;
    for (size_t k = 0; k < m->parts; k++) {
        if (m->std[k] != s) { /* data sets have one std: its logarithm is taken once */
            s = m->std[k];
            log_volume = half * log(tau2 + s * s);
            factor = -0.5 / (tau2 + s * s);
        }
        d2[k] = is_noise(p) ? m->log_weight[k] : m->log_weight[k] - log_volume + factor * d2[k];
        if (d2[k] > most) {
            most = d2[k];
            p->nearest = k;
        }
    }
    return most;
}

static void softmax_of(const evaluation *e, point *p, double *weight, uint32_t *index) {
    const ath_mixture *m = e->m;
    const double most = log_responsibilities(m, p, weight), tau2 = p->tau * p->tau;
    double sum = 0;
    p->count = 0;
    p->kept = p->moved = 0;
    for (size_t k = 0; k < m->parts; k++) {
        if (weight[k] - most < negligible) continue;
        const double r = exp(weight[k] - most), s = m->std[k], V = tau2 + s * s;
        /* 1 - keep, without its cancellation */
        const double keep = is_noise(p) ? 0 : e->goal == MEAN_IMAGE ? s * s / V : s / sqrt(V);
        const double move = is_noise(p) ? 1 : e->goal == MEAN_IMAGE ? tau2 / V : tau2 / (V + s * sqrt(V));
        sum += r;
        p->kept += r * keep;
        p->moved += r * move;
        index[p->count] = (uint32_t)k;
        weight[p->count++] = r * move; /* at or before k: what is overwritten has been read */
    }
    p->log_sum = most + log(sum);
    p->kept /= sum;
    p->moved /= sum;
    for (size_t j = 0; j < p->count; j++) weight[j] /= sum;
}

static void softmax_task(void *self, int task) {
    const evaluation *e = self;
    const size_t first = (size_t)task * POINT_BLOCK;
    for (size_t i = first; i < e->some && i < first + POINT_BLOCK; i++)
        if (!is_clean(&e->point[i]) || e->log_p)
            softmax_of(e, &e->point[i], e->weight + i * e->m->parts, e->index + i * e->m->parts);
}

/* With m* the nearest mean and H = sum_k r_k (1 - keep_k) (m_k - m*):
 *   the sum is kept X + moved m* + H, and tau eps is moved (X - m*) - H,
 * neither of which cancels: not at small tau, where X - m* is exact, nor at large tau, where X is not in x0. */
static void write_columns(const evaluation *e, size_t i, size_t from, size_t len, const double *H) {
    const ath_mixture *m = e->m;
    const point *p = &e->point[i];
    const double *X = e->scaled + i * m->dim + from;
    const size_t at = (e->first + i) * m->dim + from, mean = p->nearest * m->dim + from;
    for (size_t d = 0; d < len; d++) {
        const double nearest = m->mean ? m->mean[mean + d] : (double)m->image[mean + d], x = e->x[at + d];
        double image = X[d], noise = 0;
        if (!is_clean(p)) {
            image = p->kept * X[d] + p->moved * nearest + H[d];
            noise = is_noise(p) ? (x - p->alpha * image) / p->sigma : (p->moved * (X[d] - nearest) - H[d]) / p->tau;
        }
        if (e->x0) e->x0[at + d] = image;
        if (e->eps) e->eps[at + d] = noise;
    }
}

static void sums_task(void *self, int task) {
    const evaluation *e = self;
    const ath_mixture *m = e->m;
    const size_t slices = blocks(m->dim, SLICE), from = (size_t)task % slices * SLICE;
    const size_t first = (size_t)task / slices * POINT_BLOCK;
    const size_t points = e->some - first < POINT_BLOCK ? e->some - first : POINT_BLOCK;
    const size_t len = m->dim - from < SLICE ? m->dim - from : SLICE;
    double H[POINT_BLOCK][SLICE] = {{0}};
    size_t done[POINT_BLOCK] = {0};
    for (size_t end = SLICE_PARTS; end < m->parts + SLICE_PARTS; end += SLICE_PARTS)
        for (size_t i = 0; i < points; i++) {
            const point *p = &e->point[first + i];
            const size_t list = (first + i) * m->parts, begin = done[i];
            while (done[i] < p->count && e->index[list + done[i]] < end) done[i]++;
            if (begin < done[i])
                e->kernels->add_differences(means_of(m), from, len, done[i] - begin, e->weight + list + begin,
                                            e->index + list + begin, p->nearest, H[i]);
        }
    for (size_t i = 0; i < points; i++) write_columns(e, first + i, from, len, H[i]);
}

/* log of the density of x: X's, by alpha^-dim. */
static void write_log_density(const evaluation *e, size_t i) {
    static const double log_2pi = 1.8378770664093454836;
    const point *p = &e->point[i];
    const double dim = (double)e->m->dim;
    double value = p->log_sum - dim * (0.5 * log_2pi + log(p->alpha));
    if (is_noise(p)) {
        const double *x = e->x + (e->first + i) * e->m->dim;
        double norm2 = 0;
        for (size_t d = 0; d < e->m->dim; d++) norm2 += x[d] / p->sigma * (x[d] / p->sigma);
        value = -dim * (0.5 * log_2pi + log(p->sigma)) - 0.5 * norm2;
    }
    e->log_p[e->first + i] = value;
}

static void evaluate_chunk(evaluation *e) {
    const size_t point_blocks = blocks(e->some, POINT_BLOCK);
    scale_points(e);
    each_task(e, point_blocks * blocks(e->m->parts, parts_of_block(e)), distances_task);
    each_task(e, point_blocks, softmax_task);
    if (e->x0 || e->eps) each_task(e, point_blocks * blocks(e->m->dim, SLICE), sums_task);
    for (size_t i = 0; e->log_p && i < e->some; i++) write_log_density(e, i);
}

ath_status ath_mixture_check_level(ath_level at, ath_err *err) {
    if (!(at.alpha >= 0 && at.sigma >= 0 && at.alpha + at.sigma > 0 && isfinite(at.alpha + at.sigma)))
        return ath_fail(err, ATH_E_ARG, "mixture: alpha %g and sigma %g are not a noise level", at.alpha, at.sigma);
    return ATH_OK;
}

static ath_status evaluate(evaluation *e, ath_err *err) {
    const ath_mixture *m = e->m;
    for (size_t i = 0; i < (e->each ? e->n : 1); i++) ATH_TRY(ath_mixture_check_level(e->at[i], err));
    e->kernels = ath_kernels_best();
    e->room = CHUNK_NUMBERS / m->parts / POINT_BLOCK * POINT_BLOCK;
    if (e->room < POINT_BLOCK) e->room = POINT_BLOCK;
    if (e->room > e->n) e->room = e->n;
    const size_t numbers = e->room * m->parts + 1;
    e->point = malloc((e->room + 1) * sizeof *e->point);
    e->scaled = malloc((e->room * m->dim + 1) * sizeof *e->scaled);
    e->weight = malloc(numbers * sizeof *e->weight);
    e->index = malloc(numbers * sizeof *e->index);
    ath_status status = ATH_OK;
    if (!e->point || !e->scaled || !e->weight || !e->index)
        status = ath_fail(err, ATH_E_MEM, "mixture: out of memory for %zu points and %zu parts", e->room, m->parts);
    for (e->first = 0; status == ATH_OK && e->first < e->n; e->first += e->room) {
        e->some = e->n - e->first < e->room ? e->n - e->first : e->room;
        evaluate_chunk(e);
    }
    free(e->point);
    free(e->scaled);
    free(e->weight);
    free(e->index);
    return status;
}

ath_status ath_mixture_denoise(const ath_mixture *m, ath_pool *pool, size_t n, const double *x, const ath_level *at,
                               size_t each, double *x0, double *eps, ath_err *err) {
    evaluation e = {.m = m, .pool = pool, .n = n, .x = x, .x0 = x0, .eps = eps, .at = at, .each = each};
    return evaluate(&e, err);
}

ath_status ath_mixture_land(const ath_mixture *m, ath_pool *pool, size_t n, const double *x, const ath_level *at,
                            size_t each, double *x0, ath_err *err) {
    evaluation e = {.m = m, .pool = pool, .goal = LANDING, .n = n, .x = x, .x0 = x0, .at = at, .each = each};
    return evaluate(&e, err);
}

ath_status ath_mixture_log_density(const ath_mixture *m, ath_pool *pool, size_t n, const double *x, ath_level at,
                                   double *log_p, ath_err *err) {
    for (size_t k = 0; at.sigma < clean_tau * at.alpha && k < m->parts; k++)
        if (m->std[k] == 0)
            return ath_fail(err, ATH_E_ARG, "mixture: no density at sigma = 0, where part %zu is a point", k);
    evaluation e = {.m = m, .pool = pool, .n = n, .x = x, .log_p = log_p, .at = &at};
    return evaluate(&e, err);
}

void ath_mixture_sample(const ath_mixture *m, ath_rng rng, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) {
        double left = ath_rng_uniform1(rng, ATH_S_DATA, 2 * i);
        size_t k = 0;
        while (k + 1 < m->parts && (left -= exp(m->log_weight[k])) >= 0) k++;
        ath_rng_normal(rng, ATH_S_DATA, 2 * i + 1, x + i * m->dim, m->dim);
        for (size_t d = 0; d < m->dim; d++) {
            const double mean = m->mean ? m->mean[k * m->dim + d] : (double)m->image[k * m->dim + d];
            x[i * m->dim + d] = (float)(mean + m->std[k] * (double)x[i * m->dim + d]);
        }
    }
}

static ath_status denoise(void *self, const double *x, const ath_level *at, size_t each, double *x0, ath_err *err) {
    const ath_mixture_denoiser *d = self;
    ATH_TRY(ath_mixture_denoise(d->mixture, d->pool, d->n, x, at, each, x0, NULL, err));
    const size_t len = d->n * d->mixture->dim;
    if (d->clip)
        for (size_t i = 0; i < len; i++) x0[i] = x0[i] > 1 ? 1 : x0[i] < -1 ? -1 : x0[i];
    return ATH_OK;
}

ath_denoiser ath_mixture_denoiser_as(ath_mixture_denoiser *d) { return (ath_denoiser){d, denoise}; }
