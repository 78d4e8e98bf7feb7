/* Rows on their way to PostgreSQL: a statement over arrays, in a pipeline that ends with the commit. */
#include "store/postgres_transaction.h"

#include <errno.h>
#include <stdio.h>

#include "base/calendar.h"
#include "base/number.h"

#define BATCH_MAX ((size_t)512 << 20)
#define EPOCH_US 946684800000000 /* 2000-01-01, from which PostgreSQL counts */

/* ---- values as the database reads them ---- */

static void add32(struct b_text *t, uint32_t v) {
    uint32_t network = __builtin_bswap32(v);
    b_text_add(t, &network, sizeof network);
}

static void add64(struct b_text *t, uint64_t v) {
    uint64_t network = __builtin_bswap64(v);
    b_text_add(t, &network, sizeof network);
}

/* As a text that the database casts. */
static void add_as_text(struct b_text *t, const struct st_value *v) {
    char buf[64];
    struct b_text text = b_text_fixed(buf, sizeof buf);
    switch ((enum st_kind)v->kind) {
    case ST_TEXT:
    case ST_JSON:
        add32(t, v->len);
        b_text_add(t, v->text, v->len);
        return;
    case ST_TIME:
        b_format_rfc3339(buf, v->integer);
        text.len = B_RFC3339_LEN;
        break;
    case ST_INTEGER: b_text_printf(&text, "%lld", (long long)v->integer); break;
    case ST_REAL: b_text_printf(&text, "%.17g", v->real); break;
    case ST_BOOLEAN: b_text_cstr(&text, v->integer ? "true" : "false"); break;
    case ST_HEX:
        b_format_hex(buf, (uint64_t)v->integer);
        text.len = ST_HEX_LEN;
        break;
    case ST_NULL: break;
    }
    add32(t, (uint32_t)text.len);
    b_text_slice_add(t, b_text_slice(&text));
}

static void add_value(struct b_text *t, const struct st_value *v, bool as_text) {
    uint64_t bits;
    if (v->kind == ST_NULL) {
        add32(t, UINT32_MAX);
        return;
    }
    if (as_text) {
        add_as_text(t, v);
        return;
    }
    switch ((enum st_kind)v->kind) {
    case ST_JSON:
        add32(t, v->len + 1);
        b_text_char(t, 1); /* the version of the format */
        b_text_add(t, v->text, v->len);
        break;
    case ST_TIME:
        add32(t, 8);
        add64(t, (uint64_t)(v->integer - EPOCH_US));
        break;
    case ST_INTEGER:
        add32(t, 8);
        add64(t, (uint64_t)v->integer);
        break;
    case ST_REAL:
        memcpy(&bits, v, sizeof bits);
        add32(t, 8);
        add64(t, bits);
        break;
    case ST_BOOLEAN:
        add32(t, 1);
        b_text_char(t, v->integer != 0);
        break;
    default: add_as_text(t, v);
    }
}

/* The head of an array's binary format: dimensions, whether there are nulls, type, length, first index. */
static void add_array(struct b_text *t, Oid element, unsigned count) {
    add32(t, 1);
    add32(t, 1);
    add32(t, element);
    add32(t, count);
    add32(t, 1);
}

/* ---- a transaction ---- */

const Oid st_pg_reject_types[ST_PG_REJECT_COLUMNS] = {OID_TIMESTAMPTZ, OID_TEXT, OID_TEXT};

struct params {
    struct b_text texts[ST_COLUMNS_MAX];
    const char *values[ST_COLUMNS_MAX];
    int lengths[ST_COLUMNS_MAX], formats[ST_COLUMNS_MAX];
    unsigned count;
    bool failed;
};

static struct b_text *next_param(struct params *p, Oid element, unsigned rows) {
    struct b_text *t = &p->texts[p->count++];
    *t = b_text_heap(B_TAG_STORE, BATCH_MAX);
    add_array(t, element, rows);
    return t;
}

static void seal(struct params *p) {
    for (unsigned i = 0; i < p->count; i++) {
        p->values[i] = p->texts[i].ptr;
        p->lengths[i] = (int)p->texts[i].len;
        p->formats[i] = 1;
        p->failed |= p->texts[i].failed;
    }
}

static void free_params(struct params *p) {
    for (unsigned i = 0; i < p->count; i++)
        b_text_free(&p->texts[i]);
    b_free(p);
}

static Oid array_of(Oid element) {
    switch (element) {
    case OID_BOOL: return 1000;
    case OID_INT8: return 1016;
    case OID_FLOAT8: return 1022;
    case OID_TIMESTAMPTZ: return 1185;
    case OID_JSONB: return 3807;
    default: return 1009;
    }
}

static void name_statement(const struct pg_work *w, char kind, char name[32]) {
    snprintf(name, 32, "weir_%c%llu", kind, (unsigned long long)w->sink->id);
}

int st_pg_prepare(struct pg_work *w, char kind, const char *sql, const Oid *elements, unsigned count) {
    struct pg_conn *c = w->c;
    uint64_t id = w->sink->id << 8 | (unsigned char)kind;
    char name[32];
    Oid types[ST_COLUMNS_MAX];
    PGresult *r;
    for (unsigned i = 0; i < c->known_count; i++)
        if (c->known[i] == id)
            return 0;
    if (c->known_count == ST_KNOWN_MAX) { /* of tables that a reload has taken away, mostly: begin anew */
        snprintf(c->why, sizeof c->why, "a new connection is made");
        c->lost = true;
        return -EIO;
    }
    name_statement(w, kind, name);
    for (unsigned i = 0; i < count; i++)
        types[i] = array_of(elements[i]);
    bool good = c->pq->sendPrepare(c->pg, name, sql, (int)count, types) != 0;
    c->lost |= !good;
    int rc = 0;
    while (!c->lost && (rc = st_pg_result(c, w->deadline, &r)) == 0 && r) {
        good = good && st_pg_good(c, r);
        c->pq->clear(r);
    }
    if (rc == 0 && good)
        c->known[c->known_count++] = id;
    return rc ? rc : good ? 0 : -EINVAL;
}

static int send_params(struct pg_work *w, struct params *p, char kind) {
    char name[32];
    seal(p);
    if (p->failed)
        return -ENOMEM;
    name_statement(w, kind, name);
    return w->c->pq->sendQueryPrepared(w->c->pg, name, (int)p->count, p->values, p->lengths, p->formats, 1)
               ? 0
               : -EIO;
}

static int send_rows(struct pg_work *w) {
    const struct st_table *table = &w->sink->table;
    const struct pg_table *t = w->sink->prepared;
    struct params *p = b_zalloc(B_TAG_STORE, sizeof *p);
    if (!p)
        return -ENOMEM;
    for (unsigned column = 0; column < table->column_count; column++) {
        struct b_text *text = next_param(p, t->elements[column], w->kept);
        for (unsigned i = 0; i < w->count; i++) {
            const struct pg_row *row = &w->rows[i];
            if (!row->dropped)
                add_value(text, st_value_of(table, &row->post->rows, row->values, column),
                          t->as_text[column]);
        }
    }
    int rc = send_params(w, p, 'i');
    free_params(p);
    return rc;
}

static int send_rejects(struct pg_work *w) {
    struct params *p = b_zalloc(B_TAG_STORE, sizeof *p);
    int64_t now = rt_wall_clock() / 1000;
    if (!p)
        return -ENOMEM;
    for (unsigned column = 0; column < 3; column++)
        next_param(p, st_pg_reject_types[column], w->reject_count);
    for (unsigned i = 0; i < w->reject_count; i++) {
        const struct st_reject *r = &w->rejects[i].what;
        struct st_value values[] = {st_time(now), st_text(r->reason), st_text(r->item)};
        for (unsigned column = 0; column < 3; column++)
            add_value(&p->texts[column], &values[column], false);
    }
    int rc = send_params(w, p, 'r');
    free_params(p);
    return rc;
}

/* ---- what comes back ---- */

static bool key_is(struct pg_work *w, const PGresult *r, int at, const struct pg_row *row) {
    const struct st_table *t = &w->sink->table;
    const struct pg_table *pt = w->sink->prepared;
    for (unsigned i = 0; i < t->key_count; i++) {
        const struct st_value *v = &row->values[t->key[i]];
        struct b_slice got =
            b_slice(w->c->pq->getvalue(r, at, (int)i), (size_t)w->c->pq->getlength(r, at, (int)i));
        char buf[64];
        struct b_text own = b_text_fixed(buf, sizeof buf);
        bool text = st_is_text(v);
        if (!text)
            add_value(&own, v, pt->as_text[t->key[i]]);
        struct b_slice want = text          ? b_slice(v->text, v->len)
                              : own.len > 4 ? b_slice(buf + 4, own.len - 4)
                                            : B_LIT("");
        if (!b_slice_eq(got, want))
            return false;
    }
    return true;
}

/* The keys of the rows that were stored or changed, in the order in which they went there. */
static void note_changed(struct pg_work *w, const PGresult *r) {
    int returned = w->c->pq->ntuples(r), at = 0;
    for (unsigned i = 0; i < w->count; i++) {
        struct pg_row *row = &w->rows[i];
        if (row->dropped)
            continue;
        row->changed = !w->sink->table.key_count || (at < returned && key_is(w, r, at, row));
        at += row->changed;
    }
}

/* All results up to the end of the pipeline: the first failure counts, the others follow from it. */
static int take_results(struct pg_work *w) {
    struct pg_conn *c = w->c;
    bool synced = false;
    int rc = 0;
    while (!synced) {
        PGresult *r;
        int waited = st_pg_result(c, w->deadline, &r);
        if (waited)
            return waited;
        if (!r) /* between two of them */
            continue;
        int status = c->pq->resultStatus(r);
        synced = status == PGRES_PIPELINE_SYNC;
        if (status == PGRES_TUPLES_OK && rc == 0)
            note_changed(w, r);
        else if (status != PGRES_PIPELINE_ABORTED && !st_pg_good(c, r))
            rc = rc ? rc : -EINVAL;
        c->pq->clear(r);
        if (c->lost)
            return -EIO;
    }
    return rc;
}

/* The server gives up when nobody waits any more. In steps that double, so that it is seldom told. */
static int send_timeout(struct pg_work *w, unsigned *seconds) {
    rt_time left = w->wanted_until - rt_now();
    char sql[64];
    for (*seconds = 1; *seconds < 64 && *seconds * RT_S < left;)
        *seconds *= 2;
    if (w->inside || *seconds == w->c->timeout)
        return 0;
    snprintf(sql, sizeof sql, "SET statement_timeout = '%us'", *seconds);
    return w->c->pq->sendQueryParams(w->c->pg, sql, 0, NULL, NULL, NULL, NULL, 1) ? 0 : -EIO;
}

/* It commits with the end of the pipeline. */
int st_pg_transact(struct pg_work *w) {
    const struct pg_table *t = w->sink->prepared;
    struct pg_conn *c = w->c;
    c->state[0] = 0;
    int rc = w->kept ? st_pg_prepare(w, 'i', t->insert, t->elements, w->sink->table.column_count) : 0;
    rc = rc || !w->reject_count ? rc : st_pg_prepare(w, 'r', t->reject, st_pg_reject_types, 3);
    if (rc)
        return rc;
    unsigned timeout = 0;
    rc = c->single_rows ? st_pg_exec(c, "", w->deadline) : 0;
    rc = rc ? rc : c->pq->enterPipelineMode(c->pg) ? 0 : -EIO;
    rc = rc ? rc : send_timeout(w, &timeout);
    rc = rc || !w->kept ? rc : send_rows(w);
    rc = rc || !w->reject_count ? rc : send_rejects(w);
    if (rc == 0 && !c->pq->pipelineSync(c->pg))
        rc = -EIO;
    if (rc) { /* half of it may be on its way */
        snprintf(c->why, sizeof c->why, rc == -ENOMEM ? "out of memory" : "the connection was lost");
        c->lost = true;
        return rc;
    }
    rc = take_results(w);
    if (rc == 0 && !w->inside) /* else that is undone, too */
        c->timeout = timeout;
    if (!c->lost && !c->pq->exitPipelineMode(c->pg))
        c->lost = true;
    return rc;
}
