/* Private to src/io: the pictures below a folder. */
#ifndef ATH_IO_FOLDER_LIST_H
#define ATH_IO_FOLDER_LIST_H
#include <sys/stat.h>
#include "io/dataset_private.h"

/* A file and what changes when its content does. Nobody can set the time of the last change, as `cp -p` does the other. */
typedef struct ath_picture_file {
    char *path;
    int64_t size, modified, changed; /* bytes; nanoseconds since 1970 (mtime, ctime) */
} ath_picture_file;

void ath_picture_file_stamp(ath_picture_file *file, const struct stat *is);

/* `path`, which begins with `folder`, without it. */
const char *ath_path_below(const char *folder, const char *path);

/* The pictures to read, in order. */
typedef struct ath_picture_list {
    ath_picture_file *file;
    int n;
    ath_names sub; /* paths of the sub-folders: the classes, when the pictures are in them   */
    int *end;      /* (sub.n): how many pictures there are up to and with that sub-folder;
                    * NULL when the pictures are in the folder itself                        */
    int64_t begun; /* when the first was looked at, as above                                 */
} ath_picture_list;

/* Folders searched for one data set, counting one again for each class it belongs to: ImageNet's has 1000. */
enum { ATH_MAX_FOLDERS = 100000 };

/* Fails with ATH_E_IO, ATH_E_FORMAT (no pictures, classes without, pictures beside classes, too many folders) or
 * ATH_E_MEM; *out is zeroed then. */
ath_status ath_picture_list_find(ath_picture_list *out, const char *path, ath_err *err);
void ath_picture_list_free(ath_picture_list *list);

#endif
