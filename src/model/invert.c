/* DDIM backwards: see invert.h. */
#include "model/invert.h"
#include <stdlib.h>

enum { CHUNK = 256 };

typedef struct inversion {
    const ath_source *source;
    ath_generate_job *job;
    int iterations;
    double *x, *x0; /* a chunk's state at the level found last, and its prediction */
    ath_err *err;
} inversion;

/* next = x_s of DDIM's step from s to t, if x0 is what the denoiser says at s:
 *     x_t = alpha_t x0 + (sigma_t/sigma_s) (x_s - alpha_s x0).
 * Onto the clean level x_t = x0 whatever x_s: what x0 misses of the image is added to the guess. */
static void step_back(const inversion *v, size_t len, const float *image, ath_level s, ath_level t, double *next) {
    const double *x = v->x, *x0 = v->x0;
    for (size_t k = 0; k < len; k++)
        next[k] = t.sigma > 0 ? s.sigma / t.sigma * (x[k] - t.alpha * x0[k]) + s.alpha * x0[k]
                              : next[k] + s.alpha * ((double)image[k] - x0[k]);
}

static ath_status invert_chunk(inversion *v, ath_denoiser net, int first, int n, const float *image, double *next) {
    ath_generate_job *job = v->job;
    const size_t len = (size_t)n * v->source->dim;
    job->nfe = 0;
    for (int i = job->n_steps - 1; i >= 0; i--) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        const bool clean = t.sigma == 0;
        for (size_t k = 0; k < len; k++) v->x[k] = clean ? (double)image[k] : next[k];
        if (clean)
            for (size_t k = 0; k < len; k++) next[k] = s.alpha * (double)image[k];
        for (int k = clean ? 1 : 0; k <= v->iterations; k++) {
            ATH_TRY(net.x0(net.self, next, k ? &s : &t, 0, v->x0, v->err));
            step_back(v, len, image, s, t, next);
            job->nfe++;
        }
        const int step = job->n_steps - 1 - i, total = job->n_steps;
        if (job->on_step) ATH_TRY(job->on_step(job->user, step + 1, total, first, n, step, next, v->x0));
    }
    return ATH_OK;
}

ath_status ath_invert(const ath_source *s, ath_generate_job *job, int iterations, const float *images, double *state,
                      ath_err *err) {
    if (job->level[job->n_steps].sigma != 0)
        return ath_fail(err, ATH_E_ARG, "the last level is not the image: expected sigma 0");
    const size_t most = (size_t)(job->count < CHUNK ? job->count : CHUNK);
    double *work = malloc((2 * most * s->dim + 1) * sizeof *work);
    if (!work) return ath_fail(err, ATH_E_MEM, "out of memory for %zu images", most);
    inversion v = {s, job, iterations, work, work + most * s->dim, err};
    ath_status status = ATH_OK;
    for (int first = 0; first < job->count && status == ATH_OK; first += CHUNK) {
        const int n = job->count - first < CHUNK ? job->count - first : CHUNK;
        const size_t at = (size_t)first * s->dim;
        ath_job_net d;
        status = ath_job_net_init(&d, s, job, first, n, err);
        if (status != ATH_OK) break;
        status = invert_chunk(&v, d.net, first, n, images + at, state + at);
        ath_job_net_free(&d);
    }
    free(work);
    return status;
}
