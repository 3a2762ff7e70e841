/* Many images as one picture: see grid.h. */
#include "io/grid.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/canvas.h"

enum {
    BORDER = 2, /* pixels around and between the cells */
    BORDER_GREY = 40,
    CELL = 64,             /* pixels a small image is enlarged to, about */
    MAX_SIDE = 1 << 20,    /* pixels of a picture's side */
    CELL_OF_SEVERAL = 128, /* pixels of a labelled cell of several images */
    MARGIN = 12,
    GAP = 8,          /* between labelled cells, and from a label to what it names */
    LINE_HEIGHT = 16, /* of labels */
    TITLE_HEIGHT = 30
};

/* rint((x + 1) * 127.5) in 0..255; the first comparison also catches what is not a number. */
static uint8_t to_byte(float x) {
    const double p = ((double)x + 1) * 127.5;
    if (!(p > 0)) return 0;
    if (p >= 255) return 255;
    return (uint8_t)rint(p);
}

/* The whole factor nearest to `size` / side, 1 for what is large enough. */
static int enlargement(int h, int w, int size) {
    const int side = h > w ? h : w;
    return side < size ? (size + side / 2) / side : 1;
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
    const int zoom = enlargement(h, w, CELL);
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

/* ---- with labels ---- */

static const double title_size = 1.3;
static const ath_colour ink = {50, 50, 50}, frame = {214, 214, 214}, empty = {240, 240, 240};

/* Where things are, in pixels. */
typedef struct frames {
    int zoom, sub_cols, sub_rows; /* of the images of a cell */
    int cell_w, cell_h, pitch_x, pitch_y;
    int left, top; /* of the first cell */
    int64_t w, h;
} frames;

/* The next line of a label, copied to `line`; NULL after the last. */
static const char *next_line(const char *label, char line[256]) {
    if (!label || !*label) return NULL;
    const size_t n = strcspn(label, "\n");
    snprintf(line, 256, "%.*s", (int)(n < 255 ? n : 255), label);
    return label + n + (label[n] == '\n');
}

static double widest(const char *const *label, int n) {
    double most = 0;
    char line[256];
    for (int i = 0; label && i < n; i++)
        for (const char *rest = label[i]; (rest = next_line(rest, line));)
            most = fmax(most, ath_canvas_text_width(line, 1));
    return most;
}

static ath_status find_frames(const ath_labelled_grid *g, frames *f, ath_err *err) {
    ATH_TRY(check_shape(g->h, g->w, g->c, err));
    if (g->rows < 1 || g->cols < 1 || g->count < 1 || g->count_cols < 0 || g->rows > MAX_SIDE || g->cols > MAX_SIDE ||
        g->count > MAX_SIDE || g->h > MAX_SIDE || g->w > MAX_SIDE)
        return ath_fail(err, ATH_E_ARG, "cannot draw %d rows and %d columns of %d images of %d x %d pixels", g->rows,
                        g->cols, g->count, g->w, g->h);
    f->sub_cols = g->count_cols ? g->count_cols : (int)ceil(sqrt(g->count));
    if (f->sub_cols > g->count) f->sub_cols = g->count;
    f->sub_rows = (g->count + f->sub_cols - 1) / f->sub_cols;
    const int64_t all_w = (int64_t)f->sub_cols * g->w, all_h = (int64_t)f->sub_rows * g->h;
    if (all_w > MAX_SIDE / 2 || all_h > MAX_SIDE / 2)
        return ath_fail(err, ATH_E_ARG, "%d images of %d x %d pixels are too many for one cell", g->count, g->w, g->h);
    f->zoom = enlargement((int)all_h, (int)all_w, g->count > 1 ? CELL_OF_SEVERAL : CELL);
    f->cell_w = (int)all_w * f->zoom + (f->sub_cols - 1) * BORDER;
    f->cell_h = (int)all_h * f->zoom + (f->sub_rows - 1) * BORDER;
    const double label = fmin(widest(g->col_label, g->cols), 140);
    f->pitch_x = (int)fmax(f->cell_w, ceil(label)) + GAP;
    f->pitch_y = f->cell_h + GAP;
    const double names = fmin(fmax(widest(g->row_label, g->rows), widest(&g->row_name, 1)), 300);
    f->left = MARGIN + (names > 0 ? (int)ceil(names) + GAP : 0);
    f->top = MARGIN + (g->title ? TITLE_HEIGHT : 0) + (g->col_name ? LINE_HEIGHT + 4 : 0) +
             (g->col_label || g->row_name ? LINE_HEIGHT + 4 : 0);
    f->w = f->left + (int64_t)g->cols * f->pitch_x - GAP + MARGIN;
    f->h = f->top + (int64_t)g->rows * f->pitch_y - GAP + MARGIN;
    const int64_t title = MARGIN + (int64_t)ceil(fmin(widest(&g->title, 1) * title_size, 1000)) + MARGIN;
    if (f->w < title) f->w = title;
    if (f->w > MAX_SIDE || f->h > MAX_SIDE)
        return ath_fail(err, ATH_E_ARG,
                        "%d rows and %d columns of cells of %d x %d pixels are too many for one picture", g->rows,
                        g->cols, f->cell_w, f->cell_h);
    return ATH_OK;
}

/* One line of text, cut to `room` and placed so that it begins at x (place 0), is centred there (0.5) or ends there (1). */
static void write_line(ath_canvas *canvas, double x, double y, double place, double room, double size,
                       const char *text) {
    char line[256];
    ath_canvas_text_fit(line, sizeof line, text, room, size);
    ath_canvas_text(canvas, floor(x - place * ath_canvas_text_width(line, size)), y, size, false, line, ink);
}

static void write_labels(ath_canvas *canvas, const ath_labelled_grid *g, const frames *f) {
    const int x1 = f->left + g->cols * f->pitch_x - GAP, baseline = f->top - GAP;
    const double room = f->left - MARGIN - GAP;
    if (g->title) write_line(canvas, MARGIN, MARGIN + 14, 0, (double)f->w - 2 * MARGIN, title_size, g->title);
    if (g->col_name)
        write_line(canvas, (f->left + x1) / 2, baseline - (g->col_label || g->row_name ? LINE_HEIGHT + 4 : 0), 0.5,
                   x1 - f->left, 1, g->col_name);
    if (g->row_name) write_line(canvas, f->left - GAP, baseline, 1, room, 1, g->row_name);
    for (int j = 0; g->col_label && j < g->cols; j++)
        write_line(canvas, f->left + j * f->pitch_x + (f->pitch_x - GAP) / 2.0, baseline, 0.5, f->pitch_x - 4, 1,
                   g->col_label[j]);
    for (int i = 0; g->row_label && i < g->rows; i++) {
        char line[256];
        int lines = 0;
        for (const char *rest = g->row_label[i]; (rest = next_line(rest, line));) lines++;
        int y = f->top + i * f->pitch_y + (f->cell_h - lines * LINE_HEIGHT) / 2 + 12;
        for (const char *rest = g->row_label[i]; (rest = next_line(rest, line)); y += LINE_HEIGHT)
            write_line(canvas, f->left - GAP, y, 1, room, 1, line);
    }
}

/* A cell with a frame of one pixel around it and between its images. */
static void draw_cell(ath_canvas *canvas, const ath_labelled_grid *g, const frames *f, int x, int y,
                      const float *images) {
    const ath_box box = {x, y, x + f->cell_w, y + f->cell_h};
    ath_canvas_fill(canvas, (ath_box){box.x0 - 1, box.y0 - 1, box.x1 + 1, box.y1 + 1}, frame, 1);
    ath_canvas_fill(canvas, box, images ? frame : empty, 1);
    const size_t stride = (size_t)canvas->w * 3, size = (size_t)g->h * (size_t)g->w * (size_t)g->c;
    for (int k = 0; images && k < g->count; k++) {
        const int u = x + k % f->sub_cols * (g->w * f->zoom + BORDER),
                  v = y + k / f->sub_cols * (g->h * f->zoom + BORDER);
        paste(canvas->rgb + (size_t)v * stride + (size_t)u * 3, stride, 3, images + (size_t)k * size, g->h, g->w, g->c,
              f->zoom);
    }
}

ath_status ath_labelled_grid_save(const char *path, const ath_labelled_grid *g, const ath_png_text *text, int n_text,
                                  ath_err *err) {
    frames f = {0};
    ath_canvas canvas;
    const ath_status found = find_frames(g, &f, err);
    if (found != ATH_OK) return ath_fail_within(err, found, "%s", path);
    if (!ath_canvas_create(&canvas, (int)f.w, (int)f.h))
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for a picture of %d x %d pixels", path, (int)f.w, (int)f.h);
    write_labels(&canvas, g, &f);
    const int middle = (f.pitch_x - GAP - f.cell_w) / 2;
    for (int i = 0; i < g->rows; i++)
        for (int j = 0; j < g->cols; j++)
            draw_cell(&canvas, g, &f, f.left + j * f.pitch_x + middle, f.top + i * f.pitch_y, g->cell[i * g->cols + j]);
    const ath_status status = ath_png_save(path, canvas.rgb, canvas.h, canvas.w, 3, text, n_text, err);
    ath_canvas_destroy(&canvas);
    return status;
}
