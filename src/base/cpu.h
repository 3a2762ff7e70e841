/* What decisions of speed alone may ask of the processor: no result may depend on it. */
#ifndef ATH_BASE_CPU_H
#define ATH_BASE_CPU_H
#include <stdbool.h>

/* Whether the third-level cache is fast enough for weights to come from it each time, as on AMD's processors, where a few
 * cores share one that they read at half the speed of the second level's (measured: 85 GB/s a core for 140). Intel's, which
 * all cores share, gave 26 for 86. */
bool ath_l3_is_near(void);

#endif
