/* weir's own log: one line for each event, as JSON or as text for a terminal. B_LOG may be called by any
 * thread and on a fiber: it parks nowhere, takes no memory from the heap, and evaluates its arguments only
 * when the level is on. Not for signal handlers. Secrets do not belong in it: the caller leaves them out. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>

#include "base/text.h"

enum b_level { B_DEBUG, B_INFO, B_WARN, B_ERROR, B_LEVEL_COUNT };

enum b_log_format {
    B_LOG_AUTO, /* text when stderr is a terminal, else JSON */
    B_LOG_JSON, /* {"ts":"2026-01-02T03:04:05.678Z","level":"warn","component":"upstream","msg":"..."} */
    B_LOG_TEXT, /* 03:04:05.678 warn  upstream: ... (UTC) */
};

/* Bytes of a line, its newline included; a longer message is cut and ends in "...". */
#define B_LOG_LINE_MAX 4096

/* Read by the macro only. */
extern _Atomic int b_log_threshold;

/* B_LOG(B_WARN, "upstream", "endpoint %s is down: %s", name, why). The component is a short literal: the
 * folder or the module. The message has no newline at its end. */
#define B_LOG(level, component, ...)                        \
    do {                                                    \
        if (b_log_on(level))                                \
            b_log_write((level), (component), __VA_ARGS__); \
    } while (0)

static inline bool b_log_on(enum b_level level) {
    return (int)level >= atomic_load_explicit(&b_log_threshold, memory_order_relaxed);
}

void b_log_write(enum b_level level, const char *component, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Lines below this level are not written; B_INFO at start. Any thread, any time. */
void b_log_set_level(enum b_level level);
enum b_level b_log_level(void);
/* "debug", "info", "warn", "error"; static. */
const char *b_level_name(enum b_level level);
/* The level of that exact name; false when there is none. */
bool b_level_parse(struct b_slice name, enum b_level *out);

/* Once at start, before other threads log; without it the first line decides as B_LOG_AUTO. */
void b_log_set_format(enum b_log_format format);
/* The format in force, never B_LOG_AUTO. */
enum b_log_format b_log_format(void);

/* Where lines go. write gets a whole line with its newline, valid for the call only; it is called by any
 * thread, must not wait for long and must not log. */
struct b_log_sink {
    void (*write)(const struct b_log_sink *sink, struct b_slice line);
};
/* The sink is borrowed until another one is set and no thread is inside B_LOG; NULL: back to write(2) on
 * stderr. */
void b_log_set_sink(const struct b_log_sink *sink);

/* Wall-clock time in nanoseconds since 1970, UTC. NULL: CLOCK_REALTIME. The simulator sets its own. */
void b_log_set_clock(uint64_t (*now_ns)(void));
uint64_t b_log_now_ns(void);

#define B_TIMESTAMP_TEXT 24
/* Appends a time as RFC 3339 in UTC with milliseconds: 2026-01-02T03:04:05.678Z, B_TIMESTAMP_TEXT bytes. */
void b_text_timestamp(struct b_text *t, uint64_t ns);

#endif
