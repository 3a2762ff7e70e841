/* The table of scores, and what holds for all of them: see score.h. */
#include "eval/score.h"
#include <math.h>
#include <string.h>

extern const ath_score ath_score_swd;

static const ath_score *const scores[] = {&ath_score_swd};

const ath_score *const *ath_score_all(int *n) {
    *n = (int)(sizeof scores / sizeof scores[0]);
    return scores;
}

const ath_score *ath_score_find(const char *name) {
    int n;
    const ath_score *const *all = ath_score_all(&n);
    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    return NULL;
}

static ath_status check_set(const ath_score *s, const ath_image_set *set, const char *which, ath_err *err) {
    if (set->h < 1 || set->w < 1 || set->c < 1)
        return ath_fail(err, ATH_E_ARG, "%s: the %s set has images of %d x %d x %d (h,w,c)", s->name, which, set->h,
                        set->w, set->c);
    if (set->n < s->least_images)
        return ath_fail(err, ATH_E_ARG, "%s: the %s set has %d images, expected at least %d", s->name, which, set->n,
                        s->least_images);
    const size_t dim = (size_t)set->h * (size_t)set->w * (size_t)set->c;
    for (int i = 0; i < set->n; i++)
        for (size_t k = 0; k < dim; k++)
            if (!isfinite(set->x[(size_t)i * dim + k]))
                return ath_fail(err, ATH_E_ARG, "%s: image %d of the %s set holds a value that is not finite", s->name,
                                i, which);
    return ATH_OK;
}

ath_status ath_score_compute(const ath_score *s, const ath_image_set *a, const ath_image_set *b, ath_rng rng,
                             int threads, double *value, double *deviation, ath_err *err) {
    ATH_TRY(check_set(s, a, "first", err));
    ATH_TRY(check_set(s, b, "second", err));
    if (a->h != b->h || a->w != b->w || a->c != b->c)
        return ath_fail(err, ATH_E_SHAPE, "%s: images of %d x %d x %d and of %d x %d x %d (h,w,c) cannot be compared",
                        s->name, a->h, a->w, a->c, b->h, b->w, b->c);
    ath_pool *pool;
    ATH_TRY(ath_pool_create(&pool, threads, err));
    const ath_status status = s->compute(a, b, rng, pool, value, deviation, err);
    ath_pool_destroy(pool);
    return status;
}
