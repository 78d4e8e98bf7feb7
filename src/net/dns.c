#include "net/dns.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "net/dns_internal.h"
#include "runtime/worker.h"

#define CONFIG_PATH "/etc/resolv.conf"
#define HOSTS_PATH "/etc/hosts"
#define HOSTS_BYTES_MAX (4u << 20) /* a larger file is not looked at */
#define CHECK_EVERY (5 * RT_S)
/* How long a caller waits for a new answer when an old one is there (RFC 8767 section 5). */
#define PATIENCE (1800 * RT_MS)

/* Each worker uses its own place only; the counters are read by anyone. */
static struct net_dns *resolvers[RT_WORKERS_MAX];
static struct net_dns_counters counters[RT_WORKERS_MAX];

/* Tests' settings; the generation grows with each change. */
static char test_servers[256];
static const char *test_config;
static unsigned generation;

int net_dns_servers(const char *csv) {
    size_t len = csv ? strlen(csv) : 0;
    if (len >= sizeof test_servers)
        return -EINVAL;
    if (len)
        memcpy(test_servers, csv, len);
    test_servers[len] = '\0';
    generation++;
    return 0;
}

void net_dns_config_path(const char *path) {
    test_config = path;
    generation++;
}

/* --- the worker's resolver --- */

struct net_dns *net_dns_own(void) {
    unsigned index = rt_index();
    struct net_dns *d = resolvers[index];
    struct b_hash_key key;
    if (d)
        return d;
    d = b_zalloc(B_TAG_NET, sizeof *d);
    if (!d)
        return NULL;
    rt_random(&key, sizeof key);
    net_cache_init(&d->cache, key);
    b_list_init(&d->channels);
    d->counters = &counters[index];
    d->users = 1;
    resolvers[index] = d;
    return d;
}

void net_dns_release(struct net_dns *d) {
    if (--d->users)
        return;
    b_counter_sub(&d->counters->names, d->cache.map.count);
    net_cache_free(&d->cache);
    b_free(d);
}

void net_dns_close_worker(void) {
    struct net_dns *d = resolvers[rt_index()];
    if (!d)
        return;
    resolvers[rt_index()] = NULL;
    B_LIST_EACH(n, &d->channels) {
        struct net_channel *c = B_CONTAINER(n, struct net_channel, link);
        net_channel_cancel(c, -ECANCELED);
        net_channel_retire(c);
    }
    net_dns_release(d);
}

static struct net_dns_stamp stamp_of(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct net_dns_stamp){0};
    return (struct net_dns_stamp){st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_size, st.st_ino};
}

/* Lets the channel go when the configuration is no longer the one it was opened with. */
static void check_config(struct net_dns *d) {
    rt_time now = rt_now();
    if (d->generation == generation && !test_config && d->channel && now < rt_after(d->checked, CHECK_EVERY))
        return;
    struct net_dns_stamp stamp = stamp_of(test_config ? test_config : CONFIG_PATH);
    bool same = d->generation == generation && memcmp(&stamp, &d->stamp, sizeof stamp) == 0;
    if (d->channel && !same)
        net_channel_retire(d->channel);
    d->checked = now;
    d->stamp = stamp;
    d->generation = generation;
}

int net_dns_channel(struct net_dns *d, struct net_channel **out) {
    check_config(d);
    int rc =
        d->channel ? 0 : net_channel_open(d, *test_servers ? test_servers : NULL, test_config, &d->channel);
    *out = d->channel;
    return rc;
}

/* --- names that need no server --- */

static unsigned find_in_hosts(struct b_slice name, struct net_peer *list) {
    struct b_text text = b_text_heap(B_TAG_NET, HOSTS_BYTES_MAX);
    unsigned count = 0;
    ssize_t n = -1;
    int fd = open(HOSTS_PATH, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while (b_text_reserve(&text, 4096) && (n = read(fd, text.ptr + text.len, text.cap - text.len)) > 0)
        text.len += (size_t)n;
    close(fd);
    if (n == 0)
        count = net_hosts_find(b_text_slice(&text), name, list, NET_ADDRESSES_MAX);
    b_text_free(&text);
    return count;
}

/* RFC 6761 section 6.3: "localhost." and names under it are never asked for. */
static bool is_localhost(struct b_slice name) {
    const struct b_slice word = B_LIT("localhost");
    if (name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len < word.len || !b_slice_eq(b_slice_from(name, name.len - word.len), word))
        return false;
    return name.len == word.len || name.ptr[name.len - word.len - 1] == '.';
}

static void by_family(struct net_peer *list, unsigned count) {
    struct net_peer sorted[NET_ADDRESSES_MAX];
    unsigned n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < count; i++)
            if ((list[i].family == AF_INET) == (pass == 0))
                sorted[n++] = list[i];
    memcpy(list, sorted, count * sizeof *list);
}

static unsigned find_locally(struct b_slice name, struct net_peer *list) {
    unsigned count = find_in_hosts(name, list);
    if (count == 0 && is_localhost(name)) {
        list[count++] = (struct net_peer){.ip = {127, 0, 0, 1}, .family = AF_INET};
        if (net_has_ipv6())
            list[count++] = (struct net_peer){.ip = {[15] = 1}, .family = AF_INET6};
    }
    by_family(list, count);
    return count;
}

/* --- an answer for a caller --- */

static void fill(struct net_addresses *out, const struct net_dns_entry *e, uint16_t port, rt_time now) {
    out->count = e->count;
    out->stale = !net_entry_fresh(e, now);
    out->expires = out->stale ? rt_after(now, NET_DNS_RETRY) : e->expires;
    for (unsigned i = 0; i < e->count; i++)
        net_peer_to(&e->list[i], port, &out->list[i]);
}

/* Answers the entry from the hosts file, or starts a lookup. */
static int start(struct net_dns *d, struct net_dns_entry *e) {
    struct net_peer list[NET_ADDRESSES_MAX];
    struct net_channel *c;
    unsigned count = find_locally(e->name, list);
    if (count) {
        net_entry_answer(e, rt_now(), list, count, 0);
        return 0;
    }
    int rc = net_dns_channel(d, &c);
    return rc ? rc : net_lookup_start(c, e);
}

/* Waits for the lookup that is under way; not for long when there is an old answer to give. */
static int await(struct net_dns_entry *e, rt_time deadline) {
    rt_time now = rt_now();
    bool fallback = net_entry_usable(e, now);
    uint32_t seen = e->answers;
    int rc = 0;
    if (fallback)
        deadline = e->failing ? RT_NOWAIT : rt_earlier(deadline, rt_after(now, PATIENCE));
    while (rc == 0 && e->answers == seen)
        rc = rt_cond_wait(&e->done, deadline);
    if (rc == -ETIMEDOUT && fallback)
        e->failing = true;
    return rc;
}

static int refresh(struct net_dns *d, struct net_dns_entry *e, rt_time deadline) {
    if (e->lookup) {
        b_counter_add(&d->counters->joined, 1);
    } else {
        int rc = start(d, e);
        if (rc)
            return rc;
    }
    return e->lookup ? await(e, deadline) : 0;
}

static int answer(struct net_dns *d, struct net_dns_entry *e, uint16_t port, rt_time deadline,
                  struct net_addresses *out) {
    int rc = 0;
    if (net_entry_fresh(e, rt_now()))
        b_counter_add(&d->counters->hits, 1);
    else if (rt_now() >= e->retry_at)
        rc = refresh(d, e, deadline);
    if (rc == -ECANCELED)
        return rc;
    if (!net_entry_usable(e, rt_now())) {
        assert(rc || e->error);
        return rc ? rc : e->error;
    }
    fill(out, e, port, rt_now());
    if (out->stale)
        b_counter_add(&d->counters->stale, 1);
    return 0;
}

/* The name in lower case; false when it cannot be one. What a label may contain is left to the servers, its
 * length is not: 1 to 63 bytes (RFC 1035 section 2.3.4). */
static bool normalise(struct b_slice name, char key[NET_DNS_NAME_MAX]) {
    bool dot = name.len && name.ptr[name.len - 1] == '.';
    if (name.len < 1u + dot || name.len > NET_DNS_NAME_MAX - 1u + dot)
        return false;
    for (size_t i = 0, label = 0; i < name.len; i++) {
        label = name.ptr[i] == '.' ? 0 : label + 1;
        bool empty = name.ptr[i] == '.' && (i == 0 || name.ptr[i - 1] == '.');
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 127 || label > 63 || empty)
            return false;
        key[i] = b_lower(name.ptr[i]);
    }
    return true;
}

int net_resolve(struct b_slice name, uint16_t port, rt_time deadline, struct net_addresses *out) {
    char key[NET_DNS_NAME_MAX];
    struct net_dns_entry *e;
    *out = (struct net_addresses){.count = 1, .expires = RT_NEVER};
    if (net_parse_ip(&out->list[0], name, port) == 0)
        return 0;
    out->count = 0;
    if (!normalise(name, key))
        return -EINVAL;
    struct net_dns *d = net_dns_own();
    if (!d)
        return -ENOMEM;
    size_t before = d->cache.map.count;
    int rc = net_cache_take(&d->cache, b_slice(key, name.len), &e);
    b_counter_add(&d->counters->names, d->cache.map.count - before); /* may be a step back: it wraps */
    if (rc)
        return rc;
    d->users++;
    e->holds++;
    rc = answer(d, e, port, deadline, out);
    e->holds--;
    net_dns_release(d);
    return rc;
}

void net_dns_stats(struct net_dns_stats *out) {
    *out = (struct net_dns_stats){0};
    for (unsigned i = 0; i < RT_WORKERS_MAX; i++) {
        const struct net_dns_counters *c = &counters[i];
        out->lookups += b_counter_get(&c->lookups);
        out->hits += b_counter_get(&c->hits);
        out->joined += b_counter_get(&c->joined);
        out->stale += b_counter_get(&c->stale);
        out->failed += b_counter_get(&c->failed);
        out->names += b_counter_get(&c->names);
    }
}
