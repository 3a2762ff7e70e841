/* By bench_conv --choose --isa=avx2: see choice.h. Where it calls for R by hand: W up to 64 x 64 channels, and at 16x16 of 128, which
 * eight images at once take up to 1.1 times as fast; D for single tiles beyond 128 x 128 channels, which one image takes twice as fast. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "RRWWW", "DRRWW", "DRRWW", "DRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DWWWW", "DDWWW", "DDWWW", "DWWWW", "DWWWW", "DWWWW"};
