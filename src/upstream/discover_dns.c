/* Endpoints from the DNS: every address of a name, or the hosts of its SRV records. */
#include <errno.h>
#include <stdlib.h>

#include "net/address.h"
#include "net/dns.h"
#include "net/dns_records.h"
#include "upstream/discover.h"

#define PATIENCE (3 * RT_S) /* with one question */

struct source {
    bool has_servers;
    char servers[]; /* as c-ares takes them */
};

static int open_source(struct up_discovery *d) {
    size_t room = 1;
    CFG_EACH(const struct cfg_text, t, &d->conf->dns.servers)
        room += t->text.len + 1;
    struct source *s = b_zalloc(B_TAG_UPSTREAM, sizeof *s + room);
    if (!s)
        return -ENOMEM;
    struct b_text out = b_text_fixed(s->servers, room - 1);
    CFG_EACH(const struct cfg_text, t, &d->conf->dns.servers) {
        if (out.len)
            b_text_char(&out, ',');
        b_text_slice_add(&out, t->text);
    }
    s->has_servers = out.len > 0;
    d->state = s;
    return 0;
}

static const char *servers(const struct up_discovery *d) {
    const struct source *s = d->state;
    return s->has_servers ? s->servers : NULL;
}

static int ask(struct up_discovery *d, struct b_slice name, enum net_record_type type, struct up_found *found,
               struct net_records *out) {
    return net_dns_records(name, type, servers(d), &found->arena, rt_after(rt_now(), PATIENCE), out);
}

/* A and AAAA of a name, each an endpoint at the port. The smaller TTL in *ttl. 0 or negative: neither kind could be had. */
static int find_addresses(struct up_discovery *d, struct b_slice name, unsigned port, int64_t weight,
                          struct up_found *found, rt_time *ttl) {
    static const enum net_record_type types[] = {NET_RECORD_A, NET_RECORD_AAAA};
    int rc[2];
    for (int i = 0; i < 2; i++) {
        struct net_records records;
        rc[i] = ask(d, name, types[i], found, &records);
        for (unsigned n = 0; n < records.count; n++)
            found->bad += !up_found_add(found, records.list[n].host, port, weight);
        if (rc[i] == 0 && records.count)
            *ttl = rt_earlier(*ttl, records.ttl);
    }
    return rc[0] == 0 || rc[1] == 0 ? 0 : rc[0] == -ENOENT ? rc[1] : rc[0];
}

/* What the hosts file says, or an address itself. */
static int find_locally(struct up_discovery *d, struct up_found *found) {
    struct net_addresses *a = b_arena_alloc(&found->arena, sizeof *a);
    if (!a)
        return -ENOMEM;
    int rc = net_resolve(d->conf->dns.name, (uint16_t)d->conf->dns.port, rt_after(rt_now(), PATIENCE), a);
    for (unsigned i = 0; rc == 0 && i < a->count; i++) {
        char text[NET_ADDRESS_TEXT];
        struct b_slice ip = b_slice(text, net_format_ip(&a->list[i], text));
        found->bad += !up_found_add(found, ip, (unsigned)d->conf->dns.port, 1);
    }
    return rc;
}

static int by_priority(const void *a, const void *b) {
    const struct net_record *x = a, *y = b;
    return x->priority - y->priority;
}

/* The hosts of the lowest priority, by their weights (RFC 2782: 0 is next to nothing). */
static int find_services(struct up_discovery *d, struct up_found *found, rt_time *ttl) {
    struct net_records records;
    int rc = ask(d, d->conf->dns.name, NET_RECORD_SRV, found, &records);
    if (rc)
        return rc;
    if (records.count)
        qsort(records.list, records.count, sizeof records.list[0], by_priority);
    *ttl = rt_earlier(*ttl, records.ttl);
    for (unsigned i = 0; i < records.count && records.list[i].priority == records.list[0].priority; i++) {
        const struct net_record *r = &records.list[i];
        if (!r->host.len) /* RFC 2782: "." says that there is no such service */
            continue;
        int one = find_addresses(d, r->host, r->port, r->weight, found, ttl);
        found->bad += one < 0;
    }
    return 0;
}

static enum up_look look(struct up_discovery *d, int ready, struct up_found *found) {
    const struct cfg_discover_dns *conf = &d->conf->dns;
    rt_time ttl = conf->max_ttl;
    (void)ready;
    int rc = conf->records ? find_services(d, found, &ttl)
                           : find_addresses(d, conf->name, (unsigned)conf->port, 1, found, &ttl);
    if (!found->count && !conf->records && !servers(d) && find_locally(d, found) == 0)
        rc = 0;
    d->next = rt_after(rt_now(), ttl < conf->min_ttl || rc || !found->count ? conf->min_ttl : ttl);
    if (rc == 0)
        return UP_LOOK_FOUND;
    up_discovery_failed(d, "%.*s: %s", B_FMT(conf->name),
                        rc == -ENOENT      ? "there is no such name"
                        : rc == -ETIMEDOUT ? "the servers do not answer"
                        : rc == -EIO       ? "the servers refuse, or answer nonsense"
                                           : strerror(-rc));
    return UP_LOOK_FAILED;
}

static void close_source(struct up_discovery *d) {
    b_free(d->state);
}

const struct up_source up_source_dns = {.open = open_source, .look = look, .close = close_source};
