/* After bench_conv --choose --isa=avx512 (choice.h), as whole networks were measured. By hand, against its letters: W up to 64 x 64
 * channels and at 16x16 of 128, which eight images at once take up to 1.16 times as fast; R at 16x16 of 256 x 256, for a quarter of the
 * memory; D for single tiles from 128 x 128 on, which one image takes twice as fast. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "DRWWW", "DRWWW", "DRRWW", "DRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DDWWW", "DDWWW", "DDWWW", "DDWWW", "DWWWW", "DWWWW"};
