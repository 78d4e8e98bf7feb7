#include "http/message.h"

#include "support.h"

TEST(methods) {
    for (int m = 0; m < HTTP_METHOD_OTHER; m++)
        CHECK_INT(http_method_of(http_method_name((enum http_method)m)), m);
    CHECK_INT(http_method_of(B_LIT("get")), HTTP_METHOD_OTHER);
    CHECK_INT(http_method_of(B_LIT("GE")), HTTP_METHOD_OTHER);
    CHECK_INT(http_method_of(B_LIT("GETS")), HTTP_METHOD_OTHER);
    CHECK_INT(http_method_of(B_LIT("")), HTTP_METHOD_OTHER);
    CHECK_S(http_method_name(HTTP_METHOD_OTHER), "");
    CHECK(http_method_safe(HTTP_METHOD_GET) && http_method_safe(HTTP_METHOD_HEAD) &&
          !http_method_safe(HTTP_METHOD_POST));
    CHECK(http_method_idempotent(HTTP_METHOD_PUT) && http_method_idempotent(HTTP_METHOD_DELETE));
    CHECK(!http_method_idempotent(HTTP_METHOD_POST) && !http_method_idempotent(HTTP_METHOD_PATCH));
    CHECK(!http_method_safe(HTTP_METHOD_OTHER) && !http_method_idempotent(HTTP_METHOD_OTHER));
}

TEST(reasons) {
    CHECK_S(http_reason(200), "OK");
    CHECK_S(http_reason(404), "Not Found");
    CHECK_S(http_reason(504), "Gateway Timeout");
    CHECK_S(http_reason(299), "Unknown");
}

TEST(dates) {
    static const struct {
        int64_t seconds;
        const char *want;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},          {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},  {951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},
        {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},  {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
        {1767225599, "Wed, 31 Dec 2025 23:59:59 GMT"}, {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {-1, "Thu, 01 Jan 1970 00:00:00 GMT"},         {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[HTTP_DATE_LEN];
        http_date_format(buf, rows[i].seconds);
        CHECK_SLICE(buf, sizeof buf, rows[i].want);
    }
}

const struct test_case message_tests[] = {
    {"methods", methods},
    {"reasons", reasons},
    {"dates", dates},
    {0},
};
