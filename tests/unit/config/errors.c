#include "config/error.h"

#include <errno.h>

#include "config/node.h"
#include "test.h"

static const struct cfg_file first = {"a.yaml", 0}, second = {"b.yaml", 1};

static const char *written(const struct cfg_errors *e) {
    static char buf[65536];
    struct b_text out = b_text_fixed(buf, sizeof buf - 1);
    cfg_errors_write(e, &out);
    buf[out.len] = 0;
    return buf;
}

TEST(they_come_in_the_order_of_the_text) {
    struct cfg_node node = {.file = &first, .line = 7, .column = 3, .key_line = 6, .key_column = 1};
    struct cfg_errors e;
    cfg_errors_init(&e);
    CHECK(!cfg_errors_any(&e));
    CHECK_INT(cfg_error_pos(&e, &second, 1, 1, "in b"), -EINVAL);
    CHECK_INT(cfg_error_at(&e, NULL, "nowhere"), -EINVAL);
    cfg_error_pos(&e, &first, 0, 0, "about a");
    cfg_error_pos(&e, &first, 7, 4, "at 7:4");
    CHECK_INT(cfg_error_at(&e, &node, "value %d", 1), -EINVAL);
    cfg_error_at(&e, &node, "value %d", 2);
    CHECK_INT(cfg_error_key(&e, &node, "key"), -EINVAL);
    cfg_warn_at(&e, &node, "look");
    cfg_errors_sort(&e);
    CHECK_STR(written(&e), "a.yaml:6:1: key\n"
                           "a.yaml:6:1: warning: look\n"
                           "a.yaml:7:3: value 1\n"
                           "a.yaml:7:3: value 2\n"
                           "a.yaml:7:4: at 7:4\n"
                           "a.yaml: about a\n"
                           "b.yaml:1:1: in b\n"
                           "nowhere\n");
    CHECK_UINT(e.errors, 7);
    CHECK_UINT(e.warnings, 1);
    CHECK_INT(e.items[1].severity, CFG_WARNING);
    CHECK_UINT(e.items[6].line, 1);
    CHECK_STR(e.items[7].file, "");
    cfg_errors_free(&e);
}

TEST(warnings_alone_are_no_failure) {
    struct cfg_errors e;
    cfg_errors_init(&e);
    cfg_warn_at(&e, NULL, "look");
    CHECK(!cfg_errors_any(&e));
    CHECK_STR(written(&e), "warning: look\n");
    cfg_errors_free(&e);
}

TEST(a_hundred_are_kept) {
    struct cfg_errors e;
    cfg_errors_init(&e);
    for (unsigned i = 0; i < 150; i++)
        cfg_warn_at(&e, NULL, "warning");
    for (unsigned i = 0; i < 101; i++) {
        CHECK(cfg_errors_full(&e) == (i >= 100));
        cfg_error_pos(&e, &first, i + 1, 1, "error");
    }
    CHECK_UINT(e.count, 200);
    CHECK_UINT(e.errors, 101);
    CHECK(strstr(written(&e), "a.yaml:100:1: error\nand 1 more error\nand 50 more warnings\n") != NULL);
    cfg_errors_free(&e);
}

TEST(no_control_character_gets_through) {
    struct cfg_errors e;
    cfg_errors_init(&e);
    cfg_error_at(&e, NULL, "a\nb%s\x7f", "\x1b[31m\t");
    REQUIRE(e.count == 1);
    CHECK_STR(e.items[0].message, "a?b?[31m??");
    cfg_errors_free(&e);
}

TEST(a_long_message_is_cut) {
    struct cfg_errors e;
    cfg_errors_init(&e);
    cfg_error_at(&e, NULL, "%5000d", 1);
    REQUIRE(e.count == 1);
    CHECK_UINT(strlen(e.items[0].message), 1023);
    cfg_errors_free(&e);
}

TEST(without_memory_it_still_fails) {
    struct cfg_errors e;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        cfg_errors_init(&e);
        b_alloc_fail_at(nth);
        cfg_error_at(&e, NULL, "lost");
        b_alloc_fail_at(0);
        CHECK(e.no_memory && cfg_errors_any(&e));
        CHECK_UINT(e.count, 0);
        CHECK_STR(written(&e), "memory ran out while the config was loaded; nothing was changed\n");
        cfg_errors_free(&e);
    }
}

const struct test_case errors_tests[] = {
    {"they_come_in_the_order_of_the_text", they_come_in_the_order_of_the_text},
    {"warnings_alone_are_no_failure", warnings_alone_are_no_failure},
    {"a_hundred_are_kept", a_hundred_are_kept},
    {"no_control_character_gets_through", no_control_character_gets_through},
    {"a_long_message_is_cut", a_long_message_is_cut},
    {"without_memory_it_still_fails", without_memory_it_still_fails},
    {0},
};
