/* The access log: one line of JSON for each request. Names are OpenTelemetry's attribute names where it has
 * one; the order is fixed; what is empty is left out. */
#ifndef TELEMETRY_ACCESS_LOG_H
#define TELEMETRY_ACCESS_LOG_H

#include "telemetry/ring.h"

#define TEL_ACCESS_FIELD_MAX 1024 /* bytes of a string between its quotes; what is cut ends in "..." */
#define TEL_ACCESS_LINE_MAX (24u * 1024)

/* A request that has ended. All slices are borrowed for the call; an empty one leaves its field out. Secrets
 * stay out of it: the caller gives no Authorization and no Cookie, and the query only when the config asks
 * for it. */
struct tel_access {
    uint64_t time_ns;          /* wall clock when the request began: "ts" */
    uint64_t duration_ns;      /* "duration", seconds */
    uint64_t upstream_ns;      /* "upstream_duration", seconds; only with attempts > 0 */
    uint64_t bytes_in;         /* "http.request.body.size" */
    uint64_t bytes_out;        /* "http.response.body.size" */
    unsigned status;           /* "http.response.status_code"; 0: no answer went out */
    unsigned attempts;         /* "attempts"; 0: no upstream was asked, left out */
    struct b_slice client;     /* "client.address" */
    struct b_slice method;     /* "http.request.method" */
    struct b_slice scheme;     /* "url.scheme" */
    struct b_slice host;       /* "server.address" */
    struct b_slice path;       /* "url.path" */
    struct b_slice query;      /* "url.query" */
    struct b_slice protocol;   /* "network.protocol.version": 1.1, 2 */
    struct b_slice route;      /* "http.route" */
    struct b_slice code;       /* "code": of the problem, when weir answered itself */
    struct b_slice upstream;   /* "upstream" */
    struct b_slice endpoint;   /* "endpoint" */
    struct b_slice request_id; /* "request_id" */
    struct b_slice trace_id;   /* "trace_id" */
    struct b_slice user;       /* "user.id": the authenticated consumer */
    struct b_slice user_agent; /* "user_agent.original" */
    struct b_slice referer;    /* "http.request.header.referer", without its query */
    struct b_slice missing;    /* "missing": the weak calls that failed */
};

/* Appends the line with its newline. At most TEL_ACCESS_LINE_MAX bytes. Errors are the text's. */
void tel_access_write(struct b_text *out, const struct tel_access *a);

/* A copy that needs nothing of the original, in one block, for a request whose line comes later; to be given back with
 * b_free. NULL when memory is short. */
struct tel_access *tel_access_keep(const struct tel_access *a);

/* Formats in the producer's own buffer and puts the line on the ring. False: dropped, counted. Any thread. */
bool tel_access_log(struct tel_ring *ring, const struct tel_access *a);

#endif
