/* Option tables: see option.h. */
#include "base/option.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ath_parse_double(const char *text, double *out) {
    char *end;
    errno = 0;
    const double value = strtod(text, &end);
    if (end == text || *end || errno == ERANGE || !isfinite(value)) return false;
    *out = value;
    return true;
}

bool ath_parse_int64(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno == ERANGE) return false;
    *out = value;
    return true;
}

const ath_option *ath_options_find(const ath_option *table, int n, const char *key) {
    for (int i = 0; i < n; i++)
        if (strcmp(table[i].name, key) == 0) return &table[i];
    return NULL;
}

static int min3(int a, int b, int c) {
    const int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance of two short names; long ones are simply far. */
static int edit_distance(const char *a, const char *b) {
    enum { MOST = 64 };
    const int la = (int)strlen(a), lb = (int)strlen(b);
    if (la >= MOST || lb >= MOST) return MOST;
    int row[MOST + 1];
    for (int j = 0; j <= lb; j++) row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            const int up = row[j];
            row[j] = min3(up + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = up;
        }
    }
    return row[lb];
}

const char *ath_nearest_name(const char *name, const char *const *names, int n) {
    const char *best = NULL;
    int distance = (int)strlen(name) / 2 + 1;
    for (int i = 0; i < n; i++) {
        const int d = edit_distance(name, names[i]);
        if (d < distance) {
            distance = d;
            best = names[i];
        }
    }
    return best;
}

static bool in_range(const ath_option *o, double value) {
    return (o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max);
}

static ath_status wrong_range(const ath_option *o, const char *value, ath_err *err) {
    return ath_fail(err, ATH_E_ARG, "%s: %s is out of range, expected %g to %g", o->name, value, o->min, o->max);
}

/* Adds the number at `at` to a list; false when there is none, or no room. */
static bool add_number(const ath_option *o, void *list, const char *at, char **end, double *value) {
    if (o->type == ATH_OPT_INTS) {
        ath_ints *ints = list;
        const long v = strtol(at, end, 10);
        *value = (double)v;
        if (*end == at || v < INT32_MIN || v > INT32_MAX || ints->n == ATH_MAX_INTS) return false;
        ints->v[ints->n++] = (int)v;
        return true;
    }
    ath_floats *floats = list;
    *value = strtod(at, end);
    if (*end == at || !isfinite(*value) || floats->n == ATH_MAX_FLOATS) return false;
    floats->v[floats->n++] = *value;
    return true;
}

static ath_status set_list(const ath_option *o, void *list, const char *value, ath_err *err) {
    const bool ints = o->type == ATH_OPT_INTS;
    if (ints)
        *(ath_ints *)list = (ath_ints){.n = 0};
    else
        *(ath_floats *)list = (ath_floats){.n = 0};
    const char *at = value;
    if (!*at || strcmp(at, "none") == 0) return ATH_OK;
    for (;;) {
        char *end;
        double number;
        if (!add_number(o, list, at, &end, &number) || (*end && *end != ',' && *end != '/'))
            return ath_fail(err, ATH_E_ARG, "%s: \"%s\" is not a list of at most %d %snumbers, such as %s", o->name,
                            value, ints ? ATH_MAX_INTS : ATH_MAX_FLOATS, ints ? "whole " : "",
                            ints ? "1,2,2" : "0.5,0.6");
        if (!in_range(o, number)) return wrong_range(o, value, err);
        if (!*end) return ATH_OK;
        at = end + 1;
    }
}

/* The names of "a|b|c" in `text`, which is cut up for it. */
static int split_choices(char *text, const char **names, int room) {
    int n = 0;
    for (char *at = text, *bar; at && n < room; at = bar ? bar + 1 : NULL) {
        bar = strchr(at, '|');
        if (bar) *bar = 0;
        names[n++] = at;
    }
    return n;
}

static ath_status check_choice(const ath_option *o, const char *value, ath_err *err) {
    char text[ATH_TEXT_LEN];
    const char *names[32];
    snprintf(text, sizeof text, "%s", o->choices);
    const int n = split_choices(text, names, 32);
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], value) == 0) return ATH_OK;
    const char *near = ath_nearest_name(value, names, n);
    return ath_fail(err, ATH_E_ARG, "%s: \"%s\" is not known%s%s%s, expected %s", o->name, value,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "", o->choices);
}

static ath_status set_text(const ath_option *o, char *out, const char *value, ath_err *err) {
    if (strlen(value) >= ATH_TEXT_LEN)
        return ath_fail(err, ATH_E_ARG, "%s: longer than %d characters", o->name, ATH_TEXT_LEN - 1);
    if (o->choices) ATH_TRY(check_choice(o, value, err));
    strcpy(out, value);
    return ATH_OK;
}

static ath_status set_value(const ath_option *o, void *config, const char *value, ath_err *err) {
    void *field = (char *)config + o->offset;
    int64_t whole;
    double real;
    switch (o->type) {
    case ATH_OPT_INT:
        if (!ath_parse_int64(value, &whole) || whole < INT32_MIN || whole > INT32_MAX)
            return ath_fail(err, ATH_E_ARG, "%s: \"%s\" is not a whole number", o->name, value);
        if (!in_range(o, (double)whole)) return wrong_range(o, value, err);
        *(int *)field = (int)whole;
        return ATH_OK;
    case ATH_OPT_INT64:
        if (!ath_parse_int64(value, &whole))
            return ath_fail(err, ATH_E_ARG, "%s: \"%s\" is not a whole number", o->name, value);
        if (!in_range(o, (double)whole)) return wrong_range(o, value, err);
        *(int64_t *)field = whole;
        return ATH_OK;
    case ATH_OPT_FLOAT:
        if (!ath_parse_double(value, &real))
            return ath_fail(err, ATH_E_ARG, "%s: \"%s\" is not a number", o->name, value);
        if (!in_range(o, real)) return wrong_range(o, value, err);
        *(double *)field = real;
        return ATH_OK;
    case ATH_OPT_BOOL:
        if (strcmp(value, "true") == 0 || strcmp(value, "1") == 0 || strcmp(value, "yes") == 0)
            *(bool *)field = true;
        else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0 || strcmp(value, "no") == 0)
            *(bool *)field = false;
        else
            return ath_fail(err, ATH_E_ARG, "%s: \"%s\" is neither true nor false", o->name, value);
        return ATH_OK;
    case ATH_OPT_INTS:
    case ATH_OPT_FLOATS:
        return set_list(o, field, value, err);
    case ATH_OPT_TEXT:
    case ATH_OPT_WORDS:
        return set_text(o, field, value, err);
    }
    return ath_fail(err, ATH_E_ARG, "%s: an option of no known type", o->name);
}

void ath_options_default(const ath_option *table, int n, void *config) {
    for (int i = 0; i < n; i++) {
        void *field = (char *)config + table[i].offset;
        if (table[i].dflt)
            (void)set_value(&table[i], config, table[i].dflt, NULL);
        else if (table[i].type == ATH_OPT_INTS)
            *(ath_ints *)field = (ath_ints){.n = -1};
        else if (table[i].type == ATH_OPT_FLOATS)
            *(ath_floats *)field = (ath_floats){.n = 0};
        else if (table[i].type == ATH_OPT_TEXT || table[i].type == ATH_OPT_WORDS)
            *(char *)field = 0;
    }
}

ath_status ath_options_set(const ath_option *table, int n, void *config, const char *key, const char *value,
                           ath_err *err) {
    const ath_option *o = ath_options_find(table, n, key);
    if (o) return set_value(o, config, value, err);
    if (n == 0) return ath_fail(err, ATH_E_ARG, "%s: no such option; there are none here", key);
    const char *names[128] = {NULL};
    const int count = n < 128 ? n : 128;
    for (int i = 0; i < count; i++) names[i] = table[i].name;
    const char *near = ath_nearest_name(key, names, count);
    if (near) return ath_fail(err, ATH_E_ARG, "%s: no such option; did you mean %s?", key, near);
    return ath_fail(err, ATH_E_ARG, "%s: no such option", key);
}

ath_status ath_options_parse(const ath_option *table, int n, void *config, const char *text, ath_err *err) {
    while (*text) {
        char pair[2 * ATH_TEXT_LEN];
        const char *comma = strchr(text, ',');
        const size_t len = comma ? (size_t)(comma - text) : strlen(text);
        if (len >= sizeof pair) return ath_fail(err, ATH_E_ARG, "\"%.40s...\": too long", text);
        memcpy(pair, text, len);
        pair[len] = 0;
        char *equals = strchr(pair, '=');
        if (equals) *equals = 0;
        const ath_option *o = ath_options_find(table, n, pair);
        if (!equals && !(o && o->type == ATH_OPT_BOOL))
            return ath_fail(err, ATH_E_ARG, "\"%s\": expected key=value", pair);
        ATH_TRY(ath_options_set(table, n, config, pair, equals ? equals + 1 : "true", err));
        text += comma ? len + 1 : len;
    }
    return ATH_OK;
}

/* 15 digits are what was typed; a computed number may need 17 to be read back as it is. */
static void format_double(double value, char *text, size_t room) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value) snprintf(digits, sizeof digits, "%.17g", value);
    snprintf(text, room, "%s", digits);
}

void ath_options_format(const ath_option *o, const void *config, char *text, size_t room) {
    const void *field = (const char *)config + o->offset;
    switch (o->type) {
    case ATH_OPT_INT:
        snprintf(text, room, "%d", *(const int *)field);
        return;
    case ATH_OPT_INT64:
        snprintf(text, room, "%" PRId64, *(const int64_t *)field);
        return;
    case ATH_OPT_FLOAT:
        format_double(*(const double *)field, text, room);
        return;
    case ATH_OPT_BOOL:
        snprintf(text, room, "%s", *(const bool *)field ? "true" : "false");
        return;
    case ATH_OPT_TEXT:
    case ATH_OPT_WORDS:
        snprintf(text, room, "%s", (const char *)field);
        return;
    case ATH_OPT_INTS:
    case ATH_OPT_FLOATS:
        break;
    }
    const ath_ints *ints = o->type == ATH_OPT_INTS ? field : NULL;
    const ath_floats *floats = ints ? NULL : field;
    const int n = ints ? ints->n : floats->n;
    size_t used = 0;
    if (room) text[0] = 0;
    if (n == 0) snprintf(text, room, "none");
    for (int i = 0; i < n && used < room; i++) {
        char number[32];
        if (ints)
            snprintf(number, sizeof number, "%d", ints->v[i]);
        else
            format_double(floats->v[i], number, sizeof number);
        const int more = snprintf(text + used, room - used, "%s%s", i ? "," : "", number);
        if (more < 0) return;
        used += (size_t)more;
    }
}
