/* From images back to the noise that they come from. */
#ifndef ATH_MODEL_INVERT_H
#define ATH_MODEL_INVERT_H
#include "model/generate.h"

/* DDIM inversion (Song et al. 2021, arXiv:2010.02502, sec. 4.3; Mokady et al. 2022, arXiv:2211.09794): the steps of DDIM at eta 0 in the
 * other direction,
 *     x_s = alpha_s x0 + sigma_s eps,   eps = (x_t - alpha_t x0)/sigma_t,   x0 = D(.)           t below s,
 * where D should be taken at (x_s, s), which is not known yet. It is first taken at (x_t, t), as DDIM inversion does; each of
 * `iterations` more takes it at the x_s found (a fixed point of which DDIM leads back to x_t exactly).
 *
 * job        level[0..n_steps] as for drawing, the last clean; n_steps, count, label, guidance, clip, skip_scales, shaping, on_step, user
 *            are read. on_step is called after each level found, step counting up from 0, with the state there.
 * images     (count, h, w, c) in [-1,1]. The level above the clean one, where there is nothing to take eps from, is reached by
 *            x = alpha x0 + 0 eps: what DDIM's last step would not change.
 * state      out, (count, h, w, c): x at level[0]
 *
 * job->nfe becomes the evaluations an image: n_steps - 1 times 1 + iterations. Fails as ath_generate does, and
 * with ATH_E_ARG when the last level is not clean. */
ath_status ath_invert(const ath_source *s, ath_generate_job *job, int iterations, const float *images, double *state,
                      ath_err *err);

#endif
