/* The metrics of requests, on the hot path: no lock and no memory after the first request of a kind.
 * Call tel_metrics_init first; `worker` is always the calling worker's index. */
#ifndef TELEMETRY_HTTP_METRICS_H
#define TELEMETRY_HTTP_METRICS_H

#include "http/error.h"
#include "http/message.h"
#include "telemetry/metrics.h"

#define TEL_ROUTES_MAX 1000 /* beyond it routes are counted together as "other" */
/* Pairs of method and status that a route has on a worker; beyond it: _OTHER, "other". */
#define TEL_ROUTE_CELLS_MAX 64

/* Registers the families below. 0 or -ENOMEM. */
int tel_http_init(void);
/* Frees the routes, for tests; with tel_metrics_free. */
void tel_http_free(void);

/* http_server_request_duration_seconds{http_route,http_request_method,http_response_status_code} of one
 * route. */
struct tel_route;
/* The route of that pattern, always the same one, for the life of the process; never NULL except when memory
 * is short. Any thread, takes a lock: at the building of the plan. */
struct tel_route *tel_route_get(struct b_slice pattern);
/* Counts a request that has ended. HTTP_METHOD_OTHER is exported as _OTHER; a status outside 100 to 599 as
 * "other". A NULL route is ignored. */
void tel_route_observe(struct tel_route *r, unsigned worker, enum http_method method, unsigned status,
                       uint64_t ns);

/* All that a route has seen, over all methods, and the number of 5xx answers; for the dashboard. */
struct tel_route_totals {
    struct b_slice pattern;
    struct b_histogram_totals durations;
    uint64_t errors; /* 5xx */
};
/* Any thread. */
void tel_route_totals(const struct tel_route *r, struct tel_route_totals *out);
/* The durations of all requests that a worker has served. Any thread. */
void tel_worker_totals(unsigned worker, struct b_histogram_totals *out);
/* Iteration in the order of creation: NULL gives the first, NULL comes back at the end. Any thread. */
struct tel_route *tel_route_next(const struct tel_route *r);

/* http_server_active_requests: +1 when a request starts, -1 when it ends, on the same worker. */
void tel_active_add(unsigned worker, int n);
uint64_t tel_active_requests(void);

/* http_client_request_duration_seconds{upstream}: feed with tel_observe(series, worker, ns). NULL: memory is
 * short. */
struct tel_series *tel_client_series(struct b_slice upstream);

/* weir_refusals_total{code,rule}: an answer that weir gave itself. HTTP_OK is ignored. */
void tel_refusal(unsigned worker, enum http_error error);
/* weir_bad_responses_total{upstream,code,rule}: a response that breaks the rules of HTTP, by what was wrong with it. */
void tel_bad_response(unsigned worker, struct b_slice upstream, enum http_error why);
uint64_t tel_refusals(enum http_error error);

/* weir_deadline_exceeded_total{phase}: `phase` is a string literal (its address is looked up first). */
void tel_deadline_exceeded(unsigned worker, const char *phase);

#endif
