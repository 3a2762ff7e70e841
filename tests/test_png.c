/* PNG files: what is written reads back, every kind of PNG there is reads as 8-bit grey or
 * RGB, and no damage passes or harms. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "exif.h"
#include "temp_folder.h"
#include <png.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>
#include "base/file.h"
#include "io/picture.h"
#include "io/png.h"

static ath_err err;

/* Not ath_file_write, which waits for the disk: there are thousands of hostile files. */
static void put_file(const char *path, const void *data, size_t size) {
    remove(path); /* writing over a file makes some file systems wait, too */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static unsigned noise_state = 1;
static uint8_t noise(void) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (uint8_t)(noise_state >> 24);
}

static void check_loads(const char *path, const uint8_t *expected, int h, int w, int c, const char *what) {
    uint8_t *pixel;
    int h2, w2, c2;
    CHECK_OK(ath_png_load(path, &pixel, &h2, &w2, &c2, &err));
    CHECK(h2 == h && w2 == w && c2 == c, "%s: %d x %d x %d, expected %d x %d x %d", what, h2, w2, c2, h, w, c);
    for (int k = 0; k < h * w * c; k++)
        CHECK(pixel[k] == expected[k], "%s: byte %d is %d, expected %d", what, k, pixel[k], expected[k]);
    free(pixel);
}

static void a_picture_reads_back_byte_for_byte(void **state) {
    (void)state;
    static const int shape[][3] = {{1, 1, 1}, {1, 1, 3}, {5, 3, 1}, {28, 28, 1}, {7, 13, 3}, {1, 300, 3}, {300, 1, 1}};
    static uint8_t pixel[1000];
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        const int h = shape[s][0], w = shape[s][1], c = shape[s][2];
        for (int k = 0; k < h * w * c; k++) pixel[k] = noise();
        CHECK_OK(ath_png_save(in_folder("a.png"), pixel, h, w, c, NULL, 0, &err));
        check_loads(in_folder("a.png"), pixel, h, w, c, "saved");
    }
}

/* ---- text ---- */

typedef struct found_text {
    char key[80], value[256];
    bool international;
} found_text;

static int read_text(const char *path, found_text *found) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    if (setjmp(png_jmpbuf(png))) fail();
    png_init_io(png, file);
    png_read_info(png, info);
    png_textp text;
    int n = 0;
    png_get_text(png, info, &text, &n);
    for (int i = 0; i < n; i++) {
        snprintf(found[i].key, sizeof found[i].key, "%s", text[i].key);
        snprintf(found[i].value, sizeof found[i].value, "%s", text[i].text);
        found[i].international = text[i].compression == PNG_ITXT_COMPRESSION_NONE;
    }
    png_destroy_read_struct(&png, &info, NULL);
    fclose(file);
    return n;
}

static void text_is_kept_and_is_international_when_it_must_be(void **state) {
    (void)state;
    const ath_png_text text[] = {
        {"Command", "athanor sample --steps 8"},
        {"Empty", ""},
        {"Author", "J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x8e\xb2"}, /* UTF-8 of 2, 3 and 4 bytes */
        {"Broken UTF-8", "caf\xe9"},
        {"Surrogate", "\xed\xa0\x80"}};
    const uint8_t pixel = 7;
    found_text found[8];
    CHECK_OK(ath_png_save(in_folder("t.png"), &pixel, 1, 1, 1, text, 5, &err));
    assert_int_equal(read_text(in_folder("t.png"), found), 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(found[i].key, text[i].key);
        assert_string_equal(found[i].value, text[i].value);
        CHECK(found[i].international == (i == 2), "%s is %sinternational", text[i].key,
              found[i].international ? "" : "not ");
    }
    check_loads(in_folder("t.png"), &pixel, 1, 1, 1, "with text");
}

static void what_cannot_be_a_picture_is_not_written(void **state) {
    (void)state;
    const uint8_t pixel[8] = {0};
    const char *path = in_folder("no.png");
    CHECK_FAILS(ath_png_save(path, pixel, 1, 1, 2, NULL, 0, &err), ATH_E_ARG, "channels");
    CHECK_FAILS(ath_png_save(path, pixel, 0, 1, 1, NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_png_save(path, pixel, 1, -1, 1, NULL, 0, &err), ATH_E_ARG, path);
    static const char *const bad_key[] = {
        "",
        " x",
        "x ",
        "a  b",
        "a\nb",
        "caf\xc3\xa9",
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof bad_key / sizeof bad_key[0]; i++) {
        const ath_png_text text = {bad_key[i], "value"};
        CHECK_FAILS(ath_png_save(path, pixel, 1, 1, 1, &text, 1, &err), ATH_E_ARG, "key");
    }
    assert_int_equal(count_entries(folder), 0);
}

static void a_failed_write_leaves_the_old_picture_and_nothing_else(void **state) {
    (void)state;
    const uint8_t old = 99;
    static uint8_t pixel[100 * 100 * 3];
    for (size_t k = 0; k < sizeof pixel; k++) pixel[k] = noise();
    const char *path = in_folder("kept.png");
    CHECK_OK(ath_png_save(path, &old, 1, 1, 1, NULL, 0, &err));

    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 10000; /* the disk is full after this many bytes */
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const ath_status status = ath_png_save(path, pixel, 100, 100, 3, NULL, 0, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    CHECK(status == ATH_E_IO && strstr(err.text, path), "status %d: %s", (int)status, err.text);
    check_loads(path, &old, 1, 1, 1, "the old picture");
    assert_int_equal(count_entries(folder), 1);

    CHECK_FAILS(ath_png_save(in_folder("no/such/a.png"), &old, 1, 1, 1, NULL, 0, &err), ATH_E_IO, "no/such/a.png");
}

/* ---- every kind of PNG ---- */

enum { H = 11, W = 13 }; /* odd, so that every pass of Adam7 and the packing of bits have rests */

typedef struct kind {
    int type, depth;
    bool interlaced, transparent; /* a tRNS chunk: one colour, or alpha of the palette */
} kind;

static unsigned sample[H][W][4];
static png_color palette[256];
static uint8_t palette_alpha[256];
static const unsigned see_through[3] = {1, 0, 1}; /* the transparent colour of grey and RGB */

static void write_kind(const char *path, kind k, int n_channel) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    if (setjmp(png_jmpbuf(png))) fail();
    png_init_io(png, file);
    png_set_IHDR(png, info, W, H, k.depth, k.type, k.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (k.type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, 1 << k.depth);
    if (k.transparent && k.type == PNG_COLOR_TYPE_PALETTE) png_set_tRNS(png, info, palette_alpha, 1 << k.depth, NULL);
    if (k.transparent && k.type != PNG_COLOR_TYPE_PALETTE) {
        png_color_16 key = {.red = (png_uint_16)see_through[0],
                            .green = (png_uint_16)see_through[1],
                            .blue = (png_uint_16)see_through[2],
                            .gray = (png_uint_16)see_through[0]};
        png_set_tRNS(png, info, NULL, 0, &key);
    }
    png_set_gAMA(png, info, 0.45455); /* which must change nothing */
    png_write_info(png, info);
    uint8_t row[H][W * 8] = {0};
    png_bytep rows[H];
    for (int y = 0; y < H; y++) {
        rows[y] = row[y];
        int bit = 0;
        for (int x = 0; x < W; x++)
            for (int c = 0; c < n_channel; c++) {
                const unsigned v = sample[y][x][c];
                if (k.depth == 16) {
                    row[y][bit / 8] = (uint8_t)(v >> 8);
                    row[y][bit / 8 + 1] = (uint8_t)v;
                } else
                    row[y][bit / 8] = (uint8_t)(row[y][bit / 8] | v << (8 - k.depth - bit % 8));
                bit += k.depth;
            }
    }
    png_write_image(png, rows);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

/* The nearest of 0..255 to v of 0..2^depth-1. */
static unsigned to_8_bits(unsigned v, int depth) {
    const unsigned most = (1u << depth) - 1;
    return (v * 510 + most) / (2 * most);
}
static unsigned over_black(unsigned v, unsigned alpha) { return (v * alpha + 127) / 255; }

static void every_kind_of_png_reads_as_8_bit_grey_or_rgb(void **state) {
    (void)state;
    static const kind kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1, 0, 0},        {PNG_COLOR_TYPE_GRAY, 2, 0, 0},
        {PNG_COLOR_TYPE_GRAY, 4, 0, 0},        {PNG_COLOR_TYPE_GRAY, 8, 0, 0},
        {PNG_COLOR_TYPE_GRAY, 16, 0, 0},       {PNG_COLOR_TYPE_PALETTE, 1, 0, 0},
        {PNG_COLOR_TYPE_PALETTE, 2, 0, 0},     {PNG_COLOR_TYPE_PALETTE, 4, 0, 0},
        {PNG_COLOR_TYPE_PALETTE, 8, 0, 0},     {PNG_COLOR_TYPE_RGB, 8, 0, 0},
        {PNG_COLOR_TYPE_RGB, 16, 0, 0},        {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 0, 0},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16, 0, 0}, {PNG_COLOR_TYPE_RGB_ALPHA, 8, 0, 0},
        {PNG_COLOR_TYPE_RGB_ALPHA, 16, 0, 0},  {PNG_COLOR_TYPE_GRAY, 1, 0, 1},
        {PNG_COLOR_TYPE_GRAY, 8, 0, 1},        {PNG_COLOR_TYPE_GRAY, 16, 0, 1},
        {PNG_COLOR_TYPE_PALETTE, 2, 0, 1},     {PNG_COLOR_TYPE_PALETTE, 8, 0, 1},
        {PNG_COLOR_TYPE_RGB, 8, 0, 1},         {PNG_COLOR_TYPE_RGB, 16, 0, 1},
    };
    for (int i = 0; i < 256; i++) {
        palette[i] = (png_color){noise(), noise(), noise()};
        palette_alpha[i] = noise();
    }
    for (size_t i = 0; i < 2 * (sizeof kinds / sizeof kinds[0]); i++) {
        kind k = kinds[i / 2];
        k.interlaced = i % 2;
        const bool colour = k.type & PNG_COLOR_MASK_COLOR, indexed = k.type == PNG_COLOR_TYPE_PALETTE;
        const bool alpha = k.type & PNG_COLOR_MASK_ALPHA;
        const int c = colour ? 3 : 1, n_channel = indexed ? 1 : c + alpha;
        uint8_t expected[H * W * 3], *p = expected;
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                unsigned *v = sample[y][x];
                const bool see = x % 4 == 0; /* the transparent colour must occur */
                for (int j = 0; j < n_channel; j++)
                    v[j] = k.transparent && !indexed && see
                               ? see_through[j]
                               : ((unsigned)noise() << 8 | noise()) & ((1u << k.depth) - 1);
                unsigned a = alpha ? to_8_bits(v[c], k.depth) : 255;
                if (k.transparent && indexed) a = palette_alpha[v[0]];
                if (k.transparent && !indexed) {
                    bool same = true;
                    for (int j = 0; j < c; j++) same = same && v[j] == see_through[j];
                    if (same) a = 0;
                }
                const png_color entry = palette[v[0] & 255];
                const unsigned indexed_colour[3] = {entry.red, entry.green, entry.blue};
                for (int j = 0; j < c; j++)
                    *p++ = (uint8_t)over_black(indexed ? indexed_colour[j] : to_8_bits(v[j], k.depth), a);
            }
        char what[80];
        snprintf(what, sizeof what, "colour type %d, %d bits%s%s", k.type, k.depth, k.interlaced ? ", interlaced" : "",
                 k.transparent ? ", tRNS" : "");
        write_kind(in_folder("kind.png"), k, n_channel);
        check_loads(in_folder("kind.png"), expected, H, W, c, what);
    }
}

static void transparent_pixels_show_the_background(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint8_t rgb[3];
    } ground[] = {{"black", {0, 0, 0}}, {"white", {255, 255, 255}}, {"9,9,9", {9, 9, 9}}, {"0,128,255", {0, 128, 255}}};
    for (size_t g = 0; g < 4; g++)
        for (int colour = 0; colour < 2; colour++) {
            ath_picture_options how = {.max_pixels = H * W};
            CHECK_OK(ath_background_parse(ground[g].text, how.background, &err));
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++)
                    for (int j = 0; j < 4; j++) sample[y][x][j] = noise();
            const kind k = {colour ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_GRAY_ALPHA, 8, 0, 0};
            write_kind(in_folder("a.png"), k, colour ? 4 : 2);
            ath_picture p;
            CHECK_OK(ath_picture_load(&p, in_folder("a.png"), &how, &err));
            assert_int_equal(p.c, colour || g == 3 ? 3 : 1);
            for (int i = 0; i < H * W * p.c; i++) {
                const unsigned *v = sample[i / p.c / W][i / p.c % W], a = v[colour ? 3 : 1];
                const int j = i % p.c;
                const double mix = (v[colour ? j : 0] * a + (double)ground[g].rgb[j] * (255 - a)) / 255;
                CHECK(fabs(p.pixel[i] - mix) <= 0.5 + 1e-9, "%s: byte %d is %d, expected %g", ground[g].text, i,
                      p.pixel[i], mix);
            }
            free(p.pixel);
            how.max_pixels = H * W - 1;
            CHECK_FAILS(ath_picture_load(&p, in_folder("a.png"), &how, &err), ATH_E_FORMAT, "13 x 11 pixels");
        }
    static const char *const bad[] = {"", "grey", "1,2", "1,2,3,4", "256,0,0", "1,2,3 ", "-1,2,3", ",,", "0001,2,3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t kept[3] = {1, 2, 3};
        CHECK_FAILS(ath_background_parse(bad[i], kept, &err), ATH_E_ARG, "expected black, white or r,g,b");
        assert_int_equal(kept[0], 1);
    }
}

/* ---- chunks put into a file ---- */

enum { BEHIND_HEADER = 33 }; /* the signature and IHDR */

static size_t put_u32(uint8_t *to, uint32_t v) {
    for (int k = 0; k < 4; k++) to[k] = (uint8_t)(v >> (24 - 8 * k));
    return 4;
}

/* The file with `times` chunks more at byte `at`; to be freed. */
static uint8_t *with_chunks(const uint8_t *data, size_t *size, size_t at, const char *type, const uint8_t *body,
                            size_t len, size_t times) {
    uint8_t *more = malloc(*size + times * (len + 12)), *to = more;
    assert_non_null(more);
    memcpy(to, data, at);
    to += at;
    for (size_t i = 0; i < times; i++) {
        uint8_t *chunk = to;
        to += put_u32(to, (uint32_t)len);
        memcpy(to, type, 4);
        memcpy(to + 4, body, len);
        to += 4 + len;
        to += put_u32(to, (uint32_t)crc32(0, chunk + 4, (uInt)(len + 4)));
    }
    memcpy(to, data + at, *size - at);
    *size += times * (len + 12);
    return more;
}

/* Before the pixels or behind them, where the format allows the chunk too. */
static void exif_turns_a_picture_upright(void **state) {
    (void)state;
    uint8_t pixel[3 * 5 * 3];
    for (size_t k = 0; k < sizeof pixel; k++) pixel[k] = noise();
    for (int c = 1; c <= 3; c += 2) {
        const ath_picture stored = {pixel, 3, 5, c};
        uint8_t *data;
        size_t size;
        CHECK_OK(ath_png_save(in_folder("stored.png"), pixel, 3, 5, c, NULL, 0, &err));
        CHECK_OK(ath_file_read(in_folder("stored.png"), 1 << 20, &data, &size, &err));
        for (int value = 1; value <= 8; value++)
            for (int variant = 0; variant < 4; variant++) {
                const exif e = orientation(value, variant & 1);
                size_t n = size;
                uint8_t *turned = with_chunks(data, &n, variant & 2 ? size - 12 : BEHIND_HEADER, "eXIf",
                                              e.data + EXIF_NAME, e.size - EXIF_NAME, 1);
                ath_picture p;
                CHECK_OK(ath_png_decode(&p, "turned", turned, n, &(ath_picture_options){0}, &err));
                CHECK(is_upright(&p, &stored, value), "orientation %d, variant %d is not upright", value, variant);
                free(p.pixel);
                free(turned);
            }
        free(data);
    }
}

static void broken_exif_is_no_orientation_and_no_harm(void **state) {
    (void)state;
    const uint8_t pixel[6] = {1, 2, 3, 4, 5, 6};
    uint8_t *data;
    size_t size;
    CHECK_OK(ath_png_save(in_folder("stored.png"), pixel, 2, 3, 1, NULL, 0, &err));
    CHECK_OK(ath_file_read(in_folder("stored.png"), 1 << 20, &data, &size, &err));
    const exif good = orientation(6, false);
    for (size_t len = 0; len <= good.size - EXIF_NAME; len++) {
        size_t n = size;
        uint8_t *cut = with_chunks(data, &n, BEHIND_HEADER, "eXIf", good.data + EXIF_NAME, len, 1);
        ath_picture p;
        CHECK_OK(ath_png_decode(&p, "cut", cut, n, &(ath_picture_options){0}, &err));
        /* the last six bytes are the value's padding and where more would be */
        CHECK(p.h == (len >= good.size - EXIF_NAME - 6 ? 3 : 2), "EXIF cut to %zu bytes: %d rows", len, p.h);
        free(p.pixel);
        free(cut);
    }
    free(data);
}

/* ---- hostile files ---- */

static void load_must_fail(const uint8_t *data, size_t size, const char *what, size_t at) {
    const char *path = in_folder("hostile.png");
    put_file(path, data, size);
    uint8_t *pixel = NULL;
    int h, w, c;
    memset(&err, 0, sizeof err);
    const ath_status status = ath_png_load(path, &pixel, &h, &w, &c, &err);
    CHECK(status == ATH_E_FORMAT, "%s %zu: status %d", what, at, (int)status);
    CHECK(strstr(err.text, path), "%s %zu: \"%s\" does not name the file", what, at, err.text);
    assert_null(pixel);
}

/* A small picture of each of grey, RGB with alpha and interlaced palette, as bytes. */
static uint8_t *small_picture(int which, size_t *size) {
    static const kind kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 8, 0, 0}, {PNG_COLOR_TYPE_RGB_ALPHA, 8, 0, 0}, {PNG_COLOR_TYPE_PALETTE, 4, 1, 0}};
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 4; c++) sample[y][x][c] = noise() & ((1u << kinds[which].depth) - 1);
    write_kind(in_folder("small.png"), kinds[which], which == 1 ? 4 : 1);
    uint8_t *data;
    CHECK_OK(ath_file_read(in_folder("small.png"), 1 << 20, &data, size, &err));
    return data;
}

static void a_file_cut_short_anywhere_is_refused(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        size_t size;
        uint8_t *data = small_picture(which, &size);
        for (size_t n = 0; n < size; n++) load_must_fail(data, n, "cut at", n);
        free(data);
    }
}

static void a_file_with_any_bit_flipped_is_refused_or_reads_the_same(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        size_t size;
        uint8_t *data = small_picture(which, &size), *pixel, *good;
        int h, w, c;
        CHECK_OK(ath_png_load(in_folder("small.png"), &good, &h, &w, &c, &err));
        for (size_t bit = 0; bit < 8 * size; bit++) {
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            const char *path = in_folder("flipped.png");
            put_file(path, data, size);
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            const ath_status status = ath_png_load(path, &pixel, &h, &w, &c, &err);
            if (status == ATH_OK) { /* the gAMA chunk was hit, which changes nothing */
                CHECK(h == H && w == W && memcmp(pixel, good, (size_t)(h * w * c)) == 0, "bit %zu changed the picture",
                      bit);
                free(pixel);
            } else
                CHECK(status == ATH_E_FORMAT, "bit %zu: status %d", bit, (int)status);
        }
        free(good);
        free(data);
    }
}

static void a_header_that_claims_too_many_pixels_is_refused(void **state) {
    (void)state;
    static const uint32_t size[][2] = {
        {11586, 11586}, {1u << 27, 2}, {0x7fffffff, 0x7fffffff}, {0x7fffffff, 1},
        {0, 4},         {4, 0},        {0x80000000, 1},          {0xffffffff, 0xffffffff}};
    size_t n;
    uint8_t *data = small_picture(0, &n);
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        for (int k = 0; k < 4; k++) {
            data[16 + k] = (uint8_t)(size[i][0] >> (24 - 8 * k));
            data[20 + k] = (uint8_t)(size[i][1] >> (24 - 8 * k));
        }
        const unsigned long sum = crc32(0, data + 12, 17);
        for (int k = 0; k < 4; k++) data[29 + k] = (uint8_t)(sum >> (24 - 8 * k));
        load_must_fail(data, n, "size", i);
    }
    free(data);
}

/* A thousand texts that unfold to a gigabyte together are not unfolded. */
static void texts_that_nobody_reads_are_passed_over(void **state) {
    (void)state;
    const uLong len = 1 << 20;
    uint8_t *zeros = calloc(len, 1), text[4096] = "key";
    uLongf packed = sizeof text - 5;
    assert_int_equal(compress2(text + 5, &packed, zeros, len, 9), Z_OK);
    free(zeros);
    size_t n;
    uint8_t *data = small_picture(0, &n), *many = with_chunks(data, &n, BEHIND_HEADER, "zTXt", text, 5 + packed, 1000);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    ath_picture p;
    CHECK_OK(ath_png_decode(&p, "many", many, n, &(ath_picture_options){0}, &err));
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_maxrss < before.ru_maxrss + 50000, "from %ld to %ld KiB", before.ru_maxrss, after.ru_maxrss);
    free(p.pixel);
    free(many);
    free(data);
}

/* 4800 x 4800 pixels of one colour are 22 MiB of grey and 66 MiB of RGB, from 22 and 66 KiB. */
static void a_picture_of_almost_nothing_is_a_bomb(void **state) {
    (void)state;
    enum { SIDE = 4800 };
    uint8_t *pixel = calloc((size_t)SIDE * SIDE, 3);
    assert_non_null(pixel);
    for (int c = 1; c <= 3; c += 2) {
        const char *path = in_folder("bomb.png");
        CHECK_OK(ath_png_save(path, pixel, SIDE, SIDE, c, NULL, 0, &err));
        ath_picture p = {0};
        if (c == 1)
            CHECK_OK(ath_picture_load(&p, path, NULL, &err));
        else
            CHECK_FAILS(ath_picture_load(&p, path, NULL, &err), ATH_E_FORMAT, "bomb.png: would unpack to 69120000");
        free(p.pixel);
    }
    free(pixel);
}

static void what_is_no_png_is_refused_by_name(void **state) {
    (void)state;
    uint8_t *pixel;
    int h, w, c;
    load_must_fail((const uint8_t *)"", 0, "empty", 0);
    load_must_fail((const uint8_t *)"GIF89a..................", 24, "GIF", 0);
    CHECK_FAILS(ath_png_load(in_folder("none.png"), &pixel, &h, &w, &c, &err), ATH_E_IO, "none.png");
    CHECK_FAILS(ath_png_load(folder, &pixel, &h, &w, &c, &err), ATH_E_IO, folder);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_picture_reads_back_byte_for_byte),
        TEST(text_is_kept_and_is_international_when_it_must_be),
        TEST(what_cannot_be_a_picture_is_not_written),
        TEST(a_failed_write_leaves_the_old_picture_and_nothing_else),
        TEST(every_kind_of_png_reads_as_8_bit_grey_or_rgb),
        TEST(transparent_pixels_show_the_background),
        TEST(exif_turns_a_picture_upright),
        TEST(broken_exif_is_no_orientation_and_no_harm),
        TEST(a_file_cut_short_anywhere_is_refused),
        TEST(a_file_with_any_bit_flipped_is_refused_or_reads_the_same),
        TEST(a_header_that_claims_too_many_pixels_is_refused),
        TEST(texts_that_nobody_reads_are_passed_over),
        TEST(a_picture_of_almost_nothing_is_a_bomb),
        TEST(what_is_no_png_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
