/*
 * The origin behind every subject: HTTP/1.1 with keep-alive and pipelining, answers made in advance, one read and one write
 * per request.
 *
 *   /SIZE            a body of SIZE bytes: /17 /1k /50k /1m
 *   /json/SIZE       the same as JSON, an object with an array of records; SIZE is 100 or more
 *   /delay/MS/SIZE   the same after MS milliseconds; /every/N/delay/MS/SIZE: only for one request in N
 */
#include "common.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/timerfd.h>

enum {
    REQUEST_BYTES_MAX = 8 * 1024, /* a head, or the part of a body read at once */
    BODY_BYTES_MAX = 64 * 1024 * 1024,
    ANSWERS_MAX = 64, /* different sizes asked for in one run */
    EVENTS_MAX = 256,
    THREADS_MAX = 64,
};

/* A whole response, made at the first request for its size and kept. */
struct answer {
    size_t body_len, len;
    bool json;
    char *bytes;
};

struct conn {
    int fd;
    bool hung_up, dead;
    bool busy;                   /* an answer is being delayed or written: the next request waits */
    const struct answer *answer; /* what is being written, from `sent` */
    size_t sent;
    uint64_t due_ns;  /* when a delayed answer goes out */
    size_t body_left; /* of a request's body, which is skipped */
    size_t in_len;
    struct conn *next_dead;
    char in[REQUEST_BYTES_MAX];
};

/* One per thread. Delayed connections are a binary heap on due_ns; the timer is set for the first. */
struct server {
    int epoll, timer;
    struct conn **delayed;
    size_t delayed_len, delayed_cap;
    struct conn *dead;
};

static struct answer answers[ANSWERS_MAX];
static size_t answers_len;
static pthread_mutex_t answers_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- answers ---- */

/* A catalogue as services send them: keys, short texts, numbers; the last text makes the length. */
static void fill_json(char *at, size_t len) {
    char record[160], *end = at + len;
    at += sprintf(at, "{\"id\":4711,\"items\":[");
    for (unsigned i = 0;; i++) {
        int n = sprintf(
            record,
            "%s{\"id\":%u,\"name\":\"item number %u\",\"price\":%u.%02u,\"stock\":{\"free\":%u,\"held\":%u},"
            "\"tags\":[\"new\",\"sale\"],\"active\":true}",
            i ? "," : "", 100000 + i, i, i % 90 + 10, i % 100, i % 7, i % 3);
        if (end - at < n + 40)
            break;
        memcpy(at, record, (size_t)n);
        at += n;
    }
    at += sprintf(at, "],\"note\":\"");
    memset(at, 'x', (size_t)(end - at) - 2);
    memcpy(end - 2, "\"}", 2);
}

static void fill_answer(struct answer *answer, size_t body_len, bool json) {
    char date[64], head[256];
    time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    int head_len = snprintf(head, sizeof head,
                            "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                            date, json ? "application/json" : "text/plain", body_len);
    answer->bytes = malloc((size_t)head_len + body_len);
    if (!answer->bytes)
        die("malloc");
    memcpy(answer->bytes, head, (size_t)head_len);
    if (json)
        fill_json(answer->bytes + head_len, body_len);
    for (size_t i = 0; !json && i < body_len; i++)
        answer->bytes[(size_t)head_len + i] = (char)('a' + i % 26);
    answer->json = json;
    answer->body_len = body_len;
    answer->len = (size_t)head_len + body_len;
}

/* NULL when too many different sizes were asked for. An entry never changes once answers_len covers it. */
static const struct answer *find_answer(size_t body_len, bool json) {
    const struct answer *found = NULL;
    size_t known = __atomic_load_n(&answers_len, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < known; i++)
        if (answers[i].body_len == body_len && answers[i].json == json)
            return &answers[i];
    pthread_mutex_lock(&answers_lock);
    for (size_t i = known; i < answers_len && !found; i++)
        if (answers[i].body_len == body_len && answers[i].json == json)
            found = &answers[i];
    if (!found && answers_len < ANSWERS_MAX) {
        fill_answer(&answers[answers_len], body_len, json);
        found = &answers[answers_len];
        __atomic_store_n(&answers_len, answers_len + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&answers_lock);
    return found;
}

/* ---- requests ---- */

/* Digits, then k or m for the SIZE; stops at anything else. False without a digit or beyond `max`. */
static bool parse_number(const char **cursor, size_t max, bool with_unit, size_t *value) {
    const char *p = *cursor;
    size_t number = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        number = number * 10 + (size_t)(*p - '0');
        if (number > max)
            return false;
    }
    if (with_unit && (*p == 'k' || *p == 'm'))
        number *= *p++ == 'k' ? 1024 : 1024 * 1024;
    *cursor = p;
    *value = number;
    return number <= max;
}

/* `path` ends in a space or '?', as in a request line. NULL: no such path. */
static const struct answer *route(const char *path, size_t *delay_ms) {
    size_t size;
    size_t every = 1;
    static size_t count; /* relaxed: it is to be one in N, not which */
    *delay_ms = 0;
    if (strncmp(path, "/every/", 7) == 0) {
        path += 7;
        if (!parse_number(&path, 1000000, false, &every) || every == 0)
            return NULL;
    }
    if (strncmp(path, "/delay/", 7) == 0) {
        path += 7;
        if (!parse_number(&path, 600000, false, delay_ms))
            return NULL;
    }
    if (every > 1 && __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED) % every != 0)
        *delay_ms = 0;
    bool json = strncmp(path, "/json/", 6) == 0;
    if (json)
        path += 5;
    if (*path++ != '/' || !parse_number(&path, BODY_BYTES_MAX, true, &size) || (*path != ' ' && *path != '?'))
        return NULL;
    return json && size < 100 ? NULL : find_answer(size, json);
}

/* Only requests that are not GET may have a body here, which spares the usual one the search. */
static size_t body_length(char *head) {
    if (strncmp(head, "GET ", 4) == 0)
        return 0;
    const char *field = strcasestr(head, "\r\ncontent-length:");
    if (!field)
        return 0;
    field += strlen("\r\ncontent-length:");
    field += strspn(field, " \t");
    size_t length;
    return parse_number(&field, BODY_BYTES_MAX, false, &length) ? length : 0;
}

/* ---- delays ---- */

static void set_timer(struct server *server) {
    struct itimerspec at = {0};
    if (server->delayed_len > 0) {
        at.it_value.tv_sec = (time_t)(server->delayed[0]->due_ns / 1000000000u);
        at.it_value.tv_nsec = (long)(server->delayed[0]->due_ns % 1000000000u);
    }
    timerfd_settime(server->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void grow_delayed(struct server *server) {
    if (server->delayed_len < server->delayed_cap)
        return;
    server->delayed_cap = server->delayed_cap ? server->delayed_cap * 2 : 1024;
    server->delayed = realloc(server->delayed, server->delayed_cap * sizeof(struct conn *));
    if (!server->delayed)
        die("realloc");
}

static void delay(struct server *server, struct conn *conn, size_t delay_ms) {
    conn->due_ns = now_ns() + delay_ms * 1000000u;
    grow_delayed(server);
    size_t at = server->delayed_len++;
    while (at > 0 && server->delayed[(at - 1) / 2]->due_ns > conn->due_ns) {
        server->delayed[at] = server->delayed[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    server->delayed[at] = conn;
    if (at == 0)
        set_timer(server);
}

static struct conn *pop_delayed(struct server *server) {
    struct conn *first = server->delayed[0];
    struct conn *last = server->delayed[--server->delayed_len];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < server->delayed_len &&
            server->delayed[child + 1]->due_ns < server->delayed[child]->due_ns)
            child++;
        if (child >= server->delayed_len || server->delayed[child]->due_ns >= last->due_ns)
            break;
        server->delayed[at] = server->delayed[child];
        at = child;
    }
    server->delayed[at] = last;
    return first;
}

/* ---- connections ---- */

/* Freed after the batch of events. A delayed one is still in the heap: it is freed when it comes out. */
static void kill_conn(struct server *server, struct conn *conn) {
    if (conn->dead)
        return;
    conn->dead = true;
    close(conn->fd);
    if (conn->due_ns)
        return;
    conn->next_dead = server->dead;
    server->dead = conn;
}

static void free_dead(struct server *server) {
    while (server->dead) {
        struct conn *conn = server->dead;
        server->dead = conn->next_dead;
        free(conn);
    }
}

/* Returns false when the connection is beyond use; `busy` stays while the socket is full. */
static bool write_answer(struct conn *conn) {
    const struct answer *answer = conn->answer;
    ssize_t sent = write(conn->fd, answer->bytes + conn->sent, answer->len - conn->sent);
    if (sent < 0)
        return errno == EAGAIN;
    conn->sent += (size_t)sent;
    if (conn->sent == answer->len) {
        conn->busy = false;
        conn->answer = NULL;
        conn->sent = 0;
    }
    return true;
}

static bool not_found(struct conn *conn) {
    static const char text[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    return write(conn->fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1;
}

/* `head` is a whole one, with a NUL after it. */
static bool answer_request(struct server *server, struct conn *conn, char *head) {
    size_t delay_ms;
    const char *path = strchr(head, ' ');
    conn->body_left = body_length(head);
    conn->answer = path ? route(path + 1, &delay_ms) : NULL;
    if (!conn->answer)
        return not_found(conn);
    conn->busy = true;
    if (delay_ms > 0) {
        delay(server, conn, delay_ms);
        return true;
    }
    return write_answer(conn);
}

static void drop_input(struct conn *conn, size_t len) {
    conn->in_len -= len;
    if (conn->in_len > 0)
        memmove(conn->in, conn->in + len, conn->in_len);
}

static void skip_body(struct conn *conn) {
    size_t skipped = conn->body_left < conn->in_len ? conn->body_left : conn->in_len;
    conn->body_left -= skipped;
    drop_input(conn, skipped);
}

/* Answers the requests that are there, one after the other. */
static bool serve_input(struct server *server, struct conn *conn) {
    while (!conn->busy) {
        skip_body(conn);
        char *end = memmem(conn->in, conn->in_len, "\r\n\r\n", 4);
        if (!end)
            return conn->in_len < REQUEST_BYTES_MAX - 1;
        /* The head becomes a string; its last line end is not needed. */
        end[2] = '\0';
        bool ok = answer_request(server, conn, conn->in);
        drop_input(conn, (size_t)(end + 4 - conn->in));
        if (!ok)
            return false;
    }
    return true;
}

/* Reads and answers until a short read says that nothing more is there. */
static bool serve_readable(struct server *server, struct conn *conn) {
    while (!conn->busy) {
        size_t room = REQUEST_BYTES_MAX - 1 - conn->in_len;
        ssize_t got = read(conn->fd, conn->in + conn->in_len, room);
        if (got < 0)
            return errno == EAGAIN;
        if (got == 0)
            return false;
        conn->in_len += (size_t)got;
        if (!serve_input(server, conn))
            return false;
        if ((size_t)got < room && !conn->hung_up)
            return true;
    }
    return true;
}

/* After an answer has gone out late: first what was read already, then what the socket holds. */
static bool resume(struct server *server, struct conn *conn) {
    return write_answer(conn) && (conn->busy || (serve_input(server, conn) && serve_readable(server, conn)));
}

static void serve_conn(struct server *server, struct conn *conn, uint32_t events) {
    bool ok = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->hung_up = true;
    if (conn->busy && !conn->due_ns && (events & EPOLLOUT))
        ok = resume(server, conn);
    else if (events & ~(uint32_t)EPOLLOUT)
        ok = serve_readable(server, conn);
    if (!ok || (events & EPOLLERR))
        kill_conn(server, conn);
}

static void serve_delayed(struct server *server) {
    uint64_t expirations, now = now_ns();
    if (read(server->timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
        die("timer");
    while (server->delayed_len > 0 && server->delayed[0]->due_ns <= now) {
        struct conn *conn = pop_delayed(server);
        conn->due_ns = 0;
        if (conn->dead)
            free(conn);
        else if (!resume(server, conn))
            kill_conn(server, conn);
    }
    set_timer(server);
}

static void *server_thread(void *arg) {
    struct server *server = arg;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int ready = epoll_wait(server->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            struct conn *conn = events[i].data.ptr;
            if (!conn)
                serve_delayed(server);
            else if (!conn->dead)
                serve_conn(server, conn, events[i].events);
        }
        free_dead(server);
    }
    return NULL;
}

static void start_server(struct server *server) {
    pthread_t thread;
    server->epoll = new_epoll();
    server->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (server->timer < 0)
        die("timerfd_create");
    watch(server->epoll, server->timer, EPOLLIN, NULL);
    if (pthread_create(&thread, NULL, server_thread, server) != 0)
        die("pthread_create");
}

/* Deals connections out in turn, so that every thread carries the same share. */
static void accept_forever(int listener, struct server *servers, long threads) {
    for (long turn = 0;; turn = (turn + 1) % threads) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                die("accept");
            continue;
        }
        struct conn *conn = calloc(1, sizeof *conn);
        if (!conn)
            die("calloc");
        conn->fd = fd;
        set_nodelay(fd);
        watch(servers[turn].epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, conn);
    }
}

int main(int argc, char **argv) {
    static const char help[] = "-p PORT [-t THREADS]";
    static struct server servers[THREADS_MAX];
    long port = 0, threads = 2;
    for (int option; (option = getopt(argc, argv, "p:t:")) != -1;) {
        switch (option) {
        case 'p': port = number_or_die(optarg, 1, 65535); break;
        case 't': threads = number_or_die(optarg, 1, THREADS_MAX); break;
        default: usage(help);
        }
    }
    if (!port || optind != argc)
        usage(help);
    prepare_process();
    int listener = listen_on(port, 0);
    for (long i = 0; i < threads; i++)
        start_server(&servers[i]);
    accept_forever(listener, servers, threads);
}
