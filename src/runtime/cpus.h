/* How many CPUs this process may use. */
#ifndef RUNTIME_CPUS_H
#define RUNTIME_CPUS_H

/* The affinity mask's count, cut down to the cgroup's quota (cgroup v2 cpu.max, v1 cpu.cfs_quota_us) rounded up; at
 * least 1. */
unsigned rt_cpu_count(void);

/* The quota arithmetic alone: `text` is the content of cpu.max ("max 100000", "150000 100000"); 0 for no quota. */
unsigned rt_cpu_quota(const char *text);

#endif
