/* What `weir explain` draws of an aggregate. */
#include "config/value.h"
#include "handler/aggregate_plan.h"

static rt_time end_of(const struct hd_aggregate *a, const struct hd_call *call, rt_time begin) {
    rt_time deadline = a->route->deadline;
    if (call->need == HD_ASYNC)
        return deadline;
    rt_time end = call->conf->timeout ? rt_after(begin, call->conf->timeout) : deadline;
    return end < deadline ? end : deadline;
}

static void write_time(struct b_text *out, rt_time t) {
    char text[32];
    struct b_text word = b_text_fixed(text, sizeof text);
    cfg_write_duration(&word, t);
    b_text_printf(out, "%7.*s", (int)word.len, text);
}

static void write_call(const struct hd_aggregate *a, const struct hd_call *call, rt_time begin, rt_time end,
                       struct b_text *out) {
    static const char *const needs[] = {"strong", "weak", "async"};
    b_text_printf(out, "%-16.*s %-6s ", B_FMT(call->name), needs[call->need]);
    if (call->need == HD_ASYNC) {
        b_text_lit(out, "after the answer   ");
    } else {
        write_time(out, begin);
        b_text_lit(out, " to ");
        write_time(out, end);
        b_text_lit(out, " ");
    }
    b_text_printf(out, "%.*s %.*s at %.*s", B_FMT(call->conf->method), B_FMT(call->conf->path),
                  B_FMT(call->conf->upstream.name));
    if (call->each)
        b_text_printf(out, ", for up to %lld of %.*s", (long long)call->conf->each.max,
                      B_FMT(call->conf->each.in));
    const char *before = "  <- ";
    for (unsigned i = 0; i < a->count; i++) {
        if (!(call->waits_for >> i & 1))
            continue;
        b_text_cstr(out, before);
        b_text_slice_add(out, a->calls[i].name);
        before = ", ";
    }
    b_text_char(out, '\n');
}

void hd_aggregate_explain(const void *state, const char *indent, struct b_text *out) {
    const struct hd_aggregate *a = state;
    rt_time ends[HD_CALLS_MAX] = {0}, worst = 0;
    uint64_t left = a->all;
    b_text_printf(out, "%scalls: %u at the most (max_calls %lld), %lld at a time\n", indent,
                  hd_aggregate_calls(a->conf, NULL), (long long)a->conf->max_calls,
                  (long long)a->conf->max_parallel);
    while (left) { /* the graph has no cycles: each round finds one */
        for (unsigned i = 0; i < a->count; i++) {
            const struct hd_call *call = &a->calls[i];
            rt_time begin = 0;
            if (!(left >> i & 1) || call->waits_for & left)
                continue;
            for (unsigned k = 0; k < a->count; k++)
                if (call->waits_for >> k & 1 && ends[k] > begin)
                    begin = ends[k];
            ends[i] = end_of(a, call, begin);
            if (call->need != HD_ASYNC && ends[i] > worst)
                worst = ends[i];
            b_text_cstr(out, indent);
            b_text_lit(out, "  ");
            write_call(a, call, begin, ends[i], out);
            left &= ~((uint64_t)1 << i);
        }
    }
    b_text_printf(out, "%sthe answer: ", indent);
    cfg_write_duration(out, worst);
    b_text_lit(out, " at the worst\n");
}
