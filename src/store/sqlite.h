/* A store in an SQLite file: what its parts share. One thread writes, one checkpoints, each with a connection of its own, so none
 * takes SQLite's locks between threads. For the folder only. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>

#include "runtime/thread.h"
#include "store/session.h"

struct sqlite_store {
    struct st_store *store;
    struct rt_thread writer, checkpointer;
    pthread_cond_t work; /* with the store's lock: for the writer */
    sqlite3 *db;         /* the writer's; NULL: not open */
    sqlite3_stmt *begin, *commit, *rollback;
    rt_time retry;
    bool suspect; /* the last one ended in an I/O error: the file is checked when it is opened again */
    unsigned busy_in_log; /* pages in the log when a checkpoint last could not carry all of them */
    /* guarded by the store's lock */
    bool woken;
    pthread_cond_t pages;   /* for the checkpointer */
    bool checkpoint_wanted; /* or under way */
    bool checkpointer_runs, stop_checkpointer;
    unsigned carried; /* pages of the log that the last checkpoint left in the file */
};

/* Statements of a sink. */
struct sqlite_table {
    sqlite3_stmt *insert, *reject;
};

/* sqlite_memory.c. Before anything else of SQLite. */
void st_sqlite_use_memory(void);

/* sqlite_open.c. NULL with *why. */
sqlite3 *st_sqlite_open(const char *path, char *why);
/* To read its schema alone; where there is no file, it is as if there were an empty one. The same. */
sqlite3 *st_sqlite_look(const char *path, char *why);
/* Whether the whole file is sound; else *why. */
bool st_sqlite_sound(sqlite3 *db, char *why);
/* The last error, as people want it; `what` (may be NULL) is put before it. */
void st_sqlite_why(sqlite3 *db, const char *what, char *why);
sqlite3_stmt *st_sqlite_prepare(sqlite3 *db, const char *sql);
/* A statement without results. SQLITE_OK or the error. */
int st_sqlite_run(sqlite3_stmt *stmt);

/* sqlite_session.c */
struct st_session st_sqlite_session(sqlite3 *db, char *why);

/* sqlite_batch.c */
int st_sqlite_prepare_table(sqlite3 *db, struct st_sink *sink, char *why);
void st_sqlite_drop_table(struct st_sink *sink);
/* Stores a batch and sets its posts' outcomes. SQLITE_OK; else what is wrong with the store, and *why. */
int st_sqlite_batch(struct sqlite_store *q, struct st_batch *b, char *why);

#endif
