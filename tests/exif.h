/* EXIF for the tests of pictures: its bytes for each orientation, and where the stored pixels belong then. */
#ifndef ATH_TESTS_EXIF_H
#define ATH_TESTS_EXIF_H
#include <stdbool.h>
#include "check.h"
#include "io/picture.h"

/* A JPEG's APP1 segment; a PNG's eXIf chunk is the same without the first EXIF_NAME bytes. */
enum { EXIF_NAME = 6 };
typedef struct exif {
    uint8_t data[64];
    unsigned size;
} exif;

static inline void put(exif *e, bool big, unsigned n, uint32_t v) {
    for (unsigned k = 0; k < n; k++) e->data[e->size++] = (uint8_t)(v >> 8 * (big ? n - 1 - k : k));
}

static inline exif orientation(int value, bool big) {
    exif e = {.data = "Exif\0", .size = 6};
    memcpy(e.data + e.size, big ? "MM" : "II", 2);
    e.size += 2;
    put(&e, big, 2, 42), put(&e, big, 4, 8);
    put(&e, big, 2, 2); /* two entries; the second is the orientation */
    put(&e, big, 2, 0x0100), put(&e, big, 2, 4), put(&e, big, 4, 1), put(&e, big, 4, 99);
    put(&e, big, 2, 0x0112), put(&e, big, 2, 3), put(&e, big, 4, 1), put(&e, big, 2, (uint32_t)value);
    put(&e, big, 2, 0), put(&e, big, 4, 0);
    return e;
}

/* Exif 2.3: the stored row 0 is the upright picture's top, bottom, left or right, column 0 likewise. */
static inline bool is_upright(const ath_picture *p, const ath_picture *stored, int value) {
    const int h = stored->h, w = stored->w, c = stored->c;
    if (p->h != (value > 4 ? w : h) || p->w != (value > 4 ? h : w) || p->c != c) return false;
    for (int r = 0; r < h; r++)
        for (int s = 0; s < w; s++) {
            const struct {
                int y, x;
            } at[9] = {[1] = {r, s},                 /* row 0 top, column 0 left */
                       [2] = {r, w - 1 - s},         /* top, right               */
                       [3] = {h - 1 - r, w - 1 - s}, /* bottom, right            */
                       [4] = {h - 1 - r, s},         /* bottom, left             */
                       [5] = {s, r},                 /* left, top                */
                       [6] = {s, h - 1 - r},         /* right, top               */
                       [7] = {w - 1 - s, h - 1 - r}, /* right, bottom            */
                       [8] = {w - 1 - s, r}};        /* left, bottom             */
            if (memcmp(p->pixel + (at[value].y * p->w + at[value].x) * c, stored->pixel + (r * w + s) * c, (size_t)c))
                return false;
        }
    return true;
}

#endif
