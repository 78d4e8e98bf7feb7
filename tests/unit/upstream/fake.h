/* Endpoints with nothing but what a balancer looks at, and sets of them. */
#ifndef FAKE_H
#define FAKE_H

#include "upstream/cluster.h"

#define FAKES_MAX 100

struct up_endpoint *fake_endpoint(unsigned number);
unsigned fake_number(const struct up_endpoint *e);
/* The one set, with the first endpoints; fake_free takes it down, and all states back. */
struct up_set *fake_set(int balance, const int64_t *weights, uint32_t count);
struct up_set *fake_the_set(void);
/* Of all of them. */
extern struct up_cluster fake_cluster;
/* A pick at this time, with a seeded generator. */
struct up_pick fake_pick(rt_time now);
/* Picks n times, puts each back at once, and counts. */
void fake_count(unsigned *had, unsigned n, rt_time now);
/* The load of an endpoint, counted in the cluster's permits, too. */
void fake_load(unsigned number, unsigned load);
void fake_state(unsigned number, uint32_t state);
void fake_free(void);

#endif
