#include "test.h"

extern const struct test_case balancers_tests[], breaker_tests[], cluster_tests[], round_robin_tests[],
    registry_tests[];

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {
        {"balancers", balancers_tests},     {"breaker", breaker_tests},   {"cluster", cluster_tests},
        {"round_robin", round_robin_tests}, {"registry", registry_tests}, {0}};
    return test_main(argc, argv, suites);
}
