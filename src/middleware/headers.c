/* Sets, adds and removes header fields of requests on their way up and of responses on their way down. */
#include <errno.h>

#include "gateway/module.h"
#include "middleware/names_common.h"

struct edit {
    struct cfg_head head;
    struct cfg_list set, add; /* struct cfg_text, with names */
    struct cfg_list remove;   /* struct cfg_text */
};

struct headers_conf {
    struct cfg_head head;
    struct edit request, response;
};

static const struct cfg_option edit_options[] = {
    {.name = "set",
     .type = CFG_STRING_MAP,
     CFG_AT(struct edit, set),
     .flags = CFG_HEADER_NAMES,
     .max = 64,
     .example = "{X-Env: production}",
     .help = "headers to write in place of any of that name"},
    {.name = "add",
     .type = CFG_STRING_MAP,
     CFG_AT(struct edit, add),
     .flags = CFG_HEADER_NAMES,
     .max = 64,
     .example = "{Vary: Accept}",
     .help = "headers to write beside those of that name"},
    {.name = "remove",
     .type = CFG_STRINGS,
     CFG_AT(struct edit, remove),
     .max = 64,
     .example = "[Server]",
     .help = "headers to take out; done before `set` and `add`"},
    {0},
};

static int check_edit(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct edit *e = conf;
    (void)node;
    int set = mw_check_names(errors, &e->set), add = mw_check_names(errors, &e->add), rc = 0;
    CFG_EACH(struct cfg_text, it, &e->remove)
        if (mw_check_name(errors, it->node, it->text) < 0)
            rc = -EINVAL;
    return set < 0 ? set : add < 0 ? add : rc;
}

static const struct cfg_table edit_table = {
    .name = "a change of headers",
    .summary = "What to do with the headers of one direction",
    .options = edit_options,
    .size = sizeof(struct edit),
    .check = check_edit,
};

static const struct cfg_option options[] = {
    {.name = "request",
     .type = CFG_OBJECT,
     CFG_AT(struct headers_conf, request),
     .table = &edit_table,
     .help = "the request that goes to the upstream"},
    {.name = "response",
     .type = CFG_OBJECT,
     CFG_AT(struct headers_conf, response),
     .table = &edit_table,
     .help = "the response that goes to the client, weir's own answers included"},
    {0},
};

static bool is_idle(const struct edit *e) {
    return e->set.count + e->add.count + e->remove.count == 0;
}

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct headers_conf *c = conf;
    if (is_idle(&c->request) && is_idle(&c->response))
        cfg_warn_at(errors, node,
                    "\"headers\" changes nothing: give it `request` or `response` with set, add or remove");
    return 0;
}

static const struct cfg_table table = {
    .name = "headers",
    .summary = "Hop-by-hop headers, Content-Length and Host are weir's own and cannot be named",
    .options = options,
    .size = sizeof(struct headers_conf),
    .check = check,
};

/* Names and values were checked by the load; what is left to fail is memory. */
static int apply(const struct edit *e, struct b_arena *arena, struct http_fields *fields) {
    CFG_EACH(struct cfg_text, it, &e->remove)
        (void)http_fields_remove_name(fields, it->text);
    CFG_EACH(struct cfg_text, it, &e->set)
        if (http_fields_set(arena, fields, it->name, it->text) < 0)
            return -HTTP_E_OUT_OF_MEMORY;
    CFG_EACH(struct cfg_text, it, &e->add)
        if (http_fields_add(arena, fields, it->name, it->text) < 0)
            return -HTTP_E_OUT_OF_MEMORY;
    return 0;
}

static void change_response(struct exchange *ex, struct gw_head_hook *self) {
    const struct headers_conf *conf = self->conf;
    if (apply(&conf->response, &ex->call.arena, &ex->res.fields) < 0)
        ex->close = true; /* memory is short; the answer goes out with what could be done */
}

static int run(struct exchange *ex, void *state) {
    const struct headers_conf *conf = state;
    struct gw_head_hook hook = {.fn = change_response, .conf = conf, .next = ex->hooks};
    int rc = apply(&conf->request, &ex->call.arena, &ex->req.fields);
    if (rc < 0)
        return rc;
    if (is_idle(&conf->response))
        return gw_next(ex);
    ex->hooks = &hook;
    rc = gw_next(ex);
    ex->hooks = hook.next;
    return rc;
}

const struct gw_middleware mw_headers = {
    .module = {.name = "headers",
               .summary = "Sets, adds and removes headers of requests and responses",
               .options = &table},
    .run = run,
};
