#include "http/message.h"

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

static void two_digits(char *to, unsigned v) {
    to[0] = (char)('0' + v / 10);
    to[1] = (char)('0' + v % 10);
}

/* Day, month and year of a count of days since 1970, in the proleptic Gregorian calendar: years begin in
 * March, so that the leap day is the last of its year and a month's first day is a linear function (H.
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
static void civil(unsigned days, unsigned *day, unsigned *month, unsigned *year) {
    unsigned since_0000_03_01 = days + 719468;
    unsigned era = since_0000_03_01 / 146097;
    unsigned day_of_era = since_0000_03_01 % 146097;
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = era * 400 + year_of_era + (*month <= 2);
}

void http_date_format(char buf[HTTP_DATE_LEN], int64_t seconds) {
    const int64_t last = 253402300799; /* 9999-12-31 23:59:59 */
    uint64_t t = seconds < 0 ? 0 : (uint64_t)(seconds > last ? last : seconds);
    unsigned days = (unsigned)(t / 86400), rest = (unsigned)(t % 86400), day, month, year;
    civil(days, &day, &month, &year);
    memcpy(buf, &"ThuFriSatSunMonTueWed"[days % 7 * 3], 3);
    memcpy(buf + 3, ", 00 ", 5);
    two_digits(buf + 5, day);
    memcpy(buf + 8, &"JanFebMarAprMayJunJulAugSepOctNovDec"[(month - 1) * 3], 3);
    buf[11] = ' ';
    two_digits(buf + 12, year / 100);
    two_digits(buf + 14, year % 100);
    memcpy(buf + 16, " 00:00:00 GMT", 13);
    two_digits(buf + 17, rest / 3600);
    two_digits(buf + 20, rest / 60 % 60);
    two_digits(buf + 23, rest % 60);
}
