/*
 * Pointers by name: a hash table with open addresses. Names are compared byte by byte and copied; what they lead to is the
 * caller's. Not thread-safe.
 */
#ifndef DIVVY_BASE_MAP_H
#define DIVVY_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

/* All zero: an empty map. */
struct divvy_map {
    struct divvy_map_cell {
        char *name; /* NULL: free */
        uint64_t hash;
        void *value;
    } *cells;
    size_t count, room;
    uint64_t seed; /* so that nobody outside can choose names that collide */
};

/* NULL when there is none. */
void *divvy_map_get(const struct divvy_map *map, const char *name);
/* Sets or replaces; `value` must not be NULL. 0 or -ENOMEM. */
int divvy_map_put(struct divvy_map *map, const char *name, void *value);
/* What the name led to, or NULL. */
void *divvy_map_remove(struct divvy_map *map, const char *name);
/* Frees the table, not what it leads to. */
void divvy_map_done(struct divvy_map *map);

/*
 * One value after the other, in no order: *cursor is 0 at first. NULL at the end. The map must stay as it is meanwhile, but for the
 * value of the cell that came last.
 */
void *divvy_map_next(const struct divvy_map *map, size_t *cursor);

#endif
