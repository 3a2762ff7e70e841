/* Exact models as the targets of what is sampled with use them. */
#ifndef ATH_TESTS_FUZZ_SOURCE_H
#define ATH_TESTS_FUZZ_SOURCE_H
#include "fuzz.h"
#include <math.h>
#include "model/generate.h"

/* Three points in the plane, 1 x 2 pixels, on one of the three processes. Lives as long as the process. */
static inline const ath_source *fuzz_source(ath_process_kind kind) {
    static ath_source *source[3];
    if (source[kind]) return source[kind];
    ath_err err = {0};
    char text[300];
    snprintf(text, sizeof text,
             "{\"_class_name\": \"GaussianMixture\", \"shape\": [1,1,2], \"weights\": [1,1,2], \"means\": "
             "[[-0.5,0],[0.5,0.25],[0,1]], \"stds\": [0.1,0,0.5], \"process\": \"%s\"}",
             ath_process_name(kind));
    fuzz_put("source.json", text, strlen(text));
    if (ath_source_open(&source[kind], fuzz_path("source.json"), 1, &err) != ATH_OK) fuzz_fail(err.text);
    return source[kind];
}

/* One image by these levels. */
static inline void fuzz_sample(const ath_source *s, const ath_sampler *sampler, const void *config,
                               const ath_level *level, int n_steps) {
    ath_err err = {0};
    ath_generate_job job = {.sampler = sampler,
                            .sampler_config = config,
                            .level = level,
                            .n_steps = n_steps,
                            .count = 1,
                            .rng = {1},
                            .label = -1,
                            .guidance = 1};
    float *out = malloc(s->dim * sizeof *out);
    if (!out) fuzz_fail("out of memory");
    fuzz_check(ath_generate(s, &job, out, &err), &err);
    free(out);
}

#endif
