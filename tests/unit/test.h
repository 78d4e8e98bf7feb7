/* The unit tests' harness. A test file defines its tests and ends with their table; the folder's main.c lists the tables.
 *
 *     TEST(takes_the_first) {
 *         CHECK_INT(first(list), 1);
 *     }
 *     const struct test_case list_tests[] = {{"takes_the_first", takes_the_first}, {0}};
 *
 *     extern const struct test_case list_tests[];               // in main.c
 *     static const struct test_suite suites[] = {{"list", list_tests}, {0}};
 *     int main(int argc, char **argv) { return test_main(argc, argv, suites); }
 *
 * A test runs in a child of its own; it fails by a failed check, a signal, a leak, a time-out (60 s, four times that
 * under a sanitizer or valgrind), or by leaving the process. Checks evaluate their arguments once and go on after a
 * failure; REQUIRE leaves the test function. The order is always: what came, what was wanted. */
#ifndef UNIT_TEST_H
#define UNIT_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
    const char *name;
    void (*run)(void);
};

struct test_suite {
    const char *name;
    const struct test_case *cases; /* ends with an empty one */
};

/* Runs the suites (ended by an empty one). Arguments: --list, --no-fork, --timeout SECONDS, and substrings of
 * "suite.test" that choose. Prints a line for each failed test and the sum. The exit status is 0 when at least one test
 * ran and none failed. */
int test_main(int argc, char **argv, const struct test_suite *suites);

#define TEST(name) static void name(void)

#define CHECK(cond) ((void)test_check(__FILE__, __LINE__, !!(cond), #cond))
#define CHECK_INT(got, want) ((void)test_check_int(__FILE__, __LINE__, #got, (got), (want)))
#define CHECK_UINT(got, want) ((void)test_check_uint(__FILE__, __LINE__, #got, (got), (want)))
/* Strings; NULL equals NULL only. */
#define CHECK_STR(got, want) ((void)test_check_str(__FILE__, __LINE__, #got, (got), (want)))
/* len bytes of both. */
#define CHECK_MEM(got, want, len) CHECK_BYTES((got), (len), (want), (len))
#define CHECK_BYTES(got, got_len, want, want_len) \
    ((void)test_check_bytes(__FILE__, __LINE__, #got, (got), (got_len), (want), (want_len)))
/* A pointer and a length against a string: CHECK_SLICE(s.ptr, s.len, "text"). */
#define CHECK_SLICE(got, got_len, want) \
    ((void)test_check_slice(__FILE__, __LINE__, #got, (got), (got_len), (want)))
#define REQUIRE(cond)                                         \
    do {                                                      \
        if (!test_check(__FILE__, __LINE__, !!(cond), #cond)) \
            return;                                           \
    } while (0)
/* Fails the test with a printf message. */
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
/* Leaves the test function: what it needs is not there (an instruction set, a kernel feature). */
#define SKIP(why)       \
    do {                \
        test_skip(why); \
        return;         \
    } while (0)

/* True under ASan, TSan or valgrind, where work takes many times as long. */
bool test_is_slow(void);

bool test_check(const char *file, int line, bool ok, const char *text);
bool test_check_int(const char *file, int line, const char *text, long long got, long long want);
bool test_check_uint(const char *file, int line, const char *text, unsigned long long got,
                     unsigned long long want);
bool test_check_str(const char *file, int line, const char *text, const char *got, const char *want);
bool test_check_bytes(const char *file, int line, const char *text, const void *got, size_t got_len,
                      const void *want, size_t want_len);
bool test_check_slice(const char *file, int line, const char *text, const void *got, size_t got_len,
                      const char *want);
void test_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void test_skip(const char *why);

#endif
