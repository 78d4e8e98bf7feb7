/* The registry: what src/modules.def names, as the gateway and as the config loader want it. */
#include "gateway/module.h"

#define GW_MIDDLEWARE(name) extern const struct gw_middleware mw_##name;
#define GW_HANDLER(name) extern const struct gw_handler hd_##name;
#include "modules.def"
#undef GW_MIDDLEWARE
#undef GW_HANDLER

/* For each kind the descriptors, and their first members. */
#define GW_MIDDLEWARE(name) &mw_##name,
#define GW_HANDLER(name)
const struct gw_middleware *const gw_middlewares[] = {
#include "modules.def"
    NULL,
};
#undef GW_MIDDLEWARE
#define GW_MIDDLEWARE(name) &mw_##name.module,
static const struct cfg_module *const middleware[] = {
#include "modules.def"
    NULL,
};
#undef GW_MIDDLEWARE
#undef GW_HANDLER

#define GW_MIDDLEWARE(name)
#define GW_HANDLER(name) &hd_##name,
const struct gw_handler *const gw_handlers[] = {
#include "modules.def"
    NULL,
};
#undef GW_HANDLER
#define GW_HANDLER(name) &hd_##name.module,
static const struct cfg_module *const handlers[] = {
#include "modules.def"
    NULL,
};
#undef GW_MIDDLEWARE
#undef GW_HANDLER

const struct cfg_registry *gw_registry(void) {
    static const struct cfg_registry registry = {.handlers = handlers, .middleware = middleware};
    return &registry;
}
