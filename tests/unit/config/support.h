/* Loading a text in a test. */
#ifndef UNIT_CONFIG_SUPPORT_H
#define UNIT_CONFIG_SUPPORT_H

#include "config/config.h"

struct loaded {
    struct b_arena arena;
    struct cfg_errors errors;
    struct cfg_root *root; /* NULL: failed */
    int rc;
    char said[65536]; /* all messages */
};

/* The environment of the tests: PORT=8080, EMPTY=, SECRET=hunter2hunter2, LINES="a\nb", DOLLAR=${PORT}; no other. */
char *test_env(const char *name);

/* Loads the sources, or the text as file `w`, with the registry of test_modules.h. */
void load_sources(struct loaded *l, const struct cfg_source *sources, size_t n);
void load_text(struct loaded *l, const char *text);
void unload(struct loaded *l);

/* The file loads with exactly these messages; a table of them ends with {0}. */
struct said_case {
    const char *text, *said;
};
void check_said(const struct said_case *cases);

#endif
