#ifdef WEIR_ZOOKEEPER
#include "upstream/zookeeper.h"

#include <errno.h>

#include "base/log.h"
#include "net/address.h"
#include "net/dns.h"
#include "runtime/fiber.h"
#include "runtime/io.h"

#define RESOLVE (5 * RT_S)
#define RETRY RT_S /* after something went wrong */

/* --- calls, on the big stack --- */

struct call {
    struct up_zk *z;
    int rc, events;
    struct timeval tv;
};

static void quiet(const char *message) {
    B_LOG(B_DEBUG, "zookeeper", "%s", message);
}

static void open_handle(void *arg) {
    struct up_zk *z = ((struct call *)arg)->z;
    zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
    z->zh = zookeeper_init2(z->hosts.ptr, z->watcher, (int)(z->conf->session_timeout / RT_MS), NULL,
                            z->context, ZOO_NO_LOG_CLIENTENV, quiet);
    if (z->zh)
        zoo_set_servers_resolution_delay(z->zh, -1); /* they are addresses already */
}

static void close_handle(void *arg) {
    zookeeper_close(((struct call *)arg)->z->zh);
}

static void interest(void *arg) {
    struct call *c = arg;
    int wants = 0;
    c->rc = zookeeper_interest(c->z->zh, &c->z->fd, &wants, &c->tv);
    c->z->events = (wants & ZOOKEEPER_READ ? RT_READ : 0) | (wants & ZOOKEEPER_WRITE ? RT_WRITE : 0);
}

static void process(void *arg) {
    struct call *c = arg;
    c->rc = zookeeper_process(c->z->zh, c->events);
}

/* The library tells of a lost connection only once there is another: it is asked. */
static void learn_state(void *arg) {
    struct up_zk *z = ((struct call *)arg)->z;
    int state = zoo_state(z->zh);
    z->connected = state == ZOO_CONNECTED_STATE;
    z->over = state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE;
}

/* --- the session --- */

void up_zk_init(struct up_zk *z, const struct cfg_zookeeper *conf, watcher_fn watcher, void *context) {
    *z = (struct up_zk){.conf = conf, .watcher = watcher, .context = context, .fd = -1};
    z->hosts = b_text_heap(B_TAG_UPSTREAM, 65536);
}

void up_zk_free(struct up_zk *z) {
    up_zk_close(z);
    b_text_free(&z->hosts);
}

void up_zk_close(struct up_zk *z) {
    struct call c = {.z = z};
    if (z->zh)
        rt_on_big_stack(close_handle, &c);
    z->zh = NULL;
    z->connected = z->over = false;
    z->fd = -1;
}

/* The library would resolve names itself, and block meanwhile (U16): it gets addresses. */
static int resolve(struct up_zk *z) {
    struct net_addresses *a = b_alloc(B_TAG_UPSTREAM, sizeof *a);
    int rc = -ENOMEM;
    z->hosts.len = 0;
    CFG_EACH(const struct cfg_text, t, &z->conf->hosts) {
        struct cfg_url url;
        struct b_text http = b_text_fixed((char[300]){0}, 300);
        b_text_printf(&http, "http://%.*s", B_FMT(t->text));
        if (!a || http.failed || cfg_parse_url(b_text_slice(&http), &url) || !url.name.len)
            continue;
        rc = net_resolve(url.name, url.port, rt_after(rt_now(), RESOLVE), a);
        for (unsigned i = 0; rc == 0 && i < a->count; i++) {
            char text[NET_ADDRESS_TEXT];
            (void)net_format(&a->list[i], text);
            b_text_printf(&z->hosts, "%s%s", z->hosts.len ? "," : "", text);
        }
    }
    b_free(a);
    b_text_char(&z->hosts, 0);
    return z->hosts.len > 1 && !z->hosts.failed ? 0 : rc ? rc : -EINVAL;
}

int up_zk_open(struct up_zk *z, char *why, size_t room) {
    struct call c = {.z = z};
    struct b_text text = b_text_fixed(why, room - 1);
    int rc = resolve(z);
    if (rc)
        b_text_printf(&text, "the servers' names cannot be resolved: %s", strerror(-rc));
    else
        rt_on_big_stack(open_handle, &c);
    if (rc == 0 && !z->zh) {
        rc = -EIO;
        b_text_printf(&text, "the client cannot be opened: %s", strerror(errno));
    }
    why[text.len] = 0;
    z->next = rt_after(rt_now(), RETRY);
    return rc;
}

bool up_zk_turn(struct up_zk *z, int ready) {
    bool was = z->connected;
    struct call c = {.z = z,
                     .events =
                         (ready & RT_READ ? ZOOKEEPER_READ : 0) | (ready & RT_WRITE ? ZOOKEEPER_WRITE : 0)};
    rt_on_big_stack(process, &c);
    rt_on_big_stack(learn_state, &c);
    return z->connected && !was;
}

void up_zk_plan(struct up_zk *z) {
    struct call c = {.z = z};
    z->fd = -1;
    rt_on_big_stack(interest, &c);
    rt_time span = c.tv.tv_sec * RT_S + c.tv.tv_usec * RT_US;
    if (z->fd < 0 || (c.rc != ZOK && c.rc != ZOPERATIONTIMEOUT)) /* between two tries to connect */
        span = span > 0 && span < RETRY ? span : 200 * RT_MS;
    if (!z->events)
        z->fd = -1;
    z->next = rt_after(rt_now(), span < RT_MS ? RT_MS : span);
}
#else
typedef int up_zookeeper_is_not_built_in;
#endif
