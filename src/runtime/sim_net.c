/* The simulator's network: handles, connections, and the deliveries between their ends. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "runtime/sim_internal.h"

#define FIRST_HANDLE (1 << 20) /* no descriptor of the kernel: close(2) and the like by mistake fail */
#define HANDLES_MAX 65536
#define HEAP_MIN 16384 /* deliveries: more than are under way where allocations are made to fail */
#define RARE 50        /* one delivery in so many is late */

bool rt_sim_strikes(unsigned per_mille) {
    if (!per_mille || rt_sim_draw(1000) >= per_mille)
        return false;
    rt_sim_now.result.injected++;
    return true;
}

/* --- handles --- */

static struct rt_sim_handle *slot(int handle) {
    int i = handle - FIRST_HANDLE;
    return i >= 0 && i < rt_sim_now.handle_count ? &rt_sim_now.handles[i] : NULL;
}

struct rt_sim_end *rt_sim_end_of(int handle) {
    struct rt_sim_handle *h = slot(handle);
    return h ? h->end : NULL;
}

struct rt_sim_listener *rt_sim_listener_of(int handle) {
    struct rt_sim_handle *h = slot(handle);
    return h ? h->listener : NULL;
}

int rt_sim_handle_new(struct rt_sim_end *e, struct rt_sim_listener *l) {
    struct rt_sim *sim = &rt_sim_now;
    int i = 0;
    while (i < sim->handle_count && (sim->handles[i].end || sim->handles[i].listener))
        i++;
    if (i == HANDLES_MAX)
        return -EMFILE;
    if (i == sim->handle_count) {
        int count = i ? i * 2 : 64;
        struct rt_sim_handle *more = b_realloc(B_TAG_RUNTIME, sim->handles, (size_t)count * sizeof *more);
        if (!more)
            return -ENOMEM;
        memset(more + i, 0, (size_t)(count - i) * sizeof *more);
        sim->handles = more;
        sim->handle_count = count;
    }
    sim->handles[i] = (struct rt_sim_handle){.end = e, .listener = l};
    return FIRST_HANDLE + i;
}

static void free_handle(int handle) {
    *slot(handle) = (struct rt_sim_handle){0};
}

/* --- events --- */

void rt_sim_raise(struct rt_sim_source *source, unsigned events) {
    if (!source->stream || !events)
        return;
    if (!source->events)
        b_list_push_back(&rt_sim_now.events[source->stream->worker->index], &source->link);
    source->events |= events;
}

unsigned rt_sim_state(const struct rt_sim_end *e) {
    const struct rt_sim_end *peer = rt_sim_peer((struct rt_sim_end *)(uintptr_t)e);
    unsigned events = e->arrived || e->finished ? RT_STREAM_READABLE : 0;
    if (e->finished)
        events |= RT_STREAM_HUP;
    if (e->established && peer->used < peer->cap)
        events |= RT_STREAM_WRITABLE;
    if (e->reset || e->error)
        events |= RT_STREAM_READABLE | RT_STREAM_WRITABLE | RT_STREAM_HUP | RT_STREAM_ERROR;
    return events;
}

/* --- deliveries: a binary heap by time --- */

static bool before(const struct rt_sim_delivery *a, const struct rt_sim_delivery *b) {
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static int heap_grow(size_t cap) {
    struct rt_sim *sim = &rt_sim_now;
    struct rt_sim_delivery *more = b_realloc(B_TAG_RUNTIME, sim->heap, cap * sizeof *more);
    if (!more)
        return -ENOMEM;
    sim->heap = more;
    sim->heap_cap = cap;
    return 0;
}

int rt_sim_net_open(void) {
    return heap_grow(HEAP_MIN);
}

static void heap_push(struct rt_sim_delivery d) {
    struct rt_sim *sim = &rt_sim_now;
    if (sim->heap_count == sim->heap_cap) {
        int rc = heap_grow(sim->heap_cap * 2);
        assert(rc == 0 && "the simulator itself needs its memory");
    }
    size_t i = sim->heap_count++;
    for (; i && before(&d, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim->heap[i] = sim->heap[(i - 1) / 2];
    sim->heap[i] = d;
}

static struct rt_sim_delivery heap_pop(void) {
    struct rt_sim *sim = &rt_sim_now;
    struct rt_sim_delivery top = sim->heap[0], last = sim->heap[--sim->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < sim->heap_count; i = child) {
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &last))
            break;
        sim->heap[i] = sim->heap[child];
    }
    sim->heap[i] = last;
    return top;
}

static rt_time arrival(void) {
    uint64_t most = (uint64_t)rt_sim_now.delay_max;
    uint64_t usual = most / 10 + 1;
    return rt_after(rt_sim_now.now, (rt_time)rt_sim_draw(rt_sim_draw(RARE) ? usual : most + 1));
}

void rt_sim_send_to(struct rt_sim_end *e, enum rt_sim_kind kind, size_t bytes) {
    struct rt_sim_delivery d = {.conn = e->conn, .kind = (uint8_t)kind, .bytes = bytes};
    d.to = e == &e->conn->end[1];
    d.at = arrival();
    d.number = rt_sim_now.delivery_number++;
    /* a reset overtakes what it drops; all else keeps its order */
    if (kind != RT_SIM_RESET) {
        if (d.at < e->in_order)
            d.at = e->in_order;
        e->in_order = d.at;
    }
    e->conn->refs++;
    heap_push(d);
}

rt_time rt_sim_next_delivery(void) {
    return rt_sim_now.heap_count ? rt_sim_now.heap[0].at : RT_NEVER;
}

/* --- connections --- */

struct rt_sim_conn *rt_sim_conn_new(const struct rt_sockaddr *to) {
    struct rt_sim_conn *c = b_zalloc(B_TAG_RUNTIME, sizeof *c);
    if (!c)
        return NULL;
    c->to = *to;
    c->port = rt_sim_now.next_port++;
    c->refs = 1;
    b_list_init(&c->queued);
    for (int i = 0; i < 2; i++) {
        struct rt_sim_end *e = &c->end[i];
        e->conn = c;
        b_list_init(&e->source.link);
        e->cap = rt_sim_now.config->buffer_bytes;
        if (!e->cap) /* from a byte up, small ones as likely as large ones */
            e->cap = (size_t)1 + rt_sim_draw((uint64_t)1 << rt_sim_draw(17));
        e->ring = b_alloc(B_TAG_RUNTIME, e->cap);
    }
    c->end[0].open = true;
    if (c->end[0].ring && c->end[1].ring)
        return c;
    b_free(c->end[0].ring);
    b_free(c->end[1].ring);
    b_free(c);
    return NULL;
}

static void release(struct rt_sim_conn *c) {
    if (--c->refs)
        return;
    b_free(c->end[0].ring);
    b_free(c->end[1].ring);
    b_free(c);
}

static void drop_bytes(struct rt_sim_end *e) {
    e->held = e->arrived = 0;
}

void rt_sim_break(struct rt_sim_end *e) {
    e->reset = true;
    drop_bytes(e);
    rt_sim_raise(&e->source, rt_sim_state(e)); /* another fiber may wait on this end */
    rt_sim_send_to(rt_sim_peer(e), RT_SIM_RESET, 0);
}

/* As Linux does it: closing with bytes unread is a reset. */
void rt_sim_end_close(struct rt_sim_end *e, bool reset) {
    struct rt_sim_end *peer = rt_sim_peer(e);
    b_list_remove(&e->source.link);
    e->source.stream = NULL;
    e->source.events = 0;
    if (peer->open && !e->reset) {
        if (reset || e->arrived)
            rt_sim_send_to(peer, RT_SIM_RESET, 0);
        else if (!e->shut)
            rt_sim_send_to(peer, RT_SIM_FIN, 0);
    }
    e->open = false;
    drop_bytes(e);
    if (e->handle)
        free_handle(e->handle);
    e->handle = 0;
    release(e->conn);
}

/* --- listeners --- */

static bool same_address(const struct rt_sockaddr *a, const struct rt_sockaddr *b) {
    if (a->u.any.sa_family != b->u.any.sa_family)
        return false;
    if (a->u.any.sa_family == AF_INET)
        return a->u.in.sin_port == b->u.in.sin_port;
    if (a->u.any.sa_family == AF_INET6)
        return a->u.in6.sin6_port == b->u.in6.sin6_port;
    return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

static struct rt_sim_listener *find_listener(const struct rt_sockaddr *at) {
    for (int i = 0; i < rt_sim_now.handle_count; i++) {
        struct rt_sim_listener *l = rt_sim_now.handles[i].listener;
        if (l && same_address(&l->at, at))
            return l;
    }
    return NULL;
}

int rt_sim_listen(const struct rt_sockaddr *at, int backlog, int *handle) {
    if (find_listener(at))
        return -EADDRINUSE;
    struct rt_sim_listener *l = b_zalloc(B_TAG_RUNTIME, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->at = *at;
    l->backlog = backlog > 0 ? backlog : 1;
    b_list_init(&l->queue);
    b_list_init(&l->attachments);
    l->handle = rt_sim_handle_new(NULL, l);
    if (l->handle < 0) {
        int rc = l->handle;
        b_free(l);
        return rc;
    }
    *handle = l->handle;
    return 0;
}

void rt_sim_listener_close(struct rt_sim_listener *l) {
    assert(b_list_empty(&l->attachments) && "a listener is closed while a worker is attached");
    for (struct b_list *n; (n = b_list_pop_front(&l->queue));)
        rt_sim_end_close(&B_CONTAINER(n, struct rt_sim_conn, queued)->end[1], true);
    free_handle(l->handle);
    b_free(l);
}

struct rt_sim_attachment *rt_sim_attachment(struct rt_sim_listener *l, const struct rt_stream *s) {
    B_LIST_EACH(n, &l->attachments) {
        struct rt_sim_attachment *a = B_CONTAINER(n, struct rt_sim_attachment, link);
        if (a->source.stream == s)
            return a;
    }
    return NULL;
}

/* As EPOLLEXCLUSIVE does it: workers that are busy are told, up to the first that sleeps, whatever its fibers do. */
static void tell_acceptors(struct rt_sim_listener *l) {
    struct b_list *n = l->attachments.next;
    size_t count = 0;
    B_LIST_EACH(it, &l->attachments)
        count++;
    for (size_t skip = count ? rt_sim_draw(count) : 0; skip; skip--)
        n = n->next;
    for (; count; n = n->next) {
        if (n == &l->attachments)
            continue;
        struct rt_sim_attachment *a = B_CONTAINER(n, struct rt_sim_attachment, link);
        bool asleep = !rt_sim_can_run(a->source.stream->worker);
        rt_sim_raise(&a->source, RT_STREAM_READABLE);
        if (asleep)
            return;
        count--;
    }
}

static void open_arrives(struct rt_sim_conn *c) {
    struct rt_sim_listener *l = find_listener(&c->to);
    struct rt_sim_end *from = &c->end[0];
    if (!from->open)
        return;
    if (!l || l->length >= l->backlog) {
        rt_sim_send_to(from, RT_SIM_OPENED, ECONNREFUSED);
        return;
    }
    c->end[1].open = true;
    c->end[1].established = true;
    c->refs++;
    b_list_push_back(&l->queue, &c->queued);
    l->length++;
    rt_sim_send_to(from, RT_SIM_OPENED, 0);
    tell_acceptors(l);
}

static void opened_arrives(struct rt_sim_end *e, int error) {
    if (error)
        e->error = error;
    else
        e->established = true;
    rt_sim_raise(&e->source, rt_sim_state(e));
}

static void data_arrives(struct rt_sim_end *e, size_t bytes) {
    if (e->reset)
        return;
    if (!e->open) { /* nobody is there any more */
        rt_sim_send_to(rt_sim_peer(e), RT_SIM_RESET, 0);
        return;
    }
    e->arrived += bytes;
    rt_sim_raise(&e->source, RT_STREAM_READABLE);
}

static void room_arrives(struct rt_sim_end *e, size_t bytes) {
    struct rt_sim_end *peer = rt_sim_peer(e);
    peer->used -= bytes;
    if (e->starved && peer->used < peer->cap) {
        e->starved = false;
        rt_sim_raise(&e->source, RT_STREAM_WRITABLE);
    }
}

/* Unlike data, which Linux still lets be read after a reset, what is under way is lost. */
static void reset_arrives(struct rt_sim_end *e) {
    e->reset = true;
    e->held = e->arrived;
    rt_sim_raise(&e->source, rt_sim_state(e));
}

static void apply(const struct rt_sim_delivery *d) {
    struct rt_sim_end *e = &d->conn->end[d->to];
    if (d->kind == RT_SIM_OPEN) {
        open_arrives(d->conn);
    } else if (d->kind == RT_SIM_DATA) {
        data_arrives(e, d->bytes);
    } else if (e->open && d->kind == RT_SIM_RESET) {
        reset_arrives(e);
    } else if (e->open && !e->reset) {
        if (d->kind == RT_SIM_ROOM)
            room_arrives(e, d->bytes);
        else if (d->kind == RT_SIM_OPENED)
            opened_arrives(e, (int)d->bytes);
        else if (d->kind == RT_SIM_FIN) {
            e->finished = true;
            rt_sim_raise(&e->source, rt_sim_state(e));
        }
    }
    release(d->conn);
}

void rt_sim_deliver(void) {
    while (rt_sim_next_delivery() <= rt_sim_now.now) {
        struct rt_sim_delivery d = heap_pop();
        apply(&d);
    }
}

void rt_sim_net_free(void) {
    struct rt_sim *sim = &rt_sim_now;
    for (int i = 0; i < sim->handle_count; i++) {
        struct rt_sim_handle h = sim->handles[i];
        if (!h.end && !h.listener)
            continue;
        sim->result.handles++;
        if (h.listener) {
            while (!b_list_empty(&h.listener->attachments)) {
                struct b_list *n = b_list_pop_front(&h.listener->attachments);
                struct rt_sim_attachment *a = B_CONTAINER(n, struct rt_sim_attachment, link);
                b_list_remove(&a->source.link);
                b_free(a);
            }
            rt_sim_listener_close(h.listener);
        } else {
            rt_sim_end_close(h.end, false);
        }
    }
    while (sim->heap_count)
        release(heap_pop().conn);
    b_free(sim->handles);
    b_free(sim->heap);
}
