/* One lookup: two questions to c-ares at once, for IPv4 and for IPv6 addresses. When one kind has come,
 * the other gets a little more time (as RFC 8305 section 3 does it), since there are networks in which
 * AAAA queries vanish. */
#include <assert.h>
#include <errno.h>

#include "net/dns_internal.h"
#include "runtime/worker.h"

#define GRACE (50 * RT_MS)

struct half {
    struct net_lookup *lookup;
    int family;
    bool done;
    int error; /* 0 or negative errno */
    unsigned count;
    rt_time ttl;
    struct net_peer list[NET_ADDRESSES_MAX];
};

struct net_lookup {
    struct net_channel *channel;
    struct net_dns_entry *entry; /* held */
    unsigned pending;            /* halves, and 1 while it starts */
    uint32_t published;          /* the entry's count of answers after this one's; 0: none yet */
    rt_time answered;            /* when the first addresses came: TTLs count from here */
    struct rt_timer grace;
    struct half halves[2]; /* IPv4, IPv6 */
};

static int errno_of(int status, const struct net_channel *c) {
    switch (status) {
    case ARES_SUCCESS: return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME: return -ENOENT; /* the name is well-formed, but not with a search domain behind it */
    case ARES_ETIMEOUT: return -ETIMEDOUT;
    case ARES_ENOMEM: return -ENOMEM;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return c->why ? c->why : -ECANCELED;
    default: return -EIO;
    }
}

static void take_ttl(struct half *h, int seconds) {
    rt_time ttl = seconds < 0 ? 0 : seconds * RT_S;
    h->ttl = rt_earlier(h->ttl, ttl);
}

static void collect(struct half *h, const struct ares_addrinfo *answer) {
    for (const struct ares_addrinfo_cname *n = answer->cnames; n; n = n->next)
        take_ttl(h, n->ttl);
    for (const struct ares_addrinfo_node *n = answer->nodes; n; n = n->ai_next) {
        struct rt_sockaddr a = {.len = n->ai_addrlen};
        if (n->ai_family != h->family || h->count == NET_ADDRESSES_MAX || n->ai_addrlen > sizeof a.u)
            continue;
        memcpy(&a.u, n->ai_addr, n->ai_addrlen);
        net_peer_from(&h->list[h->count++], &a);
        take_ttl(h, n->ai_ttl);
    }
}

/* Gives the entry the addresses that have come. */
static void publish(struct net_lookup *l) {
    struct net_peer list[NET_ADDRESSES_MAX];
    unsigned count = 0;
    rt_time ttl = NET_DNS_TTL_MAX;
    for (int i = 0; i < 2; i++) {
        const struct half *h = &l->halves[i];
        for (unsigned k = 0; k < h->count && count < NET_ADDRESSES_MAX; k++)
            list[count++] = h->list[k];
        if (h->count)
            ttl = rt_earlier(ttl, h->ttl);
    }
    net_entry_answer(l->entry, l->answered, list, count, ttl);
    l->published = l->entry->answers;
}

/* The other half is late: what is there must do. The lookup goes on, but nobody waits for it any more, so
 * that another one can be started when these addresses expire first. */
static void grace_is_over(struct rt_timer *t) {
    struct net_lookup *l = B_CONTAINER(t, struct net_lookup, grace);
    publish(l);
    l->entry->lookup = NULL;
}

static int failure(const struct net_lookup *l) {
    /* "no such name" for one kind says little when the other kind's question failed */
    return l->halves[0].error != -ENOENT ? l->halves[0].error : l->halves[1].error;
}

static void finish(struct net_lookup *l) {
    struct net_channel *c = l->channel;
    struct net_dns_entry *e = l->entry;
    bool found = l->halves[0].count || l->halves[1].count;
    rt_timer_cancel(&l->grace);
    if (e->lookup == l)
        e->lookup = NULL;
    bool adds = l->published == e->answers && !e->lookup && l->halves[1].count; /* late, but not overtaken */
    if (found && (!l->published || adds))
        publish(l);
    if (!found) {
        net_entry_fail(e, rt_now(), failure(l));
        b_counter_add(&c->dns->counters->failed, 1);
    }
    e->holds--;
    c->lookups--;
    c->dns->lookups--;
    b_free(l);
}

static void half_done(void *arg, int status, int timeouts, struct ares_addrinfo *answer) {
    struct half *h = arg;
    struct net_lookup *l = h->lookup;
    (void)timeouts;
    h->done = true;
    h->error = errno_of(status, l->channel);
    if (answer) {
        if (status == ARES_SUCCESS)
            collect(h, answer);
        ares_freeaddrinfo(answer);
    }
    if (!h->error && !h->count)
        h->error = -ENOENT;
    if (h->count && !l->answered)
        l->answered = rt_now();
    if (--l->pending == 0)
        finish(l);
    else if (h->count && h->family == AF_INET)
        rt_timer_set(&l->grace, rt_after(rt_now(), GRACE));
}

/* On the big stack. */
static void ask(void *arg) {
    struct net_lookup *l = arg;
    char name[NET_DNS_NAME_MAX + 1];
    memcpy(name, l->entry->name.ptr, l->entry->name.len);
    name[l->entry->name.len] = '\0';
    for (int i = 0; i < 2; i++) {
        struct half *h = &l->halves[i];
        struct ares_addrinfo_hints hints = {.ai_family = h->family, .ai_flags = ARES_AI_NOSORT};
        if (!h->done)
            ares_getaddrinfo(l->channel->ares, name, NULL, &hints, half_done, h);
    }
    if (--l->pending == 0)
        finish(l);
}

static struct net_lookup *new_lookup(struct net_channel *c, struct net_dns_entry *e) {
    struct net_lookup *l = b_zalloc(B_TAG_NET, sizeof *l);
    if (!l)
        return NULL;
    *l = (struct net_lookup){.channel = c, .entry = e, .pending = 3};
    for (int i = 0; i < 2; i++)
        l->halves[i] = (struct half){.lookup = l, .family = i ? AF_INET6 : AF_INET, .ttl = NET_DNS_TTL_MAX};
    if (!net_has_ipv6()) {
        l->halves[1].done = true;
        l->halves[1].error = -ENOENT;
        l->pending--;
    }
    rt_timer_init(&l->grace, grace_is_over);
    return l;
}

int net_lookup_start(struct net_channel *c, struct net_dns_entry *e) {
    assert(!e->lookup && !c->retired);
    if (c->dns->lookups >= NET_DNS_LOOKUPS)
        return -EAGAIN;
    struct net_lookup *l = new_lookup(c, e);
    if (!l)
        return -ENOMEM;
    int rc = net_channel_drive(c);
    if (rc) {
        b_free(l);
        return rc;
    }
    e->lookup = l;
    e->holds++;
    c->lookups++;
    c->dns->lookups++;
    b_counter_add(&c->dns->counters->lookups, 1);
    rt_on_big_stack(ask, l);
    return 0;
}
