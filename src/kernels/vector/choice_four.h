/* Made by bench_conv --choose --isa=sse2: see choice.h. By hand: R for the largest weights throughout. W, four times their memory, won
 * by an eighth at most there with eight images, its weights coming from L3, as they do not in a network; and W where R was a close call. */
static const char chosen[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"WWWWW", "WWWWW", "WWWWW", "WWWWW", "RRRRR", "RRRRR"};
static const char chosen_dw[CHANNEL_CLASSES][TILE_CLASSES + 1] = {"DWWWW", "DWWWW", "DWWWW", "DWWWW", "DWWWW", "DWWWW"};
