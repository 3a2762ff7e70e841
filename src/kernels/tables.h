/* The tables there are. Only kernels.c and the files that define them include this. */
#ifndef ATH_KERNELS_TABLES_H
#define ATH_KERNELS_TABLES_H
#include "kernels/kernels.h"

extern const ath_kernels ath_kernels_ref; /* plain C, every machine */
#ifdef ATH_FOUR
extern const ath_kernels ath_kernels_four; /* "neon" on arm64, "sse2" on x86-64: what each of them has */
#endif
#ifdef ATH_X86
extern const ath_kernels ath_kernels_avx2;   /* AVX2 and FMA */
extern const ath_kernels ath_kernels_avx512; /* AVX-512 F, DQ, BW, VL and FMA */
#endif

#endif
