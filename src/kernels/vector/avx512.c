/* The kernels for AVX-512: vectors of 16 floats and 32 registers, of which a tile of 14 x 2
 * accumulators leaves room for two vectors of B and a broadcast. */
#define ATH_W       16
#define ATH_MR      14
#define ATH_ISA     "avx512"
#define ATH_TABLE   ath_kernels_avx512
#define ATH_CHOICES "kernels/vector/choice_avx512.h"
#include "kernels/vector/template.h"
