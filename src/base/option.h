/* One table describes a set of options: the command line is parsed by it, --help
 * prints it, train.json and config.json are read and written by it, and the range
 * is checked in one place. */
#ifndef ATH_BASE_OPTION_H
#define ATH_BASE_OPTION_H
#include <stdbool.h>
#include <stdint.h>
#include "base/status.h"

enum { ATH_MAX_INTS = 16, ATH_MAX_FLOATS = 16, ATH_TEXT_LEN = 1024 };

/* A short list of whole numbers: "1,2,2". */
typedef struct ath_ints {
    int n; /* -1: not given */
    int v[ATH_MAX_INTS];
} ath_ints;

/* A short list of numbers: "0.45,0.55,0.6". */
typedef struct ath_floats {
    int n;
    double v[ATH_MAX_FLOATS];
} ath_floats;

typedef enum ath_option_type {
    ATH_OPT_INT,    /* int                            */
    ATH_OPT_INT64,  /* int64_t                        */
    ATH_OPT_FLOAT,  /* double                         */
    ATH_OPT_BOOL,   /* bool                           */
    ATH_OPT_TEXT,   /* char[ATH_TEXT_LEN]             */
    ATH_OPT_INTS,   /* ath_ints                       */
    ATH_OPT_FLOATS, /* ath_floats                     */
    ATH_OPT_WORDS   /* char[ATH_TEXT_LEN], "a,b,c": a list of names in JSON */
} ath_option_type;

typedef struct ath_option {
    const char *name; /* as it is typed after "--", or as a key                       */
    ath_option_type type;
    size_t offset;     /* of the field in the config struct                            */
    const char *dflt;  /* as it would be typed                                         */
    double min, max;   /* of numbers; both 0 means any                                 */
    const char *value; /* what --help calls the value ("N", "PATH"); NULL for none     */
    const char *help;
    const char *choices; /* "a|b|c": the only texts allowed; NULL for any               */
    bool nullable;       /* 0, an empty text or n = -1 is null in JSON                   */
    bool or_number;      /* of ATH_OPT_INTS: a list of one is a number in JSON           */
} ath_option;

/* Sets every field to its default. The table's defaults are right by construction. */
void ath_options_default(const ath_option *table, int n, void *config);
/* Sets one field from text. Fails with ATH_E_ARG: unknown key (with the nearest known one), not a number,
 * out of range, not a choice; the message begins with the key. */
ath_status ath_options_set(const ath_option *table, int n, void *config, const char *key, const char *value,
                           ath_err *err);
/* "key=value,key=value" as in --sampler NAME:...; text may be "". A list inside is written with '/'. A key alone is
 * true, for an option that is true or false. */
ath_status ath_options_parse(const ath_option *table, int n, void *config, const char *text, ath_err *err);
/* The field as it would be typed. */
void ath_options_format(const ath_option *o, const void *config, char *text, size_t room);
const ath_option *ath_options_find(const ath_option *table, int n, const char *key); /* NULL if there is none */

/* The one of `n` names nearest to `name` by edit distance, NULL when none is near. */
const char *ath_nearest_name(const char *name, const char *const *names, int n);

/* The whole text as a number. */
bool ath_parse_double(const char *text, double *out);
bool ath_parse_int64(const char *text, int64_t *out);

#endif
