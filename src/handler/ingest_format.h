/* Formats of events that `ingest` takes in: from the body of a request to rows of a table. */
#ifndef HANDLER_INGEST_FORMAT_H
#define HANDLER_INGEST_FORMAT_H

#include "store/store.h"
#include "json/cursor.h"

struct hd_label {
    struct b_slice name, value;
};

/* What a reader is told and what it finds out. */
struct hd_reading {
    struct b_arena scratch; /* for what is needed while it reads; the caller's */
    unsigned max_items;
    int64_t now; /* wall clock, microseconds */
    bool any_label_name;
    /* found */
    unsigned truncated;  /* alerts that the sender says it left out */
    unsigned mismatched; /* fingerprints of the sender that are not ours */
    char why[ST_WHY_MAX];
};

/* The alerts of a webhook of Alertmanager, version 4, as rows of hd_alerts_table. 0; -EINVAL: it is none, or none of its alerts can
 * be taken (reading->why); -E2BIG: more than max_items; -ENOMEM. Values point into the indexed text and the rows' arena. Of a body
 * (rows->body) that is the indexed text, what stands behind the alerts is given back. */
int hd_alerts_read(struct json_index *x, struct st_rows *rows, struct hd_reading *reading);
extern const struct st_table hd_alerts_table; /* its name is for the config to say */

/* Prometheus's fingerprint of a set of labels (model.LabelSet.Fingerprint): FNV-1a 64 over the names in order, each name and value
 * followed by byte 255. `labels` is sorted in place. */
uint64_t hd_fingerprint(struct hd_label *labels, unsigned count);

#endif
