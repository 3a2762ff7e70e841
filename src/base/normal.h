/* The normal distribution's quantiles. */
#ifndef ATH_BASE_NORMAL_H
#define ATH_BASE_NORMAL_H

/* The z below which a standard normal number lies with probability p, for 0 < p < 1 (-INFINITY at 0, INFINITY at 1).
 * Its error is what rounding p and z makes unavoidable. */
double ath_normal_quantile(double p);

#endif
