/*
 * What this process holds: pointers and handles with the bytes they stand for. Sharded open
 * addressing in memory of its own (mmap): constant time with any number of entries, removal in any
 * order, no malloc. All functions are thread-safe and may be called from hooks.
 */
#ifndef DIVVY_LIMITER_MEMORY_TABLE_H
#define DIVVY_LIMITER_MEMORY_TABLE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    DIVVY_RECORD_POINTER = 1, /* device pointer of cuMemAlloc*, cuMemAllocAsync ... */
    DIVVY_RECORD_ARRAY,
    DIVVY_RECORD_MIPMAP,
    DIVVY_RECORD_OBJECT,  /* physical memory of cuMemCreate; key: a number of our own */
    DIVVY_RECORD_HANDLE,  /* handle -> object */
    DIVVY_RECORD_MAPPING, /* start address -> object */
    DIVVY_RECORD_SPARSE, /* mapping into a sparse array; key: number of our own, owner: the array */
    DIVVY_RECORD_GRAPH,  /* executable graph, one record for each device it allocates on */
} divvy_record_kind_t;

struct divvy_record {
    uint64_t key;
    uint64_t bytes;
    union {
        uint64_t owner;     /* context, object or array: as the kind needs */
        uint32_t counts[2]; /* of an object: handles, mappings */
    };
    uint16_t kind;  /* divvy_record_kind_t; 0: no entry */
    uint8_t device; /* of the page */
    uint8_t pool;   /* of a pointer: number of its pool + 1, 0 none */
    uint32_t reserved;
};

/* Two to a cache line: with 100,000 entries a miss is most of what a lookup costs. */
_Static_assert(sizeof(struct divvy_record) == 32, "record");

/*
 * Enter a record. One with the same kind and key is replaced and returned in *ret_old (kind 0:
 * there was none): the driver gave the address out again, so the old one is gone. -ENOMEM: no
 * memory for the table; nothing changed.
 */
int divvy_table_put(const struct divvy_record *record, struct divvy_record *ret_old);

/* Remove, or look at, a record. */
bool divvy_table_take(divvy_record_kind_t kind, uint64_t key, struct divvy_record *ret_record);
bool divvy_table_get(divvy_record_kind_t kind, uint64_t key, struct divvy_record *ret_record);

/*
 * Visit every record; those for which the visit returns true are removed. The visit runs under a
 * lock of the table and must not call it.
 */
typedef bool divvy_table_visit_t(const struct divvy_record *record, void *argument);
void divvy_table_sweep(divvy_table_visit_t *visit, void *argument);

/* Number of records of all kinds. */
uint64_t divvy_table_count(void);

/* Forget everything; also resets the locks. Only when no other thread can be in here (a forked
 * child). */
void divvy_table_clear(void);

#endif
