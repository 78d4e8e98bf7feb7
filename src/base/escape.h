/* Text that a peer may have written, made safe to print: for log lines and JSON. Pure; errors are those of
 * the text. */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include "base/text.h"

/* Appends s as a JSON string (RFC 8259 section 7) with its quotes. Control characters (C0, DEL and C1),
 * quotes and backslashes are escaped; bytes that are not UTF-8 become U+FFFD, one for each maximal part of a
 * sequence. */
void b_text_json_string(struct b_text *t, struct b_slice s);

/* The same, with at most `max` bytes between the quotes; what is cut ends in "...". max is 3 or more. */
void b_text_json_string_max(struct b_text *t, struct b_slice s, size_t max);

/* Appends s as it is, without quotes, for a terminal: control characters become \n, \r, \t or \u00XX, bytes
 * that are not UTF-8 U+FFFD. Quotes and backslashes stay. At most `max` bytes, cut as above. */
void b_text_printable_max(struct b_text *t, struct b_slice s, size_t max);

/* Appends s as a part of a query: everything but the unreserved characters of RFC 3986 section 2.3 as %XX. */
void b_text_query(struct b_text *t, struct b_slice s);

/* The length in bytes of the UTF-8 character at the front of s (RFC 3629: no surrogates, no long forms); 0
 * when s is empty or starts with none. Then *bad, when not NULL, is the number of bytes that one U+FFFD
 * stands for. */
size_t b_utf8_char(struct b_slice s, size_t *bad);

#endif
