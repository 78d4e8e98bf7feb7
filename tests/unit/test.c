#include "test.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

enum { TIMEOUT_S = 60, SLOW_FACTOR = 4, SHOWN_BYTES_MAX = 120 };

/* What a running test tells its parent; the page is shared with the child. Checks may come from several threads. */
struct report {
    unsigned failures;
    bool skipped;
    bool returned; /* the test function came to its end */
};

struct options {
    bool list, no_fork;
    unsigned timeout_s;
    int filters; /* argv[1 .. filters] */
    char **argv;
};

struct sums {
    unsigned passed, failed, skipped;
};

static struct report *report;

bool test_is_slow(void) {
    return SANITIZED || RUNNING_ON_VALGRIND;
}

/* ---- checks ---- */

static void count_failure(void) {
    __atomic_fetch_add(&report->failures, 1, __ATOMIC_RELAXED);
}

void test_fail(const char *file, int line, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    printf("%s:%d: %s\n", file, line, text);
    fflush(stdout);
    count_failure();
}

bool test_check(const char *file, int line, bool ok, const char *text) {
    if (!ok)
        test_fail(file, line, "not true: %s", text);
    return ok;
}

bool test_check_int(const char *file, int line, const char *text, long long got, long long want) {
    if (got != want)
        test_fail(file, line, "%s is %lld, not %lld", text, got, want);
    return got == want;
}

bool test_check_uint(const char *file, int line, const char *text, unsigned long long got,
                     unsigned long long want) {
    if (got != want)
        test_fail(file, line, "%s is %llu, not %llu", text, got, want);
    return got == want;
}

/* Bytes as a C string, cut at SHOWN_BYTES_MAX. */
static const char *show(const void *bytes, size_t len, char *out, size_t cap) {
    const unsigned char *p = bytes;
    size_t at = 0;
    if (!p)
        return "NULL";
    out[at++] = '"';
    for (size_t i = 0; i < len && i < SHOWN_BYTES_MAX && at + 8 < cap; i++) {
        if (p[i] >= ' ' && p[i] < 127 && p[i] != '"' && p[i] != '\\')
            out[at++] = (char)p[i];
        else
            at += (size_t)snprintf(out + at, cap - at, "\\x%02x", p[i]);
    }
    snprintf(out + at, cap - at, "\"%s", len > SHOWN_BYTES_MAX ? "..." : "");
    return out;
}

bool test_check_bytes(const char *file, int line, const char *text, const void *got, size_t got_len,
                      const void *want, size_t want_len) {
    if (got_len == want_len && (got_len == 0 || (got && want && memcmp(got, want, got_len) == 0)))
        return true;
    char a[SHOWN_BYTES_MAX * 4 + 16], b[SHOWN_BYTES_MAX * 4 + 16];
    test_fail(file, line, "%s is %s (%zu bytes), not %s (%zu bytes)", text, show(got, got_len, a, sizeof a),
              got_len, show(want, want_len, b, sizeof b), want_len);
    return false;
}

bool test_check_slice(const char *file, int line, const char *text, const void *got, size_t got_len,
                      const char *want) {
    return test_check_bytes(file, line, text, got, got_len, want, strlen(want));
}

bool test_check_str(const char *file, int line, const char *text, const char *got, const char *want) {
    if (got && want)
        return test_check_bytes(file, line, text, got, strlen(got), want, strlen(want));
    if (got != want)
        test_fail(file, line, "%s is \"%s\", not \"%s\"", text, got ? got : "(NULL)", want ? want : "(NULL)");
    return got == want;
}

void test_skip(const char *why) {
    printf("skipped: %s\n", why);
    report->skipped = true;
}

/* ---- running ---- */

/* Runs one test in a child; returns NULL when it passed, else how it failed. */
static const char *run_forked(const struct test_case *test, const struct options *options) {
    static char how[96];
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return "fork failed";
    if (pid == 0) {
        alarm(options->timeout_s);
        test->run();
        report->returned = true;
        exit(0); /* not _exit: the leak check runs at exit */
    }
    int status;
    if (waitpid(pid, &status, 0) != pid)
        return "waitpid failed";
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(how, sizeof how, "not done after %u s", options->timeout_s);
    else if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (!report->returned)
        snprintf(how, sizeof how, "the test left the process, status %d", WEXITSTATUS(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(how, sizeof how, "exit status %d after the test (a leak?)", WEXITSTATUS(status));
    else
        return NULL;
    return how;
}

static void run_one(const char *suite, const struct test_case *test, const struct options *options,
                    struct sums *sums) {
    const char *how = NULL;
    *report = (struct report){0};
    if (options->no_fork)
        test->run();
    else
        how = run_forked(test, options);
    if (!how && report->failures)
        how = report->failures == 1 ? "a check failed" : "checks failed";
    if (how) {
        printf("FAIL %s.%s: %s\n", suite, test->name, how);
        sums->failed++;
    } else if (report->skipped) {
        sums->skipped++;
    } else {
        sums->passed++;
    }
    fflush(stdout);
}

static bool is_chosen(const char *suite, const char *test, const struct options *options) {
    char full[256];
    snprintf(full, sizeof full, "%s.%s", suite, test);
    for (int i = 0; i < options->filters; i++)
        if (strstr(full, options->argv[i]))
            return true;
    return options->filters == 0;
}

static int usage(const char *program) {
    fprintf(stderr, "usage: %s [--list] [--no-fork] [--timeout SECONDS] [SUBSTRING ...]\n", program);
    return 2;
}

/* Substrings are moved to the front of argv + 1. Returns 0, or the exit status of a bad call. */
static int read_options(int argc, char **argv, struct options *options) {
    *options =
        (struct options){.argv = argv + 1, .timeout_s = TIMEOUT_S * (test_is_slow() ? SLOW_FACTOR : 1)};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            options->list = true;
        else if (strcmp(argv[i], "--no-fork") == 0)
            options->no_fork = true;
        else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc)
            options->timeout_s = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (argv[i][0] == '-')
            return usage(argv[0]);
        else
            options->argv[options->filters++] = argv[i];
    }
    return 0;
}

int test_main(int argc, char **argv, const struct test_suite *suites) {
    struct options options;
    struct sums sums = {0};
    int bad = read_options(argc, argv, &options);
    if (bad)
        return bad;
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return 1;
    for (const struct test_suite *suite = suites; suite->name; suite++) {
        for (const struct test_case *test = suite->cases; test->name; test++) {
            if (!is_chosen(suite->name, test->name, &options))
                continue;
            if (options.list)
                printf("%s.%s\n", suite->name, test->name);
            else
                run_one(suite->name, test, &options, &sums);
        }
    }
    munmap(report, sizeof *report);
    if (options.list)
        return 0;
    const char *slash = strrchr(argv[0], '/');
    printf("%s: %u passed, %u failed", slash ? slash + 1 : argv[0], sums.passed, sums.failed);
    if (sums.skipped)
        printf(", %u skipped", sums.skipped);
    printf("\n");
    return sums.failed || sums.passed + sums.skipped == 0;
}
