/* Reading the golden files: JSON from this folder, always there, and the full set in
 * shared/golden, which may be absent. Numbers may be the texts "nan", "inf", "-inf". */
#ifndef ATH_TESTS_GOLDEN_H
#define ATH_TESTS_GOLDEN_H
#include <jansson.h>
#include <stdbool.h>
#include <unistd.h>
#include "../check.h"

/* The parsed file, to be given to json_decref; NULL when there is none. */
static inline json_t *golden_open(const char *of, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", of, name);
    if (access(path, R_OK) != 0) return NULL;
    json_error_t why = {0};
    json_t *root = json_load_file(path, JSON_DECODE_INT_AS_REAL, &why);
    CHECK(root != NULL, "%s: line %d: %s", path, why.line, why.text);
    return root;
}

/* Of this tree; it must be there. */
static inline json_t *golden_tree(const char *name) {
    json_t *root = golden_open(ATH_TEST_GOLDEN, name);
    CHECK(root != NULL, "%s/%s is missing", ATH_TEST_GOLDEN, name);
    return root;
}

/* Of the full set; the test is skipped when it is not there. */
static inline json_t *golden_shared(const char *name) {
    json_t *root = golden_open(ATH_SHARED_GOLDEN, name);
    if (!root) skip();
    return root;
}

/* object[key], which must exist */
static inline const json_t *golden_at(const json_t *object, const char *key) {
    const json_t *item = json_object_get(object, key);
    CHECK(item != NULL, "golden file: no \"%s\"", key);
    return item;
}

static inline double golden_value(const json_t *item) {
    if (json_is_string(item)) return strtod(json_string_value(item), NULL);
    CHECK(json_is_number(item), "golden file: expected a number");
    return json_number_value(item);
}

static inline double golden_number(const json_t *object, const char *key) {
    return golden_value(golden_at(object, key));
}

static inline const char *golden_text(const json_t *object, const char *key) {
    const char *text = json_string_value(golden_at(object, key));
    CHECK(text != NULL, "golden file: \"%s\" is not a text", key);
    return text;
}

/* Every number of nested lists in their order into out[0..room); returns how many. */
static inline size_t golden_list(const json_t *list, double *out, size_t room) {
    if (!json_is_array(list)) {
        CHECK(room > 0, "golden file: a list is longer than expected");
        *out = golden_value(list);
        return 1;
    }
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) n += golden_list(json_array_get(list, i), out + n, room - n);
    return n;
}

#endif
