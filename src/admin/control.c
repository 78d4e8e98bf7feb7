/* What changes something: reload, drain, the level of the log. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/answer.h"
#include "json/cursor.h"

/* ---- reload ---- */

static int level_in_force(struct gateway *g) {
    struct gw_snapshot *s = gw_pin(g);
    int level = s->root->log.level;
    gw_unpin(s);
    return level;
}

static void log_outcome(const struct cfg_errors *errors, int rc) {
    for (size_t i = 0; i < errors->count; i++) {
        const struct cfg_error *e = &errors->items[i];
        B_LOG(e->severity == CFG_WARNING ? B_WARN : B_ERROR, "config", "%s:%u:%u: %s", e->file, e->line,
              e->column, e->message);
    }
    if (rc == -EBUSY)
        B_LOG(B_WARN, "config", "a reload was asked for while another one is under way");
    else if (rc < 0)
        B_LOG(B_ERROR, "config", "the new config is not used; the one in force stays");
}

int adm_reload(struct gateway *g, struct cfg_errors *errors, struct b_text *changes, enum gw_format format) {
    int before = level_in_force(g);
    int rc = gw_reload(g, errors, changes, format);
    int level = level_in_force(g);
    cfg_errors_sort(errors);
    if (rc == 0 && level != before) /* what PUT /api/v1/log has set stays otherwise */
        b_log_set_level((enum b_level)level);
    log_outcome(errors, rc);
    return rc;
}

static void write_errors(struct json_writer *w, const struct cfg_errors *errors) {
    json_array_begin(w);
    for (size_t i = 0; i < errors->count; i++) {
        const struct cfg_error *e = &errors->items[i];
        json_object_begin(w);
        if (e->severity == CFG_WARNING) {
            json_key(w, B_LIT("severity"));
            json_string(w, B_LIT("warning"));
        }
        json_key(w, B_LIT("file"));
        json_string(w, b_slice_cstr(e->file));
        json_key(w, B_LIT("line"));
        json_u64(w, e->line);
        json_key(w, B_LIT("column"));
        json_u64(w, e->column);
        json_key(w, B_LIT("message"));
        json_string(w, b_slice_cstr(e->message));
        json_object_end(w);
    }
    json_array_end(w);
}

/* `weir reload` asks for it. */
static bool wants_text(const struct exchange *ex) {
    return b_slice_eq(http_fields_value(&ex->req.fields, HTTP_FIELD_ACCEPT), B_LIT("text/plain"));
}

static int bad_config(struct exchange *ex, const struct cfg_errors *errors) {
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    if (wants_text(ex)) {
        cfg_errors_write(errors, &t);
        return adm_answer_text(ex, 422, ADM_TEXT, &t);
    }
    json_object_begin(&w);
    json_key(&w, B_LIT("type"));
    json_string(&w, B_LIT("urn:weir:error:bad_config"));
    json_key(&w, B_LIT("title"));
    json_string(&w, B_LIT("The config has errors"));
    json_key(&w, B_LIT("status"));
    json_u64(&w, 422);
    json_key(&w, B_LIT("detail"));
    json_string(&w,
                B_LIT("Nothing was changed: the config in force stays. `weir check` shows the same errors."));
    json_key(&w, B_LIT("code"));
    json_string(&w, B_LIT("bad_config"));
    json_key(&w, B_LIT("request_id"));
    json_string(&w, gw_request_id(ex));
    json_key(&w, B_LIT("errors"));
    write_errors(&w, errors);
    json_object_end(&w);
    b_text_char(&t, '\n');
    return adm_answer_text(ex, 422, B_LIT("application/problem+json"), &t);
}

int adm_post_reload(struct exchange *ex) {
    struct cfg_errors errors;
    struct b_text changes = adm_text();
    cfg_errors_init(&errors);
    bool text = wants_text(ex);
    int rc = adm_reload(adm_gateway(ex), &errors, &changes, text ? GW_TEXT : GW_JSON);
    if (rc == 0)
        rc = adm_answer_text(ex, 200, text ? ADM_TEXT : ADM_JSON, &changes);
    else if (rc == -EBUSY)
        rc = -HTTP_E_RELOAD_BUSY;
    else if (errors.no_memory)
        rc = -HTTP_E_OUT_OF_MEMORY;
    else
        rc = bad_config(ex, &errors);
    b_text_free(&changes);
    cfg_errors_free(&errors);
    return rc;
}

/* ---- drain ---- */

int adm_post_drain(struct exchange *ex) {
    static _Atomic bool asked; /* a second TERM would cut requests off: this sends one */
    if (!atomic_exchange_explicit(&asked, true, memory_order_relaxed) &&
        !atomic_load_explicit(&adm_gateway(ex)->draining, memory_order_acquire))
        kill(getpid(), SIGTERM);
    return adm_answer(ex, 202, ADM_JSON, B_LIT("{\"draining\":true}\n"));
}

/* ---- log ---- */

bool adm_parse_level(struct b_slice body, enum b_level *level) {
    struct json_index index = {.tag = B_TAG_GATEWAY};
    struct json_fault fault;
    bool plain, good = false;
    if (json_index(&index, body, &fault) == 0) {
        struct json_value all = json_root(&index), value = json_member(all, B_LIT("level"));
        struct b_slice name = json_raw_string(value, &plain);
        bool alone = json_first(all).token == value.token && !json_next(value).index;
        good = alone && name.ptr && plain && b_level_parse(name, level);
    }
    json_index_free(&index);
    return good;
}

static int put_level(struct exchange *ex) {
    char buf[256];
    struct b_text body = b_text_fixed(buf, sizeof buf);
    struct b_slice piece;
    enum b_level level;
    int rc;
    while ((rc = gw_read_body(ex, &piece)) > 0)
        b_text_slice_add(&body, piece);
    if (rc < 0)
        return rc;
    if (body.failed || !adm_parse_level(b_text_slice(&body), &level))
        return gw_error(ex, HTTP_E_BAD_REQUEST,
                        "Send {\"level\":\"debug\"}; the levels are debug, info, warn and error.");
    if (level != b_log_level())
        B_LOG(B_WARN, "admin", "the log's level is %s from now on, and was %s", b_level_name(level),
              b_level_name(b_log_level()));
    b_log_set_level(level);
    return 0;
}

int adm_log(struct exchange *ex) {
    char buf[64];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    int rc = ex->req.method == HTTP_METHOD_PUT ? put_level(ex) : 0;
    if (rc < 0)
        return rc;
    b_text_printf(&t, "{\"level\":\"%s\"}\n", b_level_name(b_log_level()));
    return adm_answer(ex, 200, ADM_JSON, b_text_slice(&t));
}
