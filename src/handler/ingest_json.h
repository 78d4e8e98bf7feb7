/* Events of any shape: where they stand in the body, and what each column of their table is made of, say templates. */
#ifndef HANDLER_INGEST_JSON_H
#define HANDLER_INGEST_JSON_H

#include "gateway/module.h"
#include "store/store.h"

struct hd_json_conf {
    struct b_slice items;           /* ptr NULL: the body, or what is in it when it is an array */
    const struct cfg_node *columns; /* a map of templates, by column */
    struct cfg_list types;          /* struct cfg_text, by column */
    struct cfg_list key;            /* struct cfg_text */
    bool create;
};

struct hd_json;

/* Compiles them; *table is what they go into, in the snapshot's arena. 0, or negative after reporting. */
int hd_json_open(const struct gw_open *o, const struct cfg_route *route, const struct hd_json_conf *conf,
                 const struct cfg_node *node, struct st_table *table, struct hd_json **out);
/* Makes rows of the body, which is in rows->body. 0 or -(enum http_error), with the detail. */
int hd_json_read(struct exchange *ex, const struct hd_json *j, struct st_rows *rows, unsigned max_items);

#endif
