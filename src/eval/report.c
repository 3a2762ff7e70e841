/* Tables and plots of a comparison: see report.h. The page is in report_html.c. */
#include "eval/report.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "eval/report_parts.h"
#include "io/plot.h"

const char ath_report_mark_means[] = "best of the runs with as many network evaluations or fewer";

/* ---- what the rows say ---- */

static const char *options_of(const ath_report_row *row) { return row->options ? row->options : ""; }

static bool same_sampler(const ath_report_row *a, const ath_report_row *b) {
    return strcmp(a->sampler, b->sampler) == 0 && strcmp(options_of(a), options_of(b)) == 0;
}

/* Of the rows before and after, that of the same sampler with the most steps below this one's; NULL if there is none. */
static const ath_report_row *coarser(const ath_report_row *all, int n, const ath_report_row *row) {
    const ath_report_row *found = NULL;
    for (const ath_report_row *r = all; r < all + n; r++)
        if (same_sampler(r, row) && r->steps < row->steps && (!found || r->steps > found->steps)) found = r;
    return found;
}

void ath_report_find_orders(ath_report_row *row, int n_row, int score) {
    for (int i = 0; i < n_row; i++) {
        const ath_report_row *before = coarser(row, n_row, &row[i]);
        const double e = before ? before->score[score] : NAN, finer = row[i].score[score];
        row[i].order =
            e > 0 && finer > 0 && before->steps > 0 ? log(e / finer) / log((double)row[i].steps / before->steps) : NAN;
    }
}

bool ath_report_is_best(const ath_report *r, int row, int score) {
    const ath_report_row *own = &r->row[row];
    const double value = own->score[score];
    if (!isfinite(value)) return false;
    for (int i = 0; i < r->n_row; i++) {
        const double other = r->row[i].score[score];
        if (i == row || !isfinite(other) || r->row[i].nfe > own->nfe) continue;
        const bool better = r->score[score].lower_is_better ? other < value : other > value;
        if (better || (other == value && r->row[i].nfe < own->nfe)) return false;
    }
    return true;
}

/* Whether there is something to be better than. */
static bool is_contest(const ath_report *r, int score) {
    int finite = 0;
    for (int i = 0; i < r->n_row; i++) finite += isfinite(r->row[i].score[score]) != 0;
    return finite > 1;
}

bool ath_report_is_marked(const ath_report *r, int row, int score) {
    return is_contest(r, score) && ath_report_is_best(r, row, score);
}

bool ath_report_has_marks(const ath_report *r) {
    for (int k = 0; k < r->n_score; k++)
        if (is_contest(r, k)) return true; /* and so has a best */
    return false;
}

bool ath_report_has_options(const ath_report *r) {
    for (int i = 0; i < r->n_row; i++)
        if (options_of(&r->row[i])[0]) return true;
    return false;
}

bool ath_report_has_orders(const ath_report *r) {
    for (int i = 0; i < r->n_row; i++)
        if (isfinite(r->row[i].order)) return true;
    return false;
}

ath_shown ath_show_number(double value, int digits) {
    ath_shown s = {""};
    if (!isfinite(value)) return s;
    snprintf(s.text, sizeof s.text, "%.*e", digits - 1, value); /* rounds, so that 9.9996 counts as 10.00 */
    const int power = atoi(strchr(s.text, 'e') + 1);
    if (value == 0)
        snprintf(s.text, sizeof s.text, "0");
    else if (power >= -3 && power < 6)
        snprintf(s.text, sizeof s.text, "%.*f", power < digits - 1 ? digits - 1 - power : 0, value);
    else
        snprintf(strchr(s.text, 'e') + 1, 8, "%d", power);
    return s;
}

/* ---- for a spreadsheet ---- */

/* A field is quoted where it must be, and its quotes doubled. */
static void add_field(ath_text *t, const char *field) {
    if (!field[strcspn(field, ",\"\r\n")]) {
        ath_text_add(t, field);
        return;
    }
    ath_text_add(t, "\"");
    for (; *field; field++) ath_text_add_bytes(t, *field == '"' ? "\"\"" : field, *field == '"' ? 2 : 1);
    ath_text_add(t, "\"");
}

static void add_number(ath_text *t, double value) {
    if (isfinite(value)) ath_text_addf(t, "%.10g", value);
}

ath_status ath_report_save_csv(const ath_report *r, const char *path, ath_err *err) {
    const bool orders = ath_report_has_orders(r);
    ath_text t = {0};
    ath_text_add(&t, "sampler,options,steps,nfe,seconds");
    for (int k = 0; k < r->n_score; k++) {
        ath_text_add(&t, ",");
        add_field(&t, r->score[k].name);
    }
    ath_text_add(&t, orders ? ",order\n" : "\n");
    for (const ath_report_row *row = r->row; row < r->row + r->n_row; row++) {
        add_field(&t, row->sampler);
        ath_text_add(&t, ",");
        add_field(&t, options_of(row));
        ath_text_addf(&t, ",%d,", row->steps);
        add_number(&t, row->nfe);
        ath_text_add(&t, ",");
        add_number(&t, row->seconds);
        for (int k = 0; k < r->n_score; k++) {
            ath_text_add(&t, ",");
            add_number(&t, row->score[k]);
        }
        if (orders) {
            ath_text_add(&t, ",");
            add_number(&t, row->order);
        }
        ath_text_add(&t, "\n");
    }
    return ath_text_save(&t, path, err);
}

/* ---- for a terminal ---- */

/* Cells (n_row + 1, columns) of which the first row is the head. */
typedef struct table {
    int rows, columns;
    char **cell; /* owned */
} table;

static bool set_cell(table *t, int row, int column, const char *text, const char *more) {
    const size_t len = strlen(text), rest = strlen(more);
    char *copy = malloc(len + rest + 1);
    if (!copy) return false;
    memcpy(copy, text, len);
    memcpy(copy + len, more, rest + 1);
    t->cell[row * t->columns + column] = copy;
    return true;
}

/* "sampler:options", as on the command line. */
static bool set_sampler(table *t, int row, const ath_report_row *of) {
    ath_text name = {0};
    ath_text_add(&name, of->sampler);
    if (options_of(of)[0]) ath_text_add(&name, ":");
    ath_text_add(&name, options_of(of));
    const bool ok = !name.failed && set_cell(t, row, 0, name.data, "");
    ath_text_free(&name);
    return ok;
}

static bool fill_table(table *t, const ath_report *r) {
    static const char *const heads[4] = {"sampler", "steps", "NFE", "seconds"};
    bool ok = true;
    for (int k = 0; k < 4; k++) ok = ok && set_cell(t, 0, k, heads[k], "");
    for (int k = 0; k < r->n_score; k++) ok = ok && set_cell(t, 0, 4 + k, r->score[k].name, " ");
    for (int i = 0; i < r->n_row; i++) {
        const ath_report_row *row = &r->row[i];
        char number[32];
        /* a sampler's name stands before the first of its rows */
        ok = ok && (i > 0 && same_sampler(row, row - 1) ? set_cell(t, i + 1, 0, "", "") : set_sampler(t, i + 1, row));
        snprintf(number, sizeof number, "%d", row->steps);
        ok = ok && set_cell(t, i + 1, 1, number, "");
        snprintf(number, sizeof number, "%.6g", row->nfe);
        ok = ok && set_cell(t, i + 1, 2, isfinite(row->nfe) ? number : "", "");
        ok = ok && set_cell(t, i + 1, 3, ath_show_number(row->seconds, ATH_SECONDS_DIGITS).text, "");
        for (int k = 0; k < r->n_score; k++)
            ok = ok && set_cell(t, i + 1, 4 + k, ath_show_number(row->score[k], ATH_SCORE_DIGITS).text,
                                ath_report_is_marked(r, i, k) ? "*" : " ");
        if (t->columns > 4 + r->n_score)
            ok = ok && set_cell(t, i + 1, t->columns - 1, ath_show_number(row->order, ATH_ORDER_DIGITS).text, "");
    }
    if (t->columns > 4 + r->n_score) ok = ok && set_cell(t, 0, t->columns - 1, "order", "");
    return ok;
}

/* Characters, not bytes, that a terminal shows; what is not UTF-8 counts as one each. */
static int width_of(const char *s) {
    int n = 0;
    for (; *s; n++) {
        const int len = ath_utf8_length(s);
        s += len ? len : 1;
    }
    return n;
}

static int widest_in(const table *t, int column) {
    int widest = 0;
    for (int i = 0; i < t->rows; i++) {
        const int width = width_of(t->cell[i * t->columns + column]);
        if (width > widest) widest = width;
    }
    return widest;
}

static void add_rule(ath_text *text, int width) {
    for (int k = 0; k < width; k++) ath_text_add(text, "-");
    ath_text_add(text, "\n");
}

/* Names to the left, numbers to the right, and no spaces at the ends of lines. */
static void add_table(ath_text *text, const table *t) {
    int width = 0;
    for (int k = 0; k < t->columns; k++) width += widest_in(t, k) + (k ? 2 : 0);
    for (int i = 0; i < t->rows; i++) {
        if (i < 2) add_rule(text, width);
        for (int k = 0; k < t->columns; k++) {
            const char *cell = t->cell[i * t->columns + k];
            const int space = widest_in(t, k) - width_of(cell);
            ath_text_addf(text, "%*s%s%*s", k ? 2 + space : 0, "", cell, k ? 0 : space, "");
        }
        while (text->len && text->data[text->len - 1] == ' ') text->data[--text->len] = 0;
        ath_text_add(text, "\n");
    }
    add_rule(text, width);
}

ath_status ath_report_table(const ath_report *r, char **out, ath_err *err) {
    *out = NULL;
    table t = {.rows = r->n_row + 1, .columns = 4 + r->n_score + ath_report_has_orders(r)};
    ath_text text = {0};
    t.cell = calloc((size_t)t.rows * (size_t)t.columns, sizeof *t.cell);
    if (t.cell && fill_table(&t, r)) {
        add_table(&text, &t);
        if (ath_report_has_marks(r)) ath_text_addf(&text, "* %s\n", ath_report_mark_means);
    } else
        text.failed = true;
    for (int i = 0; t.cell && i < t.rows * t.columns; i++) free(t.cell[i]);
    free(t.cell);
    return ath_text_take(&text, "the table", out, err);
}

/* ---- the plot ---- */

/* A plot and the memory that it borrows. */
typedef struct curves {
    ath_plot plot;
    ath_curve *curve;
    double *at;   /* (2,n_row): the curves' x and y */
    char **label; /* (n_row) */
} curves;

static void free_curves(curves *c, int n_row) {
    for (int i = 0; c->label && i < n_row; i++) free(c->label[i]);
    free(c->label);
    free(c->curve);
    free(c->at);
}

/* Points in the order of their evaluations. */
static void insert_point(double *x, double *y, int n, double at, double value) {
    for (; n > 0 && x[n - 1] > at; n--) {
        x[n] = x[n - 1];
        y[n] = y[n - 1];
    }
    x[n] = at;
    y[n] = value;
}

/* The curve of row `first`, which no row before it belongs to, with its points from *from on; none where no row has the score. */
static bool add_curve(curves *c, const ath_report *r, int first, int score, int *from) {
    double *x = c->at + *from, *y = c->at + r->n_row + *from;
    int n = 0;
    for (int i = first; i < r->n_row; i++)
        if (same_sampler(&r->row[i], &r->row[first]) && isfinite(r->row[i].score[score])) {
            insert_point(x, y, n, r->row[i].nfe, r->row[i].score[score]);
            n++;
        }
    if (n == 0) return true;
    *from += n;
    ath_text label = {0};
    ath_text_add(&label, r->row[first].sampler);
    if (options_of(&r->row[first])[0]) ath_text_addf(&label, ":%s", options_of(&r->row[first]));
    if (label.failed) {
        ath_text_free(&label);
        return false;
    }
    c->label[c->plot.n_curve] = label.data;
    c->curve[c->plot.n_curve++] = (ath_curve){.label = label.data, .x = x, .y = y, .n = n};
    return true;
}

static ath_status make_curves(curves *c, const ath_report *r, int score, ath_err *err) {
    const size_t n = (size_t)r->n_row + 1; /* not 0 */
    *c = (curves){
        .curve = calloc(n, sizeof *c->curve), .at = calloc(2 * n, sizeof *c->at), .label = calloc(n, sizeof *c->label)};
    bool ok = c->curve && c->at && c->label;
    int from = 0;
    for (int i = 0; ok && i < r->n_row; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++) seen |= same_sampler(&r->row[k], &r->row[i]);
        if (seen) continue;
        ok = add_curve(c, r, i, score, &from);
    }
    if (!ok) {
        free_curves(c, r->n_row);
        return ath_fail(err, ATH_E_MEM, "out of memory for a plot of %d runs", r->n_row);
    }
    c->plot.title = r->title;
    c->plot.x_label = "network evaluations an image (NFE)";
    c->plot.y_label = r->score[score].title;
    c->plot.log_x = true;
    c->plot.log_y = r->score[score].lower_is_better;
    c->plot.curve = c->curve;
    return ATH_OK;
}

ath_status ath_report_save_plot(const ath_report *r, int score, const char *path, ath_err *err) {
    curves c;
    const ath_status made = make_curves(&c, r, score, err);
    if (made != ATH_OK) return ath_fail_within(err, made, "%s", path);
    const ath_status status = ath_plot_save(path, &c.plot, err);
    free_curves(&c, r->n_row);
    return status;
}

ath_status ath_report_plot_svg(const ath_report *r, int score, char **svg, ath_err *err) {
    curves c;
    ATH_TRY(make_curves(&c, r, score, err));
    const ath_status status = ath_plot_svg(&c.plot, svg, err);
    free_curves(&c, r->n_row);
    return status;
}
