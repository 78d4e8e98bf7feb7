#include "telemetry/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/list.h"
#include "runtime/thread.h"
#include "telemetry/memory.h"

#define NAP_MS 5     /* the writer's pause after a write: lines gather, and no producer has to wake it */
#define STALL_MS 100 /* how often a writer that waits for its reader looks whether it may still wait */

/* head <= tail; both only grow, and are taken modulo the size. The producer publishes whole lines by storing
 * tail. */
struct producer {
    _Alignas(TEL_CACHE_LINE) _Atomic uint64_t tail; /* by the producer */
    uint64_t head_seen;                             /* what the producer last knew of head */
    char *bytes;   /* made at the first line; the writer looks at it only behind a tail that has moved */
    char *scratch; /* likewise, the producer's only */
    struct b_counter dropped;
    _Alignas(TEL_CACHE_LINE) _Atomic uint64_t head; /* by the writer */
    uint64_t taken; /* up to where the batch in hand goes; the writer's only */
};

struct tel_ring {
    struct tel_ring_options options;
    size_t size;                /* of each ring, a power of two */
    struct producer *producers; /* options.producers, and one more for all other threads */
    pthread_mutex_t shared;     /* held by the producer of that last one */
    struct b_log_sink sink;

    int wake_fd, done_fd;
    _Atomic bool asleep; /* the writer wants a signal for the next line; it has seen all rings empty since */
    _Atomic bool reopen, stopping, abandoned;
    _Atomic bool is_log; /* it carries weir's own log, and so does not complain there */
    bool started;
    struct rt_thread thread;

    /* the writer's only */
    int fd;
    struct iovec *iov;
    char marker[64];
    uint64_t reported;   /* drops that a marker has told of */
    uint64_t complained; /* wall clock of the last message about a failed write */
    bool failing;        /* the last write failed */
    bool torn;           /* what was written ends inside a line */
    struct b_counter lost, written;
};

/* ---- producers ---- */

static void wake(struct tel_ring *r) {
    uint64_t one = 1;
    ssize_t n = write(r->wake_fd, &one, sizeof one);
    (void)n; /* it fails only when the eventfd is up already */
}

static void wake_if_asleep(struct tel_ring *r) {
    /* sequentially consistent, like the store of the line before it and the writer's pair: one of the two
     * sees the other, so no line is left behind by a writer that falls asleep */
    if (atomic_load(&r->asleep) && atomic_exchange(&r->asleep, false))
        wake(r);
}

static bool drop(struct tel_ring *r, struct producer *p) {
    b_counter_add(&p->dropped, 1);
    wake_if_asleep(r);
    return false;
}

static bool append(struct tel_ring *r, struct producer *p, struct b_slice line) {
    uint64_t tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
    size_t half = r->size / 2;
    assert(line.len && line.ptr[line.len - 1] == '\n');
    if (tail - p->head_seen + line.len > half)
        p->head_seen = atomic_load_explicit(&p->head, memory_order_acquire);
    size_t used = (size_t)(tail - p->head_seen);
    if (line.len > r->size - used)
        return drop(r, p);
    if (!p->bytes && !(p->bytes = b_alloc(B_TAG_TELEMETRY, r->size)))
        return drop(r, p);
    size_t at = tail & (r->size - 1), first = r->size - at < line.len ? r->size - at : line.len;
    memcpy(p->bytes + at, line.ptr, first);
    memcpy(p->bytes, line.ptr + first, line.len - first);
    atomic_store(&p->tail, tail + line.len);
    if (used <= half && used + line.len > half)
        wake(r); /* do not let it nap on */
    else
        wake_if_asleep(r);
    return true;
}

/* The calling thread's producer; the shared one comes locked. */
static struct producer *enter(struct tel_ring *r) {
    unsigned i = r->options.producer ? r->options.producer() : r->options.producers;
    if (i < r->options.producers)
        return &r->producers[i];
    pthread_mutex_lock(&r->shared);
    return &r->producers[r->options.producers];
}

static void leave(struct tel_ring *r, const struct producer *p) {
    if (p == &r->producers[r->options.producers])
        pthread_mutex_unlock(&r->shared);
}

bool tel_ring_put(struct tel_ring *r, struct b_slice line) {
    struct producer *p = enter(r);
    bool ok = append(r, p, line);
    leave(r, p);
    return ok;
}

bool tel_ring_put_with(struct tel_ring *r, size_t max, void (*format)(struct b_text *line, const void *arg),
                       const void *arg) {
    struct producer *p = enter(r);
    bool ok = false;
    if (!p->scratch)
        p->scratch = b_alloc(B_TAG_TELEMETRY, max);
    if (p->scratch) {
        struct b_text line = b_text_fixed(p->scratch, max);
        format(&line, arg);
        ok = line.failed ? drop(r, p) : append(r, p, b_text_slice(&line));
    } else {
        ok = drop(r, p);
    }
    leave(r, p);
    return ok;
}

static void sink_write(const struct b_log_sink *sink, struct b_slice line) {
    (void)tel_ring_put(B_CONTAINER(sink, struct tel_ring, sink), line);
}

const struct b_log_sink *tel_ring_sink(struct tel_ring *r) {
    r->is_log = true;
    return &r->sink;
}

/* ---- the writer ---- */

/* Waits until fd is ready, at most ms (-1: for ever). */
static bool wait_fd(int fd, short events, int ms) {
    struct pollfd p = {.fd = fd, .events = events};
    /* lint: allow seam-call: a thread of its own waits, and never a fiber */
    return poll(&p, 1, ms) > 0;
}

static uint64_t dropped(const struct tel_ring *r) {
    uint64_t n = b_counter_get(&r->lost);
    for (unsigned i = 0; i <= r->options.producers; i++)
        n += b_counter_get(&r->producers[i].dropped);
    return n;
}

/* While writes fail, a marker waits for the next line: it is no reason to try again by itself. */
static bool has_work(struct tel_ring *r) {
    for (unsigned i = 0; i <= r->options.producers; i++) {
        struct producer *p = &r->producers[i];
        if (atomic_load(&p->tail) != atomic_load_explicit(&p->head, memory_order_relaxed))
            return true;
    }
    return !r->failing && dropped(r) != r->reported;
}

/* Collects the lines of all rings, and the marker last; *marked is the number of drops that it tells of. */
static int gather(struct tel_ring *r, uint64_t *marked) {
    static const char newline[] = "\n";
    int n = 0;
    for (unsigned i = 0; i <= r->options.producers; i++) {
        struct producer *p = &r->producers[i];
        uint64_t head = atomic_load_explicit(&p->head, memory_order_relaxed);
        p->taken = atomic_load_explicit(&p->tail, memory_order_acquire);
        size_t len = (size_t)(p->taken - head), at = head & (r->size - 1);
        size_t first = r->size - at < len ? r->size - at : len;
        if (len && n == 0 && r->torn)
            r->iov[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)newline, .iov_len = 1};
        if (len)
            r->iov[n++] = (struct iovec){.iov_base = p->bytes + at, .iov_len = first};
        if (len > first)
            r->iov[n++] = (struct iovec){.iov_base = p->bytes, .iov_len = len - first};
    }
    *marked = n || !r->failing ? dropped(r) - r->reported : 0;
    if (*marked) {
        struct b_text t = b_text_fixed(r->marker, sizeof r->marker);
        b_text_cstr(&t, r->options.text ? "-- lines dropped: " : "{\"dropped\":");
        b_text_u64(&t, *marked);
        b_text_cstr(&t, r->options.text ? "\n" : "}\n");
        r->iov[n++] = (struct iovec){.iov_base = r->marker, .iov_len = t.len};
    }
    return n;
}

static void release(struct tel_ring *r) {
    for (unsigned i = 0; i <= r->options.producers; i++)
        atomic_store_explicit(&r->producers[i].head, r->producers[i].taken, memory_order_release);
}

/* Takes n written bytes off the front of *iov and remembers whether they end a line. */
static void advance(struct tel_ring *r, struct iovec **iov, int *count, size_t n) {
    while (*count && n >= (*iov)->iov_len) {
        r->torn = ((const char *)(*iov)->iov_base)[(*iov)->iov_len - 1] != '\n';
        n -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (n) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
        r->torn = ((const char *)(*iov)->iov_base)[-1] != '\n';
    }
}

static uint64_t count_lines(const struct iovec *iov, int count) {
    uint64_t lines = 0;
    for (int i = 0; i < count; i++) {
        const char *at = iov[i].iov_base, *end = at + iov[i].iov_len;
        while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            lines++;
            at++;
        }
    }
    return lines;
}

/* Once a second at most, and never about the log itself. */
static void complain(struct tel_ring *r, int error) {
    uint64_t now = b_log_now_ns();
    if (r->is_log || now - r->complained < 1000000000u)
        return;
    r->complained = now;
    B_LOG(B_ERROR, "telemetry", "cannot write %s: %s; %llu lines are lost so far; requests go on",
          r->options.path ? r->options.path : r->options.name, strerror(error),
          (unsigned long long)dropped(r));
}

/* Waits for a reader that is slow. False when the error is another one, or waiting is over. */
static bool may_retry(struct tel_ring *r, int error) {
    bool may_wait = r->started && !atomic_load_explicit(&r->abandoned, memory_order_relaxed);
    if (error == EAGAIN && may_wait)
        (void)wait_fd(r->fd, POLLOUT, STALL_MS);
    return error == EINTR || (error == EAGAIN && may_wait);
}

/* Writes all of it, or drops and counts the rest. */
static void write_all(struct tel_ring *r, int count, uint64_t marked) {
    struct iovec *iov = r->iov;
    while (count) {
        ssize_t n = writev(r->fd, iov, count);
        if (n > 0) {
            b_counter_add(&r->written, (uint64_t)n);
            advance(r, &iov, &count, (size_t)n);
        } else if (!may_retry(r, n < 0 ? errno : ENOSPC)) {
            int error = n < 0 ? errno : ENOSPC;
            uint64_t lines = count_lines(iov, count);
            b_counter_add(&r->lost,
                          lines - (marked ? 1 : 0)); /* the marker is the last, and no line of anybody */
            r->failing = true;
            complain(r, error);
            return;
        }
    }
    r->reported += marked;
    r->failing = false;
}

static void open_again(struct tel_ring *r) {
    if (!atomic_exchange_explicit(&r->reopen, false, memory_order_relaxed) || !r->options.path)
        return;
    int fd = open(r->options.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0) {
        complain(r, errno);
        return;
    }
    close(r->fd);
    r->fd = fd;
    r->torn = false;
}

/* False: there was nothing to do. */
static bool drain(struct tel_ring *r) {
    uint64_t marked;
    open_again(r);
    int count = gather(r, &marked);
    if (count == 0)
        return false;
    write_all(r, count, marked);
    release(r);
    return true;
}

size_t tel_ring_drain(struct tel_ring *r) {
    uint64_t before = b_counter_get(&r->written);
    if (!r->started)
        (void)drain(r);
    return (size_t)(b_counter_get(&r->written) - before);
}

/* Until a producer, tel_ring_reopen or tel_ring_stop signals, at most ms. */
static void rest(struct tel_ring *r, int ms) {
    uint64_t sum;
    if (wait_fd(r->wake_fd, POLLIN, ms)) {
        ssize_t n = read(r->wake_fd, &sum, sizeof sum);
        (void)n; /* nobody else reads, so it is there */
    }
}

static void fall_asleep(struct tel_ring *r) {
    atomic_store(&r->asleep, true);
    if (!has_work(r) && !atomic_load(&r->stopping) && !atomic_load(&r->reopen))
        rest(r, -1);
    atomic_store(&r->asleep, false);
}

/* rt_thread_start has blocked SIGPIPE: a reader that has gone is EPIPE. */
static void writer(void *arg) {
    struct tel_ring *r = arg;
    while (!atomic_load(&r->stopping)) {
        if (drain(r))
            rest(r, NAP_MS);
        else
            fall_asleep(r);
    }
    drain(r); /* no producer is left, so once is all */
    uint64_t one = 1;
    ssize_t n = write(r->done_fd, &one, sizeof one);
    (void)n;
}

void tel_ring_reopen(struct tel_ring *r) {
    atomic_store(&r->reopen, true);
    wake(r);
}

/* ---- life ---- */

static void destroy(struct tel_ring *r) {
    for (unsigned i = 0; r->producers && i <= r->options.producers; i++) {
        b_free(r->producers[i].bytes);
        b_free(r->producers[i].scratch);
    }
    if (r->options.path && r->fd >= 0)
        close(r->fd);
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    if (r->done_fd >= 0)
        close(r->done_fd);
    pthread_mutex_destroy(&r->shared);
    tel_free_lines(r->producers);
    b_free(r->iov);
    b_free(r);
}

static size_t power_of_two(size_t wanted) {
    size_t size = TEL_RING_BYTES_MIN;
    while (size < wanted && size < ((size_t)1 << 30))
        size *= 2;
    return size;
}

static int open_all(struct tel_ring *r) {
    size_t rings = (size_t)r->options.producers + 1;
    r->producers = tel_alloc_lines(rings * sizeof *r->producers);
    r->iov = b_alloc(B_TAG_TELEMETRY, (2 * rings + 2) * sizeof *r->iov);
    if (!r->producers || !r->iov)
        return -ENOMEM;
    /* lint: allow seam-call: what the writer thread sleeps on; it is outside every loop */
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* lint: allow seam-call: as above */
    if (r->wake_fd < 0 || r->done_fd < 0)
        return -errno;
    r->fd = r->options.fd;
    if (r->options.path)
        r->fd = open(r->options.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    return r->fd < 0 ? -errno : 0;
}

int tel_ring_new(const struct tel_ring_options *options, struct tel_ring **out) {
    if (options->producers < 1 || options->producers > TEL_RING_PRODUCERS ||
        (!options->path && options->fd < 0))
        return -EINVAL;
    struct tel_ring *r = b_zalloc(B_TAG_TELEMETRY, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->options = *options;
    r->size = power_of_two(options->bytes ? options->bytes : TEL_RING_BYTES);
    r->sink.write = sink_write;
    r->fd = r->wake_fd = r->done_fd = -1;
    pthread_mutex_init(&r->shared, NULL);
    int rc = open_all(r);
    if (rc)
        destroy(r);
    else
        *out = r;
    return rc;
}

int tel_ring_start(struct tel_ring *r) {
    r->started = true; /* before the thread, which reads it */
    int rc = rt_thread_start(&r->thread, r->options.name, writer, r);
    if (rc)
        r->started = false;
    return rc;
}

int tel_ring_stop(struct tel_ring *r) {
    uint64_t before = dropped(r);
    if (!r->started) {
        drain(r);
    } else {
        atomic_store(&r->stopping, true);
        wake(r);
        if (!wait_fd(r->done_fd, POLLIN, TEL_RING_FLUSH_MS)) {
            atomic_store(&r->abandoned, true);
            if (!wait_fd(r->done_fd, POLLIN, 2 * STALL_MS))
                return -ETIMEDOUT;
        }
        rt_thread_join(&r->thread);
    }
    int rc = atomic_load(&r->abandoned) && dropped(r) != before ? -ETIMEDOUT : 0;
    destroy(r);
    return rc;
}

struct tel_ring_stat tel_ring_stat(const struct tel_ring *r) {
    return (struct tel_ring_stat){.dropped = dropped(r), .bytes = b_counter_get(&r->written)};
}

const char *tel_ring_name(const struct tel_ring *r) {
    return r->options.name;
}
