#include "http/error.h"

static const struct http_error_info table[HTTP_ERROR_COUNT] = {
#define HTTP_ERROR(id, status_, code_, rule_, side_, retryable_, title_, explanation_) \
    [HTTP_E_##id] = {.code = (code_),                                                  \
                     .rule = (rule_),                                                  \
                     .title = (title_),                                                \
                     .explanation = (explanation_),                                    \
                     .status = (status_),                                              \
                     .side = HTTP_SIDE_##side_,                                        \
                     .retryable = (retryable_)},
#include "http/errors.def"
#undef HTTP_ERROR
};

const struct http_error_info *http_error_info(enum http_error error) {
    bool known = (int)error > HTTP_OK && error < HTTP_ERROR_COUNT;
    return &table[known ? error : HTTP_E_INTERNAL];
}
