/* What drawn images are scored against: a data set, or draws from an exact model. */
#ifndef ATH_CLI_SCORING_H
#define ATH_CLI_SCORING_H
#include "cli/data.h"
#include "eval/score.h"
#include "model/source.h"

/* Up to `count` images, evenly over a data set; image_size and channels 0: as they are. */
ath_status cli_image_set_read(ath_image_set *s, const char *path, const cli_data_options *from, int image_size,
                              int channels, int count, ath_err *err);
void cli_image_set_free(ath_image_set *s);

typedef struct cli_scoring {
    const ath_score *score; /* NULL: nothing to score against */
    ath_image_set target;   /* its images are owned */
    double floor;           /* the score of one half of the target against the other, NAN where it is too small */
    ath_rng rng;
    int threads;
} cli_scoring;

/* `data` "": none, but an exact model, which is its own data. Up to `count` images, at least 2048, are taken, evenly over
 * the set, in the size and channels of the model's. */
ath_status cli_scoring_begin(cli_scoring *s, const ath_source *source, const char *data, const cli_data_options *from,
                             int count, ath_rng rng, int threads, ath_err *err);
/* The score of images (n, h, w, c); NAN where there is nothing to score against. */
ath_status cli_scoring_of(const cli_scoring *s, const float *images, int n, double *value, ath_err *err);
void cli_scoring_free(cli_scoring *s);

#endif
