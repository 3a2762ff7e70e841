/* Which table this CPU can run, and which is the fastest. CPUID is asked at the first
 * call and not in a constructor, so that a program that never computes never asks. */
#include "kernels/kernels.h"
#include <stdlib.h>
#include <string.h>
#include "kernels/tables.h"

/* From the slowest to the fastest, those the CPU can run. */
static int runnable(const ath_kernels *table[4]) {
    int n = 0;
    table[n++] = &ath_kernels_ref;
#ifdef ATH_FOUR
    table[n++] = &ath_kernels_four;
#endif
#ifdef ATH_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        table[n++] = &ath_kernels_avx2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
            table[n++] = &ath_kernels_avx512;
    }
#endif
    return n;
}

const ath_kernels *const *ath_kernels_all(int *n) {
    static const ath_kernels *table[4];
    static int count;
    if (count == 0) count = runnable(table);
    *n = count;
    return table;
}

const ath_kernels *ath_kernels_best(void) {
    static const ath_kernels *best;
    if (best != NULL) return best;
    int n;
    const ath_kernels *const *table = ath_kernels_all(&n);
    best = table[n - 1];
    const char *wanted = getenv("ATH_CPU");
    for (int i = 0; wanted != NULL && i < n; i++)
        if (strcmp(wanted, table[i]->isa) == 0) best = table[i];
    return best;
}
