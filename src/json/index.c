#include "json/index.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/number.h"
#include "json/number.h"
#include "json/scan.h"
#include "json/utf8.h"

/* ---- scanners ---- */

static const struct json_scanner *const all[] = {
#ifdef __x86_64__
    &json_avx512, &json_avx2, &json_sse2,
#endif
#ifdef __aarch64__
    &json_neon,
#endif
    &json_scalar};
#define SCANNERS (sizeof all / sizeof all[0])

static _Atomic(const struct json_scanner *) chosen;

static const struct json_scanner *scanner(void) {
    const struct json_scanner *s = atomic_load_explicit(&chosen, memory_order_acquire);
    for (size_t i = 0; !s; i++)
        if (all[i]->here())
            atomic_store_explicit(&chosen, s = all[i], memory_order_release);
    return s;
}

const char *const *json_scanners(void) {
    static const char *names[SCANNERS + 1];
    size_t n = 0;
    for (size_t i = 0; i < SCANNERS; i++)
        if (all[i]->here())
            names[n++] = all[i]->name;
    names[n] = NULL;
    return names;
}

bool json_use_scanner(const char *name) {
    const struct json_scanner *found = NULL;
    for (size_t i = 0; name && i < SCANNERS && !found; i++)
        if (strcmp(all[i]->name, name) == 0 && all[i]->here())
            found = all[i];
    if (name && !found)
        return false;
    atomic_store_explicit(&chosen, found, memory_order_release);
    return true;
}

/* ---- the grammar ---- */

enum state {
    VALUE,       /* a value has to come */
    FIRST_VALUE, /* behind [: a value, or ] */
    FIRST_KEY,   /* behind {: a key, or } */
    KEY,         /* behind a comma in an object */
    COLON,
    NEXT, /* behind a value inside brackets: a comma, or the closing one */
    DONE  /* behind the whole text */
};

#define ITEMS UINT32_MAX

/* Walks the places that a scanner has found, window by window. */
struct walk {
    const char *text;
    uint32_t len;
    struct json_token *tokens;
    uint32_t count, depth;
    uint32_t last_object; /* see struct json_index */
    uint8_t state;
    bool in_string, in_key;
    uint32_t escaped;              /* JSON_ESCAPED, if there was a backslash in this string */
    uint32_t low_surrogate;        /* where one has to stand, and has been seen; UINT32_MAX: nowhere */
    uint32_t open[JSON_DEPTH_MAX]; /* tokens of the brackets that are open */
    uint32_t keys[JSON_DEPTH_MAX]; /* members so far; ITEMS for an array */
    const char *why;
    uint32_t at;
};

static bool fail(struct walk *w, uint32_t at, const char *why) {
    w->at = at;
    w->why = why;
    return false;
}

/* What may stand behind a number or a literal. */
static const bool ends[256] = {
    [','] = true, ['}'] = true, [']'] = true, [' '] = true, ['\n'] = true, ['\r'] = true, ['\t'] = true};

static inline bool is_end(const struct walk *w, uint32_t at) {
    return at >= w->len || ends[(unsigned char)w->text[at]];
}

/* What stands behind the number, or 0. */
static inline uint32_t end_of_number(const struct walk *w, uint32_t at) {
    const char *end = json_end_of_number(w->text + at, w->text + w->len);
    return end ? (uint32_t)(end - w->text) : 0;
}

static bool matches(const struct walk *w, uint32_t at, const char *word, uint32_t len) {
    return w->len - at >= len && memcmp(w->text + at, word, len) == 0;
}

/* What stands behind a number or a literal; 0: it is none. Whole numbers are the usual. */
static inline __attribute__((always_inline)) uint32_t end_of_scalar(const struct walk *w, uint32_t at,
                                                                    const char *text, const char *limit) {
    uint32_t behind = 0;
    const char *p = text + at;
    if (*p >= '1' && *p <= '9') {
        p = json_end_of_digits(p, limit);
        if (p == limit || ends[(unsigned char)*p])
            return (uint32_t)(p - text);
    }
    switch (text[at]) {
    case 't': behind = matches(w, at, "true", 4) ? at + 4 : 0; break;
    case 'n': behind = matches(w, at, "null", 4) ? at + 4 : 0; break;
    case 'f': behind = matches(w, at, "false", 5) ? at + 5 : 0; break;
    case '-':
    case '0' ... '9': behind = end_of_number(w, at); break;
    default: break;
    }
    return behind && is_end(w, behind) ? behind : 0;
}

static bool take_scalar(struct walk *w, uint32_t at) {
    uint32_t end = end_of_scalar(w, at, w->text, w->text + w->len);
    if (!end)
        return fail(w, at,
                    w->text[at] == '-' || b_is_digit(w->text[at]) ? "a malformed number" : "no JSON value");
    w->tokens[w->count++] = (struct json_token){at, end};
    w->state = w->depth ? NEXT : DONE;
    return true;
}

/* Four hexadecimal digits behind \u; -1: they are none. */
static int code_unit(const struct walk *w, uint32_t at) {
    uint64_t code;
    if (w->len - at < 6 || !b_parse_hex(b_slice(w->text + at + 2, 4), &code))
        return -1;
    return (int)code;
}

/* What may stand behind a backslash, but u. */
static const bool escapes[256] = {['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
                                  ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true};

/* A backslash inside a string. */
static bool take_escape(struct walk *w, uint32_t at) {
    w->escaped = JSON_ESCAPED;
    if (at + 1 >= w->len)
        return fail(w, at, "a string without end");
    char c = w->text[at + 1];
    if (c != 'u')
        return escapes[(unsigned char)c] || fail(w, at, "an unknown escape");
    int code = code_unit(w, at);
    if (code < 0)
        return fail(w, at, "\\u without four hexadecimal digits");
    if (w->low_surrogate == at)
        return true;
    if (code >= 0xdc00 && code <= 0xdfff)
        return fail(w, at, "half a surrogate pair");
    if (code >= 0xd800 && code <= 0xdbff) {
        int low = matches(w, at + 6, "\\u", w->len - at > 7 ? 2 : UINT32_MAX) ? code_unit(w, at + 6) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(w, at, "half a surrogate pair");
        w->low_surrogate = at + 6;
    }
    return true;
}

static bool open_bracket(struct walk *w, uint32_t at, bool object) {
    if (w->depth == JSON_DEPTH_MAX)
        return fail(w, at, "brackets inside one another, more than 64");
    w->open[w->depth] = w->count;
    w->keys[w->depth++] = object ? 0 : ITEMS;
    w->tokens[w->count++] = (struct json_token){at, 0};
    w->state = object ? FIRST_KEY : FIRST_VALUE;
    return true;
}

static bool in_object(const struct walk *w) {
    return w->keys[w->depth - 1] != ITEMS;
}

/* The link of the token that closes what `open` opens. */
static inline uint32_t chain(struct walk *w, uint32_t open, bool object) {
    uint32_t before = object ? w->last_object : JSON_NO_OBJECT;
    w->last_object = object ? open : w->last_object;
    return before;
}

static bool close_bracket(struct walk *w, uint32_t at) {
    bool object = in_object(w);
    uint32_t open = w->open[--w->depth];
    w->tokens[open].link = w->count;
    w->tokens[w->count++] = (struct json_token){at, chain(w, open, object)};
    w->state = w->depth ? NEXT : DONE;
    return true;
}

static bool open_string(struct walk *w, uint32_t at, bool key) {
    if (key && ++w->keys[w->depth - 1] > JSON_KEYS_MAX)
        return fail(w, at, "an object with more than 10,000 members");
    w->in_string = true;
    w->in_key = key;
    w->escaped = 0;
    w->tokens[w->count++] = (struct json_token){at, 0};
    return true;
}

static void close_string(struct walk *w, uint32_t at) {
    w->in_string = false;
    w->tokens[w->count - 1].link = at | w->escaped;
    w->state = w->in_key ? COLON : w->depth ? NEXT : DONE;
}

static bool take_value(struct walk *w, uint32_t at, char c) {
    switch (c) {
    case '{': return open_bracket(w, at, true);
    case '[': return open_bracket(w, at, false);
    case '"': return open_string(w, at, false);
    default: return take_scalar(w, at);
    }
}

static bool take_next(struct walk *w, uint32_t at, char c) {
    bool object = in_object(w);
    if (c == ',') {
        w->state = object ? KEY : VALUE;
        return true;
    }
    if (c == (object ? '}' : ']'))
        return close_bracket(w, at);
    return fail(w, at, object ? "a comma or } has to stand here" : "a comma or ] has to stand here");
}

static bool take(struct walk *w, uint32_t at) {
    char c = w->text[at];
    if (w->in_string) {
        if (c == '\\')
            return take_escape(w, at);
        close_string(w, at);
        return true;
    }
    switch (w->state) {
    case FIRST_VALUE:
        if (c == ']')
            return close_bracket(w, at);
        return take_value(w, at, c);
    case VALUE: return take_value(w, at, c);
    case FIRST_KEY:
        if (c == '}')
            return close_bracket(w, at);
        return c == '"' ? open_string(w, at, true)
                        : fail(w, at, "a key in double quotes, or }, has to stand here");
    case KEY:
        return c == '"' ? open_string(w, at, true) : fail(w, at, "a key in double quotes has to stand here");
    case COLON: w->state = VALUE; return c == ':' || fail(w, at, "a colon has to stand here");
    case NEXT: return take_next(w, at, c);
    default: return fail(w, at, "something behind the end of the text");
    }
}

/* ---- the whole ---- */

#define WINDOW 4096 /* bytes whose places are found before they are walked */

/* Room for as many tokens as there are bytes in a window, which each may be one. */
static int reserve(struct json_index *x, struct walk *w) {
    uint32_t need = w->count + WINDOW + JSON_BLOCK;
    if (!x->places &&
        !(x->places = b_alloc(x->tag, (WINDOW + JSON_BLOCK + JSON_PLACES_MORE) * sizeof *x->places)))
        return -ENOMEM;
    if (need <= x->cap)
        return 0;
    uint32_t cap = x->cap ? x->cap + x->cap / 2 : 1024;
    cap = cap < need ? need : cap;
    struct json_token *more = b_realloc(x->tag, x->tokens, cap * sizeof *more);
    if (!more)
        return -ENOMEM;
    x->tokens = w->tokens = more;
    x->cap = cap;
    return 0;
}

/* Takes places by take() until none is left, or no string is open; the state says where to go on. */
static bool walk_slowly(struct walk *w, const uint32_t **places, const uint32_t *end) {
    do {
        if (!take(w, *(*places)++))
            return false;
    } while (*places < end && w->in_string);
    return true;
}

static inline void keep(struct walk *w, const struct json_token *behind, uint32_t depth, uint32_t members) {
    w->count = (uint32_t)(behind - w->tokens);
    w->depth = depth;
    if (depth)
        w->keys[depth - 1] = members;
}

/* The next place, or out of here with the state that goes on from there. */
#define NEXT_PLACE(next)                          \
    do {                                          \
        if (__builtin_expect(places == end, 0)) { \
            w->state = (next);                    \
            goto out;                             \
        }                                         \
        at = *places++;                           \
    } while (0)
/* What is not usual, or wrong, from the place that is at hand on. */
#define SLOWLY(now)       \
    do {                  \
        w->state = (now); \
        places--;         \
        goto slowly;      \
    } while (0)
#define IS_STRING (text[at] == '"' && places < end && (plain || text[*places] == '"'))

/* One store, and not two. */
static inline void put(struct json_token *t, uint32_t at, uint32_t link) {
    uint64_t both = htole64(at | (uint64_t)link << 32);
    memcpy(t, &both, sizeof both);
}

/* Walks the places of a window: take() says what each means; this does the same for those that are usual, with the state in
 * the place of the program and not in memory. `plain`: it has no backslash, so that behind the quote that begins a string stands the one
 * that ends it. */
static inline __attribute__((always_inline)) bool walk_window(struct walk *w, const uint32_t *places,
                                                              const uint32_t *end, bool plain) {
    const char *const text = w->text, *const limit = text + w->len;
    struct json_token *const tokens = w->tokens, *t = tokens + w->count;
    uint32_t depth = w->depth, members = depth ? w->keys[depth - 1] : 0,
             at; /* out of memory that tokens might lie in */
    if (w->in_string && places < end)
        goto slowly;
resume:
    switch (w->state) {
    case VALUE: NEXT_PLACE(VALUE); goto value;
    case KEY: NEXT_PLACE(KEY); goto key;
    case COLON: NEXT_PLACE(COLON); goto colon;
    case NEXT: goto behind_value;
    default:
        if (places == end)
            goto out;
        goto slowly;
    }
first_key:
    if (!IS_STRING)
        SLOWLY(FIRST_KEY);
key:
    if (__builtin_expect(members == JSON_KEYS_MAX || end - places < 3, 0))
        SLOWLY(KEY);
    if (__builtin_expect(text[at] != '"' || (!plain && text[places[0]] != '"') || text[places[1]] != ':', 0))
        SLOWLY(KEY);
    members++;
    put(t++, at, places[0]);
    at = places[2];
    places += 3;
    goto value;
colon:
    if (text[at] != ':')
        SLOWLY(COLON);
    NEXT_PLACE(VALUE);
value:
    if (IS_STRING) {
        put(t++, at, *places++);
    } else if ((text[at] | 0x20) == '{') { /* or [ */
        bool object = text[at] == '{';
        if (depth == JSON_DEPTH_MAX)
            SLOWLY(VALUE);
        if (depth)
            w->keys[depth - 1] = members;
        w->open[depth++] = (uint32_t)(t - tokens);
        members = object ? 0 : ITEMS;
        put(t++, at, 0);
        NEXT_PLACE(object ? FIRST_KEY : FIRST_VALUE);
        if (text[at] == (object ? '}' : ']'))
            goto close;
        if (object)
            goto first_key;
        goto value;
    } else {
        uint32_t behind = end_of_scalar(w, at, text, limit);
        if (!behind)
            SLOWLY(VALUE);
        put(t++, at, behind);
    }
    if (!depth)
        goto done;
behind_value:
    NEXT_PLACE(NEXT);
    if (text[at] == ',' && members != ITEMS) {
        NEXT_PLACE(KEY);
        goto key;
    }
    if (text[at] == ',') {
        NEXT_PLACE(VALUE);
        goto value;
    }
    if (text[at] != (members == ITEMS ? ']' : '}'))
        SLOWLY(NEXT);
close:
    tokens[w->open[--depth]].link = (uint32_t)(t - tokens);
    put(t++, at, chain(w, w->open[depth], members != ITEMS));
    if (depth) {
        members = w->keys[depth - 1];
        goto behind_value;
    }
done:
    w->state = DONE;
    if (places == end)
        goto out;
slowly:
    keep(w, t, depth, members);
    if (!walk_slowly(w, &places, end))
        return false;
    t = tokens + w->count;
    depth = w->depth;
    members = depth ? w->keys[depth - 1] : 0;
    if (!w->in_string)
        goto resume;
out:
    keep(w, t, depth, members);
    return true;
}

void json_locate(const struct json_index *x, size_t at, const char *why, struct json_fault *fault) {
    *fault = (struct json_fault){.why = why, .at = at, .line = 1, .column = 1};
    for (size_t i = 0; i < at && i < x->text.len; i++) {
        fault->column = x->text.ptr[i] == '\n' ? 1 : fault->column + 1;
        fault->line += x->text.ptr[i] == '\n';
    }
}

/* The scanner has seen bytes that may not be: where the first of them stands. */
static void find_bytes(struct walk *w, const struct json_scan *s) {
    bool quoted = false;
    for (uint32_t i = 0; i < w->len && !w->why;) {
        size_t n = json_utf8_length(w->text + i, w->len - i);
        char c = w->text[i];
        if (!n)
            fail(w, i, "bytes that are no UTF-8");
        else if (quoted && (unsigned char)c < 0x20)
            fail(w, i, "a control character inside a string");
        else if (c == '"')
            quoted = !quoted;
        i += (uint32_t)n + (quoted && c == '\\');
    }
    if (!w->why)
        fail(w, 0, s->utf8 ? "bytes that are no UTF-8" : "a control character inside a string");
}

int json_index(struct json_index *x, struct b_slice text, struct json_fault *fault) {
    unsigned char last[JSON_BLOCK];
    struct walk w = {.text = text.ptr,
                     .tokens = x->tokens,
                     .low_surrogate = UINT32_MAX,
                     .state = VALUE,
                     .last_object = JSON_NO_OBJECT};
    struct json_scan s = {0};
    const struct json_scanner *by = scanner();
    x->text = text;
    x->count = 0;
    if (text.len > JSON_TEXT_MAX)
        return -E2BIG;
    w.len = (uint32_t)text.len;
    bool good = true;
    for (uint32_t at = 0; good && at < w.len; at += WINDOW) {
        uint32_t n = w.len - at < WINDOW ? w.len - at : WINDOW;
        if (reserve(x, &w))
            return -ENOMEM;
        s.backslash = false;
        uint32_t *end = by->scan(&s, (const unsigned char *)text.ptr + at, n / JSON_BLOCK, at, x->places);
        if (n % JSON_BLOCK) { /* no byte behind the text is read */
            memset(last, ' ', sizeof last);
            memcpy(last, text.ptr + at + n / JSON_BLOCK * JSON_BLOCK, n % JSON_BLOCK);
            end = by->scan(&s, last, 1, at + n / JSON_BLOCK * JSON_BLOCK, end);
        }
        s.utf8 |= s.incomplete && at + n == w.len;
        if (s.utf8 || s.control)
            find_bytes(&w, &s);
        good = !w.why &&
               (s.backslash ? walk_window(&w, x->places, end, false) : walk_window(&w, x->places, end, true));
    }
    if (good && w.in_string)
        good = fail(&w, w.len, "a string without end");
    if (good && w.state != DONE)
        good = fail(&w, w.len, w.len ? "the text ends too early" : "there is nothing");
    x->count = good ? w.count : 0;
    x->last_object = good ? w.last_object : JSON_NO_OBJECT;
    if (!good)
        json_locate(x, w.at, w.why, fault);
    return good ? 0 : -EINVAL;
}

void json_index_free(struct json_index *x) {
    b_free(x->tokens);
    b_free(x->places);
    *x = (struct json_index){.tag = x->tag};
}
