#include "test.h"

extern const struct test_case respond_tests[];

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {{"respond", respond_tests}, {0}};
    return test_main(argc, argv, suites);
}
