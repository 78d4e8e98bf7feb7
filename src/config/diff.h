/* What differs between two configs, option by option. */
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "base/text.h"
#include "config/config.h"

/* One difference. `option` is a path such as upstreams.orders.timeout or routes[/api].deadline; the values are as they
 * could stand in the file, defaults put in, "(secret)" for secrets. Lent until the callback returns. */
struct cfg_difference {
    struct b_slice option;
    struct b_slice from, to; /* ptr NULL: there is none, or what stands there is not one line's worth */
    bool added, removed;     /* all of it came or went */
};

/* Calls fn for each difference, in the order of the tables, until it returns false. 0, or -ENOMEM. */
int cfg_diff(const struct cfg_root *old, const struct cfg_root *new,
             bool (*fn)(void *arg, const struct cfg_difference *d), void *arg)
    __attribute__((warn_unused_result));

#endif
