/* The same key, the same member: a ring of points (Karger et al. 1997), each member with as many as its weight says, found by
 * the hash of its URL, so that the keys of one that goes are spread over the others and all others stay where they are. A
 * member with more than its share of the load passes keys on to the next (bounded loads, Mirrokni et al. 2018). */
#include <errno.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "upstream/cluster.h"

#define POINTS 160 /* of a member of mean weight, as in ketama */
#define POINTS_MAX (1u << 20)
#define ROOM 1.25 /* a member's load, of its share */
#define FEW 8     /* requests that any member takes: of so few no share can be told */
#define LOOKS 64  /* points that are looked at for one with room; then the first usable one has to do */

struct point {
    uint32_t hash, member;
};

struct ring {
    uint32_t count, bits; /* of points; the hash's upper `bits` give an entry of `first` */
    double weights;
    struct point *points; /* by hash */
    uint32_t first
        []; /* the first point whose hash has these upper bits, or a higher one; `count` when there is none */
};

static int by_hash(const void *a, const void *b) {
    const struct point *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->member < y->member ? -1 : x->member > y->member;
}

static uint32_t points_of(const struct up_set *s, uint32_t i, double weights, uint32_t each) {
    double n = (double)s->members[i].weight * s->count / weights * each;
    return n < 1 ? 1 : (uint32_t)(n + 0.5);
}

static void add_points(struct point *out, const struct up_endpoint *e, uint32_t member, uint32_t n) {
    size_t len = strlen(e->text);
    for (uint32_t i = 0; i < n; i++) {
        struct b_hash_key key = {i, 0x77656972}; /* fixed, so that all instances agree */
        out[i] = (struct point){(uint32_t)(b_siphash(key, e->text, len) >> 32), member};
    }
}

static void index_points(struct ring *r) {
    uint32_t at = 0;
    for (uint32_t top = 0; top < (1u << r->bits); top++) {
        while (at < r->count && r->points[at].hash >> (32 - r->bits) < top)
            at++;
        r->first[top] = at;
    }
}

static int build(struct up_set *s) {
    double weights = 0;
    uint32_t each = s->count * POINTS > POINTS_MAX ? POINTS_MAX / s->count : POINTS, total = 0, bits = 4;
    for (uint32_t i = 0; i < s->count; i++)
        weights += (double)s->members[i].weight;
    for (uint32_t i = 0; i < s->count; i++)
        total += points_of(s, i, weights, each);
    while ((1u << bits) < total)
        bits++;
    size_t table = sizeof(struct ring) + ((size_t)1 << bits) * sizeof(uint32_t);
    struct ring *r = b_alloc(B_TAG_UPSTREAM, table + total * sizeof(struct point));
    if (!r)
        return -ENOMEM;
    *r = (struct ring){.count = total, .bits = bits, .weights = weights};
    r->points = (struct point *)(void *)((char *)r + table);
    for (uint32_t i = 0, at = 0; i < s->count; i++) {
        uint32_t n = points_of(s, i, weights, each);
        add_points(r->points + at, s->members[i].endpoint, i, n);
        at += n;
    }
    qsort(r->points, total, sizeof r->points[0], by_hash);
    index_points(r);
    s->table = r;
    return 0;
}

/* Whether one more would be more than the member's share of all that is on its way, and a quarter. */
static bool is_full(const struct up_set *s, const struct ring *r, uint32_t i) {
    const struct up_member *m = &s->members[i];
    uint32_t load = up_load(m->endpoint);
    if (load < FEW)
        return false;
    double share = (double)(up_cluster_in_flight(m->endpoint->cluster) + 1) * (double)m->weight / r->weights;
    return load + 1 > share * ROOM + 1;
}

static uint32_t pick(struct up_set *s, const struct up_pick *p) {
    const struct ring *r = s->table;
    uint32_t hash = (uint32_t)(p->hash >> 32), at = r->first[hash >> (32 - r->bits)], any = UP_NONE;
    while (at < r->count && r->points[at].hash < hash)
        at++;
    for (uint32_t n = 0; n < r->count; n++) {
        uint32_t i = r->points[at + n < r->count ? at + n : at + n - r->count].member;
        if (!up_usable(s, i, p))
            continue;
        if (!is_full(s, r, i))
            return i;
        any = any == UP_NONE ? i : any;
        if (n >= LOOKS)
            break;
    }
    return any;
}

const struct up_balancer up_consistent_hash = {.name = "consistent_hash", .build = build, .pick = pick};
