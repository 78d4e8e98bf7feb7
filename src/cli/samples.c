#include "cli/samples.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

#define BUCKETS_MAX 64

/* --- parsing --- */

static bool is_name(char c, bool first) {
    char low = b_lower(c);
    return (low >= 'a' && low <= 'z') || c == '_' || c == ':' || (!first && b_is_digit(c));
}

static struct b_slice take_name(struct b_slice *rest) {
    size_t n = 0;
    while (n < rest->len && is_name(rest->ptr[n], n == 0))
        n++;
    struct b_slice name = b_slice(rest->ptr, n);
    *rest = b_slice_from(*rest, n);
    return name;
}

static bool take(struct b_slice *rest, char c) {
    if (!rest->len || rest->ptr[0] != c)
        return false;
    *rest = b_slice_from(*rest, 1);
    return true;
}

/* A text in quotes. */
static bool take_value(struct b_slice *rest, struct b_slice *value) {
    size_t n = 0;
    if (!take(rest, '"'))
        return false;
    while (n < rest->len && rest->ptr[n] != '"')
        n += rest->ptr[n] == '\\' && n + 1 < rest->len ? 2 : 1;
    if (n >= rest->len)
        return false;
    *value = b_slice(rest->ptr, n);
    *rest = b_slice_from(*rest, n + 1);
    return true;
}

static bool take_labels(struct b_slice *rest, struct cli_sample *s) {
    if (!take(rest, '{'))
        return true;
    while (!take(rest, '}')) {
        struct b_slice name = take_name(rest), value;
        if (!name.len || !take(rest, '=') || !take_value(rest, &value))
            return false;
        if (s->label_count < CLI_LABELS_MAX) {
            s->labels[s->label_count].name = name;
            s->labels[s->label_count++].value = value;
        }
        if (!take(rest, ',') && (!rest->len || rest->ptr[0] != '}'))
            return false;
    }
    return true;
}

static bool parse_line(struct b_slice line, struct cli_sample *s) {
    char number[64], *end;
    *s = (struct cli_sample){.name = take_name(&line)};
    if (!s->name.len || !take_labels(&line, s) || !take(&line, ' '))
        return false;
    size_t n = b_slice_find(line, ' ');
    if (!n || n >= sizeof number)
        return false;
    memcpy(number, line.ptr, n);
    number[n] = 0;
    s->value = strtod(number, &end);
    return end == number + n;
}

static bool add(struct cli_samples *out, const struct cli_sample *s) {
    if (out->count == out->cap) {
        size_t cap = out->cap ? 2 * out->cap : 256;
        struct cli_sample *more = b_realloc(B_TAG_BASE, out->list, cap * sizeof *more);
        if (!more)
            return false;
        out->list = more;
        out->cap = cap;
    }
    out->list[out->count++] = *s;
    return true;
}

bool cli_samples_parse(char *bytes, struct b_slice page, struct cli_samples *out) {
    struct b_slice line;
    *out = (struct cli_samples){0};
    while (b_slice_next(&page, '\n', &line)) {
        struct cli_sample s;
        if (!line.len || line.ptr[0] == '#')
            continue;
        if (!parse_line(line, &s) || !add(out, &s)) {
            cli_samples_free(out);
            return false;
        }
    }
    out->bytes = bytes;
    return true;
}

void cli_samples_free(struct cli_samples *s) {
    b_free(s->list);
    b_free(s->bytes);
    *s = (struct cli_samples){0};
}

/* --- questions --- */

struct b_slice cli_label(const struct cli_sample *s, const char *name) {
    for (unsigned i = 0; i < s->label_count; i++)
        if (b_slice_eq(s->labels[i].name, b_slice_cstr(name)))
            return s->labels[i].value;
    return b_slice(NULL, 0);
}

static bool fits(const struct cli_sample *s, struct b_slice name, const struct cli_label *labels,
                 unsigned count) {
    if (!b_slice_eq(s->name, name))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!b_slice_eq(cli_label(s, labels[i].name), labels[i].value))
            return false;
    return true;
}

double cli_sum(const struct cli_samples *s, const char *name, const struct cli_label *labels,
               unsigned count) {
    double sum = 0;
    for (size_t i = 0; i < s->count; i++)
        if (fits(&s->list[i], b_slice_cstr(name), labels, count))
            sum += s->list[i].value;
    return sum;
}

double cli_same(const struct cli_samples *s, const struct cli_sample *as) {
    for (size_t i = 0; i < s->count; i++) {
        const struct cli_sample *o = &s->list[i];
        bool same = o->label_count == as->label_count && b_slice_eq(o->name, as->name);
        for (unsigned n = 0; same && n < o->label_count; n++)
            same = b_slice_eq(o->labels[n].name, as->labels[n].name) &&
                   b_slice_eq(o->labels[n].value, as->labels[n].value);
        if (same)
            return o->value;
    }
    return 0;
}

struct cli_names cli_values(const struct cli_samples *s, const char *name, const char *label,
                            const struct cli_label *labels, unsigned count) {
    struct cli_names out = {.count = 0};
    for (size_t i = 0; i < s->count && out.count < CLI_NAMES_MAX; i++) {
        if (!fits(&s->list[i], b_slice_cstr(name), labels, count))
            continue;
        struct b_slice value = cli_label(&s->list[i], label);
        bool known = false;
        for (unsigned n = 0; n < out.count; n++)
            known |= b_slice_eq(out.list[n], value);
        if (!known)
            out.list[out.count++] = value;
    }
    return out;
}

/* Buckets by their bound, with what all fitting series have counted up to it. */
struct buckets {
    double bound[BUCKETS_MAX], count[BUCKETS_MAX];
    unsigned n;
};

static void add_bucket(struct buckets *b, double bound, double count) {
    unsigned at = 0;
    while (at < b->n && b->bound[at] < bound)
        at++;
    if (at < b->n && b->bound[at] == bound) {
        b->count[at] += count;
        return;
    }
    if (b->n == BUCKETS_MAX)
        return;
    for (unsigned i = b->n++; i > at; i--) {
        b->bound[i] = b->bound[i - 1];
        b->count[i] = b->count[i - 1];
    }
    b->bound[at] = bound;
    b->count[at] = count;
}

static void collect(struct buckets *b, const struct cli_samples *s, const char *name,
                    const struct cli_label *labels, unsigned count, double sign) {
    size_t len = strlen(name);
    for (size_t i = 0; i < s->count; i++) {
        const struct cli_sample *o = &s->list[i];
        bool bucket = o->name.len == len + 7 && memcmp(o->name.ptr, name, len) == 0 &&
                      memcmp(o->name.ptr + len, "_bucket", 7) == 0;
        if (!bucket || !fits(o, o->name, labels, count))
            continue;
        char text[32] = "";
        struct b_slice le = cli_label(o, "le");
        memcpy(text, le.ptr ? le.ptr : "", le.len < sizeof text - 1 ? le.len : sizeof text - 1);
        add_bucket(b, strcmp(text, "+Inf") == 0 ? INFINITY : strtod(text, NULL), sign * o->value);
    }
}

double cli_quantile(const struct cli_samples *then, const struct cli_samples *now, const char *name,
                    const struct cli_label *labels, unsigned count, double q) {
    struct buckets b = {.n = 0};
    collect(&b, now, name, labels, count, 1);
    collect(&b, then, name, labels, count, -1);
    double all = b.n ? b.count[b.n - 1] : 0, below = 0, bound = 0;
    if (all <= 0)
        return 0;
    for (unsigned i = 0; i < b.n; i++) {
        if (b.count[i] >= q * all) {
            double part = b.count[i] > below ? (q * all - below) / (b.count[i] - below) : 1;
            return isinf(b.bound[i]) ? bound : bound + (b.bound[i] - bound) * part;
        }
        below = b.count[i];
        bound = b.bound[i];
    }
    return bound;
}
