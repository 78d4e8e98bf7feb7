#include "test.h"

extern const struct test_case error_tests[];
extern const struct test_case fields_tests[];
extern const struct test_case message_tests[];
extern const struct test_case authority_tests[];
extern const struct test_case path_tests[];
extern const struct test_case h1_request_tests[];
extern const struct test_case h1_request_refusal_tests[];
extern const struct test_case h1_response_tests[];
extern const struct test_case h1_chunked_tests[];
extern const struct test_case h1_write_tests[];
extern const struct test_case problem_tests[];

static const struct test_suite suites[] = {
    {"error", error_tests},
    {"fields", fields_tests},
    {"message", message_tests},
    {"authority", authority_tests},
    {"path", path_tests},
    {"h1_request", h1_request_tests},
    {"h1_request_refusal", h1_request_refusal_tests},
    {"h1_response", h1_response_tests},
    {"h1_chunked", h1_chunked_tests},
    {"h1_write", h1_write_tests},
    {"problem", problem_tests},
    {0},
};

int main(int argc, char **argv) {
    return test_main(argc, argv, suites);
}
