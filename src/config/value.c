#include "config/value.h"

#include "base/number.h"

#define DURATION_MAX (100000 * CFG_H)

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {{"d", 24 * CFG_H}, {"h", CFG_H},   {"m", CFG_M}, {"s", CFG_S},
                                             {"ms", CFG_MS},    {"us", CFG_US}, {0}};
/* For writing, the first that divides wins: a number of KB reads better than that of bytes, KiB better than KB. */
static const struct unit size_units[] = {{"GiB", CFG_GIB}, {"GB", 1000000000},
                                         {"MiB", CFG_MIB}, {"MB", 1000000},
                                         {"KiB", CFG_KIB}, {"KB", 1000},
                                         {"B", 1},         {0}};
static const struct unit rate_units[] = {{"s", CFG_S}, {"m", CFG_M}, {"h", CFG_H}, {0}};

static const struct unit *find_unit(const struct unit *units, struct b_slice name) {
    for (; units->name; units++)
        if (b_slice_eq(b_slice_cstr(units->name), name))
            return units;
    return NULL;
}

/* Takes the digits off the front of *s; false when there are none or the number passes INT64_MAX. */
static bool take_number(struct b_slice *s, int64_t *out) {
    size_t n = 0;
    uint64_t v;
    while (n < s->len && b_is_digit(s->ptr[n]))
        n++;
    if (!b_parse_u64(b_slice(s->ptr, n), &v) || v > INT64_MAX)
        return false;
    *out = (int64_t)v;
    *s = b_slice_from(*s, n);
    return true;
}

const char *cfg_parse_bool(struct b_slice s, bool *out) {
    bool yes = b_slice_eq(s, B_LIT("true"));
    if (!yes && !b_slice_eq(s, B_LIT("false")))
        return "write true or false";
    *out = yes;
    return NULL;
}

const char *cfg_parse_int(struct b_slice s, int64_t *out) {
    bool minus = s.len && s.ptr[0] == '-';
    struct b_slice digits = minus ? b_slice_from(s, 1) : s;
    int64_t v;
    if (digits.len > 1 && digits.ptr[0] == '0' && b_is_digit(digits.ptr[1]))
        return "write the number without leading zeros";
    if (digits.len > 18 && take_number(&(struct b_slice){digits.ptr, 18}, &v) && b_is_digit(digits.ptr[18]))
        return "the number is too large";
    if (!take_number(&digits, &v) || digits.len)
        return "give a whole number";
    *out = minus ? -v : v;
    return NULL;
}

const char *cfg_parse_duration(struct b_slice s, int64_t *ns) {
    static const char reason[] =
        "give a duration with its unit, such as 30s, 250ms or 1m30s (us, ms, s, m, h, d)";
    int64_t total = 0, before = INT64_MAX;
    if (!s.len)
        return reason;
    while (s.len) {
        int64_t v;
        size_t n = 0;
        if (!take_number(&s, &v))
            return reason;
        while (n < s.len && s.ptr[n] >= 'a' && s.ptr[n] <= 'z')
            n++;
        const struct unit *unit = find_unit(duration_units, b_slice(s.ptr, n));
        if (!unit)
            return reason;
        if (unit->factor >= before)
            return "write each unit once, the largest first, such as 1m30s";
        if (v > DURATION_MAX / unit->factor || (total += v * unit->factor) > DURATION_MAX)
            return "a duration is at most 100000h";
        before = unit->factor;
        s = b_slice_from(s, n);
    }
    *ns = total;
    return NULL;
}

const char *cfg_parse_size(struct b_slice s, int64_t *bytes) {
    static const char reason[] =
        "give a size with its unit, such as 16KiB (16384 bytes) or 10MB (B, KB, KiB, MB, MiB, GB, GiB)";
    int64_t v;
    if (!take_number(&s, &v))
        return reason;
    const struct unit *unit = find_unit(size_units, s);
    if (!unit)
        return reason;
    if (v > INT64_MAX / unit->factor)
        return "the size is too large";
    *bytes = v * unit->factor;
    return NULL;
}

const char *cfg_parse_rate(struct b_slice s, struct cfg_rate *out) {
    static const char reason[] = "give a rate such as 100/s, 5000/m or 7/h";
    int64_t count;
    if (!take_number(&s, &count) || !s.len || s.ptr[0] != '/')
        return reason;
    const struct unit *unit = find_unit(rate_units, b_slice_from(s, 1));
    if (!unit)
        return reason;
    if (count < 1 || count > 1000000000)
        return "a rate counts from 1 to 1000000000";
    *out = (struct cfg_rate){count, unit->factor};
    return NULL;
}

const char *cfg_parse_percent(struct b_slice s, int64_t *out) {
    int64_t v;
    if (!take_number(&s, &v) || (s.len && !b_slice_eq(s, B_LIT("%"))) || v > 100)
        return "give a percentage from 0% to 100%, without fraction";
    *out = v;
    return NULL;
}

void cfg_write_int(struct b_text *t, int64_t v) {
    if (v < 0)
        b_text_char(t, '-');
    b_text_u64(t, v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v);
}

void cfg_write_duration(struct b_text *t, int64_t ns) {
    if (ns > 0 && ns < CFG_US)
        ns = CFG_US;
    if (ns <= 0) {
        b_text_lit(t, "0s");
        return;
    }
    for (const struct unit *u = duration_units + 1 /* in hours */; u->name && ns >= CFG_US; u++) {
        if (ns >= u->factor) {
            cfg_write_int(t, ns / u->factor);
            b_text_cstr(t, u->name);
            ns %= u->factor;
        }
    }
}

void cfg_write_size(struct b_text *t, int64_t bytes) {
    const struct unit *u = size_units;
    while (u->factor > 1 && (bytes == 0 || bytes % u->factor))
        u++;
    cfg_write_int(t, bytes / u->factor);
    b_text_cstr(t, u->name);
}

void cfg_write_rate(struct b_text *t, struct cfg_rate rate) {
    const struct unit *u = rate_units;
    while (u[1].name && u->factor != rate.per)
        u++;
    cfg_write_int(t, rate.count);
    b_text_char(t, '/');
    b_text_cstr(t, u->name);
}
