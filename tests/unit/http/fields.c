#include "http/fields.h"

#include <errno.h>
#include <stdio.h>

#include "support.h"

static const struct http_field_info names[] = {
#define HTTP_FIELD(id, name, flags) {(name), sizeof(name) - 1, HTTP_FIELD_##id},
#include "http/fields.def"
#undef HTTP_FIELD
};
#define NAMES (sizeof names / sizeof names[0])

/* Each name is found, in any case; no name with one byte changed is. */
TEST(every_name_is_found) {
    for (size_t i = 0; i < NAMES; i++) {
        char name[32];
        size_t len = names[i].name_len;
        enum http_field_id id = (enum http_field_id)names[i].flags;
        memcpy(name, names[i].name, len);
        CHECK(i == 0 || names[i - 1].name_len <= len); /* the order that fields.def asks for */
        CHECK_INT(http_field_id(b_slice(name, len)), id);
        CHECK_STR(http_field_info(id)->name, names[i].name);
        for (size_t k = 0; k < len; k++)
            if (name[k] != '-')
                name[k] = (char)(name[k] & ~0x20);
        CHECK_INT(http_field_id(b_slice(name, len)), id);
        for (size_t k = 0; k < len; k++) {
            char was = name[k];
            name[k] = was == '!' ? '*' : '!';
            if (http_field_id(b_slice(name, len)) == id)
                FAIL("%.*s is taken for %s", (int)len, name, names[i].name);
            name[k] = was;
        }
        if (http_field_id(b_slice(name, len - 1)) == id)
            FAIL("%s but its last byte is taken for it", names[i].name);
        name[len] = 'x';
        CHECK(http_field_id(b_slice(name, len + 1)) != id);
    }
}

TEST(unknown_names) {
    CHECK_INT(http_field_id(B_LIT("")), HTTP_FIELD_OTHER);
    CHECK_INT(http_field_id(B_LIT("x")), HTTP_FIELD_OTHER);
    CHECK_INT(http_field_id(B_LIT("x-forwarded-")), HTTP_FIELD_OTHER);
    CHECK_INT(http_field_id(B_LIT("X-Forwarded-Prefix")), HTTP_FIELD_X_FORWARDED_ANY);
    CHECK_INT(http_field_id(B_LIT("x-forwarded-something-long")), HTTP_FIELD_X_FORWARDED_ANY);
    CHECK_INT(http_field_id(B_LIT("a-name-that-is-longer-than-any-known-one")), HTTP_FIELD_OTHER);
    CHECK_INT(http_field_info((enum http_field_id)250)->flags, 0);
}

static struct http_field room[32];

/* A list from pairs of name and value, ended by NULL. */
static struct http_fields list(const char *const *pairs) {
    struct http_fields fs = {.at = room, .cap = 32};
    for (; *pairs; pairs += 2)
        CHECK_INT(http_fields_add(NULL, &fs, b_slice_cstr(pairs[0]), b_slice_cstr(pairs[1])), 0);
    return fs;
}

/* "name=value,name=value" of what is left. */
static const char *show(const struct http_fields *fs) {
    static char buf[512];
    struct b_text text = b_text_fixed(buf, sizeof buf - 1);
    for (unsigned i = 0; i < fs->count; i++) {
        b_text_printf(&text, "%s%.*s=%.*s", i ? "," : "", B_FMT(http_field_name(&fs->at[i])),
                      B_FMT(http_field_value(&fs->at[i])));
    }
    buf[text.len] = 0;
    return buf;
}

TEST(finds_and_iterates) {
    static const char *const pairs[] = {"A", "1", "Cookie", "c1", "a", "2", "COOKIE", "c2", NULL};
    struct http_fields fs = list(pairs);
    CHECK_S(http_fields_value(&fs, HTTP_FIELD_COOKIE), "c1");
    CHECK(http_fields_value(&fs, HTTP_FIELD_HOST).ptr == NULL);
    CHECK(http_fields_find_name(&fs, B_LIT("b")) == NULL);
    struct http_field *f = http_fields_next(&fs, HTTP_FIELD_COOKIE, NULL);
    REQUIRE(f);
    f = http_fields_next(&fs, HTTP_FIELD_COOKIE, f);
    REQUIRE(f);
    CHECK_S(http_field_value(f), "c2");
    CHECK(http_fields_next(&fs, HTTP_FIELD_COOKIE, f) == NULL);
    f = http_fields_next_name(&fs, B_LIT("a"), http_fields_find_name(&fs, B_LIT("A")));
    REQUIRE(f);
    CHECK_S(http_field_value(f), "2");
    CHECK(http_fields_next_name(&fs, B_LIT("A"), f) == NULL);
}

TEST(S29_add_checks_name_and_value) {
    struct http_fields fs = {.at = room, .cap = 32};
    static const struct b_slice bad_names[] = {B_LIT(""), B_LIT("a b"), B_LIT("a:"), B_LIT("a\r\nb"),
                                               B_LIT("\xc3\xa9")};
    static const struct b_slice bad_values[] = {B_LIT("a\rb"), B_LIT("a\nb"), B_LIT("a\0b"), B_LIT("\x7f"),
                                                B_LIT("0123456789abcdef\n")};
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++) {
        CHECK_INT(http_fields_add(NULL, &fs, bad_names[i], B_LIT("x")), -EINVAL);
        CHECK_INT(http_fields_set(NULL, &fs, bad_names[i], B_LIT("x")), -EINVAL);
    }
    for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++) {
        CHECK_INT(http_fields_add(NULL, &fs, B_LIT("X"), bad_values[i]), -EINVAL);
        CHECK_INT(http_fields_set(NULL, &fs, B_LIT("X"), bad_values[i]), -EINVAL);
    }
    CHECK_INT(fs.count, 0);
    CHECK_INT(http_fields_add(NULL, &fs, B_LIT("X"), B_LIT(" \ta\tb\xe9 ")), 0);
    CHECK_S(http_field_value(&fs.at[0]), "a\tb\xe9");
    CHECK_INT(http_fields_add_id(NULL, &fs, HTTP_FIELD_VIA, B_LIT("1.1 weir")), 0);
    CHECK_S(http_field_name(&fs.at[1]), "via");
    CHECK_INT(fs.at[1].flags & HTTP_F_OWNED, HTTP_F_OWNED);
    CHECK_INT(http_fields_add_id(NULL, &fs, HTTP_FIELD_OTHER, B_LIT("x")), -EINVAL);
    CHECK_INT(http_fields_add_id(NULL, &fs, HTTP_FIELD_X_FORWARDED_ANY, B_LIT("x")), -EINVAL);
}

TEST(grows_in_the_arena) {
    struct http_field two[2];
    struct http_fields fs = {.at = two, .cap = 2};
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    CHECK_INT(http_fields_add(NULL, &fs, B_LIT("A"), B_LIT("1")), 0);
    CHECK_INT(http_fields_add(NULL, &fs, B_LIT("B"), B_LIT("2")), 0);
    CHECK_INT(http_fields_add(NULL, &fs, B_LIT("C"), B_LIT("3")), -ENOMEM);
    CHECK_INT(fs.count, 2);
    for (int i = 0; i < 50; i++)
        CHECK_INT(http_fields_add(&arena, &fs, B_LIT("C"), B_LIT("3")), 0);
    CHECK_INT(fs.count, 52);
    CHECK_S(http_field_name(&fs.at[0]), "A");
    CHECK_S(http_field_name(&fs.at[51]), "C");
    b_arena_release(&arena);
    struct http_fields none = {0};
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 16);
    CHECK_INT(http_fields_add(&arena, &none, B_LIT("A"), B_LIT("1")), -ENOMEM);
    b_arena_release(&arena);
}

TEST(set_and_remove) {
    static const char *const pairs[] = {"A", "1", "B", "2", "a", "3", "Cookie", "4", NULL};
    struct http_fields fs = list(pairs);
    CHECK_INT(http_fields_set(NULL, &fs, B_LIT("A"), B_LIT("9")), 0);
    CHECK_STR(show(&fs), "B=2,Cookie=4,A=9");
    CHECK_INT(http_fields_set_id(NULL, &fs, HTTP_FIELD_COOKIE, B_LIT("5")), 0);
    CHECK_STR(show(&fs), "B=2,A=9,cookie=5");
    CHECK_INT(http_fields_set(NULL, &fs, B_LIT("C"), B_LIT("6")), 0);
    CHECK_INT(http_fields_remove(&fs, HTTP_FIELD_COOKIE), 1);
    CHECK_INT(http_fields_remove(&fs, HTTP_FIELD_COOKIE), 0);
    CHECK_INT(http_fields_remove_name(&fs, B_LIT("b")), 1);
    CHECK_STR(show(&fs), "A=9,C=6");
    /* a full list still takes a replacement */
    fs.cap = fs.count;
    CHECK_INT(http_fields_set(NULL, &fs, B_LIT("A"), B_LIT("7")), 0);
    CHECK_INT(http_fields_set(NULL, &fs, B_LIT("D"), B_LIT("7")), -ENOMEM);
    CHECK_INT(http_fields_set(NULL, &fs, B_LIT("C"), B_LIT("\n")), -EINVAL);
    CHECK_STR(show(&fs), "C=6,A=7");
}

TEST(tokens) {
    static const char *const pairs[] = {"Connection", "keep-alive , ,x", "connection", "Upgrade,", NULL};
    struct http_fields fs = list(pairs);
    CHECK(http_fields_has_token(&fs, HTTP_FIELD_CONNECTION, B_LIT("Keep-Alive")));
    CHECK(http_fields_has_token(&fs, HTTP_FIELD_CONNECTION, B_LIT("upgrade")));
    CHECK(http_fields_has_token(&fs, HTTP_FIELD_CONNECTION, B_LIT("x")));
    CHECK(!http_fields_has_token(&fs, HTTP_FIELD_CONNECTION, B_LIT("keep")));
    CHECK(!http_fields_has_token(&fs, HTTP_FIELD_CONNECTION, B_LIT("")));
    CHECK(!http_fields_has_token(&fs, HTTP_FIELD_TE, B_LIT("x")));
}

TEST(P05_strip_hop) {
    static const char *const pairs[] = {
        "Connection",
        "gone",
        "X-Mine",
        "gone",
        "x-mine",
        "gone too",
        "X-Forwarded-For",
        "1.2.3.4",
        "Authorization",
        "stays",
        "connection",
        "gone too",
        "Cookie",
        "stays",
        "Host",
        "stays",
        "Content-Length",
        "5",
        "If-None-Match",
        "gone",
        "Keep-Alive",
        "gone",
        "TE",
        "gone",
        "Trailer",
        "gone",
        "Upgrade",
        "gone",
        "Transfer-Encoding",
        "gone",
        "Proxy-Connection",
        "gone",
        "Proxy-Authorization",
        "gone",
        "X-Forwarded-Else",
        "stays",
        "X-Other",
        "stays",
        NULL,
    };
    struct http_fields fs = list(pairs);
    struct b_slice named = B_LIT(
                       "close,X-Mine,X-Forwarded-For,Authorization,Cookie,host,Content-Length,If-None-Match,"
                       "x-forwarded-else,te"),
                   name;
    while (b_slice_next(&named, ',', &name))
        http_fields_nominate(&fs, name);
    http_fields_strip_hop(&fs);
    CHECK_STR(show(&fs),
              "X-Forwarded-For=1.2.3.4,Authorization=stays,Cookie=stays,Host=stays,Content-Length=5,"
              "X-Forwarded-Else=stays,X-Other=stays");
}

const struct test_case fields_tests[] = {
    {"every_name_is_found", every_name_is_found},
    {"unknown_names", unknown_names},
    {"finds_and_iterates", finds_and_iterates},
    {"S29_add_checks_name_and_value", S29_add_checks_name_and_value},
    {"grows_in_the_arena", grows_in_the_arena},
    {"set_and_remove", set_and_remove},
    {"tokens", tokens},
    {"P05_strip_hop", P05_strip_hop},
    {0},
};
