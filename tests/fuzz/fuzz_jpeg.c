/* JPEG files of a folder: a byte of options and a picture. */
#define _GNU_SOURCE
#include "dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    if (!ready) fuzz_folder("set");
    ready = true;
    fuzz_part rest = {data, size};
    const uint8_t choice = fuzz_first(&rest);
    fuzz_put("set/1.jpg", rest.data, rest.size);
    fuzz_read_dataset(fuzz_path("set"), choice & 0xcf);
    return 0;
}
