/* Request heads (RFC 9112 sections 2, 3 and 6.3): S01, S09, S19 to S21, S23, P03, P08. */
#include "http/authority.h"
#include "http/chars.h"
#include "http/h1_internal.h"
#include "http/path.h"
#include "http/scan.h"

#define METHOD_MAX 32

#define VERSION_LEN 8 /* "HTTP/1.1" */

/* One request while it is read. */
struct parse {
    struct h1_block block;
    const struct http_limits *limits;
    const char *end;
    bool clamped; /* end is where the limit is, more bytes cannot help */
    struct http_request *out;
};

/* S19: an error at the byte that ended the method. */
static enum http_error method_stop(char c) {
    return c == '\t' || c == '\r' || c == '\n' ? HTTP_E_BAD_REQUEST_LINE : HTTP_E_BAD_METHOD;
}

/* S20: "get" is a token, but whoever sends it means GET, and some servers take it for that. */
static bool wrong_case(struct b_slice text) {
    for (unsigned m = 0; m < HTTP_METHOD_OTHER; m++)
        if (b_slice_ieq(text, http_method_name((enum http_method)m)))
            return true;
    return false;
}

/* Method and the space behind it; gives the target's first byte. */
static const char *take_method(struct parse *p, const char *line) {
    const char *at = line, *end = p->end;
    if (end - at > 4 && memcmp(at, "GET ", 4) == 0) {
        p->out->method = HTTP_METHOD_GET;
        p->out->method_text = b_slice(at, 3);
        return at + 4;
    }
    while (at < end && at - line <= METHOD_MAX && http_char_is(*at, HTTP_C_TOKEN))
        at++;
    if (at - line > METHOD_MAX)
        return h1_fail(&p->block, HTTP_E_BAD_METHOD);
    if (at == end)
        return NULL;
    if (*at != ' ')
        return h1_fail(&p->block, method_stop(*at));
    if (at == line)
        return h1_fail(&p->block, HTTP_E_BAD_REQUEST_LINE);
    p->out->method_text = b_slice(line, (size_t)(at - line));
    p->out->method = http_method_of(p->out->method_text);
    if (p->out->method == HTTP_METHOD_OTHER && !(p->block.allow & HTTP_ALLOW_ANY_METHOD) &&
        wrong_case(p->out->method_text))
        return h1_fail(&p->block, HTTP_E_BAD_METHOD);
    return at + 1;
}

/* Target and the space behind it; gives the version's first byte. */
static const char *take_target(struct parse *p, const char *target) {
    const char *at = http_scan_target(target, p->end);
    size_t len = (size_t)(at - target);
    if (len > p->limits->max_uri || (at == p->end && p->clamped))
        return h1_fail(&p->block, HTTP_E_URI_TOO_LONG);
    if (at == p->end)
        return NULL;
    if (*at != ' ' || len == 0)
        return h1_fail(&p->block, HTTP_E_BAD_REQUEST_LINE);
    p->out->target = b_slice(target, len);
    return at + 1;
}

/* What is there of a version that is not, or not yet, HTTP/1.1 or HTTP/1.0 with its line end. */
static const char *other_version(struct parse *p, const char *at) {
    const char *pattern = "HTTP/#.#";
    for (size_t i = 0; i < VERSION_LEN; i++) {
        if (at + i == p->end)
            return NULL;
        if (pattern[i] == '#' ? !b_is_digit(at[i]) : at[i] != pattern[i])
            return h1_fail(&p->block, HTTP_E_BAD_REQUEST_LINE);
    }
    if (at + VERSION_LEN == p->end)
        return NULL;
    /* HTTP/1.32 is no version, HTTP/2.0 is another one */
    bool ends = at[VERSION_LEN] == '\r' || at[VERSION_LEN] == '\n';
    return h1_fail(&p->block, ends ? HTTP_E_UNSUPPORTED_VERSION : HTTP_E_BAD_REQUEST_LINE);
}

/* Version and line end; gives the first field line. */
static const char *take_version(struct parse *p, const char *at) {
    if (p->end - at <= VERSION_LEN || memcmp(at, "HTTP/1.", 7) != 0 || (at[7] != '1' && at[7] != '0'))
        return other_version(p, at);
    p->out->minor = (uint8_t)(at[7] - '0');
    at += VERSION_LEN;
    if (*at != '\r' && *at != '\n')
        return h1_fail(&p->block, HTTP_E_BAD_REQUEST_LINE);
    return h1_line_end(&p->block, at, p->end);
}

/* The first line, with the one empty line that may stand before it. */
static const char *take_request_line(struct parse *p, const char *at) {
    if (at < p->end && (*at == '\r' || *at == '\n')) {
        at = h1_line_end(&p->block, at, p->end);
        if (at && at < p->end && (*at == '\r' || *at == '\n'))
            return h1_fail(&p->block, HTTP_E_BAD_REQUEST_LINE);
    }
    if (!at || at == p->end)
        return NULL;
    at = take_method(p, at);
    if (at)
        at = take_target(p, at);
    return at ? take_version(p, at) : NULL;
}

#define HTTP_FIELD(id, name, flags) | ((flags)&SINGLETON ? HTTP_ID_BIT(HTTP_FIELD_##id) : 0)
enum { HOP = HTTP_F_HOP, FRAMING = HTTP_F_FRAMING, SINGLETON = HTTP_F_SINGLETON };
enum { NEVER_TRAILER = HTTP_F_NEVER_TRAILER, OWNED = HTTP_F_OWNED };
static const uint64_t singletons = 0
#include "http/fields.def"
    ;
#undef HTTP_FIELD

static const uint64_t framing =
    HTTP_ID_BIT(HTTP_FIELD_CONTENT_LENGTH) | HTTP_ID_BIT(HTTP_FIELD_TRANSFER_ENCODING);

/* P08. The framing fields have errors of their own. */
static enum http_error check_repeated(const struct h1_block *b) {
    uint64_t twice = b->twice & singletons & ~framing;
    if (twice & HTTP_ID_BIT(HTTP_FIELD_HOST))
        return HTTP_E_DUPLICATE_HOST;
    return twice ? HTTP_E_DUPLICATE_FIELD : HTTP_OK;
}

static bool method_without_body(enum http_method m) {
    return m == HTTP_METHOD_GET || m == HTTP_METHOD_HEAD || m == HTTP_METHOD_DELETE;
}

/* The body's kind and length. */
static enum http_error decide_body(const struct h1_block *b, struct http_request *r) {
    enum http_error error = HTTP_OK;
    bool chunked = b->seen & HTTP_ID_BIT(HTTP_FIELD_TRANSFER_ENCODING);
    bool length = b->seen & HTTP_ID_BIT(HTTP_FIELD_CONTENT_LENGTH);
    if (!(b->seen & framing))
        return HTTP_OK;
    if (chunked && length)
        return HTTP_E_CL_AND_TE;
    if (chunked && r->minor == 0)
        return HTTP_E_TE_ON_HTTP_1_0;
    if (chunked) {
        r->body = HTTP_BODY_CHUNKED;
        error = h1_transfer_encoding(b);
    } else {
        r->body = HTTP_BODY_LENGTH;
        error = h1_content_length(b, &r->content_length);
    }
    if (error || !http_body_expected(r->body, r->content_length))
        return error;
    if (r->method == HTTP_METHOD_TRACE)
        return HTTP_E_TRACE_WITH_BODY;
    if (r->minor == 0 && method_without_body(r->method) && !(b->allow & HTTP_ALLOW_BODY_ON_HTTP_1_0))
        return HTTP_E_UNEXPECTED_BODY;
    return HTTP_OK;
}

/* Expect, Connection and Upgrade. */
static enum http_error decide_connection(const struct h1_block *b, struct http_request *r) {
    struct h1_connection connection;
    enum http_error error = h1_connection(b, &connection);
    if (error)
        return error;
    r->keep_alive = !connection.close && (r->minor == 1 || connection.keep_alive);
    r->upgrade = connection.upgrade && r->minor == 1 && b->seen & HTTP_ID_BIT(HTTP_FIELD_UPGRADE);
    if (!(b->seen & HTTP_ID_BIT(HTTP_FIELD_EXPECT)))
        return HTTP_OK;
    if (!b_slice_ieq(http_fields_value(&r->fields, HTTP_FIELD_EXPECT), B_LIT("100-continue")))
        return HTTP_E_BAD_EXPECTATION;
    /* RFC 9110 section 10.1.1: an HTTP/1.0 client does not know 100 */
    r->expect_continue = r->minor == 1 && http_body_expected(r->body, r->content_length);
    return HTTP_OK;
}

/* "http://" or "https://" at the front of s, whatever its case: its length, or 0. */
static size_t scheme_length(struct b_slice s) {
    if (s.len >= 7 && b_slice_ieq(b_slice(s.ptr, 7), B_LIT("http://")))
        return 7;
    return s.len >= 8 && b_slice_ieq(b_slice(s.ptr, 8), B_LIT("https://")) ? 8 : 0;
}

/* Splits what is left of the target into path and query. */
static void split_query(struct http_request *r, struct b_slice rest) {
    size_t mark = b_slice_find(rest, '?');
    r->path = b_slice(rest.ptr, mark);
    r->has_query = mark < rest.len;
    r->query = b_slice_from(rest, r->has_query ? mark + 1 : mark);
}

/* http://authority/path?query, which replaces Host (P03). An empty path is "/", or "*" for OPTIONS (RFC 9112
 * section 3.2.4). False when the target is nothing of the kind. */
static bool absolute_form(struct http_request *r, struct http_field *host) {
    size_t scheme = scheme_length(r->target);
    if (scheme == 0)
        return false;
    r->https = scheme == 8;
    struct b_slice rest = b_slice_from(r->target, scheme);
    size_t slash = b_slice_find(rest, '/'), mark = b_slice_find(rest, '?');
    size_t authority_end = slash < mark ? slash : mark;
    r->authority = b_slice(rest.ptr, authority_end);
    split_query(r, b_slice_from(rest, authority_end));
    if (r->path.len == 0)
        r->path = r->method == HTTP_METHOD_OPTIONS && !r->has_query ? B_LIT("*") : B_LIT("/");
    if (host) {
        host->value = r->authority.ptr;
        host->value_len = (uint32_t)r->authority.len;
    }
    return true;
}

/* Whether r->authority follows its grammar. */
static bool authority_ok(struct http_request *r, uint32_t allow) {
    if (http_authority_parse(r->authority, allow, NULL) < 0)
        return false;
    if (r->authority.ptr[r->authority.len - 1] == ':')
        r->authority.len--; /* a port that is empty is none (RFC 9110 section 4.2.3) */
    return true;
}

/* The target's form (RFC 9112 section 3.2) and the authority. */
static enum http_error decide_target(const struct h1_block *b, struct http_request *r) {
    struct http_field *host =
        b->seen & HTTP_ID_BIT(HTTP_FIELD_HOST) ? http_fields_find(&r->fields, HTTP_FIELD_HOST) : NULL;
    if (!host && r->minor == 1)
        return HTTP_E_MISSING_HOST;
    if (host) {
        r->authority = http_field_value(host);
        if (b_slice_find(r->authority, ',') < r->authority.len)
            return HTTP_E_DUPLICATE_HOST;
        if (!authority_ok(r, b->allow))
            return HTTP_E_BAD_HOST;
    }
    if (r->target.ptr[0] == '/' && r->method != HTTP_METHOD_CONNECT) {
        split_query(r, r->target);
        return HTTP_OK;
    }
    if (r->method == HTTP_METHOD_OPTIONS && b_slice_eq(r->target, B_LIT("*"))) {
        r->path = r->target;
        return HTTP_OK;
    }
    if (r->method == HTTP_METHOD_CONNECT)
        r->authority = r->target;
    else if (!absolute_form(r, host))
        return HTTP_E_BAD_REQUEST_LINE;
    return authority_ok(r, b->allow) ? HTTP_OK : HTTP_E_BAD_HOST;
}

/* P01. The normal form is never longer than the path, unless it holds characters that must be escaped. */
static enum http_error normalise(struct b_arena *arena, uint32_t allow, struct http_request *r) {
    if (r->path.len == 0 || r->path.ptr[0] != '/')
        return HTTP_OK;
    struct b_text none = b_text_fixed(NULL, 0), text;
    int result = http_path_normalise(r->path, allow, &none);
    if (result == HTTP_PATH_SAME)
        return HTTP_OK;
    if (!none.failed)
        return (enum http_error) - result;
    size_t room = r->path.len;
    do {
        char *buffer = b_arena_alloc(arena, room);
        if (!buffer)
            return HTTP_E_OUT_OF_MEMORY;
        text = b_text_fixed(buffer, room);
        result = http_path_normalise(r->path, allow, &text);
        room = HTTP_PATH_MAX(r->path.len);
    } while (text.failed && text.cap < room);
    if (result < 0)
        return (enum http_error) - result;
    if (result == HTTP_PATH_CHANGED)
        r->path = b_text_slice(&text);
    return HTTP_OK;
}

/* What the fields mean, once they are all there. */
static enum http_error decide(const struct h1_block *b, struct b_arena *arena, struct http_request *r) {
    enum http_error error = check_repeated(b);
    if (!error)
        error = decide_body(b, r);
    if (!error)
        error = decide_target(b, r);
    if (!error)
        error = decide_connection(b, r);
    /* last, because it may allocate */
    return error ? error : normalise(arena, b->allow, r);
}

ssize_t h1_parse_request(struct b_slice in, const struct http_limits *limits, struct http_field *fields,
                         unsigned cap, struct b_arena *arena, struct http_request *out) {
    bool clamped = in.len >= limits->max_header_bytes;
    struct parse p = {
        .block = h1_block(fields, cap, limits, limits->allow),
        .limits = limits,
        .end = in.ptr + (clamped ? limits->max_header_bytes : in.len),
        .clamped = clamped,
        .out = out,
    };
    *out = (struct http_request){.method = HTTP_METHOD_OTHER, .content_length = HTTP_LENGTH_UNKNOWN};
    if (in.len == 0)
        return 0;
    const char *at = take_request_line(&p, in.ptr);
    if (at)
        at = h1_take_fields(&p.block, at, p.end);
    if (!at && !p.block.error)
        return clamped ? -(ssize_t)HTTP_E_HEADER_TOO_LARGE : 0;
    out->fields = h1_block_fields(&p.block, cap);
    if (!p.block.error)
        p.block.error = decide(&p.block, arena, out);
    return p.block.error ? -(ssize_t)p.block.error : at - in.ptr;
}
