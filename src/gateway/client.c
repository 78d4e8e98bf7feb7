/* Who asks: the peer, or, where a trusted proxy tells it, the client behind that. */
#include "gateway/conn.h"

const struct net_peer *gw_peer(const struct exchange *ex) {
    return &ex->conn->peer;
}

bool gw_is_trusted(const struct gw_snapshot *s, const struct net_peer *p) {
    CFG_EACH(const struct cfg_cidr, net, &s->root->trusted_proxies) {
        int family = net->kind == CFG_HOST_IPV4 ? AF_INET : AF_INET6;
        if (net_peer_in(p, family, net->ip, net->bits))
            return true;
    }
    return false;
}

bool gw_peer_trusted(const struct exchange *ex) {
    return gw_is_trusted(ex->snapshot, &ex->conn->peer);
}

/* An element of X-Forwarded-For: an address, with a port perhaps. */
static bool parse_hop(struct b_slice text, struct net_peer *out) {
    struct rt_sockaddr a;
    if (text.len && text.ptr[0] == '[') {
        size_t end = b_slice_find(text, ']');
        text = end < text.len ? b_slice(text.ptr + 1, end - 1) : b_slice(NULL, 0);
    } else if (b_slice_find(text, '.') < text.len) {
        text.len = b_slice_find(text, ':');
    }
    if (!text.len || net_parse_ip(&a, text, 0) != 0)
        return false;
    net_peer_from(out, &a);
    return true;
}

/* Takes the last element off a comma-separated list. */
static bool take_last(struct b_slice *list, struct b_slice *element) {
    *list = b_slice_trim(*list);
    if (!list->len)
        return false;
    size_t at = list->len;
    while (at && list->ptr[at - 1] != ',')
        at--;
    *element = b_slice_trim(b_slice_from(*list, at));
    list->len = at ? at - 1 : 0;
    return true;
}

/* Goes from the peer back along the fields, last line first, as long as what it meets is trusted. */
static void walk_back(const struct exchange *ex, struct net_peer *client) {
    const struct http_fields *fs = &ex->req.fields;
    for (unsigned i = fs->count; i--;) {
        if (fs->at[i].id != HTTP_FIELD_X_FORWARDED_FOR)
            continue;
        struct b_slice list = http_field_value(&fs->at[i]), element;
        while (take_last(&list, &element)) {
            struct net_peer hop;
            if (!parse_hop(element, &hop))
                return; /* whoever wrote that is the last one known */
            *client = hop;
            if (!gw_is_trusted(ex->snapshot, &hop))
                return;
        }
    }
}

void gw_client(const struct exchange *ex, struct net_peer *out) {
    *out = ex->conn->peer;
    if (http_fields_find(&ex->req.fields, HTTP_FIELD_X_FORWARDED_FOR) && gw_is_trusted(ex->snapshot, out))
        walk_back(ex, out);
}

struct b_slice gw_client_address(struct exchange *ex) {
    char text[NET_PEER_TEXT];
    struct net_peer client;
    gw_client(ex, &client);
    return b_arena_copy(&ex->call.arena, b_slice(text, net_peer_format_ip(&client, text)));
}
