/* By bench_conv --choose --isa=avx512: see choice.h. Where it calls for R by hand: W up to 64 x 64 channels, and at 16x16, which eight
 * images at once take up to 1.16 times as fast; D for single tiles beyond, which one image takes twice as fast. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "DRWWW", "DRWWW", "DRRWW", "DRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DDWWW", "DDWWW", "DDWWW", "DDWWW", "DWWWW", "DWWWW"};
