#include "handler/ingest_json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "config/nearest.h"
#include "gateway/gateway.h"
#include "gateway/template.h"
#include "json/writer.h"

#define TEXT_BYTES 512 /* that most events need for what templates make of them */
#define VALUE_MAX ((size_t)16 << 20)

struct hd_column {
    const struct json_node *template;
    enum st_kind kind; /* ST_NULL: as the value is */
    bool container;    /* the template makes an object or an array */
};

struct hd_json {
    struct hd_column *columns;
    const struct st_table *table;
    const struct json_node *items; /* NULL: the body */
    unsigned slots, body_slot, item_slot;
    uint32_t specials;
};

/* ---- the config ---- */

static const struct {
    const char *name;
    enum st_kind kind;
} types[] = {{"text", ST_TEXT},       {"json", ST_JSON},   {"time", ST_TIME},
             {"integer", ST_INTEGER}, {"number", ST_REAL}, {"boolean", ST_BOOLEAN}};
enum { TYPES = sizeof types / sizeof *types };

static int find_type(struct b_slice name) {
    for (int i = 0; i < TYPES; i++)
        if (b_slice_eq(name, b_slice_cstr(types[i].name)))
            return i;
    return -1;
}

static const struct cfg_text *type_given(const struct hd_json_conf *c, struct b_slice column) {
    CFG_EACH(const struct cfg_text, t, &c->types)
        if (b_slice_eq(t->name, column))
            return t;
    return NULL;
}

static int column_of(const struct st_table *t, struct b_slice name) {
    for (unsigned i = 0; i < t->column_count; i++)
        if (b_slice_eq(t->columns[i], name))
            return (int)i;
    return -1;
}

static int no_column(const struct gw_open *o, const struct st_table *t, struct b_slice name,
                     const struct cfg_node *node) {
    struct cfg_nearest nearest;
    cfg_nearest_init(&nearest, name);
    for (unsigned i = 0; i < t->column_count; i++)
        cfg_nearest_offer(&nearest, t->columns[i]);
    if (nearest.best.len)
        return cfg_error_at(o->errors, node, "\"%.*s\" is none of the columns; is it \"%.*s\"?", B_FMT(name),
                            B_FMT(nearest.best));
    return cfg_error_at(o->errors, node, "\"%.*s\" is none of the columns", B_FMT(name));
}

static int compile_columns(const struct gw_open *o, struct json_compiler *c, const struct hd_json_conf *conf,
                           struct hd_json *j, struct b_slice *names, struct st_table *t) {
    int rc = 0;
    CFG_EACH_CHILD(child, conf->columns) {
        struct hd_column *column = &j->columns[t->column_count];
        const char *why = st_check_name(child->key);
        const struct cfg_text *type = type_given(conf, child->key);
        int known = type ? find_type(type->text) : conf->create ? 0 : -1;
        if (why)
            rc = cfg_error_key(o->errors, child, "a column cannot be called \"%.*s\": %s", B_FMT(child->key),
                               why);
        if (type && known < 0)
            rc = cfg_error_at(o->errors, type->node,
                              "a type is one of text, json, time, integer, number, boolean");
        column->template = gw_template(c, o->errors, child);
        column->kind = known < 0 ? ST_NULL : types[known].kind;
        column->container = child->kind != CFG_SCALAR;
        names[t->column_count++] = child->key;
        rc = column->template ? rc : -EINVAL;
    }
    return rc;
}

static int find_key(const struct gw_open *o, const struct hd_json_conf *conf, struct st_table *t) {
    unsigned *key = b_arena_alloc(o->arena, (conf->key.count + 1) * sizeof *key);
    int rc = 0;
    t->key = key;
    if (!key)
        return cfg_error_memory(o->errors);
    CFG_EACH(const struct cfg_text, k, &conf->key) {
        int at = column_of(t, k->text);
        if (at < 0)
            rc = no_column(o, t, k->text, k->node);
        else
            key[t->key_count++] = (unsigned)at;
    }
    CFG_EACH(const struct cfg_text, type, &conf->types)
        if (column_of(t, type->name) < 0)
            rc = no_column(o, t, type->name, type->node);
    return rc;
}

static int describe(const struct gw_open *o, const struct hd_json_conf *conf, struct hd_json *j,
                    struct st_table *t) {
    uint8_t *kinds = b_arena_zalloc(o->arena, t->column_count);
    bool all = true;
    if (!kinds)
        return cfg_error_memory(o->errors);
    for (unsigned i = 0; i < t->column_count; i++) {
        kinds[i] = (uint8_t)j->columns[i].kind;
        all &= kinds[i] != ST_NULL;
    }
    t->kinds = all ? kinds : NULL;
    t->made_of_columns = conf->create;
    t->schema = "json";
    return 0;
}

/* What weir makes has a received_at, by which old rows are found. */
static void add_received_at(struct hd_json *j, struct b_slice *names, struct st_table *t) {
    if (column_of(t, B_LIT("received_at")) >= 0)
        return;
    t->common_count = 1;
    j->columns[t->column_count].kind = ST_TIME;
    names[t->column_count++] = B_LIT("received_at");
}

int hd_json_open(const struct gw_open *o, const struct cfg_route *route, const struct hd_json_conf *conf,
                 const struct cfg_node *node, struct st_table *table, struct hd_json **out) {
    struct json_compiler c = gw_template_compiler(o);
    struct hd_json *j = b_arena_zalloc(o->arena, sizeof *j);
    struct b_slice *names = b_arena_alloc(o->arena, ST_COLUMNS_MAX * sizeof *names);
    *out = j;
    if (!j || !names || !(j->columns = b_arena_zalloc(o->arena, ST_COLUMNS_MAX * sizeof *j->columns)))
        return cfg_error_memory(o->errors);
    int rc = gw_template_params(&c, o->errors, route);
    int body = rc ? rc : gw_template_name(&c, o->errors, B_LIT("body"), "the body", route->match.head.node);
    if (body < 0)
        return body;
    if (conf->items.ptr)
        j->items = gw_template_expression(&c, o->errors, conf->items, cfg_node_get(node, "items"));
    rc = conf->items.ptr && !j->items ? -EINVAL : 0;
    int item = gw_template_name(&c, o->errors, B_LIT("item"), "an event", route->match.head.node);
    if (item < 0)
        return item;
    table->columns = names;
    rc = compile_columns(o, &c, conf, j, names, table) ? -EINVAL : rc;
    if (c.specials & 1u << JSON_REQUEST_BODY)
        rc = cfg_error_at(o->errors, conf->columns, "here the body is `$body`, not `$request.body`");
    rc = find_key(o, conf, table) ? -EINVAL : rc;
    if (conf->create)
        add_received_at(j, names, table);
    rc = rc ? rc : describe(o, conf, j, table);
    j->table = b_arena_alloc(o->arena, sizeof *j->table);
    if (j->table)
        memcpy((void *)(uintptr_t)j->table, table, sizeof *table);
    j->slots = c.slots;
    j->specials = c.specials;
    j->body_slot = (unsigned)body;
    j->item_slot = (unsigned)item;
    return rc ? rc : j->table ? 0 : cfg_error_memory(o->errors);
}

/* ---- values ---- */

struct making {
    struct exchange *ex;
    const struct hd_json *j;
    struct st_rows *rows;
    struct gw_view view;
    int64_t now;
    unsigned item, line; /* of NDJSON: from 1 */
};

static int wrong(const struct making *m, unsigned column, const char *what) {
    struct b_slice name = m->j->table->columns[column];
    if (m->line)
        return gw_error(m->ex, HTTP_E_BAD_EVENT, "line %u: column %.*s: %s", m->line, B_FMT(name), what);
    return gw_error(m->ex, HTTP_E_BAD_EVENT, "event %u: column %.*s: %s", m->item, B_FMT(name), what);
}

/* What does not stand in the body is the request's, and the rows may outlive that. */
static struct b_slice keep(struct making *m, struct b_slice s) {
    return b_slice_within(s, b_text_slice(&m->rows->body)) ? s : b_arena_copy(&m->rows->arena, s);
}

/* The value as a text, and what kind of JSON it is. */
static enum json_kind as_text(struct making *m, const struct json_operand *v, struct b_slice *out) {
    enum json_kind kind = json_operand_kind(v);
    switch (v->kind) {
    case JSON_OPERAND_TEXT:
    case JSON_OPERAND_RAW: *out = v->text; break;
    case JSON_OPERAND_BOOL: *out = v->truth ? B_LIT("true") : B_LIT("false"); break;
    case JSON_OPERAND_VALUE:
        *out = kind == JSON_STRING ? json_text(v->at, &m->rows->arena) : json_slice(v->at);
        break;
    default: *out = (struct b_slice){0};
    }
    *out = keep(m, *out);
    return kind;
}

static bool parse_integer(struct b_slice s, int64_t *out) {
    char buf[32], *end;
    if (!s.len || s.len >= sizeof buf)
        return false;
    memcpy(buf, s.ptr, s.len);
    buf[s.len] = 0;
    errno = 0;
    *out = strtoll(buf, &end, 10);
    return !*end && !errno;
}

static bool parse_real(struct b_slice s, double *out) {
    char buf[512], *end;
    if (!s.len || s.len >= sizeof buf)
        return false;
    memcpy(buf, s.ptr, s.len);
    buf[s.len] = 0;
    *out = strtod(buf, &end);
    return !*end && *out - *out == 0; /* finite */
}

/* JSON as it came, or a text in quotes. */
static int set_json(struct making *m, const struct json_operand *v, struct b_slice s, struct st_value *out) {
    if (v->kind == JSON_OPERAND_VALUE) {
        s = keep(m, json_slice(v->at));
    } else if (json_operand_kind(v) == JSON_STRING) {
        struct b_text quoted = b_text_heap(B_TAG_REQUESTS, VALUE_MAX);
        json_write_string(&quoted, s);
        s = quoted.failed ? (struct b_slice){0} : b_arena_copy(&m->rows->arena, b_text_slice(&quoted));
        b_text_free(&quoted);
    }
    *out = st_json(s);
    return s.ptr ? 0 : -HTTP_E_OUT_OF_MEMORY;
}

static int convert(struct making *m, unsigned column, const struct json_operand *v, struct st_value *out) {
    struct b_slice s;
    int64_t n = 0;
    double d;
    enum json_kind kind = as_text(m, v, &s);
    enum st_kind want = m->j->columns[column].kind;
    bool text = kind == JSON_STRING, number = kind == JSON_NUMBER,
         truth = kind == JSON_TRUE || kind == JSON_FALSE;
    *out = (struct st_value){0};
    if (kind == JSON_NULL || kind == JSON_MISSING)
        return 0;
    if (!s.ptr)
        return -HTTP_E_OUT_OF_MEMORY;
    if (want == ST_NULL) /* as it is */
        want = text                   ? ST_TEXT
               : truth                ? ST_BOOLEAN
               : !number              ? ST_JSON
               : parse_integer(s, &n) ? ST_INTEGER
                                      : ST_REAL;
    if (text && memchr(s.ptr, 0, s.len))
        return wrong(m, column, "the text has a NUL character (\\u0000)");
    switch (want) {
    case ST_JSON: return set_json(m, v, s, out);
    case ST_TIME:
        if (!text || !b_parse_rfc3339(s, &n))
            return wrong(m, column, "it is no time of RFC 3339, such as 2026-11-27T07:00:00Z");
        *out = st_time(n);
        return 0;
    case ST_INTEGER:
        if (!number || !parse_integer(s, &n))
            return wrong(m, column, "it is no integer of 64 bits");
        *out = (struct st_value){.integer = n, .kind = ST_INTEGER};
        return 0;
    case ST_REAL:
        if (!number || !parse_real(s, &d))
            return wrong(m, column, "it is no number");
        *out = (struct st_value){.real = d, .kind = ST_REAL};
        return 0;
    case ST_BOOLEAN:
        if (!truth)
            return wrong(m, column, "it is neither true nor false");
        *out = (struct st_value){.integer = kind == JSON_TRUE, .kind = ST_BOOLEAN};
        return 0;
    default: *out = st_text(s); return 0;
    }
}

/* An object or array that the template makes. */
static int make_container(struct making *m, const struct hd_column *column, struct st_value *out) {
    struct b_text text = b_text_heap(B_TAG_REQUESTS, VALUE_MAX);
    int rc = gw_view_write(&m->view, column->template, &text);
    struct b_slice copy =
        rc || text.failed ? (struct b_slice){0} : b_arena_copy(&m->rows->arena, b_text_slice(&text));
    b_text_free(&text);
    *out = column->kind == ST_TEXT ? st_text(copy) : st_json(copy);
    return rc ? rc : copy.ptr ? 0 : -HTTP_E_OUT_OF_MEMORY;
}

static int make_value(struct making *m, unsigned i, struct st_value *out) {
    const struct hd_column *column = &m->j->columns[i];
    struct json_operand v;
    int rc =
        column->container ? make_container(m, column, out) : gw_view_value(&m->view, column->template, &v);
    if (rc == -HTTP_E_TEMPLATE_FAILED) /* the sender's fault, here */
        return -HTTP_E_BAD_EVENT;
    return rc || column->container ? rc : convert(m, i, &v, out);
}

static int make_row(struct making *m, struct json_value item) {
    const struct hd_json *j = m->j;
    unsigned columns = st_own_columns(j->table);
    struct st_value *row = m->rows->values + (size_t)m->rows->count * columns;
    m->view.env.slots[j->item_slot] = json_operand_value(item);
    for (unsigned i = 0; i < columns; i++) {
        int rc = make_value(m, i, &row[i]);
        if (rc)
            return rc;
    }
    for (unsigned i = 0; i < j->table->key_count; i++)
        if (row[j->table->key[i]].kind == ST_NULL)
            return wrong(m, j->table->key[i], "it is missing, and belongs to the key");
    m->rows->count++;
    m->item++;
    return 0;
}

/* ---- bodies ---- */

static int make_room(struct making *m, unsigned count, unsigned max) {
    if (count > max)
        return gw_error(m->ex, HTTP_E_TOO_MANY_EVENTS, "the request has more than %u events", max);
    if (!count)
        return gw_error(m->ex, HTTP_E_BAD_EVENT, "there is no event in it");
    if (st_rows_reserve(m->rows, m->j->table, count, TEXT_BYTES) != 0)
        return -HTTP_E_OUT_OF_MEMORY;
    if (m->j->table->common_count)
        m->rows->common[0] = st_time(m->now);
    return 0;
}

static int bad_json(struct making *m, const struct json_fault *f) {
    if (m->line)
        return gw_error(m->ex, HTTP_E_BAD_JSON, "%s, in line %u, column %zu", f->why, m->line, f->column);
    return gw_bad_json(m->ex, f);
}

static int index_text(struct making *m, struct json_index *x, struct b_slice text) {
    struct json_fault fault;
    int rc = gw_index_json(x, text, false, &fault);
    return rc == -EINVAL ? bad_json(m, &fault) : rc ? -HTTP_E_OUT_OF_MEMORY : 0;
}

static int read_whole(struct making *m, struct json_index *x, unsigned max) {
    const struct hd_json *j = m->j;
    int rc = index_text(m, x, b_text_slice(&m->rows->body));
    struct json_operand all = json_operand_value(json_root(x));
    if (rc)
        return rc;
    m->view.env.slots[j->body_slot] = all;
    if (j->items && (rc = gw_view_value(&m->view, j->items, &all)) != 0)
        return rc == -HTTP_E_TEMPLATE_FAILED ? -HTTP_E_BAD_EVENT : rc;
    bool array = all.kind == JSON_OPERAND_VALUE && json_kind(all.at) == JSON_ARRAY;
    if (j->items && !array)
        return gw_error(m->ex, HTTP_E_BAD_EVENT, "what `items` names is no array");
    unsigned count = !array;
    for (struct json_value v = array ? json_first(all.at) : (struct json_value){0}; v.index && count <= max;
         v = json_next(v))
        count++;
    rc = make_room(m, count, max);
    if (!array)
        return rc ? rc : make_row(m, all.at);
    for (struct json_value v = json_first(all.at); rc == 0 && v.index; v = json_next(v))
        rc = make_row(m, v);
    return rc;
}

static bool next_line(struct b_slice *rest, unsigned *number, struct b_slice *line) {
    while (b_slice_next(rest, '\n', line)) {
        ++*number;
        if (line->len && line->ptr[line->len - 1] == '\r')
            line->len--;
        if (b_slice_trim(*line).len)
            return true;
    }
    return false;
}

static int read_lines(struct making *m, struct json_index *x, unsigned max) {
    struct b_slice rest = b_text_slice(&m->rows->body), line;
    unsigned count = 0, number = 0;
    while (next_line(&rest, &number, &line) && count <= max)
        count++;
    int rc = make_room(m, count, max);
    rest = b_text_slice(&m->rows->body);
    while (rc == 0 && next_line(&rest, &m->line, &line)) {
        rc = index_text(m, x, line);
        rc = rc ? rc : make_row(m, json_root(x));
    }
    return rc;
}

static bool is_lines(const struct exchange *ex) {
    const struct http_field *f = http_fields_find(&ex->req.fields, HTTP_FIELD_CONTENT_TYPE);
    struct b_slice type = f ? http_field_value(f) : (struct b_slice){0};
    type.len = b_slice_find(type, ';');
    type = b_slice_trim(type);
    return b_slice_ieq(type, B_LIT("application/x-ndjson")) ||
           b_slice_ieq(type, B_LIT("application/jsonl")) || b_slice_ieq(type, B_LIT("application/ndjson")) ||
           b_slice_ieq(type, B_LIT("application/x-jsonlines"));
}

__attribute__((noinline)) int hd_json_read(struct exchange *ex, const struct hd_json *j, struct st_rows *rows,
                                           unsigned max_items) {
    struct making m = {.ex = ex, .j = j, .rows = rows, .now = rt_wall_clock() / 1000};
    struct json_index x = {.tag = B_TAG_REQUESTS};
    int rc = gw_view_open(&m.view, ex, j->slots, j->specials);
    m.view.env.arena = &rows->arena; /* what is made lives as long as the rows */
    if (rc == 0)
        rc = is_lines(ex) ? read_lines(&m, &x, max_items) : read_whole(&m, &x, max_items);
    gw_view_close(&m.view);
    json_index_free(&x);
    return rc;
}
