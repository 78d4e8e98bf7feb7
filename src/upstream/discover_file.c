/* Endpoints from a file. It is looked at twice a second by what the path leads to, so that a file that is replaced, or a
 * symbolic link that is turned (as Kubernetes does it), is seen like one that is written over. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/offload.h"
#include "upstream/discover.h"

#define EVERY (500 * RT_MS)
#define BYTES_MAX (4u << 20)

struct stamp {
    int64_t seconds, nanoseconds, size;
    uint64_t inode, device;
};

struct source {
    struct stamp stamp; /* of what was read last */
    bool failed;
    char path[];
};

/* On a helper thread: a file may lie on a disk that is slow. */
struct reading {
    const char *path;
    struct stamp stamp, known;
    bool same;
    int error;
    struct b_text text;
};

static void read_file(void *arg) {
    struct reading *r = arg;
    struct stat st;
    int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    r->error = fd < 0 || fstat(fd, &st) != 0 ? errno : !S_ISREG(st.st_mode) ? EINVAL : 0;
    if (r->error == 0) {
        r->stamp = (struct stamp){st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_size, st.st_ino, st.st_dev};
        r->same = memcmp(&r->stamp, &r->known, sizeof r->stamp) == 0;
    }
    char buf[1024];
    for (ssize_t n; r->error == 0 && !r->same && (n = read(fd, buf, sizeof buf)) != 0;) {
        if (n < 0)
            r->error = errno;
        else
            b_text_slice_add(&r->text, b_slice(buf, (size_t)n));
    }
    if (fd >= 0)
        close(fd);
}

static int open_source(struct up_discovery *d) {
    struct b_slice path = d->conf->file.path;
    struct source *s = b_zalloc(B_TAG_UPSTREAM, sizeof *s + path.len + 1);
    if (!s)
        return -ENOMEM;
    memcpy(s->path, path.ptr, path.len);
    d->state = s;
    return 0;
}

static void first_error(struct up_discovery *d, const struct cfg_errors *errors) {
    if (errors->count)
        up_discovery_failed(d, "%s:%u:%u: %s", errors->items[0].file, errors->items[0].line,
                            errors->items[0].column, errors->items[0].message);
    else
        up_discovery_failed(d, "memory is short");
}

static enum up_look parse(struct up_discovery *d, const char *path, struct b_slice bytes,
                          struct up_found *found) {
    struct cfg_errors errors;
    struct cfg_list list;
    struct b_slice kept = b_arena_copy(&found->arena, bytes);
    cfg_errors_init(&errors);
    int rc = kept.ptr ? cfg_load_endpoints(path, kept, &found->arena, &errors, &list) : -ENOMEM;
    if (rc)
        first_error(d, &errors);
    cfg_errors_free(&errors);
    if (rc)
        return UP_LOOK_FAILED;
    CFG_EACH(const struct cfg_endpoint, e, &list)
        if (!up_found_url(found, &e->url, e->weight)) {
            up_discovery_failed(d, "memory is short");
            return UP_LOOK_FAILED;
        }
    return UP_LOOK_FOUND;
}

static enum up_look look(struct up_discovery *d, int ready, struct up_found *found) {
    struct source *s = d->state;
    struct reading r = {.path = s->path, .known = s->stamp, .text = b_text_heap(B_TAG_UPSTREAM, BYTES_MAX)};
    enum up_look rc = UP_LOOK_FAILED;
    (void)ready;
    d->next = rt_after(rt_now(), EVERY);
    if (rt_offload(read_file, &r) < 0)
        up_discovery_failed(d, "no helper thread is free");
    else if (r.error)
        up_discovery_failed(d, "%s: %s", s->path, strerror(r.error));
    else if (r.same)
        rc = UP_LOOK_SAME;
    else if (r.text.failed)
        up_discovery_failed(d, "%s is larger than 4 MiB, or memory is short", s->path);
    else
        rc = parse(d, s->path, b_text_slice(&r.text), found);
    b_text_free(&r.text);
    if (rc != UP_LOOK_SAME && r.error == 0)
        s->stamp = r.stamp; /* what is wrong with it is said once */
    return rc;
}

static void close_source(struct up_discovery *d) {
    b_free(d->state);
}

const struct up_source up_source_file = {.open = open_source, .look = look, .close = close_source};
