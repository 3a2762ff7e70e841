/* Memory for large arrays that are gone through from end to end: in huge pages where the system has them on offer,
 * for which it asks. The 36 million parameters of cifar-ddpm, their average, moments and gradient are 175,000 ordinary pages.
 * free() frees it; NULL when there is none. */
#ifndef ATH_BASE_PAGES_H
#define ATH_BASE_PAGES_H
#include <stddef.h>

/* Begins at a cache line, from 2 MiB on at a huge page. What is in it is not defined. */
void *ath_pages(size_t bytes);
/* The same full of zeros, which are written: pages of calloc that are read before they are written are faulted in
 * twice, the second time with an interrupt of all other threads, which took half a second of cifar-ddpm's first update. */
void *ath_pages_zero(size_t bytes);

#endif
