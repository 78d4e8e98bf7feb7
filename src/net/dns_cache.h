/* What one worker knows about names. Pure: the time is an argument, nothing waits, except that an entry
 * carries the condition on which the fibers wait that want it (dns.c). */
#ifndef NET_DNS_CACHE_H
#define NET_DNS_CACHE_H

#include "base/map.h"
#include "net/address.h"
#include "net/dns.h"
#include "runtime/sync.h"

#define NET_DNS_NAMES 1024   /* entries in a cache; the one unused for longest gives way */
#define NET_DNS_NAME_MAX 254 /* bytes, with a final dot */
#define NET_DNS_TTL_MIN RT_S
#define NET_DNS_TTL_MAX (3600 * RT_S)
#define NET_DNS_RETRY RT_S              /* after a failure */
#define NET_DNS_STALE_MAX (3600 * RT_S) /* how long after its expiry an answer may still serve */

struct net_lookup;

struct net_dns_entry {
    struct b_list used;        /* least recently used first */
    unsigned holds;            /* lookups and fibers that refer to it: it must stay */
    struct net_lookup *lookup; /* under way, and to be joined; or NULL */
    struct rt_cond done;       /* signalled by every answer and failure */
    uint32_t answers;          /* how many there were */
    int error;                 /* of the last lookup; 0 when it gave addresses */
    bool failing;     /* addresses are known, but the last lookup failed or is overdue: do not wait for one */
    rt_time expires;  /* of the addresses */
    rt_time retry_at; /* no lookup before this */
    unsigned count;
    struct net_peer list[NET_ADDRESSES_MAX];
    struct b_slice name;
    char text[];
};

struct net_dns_cache {
    struct b_map map;
    struct b_list used;
};

void net_cache_init(struct net_dns_cache *c, struct b_hash_key key);
/* No entry may be held. */
void net_cache_free(struct net_dns_cache *c);
/* The entry of a name (at most NET_DNS_NAME_MAX bytes, in lower case), a new one if need be, marked as
 * used now. 0, -ENOMEM, or -EAGAIN when the cache is full of entries that are held. */
int net_cache_take(struct net_dns_cache *c, struct b_slice name, struct net_dns_entry **out)
    __attribute__((warn_unused_result));

/* The addresses are as good as new. */
bool net_entry_fresh(const struct net_dns_entry *e, rt_time now);
/* There are addresses that may be given out, perhaps stale ones. */
bool net_entry_usable(const struct net_dns_entry *e, rt_time now);
/* A lookup has found addresses: count is 1 to NET_ADDRESSES_MAX, ttl the answer's (bounds are put on it
 * here). */
void net_entry_answer(struct net_dns_entry *e, rt_time now, const struct net_peer *list, unsigned count,
                      rt_time ttl);
/* A lookup has failed with a negative errno; -ECANCELED says nothing about the name and is not remembered. */
void net_entry_fail(struct net_dns_entry *e, rt_time now, int error);

/* Addresses of a name in the text of a hosts file, in its order: how many, at most `max`. */
unsigned net_hosts_find(struct b_slice file, struct b_slice name, struct net_peer *list, unsigned max);

#endif
