/*
 * Numbers that stand for the driver's objects on one connection. A number is never given out twice, and says nothing about
 * addresses in this process. Each object has an owner (a function its module, a module its context, ...); when the owner goes,
 * so do the numbers of what it owned, as the driver's objects do.
 */
#ifndef DIVVY_REMOTE_WORKER_HANDLES_H
#define DIVVY_REMOTE_WORKER_HANDLES_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_WORKER_HANDLES_MAX    (1u << 20)
#define DIVVY_WORKER_PARAMETERS_MAX 4096u

enum divvy_worker_handle_kind {
    DIVVY_WORKER_FREE,
    DIVVY_WORKER_CONTEXT,
    DIVVY_WORKER_MODULE,
    DIVVY_WORKER_FUNCTION,
    DIVVY_WORKER_STREAM,
    DIVVY_WORKER_EVENT,
};

/* How a function's parameters lie. */
struct divvy_worker_layout {
    uint32_t bytes, count;
    struct {
        uint32_t offset, size;
    } parameters[];
};

struct divvy_worker_handle {
    uint8_t kind;
    uint32_t generation; /* of the slot */
    uint32_t next_free;
    int32_t device; /* primary contexts: their device; else -1 */
    uint64_t owner; /* 0: none */
    void *object;
    struct divvy_worker_layout *layout; /* functions; malloc'ed, owned */
};

struct divvy_worker_handles {
    struct divvy_worker_handle *slots; /* malloc'ed */
    uint32_t count, capacity, first_free; /* first_free: index + 1, 0 = none */
};

/* A new number for `object`; -ENOMEM: too many, or no memory. The entry is zero but for kind, object, owner and device -1. */
int divvy_worker_handle_add(struct divvy_worker_handles *handles, enum divvy_worker_handle_kind kind,
                            void *object, uint64_t owner, uint64_t *ret_number);

/* The entry with this number and kind, valid until the next add; NULL when there is none. */
struct divvy_worker_handle *divvy_worker_handle_find(struct divvy_worker_handles *handles,
                                                     enum divvy_worker_handle_kind kind,
                                                     uint64_t number);

/* Forgets a number, and all whose owner it is, and theirs. */
void divvy_worker_handle_remove(struct divvy_worker_handles *handles, uint64_t number);

void divvy_worker_handles_done(struct divvy_worker_handles *handles);

#endif
