/*
 * Who else computes on a device. Time slicing with others stretches what events measure, so the clock of GPU time wants to
 * know. Processes of the same tenant are seen in the page. Others show in NVML's utilisation of the device: the part of
 * time in which anybody computed, well above what this tenant was charged. That needs no process list, which says nothing
 * inside a container.
 */
#include "core/clock.h"
#include "core/uuid.h"
#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"
#include "limiter/hook/nvml.h"
#include "limiter/hook/process.h"

#include <string.h>

#define LOOK_EVERY_NS DIVVY_NS_PER_SECOND
/* Siblings share what may be in flight, so they are to be known soon; the look costs a cache line for each process. */
#define SIBLINGS_EVERY_NS (10 * DIVVY_NS_PER_MS)
#define SIBLING_REST_NS   DIVVY_NS_PER_SECOND
/* Points of utilisation above the own share that mean somebody else, twice in a row: the two are not measured over quite
 * the same time. */
#define STRANGER_POINTS 15u
#define STRANGER_LOOKS  2u

static int (*neighbour_probe)(CUdevice device);

void divvy_compute_set_neighbour_probe(int (*probe)(CUdevice device)) {
    __atomic_store_n(&neighbour_probe, probe, __ATOMIC_RELEASE);
}

/*
 * Processes of the tenant, this one apart, that compute: they launched, wait or have work in flight, now or within the last second.
 */
static unsigned siblings_count(struct divvy_compute_device *device, uint64_t now_ns) {
    struct divvy_page *page = divvy_process.page;
    size_t page_device = (size_t)(device->page - page->devices);
    uint64_t high = __atomic_load_n(&page->slots_high, __ATOMIC_RELAXED);
    unsigned active = 0;

    for (uint32_t i = 0; i < high && i < DIVVY_PAGE_SLOTS; i++) {
        const struct divvy_page_usage *usage = &page->slots[i].usage[page_device];
        struct divvy_compute_sibling *sibling = &device->known[i];
        uint64_t launches;

        if (i == divvy_process.slot || !__atomic_load_n(&page->slots[i].owner.low, __ATOMIC_RELAXED))
            continue;
        launches = __atomic_load_n(&usage->launches, __ATOMIC_RELAXED);
        if (launches != sibling->launches || __atomic_load_n(&usage->waiting, __ATOMIC_RELAXED) ||
            __atomic_load_n(&usage->drain_ns, __ATOMIC_RELAXED) > now_ns)
            sibling->active_ns = now_ns;
        sibling->launches = launches;
        active += sibling->active_ns && now_ns < sibling->active_ns + SIBLING_REST_NS;
    }
    return active;
}

/*
 * NVML's handle of the device, or NULL. NVML stays initialised from the first time on; only where the limiter has loaded it
 * at the start, since nothing is to be loaded from within a launch.
 */
static nvmlDevice_t device_handle(struct divvy_compute_device *device) {
    divvy_core_uuid_t uuid;

    if (device->nvml_asked)
        return device->nvml;
    device->nvml_asked = true;
    if (!divvy_nvml_resolve(false) || !divvy_nvml.nvmlInit_v2 ||
        !divvy_nvml.nvmlDeviceGetUtilizationRates || divvy_nvml.nvmlInit_v2() != NVML_SUCCESS)
        return NULL;
    memcpy(uuid.bytes, &device->page->uuid, sizeof(uuid.bytes));
    if (!divvy_nvml_find(&uuid, &device->nvml))
        device->nvml = NULL;
    return device->nvml;
}

/* Share of the time since the last look that the tenant was charged for, in points. */
static uint64_t own_points(struct divvy_compute_device *device, uint64_t now_ns, uint64_t looked_ns) {
    uint64_t charged_ns = __atomic_load_n(&device->page->compute.charged_ns, __ATOMIC_RELAXED);
    uint64_t own_ns = charged_ns - device->looked_charged_ns;

    device->looked_charged_ns = charged_ns;
    return own_ns * 100 / (now_ns - looked_ns);
}

static unsigned strangers_count(struct divvy_compute_device *device, uint64_t now_ns, uint64_t looked_ns) {
    int (*probe)(CUdevice) = __atomic_load_n(&neighbour_probe, __ATOMIC_ACQUIRE);
    uint64_t points = own_points(device, now_ns, looked_ns);
    nvmlUtilization_t utilisation;
    nvmlDevice_t handle;

    if (probe) {
        int others = probe(device->ordinal);

        return others > 0 ? (unsigned)others : 0;
    }
    if (__atomic_load_n(&device->leased, __ATOMIC_RELAXED)) { /* others have leases of their own */
        device->stranger_looks = 0;
        return 0;
    }
    handle = device_handle(device);
    if (!handle || divvy_nvml.nvmlDeviceGetUtilizationRates(handle, &utilisation) != NVML_SUCCESS ||
        utilisation.gpu < points + STRANGER_POINTS) {
        device->stranger_looks = 0;
        return 0;
    }
    if (device->stranger_looks < STRANGER_LOOKS)
        device->stranger_looks++;
    return device->stranger_looks >= STRANGER_LOOKS;
}

/* Whether this thread is the one to look, every_ns after the last. */
static bool look_begins(uint64_t *looked_ns, uint64_t now_ns, uint64_t every_ns, uint64_t *ret_before_ns) {
    *ret_before_ns = __atomic_load_n(looked_ns, __ATOMIC_RELAXED);
    return now_ns >= *ret_before_ns + every_ns &&
           __atomic_compare_exchange_n(looked_ns, ret_before_ns, now_ns, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void divvy_compute_neighbours_look(struct divvy_compute_device *device, uint64_t now_ns) {
    uint64_t before_ns;

    if (look_begins(&device->siblings_ns, now_ns, SIBLINGS_EVERY_NS, &before_ns))
        __atomic_store_n(&device->siblings, siblings_count(device, now_ns), __ATOMIC_RELAXED);
    if (!look_begins(&device->looked_ns, now_ns, LOOK_EVERY_NS, &before_ns))
        return;
    divvy_compute_threads_sweep();
    __atomic_store_n(&device->strangers, before_ns ? strangers_count(device, now_ns, before_ns) : 0, __ATOMIC_RELAXED);
}
