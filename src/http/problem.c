#include "http/problem.h"

#include "json/writer.h"

/* What detail and request id may take in JSON, so that the whole stays under HTTP_PROBLEM_MAX. */
#define DETAIL_MAX 1024
#define REQUEST_ID_MAX 128

/* The most bytes that c takes in a JSON string; 3 is for those that are not UTF-8. */
static size_t json_cost(unsigned char c) {
    return c < 0x20 ? 6 : c >= 0x80 ? 3 : c == '"' || c == '\\' ? 2 : 1;
}

/* As much of s as takes no more than max bytes, and not a part of a character at its end. */
static struct b_slice cut(struct b_slice s, size_t max) {
    size_t n = 0;
    for (size_t cost = 0; n < s.len && (cost += json_cost((unsigned char)s.ptr[n])) <= max; n++) {
    }
    while (n < s.len && n > 0 && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
        n--;
    return b_slice(s.ptr, n);
}

void http_problem_write(struct b_text *out, const struct http_problem *p) {
    const struct http_error_info *info = http_error_info(p->error);
    struct json_writer w = json_writer(out);
    json_object_begin(&w);
    json_key(&w, B_LIT("type"));
    json_raw(&w, B_LIT("\"urn:weir:error:"));
    b_text_cstr(out, info->code);
    b_text_char(out, '"');
    json_key(&w, B_LIT("title"));
    json_string(&w, b_slice_cstr(info->title));
    json_key(&w, B_LIT("status"));
    json_u64(&w, info->status);
    json_key(&w, B_LIT("detail"));
    json_string(&w, p->detail.len ? cut(p->detail, DETAIL_MAX) : b_slice_cstr(info->explanation));
    json_key(&w, B_LIT("code"));
    json_string(&w, b_slice_cstr(info->code));
    if (p->request_id.len) {
        json_key(&w, B_LIT("request_id"));
        json_string(&w, cut(p->request_id, REQUEST_ID_MAX));
    }
    json_object_end(&w);
    b_text_char(out, '\n');
}
