/* safetensors files, read as arrays, as --noise of `sample` reads them, as `forward` does, and by `info`. The first byte
 * says whether a whole file follows (even), or a header and the data. */
#define _GNU_SOURCE
#include "cli/cli.h"
#include "cli/starts.h"
#include "cli/tensors.h"
#include "source.h"
#include "tensors.h"

static void use_array(const ath_array *a) {
    const size_t len = (size_t)ath_array_len(a);
    float *f32 = malloc((len + 1) * sizeof *f32);
    double *f64 = malloc((len + 1) * sizeof *f64);
    if (!f32 || !f64) fuzz_fail("out of memory");
    ath_array_to_f32(a, f32);
    ath_array_to_f64(a, f64);
    free(f32);
    free(f64);
}

static void use_file(const ath_safetensors *file) {
    for (int i = 0; i < ath_safetensors_count(file); i++) {
        const ath_array *a = ath_safetensors_at(file, i);
        use_array(a);
        if (ath_safetensors_find(file, a->name) != a) fuzz_fail("an array is not found by its name");
    }
    (void)ath_safetensors_meta(file, "format");
}

static void read_forward(const ath_safetensors *file, const char *path, const ath_shape *image) {
    ath_err err = {0};
    int n;
    double *x = NULL, *t = NULL;
    ath_status status = cli_tensor_count(file, path, &n, &err);
    if (status == ATH_OK) status = cli_tensor_read(file, path, "x", n, image, &x, &err);
    if (status == ATH_OK) status = cli_tensor_read(file, path, "timesteps", n, NULL, &t, &err);
    fuzz_check(status, &err);
    free(x);
    free(t);
}

static void read_starts(const char *path, int count) {
    ath_err err = {0};
    cli_starts s;
    ath_source source = *fuzz_source(ATH_PROCESS_VP);
    source.classes = 3; /* as if it knew them, so that labels are read */
    fuzz_check(cli_starts_read(&s, &source, path, count, &err), &err);
    cli_starts_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    if (!ready && !freopen("/dev/null", "w", stdout)) fuzz_fail("no /dev/null");
    ready = true;
    fuzz_part rest = {data, size};
    const uint8_t choice = fuzz_first(&rest);
    const char *path = "x.safetensors";
    if (choice & 1)
        fuzz_put_tensors(path, &rest);
    else
        fuzz_put(path, rest.data, rest.size);
    path = strcpy((char[160]){0}, fuzz_path(path));
    ath_err err = {0};
    ath_safetensors *file;
    const ath_status status = ath_safetensors_open(&file, path, &err);
    fuzz_check(status, &err);
    if (status != ATH_OK) return 0;
    use_file(file);
    read_forward(file, path, &fuzz_source(ATH_PROCESS_VP)->image);
    ath_safetensors_close(file);
    read_starts(path, choice >> 1 & 3);
    char *argv[] = {"info", (char *)(uintptr_t)path, "--json", NULL};
    if (cli_info.run(choice & 8 ? 3 : 2, argv) != CLI_OK) fuzz_fail("info refuses a file that can be read");
    return 0;
}
