#include "http/problem.h"

#include <stdio.h>

#include "support.h"

TEST(body) {
    char buf[HTTP_PROBLEM_MAX];
    struct b_text out = b_text_fixed(buf, sizeof buf);
    http_problem_write(&out, &(struct http_problem){.error = HTTP_E_NO_ROUTE,
                                                    .detail = B_LIT("no \"/x\"\n"),
                                                    .request_id = B_LIT("r-1")});
    CHECK_SLICE(out.ptr, out.len,
                "{\"type\":\"urn:weir:error:no_route\",\"title\":\"No such route\",\"status\":404,"
                "\"detail\":\"no \\\"/x\\\"\\n\",\"code\":\"no_route\",\"request_id\":\"r-1\"}\n");
}

TEST(explanation_stands_in_for_a_detail) {
    char buf[HTTP_PROBLEM_MAX];
    struct b_text out = b_text_fixed(buf, sizeof buf - 1);
    http_problem_write(&out, &(struct http_problem){.error = HTTP_E_DRAINING});
    buf[out.len] = 0;
    CHECK(strstr(buf, "\"detail\":\"This instance is being stopped") != NULL);
    CHECK(strstr(buf, "request_id") == NULL);
}

/* The longest of everything still fits what problem.h promises. */
TEST(always_fits) {
    char buf[HTTP_PROBLEM_MAX], worst[4000];
    memset(worst, 1, sizeof worst);
    for (int e = 0; e <= HTTP_ERROR_COUNT; e++) {
        struct b_text out = b_text_fixed(buf, sizeof buf);
        http_problem_write(&out, &(struct http_problem){.error = (enum http_error)e,
                                                        .detail = b_slice(worst, sizeof worst),
                                                        .request_id = b_slice(worst, sizeof worst)});
        CHECK(!out.failed && buf[out.len - 1] == '\n');
        out = b_text_fixed(buf, sizeof buf);
        http_problem_write(&out, &(struct http_problem){.error = (enum http_error)e});
        CHECK(!out.failed);
    }
    struct b_text small = b_text_fixed(buf, 20);
    http_problem_write(&small, &(struct http_problem){.error = HTTP_E_INTERNAL});
    CHECK(small.failed);
}

TEST(cuts_between_characters) {
    char buf[HTTP_PROBLEM_MAX], detail[1400];
    for (int shift = 0; shift < 3; shift++) {
        size_t n = (size_t)snprintf(detail, sizeof detail, "%.*s", shift, "xx");
        while (n < 1200)
            n += (size_t)snprintf(detail + n, sizeof detail - n, "\xe2\x82\xac");
        struct b_text out = b_text_fixed(buf, sizeof buf - 1);
        http_problem_write(&out,
                           &(struct http_problem){.error = HTTP_E_INTERNAL, .detail = b_slice(detail, n)});
        buf[out.len] = 0;
        CHECK(strstr(buf, "\xe2\x82\xac\",\"code\"") != NULL);
        CHECK(strstr(buf, "\xef\xbf\xbd") == NULL);
    }
}

const struct test_case problem_tests[] = {
    {"body", body},
    {"explanation_stands_in_for_a_detail", explanation_stands_in_for_a_detail},
    {"always_fits", always_fits},
    {"cuts_between_characters", cuts_between_characters},
    {0},
};
