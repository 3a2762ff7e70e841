/* 8-bit PNG files, through libpng. */
#ifndef ATH_IO_PNG_H
#define ATH_IO_PNG_H
#include <stdint.h>
#include "base/status.h"

typedef struct ath_png_text {
    const char *key, *value; /* written as tEXt, or iTXt where the text is not Latin-1 */
} ath_png_text;

/* Writes pixels (h,w,c), c = 1 (grey) or 3 (RGB), beside `path` and renames it there. */
ath_status ath_png_save(const char *path, const uint8_t *pixel, int h, int w, int c, const ath_png_text *text,
                        int n_text, ath_err *err);

/* Reads any PNG (grey, palette, RGB, alpha, 1-16 bit, interlaced) as 8-bit grey (*c = 1)
 * or RGB (*c = 3); alpha is laid over black. *pixel is owned by the caller (free()).
 * Fails with ATH_E_FORMAT for a damaged file or one of more than 2^27 pixels;
 * io/picture.h has the limit and the background as options. */
ath_status ath_png_load(const char *path, uint8_t **pixel, int *h, int *w, int *c, ath_err *err);

#endif
