/* Placement of buffers by size: see memory.h. */
#include "graph/memory.h"
#include <stdlib.h>

enum { ALIGN = 16 }; /* floats: one cache line, one AVX-512 register */

/* qsort has no context argument */
static _Thread_local const ath_buffer *sorting_here;

static int larger_first(const void *a, const void *b) {
    const int i = *(const int *)a, j = *(const int *)b;
    const size_t si = sorting_here[i].size, sj = sorting_here[j].size;
    if (si != sj) return si > sj ? -1 : 1;
    return i < j ? -1 : 1; /* a fixed order, so that the plan is the same everywhere */
}

static int lower_first(const void *a, const void *b) {
    const int i = *(const int *)a, j = *(const int *)b;
    const size_t oi = sorting_here[i].offset, oj = sorting_here[j].offset;
    if (oi != oj) return oi < oj ? -1 : 1;
    return i < j ? -1 : 1;
}

ath_status ath_memory_place(ath_buffer *buffer, int n, int shared, size_t *total, ath_err *err) {
    *total = 0;
    if (!shared) {
        for (int i = 0; i < n; i++) {
            buffer[i].offset = *total;
            *total += (buffer[i].size + ALIGN - 1) / ALIGN * ALIGN;
        }
        return ATH_OK;
    }
    int *order = malloc(2 * (size_t)n * sizeof *order + 1);
    if (!order) return ath_fail(err, ATH_E_MEM, "out of memory for the plan");
    int *neighbour = order + n;
    for (int i = 0; i < n; i++) order[i] = i;
    sorting_here = buffer;
    qsort(order, (size_t)n, sizeof *order, larger_first);
    for (int i = 0; i < n; i++) {
        ath_buffer *b = &buffer[order[i]];
        int n_neighbour = 0;
        for (int j = 0; j < i; j++) {
            const ath_buffer *other = &buffer[order[j]];
            if (other->size && other->first <= b->last && b->first <= other->last) neighbour[n_neighbour++] = order[j];
        }
        qsort(neighbour, (size_t)n_neighbour, sizeof *neighbour, lower_first);
        size_t at = 0;
        for (int j = 0; j < n_neighbour; j++) {
            const ath_buffer *other = &buffer[neighbour[j]];
            if (other->offset >= at + b->size) break;
            const size_t end = (other->offset + other->size + ALIGN - 1) / ALIGN * ALIGN;
            if (end > at) at = end;
        }
        b->offset = at;
        if (b->size && at + b->size > *total) *total = at + b->size;
    }
    free(order);
    *total = (*total + ALIGN - 1) / ALIGN * ALIGN;
    return ATH_OK;
}
