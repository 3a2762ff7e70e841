/* Animated GIF files: see gif.h. giflib's writer gets a callback, so that the file is written as every other is. */
#include "io/gif.h"
#include <gif_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "io/palette.h"

enum { MOST = 65535 /* of a side, of a delay: 16 bits */ };

struct ath_gif {
    ath_writer writer;
    GifFileType *file;
    int h, w, c, frames;
    bool broken;    /* an earlier call failed: there is nothing to finish */
    uint8_t *index; /* (h,w), into a frame's palette; giflib writes to what it is given */
};

static int put_bytes(GifFileType *file, const GifByteType *bytes, int n) {
    return (int)fwrite(bytes, 1, (size_t)n, file->UserData);
}

static ath_status fail_within_giflib(ath_gif *g, ath_err *err) {
    const char *why = GifErrorString(g->file->Error);
    g->broken = true;
    return ath_fail(err, ATH_E_IO, "%s: cannot write: %s", g->writer.path, why ? why : "giflib gave up");
}

static ColorMapObject *greys(void) {
    GifColorType grey[256];
    for (int i = 0; i < 256; i++) grey[i] = (GifColorType){(GifByteType)i, (GifByteType)i, (GifByteType)i};
    return GifMakeMapObject(256, grey);
}

/* The screen, and Netscape's block that says how often to show the frames: 0 for ever. */
static ath_status begin(ath_gif *g, bool loop, ath_err *err) {
    static const uint8_t for_ever[3] = {1, 0, 0};
    ColorMapObject *map = g->c == 1 ? greys() : NULL;
    if (g->c == 1 && !map) return ath_fail(err, ATH_E_MEM, "%s: out of memory for a palette", g->writer.path);
    EGifSetGifVersion(g->file, true);
    bool ok = EGifPutScreenDesc(g->file, g->w, g->h, 8, 0, map) == GIF_OK;
    GifFreeMapObject(map);
    if (ok && loop)
        ok = EGifPutExtensionLeader(g->file, APPLICATION_EXT_FUNC_CODE) == GIF_OK &&
             EGifPutExtensionBlock(g->file, 11, "NETSCAPE2.0") == GIF_OK &&
             EGifPutExtensionBlock(g->file, sizeof for_ever, for_ever) == GIF_OK &&
             EGifPutExtensionTrailer(g->file) == GIF_OK;
    return ok ? ATH_OK : fail_within_giflib(g, err);
}

ath_status ath_gif_create(ath_gif **out, const char *path, int h, int w, int c, bool loop, ath_err *err) {
    *out = NULL;
    if (h < 1 || w < 1 || h > MOST || w > MOST || (c != 1 && c != 3))
        return ath_fail(
            err, ATH_E_ARG,
            "%s: cannot write a GIF of %d x %d pixels and %d channels: expected sides of 1 to %d pixels and 1 "
            "or 3 channels",
            path, w, h, c, MOST);
    ath_gif *g = calloc(1, sizeof *g);
    if (!g) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    g->h = h;
    g->w = w;
    g->c = c;
    ath_status status = ath_writer_open(&g->writer, path, err);
    if (status == ATH_OK && !(g->index = malloc((size_t)h * (size_t)w)))
        status = ath_fail(err, ATH_E_MEM, "%s: out of memory for frames of %d x %d pixels", path, w, h);
    int why = 0;
    if (status == ATH_OK && !(g->file = EGifOpen(g->writer.file, put_bytes, &why)))
        status = ath_fail(err, ATH_E_MEM, "%s: giflib could not start (%d)", path, why);
    if (status == ATH_OK) status = begin(g, loop, err);
    if (status != ATH_OK) {
        ath_gif_destroy(g);
        return status;
    }
    *out = g;
    return ATH_OK;
}

/* An image's own palette; GIF wants a power of two of colours. */
static ColorMapObject *palette_of(const uint8_t *colour, int n) {
    ColorMapObject *map = GifMakeMapObject(1 << GifBitSize(n), NULL);
    for (int i = 0; map && i < n; i++)
        map->Colors[i] = (GifColorType){colour[3 * i], colour[3 * i + 1], colour[3 * i + 2]};
    return map;
}

/* The frame in g->index. */
static ath_status put_frame(ath_gif *g, const ColorMapObject *map, int delay, ath_err *err) {
    const GraphicsControlBlock control = {
        .DisposalMode = DISPOSE_DO_NOT, .DelayTime = delay, .TransparentColor = NO_TRANSPARENT_COLOR};
    GifByteType block[4];
    const int size = (int)EGifGCBToExtension(&control, block);
    bool ok = EGifPutExtension(g->file, GRAPHICS_EXT_FUNC_CODE, size, block) == GIF_OK &&
              EGifPutImageDesc(g->file, 0, 0, g->w, g->h, false, map) == GIF_OK;
    for (int y = 0; ok && y < g->h; y++) ok = EGifPutLine(g->file, g->index + (size_t)y * (size_t)g->w, g->w) == GIF_OK;
    if (!ok) return fail_within_giflib(g, err);
    g->frames++;
    return ATH_OK;
}

static ath_status put_colour_frame(ath_gif *g, const uint8_t *pixel, int delay, ath_err *err) {
    uint8_t colour[3 * ATH_PALETTE_COLOURS];
    int n;
    const ath_status fitted = ath_palette_fit(pixel, (size_t)g->h * (size_t)g->w, colour, &n, g->index, err);
    ColorMapObject *map = fitted == ATH_OK ? palette_of(colour, n) : NULL;
    if (!map) {
        g->broken = true;
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for a palette", g->writer.path);
    }
    const ath_status status = put_frame(g, map, delay, err);
    GifFreeMapObject(map);
    return status;
}

ath_status ath_gif_add(ath_gif *g, const uint8_t *pixel, int delay, ath_err *err) {
    if (delay < 1 || delay > MOST)
        return ath_fail(err, ATH_E_ARG, "%s: a frame cannot be shown for %d/100 s: expected 1 to %d", g->writer.path,
                        delay, MOST);
    if (g->c == 3) return put_colour_frame(g, pixel, delay, err);
    memcpy(g->index, pixel, (size_t)g->h * (size_t)g->w);
    return put_frame(g, NULL, delay, err);
}

ath_status ath_gif_finish(ath_gif *g, ath_err *err) {
    ath_status status = ATH_OK;
    if (g->broken || g->frames == 0)
        status = ath_fail(err, ATH_E_ARG, "%s: cannot finish a GIF %s", g->writer.path,
                          g->broken ? "of which a frame could not be written" : "without frames");
    if (status == ATH_OK) {
        const int closed = EGifCloseFile(g->file, NULL); /* frees it in any case; what was not written, commit finds */
        g->file = NULL;
        status = closed == GIF_OK ? ath_writer_commit(&g->writer, err)
                                  : ath_fail(err, ATH_E_IO, "%s: cannot write the end of the GIF", g->writer.path);
    }
    ath_gif_destroy(g);
    return status;
}

void ath_gif_destroy(ath_gif *g) {
    if (!g) return;
    if (g->file) EGifCloseFile(g->file, NULL);
    ath_writer_abort(&g->writer);
    free(g->index);
    free(g);
}
