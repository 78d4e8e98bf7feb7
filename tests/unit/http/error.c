#include "http/error.h"

#include <ctype.h>
#include <string.h>

#include "test.h"

TEST(every_line_is_complete) {
    for (int e = 1; e < HTTP_ERROR_COUNT; e++) {
        const struct http_error_info *info = http_error_info((enum http_error)e);
        CHECK(info->code && info->code[0]);
        for (const char *p = info->code; *p; p++)
            CHECK((*p >= 'a' && *p <= 'z') || *p == '_' || (*p >= '0' && *p <= '9'));
        CHECK(info->status >= 400 && info->status <= 599);
        CHECK(info->title && info->title[0] && strlen(info->title) < 60);
        /* problem.h promises that a body fits HTTP_PROBLEM_MAX */
        CHECK(strlen(info->explanation) > 20 && strlen(info->explanation) < 300);
        CHECK(info->explanation[strlen(info->explanation) - 1] == '.');
        CHECK(strchr(info->rule, ' ') == NULL); /* refusals are counted by it */
        for (int other = 1; other < e; other++)
            CHECK(strcmp(info->code, http_error_info((enum http_error)other)->code) != 0);
    }
}

TEST(blame_fits_the_status) {
    for (int e = 1; e < HTTP_ERROR_COUNT; e++) {
        const struct http_error_info *info = http_error_info((enum http_error)e);
        if (info->side == HTTP_SIDE_CLIENT && info->status >= 500 && info->status != 501 &&
            info->status != 505)
            FAIL("%s: blames the client with %d", info->code, info->status);
        if (info->side != HTTP_SIDE_CLIENT && info->status < 500)
            FAIL("%s: blames the client by status only", info->code);
        if (info->status == 503 && !info->retryable)
            FAIL("%s: 503 asks to come again", info->code);
    }
}

TEST(outside_the_table_is_internal) {
    CHECK_STR(http_error_info(HTTP_OK)->code, "internal");
    CHECK_STR(http_error_info(HTTP_ERROR_COUNT)->code, "internal");
    CHECK_STR(http_error_info((enum http_error) - 5)->code, "internal");
    CHECK_STR(http_error_info(HTTP_E_CL_AND_TE)->code, "cl_and_te");
    CHECK_STR(http_error_info(HTTP_E_CL_AND_TE)->rule, "S01");
}

const struct test_case error_tests[] = {
    {"every_line_is_complete", every_line_is_complete},
    {"blame_fits_the_status", blame_fits_the_status},
    {"outside_the_table_is_internal", outside_the_table_is_internal},
    {0},
};
