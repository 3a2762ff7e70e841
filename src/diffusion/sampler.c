/* What every sampler shares: see sampler.h. */
#include "diffusion/sampler.h"

ath_status ath_predict(ath_sample_job *job, const double *x, ath_level at, double *x0) {
    job->nfe++;
    return job->net.x0(job->net.self, x, at, x0, job->err);
}

ath_status ath_draw_noise(ath_sample_job *job, double *z) {
    const int k = job->draws++;
    if (job->noise.fill) return job->noise.fill(job->noise.self, k, z, job->err);
    for (size_t i = 0; i < job->n; i++) {
        const uint64_t index = (job->first_image + i) << 24 | (uint64_t)k;
        ath_rng_normal_f64(job->rng, ATH_S_SAMPLER, index, z + i * job->dim, job->dim);
    }
    return ATH_OK;
}

ath_status ath_step_done(ath_sample_job *job, int step, const double *x0) {
    return job->on_step ? job->on_step(job->user, step, job->x, x0) : ATH_OK;
}
