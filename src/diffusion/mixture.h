/* Data whose denoiser is known exactly: x0 ~ sum_k w_k N(m_k, s_k^2 I). A finite data set is one too, with a part for
 * each image and s = 0. All in double.
 *
 * For x = alpha x0 + sigma eps, in X = x / alpha and tau = sigma / alpha, with V_k = tau^2 + s_k^2:
 *   r_k     = softmax_k(log w_k - dim/2 log V_k - |X - m_k|^2 / (2 V_k))      what x came from
 *   E[x0|x] = sum_k r_k (s_k^2 X + tau^2 m_k) / V_k,   E[eps|x] = sum_k r_k tau (X - m_k) / V_k
 * (Gaussian conditioning; the limits at alpha = 0 and sigma = 0 are taken). Parts with r_k < 1e-18 are left out.
 *
 * Cost of an evaluation of n points: n * parts * dim differences squared, and as many products more where the noise
 * covers all parts; with little noise only the nearest count. Means pass through the cache once for 16 points. Work
 * memory is 12 bytes * parts for each point, of as many points at once as fit 24 MiB (or of 16).
 *
 * What a point gives does not depend on the points beside it, nor on the number of threads. Functions may be called
 * from several threads on one mixture, each with a pool of its own. */
#ifndef ATH_DIFFUSION_MIXTURE_H
#define ATH_DIFFUSION_MIXTURE_H
#include "base/pool.h"
#include "diffusion/sampler.h"

typedef struct ath_mixture {
    size_t parts, dim;
    double *log_weight; /* (parts), of weights that sum to 1, owned                       */
    double *std;        /* (parts), owned                                                 */
    double *mean;       /* (parts, dim), owned; NULL for images                           */
    float *image;       /* (parts, dim) means as floats, owned; NULL where there is `mean` */
    double scale;       /* root mean square of the data's numbers; 1 if all are 0         */
} ath_mixture;

/* weight, std (parts), mean (parts, dim) are copied; weights are normalised. Fails with ATH_E_ARG for weights that are
 * not positive, stds below 0, numbers that are not finite, more than 2^31 parts, and ATH_E_MEM. *out is NULL then. */
ath_status ath_mixture_create(ath_mixture **out, size_t parts, size_t dim, const double *weight, const double *mean,
                              const double *std, ath_err *err);
/* A data set: equal weights, one std. `image` (parts, dim), from malloc, is taken over, freed on failure too. */
ath_status ath_mixture_from_images(ath_mixture **out, size_t parts, size_t dim, float *image, double std, ath_err *err);
void ath_mixture_destroy(ath_mixture *m); /* accepts NULL */

/* Fails with ATH_E_ARG unless alpha and sigma are finite, not below 0 and not both 0. */
ath_status ath_mixture_check_level(ath_level at, ath_err *err);

/* x0 = E[x0|x] and eps = E[eps|x] of n points x (n, dim), point i at level at[i * each]: each = 0, all at one level, or
 * 1, each at its own; t is not read. Either result may be NULL, or be x. Where sigma is 0 they are x / alpha and 0; where
 * alpha is 0 x0 is the data's mean. `pool` may be NULL. Fails with ATH_E_ARG for what is not a level, ATH_E_MEM. Errors
 * of the numbers are about 1e-15 of alpha |m| + |x|, unless x is so far from all data (1e6 sigma) that its nearest part
 * is a matter of rounding. */
ath_status ath_mixture_denoise(const ath_mixture *m, ath_pool *pool, size_t n, const double *x, const ath_level *at,
                               size_t each, double *x0, double *eps, ath_err *err);

/* Where the probability-flow ODE would end at sigma = 0 if r stayed what it is at `at`:
 * sum_k r_k (m_k + s_k / sqrt(V_k) (X - m_k)). Exact for one part; for several when sigma is small beside what
 * keeps them apart. */
ath_status ath_mixture_land(const ath_mixture *m, ath_pool *pool, size_t n, const double *x, const ath_level *at,
                            size_t each, double *x0, ath_err *err);

/* log p(x) (n) of x at level `at`, natural logarithm; its gradient is -eps / sigma. Fails with ATH_E_ARG where there is
 * no density: sigma = 0 and a std of 0. */
ath_status ath_mixture_log_density(const ath_mixture *m, ath_pool *pool, size_t n, const double *x, ath_level at,
                                   double *log_p, ath_err *err);

/* n draws of the data itself, x (n, dim) as floats: draw i depends on the seed and i alone. */
void ath_mixture_sample(const ath_mixture *m, ath_rng rng, size_t n, float *x);

/* A mixture as a sampler's denoiser, of n points a call. */
typedef struct ath_mixture_denoiser {
    const ath_mixture *mixture;
    ath_pool *pool; /* may be NULL */
    size_t n;
    bool clip; /* x0 to [-1,1] */
} ath_mixture_denoiser;
ath_denoiser ath_mixture_denoiser_as(ath_mixture_denoiser *d); /* borrowed */

#endif
