#include "test.h"

#define SUITES(X) \
    X(value)      \
    X(address) X(nearest) X(node) X(errors) X(schema) X(load) X(wrong) X(files) X(describe) X(memory) X(copy)

#define DECLARE(name) extern const struct test_case name##_tests[];
SUITES(DECLARE)

int main(int argc, char **argv) {
#define LINE(name) {#name, name##_tests},
    static const struct test_suite suites[] = {SUITES(LINE){0}};
    return test_main(argc, argv, suites);
}
