#include "config/node.h"

#include "support.h"
#include "test.h"

/* A tree as text: kind, position and content of every node. Quoted scalars have quotes. */
static void dump(struct b_text *out, const struct cfg_node *n) {
    if (n->key_line)
        b_text_printf(out, "%s@%u:%u=", n->key.ptr, n->key_line, n->key_column);
    if (n->kind == CFG_NULL)
        b_text_lit(out, "null");
    else if (n->kind == CFG_BAD)
        b_text_lit(out, "BAD");
    else if (n->kind == CFG_SCALAR)
        b_text_printf(out, n->quoted ? "\"%s\"" : "%s", n->text.ptr);
    b_text_printf(out, n->kind == CFG_SCALAR || n->kind == CFG_NULL ? "@%u:%u" : "", n->line, n->column);
    if (n->kind != CFG_LIST && n->kind != CFG_MAP)
        return;
    b_text_char(out, n->kind == CFG_LIST ? '[' : '{');
    CFG_EACH_CHILD(child, n) {
        if (child != n->first)
            b_text_char(out, ' ');
        if (child->parent != n)
            b_text_lit(out, "(wrong parent)");
        dump(out, child);
    }
    b_text_char(out, n->kind == CFG_LIST ? ']' : '}');
}

#define SOURCE(name, text)           \
    {                                \
        (name), {                    \
            (text), sizeof(text) - 1 \
        }                            \
    }

struct tree_case {
    const char *text;
    const char *tree; /* NULL: there is none */
    const char *said;
};

static void check_sources(const struct cfg_source *sources, size_t n, const char *tree, const char *said) {
    struct b_arena arena;
    struct cfg_errors errors;
    char buf[4096], messages[4096];
    struct b_text out = b_text_fixed(buf, sizeof buf - 1), says = b_text_fixed(messages, sizeof messages - 1);
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)64 << 20);
    cfg_errors_init(&errors);
    const struct cfg_node *root = cfg_tree(sources, n, test_env, &arena, &errors);
    if (root)
        dump(&out, root);
    buf[out.len] = 0;
    cfg_errors_sort(&errors);
    cfg_errors_write(&errors, &says);
    messages[says.len] = 0;
    CHECK_STR(root ? buf : NULL, tree);
    CHECK_STR(messages, said);
    cfg_errors_free(&errors);
    b_arena_release(&arena);
}

static void check_trees(const struct tree_case *cases) {
    for (; cases->text; cases++) {
        struct cfg_source source = {"w", b_slice_cstr(cases->text)};
        check_sources(&source, 1, cases->tree, cases->said);
    }
}

TEST(trees_have_positions) {
    static const struct tree_case cases[] = {
        {"a: 1", "{a@1:1=1@1:4}", ""},
        {"---\na: 1\n...\n", "{a@2:1=1@2:4}", ""},
        {"\xef\xbb\xbf"
         "a: 1",
         "{a@1:1=1@1:4}", ""},
        {"a:\n  b:\n  - x\n  - {y: 'z'}\n", "{a@1:1={b@2:3=[x@3:5 {y@4:6=\"z\"@4:9}]}}", ""},
        {"{\"a\":[1,\"b\",null,true]}", "{a@1:2=[1@1:7 \"b\"@1:9 null@1:13 true@1:18]}", ""},
        {"a:\nb: ~\nc: null\nd: 'null'\ne: ''\n",
         "{a@1:1=null@1:3 b@2:1=null@2:4 c@3:1=null@3:4 d@4:1=\"null\"@4:4 e@5:1=\"\"@5:4}", ""},
        {"a: |\n  two\n  lines\n", "{a@1:1=\"two\nlines\n\"@1:4}", ""},
        {"\xc3\xa4\xc3\xb6: \xe2\x82\xac", "{\xc3\xa4\xc3\xb6@1:1=\xe2\x82\xac@1:5}",
         ""}, /* characters, not bytes */
        {"# nothing\n", "null@1:1", ""},
        {"", "null@1:1", ""},
        {0},
    };
    check_trees(cases);
}

TEST(what_is_not_allowed_is_named) {
    static const struct tree_case cases[] = {
        {"a: 1\nb: 2\na: 3\n", "{a@1:1=1@1:4 b@2:1=2@2:4}",
         "w:3:1: \"a\" is given twice; the first one is in line 1\n"},
        {"a: {x: 1, x: {y: [1]}, x: 2}", "{a@1:1={x@1:5=1@1:8}}",
         "w:1:11: \"x\" is given twice; the first one is in line 1\n"
         "w:1:24: \"x\" is given twice; the first one is in line 1\n"},
        {"a: {x: 1}\nb: {x: 1}\n", "{a@1:1={x@1:5=1@1:8} b@2:1={x@2:5=1@2:8}}", ""},
        {"a: &b 1\nc: *b\n", "{a@1:1=1@1:4 c@2:1=BAD}",
         "w:1:4: anchors (&name) are not supported: write the value out in each place\n"
         "w:2:4: aliases (*name) are not supported: write the value out, in quotes if it begins with *\n"},
        {"a: !!str 1\nb: !x [1]\n", "{a@1:1=1@1:4 b@2:1=[1@2:8]}",
         "w:1:4: tags (!name) are not supported: write the value without it, in quotes if it begins with !\n"
         "w:2:4: tags (!name) are not supported: write the value without it, in quotes if it begins with !\n"},
        {"<<: {a: 1}\n", "{}",
         "w:1:1: merge keys (<<) are not supported: write the entries out in each place\n"},
        {"a: 1\n---\nb: 2\n", NULL,
         "w:2:1: a second document begins here (---): put it into a file of its own\n"},
        {"{[a]: 1}", NULL,
         "w:1:2: a key is a single text, not a list or a map; text with { or [ needs quotes\n"},
        {"? \n: 1\n", "{}", "w:1:2: a name must stand before the colon\n"},
        {"'': 1\n", "{}", "w:1:1: a name must stand before the colon\n"},
        {"\"a\\0b\": 1\nc: \"d\\0\"", "{c@2:1=BAD}",
         "w:1:1: a key holds no zero byte\nw:2:4: a value holds no zero byte\n"},
        {"- a\n", NULL, "w:1:1: a config is a map of options that begins with \"version: 1\", not a list\n"},
        {"a", NULL, "w:1:1: a config is a map of options that begins with \"version: 1\", not a text\n"},
        {0},
    };
    check_trees(cases);
}

TEST(syntax_errors_have_a_place_and_a_hint) {
    static const struct tree_case cases[] = {
        {"a: [1, 2\nb: 3\n", NULL,
         "w:2:2: this is not YAML: did not find expected ',' or ']' while parsing a flow sequence that begins in line 1; a "
         "text with { } [ ] or , in it needs quotes\n"},
        {"a: b: c\n", NULL,
         "w:1:5: this is not YAML: mapping values are not allowed in this context; a text with \": \" in it needs quotes, "
         "and entries of a map stand below each other\n"},
        {"a:\n\tb: 1\n", NULL,
         "w:2:1: this is not YAML: found character that cannot start any token while scanning for the next token that "
         "begins in line 2; indent with spaces, not tabs\n"},
        {"a: @b\n", NULL,
         "w:1:4: this is not YAML: found character that cannot start any token while scanning for the next token that "
         "begins in line 1; a text that begins with @, ` or % needs quotes\n"},
        {"a: \"b\n", NULL,
         "w:2:1: this is not YAML: found unexpected end of stream while scanning a quoted scalar that begins in line 1; a "
         "quote or bracket is not closed\n"},
        {"a: *.example.com\n", NULL,
         "w:1:5: this is not YAML: did not find expected alphabetic or numeric character while scanning an alias that "
         "begins in line 1; a text that begins with * or & needs quotes\n"},
        {"a:\n  - b\n c: 1\n", NULL,
         "w:3:2: this is not YAML: did not find expected key while parsing a block mapping that begins in line 1; check "
         "the indentation: entries of a map begin in the same column\n"},
        {"a: 1\nb: \xff\n", NULL,
         "w:2:4: this is not YAML in UTF-8: invalid leading UTF-8 octet (value 255)\n"},
        {"a: 1\nbc\x01: 1", NULL,
         "w:2:3: this is not YAML in UTF-8: control characters are not allowed (value 1)\n"},
        {0},
    };
    check_trees(cases);
}

TEST(the_environment_is_put_in) {
    static const struct tree_case cases[] = {
        {"a: ${PORT}\nb: \":${PORT}\"\nc: x${PORT}y${PORT}z",
         "{a@1:1=8080@1:4 b@2:1=\":8080\"@2:4 c@3:1=x8080y8080z@3:4}", ""},
        {"a: '${NONE:-d e}'\nb: '${EMPTY:-d}'\nc: '${EMPTY}'\nd: '${NONE:-}'\ne: '${PORT:-x}'",
         "{a@1:1=\"d e\"@1:4 b@2:1=\"d\"@2:4 c@3:1=\"\"@3:4 d@4:1=\"\"@4:4 e@5:1=\"8080\"@5:4}", ""},
        {"a: $$PORT\nb: '$${PORT}'\nc: $name\nd: '${1}'\ne: '$'\nf: '${}'\ng: '$$${PORT}'",
         "{a@1:1=$$PORT@1:4 b@2:1=\"$${PORT}\"@2:4 c@3:1=$name@3:4 d@4:1=\"${1}\"@4:4 e@5:1=\"$\"@5:4 f@6:1=\"${}\"@6:4 "
         "g@7:1=\"$$8080\"@7:4}",
         ""},
        {"${PORT}: 1", "{${PORT}@1:1=1@1:10}", ""},  /* not in keys */
        {"a: ${DOLLAR}", "{a@1:1=${PORT}@1:4}", ""}, /* not twice */
        {"a: ${LINES}", "{a@1:1=a\nb@1:4}", ""},
        {"a: 1\nb: x ${NONE} y\n", "{a@1:1=1@1:4 b@2:1=BAD}",
         "w:2:4: the environment variable NONE is not set: set it, or give a default as ${NONE:-default}\n"},
        {"a: '${PORT'", "{a@1:1=BAD}", "w:1:4: ${PORT has no closing }\n"},
        {"a: ${PORT:8080}", "{a@1:1=BAD}", "w:1:4: write ${PORT} or, with a default, ${PORT:-default}\n"},
        {"a: ${PORT?x}", "{a@1:1=BAD}", "w:1:4: write ${PORT} or, with a default, ${PORT:-default}\n"},
        {"a: ${A12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
         "89012345678901234567}",
         "{a@1:1=BAD}",
         "w:1:4: the name of the variable in ${A123456789012345678901234567890123456789...} is too long\n"},
        {0},
    };
    check_trees(cases);
}

TEST(sources_are_merged) {
    static const struct cfg_source good[] = {
        SOURCE("a", "version: 1\nl: [1]\nm: {x: 1}\ne:\n"),
        SOURCE("b", ""),
        SOURCE("c", "version: 1\nm: {y: 2}\nl: [2, 3]\ne: {z: 1}\nn: 5\nm2:\n"),
    };
    static const struct cfg_source bad[] = {
        SOURCE("a", "version: 1\nn: 5\nm: {x: 1}\nl: [1]\n"),
        SOURCE("b", "version: 2\nn: 5\nm: {x: 2, z: 1}\nl: {a: 1}\n"),
    };
    static const struct cfg_source broken[] = {
        SOURCE("a", "a: ["),
        SOURCE("b", "b: 1"),
        SOURCE("c", "c: *x"),
        SOURCE("d", "d: }"),
    };
    check_sources(
        good, 3,
        "{version@1:1=1@1:10 l@2:1=[1@2:5 2@3:5 3@3:8] m@3:1={x@3:5=1@3:8 y@2:5=2@2:8} e@4:1={z@4:5=1@4:8} "
        "n@5:1=5@5:4 m2@6:1=null@6:4}",
        "");
    check_sources(bad, 2, "{version@1:1=1@1:10 n@2:1=5@2:4 m@3:1={x@3:5=1@3:8 z@3:11=1@3:14} l@4:1=[1@4:5]}",
                  "b:1:1: \"version\" is already given in a:1:1; give it in one file only\n"
                  "b:2:1: \"n\" is already given in a:2:1; give it in one file only\n"
                  "b:3:5: \"x\" of \"m\" is already given in a:3:5\n"
                  "b:4:1: \"l\" is already given in a:4:1; give it in one file only\n");
    check_sources(
        broken, 4, NULL,
        "a:2:1: this is not YAML: did not find expected node content while parsing a flow node that begins in "
        "line 2; a text that begins with , } or ] needs quotes\n"
        "c:1:4: aliases (*name) are not supported: write the value out, in quotes if it begins with *\n"
        "d:1:4: this is not YAML: did not find expected node content while parsing a block node that begins in "
        "line 1; a text that begins with , } or ] needs quotes\n");
}

/* Brackets inside one another. */
static void check_depth(unsigned depth, const char *said) {
    char text[256] = "a: ";
    struct cfg_source source = {"w", {text, 3}};
    struct cfg_errors errors;
    struct b_arena arena;
    char buf[256] = "";
    struct b_text out = b_text_fixed(buf, sizeof buf - 1);
    memset(text + 3, '[', depth);
    memset(text + 3 + depth, ']', depth);
    source.bytes.len += (size_t)2 * depth;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)64 << 20);
    cfg_errors_init(&errors);
    CHECK((cfg_tree(&source, 1, NULL, &arena, &errors) != NULL) == (said[0] == 0));
    cfg_errors_write(&errors, &out);
    CHECK_STR(buf, said);
    cfg_errors_free(&errors);
    b_arena_release(&arena);
}

TEST(depth_is_limited) {
    check_depth(31, "");
    check_depth(32, "w:1:35: lists and maps are nested more than 32 deep\n");
    check_depth(100, "w:1:35: lists and maps are nested more than 32 deep\n");
}

/* `a: [1,1,1...` until there are n values, the root, the list and the key's value included. */
static void check_size(size_t values, size_t pad, const char *said) {
    struct b_text text = b_text_heap(B_TAG_TEST, (size_t)8 << 20);
    b_text_lit(&text, "a: [");
    for (size_t i = 0; i < values; i++)
        b_text_lit(&text, "1,");
    b_text_lit(&text, "]\n#");
    while (text.len < pad)
        b_text_char(&text, '#');
    struct cfg_source source = {"w", b_text_slice(&text)};
    struct cfg_errors errors;
    struct b_arena arena;
    char buf[256] = "";
    struct b_text out = b_text_fixed(buf, sizeof buf - 1);
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)256 << 20);
    cfg_errors_init(&errors);
    CHECK((cfg_tree(&source, 1, NULL, &arena, &errors) != NULL) == (said[0] == 0));
    cfg_errors_write(&errors, &out);
    CHECK_STR(buf, said);
    cfg_errors_free(&errors);
    b_arena_release(&arena);
    b_text_free(&text);
}

TEST(size_is_limited) {
    check_size(CFG_NODES_MAX - 2, 0, "");
    check_size(CFG_NODES_MAX - 1, 0, "w:1:400001: the config is too large: it may hold 200000 values\n");
    check_size(1, CFG_BYTES_MAX, "");
    check_size(1, CFG_BYTES_MAX + 1, "w:1:1: the file is larger than 4 MiB: split it over a directory\n");
}

static char big[70000];

static char *big_env(const char *name) {
    (void)name;
    memset(big, 'x', sizeof big - 1);
    return big;
}

TEST(what_the_environment_adds_is_limited) {
    char text[512] = "a: ";
    for (size_t i = 0; i < 20; i++)
        memcpy(text + 3 + i * 4, "${A}", 4);
    struct cfg_source source = {"w", {text, 83}};
    struct cfg_errors errors;
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)64 << 20);
    cfg_errors_init(&errors);
    CHECK(cfg_tree(&source, 1, big_env, &arena, &errors) != NULL);
    REQUIRE(errors.count == 1);
    CHECK_STR(errors.items[0].message, "the value is longer than 1 MiB once the environment is put in");
    cfg_errors_free(&errors);
    b_arena_release(&arena);
}

TEST(shown_values_are_short_and_no_secret) {
    char buf[CFG_SHOWN_SIZE];
    struct cfg_node secret = {.kind = CFG_SCALAR,
                              .from_env = true,
                              .text = B_LIT("hunter2"),
                              .raw = B_LIT("${S}")};
    struct cfg_node list = {.kind = CFG_LIST};
    CHECK_STR(cfg_text_shown(B_LIT("123456789 123456789 123456789 123456789 123456789 123456789 1"), buf),
              "\"123456789 123456789 123456789 123456789 123456789 123456789 ...\"");
    CHECK_STR(cfg_text_shown(B_LIT("123456789 123456789 123456789 123456789 123456789 12345678\xe2\x82\xac"),
                             buf),
              "\"123456789 123456789 123456789 123456789 123456789 12345678...\"");
    CHECK_STR(cfg_node_shown(&secret, buf), "\"${S}\" (environment)");
    CHECK_STR(cfg_node_shown(&list, buf), "a list");
}

const struct test_case node_tests[] = {
    {"trees_have_positions", trees_have_positions},
    {"what_is_not_allowed_is_named", what_is_not_allowed_is_named},
    {"syntax_errors_have_a_place_and_a_hint", syntax_errors_have_a_place_and_a_hint},
    {"the_environment_is_put_in", the_environment_is_put_in},
    {"sources_are_merged", sources_are_merged},
    {"depth_is_limited", depth_is_limited},
    {"size_is_limited", size_is_limited},
    {"what_the_environment_adds_is_limited", what_the_environment_adds_is_limited},
    {"shown_values_are_short_and_no_secret", shown_values_are_short_and_no_secret},
    {0},
};
