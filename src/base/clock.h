/* Time that only goes forward. */
#ifndef ATH_BASE_CLOCK_H
#define ATH_BASE_CLOCK_H

double ath_clock(void); /* seconds since some fixed moment */

#endif
