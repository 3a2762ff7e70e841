/* The run's log: see log.h. */
#define _POSIX_C_SOURCE 200809L
#include "train/log.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "io/plot.h"

static const char header[] = "step,images,loss,loss_ema,grad_norm,lr,images_per_second,seconds\n";

struct ath_log {
    FILE *file;
    char *path;
    double *step, *loss, *loss_ema; /* for the plot */
    int n, room;
};

static bool remember(ath_log *l, double step, double loss, double loss_ema) {
    if (l->n == l->room) {
        const int room = l->room ? 2 * l->room : 1024;
        double **column[] = {&l->step, &l->loss, &l->loss_ema};
        for (int i = 0; i < 3; i++) {
            double *grown = realloc(*column[i], (size_t)room * sizeof *grown);
            if (!grown) return false;
            *column[i] = grown;
        }
        l->room = room;
    }
    l->step[l->n] = step;
    l->loss[l->n] = loss;
    l->loss_ema[l->n++] = loss_ema;
    return true;
}

/* A line of the log, for the plot: what was printed counts, so that a resumed run draws the same. */
static ath_status remember_line(ath_log *l, const char *line, int64_t last_step, bool *kept, ath_err *err) {
    int64_t step, images;
    double loss, loss_ema;
    *kept = sscanf(line, "%" SCNd64 ",%" SCNd64 ",%lf,%lf", &step, &images, &loss, &loss_ema) == 4 && step <= last_step;
    if (*kept && !remember(l, (double)step, loss, loss_ema))
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", l->path);
    return ATH_OK;
}

/* Keeps the whole lines of old text up to `step` and writes them to the fresh file. A line is ended before it is scanned:
 * sscanf looks for the end of its text first, which of the whole file would take time by its square. */
static ath_status keep_lines(ath_log *l, char *text, int64_t step, FILE *to, ath_err *err) {
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        bool kept;
        *end = 0;
        ATH_TRY(remember_line(l, line, step, &kept, err));
        *end = '\n';
        if (kept) fwrite(line, 1, (size_t)(end + 1 - line), to);
    }
    return ATH_OK;
}

ath_status ath_log_open(ath_log **out, const char *path, int64_t step, ath_err *err) {
    *out = NULL;
    ath_log *l = calloc(1, sizeof *l);
    if (!l || !(l->path = malloc(strlen(path) + 1))) {
        free(l);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    }
    strcpy(l->path, path);
    uint8_t *old = NULL;
    size_t size = 0;
    ath_status status = ATH_OK;
    if (step > 0 && ath_path_exists(path)) status = ath_file_read(path, SIZE_MAX / 4, &old, &size, err);
    ath_writer w = {0};
    if (status == ATH_OK) status = ath_writer_open(&w, path, err);
    if (status == ATH_OK) {
        fputs(header, w.file);
        if (old) status = keep_lines(l, (char *)old, step, w.file, err);
        if (status == ATH_OK)
            status = ath_writer_commit(&w, err);
        else
            ath_writer_abort(&w);
    }
    free(old);
    if (status == ATH_OK && !(l->file = fopen(path, "ab")))
        status = ath_fail(err, ATH_E_IO, "%s: cannot write: %s", path, strerror(errno));
    if (status != ATH_OK) {
        ath_log_close(l);
        return status;
    }
    *out = l;
    return ATH_OK;
}

ath_status ath_log_add(ath_log *l, const ath_progress *p, ath_err *err) {
    char line[256];
    bool kept;
    snprintf(line, sizeof line, "%" PRId64 ",%" PRId64 ",%.6g,%.6g,%.6g,%.6g,%.4g,%.3f\n", p->step, p->images, p->loss,
             p->loss_ema, p->grad_norm, p->lr, p->images_per_second, p->seconds);
    ATH_TRY(remember_line(l, line, p->step, &kept, err));
    fputs(line, l->file);
    if (fflush(l->file) != 0) return ath_fail(err, ATH_E_IO, "%s: cannot write: %s", l->path, strerror(errno));
    return ATH_OK;
}

ath_status ath_log_sync(ath_log *l, ath_err *err) {
    if (fsync(fileno(l->file)) == 0) return ATH_OK;
    return ath_fail(err, ATH_E_IO, "%s: cannot write: %s", l->path, strerror(errno));
}

ath_status ath_log_plot(const ath_log *l, const char *path, ath_err *err) {
    if (l->n < 2) return ATH_OK;
    const ath_curve curves[] = {{.label = "loss", .x = l->step, .y = l->loss, .n = l->n, .faint = true},
                                {.label = "running average", .x = l->step, .y = l->loss_ema, .n = l->n}};
    const ath_plot plot = {
        .title = "training loss", .x_label = "step", .y_label = "loss", .log_y = true, .curve = curves, .n_curve = 2};
    return ath_plot_save(path, &plot, err);
}

void ath_log_close(ath_log *l) {
    if (!l) return;
    if (l->file) fclose(l->file);
    free(l->path);
    free(l->step);
    free(l->loss);
    free(l->loss_ema);
    free(l);
}
