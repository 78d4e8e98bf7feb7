/* Requests and responses, whatever version of HTTP carried them: the HTTP/1 codec and the HTTP/2 session fill
 * and read the same structures. All slices point into memory of the caller's (the receive buffer, the
 * arena). */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "http/error.h"
#include "http/fields.h"

/* X(id, safe, idempotent): RFC 9110 section 9.2, PATCH from RFC 5789. */
#define HTTP_METHODS(X) \
    X(GET, 1, 1)        \
    X(HEAD, 1, 1)       \
    X(POST, 0, 0)       \
    X(PUT, 0, 1)        \
    X(DELETE, 0, 1)     \
    X(CONNECT, 0, 0)    \
    X(OPTIONS, 1, 1)    \
    X(TRACE, 1, 1)      \
    X(PATCH, 0, 0)

enum http_method {
#define HTTP_METHOD_ENUM(id, safe, idempotent) HTTP_METHOD_##id,
    HTTP_METHODS(HTTP_METHOD_ENUM)
#undef HTTP_METHOD_ENUM
        HTTP_METHOD_OTHER, /* a token that is none of these; method_text has it */
    HTTP_METHOD_COUNT
};

enum http_body_kind {
    HTTP_BODY_NONE,       /* nothing follows the head */
    HTTP_BODY_LENGTH,     /* content_length bytes, 0 included */
    HTTP_BODY_CHUNKED,    /* HTTP/1 chunks; in HTTP/2 a body of unknown length */
    HTTP_BODY_UNTIL_CLOSE /* the rest of the connection; responses only */
};

/* content_length of a message that states none. */
#define HTTP_LENGTH_UNKNOWN UINT64_MAX

/* Where the acceptance table is stricter than the RFCs, a listener may relax it: X(id, word in its config, rule). All
 * are off by default. None lets two readings through: what goes to an origin is written afresh, with framing of weir's
 * own. Rules that decide where a message ends (S01, S02, S04, S06 to S10, S12 to S14) have no switch.
 *   EQUAL_LENGTHS     Content-Length repeated with one value
 *   LEADING_ZEROS     in Content-Length
 *   FRAMING_TABS      beside the value of Content-Length and Transfer-Encoding
 *   BARE_LF           as a line end in the head, never in chunks or trailers
 *   UNDERSCORE        in field names, unless the name then reads like one of fields.def (P06)
 *   ANY_METHOD        a standard method in another case, which is then a method of its own
 *   BODY_ON_HTTP_1_0  with GET, HEAD and DELETE; forwarded in HTTP/1.1, framed
 *   ENCODED_SLASH     %2F in a path, where it stays one, unless decoding it would make a dot segment
 *   ANY_HOST          all hosts of RFC 3986: sub-delims, escapes, [v1.x], an empty port (which goes) */
#define HTTP_ALLOWS(X)                             \
    X(EQUAL_LENGTHS, "equal_lengths", "S03")       \
    X(LEADING_ZEROS, "leading_zeros", "S05")       \
    X(FRAMING_TABS, "framing_tabs", "S08")         \
    X(BARE_LF, "bare_lf", "S11")                   \
    X(UNDERSCORE, "underscore", "S17")             \
    X(ANY_METHOD, "any_method", "S20")             \
    X(BODY_ON_HTTP_1_0, "body_on_http_1_0", "S21") \
    X(ENCODED_SLASH, "encoded_slash", "P01")       \
    X(ANY_HOST, "any_host", "P03")

enum http_allow_bit {
#define HTTP_ALLOW_BIT(id, word, rule) HTTP_ALLOW_BIT_##id,
    HTTP_ALLOWS(HTTP_ALLOW_BIT)
#undef HTTP_ALLOW_BIT
        HTTP_ALLOW_COUNT
};

enum http_allow {
#define HTTP_ALLOW_FLAG(id, word, rule) HTTP_ALLOW_##id = 1 << HTTP_ALLOW_BIT_##id,
    HTTP_ALLOWS(HTTP_ALLOW_FLAG)
#undef HTTP_ALLOW_FLAG
        HTTP_ALLOW_ALL = (1 << HTTP_ALLOW_COUNT) - 1
};

struct http_limits {
    uint32_t max_header_bytes; /* the whole head with request line and empty line; over: 431 */
    uint32_t max_headers;      /* fields; over: 431 */
    uint32_t max_uri;          /* bytes of the target; over: 414 */
    uint32_t allow;            /* enum http_allow */
    uint64_t max_body;         /* bytes; for the gateway, no parser reads it */
};

extern const struct http_limits http_limits_default;

struct http_request {
    enum http_method method;
    enum http_body_kind body;
    uint8_t minor;        /* HTTP/1.minor; 1 for HTTP/2 */
    bool keep_alive;      /* the client will take another response on this connection */
    bool expect_continue; /* it waits for a 100 before it sends the body */
    bool upgrade;         /* it asks for another protocol: Upgrade, and Connection names it (HTTP/1.1) */
    bool has_query;       /* there is a '?', be the query empty or not */
    bool https;           /* the target is absolute and says https */
    struct b_slice method_text;
    struct b_slice target;    /* as received; for logs */
    struct b_slice authority; /* of an absolute target, else Host; empty when HTTP/1.0 gave none */
    struct b_slice path;      /* normalised (path.h), starts with '/'; "*" for OPTIONS *, empty for CONNECT */
    struct b_slice query;     /* as received, without '?' */
    struct http_fields fields;
    uint64_t content_length; /* HTTP_LENGTH_UNKNOWN unless body is HTTP_BODY_LENGTH */
};

struct http_response {
    uint16_t status; /* 100..999 */
    uint8_t minor;   /* HTTP/1.minor that was received */
    bool keep_alive; /* the connection may carry another message after this one */
    enum http_body_kind body;
    struct b_slice reason; /* empty: the standard phrase is written */
    struct http_fields fields;
    uint64_t content_length; /* as stated, even where no body follows (HEAD, 304); else HTTP_LENGTH_UNKNOWN */
};

/* The method of that exact, case-sensitive name; HTTP_METHOD_OTHER otherwise. */
enum http_method http_method_of(struct b_slice text);
/* Its name; an empty slice for HTTP_METHOD_OTHER. */
struct b_slice http_method_name(enum http_method method);
/* Asks for nothing to change (RFC 9110 section 9.2.1); false for HTTP_METHOD_OTHER. */
bool http_method_safe(enum http_method method);
/* Twice is the same as once (section 9.2.2), so that a lost one may be sent again; false for
 * HTTP_METHOD_OTHER. */
bool http_method_idempotent(enum http_method method);

/* Whether there are body bytes to read. */
static inline bool http_body_expected(enum http_body_kind kind, uint64_t content_length) {
    return kind == HTTP_BODY_CHUNKED || kind == HTTP_BODY_UNTIL_CLOSE ||
           (kind == HTTP_BODY_LENGTH && content_length > 0);
}

/* The standard phrase of a status; "Unknown" when there is none. */
struct b_slice http_reason(unsigned status);

/* Writes the date of a time in seconds since 1970 as IMF-fixdate (RFC 9110 section 5.6.7), HTTP_DATE_LEN
 * bytes without NUL: "Sun, 06 Nov 1994 08:49:37 GMT". Pure. Times before 1970 or after 9999 are taken as the
 * nearest end. */
#define HTTP_DATE_LEN 29
void http_date_format(char buf[HTTP_DATE_LEN], int64_t seconds);

#endif
