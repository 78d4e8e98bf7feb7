#include "net/dns_cache.h"

#include <assert.h>
#include <errno.h>

void net_cache_init(struct net_dns_cache *c, struct b_hash_key key) {
    b_map_init(&c->map, B_TAG_NET, key);
    b_list_init(&c->used);
}

static void drop(struct net_dns_cache *c, struct net_dns_entry *e) {
    assert(e->holds == 0 && !e->lookup);
    b_list_remove(&e->used);
    (void)b_map_remove(&c->map, e->name);
    b_free(e);
}

void net_cache_free(struct net_dns_cache *c) {
    while (!b_list_empty(&c->used))
        drop(c, B_CONTAINER(c->used.next, struct net_dns_entry, used));
    b_map_free(&c->map);
}

static bool make_room(struct net_dns_cache *c) {
    if (c->map.count < NET_DNS_NAMES)
        return true;
    B_LIST_EACH(n, &c->used) {
        struct net_dns_entry *e = B_CONTAINER(n, struct net_dns_entry, used);
        if (e->holds == 0) {
            drop(c, e);
            return true;
        }
    }
    return false;
}

static int add(struct net_dns_cache *c, struct b_slice name, struct net_dns_entry **out) {
    if (!make_room(c))
        return -EAGAIN;
    struct net_dns_entry *e = b_zalloc(B_TAG_NET, sizeof *e + name.len);
    if (!e)
        return -ENOMEM;
    memcpy(e->text, name.ptr, name.len);
    e->name = b_slice(e->text, name.len);
    e->retry_at = RT_NOWAIT;
    rt_cond_init(&e->done);
    if (b_map_put(&c->map, e->name, e) != 0) {
        b_free(e);
        return -ENOMEM;
    }
    b_list_push_back(&c->used, &e->used);
    *out = e;
    return 0;
}

int net_cache_take(struct net_dns_cache *c, struct b_slice name, struct net_dns_entry **out) {
    struct net_dns_entry *e = b_map_get(&c->map, name);
    if (!e)
        return add(c, name, out);
    b_list_remove(&e->used);
    b_list_push_back(&c->used, &e->used);
    *out = e;
    return 0;
}

bool net_entry_fresh(const struct net_dns_entry *e, rt_time now) {
    return e->count && now < e->expires;
}

bool net_entry_usable(const struct net_dns_entry *e, rt_time now) {
    return e->count && now < rt_after(e->expires, NET_DNS_STALE_MAX);
}

void net_entry_answer(struct net_dns_entry *e, rt_time now, const struct net_peer *list, unsigned count,
                      rt_time ttl) {
    assert(count > 0 && count <= NET_ADDRESSES_MAX);
    if (ttl < NET_DNS_TTL_MIN)
        ttl = NET_DNS_TTL_MIN;
    memcpy(e->list, list, count * sizeof *list);
    e->count = count;
    e->expires = rt_after(now, rt_earlier(ttl, NET_DNS_TTL_MAX));
    e->retry_at = RT_NOWAIT;
    e->error = 0;
    e->failing = false;
    e->answers++;
    rt_cond_broadcast(&e->done);
}

void net_entry_fail(struct net_dns_entry *e, rt_time now, int error) {
    e->error = error;
    e->answers++;
    if (error != -ECANCELED) {
        e->failing = true;
        e->retry_at = rt_after(now, NET_DNS_RETRY);
    }
    rt_cond_broadcast(&e->done);
}

/* --- the hosts file --- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static bool next_word(struct b_slice *rest, struct b_slice *word) {
    size_t at = 0, end;
    while (at < rest->len && is_blank(rest->ptr[at]))
        at++;
    for (end = at; end < rest->len && !is_blank(rest->ptr[end]);)
        end++;
    *word = b_slice(rest->ptr + at, end - at);
    *rest = b_slice_from(*rest, end);
    return word->len > 0;
}

static bool names(struct b_slice line, struct b_slice name) {
    struct b_slice word;
    while (next_word(&line, &word))
        if (b_slice_ieq(word, name))
            return true;
    return false;
}

unsigned net_hosts_find(struct b_slice file, struct b_slice name, struct net_peer *list, unsigned max) {
    struct b_slice line, word;
    unsigned count = 0;
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    while (count < max && b_slice_next(&file, '\n', &line)) {
        struct rt_sockaddr a;
        line.len = b_slice_find(line, '#');
        if (!next_word(&line, &word) || !names(line, name) || net_parse_ip(&a, word, 0) != 0)
            continue;
        net_peer_from(&list[count++], &a);
    }
    return count;
}
