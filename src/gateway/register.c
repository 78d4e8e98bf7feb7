/* weir's own node in ZooKeeper: an ephemeral one, there while weir takes requests, and the first thing to go when it leaves.
 * One fiber looks after it, one request at a time. */
#include <errno.h>

#include "base/log.h"
#include "config/copy.h"
#include "gateway/conn.h"
#include "json/writer.h"
#ifdef WEIR_ZOOKEEPER
#include "upstream/zookeeper.h"

#define LOOK_ROUND \
    (200 * RT_MS)          /* in which the fiber sees that the config has changed, or that it is to end */
#define RETRY RT_S         /* after something went wrong */
#define SILENCE (3 * RT_S) /* of the servers, before the log says so */
#define LEAVE (2 * RT_S)   /* for the node to go */
#define PATH_ROOM 1536

/* What is to be done next. */
enum step {
    LOOK,      /* is the node there, and whose is it? */
    PARENT,    /* make the nodes above it, one after the other */
    MAKE,      /* make it */
    TAKE_OVER, /* delete it: it is left over from a weir that stood here before, or from an older session */
    STAND,     /* nothing: it is there */
    REMOVE,    /* delete it, to leave */
    GONE
};

struct registration {
    struct gateway *gateway;
    struct cfg_register conf; /* a copy */
    uint64_t generation;      /* of the config that was looked at last */
    struct b_arena arena;
    struct up_zk zk;
    enum step step;
    bool asked; /* a request is on its way */
    bool told;  /* the log says that it failed */
    char path[PATH_ROOM], data[512];
    size_t parent; /* length of what exists of the path above the node */
    rt_time retry_at;
    rt_time since; /* when it was last connected, or began to try */
};

/* --- answers, on the big stack --- */

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct registration *r = context;
    (void)zh, (void)state, (void)path;
    if (type != ZOO_SESSION_EVENT && r->step == STAND)
        r->step = LOOK; /* somebody has touched it */
}

static void failed(struct registration *r, int rc) {
    if (!r->told && rc != ZCLOSING && rc != ZCONNECTIONLOSS && rc != ZSESSIONEXPIRED)
        B_LOG(B_WARN, "gateway", "not registered as %s: %s; trying again", r->path, zerror(rc));
    r->told = true;
    if (r->step != REMOVE)
        r->step = LOOK;
    r->retry_at = rt_after(rt_now(), RETRY);
}

static void stands(struct registration *r, bool does) {
    bool did = atomic_exchange(&r->gateway->registration.registered, does);
    if (does && !did)
        B_LOG(B_INFO, "gateway", "registered as %s: %s", r->path, r->data);
    else if (did && !does && r->step != GONE)
        B_LOG(B_WARN, "gateway", "not registered as %s any more", r->path);
    r->told &= !does;
}

static void looked(int rc, const struct Stat *stat, const void *arg) {
    struct registration *r = (struct registration *)(uintptr_t)arg;
    r->asked = false;
    if (r->step != LOOK)
        return;
    if (rc == ZOK && stat->ephemeralOwner == zoo_client_id(r->zk.zh)->client_id) {
        r->step = STAND;
        stands(r, true);
        return;
    }
    if (rc == ZOK || rc == ZNONODE)
        stands(r, false);
    if (rc == ZOK)
        r->step = TAKE_OVER;
    else if (rc == ZNONODE)
        r->step = MAKE;
    else
        failed(r, rc);
}

static void made(int rc, const char *name, const void *arg) {
    struct registration *r = (struct registration *)(uintptr_t)arg;
    (void)name;
    r->asked = false;
    if (r->step == PARENT && (rc == ZOK || rc == ZNODEEXISTS))
        return;
    if (r->step != PARENT && r->step != MAKE)
        return;
    r->parent = 0;
    if (r->step == MAKE && rc == ZNONODE)
        r->step = PARENT;
    else if (rc == ZOK || rc == ZNODEEXISTS)
        r->step = LOOK; /* whose it is, and a watch */
    else
        failed(r, rc);
}

static void deleted(int rc, const void *arg) {
    struct registration *r = (struct registration *)(uintptr_t)arg;
    r->asked = false;
    if (r->step == REMOVE)
        r->step = rc == ZOK || rc == ZNONODE ? GONE : REMOVE;
    else if (rc == ZOK || rc == ZNONODE)
        r->step = MAKE;
    else
        failed(r, rc);
}

/* --- requests, on the big stack --- */

static int make_parent(struct registration *r) {
    char *slash = strchr(r->path + r->parent + 1, '/');
    if (!slash) {
        r->step = MAKE;
        return ZOK;
    }
    *slash = 0;
    int rc = zoo_acreate(r->zk.zh, r->path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, r);
    *slash = '/';
    r->parent = (size_t)(slash - r->path);
    r->asked = rc == ZOK;
    return rc;
}

static void ask(void *arg) {
    struct registration *r = arg;
    int rc = ZOK;
    if (r->step == PARENT)
        rc = make_parent(r);
    if (rc == ZOK && !r->asked) {
        switch (r->step) {
        case LOOK: rc = zoo_awexists(r->zk.zh, r->path, watcher, r, looked, r); break;
        case MAKE:
            rc = zoo_acreate(r->zk.zh, r->path, r->data, (int)strlen(r->data), &ZOO_OPEN_ACL_UNSAFE,
                             ZOO_EPHEMERAL, made, r);
            break;
        case TAKE_OVER:
        case REMOVE: rc = zoo_adelete(r->zk.zh, r->path, -1, deleted, r); break;
        default: return;
        }
        r->asked = rc == ZOK;
    }
    if (rc != ZOK)
        failed(r, rc);
}

/* --- the fiber --- */

/* Where others reach weir, and what they are told. */
static int write_node(struct registration *r, const struct cfg_root *root) {
    const struct cfg_addr *own = cfg_register_listener(root);
    struct b_text path = b_text_fixed(r->path, sizeof r->path - 1);
    struct b_text data = b_text_fixed(r->data, sizeof r->data - 1);
    struct json_writer w = json_writer(&data);
    char text[NET_ADDRESS_TEXT];
    struct rt_sockaddr at;
    int64_t port = r->conf.port;
    if (!r->conf.address.ptr && (!own || gw_sockaddr(own, &at) != 0))
        return -EINVAL;
    CFG_EACH(const struct cfg_listener, l, &root->listen)
        if (!port && l->addr.kind != CFG_HOST_UNIX && (r->conf.address.ptr || &l->addr == own))
            port = l->addr.port;
    struct b_slice address = r->conf.address.ptr ? r->conf.address : b_slice(text, net_format_ip(&at, text));
    bool ipv6 = b_slice_find(address, ':') < address.len;
    b_text_printf(&path, "%.*s/%s%.*s%s:%lld", B_FMT(r->conf.zookeeper.path), ipv6 ? "[" : "", B_FMT(address),
                  ipv6 ? "]" : "", (long long)port);
    json_object_begin(&w);
    json_key(&w, B_LIT("address"));
    json_string(&w, address);
    json_key(&w, B_LIT("port"));
    json_u64(&w, (uint64_t)port);
    json_key(&w, B_LIT("weight"));
    json_u64(&w, (uint64_t)r->conf.weight);
    json_object_end(&w);
    if (path.failed || data.failed)
        return -ENAMETOOLONG;
    r->path[path.len] = r->data[data.len] = 0;
    return 0;
}

/* Whether the config in force asks for this registration still. */
static bool asks_for(const struct registration *r, const struct gw_snapshot *s) {
    struct registration *now = b_zalloc(B_TAG_GATEWAY, sizeof *now);
    bool same = now && s->root->registration.head.node &&
                cfg_equal(&cfg_register_table, &s->root->registration, &r->conf);
    if (same) {
        now->conf = r->conf;
        same = write_node(now, s->root) == 0 && strcmp(now->path, r->path) == 0 &&
               strcmp(now->data, r->data) == 0;
    } else if (!now) {
        same = true; /* memory is short: looked at again */
    }
    b_free(now);
    return same;
}

static bool is_current(struct registration *r) {
    struct gw_snapshot *s = gw_pin(r->gateway);
    bool same = s->generation == r->generation || asks_for(r, s);
    r->generation = s->generation;
    gw_unpin(s);
    return same;
}

static void tell_of_connection(struct registration *r, bool was) {
    if (was && !r->zk.connected && r->step != REMOVE)
        B_LOG(B_WARN, "gateway", "the connection to ZooKeeper is lost; %s stands until the session ends",
              r->path);
    if (r->zk.connected || was)
        r->since = rt_now();
    if (!r->zk.connected && !r->told && rt_now() - r->since >= SILENCE) {
        B_LOG(B_WARN, "gateway", "not registered as %s: no answer from %.*s; trying on", r->path,
              B_FMT(b_slice_cstr(r->zk.hosts.ptr)));
        r->told = true;
    }
}

static void turn(struct registration *r, int ready) {
    char why[200];
    if (!r->zk.zh && up_zk_open(&r->zk, why, sizeof why) != 0) {
        if (!r->told)
            B_LOG(B_WARN, "gateway", "not registered as %s: %s; trying again", r->path, why);
        r->told = true;
        return;
    }
    bool was = r->zk.connected;
    if (up_zk_turn(&r->zk, ready) && r->step != REMOVE)
        r->step = LOOK;
    tell_of_connection(r, was);
    if (r->zk.over) { /* and the node with it */
        up_zk_close(&r->zk);
        stands(r, false);
        r->step = r->step == REMOVE ? GONE : LOOK;
        r->asked = false;
        r->zk.next = rt_now();
        return;
    }
    if (r->zk.connected && !r->asked && rt_now() >= r->retry_at)
        rt_on_big_stack(ask, r);
    up_zk_plan(&r->zk);
}

/* Waits until there is something to do: for what the descriptor is ready, 0, or -ECANCELED. */
static int wait_for(const struct registration *r) {
    bool due = r->step != STAND && r->zk.connected && !r->asked;
    rt_time until = rt_earlier(r->zk.next, rt_after(rt_now(), LOOK_ROUND));
    if (due)
        until = rt_earlier(until, r->retry_at > rt_now() ? r->retry_at : rt_now());
    int rc = r->zk.fd >= 0 ? rt_wait_fd(r->zk.fd, r->zk.events, until) : rt_sleep_until(until);
    return rc == -ECANCELED ? rc : rc > 0 ? rc : 0;
}

static void stay(struct registration *r) {
    for (int ready = 0; ready >= 0 && !atomic_load(&r->gateway->registration.leaving) && is_current(r);
         ready = wait_for(r))
        turn(r, ready);
    if (atomic_load(&r->gateway->registration.registered) && r->zk.connected) {
        rt_time until = rt_after(rt_now(), LEAVE);
        r->step = REMOVE;
        r->asked = false; /* an answer that is still to come asks for nothing */
        r->retry_at = 0;
        for (int ready = 0; ready >= 0 && r->step == REMOVE && rt_now() < until; ready = wait_for(r))
            turn(r, ready);
        if (r->step == GONE)
            B_LOG(B_INFO, "gateway", "unregistered: %s", r->path);
    }
    r->step = GONE;
    up_zk_close(&r->zk); /* the session's end takes the node in any case */
    stands(r, false);
}

/* As long as the config asks for the same. False: it asks for none, or memory is short. */
static bool run(struct gateway *g) {
    struct registration *r = b_zalloc(B_TAG_GATEWAY, sizeof *r);
    if (!r)
        return rt_sleep_until(rt_after(rt_now(), RT_S)) == 0;
    struct gw_snapshot *s = gw_pin(g);
    const struct cfg_register *conf = &s->root->registration;
    bool wanted = conf->head.node != NULL;
    r->gateway = g;
    r->generation = s->generation;
    b_arena_init(&r->arena, B_TAG_GATEWAY, NULL, NULL, 0, 1 << 20);
    int rc = wanted ? cfg_copy(&cfg_register_table, conf, &r->conf, &r->arena) : -ENOENT;
    rc = rc ? rc : write_node(r, s->root);
    gw_unpin(s);
    if (rc == 0) {
        r->since = rt_now();
        up_zk_init(&r->zk, &r->conf.zookeeper, watcher, r);
        stay(r);
        up_zk_free(&r->zk);
    } else if (wanted) {
        rc = rt_sleep_until(rt_after(rt_now(), RT_S));
    }
    b_arena_release(&r->arena);
    b_free(r);
    return wanted && !rt_cancelled();
}

static bool wanted(struct gateway *g) {
    struct gw_snapshot *s = gw_pin(g);
    bool asked = s->root->registration.head.node && !atomic_load(&g->registration.leaving);
    gw_unpin(s);
    return asked;
}

static void register_fiber(void *arg) {
    struct gateway *g = arg;
    do {
        while (wanted(g) && run(g))
            continue;
        atomic_store(&g->registration.running,
                     false); /* who has changed the config meanwhile has seen that it ran */
    } while (wanted(g) && !rt_cancelled() && !atomic_exchange(&g->registration.running, true));
}

void gw_register(struct gateway *g) {
    if (!wanted(g) || atomic_exchange(&g->registration.running, true))
        return;
    if (rt_spawn("register", register_fiber, g) == 0)
        return;
    atomic_store(&g->registration.running, false);
    B_LOG(B_ERROR, "gateway", "not registered: there is no fiber for it");
}

void gw_unregister(struct gateway *g) {
    rt_time until = rt_after(rt_now(), LEAVE + LOOK_ROUND);
    atomic_store(&g->registration.leaving, true);
    while (atomic_load(&g->registration.running) && rt_now() < until)
        if (rt_sleep_until(rt_after(rt_now(), 5 * RT_MS)) != 0)
            return;
}
#else
void gw_register(struct gateway *g) {
    (void)g;
}

void gw_unregister(struct gateway *g) {
    (void)g;
}
#endif
