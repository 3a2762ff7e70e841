/* mixture.json: an exact model, from which an image is drawn where it is small. "data" beside it is a data set; inputs
 * that might name another are left out, which would read whatever this machine has. */
#define _GNU_SOURCE
#include "source.h"

static const uint8_t images[4 + 12 + 2 * 4] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 50, 100, 200, 255};

static void draw(const ath_source *s) {
    const ath_sampler *heun = ath_sampler_find("heun");
    void *config = calloc(1, heun->config_size + 1);
    ath_level level[4];
    ath_err err = {0};
    if (!config) fuzz_fail("out of memory");
    ath_options_default(heun->options, heun->n_options, config);
    const ath_status status = ath_levels(&s->process, ath_source_spacing(s, heun), NULL, 3, level, &err);
    fuzz_check(status, &err);
    if (status == ATH_OK) fuzz_sample(s, heun, config, level, 3);
    free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    if (!ready) fuzz_put("data", images, sizeof images);
    ready = true;
    if (memchr(data, '/', size) || memmem(data, size, "\\u00", 4) || memmem(data, size, "..", 2)) return 0;
    fuzz_put("mixture.json", data, size);
    ath_err err = {0};
    ath_source *s;
    const ath_status status = ath_source_open(&s, fuzz_path("mixture.json"), 1, &err);
    fuzz_check(status, &err);
    if (status == ATH_OK && s->mixture->parts <= 64 && s->dim <= 1024) draw(s);
    ath_source_close(s);
    return 0;
}
