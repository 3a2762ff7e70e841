/* Private to src/io: the members of a .npz file, which is a zip archive of .npy files. */
#ifndef ATH_IO_NPZ_H
#define ATH_IO_NPZ_H
#include <stdint.h>
#include "base/status.h"

typedef struct ath_npz ath_npz;

/* Fails with ATH_E_IO when it cannot be read, ATH_E_FORMAT when it is no zip archive, ATH_E_MEM. */
ath_status ath_npz_open(ath_npz **out, const char *path, ath_err *err);
void ath_npz_close(ath_npz *z); /* accepts NULL */

int64_t ath_npz_count(const ath_npz *z);
const char *ath_npz_name(const ath_npz *z, int64_t index); /* the archive's; "" when it has none */
/* The array `key`, "<key>.npy" in the archive; -1 when there is none. */
int64_t ath_npz_find(const ath_npz *z, const char *key);
/* Reads and unpacks at most `most` bytes of a member into *data (free()). Memory follows what is really there. At the
 * member's end its checksum is looked at. ATH_E_FORMAT when it is damaged or encrypted. */
ath_status ath_npz_read(ath_npz *z, int64_t index, size_t most, uint8_t **data, size_t *size, ath_err *err);

#endif
