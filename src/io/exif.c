/* EXIF's orientation: see exif.h. */
#include "io/exif.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ORIENTATION = 0x0112, SHORT = 3 };

/* A TIFF file, as EXIF holds it; what lies beyond its end reads as 0. */
typedef struct tiff {
    const uint8_t *data;
    uint64_t size;
    bool big_endian;
} tiff;

static unsigned tiff_u16(const tiff *t, uint64_t at) {
    if (at + 2 > t->size) return 0;
    const unsigned a = t->data[at], b = t->data[at + 1];
    return t->big_endian ? a << 8 | b : b << 8 | a;
}

static uint64_t tiff_u32(const tiff *t, uint64_t at) {
    const uint64_t a = tiff_u16(t, at), b = tiff_u16(t, at + 2);
    return t->big_endian ? a << 16 | b : b << 16 | a;
}

int ath_exif_orientation(const uint8_t *data, size_t size) {
    const tiff t = {data, size, size > 0 && data[0] == 'M'};
    if (tiff_u16(&t, 0) != (t.big_endian ? 0x4d4d : 0x4949) || tiff_u16(&t, 2) != 42) return 0;
    const uint64_t first = tiff_u32(&t, 4);
    const unsigned n = tiff_u16(&t, first);
    for (unsigned i = 0; i < n; i++) {
        const uint64_t entry = first + 2 + 12 * (uint64_t)i;
        if (tiff_u16(&t, entry) != ORIENTATION) continue;
        const unsigned value = tiff_u16(&t, entry + 8);
        return tiff_u16(&t, entry + 2) == SHORT && tiff_u32(&t, entry + 4) == 1 && value <= 8 ? (int)value : 0;
    }
    return 0;
}

/* 2, 3, 7, 8 mirror the columns as stored, 3, 4, 6, 7 the rows; from 5 on rows become columns. */
ath_status ath_exif_turn(ath_picture *p, int orientation, const char *path, ath_err *err) {
    if (orientation <= 1) return ATH_OK;
    const bool mirror = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool flip = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool transpose = orientation >= 5;
    const size_t c = (size_t)p->c, stored_w = (size_t)p->w, stored_h = (size_t)p->h;
    const size_t h = transpose ? stored_w : stored_h, w = transpose ? stored_h : stored_w;
    uint8_t *upright = malloc(h * w * c);
    if (!upright) return ath_fail(err, ATH_E_MEM, "%s: out of memory for %d x %d pixels", path, p->w, p->h);
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) {
            const size_t row = transpose ? x : y, column = transpose ? y : x;
            const size_t from =
                (flip ? stored_h - 1 - row : row) * stored_w + (mirror ? stored_w - 1 - column : column);
            memcpy(upright + (y * w + x) * c, p->pixel + from * c, c);
        }
    free(p->pixel);
    *p = (ath_picture){upright, (int)h, (int)w, p->c};
    return ATH_OK;
}
