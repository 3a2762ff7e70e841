/* Which decoder a picture is for: see picture.h. */
#include "io/picture.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

enum { MAX_FILE = 1 << 30 }; /* bytes: 2^27 pixels of 16-bit RGBA before compression */

ath_status ath_picture_check(const char *path, int64_t w, int64_t h, const ath_picture_options *how, ath_err *err) {
    const int64_t most = how->max_pixels ? how->max_pixels : ATH_USUAL_PIXELS;
    if (w < 1 || h < 1 || w > most / h) /* no product to overflow */
        return ath_fail(err, ATH_E_FORMAT, "%s: has %lld x %lld pixels, expected at most %lld in all: see --max-pixels",
                        path, (long long)w, (long long)h, (long long)most);
    return ATH_OK;
}

ath_status ath_picture_load(ath_picture *out, const char *path, const ath_picture_options *how, ath_err *err) {
    static const uint8_t png[] = {0x89, 'P', 'N', 'G'}, jpeg[] = {0xff, 0xd8, 0xff};
    const ath_picture_options usual = {0};
    *out = (ath_picture){0};
    uint8_t *data;
    size_t size;
    ATH_TRY(ath_file_read(path, MAX_FILE, &data, &size, err));
    ath_status status;
    if (size >= sizeof png && memcmp(data, png, sizeof png) == 0)
        status = ath_png_decode(out, path, data, size, how ? how : &usual, err);
    else if (size >= sizeof jpeg && memcmp(data, jpeg, sizeof jpeg) == 0)
        status = ath_jpeg_decode(out, path, data, size, how ? how : &usual, err);
    else
        status = ath_fail(err, ATH_E_FORMAT, "%s: neither a PNG nor a JPEG file", path);
    free(data);
    return status;
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
