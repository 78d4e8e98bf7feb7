#include "test.h"

extern const struct test_case cpus_tests[];
extern const struct test_case memory_tests[];
extern const struct test_case timer_tests[];
extern const struct test_case stack_tests[];
extern const struct test_case fiber_tests[];
extern const struct test_case scope_tests[];
extern const struct test_case worker_tests[];
extern const struct test_case sync_tests[];
extern const struct test_case load_tests[];
extern const struct test_case offload_tests[];
extern const struct test_case io_tests[];
extern const struct test_case io_wait_tests[];
extern const struct test_case io_workers_tests[];
extern const struct test_case pipe_tests[];
extern const struct test_case sim_tests[];

static const struct test_suite suites[] = {
    {"cpus", cpus_tests},
    {"timer", timer_tests},
    {"stack", stack_tests},
    {"fiber", fiber_tests},
    {"scope", scope_tests},
    {"worker", worker_tests},
    {"sync", sync_tests},
    {"load", load_tests},
    {"memory", memory_tests},
    {"offload", offload_tests},
    {"io", io_tests},
    {"io_wait", io_wait_tests},
    {"io_workers", io_workers_tests},
    {"pipe", pipe_tests},
    {"sim", sim_tests},
    {0},
};

int main(int argc, char **argv) {
    return test_main(argc, argv, suites);
}
