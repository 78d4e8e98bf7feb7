#include "telemetry/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "unknown"
#endif
#ifndef WEIR_COMMIT
#define WEIR_COMMIT "unknown"
#endif

/* ---- /proc ---- */

/* The front of a file, as much as fits; empty when it cannot be read. */
static struct b_slice read_file(const char *path, char *buf, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size);
    if (fd >= 0)
        close(fd);
    return b_slice(buf, n > 0 ? (size_t)n : 0);
}

/* The n-th word (0: the first) as a number; 0 when it is none. */
static uint64_t word(struct b_slice line, unsigned n) {
    struct b_slice item = {0};
    uint64_t v = 0;
    for (unsigned i = 0; i <= n; i++)
        if (!b_slice_next(&line, ' ', &item))
            return 0;
    (void)b_parse_u64(item, &v);
    return v;
}

/* When the system started, in seconds since 1970: the line "btime N" of /proc/stat, which can be long. */
static uint64_t boot_time(void) {
    char buf[512];
    struct b_slice name = B_LIT("\nbtime ");
    uint64_t v = 0;
    size_t kept = 0;
    int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n;
    while (fd >= 0 && (n = read(fd, buf + kept, sizeof buf - kept)) > 0) {
        size_t len = kept + (size_t)n;
        const char *at = memmem(buf, len, name.ptr, name.len);
        struct b_slice rest =
            at ? b_slice(at + name.len, (size_t)(buf + len - at) - name.len) : b_slice(NULL, 0);
        size_t end = b_slice_find(rest, '\n');
        if (at && end < rest.len) {
            (void)b_parse_u64(b_slice(rest.ptr, end), &v);
            break;
        }
        kept = len < 64 ? len : 64; /* longer than the line that is wanted */
        memmove(buf, buf + len - kept, kept);
    }
    if (fd >= 0)
        close(fd);
    return v;
}

/* Fields of /proc/self/stat behind the name, which may hold anything but ends at the last bracket. */
static void read_stat(struct tel_process_stat *out) {
    char buf[512];
    struct b_slice s = read_file("/proc/self/stat", buf, sizeof buf);
    const char *end = s.len ? memrchr(s.ptr, ')', s.len) : NULL;
    long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
    if (!end || end + 2 > s.ptr + s.len || ticks <= 0 || page <= 0)
        return;
    s = b_slice_from(s, (size_t)(end + 2 - s.ptr)); /* from field 3, the state */
    out->threads = word(s, 20 - 3);
    out->start_seconds = (double)boot_time() + (double)word(s, 22 - 3) / (double)ticks;
    out->virtual_bytes = word(s, 23 - 3);
    out->resident_bytes = word(s, 24 - 3) * (uint64_t)page;
}

static uint64_t count_fds(void) {
    uint64_t n = 0;
    struct stat st;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size; /* Linux 6.2 and later */
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* without . and .. and the directory itself */
}

void tel_process_stat(struct tel_process_stat *out) {
    *out = (struct tel_process_stat){0};
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->fds_max = limit.rlim_cur;
    out->open_fds = count_fds();
    read_stat(out);
}

/* ---- process_* ---- */

enum figure { CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, START, THREADS, FIGURES };

static struct tel_family process_families[FIGURES] = {
    [CPU] = {.name = "process_cpu_seconds_total", .help = "User and system CPU time.", .type = TEL_COUNTER},
    [RESIDENT] = {.name = "process_resident_memory_bytes", .help = "Resident memory.", .type = TEL_GAUGE},
    [VIRTUAL] = {.name = "process_virtual_memory_bytes", .help = "Virtual memory.", .type = TEL_GAUGE},
    [OPEN_FDS] = {.name = "process_open_fds", .help = "Open file descriptors.", .type = TEL_GAUGE},
    [MAX_FDS] = {.name = "process_max_fds", .help = "Limit on open file descriptors.", .type = TEL_GAUGE},
    [START] = {.name = "process_start_time_seconds",
               .help = "Start of the process, since 1970.",
               .type = TEL_GAUGE},
    [THREADS] = {.name = "process_threads", .help = "Threads of the process.", .type = TEL_GAUGE},
};

/* The first figure of a scrape reads for all of them. Scrapes run one after the other, so nothing else guards
 * it. */
static struct tel_process_stat seen;

static double figure(void *arg) {
    enum figure which = (enum figure)((struct tel_family *)arg - process_families);
    if (which == CPU)
        tel_process_stat(&seen);
    switch (which) {
    case CPU: return seen.cpu_seconds;
    case RESIDENT: return (double)seen.resident_bytes;
    case VIRTUAL: return (double)seen.virtual_bytes;
    case OPEN_FDS: return (double)seen.open_fds;
    case MAX_FDS: return (double)seen.fds_max;
    case START: return seen.start_seconds;
    case THREADS: return (double)seen.threads;
    case FIGURES: break;
    }
    return 0;
}

/* ---- weir's own ---- */

static struct tel_family build_info = {.name = "weir_build_info",
                                       .help = "Always 1; the labels say which build runs.",
                                       .type = TEL_GAUGE,
                                       .labels = {"version", "commit"}};
static struct tel_family memory_bytes = {.name = "weir_memory_bytes",
                                         .help = "Memory accounted to each subsystem.",
                                         .type = TEL_GAUGE,
                                         .labels = {"subsystem"}};
static struct tel_family memory_total = {.name = "weir_memory_total_bytes",
                                         .help = "Memory accounted to all subsystems.",
                                         .type = TEL_GAUGE};
static struct tel_family allocations = {.name = "weir_allocations_total",
                                        .help = "Allocations from the heap by each subsystem.",
                                        .type = TEL_COUNTER,
                                        .labels = {"subsystem"}};
static struct tel_family log_dropped = {
    .name = "weir_log_dropped_total",
    .help = "Log lines that were dropped because their writer did not keep up.",
    .type = TEL_COUNTER,
    .labels = {"log"}};
static struct tel_family log_written = {.name = "weir_log_written_bytes_total",
                                        .help = "Bytes of log written.",
                                        .type = TEL_COUNTER,
                                        .labels = {"log"}};

static void collect_build(struct tel_samples *out, void *arg) {
    (void)arg;
    tel_sample(out, (struct b_slice[]){B_LIT(WEIR_VERSION), B_LIT(WEIR_COMMIT)}, 1);
}

static double total_bytes(void *arg) {
    (void)arg;
    return (double)b_alloc_total_bytes();
}

static void collect_memory(struct tel_samples *out, void *arg) {
    for (int tag = 0; tag < B_TAG_COUNT; tag++) {
        if (tag == B_TAG_TEST)
            continue;
        struct b_alloc_stat s = b_alloc_stat((enum b_tag)tag);
        struct b_slice name = b_slice_cstr(s.name);
        tel_sample(out, &name, (double)(arg == &memory_bytes ? s.bytes : s.allocations));
    }
}

/* ---- logs ---- */

static pthread_mutex_t logs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *name;
    struct tel_ring *ring;    /* NULL: it has been removed */
    struct tel_ring_stat sum; /* of rings of that name that are gone */
} logs[TEL_PROCESS_LOGS_MAX];
static int log_count;

static void collect_logs(struct tel_samples *out, void *arg) {
    pthread_mutex_lock(&logs_lock);
    for (int i = 0; i < log_count; i++) {
        struct tel_ring_stat now = logs[i].ring ? tel_ring_stat(logs[i].ring) : (struct tel_ring_stat){0};
        struct b_slice name = b_slice_cstr(logs[i].name);
        uint64_t v = arg == &log_dropped ? now.dropped + logs[i].sum.dropped : now.bytes + logs[i].sum.bytes;
        tel_sample(out, &name, (double)v);
    }
    pthread_mutex_unlock(&logs_lock);
}

int tel_process_add_log(struct tel_ring *ring) {
    int i = 0;
    pthread_mutex_lock(&logs_lock);
    while (i < log_count && strcmp(logs[i].name, tel_ring_name(ring)) != 0)
        i++;
    bool ok = i < TEL_PROCESS_LOGS_MAX && !logs[i].ring;
    if (ok) {
        logs[i].name = tel_ring_name(ring);
        logs[i].ring = ring;
        log_count += i == log_count;
    }
    pthread_mutex_unlock(&logs_lock);
    return ok ? 0 : -ENOSPC;
}

void tel_process_remove_log(struct tel_ring *ring) {
    pthread_mutex_lock(&logs_lock);
    for (int i = 0; i < log_count; i++) {
        if (logs[i].ring != ring)
            continue;
        struct tel_ring_stat last = tel_ring_stat(ring);
        logs[i].sum.dropped += last.dropped;
        logs[i].sum.bytes += last.bytes;
        logs[i].ring = NULL;
    }
    pthread_mutex_unlock(&logs_lock);
}

int tel_process_init(void) {
    int rc = 0;
    for (int i = 0; i < FIGURES && rc == 0; i++)
        rc = tel_gauge_callback(&process_families[i], figure, &process_families[i]);
    rc = rc ? rc : tel_collector(&build_info, collect_build, NULL);
    rc = rc ? rc : tel_collector(&memory_bytes, collect_memory, &memory_bytes);
    rc = rc ? rc : tel_gauge_callback(&memory_total, total_bytes, NULL);
    rc = rc ? rc : tel_collector(&allocations, collect_memory, &allocations);
    rc = rc ? rc : tel_collector(&log_dropped, collect_logs, &log_dropped);
    return rc ? rc : tel_collector(&log_written, collect_logs, &log_written);
}
