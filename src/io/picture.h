/* A picture file as 8-bit pixels, whatever its format. */
#ifndef ATH_IO_PICTURE_H
#define ATH_IO_PICTURE_H
#include <stddef.h>
#include <stdint.h>
#include "base/file.h"

typedef struct ath_picture {
    uint8_t *pixel; /* (h,w,c), free() */
    int h, w, c;    /* c = 1 (grey) or 3 (RGB) */
} ath_picture;

/* Most pixels of a picture unless more are allowed, and the most that may be allowed. */
enum { ATH_USUAL_PIXELS = 1 << 27, ATH_MOST_PIXELS = 1 << 30 };

typedef struct ath_picture_options {
    int64_t max_pixels;    /* of the size in the file's header; 0: ATH_USUAL_PIXELS           */
    int most_side;         /* pixels, of the longer side; 0: any                             */
    uint8_t background[3]; /* RGB: what transparent pixels are laid over                     */
    int least_side;        /* 0: full size. Else a JPEG may be read at 1/2, 1/4 or 1/8 of it,
                            * which is faster, where no side gets shorter than this          */
} ath_picture_options;

/* Reads a PNG or JPEG file; its first bytes say which it is. `how` may be NULL. Fails with ATH_E_IO, ATH_E_FORMAT (neither of
 * the two, damaged, cut short, more pixels than allowed, a decompression bomb: base/file.h) or ATH_E_MEM, naming the file;
 * *out is zeroed then. Sizes are held against the limits before memory is taken for them, and the file is never in memory whole. */
ath_status ath_picture_load(ath_picture *out, const char *path, const ath_picture_options *how, ath_err *err);

/* The two decoders; `how` is given. Any PNG: palette, grey and RGB of 1 to 16 bits, with or without alpha, interlaced or not. Any
 * JPEG of 8 bits: grey, YCbCr, RGB, CMYK and YCCK, progressive or not. Both are turned upright as their EXIF orientation says.
 * Colour profiles are left alone. From a reader at the file's start, or from a file in memory, `path` being for messages. */
ath_status ath_png_read(ath_picture *out, ath_reader *r, const ath_picture_options *how, ath_err *err);
ath_status ath_png_decode(ath_picture *out, const char *path, const uint8_t *data, size_t size,
                          const ath_picture_options *how, ath_err *err);
ath_status ath_jpeg_read(ath_picture *out, ath_reader *r, const ath_picture_options *how, ath_err *err);
ath_status ath_jpeg_decode(ath_picture *out, const char *path, const uint8_t *data, size_t size,
                           const ath_picture_options *how, ath_err *err);

/* For the decoders. Fails with ATH_E_FORMAT where w x h pixels are more than `how` allows. */
ath_status ath_picture_check(const char *path, int64_t w, int64_t h, const ath_picture_options *how, ath_err *err);

/* Fails with ATH_E_FORMAT where so many bytes of a picture would come from a file so small that it is a decompression bomb. */
ath_status ath_picture_check_bytes(const ath_reader *r, uint64_t bytes, ath_err *err);

/* "black", "white" or "r,g,b" of 0 to 255 each; else ATH_E_ARG. */
ath_status ath_background_parse(const char *text, uint8_t rgb[3], ath_err *err);

#endif
