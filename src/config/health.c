/* `breaker` and `health_check` of an upstream. */
#include "base/number.h"
#include "config/tables.h"

static const struct cfg_option breaker_options[] = {
    {.name = "enabled",
     .type = CFG_BOOL,
     CFG_AT(struct cfg_breaker, enabled),
     .default_text = "true",
     .help = "false: attempts that fail never eject an endpoint"},
    {.name = "failure_percent",
     .type = CFG_PERCENT,
     CFG_AT(struct cfg_breaker, failure_percent),
     .default_text = "50%",
     .min = 1,
     .max = 100,
     .help =
         "an endpoint is ejected when so many of its attempts in the window fail: no connection, a reset, a timeout, a "
         "broken response, a 5xx"},
    {.name = "min_requests",
     .type = CFG_INT,
     CFG_AT(struct cfg_breaker, min_requests),
     .default_text = "20",
     .min = 1,
     .max = 1000000,
     .help = "fewer attempts in the window say nothing about the percentage"},
    {.name = "consecutive_failures",
     .type = CFG_INT,
     CFG_AT(struct cfg_breaker, consecutive_failures),
     .default_text = "5",
     .min = 0,
     .max = 1000000,
     .help = "failures in a row that eject an endpoint, however few attempts there are; 0: they do not"},
    {.name = "window",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_breaker, window),
     .default_text = "10s",
     .min = 100 * CFG_MS,
     .max = CFG_H,
     .help = "over which attempts are counted"},
    {.name = "open_for",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_breaker, open_for),
     .default_text = "5s",
     .min = 10 * CFG_MS,
     .max = CFG_H,
     .help =
         "how long an ejected endpoint is left alone, the first time; then it is connected to, and one request may try"},
    {.name = "max_open_for",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_breaker, max_open_for),
     .default_text = "1m",
     .min = 10 * CFG_MS,
     .max = CFG_H,
     .help = "the same at the most: the time doubles as long as it does not get well"},
    {0},
};

const struct cfg_table cfg_breaker_table = {
    .name = "a breaker",
    .summary =
        "When an endpoint is ejected because attempts at it fail; one that is the only one of its upstream is "
        "ejected only where the config names `breaker`",
    .options = breaker_options,
    .size = sizeof(struct cfg_breaker),
    .shorthand = "enabled",
};

const char *cfg_parse_statuses(struct b_slice s, unsigned *first, unsigned *last) {
    static const char reason[] = "give a status such as 200, a class such as 2xx, or a range such as 200-399";
    uint64_t from, to;
    if (s.len == 3 && s.ptr[0] >= '1' && s.ptr[0] <= '5' && b_slice_ieq(b_slice_from(s, 1), B_LIT("xx"))) {
        *first = (unsigned)(s.ptr[0] - '0') * 100;
        *last = *first + 99;
        return NULL;
    }
    size_t dash = b_slice_find(s, '-');
    if (!b_parse_u64(b_slice(s.ptr, dash), &from))
        return reason;
    to = from;
    if (dash < s.len && !b_parse_u64(b_slice_from(s, dash + 1), &to))
        return reason;
    if (from < 100 || to > 599 || from > to)
        return reason;
    *first = (unsigned)from;
    *last = (unsigned)to;
    return NULL;
}

static const struct cfg_option health_options[] = {
    {.name = "path",
     .type = CFG_STRING,
     CFG_AT(struct cfg_health_check, path),
     .default_text = "/health",
     .min = 1,
     .max = 2048,
     .help = "what is asked for, with GET"},
    {.name = "host",
     .type = CFG_STRING,
     CFG_AT(struct cfg_health_check, host),
     .min = 1,
     .max = 255,
     .example = "orders.internal",
     .help = "the Host of the request; that of the endpoint when left out"},
    {.name = "status",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_health_check, status),
     .max = 16,
     .example = "[200, 204]",
     .help = "the statuses that pass: 200, 2xx or 200-399; 2xx and 3xx when left out"},
    {.name = "interval",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_health_check, interval),
     .default_text = "5s",
     .min = 10 * CFG_MS,
     .max = CFG_H,
     .help = "between two checks of an endpoint, give or take a tenth"},
    {.name = "timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_health_check, timeout),
     .default_text = "1s",
     .min = CFG_MS,
     .max = CFG_H,
     .help = "for the connection and the answer together"},
    {.name = "fails",
     .type = CFG_INT,
     CFG_AT(struct cfg_health_check, fails),
     .default_text = "3",
     .min = 1,
     .max = 1000,
     .help =
         "checks in a row that fail before nothing is sent there any more; the first check of all decides alone"},
    {.name = "passes",
     .type = CFG_INT,
     CFG_AT(struct cfg_health_check, passes),
     .default_text = "2",
     .min = 1,
     .max = 1000,
     .help = "checks in a row that pass before it is used again"},
    {0},
};

/* What goes into the request line and the Host field as it is. */
static bool is_plain(struct b_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || (unsigned char)s.ptr[i] >= 0x7f || s.ptr[i] == '#')
            return false;
    return true;
}

static int check_health(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_health_check *h = conf;
    unsigned first, last;
    int rc = 0;
    if (h->path.ptr[0] != '/' || !is_plain(h->path) || !is_plain(h->host))
        rc = cfg_error_at(errors, node, "\"path\" begins with /, and holds no space, as \"host\" does not");
    CFG_EACH(const struct cfg_text, t, &h->status) {
        const char *why = cfg_parse_statuses(t->text, &first, &last);
        char shown[CFG_SHOWN_SIZE];
        if (why)
            rc = cfg_error_at(errors, t->node, "an entry of \"status\" cannot be %s: %s",
                              cfg_node_shown(t->node, shown), why);
    }
    return rc;
}

const struct cfg_table cfg_health_table = {
    .name = "a health check",
    .summary = "A request that tells whether an endpoint is well; one that is not gets nothing else",
    .options = health_options,
    .size = sizeof(struct cfg_health_check),
    .check = check_health,
    .shorthand = "path",
};
