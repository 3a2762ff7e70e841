/* Many images as one picture: see grid.h. */
#include "io/grid.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BORDER = 2, /* pixels around and between the cells */
    BORDER_GREY = 40,
    CELL = 64 /* pixels a small image is enlarged to, about */
};

/* rint((x + 1) * 127.5) in 0..255; the first comparison also catches what is not a number. */
static uint8_t to_byte(float x) {
    const double p = ((double)x + 1) * 127.5;
    if (!(p > 0)) return 0;
    if (p >= 255) return 255;
    return (uint8_t)rint(p);
}

/* The whole factor nearest to CELL / side, 1 for images that are large enough. */
static int enlargement(int h, int w) {
    const int side = h > w ? h : w;
    return side < CELL ? (CELL + side / 2) / side : 1;
}

static ath_status check_shape(const char *path, int h, int w, int c, ath_err *err) {
    if (h >= 1 && w >= 1 && (c == 1 || c == 3)) return ATH_OK;
    return ath_fail(err, ATH_E_ARG, "%s: cannot draw images of %d x %d x %d (h,w,c): expected c = 1 or 3", path, h, w,
                    c);
}

ath_status ath_grid_save(const char *path, const float *x, int n, int h, int w, int c, int cols, int rows,
                         const ath_png_text *text, int n_text, ath_err *err) {
    ATH_TRY(check_shape(path, h, w, c, err));
    if (n < 0 || cols < 1 || rows < 1)
        return ath_fail(err, ATH_E_ARG, "%s: cannot draw %d images on %d columns and %d rows", path, n, cols, rows);
    const int zoom = enlargement(h, w);
    /* each factor is below 2^31, so only the last product needs care */
    const uint64_t width = BORDER + (uint64_t)cols * ((uint64_t)w * (uint64_t)zoom + BORDER);
    const uint64_t height = BORDER + (uint64_t)rows * ((uint64_t)h * (uint64_t)zoom + BORDER);
    if (width > 1 << 20 || height > 1 << 20)
        return ath_fail(err, ATH_E_ARG, "%s: %d columns and %d rows of %d x %d images are too many for one picture",
                        path, cols, rows, w, h);
    const size_t stride = (size_t)width * (size_t)c, cell_w = (size_t)(w * zoom), cell_h = (size_t)(h * zoom);
    uint8_t *pixel = malloc(stride * (size_t)height);
    if (!pixel)
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for a picture of %llu x %llu pixels", path,
                        (unsigned long long)width, (unsigned long long)height);
    memset(pixel, BORDER_GREY, stride * (size_t)height);
    const size_t place = (size_t)c;
    for (int i = 0; i < n && i / cols < rows; i++) {
        const float *image = x + (size_t)i * (size_t)h * (size_t)w * place;
        uint8_t *corner = pixel + (BORDER + (size_t)(i / cols) * (cell_h + BORDER)) * stride +
                          (BORDER + (size_t)(i % cols) * (cell_w + BORDER)) * place;
        for (size_t v = 0; v < cell_h; v++) {
            const float *row = image + v / (size_t)zoom * (size_t)w * place;
            for (size_t u = 0; u < cell_w; u++)
                for (size_t k = 0; k < place; k++)
                    corner[v * stride + u * place + k] = to_byte(row[u / (size_t)zoom * place + k]);
        }
    }
    const ath_status status = ath_png_save(path, pixel, (int)height, (int)width, c, text, n_text, err);
    free(pixel);
    return status;
}

ath_status ath_image_save(const char *path, const float *x, int h, int w, int c, const ath_png_text *text, int n_text,
                          ath_err *err) {
    ATH_TRY(check_shape(path, h, w, c, err));
    const size_t len = (size_t)h * (size_t)w * (size_t)c;
    uint8_t *pixel = malloc(len);
    if (!pixel) return ath_fail(err, ATH_E_MEM, "%s: out of memory for a picture of %d x %d pixels", path, w, h);
    for (size_t k = 0; k < len; k++) pixel[k] = to_byte(x[k]);
    const ath_status status = ath_png_save(path, pixel, h, w, c, text, n_text, err);
    free(pixel);
    return status;
}
