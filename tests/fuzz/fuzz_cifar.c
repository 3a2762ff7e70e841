/* CIFAR's binary files: a byte of options, the records, and perhaps the names of the classes and a second file of records.
 * The records alone are read as one file, of a kind that its size tells, else as a folder of CIFAR-10 or of CIFAR-100. */
#define _GNU_SOURCE
#include "dataset.h"

static const char *const names[2][4] = {
    {"10", "10/data_batch_1.bin", "10/batches.meta.txt", "10/data_batch_2.bin"},
    {"100", "100/train.bin", "100/fine_label_names.txt", "100/test.bin"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    for (int i = 0; i < 2 && !ready; i++) fuzz_folder(names[i][0]);
    ready = true;
    fuzz_part rest = {data, size};
    const uint8_t choice = fuzz_first(&rest);
    const bool alone = choice & 128;
    const char *const *name = names[choice >> 6 & 1];
    for (int i = 1; i < 4; i++) fuzz_put_part(name[i], fuzz_next(&rest));
    fuzz_read_dataset(fuzz_path(name[alone ? 1 : 0]), choice & 0x3f);
    return 0;
}
