/* How much memory this process may use, and how near it is to that. */
#ifndef RUNTIME_MEMORY_H
#define RUNTIME_MEMORY_H

#include <stdint.h>

struct rt_memory {
    uint64_t resident;    /* of this process */
    uint64_t used, limit; /* of the budget that is nearest to its end; limit is 0 when none is known */
    char groups[8192], stat[8192]; /* what is being read; so the struct is too large for a stack */
};

/* Looks at all budgets: `own`, a limit on this process alone (0: none), and the machine's memory, both against what is
 * resident; and the limit of the cgroup and of each one above it (v2 memory.max, v1 memory.limit_in_bytes) against what
 * that group uses, less the cached files that the kernel would drop first. `root` stands before all paths: "" but in
 * tests. Reads some small files of /proc and /sys: 20 to 100 us, and where the kernel adds up a large group's figures for
 * it, more. */
void rt_memory_read(const char *root, uint64_t own, struct rt_memory *out);

#endif
