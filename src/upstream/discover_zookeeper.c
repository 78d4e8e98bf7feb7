/* Endpoints from ZooKeeper: the children of a node, their data. */
#ifdef WEIR_ZOOKEEPER
#include <errno.h>

#include "base/log.h"
#include "upstream/discover.h"
#include "upstream/zookeeper.h"

#define CHILDREN_MAX UP_FOUND_MAX
#define PATH_ROOM 1536
#define RETRY RT_S /* after something went wrong */

struct source;

/* A child whose data is asked for. */
struct child {
    struct source *source;
    bool good;
    char *data; /* NULL: not there yet, or gone */
    size_t len;
};

struct source {
    struct up_zk zk;
    bool told;      /* it was connected, when it was looked at last */
    bool stale;     /* something has changed, or nothing is known: ask for all of it */
    bool listing;   /* the list of children is on its way */
    unsigned asked; /* data of children on its way */
    unsigned round; /* of asking: answers of an older one are dropped */
    int error;      /* of the round; ZOK */
    bool complete;  /* the round has ended */
    struct child *children;
    unsigned count;
    rt_time retry_at;
};

/* --- callbacks, on the big stack --- */

/* Of what is watched. */
static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct source *s = context;
    (void)zh, (void)path, (void)state;
    if (type != ZOO_SESSION_EVENT)
        s->stale = true;
}

static void free_children(struct source *s) {
    for (unsigned i = 0; i < s->count; i++)
        b_free(s->children[i].data);
    b_free(s->children);
    s->children = NULL;
    s->count = 0;
}

static void end_round(struct source *s, int error) {
    if (error != ZOK && s->error == ZOK)
        s->error = error;
    s->complete = !s->listing && s->asked == 0;
}

static void got_data(int rc, const char *value, int len, const struct Stat *stat, const void *arg) {
    struct child *c = (struct child *)(uintptr_t)arg;
    (void)stat;
    c->source->asked--;
    if (rc == ZOK && value && len > 0) {
        c->data = b_strdup(B_TAG_UPSTREAM, value, (size_t)len);
        c->len = c->data ? (size_t)len : 0;
    }
    c->good = rc == ZOK;
    /* one that went between the list and this is no failure: the watch on the list tells */
    end_round(c->source, rc == ZNONODE ? ZOK : rc);
}

static void got_children(int rc, const struct String_vector *names, const void *arg) {
    struct source *s = (struct source *)(uintptr_t)arg;
    char path[PATH_ROOM];
    s->listing = false;
    int32_t n = rc == ZOK && names ? names->count : 0;
    if (n > CHILDREN_MAX)
        n = CHILDREN_MAX;
    if (n > 0)
        s->children = b_zalloc(B_TAG_UPSTREAM, (size_t)n * sizeof *s->children);
    s->count = s->children ? (unsigned)n : 0;
    if (n > 0 && !s->children)
        rc = ZSYSTEMERROR;
    for (unsigned i = 0; i < s->count && rc == ZOK; i++) {
        const char *base = s->zk.conf->path.len > 1 ? s->zk.conf->path.ptr : "";
        struct b_text out = b_text_fixed(path, sizeof path - 1);
        b_text_printf(&out, "%s/%s", base, names->data[i]);
        path[out.len] = 0;
        s->children[i].source = s;
        if (out.failed)
            continue;
        rc = zoo_awget(s->zk.zh, path, watcher, s, got_data, &s->children[i]);
        s->asked += rc == ZOK;
    }
    end_round(s, rc);
}

/* --- the source --- */

struct call {
    struct source *s;
    int rc;
};

/* On the big stack. */
static void list(void *arg) {
    struct call *c = arg;
    c->rc = zoo_awget_children(c->s->zk.zh, c->s->zk.conf->path.ptr, watcher, c->s, got_children, c->s);
}

static void disconnect(struct source *s) {
    up_zk_close(&s->zk); /* ends what is on its way with its callbacks */
    free_children(s);
    s->listing = s->complete = false;
    s->asked = 0;
    s->stale = true;
}

static int open_source(struct up_discovery *d) {
    struct source *s = b_zalloc(B_TAG_UPSTREAM, sizeof *s);
    if (!s)
        return -ENOMEM;
    up_zk_init(&s->zk, &d->conf->zookeeper, watcher, s);
    s->stale = true;
    d->state = s;
    return 0;
}

static void close_source(struct up_discovery *d) {
    struct source *s = d->state;
    disconnect(s);
    up_zk_free(&s->zk);
    b_free(s);
}

/* A round begins, or waits until the one before has ended. */
static void ask_if_stale(struct source *s) {
    struct call c = {.s = s};
    if (!s->zk.connected || !s->stale || s->listing || s->asked || s->complete || rt_now() < s->retry_at)
        return;
    free_children(s);
    s->stale = false;
    s->error = ZOK;
    s->listing = true;
    rt_on_big_stack(list, &c);
    if (c.rc != ZOK) {
        s->listing = false;
        s->stale = true;
        s->retry_at = rt_after(rt_now(), RETRY);
    }
}

/* What a round has brought. */
static enum up_look take_round(struct up_discovery *d, struct source *s, struct up_found *found) {
    s->complete = false;
    if (s->error != ZOK) {
        up_discovery_failed(d, "%.*s: %s", B_FMT(s->zk.conf->path),
                            s->error == ZNONODE ? "there is no such node" : zerror(s->error));
        s->stale = true;
        s->retry_at = rt_after(rt_now(), RETRY);
        return UP_LOOK_FAILED;
    }
    for (unsigned i = 0; i < s->count; i++)
        if (s->children[i].good && !up_found_node(found, b_slice(s->children[i].data, s->children[i].len)))
            found->bad++;
    if (found->bad)
        B_LOG(B_WARN, "upstream", "%u of the %u nodes below %.*s are no endpoints, and are left out",
              found->bad, s->count, B_FMT(s->zk.conf->path));
    free_children(s);
    return UP_LOOK_FOUND;
}

static enum up_look look(struct up_discovery *d, int ready, struct up_found *found) {
    struct source *s = d->state;
    d->next = rt_after(rt_now(), RETRY);
    if (!s->zk.zh && up_zk_open(&s->zk, d->why, sizeof d->why) != 0)
        return UP_LOOK_FAILED;
    if (up_zk_turn(&s->zk, ready))
        s->stale = true; /* what changed meanwhile is not known */
    if (s->zk.over)
        disconnect(s); /* its watches are gone: all of it anew */
    enum up_look rc = UP_LOOK_SAME;
    if (s->told && !s->zk.connected) {
        up_discovery_failed(d, "the connection to ZooKeeper is lost");
        rc = UP_LOOK_FAILED;
    }
    s->told = s->zk.connected;
    if (!s->zk.zh)
        return rc;
    ask_if_stale(s);
    if (s->complete)
        rc = take_round(d, s, found);
    up_zk_plan(&s->zk);
    d->fd = s->zk.fd;
    d->events = s->zk.events;
    d->next = s->stale && s->retry_at > rt_now() ? rt_earlier(s->zk.next, s->retry_at) : s->zk.next;
    return rc;
}

const struct up_source up_source_zookeeper = {.open = open_source, .look = look, .close = close_source};
#else
typedef int up_discover_zookeeper_is_not_built_in;
#endif
