/* A store in a PostgreSQL database: what its parts share. Each worker has a fiber with a connection of its own, which writes
 * batches; libpq is driven without blocking. For the folder only. */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <postgresql/libpq-fe.h>

#include "store/session.h"

/* postgres_library.c: libpq is loaded when a config names it, for it brings some twenty libraries with it. */
#define ST_PQ(X)          \
    X(clear)              \
    X(cmdTuples)          \
    X(conninfoFree)       \
    X(conninfoParse)      \
    X(connectPoll)        \
    X(connectStartParams) \
    X(consumeInput)       \
    X(enterPipelineMode)  \
    X(errorMessage)       \
    X(exitPipelineMode)   \
    X(finish)             \
    X(flush)              \
    X(freemem)            \
    X(getisnull)          \
    X(getlength)          \
    X(getResult)          \
    X(getvalue)           \
    X(isBusy)             \
    X(nfields)            \
    X(ntuples)            \
    X(pipelineSync)       \
    X(resultErrorField)   \
    X(resultStatus)       \
    X(sendPrepare)        \
    X(sendQuery)          \
    X(sendQueryParams)    \
    X(sendQueryPrepared)  \
    X(setnonblocking)     \
    X(setNoticeReceiver)  \
    X(setSingleRowMode)   \
    X(socket)             \
    X(status)
struct st_pq {
#define ST_PQ_MEMBER(name) __typeof__(PQ##name) *name;
    ST_PQ(ST_PQ_MEMBER)
#undef ST_PQ_MEMBER
};
/* NULL with *why when it is not there. Any thread. */
const struct st_pq *st_pq_load(char *why);

#define ST_KNOWN_MAX 64

/* A connection. */
struct pg_conn {
    const struct st_pq *pq;
    PGconn *pg;       /* NULL: none */
    bool lost;        /* it is of no use any more */
    bool single_rows; /* the last query was in single-row mode, which libpq would keep in a pipeline */
    uint64_t known[ST_KNOWN_MAX]; /* statements that it has prepared */
    unsigned known_count;
    unsigned timeout;     /* seconds: statement_timeout as it is set */
    unsigned failures;    /* to connect, in a row: the next try begins with the next address */
    char state[6];        /* SQLSTATE of the last failure; "" when it was no answer of the server */
    char why[ST_WHY_MAX]; /* and what it was */
};

/* Whether the last failure is of this class: the first two characters of its SQLSTATE. */
static inline bool st_pg_class_is(const struct pg_conn *c, const char *of) {
    return strncmp(c->state, of, 2) == 0;
}

/* postgres_conn.c. 0, or negative with c->why. From a fiber. */
int st_pg_connect(struct pg_conn *c, const char *conninfo, rt_time deadline);
void st_pg_close(struct pg_conn *c);
/* The next result; NULL: there is none left of this query. */
int st_pg_result(struct pg_conn *c, rt_time deadline, PGresult **out);
/* Notes that it is of no use any more, and why; gives rc. */
int st_pg_lost(struct pg_conn *c, int rc);
/* Whether the result is good; else notes what is wrong. */
bool st_pg_good(struct pg_conn *c, const PGresult *r);

/* postgres_session.c. Not in pipeline mode. */
struct st_session st_pg_session(struct pg_conn *c, rt_time deadline);
/* st_execute over one. */
int st_pg_exec(struct pg_conn *c, const char *sql, rt_time deadline);

/* postgres_table.c: statements of a sink, in its arena. */
struct pg_table {
    const char *insert, *reject; /* SQL */
    Oid *elements;               /* types of the columns' arrays */
    bool *as_text;               /* values go as texts and are cast by the database */
};
int st_pg_prepare_table(struct pg_conn *c, struct st_sink *sink, rt_time deadline);
/* Whether the statements of the sink are ones that the table takes. */
int st_pg_check_table(struct pg_conn *c, struct st_sink *sink, rt_time deadline);

/* postgres_batch.c. Stores the batch and sets its posts' outcomes; those that it names itself stay. 0, or negative: the store is to blame (c->why). */
int st_pg_batch(struct pg_conn *c, struct st_batch *b, rt_time deadline);
#endif
