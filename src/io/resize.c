/* Crop, resize and channels of one image: see dataset_private.h. Weights are whole
 * numbers over a common denominator, so that results are the same everywhere. */
#include <stdlib.h>
#include <string.h>
#include "io/dataset_private.h"

/* In units of 1/size of a source pixel, result j covers [j side, (j+1) side) and source
 * pixel i covers [i size, (i+1) size); the weight is how much of the two is common. */
static void area_weights(ath_resizer *r) {
    r->total = (uint32_t)r->side;
    for (int j = 0; j < r->size; j++) {
        const int from = j * r->side, to = from + r->side;
        r->first[j] = from / r->size;
        r->count[j] = (to - 1) / r->size - r->first[j] + 1;
        for (int k = 0; k < r->count[j]; k++) {
            const int left = (r->first[j] + k) * r->size, right = left + r->size;
            r->weight[(size_t)j * (size_t)r->reach + (size_t)k] =
                (uint32_t)((right < to ? right : to) - (left > from ? left : from));
        }
    }
}

/* Result j has its centre at ((2j+1) side / size - 1) / 2 in source pixels, between two
 * centres i and i+1; at the edges the outermost pixel goes on. Denominator 2 size. */
static void bilinear_weights(ath_resizer *r) {
    const int unit = 2 * r->size;
    r->total = (uint32_t)unit;
    for (int j = 0; j < r->size; j++) {
        const int at = (2 * j + 1) * r->side - r->size;
        const int i = at < 0 ? -1 : at / unit, part = at - i * unit;
        const bool inside = i >= 0 && i + 1 < r->side;
        uint32_t *weight = r->weight + (size_t)j * (size_t)r->reach;
        r->first[j] = i < 0 ? 0 : i;
        r->count[j] = inside ? 2 : 1;
        weight[0] = (uint32_t)(inside ? unit - part : unit);
        weight[1] = (uint32_t)(inside ? part : 0);
    }
}

bool ath_resizer_prepare(ath_resizer *r, int side, int size) {
    if (r->row && r->side == side && r->size == size) return true;
    ath_resizer_free(r);
    r->side = side;
    r->size = size;
    r->reach = side > size ? side / size + 2 : 2;
    r->first = malloc((size_t)size * sizeof *r->first);
    r->count = malloc((size_t)size * sizeof *r->count);
    r->weight = calloc((size_t)size * (size_t)r->reach, sizeof *r->weight);
    r->row = malloc((size_t)side * (size_t)size * 3 * sizeof *r->row);
    if (!r->first || !r->count || !r->weight || !r->row) {
        ath_resizer_free(r);
        return false;
    }
    if (size < side)
        area_weights(r);
    else
        bilinear_weights(r);
    return true;
}

void ath_resizer_free(ath_resizer *r) {
    free(r->first);
    free(r->count);
    free(r->weight);
    free(r->row);
    *r = (ath_resizer){0};
}

void ath_resize(const ath_resizer *r, const uint8_t *from, int h, int w, int c, uint8_t *to) {
    const size_t size = (size_t)r->size, side = (size_t)r->side, place = (size_t)c;
    const uint8_t *corner = from + ((size_t)((h - r->side) / 2) * (size_t)w + (size_t)((w - r->side) / 2)) * place;
    for (size_t y = 0; y < side; y++)
        for (size_t j = 0; j < size; j++) {
            const uint8_t *p = corner + (y * (size_t)w + (size_t)r->first[j]) * place;
            const uint32_t *weight = r->weight + j * (size_t)r->reach;
            for (size_t k = 0; k < place; k++) {
                uint32_t sum = 0; /* at most 255 * total, total <= 8192 */
                for (size_t t = 0; t < (size_t)r->count[j]; t++) sum += weight[t] * p[t * place + k];
                r->row[(y * size + j) * place + k] = sum;
            }
        }
    const uint64_t whole = (uint64_t)r->total * r->total;
    for (size_t i = 0; i < size; i++) {
        const uint32_t *p = r->row + (size_t)r->first[i] * size * place;
        const uint32_t *weight = r->weight + i * (size_t)r->reach;
        for (size_t j = 0; j < size * place; j++) {
            uint64_t sum = 0;
            for (size_t t = 0; t < (size_t)r->count[i]; t++) sum += (uint64_t)weight[t] * p[t * size * place + j];
            to[i * size * place + j] = (uint8_t)((sum + whole / 2) / whole);
        }
    }
}

void ath_set_channels(const uint8_t *from, size_t n, int c_from, uint8_t *to, int c_to) {
    if (c_from == c_to) {
        if (from != to) memcpy(to, from, n * (size_t)c_from);
    } else if (c_to == 1) { /* ITU-R 601 luma */
        for (size_t i = 0; i < n; i++)
            to[i] = (uint8_t)((299u * from[3 * i] + 587u * from[3 * i + 1] + 114u * from[3 * i + 2] + 500u) / 1000u);
    } else { /* from the end, so that it may be in place */
        for (size_t i = n; i-- > 0;) {
            const uint8_t grey = from[i];
            to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = grey;
        }
    }
}
