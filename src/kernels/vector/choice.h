/* Which algorithm a convolution takes. Where Winograd's fits it is looked up by the channels and the size of an image in
 * a table that `bench_conv --choose` measures and prints, one for each instruction set (ATH_CHOICES). Forward and input
 * gradient depend on the shape of one image alone, so that an image does not see its batch; the weight gradient, a sum over
 * the images, on all of them.
 * Part of template.h. */

/* Rows of the tables: products of channels up to the square of 32, 64, 128, 224, 256, and more. Columns: tiles of an image,
 * up to 1, 4, 16, 63, and more; in the weight gradient tiles of all images, up to 2, 4, 16, 64, and more. D: direct, W:
 * Winograd's with weights that are kept, R: with weights that are made again (there are none in the weight gradient). */
enum { CHANNEL_CLASSES = 6, TILE_CLASSES = 5 };
#include ATH_CHOICES

static int class_of_size(int size, const int *limit, int limits) {
    int class = 0;
    while (class < limits && size > limit[class]) class ++;
    return class;
}

static ath_conv_algorithm look_up(const ath_conv_shape *s, bool weight_grad) {
    static const int channels[] = {32 * 32, 64 * 64, 128 * 128, 224 * 224, 256 * 256};
    static const int of_image[] = {1, 4, 16, 63}, of_all[] = {2, 4, 16, 64};
    const int tiles = ((s->h + STEP - 1) / STEP) * ((s->w + STEP - 1) / STEP);
    const int row = class_of_size(s->c_in * s->c_out, channels, CHANNEL_CLASSES - 1);
    const char letter = weight_grad ? chosen_dw[row][class_of_size(s->n * tiles, of_all, TILE_CLASSES - 1)]
                                    : chosen[row][class_of_size(tiles, of_image, TILE_CLASSES - 1)];
    return letter == 'D' ? ATH_CONV_DIRECT : letter == 'W' ? ATH_CONV_WINOGRAD : ATH_CONV_WINOGRAD_REMADE;
}

static ath_conv_algorithm algorithm_of(const ath_conv_shape *s, ath_conv_pass pass) {
    if (!winograd_fits(s)) return ATH_CONV_DIRECT;
    return s->algorithm != ATH_CONV_CHOSEN ? s->algorithm : look_up(s, pass == ATH_CONV_WEIGHT_GRAD);
}

static bool is_winograd(const ath_conv_shape *s, ath_conv_pass pass) {
    return algorithm_of(s, pass) != ATH_CONV_DIRECT;
}
