/* 8-bit PNG files: see png.h. libpng reports faults by longjmp; here each setjmp sits in
 * a function that owns nothing and changes no local that is read after the jump: what
 * must be freed lives in a job of the caller. Gamma and colour profiles are left alone:
 * a byte in the file is a byte in memory. */
#include "io/png.h"
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "base/file.h"
#include "base/text.h"
#include "io/exif.h"
#include "io/picture.h"

enum { MAX_CHUNK = 1 << 23 /* bytes, of one that is kept */ };

/* What the two directions share: libpng's handles and its last words. */
typedef struct png_job {
    png_structp png;
    png_infop info;
    char message[160];
    /* reading */
    FILE *file;
    uint8_t *pixel; /* rows as libpng gives them: `channels` bytes a pixel */
    int h, w, channels;
} png_job;

static void on_error(png_structp png, png_const_charp message) {
    png_job *job = png_get_error_ptr(png);
    snprintf(job->message, sizeof job->message, "%s", message);
    png_longjmp(png, 1);
}

/* libpng's warnings are faults in what is not needed to show the picture. */
static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

/* ---- writing ---- */

static void put_bytes(png_structp png, png_bytep bytes, size_t n) {
    FILE *file = png_get_io_ptr(png);
    if (fwrite(bytes, 1, n, file) != n) png_error(png, strerror(errno));
}

/* Flushing is the writer's, at commit. */
static void put_flush(png_structp png) { (void)png; }

static bool is_ascii(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s > 126) return false;
    return true;
}

static bool is_utf8(const char *s) {
    for (int n; (n = ath_utf8_length(s)) > 0;) s += n;
    return *s == 0;
}

/* PNG 1.2, 11.3.4.2: 1-79 printable characters, no space at either end, no two together. */
static bool is_keyword(const char *s) {
    const size_t len = strlen(s);
    if (len < 1 || len > 79 || s[0] == ' ' || s[len - 1] == ' ') return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] < 32 || s[i] > 126 || (s[i] == ' ' && s[i + 1] == ' ')) return false;
    return true;
}

/* Text that is UTF-8 beyond ASCII goes out as iTXt, whose text is UTF-8; anything else
 * is what tEXt holds: ASCII, or bytes that can only be meant as Latin-1. */
static void describe_text(png_textp chunk, const ath_png_text *text) {
    const bool international = !is_ascii(text->value) && is_utf8(text->value);
    *chunk = (png_text){0};
    chunk->compression = international ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE;
    /* libpng copies both; its fields are not const because it uses the struct both ways */
    chunk->key = (png_charp)(uintptr_t)text->key;
    chunk->text = (png_charp)(uintptr_t)text->value;
    if (international)
        chunk->itxt_length = strlen(text->value);
    else
        chunk->text_length = strlen(text->value);
}

static bool write_png(png_job *job, FILE *file, const uint8_t *pixel, int h, int w, int c, const ath_png_text *text,
                      int n_text) {
    if (setjmp(png_jmpbuf(job->png))) return false;
    png_set_user_limits(job->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_write_fn(job->png, file, put_bytes, put_flush);
    /* Pictures are as small as by default in a fifth of the time, plots 1.2 times as large. */
    png_set_compression_strategy(job->png, Z_RLE);
    png_set_IHDR(job->png, job->info, (png_uint_32)w, (png_uint_32)h, 8,
                 c == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; i < n_text; i++) {
        png_text chunk;
        describe_text(&chunk, &text[i]);
        png_set_text(job->png, job->info, &chunk, 1);
    }
    png_write_info(job->png, job->info);
    const size_t stride = (size_t)w * (size_t)c;
    for (int y = 0; y < h; y++) png_write_row(job->png, pixel + (size_t)y * stride);
    png_write_end(job->png, NULL);
    return true;
}

ath_status ath_png_save(const char *path, const uint8_t *pixel, int h, int w, int c, const ath_png_text *text,
                        int n_text, ath_err *err) {
    if (h < 1 || w < 1 || (c != 1 && c != 3))
        return ath_fail(err, ATH_E_ARG,
                        "%s: cannot write a picture of %d x %d pixels and %d channels: expected 1 or 3 channels", path,
                        w, h, c);
    for (int i = 0; i < n_text; i++) {
        if (!is_keyword(text[i].key))
            return ath_fail(err, ATH_E_ARG,
                            "%s: \"%.80s\" is no PNG text key: expected 1 to 79 printable ASCII characters", path,
                            text[i].key);
    }
    ath_writer writer;
    ATH_TRY(ath_writer_open(&writer, path, err));
    png_job job = {0};
    job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    if (job.png) job.info = png_create_info_struct(job.png);
    bool done = false;
    if (job.info)
        done = write_png(&job, writer.file, pixel, h, w, c, text, n_text);
    else
        snprintf(job.message, sizeof job.message, "libpng could not start");
    png_destroy_write_struct(&job.png, &job.info);
    if (!done) {
        ath_writer_abort(&writer);
        return ath_fail(err, ATH_E_IO, "%s: cannot write: %s", path, job.message);
    }
    return ath_writer_commit(&writer, err);
}

/* ---- reading ---- */

static void get_bytes(png_structp png, png_bytep bytes, size_t n) {
    png_job *job = png_get_io_ptr(png);
    if (fread(bytes, 1, n, job->file) != n)
        png_error(png, ferror(job->file) ? strerror(errno) : "the file ends too early");
}

/* Chunks that may unfold to much, each of up to a thousand in a file, and that no pixel depends on. */
static const png_byte passed_over[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT";

static bool read_head(png_job *job) {
    if (setjmp(png_jmpbuf(job->png))) return false;
    png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, passed_over, (int)sizeof passed_over / 5);
    png_set_user_limits(job->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* the limit is ours, on the product */
    png_set_chunk_malloc_max(job->png, MAX_CHUNK);
    png_set_read_fn(job->png, job, get_bytes);
    png_read_info(job->png, job->info);
    job->h = (int)png_get_image_height(job->png, job->info);
    job->w = (int)png_get_image_width(job->png, job->info);
    return true;
}

/* Asks for 8-bit grey or RGB, with alpha where there is any; RGB where a grey one has a coloured background. */
static bool prepare(png_job *job, bool coloured) {
    if (setjmp(png_jmpbuf(job->png))) return false;
    const bool alpha = png_get_color_type(job->png, job->info) & PNG_COLOR_MASK_ALPHA ||
                       png_get_valid(job->png, job->info, PNG_INFO_tRNS);
    png_set_scale_16(job->png);
    png_set_expand(job->png); /* palette to RGB, 1-4 bit grey to 8, a transparent colour to alpha */
    if (coloured && alpha) png_set_gray_to_rgb(job->png);
    (void)png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
    job->channels = png_get_channels(job->png, job->info);
    return true;
}

/* Reads the pixels and on to the end, so that every checksum is seen, and what may stand behind the pixels: an eXIf chunk. */
static bool read_rows(png_job *job) {
    if (setjmp(png_jmpbuf(job->png))) return false;
    const size_t stride = png_get_rowbytes(job->png, job->info);
    const int passes =
        png_get_interlace_type(job->png, job->info) == PNG_INTERLACE_NONE ? 1 : PNG_INTERLACE_ADAM7_PASSES;
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < job->h; y++) png_read_row(job->png, job->pixel + (size_t)y * stride, NULL);
    png_read_end(job->png, job->info);
    return true;
}

/* Lays c channels and alpha over the background. In place; each pixel moves forward or stays. */
static void drop_alpha(uint8_t *pixel, size_t n, int c, const uint8_t *background) {
    for (size_t i = 0; i < n; i++) {
        const uint8_t *from = pixel + i * (size_t)(c + 1);
        const unsigned alpha = from[c];
        for (int k = 0; k < c; k++)
            pixel[i * (size_t)c + (size_t)k] = (uint8_t)((from[k] * alpha + background[k] * (255 - alpha) + 127) / 255);
    }
}

static int orientation_of(png_job *job) {
    png_uint_32 size;
    png_bytep exif;
    return png_get_eXIf_1(job->png, job->info, &size, &exif) ? ath_exif_orientation(exif, size) : 0;
}

static ath_status decode(png_job *job, const ath_reader *r, const ath_picture_options *how, ath_err *err) {
    const char *path = r->path;
    job->file = r->file;
    job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
    if (job->png) job->info = png_create_info_struct(job->png);
    if (!job->info) return ath_fail(err, ATH_E_MEM, "%s: libpng could not start", path);
    if (!read_head(job)) return ath_fail(err, ATH_E_FORMAT, "%s: damaged PNG: %s", path, job->message);
    ATH_TRY(ath_picture_check(path, job->w, job->h, how, err));
    const uint8_t *ground = how->background;
    if (!prepare(job, ground[0] != ground[1] || ground[1] != ground[2]))
        return ath_fail(err, ATH_E_FORMAT, "%s: damaged PNG: %s", path, job->message);
    const size_t n = (size_t)job->h * (size_t)job->w;
    ATH_TRY(ath_picture_check_bytes(r, (uint64_t)n * (uint64_t)job->channels, err));
    job->pixel = calloc(n, (size_t)job->channels);
    if (!job->pixel) return ath_fail(err, ATH_E_MEM, "%s: out of memory for %d x %d pixels", path, job->w, job->h);
    if (!read_rows(job)) return ath_fail(err, ATH_E_FORMAT, "%s: damaged PNG: %s", path, job->message);
    if (job->channels % 2 == 0) { /* grey and alpha, or RGB and alpha */
        job->channels--;
        drop_alpha(job->pixel, n, job->channels, ground);
        uint8_t *smaller = realloc(job->pixel, n * (size_t)job->channels);
        if (smaller) job->pixel = smaller;
    }
    return ATH_OK;
}

ath_status ath_png_read(ath_picture *out, ath_reader *r, const ath_picture_options *how, ath_err *err) {
    *out = (ath_picture){0};
    png_job job = {0};
    ath_status status = decode(&job, r, how, err);
    const int orientation = status == ATH_OK ? orientation_of(&job) : 0;
    png_destroy_read_struct(&job.png, &job.info, NULL);
    ath_picture picture = {job.pixel, job.h, job.w, job.channels};
    if (status == ATH_OK) status = ath_exif_turn(&picture, orientation, r->path, err);
    if (status == ATH_OK)
        *out = picture;
    else
        free(picture.pixel);
    return status;
}

ath_status ath_png_load(const char *path, uint8_t **pixel, int *h, int *w, int *c, ath_err *err) {
    ath_reader r;
    ATH_TRY(ath_reader_open(&r, path, err));
    ath_picture picture;
    const ath_status status = ath_png_read(&picture, &r, &(ath_picture_options){0}, err);
    ath_reader_close(&r);
    ATH_TRY(status);
    *pixel = picture.pixel;
    *h = picture.h;
    *w = picture.w;
    *c = picture.c;
    return ATH_OK;
}
