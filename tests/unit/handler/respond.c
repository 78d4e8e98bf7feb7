/* Answers of the config: YAML to JSON, and what is refused. */
#include <stdio.h>

#include "gateway/template.h"
#include "test.h"

static void check_json(const char *yaml, const char *want) {
    char text[1024], got[1024] = "";
    struct b_arena arena;
    struct cfg_errors errors;
    int n = snprintf(text, sizeof text, "v: %s\n", yaml);
    const struct cfg_source source = {.name = "t", .bytes = b_slice(text, (size_t)n)};
    struct b_text out = b_text_fixed(got, sizeof got - 1);
    cfg_errors_init(&errors);
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    const struct cfg_node *root = cfg_tree(&source, 1, NULL, &arena, &errors),
                          *value = cfg_node_get(root, "v");
    CHECK_INT((long long)errors.errors, 0);
    struct json_compiler c = {.arena = &arena};
    const struct json_node *made = value ? gw_template(&c, &errors, value) : NULL;
    CHECK(made && gw_template_fixed(&c, made, &out));
    CHECK_STR(got, want);
    cfg_errors_free(&errors);
    b_arena_release(&arena);
}

TEST(scalars) {
    check_json("true", "true");
    check_json("\"true\"", "\"true\"");
    check_json("null", "null");
    check_json("'null'", "\"null\"");
    check_json("", "null");
    check_json("word", "\"word\"");
    check_json("\"a\\\"b\\n\"", "\"a\\\"b\\n\"");
}

TEST(numbers) {
    static const char *const numbers[] = {"0", "-0", "17", "-1.5", "1e9", "1E+9", "0.25e-3"};
    static const char *const words[] = {"007", ".5", "1.", "1e", "+1", "1_000", "0x10", "1.5.2", ".inf"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        check_json(numbers[i], numbers[i]);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char quoted[32];
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", words[i]);
        check_json(words[i], quoted);
    }
    check_json("'17'", "\"17\"");
}

TEST(nested) {
    check_json("{}", "{}");
    check_json("[]", "[]");
    check_json("[[], {}, [[1]]]", "[[],{},[[1]]]");
    check_json("{a: {b: {c: []}}, d: [1, {e: x}, null], f: 2}",
               "{\"a\":{\"b\":{\"c\":[]}},\"d\":[1,{\"e\":\"x\"},null],\"f\":2}");
}

static void check_config(const char *respond, const char *want) {
    char text[1024], got[4096] = "";
    struct b_arena arena;
    struct cfg_errors errors;
    struct cfg_root *root;
    int n = snprintf(text, sizeof text, "version: 1\nlisten: [\":1\"]\nroutes: [{match: /, respond: %s}]\n",
                     respond);
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

TEST(config) {
    check_config("{}", "");
    check_config("{status: 204}", "");
    check_config("{status: 418, headers: {X-A: b}, body: teapot, delay: 10ms}", "");
    check_config("{body: a, json: 1}", "t:3:40: an answer has `body` or `json`, not both\n");
    check_config("{status: 304, body: a}",
                 "t:3:30: an answer with status 304 has no body: take `body` out\n");
    check_config(
        "{headers: {Transfer-Encoding: chunked}}",
        "t:3:41: the header \"Transfer-Encoding\" cannot be changed: weir writes it from the body's length\n");
}

TEST(has_good_tables) {
    char buf[256] = "";
    struct b_text why = b_text_fixed(buf, sizeof buf - 1);
    for (const struct gw_handler *const *h = gw_handlers; *h; h++)
        if ((*h)->module.options && cfg_table_verify((*h)->module.options, &why))
            FAIL("%s: %s", (*h)->module.name, buf);
}

const struct test_case respond_tests[] = {
    {"scalars", scalars},
    {"numbers", numbers},
    {"nested", nested},
    {"config", config},
    {"has_good_tables", has_good_tables},
    {0},
};
