/* A file of the cache of decoded folders: the fields of its head after the hash, and what follows them, the checksum made right
 * here; or, where the first byte is odd, the whole file as it is. */
#define _GNU_SOURCE
#include "fuzz.h"
#include <zlib.h>
#include "io/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char name[] = "0000000000000000000000000000000000000000000000000000000000000000.pictures";
    static const uint8_t head[40] = "athpics1"; /* and a hash of zeros */
    fuzz_part rest = {data, size};
    if (fuzz_first(&rest) & 1) {
        fuzz_put(name, rest.data, rest.size);
    } else {
        uint8_t *file = malloc(sizeof head + rest.size + 4);
        if (!file) fuzz_fail("out of memory");
        memcpy(file, head, sizeof head);
        if (rest.size) memcpy(file + sizeof head, rest.data, rest.size);
        const uint32_t sum = (uint32_t)crc32_z(crc32(0, NULL, 0), file, sizeof head + rest.size);
        memcpy(file + sizeof head + rest.size, &sum, 4);
        fuzz_put(name, file, sizeof head + rest.size + 4);
        free(file);
    }
    const ath_cache_key key = {.folder = fuzz_path("."), .settled = true};
    ath_dataset d = {0};
    if (ath_cache_load(&d, &key)) {
        float *x = malloc((size_t)d.h * (size_t)d.w * (size_t)d.c * sizeof *x);
        if (!x) fuzz_fail("out of memory");
        for (int i = 0; i < d.n; i++)
            if (d.n_class && (d.label[i] < 0 || d.label[i] >= d.n_class)) fuzz_fail("a label of no class");
        for (int k = 0; k < d.n_class; k++)
            if (!d.class_name[k]) fuzz_fail("a class without a name");
        ath_dataset_image(&d, d.n - 1, true, x);
        free(x);
    }
    ath_dataset_close(&d);
    return 0;
}
