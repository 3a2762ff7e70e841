/* Animated GIF files, through giflib: the way from noise to images, to be looked at anywhere. */
#ifndef ATH_IO_GIF_H
#define ATH_IO_GIF_H
#include <stdbool.h>
#include <stdint.h>
#include "base/status.h"

typedef struct ath_gif ath_gif;

/* Begins a GIF of frames (h,w,c), c = 1 (256 greys) or 3 (RGB, each frame in the 256 colours that serve it best), sides up to
 * 65535, beside `path`. `loop`: it is shown again and again, else once. */
ath_status ath_gif_create(ath_gif **out, const char *path, int h, int w, int c, bool loop, ath_err *err);
/* Adds a frame, pixels (h,w,c), shown for `delay` hundredths of a second (1 to 65535; viewers take 2 for the shortest). */
ath_status ath_gif_add(ath_gif *g, const uint8_t *pixel, int delay, ath_err *err);
/* Completes the file, renames it to `path` and destroys `g`. After a failure, here or before, nothing is left of the file.
 * A GIF without frames is refused. */
ath_status ath_gif_finish(ath_gif *g, ath_err *err);
/* Throws the unfinished file away. Accepts NULL. */
void ath_gif_destroy(ath_gif *g);

#endif
