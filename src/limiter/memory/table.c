/*
 * The table of what this process holds. Linear probing with backward-shift removal: no tombstones, so probes stay short
 * whatever the order of frees.
 */
#include "limiter/memory/table.h"
#include "core/hash.h"
#include "limiter/hook/lock.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define SHARDS 64u         /* threads that allocate at once seldom meet */
#define FIRST_CAPACITY 256u /* entries of a shard; powers of two */

struct shard {
    divvy_lock_t lock;
    uint32_t capacity; /* 0: no memory yet */
    uint32_t count;
    struct divvy_record *records;
} __attribute__((aligned(64)));

static struct shard shards[SHARDS];

static uint64_t hash_of(uint64_t kind, uint64_t key) {
    return divvy_core_hash_mix(key + (kind << 56));
}

static struct shard *shard_of(uint64_t hash) {
    return &shards[hash % SHARDS];
}

static uint32_t home_of(const struct shard *shard, uint64_t hash) {
    return (uint32_t)(hash / SHARDS) & (shard->capacity - 1);
}

static struct divvy_record *memory_get(uint32_t capacity) {
    int saved = errno;
    void *memory = mmap(NULL, capacity * sizeof(struct divvy_record), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    errno = saved;
    return memory == MAP_FAILED ? NULL : memory;
}

static void memory_give(struct divvy_record *records, uint32_t capacity) {
    int saved = errno;

    if (records)
        (void)munmap(records, capacity * sizeof(struct divvy_record));
    errno = saved;
}

/* Place of the record, or the free place where it belongs. The shard is never full. */
static uint32_t find(const struct shard *shard, uint64_t hash, uint16_t kind, uint64_t key) {
    uint32_t at = home_of(shard, hash);

    while (shard->records[at].kind != 0 && (shard->records[at].key != key || shard->records[at].kind != kind))
        at = (at + 1) & (shard->capacity - 1);
    return at;
}

static int grow(struct shard *shard) {
    struct shard larger = {.capacity = shard->capacity ? shard->capacity * 2 : FIRST_CAPACITY};

    larger.records = memory_get(larger.capacity);
    if (!larger.records)
        return -ENOMEM;
    for (uint32_t i = 0; i < shard->capacity; i++) {
        const struct divvy_record *record = &shard->records[i];

        if (record->kind != 0)
            larger.records[find(&larger, hash_of(record->kind, record->key), record->kind, record->key)] = *record;
    }
    memory_give(shard->records, shard->capacity);
    shard->records = larger.records;
    shard->capacity = larger.capacity;
    return 0;
}

int divvy_table_put(const struct divvy_record *record, struct divvy_record *ret_old) {
    uint64_t hash = hash_of(record->kind, record->key);
    struct shard *shard = shard_of(hash);
    int status = 0;
    uint32_t at;

    divvy_lock_take(&shard->lock);
    if ((shard->count + 1) * 3 > shard->capacity * 2)
        status = grow(shard);
    if (status == 0) {
        at = find(shard, hash, record->kind, record->key);
        *ret_old = shard->records[at];
        shard->count += shard->records[at].kind == 0;
        shard->records[at] = *record;
    }
    divvy_lock_give(&shard->lock);
    return status;
}

/* Close the gap at `hole`: move back every following record that may stand there. */
static void remove_at(struct shard *shard, uint32_t hole) {
    uint32_t mask = shard->capacity - 1;

    for (uint32_t at = (hole + 1) & mask; shard->records[at].kind != 0; at = (at + 1) & mask) {
        const struct divvy_record *record = &shard->records[at];
        uint32_t home = home_of(shard, hash_of(record->kind, record->key));

        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        shard->records[hole] = *record;
        hole = at;
    }
    shard->records[hole].kind = 0;
    shard->count--;
}

static bool look(divvy_record_kind_t kind, uint64_t key, bool remove, struct divvy_record *ret_record) {
    uint64_t hash = hash_of(kind, key);
    struct shard *shard = shard_of(hash);
    bool found = false;

    divvy_lock_take(&shard->lock);
    if (shard->capacity > 0) {
        uint32_t at = find(shard, hash, (uint16_t)kind, key);

        found = shard->records[at].kind != 0;
        if (found)
            *ret_record = shard->records[at];
        if (found && remove)
            remove_at(shard, at);
    }
    divvy_lock_give(&shard->lock);
    return found;
}

bool divvy_table_take(divvy_record_kind_t kind, uint64_t key, struct divvy_record *ret_record) {
    return look(kind, key, true, ret_record);
}

bool divvy_table_get(divvy_record_kind_t kind, uint64_t key, struct divvy_record *ret_record) {
    return look(kind, key, false, ret_record);
}

void divvy_table_sweep(divvy_table_visit_t *visit, void *argument) {
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &shards[i];

        divvy_lock_take(&shard->lock);
        for (uint32_t at = 0; at < shard->capacity;) {
            if (shard->records[at].kind != 0 && visit(&shard->records[at], argument))
                remove_at(shard, at); /* and look at what has moved here */
            else
                at++;
        }
        divvy_lock_give(&shard->lock);
    }
}

uint64_t divvy_table_count(void) {
    uint64_t count = 0;

    for (unsigned i = 0; i < SHARDS; i++) {
        divvy_lock_take(&shards[i].lock);
        count += shards[i].count;
        divvy_lock_give(&shards[i].lock);
    }
    return count;
}

void divvy_table_clear(void) {
    for (unsigned i = 0; i < SHARDS; i++) {
        memory_give(shards[i].records, shards[i].capacity);
        memset(&shards[i], 0, sizeof shards[i]);
    }
}
