/* The page of a report: see report.h. One file, for any browser of the last years: what it shows is in the HTML; the script adds
 * only the sorting. Its policy forbids it to load anything, so that it cannot come to depend on a network. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "eval/report_parts.h"

enum { MAX_GRID = 1 << 28 /* bytes of the picture that is put in */ };

static const char head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
    "'unsafe-inline'; script-src 'unsafe-inline'\">\n";

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light dark;--paper:#fff;--ink:#232529;--soft:#5c626c;--rule:#d9dce1;--band:#f5f6f8;"
    "--best:#00603f}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#16181d;--ink:#dfe2e7;--soft:#9aa0ab;--rule:#363a44;--band:#"
    "1d2027;"
    "--best:#5fdcae}}\n"
    "body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:76rem;background:var(--paper);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem;line-height:1.2;margin:0 0 1rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.1rem;margin:2.2rem 0 .6rem}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:0}\n"
    "dt{color:var(--soft)}\n"
    "dd{margin:0;overflow-wrap:anywhere}\n"
    "figure{margin:0 0 1rem}\n"
    "figcaption,.note{color:var(--soft);font-size:.9rem}\n"
    ".wide{overflow-x:auto}\n"
    ".ath-plot{max-width:100%;height:auto}\n"
    "img{max-width:100%;height:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "thead th{border-bottom:2px solid var(--rule);white-space:nowrap;vertical-align:bottom}\n"
    "th,td{padding:.3rem .8rem;text-align:right}\n"
    "th.text,td.text{text-align:left}\n"
    "tbody tr:nth-child(even){background:var(--band)}\n"
    "td strong{color:var(--best)}\n"
    "th button{all:unset;cursor:pointer}\n"
    "th button:focus-visible{outline:2px solid var(--best);outline-offset:3px}\n"
    "th button::after{content:\"\\2195\";padding-left:.3em;color:var(--soft);font-weight:400}\n"
    "th[aria-sort=ascending] button::after{content:\"\\2191\";color:var(--ink)}\n"
    "th[aria-sort=descending] button::after{content:\"\\2193\";color:var(--ink)}\n"
    "</style>\n";

/* A click on a column's head sorts by it, a second one the other way round; equal rows keep their order, and cells without
 * a number come last either way. */
static const char script[] =
    "<script>\n"
    "\"use strict\";\n"
    "for (const table of document.querySelectorAll(\"table\")) {\n"
    "  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];\n"
    "  heads.forEach((head, column) => {\n"
    "    const button = document.createElement(\"button\");\n"
    "    button.type = \"button\";\n"
    "    button.append(...head.childNodes);\n"
    "    head.append(button);\n"
    "    const isText = head.classList.contains(\"text\");\n"
    "    button.addEventListener(\"click\", () => {\n"
    "      const sign = head.getAttribute(\"aria-sort\") === \"ascending\" ? -1 : 1;\n"
    "      heads.forEach(h => h.removeAttribute(\"aria-sort\"));\n"
    "      head.setAttribute(\"aria-sort\", sign > 0 ? \"ascending\" : \"descending\");\n"
    "      const value = row => {\n"
    "        const cell = row.cells[column];\n"
    "        return isText ? cell.textContent : cell.dataset.value === undefined ? NaN : Number(cell.dataset.value);\n"
    "      };\n"
    "      const order = (a, b) => {\n"
    "        const x = value(a), y = value(b);\n"
    "        if (isText) return sign * x.localeCompare(y, undefined, {numeric: true});\n"
    "        return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);\n"
    "      };\n"
    "      body.append(...[...body.rows].sort(order));\n"
    "    });\n"
    "  });\n"
    "}\n"
    "</script>\n";

static void add_element(ath_text *t, const char *open, const char *text, const char *close) {
    ath_text_add(t, open);
    ath_text_escape(t, text);
    ath_text_add(t, close);
}

static void add_facts(ath_text *t, const ath_report *r) {
    if (r->n_fact == 0) return;
    ath_text_add(t, "<dl>\n");
    for (int i = 0; i < r->n_fact; i++) {
        add_element(t, "<dt>", r->fact[i].name, "</dt>");
        add_element(t, "<dd>", r->fact[i].value, "</dd>\n");
    }
    ath_text_add(t, "</dl>\n");
}

static ath_status add_plots(ath_text *t, const ath_report *r, ath_err *err) {
    for (int k = 0; k < r->n_score && r->n_row; k++) {
        char *svg;
        ATH_TRY(ath_report_plot_svg(r, k, &svg, err));
        add_element(t, "<h2>", r->score[k].title, "</h2>\n<figure class=\"wide\">\n");
        ath_text_add(t, svg);
        ath_text_addf(t, "<figcaption>%s is better.</figcaption>\n</figure>\n",
                      r->score[k].lower_is_better ? "Lower" : "Higher");
        free(svg);
    }
    return ATH_OK;
}

/* A cell whose number sorts by all its digits. */
static void add_number(ath_text *t, double value, const char *shown, bool marked) {
    if (!isfinite(value)) {
        ath_text_add(t, "<td></td>");
        return;
    }
    ath_text_addf(t, marked ? "<td data-value=\"%.17g\"><strong>%s</strong></td>" : "<td data-value=\"%.17g\">%s</td>",
                  value, shown);
}

static void add_heads(ath_text *t, const ath_report *r, bool options, bool orders) {
    ath_text_add(t, "<thead><tr><th class=\"text\" scope=\"col\">sampler</th>");
    if (options) ath_text_add(t, "<th class=\"text\" scope=\"col\">options</th>");
    ath_text_add(t, "<th scope=\"col\">steps</th><th scope=\"col\" title=\"network evaluations an image\">NFE</th>"
                    "<th scope=\"col\">seconds</th>");
    for (int k = 0; k < r->n_score; k++) {
        add_element(t, "<th scope=\"col\" title=\"", r->score[k].title, "\">");
        add_element(t, "", r->score[k].name, "</th>");
    }
    if (orders) ath_text_add(t, "<th scope=\"col\" title=\"empirical order of convergence\">order</th>");
    ath_text_add(t, "</tr></thead>\n");
}

static void add_row(ath_text *t, const ath_report *r, int i, bool options, bool orders) {
    const ath_report_row *row = &r->row[i];
    char nfe[32];
    snprintf(nfe, sizeof nfe, "%.6g", row->nfe);
    add_element(t, "<tr><td class=\"text\">", row->sampler, "</td>");
    if (options) add_element(t, "<td class=\"text\">", row->options ? row->options : "", "</td>");
    ath_text_addf(t, "<td data-value=\"%d\">%d</td>", row->steps, row->steps);
    add_number(t, row->nfe, nfe, false);
    add_number(t, row->seconds, ath_show_number(row->seconds, ATH_SECONDS_DIGITS).text, false);
    for (int k = 0; k < r->n_score; k++)
        add_number(t, row->score[k], ath_show_number(row->score[k], ATH_SCORE_DIGITS).text,
                   ath_report_is_marked(r, i, k));
    if (orders) add_number(t, row->order, ath_show_number(row->order, ATH_ORDER_DIGITS).text, false);
    ath_text_add(t, "</tr>\n");
}

static void add_table(ath_text *t, const ath_report *r) {
    const bool options = ath_report_has_options(r), orders = ath_report_has_orders(r);
    if (r->n_row == 0) return;
    ath_text_add(t, "<h2>Runs</h2>\n<div class=\"wide\"><table>\n");
    add_heads(t, r, options, orders);
    ath_text_add(t, "<tbody>\n");
    for (int i = 0; i < r->n_row; i++) add_row(t, r, i, options, orders);
    ath_text_add(t, "</tbody></table></div>\n");
    if (ath_report_has_marks(r))
        ath_text_addf(t, "<p class=\"note\"><strong>Bold</strong>: %s.</p>\n", ath_report_mark_means);
}

static ath_status add_grid(ath_text *t, const ath_report *r, ath_err *err) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t *png;
    size_t size;
    if (!r->grid_path) return ATH_OK;
    ATH_TRY(ath_file_read(r->grid_path, MAX_GRID, &png, &size, err));
    if (size < sizeof signature || memcmp(png, signature, sizeof signature) != 0) {
        free(png);
        return ath_fail(err, ATH_E_FORMAT, "%s: is not a PNG, expected the grid of a report", r->grid_path);
    }
    const char *caption = r->grid_caption ? r->grid_caption : "";
    add_element(t, "<h2>Images</h2>\n<figure>\n<img alt=\"", caption, "\" src=\"data:image/png;base64,");
    ath_text_base64(t, png, size);
    add_element(t, "\">\n<figcaption>", caption, "</figcaption>\n</figure>\n");
    free(png);
    return ATH_OK;
}

ath_status ath_report_save_html(const ath_report *r, const char *path, ath_err *err) {
    ath_text t = {0};
    ath_text_add(&t, head);
    add_element(&t, "<title>", r->title, "</title>\n");
    ath_text_add(&t, style);
    add_element(&t, "</head>\n<body>\n<h1>", r->title, "</h1>\n");
    add_facts(&t, r);
    ath_status status = add_plots(&t, r, err);
    if (status == ATH_OK) add_table(&t, r);
    if (status == ATH_OK) status = add_grid(&t, r, err);
    if (status != ATH_OK) {
        ath_text_free(&t);
        return ath_fail_within(err, status, "%s", path);
    }
    ath_text_add(&t, script);
    ath_text_add(&t, "</body>\n</html>\n");
    return ath_text_save(&t, path, err);
}
