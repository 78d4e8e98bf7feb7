#include <errno.h>

#include "base/number.h"
#include "upstream/discover.h"

#define DATA_MAX 65536

static struct b_slice text_of(const struct cfg_node *map, const char *const *names) {
    for (; *names; names++) {
        const struct cfg_node *n = cfg_node_get(map, *names);
        if (n && n->kind == CFG_SCALAR && n->text.len)
            return n->text;
    }
    return b_slice(NULL, 0);
}

/* As service registries write them: Curator and Spring Cloud say address and port, others host or ip. */
static bool add_map(struct up_found *f, const struct cfg_node *map) {
    static const char *const hosts[] = {"address", "host", "ip", NULL}, *const ports[] = {"port", NULL},
                             *const weights[] = {"weight", NULL};
    uint64_t port, weight = 1;
    if (!b_parse_u64(text_of(map, ports), &port) || port > 65535)
        return false;
    struct b_slice w = text_of(map, weights);
    if (w.ptr && (!b_parse_u64(w, &weight) || weight > 1000))
        return false;
    return up_found_add(f, text_of(map, hosts), (unsigned)port, (int64_t)weight);
}

/* HOST:PORT, [IPV6]:PORT */
static bool add_pair(struct up_found *f, struct b_slice data) {
    size_t colon = data.len;
    uint64_t port;
    while (colon && data.ptr[colon - 1] != ':')
        colon--;
    if (!colon || !b_parse_u64(b_slice_from(data, colon), &port) || port > 65535)
        return false;
    struct b_slice host = b_slice(data.ptr, colon - 1);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = b_slice(host.ptr + 1, host.len - 2);
    return up_found_add(f, host, (unsigned)port, 1);
}

bool up_found_node(struct up_found *f, struct b_slice data) {
    struct cfg_errors errors;
    while (data.len && (data.ptr[data.len - 1] == '\n' || data.ptr[data.len - 1] == ' '))
        data.len--;
    if (!data.len || data.len > DATA_MAX)
        return false;
    if (data.ptr[0] != '{')
        return add_pair(f, data);
    cfg_errors_init(&errors);
    const struct cfg_node *map = cfg_load_map(data, &f->arena, &errors);
    bool ok = map && add_map(f, map);
    cfg_errors_free(&errors);
    return ok;
}
