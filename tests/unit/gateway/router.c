/* Which route a request finds. */
#include "gateway/router.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "http/h1_parse.h"
#include "support.h"
#include "test.h"

#define HEAD "version: 1\nlisten: [\":8080\", \"127.0.0.1:8081\"]\nroutes:\n"
#define ROUTE(match) "  - {match: {" match "}, respond: {}}\n"

static void check_get(struct built *b, const char *path, const char *want) {
    CHECK_STR(found(b, "GET", "a", path), want);
}

TEST(takes_the_most_specific) {
    struct built b;
    build(&b, HEAD ROUTE("path: /*") ROUTE("path: /a/*") ROUTE("path: \"/a/{x}\"") ROUTE("path: /a/b")
                  ROUTE("path: \"/a/{x}/c\"") ROUTE("path: /"));
    check_get(&b, "/", "/");
    check_get(&b, "/a/b", "/a/b");
    check_get(&b, "/a/z", "/a/{x} x=z");
    check_get(&b, "/a/b/c", "/a/{x}/c x=b"); /* back from the literal, which has nothing below it */
    check_get(&b, "/a/b/d", "/a/*");
    check_get(&b, "/a/b/c/d", "/a/*");
    check_get(&b, "/b", "/*");
    check_get(&b, "/a", "/*");
    unbuild(&b);
}

TEST(goes_back_far) {
    struct built b;
    build(&b, HEAD ROUTE("path: \"/{a}/{b}/{c}/z\"") ROUTE("path: \"/x/{b}/{c}/y\"")
                  ROUTE("path: \"/x/y/{c}/w\"") ROUTE("path: \"/x/*\""));
    check_get(&b, "/x/y/1/w", "/x/y/{c}/w c=1");
    check_get(&b, "/x/y/1/y", "/x/{b}/{c}/y b=y c=1");
    check_get(&b, "/x/y/1/z", "/x/*"); /* a literal, however wide, before a parameter */
    check_get(&b, "/q/y/1/z", "/{a}/{b}/{c}/z a=q b=y c=1");
    check_get(&b, "/q/y/1/y", "404");
    unbuild(&b);
}

TEST(a_star_takes_what_is_below) {
    struct built b;
    build(&b, HEAD ROUTE("path: /api/*"));
    check_get(&b, "/api/", "/api/*");
    check_get(&b, "/api/x/y/", "/api/*");
    check_get(&b, "/api", "404");
    check_get(&b, "/apiary", "404");
    check_get(&b, "/", "404");
    unbuild(&b);
}

TEST(a_trailing_slash_counts) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a") ROUTE("path: /b/") ROUTE("path: /c") ROUTE("path: /c/"));
    check_get(&b, "/a", "/a");
    check_get(&b, "/a/", "404");
    check_get(&b, "/b", "404");
    check_get(&b, "/b/", "/b/");
    check_get(&b, "/b//", "404");
    check_get(&b, "/c", "/c");
    check_get(&b, "/c/", "/c/");
    unbuild(&b);
}

TEST(a_parameter_is_not_empty) {
    struct built b;
    build(&b, HEAD ROUTE("path: \"/u/{id}\"") ROUTE("path: \"/u/{id}/x\""));
    check_get(&b, "/u/", "404");
    check_get(&b, "/u//x", "404");
    check_get(&b, "/u/%2f", "/u/{id} id=%2f");
    unbuild(&b);
}

TEST(takes_hosts) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a, host: h.example") ROUTE("path: /*") ROUTE("path: /v6, host: \"[::1]\""));
    CHECK_STR(found(&b, "GET", "h.example", "/a"), "/a");
    CHECK_STR(found(&b, "GET", "H.Example:8080", "/a"), "/a");
    CHECK_STR(found(&b, "GET", "h.example.", "/a"), "/a");
    CHECK_STR(found(&b, "GET", "h.example.:80", "/a"), "/a");
    CHECK_STR(found(&b, "GET", "xh.example", "/a"), "/*");
    CHECK_STR(found(&b, "GET", "h.example.com", "/a"), "/*");
    CHECK_STR(found(&b, "GET", "", "/a"), "/*");
    CHECK_STR(found(&b, "GET", "h.example", "/b"), "/*"); /* what the host has no route for */
    CHECK_STR(found(&b, "GET", "[::1]:80", "/v6"), "/v6");
    CHECK_STR(found(&b, "GET", "[::1", "/v6"), "/*");
    unbuild(&b);
}

TEST(a_long_host_is_no_host) {
    struct built b;
    char host[400];
    memset(host, 'h', sizeof host - 1);
    host[sizeof host - 1] = 0;
    build(&b, HEAD ROUTE("path: /*, host: h") ROUTE("path: /a"));
    CHECK_STR(found(&b, "GET", host, "/a"), "/a");
    unbuild(&b);
}

TEST(takes_listeners) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a, listen: \"127.0.0.1:8081\"") ROUTE("path: /*") ROUTE(
                  "path: \"/{b}\", host: h") ROUTE("path: \"/{both}\", host: h, listen: \"127.0.0.1:8081\""));
    CHECK_STR(found_on(&b, ":8080", "GET", "x", "/a"), "/*");
    CHECK_STR(found_on(&b, "127.0.0.1:8081", "GET", "x", "/a"), "/a");
    CHECK_STR(found_on(&b, "127.0.0.1:8081", "GET", "h", "/a"), "/{both} both=a");
    CHECK_STR(found_on(&b, "127.0.0.1:8081", "GET", "h", "/a/b"), "/*");
    CHECK_STR(found_on(&b, ":8080", "GET", "h", "/a"), "/{b} b=a");
    unbuild(&b);
}

TEST(takes_methods) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a, methods: [GET, POST]") ROUTE("path: /a, methods: [PURGE]")
                  ROUTE("path: /b, methods: [GET]") ROUTE("path: /b"));
    CHECK_STR(found(&b, "GET", "", "/a"), "/a");
    CHECK_STR(found(&b, "PURGE", "", "/a"), "/a");
    CHECK_STR(found(&b, "DELETE", "", "/a"), "405 GET, HEAD, POST, PURGE");
    CHECK_STR(found(&b, "get", "", "/a"), "405 GET, HEAD, POST, PURGE");
    CHECK_STR(found(&b, "ANY", "", "/b"), "/b");
    CHECK_STR(found(&b, "ANY", "", "/c"), "404");
    unbuild(&b);
}

TEST(takes_trace_only_where_it_is_named) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a") ROUTE("path: /b, methods: [TRACE]") ROUTE("path: /c")
                  ROUTE("path: /c, methods: [GET]"));
    CHECK_STR(found(&b, "TRACE", "", "/a"), "405 GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    CHECK_STR(found(&b, "TRACE", "", "/b"), "/b");
    CHECK_STR(found(&b, "TRACE", "", "/c"), "405 GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    CHECK_STR(found(&b, "GET", "", "/b"), "405 TRACE");
    unbuild(&b);
}

TEST(P03_a_host_that_nobody_named) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a, host: h") ROUTE("path: /*, host: i")
                  ROUTE("path: /c, listen: \"127.0.0.1:8081\""));
    CHECK_STR(found(&b, "GET", "x", "/a"), "421");
    CHECK_STR(found(&b, "GET", "", "/a"), "421");
    CHECK_STR(found(&b, "GET", "h", "/a"), "/a");
    CHECK_STR(found(&b, "GET", "h", "/b"), "404"); /* it is served, though not this path */
    CHECK_STR(found_on(&b, "127.0.0.1:8081", "GET", "x", "/a"), "404"); /* one route there takes any host */
    CHECK_STR(found_on(&b, "127.0.0.1:8081", "GET", "x", "/c"), "/c");
    unbuild(&b);
}

/* What a client may write for a path, parsed as a request: its path. */
static struct b_slice parsed_path(struct b_slice target, struct b_arena *arena) {
    static char head[4096];
    static struct http_field fields[4];
    struct http_request r;
    int n = snprintf(head, sizeof head, "GET %.*s HTTP/1.1\r\nHost: h\r\n\r\n", B_FMT(target));
    if (h1_parse_request(b_slice(head, (size_t)n), &http_limits_default, fields, 4, arena, &r) != n)
        return b_slice(NULL, 0);
    return b_arena_copy(arena, r.path);
}

/* A normal path in other words: escapes of what needs none, empty and dot segments. */
static void disguise(struct b_text *out, struct b_slice path, struct b_rng *rng) {
    static const char *const slashes[] = {"/", "//", "/./", "/%2e/", "/x/../", "/x/%2E./"};
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c == '/')
            b_text_cstr(out, slashes[b_rng_below(rng, sizeof slashes / sizeof slashes[0])]);
        else if (b_rng_below(rng, 3) == 0 && ((c >= 'a' && c <= 'z') || c == '~' || c == '.'))
            b_text_printf(out, b_rng_below(rng, 2) ? "%%%02x" : "%%%02X", (unsigned)c);
        else
            b_text_char(out, c);
    }
}

TEST(P02_a_path_and_its_normal_form_find_the_same_route) {
    static const char *const words[] = {"/",  "/a",  "/b",         "/a;b=c", "/..;",
                                        "/~", "/.a", "/%E2%82%AC", "/%3A",   "/a:"};
    char plain[256], other[1024];
    struct built b;
    struct b_rng rng = {.state = 7};
    struct b_arena arena;
    build(&b, HEAD ROUTE("path: /") ROUTE("path: /a/*") ROUTE("path: \"/a/{x}\"") ROUTE("path: /b")
                  ROUTE("path: \"/{x}/a;b=c\"") ROUTE("path: \"/{x}/{y}/b\"") ROUTE("path: \"/~/\""));
    for (int run = 0; run < 20000; run++) {
        struct b_text path = b_text_fixed(plain, sizeof plain - 1),
                      written = b_text_fixed(other, sizeof other - 1);
        b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
        for (unsigned n = 1 + (unsigned)b_rng_below(&rng, 4); n > 0; n--) {
            const char *word = words[b_rng_below(&rng, sizeof words / sizeof words[0])];
            b_text_cstr(&path, word[1] || n == 1 ? word : "/a");
        }
        plain[path.len] = 0;
        disguise(&written, b_text_slice(&path), &rng);
        struct b_slice once = parsed_path(b_text_slice(&written), &arena), twice = parsed_path(once, &arena);
        other[written.len] = 0;
        CHECK_SLICE(once.ptr, once.len, plain);
        CHECK_SLICE(twice.ptr, twice.len, plain);
        char text[256];
        snprintf(text, sizeof text, "%.*s", B_FMT(once));
        char direct[256];
        snprintf(direct, sizeof direct, "%s", found(&b, "GET", "h", plain));
        CHECK_STR(found(&b, "GET", "h", text), direct);
        b_arena_release(&arena);
    }
    unbuild(&b);
}

static unsigned route_number(struct built *b, const char *method, const char *path) {
    struct gw_match m;
    struct b_arena arena;
    struct b_slice name = b_slice_cstr(method);
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    gw_router_find(b->snapshot->router, b_slice(NULL, 0), NULL, http_method_of(name), name,
                   b_slice_cstr(path), &arena, &m);
    b_arena_release(&arena);
    for (unsigned i = 0; i < b->snapshot->route_count; i++)
        if (b->snapshot->routes[i] == m.route)
            return i + 1;
    return 0;
}

TEST(head_comes_with_get) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a, methods: [GET]") ROUTE("path: /b, methods: [POST]")
                  ROUTE("path: /c, methods: [GET]") ROUTE("path: /c, methods: [HEAD]")
                      ROUTE("path: /d, methods: [HEAD]") ROUTE("path: /d, methods: [GET]"));
    REQUIRE(b.snapshot);
    CHECK_UINT(route_number(&b, "HEAD", "/a"), 1);
    CHECK_UINT(route_number(&b, "HEAD", "/b"), 0);
    CHECK_UINT(route_number(&b, "GET", "/c"), 3);
    CHECK_UINT(route_number(&b, "HEAD", "/c"), 4); /* a route that names it comes first, wherever it stands */
    CHECK_UINT(route_number(&b, "HEAD", "/d"), 5);
    CHECK_UINT(route_number(&b, "GET", "/d"), 6);
    unbuild(&b);
}

TEST(allow_names_each_method_once) {
    struct built b;
    build(&b, HEAD ROUTE("path: /a, methods: [GET, PUT]") ROUTE("path: /*, methods: [PUT, GET, PATCH]")
                  ROUTE("path: /a, host: h, methods: [PUT]"));
    CHECK_STR(found(&b, "DELETE", "h", "/a"), "405 PUT, GET, HEAD, PATCH");
    CHECK_STR(found(&b, "PATCH", "h", "/a"), "/*"); /* the next best place that takes the method */
    unbuild(&b);
}

TEST(allow_has_an_end) {
    struct built b;
    struct b_text text = b_text_heap(B_TAG_TEST, 1 << 20);
    b_text_cstr(&text, HEAD "  - {match: {path: /a, methods: [M");
    for (int i = 0; i < 20; i++)
        b_text_printf(&text, ", A-RATHER-LONG-NAME-OF-A-METHOD%c", 'A' + i);
    b_text_cstr(&text, "]}, respond: {}}\n");
    b_text_char(&text, 0);
    build(&b, text.ptr);
    const char *allow = found(&b, "GET", "", "/a");
    CHECK_STR(b.said, "");
    CHECK(strncmp(allow, "405 M, A-RATHER-", 16) == 0);
    CHECK(strlen(allow) < 4 + 512);
    CHECK(strncmp(allow + strlen(allow) - 9, "A-METHOD", 8) == 0); /* no half name */
    unbuild(&b);
    b_text_free(&text);
}

TEST(ties_name_both_lines) {
    struct built b;
    build(&b, HEAD ROUTE("path: \"/a/{x}\", methods: [GET, PUT]") ROUTE("path: \"/a/{y}\", methods: [PUT]")
                  ROUTE("path: /b/*") ROUTE("path: /b/*") ROUTE("path: /b/*, host: h")
                      ROUTE("path: /b/*, methods: [GET]"));
    CHECK(!b.snapshot);
    CHECK_STR(
        b.said,
        "t:5:13: this route matches exactly what the route at line 4 matches (/a/{x}); change its path, host or "
        "methods, or remove one of them\n"
        "t:7:13: this route matches exactly what the route at line 6 matches (/b/*); change its path, host or "
        "methods, or remove one of them\n");
    unbuild(&b);
}

/* "/1/2/.../n" */
static void deep(char *out, size_t cap, unsigned n) {
    struct b_text t = b_text_fixed(out, cap - 1);
    for (unsigned i = 1; i <= n; i++)
        b_text_printf(&t, "/%u", i % 10);
    out[t.len] = 0;
}

TEST(deep_paths) {
    struct built b;
    char path[8000], config[8200];
    deep(path, sizeof path, 22);
    (void)snprintf(config, sizeof config, HEAD ROUTE("path: %s") ROUTE("path: \"/{a}/*\""), path);
    build(&b, config);
    check_get(&b, path, path);
    deep(path, sizeof path, 3000); /* beyond what the walk goes down */
    check_get(&b, path, "/{a}/* a=1");
    unbuild(&b);
    deep(path, sizeof path, 23);
    (void)snprintf(config, sizeof config, HEAD ROUTE("path: %s"), path);
    build(&b, config);
    CHECK_STR(b.said, "t:4:13: a path has at most 22 segments; end it with * instead\n");
    unbuild(&b);
}

TEST(parameters_have_a_limit) {
    struct built b;
    build(&b, HEAD ROUTE("path: \"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}\"")
                  ROUTE("path: \"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}\""));
    CHECK_STR(b.said, "t:5:13: a path has at most 8 parameters\n");
    unbuild(&b);
    build(&b, HEAD ROUTE("path: \"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}\""));
    check_get(&b, "/1/2/3/4/5/6/7/8", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h} a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8");
    unbuild(&b);
}

TEST(a_path_without_slash_is_the_root) {
    struct built b;
    build(&b, HEAD ROUTE("path: /"));
    CHECK_STR(found(&b, "OPTIONS", "", "*"), "/");
    CHECK_STR(found(&b, "OPTIONS", "", ""), "/");
    unbuild(&b);
}

const struct test_case router_tests[] = {
    {"takes_the_most_specific", takes_the_most_specific},
    {"goes_back_far", goes_back_far},
    {"a_star_takes_what_is_below", a_star_takes_what_is_below},
    {"a_trailing_slash_counts", a_trailing_slash_counts},
    {"a_parameter_is_not_empty", a_parameter_is_not_empty},
    {"takes_hosts", takes_hosts},
    {"a_long_host_is_no_host", a_long_host_is_no_host},
    {"takes_listeners", takes_listeners},
    {"takes_methods", takes_methods},
    {"takes_trace_only_where_it_is_named", takes_trace_only_where_it_is_named},
    {"P03_a_host_that_nobody_named", P03_a_host_that_nobody_named},
    {"P02_a_path_and_its_normal_form_find_the_same_route",
     P02_a_path_and_its_normal_form_find_the_same_route},
    {"head_comes_with_get", head_comes_with_get},
    {"allow_names_each_method_once", allow_names_each_method_once},
    {"allow_has_an_end", allow_has_an_end},
    {"ties_name_both_lines", ties_name_both_lines},
    {"deep_paths", deep_paths},
    {"parameters_have_a_limit", parameters_have_a_limit},
    {"a_path_without_slash_is_the_root", a_path_without_slash_is_the_root},
    {0},
};
