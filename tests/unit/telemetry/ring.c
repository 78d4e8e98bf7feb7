#include "telemetry/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "telemetry/access_log.h"
#include "telemetry/process.h"
#include "test.h"

#define PRODUCERS 3u

static _Thread_local unsigned my_index = UINT32_MAX;

static unsigned who(void) {
    return my_index;
}

static struct tel_ring *new_ring(int fd, const char *path) {
    struct tel_ring_options o = {.name = "test",
                                 .path = path,
                                 .fd = fd,
                                 .producers = PRODUCERS,
                                 .bytes = TEL_RING_BYTES_MIN,
                                 .producer = who};
    struct tel_ring *r = NULL;
    CHECK_INT(tel_ring_new(&o, &r), 0);
    return r;
}

static bool put(struct tel_ring *r, const char *line) {
    return tel_ring_put(r, b_slice_cstr(line));
}

/* Puts lines of 100 bytes, "NNNN....\n", until one is dropped; gives how many went in. */
static int fill(struct tel_ring *r) {
    char line[101];
    for (int i = 0;; i++) {
        snprintf(line, sizeof line, "%04u%95s\n", (unsigned)i % 10000, "");
        if (!put(r, line))
            return i;
    }
}

/* All that stands in a file that will be read from its start. */
static char *contents(int fd, size_t *len) {
    char *all = calloc(1, 1 << 20);
    ssize_t n;
    *len = 0;
    while ((n = pread(fd, all + *len, (1 << 20) - 1 - *len, (off_t)*len)) > 0)
        *len += (size_t)n;
    return all;
}

static int temporary(void) {
    char path[] = "/tmp/weir-ring-XXXXXX";
    int fd = mkostemp(path, O_APPEND);
    unlink(path);
    return fd;
}

static void check_file(int fd, const char *want) {
    size_t len;
    char *all = contents(fd, &len);
    CHECK_STR(all, want);
    free(all);
}

TEST(lines_come_out_in_order) {
    int fd = temporary();
    struct tel_ring *r = new_ring(fd, NULL);
    my_index = 1;
    CHECK(put(r, "one\n"));
    CHECK(put(r, "two\n"));
    my_index = UINT32_MAX; /* no worker */
    CHECK(put(r, "three\n"));
    CHECK_UINT(tel_ring_drain(r), 14);
    CHECK_UINT(tel_ring_drain(r), 0);
    my_index = 0;
    CHECK(put(r, "four\n"));
    CHECK_INT(tel_ring_stop(r), 0); /* writes what is left */
    check_file(fd, "one\ntwo\nthree\nfour\n");
    close(fd);
}

TEST(lines_stay_whole_around_the_end) {
    int fd = temporary();
    struct tel_ring *r = new_ring(fd, NULL);
    char line[1000];
    uint64_t expected = 0;
    my_index = 0;
    for (int i = 0; i < 300; i++) { /* several times around */
        snprintf(line, sizeof line, "%d:%0*d\n", i, i * 3 % 900 + 1, i);
        expected += strlen(line);
        REQUIRE(put(r, line));
        if (i % 20 == 19)
            tel_ring_drain(r);
    }
    CHECK_UINT(tel_ring_stat(r).bytes, expected);
    CHECK_UINT(tel_ring_stat(r).dropped, 0);
    tel_ring_stop(r);
    size_t len;
    char *all = contents(fd, &len), *at = all;
    CHECK_UINT(len, expected);
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "%d:%0*d\n", i, i * 3 % 900 + 1, i);
        REQUIRE(strncmp(at, line, strlen(line)) == 0);
        at += strlen(line);
    }
    free(all);
    close(fd);
}

TEST(what_does_not_fit_is_dropped_and_told) {
    int fd = temporary();
    struct tel_ring *r = new_ring(fd, NULL);
    my_index = 0;
    int taken = fill(r);
    CHECK_INT(taken, TEL_RING_BYTES_MIN / 100);
    CHECK(!put(
        r,
        "0000 one line of twenty bytes and many more, so that it does not fit either, which makes it 2\n"));
    CHECK(put(r, "short\n")); /* there is room for this one */
    my_index = 1;
    CHECK(put(r, "another's ring has room\n"));
    CHECK_UINT(tel_ring_stat(r).dropped, 2);
    tel_ring_drain(r);
    my_index = 0;
    CHECK(put(r, "again\n"));
    tel_ring_drain(r);
    size_t len;
    char *all = contents(fd, &len);
    CHECK_STR(all + (size_t)taken * 100, "short\nanother's ring has room\n{\"dropped\":2}\nagain\n");
    free(all);
    tel_ring_stop(r);
    close(fd);
}

TEST(a_line_longer_than_the_ring_is_dropped) {
    int fd = temporary();
    struct tel_ring *r = new_ring(fd, NULL);
    char *line = malloc(TEL_RING_BYTES_MIN + 1);
    memset(line, 'x', TEL_RING_BYTES_MIN + 1);
    line[TEL_RING_BYTES_MIN] = '\n';
    CHECK(!tel_ring_put(r, b_slice(line, TEL_RING_BYTES_MIN + 1)));
    line[TEL_RING_BYTES_MIN - 1] = '\n';
    CHECK(tel_ring_put(r, b_slice(line, TEL_RING_BYTES_MIN)));
    CHECK_UINT(tel_ring_stat(r).dropped, 1);
    free(line);
    tel_ring_stop(r);
    close(fd);
}

TEST(the_marker_can_be_text) {
    int fd = temporary();
    struct tel_ring_options o = {.name = "t", .fd = fd, .producers = 1, .bytes = 1, .text = true};
    struct tel_ring *r = NULL;
    REQUIRE(tel_ring_new(&o, &r) == 0);
    int taken = fill(r);
    tel_ring_stop(r);
    size_t len;
    char *all = contents(fd, &len);
    CHECK_STR(all + (size_t)taken * 100, "-- lines dropped: 1\n");
    free(all);
    close(fd);
}

TEST(bad_options_are_refused) {
    struct tel_ring *r = NULL;
    struct tel_ring_options o = {.name = "t", .fd = 1, .producers = 0};
    CHECK_INT(tel_ring_new(&o, &r), -EINVAL);
    o.producers = TEL_RING_PRODUCERS + 1;
    CHECK_INT(tel_ring_new(&o, &r), -EINVAL);
    o.producers = 1;
    o.path = "/nowhere/at/all";
    CHECK_INT(tel_ring_new(&o, &r), -ENOENT);
    o.path = NULL;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        b_alloc_fail_at(nth);
        CHECK_INT(tel_ring_new(&o, &r), -ENOMEM);
        CHECK_UINT(b_alloc_failures(), 1);
    }
    b_alloc_fail_at(0);
}

TEST(without_memory_a_line_is_dropped) {
    int fd = temporary();
    struct tel_ring *r = new_ring(fd, NULL);
    struct tel_access a = {.status = 200};
    b_alloc_fail_at(1);
    CHECK(!put(r, "x\n"));
    b_alloc_fail_at(1);
    CHECK(!tel_access_log(r, &a));
    b_alloc_fail_at(0);
    CHECK(put(r, "y\n"));
    tel_ring_stop(r);
    check_file(fd, "y\n{\"dropped\":2}\n");
    close(fd);
}

TEST(a_full_disk_costs_lines_and_nothing_else) {
    int fd = open("/dev/full", O_WRONLY);
    struct tel_ring *r = new_ring(fd, NULL);
    my_index = 0;
    for (int i = 0; i < 5; i++)
        CHECK(put(r, "one\ntwo\n")); /* two lines in one go: both are counted */
    CHECK_UINT(tel_ring_drain(r), 0);
    CHECK_UINT(tel_ring_stat(r).dropped, 10);
    int room = temporary();
    dup2(room, fd);                   /* somebody makes room */
    CHECK_UINT(tel_ring_drain(r), 0); /* the marker waits for a line */
    CHECK(put(r, "three\n"));
    tel_ring_stop(r);
    check_file(room, "three\n{\"dropped\":10}\n");
    close(fd);
    close(room);
}

TEST(a_reader_that_went_away_is_survived) {
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    close(fds[0]);
    struct tel_ring *r = new_ring(fds[1], NULL);
    REQUIRE(tel_ring_start(r) == 0);
    my_index = 0;
    for (int i = 0; i < 10; i++)
        CHECK(put(r, "line\n"));
    while (tel_ring_stat(r).dropped < 10)
        usleep(1000);
    CHECK_INT(tel_ring_stop(r), 0);
    close(fds[1]);
}

/* What a torn line would do: the file ends inside a line when the pipe is full, and goes on elsewhere later.
 */
TEST(a_torn_line_is_ended) {
    int fds[2];
    char buf[4096];
    size_t sum = 0;
    REQUIRE(pipe2(fds, O_NONBLOCK) == 0);
    fcntl(fds[1], F_SETPIPE_SZ, 4096);
    struct tel_ring *r = new_ring(fds[1], NULL);
    my_index = 0;
    int taken = fill(r); /* 32 KiB into 4 KiB, and no thread that could wait */
    CHECK_UINT(tel_ring_drain(r), 4096);
    CHECK_UINT(tel_ring_stat(r).dropped, (uint64_t)taken - 40 + 1);
    while (sum < 4096)
        sum += (size_t)read(fds[0], buf, sizeof buf);
    CHECK_MEM(buf + 4000, "0040", 4); /* 96 bytes of the 41st */
    CHECK(put(r, "next\n"));
    tel_ring_drain(r);
    ssize_t n = read(fds[0], buf, sizeof buf);
    char want[64];
    snprintf(want, sizeof want, "\nnext\n{\"dropped\":%d}\n", taken - 40 + 1);
    CHECK_SLICE(buf, (size_t)n, want);
    tel_ring_stop(r);
    close(fds[0]);
    close(fds[1]);
}

/* ---- with a writer thread ---- */

struct load {
    struct tel_ring *ring;
    unsigned index;
    int lines, taken;
};

static void *produce(void *arg) {
    struct load *l = arg;
    char line[64];
    my_index = l->index;
    for (int i = 0; i < l->lines; i++) {
        snprintf(line, sizeof line, "%u %d\n", l->index, l->taken);
        l->taken += put(l->ring, line);
    }
    return NULL;
}

struct reading {
    int fd;
    unsigned pause_us;
    size_t chunk, len;
    char *all;
};

static void *consume(void *arg) {
    struct reading *in = arg;
    ssize_t n;
    while ((n = read(in->fd, in->all + in->len, in->chunk)) > 0) {
        in->len += (size_t)n;
        if (in->pause_us)
            usleep(in->pause_us);
    }
    return NULL;
}

/* Each producer's numbers must be there once, in order; gives the sum of the markers. */
static uint64_t check_lines(char *all, const struct load *loads, int count) {
    int next[8] = {0};
    uint64_t told = 0;
    for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned index;
        int number;
        unsigned long long n;
        if (sscanf(line, "{\"dropped\":%llu}", &n) == 1) {
            told += n;
            continue;
        }
        if (sscanf(line, "%u %d", &index, &number) != 2 || index >= (unsigned)count ||
            number != next[index]++) {
            FAIL("not expected: %s", line);
            break;
        }
    }
    for (int i = 0; i < count; i++)
        CHECK_INT(next[i], loads[i].taken);
    return told;
}

static void run_load(int pipe_flags, unsigned pause_us, size_t chunk, int lines) {
    int fds[2];
    REQUIRE(pipe2(fds, 0) == 0);
    fcntl(fds[1], F_SETFL, pipe_flags);
    struct tel_ring *r = new_ring(fds[1], NULL);
    struct load loads[6];
    pthread_t threads[6], reader;
    struct reading in = {.fd = fds[0], .pause_us = pause_us, .chunk = chunk, .all = calloc(1, 8 << 20)};
    REQUIRE(tel_ring_start(r) == 0);
    pthread_create(&reader, NULL, consume, &in);
    for (unsigned i = 0; i < 6; i++) { /* three workers, and three other threads on the shared ring */
        loads[i] = (struct load){.ring = r, .index = i, .lines = lines};
        pthread_create(&threads[i], NULL, produce, &loads[i]);
    }
    uint64_t taken = 0;
    for (unsigned i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        taken += (uint64_t)loads[i].taken;
    }
    uint64_t dropped = tel_ring_stat(r).dropped;
    CHECK_UINT(taken + dropped, (uint64_t)lines * 6);
    CHECK_INT(tel_ring_stop(r), 0);
    close(fds[1]);
    pthread_join(reader, NULL);
    CHECK_UINT(check_lines(in.all, loads, 6), dropped);
    free(in.all);
    close(fds[0]);
}

TEST(concurrent_producers) {
    run_load(0, 0, 65536, test_is_slow() ? 5000 : 50000);
}

TEST(a_reader_in_small_bites) {
    run_load(O_NONBLOCK, 100, 997, 2000); /* short writes and EAGAIN */
}

TEST(a_stuck_reader_never_blocks_producers) {
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    struct tel_ring *r = new_ring(fds[1], NULL);
    REQUIRE(tel_ring_start(r) == 0);
    struct load load = {.ring = r, .index = 0, .lines = 100000}; /* some MB, and nobody reads */
    produce(&load);
    CHECK(load.taken < load.lines);
    CHECK_UINT(tel_ring_stat(r).dropped, (uint64_t)(load.lines - load.taken));
    struct reading in = {.fd = fds[0], .chunk = 65536, .all = calloc(1, 8 << 20)};
    pthread_t reader;
    pthread_create(&reader, NULL, consume, &in);
    CHECK_INT(tel_ring_stop(r), 0);
    close(fds[1]);
    pthread_join(reader, NULL);
    CHECK_UINT(check_lines(in.all, &load, 1), (uint64_t)(load.lines - load.taken));
    free(in.all);
    close(fds[0]);
}

static void check_bounded_stop(int flags) {
    int fds[2];
    struct timespec before, after;
    REQUIRE(pipe2(fds, flags) == 0);
    fcntl(fds[1], F_SETPIPE_SZ, 4096);
    struct tel_ring *r = new_ring(fds[1], NULL);
    REQUIRE(tel_ring_start(r) == 0);
    my_index = 0;
    fill(r);
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK_INT(tel_ring_stop(r), -ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK(after.tv_sec - before.tv_sec < 30);
}

TEST(stop_does_not_wait_for_ever) {
    check_bounded_stop(O_NONBLOCK);
    check_bounded_stop(0); /* the writer stays in its write, and everything is left to it */
}

TEST(a_sleeping_writer_is_woken) {
    int fds[2];
    char buf[64];
    REQUIRE(pipe(fds) == 0);
    struct tel_ring *r = new_ring(fds[1], NULL);
    REQUIRE(tel_ring_start(r) == 0);
    for (int i = 0; i < 20; i++) {
        my_index = (unsigned)i % 5; /* workers, and others */
        usleep(i % 3 * 7000);       /* awake, napping, asleep */
        CHECK(put(r, "line\n"));
        CHECK_INT(read(fds[0], buf, sizeof buf), 5); /* hangs when nobody wakes it */
    }
    tel_ring_stop(r);
    close(fds[0]);
    close(fds[1]);
}

TEST(the_file_is_opened_again_on_request) {
    char dir[] = "/tmp/weir-ring-XXXXXX", path[64], old[64], buf[64] = "";
    REQUIRE(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/access.log", dir);
    snprintf(old, sizeof old, "%s/access.log.1", dir);
    struct tel_ring *r = new_ring(-1, path);
    REQUIRE(tel_ring_start(r) == 0);
    my_index = 0;
    CHECK(put(r, "one\n"));
    while (tel_ring_stat(r).bytes < 4)
        usleep(1000);
    CHECK_INT(rename(path, old), 0);
    tel_ring_reopen(r);
    while (access(path, F_OK) != 0)
        usleep(1000);
    CHECK(put(r, "two\n"));
    CHECK_INT(tel_ring_stop(r), 0);
    struct stat st;
    int fd = open(path, O_RDONLY);
    CHECK_INT(read(fd, buf, sizeof buf), 4);
    CHECK_STR(buf, "two\n");
    CHECK_INT(fstat(fd, &st), 0);
    CHECK_INT(st.st_mode & 0007, 0); /* not for everyone */
    close(fd);
    fd = open(old, O_RDONLY);
    check_file(fd, "one\n");
    close(fd);
    unlink(path);
    unlink(old);
    rmdir(dir);
}

TEST(it_is_a_sink_for_the_log) {
    int fd = temporary();
    struct tel_ring *r = new_ring(fd, NULL);
    b_log_set_format(B_LOG_JSON);
    b_log_set_sink(tel_ring_sink(r));
    B_LOG(B_WARN, "x", "hello");
    b_log_set_sink(NULL);
    tel_ring_stop(r);
    size_t len;
    char *all = contents(fd, &len);
    CHECK(strstr(all, "\"level\":\"warn\",\"component\":\"x\",\"msg\":\"hello\"}\n") != NULL);
    free(all);
    close(fd);
}

TEST(a_writer_that_fails_does_not_spin) {
    int fd = open("/dev/full", O_WRONLY);
    struct tel_process_stat before, after;
    struct tel_ring *r = new_ring(fd, NULL);
    REQUIRE(tel_ring_start(r) == 0);
    CHECK(put(r, "x\n"));
    while (tel_ring_stat(r).dropped < 1)
        usleep(1000);
    tel_process_stat(&before);
    usleep(300000);
    tel_process_stat(&after);
    CHECK(after.cpu_seconds - before.cpu_seconds < 0.1); /* of this process, which has nothing to do */
    tel_ring_stop(r);
    close(fd);
}

static int complaints;

static void count_complaints(const struct b_log_sink *sink, struct b_slice line) {
    (void)sink;
    complaints += memmem(line.ptr, line.len, "No space left", 13) != NULL;
}

static uint64_t test_time = 1000000000000u;

static uint64_t test_clock(void) {
    return test_time;
}

TEST(it_complains_once_a_second) {
    static const struct b_log_sink counter = {count_complaints};
    int fd = open("/dev/full", O_WRONLY);
    struct tel_ring *r = new_ring(fd, NULL);
    b_log_set_sink(&counter);
    b_log_set_clock(test_clock);
    for (int i = 0; i < 30; i++) {
        CHECK(put(r, "x\n"));
        tel_ring_drain(r);
        test_time += 100000000;
    }
    CHECK_INT(complaints, 3);
    tel_ring_stop(r);
    b_log_set_sink(NULL);
    close(fd);
}

const struct test_case ring_tests[] = {
    {"lines_come_out_in_order", lines_come_out_in_order},
    {"lines_stay_whole_around_the_end", lines_stay_whole_around_the_end},
    {"what_does_not_fit_is_dropped_and_told", what_does_not_fit_is_dropped_and_told},
    {"a_line_longer_than_the_ring_is_dropped", a_line_longer_than_the_ring_is_dropped},
    {"the_marker_can_be_text", the_marker_can_be_text},
    {"bad_options_are_refused", bad_options_are_refused},
    {"without_memory_a_line_is_dropped", without_memory_a_line_is_dropped},
    {"a_full_disk_costs_lines_and_nothing_else", a_full_disk_costs_lines_and_nothing_else},
    {"a_reader_that_went_away_is_survived", a_reader_that_went_away_is_survived},
    {"a_torn_line_is_ended", a_torn_line_is_ended},
    {"concurrent_producers", concurrent_producers},
    {"a_reader_in_small_bites", a_reader_in_small_bites},
    {"a_stuck_reader_never_blocks_producers", a_stuck_reader_never_blocks_producers},
    {"stop_does_not_wait_for_ever", stop_does_not_wait_for_ever},
    {"a_sleeping_writer_is_woken", a_sleeping_writer_is_woken},
    {"the_file_is_opened_again_on_request", the_file_is_opened_again_on_request},
    {"it_is_a_sink_for_the_log", it_is_a_sink_for_the_log},
    {"a_writer_that_fails_does_not_spin", a_writer_that_fails_does_not_spin},
    {"it_complains_once_a_second", it_complains_once_a_second},
    {0},
};
