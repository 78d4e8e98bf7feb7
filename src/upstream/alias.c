#include "upstream/alias.h"

static uint32_t chance(double share) {
    return share >= 1 ? UINT32_MAX : (uint32_t)(share * 4294967295.0);
}

struct up_alias *up_alias_new(const struct up_set *s) {
    struct up_alias *t = b_alloc(B_TAG_UPSTREAM, sizeof *t + s->count * sizeof t->slots[0]);
    double *share = b_alloc(B_TAG_UPSTREAM, s->count * (sizeof *share + sizeof(uint32_t)));
    if (!t || !share) {
        b_free(t);
        b_free(share);
        return NULL;
    }
    /* small ones from the front of `order`, large ones from its end: a slot gets its own share, filled up from a large one */
    uint32_t *order = (uint32_t *)(void *)(share + s->count), small = 0, large = s->count;
    double sum = 0;
    for (uint32_t i = 0; i < s->count; i++)
        sum += (double)s->members[i].weight;
    for (uint32_t i = 0; i < s->count; i++) {
        share[i] = (double)s->members[i].weight * s->count / sum;
        t->slots[i] = (struct up_alias_slot){UINT32_MAX, i};
        if (share[i] < 1)
            order[small++] = i;
        else
            order[--large] = i;
    }
    while (small > 0 && large < s->count) {
        uint32_t few = order[--small], many = order[large];
        t->slots[few] = (struct up_alias_slot){chance(share[few]), many};
        share[many] -= 1 - share[few];
        if (share[many] < 1) {
            large++;
            order[small++] = many;
        }
    }
    t->count = s->count;
    b_free(share);
    return t;
}
