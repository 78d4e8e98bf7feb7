#include "http/message.h"

#include "base/calendar.h"

const struct http_limits http_limits_default = {
    .max_header_bytes = 16 * 1024,
    .max_headers = 100,
    .max_uri = 8 * 1024,
    .max_body = 1024 * 1024,
};

struct method {
    const char *name;
    uint8_t len;
    bool safe, idempotent;
};

static const struct method methods[HTTP_METHOD_COUNT] = {
#define METHOD_LINE(id, safe, idempotent) [HTTP_METHOD_##id] = {#id, sizeof(#id) - 1, safe, idempotent},
    HTTP_METHODS(METHOD_LINE)
#undef METHOD_LINE
        [HTTP_METHOD_OTHER] = {"", 0, false, false},
};

enum http_method http_method_of(struct b_slice text) {
    for (unsigned m = 0; m < HTTP_METHOD_OTHER; m++)
        if (text.len == methods[m].len && memcmp(text.ptr, methods[m].name, text.len) == 0)
            return (enum http_method)m;
    return HTTP_METHOD_OTHER;
}

static const struct method *method_line(enum http_method method) {
    return &methods[(unsigned)method < HTTP_METHOD_COUNT ? method : HTTP_METHOD_OTHER];
}

struct b_slice http_method_name(enum http_method method) {
    return b_slice(method_line(method)->name, method_line(method)->len);
}

bool http_method_safe(enum http_method method) {
    return method_line(method)->safe;
}

bool http_method_idempotent(enum http_method method) {
    return method_line(method)->idempotent;
}

/* The registry of RFC 9110 section 16.2.1 as of 2024, and 499, which only logs show. */
#define REASONS(X)                            \
    X(100, "Continue")                        \
    X(101, "Switching Protocols")             \
    X(102, "Processing")                      \
    X(103, "Early Hints")                     \
    X(200, "OK")                              \
    X(201, "Created")                         \
    X(202, "Accepted")                        \
    X(203, "Non-Authoritative Information")   \
    X(204, "No Content")                      \
    X(205, "Reset Content")                   \
    X(206, "Partial Content")                 \
    X(207, "Multi-Status")                    \
    X(208, "Already Reported")                \
    X(226, "IM Used")                         \
    X(300, "Multiple Choices")                \
    X(301, "Moved Permanently")               \
    X(302, "Found")                           \
    X(303, "See Other")                       \
    X(304, "Not Modified")                    \
    X(305, "Use Proxy")                       \
    X(307, "Temporary Redirect")              \
    X(308, "Permanent Redirect")              \
    X(400, "Bad Request")                     \
    X(401, "Unauthorized")                    \
    X(402, "Payment Required")                \
    X(403, "Forbidden")                       \
    X(404, "Not Found")                       \
    X(405, "Method Not Allowed")              \
    X(406, "Not Acceptable")                  \
    X(407, "Proxy Authentication Required")   \
    X(408, "Request Timeout")                 \
    X(409, "Conflict")                        \
    X(410, "Gone")                            \
    X(411, "Length Required")                 \
    X(412, "Precondition Failed")             \
    X(413, "Content Too Large")               \
    X(414, "URI Too Long")                    \
    X(415, "Unsupported Media Type")          \
    X(416, "Range Not Satisfiable")           \
    X(417, "Expectation Failed")              \
    X(421, "Misdirected Request")             \
    X(422, "Unprocessable Content")           \
    X(423, "Locked")                          \
    X(424, "Failed Dependency")               \
    X(425, "Too Early")                       \
    X(426, "Upgrade Required")                \
    X(428, "Precondition Required")           \
    X(429, "Too Many Requests")               \
    X(431, "Request Header Fields Too Large") \
    X(451, "Unavailable For Legal Reasons")   \
    X(499, "Client Closed Request")           \
    X(500, "Internal Server Error")           \
    X(501, "Not Implemented")                 \
    X(502, "Bad Gateway")                     \
    X(503, "Service Unavailable")             \
    X(504, "Gateway Timeout")                 \
    X(505, "HTTP Version Not Supported")      \
    X(506, "Variant Also Negotiates")         \
    X(507, "Insufficient Storage")            \
    X(508, "Loop Detected")                   \
    X(511, "Network Authentication Required")

struct b_slice http_reason(unsigned status) {
    switch (status) {
#define REASON_CASE(status, phrase) \
    case status: return B_LIT(phrase);
        REASONS(REASON_CASE)
#undef REASON_CASE
    default: return B_LIT("Unknown");
    }
}

void http_date_format(char buf[HTTP_DATE_LEN], int64_t seconds) {
    const int64_t last = 253402300799; /* 9999-12-31 23:59:59 */
    uint64_t t = seconds < 0 ? 0 : (uint64_t)(seconds > last ? last : seconds);
    unsigned days = (unsigned)(t / B_DAY_S), rest = (unsigned)(t % B_DAY_S);
    struct b_date d = b_date_of_days(days);
    memcpy(buf, &"ThuFriSatSunMonTueWed"[days % 7 * 3], 3);
    memcpy(buf + 3, ", 00 ", 5);
    b_format_digits(buf + 5, d.day, 2);
    memcpy(buf + 8, &"JanFebMarAprMayJunJulAugSepOctNovDec"[(d.month - 1) * 3], 3);
    buf[11] = ' ';
    b_format_digits(buf + 12, d.year, 4);
    memcpy(buf + 16, " 00:00:00 GMT", 13);
    b_format_digits(buf + 17, rest / 3600, 2);
    b_format_digits(buf + 20, rest / 60 % 60, 2);
    b_format_digits(buf + 23, rest % 60, 2);
}
