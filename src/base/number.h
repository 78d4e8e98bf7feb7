/* Numbers as text, both ways. Parsers are pure and take the whole slice: no sign, no space, no prefix. */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base/slice.h"

/* Decimal digits only, at least one; false on anything else and on overflow of 64 bits. Leading zeros are taken. */
bool b_parse_u64(struct b_slice s, uint64_t *out);
/* Hexadecimal digits only, 1 to 16 of them. */
bool b_parse_hex(struct b_slice s, uint64_t *out);
/* Value of one hexadecimal digit, or -1. */
int b_hex_digit(char c);

/* Two bytes in network order. */
static inline unsigned b_u16(const void *p) {
    const unsigned char *byte = p;
    return (unsigned)byte[0] << 8 | byte[1];
}

/* 16 hexadecimal digits, lower case. No NUL. */
void b_format_hex(char buf[16], uint64_t v);

#define B_U64_TEXT 20 /* the most digits of a 64-bit number */
/* Writes v in decimal at buf (room for B_U64_TEXT) and gives the number of characters. No NUL. */
size_t b_format_u64(char *buf, uint64_t v);
/* The same for one byte, at most 3 digits. */
size_t b_format_u8(char *buf, uint8_t v);

#endif
