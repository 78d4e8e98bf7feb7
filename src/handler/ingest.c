/* Takes events in: a request is answered when all that it brought is on disk. */
#include <errno.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "gateway/stores.h"
#include "gateway/template.h"
#include "handler/ingest_format.h"
#include "handler/ingest_json.h"
#include "handler/ingest_signature.h"
#include "telemetry/metrics.h"
#include "json/writer.h"

#define SCRATCH_MAX ((size_t)512 << 20)
#define BODY_MAX (CFG_GIB / 4) /* what PostgreSQL takes as jsonb */
_Static_assert(BODY_MAX <= ST_LEN_MAX, "all of it can be a value");

/* ---- the options ---- */

enum format { ALERTMANAGER, JSON };

struct batch_conf {
    struct cfg_head head;
    int64_t max_rows, max_wait;
};

struct ingest_conf {
    struct cfg_head head;
    int format; /* enum format */
    struct b_slice store, table;
    int64_t max_items, max_body, max_waiting, keep;
    struct batch_conf batch;
    int label_names; /* 0: legacy, 1: utf8 */
    struct hd_json_conf json;
    struct hd_signature_conf signature;
};

static const struct cfg_option batch_options[] = {
    {.name = "max_rows",
     .type = CFG_INT,
     CFG_AT(struct batch_conf, max_rows),
     .default_text = "500",
     .min = 1,
     .max = 100000,
     .help = "rows of a transaction; a larger request is one of its own"},
    {.name = "max_wait",
     .type = CFG_DURATION,
     CFG_AT(struct batch_conf, max_wait),
     .default_text = "0s",
     .max = 10 * CFG_S,
     .help =
         "how long a transaction that is not full is held back; none is needed: what comes while one commits "
         "is the next"},
    {0},
};

static const struct cfg_table batch_table = {.name = "a batch",
                                             .summary = "What goes to the disk together",
                                             .options = batch_options,
                                             .size = sizeof(struct batch_conf)};

static const char *const formats[] = {"alertmanager", "json", NULL};
static const char *const label_names[] = {"legacy", "utf8", NULL};

static const struct cfg_option options[] = {
    {.name = "format",
     .type = CFG_ENUM,
     CFG_AT(struct ingest_conf, format),
     .flags = CFG_REQUIRED,
     .choices = formats,
     .example = "alertmanager",
     .help = "of the bodies: the webhook of Alertmanager, version 4; or any JSON, one text or (as "
             "application/x-ndjson) one a line"},
    {.name = "store",
     .type = CFG_STRING,
     CFG_AT(struct ingest_conf, store),
     .min = 1,
     .max = 256,
     .example = "main",
     .help = "where it goes; may be left out when there is one store alone"},
    {.name = "table",
     .type = CFG_STRING,
     CFG_AT(struct ingest_conf, table),
     .min = 1,
     .max = 48,
     .example = "alerts",
     .help =
         "the table; `alerts` for alertmanager when left out. Of alerts, what the database refuses goes to another, with "
         "`_rejected` behind its name"},
    {.name = "create",
     .type = CFG_BOOL,
     CFG_AT(struct ingest_conf, json.create),
     .default_text = "true",
     .help = "whether weir makes the table, and changes it with later versions; else somebody else has to"},
    {.name = "items",
     .type = CFG_STRING,
     CFG_AT(struct ingest_conf, json.items),
     .min = 1,
     .max = 1024,
     .example = "$body.events",
     .help =
         "of json: the array of the events; the body itself when left out, or what is in it if it is an array"},
    {.name = "columns",
     .type = CFG_NODE,
     CFG_AT(struct ingest_conf, json.columns),
     .example = "{id: $item.id, at: $item.time}",
     .help = "of json: templates of what goes into each column, over `$item`, `$body` and `$request`"},
    {.name = "types",
     .type = CFG_STRING_MAP,
     CFG_AT(struct ingest_conf, json.types),
     .max = ST_COLUMNS_MAX,
     .example = "{at: time}",
     .help =
         "of columns: text (the default of a table that weir makes), json, time, integer, number, boolean"},
    {.name = "key",
     .type = CFG_STRINGS,
     CFG_AT(struct ingest_conf, json.key),
     .max = 16,
     .example = "[id]",
     .help =
         "of json: the columns by which an event is known; what is there already is a duplicate. Without it each is new"},
    {.name = "keep",
     .type = CFG_DURATION,
     CFG_AT(struct ingest_conf, keep),
     .max = 100000 * CFG_H,
     .example = "30d",
     .help = "rows that came in before that are taken away, a few at a time; all are kept when left out"},
    {.name = "max_items",
     .type = CFG_INT,
     CFG_AT(struct ingest_conf, max_items),
     .default_text = "1000",
     .min = 1,
     .max = 1000000,
     .help = "events of a request; with more it is 413"},
    {.name = "max_body",
     .type = CFG_SIZE,
     CFG_AT(struct ingest_conf, max_body),
     .default_text = "10MiB",
     .min = 1,
     .max = BODY_MAX,
     .help = "body of a request, unless the route says it; beyond it 413"},
    {.name = "max_waiting",
     .type = CFG_INT,
     CFG_AT(struct ingest_conf, max_waiting),
     .default_text = "10000",
     .min = 1,
     .max = 1000000,
     .help = "requests that wait for the disk; beyond it 503"},
    {.name = "batch",
     .type = CFG_OBJECT,
     CFG_AT(struct ingest_conf, batch),
     .table = &batch_table,
     .help = "what goes to the disk together"},
    {.name = "signature",
     .type = CFG_OBJECT,
     CFG_AT(struct ingest_conf, signature),
     .flags = CFG_OPTIONAL,
     .table = &hd_signature_table,
     .help = "what a body must be signed with; 401 else"},
    {.name = "label_names",
     .type = CFG_ENUM,
     CFG_AT(struct ingest_conf, label_names),
     .default_text = "legacy",
     .choices = label_names,
     .help = "of alerts: legacy is [a-zA-Z_][a-zA-Z0-9_]*, utf8 any text, as Prometheus 3 allows"},
    {0},
};

static int check_json(struct cfg_errors *errors, const struct cfg_node *node, const struct ingest_conf *c) {
    if (!c->table.ptr)
        return cfg_error_at(errors, node, "`format: json` needs a `table`");
    if (!c->json.columns)
        return cfg_error_at(errors, node, "`format: json` needs `columns`: {id: $item.id}");
    if (c->json.columns->kind != CFG_MAP || !c->json.columns->count)
        return cfg_error_at(errors, c->json.columns, "\"columns\" is a map of templates: {id: $item.id}");
    if (c->json.columns->count >= ST_COLUMNS_MAX)
        return cfg_error_at(errors, c->json.columns, "a table has at most %d columns", ST_COLUMNS_MAX - 1);
    if (c->keep && !c->json.create && !cfg_node_get(c->json.columns, "received_at"))
        return cfg_error_at(errors, cfg_node_get(node, "keep"),
                            "`keep` goes by a column `received_at`, which `columns` lacks");
    return 0;
}

static int check_alerts(struct cfg_errors *errors, const struct cfg_node *node) {
    static const char *const of_json[] = {"items", "columns", "types", "key"};
    int rc = 0;
    for (unsigned i = 0; i < sizeof of_json / sizeof *of_json; i++)
        if (cfg_node_get(node, of_json[i]))
            rc = cfg_error_key(errors, cfg_node_get(node, of_json[i]), "\"%s\" belongs to `format: json`",
                               of_json[i]);
    return rc;
}

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    struct ingest_conf *c = conf;
    int rc = c->format == JSON ? check_json(errors, node, c) : check_alerts(errors, node);
    if (c->format == ALERTMANAGER && !c->table.ptr)
        c->table = B_LIT("alerts");
    const char *why = c->table.ptr ? st_check_name(c->table) : NULL;
    return why ? cfg_error_at(errors, cfg_node_get(node, "table"), "\"table\" cannot be \"%.*s\": %s",
                              B_FMT(c->table), why)
               : rc;
}

static const struct cfg_table table = {
    .name = "an intake",
    .summary = "Events that are stored, and acknowledged when they are on disk",
    .options = options,
    .size = sizeof(struct ingest_conf),
    .check = check,
};

/* ---- a route ---- */

struct ingest {
    const struct ingest_conf *conf;
    struct st_sink *sink;
    struct hd_json *json;           /* NULL: alerts */
    struct hd_signature *signature; /* NULL: none is asked for */
    struct st_limits limits;
    struct tel_series *truncated, *mismatched, *repeats;
};

static struct tel_family truncated = {.name = "weir_ingest_truncated_alerts_total",
                                      .help = "Alerts that Alertmanager says it left out (max_alerts).",
                                      .type = TEL_COUNTER,
                                      .labels = {"http_route"}};
static struct tel_family mismatched = {
    .name = "weir_ingest_fingerprint_mismatches_total",
    .help = "Alerts that came with another fingerprint than Prometheus gives their labels, or none.",
    .type = TEL_COUNTER,
    .labels = {"http_route"}};
static struct tel_family repeats = {
    .name = "weir_ingest_repeats_total",
    .help =
        "Requests with the bytes of one that was stored within the last minute, acknowledged from memory.",
    .type = TEL_COUNTER,
    .labels = {"http_route"}};

static int open_route(const struct gw_open *o, const struct cfg_route *route, const void *conf,
                      void **state) {
    const struct ingest_conf *c = conf;
    const struct cfg_node *node = cfg_node_get(c->head.node, "store");
    struct st_store *store = gw_store_find(o, c->store, node ? node : c->head.node);
    struct ingest *in = b_arena_zalloc(o->arena, sizeof *in);
    struct st_table t = c->format == JSON ? (struct st_table){0} : hd_alerts_table;
    *state = NULL;
    if (!in)
        return cfg_error_memory(o->errors);
    t.name = c->table;
    t.keep = c->keep;
    t.migrations = c->json.create ? t.migrations : NULL;
    int rc = c->format == JSON ? hd_json_open(o, route, &c->json, c->head.node, &t, &in->json) : 0;
    rc = hd_signature_open(o, &c->signature, &in->signature) ? -EINVAL : rc;
    if (route->max_body > BODY_MAX)
        rc = cfg_error_at(o->errors, cfg_node_get(route->head.node, "max_body"),
                          "events are at most 256MiB in all: \"max_body\" is more");
    if (rc || !store)
        return -EINVAL;
    if (!(in->sink = st_sink_get(store, &t)))
        return cfg_error_memory(o->errors);
    in->conf = c;
    in->limits = (struct st_limits){.max_rows = (unsigned)c->batch.max_rows,
                                    .max_waiting = (unsigned)c->max_waiting,
                                    .max_wait = c->batch.max_wait};
    in->truncated = tel_series_get(&truncated, &route->match.path);
    in->mismatched = tel_series_get(&mismatched, &route->match.path);
    in->repeats = tel_series_get(&repeats, &route->match.path);
    *state = in;
    return 0;
}

static void close_route(void *state) {
    struct ingest *in = state;
    if (in)
        st_sink_put(in->sink);
}

static uint64_t max_body(const void *conf) {
    const struct ingest_conf *c = conf;
    return (uint64_t)c->max_body;
}

/* ---- a request ---- */

struct intake {
    struct exchange *ex;
    const struct ingest *in;
    struct st_rows *rows;
    struct json_index index;
    struct hd_reading reading;
    int rc;
};

/* On the big stack: the request's own stays one page, as thousands may wait for the disk. */
static void read_events(void *arg) {
    struct intake *t = arg;
    b_arena_init(&t->reading.scratch, B_TAG_REQUESTS, NULL, rt_scratch_in(), RT_SCRATCH_BYTES, SCRATCH_MAX);
    t->rc = hd_alerts_read(&t->index, t->rows, &t->reading);
    b_arena_release(&t->reading.scratch);
}

static int read_format(struct intake *t) {
    struct exchange *ex = t->ex;
    struct json_fault fault;
    int rc = gw_index_json(&t->index, b_text_slice(&t->rows->body), false, &fault);
    if (rc == -EINVAL)
        return gw_bad_json(ex, &fault);
    if (rc)
        return -HTTP_E_OUT_OF_MEMORY;
    rt_on_big_stack(read_events, t);
    if (t->rc == -EINVAL)
        return gw_error(ex, HTTP_E_BAD_EVENT, "%s", t->reading.why);
    if (t->rc == -E2BIG)
        return gw_error(ex, HTTP_E_TOO_MANY_EVENTS, "the request has more than %lld events",
                        (long long)t->in->conf->max_items);
    return t->rc ? -HTTP_E_OUT_OF_MEMORY : 0;
}

static void note(const struct intake *t) {
    const struct hd_reading *r = &t->reading;
    tel_add(t->in->mismatched, rt_index(), r->mismatched);
    tel_add(t->in->truncated, rt_index(), r->truncated);
    if (r->truncated)
        B_LOG(B_WARN, "ingest", "Alertmanager left %u alerts out: raise max_alerts of its webhook_config",
              r->truncated);
}

static __attribute__((noinline)) int read_alerts(struct exchange *ex, const struct ingest *in,
                                                 struct st_rows *rows) {
    struct intake t = {.ex = ex, .in = in, .rows = rows, .index = {.tag = B_TAG_REQUESTS}};
    t.reading.max_items = (unsigned)in->conf->max_items;
    t.reading.any_label_name = in->conf->label_names == 1;
    t.reading.now = rt_wall_clock() / 1000;
    int rc = read_format(&t);
    json_index_free(&t.index);
    if (rc == 0)
        note(&t);
    return rc;
}

/* What came of it; NULL: it is known from before. */
static int answer(struct exchange *ex, unsigned stored, const struct st_result *r) {
    char text[128];
    struct b_text body = b_text_fixed(text, sizeof text);
    struct json_writer w = json_writer(&body);
    int rc = gw_response(ex, 200, 1);
    if (rc)
        return rc;
    json_object_begin(&w);
    json_u64_member(&w, "stored", stored);
    json_u64_member(&w, "duplicates", r ? r->duplicates : 0);
    json_u64_member(&w, "rejected", r ? r->rejected : 0);
    if (!r) {
        json_key(&w, B_LIT("repeated"));
        json_bool(&w, true);
    }
    json_object_end(&w);
    b_text_char(&body, '\n');
    rc = http_fields_add_id(&ex->call.arena, &ex->res.fields, HTTP_FIELD_CONTENT_TYPE,
                            B_LIT("application/json"));
    return rc ? -HTTP_E_OUT_OF_MEMORY : gw_answer(ex, b_text_slice(&body));
}

/* A sender that gives up on 4xx and tries again on 5xx must hear what it may rely on. */
static int refuse(struct exchange *ex, enum st_outcome outcome, const struct st_result *r) {
    const char *why = r->why                   ? r->why
                      : outcome == ST_IN_DOUBT ? "the commit was not over at the deadline"
                                               : "the reason is not known";
    switch (outcome) {
    case ST_REFUSED: return gw_error(ex, HTTP_E_BAD_EVENT, "event %u: %s", r->bad_row, why);
    case ST_FULL: return -HTTP_E_QUEUE_FULL;
    case ST_LATE: return -HTTP_E_DEADLINE_EXCEEDED;
    case ST_DOWN: return gw_error(ex, HTTP_E_STORE_UNAVAILABLE, "nothing was stored: %s", why);
    default: return gw_error(ex, HTTP_E_STORE_UNAVAILABLE, "it may or may not have been stored: %s", why);
    }
}

static void add_challenge(struct exchange *ex, struct gw_head_hook *self) {
    (void)self;
    if (http_fields_set_id(&ex->call.arena, &ex->res.fields, HTTP_FIELD_WWW_AUTHENTICATE,
                           B_LIT("Signature")) < 0)
        ex->close = true; /* memory is short; the refusal itself goes out */
}

/* 0: it is signed, or need not be. Else it has been answered. */
static int check_signature(struct exchange *ex, const struct ingest *in, struct b_slice body) {
    const char *why = in->signature ? hd_signature_check(in->signature, ex, body) : NULL;
    struct gw_head_hook challenge = {.fn = add_challenge, .next = ex->hooks};
    if (!why)
        return 0;
    (void)gw_error(ex, HTTP_E_UNAUTHENTICATED, "%s", why);
    ex->hooks = &challenge;
    gw_fail(ex, HTTP_E_UNAUTHENTICATED);
    ex->hooks = challenge.next;
    return 1;
}

static int store(struct exchange *ex, const struct ingest *in, struct st_post *p) {
    struct st_rows *rows = st_post_rows(p);
    int rc = gw_read_whole_body(ex, &rows->body);
    if (rc)
        return rc;
    if (check_signature(ex, in, b_text_slice(&rows->body)) != 0)
        return 0;
    struct st_digest digest = st_digest(in->sink, b_text_slice(&rows->body));
    if (st_remembers(in->sink, digest)) {
        tel_add(in->repeats, rt_index(), 1);
        return answer(ex, 0, NULL);
    }
    rc = in->json ? hd_json_read(ex, in->json, rows, (unsigned)in->conf->max_items)
                  : read_alerts(ex, in, rows);
    if (rc)
        return rc;
    ex->phase = "store";
    enum st_outcome outcome = st_insert(in->sink, p, &in->limits, ex->call.deadline);
    const struct st_result *r = st_post_result(p);
    if (outcome != ST_STORED)
        return refuse(ex, outcome, r);
    st_remember(in->sink, digest, p);
    return answer(ex, rows->count + rows->reject_count - r->duplicates - r->rejected, r);
}

static int run(struct exchange *ex, void *state) {
    struct st_post *p = st_post_new();
    if (!p)
        return -HTTP_E_OUT_OF_MEMORY;
    int rc = store(ex, state, p);
    st_post_put(p);
    return rc;
}

const struct gw_handler hd_ingest = {
    .module = {.name = "ingest",
               .summary =
                   "Takes events in (webhooks) and stores them; the sender hears 200 when they are on disk",
               .options = &table},
    .open = open_route,
    .close = close_route,
    .run = run,
    .max_body = max_body,
};
