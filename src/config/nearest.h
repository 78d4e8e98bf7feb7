/* The valid name that a mistyped one most likely meant. Pure. */
#ifndef CONFIG_NEAREST_H
#define CONFIG_NEAREST_H

#include "base/slice.h"

#define CFG_NAME_MAX 64 /* bytes; longer names are not compared */

/* Edits (insert, delete, replace, swap of neighbours) between a and b, without case; `limit` + 1 when there are more or
 * a name is too long. */
size_t cfg_distance(struct b_slice a, struct b_slice b, size_t limit);

/* Feed candidates one by one; `best` is then the nearest that is near enough (a third of the length, 1 at least), the
 * first of equals, or empty. */
struct cfg_nearest {
    struct b_slice wanted, best;
    size_t distance;
};
void cfg_nearest_init(struct cfg_nearest *n, struct b_slice wanted);
void cfg_nearest_offer(struct cfg_nearest *n, struct b_slice candidate);

#endif
