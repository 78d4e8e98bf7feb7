/* Health as Kubernetes and Prometheus ask for it: alive is not the same as ready. */
#include "admin/answer.h"
#include "gateway/reference.h"
#include "gateway/stores.h"

int adm_livez(struct exchange *ex) {
    return adm_answer(ex, 200, ADM_TEXT, B_LIT("ok\n"));
}

static bool has_config(struct gateway *g) {
    for (unsigned i = 0; i < rt_worker_count(); i++)
        if (!atomic_load_explicit(&g->current[i], memory_order_relaxed))
            return false;
    return true;
}

static bool takes_requests(struct gateway *g) {
    return !atomic_load_explicit(&g->draining, memory_order_acquire);
}

static const struct check {
    const char *name;
    bool (*passes)(struct gateway *g);
    const char *failed;
} checks[] = {
    {"config", has_config, "a worker has no config yet"},
    {"stores", gw_stores_ready, "a store has been down for longer than its unready_after"},
    {"tables", gw_references_ready, "a table that is required has not been loaded yet"},
    {"draining", takes_requests, "this instance is being stopped"},
};

int adm_readyz(struct exchange *ex) {
    char buf[512];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    bool verbose = adm_has_parameter(ex, B_LIT("verbose")), ready = true;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        bool ok = checks[i].passes(adm_gateway(ex));
        ready &= ok;
        if (ok && verbose)
            b_text_printf(&t, "[+] %s: ok\n", checks[i].name);
        else if (!ok)
            b_text_printf(&t, "[-] %s: %s\n", checks[i].name, checks[i].failed);
    }
    b_text_cstr(&t, ready ? "ok\n" : "not ready\n");
    return adm_answer(ex, ready ? 200 : 503, ADM_TEXT, b_text_slice(&t));
}
