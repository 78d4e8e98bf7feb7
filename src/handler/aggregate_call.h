/* One HTTP exchange of an aggregate: a call, or one of its items. For the aggregate's files. */
#ifndef HANDLER_AGGREGATE_CALL_H
#define HANDLER_AGGREGATE_CALL_H

#include "gateway/fetch.h"
#include "handler/aggregate_plan.h"

/* On the heap; it may outlive the request (async). */
struct hd_item {
    const struct hd_call *call;
    struct rt_call rt; /* its own arena and deadline */
    struct gw_fetch fetch;
    struct b_text body;
    struct json_index index; /* of the answer */
    bool over;
    bool passed;             /* its status is one of `pass` */
    const char *reason;      /* of a failure, for Weir-Missing; NULL: none */
    const char *why;         /* in words; may be NULL */
    struct json_fault fault; /* with reason bad_json */
    rt_time began, took;
    struct gw_snapshot *snapshot; /* of one that runs on its own: pinned */
    char first[GW_ARENA_FIRST];
};

/* Makes the request by the templates of the call. NULL: memory is short. A template that fails makes an item that is over and
 * has failed. */
struct hd_item *hd_item_new(const struct hd_aggregate *a, const struct hd_call *call, struct gw_view *view);
void hd_item_free(struct hd_item *it);
/* Sends it and takes the answer: waits. */
void hd_item_run(struct hd_item *it);
/* The result of one that succeeded. */
struct json_operand hd_item_result(const struct hd_item *it);

/* Runs in a fiber of its own, counts a failure, and frees it; or drops it, counted, when too many wait. */
void hd_item_run_async(struct hd_item *it, struct exchange *ex, rt_time within);
#define HD_ASYNC_MAX 1000 /* of the process */

#endif
