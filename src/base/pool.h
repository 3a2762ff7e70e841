/* Threads that wait for work asleep. OpenMP's would wait by spinning, which costs a
 * machine that runs anything else dearly: ten times, measured with small networks on two busy cores. */
#ifndef ATH_BASE_POOL_H
#define ATH_BASE_POOL_H
#include "base/status.h"

typedef struct ath_pool ath_pool;

/* `threads` counts the caller too; 0 means as many as this process may use cores.
 * Fails with ATH_E_MEM when threads cannot be had. */
ath_status ath_pool_create(ath_pool **out, int threads, ath_err *err);
void ath_pool_destroy(ath_pool *p); /* accepts NULL */
int ath_pool_threads(const ath_pool *p);

/* Calls fn(self, worker) once for each worker 0 .. threads-1, each in its own thread (0 in the caller's), and
 * returns when all have. One call at a time. */
void ath_pool_run(ath_pool *p, void (*fn)(void *self, int worker), void *self);
/* The same, but a worker that has not woken when worker 0 is done is not waited for: for work that is taken by whoever is
 * free, and too short to depend on who is late. */
void ath_pool_help(ath_pool *p, void (*fn)(void *self, int worker), void *self);
/* Calls fn(self, part) for part 0 .. parts-1, taken in order by whichever worker is free (ath_pool_help). */
void ath_pool_each(ath_pool *p, int parts, void (*fn)(void *self, int part), void *self);

#endif
