#include "middleware/names_common.h"

#include "http/chars.h"
#include "http/fields.h"

int mw_check_name(struct cfg_errors *errors, const struct cfg_node *node, struct b_slice name) {
    char shown[CFG_SHOWN_SIZE];
    cfg_text_shown(name, shown);
    if (!http_is_token(name) || name.len > 256)
        return cfg_error_key(errors, node, "%s is no header name: letters, digits and - make one", shown);
    enum http_field_id id = http_field_id(name);
    unsigned flags = http_field_info(id)->flags;
    if (id == HTTP_FIELD_HOST)
        return cfg_error_key(errors, node,
                             "the header %s cannot be changed: it goes on as the client sent it", shown);
    if (flags & HTTP_F_FRAMING)
        return cfg_error_key(errors, node,
                             "the header %s cannot be changed: weir writes it from the body's length", shown);
    if (flags & HTTP_F_HOP)
        return cfg_error_key(
            errors, node,
            "the header %s cannot be changed: it concerns one connection and is never forwarded", shown);
    return 0;
}

int mw_check_names(struct cfg_errors *errors, const struct cfg_list *map) {
    int rc = 0;
    CFG_EACH(struct cfg_text, it, map) {
        int one = mw_check_name(errors, it->node, it->name);
        rc = one < 0 ? one : rc;
    }
    return rc;
}
