#include "jansson.h"

#include <jansson.h>
#include <string.h>

int jansson_takes(const char *text, size_t size) {
    if (memchr(text, 0, size)) /* it takes one behind a number for the end */
        return -1;
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (root) {
        json_decref(root);
        return 1;
    }
    /* it makes numbers of numbers, and texts that end with NUL of keys */
    enum json_error_code code = json_error_code(&error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ? -1 : 0;
}
