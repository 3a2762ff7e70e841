/* SHA-256 (FIPS 180-4, 6.2), for names that say what is in a file. */
#ifndef ATH_BASE_SHA256_H
#define ATH_BASE_SHA256_H
#include <stddef.h>
#include <stdint.h>

typedef struct ath_sha256 {
    uint32_t state[8];
    uint64_t size;     /* bytes so far            */
    uint8_t block[64]; /* the last size % 64 ones */
} ath_sha256;

ath_sha256 ath_sha256_begin(void);
void ath_sha256_add(ath_sha256 *s, const void *bytes, size_t n);
/* The hash of all that was added; `s` is used up. */
void ath_sha256_end(ath_sha256 *s, uint8_t hash[32]);

#endif
