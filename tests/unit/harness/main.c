/* The harness's own test: a test that cannot fail is a defect, so each way to fail is tried and must be reported. */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- tests that behave as their names say, run by the tests below ---- */

TEST(passes) {
    CHECK(1 + 1 == 2);
    CHECK_INT(-3, -3);
    CHECK_UINT(UINT64_MAX, UINT64_MAX);
    CHECK_STR("a", "a");
    CHECK_STR(NULL, NULL);
    CHECK_MEM("a\0b", "a\0b", 4);
    CHECK_SLICE("abc", 2, "ab");
    REQUIRE(true);
}
TEST(fails_check) {
    CHECK(1 + 1 == 3);
}
TEST(fails_int) {
    CHECK_INT(6 * 7, 41);
}
TEST(fails_uint) {
    CHECK_UINT(UINT64_MAX, 0);
}
TEST(fails_str) {
    CHECK_STR("one\n", "two");
}
TEST(fails_null) {
    CHECK_STR(NULL, "two");
}
TEST(fails_mem) {
    CHECK_MEM("abc", "abd", 3);
}
TEST(fails_slice) {
    CHECK_SLICE("abc", 3, "ab");
}
TEST(fails_message) {
    FAIL("number %d", 17);
}
TEST(fails_twice) {
    CHECK(false);
    CHECK(false);
}
TEST(fails_require) {
    REQUIRE(false);
    printf("went on after REQUIRE\n");
}
TEST(crashes) {
    raise(SIGKILL);
}
TEST(exits) {
    exit(0);
}
TEST(hangs) {
    for (;;)
        pause();
}
TEST(skips) {
    SKIP("not here");
}

static const struct test_case good[] = {{"passes", passes}, {0}};
static const struct test_case skipping[] = {{"skips", skips}, {0}};
static const struct test_case none[] = {{0}};
static const struct test_case bad[] = {
    {"fails_check", fails_check},
    {"fails_int", fails_int},
    {"fails_uint", fails_uint},
    {"fails_str", fails_str},
    {"fails_null", fails_null},
    {"fails_mem", fails_mem},
    {"fails_slice", fails_slice},
    {"fails_message", fails_message},
    {"fails_twice", fails_twice},
    {"fails_require", fails_require},
    {"crashes", crashes},
    {"exits", exits},
    {"hangs", hangs},
    {0},
};

/* Runs the harness on a table in a child. Fills out with what it printed; returns its exit status. */
static int run(const struct test_case *cases, char *out, size_t cap, const char *arg) {
    const struct test_suite suites[] = {{"inner", cases}, {0}};
    char *argv[] = {"path/to/inner", "--timeout", "1", (char *)arg, NULL};
    int ends[2];
    size_t len = 0;
    if (pipe(ends) < 0)
        return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        int status = test_main(arg ? 4 : 3, argv, suites);
        fflush(stdout);
        _exit(status);
    }
    close(ends[1]);
    for (ssize_t n; len < cap - 1 && (n = read(ends[0], out + len, cap - 1 - len)) > 0;)
        len += (size_t)n;
    out[len] = 0;
    close(ends[0]);
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_has(const char *out, const char *part) {
    if (!strstr(out, part))
        FAIL("no \"%s\" in: %s", part, out);
}

/* ---- the tests ---- */

TEST(a_good_table_passes) {
    char out[4096];
    CHECK_INT(run(good, out, sizeof out, NULL), 0);
    CHECK_STR(out, "inner: 1 passed, 0 failed\n");
}

TEST(every_way_to_fail_is_reported) {
    char out[8192];
    CHECK_INT(run(bad, out, sizeof out, NULL), 1);
    check_has(out, "harness/main.c:");
    check_has(out, ": not true: 1 + 1 == 3\nFAIL inner.fails_check: a check failed\n");
    check_has(out, ": 6 * 7 is 42, not 41\nFAIL inner.fails_int: ");
    check_has(out, " is 18446744073709551615, not 0\nFAIL inner.fails_uint: ");
    check_has(out, " is \"one\\x0a\" (4 bytes), not \"two\" (3 bytes)\nFAIL inner.fails_str: ");
    check_has(out, " is \"(NULL)\", not \"two\"\nFAIL inner.fails_null: ");
    check_has(out, " is \"abc\" (3 bytes), not \"abd\" (3 bytes)\nFAIL inner.fails_mem: ");
    check_has(out, " is \"abc\" (3 bytes), not \"ab\" (2 bytes)\nFAIL inner.fails_slice: ");
    check_has(out, ": number 17\nFAIL inner.fails_message: ");
    check_has(out, "FAIL inner.fails_twice: checks failed\n");
    check_has(out, "FAIL inner.fails_require: a check failed\n");
    check_has(out, "FAIL inner.crashes: killed by signal 9");
    check_has(out, "FAIL inner.exits: the test left the process, status 0\n");
    check_has(out, "FAIL inner.hangs: not done after 1 s\n");
    check_has(out, "\ninner: 0 passed, 13 failed\n");
    CHECK(!strstr(out, "went on after REQUIRE"));
}

TEST(a_filter_chooses) {
    char out[4096];
    CHECK_INT(run(bad, out, sizeof out, "inner.fails_int"), 1);
    check_has(out, "\ninner: 0 passed, 1 failed\n");
}

TEST(without_a_test_the_run_fails) {
    char out[4096];
    CHECK_INT(run(none, out, sizeof out, NULL), 1);
    CHECK_INT(run(good, out, sizeof out, "no such test"), 1);
    CHECK_STR(out, "inner: 0 passed, 0 failed\n");
}

TEST(list_runs_nothing) {
    char out[4096];
    CHECK_INT(run(good, out, sizeof out, "--list"), 0);
    CHECK_STR(out, "inner.passes\n");
}

TEST(no_fork_counts_failed_checks) {
    static const struct test_case cases[] = {{"fails_int", fails_int}, {"passes", passes}, {0}};
    char out[4096];
    CHECK_INT(run(cases, out, sizeof out, "--no-fork"), 1);
    check_has(out, "\ninner: 1 passed, 1 failed\n");
}

TEST(a_skipped_test_is_counted) {
    char out[4096];
    CHECK_INT(run(skipping, out, sizeof out, NULL), 0);
    CHECK_STR(out, "skipped: not here\ninner: 0 passed, 0 failed, 1 skipped\n");
}

TEST(an_unknown_option_is_refused) {
    char out[4096];
    CHECK_INT(run(good, out, sizeof out, "--colour"), 2);
    check_has(out, "usage: path/to/inner ");
}

static const struct test_case harness_tests[] = {
    {"a_good_table_passes", a_good_table_passes},
    {"every_way_to_fail_is_reported", every_way_to_fail_is_reported},
    {"a_filter_chooses", a_filter_chooses},
    {"without_a_test_the_run_fails", without_a_test_the_run_fails},
    {"list_runs_nothing", list_runs_nothing},
    {"no_fork_counts_failed_checks", no_fork_counts_failed_checks},
    {"a_skipped_test_is_counted", a_skipped_test_is_counted},
    {"an_unknown_option_is_refused", an_unknown_option_is_refused},
    {0},
};

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {{"harness", harness_tests}, {0}};
    return test_main(argc, argv, suites);
}
