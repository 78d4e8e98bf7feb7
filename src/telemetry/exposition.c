#include "telemetry/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/escape.h"

#define LABELS_TEXT_MAX (8 * 1024) /* 4 values of 256 bytes, each byte escaped, and the names */

/* \ and line feed, and in label values the quote. */
static void add_escaped(struct b_text *out, struct b_slice s, bool quote) {
    while (s.len) {
        size_t bad, n = b_utf8_char(s, &bad);
        char c = s.ptr[0];
        if (n == 0)
            b_text_lit(out, "\xef\xbf\xbd");
        else if (c == '\n')
            b_text_lit(out, "\\n");
        else if (c == '\\')
            b_text_lit(out, "\\\\");
        else if (c == '"' && quote)
            b_text_lit(out, "\\\"");
        else
            b_text_add(out, s.ptr, n);
        s = b_slice_from(s, n ? n : bad);
    }
}

/* The longest front of s that ends with a whole character and has at most TEL_LABEL_VALUE_MAX bytes. */
static struct b_slice cut(struct b_slice s) {
    if (s.len <= TEL_LABEL_VALUE_MAX)
        return s;
    size_t len = TEL_LABEL_VALUE_MAX;
    while (len > TEL_LABEL_VALUE_MAX - 4 && ((unsigned char)s.ptr[len] & 0xc0) == 0x80)
        len--;
    return b_slice(s.ptr, len);
}

void tel_add_labels(struct b_text *out, const struct tel_family *f, const struct b_slice *values) {
    for (int i = 0; i < TEL_LABELS_MAX && f->labels[i]; i++) {
        if (i)
            b_text_char(out, ',');
        b_text_cstr(out, f->labels[i]);
        b_text_lit(out, "=\"");
        add_escaped(out, cut(values[i]), true);
        b_text_char(out, '"');
    }
}

void tel_add_header(struct b_text *out, const struct tel_family *f) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    b_text_lit(out, "# HELP ");
    b_text_cstr(out, f->name);
    b_text_char(out, ' ');
    add_escaped(out, b_slice_cstr(f->help), false);
    b_text_lit(out, "\n# TYPE ");
    b_text_cstr(out, f->name);
    b_text_char(out, ' ');
    b_text_cstr(out, types[f->type]);
    b_text_char(out, '\n');
}

/* v / one without rounding; one is a power of ten. */
static void add_scaled(struct b_text *out, uint64_t v, uint64_t one) {
    char digits[24];
    size_t n = 0;
    b_text_u64(out, one ? v / one : v);
    if (one < 2 || v % one == 0)
        return;
    digits[n++] = '.';
    for (uint64_t rest = v % one, place = one / 10; rest; place /= 10) {
        digits[n++] = (char)('0' + rest / place);
        rest %= place;
    }
    b_text_add(out, digits, n);
}

/* name_suffix{labels,le="..."} and the space behind it. */
static void add_name(struct b_text *out, const struct tel_family *f, const char *suffix,
                     struct b_slice labels) {
    b_text_cstr(out, f->name);
    b_text_cstr(out, suffix);
    if (labels.len) {
        b_text_char(out, '{');
        b_text_slice_add(out, labels);
        b_text_char(out, '}');
    }
    b_text_char(out, ' ');
}

void tel_add_value(struct b_text *out, const struct tel_family *f, struct b_slice labels, uint64_t v) {
    add_name(out, f, "", labels);
    if (f->type == TEL_GAUGE && v > INT64_MAX) {
        b_text_char(out, '-');
        v = (uint64_t)0 - v;
    }
    add_scaled(out, v, f->one);
    b_text_char(out, '\n');
}

void tel_add_histogram(struct b_text *out, const struct tel_family *f, struct b_slice labels,
                       const struct b_histogram_totals *totals) {
    uint64_t count = 0;
    for (int i = 0; i < B_HISTOGRAM_BUCKETS; i++) {
        count += totals->buckets[i];
        b_text_cstr(out, f->name);
        b_text_lit(out, "_bucket{");
        b_text_slice_add(out, labels);
        b_text_cstr(out, labels.len ? ",le=\"" : "le=\"");
        if (i == B_HISTOGRAM_BUCKETS - 1)
            b_text_lit(out, "+Inf");
        else
            add_scaled(out, b_histogram_bounds[i], f->one);
        b_text_lit(out, "\"} ");
        b_text_u64(out, count);
        b_text_char(out, '\n');
    }
    add_name(out, f, "_sum", labels);
    add_scaled(out, totals->sum_ns, f->one);
    b_text_char(out, '\n');
    add_name(out, f, "_count", labels);
    b_text_u64(out, count); /* the sum of what is written above, and not a later figure */
    b_text_char(out, '\n');
}

/* In as few digits as give the same number back, of 15 and 17. */
static void add_double(struct b_text *out, double v) {
    char short_form[40];
    if (isnan(v))
        b_text_lit(out, "NaN");
    else if (isinf(v))
        b_text_cstr(out, v > 0 ? "+Inf" : "-Inf");
    else if (v == floor(v) && fabs(v) < 9007199254740992.0)
        b_text_printf(out, "%lld", (long long)v);
    else if (snprintf(short_form, sizeof short_form, "%.15g", v) > 0 && strtod(short_form, NULL) == v)
        b_text_cstr(out, short_form);
    else
        b_text_printf(out, "%.17g", v);
}

void tel_sample(struct tel_samples *out, const struct b_slice *label_values, double value) {
    const struct tel_family *f = out->family;
    b_text_cstr(out->out, f->name);
    if (f->labels[0]) {
        b_text_char(out->out, '{');
        tel_add_labels(out->out, f, label_values);
        b_text_char(out->out, '}');
    }
    b_text_char(out->out, ' ');
    add_double(out->out, value);
    b_text_char(out->out, '\n');
}

void tel_sample_histogram(struct tel_samples *out, const struct b_slice *label_values,
                          const struct b_histogram_totals *totals) {
    struct b_text labels = b_text_heap(B_TAG_TELEMETRY, LABELS_TEXT_MAX);
    tel_add_labels(&labels, out->family, label_values);
    if (labels.failed)
        out->out->failed = true;
    else
        tel_add_histogram(out->out, out->family, b_text_slice(&labels), totals);
    b_text_free(&labels);
}
