/* Numbers for objects: see handles.h. A number is the slot's generation in the high half, its index + 1 in the low one. */
#include "remote/worker/handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct divvy_worker_handles *handles) {
    uint32_t capacity = handles->capacity ? handles->capacity * 2 : 64;
    struct divvy_worker_handle *slots;

    if (handles->capacity >= DIVVY_WORKER_HANDLES_MAX)
        return -ENOMEM;
    slots = realloc(handles->slots, capacity * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    memset(slots + handles->capacity, 0, (capacity - handles->capacity) * sizeof *slots);
    handles->slots = slots;
    handles->capacity = capacity;
    return 0;
}

int divvy_worker_handle_add(struct divvy_worker_handles *handles, enum divvy_worker_handle_kind kind,
                            void *object, uint64_t owner, uint64_t *ret_number) {
    struct divvy_worker_handle *slot;
    uint32_t index;

    if (handles->first_free) {
        index = handles->first_free - 1;
        handles->first_free = handles->slots[index].next_free;
    } else {
        if (handles->count == handles->capacity && grow(handles) < 0)
            return -ENOMEM;
        index = handles->count++;
    }
    slot = &handles->slots[index];
    *slot = (struct divvy_worker_handle){.kind = (uint8_t)kind,
                                         .generation = slot->generation + 1,
                                         .device = -1,
                                         .owner = owner,
                                         .object = object};
    *ret_number = (uint64_t)slot->generation << 32 | (index + 1);
    return 0;
}

struct divvy_worker_handle *divvy_worker_handle_find(struct divvy_worker_handles *handles,
                                                     enum divvy_worker_handle_kind kind,
                                                     uint64_t number) {
    uint32_t index = (uint32_t)number - 1;
    struct divvy_worker_handle *slot;

    if (index >= handles->count)
        return NULL;
    slot = &handles->slots[index];
    return slot->kind == kind && slot->generation == number >> 32 ? slot : NULL;
}

static void slot_clear(struct divvy_worker_handles *handles, uint32_t index) {
    struct divvy_worker_handle *slot = &handles->slots[index];

    free(slot->layout);
    slot->layout = NULL;
    slot->kind = DIVVY_WORKER_FREE;
    /* A slot whose generations are used up is not used again. */
    if (slot->generation == UINT32_MAX)
        return;
    slot->next_free = handles->first_free;
    handles->first_free = index + 1;
}

void divvy_worker_handle_remove(struct divvy_worker_handles *handles, uint64_t number) {
    uint32_t index = (uint32_t)number - 1;

    if (index >= handles->count || handles->slots[index].generation != number >> 32 ||
        handles->slots[index].kind == DIVVY_WORKER_FREE)
        return;
    slot_clear(handles, index);
    for (uint32_t i = 0; i < handles->count; i++)
        if (handles->slots[i].kind != DIVVY_WORKER_FREE && handles->slots[i].owner == number)
            divvy_worker_handle_remove(handles, (uint64_t)handles->slots[i].generation << 32 | (i + 1));
}

void divvy_worker_handles_done(struct divvy_worker_handles *handles) {
    for (uint32_t i = 0; i < handles->count; i++)
        free(handles->slots[i].layout);
    free(handles->slots);
    *handles = (struct divvy_worker_handles){0};
}
