#include "upstream/deny.h"

#include "base/log.h"
#include "net/address.h"
#include "upstream/cluster.h"

/* 169.254.169.254 and fd00:ec2::254 are where clouds keep credentials. */
static const char *const defaults[] = {"169.254.0.0/16", "fe80::/10", "fd00:ec2::254",  "0.0.0.0/8", "::",
                                       "224.0.0.0/4",    "ff00::/8",  "255.255.255.255"};

static void add(struct up_deny *d, const struct cfg_cidr *net) {
    if (d->count == UP_DENY_MAX)
        return;
    struct up_net *n = &d->nets[d->count++];
    memcpy(n->ip, net->ip, sizeof n->ip);
    n->bits = net->bits;
    n->family = net->kind == CFG_HOST_IPV4 ? AF_INET : AF_INET6;
}

void up_deny_set(struct up_deny *d, const struct cfg_upstream *conf) {
    d->count = 0;
    d->found = conf->discover.head.node != NULL;
    CFG_EACH(const struct cfg_cidr, net, &conf->deny)
        add(d, net);
    for (size_t i = 0; !conf->deny.node && i < sizeof defaults / sizeof defaults[0]; i++) {
        struct cfg_cidr net;
        if (!cfg_parse_cidr(b_slice_cstr(defaults[i]), &net))
            add(d, &net);
    }
}

bool up_deny_has(const struct up_deny *d, const struct rt_sockaddr *a) {
    struct net_peer p;
    net_peer_from(&p, a); /* an IPv4-mapped address is the IPv4 one */
    for (unsigned i = 0; i < d->count; i++)
        if (net_peer_in(&p, d->nets[i].family, d->nets[i].ip, d->nets[i].bits))
            return true;
    return false;
}

bool up_is_denied(struct up_endpoint *e, const struct rt_sockaddr *a, bool resolved) {
    struct up_cluster *c = e->cluster;
    pthread_mutex_lock(&c->lock);
    bool denied = (resolved || c->deny.found) && up_deny_has(&c->deny, a);
    pthread_mutex_unlock(&c->lock);
    if (denied && !atomic_exchange(&e->denied_told, true)) {
        char text[NET_ADDRESS_TEXT];
        (void)net_format(a, text);
        B_LOG(B_WARN, "upstream", "endpoint %s of upstream %s is not connected to: its address %s is denied",
              e->text, c->name, text);
    }
    return denied;
}
