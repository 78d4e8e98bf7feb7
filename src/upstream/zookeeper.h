/* A session with ZooKeeper. The client library (its single-threaded kind) is driven from one fiber: it says which
 * descriptor it waits for, and its callbacks run inside up_zk_turn, on the big stack. Built with WEIR_ZOOKEEPER only. */
#ifndef UPSTREAM_ZOOKEEPER_H
#define UPSTREAM_ZOOKEEPER_H

#include <zookeeper/zookeeper.h>

#include "base/text.h"
#include "config/config.h"
#include "runtime/time.h"

struct up_zk {
    zhandle_t *zh; /* NULL: none; connected or not */
    const struct cfg_zookeeper *conf;
    watcher_fn
        watcher; /* what has a watch is told with `context`; events of the session are none of its business */
    void *context;
    struct b_text hosts; /* addresses, as the library takes them; on the heap */
    bool connected;
    bool
        over; /* the session has expired, or is refused: close it, its watches and ephemeral nodes are gone */
    rt_time next;   /* when a turn is due */
    int fd, events; /* or when this is ready for RT_READ, RT_WRITE; -1: none */
};

void up_zk_init(struct up_zk *z, const struct cfg_zookeeper *conf, watcher_fn watcher, void *context);
/* Resolves the servers' names and begins a session; may wait. 0, or negative with the reason in `why`. */
int up_zk_open(struct up_zk *z, char *why, size_t room) __attribute__((warn_unused_result));
/* Ends it, if there is one: what is on its way is called back with an error. */
void up_zk_close(struct up_zk *z);
/* Lets the library do what it can, `ready` being what fd is ready for, and learns how the session stands. True: it has just
 * been connected, so that what happened meanwhile is not known. */
bool up_zk_turn(struct up_zk *z, int ready);
/* Sets next, fd and events, after requests have been made. */
void up_zk_plan(struct up_zk *z);
void up_zk_free(struct up_zk *z);

#endif
