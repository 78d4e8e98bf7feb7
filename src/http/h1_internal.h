/* What the parsers of requests, responses and trailers share. For h1_*.c only. */
#ifndef HTTP_H1_INTERNAL_H
#define HTTP_H1_INTERNAL_H

#include "http/h1_parse.h"

/* Beside enum http_allow: underscores whatever the name reads like. Responses, where it cannot deceive
 * anyone. */
#define H1_ALLOW_ANY_UNDERSCORE 0x80000000u

/* The field lines of one head while they are read. */
struct h1_block {
    struct http_field *at;
    unsigned count, max;
    uint32_t allow;
    enum http_error error;
    uint64_t seen, twice; /* sets of field ids */
};

/* What a Connection field asks for. */
struct h1_connection {
    bool close, keep_alive, upgrade;
};

/* Fails with that error: gives NULL, so that a caller can say `return h1_fail(...)`. */
static inline const char *h1_fail(struct h1_block *b, enum http_error error) {
    b->error = error;
    return NULL;
}

static inline struct h1_block h1_block(struct http_field *fields, unsigned cap,
                                       const struct http_limits *limits, uint32_t allow) {
    unsigned max = cap < limits->max_headers ? cap : limits->max_headers;
    return (struct h1_block){.at = fields, .max = max < UINT16_MAX ? max : UINT16_MAX, .allow = allow};
}

static inline struct http_fields h1_block_fields(const struct h1_block *b, unsigned cap) {
    return (struct http_fields){.at = b->at,
                                .count = (uint16_t)b->count,
                                .cap = (uint16_t)cap,
                                .absent = ~b->seen};
}

/* Past the line end at `at`. NULL when it is not whole (b->error stays HTTP_OK) or wrong. */
const char *h1_line_end(struct h1_block *b, const char *at, const char *end);

/* Reads field lines and the empty line after them; gives what follows. NULL as above. */
const char *h1_take_fields(struct h1_block *b, const char *at, const char *end);

/* The value of Content-Length, which must be in b->seen (RFC 9112 section 6.2). */
enum http_error h1_content_length(const struct h1_block *b, uint64_t *length);

/* Whether Transfer-Encoding, which must be in b->seen, is the one coding that is understood: HTTP_OK for
 * "chunked" (section 6.1). */
enum http_error h1_transfer_encoding(const struct h1_block *b);

/* Reads the Connection fields, if any, and marks what they nominate as hop-by-hop. HTTP_E_BAD_CONNECTION when they are not a list of tokens. */
enum http_error h1_connection(const struct h1_block *b, struct h1_connection *out);

#define H1_CONNECTION_OPTIONS_MAX 64

#endif
