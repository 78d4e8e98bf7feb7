#include "admin/admin.h"

#include "admin/answer.h"

const struct adm_path adm_paths[] = {
    {"/", ADM_GET, false, "this list", adm_index},
    {"/metrics", ADM_GET, true, "metrics for Prometheus", adm_metrics},
    {"/livez", ADM_GET, true, "200 while the process works", adm_livez},
    {"/readyz", ADM_GET, true, "200 while it takes new requests; ?verbose lists the checks", adm_readyz},
    {"/healthz", ADM_GET, true, "the same as /livez", adm_livez},
    {"/-/healthy", ADM_GET, true, "the same as /livez", adm_livez},
    {"/-/ready", ADM_GET, true, "the same as /readyz", adm_readyz},
    {"/-/reload", ADM_POST, false, "loads the config again", adm_post_reload},
    {"/-/drain", ADM_POST, false, "finishes what is in flight, then ends", adm_post_drain},
    {"/api/v1/log", ADM_GET | ADM_PUT, false,
     "the level of weir's own log; PUT {\"level\":\"debug\"} sets it", adm_log},
    {"/api/v1/config/routes", ADM_GET, false, "the routes in force", adm_routes},
    {"/api/v1/upstreams", ADM_GET, false, "upstreams and endpoints: limits, load, breakers, health",
     adm_upstreams},
    {"/api/v1/slow", ADM_GET, false, "the slowest and the last failed requests, and what they waited for",
     adm_slow},
    {"/debug/fibers", ADM_GET, false, "fibers, stacks and workers", adm_fibers},
    {0},
};

static unsigned method_bit(enum http_method method) {
    switch (method) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD: return ADM_GET;
    case HTTP_METHOD_POST: return ADM_POST;
    case HTTP_METHOD_PUT: return ADM_PUT;
    default: return 0;
    }
}

static struct b_slice allow(unsigned methods) {
    return methods == ADM_POST              ? B_LIT("POST")
           : methods == (ADM_GET | ADM_PUT) ? B_LIT("GET, HEAD, PUT")
                                            : B_LIT("GET, HEAD");
}

/* ---- answers ---- */

int adm_answer(struct exchange *ex, uint16_t status, struct b_slice type, struct b_slice body) {
    struct b_arena *arena = &ex->call.arena;
    int rc = gw_response(ex, status, 4);
    if (rc < 0)
        return rc;
    if (http_fields_add_id(arena, &ex->res.fields, HTTP_FIELD_CONTENT_TYPE, type) < 0 ||
        http_fields_add_id(arena, &ex->res.fields, HTTP_FIELD_CACHE_CONTROL, B_LIT("no-store")) < 0)
        return -HTTP_E_OUT_OF_MEMORY;
    return gw_answer(ex, body);
}

int adm_answer_text(struct exchange *ex, uint16_t status, struct b_slice type, struct b_text *body) {
    int rc = body->failed ? -HTTP_E_OUT_OF_MEMORY : adm_answer(ex, status, type, b_text_slice(body));
    b_text_free(body);
    return rc;
}

void adm_seconds(struct json_writer *w, const char *name, rt_time span) {
    json_key(w, b_slice_cstr(name));
    bool fine = span % RT_MS != 0;
    b_text_printf(w->out, "%lld.%0*lld", (long long)(span / RT_S), fine ? 6 : 3,
                  (long long)(span % RT_S / (fine ? RT_US : RT_MS)));
    w->after_key = false;
}

void adm_flag(struct json_writer *w, const char *name, bool value) {
    json_key(w, b_slice_cstr(name));
    json_bool(w, value);
}

int adm_finish(struct exchange *ex, struct json_writer *w) {
    b_text_char(w->out, '\n');
    return adm_answer_text(ex, 200, ADM_JSON, w->out);
}

bool adm_has_parameter(const struct exchange *ex, struct b_slice name) {
    struct b_slice rest = ex->req.query, item;
    while (b_slice_next(&rest, '&', &item))
        if (b_slice_eq(b_slice(item.ptr, b_slice_find(item, '=')), name))
            return true;
    return false;
}

/* ---- the handler ---- */

static int run(struct exchange *ex, void *state) {
    const struct adm_path *p = adm_paths;
    (void)state;
    while (p->path && !b_slice_eq(ex->req.path, b_slice_cstr(p->path)))
        p++;
    if (!p->path)
        return gw_error(ex, HTTP_E_NO_ROUTE, "The admin address has no such path. / lists those it has.");
    if (!(p->methods & method_bit(ex->req.method))) {
        ex->allow = allow(p->methods);
        return -HTTP_E_METHOD_NOT_ALLOWED;
    }
    int rc = p->open ? 0 : adm_authorise(ex);
    return rc < 0 || ex->sent != GW_SENT_NOTHING ? rc : p->run(ex);
}

static int open_admin(const struct gw_open *open, const struct cfg_route *route, const void *conf,
                      void **state) {
    (void)route, (void)conf, (void)state;
    return adm_check(open->snapshot->root, open->errors);
}

const struct gw_handler adm_handler = {
    .module = {.name = "admin", .summary = "Metrics, health and control of weir itself"},
    .open = open_admin,
    .run = run,
};
