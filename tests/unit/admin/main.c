#include "test.h"

extern const struct test_case admin_tests[];

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {{"admin", admin_tests}, {0}};
    return test_main(argc, argv, suites);
}
