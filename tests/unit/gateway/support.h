/* A config text as a snapshot, and what its router finds. */
#ifndef UNIT_GATEWAY_SUPPORT_H
#define UNIT_GATEWAY_SUPPORT_H

#include "gateway/gateway.h"

struct built {
    struct gateway gateway;
    struct gw_options options;
    struct gw_snapshot *snapshot; /* NULL: refused */
    struct cfg_errors errors;
    char said[8192]; /* errors and warnings */
};

/* Builds a snapshot of this config, as `weir check` does; the file is called `t`. */
void build(struct built *b, const char *config);
void unbuild(struct built *b);

/* What a request finds: "PATTERN", "PATTERN name=value ...", "404", or "405 METHODS". */
const char *found(struct built *b, const char *method, const char *host, const char *path);
/* The same on the listener of that address. */
const char *found_on(struct built *b, const char *listener, const char *method, const char *host,
                     const char *path);

#endif
