/* `stale` of a weak call: its last good answers, by what was asked for, to stand in when it fails. Shared by all workers, and by all
 * configs in which route and call have the same names. */
#ifndef HANDLER_AGGREGATE_STALE_H
#define HANDLER_AGGREGATE_STALE_H

#include "base/text.h"
#include "runtime/time.h"

#define HD_STALE_SETS 64
#define HD_STALE_WAYS 4
#define HD_STALE_ANSWER_MAX ((size_t)64 << 10) /* larger ones are not kept */

struct hd_stale;

/* The store of that call, with a reference; NULL: memory is short. Any thread. */
struct hd_stale *hd_stale_get(struct b_slice route, struct b_slice call);
void hd_stale_put(struct hd_stale *s);
/* Keeps a good answer, in the place of the oldest that would stand there; one that is younger than `fresh` is left as it is. */
void hd_stale_keep(struct hd_stale *s, struct b_slice path, struct b_slice query, struct b_slice answer,
                   rt_time fresh);
/* Appends the answer that is not older than `within`: its age, or -1 when there is none. */
rt_time hd_stale_find(struct hd_stale *s, struct b_slice path, struct b_slice query, rt_time within,
                      struct b_text *out);

#endif
