/* Regular expressions over paths: PCRE2, compiled when the config loads, by its JIT, with limits on what a match may cost
 * (R09). */
#ifndef HANDLER_PROXY_REWRITE_H
#define HANDLER_PROXY_REWRITE_H

#include "base/arena.h"
#include "base/slice.h"
#include "base/text.h"

struct hd_rewrite;

/* NULL and a reason in `why` when one of them is wrong, or memory is short (then `why` is empty). */
struct hd_rewrite *hd_rewrite_new(struct b_slice regex, struct b_slice to, struct b_text *why);
void hd_rewrite_free(struct hd_rewrite *r);
/* Matches the path: 1 and *out in the arena, 0 when it does not match, or -(enum http_error): rewrite_limit, out_of_memory.
 * From a fiber. */
int hd_rewrite_match(const struct hd_rewrite *r, struct b_slice path, struct b_arena *arena,
                     struct b_slice *out) __attribute__((warn_unused_result));

#endif
