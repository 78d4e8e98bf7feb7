/* Endpoints from ZooKeeper: the children of a node, their data. The client library (its single-threaded kind) is driven from
 * this fiber: it says which descriptor it waits for, and its callbacks run inside zookeeper_process, on the big stack. */
#ifdef WEIR_ZOOKEEPER
#include <errno.h>
#include <stdlib.h>
#include <zookeeper/zookeeper.h>

#include "base/log.h"
#include "net/address.h"
#include "net/dns.h"
#include "upstream/discover.h"

#define CHILDREN_MAX UP_FOUND_MAX
#define PATH_ROOM 1536
#define RESOLVE (5 * RT_S)
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
    zhandle_t *zh;
    const struct cfg_discover_zookeeper *conf;
    struct b_text hosts; /* addresses, as the library takes them; on the heap */
    bool connected;
    bool told;      /* it was, when it was looked at last */
    bool over;      /* the session has expired, or is refused */
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
    (void)zh, (void)path;
    (void)
        state; /* looked at by learn_state: the library tells of a lost connection only once there is another */
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
        const char *base = s->conf->path.len > 1 ? s->conf->path.ptr : "";
        struct b_text out = b_text_fixed(path, sizeof path - 1);
        b_text_printf(&out, "%s/%s", base, names->data[i]);
        path[out.len] = 0;
        s->children[i].source = s;
        if (out.failed)
            continue;
        rc = zoo_awget(s->zh, path, watcher, s, got_data, &s->children[i]);
        s->asked += rc == ZOK;
    }
    end_round(s, rc);
}

/* --- calls, on the big stack --- */

struct call {
    struct source *s;
    int rc, fd, interest, events;
    struct timeval tv;
};

static void quiet(const char *message) {
    B_LOG(B_DEBUG, "zookeeper", "%s", message);
}

static void open_handle(void *arg) {
    struct call *c = arg;
    struct source *s = c->s;
    zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
    s->zh = zookeeper_init2(s->hosts.ptr, watcher, (int)(s->conf->session_timeout / RT_MS), NULL, s,
                            ZOO_NO_LOG_CLIENTENV, quiet);
    if (s->zh)
        zoo_set_servers_resolution_delay(s->zh, -1); /* they are addresses already */
}

static void close_handle(void *arg) {
    struct call *c = arg;
    zookeeper_close(c->s->zh);
}

static void interest(void *arg) {
    struct call *c = arg;
    c->rc = zookeeper_interest(c->s->zh, &c->fd, &c->interest, &c->tv);
}

static void process(void *arg) {
    struct call *c = arg;
    c->rc = zookeeper_process(c->s->zh, c->events);
}

static void learn_state(void *arg) {
    struct call *c = arg;
    int state = zoo_state(c->s->zh);
    bool was = c->s->connected;
    c->s->connected = state == ZOO_CONNECTED_STATE;
    c->s->over = state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE;
    if (c->s->connected && !was)
        c->s->stale = true; /* what changed meanwhile is not known */
}

static void list(void *arg) {
    struct call *c = arg;
    c->rc = zoo_awget_children(c->s->zh, c->s->conf->path.ptr, watcher, c->s, got_children, c->s);
}

/* --- the source --- */

static void disconnect(struct source *s) {
    struct call c = {.s = s};
    if (s->zh)
        rt_on_big_stack(close_handle, &c); /* ends what is on its way with its callbacks */
    s->zh = NULL;
    free_children(s);
    s->connected = s->over = s->listing = s->complete = false;
    s->asked = 0;
    s->stale = true;
}

/* The library would resolve names itself, and block meanwhile (U16): it gets addresses. */
static int resolve(struct source *s) {
    struct net_addresses *a = b_alloc(B_TAG_UPSTREAM, sizeof *a);
    int rc = -ENOMEM;
    s->hosts.len = 0;
    CFG_EACH(const struct cfg_text, t, &s->conf->hosts) {
        struct cfg_url url;
        struct b_text http = b_text_fixed((char[300]){0}, 300);
        b_text_printf(&http, "http://%.*s", B_FMT(t->text));
        if (!a || http.failed || cfg_parse_url(b_text_slice(&http), &url) || !url.name.len)
            continue;
        rc = net_resolve(url.name, url.port, rt_after(rt_now(), RESOLVE), a);
        for (unsigned i = 0; rc == 0 && i < a->count; i++) {
            char text[NET_ADDRESS_TEXT];
            (void)net_format(&a->list[i], text);
            b_text_printf(&s->hosts, "%s%s", s->hosts.len ? "," : "", text);
        }
    }
    b_free(a);
    b_text_char(&s->hosts, 0);
    return s->hosts.len > 1 && !s->hosts.failed ? 0 : rc ? rc : -EINVAL;
}

static int open_source(struct up_discovery *d) {
    struct source *s = b_zalloc(B_TAG_UPSTREAM, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->conf = &d->conf->zookeeper;
    s->hosts = b_text_heap(B_TAG_UPSTREAM, 65536);
    s->stale = true;
    d->state = s;
    return 0;
}

static void close_source(struct up_discovery *d) {
    struct source *s = d->state;
    disconnect(s);
    b_text_free(&s->hosts);
    b_free(s);
}

static int begin_session(struct up_discovery *d, struct source *s) {
    struct call c = {.s = s};
    int rc = resolve(s);
    if (rc) {
        up_discovery_failed(d, "the servers' names cannot be resolved: %s", strerror(-rc));
        return rc;
    }
    rt_on_big_stack(open_handle, &c);
    if (!s->zh)
        up_discovery_failed(d, "the client cannot be opened: %s", strerror(errno));
    return s->zh ? 0 : -EIO;
}

/* A round begins, or waits until the one before has ended. */
static void ask_if_stale(struct source *s) {
    struct call c = {.s = s};
    if (!s->connected || !s->stale || s->listing || s->asked || s->complete || rt_now() < s->retry_at)
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
        up_discovery_failed(d, "%.*s: %s", B_FMT(s->conf->path),
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
              found->bad, s->count, B_FMT(s->conf->path));
    free_children(s);
    return UP_LOOK_FOUND;
}

/* Sets what is waited for next. */
static void wait_for(struct up_discovery *d, struct source *s) {
    struct call c = {.s = s, .fd = -1};
    rt_on_big_stack(interest, &c);
    rt_on_big_stack(learn_state, &c);
    rt_time span = c.tv.tv_sec * RT_S + c.tv.tv_usec * RT_US;
    if (c.fd < 0 || (c.rc != ZOK && c.rc != ZOPERATIONTIMEOUT)) /* between two tries to connect */
        span = span > 0 && span < RETRY ? span : 200 * RT_MS;
    d->fd = c.fd;
    d->events = (c.interest & ZOOKEEPER_READ ? RT_READ : 0) | (c.interest & ZOOKEEPER_WRITE ? RT_WRITE : 0);
    if (!d->events)
        d->fd = -1;
    d->next = rt_after(rt_now(), span < RT_MS ? RT_MS : span);
    if (s->stale && s->retry_at > rt_now())
        d->next = rt_earlier(d->next, s->retry_at);
}

static enum up_look look(struct up_discovery *d, int ready, struct up_found *found) {
    struct source *s = d->state;
    struct call c = {.s = s,
                     .events =
                         (ready & RT_READ ? ZOOKEEPER_READ : 0) | (ready & RT_WRITE ? ZOOKEEPER_WRITE : 0)};
    d->next = rt_after(rt_now(), RETRY);
    if (!s->zh && begin_session(d, s) != 0)
        return UP_LOOK_FAILED;
    rt_on_big_stack(process, &c);
    rt_on_big_stack(learn_state, &c);
    if (s->over)
        disconnect(s); /* its watches are gone: all of it anew */
    enum up_look rc = UP_LOOK_SAME;
    if (s->told && !s->connected) {
        up_discovery_failed(d, "the connection to ZooKeeper is lost");
        rc = UP_LOOK_FAILED;
    }
    s->told = s->connected;
    if (s->zh) {
        ask_if_stale(s);
        if (s->complete)
            rc = take_round(d, s, found);
        wait_for(d, s);
    }
    return rc;
}

const struct up_source up_source_zookeeper = {.open = open_source, .look = look, .close = close_source};
#else
typedef int up_zookeeper_is_not_built_in;
#endif
