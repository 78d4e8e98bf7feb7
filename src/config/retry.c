/* `retry` of an upstream. */
#include "base/number.h"
#include "config/tables.h"

const char *cfg_parse_retry_on(struct b_slice s, struct cfg_retry_on *out) {
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = {{"connect_failure", CFG_RETRY_CONNECT_FAILURE},
                 {"reset", CFG_RETRY_RESET},
                 {"timeout", CFG_RETRY_TIMEOUT},
                 {"bad_response", CFG_RETRY_BAD_RESPONSE}};
    uint64_t status;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (b_slice_eq(s, b_slice_cstr(words[i].word))) {
            out->words |= words[i].bit;
            return NULL;
        }
    if (!b_parse_u64(s, &status) || !(status == 429 || (status >= 500 && status <= 599)))
        return "give connect_failure, reset, timeout, bad_response, or a status: 429, 500 to 599";
    if (status == 429)
        out->too_many = true;
    else
        out->statuses[(status - 500) / 64] |= (uint64_t)1 << (status - 500) % 64;
    return NULL;
}

static const struct cfg_option backoff_options[] = {
    {.name = "base",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_backoff, base),
     .default_text = "25ms",
     .min = 0,
     .max = CFG_M,
     .help =
         "the most that is waited before the second attempt; it doubles with each further one. What is waited is drawn "
         "between nothing and that"},
    {.name = "max",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_backoff, max),
     .default_text = "250ms",
     .min = 0,
     .max = CFG_M,
     .help = "where the doubling ends"},
    {0},
};

static const struct cfg_table backoff_table = {
    .name = "a backoff",
    .summary =
        "How long to wait before a further attempt. After a connection that failed, another endpoint is tried at once",
    .options = backoff_options,
    .size = sizeof(struct cfg_backoff),
};

static const struct cfg_option budget_options[] = {
    {.name = "percent",
     .type = CFG_PERCENT,
     CFG_AT(struct cfg_budget, percent),
     .default_text = "20%",
     .min = 0,
     .max = 100,
     .help = "further attempts, of the requests of the last 10 s"},
    {.name = "min",
     .type = CFG_INT,
     CFG_AT(struct cfg_budget, min),
     .default_text = "3",
     .min = 0,
     .max = 1000000,
     .help = "further attempts a second that are allowed in any case"},
    {0},
};

static const struct cfg_table budget_table = {
    .name = "a budget",
    .summary =
        "How many further attempts an upstream takes, so that they do not bring down what is failing already",
    .options = budget_options,
    .size = sizeof(struct cfg_budget),
};

static const struct cfg_option hedge_options[] = {
    {.name = "after",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_hedge, after),
     .flags = CFG_REQUIRED,
     .min = 1 * CFG_MS,
     .max = CFG_M,
     .example = "50ms",
     .help =
         "how long an endpoint may take to begin its answer, before another one is asked as well. Best what 95 of a hundred "
         "requests take less than."},
    {.name = "percent",
     .type = CFG_PERCENT,
     CFG_AT(struct cfg_hedge, percent),
     .default_text = "5%",
     .min = 1,
     .max = 100,
     .help = "of the requests of the last 10 s, at the most; all of them come out of the budget, too"},
    {0},
};

static const struct cfg_table hedge_table = {
    .name = "a hedge",
    .summary =
        "A second endpoint for requests whose first one takes its time. The answer that begins first is taken, and the other "
        "attempt is called off",
    .options = hedge_options,
    .size = sizeof(struct cfg_hedge),
};

static const struct cfg_option retry_options[] = {
    {.name = "attempts",
     .type = CFG_INT,
     CFG_AT(struct cfg_retry, attempts),
     .default_text = "2",
     .min = 1,
     .max = 10,
     .help = "the first one included; 1 means no retry"},
    {.name = "on",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_retry, on),
     .max = 32,
     .example = "[connect_failure, reset, 503]",
     .help =
         "what is tried again: connect_failure, reset, timeout, bad_response, or a status: 429, 500 to 599. When left out: "
         "connect_failure, reset, timeout, 502, 503 and 504. Where bytes of a request have gone out, only methods that may be "
         "repeated are (RFC 9110 section 9.2.2); an answer with Retry-After goes to the client"},
    {.name = "backoff",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_retry, backoff),
     .table = &backoff_table,
     .help = "the wait before a further attempt, within the deadline"},
    {.name = "budget",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_retry, budget),
     .table = &budget_table,
     .help = "how many further attempts the upstream takes in all"},
    {.name = "hedge",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_retry, hedge),
     .flags = CFG_OPTIONAL,
     .table = &hedge_table,
     .help =
         "when to ask a second endpoint before the first has failed: requests without a body whose method may be repeated. It "
         "counts as an attempt. Off when left out"},
    {0},
};

static int check_retry(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_retry *r = conf;
    struct cfg_retry_on on = {0};
    int rc = 0;
    (void)node;
    CFG_EACH(const struct cfg_text, t, &r->on) {
        char shown[CFG_SHOWN_SIZE];
        const char *why = cfg_parse_retry_on(t->text, &on);
        if (why)
            rc = cfg_error_at(errors, t->node, "an entry of \"on\" cannot be %s: %s",
                              cfg_node_shown(t->node, shown), why);
    }
    if (r->hedge.after && r->attempts < 2)
        rc = cfg_error_at(errors, r->hedge.head.node,
                          "a hedge is a second attempt, and \"attempts\" is 1: raise it, or take "
                          "the hedge out");
    return rc;
}

const struct cfg_table cfg_retry_table = {
    .name = "a retry",
    .summary = "Further attempts when one fails and may be repeated",
    .options = retry_options,
    .size = sizeof(struct cfg_retry),
    .check = check_retry,
};
