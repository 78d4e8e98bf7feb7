/* Metrics of the process: process_* (CPU, memory, descriptors, start), weir_build_info, weir_memory_bytes
 * from the allocator, weir_log_dropped_total from the rings. Read from /proc at each scrape. */
#ifndef TELEMETRY_PROCESS_H
#define TELEMETRY_PROCESS_H

#include "telemetry/metrics.h"
#include "telemetry/ring.h"

#define TEL_PROCESS_LOGS_MAX 8

/* Registers them all. 0 or -ENOMEM. */
int tel_process_init(void);

/* weir_log_dropped_total{log="<name of the ring>"}, and weir_log_written_bytes_total likewise. The ring is
 * borrowed until it is removed. 0, or -ENOSPC beyond TEL_PROCESS_LOGS_MAX rings. */
int tel_process_add_log(struct tel_ring *ring);
/* Before tel_ring_stop; its figures stay on the page with their last values. */
void tel_process_remove_log(struct tel_ring *ring);

struct tel_process_stat {
    double cpu_seconds;   /* user and system */
    double start_seconds; /* since 1970 */
    uint64_t resident_bytes, virtual_bytes;
    uint64_t open_fds, fds_max;
    uint64_t threads;
};
/* What the kernel says now; fields that could not be read are 0. Opens files: not on a loop. */
void tel_process_stat(struct tel_process_stat *out);

#endif
