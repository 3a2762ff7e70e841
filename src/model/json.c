/* JSON and option tables: see json.h. */
#include "model/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/text.h"

enum { MAX_JSON = 64 << 20 };

/* Python writes numbers that JSON has not, diffusers with them (lambda_min_clipped of DPM-Solver). They become texts as long. */
static void quote_python_numbers(char *text, size_t size) {
    static const char *const word[][2] = {{"-Infinity", "\"-inf\"   "}, {"Infinity", "\"inf\"   "}, {"NaN", "\"?\""}};
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        for (int k = 0; k < 3 && !quoted; k++) {
            const size_t len = strlen(word[k][0]);
            if (len > size - i || memcmp(text + i, word[k][0], len) != 0) continue;
            memcpy(text + i, word[k][1], len);
            i += len - 1;
            break;
        }
    }
}

ath_status ath_json_read(json_t **out, const char *path, ath_err *err) {
    uint8_t *text;
    size_t size;
    ATH_TRY(ath_file_read(path, MAX_JSON, &text, &size, err));
    if (!ath_json_is_modest((const char *)text, size)) {
        free(text);
        return ath_fail(err, ATH_E_FORMAT, "%s: has more values than the two million allowed", path);
    }
    quote_python_numbers((char *)text, size);
    json_error_t why;
    json_t *object = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (!object) return ath_fail(err, ATH_E_FORMAT, "%s: line %d: %s", path, why.line, why.text);
    if (!json_is_object(object)) {
        json_decref(object);
        return ath_fail(err, ATH_E_FORMAT, "%s: expected a JSON object", path);
    }
    *out = object;
    return ATH_OK;
}

ath_status ath_json_write(json_t *object, const char *path, ath_err *err) {
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(object);
    if (!text) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    const size_t len = strlen(text);
    text[len] = '\n'; /* the final zero's place: the text is written by length */
    const ath_status status = ath_file_write(path, text, len + 1, err);
    free(text);
    return status;
}

ath_status ath_json_number(const json_t *object, const char *key, double dflt, double min, double max, double *out,
                           const char *path, ath_err *err) {
    const json_t *item = json_object_get(object, key);
    *out = dflt;
    if (!item || json_is_null(item)) return ATH_OK;
    *out = json_number_value(item);
    if (json_is_number(item) && *out >= min && *out <= max) return ATH_OK;
    return ath_fail(err, ATH_E_FORMAT, "%s: %s: expected a number from %.10g to %.10g", path, key, min, max);
}

ath_status ath_json_int(const json_t *object, const char *key, int dflt, int min, int max, int *out, const char *path,
                        ath_err *err) {
    double value;
    ATH_TRY(ath_json_number(object, key, dflt, min, max, &value, path, err));
    *out = (int)value;
    if (*out == value) return ATH_OK;
    return ath_fail(err, ATH_E_FORMAT, "%s: %s: expected a whole number from %d to %d", path, key, min, max);
}

static bool is_null(const ath_option *o, const void *field) {
    if (!o->nullable) return false;
    if (o->type == ATH_OPT_INT) return *(const int *)field == 0;
    if (o->type == ATH_OPT_INTS) return ((const ath_ints *)field)->n < 0;
    if (o->type == ATH_OPT_TEXT || o->type == ATH_OPT_WORDS) return *(const char *)field == 0;
    return false;
}

static json_t *words_to_json(const char *words) {
    json_t *list = json_array();
    while (*words) {
        const size_t len = strcspn(words, ",");
        json_array_append_new(list, json_stringn(words, len));
        words += len + (words[len] == ',');
    }
    return list;
}

static json_t *ints_to_json(const ath_ints *ints) {
    json_t *list = json_array();
    for (int i = 0; i < ints->n; i++) json_array_append_new(list, json_integer(ints->v[i]));
    return list;
}

static json_t *floats_to_json(const ath_floats *floats) {
    json_t *list = json_array();
    for (int i = 0; i < floats->n; i++) json_array_append_new(list, json_real(floats->v[i]));
    return list;
}

static json_t *value_to_json(const ath_option *o, const void *config) {
    const void *field = (const char *)config + o->offset;
    if (is_null(o, field)) return json_null();
    switch (o->type) {
    case ATH_OPT_INT:
        return json_integer(*(const int *)field);
    case ATH_OPT_INT64:
        return json_integer(*(const int64_t *)field);
    case ATH_OPT_FLOAT:
        return json_real(*(const double *)field);
    case ATH_OPT_BOOL:
        return json_boolean(*(const bool *)field);
    case ATH_OPT_TEXT:
        return json_string(field);
    case ATH_OPT_WORDS:
        return words_to_json(field);
    case ATH_OPT_INTS:
        if (o->or_number && ((const ath_ints *)field)->n == 1) return json_integer(((const ath_ints *)field)->v[0]);
        return ints_to_json(field);
    case ATH_OPT_FLOATS:
        return floats_to_json(field);
    }
    return NULL;
}

bool ath_options_to_json(const ath_option *table, int n, const void *config, json_t *object) {
    for (int i = 0; i < n; i++)
        if (json_object_set_new(object, table[i].name, value_to_json(&table[i], config)) != 0) return false;
    return true;
}

/* A JSON value as it would be typed on the command line; false when it has no such form. */
static bool as_text(const json_t *value, char *text, size_t room) {
    if (json_is_string(value)) return snprintf(text, room, "%s", json_string_value(value)) < (int)room;
    if (json_is_integer(value)) return snprintf(text, room, "%lld", (long long)json_integer_value(value)) < (int)room;
    if (json_is_real(value)) return snprintf(text, room, "%.17g", json_real_value(value)) < (int)room;
    if (json_is_boolean(value)) return snprintf(text, room, "%s", json_is_true(value) ? "true" : "false") < (int)room;
    if (!json_is_array(value)) return false;
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (json_is_array(item) || used + 2 >= room) return false;
        if (i) text[used++] = ',';
        if (!as_text(item, text + used, room - used)) return false;
        used += strlen(text + used);
    }
    return true;
}

ath_status ath_options_from_json(const ath_option *table, int n, void *config, const json_t *object, bool strict,
                                 const char *path, ath_err *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        const ath_option *o = ath_options_find(table, n, key);
        if (key[0] == '_' || (!o && !strict)) continue;
        char text[2 * ATH_TEXT_LEN];
        ath_status status = ATH_OK;
        if (o && json_is_null(value)) {
            void *field = (char *)config + o->offset;
            if (o->type == ATH_OPT_INT && o->nullable)
                *(int *)field = 0;
            else if (o->type == ATH_OPT_INTS && o->nullable)
                *(ath_ints *)field = (ath_ints){.n = -1};
            else if ((o->type == ATH_OPT_TEXT || o->type == ATH_OPT_WORDS) && o->nullable)
                *(char *)field = 0;
            else
                status = ath_fail(err, ATH_E_FORMAT, "%s: is null, expected a value", key);
        } else if (!as_text(value, text, sizeof text))
            status = ath_fail(err, ATH_E_FORMAT, "%s: is neither a number, a text, true, false nor a short list", key);
        else
            status = ath_options_set(table, n, config, key, text, err);
        if (status != ATH_OK) return ath_fail_within(err, ATH_E_FORMAT, "%s", path);
    }
    return ATH_OK;
}
