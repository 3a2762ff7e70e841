/* See pages.h. */
#define _DEFAULT_SOURCE /* madvise */
#include "base/pages.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* From one huge page on, though the last is then mostly not used: the transformed weights of a small network, 2.4 MiB, are 600
 * ordinary pages, of which a new process touches each for the first time. */
void *ath_pages(size_t bytes) {
    const size_t align = bytes >= (size_t)HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    if (bytes > SIZE_MAX - align) return NULL;
    const size_t room = (bytes + align - 1) / align * align;
    void *p = aligned_alloc(align, room ? room : align);
#ifdef MADV_HUGEPAGE
    if (p && align == HUGE_PAGE) (void)madvise(p, room, MADV_HUGEPAGE); /* advice: without it all works the same */
#endif
    return p;
}

void *ath_pages_zero(size_t bytes) {
    void *p = ath_pages(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}
