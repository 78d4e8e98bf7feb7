/* `discover` of an upstream: endpoints that are found instead of named, and the texts they are found in. */
#include "config/decode.h"
#include "config/tables.h"
#include "config/yaml.h"

static const struct cfg_option file_options[] = {
    {.name = "path",
     .type = CFG_STRING,
     CFG_AT(struct cfg_discover_file, path),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 4096,
     .example = "/etc/weir/orders.yaml",
     .help =
         "a file in YAML or JSON: a list as `endpoints` has it, or a map with `endpoints`; looked at twice a second"},
    {0},
};

static const struct cfg_table file_table = {
    .name = "a file of endpoints",
    .summary = "Endpoints that stand in a file, which may change at any time",
    .options = file_options,
    .size = sizeof(struct cfg_discover_file),
    .shorthand = "path",
};

static const char *const record_choices[] = {"address", "srv", NULL};

static const struct cfg_option dns_options[] = {
    {.name = "name",
     .type = CFG_STRING,
     CFG_AT(struct cfg_discover_dns, name),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 253,
     .example = "orders.service.consul",
     .help = "the name that is asked for; each of its addresses is an endpoint"},
    {.name = "port",
     .type = CFG_INT,
     CFG_AT(struct cfg_discover_dns, port),
     .default_text = "80",
     .min = 1,
     .max = 65535,
     .help = "of the endpoints; SRV records have ports of their own"},
    {.name = "records",
     .type = CFG_ENUM,
     CFG_AT(struct cfg_discover_dns, records),
     .default_text = "address",
     .choices = record_choices,
     .help = "address: A and AAAA; srv: SRV, of which the lowest priority counts, and the weights"},
    {.name = "servers",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_discover_dns, servers),
     .max = 8,
     .example = "[\"127.0.0.1:8600\"]",
     .help = "the name servers, ADDRESS or ADDRESS:PORT; those of /etc/resolv.conf when left out"},
    {.name = "min_ttl",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_discover_dns, min_ttl),
     .default_text = "1s",
     .min = 100 * CFG_MS,
     .max = 24 * CFG_H,
     .help =
         "it is asked again when the answer's TTL is over, but not sooner than that; after a failure, too"},
    {.name = "max_ttl",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_discover_dns, max_ttl),
     .default_text = "1m",
     .min = 100 * CFG_MS,
     .max = 24 * CFG_H,
     .help = "and not later than that"},
    {0},
};

static int check_dns(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_discover_dns *d = conf;
    int rc =
        d->min_ttl > d->max_ttl ? cfg_error_at(errors, node, "\"min_ttl\" is larger than \"max_ttl\"") : 0;
    CFG_EACH(const struct cfg_text, t, &d->servers)
        for (size_t i = 0; i < t->text.len; i++)
            if (!b_is_digit(t->text.ptr[i]) && !strchr(".:[]abcdefABCDEF", t->text.ptr[i])) {
                rc = cfg_error_at(errors, t->node, "a name server is an address, such as 127.0.0.1:8600");
                break;
            }
    return rc;
}

static const struct cfg_table dns_table = {
    .name = "a DNS discovery",
    .summary = "Endpoints that a name has in the DNS",
    .options = dns_options,
    .size = sizeof(struct cfg_discover_dns),
    .check = check_dns,
};

static const struct cfg_option zookeeper_options[] = {
    {.name = "hosts",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_zookeeper, hosts),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 32,
     .example = "[\"127.0.0.1:2181\"]",
     .help = "the servers, HOST:PORT"},
    {.name = "path",
     .type = CFG_STRING,
     CFG_AT(struct cfg_zookeeper, path),
     .flags = CFG_REQUIRED,
     .min = 2,
     .max = 1024,
     .example = "/services/orders",
     .help =
         "the node whose children are the endpoints: their data is HOST:PORT, or JSON with address (or host), port and "
         "weight"},
    {.name = "session_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_zookeeper, session_timeout),
     .default_text = "10s",
     .min = CFG_S,
     .max = 10 * CFG_M,
     .help = "after which the servers give up the session of a weir that is not heard of"},
    {0},
};

static const struct cfg_table zookeeper_table = {
    .name = "a ZooKeeper discovery",
    .summary = "Endpoints that register themselves in ZooKeeper",
    .options = zookeeper_options,
    .size = sizeof(struct cfg_zookeeper),
};

/* ---- the other way round ---- */

static const struct cfg_option register_options[] = {
    {.name = "zookeeper",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_register, zookeeper),
     .flags = CFG_REQUIRED,
     .table = &zookeeper_table,
     .help =
         "the servers, and the node below which weir's own is made, with those above it if they are missing"},
    {.name = "address",
     .type = CFG_STRING,
     CFG_AT(struct cfg_register, address),
     .min = 1,
     .max = 255,
     .example = "10.0.0.5",
     .help = "where others reach weir; when left out, the address of the first listener that names one"},
    {.name = "port",
     .type = CFG_INT,
     CFG_AT(struct cfg_register, port),
     .default_text = "0",
     .min = 0,
     .max = 65535,
     .help = "the port; 0 means that of the listener"},
    {.name = "weight",
     .type = CFG_INT,
     CFG_AT(struct cfg_register, weight),
     .default_text = "1",
     .min = 1,
     .max = 1000,
     .help = "its share of the load, for those who go by weights"},
    {0},
};

static int check_zookeeper(struct cfg_errors *errors, const struct cfg_zookeeper *z) {
    if (!z->head.node)
        return 0;
#ifndef WEIR_ZOOKEEPER
    return cfg_error_at(errors, z->head.node, "this weir was built without zookeeper");
#else
    if (z->path.ptr && z->path.ptr[0] != '/')
        return cfg_error_at(errors, cfg_node_get(z->head.node, "path"), "\"path\" begins with /");
    if (z->path.len > 1 && z->path.ptr[z->path.len - 1] == '/')
        return cfg_error_at(errors, cfg_node_get(z->head.node, "path"), "\"path\" does not end in /");
    return 0;
#endif
}

static int check_registration(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_register *r = conf;
    (void)node;
    return check_zookeeper(errors, &r->zookeeper);
}

const struct cfg_table cfg_register_table = {
    .name = "a registration",
    .summary =
        "Where weir makes itself known while it takes requests: an ephemeral node, whose data is JSON with address, port "
        "and weight, as `discover` reads it",
    .options = register_options,
    .size = sizeof(struct cfg_register),
    .check = check_registration,
};

/* The first listener that has an address of its own; NULL: none has. */
const struct cfg_addr *cfg_register_listener(const struct cfg_root *root) {
    static const uint8_t any[16];
    CFG_EACH(const struct cfg_listener, l, &root->listen)
        if ((l->addr.kind == CFG_HOST_IPV4 || l->addr.kind == CFG_HOST_IPV6) &&
            memcmp(l->addr.ip, any, sizeof any) != 0)
            return &l->addr;
    return NULL;
}

void cfg_check_register(struct cfg_errors *errors, const struct cfg_root *root) {
    const struct cfg_register *r = &root->registration;
    bool reachable = false;
    if (!r->head.node)
        return;
    CFG_EACH(const struct cfg_listener, l, &root->listen)
        reachable |= l->addr.kind != CFG_HOST_UNIX;
    if (!r->address.ptr && !cfg_register_listener(root))
        cfg_error_at(errors, r->head.node,
                     "no listener names an address at which others reach this machine: give \"address\"");
    else if (!r->port && !reachable)
        cfg_error_at(errors, r->head.node, "no listener has a port: give \"port\"");
}

/* ---- discover ---- */

static const struct cfg_option discover_options[] = {
    {.name = "file",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_discover, file),
     .flags = CFG_OPTIONAL,
     .table = &file_table,
     .help = "from a file"},
    {.name = "dns",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_discover, dns),
     .flags = CFG_OPTIONAL,
     .table = &dns_table,
     .help = "from the DNS"},
    {.name = "zookeeper",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_discover, zookeeper),
     .flags = CFG_OPTIONAL,
     .table = &zookeeper_table,
     .help = "from ZooKeeper"},
    {.name = "allow_empty",
     .type = CFG_BOOL,
     CFG_AT(struct cfg_discover, allow_empty),
     .default_text = "false",
     .help = "whether an answer without any endpoint counts; else the last good ones are kept"},
    {0},
};

static int check_discover(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_discover *d = conf;
    int given = (d->file.head.node != NULL) + (d->dns.head.node != NULL) + (d->zookeeper.head.node != NULL);
    if (given != 1)
        return cfg_error_at(errors, node, "\"discover\" names one of file, dns, zookeeper%s",
                            given ? ", not more" : "");
    return check_zookeeper(errors, &d->zookeeper);
}

const struct cfg_table cfg_discover_table = {
    .name = "a discovery",
    .summary = "Where endpoints are found, and found again when they change",
    .options = discover_options,
    .size = sizeof(struct cfg_discover),
    .check = check_discover,
};

/* ---- texts with endpoints ---- */

int cfg_load_endpoints(const char *name, struct b_slice bytes, struct b_arena *arena,
                       struct cfg_errors *errors, struct cfg_list *out) {
    const struct cfg_file file = {.name = name};
    const struct cfg_option option = {.name = "endpoints",
                                      .type = CFG_OBJECTS,
                                      .table = &cfg_endpoint_table,
                                      .max = 10000};
    struct cfg_reader r = {.arena = arena, .errors = errors};
    struct cfg_decoder d = {.arena = arena, .errors = errors};
    *out = (struct cfg_list){.item_size = sizeof(struct cfg_endpoint)};
    b_map_init(&r.by_key, B_TAG_CONFIG, (struct b_hash_key){0, 0});
    const struct cfg_node *root = bytes.len > CFG_BYTES_MAX ? NULL : cfg_yaml_parse(&r, &file, bytes);
    b_map_free(&r.by_key);
    if (bytes.len > CFG_BYTES_MAX)
        return cfg_error_pos(errors, &file, 0, 0, "it is larger than 4 MiB");
    if (root && root->kind == CFG_MAP)
        root = cfg_node_get(root, "endpoints");
    if (cfg_errors_any(errors))
        return -1;
    if (!root || root->kind == CFG_NULL)
        return 0;
    if (root->kind != CFG_LIST)
        return cfg_error_at(errors, root, "it is a list of endpoints, or a map with \"endpoints\"");
    return cfg_decode_items(&d, &option, root, out) && !cfg_errors_any(errors) ? 0 : -1;
}

const struct cfg_node *cfg_load_map(struct b_slice bytes, struct b_arena *arena, struct cfg_errors *errors) {
    const struct cfg_file file = {.name = "data"};
    struct cfg_reader r = {.arena = arena, .errors = errors};
    b_map_init(&r.by_key, B_TAG_CONFIG, (struct b_hash_key){0, 0});
    const struct cfg_node *root = cfg_yaml_parse(&r, &file, bytes);
    b_map_free(&r.by_key);
    return root && root->kind == CFG_MAP && !cfg_errors_any(errors) ? root : NULL;
}
