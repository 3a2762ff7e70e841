/* Predictions, their targets and their loss weights: see prediction.h. */
#include "diffusion/prediction.h"
#include <string.h>

static const char *const names[] = {"epsilon", "sample", "v_prediction", "score"};
static const char *const summaries[] = {"the noise eps (arXiv:2006.11239)", "the clean image x0",
                                        "v = alpha eps - sigma x0 (arXiv:2202.00512)",
                                        "the score -eps/sigma (conditional score matching; arXiv:2011.13456)"};
enum { N_PREDICTIONS = 4 };

int ath_prediction_count(void) { return N_PREDICTIONS; }
const char *ath_prediction_name(ath_prediction p) { return names[p]; }
const char *ath_prediction_summary(ath_prediction p) { return summaries[p]; }

ath_status ath_prediction_parse(const char *name, ath_prediction *out, ath_err *err) {
    for (int i = 0; i < N_PREDICTIONS; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (ath_prediction)i;
            return ATH_OK;
        }
    return ath_fail(err, ATH_E_ARG, "objective \"%s\" is not known: expected epsilon, sample, v_prediction or score",
                    name);
}

ath_to_x0 ath_prediction_to_x0(ath_prediction p, ath_level at) {
    switch (p) {
    case ATH_SAMPLE:
        return (ath_to_x0){0, 1};
    case ATH_V:
        return (ath_to_x0){at.alpha, -at.sigma}; /* needs alpha^2 + sigma^2 = 1 */
    case ATH_SCORE:
        return (ath_to_x0){1 / at.alpha, at.sigma * at.sigma / at.alpha};
    case ATH_EPSILON:
        break;
    }
    return (ath_to_x0){1 / at.alpha, -at.sigma / at.alpha};
}

ath_spacing ath_prediction_spacing(ath_prediction p) {
    return p == ATH_SAMPLE || p == ATH_V ? ATH_TRAILING : ATH_LEADING;
}

void ath_prediction_target(ath_prediction p, ath_level at, size_t n, const float *x0, const float *eps, float *target) {
    /* target = k0 x0 + k1 eps */
    double k0 = 0, k1 = 1;
    if (p == ATH_SAMPLE) k0 = 1, k1 = 0;
    if (p == ATH_V) k0 = -at.sigma, k1 = at.alpha;
    if (p == ATH_SCORE) k1 = -1 / at.sigma;
    for (size_t i = 0; i < n; i++) target[i] = (float)(k0 * (double)x0[i] + k1 * (double)eps[i]);
}

static const char *const weight_names[] = {"uniform", "min-snr", "p2"};

const char *ath_loss_weight_name(ath_loss_weight w) { return weight_names[w]; }

ath_status ath_loss_weight_parse(const char *name, ath_loss_weight *out, ath_err *err) {
    for (int i = 0; i < 3; i++)
        if (strcmp(name, weight_names[i]) == 0) {
            *out = (ath_loss_weight)i;
            return ATH_OK;
        }
    return ath_fail(err, ATH_E_ARG, "loss weight \"%s\" is not known: expected uniform, min-snr or p2", name);
}

double ath_loss_weight_at(ath_loss_weight w, ath_prediction p, ath_level at) {
    const double signal = at.alpha * at.alpha, noise = at.sigma * at.sigma;
    if (w == ATH_WEIGHT_UNIFORM) return p == ATH_SCORE ? noise : 1;
    /* As a weight on ||x0_hat - x0||^2, then in F's units: x0 = k_x x + k_f F. */
    double on_x0 = 0;
    if (w == ATH_WEIGHT_MIN_SNR)
        on_x0 = signal < 5 * noise ? signal / noise : 5;
    else /* SNR / (1 + SNR), with the signal's power and the noise's adding up to whatever they are */
        on_x0 = signal / noise / (1 + signal / noise);
    const double k_f = ath_prediction_to_x0(p, at).k_f;
    return on_x0 * k_f * k_f;
}
