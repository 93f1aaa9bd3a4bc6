/*
 * Objects, handles and mappings. One lock: these calls are rare and slow in the driver.
 */
#include "limiter/memory/vmm.h"
#include "limiter/hook/lock.h"
#include "limiter/memory/account.h"
#include "limiter/memory/table.h"

enum count { COUNT_HANDLES, COUNT_MAPPINGS };

static divvy_lock_t lock;
static uint64_t last_object;
static uint32_t sparse_any; /* some sparse array holds memory */

/* Entering can only fail for want of memory; then the object is never credited, which errs on the
 * safe side. */
static void enter(divvy_record_kind_t kind, uint64_t key, uint64_t owner, uint64_t bytes) {
    struct divvy_record record = {
        .kind = (uint16_t)kind, .key = key, .owner = owner, .bytes = bytes};
    struct divvy_record old;

    (void)divvy_table_put(&record, &old);
}

/* Change a count of an object; with both at zero it is gone and its bytes come back. */
static void object_count(uint64_t number, enum count which, int change) {
    struct divvy_record object, old;

    if (!divvy_table_take(DIVVY_RECORD_OBJECT, number, &object))
        return;
    if (change > 0 || object.counts[which] > 0)
        object.counts[which] += (uint32_t)change;
    if (object.counts[COUNT_HANDLES] == 0 && object.counts[COUNT_MAPPINGS] == 0)
        divvy_memory_credit(object.bytes ? object.device : -1, object.bytes);
    else
        (void)divvy_table_put(&object, &old);
}

CUresult divvy_vmm_created(CUmemGenericAllocationHandle handle, int device, uint64_t bytes) {
    struct divvy_record object = {.kind = DIVVY_RECORD_OBJECT,
                                  .bytes = device < 0 ? 0 : bytes,
                                  .device = (uint8_t)(device < 0 ? 0 : device),
                                  .counts = {1, 0}};
    struct divvy_record old, name = {.kind = DIVVY_RECORD_HANDLE, .key = handle};
    CUresult result = CUDA_SUCCESS;

    divvy_lock_take(&lock);
    object.key = ++last_object;
    name.owner = object.key;
    if (divvy_table_put(&object, &old) < 0) {
        result = CUDA_ERROR_OUT_OF_MEMORY;
    } else if (divvy_table_put(&name, &old) < 0) {
        (void)divvy_table_take(DIVVY_RECORD_OBJECT, object.key, &object);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    divvy_lock_give(&lock);
    return result;
}

void divvy_vmm_released(CUmemGenericAllocationHandle handle) {
    struct divvy_record name, object;

    divvy_lock_take(&lock);
    if (divvy_table_get(DIVVY_RECORD_HANDLE, handle, &name)) {
        bool last = !divvy_table_get(DIVVY_RECORD_OBJECT, name.owner, &object) ||
                    object.counts[COUNT_HANDLES] <= 1;

        if (last)
            (void)divvy_table_take(DIVVY_RECORD_HANDLE, handle, &name);
        object_count(name.owner, COUNT_HANDLES, -1);
    }
    divvy_lock_give(&lock);
}

void divvy_vmm_retained(CUmemGenericAllocationHandle handle, uint64_t address) {
    struct divvy_record mapping, name;
    uint64_t object = 0;

    divvy_lock_take(&lock);
    if (divvy_table_get(DIVVY_RECORD_HANDLE, handle, &name))
        object = name.owner;
    else if (divvy_table_get(DIVVY_RECORD_MAPPING, address, &mapping))
        object = mapping.owner; /* all its handles were released; this is a new one */
    if (object != 0) {
        enter(DIVVY_RECORD_HANDLE, handle, object, 0);
        object_count(object, COUNT_HANDLES, 1);
    }
    divvy_lock_give(&lock);
}

void divvy_vmm_mapped(uint64_t address, uint64_t bytes, CUmemGenericAllocationHandle handle) {
    struct divvy_record name;

    divvy_lock_take(&lock);
    if (divvy_table_get(DIVVY_RECORD_HANDLE, handle, &name)) {
        enter(DIVVY_RECORD_MAPPING, address, name.owner, bytes);
        object_count(name.owner, COUNT_MAPPINGS, 1);
    }
    divvy_lock_give(&lock);
}

struct range {
    uint64_t start, end;
    struct divvy_record found;
};

static bool visit_range(const struct divvy_record *record, void *argument) {
    struct range *range = argument;

    if (range->found.kind != 0 || record->kind != DIVVY_RECORD_MAPPING ||
        record->key < range->start || record->key >= range->end)
        return false;
    range->found = *record;
    return true;
}

void divvy_vmm_unmapped(uint64_t address, uint64_t bytes) {
    struct divvy_record mapping;
    struct range range = {.start = address, .end = address + bytes};

    divvy_lock_take(&lock);
    /* Usually mapping follows mapping. */
    while (range.start < range.end &&
           divvy_table_take(DIVVY_RECORD_MAPPING, range.start, &mapping)) {
        object_count(mapping.owner, COUNT_MAPPINGS, -1);
        range.start += mapping.bytes ? mapping.bytes : 1;
    }
    /* Behind something that we did not see mapped there may be more. */
    while (range.start < range.end) {
        range.found.kind = 0;
        divvy_table_sweep(visit_range, &range);
        if (range.found.kind == 0)
            break;
        object_count(range.found.owner, COUNT_MAPPINGS, -1);
    }
    divvy_lock_give(&lock);
}

void divvy_vmm_array_holds(uint64_t array, CUmemGenericAllocationHandle handle) {
    struct divvy_record name;

    divvy_lock_take(&lock);
    if (divvy_table_get(DIVVY_RECORD_HANDLE, handle, &name)) {
        struct divvy_record sparse = {
            .kind = DIVVY_RECORD_SPARSE, .key = ++last_object, .owner = array, .bytes = name.owner};
        struct divvy_record old;

        if (divvy_table_put(&sparse, &old) == 0)
            object_count(name.owner, COUNT_MAPPINGS, 1);
        sparse_any = 1;
    }
    divvy_lock_give(&lock);
}

struct holder {
    uint64_t array;
    struct divvy_record found;
};

static bool visit_holder(const struct divvy_record *record, void *argument) {
    struct holder *holder = argument;

    if (holder->found.kind != 0 || record->kind != DIVVY_RECORD_SPARSE ||
        record->owner != holder->array)
        return false;
    holder->found = *record;
    return true;
}

void divvy_vmm_array_destroyed(uint64_t array) {
    struct holder holder = {.array = array};

    if (__atomic_load_n(&sparse_any, __ATOMIC_RELAXED) == 0)
        return;
    divvy_lock_take(&lock);
    do {
        holder.found.kind = 0;
        divvy_table_sweep(visit_holder, &holder);
        if (holder.found.kind != 0)
            object_count(holder.found.bytes, COUNT_MAPPINGS, -1);
    } while (holder.found.kind != 0);
    divvy_lock_give(&lock);
}

void divvy_vmm_fork_child(void) {
    divvy_lock_reset(&lock);
    last_object = 0;
    sparse_any = 0;
}
