/* Trained and exact models behind one face: see source.h. */
#include "model/source.h"
#include <stdlib.h>
#include "base/file.h"
#include "model/mixture_file.h"

ath_source ath_source_of(ath_model *m, ath_workers *workers) {
    return (ath_source){.model = m,
                        .workers = workers,
                        .image = m->image,
                        .dim = (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c,
                        .process = ath_model_process(m),
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

static ath_status open_mixture(ath_source *s, const char *path, int threads, ath_err *err) {
    ath_exact_model m;
    ATH_TRY(ath_exact_model_open(&m, path, err));
    const ath_status status = ath_pool_create(&s->pool, threads, err);
    if (status != ATH_OK) {
        ath_exact_model_close(&m);
        return status;
    }
    s->exact = true;
    s->mixture = m.mixture;
    s->schedule = m.scheduler.schedule;
    s->process = ath_scheduler_process(&m.scheduler);
    if (s->process.schedule) s->process.schedule = &s->schedule;
    s->image = m.image;
    s->dim = m.mixture->dim;
    s->null_class = -1;
    return ATH_OK;
}

ath_status ath_source_open(ath_source **out, const char *path, int threads, ath_err *err) {
    *out = calloc(1, sizeof **out);
    if (!*out) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    const bool file = ath_path_exists(path) && !ath_path_is_dir(path);
    const ath_status status = file ? open_mixture(*out, path, threads, err) : open_model(*out, path, threads, err);
    if (status == ATH_OK) return ATH_OK;
    free(*out);
    *out = NULL;
    return status;
}

ath_spacing ath_source_spacing(const ath_source *s, const ath_sampler *sampler) {
    if (s->process.kind == ATH_PROCESS_FLOW) return ATH_UNIFORM_FLOW;
    if (s->process.kind == ATH_PROCESS_VE || !s->process.schedule || sampler->view != ATH_VIEW_OWN) return ATH_KARRAS;
    return s->model ? ath_prediction_spacing(s->model->prediction) : ATH_TRAILING;
}

void ath_source_close(ath_source *s) {
    if (!s) return;
    if (s->owned) {
        ath_workers_destroy(s->workers);
        ath_model_destroy(s->model);
    }
    ath_mixture_destroy(s->mixture);
    ath_pool_destroy(s->pool);
    ath_schedule_free(&s->schedule);
    free(s);
}
