#include "test.h"

extern const struct test_case args_tests[];

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {{"args", args_tests}, {0}};
    return test_main(argc, argv, suites);
}
