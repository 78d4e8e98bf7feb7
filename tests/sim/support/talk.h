/* One end of a connection that speaks HTTP/1, for simulated clients and origins, and bodies whose every byte follows
 * from the number of the request that they belong to. */
#ifndef SIM_SUPPORT_TALK_H
#define SIM_SUPPORT_TALK_H

#include "http/h1_parse.h"
#include "runtime/io.h"

#define TALK_BUFFER 65536
#define TALK_FIELDS 64

/* One fiber may send while another one receives. */
struct talk {
    struct rt_stream stream;
    rt_time patience; /* the longest a send waits */
    size_t len;       /* received, not used yet */
    struct http_field fields[TALK_FIELDS];
    char in[TALK_BUFFER], out[4096];
};

/* NULL when memory is short: never because the run lets allocations fail. */
struct talk *talk_new(rt_time patience);
void talk_free(struct talk *t);

/* More bytes, by `until`: positive, 0 at the end, or an error. */
ssize_t talk_fill(struct talk *t, rt_time until);
/* Drops what was used. */
void talk_use(struct talk *t, size_t n);
bool talk_send(struct talk *t, const void *p, size_t n);
bool talk_send_text(struct talk *t, const char *text);

/* How many bytes the request `id` has, or its answer. */
size_t talk_body_size(unsigned id, bool answer);

struct talk_sending {
    unsigned id;
    bool answer, chunked;
    size_t bytes;    /* of them so many */
    rt_time pause;   /* between pieces now and then, up to this */
    rt_time *paused; /* NULL, or since when it pauses; 0: it does not */
};
/* Without the last chunk. */
bool talk_send_body(struct talk *t, const struct talk_sending *s);

struct talk_reading {
    enum http_body_kind kind;
    uint64_t left; /* of HTTP_BODY_LENGTH */
    unsigned id;   /* 0: the bytes are not weir's to carry, and are not looked at */
    bool answer;
    rt_time patience;  /* the longest that its bytes may stay away */
    rt_time *progress; /* NULL, or gets the time at which the last bytes came */
    size_t size;       /* out: bytes that came */
};
enum talk_result {
    TALK_WHOLE,
    TALK_BROKEN_OFF, /* the connection ended inside */
    TALK_MALFORMED,
    TALK_SILENT, /* nothing came for too long */
};
/* Reads a body and checks its bytes. */
enum talk_result talk_read_body(struct talk *t, struct talk_reading *r);

#endif
