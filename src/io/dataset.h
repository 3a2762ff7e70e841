/* Image data sets, whole in memory as bytes; floats are made image by image.
 * The format is recognised from the path:
 *   - an IDX file of images (.gz or not), or a folder that holds MNIST's four:
 *     train-images-idx3-ubyte[.gz] (also with '.' for the '-' before idx), labels beside it;
 *   - CIFAR-10 and CIFAR-100 binary: a folder that holds data_batch_*.bin and test_batch.bin, or
 *     train.bin and test.bin, or one such file; .gz or not. A single file's size tells which of the
 *     two it is: a multiple of 3073 bytes CIFAR-10 (first, should it be one of both), of 3074 CIFAR-100;
 *   - a .npy file of u1 images (n,h,w) or (n,h,w,c), labels of any integers (n) or (n,1) in the first of these files
 *     beside NAME.npy that there is: NAME_labels.npy; NAME with labels for its last "images"; y... for a NAME that is
 *     x or begins with x_; labels.npy;
 *   - a .npz file with such an array called arr_0, images, x_train or train_images, and labels called arr_1, labels,
 *     y_train or train_labels; its test split are x_test or test_images;
 *   - a folder of PNG and JPEG files (io/picture.h); its sub-folders (sorted by name) become labels, with all
 *     pictures below them. */
#ifndef ATH_IO_DATASET_H
#define ATH_IO_DATASET_H
#include <stdbool.h>
#include <stdint.h>
#include "base/status.h"

typedef struct ath_dataset {
    int n, h, w, c;    /* c = 1 or 3                                             */
    int n_class;       /* 0 when there are no labels                             */
    uint8_t *pixel;    /* (n,h,w,c), owned                                       */
    int32_t *label;    /* (n), owned; NULL when there are none                   */
    char **class_name; /* (n_class), owned; "0", "1", ... where the format has no names           */
    char *format;      /* "IDX", "CIFAR-10", "CIFAR-100", "NumPy .npy", "NumPy .npz", "folder of pictures", owned */
    int n_skipped;     /* damaged files that were left out                                */
    bool from_cache;   /* nothing was decoded: it had been before                         */
} ath_dataset;

typedef struct ath_dataset_options {
    int image_size;        /* 0: as they are (folders: all must agree). Else: centre-cropped to a square
                     * and resized to this (area average down, bilinear up). A much larger JPEG
                     * is decoded at a fraction of its size, at least twice this                    */
    int channels;          /* 0: as they are. 1: grey (ITU-R 601 luma), 3: RGB                              */
    bool test_split;       /* of a folder of IDX or CIFAR, or of .npz: the test images, not the training ones */
    bool coarse_labels;    /* CIFAR-100: the 20 coarse classes in place of the 100; else ATH_E_ARG   */
    bool skip_broken;      /* folders: leave damaged files out rather than fail; counted             */
    uint8_t background[3]; /* RGB: what transparent pixels are laid over                             */
    int64_t max_pixels;    /* of a picture file; 0: 2^27, at most 2^30                               */
    int threads;           /* that decode pictures; 0: as many as there are cores. Changes no result   */
    const char *cache;     /* folders of pictures: the folder that keeps what was decoded, for the next time; it and
                            * the one it is in are made when missing; NULL: none. Changes no result        */
} ath_dataset_options;

/* Reads a data set. `options` may be NULL. Errors name the file and the fault:
 * ATH_E_IO (missing, unreadable), ATH_E_FORMAT (damaged, truncated, not images,
 * no images, sizes that differ; sides are at most 4096 pixels), ATH_E_ARG (options out of range), ATH_E_MEM. On failure *out is zeroed. */
ath_status ath_dataset_open(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err);
/* Accepts a zeroed data set. */
void ath_dataset_close(ath_dataset *d);

/* Image i as floats (h,w,c) in [-1,1], p / 127.5 - 1, mirrored left-right on request. */
void ath_dataset_image(const ath_dataset *d, int i, bool mirror, float *x);

#endif
