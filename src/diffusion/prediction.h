/* What the network's output F stands for, and the way to and from it: the only place
 * that knows. Samplers see x0, losses see a target. */
#ifndef ATH_DIFFUSION_PREDICTION_H
#define ATH_DIFFUSION_PREDICTION_H
#include <stddef.h>
#include "diffusion/grid.h"

typedef enum ath_prediction {
    ATH_EPSILON, /* F = eps                                          Ho et al. 2020, arXiv:2006.11239       */
    ATH_SAMPLE,  /* F = x_0                                                                                 */
    ATH_V,       /* F = alpha eps - sigma x_0                        Salimans & Ho 2022, arXiv:2202.00512   */
    ATH_SCORE,   /* F = grad log p(x_t | x_0) = -eps / sigma         Vincent 2011; Song et al. 2021         */
    ATH_FLOW,    /* F = eps - x_0, dx/dt of x = (1 - t) x_0 + t eps  Liu et al. 2022, arXiv:2209.03003      */
    ATH_EDM_F    /* D = c_skip x + c_out F(c_in x)                   Karras et al. 2022, arXiv:2206.00364   */
} ath_prediction;

/* Names as in scheduler_config.json where it has them: epsilon, sample, v_prediction, score, flow, edm. */
const char *ath_prediction_name(ath_prediction p);
const char *ath_prediction_summary(ath_prediction p);
int ath_prediction_count(void);
ath_status ath_prediction_parse(const char *name, ath_prediction *out, ath_err *err);

/* The process that networks with this prediction are trained on. */
ath_process_kind ath_prediction_process(ath_prediction p);

/* What the functions below take besides the level: `sigma_data`, the standard deviation of the data's numbers, is read
 * for ATH_EDM_F alone. Any prediction may be asked of any level, whichever process it is of; only v needs alpha^2 +
 * sigma^2 = 1. */

/* x0 = k_x x + k_f F at this level. */
typedef struct ath_to_x0 {
    double k_x, k_f;
} ath_to_x0;
ath_to_x0 ath_prediction_to_x0(ath_prediction p, ath_level at, double sigma_data);
/* The network sees this times x: EDM's c_in, which makes x of unit variance; 1 for the others. */
double ath_prediction_input_scale(ath_prediction p, ath_level at, double sigma_data);

/* The spacing that suits a prediction. Where the signal is nearly gone, x0 from epsilon or the score is an error divided by
 * alpha: leading keeps away from there. x0 and v stay exact, and trailing starts at the noise itself. EDM's own is karras. */
ath_spacing ath_prediction_spacing(ath_prediction p);

/* The regression target F for one image: n floats each. */
void ath_prediction_target(ath_prediction p, ath_level at, double sigma_data, size_t n, const float *x0,
                           const float *eps, float *target);

/* How much each noise level counts. All are weights on ||F - target||^2 of the given
 * prediction (so uniform is EDM's own weight); `uniform` on a score means sigma^2, which makes it the epsilon loss
 * (Song & Ermon 2019, arXiv:1907.05600). */
typedef enum ath_loss_weight {
    ATH_WEIGHT_UNIFORM,
    ATH_WEIGHT_MIN_SNR, /* min(SNR, 5) as a weight on x0: Hang et al. 2023, arXiv:2303.09556 */
    ATH_WEIGHT_P2       /* 1/(1 + SNR) on the epsilon loss: Choi et al. 2022, arXiv:2204.00227, k = gamma = 1 */
} ath_loss_weight;
const char *ath_loss_weight_name(ath_loss_weight w);
ath_status ath_loss_weight_parse(const char *name, ath_loss_weight *out, ath_err *err);
double ath_loss_weight_at(ath_loss_weight w, ath_prediction p, ath_level at, double sigma_data);

#endif
