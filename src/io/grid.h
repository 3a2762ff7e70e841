/* Many images as one picture. */
#ifndef ATH_IO_GRID_H
#define ATH_IO_GRID_H
#include "io/png.h"

/* Bytes (h,w,c), c = 1 (grey) or 3 (RGB); `pixel` is owned by whom it was made for (free()). */
typedef struct ath_picture {
    uint8_t *pixel;
    int h, w, c;
} ath_picture;

/* Lays n images (n,h,w,c) in [-1,1] on a grid `cols` wide and `rows` high, with a border of
 * 2 dark-grey pixels between and around them; small images (under 64 pixels) are enlarged by a whole
 * factor (nearest) so that a cell is about 64 pixels. Cells beyond n stay
 * empty; images beyond cols*rows are left out. p = rint((x + 1) * 127.5), clamped;
 * a value that is not a number is drawn black. c = 1 or 3. */
ath_status ath_grid_render(const float *x, int n, int h, int w, int c, int cols, int rows, ath_picture *out,
                           ath_err *err);
/* The same, written as a PNG. */
ath_status ath_grid_save(const char *path, const float *x, int n, int h, int w, int c, int cols, int rows,
                         const ath_png_text *text, int n_text, ath_err *err);

/* One image (h,w,c) in [-1,1] as its own PNG, at its own size. */
ath_status ath_image_save(const char *path, const float *x, int h, int w, int c, const ath_png_text *text, int n_text,
                          ath_err *err);

#endif
