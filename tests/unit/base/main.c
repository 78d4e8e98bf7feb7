#include "test.h"

#define SUITES(X) \
    X(slice)      \
    X(calendar) X(list) X(alloc) X(arena) X(map) X(number) X(text) X(siphash) X(histogram) X(escape) X(log)

#define DECLARE(name) extern const struct test_case name##_tests[];
SUITES(DECLARE)

int main(int argc, char **argv) {
#define LINE(name) {#name, name##_tests},
    static const struct test_suite suites[] = {SUITES(LINE){0}};
    return test_main(argc, argv, suites);
}
