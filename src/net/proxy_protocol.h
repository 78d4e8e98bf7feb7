/* The PROXY protocol, versions 1 and 2, as a load balancer sends it in front of a connection that it passes on: who the
 * client is. After HAProxy's proxy-protocol.txt (2020/03/05). */
#ifndef NET_PROXY_PROTOCOL_H
#define NET_PROXY_PROTOCOL_H

#include "net/address.h"

/* Of a header, TLVs included; the protocol allows 64 KiB, and senders need some hundred bytes. */
#define NET_PROXY_MAX 2048

/* Reads the header at the front of what a connection has sent so far: its length; 0 when it is not whole; -1 when it is none
 * (or too long, or its checksum is wrong), and *why says so. Then *client is who it names; unchanged when it names nobody
 * (LOCAL, as of health checks; UNKNOWN; families other than TCP and unix streams). Pure. */
ssize_t net_proxy_header(struct b_slice in, struct net_peer *client, const char **why)
    __attribute__((warn_unused_result));

#endif
