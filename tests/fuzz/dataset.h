/* A data set as the targets of its formats read it: with options that one byte chooses. */
#ifndef ATH_TESTS_FUZZ_DATASET_H
#define ATH_TESTS_FUZZ_DATASET_H
#include "fuzz.h"
#include "io/dataset.h"

enum { FUZZ_MOST_PIXELS = 1 << 18 }; /* of a picture; more would take time and find nothing else */

static inline void fuzz_read_dataset(const char *path, uint8_t choice) {
    static const int size[] = {0, 1, 7, 64}, channels[] = {0, 1, 3, 0};
    ath_dataset_options options = {.image_size = size[choice & 3],
                                   .channels = channels[choice >> 2 & 3],
                                   .test_split = choice >> 4 & 1,
                                   .coarse_labels = choice >> 5 & 1,
                                   .skip_broken = choice >> 6 & 1,
                                   .background = {choice, choice & 128 ? choice : 0, choice},
                                   .max_pixels = FUZZ_MOST_PIXELS,
                                   .threads = 1};
    ath_dataset d;
    ath_err err = {0};
    const ath_status status = ath_dataset_open(&d, path, &options, &err);
    fuzz_check(status, &err);
    if (status != ATH_OK) return;
    const size_t len = (size_t)d.h * (size_t)d.w * (size_t)d.c;
    float *x = malloc(len * sizeof *x);
    if (!x || d.n < 1) fuzz_fail("no image");
    for (int i = 0; i < d.n; i++) {
        if (i == 0 || i == d.n - 1) ath_dataset_image(&d, i, i == 0, x);
        if (d.label && (d.label[i] < 0 || d.label[i] >= d.n_class)) fuzz_fail("a label of no class");
    }
    for (int k = 0; k < d.n_class; k++)
        if (!d.class_name[k]) fuzz_fail("a class without a name");
    free(x);
    ath_dataset_close(&d);
}

#endif
