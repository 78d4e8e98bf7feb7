#include "json/template.h"

#include <errno.h>

#include "test.h"

/* The data that the templates of these tests see: the slots `order` (with this text) and `id` (a text). */
static const char data[] =
    "{\"id\":7,\"name\":\"caf\\u00e9 \\\"A\\\"\",\"empty\":\"\",\"no\":null,\"off\":false,\"price\":12.50,"
    "\"lines\":[{\"sku\":\"a\",\"n\":1},{\"sku\":\"b\",\"n\":2},{\"sku\":\"c\",\"n\":3}],"
    "\"tags\":[\"x\",\"y\"],\"sums\":[1,2.5,null],\"deep\":{\"er\":{\"est\":[[1],[2,3]]}},"
    "\"odd key\":1,\"dots\":\"..\",\"path\":\"a/b c?d\"}";

struct lab {
    struct b_arena arena;
    struct json_compiler c;
    struct json_index index;
    struct json_operand slots[JSON_SLOTS_MAX];
    struct json_env env;
    char out[4096];
};

static struct json_operand special(void *arg, enum json_special what, struct b_slice name) {
    (void)arg;
    switch (what) {
    case JSON_REQUEST_METHOD: return json_operand_text(B_LIT("GET"));
    case JSON_REQUEST_HEADER: return json_operand_text(name);
    case JSON_NOW: return json_operand_raw(B_LIT("1700000000123"));
    default: return (struct json_operand){0};
    }
}

static void open_lab(struct lab *l) {
    struct json_fault fault;
    memset(l, 0, sizeof *l);
    b_arena_init(&l->arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    l->c = (struct json_compiler){.arena = &l->arena, .line = 3};
    l->index.tag = B_TAG_TEST;
    CHECK_INT(json_slot_add(&l->c, B_LIT("order")), 0);
    CHECK_INT(json_slot_add(&l->c, B_LIT("id")), 1);
    CHECK_INT(json_index(&l->index, B_LIT(data), &fault), 0);
    l->slots[0] = json_operand_value(json_root(&l->index));
    l->slots[1] = json_operand_text(B_LIT("x\"y"));
    l->env = (struct json_env){.slots = l->slots, .special = special, .arena = &l->arena};
}

static void close_lab(struct lab *l) {
    json_index_free(&l->index);
    b_arena_release(&l->arena);
}

/* The JSON that a node makes; its fault when it has one. */
static const char *evaluated(struct lab *l, const struct json_node *n) {
    struct b_text out = b_text_fixed(l->out, sizeof l->out - 1);
    if (!n)
        return l->c.why;
    l->env.why = NULL;
    json_evaluate(&l->env, n, &out);
    CHECK(!out.failed);
    l->out[out.len] = 0;
    return l->env.why ? l->env.why : l->out;
}

#define MAKES(text, json)                                                        \
    do {                                                                         \
        struct lab l;                                                            \
        open_lab(&l);                                                            \
        CHECK_STR(evaluated(&l, json_string_template(&l.c, B_LIT(text))), json); \
        close_lab(&l);                                                           \
    } while (0)

TEST(references_keep_the_bytes) {
    MAKES("$order.id", "7");
    MAKES("$order.price", "12.50");
    MAKES("$order.name", "\"caf\\u00e9 \\\"A\\\"\"");
    MAKES("$order.lines[1]", "{\"sku\":\"b\",\"n\":2}");
    MAKES("$order.deep.er.est[1][0]", "2");
    MAKES("$order[\"odd key\"]", "1");
    MAKES("$order['odd key']", "1");
    MAKES("$id", "\"x\\\"y\"");
    MAKES("$order.lines[$order.lines[0].n].sku", "\"b\"");
}

TEST(what_is_missing_is_null) {
    MAKES("$order.none", "null");
    MAKES("$order.none.deeper[3].still", "null");
    MAKES("$order.lines[3]", "null");
    MAKES("$order.no", "null");
    MAKES("$order.no.thing", "null");
    MAKES("$order.none ?? $order.id", "7");
    MAKES("$order.off ?? 1", "false");
    MAKES("$order.none ?? $order.no ?? 'none'", "\"none\"");
}

TEST(wrong_uses_are_faults) {
    MAKES("$order.lines.sku", "an array where an object is due");
    MAKES("$order.deep[0]", "an object where an array is due");
    MAKES("$order.name.first", "no object, so it has no members");
    MAKES("$order.id[0]", "no array, so it has no items");
    MAKES("all of {order.lines}", "an array where a text is due");
    MAKES("$number($order.name)", "number() of a text that is none");
    MAKES("$order.id < 'a'", "only two numbers or two texts have an order");
    MAKES("$sum($order.tags)", "sum() is of numbers");
}

TEST(interpolation_and_escapes) {
    MAKES("order {order.id} of {order.name}", "\"order 7 of caf\xc3\xa9 \\\"A\\\"\"");
    MAKES("{order.none}", "\"\"");
    MAKES("$$1", "\"$1\"");
    MAKES("{{order.id}", "\"{order.id}\"");
    MAKES("a } b", "\"a } b\"");
    MAKES("", "\"\"");
    MAKES("{upper(order.tags[0])}-{order.off}", "\"X-false\"");
}

TEST(operators) {
    MAKES("$order.id == 7.0", "true");
    MAKES("$order.id != 7", "false");
    MAKES("$order.name == 'caf\xc3\xa9 \"A\"'", "true");
    MAKES("$order.id > 6 && $order.id <= 7", "true");
    MAKES("$order.none > 1", "false");
    MAKES("$order.none == null", "true");
    MAKES("$(!order.off && order.id == 7)", "true");
}

TEST(negation) {
    struct lab l;
    open_lab(&l);
    CHECK_STR(evaluated(&l, json_expression(&l.c, B_LIT("!order.off && !(order.id == 8)"))), "true");
    CHECK_STR(evaluated(&l, json_expression(&l.c, B_LIT("!!order.empty"))), "true");
    close_lab(&l);
}

TEST(functions) {
    MAKES("$string($order.price)", "\"12.50\"");
    MAKES("$number('1e3')", "1e3");
    MAKES("$bool('false')", "false");
    MAKES("$length($order.lines)", "3");
    MAKES("$length($order.name)", "8");
    MAKES("$length($order.none)", "0");
    MAKES("$lower('ABC\xc3\x89')", "\"abc\xc3\x89\"");
    MAKES("$join($order.tags, ', ')", "\"x, y\"");
    MAKES("$first($order.lines)", "{\"sku\":\"a\",\"n\":1}");
    MAKES("$sum($order.sums)", "3.5");
    MAKES("$time(1700000000123)", "\"2023-11-14T22:13:20Z\"");
    MAKES("$time(0, '%Y/%m')", "\"1970/01\"");
    MAKES("$urlescape('a b/c')", "\"a%20b%2Fc\"");
}

TEST(the_request) {
    MAKES("$request.method", "\"GET\"");
    MAKES("$request.header.X-User", "\"X-User\"");
    MAKES("$request.query.page", "null");
    MAKES("$request.body.a.b", "null");
    MAKES("$now", "1700000000123");
    MAKES("$now.unix_ms", "1700000000123");
    MAKES("$now.rfc3339", "\"2023-11-14T22:13:20Z\"");
}

TEST(errors_say_where) {
    static const struct {
        const char *text, *why;
        size_t at;
    } bad[] = {
        {"order.", "a name is missing after the dot", 5},
        {"nobody.x", "nothing here is called \"nobody\"; there are order, id", 0},
        {"order.id ==", "a value is missing here", 11},
        {"(order.id", "the parenthesis that begins here has no end: ) is missing", 0},
        {"order[", "a value is missing here", 6},
        {"order[1", "the bracket that begins here has no end: ] is missing", 5},
        {"order[1.5]", "a place in an array is a whole number from 0 on", 5},
        {"'abc", "the text that begins here has no end: ' is missing", 0},
        {"order.id 7", "the expression ends before \"7\"", 9},
        {"lowr(order.name)", "there is no function \"lowr\"", 0},
        {"lower(order.name, 1)", "lower takes at most 1 argument", 0},
        {"lower()", "lower takes 1 argument or more", 0},
        {"request.cookie", "of a request there are id, method, path, query, header.NAME and body", 0},
        {"request.header", "say which header: $request.header.NAME", 0},
        {"01", "\"01\" is no number", 0},
        /* wrong uses that no request is needed to see */
        {"order.id ?? number('seven')", "number() of a text that is none", 12},
        {"sum('text')", "sum() is of an array", 0},
        {"1 < 'a'", "only two numbers or two texts have an order", 0},
        {"time('noon')", "time() is of unix milliseconds", 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lab l;
        open_lab(&l);
        CHECK(!json_expression(&l.c, b_slice_cstr(bad[i].text)));
        CHECK_STR(l.c.why, bad[i].why);
        CHECK_UINT(l.c.at, bad[i].at);
        close_lab(&l);
    }
}

TEST(depth_is_limited) {
    struct lab l;
    char text[2001];
    memset(text, '(', 2000);
    text[2000] = 0;
    open_lab(&l);
    CHECK(!json_expression(&l.c, b_slice(text, 2000)));
    CHECK_STR(l.c.why, "this is nested deeper than 32");
    memset(text, '!', 2000);
    CHECK(!json_expression(&l.c, b_slice(text, 2000)));
    CHECK_STR(l.c.why, "this is nested deeper than 32");
    close_lab(&l);
}

TEST(names_stand_for_one_thing) {
    struct lab l;
    open_lab(&l);
    CHECK_INT(json_slot_add(&l.c, B_LIT("order")), -EEXIST);
    CHECK_INT(json_slot_add(&l.c, B_LIT("request")), -EEXIST);
    CHECK_INT(json_slot_add(&l.c, B_LIT("1a")), -EINVAL);
    CHECK_INT(json_slot_add(&l.c, B_LIT("t")), 2);
    json_slot_drop(&l.c, 2);
    CHECK_INT(json_slot_add(&l.c, B_LIT("t")), 3);
    CHECK(json_expression(&l.c, B_LIT("t.a ?? id")));
    CHECK_UINT(l.c.uses, 1u << 3 | 1u << 1);
    close_lab(&l);
}

static struct json_node *lines_over(struct lab *l, const char *where, const char *limit) {
    struct json_node *in = json_expression(&l->c, B_LIT("order.lines"));
    int slot = json_slot_add(&l->c, B_LIT("line"));
    struct json_node *body = json_object_template(&l->c);
    CHECK(json_object_add(&l->c, body, B_LIT("s\"ku"), json_string_template(&l->c, B_LIT("$line.sku"))));
    struct json_node *w = where ? json_expression(&l->c, b_slice_cstr(where)) : NULL;
    struct json_node *m = limit ? json_expression(&l->c, b_slice_cstr(limit)) : NULL;
    CHECK_STR(l->c.why, "");
    return json_each(&l->c, (unsigned)slot, in, w, m, body);
}

TEST(each_goes_through_an_array) {
    struct lab l;
    open_lab(&l);
    CHECK_STR(evaluated(&l, lines_over(&l, NULL, NULL)),
              "[{\"s\\\"ku\":\"a\"},{\"s\\\"ku\":\"b\"},{\"s\\\"ku\":\"c\"}]");
    l.c.slots = 2;
    CHECK_STR(evaluated(&l, lines_over(&l, "line.n >= 2", NULL)),
              "[{\"s\\\"ku\":\"b\"},{\"s\\\"ku\":\"c\"}]");
    l.c.slots = 2;
    CHECK_STR(evaluated(&l, lines_over(&l, "line.n >= 2", "1")), "[{\"s\\\"ku\":\"b\"}]");
    l.c.slots = 2;
    CHECK_STR(evaluated(&l, lines_over(&l, NULL, "0")), "[]");
    l.c.slots = 2;
    CHECK_STR(evaluated(&l, lines_over(&l, NULL, "'a'")), "$limit is a number from 0 on");
    close_lab(&l);
}

TEST(containers_and_conditions) {
    struct lab l;
    open_lab(&l);
    struct json_node *list = json_array_template(&l.c);
    json_array_add(list, json_constant(&l.c, B_LIT("1")));
    json_array_add(list, json_if(&l.c, json_expression(&l.c, B_LIT("order.off")),
                                 json_constant(&l.c, B_LIT("2")), NULL));
    json_array_add(list, json_if(&l.c, json_expression(&l.c, B_LIT("order.id")),
                                 json_constant(&l.c, B_LIT("3")), NULL));
    CHECK_STR(evaluated(&l, list), "[1,null,3]");
    close_lab(&l);
}

static const char *in_place(struct lab *l, const char *text, enum json_place place) {
    struct b_text out = b_text_fixed(l->out, sizeof l->out - 1);
    const struct json_node *n = json_interpolation(&l->c, b_slice_cstr(text));
    CHECK(n);
    l->env.why = NULL;
    json_evaluate_text(&l->env, n, place, &out);
    l->out[out.len] = 0;
    return l->env.why ? l->env.why : l->out;
}

TEST(S29_values_are_escaped_for_their_place) {
    struct lab l;
    open_lab(&l);
    CHECK_STR(in_place(&l, "/a/{order.path}/x", JSON_IN_PATH), "/a/a%2Fb%20c%3Fd/x");
    CHECK_STR(in_place(&l, "q={order.name}&r={order.none}", JSON_IN_QUERY), "q=caf%C3%A9%20%22A%22&r=");
    CHECK_STR(in_place(&l, "/{order.none}", JSON_IN_PATH), "a value of the path is null");
    CHECK_STR(in_place(&l, "/{order.empty}", JSON_IN_PATH), "a value of the path is empty, or a dot segment");
    CHECK_STR(in_place(&l, "/{order.dots}", JSON_IN_PATH), "a value of the path is empty, or a dot segment");
    CHECK_STR(in_place(&l, "{order.path}", JSON_IN_TEXT), "a/b c?d");
    close_lab(&l);
}

const struct test_case template_tests[] = {{"references_keep_the_bytes", references_keep_the_bytes},
                                           {"what_is_missing_is_null", what_is_missing_is_null},
                                           {"wrong_uses_are_faults", wrong_uses_are_faults},
                                           {"interpolation_and_escapes", interpolation_and_escapes},
                                           {"operators", operators},
                                           {"negation", negation},
                                           {"functions", functions},
                                           {"the_request", the_request},
                                           {"errors_say_where", errors_say_where},
                                           {"depth_is_limited", depth_is_limited},
                                           {"names_stand_for_one_thing", names_stand_for_one_thing},
                                           {"each_goes_through_an_array", each_goes_through_an_array},
                                           {"containers_and_conditions", containers_and_conditions},
                                           {"S29_values_are_escaped_for_their_place",
                                            S29_values_are_escaped_for_their_place},
                                           {0}};
