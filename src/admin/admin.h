/* The admin address: metrics, health, reload and drain, and a look inside, as one handler over one table of paths. */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "gateway/gateway.h"

/* For gw_options.admin; its state is NULL. Its `open` is adm_check. */
extern const struct gw_handler adm_handler;

/* Registers the figures of workers, fibers, loop and config; once, after tel_metrics_init. The gateway is borrowed for the
 * life of the process. 0 or -ENOMEM. */
int adm_metrics_init(struct gateway *g);

/* Can this admin section be served safely: a token where others can reach the address, a file that holds one? Reads the
 * file. 0 or -EINVAL with errors. */
int adm_check(const struct cfg_root *root, struct cfg_errors *errors);

/* gw_reload, and what belongs to the process rather than to the snapshot: a level of the log that the new config
 * changes. What
 * was wrong is logged. From a fiber; contract of gw_reload. */
int adm_reload(struct gateway *g, struct cfg_errors *errors, struct b_text *changes, enum gw_format format);

#endif
