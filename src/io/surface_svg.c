/* A plot's surface of SVG 1.1 elements: see surface.h. A paint is a class that sets `color`, so that a reader's preference for
 * dark pages needs no second picture. A clip is a nested <svg>, which needs no identifiers: several pictures can stand
 * in one page. */
#include "io/surface.h"

typedef struct shade {
    const char *name, *light, *dark;
} shade;

static const shade shades[ATH_N_PAINT] = {
    [ATH_PAPER] = {"paper", "#fff", "#16181d"},      [ATH_MINOR] = {"minor", "#f1f1f1", "#20232a"},
    [ATH_GRID] = {"grid", "#e2e2e2", "#2f333c"},     [ATH_LINE] = {"line", "#828282", "#8b909a"},
    [ATH_INK] = {"ink", "#323232", "#dfe2e7"},       [ATH_SERIES] = {"s0", "#0072b2", "#4aa8e0"},
    [ATH_SERIES + 1] = {"s1", "#d55e00", "#f08a3c"}, [ATH_SERIES + 2] = {"s2", "#009e73", "#2fc79b"},
    [ATH_SERIES + 3] = {"s3", "#cc79a7", "#de9cc0"}, [ATH_SERIES + 4] = {"s4", "#e69f00", "#f0b93c"},
    [ATH_SERIES + 5] = {"s5", "#56b4e9", "#9ad4f5"}, [ATH_SERIES + 6] = {"s6", "#5a5a5a", "#b0b4bb"}};

static void add_shades(ath_text *t, bool dark) {
    for (int i = 0; i < ATH_N_PAINT; i++)
        ath_text_addf(t, ".ath-plot .%s{color:%s}", shades[i].name, dark ? shades[i].dark : shades[i].light);
}

void ath_svg_begin(ath_text *t, int w, int h, const char *title) {
    ath_text_addf(t,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ath-plot\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\" font-family=\"system-ui,sans-serif\" role=\"img\">\n",
                  w, h, w, h);
    if (title) {
        ath_text_add(t, "<title>");
        ath_text_escape(t, title);
        ath_text_add(t, "</title>\n");
    }
    ath_text_add(t, "<style>");
    add_shades(t, false);
    ath_text_add(t, "@media(prefers-color-scheme:dark){");
    add_shades(t, true);
    ath_text_add(t, "}</style>\n");
}

void ath_svg_end(ath_text *t) { ath_text_add(t, "</svg>\n"); }

static void clip(void *self, const ath_box *box) {
    ath_text *t = ((ath_svg_surface *)self)->text;
    if (!box) {
        ath_text_add(t, "</svg>\n");
        return;
    }
    const int w = box->x1 - box->x0, h = box->y1 - box->y0;
    ath_text_addf(t, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"%d %d %d %d\">\n", box->x0, box->y0,
                  w, h, box->x0, box->y0, w, h);
}

static void group(void *self, const char *title) {
    ath_text *t = ((ath_svg_surface *)self)->text;
    if (!title) {
        ath_text_add(t, "</g>\n");
        return;
    }
    ath_text_add(t, "<g><title>");
    ath_text_escape(t, title);
    ath_text_add(t, "</title>\n");
}

static void fill(void *self, ath_box box, int paint) {
    ath_text_addf(((ath_svg_surface *)self)->text,
                  "<rect class=\"%s\" fill=\"currentColor\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
                  shades[paint].name, box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
}

static void begin(void *self, ath_style style) {
    ath_svg_surface *s = self;
    s->style = style;
    s->n = 0;
    ath_text_addf(s->text, "<path class=\"%s\" d=\"", shades[style.paint].name);
}

/* An SVG's whole numbers are the corners of pixels, not their centres. */
static void point(void *self, double x, double y) {
    ath_svg_surface *s = self;
    ath_text_addf(s->text, "%s%.6g %.6g", s->n == 0 ? "M" : s->n == 1 ? "L" : " ", x + 0.5, y + 0.5);
    s->n++;
}

static void end(void *self) {
    ath_svg_surface *s = self;
    const ath_style *style = &s->style;
    if (style->filled) {
        ath_text_add(s->text, "Z\" fill=\"currentColor\"/>\n");
        return;
    }
    ath_text_addf(s->text,
                  "%s\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"%.3g\" stroke-linecap=\"round\" "
                  "stroke-linejoin=\"round\"",
                  s->n == 1 ? "h0" : "", 2 * style->radius);
    if (style->alpha < 1) ath_text_addf(s->text, " opacity=\"%.3g\"", style->alpha);
    if (style->dash) {
        const double *dash = ath_dash[style->dash];
        ath_text_addf(s->text, " stroke-dasharray=\"%g %g %g %g\"", dash[0], dash[1], dash[2], dash[3]);
    }
    ath_text_add(s->text, "/>\n");
}

static void text(void *self, ath_label at, const char *words) {
    static const char *const anchor[] = {[ATH_FROM] = "start", [ATH_MIDDLE] = "middle", [ATH_UP_TO] = "end"};
    const double em_of_capital = 1.4; /* of most sans-serif fonts */
    ath_text *t = ((ath_svg_surface *)self)->text;
    if (!words[0]) return;
    ath_text_addf(
        t, "<text class=\"%s\" fill=\"currentColor\" x=\"%.6g\" y=\"%.6g\" font-size=\"%.3g\" text-anchor=\"%s\"",
        shades[at.paint].name, at.x, at.y, 9 * em_of_capital * at.size, anchor[at.anchor]);
    if (at.upwards) ath_text_addf(t, " transform=\"rotate(-90 %.6g %.6g)\"", at.x, at.y);
    ath_text_add(t, ">");
    ath_text_escape(t, words);
    ath_text_add(t, "</text>\n");
}

ath_surface ath_surface_svg(ath_svg_surface *state, ath_text *t) {
    *state = (ath_svg_surface){.text = t};
    return (ath_surface){state, clip, group, fill, begin, point, end, text};
}
