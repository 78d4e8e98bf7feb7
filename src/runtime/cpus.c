#include "runtime/cpus.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"

unsigned rt_cpu_quota(const char *text) {
    struct b_slice rest = b_slice_cstr(text), quota, period;
    uint64_t q = 0, p = 0;
    while (rest.len && (rest.ptr[rest.len - 1] == '\n' || rest.ptr[rest.len - 1] == ' '))
        rest.len--;
    if (!b_slice_next(&rest, ' ', &quota) || !b_slice_next(&rest, ' ', &period))
        return 0;
    if (!b_parse_u64(quota, &q) || !b_parse_u64(period, &p) || p == 0 || q == 0)
        return 0; /* "max": no quota */
    return (unsigned)((q + p - 1) / p);
}

static int read_file(const char *path, char *buf, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, buf, size - 1);
    close(fd);
    if (n < 0)
        return -1;
    buf[n] = 0;
    return 0;
}

/* The cgroup's own directory is mounted at /sys/fs/cgroup inside a container; outside, the path of /proc/self/cgroup
 * leads there. Both are tried. */
static unsigned quota_v2(void) {
    char text[512], path[600];
    unsigned best = 0;
    if (read_file("/sys/fs/cgroup/cpu.max", text, sizeof text) == 0)
        best = rt_cpu_quota(text);
    if (read_file("/proc/self/cgroup", text, sizeof text) != 0)
        return best;
    const char *own = strncmp(text, "0::", 3) == 0 ? text + 3 : strstr(text, "\n0::");
    if (!own)
        return best;
    own += own[0] == '\n' ? 4 : 0;
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/cpu.max", (int)strcspn(own, "\n"), own);
    if (read_file(path, text, sizeof text) == 0) {
        unsigned q = rt_cpu_quota(text);
        if (q && (!best || q < best))
            best = q;
    }
    return best;
}

static unsigned quota_v1(void) {
    char quota[64], period[64], both[130];
    if (read_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) != 0 ||
        read_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period) != 0)
        return 0;
    (void)snprintf(both, sizeof both, "%.*s %s", (int)strcspn(quota, "\n"), quota, period);
    return rt_cpu_quota(both);
}

unsigned rt_cpu_count(void) {
    cpu_set_t set;
    unsigned n = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = (unsigned)CPU_COUNT(&set);
    unsigned quota = quota_v2();
    if (!quota)
        quota = quota_v1();
    if (quota && quota < n)
        n = quota;
    return n ? n : 1;
}
