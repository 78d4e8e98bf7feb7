/* The parts of a worker's resolver. dns.c answers callers from the cache, dns_lookup.c asks c-ares for a
 * name's IPv4 and IPv6 addresses, dns_channel.c drives c-ares. Callbacks of c-ares only record and wake;
 * none of them waits. */
#ifndef NET_DNS_INTERNAL_H
#define NET_DNS_INTERNAL_H

#include <ares.h>

#include "net/dns_cache.h"

#define NET_DNS_LOOKUPS 256 /* under way at once on a worker */

struct net_dns_counters {
    struct b_counter lookups, hits, joined, stale, failed, names;
};

/* What tells two versions of a file apart. */
struct net_dns_stamp {
    int64_t seconds, nanoseconds, size;
    uint64_t inode;
};

struct net_dns {
    struct net_dns_cache cache;
    struct net_channel *channel; /* for new lookups; NULL: to be opened */
    struct b_list channels;      /* this one, and retired ones with lookups under way */
    unsigned users;              /* fibers in net_resolve, channels, and its place in the table */
    unsigned lookups;
    struct net_dns_counters *counters; /* of the worker; for good */
    rt_time checked;                   /* when the configuration file was looked at */
    struct net_dns_stamp stamp;
    unsigned generation; /* of the test's settings */
};

/* This worker's; NULL when memory is short. */
struct net_dns *net_dns_own(void);
/* Its channel for new lookups. 0 or negative errno. */
int net_dns_channel(struct net_dns *d, struct net_channel **out);
/* Ends one use; frees it after the last. */
void net_dns_release(struct net_dns *d);

/* One c-ares channel and the fiber that drives it while lookups are under way. */
struct net_channel {
    struct b_list link;
    struct net_dns *dns;
    ares_channel ares;
    int epoll;        /* c-ares's sockets: one descriptor to wait for */
    unsigned lookups; /* under way */
    bool driven;      /* the fiber runs, or is about to */
    bool retired;     /* takes no new lookups, goes when the last one has ended */
    int why;          /* the error of lookups that c-ares cancels */
};

/* servers and config may be NULL: see net_dns_servers, net_dns_config_path. From a fiber. */
int net_channel_open(struct net_dns *d, const char *servers, const char *config, struct net_channel **out)
    __attribute__((warn_unused_result));
void net_channel_retire(struct net_channel *c);
/* Ends all lookups of a channel with an error. */
void net_channel_cancel(struct net_channel *c, int why);
/* Makes sure that the driver runs. */
int net_channel_drive(struct net_channel *c) __attribute__((warn_unused_result));

/* Starts the lookup of an entry's name. When it has ended at once, e->lookup is NULL again. 0, -EAGAIN,
 * -ENOMEM or -ECANCELED; nothing is under way then. */
int net_lookup_start(struct net_channel *c, struct net_dns_entry *e) __attribute__((warn_unused_result));

#endif
