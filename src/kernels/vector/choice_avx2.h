/* Made by bench_conv --choose --isa=avx2: see choice.h. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "WWWWW", "DRRRR", "DRRRR", "DRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DDWWW", "DDWWW", "DDWWW", "DWWWW", "DDWWW", "DWWWW"};
