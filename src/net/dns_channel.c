/* Drives a c-ares channel: its sockets stand in an epoll set of their own, so that one fiber waits for all
 * of them as for one descriptor. The fiber lives only while lookups are under way. */
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/dns_internal.h"
#include "runtime/worker.h"

/* A server's first chance; it doubles with each of the tries, so a silent server costs 7 s. */
#define FIRST_TIMEOUT RT_S
#define TRIES 3
#define SOCKETS 16

static void *ares_take(size_t size) {
    return b_alloc(B_TAG_NET, size);
}

static void *ares_resize(void *p, size_t size) {
    return b_realloc(B_TAG_NET, p, size);
}

static int library_rc;
static void open_library(void) {
    library_rc = ares_library_init_mem(ARES_LIB_INIT_ALL, ares_take, b_free, ares_resize);
}

/* c-ares opens, wants something else of, or is about to close a socket. One that cannot be watched (ENOMEM)
 * is left to c-ares's time-outs. */
static void socket_changed(void *arg, ares_socket_t fd, int readable, int writable) {
    struct net_channel *c = arg;
    struct epoll_event e = {.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u), .data.fd = fd};
    int op = readable || writable ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    /* lint: allow seam-call: the set is waited for through rt_wait_fd */
    int rc = epoll_ctl(c->epoll, op, fd, &e);
    if (rc != 0 && errno == ENOENT && op == EPOLL_CTL_MOD)
        (void)epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e); /* lint: allow seam-call: the same */
}

struct opening {
    struct net_channel *channel;
    const char *servers, *config;
    int status;
};

/* On the big stack: c-ares reads files with large buffers. */
static void open_ares(void *arg) {
    struct opening *o = arg;
    char lookups[] = "b"; /* the hosts file is read by dns.c */
    struct ares_options options = {
        .timeout = FIRST_TIMEOUT / RT_MS,
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = socket_changed,
        .sock_state_cb_data = o->channel,
        .resolvconf_path = (char *)(uintptr_t)o->config,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    if (o->config)
        mask |= ARES_OPT_RESOLVCONF;
    if (o->servers && !o->config)
        mask |= ARES_OPT_DOMAINS; /* none */
    o->status = ares_init_options(&o->channel->ares, &options, mask);
    if (o->status != ARES_SUCCESS || !o->servers)
        return;
    o->status = ares_set_servers_ports_csv(o->channel->ares, o->servers);
    if (o->status != ARES_SUCCESS)
        ares_destroy(o->channel->ares);
}

static int open_rc(int status) {
    return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EIO;
}

int net_channel_open(struct net_dns *d, const char *servers, const char *config, struct net_channel **out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    struct net_channel *c = b_zalloc(B_TAG_NET, sizeof *c);
    if (!c)
        return -ENOMEM;
    struct opening o = {.channel = c, .servers = servers, .config = config};
    c->dns = d;
    c->epoll = epoll_create1(EPOLL_CLOEXEC); /* lint: allow seam-call: waited for through rt_wait_fd */
    int rc = c->epoll < 0 ? -errno : open_rc(library_rc);
    if (rc == 0) {
        rt_on_big_stack(open_ares, &o);
        rc = open_rc(o.status);
    }
    if (rc) {
        if (c->epoll >= 0)
            close(c->epoll);
        b_free(c);
        return rc;
    }
    b_list_push_back(&d->channels, &c->link);
    d->users++;
    *out = c;
    return 0;
}

static void destroy(struct net_channel *c) {
    struct net_dns *d = c->dns;
    ares_destroy(c->ares);
    close(c->epoll);
    b_list_remove(&c->link);
    b_free(c);
    net_dns_release(d);
}

void net_channel_retire(struct net_channel *c) {
    if (c->dns->channel == c)
        c->dns->channel = NULL;
    c->retired = true;
    if (!c->driven)
        destroy(c);
}

static void cancel(void *arg) {
    struct net_channel *c = arg;
    ares_cancel(c->ares);
}

void net_channel_cancel(struct net_channel *c, int why) {
    c->why = why;
    rt_on_big_stack(cancel, c);
    c->why = 0;
}

/* --- the driver --- */

/* When c-ares wants to look at the time. A query that is started while the driver waits has its time-out
 * FIRST_TIMEOUT later, so a wait that is never longer than that misses none. */
static rt_time due(struct net_channel *c) {
    struct timeval tv;
    rt_time span = FIRST_TIMEOUT;
    if (ares_timeout(c->ares, NULL, &tv))
        span = rt_earlier(span, tv.tv_sec * RT_S + tv.tv_usec * RT_US);
    return rt_after(rt_now(), span < RT_MS ? RT_MS : span);
}

static void process(void *arg) {
    struct net_channel *c = arg;
    struct epoll_event events[SOCKETS];
    int n = epoll_wait(c->epoll, events, SOCKETS, 0); /* lint: allow seam-call: does not wait */
    for (int i = 0; i < n; i++) {
        bool readable = events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR);
        bool writable = events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
        /* a socket that the one before has closed is unknown to c-ares: it does nothing then */
        ares_process_fd(c->ares, readable ? events[i].data.fd : ARES_SOCKET_BAD,
                        writable ? events[i].data.fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* time-outs */
}

static void drive(void *arg) {
    struct net_channel *c = arg;
    int rc = 0;
    while (c->lookups && rc >= 0) {
        rc = rt_wait_fd(c->epoll, RT_READ, due(c));
        if (rc == -ETIMEDOUT)
            rc = 0;
        if (rc >= 0)
            rt_on_big_stack(process, c);
    }
    if (c->lookups)
        net_channel_cancel(c, rc);
    c->driven = false;
    if (c->retired)
        destroy(c);
}

int net_channel_drive(struct net_channel *c) {
    int rc = c->driven ? 0 : rt_spawn("dns", drive, c);
    if (rc == 0)
        c->driven = true;
    return rc;
}
