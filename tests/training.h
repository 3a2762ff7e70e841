/* What the tests of training share: images that are blobs, small runs in the test's folder, their files
 * beside each other, and images drawn from them. Needs _XOPEN_SOURCE 700. */
#ifndef ATH_TESTS_TRAINING_H
#define ATH_TESTS_TRAINING_H
#include "check.h"
#include "temp_folder.h"
#include "base/file.h"
#include "base/rng.h"
#include "diffusion/net.h"
#include "diffusion/sampler.h"
#include "model/generate.h"
#include "train/batch.h"
#include "train/optimizer.h"
#include "train/state.h"
#include "train/trainer.h"

enum { SIZE = 8, N_IMAGES = 40 };

/* Blobs of brightness at places that depend on the class. */
static inline ath_dataset images(int n, int c) {
    ath_dataset d = {.n = n, .h = SIZE, .w = SIZE, .c = c, .n_class = 4, .format = NULL};
    d.pixel = malloc((size_t)(n * SIZE * SIZE * c));
    d.label = malloc((size_t)n * sizeof *d.label);
    for (int i = 0; i < n; i++) {
        d.label[i] = i % 4;
        const double cx = 2 + 4 * (i % 2), cy = 2 + 4 * (i / 2 % 2), wide = 2 + i % 5;
        for (int p = 0; p < SIZE * SIZE * c; p++) {
            const double dx = p / c % SIZE - cx, dy = p / c / SIZE - cy;
            d.pixel[i * SIZE * SIZE * c + p] = (uint8_t)(255 * exp(-(dx * dx + dy * dy) / wide));
        }
    }
    return d;
}

static inline void free_images(ath_dataset *d) {
    free(d->pixel);
    free(d->label);
}

static inline ath_train_options options(const char *name, const char *extra) {
    int n;
    ath_err err = {0};
    const ath_option *table = ath_train_table(&n);
    ath_train_options o;
    ath_options_default(table, n, &o);
    CHECK_OK(ath_preset_apply("tiny", &o, &err));
    CHECK_OK(ath_options_parse(
        table, n, &o,
        "base-channels=8,norm-groups=4,time-embedding=16,batch=10,micro-batch=2,sample-count=0,timesteps=50,warmup=2",
        &err));
    CHECK_OK(ath_options_parse(table, n, &o, extra, &err));
    snprintf(o.out, sizeof o.out, "%s/%s", folder, name);
    return o;
}

static inline void train(const char *name, const char *extra) {
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1);
    d.format = (char *)"test";
    const ath_train_options o = options(name, extra);
    CHECK_OK(ath_train(&o, &d, NULL, NULL, &err));
    free_images(&d);
}

static inline void check_same_file(const char *a, const char *b, const char *name) {
    ath_err err = {0};
    char path_a[200], path_b[200];
    uint8_t *bytes_a, *bytes_b;
    size_t size_a, size_b;
    snprintf(path_a, sizeof path_a, "%s/%s/%s", folder, a, name);
    snprintf(path_b, sizeof path_b, "%s/%s/%s", folder, b, name);
    CHECK_OK(ath_file_read(path_a, 1 << 28, &bytes_a, &size_a, &err));
    CHECK_OK(ath_file_read(path_b, 1 << 28, &bytes_b, &size_b, &err));
    CHECK(size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0, "%s differs from %s", path_a, path_b);
    free(bytes_a);
    free(bytes_b);
}

static const char *const weights = "unet/diffusion_pytorch_model.safetensors";
/* Adds to a list of options. */
static inline const char *with(const char *base, const char *more) {
    static char text[512];
    snprintf(text, sizeof text, "%s,%s", base, more);
    return text;
}

static int64_t stop_at;
static int64_t seen;
static inline void count_step(void *user, const ath_progress *p) {
    (void)user;
    seen = p->step;
}
static inline bool stop_here(void *user) {
    (void)user;
    return seen == stop_at;
}

/* Draws images from a run by DDIM; gives what its network predicts. */
static inline ath_prediction draw(const char *run, int steps, int count, float *out) {
    ath_err err = {0};
    ath_model *m;
    ath_workers *workers;
    CHECK_OK(ath_model_open(&m, run, &err));
    CHECK_OK(ath_workers_create(&workers, m, 2, 2, ATH_FORWARD, &err));
    ath_workers_use(workers, m->params);
    ath_level level[64];
    const ath_process process = ath_model_process(m);
    const ath_spacing how = process.schedule ? ATH_TRAILING : ath_prediction_spacing(m->prediction);
    CHECK_OK(ath_levels(&process, how, NULL, steps, level, &err));
    const double eta = 0;
    ath_generate_job job = {.sampler = ath_sampler_find("ddim"),
                            .sampler_config = &eta, /* its only option */
                            .level = level,
                            .n_steps = steps,
                            .count = count,
                            .label = -1,
                            .guidance = 1,
                            .clip = true};
    const ath_source source = ath_source_of(m, workers);
    CHECK_OK(ath_generate(&source, &job, out, &err));
    CHECK(job.nfe == steps, "%d evaluations in %d steps", job.nfe, steps);
    const ath_prediction prediction = m->prediction;
    ath_workers_destroy(workers);
    ath_model_destroy(m);
    return prediction;
}

/* Trains on eight images and draws by DDIM: how far samples are from the nearest of them, a mean of root mean squares. Two
 * training images differ by 0.1 to 0.6 in this measure, noise from them by about 1. */
static inline double learn_by_heart(const char *objective, int steps) {
    ath_err err = {0};
    ath_dataset d = images(8, 1);
    d.format = (char *)"test";
    char extra[256];
    snprintf(extra, sizeof extra,
             "base-channels=16,norm-groups=8,steps=%d,lr=3e-3,batch=16,micro-batch=4,lr-schedule=cosine,ema=0.98,"
             "objective=%s",
             steps, objective);
    const ath_train_options o = options(objective, extra);
    ath_train_result result;
    CHECK_OK(ath_train(&o, &d, NULL, &result, &err));
    enum { COUNT = 16, DIM = SIZE * SIZE };
    float out[COUNT * DIM];
    draw(o.out, 25, COUNT, out);
    double mean = 0;
    for (int i = 0; i < COUNT; i++) {
        double nearest = INFINITY;
        for (int k = 0; k < 8; k++) {
            float x0[DIM];
            double sum = 0;
            ath_dataset_image(&d, k, false, x0);
            for (int j = 0; j < DIM; j++)
                sum += ((double)x0[j] - (double)out[i * DIM + j]) * ((double)x0[j] - (double)out[i * DIM + j]);
            nearest = fmin(nearest, sqrt(sum / DIM));
        }
        mean += nearest / COUNT;
    }
    free_images(&d);
    return mean;
}

#endif
