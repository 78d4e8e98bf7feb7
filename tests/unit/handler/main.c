#include "test.h"

extern const struct test_case ingest_tests[], respond_tests[];

int main(int argc, char **argv) {
    static const struct test_suite suites[] = {{"ingest", ingest_tests}, {"respond", respond_tests}, {0}};
    return test_main(argc, argv, suites);
}
