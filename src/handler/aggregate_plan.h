/* What an `aggregate` is, compiled: its calls, what each waits for, and the template of the answer. For the aggregate's files. */
#ifndef HANDLER_AGGREGATE_PLAN_H
#define HANDLER_AGGREGATE_PLAN_H

#include "gateway/template.h"
#include "handler/aggregate_stale.h"
#include "telemetry/metrics.h"
#include "upstream/attempt.h"

#define HD_CALLS_MAX 32

enum hd_need { HD_STRONG, HD_WEAK, HD_ASYNC };

struct hd_each_conf {
    struct cfg_head head; /* head.node NULL: one call */
    struct b_slice in, as;
    int64_t max, parallel;
};

struct hd_call_conf {
    struct cfg_head head;
    struct cfg_upstream_ref upstream;
    struct b_slice path, method;
    struct cfg_list query, headers;                /* struct cfg_text with names */
    struct cfg_list forward_headers, accept, pass; /* struct cfg_text */
    const struct cfg_node *body, *otherwise;
    int64_t stale;   /* 0: none */
    int64_t timeout; /* 0: what is left of the deadline */
    int need;        /* enum hd_need */
    struct hd_each_conf each;
};

struct hd_aggregate_conf {
    struct cfg_head head;
    int64_t max_parallel, max_calls, max_response;
    struct cfg_list calls; /* struct hd_call_conf */
    const struct cfg_node *response;
    struct b_slice report;
};
extern const struct cfg_table hd_aggregate_table;

/* A name and the template of its value. */
struct hd_pair {
    struct b_slice name;
    const struct json_node *value;
};

struct hd_statuses {
    uint64_t bits[16]; /* of 0 to 1023 */
};
static inline bool hd_status_in(const struct hd_statuses *s, unsigned status) {
    return status < 1024 && s->bits[status / 64] >> status % 64 & 1;
}

struct hd_call {
    struct b_slice name;
    const struct hd_call_conf *conf;
    struct up_upstream *upstream;
    enum hd_need need;
    enum http_method method;
    unsigned slot;                                      /* of its result */
    unsigned each_slot;                                 /* of the variable */
    uint64_t waits_for;                                 /* bits of calls */
    const struct json_node *path, *query, *body, *each; /* query, body, each: NULL where there is none */
    struct hd_pair *pairs, *headers;                    /* of the query; of the head */
    unsigned pair_count, header_count;
    struct hd_statuses accept, pass;
    struct json_index otherwise; /* of the default's text */
    struct hd_stale *stale;      /* NULL: none */
    struct tel_series *incomplete, *left_out, *dropped, *failed;
};

struct hd_aggregate {
    const struct hd_aggregate_conf *conf;
    const struct cfg_route *route;
    struct hd_call *calls;
    unsigned count, slots;
    uint32_t specials;
    uint64_t all, async;              /* bits of calls */
    const struct json_node *response; /* NULL: an object of all calls by their names */
};

/* The state of a route. 0, or negative after reporting. */
int hd_aggregate_open(const struct gw_open *o, const struct cfg_route *route, const void *conf, void **state);
void hd_aggregate_close(void *state);
/* How many calls a request makes at the most, `each` counted: to this upstream, or (NULL) to all. */
unsigned hd_aggregate_calls(const void *conf, const struct cfg_upstream *u);
/* The graph of the calls, in the order in which they can run, with the times that they may take at the worst. */
void hd_aggregate_explain(const void *state, const char *indent, struct b_text *out);

#endif
