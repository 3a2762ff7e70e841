/* .npz files through libzip: see npz.h. */
#include "io/npz.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include "base/file.h"

struct ath_npz {
    zip_t *zip;
    char *path;
    uint64_t size; /* of the file */
};

ath_status ath_npz_open(ath_npz **out, const char *path, ath_err *err) {
    *out = NULL;
    ath_reader file; /* looked at first: libzip would wait for a pipe */
    ATH_TRY(ath_reader_open(&file, path, err));
    const int64_t file_size = file.size;
    ath_reader_close(&file);
    if (file_size < 0) return ath_fail(err, ATH_E_IO, "%s: is a pipe, expected a file", path);
    int code = 0;
    zip_t *zip = zip_open(path, ZIP_RDONLY, &code);
    if (!zip) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        const ath_status kind = code == ZIP_ER_OPEN || code == ZIP_ER_READ ? ATH_E_IO
                                : code == ZIP_ER_MEMORY                    ? ATH_E_MEM
                                                                           : ATH_E_FORMAT;
        const ath_status status = ath_fail(err, kind, "%s: not a readable .npz: %s", path, zip_error_strerror(&error));
        zip_error_fini(&error);
        return status;
    }
    ath_npz *z = calloc(1, sizeof *z);
    char *copy = malloc(strlen(path) + 1);
    if (!z || !copy) {
        zip_discard(zip);
        free(z);
        free(copy);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    }
    *z = (ath_npz){zip, strcpy(copy, path), (uint64_t)file_size};
    *out = z;
    return ATH_OK;
}

void ath_npz_close(ath_npz *z) {
    if (!z) return;
    zip_discard(z->zip);
    free(z->path);
    free(z);
}

int64_t ath_npz_count(const ath_npz *z) { return zip_get_num_entries(z->zip, 0); }

const char *ath_npz_name(const ath_npz *z, int64_t index) {
    const char *name = zip_get_name(z->zip, (zip_uint64_t)index, 0);
    return name ? name : "";
}

int64_t ath_npz_find(const ath_npz *z, const char *key) {
    char name[64];
    const int n = snprintf(name, sizeof name, "%s.npy", key);
    return n > 0 && (size_t)n < sizeof name ? zip_name_locate(z->zip, name, 0) : -1;
}

static ath_status read_member(const ath_npz *z, int64_t index, zip_file_t *file, size_t most, uint8_t **data,
                              size_t *size, ath_err *err) {
    enum { MOST_AT_ONCE = 1 << 22 }; /* between two looks at how much it has become */
    size_t room = 0;
    while (*size < most) {
        if (*size == room) {
            room = room ? 2 * room : 65536;
            if (room > most) room = most;
            uint8_t *more = realloc(*data, room);
            if (!more)
                return ath_fail(err, ATH_E_MEM, "%s: %s: out of memory after %zu bytes", z->path,
                                ath_npz_name(z, index), *size);
            *data = more;
        }
        const size_t left = room - *size;
        const zip_int64_t got = zip_fread(file, *data + *size, left < MOST_AT_ONCE ? left : MOST_AT_ONCE);
        if (got < 0)
            return ath_fail(err, ATH_E_FORMAT, "%s: %s: damaged: %s", z->path, ath_npz_name(z, index),
                            zip_file_strerror(file));
        if (got == 0) break;
        *size += (size_t)got;
        if (ath_is_bomb(*size, z->size))
            return ath_fail(err, ATH_E_FORMAT,
                            "%s: %s: unpacks to more than 256 times the file's %llu bytes, as no images do", z->path,
                            ath_npz_name(z, index), (unsigned long long)z->size);
    }
    return ATH_OK;
}

ath_status ath_npz_read(ath_npz *z, int64_t index, size_t most, uint8_t **data, size_t *size, ath_err *err) {
    *data = NULL;
    *size = 0;
    zip_file_t *file = zip_fopen_index(z->zip, (zip_uint64_t)index, 0);
    if (!file)
        return ath_fail(err, ATH_E_FORMAT, "%s: %s: cannot be unpacked: %s", z->path, ath_npz_name(z, index),
                        zip_strerror(z->zip));
    const ath_status status = read_member(z, index, file, most, data, size, err);
    zip_fclose(file);
    if (status != ATH_OK) {
        free(*data);
        *data = NULL;
    }
    return status;
}
