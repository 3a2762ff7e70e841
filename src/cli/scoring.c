/* Scores of drawn images: see scoring.h. */
#include "cli/scoring.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void cli_scoring_free(cli_scoring *s) { cli_image_set_free(&s->target); }

ath_status cli_image_set_read(ath_image_set *s, const char *path, const cli_data_options *from, int image_size,
                              int channels, int count, ath_err *err) {
    ath_dataset d;
    const ath_dataset_options how = {.image_size = image_size, .channels = channels};
    ATH_TRY(cli_dataset_open(&d, path, how, from, err));
    const size_t dim = (size_t)d.h * (size_t)d.w * (size_t)d.c;
    const int n = d.n < count ? d.n : count;
    float *x = malloc((size_t)n * dim * sizeof *x);
    if (x) {
        for (int i = 0; i < n; i++) ath_dataset_image(&d, (int)((int64_t)i * d.n / n), false, x + (size_t)i * dim);
        *s = (ath_image_set){x, n, d.h, d.w, d.c};
    }
    ath_dataset_close(&d);
    return x ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
}

void cli_image_set_free(ath_image_set *s) {
    free((float *)s->x);
    *s = (ath_image_set){0};
}

/* x0 ~ sum_k w_k N(m_k, s_k^2 I) */
static ath_status from_mixture(cli_scoring *s, const ath_source *source, int n, ath_rng rng, ath_err *err) {
    const ath_shape shape = source->image;
    float *x = malloc((size_t)n * source->dim * sizeof *x);
    if (!x) return ath_fail(err, ATH_E_MEM, "out of memory for %d draws", n);
    ath_mixture_sample(source->mixture, rng, (size_t)n, x);
    s->target = (ath_image_set){x, n, shape.h, shape.w, shape.c};
    return ATH_OK;
}

/* What the score is worth: that of one half of the target, every second image, against the other. */
static ath_status between_halves(cli_scoring *s, ath_err *err) {
    const ath_image_set *t = &s->target;
    const size_t dim = (size_t)t->h * (size_t)t->w * (size_t)t->c;
    const int n = t->n / 2;
    double deviation;
    s->floor = (double)NAN;
    if (n < s->score->least_images) return ATH_OK;
    float *x = malloc(2 * (size_t)n * dim * sizeof *x);
    if (!x) return ath_fail(err, ATH_E_MEM, "out of memory for %d images", t->n);
    for (int i = 0; i < 2 * n; i++)
        memcpy(x + (size_t)(i % 2 * n + i / 2) * dim, t->x + (size_t)i * dim, dim * sizeof *x);
    const ath_image_set a = {x, n, t->h, t->w, t->c}, b = {x + (size_t)n * dim, n, t->h, t->w, t->c};
    const ath_status status = ath_score_compute(s->score, &a, &b, s->rng, s->threads, &s->floor, &deviation, err);
    free(x);
    return status;
}

ath_status cli_scoring_begin(cli_scoring *s, const ath_source *source, const char *data, const cli_data_options *from,
                             int count, ath_rng rng, int threads, ath_err *err) {
    *s = (cli_scoring){.rng = rng, .threads = threads};
    if (!*data && !source->exact) return ATH_OK;
    s->score = ath_score_find("swd");
    const int most = count > 2048 ? count : 2048;
    ATH_TRY(*data ? cli_image_set_read(&s->target, data, from, source->image.h, source->image.c, most, err)
                  : from_mixture(s, source, most, rng, err));
    return between_halves(s, err);
}

ath_status cli_scoring_of(const cli_scoring *s, const float *images, int n, double *value, ath_err *err) {
    double deviation;
    *value = (double)NAN;
    if (!s->score) return ATH_OK;
    const ath_image_set drawn = {images, n, s->target.h, s->target.w, s->target.c};
    for (size_t i = 0; i < (size_t)n * (size_t)drawn.h * (size_t)drawn.w * (size_t)drawn.c; i++)
        if (!isfinite(images[i])) return ATH_OK; /* a sampler may diverge: that is an answer too */
    return ath_score_compute(s->score, &drawn, &s->target, s->rng, s->threads, value, &deviation, err);
}
