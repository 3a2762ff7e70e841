/* The 256 colours that serve a picture best: Wu's colour quantisation (X. Wu, "Efficient statistical computations for
 * optimal color quantization", Graphics Gems II, 1991). Private to src/io. */
#ifndef ATH_IO_PALETTE_H
#define ATH_IO_PALETTE_H
#include <stdint.h>
#include "base/status.h"

enum { ATH_PALETTE_COLOURS = 256 };

/* Replaces n pixels of 3 bytes by indices (n) into `colour` (256,3), of which *n_colour are used, at least 1. The picture is
 * drawn as it is, not dithered: neighbouring frames of an animation would crawl. Fails with ATH_E_MEM. */
ath_status ath_palette_fit(const uint8_t *rgb, size_t n, uint8_t *colour, int *n_colour, uint8_t *index, ath_err *err);

#endif
