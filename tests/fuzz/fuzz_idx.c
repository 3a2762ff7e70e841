/* IDX files, gzip or not: a byte of options, the images, and perhaps the labels beside them. */
#define _GNU_SOURCE
#include "dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_part rest = {data, size};
    const uint8_t choice = fuzz_first(&rest);
    fuzz_put_part("x-images-idx3-ubyte", fuzz_next(&rest));
    fuzz_put_part("x-labels-idx1-ubyte", fuzz_next(&rest));
    fuzz_read_dataset(fuzz_path("x-images-idx3-ubyte"), choice & 15);
    return 0;
}
