/* Animated GIFs: what giflib reads back is what was drawn, and a failure leaves nothing. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include <gif_lib.h>
#include <signal.h>
#include <sys/resource.h>
#include "base/file.h"
#include "io/gif.h"
#include "io/grid.h"

static ath_err err;

static unsigned noise_state = 1;
static uint8_t noise(void) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (uint8_t)(noise_state >> 24);
}

static GifFileType *slurp(const char *path) {
    int why = 0;
    GifFileType *file = DGifOpenFileName(path, &why);
    CHECK(file != NULL, "%s: %s", path, GifErrorString(why));
    CHECK(DGifSlurp(file) == GIF_OK, "%s: %s", path, GifErrorString(file->Error));
    return file;
}

/* Byte k of pixel i of a frame that was read. */
static int byte_of(const GifFileType *file, int frame, size_t i, int k) {
    const SavedImage *image = &file->SavedImages[frame];
    const ColorMapObject *map = image->ImageDesc.ColorMap ? image->ImageDesc.ColorMap : file->SColorMap;
    const GifColorType colour = map->Colors[image->RasterBits[i]];
    return k == 0 ? colour.Red : k == 1 ? colour.Green : colour.Blue;
}

static void write_frames(const char *path, const uint8_t *pixel, int frames, int h, int w, int c, bool loop) {
    ath_gif *gif;
    CHECK_OK(ath_gif_create(&gif, path, h, w, c, loop, &err));
    for (int f = 0; f < frames; f++) CHECK_OK(ath_gif_add(gif, pixel + (size_t)(f * h * w * c), 4 + f, &err));
    CHECK_OK(ath_gif_finish(gif, &err));
}

/* Sum of squared differences over the colours of all frames. */
static double error_of(const GifFileType *file, const uint8_t *pixel, int frames, size_t area, int c) {
    double sum = 0;
    for (int f = 0; f < frames; f++)
        for (size_t i = 0; i < area; i++)
            for (int k = 0; k < 3; k++) {
                const double d =
                    byte_of(file, f, i, k) - pixel[((size_t)f * area + i) * (size_t)c + (size_t)(c == 3 ? k : 0)];
                sum += d * d;
            }
    return sum;
}

static void every_grey_comes_back_in_frames_of_the_delay_asked_for(void **state) {
    (void)state;
    enum { FRAMES = 3, H = 17, W = 31 };
    static uint8_t pixel[FRAMES * H * W];
    for (int i = 0; i < FRAMES * H * W; i++) pixel[i] = i < 256 ? (uint8_t)i : noise();
    write_frames(in_folder("grey.gif"), pixel, FRAMES, H, W, 1, true);
    GifFileType *file = slurp(in_folder("grey.gif"));
    CHECK(file->SWidth == W && file->SHeight == H && file->ImageCount == FRAMES, "%d x %d, %d frames", file->SWidth,
          file->SHeight, file->ImageCount);
    CHECK(error_of(file, pixel, FRAMES, H * W, 1) == 0, "greys changed");
    for (int f = 0; f < FRAMES; f++) {
        GraphicsControlBlock control;
        assert_int_equal(DGifSavedExtensionToGCB(file, f, &control), GIF_OK);
        CHECK(control.DelayTime == 4 + f, "frame %d is shown for %d", f, control.DelayTime);
    }
    DGifCloseFile(file, NULL);
}

/* The block that makes viewers repeat stands before the first frame, or nowhere. */
static void a_loop_is_one_where_asked_for(void **state) {
    (void)state;
    const uint8_t pixel[1] = {7};
    for (int loop = 0; loop < 2; loop++) {
        write_frames(in_folder("loop.gif"), pixel, 1, 1, 1, 1, loop);
        uint8_t *data;
        size_t size;
        CHECK_OK(ath_file_read(in_folder("loop.gif"), 1 << 20, &data, &size, &err));
        bool found = false;
        for (size_t i = 0; i + 16 <= size; i++) found |= memcmp(data + i, "NETSCAPE2.0\3\1\0\0", 16) == 0;
        CHECK(found == loop, "loop %d, block %d", loop, found);
        free(data);
    }
}

static void few_colours_come_back_exactly(void **state) {
    (void)state;
    static const uint8_t colour[6][3] = {{0, 0, 0},    {255, 255, 255}, {255, 0, 0},
                                         {3, 200, 90}, {0, 0, 255},     {40, 40, 40}};
    enum { FRAMES = 6, SIDE = 40 };
    static uint8_t pixel[FRAMES * SIDE * SIDE * 3];
    for (int f = 0; f < FRAMES; f++)
        for (int i = 0; i < SIDE * SIDE; i++)
            memcpy(pixel + 3 * (f * SIDE * SIDE + i), colour[noise() % (f + 1)], 3); /* frame f has f + 1 colours */
    write_frames(in_folder("few.gif"), pixel, FRAMES, SIDE, SIDE, 3, false);
    GifFileType *file = slurp(in_folder("few.gif"));
    CHECK(error_of(file, pixel, FRAMES, SIDE * SIDE, 3) == 0, "colours changed");
    DGifCloseFile(file, NULL);
}

/* A palette of a picture's own must beat the cube of 6 x 7 x 6 colours that serves every picture. */
static void many_colours_are_nearer_than_a_fixed_palettes(void **state) {
    (void)state;
    enum { SIDE = 96 };
    static uint8_t pixel[SIDE * SIDE * 3];
    static const double bound[3] = {0.85, 0.45, 0.62}; /* noise, smooth, between: 0.80, 0.40 and 0.57 were measured */
    for (int kind = 0; kind < 3; kind++) {
        double fixed = 0;
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                for (int k = 0; k < 3; k++) {
                    const double smooth = 127.5 + 127.4 * sin(0.04 * (x * (k + 1) + y * (3 - k)));
                    uint8_t *p = &pixel[3 * (y * SIDE + x) + k];
                    *p = kind == 0 ? noise() : (uint8_t)(kind == 1 ? smooth : 0.7 * smooth + 0.3 * noise());
                    const double levels = k == 1 ? 6 : 5, nearest = rint(*p / 255.0 * levels) / levels * 255;
                    fixed += (nearest - *p) * (nearest - *p);
                }
        write_frames(in_folder("many.gif"), pixel, 1, SIDE, SIDE, 3, false);
        GifFileType *file = slurp(in_folder("many.gif"));
        const double own = error_of(file, pixel, 1, SIDE * SIDE, 3);
        CHECK(own < bound[kind] * fixed, "picture %d: error %.1f, of the cube %.1f (root mean square)", kind,
              sqrt(own / (SIDE * SIDE * 3)), sqrt(fixed / (SIDE * SIDE * 3)));
        DGifCloseFile(file, NULL);
    }
}

/* The frames that `sample --gif` will write: a grid, rendered. */
static void a_rendered_grid_is_a_frame(void **state) {
    (void)state;
    float x[4 * 8 * 8];
    for (int i = 0; i < 4 * 8 * 8; i++) x[i] = (float)noise() / 127.5f - 1;
    ath_picture p;
    CHECK_OK(ath_grid_render(x, 4, 8, 8, 1, 2, 2, &p, &err));
    write_frames(in_folder("grid.gif"), p.pixel, 1, p.h, p.w, p.c, true);
    GifFileType *file = slurp(in_folder("grid.gif"));
    CHECK(error_of(file, p.pixel, 1, (size_t)p.h * (size_t)p.w, 1) == 0, "the grid changed");
    DGifCloseFile(file, NULL);
    free(p.pixel);
}

static void what_cannot_be_a_gif_is_refused(void **state) {
    (void)state;
    const char *path = in_folder("bad.gif");
    ath_gif *gif;
    CHECK_FAILS(ath_gif_create(&gif, path, 0, 1, 1, true, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_gif_create(&gif, path, 1, 65536, 1, true, &err), ATH_E_ARG, "65535");
    CHECK_FAILS(ath_gif_create(&gif, path, 1, 1, 2, true, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_gif_create(&gif, in_folder("no/bad.gif"), 1, 1, 1, true, &err), ATH_E_IO, "no/bad.gif");
    const uint8_t pixel[3] = {1, 2, 3};
    CHECK_OK(ath_gif_create(&gif, path, 1, 1, 3, true, &err));
    CHECK_FAILS(ath_gif_add(gif, pixel, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_gif_finish(gif, &err), ATH_E_ARG, "without frames");
    CHECK_OK(ath_gif_create(&gif, path, 1, 1, 3, true, &err));
    CHECK_OK(ath_gif_add(gif, pixel, 1, &err));
    ath_gif_destroy(gif);
    ath_gif_destroy(NULL);
    CHECK(count_entries(folder) == 0, "something was written");
}

static void a_full_disk_leaves_no_half_file(void **state) {
    (void)state;
    enum { SIDE = 200 };
    static uint8_t pixel[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++) pixel[i] = noise();
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 10; limit < 200000; limit *= 8) { /* in the header, between frames, at the end */
        small = was;
        small.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        ath_gif *gif;
        ath_status status = ath_gif_create(&gif, in_folder("full.gif"), SIDE, SIDE, 1, true, &err);
        for (int f = 0; f < 4 && status == ATH_OK; f++) status = ath_gif_add(gif, pixel, 5, &err);
        if (status == ATH_OK)
            status = ath_gif_finish(gif, &err);
        else
            ath_gif_destroy(gif);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        CHECK(status == ATH_E_IO && strstr(err.text, "full.gif"), "limit %ld: status %d: %s", (long)limit, (int)status,
              err.text);
        CHECK(count_entries(folder) == 0, "limit %ld: something was left", (long)limit);
    }
    signal(SIGXFSZ, handler);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_grey_comes_back_in_frames_of_the_delay_asked_for),
        TEST(a_loop_is_one_where_asked_for),
        TEST(few_colours_come_back_exactly),
        TEST(many_colours_are_nearer_than_a_fixed_palettes),
        TEST(a_rendered_grid_is_a_frame),
        TEST(what_cannot_be_a_gif_is_refused),
        TEST(a_full_disk_leaves_no_half_file),
    };
    return cmocka_run_group_tests_name("GIF", tests, NULL, NULL);
}
