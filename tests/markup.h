/* Whether the text of an SVG or HTML page holds together, as far as a test can tell without a browser. */
#ifndef ATH_TESTS_MARKUP_H
#define ATH_TESTS_MARKUP_H
#include <stdbool.h>
#include "check.h"

/* HTML's elements that have no end. */
static inline bool is_void(const char *name) { return strcmp(name, "meta") == 0 || strcmp(name, "img") == 0; }

/* Every element that is opened is closed, in order; quotes of attributes end; there is no stray < or &. */
static inline void check_well_formed(const char *s) {
    char stack[16][16];
    int depth = 0, elements = 0;
    for (const char *p = s; *p; p++) {
        const bool code = depth && (strcmp(stack[depth - 1], "script") == 0 || strcmp(stack[depth - 1], "style") == 0);
        if (*p == '&' && !code) {
            const size_t n = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz#0123456789");
            CHECK(n > 1 && p[n + 1] == ';', "a stray &: %.30s", p);
        }
        if (*p != '<' || (code && p[1] != '/') || strncmp(p, "<!DOCTYPE html>", 15) == 0) continue;
        const bool closing = p[1] == '/';
        char name[16];
        CHECK(sscanf(p + 1 + closing, "%15[a-z0-9]", name) == 1, "a stray <: %.30s", p);
        bool quoted = false;
        const char *end = p + 1;
        for (; *end && (quoted || *end != '>'); end++) {
            if (*end == '"') quoted = !quoted;
            CHECK(*end != '<', "< within a tag: %.60s", p);
        }
        CHECK(*end == '>', "a tag does not end: %.60s", p);
        if (closing) {
            CHECK(depth > 0 && strcmp(stack[depth - 1], name) == 0, "</%s> closes <%s>", name,
                  depth ? stack[depth - 1] : "nothing");
            depth--;
        } else if (end[-1] != '/' && !is_void(name)) {
            CHECK(depth < 16, "too deep");
            strcpy(stack[depth++], name);
        }
        elements++;
        p = end;
    }
    CHECK(depth == 0 && elements > 0, "%d elements are not closed", depth);
}

#endif
