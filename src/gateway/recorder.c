#include "gateway/recorder.h"

#include <pthread.h>

#include "gateway/conn.h"
#include "runtime/worker.h"

#define ENTRY_MAX 4096
#define TARGET_MAX 256
#define FAILED_GAP (10 * RT_MS) /* between two failed ones of a worker: they may come in floods */

struct entry {
    uint64_t ns;
    rt_time at; /* clock at its end; 0: free */
    char *json;
    size_t len;
};

static struct {
    pthread_mutex_t lock;
    struct entry slow[GW_RECORDED_MAX], failed[GW_RECORDED_MAX];
    unsigned next_failed;
    _Atomic uint64_t least; /* a slower one is taken */
    _Atomic int64_t until;  /* any one is, from then on */
} recorder = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- a request as JSON ---- */

static void member(struct json_writer *w, const char *name, struct b_slice value) {
    if (!value.len)
        return;
    json_string_member(w, name, b_slice(value.ptr, value.len < TARGET_MAX ? value.len : TARGET_MAX));
}

static void milliseconds(struct json_writer *w, const char *name, rt_time span) {
    char text[32];
    struct b_text t = b_text_fixed(text, sizeof text);
    span = span > 0 ? span : 0;
    b_text_u64(&t, (uint64_t)(span / RT_MS));
    b_text_char(&t, '.');
    for (rt_time rest = span % RT_MS / RT_US, digit = 100; digit; rest %= digit, digit /= 10)
        b_text_char(&t, (char)('0' + rest / digit));
    json_key(w, b_slice_cstr(name));
    json_raw(w, b_text_slice(&t));
}

void gw_write_spans(struct json_writer *w, const struct exchange *ex) {
    json_array_begin(w);
    for (unsigned i = 0; i < ex->span_count; i++) {
        const struct gw_span *s = &ex->spans[i];
        json_object_begin(w);
        member(w, "call", s->name);
        member(w, "upstream", s->upstream);
        milliseconds(w, "start_ms", s->begun - ex->started);
        milliseconds(w, "took_ms", s->took);
        if (s->status)
            json_u64_member(w, "status", s->status);
        if (s->reason)
            member(w, "failed", b_slice_cstr(s->reason));
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_request(struct b_text *out, const struct exchange *ex, uint64_t ns) {
    struct json_writer w = json_writer(out);
    rt_time wall = rt_wall_clock();
    json_object_begin(&w);
    json_u64_member(&w, "ended_unix_ms", (uint64_t)(wall / RT_MS));
    member(&w, "route", ex->route->pattern);
    member(&w, "method", ex->req.method_text);
    member(&w, "target", ex->req.target);
    json_u64_member(&w, "status", ex->res.status);
    milliseconds(&w, "took_ms", (rt_time)ns);
    if (ex->error)
        member(&w, "code", b_slice_cstr(http_error_info(ex->error)->code));
    member(&w, "detail", ex->detail);
    member(&w, "request_id", ex->request_id);
    member(&w, "upstream", ex->upstream);
    member(&w, "endpoint", ex->endpoint);
    if (ex->attempts)
        json_u64_member(&w, "attempts", ex->attempts);
    if (ex->upstream_time)
        milliseconds(&w, "upstream_ms", ex->upstream_time);
    if (ex->error && ex->phase)
        member(&w, "phase", b_slice_cstr(ex->phase));
    if (ex->span_count) {
        json_key(&w, B_LIT("calls"));
        gw_write_spans(&w, ex);
    }
    json_object_end(&w);
}

/* ---- keeping ---- */

static void fill(struct entry *e, struct b_slice json, uint64_t ns, rt_time now) {
    char *copy = b_strdup(B_TAG_TELEMETRY, json.ptr, json.len);
    if (!copy)
        return;
    b_free(e->json);
    *e = (struct entry){.ns = ns, .at = now, .json = copy, .len = json.len};
}

/* The place of a new slow one: a free one, one that is too old, or the least slow. */
static struct entry *place(rt_time now) {
    struct entry *least = &recorder.slow[0];
    for (unsigned i = 0; i < GW_RECORDED_MAX; i++) {
        struct entry *e = &recorder.slow[i];
        if (!e->at || now - e->at >= GW_RECORD_WINDOW)
            return e;
        if (e->ns < least->ns)
            least = e;
    }
    return least;
}

/* From when on what is taken. */
static void set_threshold(void) {
    uint64_t least = UINT64_MAX;
    rt_time oldest = RT_NEVER;
    for (unsigned i = 0; i < GW_RECORDED_MAX; i++) {
        const struct entry *e = &recorder.slow[i];
        least = e->ns < least ? e->ns : least;
        oldest = e->at < oldest ? e->at : oldest;
    }
    atomic_store_explicit(&recorder.least, least, memory_order_relaxed);
    atomic_store_explicit(&recorder.until, oldest ? rt_after(oldest, GW_RECORD_WINDOW) : 0,
                          memory_order_relaxed);
}

static void keep(struct b_slice json, uint64_t ns, bool slow, bool failed) {
    rt_time now = rt_clock();
    pthread_mutex_lock(&recorder.lock);
    if (slow) {
        struct entry *e = place(now);
        if (!e->at || now - e->at >= GW_RECORD_WINDOW || e->ns < ns)
            fill(e, json, ns, now);
        set_threshold();
    }
    if (failed)
        fill(&recorder.failed[recorder.next_failed++ % GW_RECORDED_MAX], json, ns, now);
    pthread_mutex_unlock(&recorder.lock);
}

struct writing {
    const struct exchange *ex;
    uint64_t ns;
    bool slow, failed;
};

static void write_and_keep(void *arg) {
    const struct writing *w = arg;
    struct b_text out = b_text_heap(B_TAG_REQUESTS, ENTRY_MAX);
    write_request(&out, w->ex, w->ns);
    if (!out.failed)
        keep(b_text_slice(&out), w->ns, w->slow, w->failed);
    b_text_free(&out);
}

/* Not inlined: the stack of every request would have it. */
static __attribute__((noinline)) void record(struct exchange *ex, uint64_t ns, bool slow, bool failed) {
    struct writing w = {.ex = ex, .ns = ns, .slow = slow, .failed = failed};
    rt_on_big_stack(write_and_keep, &w);
}

static bool may_record_failed(void) {
    struct gw_worker *w = gw_worker();
    if (rt_now() < w->failed_after)
        return false;
    w->failed_after = rt_after(rt_now(), FAILED_GAP);
    return true;
}

void gw_record(struct exchange *ex, uint64_t ns) {
    bool slow = ns > atomic_load_explicit(&recorder.least, memory_order_relaxed) ||
                rt_now() >= atomic_load_explicit(&recorder.until, memory_order_relaxed);
    bool failed = ex->res.status >= 500 && may_record_failed();
    if (slow || failed)
        record(ex, ns, slow, failed);
}

/* ---- reading ---- */

static void write_entry(struct json_writer *w, const struct entry *e) {
    if (e->at)
        json_raw(w, b_slice(e->json, e->len));
}

static void write_slow(struct json_writer *w) {
    bool written[GW_RECORDED_MAX] = {false};
    for (unsigned n = 0; n < GW_RECORDED_MAX; n++) {
        unsigned best = GW_RECORDED_MAX;
        for (unsigned i = 0; i < GW_RECORDED_MAX; i++)
            if (!written[i] && (best == GW_RECORDED_MAX || recorder.slow[i].ns > recorder.slow[best].ns))
                best = i;
        written[best] = true;
        write_entry(w, &recorder.slow[best]);
    }
}

void gw_write_recorded(struct json_writer *w) {
    pthread_mutex_lock(&recorder.lock);
    json_object_begin(w);
    json_key(w, B_LIT("slow"));
    json_array_begin(w);
    write_slow(w);
    json_array_end(w);
    json_key(w, B_LIT("failed"));
    json_array_begin(w);
    for (unsigned i = 0; i < GW_RECORDED_MAX; i++)
        write_entry(w, &recorder.failed[(recorder.next_failed - 1 - i) % GW_RECORDED_MAX]);
    json_array_end(w);
    json_object_end(w);
    pthread_mutex_unlock(&recorder.lock);
}

void gw_recorder_clear(void) {
    pthread_mutex_lock(&recorder.lock);
    for (unsigned i = 0; i < GW_RECORDED_MAX; i++) {
        b_free(recorder.slow[i].json);
        b_free(recorder.failed[i].json);
        recorder.slow[i] = recorder.failed[i] = (struct entry){0};
    }
    recorder.next_failed = 0;
    set_threshold();
    pthread_mutex_unlock(&recorder.lock);
}
