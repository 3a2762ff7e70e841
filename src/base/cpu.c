/* See cpu.h. */
#include "base/cpu.h"

bool ath_l3_is_near(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}
