#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/escape.h"

#define COMPONENT_MAX 64

_Atomic int b_log_threshold = B_INFO;

static _Atomic int format_now = B_LOG_AUTO;
static const struct b_log_sink *_Atomic sink_now;
static uint64_t (*_Atomic clock_now)(void);

static const char *const level_names[B_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

void b_log_set_level(enum b_level level) {
    atomic_store_explicit(&b_log_threshold, (int)level, memory_order_relaxed);
}

enum b_level b_log_level(void) {
    return (enum b_level)atomic_load_explicit(&b_log_threshold, memory_order_relaxed);
}

const char *b_level_name(enum b_level level) {
    return (unsigned)level < B_LEVEL_COUNT ? level_names[level] : "error";
}

bool b_level_parse(struct b_slice name, enum b_level *out) {
    for (int i = 0; i < B_LEVEL_COUNT; i++) {
        if (b_slice_eq(name, b_slice_cstr(level_names[i]))) {
            *out = (enum b_level)i;
            return true;
        }
    }
    return false;
}

void b_log_set_format(enum b_log_format format) {
    if (format == B_LOG_AUTO)
        format = isatty(STDERR_FILENO) ? B_LOG_TEXT : B_LOG_JSON;
    atomic_store_explicit(&format_now, (int)format, memory_order_relaxed);
}

enum b_log_format b_log_format(void) {
    if (atomic_load_explicit(&format_now, memory_order_relaxed) == B_LOG_AUTO)
        b_log_set_format(B_LOG_AUTO);
    return (enum b_log_format)atomic_load_explicit(&format_now, memory_order_relaxed);
}

void b_log_set_sink(const struct b_log_sink *sink) {
    atomic_store_explicit(&sink_now, sink, memory_order_release);
}

void b_log_set_clock(uint64_t (*now_ns)(void)) {
    atomic_store_explicit(&clock_now, now_ns, memory_order_release);
}

uint64_t b_log_now_ns(void) {
    uint64_t (*now_ns)(void) = atomic_load_explicit(&clock_now, memory_order_acquire);
    if (now_ns)
        return now_ns();
    struct timespec ts;
    /* lint: allow seam-call: the default until runtime/ puts its clock here */
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Milliseconds: RFC 3339 without its last three digits. */
void b_text_timestamp(struct b_text *t, uint64_t ns) {
    char text[B_RFC3339_LEN];
    b_format_rfc3339(text, (int64_t)(ns / 1000));
    b_text_add(t, text, B_RFC3339_LEN - 4);
    b_text_char(t, 'Z');
}

static void write_stderr(struct b_slice line) {
    while (line.len) {
        ssize_t n = write(STDERR_FILENO, line.ptr, line.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody is left to tell */
        line = b_slice_from(line, (size_t)n);
    }
}

static void add_json(struct b_text *t, const char *level, struct b_slice component, struct b_slice message) {
    b_text_lit(t, "{\"ts\":\"");
    b_text_timestamp(t, b_log_now_ns());
    b_text_lit(t, "\",\"level\":\"");
    b_text_cstr(t, level);
    b_text_lit(t, "\",\"component\":");
    b_text_json_string_max(t, component, COMPONENT_MAX);
    b_text_lit(t, ",\"msg\":");
    b_text_json_string_max(t, message, t->cap - t->len - 4); /* two quotes, brace, newline */
    b_text_lit(t, "}\n");
}

static void add_plain(struct b_text *t, const char *level, struct b_slice component, struct b_slice message) {
    char stamp[B_RFC3339_LEN];
    b_format_rfc3339(stamp, (int64_t)(b_log_now_ns() / 1000));
    b_text_add(t, stamp + 11, 12); /* the time of day, to milliseconds */
    b_text_char(t, ' ');
    b_text_cstr(t, level);
    b_text_add(t, "      ", 6 - strlen(level)); /* the longest level has five letters */
    b_text_printable_max(t, component, COMPONENT_MAX);
    b_text_lit(t, ": ");
    b_text_printable_max(t, message, t->cap - t->len - 1);
    b_text_char(t, '\n');
}

void b_log_write(enum b_level level, const char *component, const char *fmt, ...) {
    /* too large for a fiber's stack; no fiber can change in between, since nothing here parks */
    static _Thread_local char message[B_LOG_LINE_MAX], line[B_LOG_LINE_MAX];
    int saved_errno = errno;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof message ? (size_t)n : sizeof message - 1;
    struct b_text t = b_text_fixed(line, sizeof line);
    (b_log_format() == B_LOG_TEXT ? add_plain : add_json)(&t, b_level_name(level), b_slice_cstr(component),
                                                          b_slice(message, len));
    const struct b_log_sink *sink = atomic_load_explicit(&sink_now, memory_order_acquire);
    if (sink)
        sink->write(sink, b_text_slice(&t));
    else
        write_stderr(b_text_slice(&t));
    errno = saved_errno;
}
