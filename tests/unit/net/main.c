#include "test.h"

extern const struct test_case address_tests[];
extern const struct test_case listener_tests[];
extern const struct test_case dns_cache_tests[];
extern const struct test_case dns_tests[];
extern const struct test_case proxy_protocol_tests[];

static const struct test_suite suites[] = {
    {"address", address_tests},
    {"listener", listener_tests},
    {"dns_cache", dns_cache_tests},
    {"dns", dns_tests},
    {"proxy_protocol", proxy_protocol_tests},
    {0},
};

int main(int argc, char **argv) {
    return test_main(argc, argv, suites);
}
