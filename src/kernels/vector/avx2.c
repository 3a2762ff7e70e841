/* The kernels for AVX2: vectors of 8 floats and 16 registers, of which a tile of 6 x 2
 * accumulators leaves room for two vectors of B and a broadcast. */
#define ATH_W       8
#define ATH_MR      6
#define ATH_ISA     "avx2"
#define ATH_TABLE   ath_kernels_avx2
#define ATH_CHOICES "kernels/vector/choice_avx2.h"
#include "kernels/vector/template.h"
