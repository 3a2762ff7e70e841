/* Wu's colour quantisation: see palette.h.
 *
 * Colours are counted in a histogram of 32 x 32 x 32. With m(r,g,b) = the sums over all colours up to (r,g,b) of
 * weight, of r, g and b times weight, and of r^2 + g^2 + b^2 times weight, the sum over a box is a signed sum of m at its
 * eight corners, so that the variance of a box, and the best plane to cut it by, cost little. The box of the greatest
 * weighted variance is cut until there are 256. */
#include "io/palette.h"
#include <stdbool.h>
#include <stdlib.h>

enum { BITS = 5, SIDE = (1 << BITS) + 1 /* plane 0 is empty: sums before the first colour */ };

typedef struct moment {
    double weight, sum[3], squares;
} moment;

/* Colours lo < c <= hi in each channel, in planes. */
typedef struct box {
    int lo[3], hi[3];
    double variance; /* times weight: what drawing it in its mean colour costs */
} box;

static size_t place_of(int r, int g, int b) { return (size_t)((r * SIDE + g) * SIDE + b); }
static int plane_of(uint8_t value) { return (value >> (8 - BITS)) + 1; }

static void accumulate(moment *to, const moment *from, double sign) {
    to->weight += sign * from->weight;
    to->squares += sign * from->squares;
    for (int k = 0; k < 3; k++) to->sum[k] += sign * from->sum[k];
}

static void count(moment *m, const uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++, rgb += 3) {
        moment *at = &m[place_of(plane_of(rgb[0]), plane_of(rgb[1]), plane_of(rgb[2]))];
        at->weight++;
        for (int k = 0; k < 3; k++) {
            at->sum[k] += rgb[k];
            at->squares += rgb[k] * rgb[k];
        }
    }
}

/* Sums along one axis after the other make the sums over all colours up to each. */
static void integrate(moment *m) {
    static const size_t step[3] = {SIDE * SIDE, SIDE, 1};
    for (int axis = 0; axis < 3; axis++)
        for (int r = axis == 0; r < SIDE; r++)
            for (int g = axis == 1; g < SIDE; g++)
                for (int b = axis == 2; b < SIDE; b++) {
                    const size_t at = place_of(r, g, b);
                    accumulate(&m[at], &m[at - step[axis]], 1);
                }
}

static moment sum_of(const moment *m, const box *b) {
    moment total = {0};
    for (int corner = 0; corner < 8; corner++) {
        int at[3], low = 0;
        for (int k = 0; k < 3; k++) {
            at[k] = corner >> k & 1 ? b->hi[k] : b->lo[k];
            low += at[k] == b->lo[k] && !(corner >> k & 1);
        }
        accumulate(&total, &m[place_of(at[0], at[1], at[2])], low % 2 ? -1 : 1);
    }
    return total;
}

/* |sum|^2 / weight: the greater it is over the parts of a box, the smaller are their variances. */
static double gathered(const moment *t) {
    double squares = 0;
    for (int k = 0; k < 3; k++) squares += t->sum[k] * t->sum[k];
    return t->weight > 0 ? squares / t->weight : 0;
}

static void measure(const moment *m, box *b) {
    const moment t = sum_of(m, b);
    b->variance = t.squares - gathered(&t);
}

/* Cuts `b` where the parts' variances are least; false where all its colours lie in one cell. */
static bool cut(const moment *m, box *b, box *upper) {
    const moment whole = sum_of(m, b);
    double best = 0;
    int axis = -1, plane = 0;
    for (int k = 0; k < 3; k++)
        for (int p = b->lo[k] + 1; p < b->hi[k]; p++) {
            box part = *b;
            part.hi[k] = p;
            moment low = sum_of(m, &part), high = whole;
            accumulate(&high, &low, -1);
            if (low.weight == 0 || high.weight == 0) continue;
            const double now = gathered(&low) + gathered(&high);
            if (now <= best) continue;
            best = now;
            axis = k;
            plane = p;
        }
    if (axis < 0) return false;
    *upper = *b;
    upper->lo[axis] = plane;
    b->hi[axis] = plane;
    measure(m, b);
    measure(m, upper);
    return true;
}

static int divide(const moment *m, box *boxes) {
    boxes[0] = (box){.hi = {SIDE - 1, SIDE - 1, SIDE - 1}};
    measure(m, &boxes[0]);
    int n = 1;
    while (n < ATH_PALETTE_COLOURS) {
        box *widest = boxes;
        for (int i = 1; i < n; i++)
            if (boxes[i].variance > widest->variance) widest = &boxes[i];
        if (widest->variance <= 0) break;
        if (cut(m, widest, &boxes[n]))
            n++;
        else
            widest->variance = 0;
    }
    return n;
}

ath_status ath_palette_fit(const uint8_t *rgb, size_t n, uint8_t *colour, int *n_colour, uint8_t *index, ath_err *err) {
    moment *m = calloc((size_t)SIDE * SIDE * SIDE, sizeof *m);
    uint8_t *label = malloc((size_t)SIDE * SIDE * SIDE);
    if (!m || !label) {
        free(m);
        free(label);
        return ath_fail(err, ATH_E_MEM, "out of memory for a palette");
    }
    count(m, rgb, n);
    integrate(m);
    box boxes[ATH_PALETTE_COLOURS];
    *n_colour = divide(m, boxes);
    for (int i = 0; i < *n_colour; i++) {
        const moment t = sum_of(m, &boxes[i]);
        for (int k = 0; k < 3; k++) colour[3 * i + k] = t.weight > 0 ? (uint8_t)(t.sum[k] / t.weight + 0.5) : 0;
        for (int r = boxes[i].lo[0] + 1; r <= boxes[i].hi[0]; r++)
            for (int g = boxes[i].lo[1] + 1; g <= boxes[i].hi[1]; g++)
                for (int b = boxes[i].lo[2] + 1; b <= boxes[i].hi[2]; b++) label[place_of(r, g, b)] = (uint8_t)i;
    }
    for (size_t i = 0; i < n; i++, rgb += 3)
        index[i] = label[place_of(plane_of(rgb[0]), plane_of(rgb[1]), plane_of(rgb[2]))];
    free(m);
    free(label);
    return ATH_OK;
}
