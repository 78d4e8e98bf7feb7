/* Signed webhooks: that a body comes from one who knows the secret. HMAC-SHA256 over the bytes as they came, before anything looks
 * at them. */
#ifndef HANDLER_INGEST_SIGNATURE_H
#define HANDLER_INGEST_SIGNATURE_H

#include "gateway/module.h"

struct hd_signature_conf {
    struct cfg_head head; /* head.node NULL: none is asked for */
    int scheme;
    struct cfg_list secrets; /* struct cfg_text */
    struct b_slice secrets_file;
    int64_t tolerance;
};
extern const struct cfg_table hd_signature_table;

struct hd_signature;

/* Reads the secrets; *out is NULL when none is asked for. 0, or negative after reporting. */
int hd_signature_open(const struct gw_open *o, const struct hd_signature_conf *conf,
                      struct hd_signature **out);
/* Whether the body is signed as it has to be: NULL, or what is wrong (static). */
const char *hd_signature_check(const struct hd_signature *s, const struct exchange *ex, struct b_slice body);

#endif
