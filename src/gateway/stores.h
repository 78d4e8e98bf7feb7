/* The stores of a config: a snapshot has a reference to each, by which its handlers find them. */
#ifndef GATEWAY_STORES_H
#define GATEWAY_STORES_H

#include "gateway/module.h"
#include "store/store.h"

/* Takes references to the config's stores. 0, or negative after reporting. */
int gw_stores_open(const struct gw_open *o);
void gw_stores_close(struct gw_snapshot *s);
/* The store of that name; an empty one: the only one there is. NULL after reporting at `node`. */
struct st_store *gw_store_find(const struct gw_open *o, struct b_slice name, const struct cfg_node *node);
/* The snapshot is about to be in force: opens its stores and brings their tables up to date, before anybody is listened to; one that
 * is down is logged, and goes on trying. From a fiber. */
void gw_stores_start(struct gw_snapshot *s);
/* Whether none of them has been down for longer than it may. */
bool gw_stores_ready(struct gateway *g);

#endif
