#include "fake.h"

#include <string.h>

#include "test.h"

static struct up_endpoint endpoints[FAKES_MAX];
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
        atomic_store(&endpoints[i].users, UP_USER);
        members[i] = (struct up_member){&endpoints[i], weights[i]};
    }
    set = up_set_new(balance, members, count);
    CHECK(set);
    return set;
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
}
