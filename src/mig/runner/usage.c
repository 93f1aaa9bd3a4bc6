/* Device memory of the program: see usage.h. */
#include "mig/runner/usage.h"

#include "core/checked.h"
#include "page/page.h"

#include <stdio.h>

void divvy_runner_usage_init(struct divvy_runner_usage *usage, const char *folder) {
    *usage = (struct divvy_runner_usage){.limit_bytes = UINT64_MAX};
    (void)snprintf(usage->path, sizeof usage->path, "%.*s/usage", (int)sizeof usage->path - 8, folder);
}

/* What an entry allows: its limit, or where it has none the device itself; 0: the entry is free. */
static uint64_t entry_limit(const struct divvy_page_device *device) {
    uint64_t limit = __atomic_load_n(&device->limit_bytes, __ATOMIC_RELAXED);

    if (limit == DIVVY_PAGE_UNLIMITED)
        limit = __atomic_load_n(&device->physical_bytes, __ATOMIC_RELAXED);
    return limit;
}

uint64_t divvy_runner_usage_look(struct divvy_runner_usage *usage) {
    uint64_t used = 0, limit = 0, refused = 0, fresh;

    if (!usage->page && divvy_page_open_readonly(usage->path, &usage->page) < 0) {
        usage->page = NULL;
        return 0;
    }
    for (unsigned int i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        const struct divvy_page_device *device = &usage->page->devices[i];

        if (entry_limit(device) == 0)
            continue;
        used = divvy_core_u64_add_saturated(used, divvy_page_used(usage->page, i));
        limit = divvy_core_u64_add_saturated(limit, entry_limit(device));
        refused = divvy_core_u64_add_saturated(refused, __atomic_load_n(&device->refused, __ATOMIC_RELAXED));
        if (__atomic_load_n(&device->refused, __ATOMIC_RELAXED) > 0)
            usage->wanted_bytes = __atomic_load_n(&device->refused_bytes, __ATOMIC_RELAXED);
    }
    usage->used_bytes = used;
    usage->limit_bytes = limit > 0 ? limit : UINT64_MAX;
    fresh = divvy_core_u64_sub_floored(refused, usage->seen_refused);
    usage->seen_refused = refused;
    usage->refused = divvy_core_u64_add_saturated(usage->refused, fresh);
    return fresh;
}

void divvy_runner_usage_done(struct divvy_runner_usage *usage) {
    if (usage->page)
        divvy_page_close(usage->page);
    usage->page = NULL;
}
