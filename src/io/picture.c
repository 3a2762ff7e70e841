/* Which decoder a picture is for: see picture.h. */
#define _POSIX_C_SOURCE 200809L
#include "io/picture.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ath_status ath_picture_check(const char *path, int64_t w, int64_t h, const ath_picture_options *how, ath_err *err) {
    const int64_t most = how->max_pixels ? how->max_pixels : ATH_USUAL_PIXELS;
    if (w < 1 || h < 1 || w > most / h) /* no product to overflow */
        return ath_fail(err, ATH_E_FORMAT, "%s: has %lld x %lld pixels, expected at most %lld in all: see --max-pixels",
                        path, (long long)w, (long long)h, (long long)most);
    if (how->most_side && (w > how->most_side || h > how->most_side))
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: has %lld x %lld pixels, expected at most %d on a side: see --image-size", path,
                        (long long)w, (long long)h, how->most_side);
    return ATH_OK;
}

ath_status ath_picture_check_bytes(const ath_reader *r, uint64_t bytes, ath_err *err) {
    if (r->size < 0 || !ath_is_bomb(bytes, (uint64_t)r->size)) return ATH_OK;
    return ath_fail(err, ATH_E_FORMAT,
                    "%s: would unpack to %llu bytes, more than 256 times its %lld, as no pictures do", r->path,
                    (unsigned long long)bytes, (long long)r->size);
}

static ath_status read_either(ath_picture *out, ath_reader *r, const ath_picture_options *how, ath_err *err) {
    static const uint8_t png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[] = {0xff, 0xd8, 0xff};
    const ath_picture_options usual = {0};
    uint8_t head[sizeof png];
    const size_t got = fread(head, 1, sizeof head, r->file);
    if (ferror(r->file) || fseek(r->file, 0, SEEK_SET) != 0)
        return ath_fail(err, ATH_E_IO, "%s: cannot read: %s", r->path, strerror(errno));
    if (got == sizeof png && memcmp(head, png, sizeof png) == 0) return ath_png_read(out, r, how ? how : &usual, err);
    if (got >= sizeof jpeg && memcmp(head, jpeg, sizeof jpeg) == 0)
        return ath_jpeg_read(out, r, how ? how : &usual, err);
    return ath_fail(err, ATH_E_FORMAT, "%s: neither a PNG nor a JPEG file", r->path);
}

ath_status ath_picture_load(ath_picture *out, const char *path, const ath_picture_options *how, ath_err *err) {
    *out = (ath_picture){0};
    ath_reader r;
    ATH_TRY(ath_reader_open(&r, path, err));
    const ath_status status = read_either(out, &r, how, err);
    ath_reader_close(&r);
    return status;
}

typedef ath_status decoder(ath_picture *out, ath_reader *r, const ath_picture_options *how, ath_err *err);

static ath_status decode(decoder *read, ath_picture *out, const char *path, const uint8_t *data, size_t size,
                         const ath_picture_options *how, ath_err *err) {
    *out = (ath_picture){0};
    if (size == 0) return ath_fail(err, ATH_E_FORMAT, "%s: the file is empty", path); /* which fmemopen refuses */
    /* opened for reading alone: nothing is written through the cast */
    ath_reader r = {path, fmemopen((void *)(uintptr_t)data, size, "rb"), (int64_t)size};
    if (!r.file) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    const ath_status status = read(out, &r, how, err);
    ath_reader_close(&r);
    return status;
}

ath_status ath_png_decode(ath_picture *out, const char *path, const uint8_t *data, size_t size,
                          const ath_picture_options *how, ath_err *err) {
    return decode(ath_png_read, out, path, data, size, how, err);
}

ath_status ath_jpeg_decode(ath_picture *out, const char *path, const uint8_t *data, size_t size,
                           const ath_picture_options *how, ath_err *err) {
    return decode(ath_jpeg_read, out, path, data, size, how, err);
}

static bool parse_rgb(const char *text, uint8_t rgb[3]) {
    for (int k = 0; k < 3; k++) {
        int value = 0, digits = 0;
        for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++) value = 10 * value + (*text - '0');
        if (digits == 0 || value > 255 || *text != (k < 2 ? ',' : 0)) return false;
        rgb[k] = (uint8_t)value;
        text++;
    }
    return true;
}

ath_status ath_background_parse(const char *text, uint8_t rgb[3], ath_err *err) {
    if (strcmp(text, "black") == 0 || strcmp(text, "white") == 0) {
        memset(rgb, text[0] == 'w' ? 255 : 0, 3);
        return ATH_OK;
    }
    uint8_t given[3];
    if (!parse_rgb(text, given))
        return ath_fail(err, ATH_E_ARG, "background: \"%.100s\", expected black, white or r,g,b of 0 to 255 each",
                        text);
    memcpy(rgb, given, 3);
    return ATH_OK;
}
