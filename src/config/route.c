/* `routes`: which request goes to which handler. */
#include "config/tables.h"

/* ---- the pattern of a path ---- */

/* A segment in braces: `{name}`. NULL, or what is wrong. */
static const char *check_parameter(struct b_slice segment) {
    struct b_slice name = b_slice(segment.ptr + 1, segment.len - 2);
    if (segment.len < 3 || segment.ptr[segment.len - 1] != '}')
        return "a parameter fills its segment, such as /orders/{id}/lines";
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = c == '_' || (b_lower(c) >= 'a' && b_lower(c) <= 'z');
        if (!letter && !(i && b_is_digit(c)))
            return "the name of a parameter has letters, digits and _, and begins with no digit";
    }
    return NULL;
}

static const char *check_literal(struct b_slice s) {
    if (b_slice_eq(s, B_LIT(".")) || b_slice_eq(s, B_LIT("..")))
        return "it holds no . or .. segment: such requests never reach a route";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '{' || c == '}')
            return "a parameter fills its segment, such as /orders/{id}/lines";
        if (c == '*')
            return "a * stands for the rest of the path, and is its last segment: /api/*";
        if (c == '?' || c == '#')
            return "it is matched without query: take ? or # and what follows out";
        if (c <= ' ' || c == 0x7f || c == '\\')
            return "it holds no space, backslash or control character";
        if (c == '%')
            return "write the character itself, not its % code";
    }
    return NULL;
}

/* Has an earlier segment of the path the same text? */
static bool seen_before(struct b_slice path, struct b_slice segment) {
    struct b_slice rest = b_slice(path.ptr, (size_t)(segment.ptr - path.ptr)), earlier;
    while (b_slice_next(&rest, '/', &earlier))
        if (b_slice_eq(earlier, segment))
            return true;
    return false;
}

static const char *check_path(struct b_slice path) {
    if (path.len == 0 || path.ptr[0] != '/')
        return "it begins with /";
    struct b_slice rest = b_slice_from(path, 1), segment;
    while (b_slice_next(&rest, '/', &segment)) {
        const char *why = NULL;
        if (segment.len == 0)
            return "it holds no empty segment: write one / in place of //";
        if (b_slice_eq(segment, B_LIT("*")) && rest.len == 0 && path.ptr[path.len - 1] == '*')
            return NULL;
        if (segment.ptr[0] == '{') {
            why = check_parameter(segment);
            if (!why && seen_before(path, segment))
                why = "a parameter is there twice: give each a name of its own";
        } else {
            why = check_literal(segment);
        }
        if (why)
            return why;
    }
    return NULL;
}

/* ---- match ---- */

static const struct cfg_option match_options[] = {
    {.name = "path",
     .type = CFG_STRING,
     CFG_AT(struct cfg_match, path),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 2048,
     .example = "\"/api/*\"",
     .help = "literal text, `{name}` for one segment, `*` at the end for the rest"},
    {.name = "methods",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_match, methods),
     .max = 32,
     .example = "[GET, POST]",
     .help = "the methods it takes; all of them but TRACE when left out"},
    {.name = "host",
     .type = CFG_STRING,
     CFG_AT(struct cfg_match, host),
     .min = 1,
     .max = 253,
     .example = "api.example.com",
     .help = "the host it is for, without port; all of them when left out"},
    {.name = "listen",
     .type = CFG_ADDR,
     CFG_AT(struct cfg_match, listen),
     .example = "\":8080\"",
     .help = "the listener it is for, by its address; all of them when left out"},
    {0},
};

static const struct cfg_later match_later[] = {{"headers", NULL, "take it out"},
                                               {"query", NULL, "take it out"},
                                               {"hosts", NULL, "write a route for each `host`"},
                                               {0}};

static int check_methods(struct cfg_errors *errors, const struct cfg_match *match) {
    int rc = 0;
    CFG_EACH(struct cfg_text, m, &match->methods) {
        char shown[CFG_SHOWN_SIZE];
        bool upper = m->text.len <= 32;
        for (size_t i = 0; i < m->text.len; i++)
            upper &= (m->text.ptr[i] >= 'A' && m->text.ptr[i] <= 'Z') || m->text.ptr[i] == '-';
        if (!upper)
            rc = cfg_error_at(errors, m->node,
                              "the method %s cannot be: a method is a word in capitals, such as GET",
                              cfg_node_shown(m->node, shown));
        for (const struct cfg_text *before = match->methods.items; upper && before < m; before++)
            if (b_slice_eq(before->text, m->text))
                rc = cfg_error_at(errors, m->node, "the method %s is in this list twice",
                                  cfg_node_shown(m->node, shown));
    }
    return rc;
}

static int check_match(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    struct cfg_match *match = conf;
    char shown[CFG_SHOWN_SIZE];
    const struct cfg_node *path = cfg_node_get(node, "path"), *host = cfg_node_get(node, "host");
    const char *why = check_path(match->path);
    int rc = check_methods(errors, match);
    if (why)
        rc = cfg_error_at(errors, path ? path : node, "\"path\" cannot be %s: %s",
                          cfg_node_shown(path ? path : node, shown), why);
    if (host && (why = cfg_check_host(match->host)))
        rc = cfg_error_at(errors, host, "\"host\" cannot be %s: %s", cfg_node_shown(host, shown), why);
    return rc;
}

static const struct cfg_table match_table = {
    .name = "a match",
    .summary =
        "Which requests a route takes; a bare path will do. Of several that fit, the more specific path wins",
    .options = match_options,
    .size = sizeof(struct cfg_match),
    .check = check_match,
    .shorthand = "path",
    .later = match_later,
};

/* ---- route ---- */

static const struct cfg_option route_options[] = {
    {.name = "match",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_route, match),
     .flags = CFG_REQUIRED,
     .table = &match_table,
     .example = "{path: \"/api/*\"}",
     .help = "the requests it takes"},
    {.name = "deadline",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_route, deadline),
     .default_text = "30s",
     .min = CFG_MS,
     .max = 24 * CFG_H,
     .help =
         "from the first byte of the request to the head of its response; beyond it 504. A body that streams "
         "in has no total: meanwhile the time stands still"},
    {.name = "max_body",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_route, max_body),
     .word = "unlimited",
     .word_value = INT64_MAX,
     .example = "unlimited",
     .help =
         "body of a request; beyond it 413. That of `limits` when left out. Bodies stream: what a route lets "
         "through takes no more memory than what it does not"},
    {.name = "use",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_route, use),
     .max = CFG_USE_MAX,
     .example = "[request_id]",
     .help = "middleware of this route, outermost first, inside of the global ones"},
    {0},
};

static const struct cfg_later route_later[] = {
    {"aggregate", "the handler \"aggregate\"", NULL}, {"ingest", "the handler \"ingest\"", NULL},
    {"query", "the handler \"query\"", NULL},         {"proxy", "the handler \"proxy\"", NULL},
    {"respond", "the handler \"respond\"", NULL},     {0},
};

const struct cfg_table cfg_route_table = {
    .name = "a route",
    .summary = "Sends the requests it matches to one handler, named by its key",
    .options = route_options,
    .size = sizeof(struct cfg_route),
    .later = route_later,
    .modules = CFG_HANDLERS,
    .module_offset = offsetof(struct cfg_route, handler),
};

/* Hosts are compared in lower case. */
static bool lower_host(struct cfg_decoder *d, struct b_slice *host) {
    char *lower = cfg_decode_alloc(d, host->len + 1);
    if (!lower)
        return false;
    for (size_t i = 0; i < host->len; i++)
        lower[i] = b_lower(host->ptr[i]);
    host->ptr = lower;
    return true;
}

void cfg_link_routes(struct cfg_decoder *d, struct cfg_root *root) {
    CFG_EACH(struct cfg_route, r, &root->routes) {
        if (r->match.host.ptr && !lower_host(d, &r->match.host))
            return;
        if (!cfg_node_get(r->head.node, "max_body"))
            r->max_body = root->limits.max_body;
    }
}
