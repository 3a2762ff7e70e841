/* Counter-based random numbers: Philox4x32-10 from Random123 (Salmon et al. 2011,
 * "Parallel random numbers: as easy as 1, 2, 3").
 *
 * A draw is a pure function of (seed, stream, index): there is no state to save,
 * the numbers do not depend on the number of threads, and image k of a run gets
 * the same noise whatever batch it was drawn in. All functions are thread-safe. */
#ifndef ATH_BASE_RNG_H
#define ATH_BASE_RNG_H
#include <stddef.h>
#include <stdint.h>

typedef struct ath_rng {
    uint64_t seed;
} ath_rng;

/* Who is drawing. Two users never share a stream. */
typedef enum ath_stream {
    ATH_S_INIT,     /* weights; index = parameter                                */
    ATH_S_SHUFFLE,  /* order of the data; index = epoch                          */
    ATH_S_TIMESTEP, /* training timesteps; index = image of the run              */
    ATH_S_NOISE,    /* training noise eps; index = image of the run              */
    ATH_S_AUGMENT,  /* flips, label dropout; index = image of the run            */
    ATH_S_DROPOUT,  /* dropout masks; index = image of the run and op            */
    ATH_S_SAMPLER,  /* a sampler's noise; index = image and draw                 */
    ATH_S_START,    /* a sampler's starting noise; index = image                 */
    ATH_S_PATH,     /* a sampler's Brownian path; index = image and place in it  */
    ATH_S_DATA,     /* draws of an exact model's data; index = draw              */
    ATH_S_SCORE,    /* a score's own numbers; index = projection                 */
    ATH_S_TEST
} ath_stream;

/* Fills out[0..n) with N(0,1) (Box-Muller). `index` names the item. */
void ath_rng_normal(ath_rng rng, ath_stream who, uint64_t index, float *out, size_t n);
void ath_rng_normal_f64(ath_rng rng, ath_stream who, uint64_t index, double *out, size_t n);
/* What both are made with: z[2i], z[2i+1] = sqrt(-2 log u1) (cos, sin)(2 pi u2), u1 = (a[i] + 1)/2^32, u2 = b[i]/2^32, for i < n, to a
 * relative error below 2e-13. */
void ath_box_muller(const uint32_t *a, const uint32_t *b, size_t n, double *z);
/* Fills out[0..n) with U[0,1): multiples of 2^-24. */
void ath_rng_uniform(ath_rng rng, ath_stream who, uint64_t index, float *out, size_t n);
/* One draw from U[0,1), a multiple of 2^-53. */
double ath_rng_uniform1(ath_rng rng, ath_stream who, uint64_t index);

/* Position `i` of a pseudo-random permutation of 0..n-1 (a Feistel
 * network with cycle walking): a shuffled pass over a data set that needs no
 * memory. `index` names the permutation (the epoch). Requires i < n. */
uint64_t ath_rng_permute(ath_rng rng, ath_stream who, uint64_t index, uint64_t i, uint64_t n);

#endif
