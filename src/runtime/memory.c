#include "runtime/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"

#define NO_LIMIT ((uint64_t)1 << 62) /* v1 says "none" by a number of that size */

/* The two hierarchies say the same in different words. */
struct hierarchy {
    const char *limit, *usage, *cache[2];
};
static const struct hierarchy v1 = {"memory.limit_in_bytes",
                                    "memory.usage_in_bytes",
                                    {"total_inactive_file ", "total_active_file "}};
static const struct hierarchy v2 = {"memory.max", "memory.current", {"inactive_file ", "active_file "}};

/* The front of a file, as much as fits; empty when it cannot be read. */
static struct b_slice read_file(const char *directory, const char *name, char *buf, size_t size) {
    char path[768];
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = n < 0 || (size_t)n >= sizeof path ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, buf, size);
    if (fd >= 0)
        close(fd);
    return b_slice(buf, got > 0 ? (size_t)got : 0);
}

/* The number behind `name`, at the start of a line of the text; 0 when it is not there. */
static uint64_t line_value(struct b_slice text, const char *name) {
    struct b_slice line, key = b_slice_cstr(name);
    uint64_t v = 0;
    while (b_slice_next(&text, '\n', &line)) {
        if (!b_slice_starts(line, key))
            continue;
        line = b_slice_trim(b_slice_from(line, key.len));
        (void)b_parse_u64(b_slice(line.ptr, b_slice_find(line, ' ')), &v);
        break;
    }
    return v;
}

static bool read_number(const char *directory, const char *name, uint64_t *v) {
    char text[64];
    return b_parse_u64(b_slice(text, b_slice_find(read_file(directory, name, text, sizeof text), '\n')), v);
}

/* A budget counts when less of it is left than of the one that counted so far. */
static void consider(struct rt_memory *out, uint64_t used, uint64_t limit) {
    if (limit && (!out->limit || (double)used / (double)limit > (double)out->used / (double)out->limit)) {
        out->used = used;
        out->limit = limit;
    }
}

/* Cached files are asked for only when it matters: the kernel adds them up for that. */
static void look_at_group(const char *directory, const struct hierarchy *h, struct rt_memory *out) {
    uint64_t used, limit;
    if (!read_number(directory, h->limit, &limit) || limit >= NO_LIMIT ||
        !read_number(directory, h->usage, &used))
        return;
    if (used > limit / 2) {
        struct b_slice stat = read_file(directory, "memory.stat", out->stat, sizeof out->stat);
        uint64_t cache = line_value(stat, h->cache[0]) + line_value(stat, h->cache[1]);
        used -= cache < used ? cache : used;
    }
    consider(out, used, limit);
}

/* The group's own directory and all above it. In a container the mount point is the group's own, whatever path
 * /proc/self/cgroup tells; directories that are not there are passed over. */
static void look_at_groups(const char *root, const char *mount, struct b_slice path,
                           const struct hierarchy *h, struct rt_memory *out) {
    char directory[640];
    if (b_slice_eq(path, B_LIT("/")))
        path.len = 0;
    int n = snprintf(directory, sizeof directory, "%s%s%.*s", root, mount, B_FMT(path));
    size_t top = strlen(root) + strlen(mount);
    if (n < 0 || (size_t)n >= sizeof directory)
        directory[top] = 0; /* too deep: the top at least */
    for (size_t len = strlen(directory);; directory[len] = 0) {
        look_at_group(directory, h, out);
        while (len > top && directory[--len] != '/')
            continue;
        if (len <= top && !directory[top])
            return;
    }
}

/* Whether a list of v1 controllers, "cpu,memory", names memory. */
static bool names_memory(struct b_slice controllers) {
    struct b_slice one;
    while (b_slice_next(&controllers, ',', &one))
        if (b_slice_eq(one, B_LIT("memory")))
            return true;
    return false;
}

static void look_at_cgroups(const char *root, struct rt_memory *out) {
    char directory[256];
    (void)snprintf(directory, sizeof directory, "%s/proc/self", root);
    struct b_slice rest = read_file(directory, "cgroup", out->groups, sizeof out->groups);
    struct b_slice line, number, controllers;
    while (b_slice_next(&rest, '\n', &line)) { /* number:controllers:/path */
        if (!b_slice_next(&line, ':', &number) || !b_slice_next(&line, ':', &controllers))
            continue;
        if (names_memory(controllers)) {
            look_at_groups(root, "/sys/fs/cgroup/memory", line, &v1, out);
        } else if (!controllers.len) {
            look_at_groups(root, "/sys/fs/cgroup", line, &v2, out);
            look_at_groups(root, "/sys/fs/cgroup/unified", line, &v2, out);
        }
    }
}

void rt_memory_read(const char *root, uint64_t own, struct rt_memory *out) {
    char directory[256], text[256];
    struct b_slice statm, pages;
    uint64_t resident = 0;
    out->used = out->limit = 0;
    (void)snprintf(directory, sizeof directory, "%s/proc/self", root);
    statm = read_file(directory, "statm", text, sizeof text);
    if (b_slice_next(&statm, ' ', &pages) && b_slice_next(&statm, ' ', &pages))
        (void)b_parse_u64(pages, &resident);
    out->resident = resident * (uint64_t)sysconf(_SC_PAGESIZE);
    (void)snprintf(directory, sizeof directory, "%s/proc", root);
    uint64_t machine = line_value(read_file(directory, "meminfo", text, sizeof text), "MemTotal:") * 1024;
    consider(out, out->resident, machine);
    consider(out, out->resident, own);
    look_at_cgroups(root, out);
}
