/* PNG files of a folder: a byte of options, a picture of one class, and perhaps one of another. */
#define _GNU_SOURCE
#include "dataset.h"
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    if (!ready) {
        fuzz_folder("set");
        fuzz_folder("set/a");
        fuzz_folder("set/b");
        ready = true;
    }
    fuzz_part rest = {data, size};
    const uint8_t choice = fuzz_first(&rest);
    fuzz_put_part("set/a/1.png", fuzz_next(&rest));
    fuzz_put_part("set/b/1.png", fuzz_next(&rest));
    fuzz_read_dataset(fuzz_path("set"), choice & 0xcf);
    return 0;
}

#ifdef ATH_FUZZ
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Makes the checksums of the chunks right again: with them wrong hardly anything beyond libpng's own check would be reached. */
static void mend_chunks(uint8_t *data, size_t size) {
    for (size_t at = 8; size >= 12 && at <= size - 12;) {
        const uint32_t len = big_endian(data + at);
        if (len > size - 12 - at) return;
        const uint32_t sum = (uint32_t)crc32(crc32(0, NULL, 0), data + at + 4, len + 4);
        for (int k = 0; k < 4; k++) data[at + 8 + len + (size_t)k] = (uint8_t)(sum >> (24 - 8 * k));
        at += 12 + (size_t)len;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    const size_t len = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 16 == 0 || len == 0) return len;
    fuzz_part rest = {data + 1, len - 1};
    for (fuzz_part part; (part = fuzz_next(&rest)).data;) mend_chunks(data + (part.data - data), part.size);
    return len;
}
#endif
