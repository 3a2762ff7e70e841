/* Option tables to and from JSON, and JSON files. Not a public header (jansson's types). */
#ifndef ATH_MODEL_JSON_H
#define ATH_MODEL_JSON_H
#include <jansson.h>
#include "base/option.h"

/* Reads an object of at most 64 MiB and two million values (base/text.h), nested at most 2048 deep (jansson's
 * JSON_PARSER_MAX_DEPTH; its parser recurses), each key once. Python's Infinity, -Infinity and NaN are read as the texts
 * "inf", "-inf" and "?". Errors name the path and the line. *out is the caller's (json_decref). */
ath_status ath_json_read(json_t **out, const char *path, ath_err *err);
/* Writes beside and renames, indented, keys in the order given. Takes the object over. */
ath_status ath_json_write(json_t *object, const char *path, ath_err *err);

/* The number under `key`, `dflt` when it is absent or null. Fails with ATH_E_FORMAT naming path and key unless it is a
 * number from min to max; ath_json_int also when it has a fraction. */
ath_status ath_json_number(const json_t *object, const char *key, double dflt, double min, double max, double *out,
                           const char *path, ath_err *err);
ath_status ath_json_int(const json_t *object, const char *key, int dflt, int min, int max, int *out, const char *path,
                        ath_err *err);

/* Adds every option of the table to the object. false when out of memory. */
bool ath_options_to_json(const ath_option *table, int n, const void *config, json_t *object);
/* Sets what the object has; keys that the table lacks fail when `strict`, else they are passed
 * over, as are keys with a leading underscore. Messages begin with `path`. */
ath_status ath_options_from_json(const ath_option *table, int n, void *config, const json_t *object, bool strict,
                                 const char *path, ath_err *err);

#endif
