#include "handler/aggregate_stale.h"

#include <pthread.h>

#include "base/list.h"
#include "base/siphash.h"
#include "runtime/worker.h"

struct answer {
    char *text; /* what was asked for, then the answer; NULL: free */
    uint32_t key_len, len;
    rt_time at;
};

struct hd_stale {
    struct b_list link;
    char *name; /* route, NUL, call */
    size_t name_len;
    unsigned refs; /* under the lock of the list */
    pthread_mutex_t lock;
    struct b_hash_key key;
    struct answer at[HD_STALE_SETS][HD_STALE_WAYS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct b_list stores = {&stores, &stores};

static struct hd_stale *find(struct b_slice name) {
    B_LIST_EACH(n, &stores) {
        struct hd_stale *s = B_CONTAINER(n, struct hd_stale, link);
        if (b_slice_eq(b_slice(s->name, s->name_len), name))
            return s;
    }
    return NULL;
}

static struct hd_stale *make(struct b_slice name) {
    struct hd_stale *s = b_zalloc(B_TAG_GATEWAY, sizeof *s);
    if (!s || !(s->name = b_strdup(B_TAG_GATEWAY, name.ptr, name.len))) {
        b_free(s);
        return NULL;
    }
    s->name_len = name.len;
    pthread_mutex_init(&s->lock, NULL);
    s->key = (struct b_hash_key){(uint64_t)(uintptr_t)s, (uint64_t)rt_clock()};
    b_list_push_back(&stores, &s->link);
    return s;
}

struct hd_stale *hd_stale_get(struct b_slice route, struct b_slice call) {
    struct b_text name = b_text_heap(B_TAG_GATEWAY, route.len + call.len + 1);
    b_text_slice_add(&name, route);
    b_text_char(&name, 0);
    b_text_slice_add(&name, call);
    pthread_mutex_lock(&lock);
    struct hd_stale *s = name.failed ? NULL : find(b_text_slice(&name));
    if (!s && !name.failed)
        s = make(b_text_slice(&name));
    if (s)
        s->refs++;
    pthread_mutex_unlock(&lock);
    b_text_free(&name);
    return s;
}

void hd_stale_put(struct hd_stale *s) {
    if (!s)
        return;
    pthread_mutex_lock(&lock);
    bool last = --s->refs == 0;
    if (last)
        b_list_remove(&s->link);
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    for (unsigned i = 0; i < HD_STALE_SETS * HD_STALE_WAYS; i++)
        b_free(s->at[i / HD_STALE_WAYS][i % HD_STALE_WAYS].text);
    pthread_mutex_destroy(&s->lock);
    b_free(s->name);
    b_free(s);
}

static bool is_for(const struct answer *a, struct b_slice path, struct b_slice query) {
    return a->text && a->key_len == path.len + 1 + query.len && memcmp(a->text, path.ptr, path.len) == 0 &&
           a->text[path.len] == '?' &&
           (!query.len || memcmp(a->text + path.len + 1, query.ptr, query.len) == 0);
}

static struct answer *set_of(struct hd_stale *s, struct b_slice path, struct b_slice query) {
    uint64_t hash = b_siphash(s->key, path.ptr, path.len) ^ b_siphash(s->key, query.ptr, query.len) * 31;
    return s->at[hash % HD_STALE_SETS];
}

static char *copy_of(struct b_slice path, struct b_slice query, struct b_slice answer) {
    char *text = b_alloc(B_TAG_GATEWAY, path.len + 1 + query.len + answer.len);
    if (!text)
        return NULL;
    memcpy(text, path.ptr, path.len);
    text[path.len] = '?';
    if (query.len)
        memcpy(text + path.len + 1, query.ptr, query.len);
    if (answer.len)
        memcpy(text + path.len + 1 + query.len, answer.ptr, answer.len);
    return text;
}

void hd_stale_keep(struct hd_stale *s, struct b_slice path, struct b_slice query, struct b_slice answer,
                   rt_time fresh) {
    rt_time now = rt_now();
    if (answer.len > HD_STALE_ANSWER_MAX)
        return;
    pthread_mutex_lock(&s->lock);
    struct answer *set = set_of(s, path, query), *a = &set[0];
    for (unsigned i = 0; i < HD_STALE_WAYS; i++) {
        if (is_for(&set[i], path, query)) {
            a = &set[i];
            break;
        }
        if (!set[i].text || set[i].at < a->at)
            a = &set[i];
    }
    bool young = is_for(a, path, query) && now - a->at < fresh;
    char *text = young ? NULL : copy_of(path, query, answer);
    if (text) {
        b_free(a->text);
        *a = (struct answer){.text = text,
                             .key_len = (uint32_t)(path.len + 1 + query.len),
                             .len = (uint32_t)answer.len,
                             .at = now};
    }
    pthread_mutex_unlock(&s->lock);
}

rt_time hd_stale_find(struct hd_stale *s, struct b_slice path, struct b_slice query, rt_time within,
                      struct b_text *out) {
    rt_time age = -1;
    pthread_mutex_lock(&s->lock);
    const struct answer *set = set_of(s, path, query);
    for (unsigned i = 0; i < HD_STALE_WAYS; i++)
        if (is_for(&set[i], path, query) && rt_now() - set[i].at <= within) {
            age = rt_now() - set[i].at;
            b_text_add(out, set[i].text + set[i].key_len, set[i].len);
        }
    pthread_mutex_unlock(&s->lock);
    return out->failed ? -1 : age;
}
