/*
 * A load generator with exact accounts: every request sent is answered and counted, or an error and counted.
 *
 * Closed loop by default: a connection sends its next request when it has the last answer. With -R it sends at a constant
 * rate, whatever the answers do, and a request's time runs from when it was due (no coordinated omission).
 *
 * At the end of a phase nothing new is sent and what is under way is waited for, so that the subject's own count and its
 * CPU time can be compared with the count printed here. With -s the program stops before and after the measured phase,
 * with all connections open and idle: it prints "ready" and "done", and waits for a line each time.
 */
#include "common.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <time.h>

enum {
    EVENTS_MAX = 256,
    THREADS_MAX = 64,
    CONNECTIONS_MAX = 200000,
    HEAD_BYTES_MAX = 4096,
    READ_BYTES = 128 * 1024,
    ALERTS_MAX = 1000,
    NUMBER_DIGITS = 12,
    GRACE_S = 10, /* how long answers are waited for after a phase */
};

enum error { ERROR_CONNECT, ERROR_CLOSED, ERROR_GARBAGE, ERROR_STATUS, ERROR_LENGTH, ERROR_TIMEOUT, ERRORS };
static const char *const error_names[ERRORS] = {"connect", "closed", "garbage",
                                                "status",  "length", "timeout"};

struct options {
    long connections, threads, port, alerts;
    double seconds, warmup_s, rate, stagger_ms, posts_percent;
    uint64_t requests_max;
    int64_t body_len; /* expected; -1: any */
    bool steps, close_each;
    const char *url;
};

/* Times in ns, logarithmic with 128 steps an octave: under 0.8 % off. */
enum { STEP_BITS = 7, STEPS = 1 << STEP_BITS, HISTOGRAM_SLOTS = (64 - STEP_BITS + 1) * STEPS };

struct counts {
    uint64_t requests;  /* answered with 200 and the right length */
    uint64_t in_window; /* of those, before the phase's end */
    uint64_t errors[ERRORS], unsent, reconnects, bytes;
    uint64_t posts, bad_posts; /* sent; and those of the errors that were POSTs */
    uint64_t sum_ns, max_ns, first_done_ns, last_done_ns;
    uint64_t histogram[HISTOGRAM_SLOTS];
};

struct conn {
    int fd; /* -1: could not connect */
    bool in_flight, in_body, close_after;
    bool post;
    bool bad; /* an answer that is read to its end but counts as an error already */
    uint64_t started_ns, body_left;
    size_t head_len;
    struct conn *next_idle;
    char head[HEAD_BYTES_MAX]; /* the part of a head that came alone */
};

struct phase {
    uint64_t start_ns, end_ns;
    uint64_t requests_max;
};

struct worker {
    pthread_t thread;
    int epoll;
    long index;
    struct conn *conns;
    long conns_len;
    struct conn *idle_first, *idle_last; /* first in, first out: every connection gets its turn */
    uint64_t in_flight, left;            /* `left`: requests that may still be sent */
    uint64_t arrivals_left, next_arrival_ns;
    double arrival_ns, interval_ns, post_share;
    struct phase phase;
    struct counts counts;
    char *buffer; /* HEAD_BYTES_MAX for a head's first part, then READ_BYTES */
};

struct head {
    size_t len;
    int status;
    int64_t body_len;
    bool close;
};

static struct options options = {.connections = 64, .threads = 2, .seconds = 5, .body_len = -1};
static char request[2048];
static size_t request_len;
static char post_format[2048]; /* with a place for the number */
static _Atomic uint64_t post_number;
static struct alerts {
    char *text; /* a whole request */
    size_t len;
    size_t numbers[ALERTS_MAX]; /* where the numbers stand by which alerts differ */
    size_t starts[ALERTS_MAX];  /* and their time of start */
} alerts;
static pthread_barrier_t barrier;
static struct phase next_phase;

/* ---- histogram ---- */

static size_t slot_of(uint64_t ns) {
    if (ns < STEPS)
        return ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    return ((size_t)(shift + 1) << STEP_BITS) + ((ns >> shift) & (STEPS - 1));
}

/* The middle of a slot. */
static uint64_t slot_value(size_t slot) {
    if (slot < STEPS)
        return slot;
    unsigned shift = (unsigned)(slot >> STEP_BITS) - 1;
    uint64_t low = (uint64_t)(STEPS + (slot & (STEPS - 1))) << shift;
    return low + (((uint64_t)1 << shift) >> 1);
}

static double percentile_us(const struct counts *counts, double part) {
    uint64_t seen = 0, wanted = (uint64_t)(part * (double)counts->requests);
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += counts->histogram[i];
        if (seen > wanted)
            return (double)(slot_value(i) < counts->max_ns ? slot_value(i) : counts->max_ns) / 1e3;
    }
    return (double)counts->max_ns / 1e3;
}

static void add_counts(struct counts *sum, const struct counts *one) {
    sum->requests += one->requests;
    sum->in_window += one->in_window;
    sum->unsent += one->unsent;
    sum->posts += one->posts;
    sum->bad_posts += one->bad_posts;
    sum->reconnects += one->reconnects;
    sum->bytes += one->bytes;
    sum->sum_ns += one->sum_ns;
    for (size_t i = 0; i < ERRORS; i++)
        sum->errors[i] += one->errors[i];
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++)
        sum->histogram[i] += one->histogram[i];
    if (one->max_ns > sum->max_ns)
        sum->max_ns = one->max_ns;
    if (!sum->first_done_ns || (one->first_done_ns && one->first_done_ns < sum->first_done_ns))
        sum->first_done_ns = one->first_done_ns;
    if (one->last_done_ns > sum->last_done_ns)
        sum->last_done_ns = one->last_done_ns;
}

/* ---- response head ---- */

static bool field_is(const char *line, const char *end, const char *name) {
    size_t len = strlen(name);
    return (size_t)(end - line) > len && strncasecmp(line, name, len) == 0;
}

static int64_t parse_length(const char *digits, const char *end) {
    int64_t length = 0;
    while (digits < end && (*digits == ' ' || *digits == '\t'))
        digits++;
    if (digits == end)
        return -1;
    for (; digits < end; digits++) {
        if (*digits < '0' || *digits > '9' || length > INT64_MAX / 100)
            return -1;
        length = length * 10 + (*digits - '0');
    }
    return length;
}

static void parse_field(struct head *head, const char *line, const char *end) {
    if (field_is(line, end, "content-length:"))
        head->body_len = parse_length(line + strlen("content-length:"), end);
    else if (field_is(line, end, "connection:"))
        head->close = memmem(line, (size_t)(end - line), "close", 5) != NULL;
}

/* 1: a head; 0: not whole yet; -1: not one. Bodies must have a Content-Length: a subject that changes the framing shows. */
static int parse_head(const char *data, size_t len, struct head *head) {
    const char *stop = memmem(data, len, "\r\n\r\n", 4);
    if (!stop)
        return len < HEAD_BYTES_MAX ? 0 : -1;
    *head = (struct head){.len = (size_t)(stop + 4 - data), .body_len = -1};
    if (head->len < 16 || memcmp(data, "HTTP/1.1 ", 9) != 0)
        return -1;
    head->status = (data[9] - '0') * 100 + (data[10] - '0') * 10 + (data[11] - '0');
    const char *line = (const char *)memchr(data, '\n', head->len) + 1;
    while (line < stop) {
        const char *end = memmem(line, (size_t)(stop + 2 - line), "\r\n", 2);
        parse_field(head, line, end);
        line = end + 2;
    }
    return head->body_len >= 0 ? 1 : -1;
}

/* ---- connections ---- */

static void open_conn(struct worker *w, struct conn *conn) {
    conn->head_len = 0;
    conn->in_body = conn->in_flight = conn->close_after = false;
    conn->fd = connect_to(options.port);
    if (conn->fd < 0) {
        w->counts.errors[ERROR_CONNECT]++;
        return;
    }
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
    watch(w->epoll, conn->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, conn);
}

static void reopen_conn(struct worker *w, struct conn *conn) {
    close(conn->fd);
    w->counts.reconnects++;
    open_conn(w, conn);
}

static void push_idle(struct worker *w, struct conn *conn) {
    conn->next_idle = NULL;
    if (w->idle_last)
        w->idle_last->next_idle = conn;
    else
        w->idle_first = conn;
    w->idle_last = conn;
}

static struct conn *pop_idle(struct worker *w) {
    struct conn *conn = w->idle_first;
    w->idle_first = conn->next_idle;
    if (!w->idle_first)
        w->idle_last = NULL;
    return conn;
}

static void next_on(struct worker *w, struct conn *conn);

static void fail(struct worker *w, struct conn *conn, enum error error) {
    w->counts.errors[error]++;
    w->counts.bad_posts += conn->in_flight && conn->post;
    if (conn->in_flight)
        w->in_flight--;
    reopen_conn(w, conn);
    next_on(w, conn);
}

/* Every so many: the same share at each moment. */
static bool is_post(struct worker *w) {
    w->post_share += options.posts_percent / 100;
    if (w->post_share < 1)
        return false;
    w->post_share -= 1;
    return true;
}

/* A webhook of Alertmanager as it is sent, with as many alerts that nobody has seen before. */
static void make_alerts(const char *path) {
    char *body = NULL;
    size_t body_len = 0;
    FILE *out = open_memstream(&body, &body_len);
    fprintf(out, "{\"receiver\":\"weir\",\"status\":\"firing\",\"alerts\":[");
    for (long i = 0; i < options.alerts; i++) {
        fprintf(
            out,
            "%s{\"status\":\"firing\",\"labels\":{\"alertname\":\"HighLatency\",\"instance\":\"10.0.0.1:9100-",
            i ? "," : "");
        fflush(out);
        alerts.numbers[i] = body_len;
        fprintf(
            out,
            "%0*d\",\"job\":\"node\",\"severity\":\"page\",\"team\":\"checkout\"},\"annotations\":{"
            "\"description\":\"p99 of checkout is above 500 ms for ten minutes\",\"summary\":\"High latency\"},"
            "\"startsAt\":\"",
            NUMBER_DIGITS, 0);
        fflush(out);
        alerts.starts[i] = body_len;
        fprintf(
            out,
            "2026-01-01T00:00:00.000Z\",\"endsAt\":\"0001-01-01T00:00:00Z\","
            "\"generatorURL\":\"http://prometheus:9090/graph?g0.expr=latency\",\"fingerprint\":\"0123456789abcdef\"}");
    }
    fprintf(
        out,
        "],\"groupLabels\":{\"alertname\":\"HighLatency\"},\"commonLabels\":{\"alertname\":\"HighLatency\"},"
        "\"commonAnnotations\":{},\"externalURL\":\"http://alertmanager:9093\",\"version\":\"4\","
        "\"groupKey\":\"{}:{alertname=\\\"HighLatency\\\"}\",\"truncatedAlerts\":0}");
    fclose(out);
    char head[512];
    int head_len = snprintf(head, sizeof head,
                            "POST %s HTTP/1.1\r\nHost: bench\r\nUser-Agent: Alertmanager/0.25.0\r\n"
                            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                            path, body_len);
    alerts.len = (size_t)head_len + body_len;
    alerts.text = malloc(alerts.len);
    memcpy(alerts.text, head, (size_t)head_len);
    memcpy(alerts.text + head_len, body, body_len);
    for (long i = 0; i < options.alerts; i++) {
        alerts.numbers[i] += (size_t)head_len;
        alerts.starts[i] += (size_t)head_len;
    }
    free(body);
    atomic_store(&post_number,
                 (uint64_t)(now_ns() / 1000 % 100000) * 10000000); /* not those of another run */
}

static void write_now(char start[24]) {
    static _Thread_local time_t second;
    static _Thread_local char text[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        second = now.tv_sec;
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", gmtime(&second));
    }
    long ms = now.tv_nsec / 1000000;
    text[20] = (char)('0' + ms / 100);
    text[21] = (char)('0' + ms / 10 % 10);
    text[22] = (char)('0' + ms % 10);
    memcpy(start, text, 24);
}

static const char *next_alerts(void) {
    static _Thread_local char *text;
    uint64_t number = atomic_fetch_add(&post_number, (uint64_t)options.alerts);
    if (!text)
        text = memcpy(malloc(alerts.len), alerts.text, alerts.len);
    for (long i = 0; i < options.alerts; i++, number++) {
        uint64_t v = number;
        write_now(text + alerts.starts[i]);
        for (int at = NUMBER_DIGITS; at--; v /= 10)
            text[alerts.numbers[i] + (size_t)at] = (char)('0' + v % 10);
    }
    return text;
}

static void send_request(struct worker *w, struct conn *conn, uint64_t started_ns) {
    w->left--;
    w->in_flight++;
    conn->in_flight = true;
    conn->bad = false;
    conn->started_ns = started_ns;
    conn->post = is_post(w);
    char post[sizeof post_format + 32];
    const char *bytes = request;
    size_t len = request_len;
    if (alerts.text) {
        len = alerts.len;
        bytes = next_alerts();
        conn->post = true;
        w->counts.posts++;
    } else if (conn->post) {
        len = (size_t)snprintf(post, sizeof post, post_format, atomic_fetch_add(&post_number, 1));
        bytes = post;
        w->counts.posts++;
    }
    /* Smaller than any socket buffer. Where the peer has closed, the read that follows tells. */
    if (write(conn->fd, bytes, len) != (ssize_t)len && errno != EPIPE && errno != ECONNRESET)
        die("write");
}

/* A connection has no request under way: what it does next. One that could not connect stays out of this phase. */
static void next_on(struct worker *w, struct conn *conn) {
    if (conn->fd < 0)
        return;
    if (options.rate > 0 || w->left == 0) {
        push_idle(w, conn);
        return;
    }
    uint64_t now = now_ns();
    if (now < w->phase.end_ns)
        send_request(w, conn, now);
    else
        push_idle(w, conn);
}

static void record(struct worker *w, const struct conn *conn) {
    uint64_t now = now_ns(), took = now - conn->started_ns;
    struct counts *counts = &w->counts;
    counts->requests++;
    counts->in_window += now <= w->phase.end_ns;
    counts->histogram[slot_of(took)]++;
    counts->sum_ns += took;
    counts->last_done_ns = now;
    if (!counts->first_done_ns)
        counts->first_done_ns = now;
    if (took > counts->max_ns)
        counts->max_ns = took;
}

static void answered(struct worker *w, struct conn *conn) {
    w->in_flight--;
    conn->in_flight = conn->in_body = false;
    if (!conn->bad)
        record(w, conn);
    if (conn->close_after || options.close_each)
        reopen_conn(w, conn);
    next_on(w, conn);
}

static void start_body(struct worker *w, struct conn *conn, const struct head *head) {
    conn->in_body = true;
    conn->body_left = (uint64_t)head->body_len;
    conn->close_after = head->close;
    if (head->status != 200 || (options.body_len >= 0 && head->body_len != options.body_len))
        w->counts.bad_posts += conn->post;
    if (head->status != 200) {
        conn->bad = true;
        w->counts.errors[ERROR_STATUS]++;
    } else if (options.body_len >= 0 && head->body_len != options.body_len) {
        conn->bad = true;
        w->counts.errors[ERROR_LENGTH]++;
    }
}

/* True when the answer is complete. Keeps the part of a head that came alone. False with `*ok` unset: garbage. */
static bool take(struct worker *w, struct conn *conn, const char *data, size_t len, bool *ok) {
    if (!conn->in_body) {
        struct head head;
        int found = parse_head(data, len, &head);
        *ok = found >= 0;
        if (found == 0) {
            memcpy(conn->head, data, len);
            conn->head_len = len;
        }
        if (found <= 0)
            return false;
        conn->head_len = 0;
        start_body(w, conn, &head);
        data += head.len;
        len -= head.len;
    }
    /* One request is one answer: bytes after it belong to nothing. */
    *ok = len <= conn->body_left;
    conn->body_left -= *ok ? len : 0;
    return *ok && conn->body_left == 0;
}

/* Reads until a short read. A head's first part is laid before the new bytes. */
static void serve_readable(struct worker *w, struct conn *conn, bool hung_up) {
    for (;;) {
        char *room = w->buffer + HEAD_BYTES_MAX;
        ssize_t got = read(conn->fd, room, READ_BYTES);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            if (conn->in_flight) {
                fail(w, conn, ERROR_CLOSED);
            } else {
                close(conn->fd); /* an idle one: opened again when its turn comes */
                conn->fd = -1;
            }
            return;
        }
        bool ok = conn->in_flight;
        w->counts.bytes += (uint64_t)got;
        room = memcpy(room - conn->head_len, conn->head, conn->head_len);
        bool whole = ok && take(w, conn, room, (size_t)got + conn->head_len, &ok);
        if (!ok) {
            fail(w, conn, ERROR_GARBAGE);
            return;
        }
        if (whole) {
            conn->close_after |= hung_up;
            answered(w, conn);
        }
        if (whole || (got < READ_BYTES && !hung_up))
            return;
    }
}

/* ---- a phase ---- */

static void start_phase(struct worker *w) {
    double share = options.rate / (double)options.threads;
    w->phase = next_phase;
    memset(&w->counts, 0, sizeof w->counts);
    w->idle_first = w->idle_last = NULL;
    w->in_flight = 0;
    w->left = w->phase.requests_max / (uint64_t)options.threads;
    w->left += (uint64_t)w->index < w->phase.requests_max % (uint64_t)options.threads;
    for (long i = 0; i < w->conns_len; i++) {
        if (w->conns[i].fd < 0)
            open_conn(w, &w->conns[i]);
        if (w->conns[i].fd >= 0)
            push_idle(w, &w->conns[i]);
    }
    w->interval_ns = share > 0 ? 1e9 / share : options.stagger_ms * 1e6 / (double)w->conns_len;
    double seconds = (double)(w->phase.end_ns - w->phase.start_ns) / 1e9;
    w->arrivals_left = share > 0 ? (uint64_t)(share * seconds) : (uint64_t)w->conns_len;
    if (w->arrivals_left > w->left)
        w->arrivals_left = w->left;
    /* Threads take turns, so that arrivals are even over all of them. */
    w->arrival_ns = (double)w->index * w->interval_ns / (double)options.threads;
    w->next_arrival_ns = w->phase.start_ns + (uint64_t)w->arrival_ns;
}

static void send_due(struct worker *w) {
    while (w->arrivals_left > 0 && w->left > 0 && w->idle_first) {
        uint64_t now = now_ns();
        if (w->next_arrival_ns > now)
            return;
        struct conn *conn = pop_idle(w);
        if (conn->fd < 0)
            open_conn(w, conn);
        if (conn->fd < 0)
            continue;
        send_request(w, conn, options.rate > 0 ? w->next_arrival_ns : now);
        w->arrivals_left--;
        w->arrival_ns += w->interval_ns;
        w->next_arrival_ns = w->phase.start_ns + (uint64_t)w->arrival_ns;
    }
}

/* Nothing under way and nothing to come. A closed loop sends no first requests after its end; a rate owes all of them. */
static bool phase_over(struct worker *w) {
    uint64_t now = now_ns();
    if (now >= w->phase.end_ns + GRACE_S * UINT64_C(1000000000))
        return true;
    if (w->in_flight > 0)
        return false;
    return w->arrivals_left == 0 || w->left == 0 || !w->idle_first ||
           (options.rate <= 0 && now >= w->phase.end_ns);
}

static void wait_events(struct worker *w) {
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = now_ns(), until = w->phase.end_ns + GRACE_S * UINT64_C(1000000000);
    if (w->arrivals_left > 0 && w->idle_first)
        until = w->next_arrival_ns;
    uint64_t wait_ns = until > now ? until - now : 0;
    struct timespec timeout = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
    int ready = epoll_pwait2(w->epoll, events, EVENTS_MAX, &timeout, NULL);
    if (ready < 0 && errno != EINTR)
        die("epoll_pwait2");
    for (int i = 0; i < ready; i++) {
        struct conn *conn = events[i].data.ptr;
        if (conn->fd >= 0)
            serve_readable(w, conn, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    }
}

static void end_phase(struct worker *w) {
    w->counts.unsent = options.rate > 0 ? w->arrivals_left : 0;
    for (long i = 0; i < w->conns_len; i++) {
        if (w->conns[i].fd < 0 || !w->conns[i].in_flight)
            continue;
        w->counts.errors[ERROR_TIMEOUT]++;
        w->counts.bad_posts += w->conns[i].post;
        reopen_conn(w, &w->conns[i]);
    }
}

static void run_phase(struct worker *w) {
    start_phase(w);
    while (!phase_over(w)) {
        send_due(w);
        wait_events(w);
    }
    end_phase(w);
}

static void *worker_thread(void *arg) {
    struct worker *w = arg;
    prctl(PR_SET_TIMERSLACK, 1UL); /* the default of 50 us would show in the times of -R */
    for (long i = 0; i < w->conns_len; i++)
        open_conn(w, &w->conns[i]);
    for (int phase = 0; phase < 2; phase++) {
        pthread_barrier_wait(&barrier); /* connected, or the last phase done */
        pthread_barrier_wait(&barrier); /* main has set the next one */
        run_phase(w);
    }
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* ---- main ---- */

static void say_and_wait(const char *word) {
    char line[16];
    if (!options.steps)
        return;
    puts(word);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1); /* whoever measures has gone */
}

static void set_phase(double seconds, uint64_t requests_max) {
    next_phase.start_ns = now_ns();
    next_phase.end_ns = next_phase.start_ns + (uint64_t)(seconds * 1e9);
    next_phase.requests_max = requests_max;
}

static void start_workers(struct worker *workers) {
    for (long i = 0; i < options.threads; i++) {
        struct worker *w = &workers[i];
        w->index = i;
        w->epoll = new_epoll();
        w->conns_len = options.connections / options.threads + (i < options.connections % options.threads);
        w->conns = calloc((size_t)w->conns_len, sizeof *w->conns);
        w->buffer = malloc(HEAD_BYTES_MAX + READ_BYTES);
        if (!w->conns || !w->buffer || pthread_create(&w->thread, NULL, worker_thread, w) != 0)
            die("threads");
    }
}

static void print_result(const struct counts *sum, double seconds) {
    static const struct {
        const char *name;
        double part;
    } parts[] = {{"p50", .5}, {"p90", .9}, {"p95", .95}, {"p99", .99}, {"p99.9", .999}};
    uint64_t errors = sum->unsent;
    printf("{\"requests\": %lu, \"seconds\": %.6f, \"rps\": %.1f, \"bytes\": %lu, \"reconnects\": %lu,\n",
           sum->requests, seconds, seconds > 0 ? (double)sum->in_window / seconds : 0, sum->bytes,
           sum->reconnects);
    printf(" \"error_kinds\": {");
    for (size_t i = 0; i < ERRORS; i++) {
        printf("\"%s\": %lu, ", error_names[i], sum->errors[i]);
        errors += sum->errors[i];
    }
    printf("\"unsent\": %lu}, \"errors\": %lu, \"posts\": %lu, \"bad_posts\": %lu,\n \"latency_us\": {",
           sum->unsent, errors, sum->posts, sum->bad_posts);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        printf("\"%s\": %.1f, ", parts[i].name, percentile_us(sum, parts[i].part));
    printf("\"max\": %.1f, \"mean\": %.1f}}\n", (double)sum->max_ns / 1e3,
           sum->requests ? (double)sum->sum_ns / (double)sum->requests / 1e3 : 0);
}

/*
 * From the first answer to the phase's end, or to the last answer where the request limit ended it early. An origin that
 * delays its answers so costs no rate.
 */
static double counted_seconds(const struct counts *sum) {
    uint64_t end = next_phase.end_ns;
    if (options.requests_max && sum->last_done_ns && sum->last_done_ns < end)
        end = sum->last_done_ns;
    return sum->first_done_ns < end ? (double)(end - sum->first_done_ns) / 1e9 : 0;
}

static void run(void) {
    static struct worker workers[THREADS_MAX];
    static struct counts sum;
    pthread_barrier_init(&barrier, NULL, (unsigned)options.threads + 1);
    start_workers(workers);
    pthread_barrier_wait(&barrier);
    set_phase(options.warmup_s, options.warmup_s > 0 ? UINT64_MAX / 2 : 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    say_and_wait("ready");
    set_phase(options.seconds, options.requests_max ? options.requests_max : UINT64_MAX / 2);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    say_and_wait("done");
    for (long i = 0; i < options.threads; i++) {
        pthread_join(workers[i].thread, NULL);
        add_counts(&sum, &workers[i].counts);
    }
    print_result(&sum, counted_seconds(&sum));
}

static void set_url(const char *url) {
    static const char prefix[] = "http://127.0.0.1:";
    char *path;
    if (strncmp(url, prefix, sizeof prefix - 1) != 0)
        usage("-u http://127.0.0.1:PORT/PATH: other hosts are not for this");
    options.port = strtol(url + sizeof prefix - 1, &path, 10);
    if (options.port < 1 || options.port > 65535 || *path != '/' || strlen(path) > 1024)
        usage("-u http://127.0.0.1:PORT/PATH");
    request_len = (size_t)
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\nUser-Agent: load\r\nAccept: */*\r\n%s\r\n", path,
                 options.port, options.close_each ? "Connection: close\r\n" : "");
    if (strchr(path, '%'))
        usage("-u: without percent signs");
    snprintf(
        post_format, sizeof post_format,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\nUser-Agent: load\r\nX-Id: %%lu\r\nContent-Length: 0\r\n\r\n",
        path, options.port);
    if (options.alerts)
        make_alerts(path);
}

int main(int argc, char **argv) {
    static const char help[] =
        "-u URL [-c CONNECTIONS] [-t THREADS] [-d SECONDS] [-w WARMUP_SECONDS] [-n REQUESTS_MAX]\n"
        "       [-R REQUESTS_PER_SECOND] [-l BODY_BYTES] [-g STAGGER_MS: spread the first requests] [-s: stop for a line]\n"
        "       [-1: a new connection for each request] [-P PERCENT: so many are POSTs, with their number in X-Id]\n"
        "       [-A ALERTS: each is a webhook of Alertmanager with so many new alerts]";
    for (int option; (option = getopt(argc, argv, "u:c:t:d:w:n:R:l:g:P:A:s1")) != -1;) {
        switch (option) {
        case 'u': options.url = optarg; break;
        case 'c': options.connections = number_or_die(optarg, 1, CONNECTIONS_MAX); break;
        case 't': options.threads = number_or_die(optarg, 1, THREADS_MAX); break;
        case 'd': options.seconds = strtod(optarg, NULL); break;
        case 'w': options.warmup_s = strtod(optarg, NULL); break;
        case 'n': options.requests_max = (uint64_t)number_or_die(optarg, 1, LONG_MAX); break;
        case 'R': options.rate = strtod(optarg, NULL); break;
        case 'l': options.body_len = number_or_die(optarg, 0, LONG_MAX); break;
        case 'g': options.stagger_ms = strtod(optarg, NULL); break;
        case 'P': options.posts_percent = strtod(optarg, NULL); break;
        case 'A': options.alerts = number_or_die(optarg, 1, ALERTS_MAX); break;
        case 's': options.steps = true; break;
        case '1': options.close_each = true; break;
        default: usage(help);
        }
    }
    if (options.url)
        set_url(options.url);
    if (!options.url || optind != argc || options.seconds <= 0)
        usage(help);
    if (options.threads > options.connections)
        options.threads = options.connections;
    prepare_process();
    run();
    return 0;
}
