/* JPEG files: grey, RGB, CMYK and YCCK, progressive or not, read as 8-bit grey or RGB near what was
 * written, upright as EXIF says, at a fraction of their size where asked; and no damage harms. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset_files.h"
#include "exif.h"
#include <stdbool.h>
#include <jpeglib.h>
#include "base/file.h"
#include "io/dataset.h"
#include "io/picture.h"

enum { MOST = 1 << 20 };

typedef struct kind {
    J_COLOR_SPACE space; /* of the pixels given */
    J_COLOR_SPACE stored;
    bool progressive, adobe, arithmetic;
    int restart;
    bool planes; /* a scan for each component */
} kind;

typedef struct file {
    uint8_t *data;
    size_t size;
} file;

/* Smooth pictures, so that compression changes them little: value at (y,x,k). */
static int smooth(int y, int x, int k, int h, int w) {
    return (int)lround(127.5 + 120 * sin(3.0 * x / w + k) * cos(2.5 * y / h - 0.7 * k));
}

static int channels_of(kind k) { return k.space == JCS_GRAYSCALE ? 1 : k.space == JCS_CMYK ? 4 : 3; }

static file write_jpeg(kind k, int h, int w, const uint8_t *app1, unsigned app1_size) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    unsigned char *data = NULL;
    unsigned long size = 0;
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = (JDIMENSION)w;
    jpeg.image_height = (JDIMENSION)h;
    jpeg.input_components = channels_of(k);
    jpeg.in_color_space = k.space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_colorspace(&jpeg, k.stored);
    jpeg.write_Adobe_marker = k.adobe;
    jpeg_set_quality(&jpeg, 97, TRUE);
    jpeg.arith_code = k.arithmetic;
    jpeg.restart_interval = (unsigned)k.restart;
    if (k.progressive) jpeg_simple_progression(&jpeg);
    static const jpeg_scan_info scans[] = {{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    if (k.planes) jpeg.scan_info = scans, jpeg.num_scans = 3;
    jpeg_start_compress(&jpeg, TRUE);
    if (app1) jpeg_write_marker(&jpeg, JPEG_APP0 + 1, app1, app1_size);
    uint8_t *row = malloc((size_t)w * 4);
    const int c = channels_of(k);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++)
            for (int j = 0; j < c; j++) row[x * c + j] = (uint8_t)smooth(y, x, j, h, w);
        JSAMPROW rows = row;
        assert_int_equal(jpeg_write_scanlines(&jpeg, &rows, 1), 1);
    }
    free(row);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return (file){data, size};
}

/* What (y,x,k) should read as. */
static double expected(kind k, int y, int x, int j, int h, int w) {
    if (k.space != JCS_CMYK) return smooth(y, x, j, h, w);
    const int ink = smooth(y, x, j, h, w), black = smooth(y, x, 3, h, w);
    return (k.adobe ? ink : 255 - ink) * (k.adobe ? black : 255 - black) / 255.0;
}

static ath_picture load(const char *name, const ath_picture_options *how) {
    ath_picture p;
    CHECK_OK(ath_picture_load(&p, in_folder(name), how, &err));
    return p;
}

static ath_picture load_bytes(file f, const ath_picture_options *how) {
    put_file("p.jpg", f.data, f.size);
    return load("p.jpg", how);
}

static const kind grey = {JCS_GRAYSCALE, JCS_GRAYSCALE, 0, 0, 0, 0, 0}, rgb = {JCS_RGB, JCS_YCbCr, 0, 0, 0, 0, 0};
static const kind planes = {JCS_RGB, JCS_YCbCr, 0, 0, 0, 0, 1};
static const kind kinds[] = {
    {JCS_GRAYSCALE, JCS_GRAYSCALE, 0, 0, 0, 0, 0},
    {JCS_GRAYSCALE, JCS_GRAYSCALE, 1, 0, 0, 0, 0},
    {JCS_RGB, JCS_YCbCr, 0, 0, 0, 0, 0},
    {JCS_RGB, JCS_YCbCr, 1, 0, 0, 0, 0},
    {JCS_RGB, JCS_RGB, 0, 1, 0, 0, 0},
    {JCS_RGB, JCS_YCbCr, 0, 0, 0, 3, 0},
    {JCS_RGB, JCS_YCbCr, 0, 0, 1, 0, 0},
    {JCS_CMYK, JCS_CMYK, 0, 0, 0, 0, 0},
    {JCS_CMYK, JCS_CMYK, 0, 1, 0, 0, 0},
    {JCS_CMYK, JCS_YCCK, 1, 1, 0, 0, 0},
    {JCS_RGB, JCS_YCbCr, 0, 0, 0, 0, 1},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static void every_kind_of_jpeg_reads_as_grey_or_rgb(void **state) {
    (void)state;
    const int h = 37, w = 51;
    for (int i = 0; i < N_KINDS; i++) {
        const kind k = kinds[i];
        file f = write_jpeg(k, h, w, NULL, 0);
        ath_picture p = load_bytes(f, NULL);
        CHECK(p.h == h && p.w == w && p.c == (k.space == JCS_GRAYSCALE ? 1 : 3), "kind %d: %d x %d x %d", i, p.h, p.w,
              p.c);
        double sum = 0;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                for (int j = 0; j < p.c; j++) {
                    const double d = p.pixel[(y * w + x) * p.c + j] - expected(k, y, x, j, h, w);
                    sum += d * d;
                }
        const double rms = sqrt(sum / (h * w * p.c));
        CHECK(rms < 3, "kind %d is off by %.2f (root mean square)", i, rms);
        free(p.pixel);
        free(f.data);
    }
}

/* ---- size ---- */

static void a_large_picture_is_read_at_a_fraction_that_is_large_enough(void **state) {
    (void)state;
    static const int least[][2] = {{0, 1}, {401, 1}, {400, 1}, {201, 1}, {200, 2}, {101, 2}, {100, 4}, {50, 8}, {1, 8}};
    file f = write_jpeg(rgb, 400, 601, NULL, 0);
    for (size_t i = 0; i < sizeof least / sizeof least[0]; i++) {
        ath_picture p = load_bytes(f, &(ath_picture_options){.least_side = least[i][0]});
        const int scale = least[i][1];
        CHECK(p.h == 400 / scale && p.w == (601 + scale - 1) / scale, "at least %d: %d x %d", least[i][0], p.w, p.h);
        for (int y = 0; y < p.h; y++)
            for (int x = 0; x < p.w; x++) {
                const int mean = smooth(y * scale + scale / 2, x * scale + scale / 2, 0, 400, 601);
                CHECK(abs(p.pixel[(y * p.w + x) * 3] - mean) < 12, "1/%d at (%d,%d)", scale, x, y);
            }
        free(p.pixel);
    }
    sub_folder("one");
    put_file("one/big.jpeg", f.data, f.size);
    ath_dataset d = open_ok(in_folder("one"), &(ath_dataset_options){.image_size = 32});
    check_shape(&d, 1, 32, 32, 3, 0);
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++) {
            const double at = 400.0 / 32;
            const int mean = smooth((int)((y + 0.5) * at), (int)(100.5 + (x + 0.5) * at), 1, 400, 601);
            CHECK(abs(d.pixel[(y * 32 + x) * 3 + 1] - mean) < 12, "(%d,%d): %d, expected %d", x, y,
                  d.pixel[(y * 32 + x) * 3 + 1], mean);
        }
    ath_dataset_close(&d);
    free(f.data);
}

static void more_pixels_than_allowed_are_refused(void **state) {
    (void)state;
    file f = write_jpeg(grey, 20, 30, NULL, 0);
    put_file("p.jpg", f.data, f.size);
    ath_picture p;
    CHECK_FAILS(ath_picture_load(&p, in_folder("p.jpg"), &(ath_picture_options){.max_pixels = 599}, &err), ATH_E_FORMAT,
                "30 x 20 pixels, expected at most 599");
    assert_null(p.pixel);
    free(load_bytes(f, &(ath_picture_options){.max_pixels = 600}).pixel);
    must_fail(folder, &(ath_dataset_options){.max_pixels = 599}, ATH_E_FORMAT, "--max-pixels");
    ath_dataset_options out_of_range = {.max_pixels = (int64_t)1 << 31};
    must_fail(folder, &out_of_range, ATH_E_ARG, "max_pixels");
    /* a header of 65500 x 65500 */
    size_t at = 0;
    while (f.data[at] != 0xff || f.data[at + 1] != 0xc0) at++;
    f.data[at + 5] = f.data[at + 7] = 0xff;
    f.data[at + 6] = f.data[at + 8] = 0xdc;
    put_file("p.jpg", f.data, f.size);
    CHECK_FAILS(ath_picture_load(&p, in_folder("p.jpg"), NULL, &err), ATH_E_FORMAT, "65500 x 65500");
    free(f.data);
}

/* ---- orientation ---- */

static void exif_turns_a_picture_upright(void **state) {
    (void)state;
    const int h = 16, w = 24;
    file plain_file = write_jpeg(rgb, h, w, NULL, 0);
    ath_picture plain = load_bytes(plain_file, NULL);
    for (int value = 1; value <= 8; value++)
        for (int big = 0; big < 2; big++) {
            const exif e = orientation(value, big);
            file f = write_jpeg(rgb, h, w, e.data, e.size);
            ath_picture p = load_bytes(f, NULL);
            CHECK(is_upright(&p, &plain, value), "orientation %d is not upright", value);
            free(p.pixel);
            free(f.data);
        }
    free(plain.pixel);
    free(plain_file.data);
}

static void broken_exif_is_no_orientation_and_no_harm(void **state) {
    (void)state;
    const exif good = orientation(6, false);
    for (unsigned bit = 0; bit < 8 * good.size; bit++) {
        exif e = good;
        e.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        file f = write_jpeg(grey, 8, 16, e.data, e.size);
        ath_picture p = load_bytes(f, NULL);
        assert_true((p.h == 8 && p.w == 16) || (p.h == 16 && p.w == 8));
        free(p.pixel);
        free(f.data);
    }
    for (unsigned size = 0; size <= good.size; size++) {
        file f = write_jpeg(grey, 8, 16, good.data, size);
        ath_picture p = load_bytes(f, NULL);
        CHECK(p.h == (size >= good.size - 6 ? 16 : 8), "cut to %u bytes: %d rows", size, p.h);
        free(p.pixel);
        free(f.data);
    }
}

/* ---- hostile files ---- */

static void a_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    for (int i = 0; i < N_KINDS; i += 3) {
        file f = write_jpeg(kinds[i], 20, 20, NULL, 0);
        for (size_t n = 0; n < f.size; n++) {
            ath_picture p;
            memset(&p, 0x55, sizeof p);
            put_file("cut.jpg", f.data, n);
            CHECK_FAILS(ath_picture_load(&p, in_folder("cut.jpg"), NULL, &err), ATH_E_FORMAT, in_folder("cut.jpg"));
            assert_null(p.pixel);
        }
        free(f.data);
    }
}

static void a_file_with_any_bit_flipped_does_no_harm(void **state) {
    (void)state;
    int refused = 0;
    for (int i = 0; i < N_KINDS; i++) {
        file f = write_jpeg(kinds[i], 9, 17, NULL, 0);
        for (size_t bit = 0; bit < 8 * f.size; bit += 3) {
            f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            ath_picture p;
            memset(&err, 0, sizeof err);
            const ath_status status =
                f.data[0] == 0xff && f.data[1] == 0xd8 && f.data[2] == 0xff
                    ? ath_jpeg_decode(&p, "flipped", f.data, f.size, &(ath_picture_options){.max_pixels = MOST}, &err)
                    : ATH_E_FORMAT;
            f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(status == ATH_OK || status == ATH_E_FORMAT, "kind %d, bit %zu: status %d", i, bit, (int)status);
            refused += status != ATH_OK;
            if (status == ATH_OK) free(p.pixel);
        }
        free(f.data);
    }
    assert_true(refused > 100);
}

/* A file whose first scan is repeated: legal, small, and slow without bounds. */
static void a_file_of_very_many_scans_is_refused(void **state) {
    (void)state;
    file f = write_jpeg(planes, 64, 64, NULL, 0);
    size_t scan = 0;
    for (size_t k = 0; k + 1 < f.size; k++)
        if (f.data[k] == 0xff && f.data[k + 1] == 0xda) {
            scan = k;
            break;
        }
    size_t next = scan + 2;
    while (f.data[next] != 0xff || f.data[next + 1] == 0) next++;
    const size_t len = next - scan, times = 1000;
    uint8_t *many = malloc(f.size + times * len);
    memcpy(many, f.data, next);
    for (size_t t = 0; t < times; t++) memcpy(many + next + t * len, f.data + scan, len);
    memcpy(many + next + times * len, f.data + next, f.size - next);
    ath_picture p;
    CHECK_FAILS(ath_jpeg_decode(&p, "many", many, f.size + times * len, &(ath_picture_options){0}, &err), ATH_E_FORMAT,
                "more than 200 scans");
    free(many);
    free(f.data);
}

static void a_folder_mixes_formats_and_leaves_broken_ones_out_on_request(void **state) {
    (void)state;
    file f = write_jpeg(grey, 8, 8, NULL, 0), g = write_jpeg(rgb, 8, 8, NULL, 0);
    sub_folder("a");
    sub_folder("b");
    put_file("a/1.jpg", f.data, f.size);
    put_file("a/2.JPEG", g.data, g.size);
    put_file("b/3.png", f.data, f.size); /* what a file is says its content */
    put_file("b/4.jpg", f.data, f.size / 2);
    must_fail(folder, NULL, ATH_E_FORMAT, "b/4.jpg: damaged JPEG");
    ath_dataset_options options = {.skip_broken = true};
    ath_dataset d = open_ok(folder, &options);
    check_shape(&d, 3, 8, 8, 3, 2);
    assert_int_equal(d.n_skipped, 1);
    assert_int_equal(d.label[2], 1);
    ath_dataset_close(&d);
    free(f.data);
    free(g.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_jpeg_reads_as_grey_or_rgb),
        TEST(a_large_picture_is_read_at_a_fraction_that_is_large_enough),
        TEST(more_pixels_than_allowed_are_refused),
        TEST(exif_turns_a_picture_upright),
        TEST(broken_exif_is_no_orientation_and_no_harm),
        TEST(a_file_cut_anywhere_is_refused),
        TEST(a_file_with_any_bit_flipped_does_no_harm),
        TEST(a_file_of_very_many_scans_is_refused),
        TEST(a_folder_mixes_formats_and_leaves_broken_ones_out_on_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
