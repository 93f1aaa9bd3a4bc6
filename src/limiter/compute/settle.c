/*
 * Settling: finding out what the device has completed, charging what that took instead of what it was estimated at, and
 * learning from the difference. One thread at a time per device; nobody waits for it, except a context that goes.
 */
#include "core/clock.h"
#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"

#include <string.h>

/* So many incomplete segments in a row, and the rest is not asked about: streams mostly complete in order. */
#define INCOMPLETE_MAX 8u

struct settled {
    struct divvy_compute_segment segment;
    struct divvy_compute_context *context;
    uint64_t start_ns, end_ns;
    uint32_t measured;
};

#define BATCH 32u

static void usage_add(uint64_t *word, uint64_t value) {
    __atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}

static bool settling_try(struct divvy_compute_device *device) {
    return !__atomic_exchange_n(&device->settling, 1, __ATOMIC_ACQUIRE);
}

static void settling_done(struct divvy_compute_device *device) {
    __atomic_store_n(&device->settling, 0, __ATOMIC_RELEASE);
}

/* The segment is out of flight; `charge_ns` is what it cost. */
static void segment_charge(struct divvy_compute_device *device, const struct divvy_compute_segment *segment,
                           uint64_t charge_ns) {
    divvy_compute_account_correct(device->page, (int64_t)charge_ns - (int64_t)segment->estimate_ns);
    usage_add(&device->page->compute.charged_ns, charge_ns);
    usage_add(&device->usage->busy_ns, charge_ns);
}

static void flight_done(struct divvy_compute_device *device, uint64_t estimate_ns) {
    divvy_lock_take(&device->lock);
    divvy_pacer_flight_done(&device->flight, divvy_compute_port.now(), estimate_ns);
    __atomic_store_n(&device->usage->inflight_ns, device->flight.pending_ns, __ATOMIC_RELAXED);
    divvy_lock_give(&device->lock);
}

static void segment_release(const struct divvy_compute_segment *segment) {
    struct divvy_compute_context *context =
        divvy_compute_context_get(segment->context, segment->context_generation);

    if (!context)
        return;
    divvy_compute_event_release(context, segment->start);
    divvy_compute_event_release(context, segment->end);
}

void divvy_compute_segment_add(struct divvy_compute_device *device,
                               const struct divvy_compute_segment *segment) {
    bool added = false;

    usage_add(&device->usage->launches, segment->launches);
    divvy_lock_take(&device->lock);
    if (segment->start != DIVVY_COMPUTE_NONE && segment->end != DIVVY_COMPUTE_NONE &&
        device->segment_count < DIVVY_COMPUTE_SEGMENTS) {
        device->segments[device->segment_count++] = *segment;
        added = true;
    }
    divvy_lock_give(&device->lock);
    if (added)
        return;
    segment_release(segment);
    segment_charge(device, segment, segment->estimate_ns);
    flight_done(device, segment->estimate_ns);
}

/* 1: `ret` holds what is known; 0: not complete; negative: it will never be known. */
static int segment_look(const struct divvy_compute_segment *segment, struct settled *ret) {
    struct divvy_compute_context *context =
        divvy_compute_context_get(segment->context, segment->context_generation);
    int known;

    ret->segment = *segment;
    ret->context = context;
    ret->measured = 0;
    if (!context)
        return -1;
    known = divvy_compute_event_passed(context, segment->end);
    if (known > 0)
        known = divvy_compute_event_time(context, segment->start, &ret->start_ns);
    if (known > 0)
        known = divvy_compute_event_time(context, segment->end, &ret->end_ns);
    ret->measured = known > 0;
    return known;
}

/* Move up to BATCH segments that are done from the device into `batch`. */
static uint32_t segments_collect(struct divvy_compute_device *device, struct settled *batch) {
    uint32_t taken = 0, incomplete = 0;

    for (uint32_t i = 0; taken < BATCH && incomplete < INCOMPLETE_MAX;) {
        struct divvy_compute_segment segment;
        bool there;

        divvy_lock_take(&device->lock);
        there = i < device->segment_count;
        if (there)
            segment = device->segments[i];
        divvy_lock_give(&device->lock);
        if (!there)
            break;
        if (segment_look(&segment, &batch[taken]) == 0) {
            incomplete++;
            i++;
            continue;
        }
        taken++;
        divvy_lock_take(&device->lock); /* others only append */
        device->segment_count--;
        memmove(&device->segments[i], &device->segments[i + 1],
                (device->segment_count - i) * sizeof(device->segments[0]));
        divvy_lock_give(&device->lock);
    }
    return taken;
}

/* In the order of their ends, as the union wants them. */
static void batch_sort(struct settled *batch, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        struct settled moving = batch[i];
        uint32_t place = i;

        for (; place > 0 && batch[place - 1].end_ns > moving.end_ns; place--)
            batch[place] = batch[place - 1];
        batch[place] = moving;
    }
}

static void batch_settle(struct divvy_compute_device *device, const struct settled *settled) {
    const struct divvy_compute_segment *segment = &settled->segment;
    uint64_t charge_ns = segment->estimate_ns;

    if (settled->measured) {
        struct divvy_estimator_stretch stretch = {
            .estimate_ns = segment->estimate_ns,
            .span_ns = settled->end_ns > settled->start_ns ? settled->end_ns - settled->start_ns : 0,
            .most_ns = divvy_union_add(&settled->context->busy, settled->start_ns, settled->end_ns),
            .idle_ns = segment->idle_ns,
            .neighbours = __atomic_load_n(&device->neighbours, __ATOMIC_RELAXED),
        };

        charge_ns = divvy_estimator_charge(&stretch, &device->carry_ns);
        if (segment->only != &divvy_compute_mixed && segment->launches)
            divvy_compute_cost_learn(segment, &stretch);
    }
    segment_charge(device, segment, charge_ns);
    segment_release(segment);
    flight_done(device, segment->estimate_ns);
}

void divvy_compute_settle(struct divvy_compute_device *device) {
    struct settled batch[BATCH];
    CUstreamCaptureMode mode;
    uint32_t count;

    if (__atomic_load_n(&device->segment_count, __ATOMIC_RELAXED) == 0 || !settling_try(device))
        return;
    mode = divvy_compute_relax();
    do {
        count = segments_collect(device, batch);
        for (uint32_t i = 0; i < count; i++)
            if (!batch[i].measured)
                batch[i].end_ns = 0;
        batch_sort(batch, count);
        for (uint32_t i = 0; i < count; i++)
            batch_settle(device, &batch[i]);
    } while (count == BATCH);
    divvy_compute_unrelax(mode);
    settling_done(device);
}

void divvy_compute_settle_context(struct divvy_compute_device *device, uint16_t context) {
    divvy_compute_settle(device);
    while (!settling_try(device))
        divvy_compute_port.sleep(&device->settling, 1, divvy_compute_port.now() + DIVVY_PACER_POLL_NS);
    for (uint32_t i = 0;;) {
        struct divvy_compute_segment segment;
        bool found = false;

        divvy_lock_take(&device->lock);
        for (; i < device->segment_count && !found; i++)
            found = device->segments[i].context == context;
        if (found) {
            segment = device->segments[--i];
            device->segment_count--;
            memmove(&device->segments[i], &device->segments[i + 1],
                    (device->segment_count - i) * sizeof(device->segments[0]));
        }
        divvy_lock_give(&device->lock);
        if (!found)
            break;
        segment_release(&segment);
        segment_charge(device, &segment, segment.estimate_ns);
        flight_done(device, segment.estimate_ns);
    }
    settling_done(device);
}

static int (*neighbour_probe)(CUdevice device);

void divvy_compute_set_neighbour_probe(int (*probe)(CUdevice device)) {
    __atomic_store_n(&neighbour_probe, probe, __ATOMIC_RELEASE);
}

/* Processes of the tenant, this one apart, that have launched something since the last look. */
static unsigned siblings_count(struct divvy_compute_device *device) {
    struct divvy_page *page = divvy_process.page;
    size_t page_device = (size_t)(device->page - page->devices);
    unsigned active = 0;

    for (uint32_t i = 0; i < DIVVY_PAGE_SLOTS; i++) {
        uint64_t launches;

        if (i == divvy_process.slot || !__atomic_load_n(&page->slots[i].owner.low, __ATOMIC_RELAXED))
            continue;
        launches = __atomic_load_n(&page->slots[i].usage[page_device].launches, __ATOMIC_RELAXED);
        active += launches != device->sibling_launches[i];
        device->sibling_launches[i] = launches;
    }
    return active;
}

void divvy_compute_neighbours_look(struct divvy_compute_device *device, uint64_t now_ns) {
    uint64_t looked_ns = __atomic_load_n(&device->looked_ns, __ATOMIC_RELAXED);
    int (*probe)(CUdevice) = __atomic_load_n(&neighbour_probe, __ATOMIC_ACQUIRE);
    unsigned neighbours;

    if (now_ns < looked_ns + DIVVY_NS_PER_SECOND / 2 ||
        !__atomic_compare_exchange_n(&device->looked_ns, &looked_ns, now_ns, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    divvy_compute_threads_sweep();
    neighbours = siblings_count(device);
    if (probe) {
        int others = probe(device->ordinal);

        if (others > 0)
            neighbours += (unsigned)others;
    }
    __atomic_store_n(&device->neighbours, neighbours, __ATOMIC_RELAXED);
}
