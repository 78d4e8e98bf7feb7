/* Prometheus text, exposition format 0.0.4: how families and samples are written. For metrics.c; pure. */
#ifndef TELEMETRY_EXPOSITION_H
#define TELEMETRY_EXPOSITION_H

#include "telemetry/metrics.h"

struct tel_samples {
    struct b_text *out;
    struct tel_family *family;
};

/* # HELP and # TYPE. */
void tel_add_header(struct b_text *out, const struct tel_family *f);
/* name="value",... with the values escaped, repaired and cut; one for each label name of the family. */
void tel_add_labels(struct b_text *out, const struct tel_family *f, const struct b_slice *values);
/* One line; `labels` as written above, `v` in counted units, and signed for a gauge. */
void tel_add_value(struct b_text *out, const struct tel_family *f, struct b_slice labels, uint64_t v);
/* _bucket (cumulative), _sum and _count. */
void tel_add_histogram(struct b_text *out, const struct tel_family *f, struct b_slice labels,
                       const struct b_histogram_totals *totals);

#endif
