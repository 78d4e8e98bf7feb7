#include "fake.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

struct up_cluster fake_cluster;
static struct up_endpoint endpoints[FAKES_MAX];
static char texts[FAKES_MAX][32];
static struct b_rng rng;
static struct up_set *set;

struct up_endpoint *fake_endpoint(unsigned number) {
    return &endpoints[number];
}

unsigned fake_number(const struct up_endpoint *e) {
    return (unsigned)(e - endpoints);
}

struct up_set *fake_set(int balance, const int64_t *weights, uint32_t count) {
    struct up_member members[FAKES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "http://10.0.0.%u:80", i);
        endpoints[i].text = texts[i];
        endpoints[i].cluster = &fake_cluster;
        atomic_store(&endpoints[i].users, UP_USER);
        members[i] = (struct up_member){&endpoints[i], weights[i]};
    }
    rng.state = 1;
    atomic_store(&fake_cluster.breaker.on, 1);
    set = up_set_new(balance, members, count);
    CHECK(set);
    return set;
}

struct up_set *fake_the_set(void) {
    return set;
}

struct up_pick fake_pick(rt_time now) {
    return (struct up_pick){.now = now, .rng = &rng, .hash = b_rng_next(&rng)};
}

void fake_count(unsigned *had, unsigned n, rt_time now) {
    while (n--) {
        struct up_pick p = fake_pick(now);
        struct up_endpoint *e = up_set_pick(set, &p);
        CHECK(e);
        if (!e)
            return;
        had[fake_number(e)]++;
        up_endpoint_put(e, 1);
    }
}

void fake_load(unsigned number, unsigned load) {
    uint32_t now = up_load(&endpoints[number]);
    atomic_fetch_add(&endpoints[number].users, (uint64_t)load - now);
    atomic_fetch_sub(&fake_cluster.permits.available, (int64_t)load - now);
}

void fake_state(unsigned number, uint32_t state) {
    atomic_store(&endpoints[number].state, state);
    up_set_mark(set);
}

/* The endpoints are not on the heap: they are not put back. */
void fake_free(void) {
    set->count = 0;
    up_set_free(set);
    set = NULL;
    memset(endpoints, 0, sizeof endpoints);
    memset(&fake_cluster, 0, sizeof fake_cluster);
}
