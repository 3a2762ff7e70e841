/* Private to src/io: decoded folders of pictures, kept in files so that the next start need not decode them.
 *
 * A file's name is the SHA-256 of what decides the pixels: each picture's path below the folder, size and times of its last
 * modification and change, the options, this library's version. The content itself is not hashed, which would take reading
 * all of it. A picture that changed so shortly before it was listed that the next change could bear the same time keeps the
 * folder out of the cache, and so does one that changes while it is read.
 *
 * Nothing here fails: what cannot be written is not kept, what is damaged is decoded again. Files are written beside their
 * place and renamed, so that any number of processes may share a cache. It is kept to 4 GiB, the least recently used going
 * first, and nothing stays that was not used for 90 days. */
#ifndef ATH_IO_CACHE_H
#define ATH_IO_CACHE_H
#include "base/file.h"
#include "io/folder_list.h"

typedef struct ath_cache_key {
    const char *folder; /* of the cache; NULL: none */
    uint8_t hash[32];
    bool settled; /* every picture had not changed for a while when it was listed */
} ath_cache_key;

void ath_cache_key_make(ath_cache_key *key, const char *path, const ath_picture_list *list,
                        const ath_dataset_options *options);
/* Fills a data set that has nothing but a format; false leaves it so. */
bool ath_cache_load(ath_dataset *out, const ath_cache_key *key);
/* `list` is what `d` was read from and the key was made of. */
void ath_cache_save(const ath_dataset *d, const ath_cache_key *key, const ath_picture_list *list);

#endif
