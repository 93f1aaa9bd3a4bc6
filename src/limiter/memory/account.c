/*
 * Reserving and crediting, with one lock per device between the threads of this process (page.h: a
 * process serialises its own operations on a cell). The lock is held for the few stores of an
 * operation, never over a call of the driver.
 */
#include "limiter/memory/account.h"
#include "limiter/hook/control.h"
#include "core/clock.h"
#include "core/log.h"
#include "limiter/foreign/foreign.h"
#include "limiter/hook/lock.h"
#include "limiter/hook/real.h"
#include "limiter/memory/graph_pool.h"
#include "limiter/memory/pool.h"
#include "limiter/memory/vmm.h"

#include <errno.h>
#include <string.h>

#define REAP_INTERVAL_NS                                                                           \
    (100 * DIVVY_NS_PER_MS) /* views ask often; each look reads /proc for every other process */

__thread uint32_t divvy_memory_inside __attribute__((tls_model("initial-exec")));

static divvy_lock_t locks[DIVVY_PAGE_DEVICES];
static uint64_t stated_bytes[DIVVY_PAGE_DEVICES]; /* atomic */
static uint32_t contexts_epoch;

void divvy_memory_attach(void) {
    divvy_memory_contexts_changed();
}

void divvy_memory_fork_child(void) {
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        divvy_lock_reset(&locks[device]);
        __atomic_store_n(&stated_bytes[device], 0, __ATOMIC_RELAXED);
    }
    divvy_memory_inside = 0;
    divvy_table_clear();
    divvy_pool_fork_child();
    divvy_foreign_fork_child();
    divvy_graph_pool_fork_child();
    divvy_vmm_fork_child();
}

/* Whether what a foreign hypervisor says that others of the pod hold leaves room for it. */
static bool others_leave(unsigned device, uint64_t bytes) {
    uint64_t others = divvy_foreign_others(device, bytes), sum;
    uint64_t limit = __atomic_load_n(&divvy_process.page->devices[device].limit_bytes, __ATOMIC_RELAXED);

    return others == 0 || limit == 0 ||
           (!__builtin_add_overflow(divvy_page_used(divvy_process.page, device), others, &sum) &&
            !__builtin_add_overflow(sum, bytes, &sum) && sum <= limit);
}

static int reserve(unsigned device, uint64_t bytes) {
    int status;

    divvy_control_follow(divvy_process.page, device);
    if (!others_leave(device, bytes))
        return -ENOMEM;
    divvy_lock_take(&locks[device]);
    status = divvy_page_reserve(divvy_process.page, divvy_process.slot, device, bytes);
    divvy_lock_give(&locks[device]);
    return status;
}

int divvy_memory_reserve_at_once(int device, uint64_t bytes) {
    return device < 0 ? 0 : reserve((unsigned)device, bytes);
}

int divvy_memory_reserve(int device, uint64_t bytes) {
    if (device < 0 || reserve((unsigned)device, bytes) == 0)
        return 0;
    /* The limit is reached. Is all of it really held? */
    if (divvy_page_reap(divvy_process.page, &divvy_process.self) > 0 &&
        reserve((unsigned)device, bytes) == 0)
        return 0;
    divvy_pool_reconcile_device((unsigned)device, false);
    divvy_graph_pool_reconcile((unsigned)device, false);
    if (reserve((unsigned)device, bytes) == 0)
        return 0;
    divvy_pool_reconcile_device((unsigned)device, true);
    divvy_graph_pool_reconcile((unsigned)device, true);
    if (reserve((unsigned)device, bytes) == 0)
        return 0;
    divvy_page_refusal_count(divvy_process.page, (unsigned)device, bytes);
    divvy_core_log_limited(
        DIVVY_LOG_INFO, DIVVY_NS_PER_SECOND,
        "out of memory: %llu bytes asked for, %llu of the limit of %llu in use",
        (unsigned long long)bytes,
        (unsigned long long)divvy_page_used(divvy_process.page, (unsigned)device),
        (unsigned long long)divvy_process.page->devices[device].limit_bytes);
    return -ENOMEM;
}

void divvy_memory_credit(int device, uint64_t bytes) {
    if (device < 0 || bytes == 0)
        return;
    divvy_lock_take(&locks[device]);
    divvy_page_credit(divvy_process.page, divvy_process.slot, (unsigned)device, bytes);
    divvy_lock_give(&locks[device]);
}

void divvy_memory_charge(int device, uint64_t bytes) {
    if (device < 0 || bytes == 0)
        return;
    divvy_lock_take(&locks[device]);
    divvy_page_charge(divvy_process.page, divvy_process.slot, (unsigned)device, bytes);
    divvy_lock_give(&locks[device]);
}

int divvy_memory_state(int device, uint64_t bytes) {
    int status = divvy_memory_reserve(device, bytes);

    if (status == 0)
        __atomic_fetch_add(&stated_bytes[device], bytes, __ATOMIC_RELAXED);
    return status;
}

int divvy_memory_unstate(int device, uint64_t bytes) {
    uint64_t stated = __atomic_load_n(&stated_bytes[device], __ATOMIC_RELAXED);

    do {
        if (bytes > stated)
            return -ERANGE;
    } while (!__atomic_compare_exchange_n(&stated_bytes[device], &stated, stated - bytes, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    divvy_memory_credit(device, bytes);
    return 0;
}

CUresult divvy_memory_record(const struct divvy_record *record) {
    struct divvy_record old = {0};

    if (divvy_table_put(record, &old) < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* The address was given out again without a free that we saw: what stood there is gone. */
    if (old.kind != 0 && old.pool != 0)
        divvy_pool_freed(old.pool - 1, DIVVY_POOL_ANY_STREAM, old.bytes);
    else if (old.kind == DIVVY_RECORD_POINTER || old.kind == DIVVY_RECORD_ARRAY ||
             old.kind == DIVVY_RECORD_MIPMAP)
        divvy_memory_credit(old.device, old.bytes);
    return CUDA_SUCCESS;
}

void divvy_memory_reap(void) {
    (void)divvy_page_reap_if_due(divvy_process.page, &divvy_process.self, REAP_INTERVAL_NS);
}

/* ---- the current context ---- */

struct known_context {
    CUcontext context;
    uint32_t epoch;
    int device;
};

static __thread struct known_context known __attribute__((tls_model("initial-exec")));

void divvy_memory_contexts_changed(void) {
    __atomic_fetch_add(&contexts_epoch, 1, __ATOMIC_RELEASE);
}

int divvy_memory_current(CUcontext *ret_context) {
    uint32_t epoch = __atomic_load_n(&contexts_epoch, __ATOMIC_ACQUIRE);
    CUcontext context = NULL;
    CUdevice device = -1;

    *ret_context = NULL;
    if (divvy_real.cuCtxGetCurrent(&context) != CUDA_SUCCESS || !context)
        return -1;
    *ret_context = context;
    if (known.context == context && known.epoch == epoch)
        return known.device;
    if (divvy_real.cuCtxGetDevice(&device) != CUDA_SUCCESS)
        return -1;
    known = (struct known_context){
        .context = context, .epoch = epoch, .device = divvy_process_page_device(device)};
    return known.device;
}
