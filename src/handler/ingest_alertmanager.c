/* The webhook of Alertmanager, version 4 (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config). What it does
 * not know it ignores, so that later Alertmanagers are understood. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/calendar.h"
#include "base/number.h"
#include "handler/ingest_format.h"

#define LABELS_MAX 256 /* of an alert; most have some ten */

/* ---- the table ---- */

enum {
    FINGERPRINT,
    STARTS_AT,
    ENDS_AT,
    STATUS,
    LABELS,
    ANNOTATIONS,
    GENERATOR_URL,
    OWN_COLUMNS,
    /* those of the whole webhook */
    RECEIVER = OWN_COLUMNS,
    GROUP_KEY,
    EXTERNAL_URL,
    RECEIVED_AT,
    UPDATED_AT,
    COLUMNS
};

static const struct b_slice columns[COLUMNS] = {
    [FINGERPRINT] = B_LIT("fingerprint"),
    [STARTS_AT] = B_LIT("starts_at"),
    [ENDS_AT] = B_LIT("ends_at"),
    [STATUS] = B_LIT("status"),
    [LABELS] = B_LIT("labels"),
    [ANNOTATIONS] = B_LIT("annotations"),
    [RECEIVER] = B_LIT("receiver"),
    [GROUP_KEY] = B_LIT("group_key"),
    [GENERATOR_URL] = B_LIT("generator_url"),
    [EXTERNAL_URL] = B_LIT("external_url"),
    [RECEIVED_AT] = B_LIT("received_at"),
    [UPDATED_AT] = B_LIT("updated_at"),
};

static const uint8_t kinds[COLUMNS] = {
    [FINGERPRINT] = ST_HEX,    [STARTS_AT] = ST_TIME,    [ENDS_AT] = ST_TIME,     [STATUS] = ST_TEXT,
    [LABELS] = ST_JSON,        [ANNOTATIONS] = ST_JSON,  [RECEIVER] = ST_TEXT,    [GROUP_KEY] = ST_TEXT,
    [GENERATOR_URL] = ST_TEXT, [EXTERNAL_URL] = ST_TEXT, [RECEIVED_AT] = ST_TIME, [UPDATED_AT] = ST_TIME};

/* Rows are appended, and so are, nearly, the entries of the one index, since alerts come in the order of their start: led by the
 * fingerprint, each would dirty a page of its own (docs/decisions/0015). */
static const struct st_migration migrations[] = {
    {1, "make the table of alerts",
     "CREATE TABLE \"{table}\" ("
     "  fingerprint TEXT NOT NULL,"
     "  starts_at TEXT NOT NULL,"
     "  ends_at TEXT,"
     "  status TEXT NOT NULL,"
     "  labels TEXT NOT NULL,"
     "  annotations TEXT NOT NULL,"
     "  receiver TEXT,"
     "  group_key TEXT,"
     "  generator_url TEXT,"
     "  external_url TEXT,"
     "  received_at TEXT NOT NULL,"
     "  updated_at TEXT NOT NULL);"
     "CREATE UNIQUE INDEX \"{table}_identity\" ON \"{table}\" (starts_at, fingerprint);"
     "CREATE TABLE \"{table}_rejected\" ("
     "  id INTEGER PRIMARY KEY,"
     "  received_at TEXT NOT NULL,"
     "  reason TEXT NOT NULL,"
     "  item TEXT NOT NULL);",
     "CREATE TABLE \"{table}\" ("
     "  fingerprint text NOT NULL,"
     "  starts_at timestamptz NOT NULL,"
     "  ends_at timestamptz,"
     "  status text NOT NULL,"
     "  labels jsonb NOT NULL,"
     "  annotations jsonb NOT NULL,"
     "  receiver text,"
     "  group_key text,"
     "  generator_url text,"
     "  external_url text,"
     "  received_at timestamptz NOT NULL,"
     "  updated_at timestamptz NOT NULL,"
     "  PRIMARY KEY (starts_at, fingerprint));"
     "CREATE INDEX \"{table}_received_at\" ON \"{table}\" USING brin (received_at);"
     "CREATE TABLE \"{table}_rejected\" ("
     "  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
     "  received_at timestamptz NOT NULL,"
     "  reason text NOT NULL,"
     "  item text NOT NULL);"},
    {0}};

static const unsigned key[] = {FINGERPRINT, STARTS_AT};

static bool replaces(const struct st_value *earlier, const struct st_value *later) {
    bool was = earlier[STATUS].len == sizeof "resolved" - 1, is = later[STATUS].len == sizeof "resolved" - 1;
    return is || !was;
}

/* What comes late or twice changes nothing; `resolved` replaces `firing`, never the other way round. */
const struct st_table hd_alerts_table = {
    .columns = columns,
    .column_count = COLUMNS,
    .common_count = COLUMNS - OWN_COLUMNS,
    .kinds = kinds,
    .key = key,
    .key_count = 2,
    .update =
        "UPDATE SET status = excluded.status, ends_at = excluded.ends_at, annotations = excluded.annotations,"
        " receiver = excluded.receiver, group_key = excluded.group_key,"
        " generator_url = excluded.generator_url, external_url = excluded.external_url,"
        " updated_at = excluded.updated_at"
        " WHERE (\"{table}\".status = 'firing' AND excluded.status = 'resolved')"
        " OR (\"{table}\".status = excluded.status"
        " AND (\"{table}\".annotations IS DISTINCT FROM excluded.annotations"
        " OR (\"{table}\".ends_at IS DISTINCT FROM excluded.ends_at AND excluded.ends_at IS NOT NULL)))",
    .replaces = replaces,
    .rejects = true,
    .migrations = migrations,
    .schema = "alerts"};

/* ---- fingerprints ---- */

/* They are few, and most senders have sorted them already. */
static void sort(struct hd_label *labels, unsigned count) {
    for (unsigned i = 1; i < count; i++) {
        struct hd_label it = labels[i];
        unsigned at = i;
        for (; at && b_slice_compare(labels[at - 1].name, it.name) > 0; at--)
            labels[at] = labels[at - 1];
        labels[at] = it;
    }
}

static uint64_t fnv(uint64_t sum, struct b_slice s) {
    const uint64_t prime = 1099511628211u;
    for (size_t i = 0; i < s.len; i++)
        sum = (sum ^ (unsigned char)s.ptr[i]) * prime;
    return (sum ^ 255) * prime;
}

uint64_t hd_fingerprint(struct hd_label *labels, unsigned count) {
    uint64_t sum = 14695981039346656037u;
    sort(labels, count);
    for (unsigned i = 0; i < count; i++)
        sum = fnv(fnv(sum, labels[i].name), labels[i].value);
    return sum;
}

/* ---- an alert ---- */

/* What can be said of one: it is a row; or no database that we know takes it; or it is no alert. */
enum verdict { GOOD, POISON, MALFORMED, NO_MEMORY };

struct reader {
    struct hd_reading *reading;
    struct st_rows *rows;
    struct b_arena *scratch; /* the reading's, for what is looked at alone */
    struct hd_label *labels; /* room for LABELS_MAX */
    char why[ST_WHY_MAX];    /* about the alert that is read */
};

static enum verdict say(struct reader *r, enum verdict verdict, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum verdict say(struct reader *r, enum verdict verdict, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->why, sizeof r->why, fmt, ap);
    va_end(ap);
    return verdict;
}

static bool has_nul(struct b_slice s) {
    return s.len && memchr(s.ptr, 0, s.len);
}

/* A string as a text of the row; anything else that is there is no such member. */
static enum verdict text_of(struct reader *r, struct json_value v, const char *name, struct b_arena *arena,
                            struct b_slice *out) {
    *out = (struct b_slice){0};
    if (json_kind(v) != JSON_STRING)
        return say(r, MALFORMED, "`%s` is no text", name);
    *out = json_text(v, arena);
    if (!out->ptr)
        return NO_MEMORY;
    return has_nul(*out) ? say(r, POISON, "`%s` has a NUL character (\\u0000)", name) : GOOD;
}

static enum verdict value_of(struct reader *r, struct json_value v, const char *name, struct st_value *out) {
    struct b_slice text;
    enum verdict verdict = text_of(r, v, name, &r->rows->arena, &text);
    if (verdict == GOOD)
        *out = st_text(text);
    return verdict;
}

static enum verdict time_of(struct reader *r, struct json_value v, const char *name, struct st_value *out) {
    struct b_slice text;
    int64_t us;
    enum verdict verdict = text_of(r, v, name, r->scratch, &text);
    if (verdict != GOOD)
        return verdict;
    if (!b_parse_rfc3339(text, &us))
        return say(r, MALFORMED, "`%s` is no time of RFC 3339, such as 2026-11-27T07:00:00Z", name);
    *out = st_time(us);
    return GOOD;
}

static bool is_label_name(struct b_slice s, bool any) {
    if (!s.len || any)
        return s.len != 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = b_lower(s.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && c != '_' && !(i && b_is_digit(c)))
            return false;
    }
    return true;
}

/* The members of `labels` or `annotations`: texts by name. */
static enum verdict pairs_of(struct reader *r, struct json_value object, const char *what, unsigned *count) {
    *count = 0;
    if (json_kind(object) != JSON_OBJECT)
        return say(r, MALFORMED, "`%s` is no object", what);
    for (struct json_value v = json_first(object); v.index; v = json_next(v)) {
        if (*count == LABELS_MAX)
            return say(r, MALFORMED, "`%s` has more than %d members", what, LABELS_MAX);
        struct hd_label *l = &r->labels[(*count)++];
        l->name = json_text(json_key_of(v), r->scratch);
        if (!l->name.ptr)
            return NO_MEMORY;
        if (json_kind(v) != JSON_STRING)
            return say(r, MALFORMED, "the value of \"%.*s\" in `%s` is no text",
                       l->name.len < 64 ? (int)l->name.len : 64, l->name.ptr, what);
        l->value = json_text(v, r->scratch);
        if (!l->value.ptr)
            return NO_MEMORY;
        if (has_nul(l->name) || has_nul(l->value))
            return say(r, POISON, "`%s` has a NUL character (\\u0000)", what);
    }
    return GOOD;
}

static enum verdict check_labels(struct reader *r, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct b_slice name = r->labels[i].name;
        int shown = name.len < 64 ? (int)name.len : 64;
        if (!is_label_name(name, r->reading->any_label_name))
            return say(
                r, MALFORMED,
                "\"%.*s\" is no name of a label ([a-zA-Z_][a-zA-Z0-9_]*; `label_names: utf8` takes any)",
                shown, name.ptr);
        if (i && b_slice_eq(name, r->labels[i - 1].name)) /* they are sorted */
            return say(r, MALFORMED, "the label \"%.*s\" is there twice", shown, name.ptr);
    }
    return GOOD;
}

/* Its own fingerprint is ignored: other senders compute others, or none. */
static enum verdict read_labels(struct reader *r, struct json_value labels, struct json_value theirs,
                                struct st_value *row) {
    char own[ST_HEX_LEN];
    unsigned count;
    enum verdict verdict = pairs_of(r, labels, "labels", &count);
    if (verdict != GOOD)
        return verdict;
    uint64_t sum = hd_fingerprint(r->labels, count);
    if ((verdict = check_labels(r, count)) != GOOD)
        return verdict;
    b_format_hex(own, sum);
    row[FINGERPRINT] = (struct st_value){.integer = (int64_t)sum, .kind = ST_HEX};
    row[LABELS] = st_json(json_slice(labels));
    r->reading->mismatched += !json_string_is(theirs, b_slice(own, sizeof own));
    return GOOD;
}

static enum verdict read_annotations(struct reader *r, struct json_value annotations, struct st_value *row) {
    unsigned count;
    row[ANNOTATIONS] = st_json(B_LIT("{}"));
    if (!annotations.index || json_kind(annotations) == JSON_NULL)
        return GOOD;
    enum verdict verdict = pairs_of(r, annotations, "annotations", &count);
    if (verdict == GOOD)
        row[ANNOTATIONS] = st_json(json_slice(annotations));
    return verdict;
}

/* Of an alert that fires, the end is not known: Alertmanager has year 1 there, others when they will forget it. */
static enum verdict read_times(struct reader *r, struct json_value starts, struct json_value ends,
                               bool resolved, struct st_value *row) {
    const int64_t unset = -62135596800000000; /* 0001-01-01T00:00:00Z, Go's zero */
    struct st_value end = {0};
    enum verdict verdict = time_of(r, starts, "startsAt", &row[STARTS_AT]);
    if (verdict == GOOD && ends.index && json_kind(ends) != JSON_NULL)
        verdict = time_of(r, ends, "endsAt", &end);
    if (verdict != GOOD || !resolved)
        return verdict;
    row[ENDS_AT] = st_time(end.kind == ST_TIME && end.integer != unset ? end.integer : r->reading->now);
    return GOOD;
}

static enum verdict read_alert(struct reader *r, struct json_value alert, struct st_value *row) {
    struct json_value status = {0}, labels = {0}, annotations = {0}, starts = {0}, ends = {0}, url = {0},
                      theirs = {0};
    const struct {
        struct b_slice name;
        struct json_value *to;
    } members[] = {
        {B_LIT("status"), &status},     {B_LIT("labels"), &labels}, {B_LIT("annotations"), &annotations},
        {B_LIT("startsAt"), &starts},   {B_LIT("endsAt"), &ends},   {B_LIT("generatorURL"), &url},
        {B_LIT("fingerprint"), &theirs}};
    if (json_kind(alert) != JSON_OBJECT)
        return say(r, MALFORMED, "it is no object");
    for (struct json_value v = json_first(alert); v.index; v = json_next(v))
        for (unsigned i = 0; i < sizeof members / sizeof *members; i++)
            if (json_string_is(json_key_of(v), members[i].name))
                *members[i].to = v;
    bool resolved = json_string_is(status, B_LIT("resolved"));
    if (!resolved && !json_string_is(status, B_LIT("firing")))
        return say(r, MALFORMED, "`status` is neither \"firing\" nor \"resolved\"");
    row[STATUS] = st_text(resolved ? B_LIT("resolved") : B_LIT("firing"));
    enum verdict verdict = read_labels(r, labels, theirs, row);
    verdict = verdict != GOOD ? verdict : read_annotations(r, annotations, row);
    verdict = verdict != GOOD ? verdict : read_times(r, starts, ends, resolved, row);
    if (verdict == GOOD && url.index && json_kind(url) != JSON_NULL)
        verdict = value_of(r, url, "generatorURL", &row[GENERATOR_URL]);
    return verdict;
}

/* ---- all of them ---- */

static int fail(struct hd_reading *reading, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct hd_reading *reading, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reading->why, sizeof reading->why, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

static int reject(struct reader *r, struct b_slice item, unsigned most) {
    struct st_rows *rows = r->rows;
    if (!rows->rejects)
        rows->rejects = b_arena_alloc(&rows->arena, most * sizeof *rows->rejects);
    struct b_slice reason = b_arena_copy(&rows->arena, b_slice_cstr(r->why));
    if (!rows->rejects || !reason.ptr)
        return -ENOMEM;
    rows->rejects[rows->reject_count++] = (struct st_reject){item, reason};
    return 0;
}

/* The one that cannot be a row is kept as it came, so that the others are not lost with it; but who sends nothing else is no
 * Alertmanager, and is told. */
static int read_all(struct reader *r, struct json_value alerts, unsigned count) {
    struct st_rows *rows = r->rows;
    unsigned n = 0, malformed = 0;
    for (struct json_value v = json_first(alerts); v.index; v = json_next(v), n++) {
        struct st_value *row = rows->values + (size_t)rows->count * OWN_COLUMNS;
        memset(row, 0, OWN_COLUMNS * sizeof *row);
        r->why[0] = 0;
        enum verdict verdict = read_alert(r, v, row);
        if (verdict == NO_MEMORY)
            return -ENOMEM;
        if (verdict == GOOD) {
            rows->items[rows->count++] = st_json(json_slice(v));
            continue;
        }
        if (verdict == MALFORMED && malformed++ == 0)
            fail(r->reading, "alert %u: %s", n, r->why);
        if (reject(r, json_slice(v), count) != 0)
            return -ENOMEM;
    }
    return n == malformed ? -EINVAL : 0;
}

/* What rows take of the whole. */
static const struct group_text {
    struct b_slice member;
    unsigned column;
} group_texts[] = {{B_LIT("receiver"), RECEIVER},
                   {B_LIT("groupKey"), GROUP_KEY},
                   {B_LIT("externalURL"), EXTERNAL_URL}};
#define GROUP_TEXTS (sizeof group_texts / sizeof *group_texts)

/* Those that are missing have no ptr. Copied, for their place in the body may go. */
static int read_group(struct reader *r, struct json_value root, struct b_slice texts[GROUP_TEXTS]) {
    for (unsigned i = 0; i < GROUP_TEXTS; i++) {
        struct json_value v = json_member(root, group_texts[i].member);
        if (!v.index || json_kind(v) == JSON_NULL)
            continue;
        enum verdict verdict = text_of(r, v, group_texts[i].member.ptr, r->scratch, &texts[i]);
        if (verdict != GOOD)
            return verdict == NO_MEMORY ? -ENOMEM : fail(r->reading, "%s", r->why);
        if (!(texts[i] = b_arena_copy(r->scratch, texts[i])).ptr)
            return -ENOMEM;
    }
    return 0;
}

/* Of the texts that are to be kept; those of all alerts are taken to be as long as the first one's. */
static size_t bytes_of_texts(const struct b_slice group[GROUP_TEXTS], struct json_value alerts,
                             unsigned count) {
    struct json_value url = json_member(json_first(alerts), B_LIT("generatorURL"));
    size_t sum = json_is_escaped(url) ? B_ARENA_ROOM(json_slice(url).len) * count : 0;
    for (unsigned i = 0; i < GROUP_TEXTS; i++)
        sum += B_ARENA_ROOM(group[i].len + 1);
    return sum;
}

static int make_room(struct reader *r, const struct b_slice group[GROUP_TEXTS], size_t text_bytes,
                     unsigned count) {
    struct st_rows *rows = r->rows;
    if (st_rows_reserve(rows, &hd_alerts_table, count, text_bytes) != 0)
        return -ENOMEM;
    struct st_value *common = rows->common - OWN_COLUMNS;
    common[RECEIVED_AT] = common[UPDATED_AT] = st_time(r->reading->now);
    for (unsigned i = 0; i < GROUP_TEXTS; i++) {
        struct b_slice copy = group[i].ptr ? b_arena_copy(&rows->arena, group[i]) : group[i];
        if (copy.ptr)
            common[group_texts[i].column] = st_text(copy);
        else if (group[i].ptr)
            return -ENOMEM;
    }
    return 0;
}

/* What comes behind the alerts has been read, and Alertmanager says much there that rows do not have: thousands of bodies may wait. */
static void cut_body(struct st_rows *rows, struct json_index *x, struct json_value alerts) {
    struct b_slice text = json_slice(alerts);
    if (rows->body.ptr != x->text.ptr)
        return;
    b_text_cut(&rows->body, (size_t)(text.ptr + text.len - x->text.ptr));
    x->text = b_text_slice(&rows->body);
}

static unsigned truncated(struct json_value v) {
    uint64_t n = 0;
    if (json_kind(v) == JSON_NUMBER)
        for (struct b_slice s = json_slice(v); s.len && b_is_digit(s.ptr[0]) && n < 1u << 24;
             s = b_slice_from(s, 1))
            n = n * 10 + (unsigned)(s.ptr[0] - '0');
    return (unsigned)n;
}

static int read_webhook(struct reader *r, struct json_index *x) {
    struct hd_reading *reading = r->reading;
    struct b_slice group[GROUP_TEXTS] = {{0}};
    struct json_value root = json_root(x), alerts = json_member(root, B_LIT("alerts")),
                      version = json_member(root, B_LIT("version"));
    unsigned count = 0;
    if (json_kind(root) != JSON_OBJECT)
        return fail(reading, "the body is no object, so it is no webhook of Alertmanager");
    if (!json_string_is(version, B_LIT("4")))
        return fail(reading,
                    "`version` is %.*s; it is \"4\" in webhooks of Alertmanager, and no other is understood",
                    version.index ? (int)(json_slice(version).len < 40 ? json_slice(version).len : 40) : 7,
                    version.index ? json_slice(version).ptr : "missing");
    if (json_kind(alerts) != JSON_ARRAY)
        return fail(reading, "`alerts` is no array");
    for (struct json_value v = json_first(alerts); v.index; v = json_next(v))
        if (++count > reading->max_items)
            return -E2BIG;
    if (!count)
        return fail(reading, "`alerts` is empty");
    reading->truncated = truncated(json_member(root, B_LIT("truncatedAlerts")));
    int rc = read_group(r, root, group);
    size_t text_bytes = bytes_of_texts(group, alerts, count);
    if (rc)
        return rc;
    cut_body(r->rows, x, alerts);
    rc = make_room(r, group, text_bytes, count);
    return rc ? rc : read_all(r, alerts, count);
}

int hd_alerts_read(struct json_index *x, struct st_rows *rows, struct hd_reading *reading) {
    struct reader r = {.reading = reading, .rows = rows, .scratch = &reading->scratch};
    r.labels = b_arena_alloc(r.scratch, LABELS_MAX * sizeof *r.labels);
    return r.labels ? read_webhook(&r, x) : -ENOMEM;
}
