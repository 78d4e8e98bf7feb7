/* What a load found wrong, collected so that one run names everything. At most 100 errors and 100 warnings are kept,
 * the rest is counted. The texts are copied: a list outlives the sources, the nodes and the arena. Not thread-safe. */
#ifndef CONFIG_ERROR_H
#define CONFIG_ERROR_H

#include <stdarg.h>

#include "base/text.h"

#define CFG_ERRORS_MAX 100 /* kept, of each severity */

struct cfg_node;

enum cfg_severity { CFG_ERROR, CFG_WARNING };

/* A file of the config, as messages name it. In the arena of the load. */
struct cfg_file {
    const char *name;
    unsigned index; /* order of reading, from 0 */
};

struct cfg_error {
    enum cfg_severity severity;
    const char *file;              /* "" when it belongs to no file */
    unsigned line, column;         /* 1-based, in characters; 0 when there is no position */
    const char *message;           /* one sentence without position, no control characters, no secret */
    unsigned file_index, sequence; /* for the order */
};

struct cfg_errors {
    struct cfg_error *items; /* owned; in order after cfg_errors_sort */
    size_t count, cap;
    size_t errors, warnings; /* seen, those that were not kept included */
    bool no_memory;          /* memory was short: the load failed, and messages may be missing */
};

void cfg_errors_init(struct cfg_errors *e);
void cfg_errors_free(struct cfg_errors *e);

/* True when the load failed: an error was reported or memory was short. Warnings do not count. */
static inline bool cfg_errors_any(const struct cfg_errors *e) {
    return e->errors > 0 || e->no_memory;
}

/* True when further errors would only be counted: what is costly to word may be left out. */
static inline bool cfg_errors_full(const struct cfg_errors *e) {
    return e->errors >= CFG_ERRORS_MAX;
}

/* Report an error at a node's value (its key: cfg_error_key); `node` may be NULL. All return -EINVAL, so that a check
 * can end with `return cfg_error_at(...)`. */
int cfg_error_at(struct cfg_errors *e, const struct cfg_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int cfg_error_key(struct cfg_errors *e, const struct cfg_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* At a position; file may be NULL. */
int cfg_error_pos(struct cfg_errors *e, const struct cfg_file *file, size_t line, size_t column,
                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Memory was short. Returns -ENOMEM. */
int cfg_error_memory(struct cfg_errors *e);
/* Something a person should look at that does not stop the load; at the node's key when it has one. */
void cfg_warn_at(struct cfg_errors *e, const struct cfg_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Orders by file, line, column; what has no position comes last. cfg_load does it before it returns. */
void cfg_errors_sort(struct cfg_errors *e);
/* One line each, `file:line:column: message` (`... warning: message`), then how many were left out. */
void cfg_errors_write(const struct cfg_errors *e, struct b_text *out);

#endif
