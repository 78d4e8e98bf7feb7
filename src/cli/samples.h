/* The metrics of a running weir, parsed: Prometheus text, exposition format 0.0.4. */
#ifndef CLI_SAMPLES_H
#define CLI_SAMPLES_H

#include "base/slice.h"

#define CLI_LABELS_MAX 6
#define CLI_NAMES_MAX 64

struct cli_label {
    const char *name;
    struct b_slice value;
};

struct cli_sample {
    struct b_slice name;
    struct {
        struct b_slice name, value; /* escapes left as they are */
    } labels[CLI_LABELS_MAX];
    unsigned label_count;
    double value;
};

struct cli_samples {
    struct cli_sample *list;
    size_t count, cap;
    char *bytes; /* owned: what the slices point into */
};

/* Parses the page, which lies in `bytes` (a heap block that it takes over when it succeeds). False: it is malformed, or memory
 * is short; what was parsed is freed, `bytes` is not. */
bool cli_samples_parse(char *bytes, struct b_slice page, struct cli_samples *out);
void cli_samples_free(struct cli_samples *s);

/* The value of a label; empty when the sample has none. */
struct b_slice cli_label(const struct cli_sample *s, const char *name);
/* The sum of all samples of that name with these labels, others as they may be. */
double cli_sum(const struct cli_samples *s, const char *name, const struct cli_label *labels, unsigned count);
/* The value of the sample with the same name and labels; 0 when there is none. */
double cli_same(const struct cli_samples *s, const struct cli_sample *as);

struct cli_names {
    struct b_slice list[CLI_NAMES_MAX];
    unsigned count;
};
/* The different values of a label, in the order of the page, of samples with that name and these labels. */
struct cli_names cli_values(const struct cli_samples *s, const char *name, const char *label,
                            const struct cli_label *labels, unsigned count);

/* A quantile of what a histogram (its name without _bucket) has counted between two scrapes, in its unit; 0: nothing. */
double cli_quantile(const struct cli_samples *then, const struct cli_samples *now, const char *name,
                    const struct cli_label *labels, unsigned count, double q);

#endif
