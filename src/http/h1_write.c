#include "http/h1_write.h"

#include "base/number.h"
#include "http/scan.h"

/* Errors are sticky: a bad part fails the text, and this tells it from one that ran out of room. */
struct writer {
    struct b_text *out;
    bool bad;
};

static void fail_bad(struct writer *w) {
    w->bad = true;
    w->out->failed = true;
}

static int result(const struct writer *w) {
    if (w->bad)
        return -HTTP_E_BAD_OUTPUT;
    return w->out->failed ? -HTTP_E_INTERNAL : 0;
}

/* A part of the start line: visible ASCII, no space. */
static void add_word(struct writer *w, struct b_slice s) {
    if (s.len && http_scan_target(s.ptr, s.ptr + s.len) != s.ptr + s.len)
        fail_bad(w);
    b_text_slice_add(w->out, s);
}

/* name: value CRLF, with room asked for once. */
static void add_field(struct writer *w, struct b_slice name, struct b_slice value) {
    struct b_text *out = w->out;
    if (!b_text_reserve(out, name.len + value.len + 4))
        return;
    char *p = out->ptr + out->len;
    bool ok = http_copy_value(p, name.ptr, name.len);
    p += name.len;
    *p++ = ':';
    *p++ = ' ';
    ok &= http_copy_value(p, value.ptr, value.len);
    p += value.len;
    *p++ = '\r';
    *p++ = '\n';
    out->len = (size_t)(p - out->ptr);
    if (!ok)
        fail_bad(w);
}

/* Whether the field is one that is passed on. */
static bool passes(const struct http_field *f) {
    return !(f->flags & (HTTP_F_HOP | HTTP_F_FRAMING)) && f->id != HTTP_FIELD_HOST;
}

/* Received lines that stood in a row are copied as one piece: they are to the byte what would be written, and the parser
 * has checked them. Gives the field after them. */
static const struct http_field *add_lines(struct writer *w, const struct http_field *f,
                                          const struct http_field *end) {
    const char *from = f->name, *to = f->value + f->value_len + 2;
    while (++f < end && f->flags & HTTP_F_LINE && f->name == to && passes(f))
        to = f->value + f->value_len + 2;
    b_text_add(w->out, from, (size_t)(to - from));
    return f;
}

static void add_fields(struct writer *w, const struct http_fields *fs) {
    const struct http_field *end = fs->at + fs->count;
    for (const struct http_field *f = fs->at; f < end;) {
        if (passes(f) && f->flags & HTTP_F_LINE) {
            f = add_lines(w, f, end);
            continue;
        }
        if (passes(f))
            add_field(w, http_field_name(f), http_field_value(f));
        f++;
    }
}

static void add_length(struct writer *w, uint64_t n) {
    b_text_lit(w->out, "Content-Length: ");
    b_text_u64(w->out, n);
    b_text_lit(w->out, "\r\n");
}

static void add_framing(struct writer *w, enum http_body_kind body, uint64_t content_length) {
    if (body == HTTP_BODY_LENGTH)
        add_length(w, content_length);
    else if (body == HTTP_BODY_CHUNKED)
        b_text_lit(w->out, "Transfer-Encoding: chunked\r\n");
}

/* The connection's own fields, and the empty line. */
static void add_end(struct writer *w, unsigned flags, struct b_slice upgrade) {
    if (upgrade.len) {
        add_field(w, B_LIT("Upgrade"), upgrade);
        b_text_lit(w->out, "Connection: Upgrade\r\n");
    } else if (flags & H1_WRITE_TE) {
        b_text_lit(w->out, "TE: trailers\r\nConnection: TE\r\n");
    } else if (flags & H1_WRITE_CLOSE) {
        b_text_lit(w->out, "Connection: close\r\n");
    } else if (flags & H1_WRITE_KEEP_ALIVE) {
        b_text_lit(w->out, "Connection: keep-alive\r\n");
    }
    b_text_lit(w->out, "\r\n");
}

static bool wants_body(enum http_method m) {
    return m == HTTP_METHOD_POST || m == HTTP_METHOD_PUT || m == HTTP_METHOD_PATCH;
}

int h1_write_request(struct b_text *out, const struct http_request *r, unsigned flags,
                     struct b_slice upgrade) {
    struct writer w = {.out = out};
    enum http_body_kind body = r->body;
    uint64_t length = r->content_length;
    if (body == HTTP_BODY_UNTIL_CLOSE || !http_is_token(r->method_text))
        fail_bad(&w);
    if (body == HTTP_BODY_NONE && wants_body(r->method)) {
        body = HTTP_BODY_LENGTH;
        length = 0;
    }
    b_text_slice_add(out, r->method_text);
    b_text_char(out, ' ');
    add_word(&w, r->method == HTTP_METHOD_CONNECT ? r->authority : r->path);
    if (r->has_query) {
        b_text_char(out, '?');
        add_word(&w, r->query);
    }
    b_text_lit(out, " HTTP/1.1\r\nHost: ");
    add_word(&w, r->authority);
    b_text_lit(out, "\r\n");
    add_fields(&w, &r->fields);
    add_framing(&w, body, length);
    add_end(&w, flags, upgrade);
    return result(&w);
}

static void add_status_line(struct writer *w, const struct http_response *r) {
    struct b_slice reason = r->reason.len ? r->reason : http_reason(r->status);
    unsigned status = r->status;
    if (status == 200 && b_slice_eq(reason, B_LIT("OK"))) {
        b_text_lit(w->out, "HTTP/1.1 200 OK\r\n");
        return;
    }
    if (status < 100 || status > 999)
        fail_bad(w);
    char line[] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    b_text_add(w->out, line, sizeof line - 1);
    if (http_scan_value(reason.ptr, reason.ptr + reason.len) != reason.ptr + reason.len)
        fail_bad(w);
    b_text_slice_add(w->out, reason);
    b_text_lit(w->out, "\r\n");
}

/* RFC 9110 section 8.6, RFC 9112 section 6.3. */
static void add_response_framing(struct writer *w, const struct http_response *r, bool to_head) {
    if (r->status < 200 || r->status == 204 || r->status == 304)
        return;
    if (r->body != HTTP_BODY_NONE)
        add_framing(w, r->body, r->content_length);
    else if (!to_head)
        add_length(w, 0);
    else if (r->content_length != HTTP_LENGTH_UNKNOWN)
        add_length(w, r->content_length);
}

int h1_write_response(struct b_text *out, const struct http_response *r, unsigned flags,
                      struct b_slice upgrade) {
    struct writer w = {.out = out};
    if (r->body == HTTP_BODY_UNTIL_CLOSE)
        flags |= H1_WRITE_CLOSE;
    add_status_line(&w, r);
    add_fields(&w, &r->fields);
    add_response_framing(&w, r, flags & H1_WRITE_TO_HEAD);
    add_end(&w, flags, upgrade);
    return result(&w);
}

int h1_write_field(struct b_text *out, struct b_slice name, struct b_slice value) {
    struct writer w = {.out = out};
    add_field(&w, name, value);
    return result(&w);
}
