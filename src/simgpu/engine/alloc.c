/* Two-level segregated fit over address ranges, and a bitmap tree to find the block around an address. */
#include "simgpu/engine/alloc.h"

#include "core/hash.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCKS_MAX = 1 << 22, TABLE_FIRST = 1 << 10, SECOND_BITS = 4 };

/* What finding reads beside a writer. A reader that sees any of a writer's stores also sees the odd sequence that
 * was stored before it. */
#define shared_load(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define shared_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* --- classes of sizes -------------------------------------------------------------------------------------- */

/* The class whose blocks have at least 2^first + second * 2^first / 16 grains. */
static void class_of(uint32_t grains, uint32_t *first, uint32_t *second) {
    *first = 31 - (uint32_t)__builtin_clz(grains);
    if (*first >= SECOND_BITS)
        *second = (grains >> (*first - SECOND_BITS)) & (SIM_ALLOC_SECOND - 1);
    else
        *second = (grains << (SECOND_BITS - *first)) & (SIM_ALLOC_SECOND - 1);
}

/* The first class all of whose blocks have that many grains: rounded up to the class's step. */
static bool class_above(uint32_t grains, uint32_t *first, uint32_t *second) {
    uint32_t log = 31 - (uint32_t)__builtin_clz(grains);
    uint32_t step = log >= SECOND_BITS ? (UINT32_C(1) << (log - SECOND_BITS)) - 1 : 0;

    if (grains > UINT32_MAX - step)
        return false;
    class_of(grains + step, first, second);
    return true;
}

static void list_add(sim_alloc_t *a, uint32_t index) {
    sim_block_t *b = &a->blocks[index];
    uint32_t first, second;

    class_of(b->grains, &first, &second);
    uint32_t head = a->lists[first][second];

    b->list_previous = 0;
    b->list_next = head;
    if (head)
        a->blocks[head].list_previous = index;
    a->lists[first][second] = index;
    a->second_map[first] |= UINT32_C(1) << second;
    a->first_map |= UINT32_C(1) << first;
}

static void list_remove(sim_alloc_t *a, uint32_t index) {
    sim_block_t *b = &a->blocks[index];
    uint32_t first, second;

    class_of(b->grains, &first, &second);
    if (b->list_next)
        a->blocks[b->list_next].list_previous = b->list_previous;
    if (b->list_previous) {
        a->blocks[b->list_previous].list_next = b->list_next;
        return;
    }
    a->lists[first][second] = b->list_next;
    if (!b->list_next) {
        a->second_map[first] &= ~(UINT32_C(1) << second);
        if (!a->second_map[first])
            a->first_map &= ~(UINT32_C(1) << first);
    }
}

/* A free block of at least that many grains; 0: none found by class. */
static uint32_t list_search(const sim_alloc_t *a, uint32_t grains) {
    uint32_t first, second;

    if (!class_above(grains, &first, &second))
        return 0;
    uint32_t seconds = a->second_map[first] & (UINT32_MAX << second);

    if (!seconds) {
        uint32_t firsts =
            first + 1 < SIM_ALLOC_FIRST ? a->first_map & (UINT32_MAX << (first + 1)) : 0;

        if (!firsts)
            return 0;
        first = (uint32_t)__builtin_ctz(firsts);
        seconds = a->second_map[first];
    }
    return a->lists[first][__builtin_ctz(seconds)];
}

/* The class of the size itself may hold a block that is large enough: looked at only when memory is short. */
static uint32_t list_search_closely(const sim_alloc_t *a, uint32_t grains) {
    uint32_t first, second;

    class_of(grains, &first, &second);
    for (uint32_t i = a->lists[first][second]; i; i = a->blocks[i].list_next)
        if (a->blocks[i].grains >= grains)
            return i;
    return 0;
}

/* --- blocks ------------------------------------------------------------------------------------------------ */

static uint32_t block_new(sim_alloc_t *a) {
    uint32_t index = a->unused;

    if (index) {
        a->unused = a->blocks[index].list_next;
        return index;
    }
    if (a->blocks_made == a->blocks_max)
        return 0;
    return a->blocks_made++;
}

static void block_drop(sim_alloc_t *a, uint32_t index) {
    a->blocks[index].list_next = a->unused;
    a->unused = index;
}

/* Splits the first grains off a block in no list; returns the rest, or 0 when there is no block left to name it. */
static uint32_t block_split(sim_alloc_t *a, uint32_t index, uint32_t grains) {
    uint32_t rest = block_new(a);

    if (!rest)
        return 0;
    sim_block_t *b = &a->blocks[index], *r = &a->blocks[rest];

    shared_store(&r->start, b->start + grains);
    shared_store(&r->grains, b->grains - grains);
    shared_store(&r->used, 0);
    r->before = index;
    r->after = b->after;
    if (b->after)
        a->blocks[b->after].before = rest;
    b->after = rest;
    shared_store(&b->grains, grains);
    return rest;
}

/* --- finding by start --------------------------------------------------------------------------------------- */

static uint32_t table_place(const sim_alloc_t *a, uint32_t start) {
    return (uint32_t)divvy_core_hash_mix(start) & (shared_load(&a->table_size) - 1);
}

static void table_insert(sim_alloc_t *a, uint32_t index) {
    uint32_t mask = a->table_size - 1, place = table_place(a, a->blocks[index].start);

    while (a->table[place])
        place = (place + 1) & mask;
    shared_store(&a->table[place], index);
}

static void table_grow(sim_alloc_t *a) {
    uint32_t old = a->table_size;

    for (uint32_t i = 0; i < old; i++) /* readers try again: the sequence is odd */
        shared_store(&a->table[i], 0);
    shared_store(&a->table_size, old * 2);
    for (uint32_t i = 1; i < a->blocks_made; i++)
        if (a->blocks[i].used == 1)
            table_insert(a, i);
}

static void table_remove(sim_alloc_t *a, uint32_t start) {
    uint32_t mask = a->table_size - 1, hole = table_place(a, start);

    while (a->blocks[a->table[hole]].start != start)
        hole = (hole + 1) & mask;
    /* close the gap: whoever could stand at the hole moves there */
    for (uint32_t place = (hole + 1) & mask; a->table[place]; place = (place + 1) & mask) {
        uint32_t home = table_place(a, a->blocks[a->table[place]].start);

        if (((place - home) & mask) >= ((place - hole) & mask)) {
            shared_store(&a->table[hole], a->table[place]);
            hole = place;
        }
    }
    shared_store(&a->table[hole], 0);
}

uint32_t sim_alloc_block(const sim_alloc_t *a, uint32_t start) {
    uint32_t mask = shared_load(&a->table_size) - 1, place = table_place(a, start);

    for (uint32_t tries = 0; tries <= mask; tries++) {
        uint32_t index = shared_load(&a->table[place]);

        if (!index)
            return 0;
        if (shared_load(&a->blocks[index].start) == start)
            return index;
        place = (place + 1) & mask;
    }
    return 0;
}

/* --- finding by content ------------------------------------------------------------------------------------- */

static void tree_set(sim_alloc_t *a, uint32_t grain) {
    for (int level = 0; level < SIM_ALLOC_LEVELS; level++) {
        uint64_t *word = &a->levels[level][grain / 64], old = *word;

        shared_store(word, old | UINT64_C(1) << grain % 64);
        if (old)
            return;
        grain /= 64;
    }
}

static void tree_clear(sim_alloc_t *a, uint32_t grain) {
    for (int level = 0; level < SIM_ALLOC_LEVELS; level++) {
        uint64_t *word = &a->levels[level][grain / 64], now = *word & ~(UINT64_C(1) << grain % 64);

        shared_store(word, now);
        if (now)
            return;
        grain /= 64;
    }
}

/* The last grain at or before this one at which a used block starts. */
static bool tree_before(const sim_alloc_t *a, uint32_t grain, uint32_t *ret_start) {
    int level = 0;
    uint64_t bits;

    for (;;) {
        bits = shared_load(&a->levels[level][grain / 64]) & (UINT64_MAX >> (63 - grain % 64));
        if (bits)
            break;
        if (grain < 64 || ++level == SIM_ALLOC_LEVELS)
            return false;
        grain = grain / 64 - 1; /* on the level above: everything before this word */
    }
    for (;;) {
        grain = grain / 64 * 64 + (63 - (uint32_t)__builtin_clzll(bits));
        if (!level--)
            break;
        bits = shared_load(&a->levels[level][grain]);
        if (!bits)
            return false;   /* only beside a writer */
        grain = grain * 64; /* any grain of that word */
    }
    *ret_start = grain;
    return true;
}

static void write_begin(sim_alloc_t *a) {
    shared_store(&a->sequence, a->sequence + 1);
}

static void write_end(sim_alloc_t *a) {
    shared_store(&a->sequence, a->sequence + 1);
}

static bool find_once(const sim_alloc_t *a, uint32_t grain, sim_block_t *ret_block) {
    uint32_t start, index;

    if (!tree_before(a, grain, &start) || !(index = sim_alloc_block(a, start)))
        return false;
    const sim_block_t *b = &a->blocks[index];

    ret_block->start = shared_load(&b->start);
    ret_block->grains = shared_load(&b->grains);
    ret_block->used = shared_load(&b->used);
    ret_block->tag = shared_load(&b->tag);
    ret_block->bytes = shared_load(&b->bytes);
    ret_block->id = shared_load(&b->id);
    return ret_block->used == 1 && grain - ret_block->start < ret_block->grains;
}

bool sim_alloc_find(const sim_alloc_t *a, uint32_t grain, sim_block_t *ret_block) {
    if (grain >= a->grains)
        return false;
    for (;;) {
        uint32_t before = shared_load(&a->sequence);
        sim_block_t block = {0};
        bool found = find_once(a, grain, &block);

        if (!(before & 1) && shared_load(&a->sequence) == before) {
            if (found)
                *ret_block = block;
            return found;
        }
    }
}

/* --- taking and releasing ----------------------------------------------------------------------------------- */

static void use(sim_alloc_t *a, uint32_t index, uint64_t bytes, uint32_t tag) {
    sim_block_t *b = &a->blocks[index];

    write_begin(a);
    shared_store(&b->used, 1);
    shared_store(&b->bytes, bytes);
    shared_store(&b->tag, tag);
    shared_store(&b->id, ++a->next_id);
    if (++a->table_used * 2 > a->table_size && a->table_size < a->table_reserved)
        table_grow(a); /* inserts this block too */
    else
        table_insert(a, index);
    tree_set(a, b->start);
    a->live++;
    write_end(a);
}

int sim_alloc_take(sim_alloc_t *a, uint32_t grains, uint32_t align, uint64_t bytes, uint32_t tag,
                   uint32_t *ret_start) {
    uint32_t index, rest;

    if (grains > a->grains || align > a->grains || a->grains - grains < align - 1)
        return -ENOMEM;
    index = list_search(a, grains + align - 1);
    if (!index && !(index = list_search_closely(a, grains + align - 1)))
        return -ENOMEM;
    list_remove(a, index);
    uint32_t skip = (align - a->blocks[index].start % align) % align;

    if (skip) {
        if (!(rest = block_split(a, index, skip))) {
            list_add(a, index);
            return -ENOMEM;
        }
        list_add(a, index);
        index = rest;
    }
    /* without a block to name the rest, the block stays as large as it is */
    if (a->blocks[index].grains > grains && (rest = block_split(a, index, grains)))
        list_add(a, rest);
    use(a, index, bytes, tag);
    *ret_start = a->blocks[index].start;
    return 0;
}

void sim_alloc_hide(sim_alloc_t *a, uint32_t index) {
    write_begin(a);
    table_remove(a, a->blocks[index].start);
    a->table_used--;
    tree_clear(a, a->blocks[index].start);
    shared_store(&a->blocks[index].used, 2);
    a->live--;
    write_end(a);
}

/* Appends the next block, which is in no list, to this one. */
static void join(sim_alloc_t *a, uint32_t index, uint32_t next) {
    sim_block_t *b = &a->blocks[index];

    shared_store(&b->grains, b->grains + a->blocks[next].grains);
    b->after = a->blocks[next].after;
    if (b->after)
        a->blocks[b->after].before = index;
    block_drop(a, next);
}

uint32_t sim_alloc_release(sim_alloc_t *a, uint32_t index) {
    sim_block_t *b = &a->blocks[index];

    shared_store(&b->used, 0);
    if (b->after && !a->blocks[b->after].used) {
        uint32_t after = b->after;

        list_remove(a, after);
        join(a, index, after);
    }
    if (b->before && !a->blocks[b->before].used) {
        uint32_t before = b->before;

        list_remove(a, before);
        join(a, before, index);
        index = before;
    }
    list_add(a, index);
    return a->blocks[index].grains;
}

void sim_alloc_each_free(const sim_alloc_t *a, uint32_t min,
                         void (*visit)(void *arg, uint32_t start, uint32_t grains), void *arg) {
    uint32_t first, second;

    class_of(min, &first, &second);
    for (; first < SIM_ALLOC_FIRST; first++, second = 0)
        for (; second < SIM_ALLOC_SECOND; second++)
            for (uint32_t i = a->lists[first][second]; i; i = a->blocks[i].list_next)
                if (a->blocks[i].grains >= min)
                    visit(arg, a->blocks[i].start, a->blocks[i].grains);
}

/* --- making ------------------------------------------------------------------------------------------------- */

static uint64_t page_round(uint64_t bytes) {
    return (bytes + 4095) & ~UINT64_C(4095);
}

int sim_alloc_init(sim_alloc_t *a, uint32_t grains) {
    uint64_t offset = 0, bits = grains, level_at[SIM_ALLOC_LEVELS], blocks_at, table_at;

    memset(a, 0, sizeof *a);
    for (int level = 0; level < SIM_ALLOC_LEVELS; level++) {
        bits = (bits + 63) / 64;
        level_at[level] = offset;
        offset += page_round(bits * 8);
    }
    blocks_at = offset;
    offset += page_round((uint64_t)BLOCKS_MAX * sizeof *a->blocks);
    table_at = offset;
    offset += page_round((uint64_t)BLOCKS_MAX * 2 * sizeof *a->table);
    void *p = mmap(NULL, offset, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return -ENOMEM;
    (void)madvise(p, offset, MADV_DONTFORK);
    a->memory = p;
    a->memory_bytes = offset;
    for (int level = 0; level < SIM_ALLOC_LEVELS; level++)
        a->levels[level] = (uint64_t *)(void *)((char *)p + level_at[level]);
    a->blocks = (sim_block_t *)(void *)((char *)p + blocks_at);
    a->table = (uint32_t *)(void *)((char *)p + table_at);
    a->grains = grains;
    a->blocks_max = BLOCKS_MAX;
    a->blocks_made = 2;
    a->table_size = TABLE_FIRST;
    a->table_reserved = BLOCKS_MAX * 2;
    a->blocks[1] = (sim_block_t){.start = 0, .grains = grains};
    list_add(a, 1);
    return 0;
}

void sim_alloc_done(sim_alloc_t *a) {
    if (a->memory)
        (void)munmap(a->memory, a->memory_bytes);
    memset(a, 0, sizeof *a);
}

bool sim_alloc_check(const sim_alloc_t *a) {
    uint64_t covered = 0, live = 0, listed = 0, free_blocks = 0;
    uint32_t at = 0, index = 1, before = 0;

    /* block 1 keeps the lowest address: splitting and joining both keep the lower block's number */
    for (; index; before = index, index = a->blocks[index].after) {
        const sim_block_t *b = &a->blocks[index];

        if (b->start != at || b->before != before || !b->grains)
            return false;
        if (before && !b->used && !a->blocks[before].used)
            return false;
        if (b->used == 1 && sim_alloc_block(a, b->start) != index)
            return false;
        live += b->used == 1;
        free_blocks += !b->used;
        at += b->grains;
        covered += b->grains;
    }
    for (int first = 0; first < SIM_ALLOC_FIRST; first++)
        for (int second = 0; second < SIM_ALLOC_SECOND; second++)
            for (uint32_t i = a->lists[first][second]; i; i = a->blocks[i].list_next) {
                if (a->blocks[i].used)
                    return false;
                listed++;
            }
    return covered == a->grains && live == a->live && listed == free_blocks &&
           a->table_used == live;
}
