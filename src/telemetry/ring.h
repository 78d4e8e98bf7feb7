/* Lines on their way to a file: each worker has a ring of bytes of its own, and one writer thread drains them
 * all with writev. Producers never wait: a line that does not fit is dropped and counted, and a line
 * {"dropped":N} tells so once there is room. Lines of one producer keep their order; those of different
 * producers are merged as they come. */
#ifndef TELEMETRY_RING_H
#define TELEMETRY_RING_H

#include "base/log.h"

#define TEL_RING_BYTES (256u * 1024)
#define TEL_RING_BYTES_MIN (32u * 1024)
#define TEL_RING_PRODUCERS 256u
#define TEL_RING_FLUSH_MS 1000 /* the most that tel_ring_stop waits */

struct tel_ring;

struct tel_ring_options {
    const char *name;   /* of the writer thread and in messages; at most 15 bytes; static */
    const char *path;   /* opened for append, mode 0640, and again by tel_ring_reopen; NULL: use fd */
    int fd;             /* borrowed, not closed; its flags stay as they are */
    unsigned producers; /* workers, 1 to TEL_RING_PRODUCERS; all other threads share one ring under a lock */
    size_t bytes;       /* of one ring, rounded up to a power of two; 0: TEL_RING_BYTES */
    /* The index of the calling worker; a number >= producers on any other thread. NULL: none is a worker. */
    unsigned (*producer)(void);
    bool text; /* the dropped marker is written for people and not as JSON */
};

/* What has become of the lines, since the start. */
struct tel_ring_stat {
    uint64_t dropped; /* lines that found their ring full, were too long, or could not be written */
    uint64_t bytes;   /* written */
};

/* Opens the path; *out is given back by tel_ring_stop. 0, -ENOMEM, -EINVAL, or the error of open. No thread
 * runs yet and lines may be put already. */
int tel_ring_new(const struct tel_ring_options *options, struct tel_ring **out);
/* Starts the writer thread. 0 or the thread's error. Without it tel_ring_drain writes (tests, simulator), and
 * waits for no reader. */
int tel_ring_start(struct tel_ring *r);
/* Writes what is there in the calling thread; only while no writer thread runs. Gives the number of bytes
 * written. */
size_t tel_ring_drain(struct tel_ring *r);
/* Writes what is left, for at most TEL_RING_FLUSH_MS, ends the writer and frees the ring. No producer may use
 * it any more, and it is no longer the sink of B_LOG. 0; -ETIMEDOUT when the reader of the file did not keep
 * up and lines were lost: if the writer hangs in its write, ring and thread are left alone, which is for a
 * process that is about to end. */
int tel_ring_stop(struct tel_ring *r);

/* Hands a line over; it ends in '\n'. False: dropped. Any thread; no lock on a worker. */
bool tel_ring_put(struct tel_ring *r, struct b_slice line);

/* The same for a line that `format` writes, with its '\n', into the producer's own buffer of `max` bytes (the
 * same number at every call on one ring). A line that failed to fit is dropped and counted. */
bool tel_ring_put_with(struct tel_ring *r, size_t max, void (*format)(struct b_text *line, const void *arg),
                       const void *arg);

/* Asks the writer to open the path again (log rotation); the old file stays while that fails. Any thread. */
void tel_ring_reopen(struct tel_ring *r);

struct tel_ring_stat tel_ring_stat(const struct tel_ring *r);
const char *tel_ring_name(const struct tel_ring *r);

/* The ring as a sink for b_log_set_sink; lives as long as the ring. */
const struct b_log_sink *tel_ring_sink(struct tel_ring *r);

#endif
