#include "handler/proxy_upgrade.h"

#include "http/chars.h"

/* Other versions of HTTP, and TLS, would be spoken past everything that weir checks (H14). */
static bool is_http(struct b_slice name) {
    static const char *const names[] = {"h2c", "h2", "h3", "http", "tls"};
    name.len = b_slice_find(name, '/');
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (b_slice_ieq(name, b_slice_cstr(names[i])))
            return true;
    return false;
}

static bool is_protocol(struct b_slice text) {
    size_t slash = b_slice_find(text, '/');
    struct b_slice version = b_slice_from(text, slash < text.len ? slash + 1 : slash);
    return http_is_token(b_slice(text.ptr, slash)) && (slash == text.len || http_is_token(version));
}

int hd_proxy_upgrade_check(struct cfg_errors *errors, const struct cfg_list *protocols) {
    int rc = 0;
    CFG_EACH(const struct cfg_text, p, protocols) {
        char shown[CFG_SHOWN_SIZE];
        if (!is_protocol(p->text))
            rc = cfg_error_at(errors, p->node, "%s is no protocol: write a name such as websocket",
                              cfg_node_shown(p->node, shown));
        else if (is_http(p->text))
            rc = cfg_error_at(errors, p->node, "an upgrade to %s would bypass the gateway: take it out",
                              cfg_node_shown(p->node, shown));
    }
    return rc;
}

struct b_slice hd_proxy_upgrade(const struct exchange *ex, const struct cfg_list *protocols) {
    const struct http_fields *fs = &ex->req.fields;
    if (!ex->req.upgrade || !protocols->count || gw_body_pending(ex))
        return b_slice(NULL, 0);
    for (const struct http_field *f = NULL; (f = http_fields_next(fs, HTTP_FIELD_UPGRADE, f));) {
        struct b_slice rest = http_field_value(f), asked;
        while (http_list_next(&rest, &asked))
            CFG_EACH(const struct cfg_text, p, protocols)
                if (b_slice_ieq(asked, p->text))
                    return p->text;
    }
    return b_slice(NULL, 0);
}
