/* One transaction over rows of some posts. For postgres_*.c only. */
#ifndef STORE_POSTGRES_TRANSACTION_H
#define STORE_POSTGRES_TRANSACTION_H

#include "store/postgres.h"

/* Types of values; pg_type.dat has them. */
enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_TEXT = 25,
    OID_FLOAT8 = 701,
    OID_TIMESTAMPTZ = 1184,
    OID_JSONB = 3802
};

struct pg_row {
    struct st_post *post;
    unsigned number; /* in its post */
    const struct st_value *values;
    bool dropped; /* another one with its key stays, or it has been refused */
    bool changed; /* the database says so */
};

struct pg_reject {
    struct st_post *post;
    struct st_reject what;
};

/* Some posts of a batch, and what has become of their rows. */
struct pg_work {
    struct pg_conn *c;
    struct st_sink *sink;
    struct pg_row *rows;
    struct pg_reject *rejects;
    unsigned count, kept, reject_count;
    struct b_arena arena;  /* why rows were refused */
    bool inside;           /* a transaction is open already */
    struct st_post *alone; /* whose rows they all are, when they are tried one by one */
    rt_time deadline;      /* the connection is of no use beyond it */
    rt_time wanted_until;  /* somebody waits for it until then */
};

/* Of the columns of NAME_rejected. */
#define ST_PG_REJECT_COLUMNS 3
extern const Oid st_pg_reject_types[ST_PG_REJECT_COLUMNS];

/* Stores the rows that are not dropped, and the rejects, in a transaction of their own, or in the one that is open. 0, and rows tell
 * whether they changed anything; or negative with c->why. */
int st_pg_transact(struct pg_work *w);
/* Has the server read a statement of the sink, once for each connection. `kind` tells them apart. */
int st_pg_prepare(struct pg_work *w, char kind, const char *sql, const Oid *elements, unsigned count);

#endif
