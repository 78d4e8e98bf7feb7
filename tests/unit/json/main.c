#include "test.h"

extern const struct test_case writer_tests[];
extern const struct test_case utf8_tests[];
extern const struct test_case index_tests[];
extern const struct test_case template_tests[];

static const struct test_suite suites[] = {
    {"writer", writer_tests}, {"utf8", utf8_tests}, {"index", index_tests}, {"template", template_tests}, {0},
};

int main(int argc, char **argv) {
    return test_main(argc, argv, suites);
}
