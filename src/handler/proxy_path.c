#include "handler/proxy_path.h"

#include <errno.h>

#include "base/escape.h"
#include "handler/proxy_rewrite.h"
#include "http/path.h"

struct hd_path {
    struct b_slice strip, add; /* without a final slash */
    const struct hd_path_conf *conf;
    bool own_host; /* of the endpoint */
    unsigned rewrites;
    struct hd_rewrite *rewrite[];
};

/* --- the config --- */

static const struct cfg_option rewrite_options[] = {
    {.name = "regex",
     .type = CFG_STRING,
     CFG_AT(struct hd_rewrite_conf, regex),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 1024,
     .example = "\"^/dir(.*)\"",
     .help = "a Perl-compatible regular expression, matched against the normalised path"},
    {.name = "to",
     .type = CFG_STRING,
     CFG_AT(struct hd_rewrite_conf, to),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 1024,
     .example = "\"/$1\"",
     .help = "what takes the place of what it matched: $1 to $9 are its groups, $0 all of it, $$ a dollar"},
    {0},
};

const struct cfg_table hd_rewrite_table = {
    .name = "a rewrite",
    .summary = "A change of the path by a regular expression; `strip_prefix` is cheaper where it does",
    .options = rewrite_options,
    .size = sizeof(struct hd_rewrite_conf),
};

static const struct cfg_option query_options[] = {
    {.name = "set",
     .type = CFG_STRING_MAP,
     CFG_AT(struct hd_query_conf, set),
     .max = 64,
     .example = "{tenant: acme}",
     .help = "parameters to write in place of any of that name"},
    {.name = "add",
     .type = CFG_STRING_MAP,
     CFG_AT(struct hd_query_conf, add),
     .max = 64,
     .example = "{via: weir}",
     .help = "parameters to write beside those of that name"},
    {.name = "remove",
     .type = CFG_STRINGS,
     CFG_AT(struct hd_query_conf, remove),
     .max = 64,
     .example = "[debug]",
     .help = "parameters to take out; done before `set` and `add`"},
    {0},
};

const struct cfg_table hd_query_table = {
    .name = "a change of the query",
    .summary = "What to do with the parameters of the query; the others stay as they came, in their order",
    .options = query_options,
    .size = sizeof(struct hd_query_conf),
};

/* What an origin may get as a prefix: normal already, so that it stays what the config says. */
static bool is_normal(struct b_slice path) {
    char buf[1];
    struct b_text out = b_text_fixed(buf, 0); /* what would be written is not wanted */
    return http_path_normalise(path, 0, &out) == HTTP_PATH_SAME;
}

static __attribute__((noinline)) int check_prefixes(struct cfg_errors *errors, const struct cfg_node *node,
                                                    const struct hd_path_conf *c) {
    if (c->strip_prefix.ptr && c->strip_prefix.ptr[0] != '/')
        return cfg_error_at(errors, node, "strip_prefix must begin with /, like a path");
    if (c->add_prefix.ptr && !is_normal(c->add_prefix))
        return cfg_error_at(
            errors, cfg_node_get(node, "add_prefix"),
            "add_prefix must be a path such as /v2, without //, dot segments, or what needs an escape");
    return 0;
}

static bool is_host(struct b_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = b_lower(s.ptr[i]);
        if (!b_is_digit(c) && !(c >= 'a' && c <= 'z') && !strchr("-._:[]", c))
            return false;
    }
    return s.len > 0;
}

int hd_path_check(struct cfg_errors *errors, const struct cfg_node *node, struct hd_path_conf *c) {
    int rc = check_prefixes(errors, node, c);
    if (c->host.ptr && !is_host(c->host))
        rc = cfg_error_at(errors, cfg_node_get(node, "host"),
                          "host is `endpoint`, or a name such as orders.internal, with a port perhaps");
    CFG_EACH(const struct hd_rewrite_conf, r, &c->rewrite)
        for (size_t i = 0; i < r->to.len; i++)
            if ((unsigned char)r->to.ptr[i] <= ' ' || (unsigned char)r->to.ptr[i] >= 0x7f ||
                strchr("?#\\", r->to.ptr[i])) {
                rc = cfg_error_at(
                    errors, cfg_node_get(r->head.node, "to"),
                    "\"to\" makes a path: it holds no space, ?, # or backslash; `query` changes the query");
                break;
            }
    return rc;
}

static struct b_slice without_slash(struct b_slice s) {
    while (s.len && s.ptr[s.len - 1] == '/')
        s.len--;
    return s;
}

static bool is_idle(const struct hd_path_conf *c) {
    return !c->strip_prefix.len && !c->add_prefix.len && !c->rewrite.count && !c->host.len &&
           !c->query.set.count && !c->query.add.count && !c->query.remove.count;
}

int hd_path_open(const struct gw_open *o, const struct hd_path_conf *conf, struct hd_path **out) {
    *out = NULL;
    if (is_idle(conf))
        return 0;
    struct hd_path *p = b_arena_zalloc(o->arena, sizeof *p + conf->rewrite.count * sizeof p->rewrite[0]);
    if (!p)
        return cfg_error_memory(o->errors);
    p->conf = conf;
    p->strip = without_slash(conf->strip_prefix);
    p->add = without_slash(conf->add_prefix);
    p->own_host = b_slice_eq(conf->host, B_LIT("endpoint"));
    CFG_EACH(const struct hd_rewrite_conf, r, &conf->rewrite) {
        char buf[256];
        struct b_text why = b_text_fixed(buf, sizeof buf - 1);
        p->rewrite[p->rewrites] = hd_rewrite_new(r->regex, r->to, &why);
        if (p->rewrite[p->rewrites]) {
            p->rewrites++;
            continue;
        }
        buf[why.len] = 0;
        hd_path_free(p);
        return why.len ? cfg_error_at(o->errors, cfg_node_get(r->head.node, "regex"),
                                      "the rewrite does not do: %s", buf)
                       : cfg_error_memory(o->errors);
    }
    *out = p;
    return 0;
}

void hd_path_free(struct hd_path *p) {
    for (unsigned i = 0; p && i < p->rewrites; i++)
        hd_rewrite_free(p->rewrite[i]);
}

/* --- the path --- */

static struct b_slice stripped(struct b_slice path, struct b_slice prefix) {
    if (!prefix.len || !b_slice_starts(path, prefix))
        return path;
    if (path.len > prefix.len && path.ptr[prefix.len] != '/')
        return path; /* /apiary is not below /api */
    struct b_slice rest = b_slice_from(path, prefix.len);
    return rest.len ? rest : B_LIT("/");
}

static int prefixed(struct b_arena *arena, struct b_slice prefix, struct b_slice *path) {
    struct b_text out = b_text_fixed(b_arena_alloc(arena, prefix.len + path->len), prefix.len + path->len);
    if (!out.ptr)
        return -HTTP_E_OUT_OF_MEMORY;
    b_text_slice_add(&out, prefix);
    b_text_slice_add(&out, *path);
    *path = b_text_slice(&out);
    return 0;
}

/* The first expression that matches. What comes out must be a path as any other: it goes through the same check as those of
 * clients do (S29, S30, A09). */
static __attribute__((noinline)) int rewritten(struct b_arena *arena, const struct hd_path *p,
                                               struct b_slice *path) {
    struct b_slice made;
    int rc = 0;
    for (unsigned i = 0; i < p->rewrites && rc == 0; i++)
        rc = hd_rewrite_match(p->rewrite[i], *path, arena, &made);
    if (rc <= 0)
        return rc;
    struct b_text out = b_text_fixed(b_arena_alloc(arena, HTTP_PATH_MAX(made.len)), HTTP_PATH_MAX(made.len));
    if (!out.ptr)
        return -HTTP_E_OUT_OF_MEMORY;
    rc = http_path_normalise(made, 0, &out);
    if (rc < 0)
        return -HTTP_E_BAD_OUTPUT;
    *path = rc == HTTP_PATH_CHANGED ? b_text_slice(&out) : made;
    return 0;
}

/* --- the query --- */

static bool names(const struct cfg_list *list, struct b_slice name, bool keyed) {
    CFG_EACH(const struct cfg_text, t, list)
        if (b_slice_eq(keyed ? t->name : t->text, name))
            return true;
    return false;
}

static void add_pair(struct b_text *out, struct b_slice pair) {
    if (out->len)
        b_text_char(out, '&');
    b_text_slice_add(out, pair);
}

static void add_all(struct b_text *out, const struct cfg_list *list) {
    CFG_EACH(const struct cfg_text, t, list) {
        if (out->len)
            b_text_char(out, '&');
        b_text_query(out, t->name);
        b_text_char(out, '=');
        b_text_query(out, t->text);
    }
}

static size_t room_of(const struct cfg_list *list) {
    size_t sum = 0;
    CFG_EACH(const struct cfg_text, t, list)
        sum += 3 * (t->name.len + t->text.len) + 2;
    return sum;
}

static __attribute__((noinline)) int edit_query(struct b_arena *arena, const struct hd_query_conf *q,
                                                struct http_request *r) {
    size_t room = r->query.len + room_of(&q->set) + room_of(&q->add) + 1;
    struct b_text out = b_text_fixed(b_arena_alloc(arena, room), room);
    struct b_slice rest = r->query, pair;
    if (!out.ptr)
        return -HTTP_E_OUT_OF_MEMORY;
    while (b_slice_next(&rest, '&', &pair)) {
        struct b_slice name = b_slice(pair.ptr, b_slice_find(pair, '='));
        if (!names(&q->remove, name, false) && !names(&q->set, name, true))
            add_pair(&out, pair);
    }
    add_all(&out, &q->set);
    add_all(&out, &q->add);
    if (out.failed)
        return -HTTP_E_INTERNAL;
    r->query = b_text_slice(&out);
    r->has_query = out.len > 0;
    return 0;
}

int hd_path_apply(struct exchange *ex, const struct hd_path *p, struct http_request *out) {
    struct b_arena *arena = &ex->call.arena;
    const struct hd_query_conf *q = &p->conf->query;
    int rc = 0;
    if (out->path.len && out->path.ptr[0] == '/') { /* not `OPTIONS *` */
        out->path = stripped(out->path, p->strip);
        if (p->rewrites)
            rc = rewritten(arena, p, &out->path);
        if (rc == 0 && p->add.len)
            rc = prefixed(arena, p->add, &out->path);
    }
    if (rc == 0 && (q->set.count || q->add.count || q->remove.count))
        rc = edit_query(arena, q, out);
    if (p->own_host)
        out->authority = b_slice(NULL, 0);
    else if (p->conf->host.len)
        out->authority = p->conf->host;
    return rc;
}
