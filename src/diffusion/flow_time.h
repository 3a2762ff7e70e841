/* The time in which a solver of the probability flow takes straight steps. In the views SIGMA and ODE the flow is
 * dx/dsigma = (x - x0)/sigma; with a time u and y = s x it is (Karras et al. 2022, arXiv:2206.00364, eq. 4)
 *     dy/du = s dsigma/du (x - x0)/sigma + ds/du x
 * Methods that are exact in one time have another error in another: this is what EDM's ablations vary. */
#ifndef ATH_DIFFUSION_FLOW_TIME_H
#define ATH_DIFFUSION_FLOW_TIME_H
#include "diffusion/sampler.h"

typedef enum ath_flow_time {
    ATH_TIME_SIGMA,     /* u = sigma, s = 1: EDM's, and a flow process' own time                            */
    ATH_TIME_LOG_SIGMA, /* u = log sigma, s = 1                                                             */
    ATH_TIME_VE,        /* u = sigma^2, s = 1: that of the variance exploding SDE                           */
    ATH_TIME_VP,  /* the variance preserving SDE's: log(1 + sigma^2) = 0.1 u + 19.9 u^2/2, s = 1/sqrt(1 + sigma^2)  */
    ATH_TIME_FLOW /* rectified flow's: u = sigma/(1 + sigma), s = 1 - u                               */
} ath_flow_time;

/* A sampler's option "time"; `Config` has a member `char time[ATH_TEXT_LEN]`. */
#define ATH_FLOW_TIME_OPTION(Config, default_time)                                                                     \
    {                                                                                                                  \
        .name = "time", .type = ATH_OPT_TEXT, .offset = offsetof(Config, time), .dflt = default_time,                  \
        .choices = "sigma|log_sigma|ve|vp|flow",                                                                       \
        .help = "in which steps are straight: sigma (EDM's), log_sigma, or the time of the ve or vp SDE or of a flow"  \
    }
/* The time of that name, one of the choices above, for a job. Its sigma is that of the sampler's view: for a flow process "flow"
 * is "sigma". */
ath_flow_time ath_flow_time_of(const ath_sample_job *job, const char *name);

/* All that a step needs to know of a moment: sigma > 0, u, s, and the rates dsigma/du and ds/du. */
typedef struct ath_moment {
    double sigma, u, scale, sigma_rate, scale_rate;
} ath_moment;
ath_moment ath_moment_of(ath_flow_time time, double sigma);
double ath_flow_time_sigma(ath_flow_time time, double u); /* the inverse */

/* dy/du from the state and its x0, `len` numbers each; dy may be either of them. */
void ath_flow_slope(ath_moment at, const double *x, const double *x0, double *dy, size_t len);

#endif
