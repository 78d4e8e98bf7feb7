#include "net/dns_records.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/number.h"
#include "net/dns_internal.h"
#include "runtime/worker.h"

/* --- the answer: RFC 1035 section 4 --- */

#define HEADER 12
#define TTL_MAX (1 << 24)

struct reader {
    const unsigned char *at, *begin, *end;
};

/* Takes a name, which may be compressed; *text is for ares_free_string, unless `text` is NULL. */
static bool take_name(struct reader *r, char **text) {
    char *name = NULL;
    long len = 0;
    int rc = ares_expand_name(r->at, r->begin, (int)(r->end - r->begin), &name, &len);
    if (rc != ARES_SUCCESS || len <= 0 || len > r->end - r->at) {
        if (rc == ARES_SUCCESS)
            ares_free_string(name);
        return false;
    }
    r->at += len;
    if (text)
        *text = name;
    else
        ares_free_string(name);
    return true;
}

static int add_record(struct net_records *out, unsigned *cap, struct b_arena *arena,
                      const struct net_record *rec) {
    if (out->count == NET_RECORDS_MAX)
        return 0;
    if (out->count == *cap) {
        unsigned more = *cap ? 2 * *cap : 16;
        struct net_record *list = b_arena_alloc(arena, more * sizeof *list);
        if (!list)
            return -ENOMEM;
        if (out->count)
            memcpy(list, out->list, out->count * sizeof *list);
        out->list = list;
        *cap = more;
    }
    out->list[out->count++] = *rec;
    return 0;
}

static int take_address(int family, struct b_slice data, struct b_arena *arena, struct net_record *rec) {
    char text[INET6_ADDRSTRLEN];
    if (data.len != (family == AF_INET ? 4u : 16u) || !inet_ntop(family, data.ptr, text, sizeof text))
        return -EIO;
    rec->host = b_arena_copy(arena, b_slice_cstr(text));
    return rec->host.ptr ? 0 : -ENOMEM;
}

static int take_service(const struct reader *r, struct b_slice data, struct b_arena *arena,
                        struct net_record *rec) {
    const unsigned char *p = (const unsigned char *)data.ptr;
    struct reader target = {.at = p + 6, .begin = r->begin, .end = r->end};
    char *name;
    if (data.len < 7 || !take_name(&target, &name))
        return -EIO;
    rec->priority = (uint16_t)b_u16(p);
    rec->weight = (uint16_t)b_u16(p + 2);
    rec->port = (uint16_t)b_u16(p + 4);
    rec->host = b_arena_copy(arena, b_slice_cstr(name));
    ares_free_string(name);
    return rec->host.ptr ? 0 : -ENOMEM;
}

/* One resource record; those of other types and classes are passed over. */
static int take_record(struct reader *r, enum net_record_type type, struct b_arena *arena,
                       struct net_records *out, unsigned *cap) {
    struct net_record rec = {0};
    if (!take_name(r, NULL) || r->end - r->at < 10)
        return -EIO;
    unsigned is = b_u16(r->at), class = b_u16(r->at + 2), len = b_u16(r->at + 8);
    uint32_t ttl = (uint32_t)b_u16(r->at + 4) << 16 | b_u16(r->at + 6);
    r->at += 10;
    if (len > r->end - r->at)
        return -EIO;
    struct b_slice data = b_slice(r->at, len);
    r->at += len;
    if (is != (unsigned)type || class != 1)
        return 0;
    int rc = type == NET_RECORD_SRV
                 ? take_service(r, data, arena, &rec)
                 : take_address(type == NET_RECORD_A ? AF_INET : AF_INET6, data, arena, &rec);
    rt_time span = (rt_time)(ttl > TTL_MAX ? 0 : ttl) * RT_S; /* RFC 2181 section 8: the top bit means 0 */
    out->ttl = out->count ? rt_earlier(out->ttl, span) : span;
    return rc ? rc : add_record(out, cap, arena, &rec);
}

int net_dns_parse(struct b_slice answer, enum net_record_type type, struct b_arena *arena,
                  struct net_records *out) {
    const unsigned char *p = (const unsigned char *)answer.ptr;
    struct reader r = {.at = p + HEADER, .begin = p, .end = p + answer.len};
    unsigned cap = 0;
    int rc = 0;
    *out = (struct net_records){0};
    if (answer.len < HEADER || answer.len > 65535)
        return -EIO;
    for (unsigned n = b_u16(p + 4); n--;) {
        if (!take_name(&r, NULL) || r.end - r.at < 4)
            return -EIO;
        r.at += 4;
    }
    for (unsigned n = b_u16(p + 6); n-- && rc == 0;)
        rc = take_record(&r, type, arena, out, &cap);
    return rc;
}

/* --- the question --- */

/* On the heap: when the caller has given up, the answer frees it. */
struct query {
    struct net_channel *channel;
    struct rt_fiber *fiber;
    enum net_record_type type;
    bool done, abandoned;
    int error;
    char *answer;
    size_t len;
    char name[NET_DNS_NAME_MAX + 1];
};

static int errno_of(int status) {
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA: return 0;
    case ARES_ENOTFOUND:
    case ARES_ENONAME: return -ENOENT;
    case ARES_EBADNAME: return -EINVAL;
    case ARES_ETIMEOUT: return -ETIMEDOUT;
    case ARES_ENOMEM: return -ENOMEM;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return -ECANCELED;
    default: return -EIO;
    }
}

static void answered(void *arg, int status, int timeouts, unsigned char *answer, int len) {
    struct query *q = arg;
    (void)timeouts;
    q->channel->lookups--;
    q->channel->dns->lookups--;
    if (q->abandoned) {
        b_free(q);
        return;
    }
    q->error = errno_of(status);
    if (status == ARES_SUCCESS && answer && len > 0) {
        q->answer = b_alloc(B_TAG_NET, (size_t)len);
        if (q->answer)
            memcpy(q->answer, answer, (size_t)len);
        q->len = (size_t)len;
        q->error = q->answer ? 0 : -ENOMEM;
    }
    q->done = true;
    rt_wake(q->fiber, 0);
}

/* On the big stack. */
static void ask(void *arg) {
    struct query *q = arg;
    ares_query(q->channel->ares, q->name, 1, (int)q->type, answered, q);
}

static int await(struct query *q, rt_time deadline) {
    int rc = 0;
    while (!q->done && rc == 0)
        rc = rt_park(deadline);
    return q->done ? q->error : rc;
}

static int query(struct net_dns *d, struct net_channel *c, struct query *q, rt_time deadline) {
    if (d->lookups >= NET_DNS_LOOKUPS)
        return -EAGAIN;
    int rc = net_channel_drive(c);
    if (rc)
        return rc;
    q->channel = c;
    q->fiber = rt_fiber_self();
    c->lookups++;
    d->lookups++;
    rt_on_big_stack(ask, q);
    return await(q, deadline);
}

int net_dns_records(struct b_slice name, enum net_record_type type, const char *servers,
                    struct b_arena *arena, rt_time deadline, struct net_records *out) {
    struct net_channel *c = NULL;
    struct net_dns *d = net_dns_own();
    *out = (struct net_records){0};
    if (!name.len || name.len > NET_DNS_NAME_MAX - 1)
        return -EINVAL;
    struct query *q = b_zalloc(B_TAG_NET, sizeof *q);
    int rc = d && q ? servers ? net_channel_open(d, servers, NULL, &c) : net_dns_channel(d, &c) : -ENOMEM;
    if (rc == 0) {
        memcpy(q->name, name.ptr, name.len);
        q->type = type;
        rc = query(d, c, q, deadline);
    }
    if (rc == 0 && q->answer)
        rc = net_dns_parse(b_slice(q->answer, q->len), type, arena, out);
    if (q && q->channel && !q->done) {
        q->abandoned = true;
    } else {
        b_free(q ? q->answer : NULL);
        b_free(q);
    }
    if (c && servers)
        net_channel_retire(c);
    return rc;
}
