/* The tableau of Dormand and Prince's Runge-Kutta pair of orders 5 and 4 (Dormand & Prince 1980, "A family of embedded Runge-Kutta
 * formulae", table 2). The last stage is at the end of the step, and is the next step's first. */
#ifndef ATH_BASE_DORMAND_PRINCE_H
#define ATH_BASE_DORMAND_PRINCE_H

enum { ATH_DP_STAGES = 7 };
static const double ath_dp_node[ATH_DP_STAGES] = {0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1};
/* Row s: the weights of slopes 0 .. s-1 for stage s; the last row is the result of order 5. */
static const double ath_dp_weight[ATH_DP_STAGES][ATH_DP_STAGES - 1] = {
    {0},
    {1. / 5},
    {3. / 40, 9. / 40},
    {44. / 45, -56. / 15, 32. / 9},
    {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
    {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
    {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84},
};
/* The result of order 5 less that of order 4. */
static const double ath_dp_error[ATH_DP_STAGES] = {71. / 57600,      0,         -71. / 16695, 71. / 1920,
                                                   -17253. / 339200, 22. / 525, -1. / 40};

#endif
