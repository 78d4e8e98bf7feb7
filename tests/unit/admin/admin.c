#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/answer.h"
#include "test.h"

TEST(reads_a_level) {
    static const char *const good[] = {"{\"level\":\"debug\"}", " { \"level\" :\n\"warn\" } \r\n"};
    static const char *const bad[] = {"",
                                      "{}",
                                      "debug",
                                      "\"debug\"",
                                      "{\"level\":\"loud\"}",
                                      "{\"level\":1}",
                                      "{\"level\":\"debug\"",
                                      "{\"level\":\"debug\"}x",
                                      "{\"level\":\"debug\",\"a\":1}",
                                      "{\"level\":\"debug",
                                      "{\"level\"}"};
    enum b_level level = B_ERROR;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(adm_parse_level(b_slice_cstr(good[i]), &level));
    CHECK_INT(level, B_WARN);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (adm_parse_level(b_slice_cstr(bad[i]), &level))
            FAIL("taken: %s", bad[i]);
}

/* Is the admin section fine? `want` begins what is said when it is not; the token file's name is left out. */
static void check_admin(const char *addr, const char *token_file, const char *want) {
    char got[1024] = "";
    struct b_text out = b_text_fixed(got, sizeof got - 1);
    struct cfg_root root = {0};
    struct cfg_errors errors;
    cfg_errors_init(&errors);
    REQUIRE(cfg_parse_addr(b_slice_cstr(addr), &root.admin.addr) == NULL);
    if (token_file)
        root.admin.token_file = b_slice_cstr(token_file);
    CHECK_INT(adm_check(&root, &errors), *want ? -EINVAL : 0);
    cfg_errors_write(&errors, &out);
    if (strncmp(got, want, strlen(want)) != 0 || (!*want && *got))
        FAIL("%s: said: %s", addr, got);
    cfg_errors_free(&errors);
}

TEST(wants_a_token_where_others_come) {
    check_admin("127.0.0.1:9901", NULL, "");
    check_admin("127.9.9.9:9901", NULL, "");
    check_admin("[::1]:9901", NULL, "");
    check_admin("unix:/run/weir.sock", NULL, "");
    check_admin(":9901", NULL, "the admin address :9901 can be reached from other machines");
    check_admin("0.0.0.0:9901", NULL, "the admin address 0.0.0.0:9901 can be reached");
    check_admin("[::]:9901", NULL, "the admin address [::]:9901 can be reached");
    check_admin("192.0.2.1:9901", NULL, "the admin address 192.0.2.1:9901 can be reached");
}

static void with_token(const char *token, const char *want) {
    char path[] = "/tmp/weir_token_XXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    CHECK_INT(write(fd, token, strlen(token)), (long long)strlen(token));
    close(fd);
    check_admin(":9901", path, want);
    unlink(path);
}

TEST(reads_the_token) {
    with_token("0123456789abcdef\n", "");
    with_token("short\n", "the token in \"");
    with_token("", "the token in \"");
    check_admin(":9901", "/nonexistent/token",
                "the token file \"/nonexistent/token\" cannot be read: No such file");
}

const struct test_case admin_tests[] = {
    {"reads_a_level", reads_a_level},
    {"wants_a_token_where_others_come", wants_a_token_where_others_come},
    {"reads_the_token", reads_the_token},
    {0},
};
