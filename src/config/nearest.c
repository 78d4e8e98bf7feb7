#include "config/nearest.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Optimal string alignment: Damerau-Levenshtein in which no piece is edited twice. Three rows are enough. */
size_t cfg_distance(struct b_slice a, struct b_slice b, size_t limit) {
    if (a.len > CFG_NAME_MAX || b.len > CFG_NAME_MAX)
        return limit + 1;
    size_t rows[3][CFG_NAME_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = b_lower(a.ptr[i - 1]), y = b_lower(b.ptr[j - 1]);
            row[j] = least(least(row[j - 1], above[j]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == b_lower(b.ptr[j - 2]) && b_lower(a.ptr[i - 2]) == y)
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return least(rows[a.len % 3][b.len], limit + 1);
}

void cfg_nearest_init(struct cfg_nearest *n, struct b_slice wanted) {
    *n = (struct cfg_nearest){.wanted = wanted, .distance = wanted.len / 3 + (wanted.len < 3) + 1};
}

void cfg_nearest_offer(struct cfg_nearest *n, struct b_slice candidate) {
    size_t distance = cfg_distance(n->wanted, candidate, n->distance);
    size_t longer = n->wanted.len > candidate.len ? n->wanted.len : candidate.len;
    if (distance < n->distance && distance < longer) { /* something of it must be right */
        n->distance = distance;
        n->best = candidate;
    }
}
