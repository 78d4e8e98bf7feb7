/* What a client says about its deadline (X-Request-Deadline, grpc-timeout): it can only shorten it, nonsense changes nothing,
 * and two statements do what the shorter one does. The input is two values, with a newline between them. */
#include <assert.h>

#include "gateway/conn.h"

#define ROUTE_DEADLINE (3600 * RT_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cfg_root root;
static struct cfg_cidr everybody = {.kind = CFG_HOST_IPV4};
static const struct gw_snapshot snapshot = {.root = &root};

/* What is left of the deadline when these are sent; an empty one is not. */
static rt_time left_after(struct b_slice ours, struct b_slice grpc) {
    static struct exchange ex;
    static struct gw_conn conn = {.peer = {.family = AF_INET, .ip = {127, 0, 0, 1}}};
    struct http_field fields[2];
    memset(&ex, 0, offsetof(struct exchange, first_chunk));
    ex.conn = &conn;
    ex.snapshot = &snapshot;
    ex.req.fields = (struct http_fields){.at = fields, .cap = 2};
    ex.call.deadline = rt_after(rt_now(), ROUTE_DEADLINE);
    /* a value that no parser lets through is not sent either */
    if (ours.len)
        (void)!http_fields_add_id(NULL, &ex.req.fields, HTTP_FIELD_X_REQUEST_DEADLINE, ours);
    if (grpc.len)
        (void)!http_fields_add_id(NULL, &ex.req.fields, HTTP_FIELD_GRPC_TIMEOUT, grpc);
    int rc = gw_shorten_deadline(&ex);
    rt_time left = ex.call.deadline - rt_now();
    assert(left >= 0 && left <= ROUTE_DEADLINE);
    assert(rc == (left ? 0 : -HTTP_E_DEADLINE_EXCEEDED));
    return left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct rt_worker worker = {.now = 1000 * RT_S}; /* its clock is all that is asked for */
    struct b_slice in = b_slice(data, size), none = {0}, ours, grpc;
    size_t at = b_slice_find(in, '\n');
    rt_set_self(&worker);
    root.trusted_proxies = (struct cfg_list){.items = &everybody, .count = 1, .item_size = sizeof everybody};
    ours = b_slice(in.ptr, at);
    grpc = b_slice_from(in, at < in.len ? at + 1 : at);
    rt_time one = left_after(ours, none), other = left_after(none, grpc);
    assert(left_after(ours, grpc) == rt_earlier(one, other));
    return 0;
}
