#include "test.h"

extern const struct test_case balance_tests[], deadline_tests[], overload_tests[], pace_tests[], plan_tests[],
    router_tests[];

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {{"balance", balance_tests},
                                               {"deadline", deadline_tests},
                                               {"overload", overload_tests},
                                               {"pace", pace_tests},
                                               {"plan", plan_tests},
                                               {"router", router_tests},
                                               {0}};
    return test_main(argc, argv, suites);
}
