/* JPEG files (ITU-T T.81), through libjpeg-turbo: see picture.h. libjpeg reports faults by a
 * callback that must not return; as in png.c each setjmp sits in a function that owns nothing and
 * changes no local that is read after the jump: what must be freed lives in a job of the caller. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* jpeglib.h needs stdio.h before it */
#include <jpeglib.h>
/* and this one jpeglib.h */
#include <jerror.h>
#include "base/file.h"
#include "io/exif.h"
#include "io/picture.h"

enum { EXIF = JPEG_APP0 + 1, MAX_SCANS = 200 };

typedef struct jpeg_job {
    struct jpeg_error_mgr errors; /* first: libjpeg hands out a pointer to it */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    ath_picture picture;
    uint8_t *cmyk; /* (w,4): a row before it becomes RGB; NULL for other colours */
} jpeg_job;

/* ---- libjpeg's callbacks ---- */

static void on_error(j_common_ptr jpeg) {
    jpeg_job *job = (jpeg_job *)(void *)jpeg->err;
    jpeg->err->format_message(jpeg, job->message);
    longjmp(job->back, 1);
}

/* A warning (negative) means that pixels were made up, and is an error here, but for those that
 * photographs from cameras and old programs cause: padding between segments, a new JFIF version. */
static void on_message(j_common_ptr jpeg, int level) {
    const int code = jpeg->err->msg_code;
    const bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM;
    if (level < 0 && !harmless) on_error(jpeg);
}

static void on_output(j_common_ptr jpeg) { (void)jpeg; }

/* A small progressive file can ask for any number of passes over a large picture. */
static void on_progress(j_common_ptr jpeg) {
    jpeg_job *job = (jpeg_job *)(void *)jpeg->err;
    if (job->jpeg.input_scan_number <= MAX_SCANS) return;
    snprintf(job->message, sizeof job->message, "more than %d scans", MAX_SCANS);
    longjmp(job->back, 1);
}

static int orientation_of(const jpeg_job *job) {
    static const char name[6] = "Exif\0";
    for (const struct jpeg_marker_struct *m = job->jpeg.marker_list; m; m = m->next) {
        if (m->data_length < sizeof name || memcmp(m->data, name, sizeof name) != 0) continue;
        const int found = ath_exif_orientation(m->data + sizeof name, m->data_length - sizeof name);
        if (found) return found;
    }
    return 0;
}

/* ---- reading ---- */

static bool read_head(jpeg_job *job, FILE *file) {
    if (setjmp(job->back)) return false;
    jpeg_create_decompress(&job->jpeg);
    job->jpeg.progress = &job->progress;
    jpeg_stdio_src(&job->jpeg, file);
    jpeg_save_markers(&job->jpeg, EXIF, 0xffff);
    jpeg_read_header(&job->jpeg, TRUE);
    return true;
}

/* How many eighths of the full size to read. */
static unsigned choose_scale(const jpeg_job *job, int least_side) {
    const uint64_t w = job->jpeg.image_width, h = job->jpeg.image_height, side = w < h ? w : h;
    unsigned eighths = 8;
    while (least_side > 0 && eighths > 1 && side * (eighths / 2) / 8 >= (uint64_t)least_side) eighths /= 2;
    return eighths;
}

static bool start(jpeg_job *job, unsigned eighths) {
    if (setjmp(job->back)) return false;
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    const J_COLOR_SPACE stored = jpeg->jpeg_color_space;
    jpeg->out_color_space = stored == JCS_GRAYSCALE                    ? JCS_GRAYSCALE
                            : stored == JCS_CMYK || stored == JCS_YCCK ? JCS_CMYK
                                                                       : JCS_RGB;
    jpeg->scale_num = eighths;
    jpeg->scale_denom = 8;
    jpeg->dct_method = JDCT_ISLOW; /* exact integers: the same pixels on every machine */
    jpeg_start_decompress(jpeg);
    return true;
}

/* Ink to light. Adobe's programs write CMYK inverted, and say that they wrote it. */
static void cmyk_to_rgb(const uint8_t *cmyk, size_t n, bool inverted, uint8_t *rgb) {
    const unsigned invert = inverted ? 0 : 255;
    for (size_t i = 0; i < n; i++) {
        const unsigned k = cmyk[4 * i + 3] ^ invert;
        for (size_t j = 0; j < 3; j++) rgb[3 * i + j] = (uint8_t)(((cmyk[4 * i + j] ^ invert) * k + 127) / 255);
    }
}

/* Reads the pixels and on to the end, so that every fault is seen. */
static bool read_rows(jpeg_job *job) {
    if (setjmp(job->back)) return false;
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    const size_t stride = (size_t)job->picture.w * (size_t)job->picture.c;
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *to = job->picture.pixel + (size_t)jpeg->output_scanline * stride;
        JSAMPROW row = job->cmyk ? job->cmyk : to;
        if (jpeg_read_scanlines(jpeg, &row, 1) != 1) return false;
        if (job->cmyk) cmyk_to_rgb(job->cmyk, (size_t)job->picture.w, jpeg->saw_Adobe_marker, to);
    }
    jpeg_finish_decompress(jpeg);
    return true;
}

static ath_status allocate(jpeg_job *job, const char *path, ath_err *err) {
    ath_picture *p = &job->picture;
    p->h = (int)job->jpeg.output_height;
    p->w = (int)job->jpeg.output_width;
    p->c = job->jpeg.out_color_space == JCS_GRAYSCALE ? 1 : 3;
    p->pixel = malloc((size_t)p->h * (size_t)p->w * (size_t)p->c);
    const bool inks = job->jpeg.out_color_space == JCS_CMYK;
    if (inks) job->cmyk = malloc((size_t)p->w * 4);
    if (!p->pixel || (inks && !job->cmyk))
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for %d x %d pixels", path, p->w, p->h);
    return ATH_OK;
}

/* Bytes that decoding takes: the pixels, and of a file of several scans every coefficient. */
static uint64_t bytes_of(jpeg_job *job, unsigned eighths) {
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    const uint64_t area = (uint64_t)jpeg->image_width * jpeg->image_height;
    const uint64_t pixels = area * eighths * eighths / 64 * (jpeg->num_components == 1 ? 1 : 3);
    if (!jpeg_has_multiple_scans(jpeg)) return pixels;
    uint64_t coefficients = 0; /* a component has h v / (H V) of the picture's area, H and V the most of any */
    const uint64_t most = (uint64_t)jpeg->max_h_samp_factor * (uint64_t)jpeg->max_v_samp_factor;
    for (int k = 0; k < jpeg->num_components; k++) {
        const jpeg_component_info *c = &jpeg->comp_info[k];
        coefficients += area * (uint64_t)c->h_samp_factor * (uint64_t)c->v_samp_factor / most;
    }
    return pixels + coefficients * sizeof(JCOEF);
}

static ath_status decode(jpeg_job *job, ath_reader *r, const ath_picture_options *how, ath_err *err) {
    const char *path = r->path;
    if (!read_head(job, r->file)) return ath_fail(err, ATH_E_FORMAT, "%s: damaged JPEG: %s", path, job->message);
    ATH_TRY(ath_picture_check(path, job->jpeg.image_width, job->jpeg.image_height, how, err));
    const int orientation = orientation_of(job);
    const unsigned eighths = choose_scale(job, how->least_side);
    ATH_TRY(ath_picture_check_bytes(r, bytes_of(job, eighths), err));
    if (!start(job, eighths)) return ath_fail(err, ATH_E_FORMAT, "%s: damaged JPEG: %s", path, job->message);
    ATH_TRY(allocate(job, path, err));
    if (!read_rows(job)) return ath_fail(err, ATH_E_FORMAT, "%s: damaged JPEG: %s", path, job->message);
    return ath_exif_turn(&job->picture, orientation, path, err);
}

ath_status ath_jpeg_read(ath_picture *out, ath_reader *r, const ath_picture_options *how, ath_err *err) {
    jpeg_job job = {.progress.progress_monitor = on_progress};
    job.jpeg.err = jpeg_std_error(&job.errors);
    job.errors.error_exit = on_error;
    job.errors.emit_message = on_message;
    job.errors.output_message = on_output;
    const ath_status status = decode(&job, r, how, err);
    jpeg_destroy_decompress(&job.jpeg);
    free(job.cmyk);
    if (status != ATH_OK) {
        free(job.picture.pixel);
        job.picture = (ath_picture){0};
    }
    *out = job.picture;
    return status;
}
