/* NumPy files: a byte of options and a .npy or .npz file; or, where that byte has its highest bit set, the .npy members
 * of a .npz that is packed here, images and perhaps labels, so that no checksum stands between them and the reader. */
#define _GNU_SOURCE
#include "dataset.h"
#include <zlib.h>

typedef struct archive {
    uint8_t *at;
    size_t size;
} archive;

static void put(archive *a, uint32_t value, int bytes) {
    for (int k = 0; k < bytes; k++) a->at[a->size++] = (uint8_t)(value >> (8 * k));
}

static void put_bytes(archive *a, const void *data, size_t size) {
    if (size) memcpy(a->at + a->size, data, size);
    a->size += size;
}

typedef struct member {
    const char *name;
    fuzz_part part;
    uint32_t sum, offset;
} member;

/* What the two headers of a member have in common (PKWARE's APPNOTE 6.3.9, 4.3.7 and 4.3.12): version, flags, stored, time,
 * date, checksum, sizes, length of the name, no extra field. */
static void put_fields(archive *a, const member *m) {
    const uint32_t size = (uint32_t)m->part.size;
    put(a, 20, 2);
    put(a, 0, 4);
    put(a, 0, 2);
    put(a, 0x21, 2);
    put(a, m->sum, 4);
    put(a, size, 4);
    put(a, size, 4);
    put(a, (uint32_t)strlen(m->name), 2);
    put(a, 0, 2);
}

static void pack(archive *a, member *m, int n) {
    for (int i = 0; i < n; i++) {
        m[i].offset = (uint32_t)a->size;
        m[i].sum = (uint32_t)crc32(crc32(0, NULL, 0), m[i].part.data, (uInt)m[i].part.size);
        put(a, 0x04034b50, 4);
        put_fields(a, &m[i]);
        put_bytes(a, m[i].name, strlen(m[i].name));
        put_bytes(a, m[i].part.data, m[i].part.size);
    }
    const size_t start = a->size;
    for (int i = 0; i < n; i++) {
        put(a, 0x02014b50, 4);
        put(a, 20, 2);
        put_fields(a, &m[i]);
        put(a, 0, 4); /* no comment, disk 0 */
        put(a, 0, 2);
        put(a, 0, 4);
        put(a, m[i].offset, 4);
        put_bytes(a, m[i].name, strlen(m[i].name));
    }
    const uint32_t length = (uint32_t)(a->size - start);
    put(a, 0x06054b50, 4);
    put(a, 0, 4);
    put(a, (uint32_t)n, 2);
    put(a, (uint32_t)n, 2);
    put(a, length, 4);
    put(a, (uint32_t)start, 4);
    put(a, 0, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_part rest = {data, size};
    const uint8_t choice = fuzz_first(&rest);
    if (choice & 128) {
        const bool test = choice & 16;
        member m[2] = {{test ? "x_test.npy" : "arr_0.npy", fuzz_next(&rest), 0, 0},
                       {test ? "y_test.npy" : "arr_1.npy", fuzz_next(&rest), 0, 0}};
        archive a = {malloc(size + 512), 0};
        if (!a.at) fuzz_fail("out of memory");
        pack(&a, m, m[1].part.data ? 2 : 1);
        fuzz_put("x", a.at, a.size);
        free(a.at);
    } else
        fuzz_put("x", rest.data, rest.size);
    fuzz_read_dataset(fuzz_path("x"), choice & 31);
    return 0;
}
