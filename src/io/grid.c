/* Many images as one picture: see grid.h. */
#include "io/grid.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BORDER = 2, /* pixels around and between the cells */
    BORDER_GREY = 40,
    CELL = 64,         /* pixels a small image is enlarged to, about */
    MAX_SIDE = 1 << 20 /* pixels of a picture's side */
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

static ath_status check_shape(int h, int w, int c, ath_err *err) {
    if (h >= 1 && w >= 1 && (c == 1 || c == 3)) return ATH_OK;
    return ath_fail(err, ATH_E_ARG, "cannot draw images of %d x %d x %d (h,w,c): expected c = 1 or 3", h, w, c);
}

/* An image (h,w,c), enlarged, into a picture of `channels` that begins here with rows `stride` bytes apart; grey fills
 * them all. */
static void paste(uint8_t *corner, size_t stride, size_t channels, const float *image, int h, int w, int c, int zoom) {
    const size_t factor = (size_t)zoom, place = (size_t)c;
    for (size_t v = 0; v < (size_t)h * factor; v++) {
        const float *row = image + v / factor * (size_t)w * place;
        for (size_t u = 0; u < (size_t)w * factor; u++)
            for (size_t k = 0; k < channels; k++)
                corner[v * stride + u * channels + k] = to_byte(row[u / factor * place + (c == 1 ? 0 : k)]);
    }
}

ath_status ath_grid_render(const float *x, int n, int h, int w, int c, int cols, int rows, ath_picture *out,
                           ath_err *err) {
    *out = (ath_picture){0};
    ATH_TRY(check_shape(h, w, c, err));
    if (n < 0 || cols < 1 || rows < 1)
        return ath_fail(err, ATH_E_ARG, "cannot draw %d images on %d columns and %d rows", n, cols, rows);
    const int zoom = enlargement(h, w);
    /* each factor is below 2^31, so only the last product needs care */
    const uint64_t width = BORDER + (uint64_t)cols * ((uint64_t)w * (uint64_t)zoom + BORDER);
    const uint64_t height = BORDER + (uint64_t)rows * ((uint64_t)h * (uint64_t)zoom + BORDER);
    if (width > MAX_SIDE || height > MAX_SIDE)
        return ath_fail(err, ATH_E_ARG, "%d columns and %d rows of %d x %d images are too many for one picture", cols,
                        rows, w, h);
    const size_t place = (size_t)c, stride = (size_t)width * place, cell_w = (size_t)(w * zoom),
                 cell_h = (size_t)(h * zoom);
    uint8_t *pixel = malloc(stride * (size_t)height);
    if (!pixel)
        return ath_fail(err, ATH_E_MEM, "out of memory for a picture of %llu x %llu pixels", (unsigned long long)width,
                        (unsigned long long)height);
    memset(pixel, BORDER_GREY, stride * (size_t)height);
    for (int i = 0; i < n && i / cols < rows; i++) {
        uint8_t *corner = pixel + (BORDER + (size_t)(i / cols) * (cell_h + BORDER)) * stride +
                          (BORDER + (size_t)(i % cols) * (cell_w + BORDER)) * place;
        paste(corner, stride, place, x + (size_t)i * (size_t)h * (size_t)w * place, h, w, c, zoom);
    }
    *out = (ath_picture){.pixel = pixel, .h = (int)height, .w = (int)width, .c = c};
    return ATH_OK;
}

/* Writes a picture that was rendered, or says which file one that was not had been for. Frees it. */
static ath_status save(ath_picture *p, ath_status rendered, const char *path, const ath_png_text *text, int n_text,
                       ath_err *err) {
    const ath_status status = rendered == ATH_OK ? ath_png_save(path, p->pixel, p->h, p->w, p->c, text, n_text, err)
                                                 : ath_fail_within(err, rendered, "%s", path);
    free(p->pixel);
    return status;
}

ath_status ath_grid_save(const char *path, const float *x, int n, int h, int w, int c, int cols, int rows,
                         const ath_png_text *text, int n_text, ath_err *err) {
    ath_picture p;
    const ath_status rendered = ath_grid_render(x, n, h, w, c, cols, rows, &p, err);
    return save(&p, rendered, path, text, n_text, err);
}

ath_status ath_image_save(const char *path, const float *x, int h, int w, int c, const ath_png_text *text, int n_text,
                          ath_err *err) {
    const ath_status shape = check_shape(h, w, c, err);
    if (shape != ATH_OK) return ath_fail_within(err, shape, "%s", path);
    uint8_t *pixel = malloc((size_t)h * (size_t)w * (size_t)c);
    if (!pixel) return ath_fail(err, ATH_E_MEM, "%s: out of memory for a picture of %d x %d pixels", path, w, h);
    paste(pixel, (size_t)w * (size_t)c, (size_t)c, x, h, w, c, 1);
    const ath_status status = ath_png_save(path, pixel, h, w, c, text, n_text, err);
    free(pixel);
    return status;
}
