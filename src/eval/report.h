/* What `compare` found, as a table for a terminal and for a spreadsheet, a plot, and a page that needs nothing but a browser. */
#ifndef ATH_EVAL_REPORT_H
#define ATH_EVAL_REPORT_H
#include <stdbool.h>
#include "base/status.h"

/* Something about the comparison as a whole: the model, the seed, the number of images, the command. UTF-8, as are all texts
 * here; what is not shows as U+FFFD in the page. */
typedef struct ath_fact {
    const char *name, *value;
} ath_fact;

typedef struct ath_report_score {
    const char *name;  /* a column's head, "swd"                          */
    const char *title; /* an axis' name, "sliced Wasserstein distance"    */
    bool lower_is_better;
} ath_report_score;

/* One sampler at one number of steps. */
typedef struct ath_report_row {
    const char *sampler, *options; /* options as on the command line, "eta=0.5,order=2"; "" or NULL for none */
    int steps;
    double nfe; /* network evaluations an image */
    double seconds;
    const double *score; /* (n_score), NAN where there is none */
    double order;        /* empirical order of convergence; NAN: none */
} ath_report_row;

/* All is borrowed. Rows of the same sampler and options are one curve. */
typedef struct ath_report {
    const char *title;
    const ath_fact *fact;
    int n_fact;
    const ath_report_score *score;
    int n_score;
    const ath_report_row *row;
    int n_row;
    const char *grid_path, *grid_caption; /* a PNG that the page will hold, and what it shows; NULL for none */
} ath_report;

/* Sets each row's order from one of its scores, an error that should fall as steps^-order: from the row of the same sampler and
 * options with the next fewer steps to this one, log(e / e') / log(steps' / steps). NAN where there is none
 * or an error is not positive. */
void ath_report_find_orders(ath_report_row *row, int n_row, int score);

/* Whether no other run with as many network evaluations or fewer is better in this score. */
bool ath_report_is_best(const ath_report *r, int row, int score);

/* RFC 4180 but for the line ends, which are plain '\n': sampler,options,steps,nfe,seconds, a column a score, and order where a row has
 * one. Numbers with all their digits; an empty field where there is none. */
ath_status ath_report_save_csv(const ath_report *r, const char *path, ath_err *err);
/* An aligned table, owned by the caller (free()), with '*' after the best (ath_report_is_best) where two rows or more compete. */
ath_status ath_report_table(const ath_report *r, char **text, ath_err *err);
/* One score over the network evaluations, a curve a sampler, as PNG, 900 x 540 or more; and as text of an SVG (free()). The axis of
 * the score is logarithmic where lower is better. */
ath_status ath_report_save_plot(const ath_report *r, int score, const char *path, ath_err *err);
ath_status ath_report_plot_svg(const ath_report *r, int score, char **svg, ath_err *err);
/* A page that holds all this: facts, plots, a table that sorts by a click on a column's head, the grid. It
 * loads nothing, opens from disk, does without JavaScript but for the sorting, and follows the reader's preference for dark or light. */
ath_status ath_report_save_html(const ath_report *r, const char *path, ath_err *err);

#endif
