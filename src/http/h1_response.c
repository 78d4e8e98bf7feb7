/* Response heads (RFC 9112 sections 4 and 6.3): S27. */
#include "http/h1_internal.h"
#include "http/scan.h"

#define STATUS_LINE_MIN 12 /* "HTTP/1.1 200" */

/* Whether the first n bytes at `at` can begin "HTTP/1.x nnn" with x 0 or 1 and nnn from 100. */
static bool begins_status_line(const char *at, size_t n) {
    const char *pattern = "HTTP/1.# 100";
    for (size_t i = 0; i < n && i < STATUS_LINE_MIN; i++) {
        bool ok = i < 7 || i == 8 ? at[i] == pattern[i]
                  : i == 7        ? at[i] == '0' || at[i] == '1'
                                  : at[i] >= pattern[i] && b_is_digit(at[i]);
        if (!ok)
            return false;
    }
    return true;
}

/* Status line and its end; gives the first field line. The phrase may be absent with its space, as some
 * servers have it. */
static const char *take_status_line(struct h1_block *b, const char *at, const char *end,
                                    struct http_response *r) {
    size_t n = (size_t)(end - at);
    if (!begins_status_line(at, n))
        return h1_fail(b, HTTP_E_BAD_STATUS_LINE);
    if (n <= STATUS_LINE_MIN)
        return NULL;
    r->minor = (uint8_t)(at[7] - '0');
    r->status = (uint16_t)((at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0'));
    at += STATUS_LINE_MIN;
    if (*at == ' ') {
        const char *reason = at + 1;
        at = http_scan_value(reason, end);
        r->reason = b_slice(reason, (size_t)(at - reason));
    }
    if (at == end)
        return NULL;
    if (*at != '\r' && *at != '\n')
        return h1_fail(b, HTTP_E_BAD_STATUS_LINE);
    return h1_line_end(b, at, end);
}

/* Statuses whose responses end with their head. */
static bool without_body(unsigned status) {
    return status < 200 || status == 204 || status == 304;
}

/* Checks the framing fields whatever the status, then applies RFC 9112 section 6.3 in its order. */
static enum http_error decide_body(const struct h1_block *b, enum http_method method,
                                   struct http_response *r) {
    enum http_error error = HTTP_OK;
    bool chunked = b->seen & HTTP_ID_BIT(HTTP_FIELD_TRANSFER_ENCODING);
    bool length = b->seen & HTTP_ID_BIT(HTTP_FIELD_CONTENT_LENGTH);
    if (chunked && length)
        return HTTP_E_CL_AND_TE;
    if (chunked && r->minor == 0)
        return HTTP_E_TE_ON_HTTP_1_0;
    if (chunked)
        error = h1_transfer_encoding(b);
    else if (length)
        error = h1_content_length(b, &r->content_length);
    if (error)
        return error;
    bool empty = r->status < 200 || r->status == 204, reset = r->status == 205;
    /* RFC 9110 sections 8.6 and 15.3.6 forbid both; a length of 0 is common and harmless */
    if ((empty && chunked) || ((empty || reset) && length && r->content_length > 0))
        return HTTP_E_BODY_NOT_ALLOWED;
    bool tunnel = method == HTTP_METHOD_CONNECT && r->status >= 200 && r->status < 300;
    if (method == HTTP_METHOD_HEAD || without_body(r->status) || tunnel || (reset && !length))
        r->body = HTTP_BODY_NONE;
    else
        r->body = chunked ? HTTP_BODY_CHUNKED : length ? HTTP_BODY_LENGTH : HTTP_BODY_UNTIL_CLOSE;
    return HTTP_OK;
}

/* P08: a client would go to either, and a filter see the other one. */
static bool locations_differ(const struct h1_block *b) {
    struct http_fields fs = h1_block_fields(b, b->count);
    const struct http_field *first = http_fields_find(&fs, HTTP_FIELD_LOCATION), *f = first;
    while ((f = http_fields_next(&fs, HTTP_FIELD_LOCATION, f)))
        if (!b_slice_eq(http_field_value(f), http_field_value(first)))
            return true;
    return false;
}

static enum http_error decide(const struct h1_block *b, enum http_method method, struct http_response *r) {
    struct h1_connection connection;
    if (b->twice & HTTP_ID_BIT(HTTP_FIELD_LOCATION) && locations_differ(b))
        return HTTP_E_DUPLICATE_FIELD;
    enum http_error error = decide_body(b, method, r);
    if (!error)
        error = h1_connection(b, &connection);
    if (error)
        return error;
    /* a 205 may end in chunks or with the connection (RFC 9110 section 15.3.6): what comes is not waited for */
    bool ends = r->body != HTTP_BODY_UNTIL_CLOSE &&
                (r->status != 205 || r->content_length == 0 || method == HTTP_METHOD_HEAD);
    r->keep_alive = !connection.close && (r->minor == 1 || connection.keep_alive) && ends;
    return HTTP_OK;
}

ssize_t h1_parse_response(struct b_slice in, const struct http_limits *limits, struct http_field *fields,
                          unsigned cap, enum http_method request_method, struct http_response *out,
                          enum http_error *why) {
    bool clamped = in.len >= limits->max_header_bytes;
    *out = (struct http_response){.content_length = HTTP_LENGTH_UNKNOWN};
    if (why)
        *why = HTTP_OK;
    if (in.len == 0)
        return 0;
    const char *end = in.ptr + (clamped ? limits->max_header_bytes : in.len);
    struct h1_block b = h1_block(fields, cap, limits, H1_ALLOW_ANY_UNDERSCORE);
    const char *at = take_status_line(&b, in.ptr, end, out);
    if (at)
        at = h1_take_fields(&b, at, end);
    if (!at && !b.error && !clamped)
        return 0;
    if (!at && !b.error)
        b.error = HTTP_E_HEADER_TOO_LARGE;
    out->fields = h1_block_fields(&b, cap);
    if (!b.error)
        b.error = decide(&b, request_method, out);
    if (why)
        *why = b.error;
    return b.error ? -(ssize_t)HTTP_E_UPSTREAM_BAD_RESPONSE : at - in.ptr;
}
