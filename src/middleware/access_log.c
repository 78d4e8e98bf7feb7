/* One line of JSON for each request, through a ring that never makes a worker wait. */
#include "middleware/access_log.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "gateway/tunnel.h"
#include "telemetry/access_log.h"
#include "telemetry/process.h"

#define LOGS_MAX (TEL_PROCESS_LOGS_MAX - 1) /* one is weir's own */

struct access_log_conf {
    struct cfg_head head;
    struct b_slice path;
    bool query;
};

static const struct cfg_option options[] = {
    {.name = "path",
     .type = CFG_STRING,
     CFG_AT(struct access_log_conf, path),
     .default_text = "-",
     .min = 1,
     .max = 4096,
     .help = "the file to append to, `-` for standard output; USR1 opens it again"},
    {.name = "query",
     .type = CFG_BOOL,
     CFG_AT(struct access_log_conf, query),
     .default_text = "false",
     .help = "log the query too; it often holds secrets"},
    {0},
};

static const struct cfg_table table = {
    .name = "an access log",
    .summary =
        "Lines that find the ring of their worker full are dropped and counted in weir_log_dropped_total",
    .options = options,
    .size = sizeof(struct access_log_conf),
    .shorthand = "path",
};

/* ---- the logs of the process; they outlive the snapshots that name them ---- */

static struct log {
    char *path;
    struct tel_ring *ring;
} logs[LOGS_MAX];
static size_t log_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards both; never held across a wait */

static const char *const ring_names[] = {"access",   "access_2", "access_3", "access_4",
                                         "access_5", "access_6", "access_7"};
_Static_assert(sizeof ring_names / sizeof ring_names[0] == LOGS_MAX, "a name for each log");

static unsigned producer(void) {
    const struct rt_worker *self = rt_self();
    return self ? self->index : TEL_RING_PRODUCERS;
}

static int start(struct log *log, const char *path) {
    bool to_stdout = strcmp(path, "-") == 0;
    const struct tel_ring_options ring_options = {
        .name = ring_names[log - logs],
        .path = to_stdout ? NULL : path,
        .fd = STDOUT_FILENO,
        .producers = rt_worker_count(),
        .producer = producer,
    };
    int rc = tel_ring_new(&ring_options, &log->ring);
    if (rc < 0)
        return rc;
    rc = tel_ring_start(log->ring);
    if (rc < 0) {
        (void)tel_ring_stop(log->ring);
        log->ring = NULL;
        return rc;
    }
    (void)tel_process_add_log(log->ring); /* there is room: LOGS_MAX */
    return 0;
}

/* The ring of that path, made when it is asked for the first time. */
static int find(const char *path, struct tel_ring **out) {
    int rc = 0;
    for (size_t i = 0; i < log_count; i++) {
        if (strcmp(logs[i].path, path) == 0) {
            *out = logs[i].ring;
            return 0;
        }
    }
    if (log_count == LOGS_MAX)
        return -ENOSPC;
    struct log *log = &logs[log_count];
    log->path = b_strdup(B_TAG_TELEMETRY, path, strlen(path));
    if (!log->path)
        return -ENOMEM;
    rc = start(log, log->path);
    if (rc < 0) {
        b_free(log->path);
        log->path = NULL;
        return rc;
    }
    log_count++;
    *out = log->ring;
    return 0;
}

void mw_access_log_reopen(void) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < log_count; i++)
        tel_ring_reopen(logs[i].ring);
    pthread_mutex_unlock(&lock);
}

void mw_access_log_close_all(void) {
    pthread_mutex_lock(&lock);
    while (log_count > 0) {
        struct log *log = &logs[--log_count];
        tel_process_remove_log(log->ring);
        (void)tel_ring_stop(log->ring);
        b_free(log->path);
        *log = (struct log){0};
    }
    pthread_mutex_unlock(&lock);
}

/* ---- the middleware ---- */

struct access_log {
    struct tel_ring *ring; /* NULL in a config that is only looked at */
    bool query;
};

static int open_log(const struct gw_open *open, const struct cfg_middleware *instance, const void *conf,
                    void **state) {
    const struct access_log_conf *c = conf;
    struct access_log *log = b_arena_zalloc(open->arena, sizeof *log);
    if (!log)
        return cfg_error_memory(open->errors);
    *state = log;
    log->query = c->query;
    if (rt_worker_count() == 0)
        return 0; /* `weir check`: no file is made */
    pthread_mutex_lock(&lock);
    int rc = find(c->path.ptr, &log->ring);
    pthread_mutex_unlock(&lock);
    const struct cfg_node *at = cfg_node_get(instance->use.node, "path");
    if (rc == -ENOSPC)
        return cfg_error_at(open->errors, at ? at : instance->use.node,
                            "more than %d access logs since the start: use fewer files, or start weir again",
                            LOGS_MAX);
    if (rc < 0)
        return cfg_error_at(open->errors, at ? at : instance->use.node,
                            "the access log \"%s\" cannot be opened: %s", c->path.ptr, strerror(-rc));
    return 0;
}

/* The host alone, as the attribute wants it: what precedes `:PORT`. */
static struct b_slice host_of(struct b_slice authority) {
    size_t n = authority.len;
    while (n && b_is_digit(authority.ptr[n - 1]))
        n--;
    return n && authority.ptr[n - 1] == ':' ? b_slice(authority.ptr, n - 1) : authority;
}

/* A tunnel's line is written at its end, with what it has carried. */
struct tunnel_line {
    struct gw_tunnel_end end;
    struct tel_ring *ring;
    struct tel_access *line;
    rt_time began;
};

static void write_tunnel(struct gw_tunnel_end *end, uint64_t in, uint64_t out) {
    struct tunnel_line *l = B_CONTAINER(end, struct tunnel_line, end);
    l->line->duration_ns = (uint64_t)(rt_clock() - l->began);
    l->line->bytes_in = in;
    l->line->bytes_out = out;
    (void)tel_access_log(l->ring, l->line);
    b_free(l->line);
    b_free(l);
}

static bool write_at_end(struct exchange *ex, const struct access_log *log, const struct tel_access *line) {
    struct tunnel_line *l = b_alloc(B_TAG_TELEMETRY, sizeof *l);
    struct tel_access *kept = l ? tel_access_keep(line) : NULL;
    if (!kept) {
        b_free(l);
        return false; /* better now than never */
    }
    *l = (struct tunnel_line){.end = {.fn = write_tunnel},
                              .ring = log->ring,
                              .line = kept,
                              .began = ex->started};
    gw_tunnel_at_end(ex->tunnel, &l->end);
    return true;
}

/* Not in the frame of `run`, which lies on the fiber's stack while the request is served. */
static __attribute__((noinline)) void write_line(struct exchange *ex, const struct access_log *log,
                                                 struct b_slice agent, struct b_slice referer) {
    bool answered = ex->sent != GW_SENT_NOTHING;
    rt_time elapsed = rt_clock() - ex->started;
    struct tel_access line = {
        .time_ns = (uint64_t)(rt_wall_clock() - elapsed),
        .duration_ns = (uint64_t)elapsed,
        .upstream_ns = (uint64_t)ex->upstream_time,
        .bytes_in = ex->body_in,
        .bytes_out = ex->body_out,
        .status = answered ? ex->res.status : 0,
        .attempts = ex->attempts,
        .client = gw_client_address(ex),
        .method = ex->req.method_text,
        .scheme = B_LIT("http"),
        .host = host_of(ex->req.authority),
        .path = ex->req.path,
        .query = log->query ? ex->req.query : b_slice(NULL, 0),
        .protocol = ex->req.minor ? B_LIT("1.1") : B_LIT("1.0"),
        .route = ex->route ? ex->route->pattern : b_slice(NULL, 0),
        .upstream = ex->upstream,
        .endpoint = ex->endpoint,
        .request_id = ex->request_id,
        .user_agent = agent,
        .referer = referer,
    };
    if (ex->error != HTTP_OK) {
        const struct http_error_info *info = http_error_info(ex->error);
        line.code = b_slice_cstr(info->code);
        if (!answered)
            line.status = info->status;
    }
    if (ex->tunnel && write_at_end(ex, log, &line))
        return;
    (void)tel_access_log(log->ring, &line); /* a line that is dropped is counted by the ring */
}

static int run(struct exchange *ex, void *state) {
    const struct access_log *log = state;
    if (!log->ring)
        return gw_next(ex);
    /* what stands behind may change the fields */
    struct b_slice agent = http_fields_value(&ex->req.fields, HTTP_FIELD_USER_AGENT);
    struct b_slice referer = http_fields_value(&ex->req.fields, HTTP_FIELD_REFERER);
    int rc = gw_next(ex);
    write_line(ex, log, agent, referer);
    return rc;
}

const struct gw_middleware mw_access_log = {
    .module = {.name = "access_log",
               .summary = "Writes a line of JSON for each request, with OpenTelemetry's attribute names",
               .options = &table},
    .open = open_log,
    .run = run,
};
