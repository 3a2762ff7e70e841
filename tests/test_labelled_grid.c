/* Grids with names: each image is in its cell, each name beside what it names. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include "base/file.h"
#include "io/grid.h"

static ath_err err;

enum { MARGIN = 12, GAP = 8, BORDER = 2 };

static ath_picture drawn(const ath_labelled_grid *g) {
    ath_picture p;
    CHECK_OK(ath_labelled_grid_save(in_folder("g.png"), g, NULL, 0, &err));
    CHECK_OK(ath_png_load(in_folder("g.png"), &p.pixel, &p.h, &p.w, &p.c, &err));
    return p;
}

static int byte_at(const ath_picture *p, int y, int x, int k) { return p->pixel[(y * p->w + x) * p->c + k % p->c]; }

static unsigned noise_state = 1;
static float noise(void) { /* in [-1, 1), whole bytes */
    noise_state = noise_state * 1664525u + 1013904223u;
    return (float)(noise_state >> 24) / 127.5f - 1;
}

static const char *const rows[] = {"ddim", NULL, "unipc\norder=3"}, *const cols[] = {"5", "10", "", "a long name 50"};

typedef struct sizes {
    int count, count_cols, h, w, c, zoom, sub_cols; /* the last two: what is expected */
} sizes;

/* Cells are found from the lower right corner, where there is no text. */
static void check_cells(const ath_labelled_grid *g, const sizes *s) {
    const ath_picture p = drawn(g);
    const int sub_rows = (s->count + s->sub_cols - 1) / s->sub_cols;
    const int cell_w = s->sub_cols * (s->w * s->zoom + BORDER) - BORDER,
              cell_h = sub_rows * (s->h * s->zoom + BORDER) - BORDER;
    const int pitch_x = cell_w + GAP;
    for (int i = 0; i < g->rows; i++)
        for (int j = 0; j < g->cols; j++) {
            const int x = p.w - MARGIN + GAP - (g->cols - j) * pitch_x,
                      y = p.h - MARGIN + GAP - (g->rows - i) * (cell_h + GAP);
            const float *images = g->cell[i * g->cols + j];
            for (int n = 0; n < s->count; n++)
                for (int v = 0; v < s->h * s->zoom; v++)
                    for (int u = 0; u < s->w * s->zoom; u++)
                        for (int k = 0; k < 3; k++) {
                            const int at = ((n * s->h + v / s->zoom) * s->w + u / s->zoom) * s->c + k % s->c,
                                      expected = images ? (int)rint((images[at] + 1.0) * 127.5) : 240,
                                      got = byte_at(&p, y + n / s->sub_cols * (s->h * s->zoom + BORDER) + v,
                                                    x + n % s->sub_cols * (s->w * s->zoom + BORDER) + u, k);
                            CHECK(got == expected, "cell %d,%d, image %d, pixel %d,%d: %d, expected %d", i, j, n, v, u,
                                  got, expected);
                        }
        }
    free(p.pixel);
}

static void every_image_is_in_its_cell(void **state) {
    (void)state;
    static const sizes cases[] = {{1, 0, 32, 32, 1, 2, 1}, {1, 0, 64, 64, 3, 1, 1}, {4, 0, 32, 32, 3, 2, 2},
                                  {3, 3, 20, 10, 1, 4, 3}, {5, 0, 8, 8, 3, 5, 3},   {2, 1, 70, 70, 1, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const sizes *s = &cases[i];
        const size_t len = (size_t)(s->count * s->h * s->w * s->c);
        float *x = malloc(12 * len * sizeof *x);
        const float *cell[12];
        for (size_t k = 0; k < 12 * len; k++) x[k] = noise();
        for (size_t k = 0; k < 12; k++) cell[k] = k == 5 ? NULL : x + k * len;
        ath_labelled_grid g = {.rows = 3,
                               .cols = 4,
                               .count = s->count,
                               .count_cols = s->count_cols,
                               .h = s->h,
                               .w = s->w,
                               .c = s->c,
                               .cell = cell};
        check_cells(&g, s);
        g.row_label = rows;
        g.row_name = "sampler";
        g.title = "t";
        check_cells(&g, s);
        free(x);
    }
}

/* Pixels darker than a grey in columns x0..x1 and rows y0..y1. */
static int ink_in(const ath_picture *p, int x0, int x1, int y0, int y1) {
    int n = 0;
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) n += byte_at(p, y, x, 0) < 128;
    return n;
}

static void names_stand_beside_what_they_name(void **state) {
    (void)state;
    float white[64 * 64];
    for (int i = 0; i < 64 * 64; i++) white[i] = 1;
    const float *cell[12];
    for (int i = 0; i < 12; i++) cell[i] = white;
    ath_labelled_grid g = {.rows = 3, .cols = 4, .col_label = cols, .count = 1, .h = 64, .w = 64, .c = 1, .cell = cell};
    ath_picture p = drawn(&g);
    const int top = p.h - MARGIN + GAP - 3 * (64 + GAP), cells_w = p.w - MARGIN;
    free(p.pixel);
    g.row_label = rows;
    p = drawn(&g);
    for (int i = 0; i < 3; i++) {
        const int ink = ink_in(&p, 0, p.w - cells_w, top + i * (64 + GAP), top + i * (64 + GAP) + 64);
        CHECK((ink > 0) == (rows[i] != NULL), "row %d has %d dark pixels beside it", i, ink);
    }
    int labels = 0; /* groups of dark columns above the cells that are 20 pixels and more apart */
    for (int x = 0, last = -100; x < p.w; x++)
        if (ink_in(&p, x, x + 1, 0, top)) {
            labels += x - last > 20;
            last = x;
        }
    CHECK(labels == 3, "%d names above 4 columns of which one has none", labels);
    const int h = p.h;
    free(p.pixel);
    g.title = "a title";
    p = drawn(&g);
    CHECK(p.h > h && ink_in(&p, 0, p.w, 0, p.h - h) > 0, "the title is not above");
    free(p.pixel);
}

static void no_text_breaks_a_labelled_grid(void **state) {
    (void)state;
    const float x[1] = {0};
    const float *cell[1] = {x};
    char text[3000];
    memset(text, 'W', sizeof text - 1);
    text[sizeof text - 1] = 0;
    text[1000] = '\n';
    const char *label[1] = {text};
    ath_labelled_grid g = {.title = text,
                           .rows = 1,
                           .cols = 1,
                           .row_label = label,
                           .col_label = label,
                           .row_name = text,
                           .col_name = text,
                           .count = 1,
                           .h = 1,
                           .w = 1,
                           .c = 1,
                           .cell = cell};
    ath_picture p = drawn(&g);
    CHECK(p.w < 1500 && p.h < 500, "%d x %d", p.w, p.h);
    free(p.pixel);
    for (int i = 0; i < 255; i++) text[i] = (char)(255 - i);
    text[255] = 0;
    p = drawn(&g);
    free(p.pixel);
    label[0] = "\n\n";
    p = drawn(&g);
    free(p.pixel);
}

static void a_labelled_grid_that_cannot_be_is_refused(void **state) {
    (void)state;
    const float x[1] = {0};
    const float *cell[1] = {x};
    const ath_labelled_grid good = {.rows = 1, .cols = 1, .count = 1, .h = 1, .w = 1, .c = 1, .cell = cell};
    const char *path = in_folder("bad.png");
    ath_labelled_grid bad[9];
    for (int i = 0; i < 9; i++) bad[i] = good;
    bad[0].rows = 0;
    bad[1].cols = -1;
    bad[2].count = 0;
    bad[3].c = 2;
    bad[4].h = 0;
    bad[5].rows = 1 << 30;
    bad[6].w = 1 << 30;
    bad[7].count = 1 << 30;
    bad[8].rows = bad[8].cols = 1 << 20;
    for (int i = 0; i < 9; i++) CHECK_FAILS(ath_labelled_grid_save(path, &bad[i], NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_labelled_grid_save(in_folder("no/g.png"), &good, NULL, 0, &err), ATH_E_IO, "no/g.png");
    CHECK(!ath_path_exists(path), "%s was written", path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_is_in_its_cell),
        cmocka_unit_test(names_stand_beside_what_they_name),
        cmocka_unit_test(no_text_breaks_a_labelled_grid),
        cmocka_unit_test(a_labelled_grid_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests_name("labelled grids", tests, make_folder, remove_folder);
}
