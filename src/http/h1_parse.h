/* HTTP/1 heads: pure functions from bytes to messages (RFC 9112), strict by the acceptance table (S01-S12,
 * S16-S20, S27, P03, P08). Slices in the results point into `in`.
 *
 * All return the number of bytes consumed (> 0: the head with its empty line), 0 when the head is not whole
 * yet, or -(enum http_error). An error is found as early as the bytes show it, also in a head that is not
 * whole. Parsing again with more bytes starts from the beginning: call h1_head_state first when bytes come in
 * pieces. */
#ifndef HTTP_H1_PARSE_H
#define HTTP_H1_PARSE_H

#include <sys/types.h>

#include "http/message.h"

enum h1_head_state {
    H1_HEAD_MORE = 0,  /* not whole, nothing suspicious: read on */
    H1_HEAD_READY = 1, /* call the parser: whole, too long, or wrong already (it may still say "not whole") */
};

/* Cheap look at a head that arrives in pieces. `from`: how many bytes of `in` earlier calls have seen (0 at
 * first), so that each byte is looked at once. */
enum h1_head_state h1_head_state(struct b_slice in, size_t from, const struct http_limits *limits);

/* Parses a request head. `fields` is the caller's array of `cap` entries (out->fields refers to it; more
 * fields than cap are refused like more than max_headers). The arena is used only for a path that
 * normalisation changed. One empty line before the request line is skipped (RFC 9112 section 2.2). A target
 * in absolute form replaces the value of Host. On an error `out` holds what was parsed so far: method_text,
 * target and minor may serve a log line, the rest is undefined. */
ssize_t h1_parse_request(struct b_slice in, const struct http_limits *limits, struct http_field *fields,
                         unsigned cap, struct b_arena *arena, struct http_request *out)
    __attribute__((warn_unused_result));

/* Parses a response head. The body kind follows RFC 9112 section 6.3 for an answer to `request_method`;
 * interim (1xx) responses are returned like others. Every error is -HTTP_E_UPSTREAM_BAD_RESPONSE, with the
 * particular rule in *why (NULL: not wanted): an id of errors.def whose title tells what was wrong.
 * limits->allow and max_uri are not used. */
ssize_t h1_parse_response(struct b_slice in, const struct http_limits *limits, struct http_field *fields,
                          unsigned cap, enum http_method request_method, struct http_response *out,
                          enum http_error *why) __attribute__((warn_unused_result));

/* Parses a trailer section with its empty line, as gathered by h1_chunked. Fields that may not stand in a
 * trailer (HTTP_F_NEVER_TRAILER, S15) are left out of *out without an error. Errors: -HTTP_E_BAD_TRAILER,
 * -HTTP_E_TRAILERS_TOO_LARGE. */
ssize_t h1_parse_trailers(struct b_slice in, const struct http_limits *limits, struct http_field *fields,
                          unsigned cap, struct http_fields *out) __attribute__((warn_unused_result));

#endif
