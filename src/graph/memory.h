/* The planner: places buffers with known lifetimes in one arena. Not a public header. */
#ifndef ATH_GRAPH_MEMORY_H
#define ATH_GRAPH_MEMORY_H
#include "base/status.h"

typedef struct ath_buffer {
    size_t size;     /* floats; 0 needs no place */
    int first, last; /* steps in which the contents must stand, both included */
    size_t offset;   /* out, floats */
} ath_buffer;

/* Greedy by size: the largest buffer first, each at the lowest place where nothing alive
 * at the same time stands (Pisarchyk & Lee 2020, arXiv:2001.03288, alg. 3). `shared` false
 * gives each buffer its own place. *total is the arena's size in floats. */
ath_status ath_memory_place(ath_buffer *buffer, int n, int shared, size_t *total, ath_err *err);

#endif
