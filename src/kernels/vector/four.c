/* The kernels for vectors of 4 floats, by the vector extension alone: NEON on arm64, SSE2 on x86-64. NEON has 32 registers, of
 * which a tile of 14 x 2 accumulators leaves room for two vectors of B and a broadcast, SSE2 16, as AVX2 has. */
#define ATH_W 4
#ifdef __aarch64__
#define ATH_MR  14
#define ATH_ISA "neon"
#else
#define ATH_MR  6
#define ATH_ISA "sse2"
#endif
#define ATH_TABLE   ath_kernels_four
#define ATH_CHOICES "kernels/vector/choice_four.h"
#include "kernels/vector/template.h"
