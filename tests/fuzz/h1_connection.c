/* What a client sends on one connection, read as the gateway reads it: heads, bodies, pipelined requests. How the bytes are cut
 * must change nothing: not the requests, not their bodies, not whether it ends in a refusal. */
#include <assert.h>

#include "base/text.h"
#include "http/h1_chunked.h"
#include "http/h1_parse.h"
#include "splits.h"

#define FIELDS 128
#define INPUT_MAX 40000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct connection {
    const struct http_limits *limits;
    char held[INPUT_MAX]; /* received and not used */
    size_t len, seen;     /* `seen` of them h1_head_state has looked at */
    bool in_body, refused;
    uint64_t left; /* of a body with a length */
    struct h1_chunked chunked;
    struct http_request request;
    struct http_field fields[FIELDS];
    uint64_t requests, bodies, digest;
};

static void use(struct connection *c, size_t n) {
    c->len -= n;
    memmove(c->held, c->held + n, c->len);
    c->seen = 0;
}

static void take_request(struct connection *c) {
    const struct http_request *r = &c->request;
    digest_slice(&c->digest, r->method_text);
    digest_slice(&c->digest, r->authority);
    digest_slice(&c->digest, r->path);
    digest_slice(&c->digest, r->query);
    digest_number(&c->digest,
                  r->body * 16u + r->keep_alive * 8u + r->expect_continue * 4u + r->upgrade * 2u + r->minor);
    for (unsigned i = 0; i < r->fields.count; i++) {
        digest_slice(&c->digest, http_field_name(&r->fields.at[i]));
        digest_slice(&c->digest, http_field_value(&r->fields.at[i]));
        digest_number(&c->digest, r->fields.at[i].flags);
    }
    c->requests++;
    c->in_body = http_body_expected(r->body, r->content_length);
    c->left = r->content_length;
    h1_chunked_init(&c->chunked, NULL, c->limits->max_header_bytes);
}

/* True when there may be more to do with what is held. */
static bool read_head(struct connection *c) {
    struct b_arena arena;
    struct b_slice in = b_slice(c->held, c->len);
    enum h1_head_state state = h1_head_state(in, c->seen, c->limits);
    c->seen = c->len;
    if (state == H1_HEAD_MORE)
        return false;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    ssize_t n = h1_parse_request(in, c->limits, c->fields, FIELDS, &arena, &c->request);
    assert(n <= (ssize_t)c->len);
    c->refused = n < 0;
    if (n > 0) {
        take_request(c);
        use(c, (size_t)n);
    }
    b_arena_release(&arena);
    return n > 0;
}

static void end_body(struct connection *c) {
    c->in_body = false;
    c->bodies++;
    digest_number(&c->digest, 0xb0d7);
}

static bool read_body(struct connection *c) {
    struct b_slice in = b_slice(c->held, c->len), data;
    if (c->request.body == HTTP_BODY_LENGTH) {
        data = b_slice(in.ptr, in.len < c->left ? in.len : (size_t)c->left);
        digest_bytes(&c->digest, data);
        c->left -= data.len;
        use(c, data.len);
        if (c->left == 0)
            end_body(c);
        return c->left == 0;
    }
    int rc = h1_chunked_next(&c->chunked, &in, &data);
    if (rc == H1_CHUNK_DATA)
        digest_bytes(&c->digest, data);
    else if (rc == H1_CHUNK_END)
        end_body(c);
    c->refused = rc < 0;
    use(c, c->len - in.len);
    return rc == H1_CHUNK_DATA || rc == H1_CHUNK_END;
}

static void read_all(struct connection *c, struct b_slice in, const struct http_limits *limits,
                     struct splits s) {
    c->limits = limits;
    c->len = c->seen = 0;
    c->in_body = c->refused = false;
    c->requests = c->bodies = 0;
    c->digest = 0xcbf29ce484222325u;
    while (in.len && !c->refused) {
        size_t n = split_next(&s, in.len);
        memcpy(c->held + c->len, in.ptr, n);
        c->len += n;
        in = b_slice_from(in, n);
        while (c->len && !c->refused && (c->in_body ? read_body(c) : read_head(c)))
            continue;
    }
}

static void check_same(const struct connection *a, const struct connection *b) {
    assert(a->requests == b->requests && a->bodies == b->bodies);
    assert(a->refused == b->refused && a->in_body == b->in_body);
    /* where a body is refused, how much of it was read before depends on nothing but its bytes, too */
    assert(a->digest == b->digest);
    assert(a->refused || a->len == b->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct connection whole, cut;
    struct b_slice in = b_slice(data, size);
    struct http_limits limits = http_limits_default;
    if (size > INPUT_MAX)
        return 0;
    uint64_t seed = 0;
    digest_bytes(&seed, in);
    read_all(&whole, in, &limits, (struct splits){.how = SPLIT_NOT});
    read_all(&cut, in, &limits, (struct splits){.how = SPLIT_RANDOM, .rng = {seed}});
    check_same(&whole, &cut);
    if (size < 2000) {
        read_all(&cut, in, &limits, (struct splits){.how = SPLIT_BYTES});
        check_same(&whole, &cut);
    }
    return 0;
}
