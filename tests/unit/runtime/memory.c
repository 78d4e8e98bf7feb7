#include "runtime/memory.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

/* A made-up /proc and /sys below a directory of the test's own. */
static char root[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void put(const char *path, const char *text) {
    char full[256];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = 0;
        (void)mkdir(full, 0700);
    }
    FILE *f = fopen(full, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* 1,000 pages are resident, the machine has 1 GiB. */
static void machine(const char *cgroup) {
    (void)snprintf(root, sizeof root, "/tmp/weir-memory-XXXXXX");
    CHECK(mkdtemp(root));
    put("/proc/self/statm", "5000 1000 300 60 0 900 0\n");
    put("/proc/meminfo", "MemTotal:        1048576 kB\nMemFree:          123456 kB\n");
    put("/proc/self/cgroup", cgroup);
}

static struct rt_memory m;

static void look(uint64_t own) {
    rt_memory_read(root, own, &m);
    CHECK(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

TEST(machine_is_the_limit_where_there_is_no_other) {
    machine("0::/\n");
    look(0);
    CHECK_UINT(m.resident, 1000 * (uint64_t)sysconf(_SC_PAGESIZE));
    CHECK_UINT(m.used, m.resident);
    CHECK_UINT(m.limit, 1ull << 30);
}

TEST(own_limit_counts_what_is_resident) {
    machine("0::/\n");
    look(16 << 20);
    CHECK_UINT(m.used, m.resident);
    CHECK_UINT(m.limit, 16 << 20);
}

TEST(limit_of_a_cgroup_v2) {
    machine("0::/pod/weir\n");
    put("/sys/fs/cgroup/pod/weir/memory.max", "104857600\n");
    put("/sys/fs/cgroup/pod/weir/memory.current", "10485760\n");
    look(0);
    CHECK_UINT(m.used, 10485760);
    CHECK_UINT(m.limit, 104857600);
}

TEST(group_above_may_be_tighter) {
    machine("0::/pod/weir\n");
    put("/sys/fs/cgroup/pod/weir/memory.max", "max\n");
    put("/sys/fs/cgroup/pod/weir/memory.current", "10485760\n");
    put("/sys/fs/cgroup/pod/memory.max", "209715200\n");
    put("/sys/fs/cgroup/pod/memory.current", "20971520\n");
    look(0);
    CHECK_UINT(m.used, 20971520);
    CHECK_UINT(m.limit, 209715200);
}

TEST(mount_point_is_the_group_in_a_container) {
    machine("0::/somewhere/outside\n");
    put("/sys/fs/cgroup/memory.max", "104857600\n");
    put("/sys/fs/cgroup/memory.current", "31457280\n");
    look(0);
    CHECK_UINT(m.used, 31457280);
    CHECK_UINT(m.limit, 104857600);
}

TEST(cached_files_do_not_count) {
    machine("0::/weir\n");
    put("/sys/fs/cgroup/weir/memory.max", "100000000\n");
    put("/sys/fs/cgroup/weir/memory.current", "95000000\n");
    put("/sys/fs/cgroup/weir/memory.stat", "anon 1\nfile 70000000\ninactive_anon 5\nactive_anon 6\n"
                                           "inactive_file 40000000\nactive_file 25000000\nunevictable 0\n");
    look(0);
    CHECK_UINT(m.used, 30000000);
    CHECK_UINT(m.limit, 100000000);
}

TEST(limit_of_a_cgroup_v1) {
    machine("9:name=systemd:/\n4:cpu,memory:/docker/weir\n3:cpuset:/docker/weir\n0::/\n");
    put("/sys/fs/cgroup/memory/docker/weir/memory.limit_in_bytes", "104857600\n");
    put("/sys/fs/cgroup/memory/docker/weir/memory.usage_in_bytes", "94857600\n");
    put("/sys/fs/cgroup/memory/docker/weir/memory.stat",
        "cache 5\ninactive_file 7\ntotal_inactive_file 4857600\ntotal_active_file 20000000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "994857600\n");
    look(0);
    CHECK_UINT(m.used, 70000000);
    CHECK_UINT(m.limit, 104857600);
}

TEST(what_cannot_be_read_is_no_limit) {
    machine("garbage\n0\n0:\n:::\n4:memory\n0::");
    put("/sys/fs/cgroup/memory.max", "12 apples\n");
    put("/sys/fs/cgroup/memory.current", "10\n");
    put("/proc/meminfo", "");
    look(0);
    CHECK_UINT(m.limit, 0);
    CHECK_UINT(m.used, 0);
}

TEST(this_process_is_resident) {
    rt_memory_read("", 0, &m);
    CHECK(m.resident > 0 && m.limit > m.resident);
}

const struct test_case memory_tests[] = {
    {"machine_is_the_limit_where_there_is_no_other", machine_is_the_limit_where_there_is_no_other},
    {"own_limit_counts_what_is_resident", own_limit_counts_what_is_resident},
    {"limit_of_a_cgroup_v2", limit_of_a_cgroup_v2},
    {"group_above_may_be_tighter", group_above_may_be_tighter},
    {"mount_point_is_the_group_in_a_container", mount_point_is_the_group_in_a_container},
    {"cached_files_do_not_count", cached_files_do_not_count},
    {"limit_of_a_cgroup_v1", limit_of_a_cgroup_v1},
    {"what_cannot_be_read_is_no_limit", what_cannot_be_read_is_no_limit},
    {"this_process_is_resident", this_process_is_resident},
    {0},
};
