#include <stdio.h>

#include "support.h"

#define TYPICAL                                                                              \
    "GET /shop/cart?item=42&q=%20a HTTP/1.1\r\n"                                             \
    "Host: shop.example.com:8080\r\n"                                                        \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0\r\n" \
    "Accept: text/html,application/xhtml+xml;q=0.9\r\n"                                      \
    "X-Empty:\r\n"                                                                           \
    "X-Spaces: \t  a \t b  \t \r\n"                                                          \
    "X-Latin: caf\xe9\r\n"                                                                   \
    "Cookie: a=b; c=d\r\n"                                                                   \
    "\r\n"

TEST(typical_request) {
    struct parsed p;
    parse(&p, B_LIT(TYPICAL "next"), &http_limits_default);
    const struct http_request *r = &p.request;
    CHECK_INT(p.result, sizeof TYPICAL - 1);
    CHECK_INT(r->method, HTTP_METHOD_GET);
    CHECK_S(r->method_text, "GET");
    CHECK_S(r->target, "/shop/cart?item=42&q=%20a");
    CHECK_S(r->path, "/shop/cart");
    CHECK(r->has_query);
    CHECK_S(r->query, "item=42&q=%20a");
    CHECK_S(r->authority, "shop.example.com:8080");
    CHECK_INT(r->minor, 1);
    CHECK(r->keep_alive);
    CHECK_INT(r->body, HTTP_BODY_NONE);
    CHECK_UINT(r->content_length, HTTP_LENGTH_UNKNOWN);
    CHECK_INT(r->fields.count, 7);
    CHECK_INT(r->fields.cap, FIELDS);
    CHECK_S(http_fields_value(&r->fields, HTTP_FIELD_COOKIE), "a=b; c=d");
    CHECK_S(http_field_value(http_fields_find_name(&r->fields, B_LIT("x-empty"))), "");
    CHECK_S(http_field_value(http_fields_find_name(&r->fields, B_LIT("X-SPACES"))), "a \t b");
    CHECK_S(http_field_value(http_fields_find_name(&r->fields, B_LIT("x-latin"))), "caf\xe9");
    CHECK(p.arena.used == 0);
    release(&p);
}

/* What is accepted, and how much of it is the head. */
static const struct b_slice accepted[] = {
    B_LIT(TYPICAL),
    B_LIT("GET / HTTP/1.0\r\n\r\n"),
    B_LIT("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    B_LIT("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 123456789\r\nExpect: 100-continue\r\n\r\n"),
    B_LIT("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: [::1]:80\r\n\r\n"),
    B_LIT("PROPFIND /a/../b//%7Euser/%e2%82%ac HTTP/1.1\r\nHost: a\r\nWeird!#$%&'*+-.^`|~: x\r\n\r\n"),
    B_LIT("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    B_LIT("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n"),
    B_LIT(
        "GET http://Other.Example/x?y HTTP/1.1\r\nHost: a\r\nConnection: close , TE\r\nTE: trailers\r\n\r\n"),
    B_LIT("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    B_LIT("A / HTTP/1.1\r\nHost: a\r\n\r\n"),
    B_LIT("AMETHODOFTHIRTYTWOBYTES000000032 / HTTP/1.1\r\nHost: a\r\n\r\n"),
};
#define ACCEPTED (sizeof accepted / sizeof accepted[0])

TEST(accepts_whole_heads_and_no_less) {
    for (size_t i = 0; i < ACCEPTED; i++) {
        CHECK_INT(result_of(accepted[i], &http_limits_default), (ssize_t)accepted[i].len);
        for (size_t len = 0; len < accepted[i].len; len++) {
            ssize_t got = result_of(b_slice(accepted[i].ptr, len), &http_limits_default);
            if (got != 0)
                FAIL("%.*s: the first %zu bytes give %zd", B_FMT(accepted[i]), len, got);
        }
    }
}

TEST(bytes_after_the_head_do_not_matter) {
    static const struct b_slice tails[] = {B_LIT("x"), B_LIT("\r\n"), B_LIT(" "), B_LIT("\0\0"),
                                           B_LIT("GET / HTTP/1.1\r\n")};
    char both[1024];
    for (size_t i = 0; i < ACCEPTED; i++)
        for (size_t k = 0; k < sizeof tails / sizeof tails[0]; k++) {
            struct b_text text = b_text_fixed(both, sizeof both);
            b_text_slice_add(&text, accepted[i]);
            b_text_slice_add(&text, tails[k]);
            CHECK_INT(result_of(b_text_slice(&text), &http_limits_default), (ssize_t)accepted[i].len);
        }
}

/* Calls h1_head_state as a reader would whose bytes come in two pieces and then one by one. */
TEST(head_state_says_when_to_parse) {
    for (size_t i = 0; i < ACCEPTED; i++) {
        struct b_slice head = accepted[i];
        for (size_t first = 0; first < head.len; first++) {
            CHECK_INT(h1_head_state(b_slice(head.ptr, first), 0, &http_limits_default), H1_HEAD_MORE);
            CHECK_INT(h1_head_state(head, first, &http_limits_default), H1_HEAD_READY);
        }
        for (size_t len = 1; len <= head.len; len++)
            CHECK_INT(h1_head_state(b_slice(head.ptr, len), len - 1, &http_limits_default),
                      len == head.len ? H1_HEAD_READY : H1_HEAD_MORE);
    }
}

TEST(head_state_sees_what_is_wrong_early) {
    struct http_limits limits = http_limits_default;
    CHECK_INT(h1_head_state(B_LIT("\x16\x03\x01"), 0, &limits), H1_HEAD_READY);
    CHECK_INT(h1_head_state(B_LIT("GET / HTTP/1.1\n"), 0, &limits), H1_HEAD_READY);
    CHECK_INT(h1_head_state(B_LIT("GET / HTTP/1.1\r\n\n"), 16, &limits), H1_HEAD_READY);
    CHECK_INT(h1_head_state(B_LIT("GET / HTTP/1.1\r\nA: b\r\n\r\nbody"), 0, &limits), H1_HEAD_READY);
    CHECK_INT(h1_head_state(B_LIT("\r\n\r\n"), 0, &limits), H1_HEAD_READY);
    limits.max_header_bytes = 10;
    CHECK_INT(h1_head_state(B_LIT("GET /aaaa"), 0, &limits), H1_HEAD_MORE);
    CHECK_INT(h1_head_state(B_LIT("GET /aaaaa"), 0, &limits), H1_HEAD_READY);
}

TEST(refuses_before_the_head_is_whole) {
    static const struct {
        struct b_slice part;
        enum http_error want;
    } rows[] = {
        {B_LIT("GET / FTP"), HTTP_E_BAD_REQUEST_LINE},
        {B_LIT("GET / HTTP/2.0\r"), HTTP_E_UNSUPPORTED_VERSION},
        {B_LIT("\x16"), HTTP_E_BAD_METHOD},
        {B_LIT("GET /\x01"), HTTP_E_BAD_REQUEST_LINE},
        {B_LIT("GET / HTTP/1.1\r\nA: \x01"), HTTP_E_BAD_FIELD_VALUE},
        {B_LIT("GET / HTTP/1.1\r\nA_"), HTTP_E_UNDERSCORE_IN_FIELD_NAME},
        {B_LIT("GET / HTTP/1.1\r\nA: b\r\n "), HTTP_E_OBS_FOLD},
        {B_LIT("GET / HTTP/1.1\n"), HTTP_E_BARE_LF},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_INT(result_of(rows[i].part, &http_limits_default), -(int)rows[i].want);
}

TEST(body_kinds) {
    static const struct {
        struct b_slice head;
        enum http_body_kind kind;
        uint64_t length;
    } rows[] = {
        {B_LIT("POST / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN},
        {B_LIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), HTTP_BODY_LENGTH, 0},
        {B_LIT("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n"), HTTP_BODY_LENGTH, 7},
        {B_LIT("POST / HTTP/1.0\r\nContent-Length: 7\r\n\r\n"), HTTP_BODY_LENGTH, 7},
        {B_LIT("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"), HTTP_BODY_CHUNKED,
         HTTP_LENGTH_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p;
        parse(&p, rows[i].head, &http_limits_default);
        CHECK_INT(p.result, (ssize_t)rows[i].head.len);
        CHECK_INT(p.request.body, rows[i].kind);
        CHECK_UINT(p.request.content_length, rows[i].length);
        release(&p);
    }
}

/* Flags of a request with these lines. */
static struct http_request with(const char *version, const char *lines) {
    char head[512];
    int n = snprintf(head, sizeof head, "POST / %s\r\nHost: a\r\n%s\r\n", version, lines);
    struct parsed p;
    parse(&p, b_slice(head, (size_t)n), &http_limits_default);
    CHECK_INT(p.result, n);
    release(&p);
    return p.request;
}

TEST(keep_alive) {
    CHECK(with("HTTP/1.1", "").keep_alive);
    CHECK(!with("HTTP/1.1", "Connection: close\r\n").keep_alive);
    CHECK(!with("HTTP/1.1", "Connection: a\r\nConnection: x, CLOSE\r\n").keep_alive);
    CHECK(with("HTTP/1.1", "Connection: closed\r\n").keep_alive);
    CHECK(!with("HTTP/1.0", "").keep_alive);
    CHECK(with("HTTP/1.0", "Connection: Keep-Alive\r\n").keep_alive);
    CHECK(!with("HTTP/1.0", "Connection: keep-alive, close\r\n").keep_alive);
    CHECK_INT(with("HTTP/1.0", "").minor, 0);
}

TEST(upgrade_needs_both_fields_and_1_1) {
    CHECK(with("HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n").upgrade);
    CHECK(!with("HTTP/1.1", "Upgrade: websocket\r\n").upgrade);
    CHECK(!with("HTTP/1.1", "Connection: upgrade\r\n").upgrade);
    CHECK(!with("HTTP/1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n").upgrade);
}

TEST(S23_expect_continue) {
    CHECK(with("HTTP/1.1", "Expect: 100-Continue\r\nContent-Length: 1\r\n").expect_continue);
    CHECK(with("HTTP/1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n").expect_continue);
    CHECK(!with("HTTP/1.1", "Expect: 100-continue\r\n").expect_continue);
    CHECK(!with("HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n").expect_continue);
    CHECK(!with("HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n").expect_continue);
}

TEST(P03_absolute_form_replaces_host) {
    struct parsed p;
    parse(&p, B_LIT("GET HTTP://b.example:81/x/../y?z HTTP/1.1\r\nHost: a\r\n\r\n"), &http_limits_default);
    CHECK(p.result > 0);
    CHECK_S(p.request.authority, "b.example:81");
    CHECK_S(http_fields_value(&p.request.fields, HTTP_FIELD_HOST), "b.example:81");
    CHECK_S(p.request.path, "/y");
    CHECK_S(p.request.query, "z");
    release(&p);
}

TEST(targets) {
    static const struct {
        struct b_slice head;
        const char *path, *query, *authority; /* query NULL: none */
    } rows[] = {
        {B_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "/", NULL, "a"},
        {B_LIT("GET /? HTTP/1.1\r\nHost: a\r\n\r\n"), "/", "", "a"},
        {B_LIT("GET /a?b?c=/../d HTTP/1.1\r\nHost: a\r\n\r\n"), "/a", "b?c=/../d", "a"},
        {B_LIT("GET //a HTTP/1.1\r\nHost: a\r\n\r\n"), "/a", NULL, "a"},
        {B_LIT("GET /%61 HTTP/1.1\r\nHost: a\r\n\r\n"), "/a", NULL, "a"},
        {B_LIT("GET /{{{{ HTTP/1.1\r\nHost: a\r\n\r\n"), "/%7B%7B%7B%7B", NULL, "a"},
        {B_LIT("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n"), "/", NULL, "b"},
        {B_LIT("GET https://b?c HTTP/1.1\r\nHost: a\r\n\r\n"), "/", "c", "b"},
        {B_LIT("GET http://b?c/d HTTP/1.0\r\n\r\n"), "/", "c/d", "b"},
        {B_LIT("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "*", NULL, "a"},
        {B_LIT("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n"), "*", NULL, "b"},
        {B_LIT("OPTIONS http://b?c HTTP/1.1\r\nHost: a\r\n\r\n"), "/", "c", "b"},
        {B_LIT("CONNECT b:1 HTTP/1.1\r\nHost: a\r\n\r\n"), "", NULL, "b:1"},
        {B_LIT("GET / HTTP/1.0\r\n\r\n"), "/", NULL, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p;
        parse(&p, rows[i].head, &http_limits_default);
        CHECK_INT(p.result, (ssize_t)rows[i].head.len);
        CHECK_S(p.request.path, rows[i].path);
        CHECK_INT(p.request.has_query, rows[i].query != NULL);
        CHECK_S(p.request.query, rows[i].query ? rows[i].query : "");
        CHECK_S(p.request.authority, rows[i].authority);
        release(&p);
    }
}

TEST(out_of_memory_is_an_answer) {
    struct http_field fields[8];
    struct http_request r;
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 0);
    CHECK_INT(h1_parse_request(B_LIT("GET //a HTTP/1.1\r\nHost: a\r\n\r\n"), &http_limits_default, fields, 8,
                               &arena, &r),
              -HTTP_E_OUT_OF_MEMORY);
    CHECK(h1_parse_request(B_LIT("GET /a HTTP/1.1\r\nHost: a\r\n\r\n"), &http_limits_default, fields, 8,
                           &arena, &r) > 0);
    b_arena_release(&arena);
}

TEST(S15_trailers) {
    struct http_field fields[8];
    struct http_fields out;
    static const char text[] = "X-Sum: 1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\n"
                               "Authorization: a\r\nCookie: c\r\nContent-Type: t\r\nX-Forwarded-For: 1\r\n"
                               "X-Forwarded-Else: 1\r\nY: 2\r\n\r\n";
    struct http_limits limits = http_limits_default;
    struct http_field many[16];
    CHECK_INT(h1_parse_trailers(B_LIT(text), &limits, many, 16, &out), sizeof text - 1);
    CHECK_INT(out.count, 2);
    CHECK_S(http_field_name(&out.at[0]), "X-Sum");
    CHECK_S(http_field_name(&out.at[1]), "Y");
    for (size_t len = 0; len < sizeof text - 1; len++)
        CHECK_INT(h1_parse_trailers(b_slice(text, len), &limits, many, 16, &out), 0);
    CHECK_INT(h1_parse_trailers(B_LIT("\r\nnext"), &limits, fields, 8, &out), 2);
    CHECK_INT(h1_parse_trailers(B_LIT("a b: c\r\n\r\n"), &limits, fields, 8, &out), -HTTP_E_BAD_TRAILER);
    CHECK_INT(h1_parse_trailers(B_LIT("a: c\n\n"), &limits, fields, 8, &out), -HTTP_E_BAD_TRAILER);
    CHECK_INT(h1_parse_trailers(B_LIT(text), &limits, fields, 8, &out), -HTTP_E_TRAILERS_TOO_LARGE);
    limits.max_header_bytes = 20;
    CHECK_INT(h1_parse_trailers(B_LIT(text), &limits, many, 16, &out), -HTTP_E_TRAILERS_TOO_LARGE);
}

const struct test_case h1_request_tests[] = {
    {"typical_request", typical_request},
    {"accepts_whole_heads_and_no_less", accepts_whole_heads_and_no_less},
    {"bytes_after_the_head_do_not_matter", bytes_after_the_head_do_not_matter},
    {"head_state_says_when_to_parse", head_state_says_when_to_parse},
    {"head_state_sees_what_is_wrong_early", head_state_sees_what_is_wrong_early},
    {"refuses_before_the_head_is_whole", refuses_before_the_head_is_whole},
    {"body_kinds", body_kinds},
    {"keep_alive", keep_alive},
    {"upgrade_needs_both_fields_and_1_1", upgrade_needs_both_fields_and_1_1},
    {"S23_expect_continue", S23_expect_continue},
    {"P03_absolute_form_replaces_host", P03_absolute_form_replaces_host},
    {"targets", targets},
    {"out_of_memory_is_an_answer", out_of_memory_is_an_answer},
    {"S15_trailers", S15_trailers},
    {0},
};
