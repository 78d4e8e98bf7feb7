#include "test.h"

extern const struct test_case balance_tests[], registry_tests[];

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {{"balance", balance_tests}, {"registry", registry_tests}, {0}};
    return test_main(argc, argv, suites);
}
