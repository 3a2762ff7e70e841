/* Made by bench_conv --choose --isa=sse2: see choice.h. By hand: R for the largest weights throughout. W, four times their memory, wins
 * by a tenth or a fifth there with eight images; and D or W in close calls. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "WWWWW", "WWWWW", "RRRRR", "RRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DWWWW", "DWWWW", "DWWWW", "DWWWW", "DWWWW", "DWWWW"};
