/* Made by bench_conv --choose --isa=avx2: see choice.h. By hand: D for single tiles beyond 128 x 128 channels, where eight images at
 * once take 1.15 times as long, a single one half. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "RRWWW", "DRRWW", "DRRWW", "DRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DWWWW", "DDWWW", "DDWWW", "DWWWW", "DWWWW", "DWWWW"};
