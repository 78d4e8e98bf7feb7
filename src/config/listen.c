/* `listen` and `admin`: where weir can be reached. */
#include "config/tables.h"
#include "http/message.h"

static const char *const protocol_choices[] = {"http/1.1", NULL};
static const struct cfg_later protocol_later[] = {{"h2", "HTTP/2", "use http/1.1"}, {0}};

static const char *const allow_choices[] = {
#define ALLOW_WORD(id, word, rule) word,
    HTTP_ALLOWS(ALLOW_WORD)
#undef ALLOW_WORD
        NULL};

static int check_listener(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    struct cfg_listener *l = conf;
    (void)errors, (void)node;
    CFG_EACH(const struct cfg_text, word, &l->allow)
        for (unsigned i = 0; i < HTTP_ALLOW_COUNT; i++)
            if (b_slice_eq(word->text, b_slice_cstr(allow_choices[i])))
                l->switches |= 1u << i;
    return 0;
}

static const struct cfg_option listener_options[] = {
    {.name = "addr",
     .type = CFG_ADDR,
     CFG_AT(struct cfg_listener, addr),
     .flags = CFG_REQUIRED,
     .example = "\":8080\"",
     .help = "`:PORT` for all addresses of the machine, IP:PORT, [IPV6]:PORT or unix:/PATH"},
    {.name = "protocols",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_listener, protocols),
     .choices = protocol_choices,
     .later = protocol_later,
     .max = 4,
     .example = "[http/1.1]",
     .help = "what is spoken there"},
    {.name = "backlog",
     .type = CFG_INT,
     CFG_AT(struct cfg_listener, backlog),
     .default_text = "4096",
     .min = 1,
     .max = 65535,
     .help = "connections that wait to be accepted; the kernel's somaxconn caps it"},
    {.name = "allow",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_listener, allow),
     .choices = allow_choices,
     .max = HTTP_ALLOW_COUNT,
     .example = "[underscore]",
     .help =
         "rules stricter than the RFCs that are relaxed there; `Strictness` in operations.md tells what each lets in"},
    {.name = "proxy_protocol",
     .type = CFG_BOOL,
     CFG_AT(struct cfg_listener, proxy_protocol),
     .default_text = "false",
     .help =
         "every connection there begins with a header of the PROXY protocol, version 1 or 2, which tells who the client is. "
         "Only addresses in `trusted_proxies` may connect then, and unix sockets"},
    {0},
};

static const struct cfg_later listener_later[] = {
    {"tls", "TLS", "take it out, and let something in front of weir end it"},
    {0},
};

const struct cfg_table cfg_listener_table = {
    .name = "a listener",
    .summary = "An address at which clients connect; a bare address will do",
    .options = listener_options,
    .size = sizeof(struct cfg_listener),
    .check = check_listener,
    .shorthand = "addr",
    .later = listener_later,
};

static const struct cfg_option admin_options[] = {
    {.name = "addr",
     .type = CFG_ADDR,
     CFG_AT(struct cfg_admin, addr),
     .default_text = "127.0.0.1:9901",
     .help = "where metrics, health and the API are; keep it from the outside"},
    {.name = "token_file",
     .type = CFG_STRING,
     CFG_AT(struct cfg_admin, token_file),
     .min = 1,
     .max = 4096,
     .example = "/etc/weir/token",
     .help = "file with the token that a caller must send when `addr` is not loopback"},
    {0},
};

static const struct cfg_later admin_later[] = {
    {"metrics", NULL, "take it out"},
    {"tls", "TLS", "take it out"},
    {0},
};

const struct cfg_table cfg_admin_table = {
    .name = "the admin section",
    .summary = "Metrics, health checks and the API, at an address of their own",
    .options = admin_options,
    .size = sizeof(struct cfg_admin),
    .shorthand = "addr",
    .later = admin_later,
};

/* ---- over the whole ---- */

static bool is_any(const struct cfg_addr *a) {
    static const uint8_t zero[16];
    return a->kind == CFG_HOST_ANY ||
           ((a->kind == CFG_HOST_IPV4 || a->kind == CFG_HOST_IPV6) && memcmp(a->ip, zero, sizeof zero) == 0);
}

static bool is_unset(const struct cfg_addr *a) {
    return a->kind == CFG_HOST_NONE;
}

/* Would the second bind fail? An address and `:PORT`, which covers it, do not go together either. */
static bool collide(const struct cfg_addr *a, const struct cfg_addr *b) {
    bool unix_socket = a->kind == CFG_HOST_UNIX || b->kind == CFG_HOST_UNIX;
    if (is_unset(a) || is_unset(b) || (!unix_socket && a->port == 0))
        return false;
    return cfg_addr_eq(a, b) || (!unix_socket && a->port == b->port && (is_any(a) || is_any(b)));
}

static void check_collisions(struct cfg_decoder *d, const struct cfg_root *root) {
    const struct cfg_listener *all = root->listen.items;
    for (size_t i = 0; i < root->listen.count && i < CFG_LISTENERS_MAX; i++) {
        if (collide(&all[i].addr, &root->admin.addr))
            cfg_error_at(d->errors, all[i].head.node,
                         "the listener %.*s and the admin address %.*s take the same port",
                         B_FMT(all[i].addr.text), B_FMT(root->admin.addr.text));
        for (size_t j = 0; j < i; j++) {
            if (!collide(&all[i].addr, &all[j].addr))
                continue;
            cfg_error_at(d->errors, all[i].head.node, "the listener %.*s takes the port of %.*s in line %u",
                         B_FMT(all[i].addr.text), B_FMT(all[j].addr.text), all[j].head.node->line);
            break;
        }
    }
}

/* Nobody could send the header. */
static void check_proxy_protocol(struct cfg_decoder *d, const struct cfg_root *root) {
    CFG_EACH(const struct cfg_listener, l, &root->listen)
        if (l->proxy_protocol && l->addr.kind != CFG_HOST_UNIX && !root->trusted_proxies.count)
            cfg_error_at(
                d->errors, l->head.node,
                "the listener %.*s takes the PROXY protocol, but nobody is trusted to send it: list the load balancers "
                "under \"trusted_proxies\"",
                B_FMT(l->addr.text));
}

/* `match.listen` names a listener. */
static void link_match(struct cfg_decoder *d, const struct cfg_root *root, struct cfg_match *match) {
    if (is_unset(&match->listen) || root->listen.count > CFG_LISTENERS_MAX)
        return;
    CFG_EACH(struct cfg_listener, l, &root->listen) {
        if (cfg_addr_eq(&l->addr, &match->listen)) {
            match->listener = l;
            return;
        }
    }
    char known[256];
    struct b_text list = b_text_fixed(known, sizeof known);
    CFG_EACH(const struct cfg_listener, l, &root->listen) {
        if (list.len + l->addr.text.len + 4 < sizeof known)
            b_text_printf(&list, "%s%.*s", list.len ? ", " : "", B_FMT(l->addr.text));
    }
    cfg_error_at(d->errors, cfg_node_get(match->head.node, "listen"),
                 "no listener has the address %.*s: write one as in `listen` (%.*s)",
                 B_FMT(match->listen.text), (int)list.len, known);
}

void cfg_link_listeners(struct cfg_decoder *d, struct cfg_root *root) {
    check_collisions(d, root);
    check_proxy_protocol(d, root);
    CFG_EACH(struct cfg_route, r, &root->routes) {
        link_match(d, root, &r->match);
    }
}
