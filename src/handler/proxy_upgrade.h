/* Which other protocol a request may switch to. */
#ifndef HANDLER_PROXY_UPGRADE_H
#define HANDLER_PROXY_UPGRADE_H

#include "config/config.h"
#include "gateway/exchange.h"

/* Contract of cfg_table.check, for the list of protocols. */
int hd_proxy_upgrade_check(struct cfg_errors *errors, const struct cfg_list *protocols);

/* The first protocol that the client asks for and the list (struct cfg_text) has, as it stands there; empty: the request
 * goes as plain HTTP. One with a body does, for bytes of a client go to an origin that has switched only (S24). */
struct b_slice hd_proxy_upgrade(const struct exchange *ex, const struct cfg_list *protocols);

#endif
