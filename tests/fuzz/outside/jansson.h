/* Whether jansson, which is not ours, takes a text as JSON: 1, 0, or -1 when it refuses it for a limit of its own. In a file of its own,
 * for names of both are the same. */
#ifndef FUZZ_OUTSIDE_JANSSON_H
#define FUZZ_OUTSIDE_JANSSON_H

#include <stddef.h>

int jansson_takes(const char *text, size_t size) __attribute__((weak));

#endif
