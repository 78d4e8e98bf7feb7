/* One scalar option: its text to the value at its offset, and back. Internal to config/. */
#ifndef CONFIG_SCALAR_H
#define CONFIG_SCALAR_H

#include "config/schema.h"

#define CFG_REASON_SIZE 512

/* Bytes that a value of the type takes in its struct; 0 for CFG_OBJECT, whose table says it. */
size_t cfg_type_size(enum cfg_type type);
/* Is it written as a scalar? */
bool cfg_type_is_scalar(enum cfg_type type);
/* What it is called, for messages and docs: "duration", "list of strings". */
const char *cfg_type_name(enum cfg_type type);

/* Parses text as the option's type, checks range and choices, and stores it at `value`; slices stored point into text.
 * NULL, or the reason (static, or in buf) that completes `"timeout" cannot be "30": ...`. Scalar types only. */
const char *cfg_scalar_parse(const struct cfg_option *option, struct b_slice text, void *value,
                             char buf[CFG_REASON_SIZE]);
/* Whether it is the option's word. */
bool cfg_is_word(const struct cfg_option *option, struct b_slice text);
/* The value back as text, without quotes. */
void cfg_scalar_write(struct b_text *out, const struct cfg_option *option, const void *value);
/* A number in the unit of the option, for ranges. */
void cfg_bound_write(struct b_text *out, const struct cfg_option *option, int64_t bound);
/* What a text that is none of the choices gets to hear: the nearest, "not built yet", or all of them. */
const char *cfg_choice_reason(const struct cfg_option *option, struct b_slice text,
                              char buf[CFG_REASON_SIZE]);
/* `WHAT is not built yet: INSTEAD`, without quotes around a `what`. Appends to out. */
void cfg_later_write(struct b_text *out, const struct cfg_later *later);
/* The entry of that name, or NULL; the list may be NULL. */
const struct cfg_later *cfg_later_find(const struct cfg_later *later, struct b_slice name);

#endif
