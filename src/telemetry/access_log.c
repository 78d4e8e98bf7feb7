#include "telemetry/access_log.h"

#include "base/escape.h"

static void add_number(struct b_text *out, struct b_slice name, uint64_t v) {
    b_text_slice_add(out, name);
    b_text_u64(out, v);
}

static void add_string(struct b_text *out, struct b_slice name, struct b_slice s) {
    if (s.len == 0)
        return;
    b_text_slice_add(out, name);
    b_text_json_string_max(out, s, TEL_ACCESS_FIELD_MAX);
}

/* Seconds with six decimals. */
static void add_seconds(struct b_text *out, struct b_slice name, uint64_t ns) {
    uint64_t us = ns / 1000;
    char decimals[7] = ".";
    add_number(out, name, us / 1000000);
    us %= 1000000;
    for (int i = 6; i > 0; i--, us /= 10)
        decimals[i] = (char)('0' + us % 10);
    b_text_add(out, decimals, sizeof decimals);
}

static struct b_slice without_query(struct b_slice url) {
    return b_slice(url.ptr, b_slice_find(url, '?'));
}

void tel_access_write(struct b_text *out, const struct tel_access *a) {
    b_text_lit(out, "{\"ts\":\"");
    b_text_timestamp(out, a->time_ns);
    b_text_char(out, '"');
    add_string(out, B_LIT(",\"request_id\":"), a->request_id);
    add_string(out, B_LIT(",\"trace_id\":"), a->trace_id);
    add_string(out, B_LIT(",\"client.address\":"), a->client);
    add_string(out, B_LIT(",\"user.id\":"), a->user);
    add_string(out, B_LIT(",\"http.request.method\":"), a->method);
    add_string(out, B_LIT(",\"url.scheme\":"), a->scheme);
    add_string(out, B_LIT(",\"server.address\":"), a->host);
    add_string(out, B_LIT(",\"url.path\":"), a->path);
    add_string(out, B_LIT(",\"url.query\":"), a->query);
    add_string(out, B_LIT(",\"network.protocol.version\":"), a->protocol);
    add_string(out, B_LIT(",\"http.route\":"), a->route);
    add_number(out, B_LIT(",\"http.response.status_code\":"), a->status);
    add_string(out, B_LIT(",\"code\":"), a->code);
    add_number(out, B_LIT(",\"http.request.body.size\":"), a->bytes_in);
    add_number(out, B_LIT(",\"http.response.body.size\":"), a->bytes_out);
    add_seconds(out, B_LIT(",\"duration\":"), a->duration_ns);
    if (a->attempts) {
        add_string(out, B_LIT(",\"upstream\":"), a->upstream);
        add_string(out, B_LIT(",\"endpoint\":"), a->endpoint);
        add_number(out, B_LIT(",\"attempts\":"), a->attempts);
        add_seconds(out, B_LIT(",\"upstream_duration\":"), a->upstream_ns);
    }
    add_string(out, B_LIT(",\"missing\":"), a->missing);
    add_string(out, B_LIT(",\"user_agent.original\":"), a->user_agent);
    add_string(out, B_LIT(",\"http.request.header.referer\":"), without_query(a->referer));
    b_text_lit(out, "}\n");
}

static void format(struct b_text *line, const void *arg) {
    tel_access_write(line, arg);
}

/* The strings of a line lie side by side. */
#define FIRST_STRING offsetof(struct tel_access, client)
#define STRINGS ((sizeof(struct tel_access) - FIRST_STRING) / sizeof(struct b_slice))
_Static_assert(offsetof(struct tel_access, missing) == FIRST_STRING + (STRINGS - 1) * sizeof(struct b_slice),
               "strings are the last members");

struct tel_access *tel_access_keep(const struct tel_access *a) {
    struct b_slice from[STRINGS];
    size_t size = 0;
    memcpy(from, (const char *)a + FIRST_STRING, sizeof from);
    for (size_t i = 0; i < STRINGS; i++) {
        if (from[i].len > TEL_ACCESS_FIELD_MAX)
            from[i].len = TEL_ACCESS_FIELD_MAX + 1; /* it will still be seen to be cut */
        size += from[i].len;
    }
    struct tel_access *copy = b_alloc(B_TAG_TELEMETRY, sizeof *copy + size);
    if (!copy)
        return NULL;
    *copy = *a;
    char *at = (char *)(copy + 1);
    for (size_t i = 0; i < STRINGS; i++) {
        if (from[i].len)
            memcpy(at, from[i].ptr, from[i].len);
        from[i].ptr = at;
        at += from[i].len;
    }
    memcpy((char *)copy + FIRST_STRING, from, sizeof from);
    return copy;
}

bool tel_access_log(struct tel_ring *ring, const struct tel_access *a) {
    return tel_ring_put_with(ring, TEL_ACCESS_LINE_MAX, format, a);
}
