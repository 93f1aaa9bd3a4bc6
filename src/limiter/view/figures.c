/*
 * Figures from the page.
 */
#include "limiter/view/figures.h"
#include "core/checked.h"
#include "limiter/foreign/foreign.h"
#include "limiter/hook/control.h"
#include "limiter/hook/process.h"
#include "limiter/memory/account.h"
#include "limiter/memory/graph_pool.h"
#include "limiter/memory/pool.h"

bool divvy_view_figures(int device, uint64_t physical_bytes, struct divvy_figures *ret_figures) {
    uint64_t limit, used, others;

    if (device < 0 || divvy_process_state() != DIVVY_PROCESS_LIMITED)
        return false;
    divvy_control_follow(divvy_process.page, (unsigned)device);
    others = divvy_foreign_others((unsigned)device, 0);
    limit = __atomic_load_n(&divvy_process.page->devices[device].limit_bytes, __ATOMIC_ACQUIRE);
    if (limit == 0 || limit == DIVVY_PAGE_UNLIMITED)
        return false;
    if (!divvy_memory_passes()) {
        divvy_pool_reconcile_idle();
        divvy_graph_pool_reconcile((unsigned)device, false);
    }
    divvy_memory_reap();
    used = divvy_core_u64_add_saturated(divvy_page_used(divvy_process.page, (unsigned)device), others);
    ret_figures->total_bytes =
        physical_bytes != 0 && physical_bytes < limit ? physical_bytes : limit;
    ret_figures->used_bytes = used < ret_figures->total_bytes ? used : ret_figures->total_bytes;
    ret_figures->free_bytes = ret_figures->total_bytes - ret_figures->used_bytes;
    return true;
}

bool divvy_view_is_own_pid(uint32_t pid) {
    for (unsigned slot = 0; pid != 0 && slot < DIVVY_PAGE_SLOTS; slot++) {
        const struct divvy_page_slot *entry = &divvy_process.page->slots[slot];
        uint64_t low = __atomic_load_n(&entry->owner.low, __ATOMIC_ACQUIRE);
        uint64_t high = __atomic_load_n(&entry->owner.high, __ATOMIC_ACQUIRE);

        if ((high & 3) == DIVVY_PAGE_STATE_LIVE &&
            ((uint32_t)low == pid || __atomic_load_n(&entry->host_pid, __ATOMIC_RELAXED) == pid))
            return true;
    }
    return false;
}
