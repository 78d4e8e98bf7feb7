/* Gives every request an id that client, upstream and logs share. */
#include "gateway/module.h"
#include "middleware/names_common.h"

struct request_id_conf {
    struct cfg_head head;
    struct b_slice header;
};

static const struct cfg_option options[] = {
    {.name = "header",
     .type = CFG_STRING,
     CFG_AT(struct request_id_conf, header),
     .default_text = "X-Request-Id",
     .min = 1,
     .max = 64,
     .help = "the header that carries it, in the request to the upstream and in the response"},
    {0},
};

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct request_id_conf *c = conf;
    const struct cfg_node *at = cfg_node_get(node, "header");
    return mw_check_name(errors, at ? at : node, c->header);
}

static const struct cfg_table table = {
    .name = "a request id",
    .summary =
        "A peer in `trusted_proxies` may bring its own id, 1 to 64 visible ASCII characters; everyone else gets "
        "a fresh one",
    .options = options,
    .size = sizeof(struct request_id_conf),
    .check = check,
    .shorthand = "header",
};

/* It ends up in logs and headers. */
static bool acceptable(struct b_slice id) {
    if (id.len == 0 || id.len > GW_REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] <= ' ' || id.ptr[i] >= 0x7f)
            return false;
    return true;
}

static struct b_slice choose(struct exchange *ex, struct b_slice header) {
    const struct http_field *given = http_fields_find_name(&ex->req.fields, header);
    if (given && acceptable(http_field_value(given)) && gw_peer_trusted(ex))
        ex->request_id =
            b_arena_copy(&ex->call.arena, http_field_value(given)); /* the field may be replaced */
    return gw_request_id(ex);
}

/* An upstream that sends the header back does not make it two. */
static void add_to_response(struct exchange *ex, struct gw_head_hook *self) {
    const struct request_id_conf *conf = self->conf;
    if (http_fields_set(&ex->call.arena, &ex->res.fields, conf->header, ex->request_id) < 0)
        ex->close = true; /* memory is short; the answer goes out without its id */
}

static int run(struct exchange *ex, void *state) {
    const struct request_id_conf *conf = state;
    struct gw_head_hook hook = {.fn = add_to_response, .conf = conf, .next = ex->hooks};
    struct b_slice id = choose(ex, conf->header);
    if (id.len == 0 || http_fields_set(&ex->call.arena, &ex->req.fields, conf->header, id) < 0)
        return -HTTP_E_OUT_OF_MEMORY;
    ex->hooks = &hook;
    int rc = gw_next(ex);
    ex->hooks = hook.next;
    return rc;
}

const struct gw_middleware mw_request_id = {
    .module = {.name = "request_id",
               .summary =
                   "Gives each request an id that goes to the upstream, to the client and into the logs",
               .options = &table},
    .run = run,
};
