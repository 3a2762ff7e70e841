/* Made by bench_conv --choose --isa=avx512: see choice.h. Two close calls of single tiles by hand: W up to 64 x 64 channels, which
 * eight images at once decide, and D beyond 256 x 256, which a single image does. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "DRWWW", "DRWWW", "DRRWW", "DRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DDWWW", "DDWWW", "DDWWW", "DDWWW", "DWWWW", "DWWWW"};
