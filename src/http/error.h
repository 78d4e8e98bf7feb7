/* The refusals and failures that weir answers itself, as values: what happened, who is to blame, whether it
 * is worth another try, and the words for it. All come from errors.def. */
#ifndef HTTP_ERROR_H
#define HTTP_ERROR_H

#include <stdbool.h>
#include <stdint.h>

enum http_error {
    HTTP_OK = 0,
#define HTTP_ERROR(id, status, code, rule, side, retryable, title, explanation) HTTP_E_##id,
#include "http/errors.def"
#undef HTTP_ERROR
    HTTP_ERROR_COUNT /* one past the last */
};

enum http_side {
    HTTP_SIDE_CLIENT,
    HTTP_SIDE_UPSTREAM,
    HTTP_SIDE_SELF,
};

struct http_error_info {
    const char *code;  /* stable; the `code` of problem+json and the label of weir_refusals_total */
    const char *rule;  /* id of the acceptance table, also a label of weir_refusals_total; "" when none */
    const char *title; /* one line, the same for every occurrence */
    const char *explanation; /* what happened and the way out */
    uint16_t status;
    uint8_t side;   /* enum http_side */
    bool retryable; /* the same message, sent again unchanged, may succeed */
};

/* The line of the table for an error, static. Out of range, HTTP_OK and negative values give that of
 * HTTP_E_INTERNAL, so that the result is never NULL. */
const struct http_error_info *http_error_info(enum http_error error);

#endif
