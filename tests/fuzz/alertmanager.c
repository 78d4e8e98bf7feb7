/* A webhook of Alertmanager: whatever it holds, each of its alerts becomes a row or an item of the rejected, or it is refused whole. */
#include <assert.h>

#include "base/calendar.h"
#include "handler/ingest_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const struct st_value *v) {
    if (v->kind == ST_TEXT)
        assert(v->len == 0 || !memchr(v->text, 0, v->len));
    if (v->kind == ST_TIME) {
        char text[B_RFC3339_LEN];
        int64_t back;
        b_format_rfc3339(text, v->integer);
        assert(b_parse_rfc3339(b_slice(text, sizeof text), &back) && back == v->integer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json_index x = {.tag = B_TAG_TEST};
    struct json_fault fault;
    unsigned own = st_own_columns(&hd_alerts_table);
    struct st_rows rows = {0};
    struct hd_reading r = {.max_items = 50, .now = 1795759200000000, .any_label_name = size % 2};
    b_arena_init(&rows.arena, B_TAG_TEST, NULL, NULL, 0, 4 << 20);
    b_arena_init(&r.scratch, B_TAG_TEST, NULL, NULL, 0, 4 << 20);
    rows.body = b_text_heap(B_TAG_TEST, 4 << 20);
    b_text_add(&rows.body, data, size);
    if (json_index(&x, b_text_slice(&rows.body), &fault) == 0) {
        int rc = hd_alerts_read(&x, &rows, &r);
        if (rc == 0) {
            assert(rows.count + rows.reject_count > 0 && rows.count + rows.reject_count <= r.max_items);
            for (unsigned i = 0; i < rows.count * own; i++)
                check_value(&rows.values[i]);
            for (unsigned i = 0; i < hd_alerts_table.common_count; i++)
                check_value(&rows.common[i]);
            for (unsigned i = 0; i < rows.count; i++)
                assert(rows.values[i * own].kind == ST_HEX && rows.items[i].len);
            for (unsigned i = 0; i < rows.reject_count; i++)
                assert(rows.rejects[i].reason.len && rows.rejects[i].item.len);
        } else {
            assert(rc != -22 || r.why[0]);
        }
    }
    json_index_free(&x);
    b_arena_release(&r.scratch);
    st_rows_free(&rows);
    return 0;
}
