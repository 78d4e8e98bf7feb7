/* The circuit breaker of an endpoint (Nygard, "Release It!"), which is also its passive ejection (Envoy's outlier detection):
 *
 *     closed     attempts go there; failures in a row, or too large a part of the window's, open it
 *     open       UP_EJECTED: nothing goes there for open_for, which grows each time; then a fiber connects to it, or runs its
 *                health check, until that works
 *     half-open  UP_EJECTED | UP_TRIAL: one request may try (then UP_PROBING); its outcome closes or opens it */
#ifndef UPSTREAM_BREAKER_H
#define UPSTREAM_BREAKER_H

#include "upstream/endpoint.h"
#include "upstream/set.h"

/* Counts what became of an attempt; `trial`: it was the one request. Must not wait. */
void up_breaker_note(struct up_endpoint *e, enum up_outcome outcome, bool trial);
/* Whether endpoints of the set may be ejected: one alone is only where the config names `breaker`, for there is no other to go to. */
bool up_breaker_may_open(const struct up_set *s);
/* An endpoint of the set that waits for its one request, which the caller is from now on, and owes a note of; NULL: none. A
 * request that cannot be repeated (!p->may_try) gets one only when there is nobody else to go to (`alone`), or when no
 * better one has come for a second. */
struct up_endpoint *up_breaker_claim(struct up_set *s, const struct up_pick *p, bool alone);

/* For people: "closed", "open" or "half-open". */
const char *up_breaker_state(const struct up_endpoint *e);
/* As in the metrics' `reason`; static. */
const char *up_outcome_text(enum up_outcome outcome);

/* What the admin API shows of a breaker. */
struct up_breaker_view {
    const char *state; /* up_breaker_state */
    uint32_t row;      /* failures in a row, so far */
    rt_time left;      /* until it is tried again; 0: it is not open, or is being tried */
    const char *last;  /* what the last failure was; NULL: there was none */
};
/* From a worker. */
void up_breaker_look(struct up_endpoint *e, struct up_breaker_view *out);

#endif
