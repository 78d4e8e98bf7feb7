/* Any member, as often as its weight says. */
#include <errno.h>

#include "upstream/alias.h"

#define DRAWS 8 /* before the next usable one is taken */

static int build(struct up_set *s) {
    s->table = up_alias_new(s);
    return s->table ? 0 : -ENOMEM;
}

static uint32_t pick(struct up_set *s, const struct up_pick *p) {
    uint32_t i = 0;
    for (int n = 0; n < DRAWS; n++) {
        i = up_alias_draw(s->table, p->rng);
        if (up_usable(s, i, p))
            return i;
    }
    return up_set_next(s, i, p);
}

const struct up_balancer up_random = {.name = "random", .build = build, .pick = pick};
