/*
 * A blind TCP relay: the kernel's floor for a proxy.
 *
 * It parses nothing. Each client connection gets one upstream connection for its life, and each ready event costs one read
 * and one write; a proxied request is therefore two reads and two writes, and its share of an epoll_wait. Whatever a real
 * proxy costs beyond this is its own work.
 *
 * Every thread accepts from the one listening socket, but a connection goes to the thread that has the fewest: which thread
 * happens to wake would else decide the measurement (64 connections on one thread cost a fifth more than 32 on each).
 */
#include "common.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>

enum { BUFFER_BYTES = 128 * 1024, EVENTS_MAX = 256, THREADS_MAX = 64 };

struct side {
    int fd;
    bool hung_up; /* the peer's FIN is there: a short read no longer means "nothing more" */
    bool ended;   /* read() returned 0 */
    char *unsent; /* what write() did not take; NULL is the usual case */
    size_t unsent_off, unsent_len;
    struct side *peer;
    struct pair *pair;
};

struct pair {
    struct side side[2];
    bool dead;
    struct pair *next_dead;
};

/* One per thread; the buffer is shared by its connections and so stays in the cache. */
struct relay {
    int epoll;
    int pairs;         /* atomic: other threads add to it and compare */
    struct pair *dead; /* freed after the batch of events, which may still name them */
    char buffer[BUFFER_BYTES];
};

static struct relay relays[THREADS_MAX];
static long threads = 2;
static int listener;
static long upstream_port;

static void kill_pair(struct relay *relay, struct pair *pair) {
    if (pair->dead)
        return;
    pair->dead = true;
    for (int i = 0; i < 2; i++)
        if (pair->side[i].fd >= 0)
            close(pair->side[i].fd);
    __atomic_fetch_sub(&relay->pairs, 1, __ATOMIC_RELAXED);
    pair->next_dead = relay->dead;
    relay->dead = pair;
}

static void free_dead(struct relay *relay) {
    while (relay->dead) {
        struct pair *pair = relay->dead;
        relay->dead = pair->next_dead;
        free(pair->side[0].unsent);
        free(pair->side[1].unsent);
        free(pair);
    }
}

static bool keep_unsent(struct side *to, const char *data, size_t len) {
    to->unsent = malloc(len);
    if (!to->unsent)
        return false;
    memcpy(to->unsent, data, len);
    to->unsent_off = 0;
    to->unsent_len = len;
    return true;
}

/* False when the connection is beyond use. */
static bool send_to(struct side *to, const char *data, size_t len) {
    ssize_t sent = write(to->fd, data, len);
    if (sent < 0 && errno != EAGAIN)
        return false;
    size_t taken = sent < 0 ? 0 : (size_t)sent;
    return taken == len || keep_unsent(to, data + taken, len - taken);
}

static bool flush_unsent(struct side *to) {
    ssize_t sent = write(to->fd, to->unsent + to->unsent_off, to->unsent_len);
    if (sent < 0)
        return errno == EAGAIN;
    to->unsent_off += (size_t)sent;
    to->unsent_len -= (size_t)sent;
    if (to->unsent_len == 0) {
        free(to->unsent);
        to->unsent = NULL;
    }
    return true;
}

/* The end of one direction is passed on; the end of both is the end. */
static bool end_of_input(struct side *from) {
    from->ended = true;
    shutdown(from->peer->fd, SHUT_WR);
    return !from->peer->ended;
}

/* Moves what is there. A short read says that the socket is empty: no second read to see EAGAIN. */
static bool pump(struct relay *relay, struct side *from) {
    while (!from->peer->unsent && !from->ended) {
        ssize_t got = read(from->fd, relay->buffer, BUFFER_BYTES);
        if (got < 0)
            return errno == EAGAIN;
        if (got == 0)
            return end_of_input(from);
        if (!send_to(from->peer, relay->buffer, (size_t)got))
            return false;
        if (got < BUFFER_BYTES && !from->hung_up)
            return true;
    }
    return true;
}

static bool connect_upstream(struct relay *relay, struct side *side) {
    side->fd = connect_to(upstream_port);
    if (side->fd < 0)
        return false;
    fcntl(side->fd, F_SETFL, O_NONBLOCK);
    watch(relay->epoll, side->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, side);
    return true;
}

static bool serve_side(struct relay *relay, struct side *side, uint32_t events) {
    if (side->peer->fd < 0 && !connect_upstream(relay, side->peer))
        return false;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        side->hung_up = true;
    if ((events & EPOLLOUT) && side->unsent) {
        if (!flush_unsent(side))
            return false;
        /* The peer's edge may have come and gone while this side was full. */
        if (!side->unsent && !pump(relay, side->peer))
            return false;
    }
    return !(events & ~(uint32_t)EPOLLOUT) || pump(relay, side);
}

static struct relay *least_loaded(void) {
    struct relay *least = &relays[0];
    for (long i = 1; i < threads; i++)
        if (__atomic_load_n(&relays[i].pairs, __ATOMIC_RELAXED) <
            __atomic_load_n(&least->pairs, __ATOMIC_RELAXED))
            least = &relays[i];
    return least;
}

/*
 * One connection per event: what else waits in the backlog wakes the other threads too. Once watched, the pair belongs to
 * its thread, which connects upstream at the first event (a new socket is writable, so that is at once).
 */
static void accept_one(void) {
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0)
        return;
    struct pair *pair = calloc(1, sizeof *pair);
    if (!pair)
        die("calloc");
    for (int i = 0; i < 2; i++)
        pair->side[i] = (struct side){.fd = i ? -1 : client, .peer = &pair->side[1 - i], .pair = pair};
    set_nodelay(client);
    struct relay *owner = least_loaded();
    __atomic_fetch_add(&owner->pairs, 1, __ATOMIC_RELAXED);
    watch(owner->epoll, client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &pair->side[0]);
}

static void serve_event(struct relay *relay, const struct epoll_event *event) {
    struct side *side = event->data.ptr;
    if (!side)
        accept_one();
    else if (!side->pair->dead && !serve_side(relay, side, event->events))
        kill_pair(relay, side->pair);
}

static void *relay_thread(void *arg) {
    struct relay *relay = arg;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int ready = epoll_wait(relay->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++)
            serve_event(relay, &events[i]);
        free_dead(relay);
    }
    return NULL;
}

static void start_threads(void) {
    pthread_t thread;
    for (long i = 0; i < threads; i++)
        relays[i].epoll = new_epoll();
    for (long i = 0; i < threads; i++) {
        watch(relays[i].epoll, listener, EPOLLIN | EPOLLEXCLUSIVE, NULL);
        if (pthread_create(&thread, NULL, relay_thread, &relays[i]) != 0)
            die("pthread_create");
    }
}

int main(int argc, char **argv) {
    static const char help[] = "-p PORT -u UPSTREAM_PORT [-t THREADS]";
    long port = 0;
    for (int option; (option = getopt(argc, argv, "p:u:t:")) != -1;) {
        switch (option) {
        case 'p': port = number_or_die(optarg, 1, 65535); break;
        case 'u': upstream_port = number_or_die(optarg, 1, 65535); break;
        case 't': threads = number_or_die(optarg, 1, THREADS_MAX); break;
        default: usage(help);
        }
    }
    if (!port || !upstream_port || optind != argc)
        usage(help);
    prepare_process();
    listener = listen_on(port, SOCK_NONBLOCK);
    start_threads();
    for (;;)
        pause();
}
