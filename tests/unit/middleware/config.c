/* What the middleware refuses of its options. */
#include <stdio.h>

#include "gateway/module.h"
#include "test.h"

/* The errors and warnings of a config whose middleware `m` is this text, line breaks as '|'. */
static void check_config(const char *middleware, const char *want) {
    char text[1024], got[4096] = "";
    struct b_arena arena;
    struct cfg_errors errors;
    struct cfg_root *root;
    int n = snprintf(text, sizeof text,
                     "version: 1\nlisten: [\":1\"]\nuse: [m]\nmiddleware: {m: {%s}}\n"
                     "routes: [{match: /, respond: {}}]\n",
                     middleware);
    const struct cfg_source source = {.name = "t", .bytes = b_slice(text, (size_t)n)};
    struct b_text out = b_text_fixed(got, sizeof got - 1);
    cfg_errors_init(&errors);
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    int rc = cfg_load(&source, 1, gw_registry(), NULL, &arena, &root, &errors);
    cfg_errors_write(&errors, &out);
    CHECK_STR(got, want);
    CHECK_INT(rc == 0, errors.errors == 0);
    cfg_errors_free(&errors);
    b_arena_release(&arena);
}

TEST(takes_plain_headers) {
    check_config(
        "headers: {request: {set: {X-Env: prod}, remove: [Cookie]}, response: {add: {Vary: Accept}}}", "");
}

TEST(refuses_framing) {
    check_config(
        "headers: {response: {set: {Content-Length: 5}}}",
        "t:4:45: the header \"Content-Length\" cannot be changed: weir writes it from the body's length\n");
}

TEST(refuses_hop_by_hop) {
    check_config(
        "headers: {request: {add: {Connection: close}, remove: [TE, Cookie]}}",
        "t:4:44: the header \"Connection\" cannot be changed: it concerns one connection and is never "
        "forwarded\n"
        "t:4:73: the header \"TE\" cannot be changed: it concerns one connection and is never forwarded\n");
}

TEST(refuses_host) {
    check_config("headers: {request: {set: {host: a.example}}}",
                 "t:4:44: the header \"host\" cannot be changed: it goes on as the client sent it\n");
}

TEST(refuses_what_is_no_name) {
    check_config("headers: {response: {remove: [\"X Y\"]}}",
                 "t:4:48: \"X Y\" is no header name: letters, digits and - make one\n");
}

TEST(warns_of_nothing_to_do) {
    check_config(
        "headers: {}",
        "t:4:18: warning: \"headers\" changes nothing: give it `request` or `response` with set, add or "
        "remove\n");
}

TEST(checks_the_id_header) {
    check_config("request_id: {header: Trace-Id}", "");
    check_config("request_id: Trace-Id", "");
    check_config(
        "request_id: {header: Upgrade}",
        "t:4:31: the header \"Upgrade\" cannot be changed: it concerns one connection and is never forwarded\n");
}

TEST(takes_a_log) {
    check_config("access_log: {path: /var/log/weir.log, query: true}", "");
    check_config("access_log: \"-\"", "");
}

TEST(has_good_tables) {
    char buf[256] = "";
    struct b_text why = b_text_fixed(buf, sizeof buf - 1);
    for (const struct gw_middleware *const *m = gw_middlewares; *m; m++)
        if ((*m)->module.options && cfg_table_verify((*m)->module.options, &why))
            FAIL("%s: %s", (*m)->module.name, buf);
}

const struct test_case config_tests[] = {
    {"takes_plain_headers", takes_plain_headers},
    {"refuses_framing", refuses_framing},
    {"refuses_hop_by_hop", refuses_hop_by_hop},
    {"refuses_host", refuses_host},
    {"refuses_what_is_no_name", refuses_what_is_no_name},
    {"warns_of_nothing_to_do", warns_of_nothing_to_do},
    {"checks_the_id_header", checks_the_id_header},
    {"takes_a_log", takes_a_log},
    {"has_good_tables", has_good_tables},
    {0},
};
