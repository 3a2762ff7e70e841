/* Made by bench_conv --choose --isa=avx512: see choice.h. By hand: W at 128 x 128 channels and one tile, a close call there, which
 * eight images at once decide. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "WWWWW", "DRRWW", "DRRRR", "DRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DDWWW", "DDWWW", "DDWWW", "DDWWW", "DDWWW", "DDWWW"};
