/* What the admin's paths share: their table, and ways to answer. */
#ifndef ADMIN_ANSWER_H
#define ADMIN_ANSWER_H

#include "base/log.h"
#include "gateway/gateway.h"
#include "json/writer.h"

#define ADM_JSON B_LIT("application/json")
#define ADM_TEXT B_LIT("text/plain; charset=utf-8")
#define ADM_BODY_MAX ((size_t)16 << 20)

enum adm_methods { ADM_GET = 1, ADM_POST = 2, ADM_PUT = 4 }; /* GET stands for HEAD too */

struct adm_path {
    const char *path;
    unsigned methods; /* enum adm_methods */
    bool open;        /* needs no token, wherever the address is */
    const char *summary;
    int (*run)(struct exchange *ex); /* contract of gw_handler.run */
};
extern const struct adm_path adm_paths[]; /* ends with an empty one */

/* A whole answer, not to be cached. */
int adm_answer(struct exchange *ex, uint16_t status, struct b_slice type, struct b_slice body);
/* The same from a text on the heap, which is freed; 503 when it failed. */
int adm_answer_text(struct exchange *ex, uint16_t status, struct b_slice type, struct b_text *body);
/* Whether the query has this parameter, with any value or none. */
bool adm_has_parameter(const struct exchange *ex, struct b_slice name);

static inline struct gateway *adm_gateway(const struct exchange *ex) {
    return ex->snapshot->gateway;
}
static inline struct b_text adm_text(void) {
    return b_text_heap(B_TAG_GATEWAY, ADM_BODY_MAX);
}

/* Members of an object that is being written. */
void adm_seconds(struct json_writer *w, const char *name, rt_time span);
void adm_flag(struct json_writer *w, const char *name, bool value);
/* Answers 200 with what was written, as adm_answer_text. */
int adm_finish(struct exchange *ex, struct json_writer *w);

/* token.c: may this request have what is not open? 0, or the failure that was answered or is to be returned. */
int adm_authorise(struct exchange *ex);

/* The paths, by file. */
int adm_index(struct exchange *ex); /* index.c */
int adm_livez(struct exchange *ex); /* health.c */
int adm_readyz(struct exchange *ex);
int adm_metrics(struct exchange *ex);     /* metrics.c */
int adm_post_reload(struct exchange *ex); /* control.c */
int adm_post_drain(struct exchange *ex);
int adm_log(struct exchange *ex);
int adm_routes(struct exchange *ex); /* inside.c */
int adm_slow(struct exchange *ex);
int adm_fibers(struct exchange *ex);
int adm_upstreams(struct exchange *ex); /* upstreams.c */

/* control.c: `{"level": "debug"}`, and nothing else. Pure. */
bool adm_parse_level(struct b_slice body, enum b_level *level);

#endif
