/*
 * The table of what this process holds. Linear probing over an array of 4-byte tags (the hash),
 * with the records in a parallel array: a probe reads sixteen tags of one cache line, then one
 * record. Removal shifts back what follows, so there are no tombstones and probes stay short
 * whatever the order of frees; a tag tells its own home.
 */
#include "limiter/memory/table.h"
#include "core/hash.h"
#include "limiter/hook/lock.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define SHARDS         64u  /* threads that allocate at once seldom meet */
#define FIRST_CAPACITY 128u /* entries of a shard; powers of two */

struct shard {
    divvy_lock_t lock;
    uint32_t capacity; /* 0: no memory yet */
    uint32_t count;
    uint32_t *tags; /* 0: free place */
    struct divvy_record *records;
} __attribute__((aligned(64)));

static struct shard shards[SHARDS];

static uint64_t hash_of(uint64_t kind, uint64_t key) {
    return divvy_core_hash_mix(key + (kind << 56));
}

static struct shard *shard_of(uint64_t hash) {
    return &shards[hash >> 58];
}

static uint32_t tag_of(uint64_t hash) {
    return (uint32_t)hash << 1 | 1;
}

static uint32_t home_of(const struct shard *shard, uint32_t tag) {
    return (tag >> 1) & (shard->capacity - 1);
}

/* One mapping holds the records, then the tags. */
static size_t memory_bytes(uint32_t capacity) {
    return capacity * (sizeof(struct divvy_record) + sizeof(uint32_t));
}

static bool memory_get(struct shard *shard, uint32_t capacity) {
    int saved = errno;
    void *memory = mmap(NULL, memory_bytes(capacity), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    errno = saved;
    if (memory == MAP_FAILED)
        return false;
    shard->records = memory;
    shard->tags = (uint32_t *)(void *)(shard->records + capacity);
    shard->capacity = capacity;
    return true;
}

static void memory_give(const struct shard *shard) {
    int saved = errno;

    if (shard->records)
        (void)munmap(shard->records, memory_bytes(shard->capacity));
    errno = saved;
}

/*
 * Place of the record, or the free place where it belongs. The shard is never full. Both cache lines that most operations end in
 * are asked for at once: with many entries both miss, and else the second is asked for only when the first has come (or, where
 * the record is written, when the lock is given back).
 */
static uint32_t find(const struct shard *shard, uint32_t tag, uint16_t kind, uint64_t key) {
    uint32_t at = home_of(shard, tag);

    __builtin_prefetch(&shard->records[at], 1);
    __builtin_prefetch(&shard->tags[at], 1);
    while (shard->tags[at] != 0 && (shard->tags[at] != tag || shard->records[at].key != key ||
                                    shard->records[at].kind != kind))
        at = (at + 1) & (shard->capacity - 1);
    return at;
}

static int grow(struct shard *shard) {
    struct shard larger = {.capacity = 0};

    if (!memory_get(&larger, shard->capacity ? shard->capacity * 2 : FIRST_CAPACITY))
        return -ENOMEM;
    for (uint32_t i = 0; i < shard->capacity; i++) {
        const struct divvy_record *record = &shard->records[i];
        uint32_t at;

        if (shard->tags[i] == 0)
            continue;
        at = find(&larger, shard->tags[i], record->kind, record->key);
        larger.tags[at] = shard->tags[i];
        larger.records[at] = *record;
    }
    memory_give(shard);
    shard->records = larger.records;
    shard->tags = larger.tags;
    shard->capacity = larger.capacity;
    return 0;
}

int divvy_table_put(const struct divvy_record *record, struct divvy_record *ret_old) {
    uint64_t hash = hash_of(record->kind, record->key);
    struct shard *shard = shard_of(hash);
    int status = 0;
    uint32_t at;

    ret_old->kind = 0;
    divvy_lock_take(&shard->lock);
    if (shard->count >= shard->capacity / 4 * 3)
        status = grow(shard);
    if (status == 0) {
        at = find(shard, tag_of(hash), record->kind, record->key);
        if (shard->tags[at] != 0)
            *ret_old = shard->records[at];
        shard->count += shard->tags[at] == 0;
        shard->tags[at] = tag_of(hash);
        shard->records[at] = *record;
    }
    divvy_lock_give(&shard->lock);
    return status;
}

/* Close the gap at `hole`: move back every following record that may stand there. */
static void remove_at(struct shard *shard, uint32_t hole) {
    uint32_t mask = shard->capacity - 1;

    for (uint32_t at = (hole + 1) & mask; shard->tags[at] != 0; at = (at + 1) & mask) {
        uint32_t home = home_of(shard, shard->tags[at]);

        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        shard->tags[hole] = shard->tags[at];
        shard->records[hole] = shard->records[at];
        hole = at;
    }
    shard->tags[hole] = 0;
    shard->count--;
}

static bool look(divvy_record_kind_t kind, uint64_t key, bool remove,
                 struct divvy_record *ret_record) {
    uint64_t hash = hash_of(kind, key);
    struct shard *shard = shard_of(hash);
    bool found = false;

    divvy_lock_take(&shard->lock);
    if (shard->capacity > 0) {
        uint32_t at = find(shard, tag_of(hash), (uint16_t)kind, key);

        found = shard->tags[at] != 0;
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
            if (shard->tags[at] != 0 && visit(&shard->records[at], argument))
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
        memory_give(&shards[i]);
        memset(&shards[i], 0, sizeof shards[i]);
    }
}
