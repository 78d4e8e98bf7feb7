/* Response heads: the same two promises as for requests. */
#include <assert.h>

#include "base/text.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"

#define FIELDS 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct parsed {
    enum http_error why;
    struct http_response response;
    struct http_field fields[FIELDS];
};

static ssize_t parse(struct parsed *p, struct b_slice in, enum http_method method, bool wide) {
    /* what is written has Connection and framing besides the fields that came */
    struct http_limits limits = {.max_header_bytes = wide ? 1 << 17 : 16384,
                                 .max_headers = wide ? FIELDS : 100};
    ssize_t r = h1_parse_response(in, &limits, p->fields, FIELDS, method, &p->response, &p->why);
    assert(r <= (ssize_t)in.len && (r >= 0 || r == -HTTP_E_UPSTREAM_BAD_RESPONSE));
    assert((r < 0) == (p->why != HTTP_OK));
    return r;
}

/* RFC 9112 section 6.3. */
static void check_meaning(const struct http_response *r, enum http_method method) {
    bool none = method == HTTP_METHOD_HEAD || r->status < 200 || r->status == 204 || r->status == 304;
    assert(r->status >= 100 && r->status <= 999);
    assert(!none || r->body == HTTP_BODY_NONE);
    assert(r->body != HTTP_BODY_UNTIL_CLOSE || !r->keep_alive);
    assert(r->body != HTTP_BODY_LENGTH || r->content_length <= INT64_MAX);
    assert(r->body != HTTP_BODY_CHUNKED || r->content_length == HTTP_LENGTH_UNKNOWN);
}

static void check_round_trip(const struct http_response *r, enum http_method method) {
    static char buf[1 << 17];
    static struct parsed again;
    struct b_text out = b_text_fixed(buf, sizeof buf);
    bool head = method == HTTP_METHOD_HEAD;
    assert(h1_write_response(&out, r, head ? H1_WRITE_TO_HEAD : 0, b_slice(NULL, 0)) == 0);
    assert(parse(&again, b_text_slice(&out), method, true) == (ssize_t)out.len);
    const struct http_response *b = &again.response;
    bool expected = http_body_expected(r->body, r->content_length);
    assert(r->status == b->status && expected == http_body_expected(b->body, b->content_length));
    assert(r->body == b->body || (r->status == 205 && !expected)); /* which says Content-Length: 0 then */
    assert(r->reason.len == 0 || b_slice_eq(r->reason, b->reason));
    if (r->body == HTTP_BODY_LENGTH || (head && r->status >= 200 && r->status != 204 && r->status != 304))
        assert(r->content_length == b->content_length);
    unsigned k = 0;
    for (unsigned i = 0; i < r->fields.count; i++) {
        const struct http_field *f = &r->fields.at[i];
        if (f->flags & (HTTP_F_HOP | HTTP_F_FRAMING) || f->id == HTTP_FIELD_HOST)
            continue;
        assert(k < b->fields.count);
        assert(b_slice_eq(http_field_name(f), http_field_name(&b->fields.at[k])));
        assert(b_slice_eq(http_field_value(f), http_field_value(&b->fields.at[k])));
        k++;
    }
}

static void check(struct b_slice in, enum http_method method) {
    static struct parsed p, part;
    ssize_t whole = parse(&p, in, method, false);
    size_t cut = in.len ? ((unsigned char)in.ptr[in.len / 2] * 31 + in.len) % in.len : 0;
    ssize_t first = parse(&part, b_slice(in.ptr, cut), method, false);
    assert(first == 0 || first == whole);
    if (whole > 0) {
        assert(cut >= (size_t)whole || first == 0);
        check_meaning(&p.response, method);
        if (method != HTTP_METHOD_CONNECT) /* whose 2xx has no serialised form */
            check_round_trip(&p.response, method);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check(b_slice(data, size), HTTP_METHOD_GET);
    check(b_slice(data, size), HTTP_METHOD_HEAD);
    check(b_slice(data, size), HTTP_METHOD_CONNECT);
    return 0;
}
