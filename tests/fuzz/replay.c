/* Runs a fuzz target on files, and on all files of folders, where there is no libFuzzer: seeds and what was found before.
 * usage: fuzz_FORMAT PATH...      a folder that is not there is passed over */
#define _GNU_SOURCE
#include <dirent.h>
#include "fuzz.h"

static int run(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat is;
    if (!file || fstat(fileno(file), &is) != 0) {
        perror(path);
        exit(1);
    }
    const size_t size = (size_t)is.st_size;
    uint8_t *data = malloc(size ? size : 1); /* no byte more, so that a read beyond the end is seen */
    if (!data || fread(data, 1, size, file) != size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

static int run_all(const char *path) {
    struct stat is;
    if (stat(path, &is) != 0) return 0;
    if (!S_ISDIR(is.st_mode)) return run(path);
    int n = 0;
    struct dirent **entry;
    const int count = scandir(path, &entry, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char full[1024];
        snprintf(full, sizeof full, "%s/%s", path, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.') n += run_all(full);
        free(entry[i]);
    }
    if (count >= 0) free(entry);
    return n;
}

int main(int argc, char **argv) {
    int n = 0;
    for (int i = 1; i < argc; i++) n += run_all(argv[i]);
    printf("%d inputs\n", n);
    return n > 0 ? 0 : 1;
}
