/* The SQL that the homes share. Names have been checked, so they need no quotes, but for words of SQL: those are quoted. */
#include "store/internal.h"

#define SQL_MAX 32768

static void name(struct b_text *t, struct b_slice s) {
    b_text_char(t, '"');
    b_text_slice_add(t, s);
    b_text_char(t, '"');
}

static void expand(struct b_text *t, const char *sql, struct b_slice table) {
    for (const char *at; (at = strstr(sql, "{table}")); sql = at + 7) {
        b_text_add(t, sql, (size_t)(at - sql));
        b_text_slice_add(t, table);
    }
    b_text_cstr(t, sql);
}

static char *finish(struct b_text *t, struct b_arena *arena) {
    char *copy = t->failed ? NULL : (char *)(uintptr_t)b_arena_copy(arena, b_text_slice(t)).ptr;
    b_text_free(t);
    return copy;
}

char *st_sql_expand(const char *sql, struct b_slice table, struct b_arena *arena) {
    struct b_text t = b_text_heap(B_TAG_STORE, SQL_MAX);
    expand(&t, sql, table);
    return finish(&t, arena);
}

void st_sql_conflict(struct b_text *t, const struct st_table *table) {
    if (!table->key_count)
        return;
    b_text_lit(t, " ON CONFLICT (");
    for (unsigned i = 0; i < table->key_count; i++) {
        b_text_cstr(t, i ? ", " : "");
        name(t, table->columns[table->key[i]]);
    }
    b_text_lit(t, ") DO ");
    if (table->update)
        expand(t, table->update, table->name);
    else
        b_text_lit(t, "NOTHING");
}

char *st_sql_create(const struct st_table *table, const char *const *types, struct b_arena *arena) {
    struct b_text t = b_text_heap(B_TAG_STORE, SQL_MAX);
    b_text_lit(&t, "CREATE TABLE ");
    name(&t, table->name);
    for (unsigned i = 0; i < table->column_count; i++) {
        b_text_cstr(&t, i ? ", " : " (");
        name(&t, table->columns[i]);
        b_text_printf(&t, " %s", types[table->kinds[i]]);
    }
    b_text_lit(&t, ")");
    for (unsigned i = 0; i < table->key_count; i++) {
        expand(&t, i ? ", " : "; CREATE UNIQUE INDEX \"{table}_key\" ON \"{table}\" (", table->name);
        name(&t, table->columns[table->key[i]]);
    }
    b_text_cstr(&t, table->key_count ? ")" : "");
    return finish(&t, arena);
}

char *st_sql_insert(const struct st_table *table, struct b_arena *arena) {
    struct b_text t = b_text_heap(B_TAG_STORE, SQL_MAX);
    b_text_lit(&t, "INSERT INTO ");
    name(&t, table->name);
    b_text_lit(&t, " (");
    for (unsigned i = 0; i < table->column_count; i++) {
        b_text_cstr(&t, i ? ", " : "");
        name(&t, table->columns[i]);
    }
    b_text_lit(&t, ") VALUES (");
    for (unsigned i = 0; i < table->column_count; i++)
        b_text_cstr(&t, i ? ", ?" : "?");
    b_text_lit(&t, ")");
    st_sql_conflict(&t, table);
    return finish(&t, arena);
}
