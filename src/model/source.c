/* Trained and exact models behind one face: see source.h. */
#include "model/source.h"
#include <stdlib.h>

ath_source ath_source_of(ath_model *m, ath_workers *workers) {
    return (ath_source){.model = m,
                        .workers = workers,
                        .image = m->image,
                        .dim = (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c,
                        .process = ath_model_process(m),
                        .spacing = ath_prediction_spacing(m->prediction),
                        .classes = m->null_class >= 0 ? m->null_class : m->classes,
                        .null_class = m->null_class,
                        .skips = m->skips};
}

static ath_status open_model(ath_source *s, const char *path, int threads, ath_err *err) {
    ath_model *m;
    ath_workers *workers;
    ATH_TRY(ath_model_open(&m, path, err));
    const ath_status status = ath_workers_create(&workers, m, threads, 0, ATH_FORWARD, err);
    if (status != ATH_OK) {
        ath_model_destroy(m);
        return status;
    }
    ath_workers_use(workers, m->params);
    *s = ath_source_of(m, workers);
    s->owned = true;
    return ATH_OK;
}

ath_status ath_source_open(ath_source **out, const char *path, int threads, ath_err *err) {
    *out = calloc(1, sizeof **out);
    if (!*out) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    const ath_status status = open_model(*out, path, threads, err);
    if (status == ATH_OK) return ATH_OK;
    free(*out);
    *out = NULL;
    return status;
}

void ath_source_close(ath_source *s) {
    if (!s) return;
    if (s->owned) {
        ath_workers_destroy(s->workers);
        ath_model_destroy(s->model);
    }
    free(s);
}
