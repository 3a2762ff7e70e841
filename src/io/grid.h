/* Many images as one picture. */
#ifndef ATH_IO_GRID_H
#define ATH_IO_GRID_H
#include "io/picture.h"
#include "io/png.h"

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

/* A grid of cells with names, as in a paper's figure: a sampler a row and a number of steps a column, or an image a row and a
 * noise level a column. */
typedef struct ath_labelled_grid {
    const char *title; /* all texts printable ASCII, NULL for none; one too long for its place ends in ".." */
    int rows, cols;
    const char *const *row_label;    /* (rows), NULL: none; a label may have several lines, ended by '\n' */
    const char *const *col_label;    /* (cols), NULL: none                              */
    const char *row_name, *col_name; /* what the rows and the columns are          */
    int count;                       /* images of a cell, in a small grid of their own */
    int count_cols;                  /* columns of that; 0: about as many as rows   */
    int h, w, c;                     /* of an image; c = 1 or 3                     */
    const float *const *cell; /* (rows,cols): where a cell's images (count,h,w,c) in [-1,1] are; NULL: it stays empty */
} ath_labelled_grid;

/* Writes it as an RGB PNG on white, images as in ath_grid_render. */
ath_status ath_labelled_grid_save(const char *path, const ath_labelled_grid *g, const ath_png_text *text, int n_text,
                                  ath_err *err);

/* One image (h,w,c) in [-1,1] as its own PNG, at its own size. */
ath_status ath_image_save(const char *path, const float *x, int h, int w, int c, const ath_png_text *text, int n_text,
                          ath_err *err);

#endif
