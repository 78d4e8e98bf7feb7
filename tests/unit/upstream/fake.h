/* Endpoints with nothing but what a balancer looks at, and sets of them. */
#ifndef FAKE_H
#define FAKE_H

#include "upstream/set.h"

#define FAKES_MAX 100

struct up_endpoint *fake_endpoint(unsigned number);
unsigned fake_number(const struct up_endpoint *e);
/* The one set, with the first endpoints; fake_free takes it down, and all states back. */
struct up_set *fake_set(int balance, const int64_t *weights, uint32_t count);
void fake_state(unsigned number, uint32_t state);
void fake_free(void);

#endif
