#include "handler/proxy_trailers.h"

#include "gateway/conn.h"
#include "http/chars.h"
#include "http/h1_parse.h"

int hd_trailers_check(struct cfg_errors *errors, const struct cfg_list *names) {
    int rc = 0;
    CFG_EACH(const struct cfg_text, n, names) {
        char shown[CFG_SHOWN_SIZE];
        if (!http_is_token(n->text) || b_slice_find(n->text, '_') < n->text.len)
            rc = cfg_error_at(errors, n->node, "%s is no name of a header", cfg_node_shown(n->node, shown));
        else if (http_field_info(http_field_id(n->text))->flags & HTTP_F_NEVER_TRAILER)
            rc = cfg_error_at(errors, n->node,
                              "%s decides how a message is handled and cannot stand behind it: take it out",
                              cfg_node_shown(n->node, shown));
    }
    return rc;
}

static bool has(const struct hd_trailers *t, struct b_slice name) {
    CFG_EACH(const struct cfg_text, n, t->names)
        if (b_slice_ieq(n->text, name))
            return true;
    return false;
}

struct b_slice hd_trailers_announced(struct exchange *ex, const struct hd_trailers *t,
                                     const struct http_fields *fields) {
    size_t room = 0;
    for (const struct http_field *f = NULL; (f = http_fields_next(fields, HTTP_FIELD_TRAILER, f));)
        room += 2 * (size_t)f->value_len + 2; /* a comma may stand without its space */
    struct b_text out = b_text_fixed(room ? b_arena_alloc(&ex->call.arena, room) : NULL, room);
    if (!out.ptr)
        return b_slice(NULL, 0);
    for (const struct http_field *f = NULL; (f = http_fields_next(fields, HTTP_FIELD_TRAILER, f));) {
        struct b_slice rest = http_field_value(f), name;
        while (http_list_next(&rest, &name)) {
            if (!has(t, name))
                continue;
            if (out.len)
                b_text_lit(&out, ", ");
            b_text_slice_add(&out, name);
        }
    }
    return b_text_slice(&out);
}

int hd_trailers_announce(struct exchange *ex, struct http_fields *fields, struct b_slice names) {
    if (!names.len)
        return 0;
    if (http_fields_add_id(&ex->call.arena, fields, HTTP_FIELD_TRAILER, names) != 0)
        return -HTTP_E_OUT_OF_MEMORY;
    fields->at[fields->count - 1].flags &= (uint8_t)~HTTP_F_HOP; /* this one is weir's own */
    return 0;
}

int hd_trailers_open(struct exchange *ex, const struct cfg_list *names, struct hd_trailers **out) {
    const struct http_request *r = &ex->req;
    struct hd_trailers *t = b_arena_zalloc(&ex->call.arena, sizeof *t);
    *out = t;
    if (!t)
        return -HTTP_E_OUT_OF_MEMORY;
    t->names = names;
    t->wanted = r->minor == 1 && http_fields_has_token(&r->fields, HTTP_FIELD_TE, B_LIT("trailers"));
    t->request = t->response = b_text_heap(B_TAG_REQUESTS, ex->snapshot->limits.max_header_bytes);
    if (r->body == HTTP_BODY_CHUNKED) {
        ex->chunked.trailers = &t->request;
        t->announced = hd_trailers_announced(ex, t, &r->fields);
    }
    return 0;
}

void hd_trailers_close(struct exchange *ex, struct hd_trailers *t) {
    ex->chunked.trailers = NULL; /* the rest of the body may still be read */
    ex->trailers = NULL;
    b_text_free(&t->request);
    b_text_free(&t->response);
}

static int take(const struct hd_trailers *t, const struct b_text *section, const struct http_limits *limits,
                struct http_fields *out) {
    ssize_t n = h1_parse_trailers(b_text_slice(section), limits, gw_worker()->req_fields, GW_FIELDS_MAX, out);
    unsigned kept = 0;
    if (n <= 0)
        return n < 0 ? (int)n : -HTTP_E_BAD_TRAILER;
    for (unsigned i = 0; i < out->count; i++)
        if (has(t, http_field_name(&out->at[i])))
            out->at[kept++] = out->at[i];
    out->count = (uint16_t)kept;
    return 0;
}

int hd_trailers_of_request(struct exchange *ex, struct hd_trailers *t) {
    struct http_limits limits = gw_head_limits(ex->conn, ex->snapshot);
    int rc = take(t, &t->request, &limits, &t->behind);
    ex->close |= rc < 0; /* as after any malformed message */
    return rc;
}

int hd_trailers_of_response(struct hd_trailers *t) {
    struct http_limits limits = http_limits_default;
    limits.allow = HTTP_ALLOW_UNDERSCORE; /* as in a response's head */
    return take(t, &t->response, &limits, &t->back);
}
