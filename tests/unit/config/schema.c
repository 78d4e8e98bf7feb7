#include "config/schema.h"

#include "config/config.h"
#include "test.h"
#include "test_modules.h"

static const char *verify(const struct cfg_table *table) {
    static char buf[512];
    struct b_text why = b_text_fixed(buf, sizeof buf - 1);
    const char *wrong = cfg_table_verify(table, &why);
    buf[why.len] = 0;
    CHECK((wrong != NULL) == (why.len > 0));
    return wrong ? buf : NULL;
}

TEST(all_tables_are_well_formed) {
    CHECK_STR(verify(&cfg_root_table), NULL);
    CHECK_STR(verify(&proxy_table), NULL);
    CHECK_STR(verify(&respond_table), NULL);
    CHECK_STR(verify(&limit_table), NULL);
}

struct small {
    struct cfg_head head;
    int64_t a, b;
};

static const char *verify_option(struct cfg_option option) {
    struct cfg_option options[3] = {option,
                                    {.name = "b", .type = CFG_INT, CFG_AT(struct small, b), .help = "b"},
                                    {0}};
    struct cfg_table table = {.name = "it", .options = options, .size = sizeof(struct small)};
    return verify(&table);
}

TEST(a_wrong_table_is_found) {
    static const struct cfg_table inner = {.name = "x", .options = proxy_options, .size = 4};
    struct cfg_option good = {.name = "a", .type = CFG_INT, CFG_AT(struct small, a), .help = "a", .max = 9},
                      o;
    CHECK_STR(verify_option(good), NULL);
    o = good;
    o.type = 0;
    CHECK_STR(verify_option(o), "it, option \"a\": its type is unknown");
    o = good;
    o.name = "maxIdle";
    CHECK_STR(verify_option(o), "it, option \"maxIdle\": its name is not in snake_case");
    o = good;
    o.name = "b";
    CHECK_STR(verify_option(o), "it, option \"b\": its name is there twice");
    o = good;
    o.help = NULL;
    CHECK_STR(verify_option(o), "it, option \"a\": it has no help");
    o = good;
    o.offset = 0;
    CHECK_STR(verify_option(o), "it, option \"a\": it lies outside of the struct, or over its head");
    o = good;
    o.offset = sizeof(struct small) - 4;
    CHECK_STR(verify_option(o), "it, option \"a\": it lies outside of the struct, or over its head");
    o = good;
    o.type = CFG_ENUM;
    CHECK_STR(verify_option(o), "it, option \"a\": a word has choices");
    o = good;
    o.type = CFG_OBJECT;
    CHECK_STR(verify_option(o), "it, option \"a\": objects have a table, and nothing else has");
    o = good;
    o.min = 10;
    CHECK_STR(verify_option(o), "it, option \"a\": max is below min");
    o = good;
    o.default_text = "10";
    CHECK_STR(verify_option(o), "it, option \"a\": it lies between 0 and 9");
    o = good;
    o.default_text = "x";
    CHECK_STR(verify_option(o), "it, option \"a\": give a whole number");
    o.flags = CFG_REQUIRED;
    CHECK_STR(verify_option(o), "it, option \"a\": what is required has no default");
    o = (struct cfg_option){.name = "a", .type = CFG_OBJECTS, .offset = sizeof(struct cfg_head), .help = "a"};
    o.table = &inner;
    CHECK(verify_option(o) != NULL);
}

TEST(names_are_found) {
    CHECK(cfg_table_find(&proxy_table, B_LIT("strip_prefix")) == &proxy_options[1]);
    CHECK(!cfg_table_find(&proxy_table, B_LIT("strip")));
    CHECK(cfg_module_find(test_handlers, B_LIT("respond")) == &respond_module);
    CHECK(!cfg_module_find(test_handlers, B_LIT("limit")));
    CHECK(!cfg_module_find(NULL, B_LIT("limit")));
}

const struct test_case schema_tests[] = {
    {"all_tables_are_well_formed", all_tables_are_well_formed},
    {"a_wrong_table_is_found", a_wrong_table_is_found},
    {"names_are_found", names_are_found},
    {0},
};
