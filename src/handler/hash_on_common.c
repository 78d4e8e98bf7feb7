#include "handler/hash_on_common.h"

#include "base/siphash.h"
#include "runtime/worker.h"

/* The value behind NAME= among elements that `sep` parts; ptr NULL when it is not there. The first one counts. */
static struct b_slice find_pair(struct b_slice list, char sep, struct b_slice name) {
    struct b_slice item;
    while (b_slice_next(&list, sep, &item)) {
        item = b_slice_trim(item);
        if (item.len > name.len && item.ptr[name.len] == '=' && b_slice_starts(item, name))
            return b_slice_from(item, name.len + 1);
    }
    return b_slice(NULL, 0);
}

/* HTTP/2 may split a Cookie field (RFC 9113 section 8.2.3). */
static struct b_slice cookie(const struct http_fields *fs, struct b_slice name) {
    struct b_slice value = {0};
    for (struct http_field *f = NULL; !value.ptr && (f = http_fields_next(fs, HTTP_FIELD_COOKIE, f));)
        value = find_pair(http_field_value(f), ';', name);
    return value;
}

static struct b_slice header(const struct http_fields *fs, struct b_slice name) {
    const struct http_field *f = http_fields_find_name(fs, name);
    return f ? http_field_value(f) : b_slice(NULL, 0);
}

uint64_t hd_hash_on(struct exchange *ex, const struct cfg_hash_on *on) {
    static const struct b_hash_key key = {0x77656972, 1}; /* fixed, so that all instances agree */
    struct b_slice value = {0};
    struct net_peer client;
    switch (on->kind) {
    case CFG_HASH_IP:
        gw_client(ex, &client);
        value = b_slice(client.ip, sizeof client.ip);
        break;
    case CFG_HASH_PATH: value = ex->req.path; break;
    case CFG_HASH_HEADER: value = header(&ex->req.fields, on->name); break;
    case CFG_HASH_COOKIE: value = cookie(&ex->req.fields, on->name); break;
    case CFG_HASH_QUERY: value = find_pair(ex->req.query, '&', on->name); break;
    }
    return value.ptr ? b_siphash(key, value.ptr, value.len) : b_rng_next(&rt_self()->rng);
}
