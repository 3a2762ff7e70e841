/* Predictions, their targets and their loss weights: see prediction.h. */
#include "diffusion/prediction.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *name, *summary;
    ath_process_kind process;
    ath_spacing spacing;
} table[] = {
    [ATH_EPSILON] = {"epsilon", "the noise eps (arXiv:2006.11239)", ATH_PROCESS_VP, ATH_LEADING},
    [ATH_SAMPLE] = {"sample", "the clean image x0", ATH_PROCESS_VP, ATH_TRAILING},
    [ATH_V] = {"v_prediction", "v = alpha eps - sigma x0 (arXiv:2202.00512)", ATH_PROCESS_VP, ATH_TRAILING},
    [ATH_SCORE] = {"score", "the score -eps/sigma (conditional score matching; arXiv:2011.13456)", ATH_PROCESS_VP,
                   ATH_LEADING},
    [ATH_FLOW] = {"flow", "the velocity eps - x0 of straight paths (rectified flow; arXiv:2209.03003)",
                  ATH_PROCESS_FLOW, ATH_UNIFORM_FLOW},
    [ATH_EDM_F] = {"edm", "x0 and noise in the mixture that suits the level (EDM; arXiv:2206.00364)", ATH_PROCESS_VE,
                   ATH_KARRAS},
};
enum { N_PREDICTIONS = sizeof table / sizeof *table };

int ath_prediction_count(void) { return N_PREDICTIONS; }
const char *ath_prediction_name(ath_prediction p) { return table[p].name; }
const char *ath_prediction_summary(ath_prediction p) { return table[p].summary; }

ath_status ath_prediction_parse(const char *name, ath_prediction *out, ath_err *err) {
    for (int i = 0; i < N_PREDICTIONS; i++)
        if (strcmp(name, table[i].name) == 0) {
            *out = (ath_prediction)i;
            return ATH_OK;
        }
    return ath_fail(err, ATH_E_ARG,
                    "objective \"%s\" is not known: expected epsilon, sample, v_prediction, score, flow or edm", name);
}

ath_process_kind ath_prediction_process(ath_prediction p) { return table[p].process; }
ath_spacing ath_prediction_spacing(ath_prediction p) { return table[p].spacing; }

/* The standard deviation of x. EDM's preconditioning is for alpha = 1; in x / alpha and sigma / alpha it is for any level:
 * with d = sigma_data and S^2 = sigma^2 + alpha^2 d^2,
 *   c_in = 1 / S, D = (alpha d^2 / S^2) x + (sigma d / S) F, so that F = (sigma / (S d)) x0 - (alpha d / S) eps. */
static double size_of_x(ath_level at, double sigma_data) { return hypot(at.sigma, at.alpha * sigma_data); }

ath_to_x0 ath_prediction_to_x0(ath_prediction p, ath_level at, double sigma_data) {
    const double S = size_of_x(at, sigma_data);
    switch (p) {
    case ATH_SAMPLE:
        return (ath_to_x0){0, 1};
    case ATH_V:
        return (ath_to_x0){at.alpha, -at.sigma}; /* needs alpha^2 + sigma^2 = 1 */
    case ATH_SCORE:
        return (ath_to_x0){1 / at.alpha, at.sigma * at.sigma / at.alpha};
    case ATH_FLOW:
        return (ath_to_x0){1 / (at.alpha + at.sigma), -at.sigma / (at.alpha + at.sigma)};
    case ATH_EDM_F:
        return (ath_to_x0){at.alpha * sigma_data * sigma_data / (S * S), at.sigma * sigma_data / S};
    case ATH_EPSILON:
        break;
    }
    return (ath_to_x0){1 / at.alpha, -at.sigma / at.alpha};
}

double ath_prediction_input_scale(ath_prediction p, ath_level at, double sigma_data) {
    return p == ATH_EDM_F ? 1 / size_of_x(at, sigma_data) : 1;
}

void ath_prediction_target(ath_prediction p, ath_level at, double sigma_data, size_t n, const float *x0,
                           const float *eps, float *target) {
    /* target = k0 x0 + k1 eps */
    const double S = size_of_x(at, sigma_data);
    double k0 = 0, k1 = 1;
    if (p == ATH_SAMPLE) k0 = 1, k1 = 0;
    if (p == ATH_V) k0 = -at.sigma, k1 = at.alpha;
    if (p == ATH_SCORE) k1 = -1 / at.sigma;
    if (p == ATH_FLOW) k0 = -1;
    if (p == ATH_EDM_F) k0 = at.sigma / (S * sigma_data), k1 = -at.alpha * sigma_data / S;
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

double ath_loss_weight_at(ath_loss_weight w, ath_prediction p, ath_level at, double sigma_data) {
    const double signal = at.alpha * at.alpha, noise = at.sigma * at.sigma;
    if (w == ATH_WEIGHT_UNIFORM) return p == ATH_SCORE ? noise : 1;
    /* As a weight on ||x0_hat - x0||^2, then in F's units: x0 = k_x x + k_f F. */
    double on_x0 = 0;
    if (w == ATH_WEIGHT_MIN_SNR)
        on_x0 = signal < 5 * noise ? signal / noise : 5;
    else /* SNR / (1 + SNR), with the signal's power and the noise's adding up to whatever they are */
        on_x0 = signal / noise / (1 + signal / noise);
    const double k_f = ath_prediction_to_x0(p, at, sigma_data).k_f;
    return on_x0 * k_f * k_f;
}
