/* A DNS server in a thread, on a UDP port of 127.0.0.1. What it answers is in the first label of the name,
 * unless the test sets a mode for all names. */
#ifndef UNIT_NET_DNS_SERVER_H
#define UNIT_NET_DNS_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum mode {
    BY_NAME,
    BOTH,    /* A 10.0.0.1 and 10.0.0.2, AAAA fd00::1 and fd00::2; any name that is not below */
    V4,      /* "v4": no AAAA records */
    V6,      /* "v6": no A records */
    MANY,    /* "many": 20 A and 20 AAAA records */
    ALIAS,   /* "alias": a CNAME with a TTL of 1 before each address */
    NX,      /* "nx": no such name */
    EMPTY,   /* "empty": no records at all */
    BROKEN,  /* "broken": SERVFAIL */
    GARBAGE, /* "garbage": bytes after a header that is right */
    CUT,     /* "cut": the answer ends in the middle of a record */
    SILENT,  /* "silent" */
    SILENT6, /* "silent6": A only */
    LATE6,   /* "late6": AAAA after 150 ms */
    BROKEN6, /* "broken6": SERVFAIL for AAAA */
    SLOW,    /* "slow": everything after 150 ms */
};

struct dns_server {
    pthread_t thread;
    int fd;
    char csv[32]; /* for net_dns_servers */
    _Atomic bool stop;
    _Atomic int mode;
    _Atomic uint32_t ttl;  /* seconds; 60 at start */
    _Atomic uint8_t third; /* of the addresses: 10.0.third.1; 0 at start */
    char last[256];        /* the name last asked for, as it travels; read it when no query is under way */
    _Atomic unsigned queries_a, queries_aaaa;
};

bool dns_server_start(struct dns_server *s);
void dns_server_stop(struct dns_server *s);

#endif
