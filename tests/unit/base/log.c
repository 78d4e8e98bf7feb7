#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static char last[2 * B_LOG_LINE_MAX];
static int lines;

static void keep(const struct b_log_sink *sink, struct b_slice line) {
    (void)sink;
    errno = EBADF;
    lines++;
    memcpy(last, line.ptr, line.len);
    last[line.len] = 0;
}

static const struct b_log_sink keeper = {keep};

static uint64_t fixed_clock(void) {
    return 1767323045678000000u; /* 2026-01-02T03:04:05.678Z */
}

static void begin(enum b_log_format format) {
    b_log_set_sink(&keeper);
    b_log_set_clock(fixed_clock);
    b_log_set_format(format);
}

TEST(json_lines) {
    begin(B_LOG_JSON);
    B_LOG(B_WARN, "upstream", "endpoint %s is down: %d", "a\"b", 7);
    CHECK_STR(last, "{\"ts\":\"2026-01-02T03:04:05.678Z\",\"level\":\"warn\",\"component\":\"upstream\","
                    "\"msg\":\"endpoint a\\\"b is down: 7\"}\n");
    B_LOG(B_ERROR, "x", "%s", "two\nlines \xff \x1b");
    CHECK(strstr(last, "\"msg\":\"two\\nlines \xef\xbf\xbd \\u001b\"}\n") != NULL);
    CHECK_INT(lines, 2);
}

TEST(text_lines) {
    begin(B_LOG_TEXT);
    B_LOG(B_WARN, "upstream", "down");
    CHECK_STR(last, "03:04:05.678 warn  upstream: down\n");
    B_LOG(B_ERROR, "net", "%s", "forged\n03:04:05.678 info  net: all is well");
    CHECK_STR(last, "03:04:05.678 error net: forged\\n03:04:05.678 info  net: all is well\n");
}

TEST(the_level_decides_before_anything_is_evaluated) {
    int evaluated = 0;
    begin(B_LOG_TEXT);
    CHECK_INT(b_log_level(), B_INFO);
    B_LOG(B_DEBUG, "x", "%d", ++evaluated);
    CHECK_INT(lines, 0);
    CHECK_INT(evaluated, 0);
    b_log_set_level(B_DEBUG);
    B_LOG(B_DEBUG, "x", "%d", ++evaluated);
    CHECK_INT(lines, 1);
    CHECK_INT(evaluated, 1);
    b_log_set_level(B_ERROR);
    B_LOG(B_WARN, "x", "%d", ++evaluated);
    CHECK_INT(lines, 1);
    CHECK_INT(b_log_level(), B_ERROR);
}

TEST(level_names) {
    enum b_level level;
    CHECK(b_level_parse(B_LIT("warn"), &level) && level == B_WARN);
    CHECK(!b_level_parse(B_LIT("WARN"), &level));
    CHECK(!b_level_parse(B_LIT(""), &level));
    for (int i = 0; i < B_LEVEL_COUNT; i++)
        CHECK(b_level_parse(b_slice_cstr(b_level_name((enum b_level)i)), &level) && (int)level == i);
}

static void check_long(enum b_log_format format, char fill, const char *end) {
    static char message[3 * B_LOG_LINE_MAX];
    begin(format);
    memset(message, fill, sizeof message - 1);
    B_LOG(B_INFO, "x", "%s", message);
    size_t len = strlen(last);
    CHECK(len <= B_LOG_LINE_MAX);
    CHECK(len > B_LOG_LINE_MAX - 8); /* no shorter than an escape needs */
    CHECK_STR(last + len - strlen(end), end);
}

TEST(long_lines_are_cut) {
    check_long(B_LOG_JSON, 'a', "a...\"}\n");
    check_long(B_LOG_JSON, '\x01', "\\u0001...\"}\n");
    check_long(B_LOG_TEXT, 'a', "a...\n");
    check_long(B_LOG_TEXT, '\n', "\\n...\n");
}

TEST(errno_is_left_alone) {
    begin(B_LOG_JSON);
    errno = ENOENT;
    B_LOG(B_INFO, "x", "%m");
    CHECK_INT(errno, ENOENT);
    CHECK(strstr(last, "No such file") != NULL);
}

TEST(without_a_sink_lines_go_to_stderr) {
    int fds[2];
    char buf[256] = "";
    REQUIRE(pipe(fds) == 0);
    int saved = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    b_log_set_sink(NULL);
    b_log_set_clock(fixed_clock);
    B_LOG(B_INFO, "x", "hello"); /* no format was chosen: a pipe is no terminal */
    dup2(saved, STDERR_FILENO);
    ssize_t n = read(fds[0], buf, sizeof buf - 1);
    CHECK(n > 0);
    CHECK_STR(
        buf,
        "{\"ts\":\"2026-01-02T03:04:05.678Z\",\"level\":\"info\",\"component\":\"x\",\"msg\":\"hello\"}\n");
    CHECK_INT(b_log_format(), B_LOG_JSON);
    close(fds[0]);
    close(fds[1]);
    close(saved);
}

static void check_time(int64_t seconds, uint64_t ms) {
    char got[B_TIMESTAMP_TEXT + 1] = "", date[32], want[48];
    time_t t = (time_t)seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(want, sizeof want, "%s.%03dZ", date, (int)ms);
    struct b_text text = b_text_fixed(got, B_TIMESTAMP_TEXT);
    b_text_timestamp(&text, (uint64_t)seconds * 1000000000u + ms * 1000000u + 999999u);
    CHECK_STR(got, want);
}

TEST(timestamps_agree_with_the_c_library) {
    check_time(0, 0);
    check_time(951782399, 999); /* 2000-02-28T23:59:59 */
    check_time(951782400, 1);   /* the 29th of a century that has one */
    check_time(4107542400, 10); /* 2100-03-01, the day after the 28th */
    check_time(18446744073, 0); /* as far as it goes */
    for (int64_t day = 0; day < 150 * 366; day++)
        check_time(day * 86400 + day % 86400, (uint64_t)day % 1000);
}

const struct test_case log_tests[] = {
    {"json_lines", json_lines},
    {"text_lines", text_lines},
    {"the_level_decides_before_anything_is_evaluated", the_level_decides_before_anything_is_evaluated},
    {"level_names", level_names},
    {"long_lines_are_cut", long_lines_are_cut},
    {"errno_is_left_alone", errno_is_left_alone},
    {"without_a_sink_lines_go_to_stderr", without_a_sink_lines_go_to_stderr},
    {"timestamps_agree_with_the_c_library", timestamps_agree_with_the_c_library},
    {0},
};
