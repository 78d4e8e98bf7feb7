#include "handler/ingest_signature.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <unistd.h>

#include "base/number.h"
#include "gateway/gateway.h"
#include "runtime/offload.h"

#define SECRETS_MAX 16
#define SECRET_MAX 512 /* bytes */
#define FILE_MAX 16384
#define SIGNATURES_MAX 16 /* in a header: keys are rotated, so there may be some */

enum scheme { STANDARD_WEBHOOKS, GITHUB };

static const char *const schemes[] = {"standard_webhooks", "github", NULL};

static const struct cfg_option options[] = {
    {.name = "scheme",
     .type = CFG_ENUM,
     CFG_AT(struct hd_signature_conf, scheme),
     .flags = CFG_REQUIRED,
     .choices = schemes,
     .example = "standard_webhooks",
     .help =
         "standard_webhooks: webhook-id, webhook-timestamp and webhook-signature (standardwebhooks.com); github: "
         "X-Hub-Signature-256"},
    {.name = "secrets",
     .type = CFG_STRINGS,
     CFG_AT(struct hd_signature_conf, secrets),
     .flags = CFG_SECRET,
     .max = SECRETS_MAX,
     .example = "[\"${WEBHOOK_SECRET}\"]",
     .help =
         "any of them will do, so that they can be changed one after the other; those of standard_webhooks begin with whsec_"},
    {.name = "secrets_file",
     .type = CFG_STRING,
     CFG_AT(struct hd_signature_conf, secrets_file),
     .min = 1,
     .max = 4000,
     .example = "webhook.secrets",
     .help = "a file with more of them, one a line; read again with each reload"},
    {.name = "tolerance",
     .type = CFG_DURATION,
     CFG_AT(struct hd_signature_conf, tolerance),
     .default_text = "5m",
     .min = CFG_S,
     .max = CFG_H,
     .help = "how far a timestamp may be from now, either way (standard_webhooks)"},
    {0},
};

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct hd_signature_conf *c = conf;
    return c->secrets.count || c->secrets_file.ptr
               ? 0
               : cfg_error_at(errors, node, "\"signature\" needs `secrets` or `secrets_file`");
}

const struct cfg_table hd_signature_table = {.name = "a signature",
                                             .summary =
                                                 "Whom webhooks are taken from: those who know a secret",
                                             .options = options,
                                             .size = sizeof(struct hd_signature_conf),
                                             .check = check};

struct hd_signature {
    enum scheme scheme;
    rt_time tolerance;
    struct b_slice secrets[SECRETS_MAX];
    unsigned count;
};

/* ---- secrets ---- */

/* Base64, with or without padding, of any alphabet. False: it is none, or too long. */
static bool decode64(struct b_slice s, char *out, size_t room, size_t *len) {
    uint32_t bits = 0;
    unsigned have = 0;
    *len = 0;
    while (s.len && s.ptr[s.len - 1] == '=')
        s.len--;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : b_is_digit(c)        ? c - '0' + 52
                : c == '+' || c == '-' ? 62
                : c == '/' || c == '_' ? 63
                                       : -1;
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        if (*len == room)
            return false;
        out[(*len)++] = (char)(bits >> have);
    }
    return true;
}

static int add_secret(const struct gw_open *o, struct hd_signature *s, struct b_slice text,
                      const struct cfg_node *node) {
    char key[SECRET_MAX];
    size_t len = text.len;
    if (s->count == SECRETS_MAX)
        return cfg_error_at(o->errors, node, "there are more than %d secrets", SECRETS_MAX);
    if (!text.len || text.len > SECRET_MAX)
        return cfg_error_at(o->errors, node, "a secret has 1 to %d bytes", SECRET_MAX);
    if (s->scheme == STANDARD_WEBHOOKS) {
        if (b_slice_starts(text, B_LIT("whsec_")))
            text = b_slice_from(text, 6);
        if (!decode64(text, key, sizeof key, &len) || !len)
            return cfg_error_at(o->errors, node,
                                "a secret of standard_webhooks is base64, with or without whsec_ before it");
        text = b_slice(key, len);
    }
    s->secrets[s->count] = b_arena_copy(o->arena, text);
    OPENSSL_cleanse(key, sizeof key);
    return s->secrets[s->count++].ptr ? 0 : cfg_error_memory(o->errors);
}

struct file {
    const char *path;
    char text[FILE_MAX];
    size_t len;
    int error;
};

static void read_file(void *arg) {
    struct file *f = arg;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, f->text, sizeof f->text);
    f->error = n < 0 ? errno : (size_t)n == sizeof f->text ? EFBIG : 0;
    f->len = n < 0 ? 0 : (size_t)n;
    if (fd >= 0)
        close(fd);
}

static int add_file(const struct gw_open *o, struct hd_signature *s, const struct hd_signature_conf *c) {
    const struct cfg_node *node = cfg_node_get(c->head.node, "secrets_file");
    struct file *f = b_zalloc(B_TAG_CONFIG, sizeof *f);
    int rc = 0;
    if (!f)
        return cfg_error_memory(o->errors);
    f->path = c->secrets_file.ptr;
    read_file(f);
    struct b_slice rest = b_slice(f->text, f->len), line;
    if (f->error)
        rc = cfg_error_at(o->errors, node, "the file of secrets \"%s\" cannot be read: %s", f->path,
                          strerror(f->error));
    while (rc == 0 && b_slice_next(&rest, '\n', &line)) {
        while (line.len && (unsigned char)line.ptr[line.len - 1] <= ' ')
            line.len--;
        if (line.len)
            rc = add_secret(o, s, line, node);
    }
    OPENSSL_cleanse(f->text, sizeof f->text);
    b_free(f);
    if (rc == 0 && !s->count)
        rc = cfg_error_at(o->errors, node, "the file of secrets \"%s\" has none", c->secrets_file.ptr);
    return rc;
}

int hd_signature_open(const struct gw_open *o, const struct hd_signature_conf *conf,
                      struct hd_signature **out) {
    struct hd_signature *s = conf->head.node ? b_arena_zalloc(o->arena, sizeof *s) : NULL;
    int rc = 0;
    *out = s;
    if (!conf->head.node)
        return 0;
    if (!s)
        return cfg_error_memory(o->errors);
    s->scheme = (enum scheme)conf->scheme;
    s->tolerance = conf->tolerance;
    CFG_EACH(const struct cfg_text, secret, &conf->secrets)
        rc = rc ? rc : add_secret(o, s, secret->text, secret->node);
    return rc || !conf->secrets_file.ptr ? rc : add_file(o, s, conf);
}

/* ---- a request ---- */

struct hmac {
    const struct hd_signature *s;
    struct b_slice parts[5];
    unsigned count;
    unsigned char digests[SECRETS_MAX][32];
    bool failed;
};

static EVP_MAC *hmac_of_libcrypto; /* for the life of the process: fetching it takes locks */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void) {
    hmac_of_libcrypto = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

static bool compute_one(EVP_MAC_CTX *ctx, const struct hmac *h, unsigned i) {
    char sha256[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", sha256, 0),
                                 OSSL_PARAM_construct_end()};
    struct b_slice secret = h->s->secrets[i];
    size_t len = 0;
    bool good = EVP_MAC_init(ctx, (const unsigned char *)secret.ptr, secret.len, params) == 1;
    for (unsigned p = 0; p < h->count; p++)
        good = good && EVP_MAC_update(ctx, (const unsigned char *)h->parts[p].ptr, h->parts[p].len) == 1;
    return good && EVP_MAC_final(ctx, (unsigned char *)(uintptr_t)h->digests[i], &len, 32) == 1 && len == 32;
}

/* Of each secret, over all parts. On the big stack: libcrypto takes some. */
static void compute(void *arg) {
    struct hmac *h = arg;
    pthread_once(&fetched, fetch);
    EVP_MAC_CTX *ctx = hmac_of_libcrypto ? EVP_MAC_CTX_new(hmac_of_libcrypto) : NULL;
    h->failed = !ctx;
    for (unsigned i = 0; !h->failed && i < h->s->count; i++)
        h->failed = !compute_one(ctx, h, i);
    EVP_MAC_CTX_free(ctx);
}

/* Every secret is compared, whatever the first ones gave. */
static bool one_is(const struct hmac *h, const char given[32]) {
    unsigned found = 0;
    for (unsigned i = 0; i < h->s->count; i++)
        found |= CRYPTO_memcmp(h->digests[i], given, 32) == 0;
    return found != 0;
}

static struct b_slice field(const struct exchange *ex, struct b_slice name) {
    const struct http_field *f = http_fields_find_name(&ex->req.fields, name);
    return f ? http_field_value(f) : (struct b_slice){0};
}

static const char *check_standard(struct hmac *h, const struct exchange *ex) {
    struct b_slice id = field(ex, B_LIT("webhook-id")), at = field(ex, B_LIT("webhook-timestamp")),
                   signatures = field(ex, B_LIT("webhook-signature")), one;
    uint64_t seconds;
    if (!id.len || !at.len || !signatures.len)
        return "webhook-id, webhook-timestamp and webhook-signature are needed";
    if (!b_parse_u64(at, &seconds) || seconds > INT64_MAX / (uint64_t)RT_S)
        return "webhook-timestamp is no count of seconds";
    rt_time off = rt_wall_clock() - (rt_time)seconds * RT_S;
    if (off > h->s->tolerance || off < -h->s->tolerance)
        return "webhook-timestamp is too far from now";
    struct b_slice body = h->parts[0];
    struct b_slice parts[] = {id, B_LIT("."), at, B_LIT("."), body};
    memcpy(h->parts, parts, sizeof parts);
    h->count = 5;
    rt_on_big_stack(compute, h);
    for (unsigned i = 0; !h->failed && i < SIGNATURES_MAX && b_slice_next(&signatures, ' ', &one); i++) {
        char given[32];
        size_t len;
        if (b_slice_starts(one, B_LIT("v1,")) && decode64(b_slice_from(one, 3), given, sizeof given, &len) &&
            len == sizeof given && one_is(h, given))
            return NULL;
    }
    return "no signature is that of the body with a secret of this route";
}

static const char *check_github(struct hmac *h, const struct exchange *ex) {
    struct b_slice signature = field(ex, B_LIT("x-hub-signature-256"));
    char given[32];
    if (!b_slice_starts(signature, B_LIT("sha256=")) || signature.len != 7 + 64)
        return "X-Hub-Signature-256 is needed: sha256= and 64 hexadecimal digits";
    for (unsigned i = 0; i < 32; i++) {
        int high = b_hex_digit(signature.ptr[7 + 2 * i]), low = b_hex_digit(signature.ptr[8 + 2 * i]);
        if (high < 0 || low < 0)
            return "X-Hub-Signature-256 is needed: sha256= and 64 hexadecimal digits";
        given[i] = (char)(high << 4 | low);
    }
    h->count = 1;
    rt_on_big_stack(compute, h);
    return !h->failed && one_is(h, given)
               ? NULL
               : "the signature is not that of the body with a secret of this route";
}

const char *hd_signature_check(const struct hd_signature *s, const struct exchange *ex, struct b_slice body) {
    struct hmac h = {.s = s, .parts = {body}};
    return s->scheme == GITHUB ? check_github(&h, ex) : check_standard(&h, ex);
}
