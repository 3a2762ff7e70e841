/* Ordinary differential equations to high accuracy: the method of Dormand & Prince of order 5(4) with step control
 * (Hairer, Norsett & Wanner, "Solving Ordinary Differential Equations I", II.4 and II.5; the controller is
 * Gustafsson's). For reference solutions: samplers have their own solvers. Explicit, so not for stiff problems; no
 * dense output. */
#ifndef ATH_DIFFUSION_ODE_H
#define ATH_DIFFUSION_ODE_H
#include "base/status.h"

/* n systems dx/dt = slope(t, x) of `dim` numbers each, from one t to another. Each has steps of its own, but they
 * advance side by side, so that `slope` sees many at once. */
typedef struct ath_ode {
    size_t n, dim;
    void *self;
    /* dx (n, dim) at x (n, dim), system i at its own t[i], of those n that are not done yet. A system's slope must
     * not depend on the others. Other than ATH_OK ends the solution with that status. */
    ath_status (*slope)(void *self, size_t n, const double *t, const double *x, double *dx, ath_err *err);
    double tolerance; /* error that a step may make: tolerance (1 + |x_d|) in each number */
    long max_steps;   /* of a system, refused ones too; 0: 100000 */
    /* out */
    long steps, refused; /* of all systems together */
    long calls;          /* of slope */
} ath_ode;

/* x (n, dim): in, the states at t0; out, those at t1. Seven slopes a step, of which the last is the next
 * step's first. Work memory: 10 n dim doubles. Fails with ATH_E_ARG when max_steps do not suffice, a step
 * becomes too short for double, or a state is not finite; ATH_E_MEM. A result's bits depend on its system
 * alone. */
ath_status ath_ode_solve(ath_ode *ode, double t0, double t1, double *x, ath_err *err);

#endif
