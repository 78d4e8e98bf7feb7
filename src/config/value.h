/* Values as people write them, both ways. Pure: text in, value or reason out. A parser returns NULL when it took the
 * whole text, else the reason as static text that completes the sentence `"timeout" cannot be "30": ...`; *out is then
 * untouched. The writers give a text that the parser reads back as the same value. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/text.h"

#define CFG_US ((int64_t)1000)
#define CFG_MS ((int64_t)1000000)
#define CFG_S ((int64_t)1000000000)
#define CFG_M (60 * CFG_S)
#define CFG_H (3600 * CFG_S)

#define CFG_KIB ((int64_t)1 << 10)
#define CFG_MIB ((int64_t)1 << 20)
#define CFG_GIB ((int64_t)1 << 30)

/* So many in so long. */
struct cfg_rate {
    int64_t count; /* 1 or more */
    int64_t per;   /* ns: a second, a minute or an hour */
};

/* `true` or `false`, nothing else. */
const char *cfg_parse_bool(struct b_slice s, bool *out);
/* Decimal with an optional minus; no plus, no leading zeros, no underscore. */
const char *cfg_parse_int(struct b_slice s, int64_t *out);
/* `250ms`, `1m30s`: one or more of number and unit (us ms s m h d), each unit at most once, largest first; up to 100,000
 * hours, in nanoseconds. Without unit: refused, `0` too. */
const char *cfg_parse_duration(struct b_slice s, int64_t *ns);
/* `10MB` (10^6), `10MiB` (2^20); B, KB, KiB, MB, MiB, GB, GiB. In bytes. Without unit: refused. */
const char *cfg_parse_size(struct b_slice s, int64_t *bytes);
/* `100/s`, `5000/m`, `7/h`. */
const char *cfg_parse_rate(struct b_slice s, struct cfg_rate *out);
/* `20%` or `20`, 0 to 100. */
const char *cfg_parse_percent(struct b_slice s, int64_t *out);

void cfg_write_int(struct b_text *t, int64_t v);
void cfg_write_duration(struct b_text *t, int64_t ns); /* below 1us: rounded up */
void cfg_write_size(struct b_text *t, int64_t bytes);
void cfg_write_rate(struct b_text *t, struct cfg_rate rate);

#endif
