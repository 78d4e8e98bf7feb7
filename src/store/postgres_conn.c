/* A connection to PostgreSQL from a fiber: libpq never blocks, and waits are the runtime's. */
#include <errno.h>
#include <stdio.h>

#include "net/address.h"
#include "net/dns.h"
#include "runtime/io.h"
#include "store/postgres.h"

#define OPTIONS_MAX 64

/* libpq's words, without the line feed at their end. */
static void note(struct pg_conn *c, const char *state, const char *text) {
    size_t len = strlen(text);
    while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    snprintf(c->state, sizeof c->state, "%s", state ? state : "");
    snprintf(c->why, sizeof c->why, "%.*s", (int)len, len ? text : "");
    for (char *p = c->why; *p; p++)
        *p = *p == '\n' ? ' ' : *p;
    if (!len)
        snprintf(c->why, sizeof c->why, "the connection was lost");
}

int st_pg_lost(struct pg_conn *c, int rc) {
    if (rc == -ETIMEDOUT)
        note(c, NULL, "the server does not answer in time");
    else if (rc == -ECANCELED)
        note(c, NULL, "weir ends");
    else
        note(c, NULL, c->pq->errorMessage(c->pg));
    c->lost = true;
    return rc;
}

bool st_pg_good(struct pg_conn *c, const PGresult *r) {
    switch (c->pq->resultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
    case PGRES_TUPLES_OK:
    case PGRES_PIPELINE_SYNC: return true;
    default: break;
    }
    const char *state = c->pq->resultErrorField(r, PG_DIAG_SQLSTATE),
               *text = c->pq->resultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    note(c, state, text ? text : c->pq->errorMessage(c->pg));
    c->lost |= !state;
    return false;
}

int st_pg_result(struct pg_conn *c, rt_time deadline, PGresult **out) {
    const struct st_pq *pq = c->pq;
    *out = NULL;
    for (;;) {
        int unsent = pq->flush(c->pg);
        if (unsent < 0)
            return st_pg_lost(c, -EIO);
        if (!pq->isBusy(c->pg)) {
            *out = pq->getResult(c->pg);
            return 0;
        }
        int rc = rt_wait_fd(pq->socket(c->pg), unsent ? RT_READ | RT_WRITE : RT_READ, deadline);
        if (rc < 0)
            return st_pg_lost(c, rc);
        if (!pq->consumeInput(c->pg))
            return st_pg_lost(c, -EIO);
    }
}

/* ---- connecting ---- */

struct options {
    const char *keywords[OPTIONS_MAX], *values[OPTIONS_MAX];
    unsigned count;
};

static void add(struct options *o, const char *keyword, const char *value) {
    if (o->count < OPTIONS_MAX - 1) {
        o->keywords[o->count] = keyword;
        o->values[o->count++] = value;
    }
}

static const char *given(const struct options *o, const char *keyword) {
    for (unsigned i = 0; i < o->count; i++)
        if (strcmp(o->keywords[i], keyword) == 0)
            return o->values[i];
    return NULL;
}

static void replace(struct options *o, const char *keyword, const char *value) {
    for (unsigned i = 0; i < o->count; i++)
        if (strcmp(o->keywords[i], keyword) == 0)
            o->values[i] = value;
    if (!given(o, keyword))
        add(o, keyword, value);
}

/* The nth of a list with commas; ptr NULL: there are not so many. */
static struct b_slice nth(const char *list, unsigned n) {
    for (; list && n; n--)
        if ((list = strchr(list, ',')))
            list++;
    return list ? b_slice(list, strcspn(list, ",")) : b_slice(NULL, 0);
}

/* A port for each host, or one for all of them. */
static struct b_slice port_of(const char *ports, unsigned n) {
    return nth(ports, ports && strchr(ports, ',') ? n : 0);
}

#define HOSTS_MAX 32

/* Where to connect to: hosts, each with all of its addresses. */
struct hosts {
    struct {
        struct b_slice name, address, port;
    } at[HOSTS_MAX];
    unsigned count;
    struct net_addresses found; /* of one of them */
};

static int add_host(struct hosts *h, struct b_slice name, struct b_slice address, struct b_slice port,
                    struct b_arena *arena) {
    if (h->count == HOSTS_MAX)
        return 0;
    h->at[h->count].name = name;
    h->at[h->count].address = b_arena_copy(arena, address);
    h->at[h->count].port = port;
    return h->at[h->count++].address.ptr ? 0 : -ENOMEM;
}

static int resolve_one(struct pg_conn *c, struct hosts *h, struct b_slice host, struct b_slice port,
                       struct b_arena *arena, rt_time deadline) {
    if (!host.len || host.ptr[0] == '/')
        return add_host(h, host, B_LIT(""), port, arena);
    int rc = net_resolve(host, 0, deadline, &h->found);
    if (rc)
        snprintf(c->why, sizeof c->why, "the host %.*s is not found: %s", B_FMT(host),
                 rc == -ENOENT ? "there is no such name" : strerror(-rc));
    for (unsigned i = 0; rc == 0 && i < h->found.count; i++) {
        char text[NET_ADDRESS_TEXT];
        rc = add_host(h, host, b_slice(text, net_format_ip(&h->found.list[i], text)), port, arena);
    }
    return rc;
}

/* The lists that libpq takes, of the same length each; the first one is that after the one that failed last. */
static int write_hosts(struct options *o, const struct hosts *h, unsigned first, struct b_arena *arena) {
    static const char *const keywords[] = {"host", "hostaddr", "port"};
    for (unsigned k = 0; k < 3; k++) {
        struct b_text list = b_text_heap(B_TAG_STORE, 65536);
        for (unsigned i = 0; i < h->count; i++) {
            unsigned at = (first + i) % h->count;
            if (i)
                b_text_char(&list, ',');
            b_text_slice_add(&list, k == 0 ? h->at[at].name : k == 1 ? h->at[at].address : h->at[at].port);
        }
        b_text_char(&list, 0);
        const char *copy = list.failed ? NULL : b_arena_copy(arena, b_text_slice(&list)).ptr;
        b_text_free(&list);
        if (!copy)
            return -ENOMEM;
        replace(o, keywords[k], copy);
    }
    return 0;
}

/* libpq would look names up itself, and block: it gets all addresses too, tries one after the other, and keeps the names for TLS. */
static int resolve(struct pg_conn *c, struct options *o, struct b_arena *arena, rt_time deadline) {
    const char *host = given(o, "host"), *port = given(o, "port");
    int rc = 0;
    if (!host || !*host || given(o, "hostaddr"))
        return 0;
    struct hosts *h = b_arena_zalloc(arena, sizeof *h);
    if (!h)
        return -ENOMEM;
    for (unsigned i = 0; i == 0 || nth(host, i).ptr; i++) {
        int failed = resolve_one(c, h, nth(host, i), port_of(port, i), arena, deadline);
        rc = failed ? failed : rc;
    }
    return h->count ? write_hosts(o, h, c->failures, arena) : rc; /* one that is found is enough */
}

static void ignore_notice(void *arg, const PGresult *r) {
    (void)arg;
    (void)r;
}

static int poll_connect(struct pg_conn *c, rt_time deadline) {
    for (int events = RT_WRITE;;) {
        int rc = rt_wait_fd(c->pq->socket(c->pg), events, deadline);
        if (rc < 0)
            return st_pg_lost(c, rc);
        switch (c->pq->connectPoll(c->pg)) {
        case PGRES_POLLING_OK: return 0;
        case PGRES_POLLING_READING: events = RT_READ; break;
        case PGRES_POLLING_WRITING: events = RT_WRITE; break;
        default: return st_pg_lost(c, -ECONNREFUSED);
        }
    }
}

static int begin(struct pg_conn *c, struct options *o, rt_time deadline) {
    add(o, "application_name", "weir");
    add(o, "client_encoding", "UTF8");
    add(o, "gssencmode", "disable");
    o->keywords[o->count] = NULL;
    c->pg = c->pq->connectStartParams(o->keywords, o->values, 0);
    if (!c->pg || c->pq->status(c->pg) == CONNECTION_BAD)
        return st_pg_lost(c, -ECONNREFUSED);
    c->pq->setNoticeReceiver(c->pg, ignore_notice, NULL);
    int rc = poll_connect(c, deadline);
    if (rc)
        return rc;
    c->pq->setnonblocking(c->pg, 1);
    c->timeout = 30;
    return st_pg_exec(c,
                      "SET synchronous_commit = on; SET statement_timeout = '30s'; SET lock_timeout = '10s'; "
                      "SET search_path = public; SET standard_conforming_strings = on",
                      deadline);
}

int st_pg_connect(struct pg_conn *c, const char *conninfo, rt_time deadline) {
    struct options *o;
    struct b_arena arena;
    char *wrong = NULL;
    c->lost = false;
    c->why[0] = 0;
    if (!(c->pq = st_pq_load(c->why)))
        return -ENOSYS;
    PQconninfoOption *parsed = c->pq->conninfoParse(conninfo, &wrong);
    if (!parsed) {
        note(c, NULL, wrong ? wrong : "the connection string cannot be read");
        c->pq->freemem(wrong);
        return -EINVAL;
    }
    b_arena_init(&arena, B_TAG_STORE, NULL, NULL, 0, 65536);
    int rc = -ENOMEM;
    if ((o = b_arena_zalloc(&arena, sizeof *o))) {
        for (PQconninfoOption *p = parsed; p->keyword; p++)
            if (p->val)
                add(o, p->keyword, p->val);
        rc = resolve(c, o, &arena, deadline);
        rc = rc ? rc : begin(c, o, deadline);
    }
    if (rc == -ENOMEM)
        snprintf(c->why, sizeof c->why, "out of memory");
    c->pq->conninfoFree(parsed);
    b_arena_release(&arena);
    c->failures = rc ? c->failures + 1 : 0;
    if (rc)
        st_pg_close(c);
    return rc;
}

void st_pg_close(struct pg_conn *c) {
    if (c->pg)
        c->pq->finish(c->pg);
    c->pg = NULL;
    c->lost = false;
    c->known_count = 0;
}
