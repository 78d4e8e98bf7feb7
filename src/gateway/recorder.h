/* The flight recorder: what the slowest requests of the last ten minutes and the last failed ones spent their time on, so that "why
 * was this one slow" has an answer without a tracer. Process-wide; any worker. */
#ifndef GATEWAY_RECORDER_H
#define GATEWAY_RECORDER_H

#include "gateway/exchange.h"
#include "json/writer.h"

#define GW_RECORDED_MAX 32            /* of each kind */
#define GW_RECORD_WINDOW (600 * RT_S) /* a slow one that is older gives way to any other */

/* One exchange with an upstream that was a part of a request. In the exchange's arena. */
struct gw_span {
    struct b_slice name, upstream;
    const char *reason;  /* of a failure; NULL: none */
    rt_time begun, took; /* clock; took 0 while it runs */
    uint16_t status;     /* 0: none came */
};

/* A request is over after so many ns: kept if it is worth it. Costs two loads if it is not. */
void gw_record(struct exchange *ex, uint64_t ns);
/* The calls of a request, as a JSON array with times in milliseconds since its first byte. */
void gw_write_spans(struct json_writer *w, const struct exchange *ex);
/* Everything that is kept: an object with `slow`, the slowest first, and `failed`, the last first. */
void gw_write_recorded(struct json_writer *w);
void gw_recorder_clear(void);

#endif
