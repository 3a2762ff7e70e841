/* Times of the probability flow: see flow_time.h. */
#include "diffusion/flow_time.h"
#include <math.h>
#include <string.h>

/* beta(u) of the VP SDE (Song et al. 2021, arXiv:2011.13456, appendix C) */
static const double beta_min = 0.1, beta_d = 19.9;

ath_flow_time ath_flow_time_of(const ath_sample_job *job, const char *name) {
    static const char *const names[] = {"sigma", "log_sigma", "ve", "vp", "flow"};
    int time = ATH_TIME_SIGMA;
    while (strcmp(names[time], name) != 0) time++;
    return time == ATH_TIME_FLOW && job->process.kind == ATH_PROCESS_FLOW ? ATH_TIME_SIGMA : (ath_flow_time)time;
}

ath_moment ath_moment_of(ath_flow_time time, double sigma) {
    ath_moment m = {sigma, sigma, 1, 1, 0};
    if (time == ATH_TIME_LOG_SIGMA) {
        m.u = log(sigma);
        m.sigma_rate = sigma;
    }
    if (time == ATH_TIME_VE) {
        m.u = sigma * sigma;
        m.sigma_rate = 1 / (2 * sigma);
    }
    if (time == ATH_TIME_VP) {
        const double log_s2 = log1p(sigma * sigma); /* s = exp(-log_s2/2) */
        m.u = 2 * log_s2 / (beta_min + sqrt(beta_min * beta_min + 2 * beta_d * log_s2));
        const double beta = beta_min + beta_d * m.u;
        m.scale = 1 / sqrt(1 + sigma * sigma);
        m.scale_rate = -m.scale * beta / 2;
        m.sigma_rate = (1 + sigma * sigma) * beta / (2 * sigma);
    }
    if (time == ATH_TIME_FLOW) {
        m.u = sigma / (1 + sigma);
        m.scale = 1 / (1 + sigma);
        m.scale_rate = -1;
        m.sigma_rate = (1 + sigma) * (1 + sigma);
    }
    return m;
}

double ath_flow_time_sigma(ath_flow_time time, double u) {
    switch (time) {
    case ATH_TIME_LOG_SIGMA:
        return exp(u);
    case ATH_TIME_VE:
        return sqrt(u);
    case ATH_TIME_VP:
        return sqrt(expm1(u * (beta_min + beta_d * u / 2)));
    case ATH_TIME_FLOW:
        return u / (1 - u);
    case ATH_TIME_SIGMA:
        break;
    }
    return u;
}

void ath_flow_slope(ath_moment at, const double *x, const double *x0, double *dy, size_t len) {
    const double rate = at.scale * at.sigma_rate;
    for (size_t k = 0; k < len; k++) dy[k] = rate * ((x[k] - x0[k]) / at.sigma) + at.scale_rate * x[k];
}
