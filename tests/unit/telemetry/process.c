#include "telemetry/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static char page[1 << 16];

/* The number behind "name{labels} " on the page; -1 when it is not there. */
static double value(const char *name) {
    char start[128];
    struct b_text t = b_text_heap(B_TAG_TEST, sizeof page - 1);
    tel_write_metrics(&t);
    CHECK(!t.failed);
    memcpy(page, t.ptr, t.len);
    page[t.len] = 0;
    b_text_free(&t);
    snprintf(start, sizeof start, "\n%s ", name);
    const char *at = strstr(page, start);
    return at ? strtod(at + strlen(start), NULL) : -1;
}

TEST(figures_of_the_kernel) {
    struct tel_process_stat s;
    tel_process_stat(&s);
    CHECK(s.resident_bytes > 100000 && s.resident_bytes < s.virtual_bytes);
    CHECK(s.threads >= 1);
    CHECK(s.fds_max > s.open_fds);
    CHECK(s.start_seconds > (double)time(NULL) - 600 && s.start_seconds < (double)time(NULL) + 5);
    CHECK(s.cpu_seconds >= 0 && s.cpu_seconds < 600);
}

TEST(descriptors_are_counted) {
    struct tel_process_stat before, after;
    tel_process_stat(&before);
    int fd = open("/dev/null", O_RDONLY), other = dup(fd);
    tel_process_stat(&after);
    CHECK_UINT(after.open_fds, before.open_fds + 2);
    close(fd);
    close(other);
}

TEST(cpu_time_goes_on) {
    struct tel_process_stat before, now;
    tel_process_stat(&before);
    do {
        for (volatile int i = 0; i < 1000000; i++)
            ;
        tel_process_stat(&now);
    } while (now.cpu_seconds <= before.cpu_seconds); /* a figure that stands still never ends */
    CHECK(now.cpu_seconds > before.cpu_seconds);
}

TEST(on_the_page) {
    tel_metrics_init(1);
    CHECK_INT(tel_process_init(), 0);
    void *held = b_alloc(B_TAG_CONFIG, 12345);
    CHECK(value("process_cpu_seconds_total") >= 0);
    CHECK(value("process_resident_memory_bytes") > 100000);
    CHECK(value("process_virtual_memory_bytes") > 100000);
    CHECK(value("process_open_fds") >= 3);
    CHECK(value("process_max_fds") > 3);
    CHECK(value("process_start_time_seconds") > 1e9);
    CHECK(value("process_threads") >= 1);
    CHECK(value("weir_memory_bytes{subsystem=\"config\"}") == 12345);
    CHECK(value("weir_allocations_total{subsystem=\"config\"}") == 1);
    CHECK(value("weir_memory_bytes{subsystem=\"test\"}") == -1);
    CHECK(strstr(page, "\nweir_build_info{version=\"") != NULL);
    b_free(held);
    tel_metrics_free();
}

TEST(dropped_lines_by_log) {
    struct tel_ring_options o = {.name = "access",
                                 .fd = open("/dev/null", O_WRONLY),
                                 .producers = 1,
                                 .bytes = 1};
    struct tel_ring *r = NULL, *again = NULL;
    tel_metrics_init(1);
    CHECK_INT(tel_process_init(), 0);
    REQUIRE(tel_ring_new(&o, &r) == 0);
    CHECK_INT(tel_process_add_log(r), 0);
    CHECK(tel_ring_put(r, B_LIT("line\n")));
    tel_ring_drain(r);
    CHECK(value("weir_log_dropped_total{log=\"access\"}") == 0);
    CHECK(value("weir_log_written_bytes_total{log=\"access\"}") == 5);
    while (tel_ring_put(r, B_LIT("line\n")))
        ;
    CHECK(value("weir_log_dropped_total{log=\"access\"}") == 1);
    tel_process_remove_log(r);
    tel_ring_stop(r);
    CHECK(value("weir_log_dropped_total{log=\"access\"}") == 1); /* a counter never goes back */
    REQUIRE(tel_ring_new(&o, &again) == 0);
    CHECK_INT(tel_process_add_log(again), 0);
    CHECK(value("weir_log_dropped_total{log=\"access\"}") == 1);
    tel_process_remove_log(again);
    tel_ring_stop(again);
    tel_metrics_free();
    close(o.fd);
}

const struct test_case process_tests[] = {
    {"figures_of_the_kernel", figures_of_the_kernel}, {"descriptors_are_counted", descriptors_are_counted},
    {"cpu_time_goes_on", cpu_time_goes_on},           {"on_the_page", on_the_page},
    {"dropped_lines_by_log", dropped_lines_by_log},   {0},
};
