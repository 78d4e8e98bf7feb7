#include "json/utf8.h"

#include <string.h>

#include "test.h"

/* Written from the bit patterns of RFC 3629 section 3, to check the table in the code. */
static size_t encode(unsigned code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[len] | code);
    return len;
}

TEST(every_character) {
    for (unsigned code = 0; code < 0x120000; code++) {
        char bytes[4];
        size_t len = encode(code, bytes),
               want = (code >= 0xd800 && code < 0xe000) || code > 0x10ffff ? 0 : len;
        if (json_utf8_length(bytes, len) != want)
            FAIL("U+%04X gives %zu", code, json_utf8_length(bytes, len));
        for (size_t part = 1; part < len; part++)
            if (json_utf8_length(bytes, part) != 0)
                FAIL("the first %zu bytes of U+%04X are accepted", part, code);
    }
}

/* Of all strings of three bytes, those accepted as one character are the encodings: 61,440 of them. */
TEST(nothing_else) {
    unsigned accepted = 0;
    for (unsigned v = 0; v < 1u << 24; v++) {
        const char bytes[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        accepted += json_utf8_length(bytes, 3) == 3;
    }
    CHECK_UINT(accepted, 0x10000 - 0x800 - 0x800);
    CHECK_UINT(json_utf8_length("\xf0\x80\x80\x80", 4), 0);
    CHECK_UINT(json_utf8_length("\xf8\x88\x80\x80\x80", 5), 0);
    CHECK_UINT(json_utf8_length("\xf1\x80\x80\x7f", 4), 0);
}

const struct test_case utf8_tests[] = {
    {"every_character", every_character},
    {"nothing_else", nothing_else},
    {0},
};
