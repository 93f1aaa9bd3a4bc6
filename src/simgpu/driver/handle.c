/* Live handles: slots of 16 bytes in one area of addresses; see handle.h. */
#include "simgpu/driver/handle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

typedef struct {
    _Atomic uint32_t kind;
    uint32_t next; /* free slots: the next one, 0 at the end */
    _Atomic(void *) object;
} slot_t;

enum { SLOTS = 4 << 20 }; /* 64 MiB of addresses; pages appear as they are used */

static _Atomic(slot_t *) slots;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t used = 1; /* slot 0 is never handed out */
static uint32_t free_first, free_last, free_count;

/* A freed slot rests until this many others were freed after it: a stale handle is then
 * recognised. */
enum { REST = 4096 };

static slot_t *area(void) {
    slot_t *base = atomic_load_explicit(&slots, memory_order_acquire);
    if (base)
        return base;
    base = mmap(NULL, (size_t)SLOTS * sizeof(slot_t), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
#ifdef __SANITIZE_ADDRESS__
    /* What a program still holds when it ends is no leak of ours. */
    __lsan_register_root_region(base, (size_t)SLOTS * sizeof(slot_t));
#endif
    atomic_store_explicit(&slots, base, memory_order_release);
    return base;
}

void *divvy_drv_handle_new(divvy_drv_handle_kind_t kind, void *object) {
    slot_t *slot = NULL;
    pthread_mutex_lock(&lock);
    slot_t *base = area();
    if (base && (free_count > REST || (used == SLOTS && free_count))) {
        slot = base + free_first;
        free_first = slot->next;
        free_count--;
    } else if (base && used < SLOTS) {
        slot = base + used++;
    }
    pthread_mutex_unlock(&lock);
    if (!slot)
        return NULL;
    atomic_store_explicit(&slot->object, object, memory_order_relaxed);
    atomic_store_explicit(&slot->kind, (uint32_t)kind, memory_order_release);
    return slot;
}

static slot_t *find(const void *handle) {
    slot_t *base = atomic_load_explicit(&slots, memory_order_acquire);
    uintptr_t offset = (uintptr_t)handle - (uintptr_t)base;
    if (!base || offset >= (uintptr_t)SLOTS * sizeof(slot_t) || offset % sizeof(slot_t))
        return NULL;
    return base + offset / sizeof(slot_t);
}

void *divvy_drv_handle_get(const void *handle, divvy_drv_handle_kind_t kind) {
    slot_t *slot = find(handle);
    if (!slot || atomic_load_explicit(&slot->kind, memory_order_acquire) != (uint32_t)kind)
        return NULL;
    return atomic_load_explicit(&slot->object, memory_order_relaxed);
}

int divvy_drv_handle_end(const void *handle, divvy_drv_handle_kind_t kind) {
    slot_t *slot = find(handle);
    uint32_t expected = (uint32_t)kind;
    if (!slot || !atomic_compare_exchange_strong(&slot->kind, &expected, DRV_HANDLE_NONE))
        return 0;
    pthread_mutex_lock(&lock);
    uint32_t index = (uint32_t)(slot - atomic_load_explicit(&slots, memory_order_relaxed));
    slot->next = 0;
    if (free_count)
        atomic_load_explicit(&slots, memory_order_relaxed)[free_last].next = index;
    else
        free_first = index;
    free_last = index;
    free_count++;
    pthread_mutex_unlock(&lock);
    return 1;
}
