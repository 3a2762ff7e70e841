/* Data sets as the commands open them: see data.h. */
#include "cli/data.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

/* $ATH_CACHE, where it is set at all ("" turns the cache off); $XDG_CACHE_HOME/athanor, where that is absolute, as the XDG Base
 * Directory Specification wants it; ~/.cache/athanor. Empty where there is no home. */
static void cache_folder(char *text, size_t room) {
    const char *own = getenv("ATH_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int len = 0;
    if (own)
        len = snprintf(text, room, "%s", own);
    else if (xdg && *xdg == '/')
        len = snprintf(text, room, "%s/athanor", xdg);
    else if (home && *home == '/' && ath_path_is_dir(home))
        len = snprintf(text, room, "%s/.cache/athanor", home);
    if (len <= 0 || (size_t)len >= room) *text = 0;
}

ath_status cli_dataset_open(ath_dataset *out, const char *path, ath_dataset_options how, const cli_data_options *data,
                            ath_err *err) {
    char folder[ATH_TEXT_LEN + 16];
    cache_folder(folder, sizeof folder);
    how.cache = data->cache && *folder ? folder : NULL;
    how.test_split = strcmp(data->split, "test") == 0;
    return ath_dataset_open(out, path, &how, err);
}
