/* Rows that are too old are taken away a few at a time, between batches. */
#include "store/session.h"

static int prune(struct st_session *s, const struct st_sink *sink, const char *template, const char *before) {
    struct b_arena arena;
    uint64_t gone = 0;
    b_arena_init(&arena, B_TAG_STORE, NULL, NULL, 0, 65536);
    const char *sql = st_sql_expand(template, sink->table.name, &arena);
    int rc = sql ? st_execute(s, sql, (const char *const[]){before, NULL}, &gone) : st_out_of_memory(s);
    b_arena_release(&arena);
    return rc ? rc : gone == ST_PRUNED_AT_ONCE;
}

int st_prune(struct st_session *s, const struct st_sink *sink) {
    char before[ST_TIME_TEXT];
    st_time_text(before, rt_wall_clock() - atomic_load(&sink->keep));
    int more = prune(s, sink, s->dialect->prune, before);
    if (more < 0 || !sink->table.rejects)
        return more;
    int rejected = prune(s, sink, s->dialect->prune_rejected, before);
    return rejected < 0 ? rejected : more | rejected;
}
