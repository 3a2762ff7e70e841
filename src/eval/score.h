/* Scores: how far one set of images is from another. One file a score, listed in score.c. */
#ifndef ATH_EVAL_SCORE_H
#define ATH_EVAL_SCORE_H
#include <stdbool.h>
#include "base/pool.h"
#include "base/rng.h"
#include "base/status.h"

/* n images (n,h,w,c) in [-1,1], borrowed. */
typedef struct ath_image_set {
    const float *x;
    int n, h, w, c;
} ath_image_set;

typedef struct ath_score {
    const char *name;    /* as a column's head and an option: "swd" */
    const char *title;   /* as an axis' name: "sliced Wasserstein distance" */
    const char *summary; /* one line for lists, with the paper */
    bool lower_is_better;
    int least_images; /* of each set */
    /* *value: the score of a (what was drawn) against b (what it should be like). *deviation: the standard error that comes
     * from the score's own random numbers, 0 for a score that draws none; what would come of drawing
     * other images is not in it. The sets are those that ath_score_compute lets pass. The same bits for any number of
     * threads. */
    ath_status (*compute)(const ath_image_set *a, const ath_image_set *b, ath_rng rng, ath_pool *pool, double *value,
                          double *deviation, ath_err *err);
} ath_score;

/* All of them, by name. */
const ath_score *const *ath_score_all(int *n);
const ath_score *ath_score_find(const char *name); /* NULL if there is none */

/* Scores a against b on `threads` threads (0: as many as there are cores). Fails with ATH_E_SHAPE for images of
 * different sizes, ATH_E_ARG for too few images or one that is not finite, ATH_E_MEM. */
ath_status ath_score_compute(const ath_score *s, const ath_image_set *a, const ath_image_set *b, ath_rng rng,
                             int threads, double *value, double *deviation, ath_err *err);

#endif
