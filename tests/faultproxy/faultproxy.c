/*
 * faultproxy: a TCP proxy on loopback that does wrong on command.
 *
 * One thread, one epoll loop. Each endpoint forwards what it accepts to one origin and has one fault at a time, and beside it
 * a shape (latency, rate, drip) that its answers take. It reads no HTTP but the blank line that ends a head: bytes from the
 * client after bytes to it are a new request, what goes to it after that is the answer. Of requests that are not to be
 * repeated it keeps an account: who sends POSTs with `X-Id: NUMBER` learns how many came, and how many came twice.
 */
#include "faultproxy.h"

#include "../../bench/common.h"

#include <ctype.h>
#include <fcntl.h>
#include <getopt.h>

enum {
    EVENTS_MAX = 128,
    READ_BYTES = 32 * 1024,
    QUEUE_BYTES = 256 * 1024,
};
enum { IDS_MAX = 1 << 26 };
enum { FULL_BACKLOG = 0, BACKLOG = 4096 };

static const char help[] =
    "[--seed N] [--control PORT] NAME=PORT:ORIGIN_PORT ...\n\n"
    "Listens on 127.0.0.1:PORT (0: any) for each NAME, forwards to 127.0.0.1:ORIGIN_PORT, and takes commands on the control\n"
    "port (default: any), one a line, each answered by `ok` or `error: WHY`. Prints `control PORT`, then `NAME PORT` for each.\n"
    "\n"
    "  stats                       ok, and an object of all counters as JSON\n"
    "  forget                      which POSTs have come\n"
    "  quit                        ends the process\n"
    "  NAME clear                  no fault, no shape; what was held back goes on, what was swallowed is lost\n"
    "  NAME drop                   resets its connections, once\n"
    "  NAME chance PERCENT         how many of the connections or requests meet the fault; 100 again after `clear`\n"
    "\n"
    "shapes, of answers:\n"
    "  NAME latency MS [JITTER]    each piece comes later by MS and up to JITTER more\n"
    "  NAME rate BYTES             bytes a second for each connection\n"
    "  NAME drip MS                a byte each MS\n"
    "\n"
    "faults, each in place of the one before:\n"
    "  NAME refuse                 nobody listens; resets the connections there are\n"
    "  NAME blackhole [full]       accepts nothing and reads nothing; full: not even the kernel answers a connect\n"
    "  NAME hang [forward]         swallows requests; forward: the origin gets them, and its answers are swallowed\n"
    "  NAME rst accept             resets connections as they are accepted\n"
    "  NAME rst request            resets when a request comes, which is not forwarded\n"
    "  NAME rst answer N           forwards the request, and resets after N bytes of the answer\n"
    "  NAME cut N                  the same with a FIN\n"
    "  NAME halfclose              forwards the request, sends a FIN at once, reads on; the answer is lost\n"
    "  NAME garbage [N]            answers with N random bytes (1024) and a FIN; nothing is forwarded\n"
    "  NAME corrupt head|body [N]  changes the first byte of it, and each other with a chance of N in 1000 (10)";

/* Bytes on their way, to be sent from `due` on. */
struct piece {
    struct piece *next;
    uint64_t due_ns;
    size_t off, len;
    unsigned char bytes[];
};

/* One end of a pair; `out` is what is to be sent to it. */
struct end {
    struct watched watched;
    struct pair *pair;
    uint32_t events; /* as given to epoll */
    struct piece *out, **tail;
    size_t queued;
    uint64_t next_ns; /* a shape's pause ends */
    bool ended;       /* read 0 */
    bool fin_due;     /* a FIN goes out behind `out` */
    bool fin_sent;
};

struct pair {
    struct pair *next, *previous; /* of the endpoint */
    struct endpoint *endpoint;
    struct end client, origin;
    enum fault fault;  /* that this request met */
    uint64_t answered; /* bytes of the answer so far */
    bool asked;        /* a request has come */
    int blank;         /* how much of the blank line has been seen, 4: the head is over */
    bool touched;      /* a byte of this answer has been corrupted */
    bool quiet;        /* what comes from either side is swallowed, until it closes */
    bool dead;
};

struct endpoint endpoints[ENDPOINTS_MAX];
int endpoints_count, events_fd;
uint64_t posts, repeated;
static unsigned char seen[IDS_MAX / 8];
static struct pair *dead; /* freed after the batch of events, which may still name them */
static uint64_t random_state = 1;
static unsigned char scratch[READ_BYTES];

/* xorshift64*, Vigna 2016. */
static uint64_t random_u64(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Du;
}

static bool by_chance(double percent) {
    return percent >= 100 || (double)(random_u64() >> 11) / 0x1p53 * 100 < percent;
}

/* ---- pairs ---- */

static void reset_socket(int fd) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void kill_pair(struct pair *pair, bool reset) {
    if (pair->dead)
        return;
    pair->dead = true;
    pair->endpoint->open--;
    if (reset)
        reset_socket(pair->client.watched.fd);
    else
        close(pair->client.watched.fd);
    if (pair->origin.watched.fd >= 0)
        close(pair->origin.watched.fd);
    if (pair->previous)
        pair->previous->next = pair->next;
    else
        pair->endpoint->pairs = pair->next;
    if (pair->next)
        pair->next->previous = pair->previous;
    pair->next = dead;
    dead = pair;
}

static void free_pieces(struct end *end) {
    while (end->out) {
        struct piece *piece = end->out;
        end->out = piece->next;
        free(piece);
    }
    end->tail = &end->out;
    end->queued = 0;
}

static void free_dead(void) {
    while (dead) {
        struct pair *pair = dead;
        dead = pair->next;
        free_pieces(&pair->client);
        free_pieces(&pair->origin);
        free(pair);
    }
}

void reset_pairs(struct endpoint *endpoint) {
    while (endpoint->pairs)
        kill_pair(endpoint->pairs, true);
}

static struct end *other(struct end *end) {
    return end == &end->pair->client ? &end->pair->origin : &end->pair->client;
}

/* It is read while the other one has room, and written when it holds anything that nothing but the socket keeps back. */
static void watch_end(struct end *end, uint64_t now) {
    if (end->watched.fd < 0)
        return;
    bool frozen = end->pair->endpoint->fault == BLACKHOLE;
    uint32_t events = 0;
    if (!frozen && !end->ended && other(end)->queued < QUEUE_BYTES)
        events |= EPOLLIN;
    if (!frozen && end->out && end->out->due_ns <= now && end->next_ns <= now)
        events |= EPOLLOUT;
    if (events == end->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = &end->watched};
    if (epoll_ctl(events_fd, EPOLL_CTL_MOD, end->watched.fd, &event) < 0)
        die("epoll_ctl");
    end->events = events;
}

static void queue(struct end *end, const unsigned char *bytes, size_t len) {
    struct endpoint *endpoint = end->pair->endpoint;
    struct piece *piece = malloc(sizeof *piece + len);
    if (!piece)
        die("malloc");
    *piece = (struct piece){.len = len};
    memcpy(piece->bytes, bytes, len);
    if (end == &end->pair->client && (endpoint->latency_ns || endpoint->jitter_ns))
        piece->due_ns =
            now_ns() + endpoint->latency_ns + (endpoint->jitter_ns ? random_u64() % endpoint->jitter_ns : 0);
    *end->tail = piece;
    end->tail = &piece->next;
    end->queued += len;
}

/* How much of a piece may be sent now; sets when the next may. */
static size_t shaped(struct end *end, size_t len, uint64_t now) {
    struct endpoint *endpoint = end->pair->endpoint;
    if (end != &end->pair->client || (!endpoint->rate && !endpoint->drip_ns))
        return len;
    size_t most = 1;
    uint64_t pause = endpoint->drip_ns;
    if (!pause) {
        most = endpoint->rate < 100 ? 1 : endpoint->rate / 100;
        pause = most * 1000000000u / endpoint->rate;
    }
    end->next_ns = now + pause;
    return len < most ? len : most;
}

/* Sends what is due. False when the connection is beyond use. */
static bool flush_end(struct end *end, uint64_t now) {
    while (end->out && end->out->due_ns <= now && end->next_ns <= now) {
        struct piece *piece = end->out;
        ssize_t sent =
            write(end->watched.fd, piece->bytes + piece->off, shaped(end, piece->len - piece->off, now));
        if (sent < 0)
            return errno == EAGAIN;
        piece->off += (size_t)sent;
        end->queued -= (size_t)sent;
        *(end == &end->pair->client ? &end->pair->endpoint->bytes_down : &end->pair->endpoint->bytes_up) +=
            (uint64_t)sent;
        if (piece->off < piece->len)
            continue;
        if (!(end->out = piece->next))
            end->tail = &end->out;
        free(piece);
    }
    if (!end->out && end->fin_due && !end->fin_sent) {
        shutdown(end->watched.fd, SHUT_WR);
        end->fin_sent = true;
    }
    return true;
}

/* False: it is over, and the pair gone. */
static bool settle(struct pair *pair) {
    uint64_t now = now_ns();
    if (pair->dead)
        return false;
    bool frozen = pair->endpoint->fault == BLACKHOLE;
    bool sound = frozen || (flush_end(&pair->client, now) &&
                            (pair->origin.watched.fd < 0 || flush_end(&pair->origin, now)));
    if (!sound || (pair->client.ended && pair->client.fin_sent)) {
        kill_pair(pair, !sound && pair->fault == NONE);
        return false;
    }
    /* RST behind what was sent before: the peer may lose it, as it does on real networks. */
    if (pair->fault == RST_ANSWER && pair->answered >= pair->endpoint->argument && !pair->client.out &&
        pair->quiet) {
        kill_pair(pair, true);
        return false;
    }
    watch_end(&pair->client, now);
    watch_end(&pair->origin, now);
    return true;
}

static bool connect_origin(struct pair *pair) {
    int fd = connect_to(pair->endpoint->origin_port);
    if (fd < 0)
        return false;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    pair->origin.watched.fd = fd;
    watch(events_fd, fd, 0, &pair->origin.watched);
    return true;
}

/* ---- faults ---- */

static bool meets(struct endpoint *endpoint) {
    if (endpoint->fault == NONE || !by_chance(endpoint->chance))
        return false;
    endpoint->faults++;
    return true;
}

static void answer_garbage(struct pair *pair) {
    size_t len = pair->endpoint->argument < READ_BYTES ? pair->endpoint->argument : READ_BYTES;
    for (size_t i = 0; i < len; i++)
        scratch[i] = (unsigned char)random_u64();
    if (len)
        queue(&pair->client, scratch, len);
    pair->client.fin_due = pair->quiet = true;
}

void forget_posts(void) {
    posts = repeated = 0;
    memset(seen, 0, sizeof seen);
}

/* A head comes in one piece here; one that does not is not counted. */
static void count_post(const unsigned char *bytes, size_t len) {
    static const char name[] = "\r\nx-id: ";
    uint64_t id = 0;
    if (len < 5 || memcmp(bytes, "POST ", 5) != 0)
        return;
    for (const unsigned char *p = bytes, *end = bytes + len - (sizeof name - 1); p < end; p++) {
        if (strncasecmp((const char *)p, name, sizeof name - 1) != 0)
            continue;
        for (p += sizeof name - 1; p < bytes + len && isdigit(*p); p++)
            id = id * 10 + (uint64_t)(*p - '0');
        if (id >= IDS_MAX)
            return;
        posts++;
        repeated += seen[id / 8] >> id % 8 & 1;
        seen[id / 8] |= (unsigned char)(1 << id % 8);
        return;
    }
}

/* A request begins: what becomes of it. False when the pair is gone. */
static bool new_request(struct pair *pair, size_t len) {
    struct endpoint *endpoint = pair->endpoint;
    count_post(scratch, len);
    pair->asked = true;
    pair->answered = 0;
    pair->blank = 0;
    pair->touched = false;
    pair->fault = meets(endpoint) ? endpoint->fault : NONE;
    switch (pair->fault) {
    case RST_REQUEST: kill_pair(pair, true); return false;
    case HANG: pair->quiet = true; return true;
    case GARBAGE: answer_garbage(pair); return true;
    case HALF_CLOSE: pair->client.fin_due = true; break;
    default: break;
    }
    endpoint->requests++;
    return true;
}

static unsigned char flipped(unsigned char byte) {
    return byte ^ (unsigned char)(1 + random_u64() % 255);
}

/* Follows an answer to its blank line and changes what its fault says. */
static void follow_answer(struct pair *pair, unsigned char *bytes, size_t len) {
    static const char blank[] = "\r\n\r\n";
    for (size_t i = 0; i < len; i++) {
        enum fault mine = pair->blank == 4 ? CORRUPT_BODY : CORRUPT_HEAD;
        if (pair->blank < 4)
            pair->blank = bytes[i] == (unsigned char)blank[pair->blank] ? pair->blank + 1 : bytes[i] == '\r';
        if (pair->fault == mine && (!pair->touched || random_u64() % 1000 < pair->endpoint->argument)) {
            bytes[i] = flipped(bytes[i]);
            pair->touched = true;
        }
    }
}

static void take_answer(struct pair *pair, unsigned char *bytes, size_t len) {
    if (pair->fault == HANG_FORWARD || pair->fault == HALF_CLOSE)
        return;
    bool ends = pair->fault == RST_ANSWER || pair->fault == CUT;
    uint64_t room = ends ? pair->endpoint->argument - pair->answered : UINT64_MAX;
    if (ends && len >= room) {
        len = (size_t)room;
        pair->quiet = true;
        pair->client.fin_due = pair->fault == CUT;
    }
    follow_answer(pair, bytes, len);
    pair->answered += len;
    if (len)
        queue(&pair->client, bytes, len);
}

/* ---- events of pairs ---- */

/* False when the pair is gone. */
static bool take_bytes(struct end *from, size_t len) {
    struct pair *pair = from->pair;
    if (pair->quiet)
        return true;
    if (from == &pair->origin) {
        take_answer(pair, scratch, len);
        return true;
    }
    if (!pair->asked || pair->answered) {
        if (!new_request(pair, len))
            return false;
        if (pair->quiet)
            return true;
    }
    if (pair->origin.watched.fd < 0 && !connect_origin(pair)) {
        kill_pair(pair, true);
        return false;
    }
    queue(&pair->origin, scratch, len);
    return true;
}

/* The end of one direction is passed on; a client that has ended and got its end is done with. */
static void take_end(struct end *from) {
    struct pair *pair = from->pair;
    from->ended = true;
    other(from)->fin_due = true;
    if (from == &pair->client && (pair->origin.watched.fd < 0 || pair->quiet || pair->fault == HANG_FORWARD))
        pair->client.fin_due = true;
    if (from == &pair->origin && (pair->fault == HANG || pair->fault == HANG_FORWARD))
        pair->client.fin_due = pair->client.ended;
}

static void serve_end(struct end *end, uint32_t events) {
    struct pair *pair = end->pair;
    if (pair->dead)
        return;
    if ((events & (EPOLLERR | EPOLLHUP)) && (pair->endpoint->fault == BLACKHOLE || end->ended)) {
        kill_pair(pair, end == &pair->origin);
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        ssize_t got = read(end->watched.fd, scratch, sizeof scratch);
        if (got < 0 && errno != EAGAIN) {
            kill_pair(pair, end == &pair->origin);
            return;
        }
        if (got == 0)
            take_end(end);
        else if (got > 0 && !take_bytes(end, (size_t)got))
            return;
    }
    settle(pair);
}

static void accept_client(struct endpoint *endpoint) {
    int fd = accept4(endpoint->watched.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    endpoint->connections++;
    if (endpoint->fault == RST_ACCEPT && meets(endpoint)) {
        reset_socket(fd);
        return;
    }
    struct pair *pair = calloc(1, sizeof *pair);
    if (!pair)
        die("calloc");
    set_nodelay(fd);
    *pair = (struct pair){.endpoint = endpoint, .next = endpoint->pairs};
    pair->client = (struct end){.watched = {PAIR_END, fd}, .pair = pair, .tail = &pair->client.out};
    pair->origin = (struct end){.watched = {PAIR_END, -1}, .pair = pair, .tail = &pair->origin.out};
    if (pair->next)
        pair->next->previous = pair;
    endpoint->pairs = pair;
    endpoint->open++;
    watch(events_fd, fd, EPOLLIN, &pair->client.watched);
    pair->client.events = EPOLLIN;
}

/* When the next shaped byte is due. */
static uint64_t next_due(uint64_t now) {
    uint64_t soonest = UINT64_MAX;
    for (int i = 0; i < endpoints_count; i++) {
        for (struct pair *pair = endpoints[i].pairs; pair; pair = pair->next) {
            const struct end *end = &pair->client;
            if (!end->out || end->events & EPOLLOUT || endpoints[i].fault == BLACKHOLE)
                continue; /* the socket tells, or the end of the fault */
            uint64_t due = end->out->due_ns > end->next_ns ? end->out->due_ns : end->next_ns;
            soonest = due < soonest ? due : soonest;
        }
    }
    return soonest < now ? now : soonest; /* it may have come due since the last look */
}

static void send_due(uint64_t now) {
    for (int i = 0; i < endpoints_count; i++) {
        for (struct pair *pair = endpoints[i].pairs, *next; pair; pair = next) {
            next = pair->next;
            const struct end *end = &pair->client;
            if (end->out && end->out->due_ns <= now && end->next_ns <= now && !(end->events & EPOLLOUT))
                settle(pair);
        }
    }
}

/* ---- listening ---- */

static void watch_listener(struct endpoint *endpoint, bool on) {
    struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = &endpoint->watched};
    if (epoll_ctl(events_fd, EPOLL_CTL_MOD, endpoint->watched.fd, &event) < 0)
        die("epoll_ctl");
}

/* Connections that wait in the backlog until it takes no more. */
static void fill_backlog(struct endpoint *endpoint) {
    struct sockaddr_in addr = loopback(endpoint->port);
    if (listen(endpoint->watched.fd, FULL_BACKLOG) < 0)
        die("listen");
    while (endpoint->fillers_count < FILLERS_MAX) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            die("socket");
        connect(fd, (struct sockaddr *)&addr, sizeof addr);
        endpoint->fillers[endpoint->fillers_count++] = fd;
    }
}

/* A listener that is shut down stays bound and refuses; nobody else gets its port. */
static void set_listening(struct endpoint *endpoint, bool on) {
    if (on ? listen(endpoint->watched.fd, BACKLOG) < 0
           : shutdown(endpoint->watched.fd, SHUT_RD) < 0 && errno != ENOTCONN)
        die("listen");
    watch_listener(endpoint, on);
}

void put_fault(struct endpoint *endpoint, enum fault fault, uint64_t argument) {
    enum fault old = endpoint->fault;
    for (int i = 0; i < endpoint->fillers_count; i++)
        reset_socket(endpoint->fillers[i]);
    endpoint->fillers_count = 0;
    endpoint->fault = fault;
    endpoint->argument = argument;
    if (fault == REFUSE) {
        set_listening(endpoint, false);
        reset_pairs(endpoint);
        endpoint->faults++;
    } else if (fault == BLACKHOLE) {
        if (old == REFUSE)
            set_listening(endpoint, true);
        watch_listener(endpoint, false);
        if (argument)
            fill_backlog(endpoint);
        endpoint->faults++;
    } else if (old == REFUSE || old == BLACKHOLE) {
        set_listening(endpoint, true);
    }
    for (struct pair *pair = endpoint->pairs, *next; pair; pair = next) {
        next = pair->next;
        settle(pair);
    }
}

static void open_endpoint(const char *text) {
    struct endpoint *endpoint = &endpoints[endpoints_count];
    const char *equals = strchr(text, '='), *colon = equals ? strchr(equals, ':') : NULL;
    char port[8] = "";
    if (endpoints_count == ENDPOINTS_MAX || !colon || equals == text ||
        equals - text >= (long)sizeof endpoint->name || colon - equals > (long)sizeof port)
        usage(help);
    memcpy(endpoint->name, text, (size_t)(equals - text));
    memcpy(port, equals + 1, (size_t)(colon - equals - 1));
    endpoint->port = number_or_die(port, 0, 65535);
    endpoint->origin_port = number_or_die(colon + 1, 1, 65535);
    endpoint->chance = 100;
    endpoints_count++;
    for (int round = 0; round < 2; round++) { /* a port of the kernel's choice is bound again, by number */
        int fd = listen_on(endpoint->port, SOCK_NONBLOCK);
        struct sockaddr_in addr;
        socklen_t len = sizeof addr;
        getsockname(fd, (struct sockaddr *)&addr, &len);
        endpoint->watched = (struct watched){LISTENER, fd};
        if (endpoint->port)
            break;
        endpoint->port = ntohs(addr.sin_port);
        close(fd);
    }
    watch(events_fd, endpoint->watched.fd, EPOLLIN, &endpoint->watched);
}

/* ---- the loop ---- */

static void serve(const struct epoll_event *event) {
    struct watched *watched = event->data.ptr;
    switch (watched->kind) {
    case LISTENER:
        if (event->events & EPOLLIN)
            accept_client((struct endpoint *)watched);
        break;
    case PAIR_END: serve_end((struct end *)watched, event->events); break;
    case CONTROL_LISTENER: accept_control(watched->fd); break;
    case CONTROL: serve_control((struct control *)watched); break;
    }
}

static void loop(void) {
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        uint64_t now = now_ns(), due = next_due(now);
        struct timespec wait = {(time_t)((due - now) / 1000000000u), (long)((due - now) % 1000000000u)};
        int ready = epoll_pwait2(events_fd, events, EVENTS_MAX, due == UINT64_MAX ? NULL : &wait, NULL);
        for (int i = 0; i < ready; i++)
            serve(&events[i]);
        send_due(now_ns());
        free_dead();
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"control", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    long control_port = 0;
    for (int option; (option = getopt_long(argc, argv, "s:c:h", options, NULL)) != -1;) {
        switch (option) {
        case 's': random_state = (uint64_t)number_or_die(optarg, 1, LONG_MAX); break;
        case 'c': control_port = number_or_die(optarg, 0, 65535); break;
        case 'h': printf("usage: faultproxy %s\n", help); return 0;
        default: usage(help);
        }
    }
    if (optind == argc)
        usage(help);
    prepare_process();
    events_fd = new_epoll();
    static struct watched control = {CONTROL_LISTENER, -1};
    control.fd = listen_on(control_port, SOCK_NONBLOCK);
    watch(events_fd, control.fd, EPOLLIN, &control);
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    getsockname(control.fd, (struct sockaddr *)&addr, &len);
    while (optind < argc)
        open_endpoint(argv[optind++]);
    printf("control %d\n", ntohs(addr.sin_port));
    for (int i = 0; i < endpoints_count; i++)
        printf("%s %ld\n", endpoints[i].name, endpoints[i].port);
    fflush(stdout);
    loop();
}
