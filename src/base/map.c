/* Pointers by name: see map.h. */
#include "base/map.h"

#include "core/hash.h"
#include "core/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const struct divvy_map *map, const char *name) {
    uint64_t hash = map->seed;

    for (; *name; name++)
        hash = divvy_core_hash_pair(hash, (unsigned char)*name);
    return hash;
}

static size_t first_cell(const struct divvy_map *map, uint64_t hash) {
    return (size_t)hash & (map->room - 1);
}

static size_t cell_find(const struct divvy_map *map, const char *name, uint64_t hash) {
    size_t i = first_cell(map, hash);

    while (map->cells[i].name && (map->cells[i].hash != hash || strcmp(map->cells[i].name, name) != 0))
        i = (i + 1) & (map->room - 1);
    return i;
}

void *divvy_map_get(const struct divvy_map *map, const char *name) {
    return map->room ? map->cells[cell_find(map, name, hash_of(map, name))].value : NULL;
}

static int grow(struct divvy_map *map) {
    struct divvy_map grown = {.room = map->room ? map->room * 2 : 16};

    if (!map->seed)
        (void)divvy_core_sys_getrandom(&map->seed, sizeof map->seed);
    grown.cells = calloc(grown.room, sizeof *grown.cells);
    if (!grown.cells)
        return -ENOMEM;
    for (size_t i = 0; i < map->room; i++)
        if (map->cells[i].name)
            grown.cells[cell_find(&grown, map->cells[i].name, map->cells[i].hash)] = map->cells[i];
    free(map->cells);
    map->cells = grown.cells;
    map->room = grown.room;
    return 0;
}

int divvy_map_put(struct divvy_map *map, const char *name, void *value) {
    struct divvy_map_cell *cell;
    uint64_t hash;

    if ((map->count + 1) * 2 > map->room && grow(map) < 0)
        return -ENOMEM;
    hash = hash_of(map, name);
    cell = &map->cells[cell_find(map, name, hash)];
    if (!cell->name) {
        cell->name = strdup(name);
        if (!cell->name)
            return -ENOMEM;
        cell->hash = hash;
        map->count++;
    }
    cell->value = value;
    return 0;
}

/* Moves cells back into the hole where a search for them would now stop. */
static void hole_close(struct divvy_map *map, size_t hole) {
    for (size_t i = (hole + 1) & (map->room - 1); map->cells[i].name; i = (i + 1) & (map->room - 1)) {
        size_t home = first_cell(map, map->cells[i].hash);

        if (((i - home) & (map->room - 1)) >= ((i - hole) & (map->room - 1))) {
            map->cells[hole] = map->cells[i];
            hole = i;
        }
    }
    map->cells[hole] = (struct divvy_map_cell){0};
}

void *divvy_map_remove(struct divvy_map *map, const char *name) {
    size_t i = map->room ? cell_find(map, name, hash_of(map, name)) : 0;
    void *value;

    if (!map->room || !map->cells[i].name)
        return NULL;
    value = map->cells[i].value;
    free(map->cells[i].name);
    map->count--;
    hole_close(map, i);
    return value;
}

void divvy_map_done(struct divvy_map *map) {
    for (size_t i = 0; i < map->room; i++)
        free(map->cells[i].name);
    free(map->cells);
    *map = (struct divvy_map){0};
}

void *divvy_map_next(const struct divvy_map *map, size_t *cursor) {
    while (*cursor < map->room) {
        const struct divvy_map_cell *cell = &map->cells[(*cursor)++];

        if (cell->name)
            return cell->value;
    }
    return NULL;
}
