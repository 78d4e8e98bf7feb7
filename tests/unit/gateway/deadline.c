/* What a client says about its deadline. */
#include <string.h>

#include "gateway/conn.h"
#include "runtime/sim.h"
#include "support.h"
#include "test.h"

#define ROUTE_DEADLINE (30 * RT_S)

struct asked {
    const char *field, *value;
    const char *peer, *trusted;
    int rc;
    rt_time left;
};

static void ask(void *arg) {
    struct asked *a = arg;
    struct built b;
    char text[256];
    struct b_text config = b_text_fixed(text, sizeof text - 1);
    b_text_printf(
        &config,
        "version: 1\nlisten: [\":8080\"]\ntrusted_proxies: [%s]\nroutes: [{match: /, respond: {}}]\n",
        a->trusted);
    text[config.len] = 0;
    build(&b, text);
    struct http_field fields[4];
    struct rt_sockaddr from;
    struct gw_conn conn = {.listener = NULL};
    struct exchange *ex = b_zalloc(B_TAG_TEST, sizeof *ex);
    static const uint8_t loopback[16] = {127, 0, 0, 1};
    net_ipv4(&from, loopback, 5000);
    net_peer_from(&conn.peer, &from);
    ex->conn = &conn;
    ex->snapshot = b.snapshot;
    ex->req.fields = (struct http_fields){.at = fields, .cap = 4};
    ex->call.deadline = rt_after(rt_now(), ROUTE_DEADLINE);
    CHECK_INT(http_fields_add(NULL, &ex->req.fields, b_slice_cstr(a->field), b_slice_cstr(a->value)), 0);
    a->rc = gw_shorten_deadline(ex);
    a->left = ex->call.deadline - rt_now();
    b_free(ex);
    unbuild(&b);
}

static rt_time left_after(const char *trusted, const char *field, const char *value) {
    struct asked a = {.field = field, .value = value, .trusted = trusted};
    struct rt_sim_config sim = {.seed = 1, .workers = 1};
    CHECK_INT(rt_sim_run(&sim, ask, &a), 0);
    CHECK_INT(a.rc, a.left <= 0 ? -HTTP_E_DEADLINE_EXCEEDED : 0);
    return a.left;
}

#define TRUSTED "127.0.0.0/8"

TEST(milliseconds) {
    CHECK_INT(left_after(TRUSTED, "x-request-deadline", "150"), 150 * RT_MS);
    CHECK_INT(left_after(TRUSTED, "X-Request-Deadline", "40000"), ROUTE_DEADLINE); /* it can only shorten */
    CHECK_INT(left_after(TRUSTED, "x-request-deadline", "0"), 0);
}

TEST(nonsense_is_ignored) {
    static const char *const nonsense[] = {"",
                                           "-1",
                                           "1.5",
                                           "10ms",
                                           "0x10",
                                           "18446744073709551615",
                                           "18446744073709551616",
                                           "9223372036854775807",
                                           "9999999999999999999999"};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        CHECK_INT(left_after(TRUSTED, "x-request-deadline", nonsense[i]), ROUTE_DEADLINE);
    static const char *const grpc[] = {"", "5", "S", "123456789S", "5s", "-5S", "5 S", "5SS", "99999999H"};
    for (size_t i = 0; i < sizeof grpc / sizeof grpc[0]; i++)
        CHECK_INT(left_after(TRUSTED, "grpc-timeout", grpc[i]), ROUTE_DEADLINE);
}

TEST(grpc_units) {
    CHECK_INT(left_after(TRUSTED, "grpc-timeout", "2S"), 2 * RT_S);
    CHECK_INT(left_after(TRUSTED, "grpc-timeout", "250m"), 250 * RT_MS);
    CHECK_INT(left_after(TRUSTED, "grpc-timeout", "99999999n"), 99999999);
    CHECK_INT(left_after(TRUSTED, "grpc-timeout", "7u"), 7 * RT_US);
    CHECK_INT(left_after(TRUSTED, "grpc-timeout", "1M"), ROUTE_DEADLINE);
    CHECK_INT(left_after(TRUSTED, "grpc-timeout", "0H"), 0);
}

TEST(strangers_are_not_believed) {
    CHECK_INT(left_after("10.0.0.0/8", "x-request-deadline", "1"), ROUTE_DEADLINE);
    CHECK_INT(left_after("", "grpc-timeout", "1n"), ROUTE_DEADLINE);
}

const struct test_case deadline_tests[] = {
    {"milliseconds", milliseconds},
    {"nonsense_is_ignored", nonsense_is_ignored},
    {"grpc_units", grpc_units},
    {"strangers_are_not_believed", strangers_are_not_believed},
    {0},
};
