/* Request heads. Whatever is accepted must serialise to a message that parses to the same request; an answer
 * for a part of the input must never be taken back when more of it comes. */
#include <assert.h>

#include "base/text.h"
#include "http/authority.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/path.h"

#define FIELDS 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct parsed {
    struct b_arena arena;
    struct http_request request;
    struct http_field fields[FIELDS];
};

static ssize_t parse(struct parsed *p, struct b_slice in, const struct http_limits *limits) {
    b_arena_init(&p->arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    return h1_parse_request(in, limits, p->fields, FIELDS, &p->arena, &p->request);
}

static ssize_t result_of(struct b_slice in, const struct http_limits *limits) {
    static struct parsed p;
    ssize_t r = parse(&p, in, limits);
    b_arena_release(&p.arena);
    assert(r >= -(ssize_t)HTTP_ERROR_COUNT + 1 && r <= (ssize_t)in.len);
    return r;
}

/* What is said about the first `cut` bytes holds for all of them. */
static void check_part(struct b_slice in, size_t cut, ssize_t whole, const struct http_limits *limits) {
    ssize_t part = result_of(b_slice(in.ptr, cut), limits);
    if (part != 0)
        assert(part == whole || (part < 0 && whole < 0));
    if (whole > 0 && cut < (size_t)whole)
        assert(part == 0);
    if (whole > 0 && h1_head_state(b_slice(in.ptr, cut), 0, limits) == H1_HEAD_MORE)
        assert(h1_head_state(in, cut, limits) == H1_HEAD_READY);
}

static void check_meaning(const struct http_request *r, uint32_t allow) {
    struct b_text no_room = b_text_fixed(NULL, 0);
    assert(r->method_text.len && r->target.len);
    assert(r->authority.len ? http_authority_parse(r->authority, allow, NULL) == 0 : r->minor == 0);
    if (r->path.len && r->path.ptr[0] == '/') /* already normal: P02 */
        assert(http_path_normalise(r->path, allow, &no_room) == HTTP_PATH_SAME || no_room.failed);
    assert(r->body != HTTP_BODY_UNTIL_CLOSE &&
           (r->body == HTTP_BODY_LENGTH) == (r->content_length != HTTP_LENGTH_UNKNOWN));
    for (unsigned i = 0; i < r->fields.count; i++) {
        const struct http_field *f = &r->fields.at[i];
        assert(f->name_len > 0 && f->id < HTTP_FIELD_COUNT);
        assert(http_field_id(http_field_name(f)) == f->id);
    }
}

/* The next field at or after *i that a serialiser copies. */
static const struct http_field *copied(const struct http_fields *fs, unsigned *i) {
    for (; *i < fs->count; ++*i) {
        const struct http_field *f = &fs->at[*i];
        if (!(f->flags & (HTTP_F_HOP | HTTP_F_FRAMING)) && f->id != HTTP_FIELD_HOST)
            return &fs->at[(*i)++];
    }
    return NULL;
}

static void check_same(const struct http_request *a, const struct http_request *b) {
    assert(a->method == b->method && b_slice_eq(a->method_text, b->method_text));
    assert(b_slice_eq(a->path, b->path) && a->has_query == b->has_query && b_slice_eq(a->query, b->query));
    assert(b_slice_eq(a->authority, b->authority));
    assert(http_body_expected(a->body, a->content_length) == http_body_expected(b->body, b->content_length));
    if (http_body_expected(a->body, a->content_length))
        assert(a->body == b->body && a->content_length == b->content_length);
    unsigned i = 0, k = 0;
    for (;;) {
        const struct http_field *f = copied(&a->fields, &i), *g = copied(&b->fields, &k);
        assert(!f == !g);
        if (!f)
            return;
        assert(f->id == g->id && b_slice_eq(http_field_name(f), http_field_name(g)));
        assert(b_slice_eq(http_field_value(f), http_field_value(g)));
    }
}

static void check_round_trip(struct http_request *r, uint32_t allow) {
    static char buf[1 << 18];
    static struct parsed again;
    struct http_limits wide = {.max_header_bytes = sizeof buf,
                               .max_headers = FIELDS,
                               .max_uri = sizeof buf,
                               .allow = allow};
    struct b_text out = b_text_fixed(buf, sizeof buf);
    if (r->authority.len == 0)
        r->authority = B_LIT("upstream:80"); /* as the gateway does for HTTP/1.0 */
    assert(h1_write_request(&out, r, H1_WRITE_CLOSE, b_slice(NULL, 0)) == 0);
    assert(parse(&again, b_text_slice(&out), &wide) == (ssize_t)out.len);
    assert(again.request.minor == 1 && !again.request.keep_alive && !again.request.upgrade);
    check_same(r, &again.request);
    b_arena_release(&again.arena);
}

static void check(struct b_slice in, uint32_t allow) {
    static struct parsed p;
    struct http_limits limits = http_limits_default;
    limits.allow = allow;
    ssize_t whole = result_of(in, &limits);
    size_t cut = in.len ? ((unsigned char)in.ptr[in.len / 2] * 31 + in.len) % in.len : 0;
    check_part(in, cut, whole, &limits);
    check_part(in, cut / 2, whole, &limits);
    if (whole > 0) {
        check_part(in, (size_t)whole - 1, whole, &limits);
        check_part(in, (size_t)whole, whole, &limits);
        assert(parse(&p, in, &limits) == whole);
        check_meaning(&p.request, allow);
        check_round_trip(&p.request, allow);
        http_fields_strip_hop(&p.request.fields);
        check_round_trip(&p.request, allow);
        b_arena_release(&p.arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct b_slice in = b_slice(data, size);
    check(in, 0);
    check(in, HTTP_ALLOW_ALL);
    return 0;
}
