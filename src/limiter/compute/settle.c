/*
 * Settling: finding out what the device has completed, charging what that took instead of what it was estimated at, and
 * learning from the difference. One thread at a time per device; nobody waits for it, except a context that goes.
 */
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

static void settling_wait(struct divvy_compute_device *device) {
    divvy_compute_port.sleep(&device->settling, 1, divvy_compute_port.now() + DIVVY_PACER_POLL_NS / 4);
}

/* What was reserved as estimate_ns cost charge_ns. Work under a lease is not in the account. */
static void charge(struct divvy_compute_device *device, bool leased, uint64_t estimate_ns, uint64_t charge_ns) {
    if (!leased)
        divvy_compute_account_correct(device->page, (int64_t)charge_ns - (int64_t)estimate_ns);
    usage_add(&device->page->compute.charged_ns, charge_ns);
    usage_add(&device->usage->busy_ns, charge_ns);
}

/* For the daemon, which hands the device over when it is done. The lock of the device is held. */
static void flight_publish(struct divvy_compute_device *device, uint64_t now_ns) {
    uint64_t granted_ns = __atomic_load_n(&device->granted_ns, __ATOMIC_RELAXED);
    uint64_t drain_ns = device->flight.pending_ns && device->flight.drain_ns > now_ns ? device->flight.drain_ns : now_ns;

    /* What a thread has been granted and does not launch counts for as long as it would have taken. */
    if (device->granted_drain_ns > drain_ns + granted_ns)
        device->granted_drain_ns = drain_ns + granted_ns;
    if (device->granted_drain_ns < drain_ns)
        granted_ns = 0;
    else if (granted_ns > device->granted_drain_ns - drain_ns)
        granted_ns = device->granted_drain_ns - drain_ns;
    __atomic_store_n(&device->usage->inflight_ns, device->flight.pending_ns + granted_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&device->usage->drain_ns, drain_ns + granted_ns, __ATOMIC_RELAXED);
}

void divvy_compute_granted(struct divvy_compute_device *device, int64_t work_ns) {
    uint64_t now_ns = divvy_compute_port.now();

    divvy_lock_take(&device->lock);
    __atomic_fetch_add(&device->granted_ns, (uint64_t)work_ns, __ATOMIC_RELAXED);
    if (work_ns > 0) {
        if (device->granted_drain_ns < now_ns)
            device->granted_drain_ns = now_ns;
        if (device->flight.pending_ns && device->granted_drain_ns < device->flight.drain_ns)
            device->granted_drain_ns = device->flight.drain_ns;
        device->granted_drain_ns += (uint64_t)work_ns;
    }
    flight_publish(device, now_ns);
    divvy_lock_give(&device->lock);
}

/* What is behind the segment, or behind what was taken out at `index` before, in its stream. The lock of the device is held. */
static uint64_t stream_rest_ns(const struct divvy_compute_device *device, const struct divvy_compute_segment *segment, uint32_t index) {
    uint64_t rest_ns = 0;

    for (; index < device->segment_count; index++)
        if (device->segments[index].stream == segment->stream && device->segments[index].context == segment->context)
            rest_ns += device->segments[index].estimate_ns;
    return rest_ns;
}

static void flight_done(struct divvy_compute_device *device, const struct divvy_compute_segment *segment) {
    uint64_t now_ns = divvy_compute_port.now();

    divvy_lock_take(&device->lock);
    divvy_pacer_flight_done(&device->flight, now_ns, segment->estimate_ns);
    if (segment->leased && segment->seen_ns)
        divvy_pacer_flight_last(&device->flight, segment->seen_ns + stream_rest_ns(device, segment, 0));
    flight_publish(device, now_ns);
    divvy_lock_give(&device->lock);
}

/*
 * The segment at `index` was not done at now_ns, so what is behind it in its stream has not begun: the daemon must not believe that it will
 * be done sooner.
 */
static void flight_late(struct divvy_compute_device *device, uint32_t index, uint64_t now_ns) {
    divvy_lock_take(&device->lock);
    if (index < device->segment_count && device->segments[index].leased) {
        struct divvy_compute_segment *segment = &device->segments[index];

        segment->seen_ns = now_ns;
        divvy_pacer_flight_last(&device->flight, now_ns + stream_rest_ns(device, segment, index + 1));
        flight_publish(device, now_ns);
    }
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

/* The lock of the device is held. */
static void segment_remove(struct divvy_compute_device *device, uint32_t index) {
    uint32_t count = __atomic_sub_fetch(&device->segment_count, 1, __ATOMIC_RELAXED);

    memmove(&device->segments[index], &device->segments[index + 1],
            (count - index) * sizeof(device->segments[0]));
}

/* Move up to BATCH segments that are done from the device into `batch`. */
static uint32_t segments_collect(struct divvy_compute_device *device, struct settled *batch) {
    uint32_t taken = 0, incomplete = 0;

    for (uint32_t i = 0; taken < BATCH && incomplete < INCOMPLETE_MAX;) {
        struct divvy_compute_segment segment;
        uint64_t now_ns = divvy_compute_port.now();
        bool there;

        divvy_lock_take(&device->lock);
        there = i < device->segment_count;
        if (there)
            segment = device->segments[i];
        divvy_lock_give(&device->lock);
        if (!there)
            break;
        if (segment_look(&segment, &batch[taken]) == 0) {
            if (incomplete == 0)
                flight_late(device, i, now_ns);
            incomplete++;
            i++;
            continue;
        }
        taken++;
        divvy_lock_take(&device->lock); /* others only append */
        segment_remove(device, i);
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

static struct divvy_compute_group *group_find(struct divvy_compute_device *device, uint32_t id) {
    for (uint32_t i = 0; i < DIVVY_COMPUTE_GROUPS; i++)
        if (device->groups[i].id == id)
            return &device->groups[i];
    return NULL;
}

/*
 * Add a segment to its group. True: *ret is to be charged now: the whole group when this was its last, the segment alone
 * when it has no group. The device may have been idle once while the chunk was filled, not once per stream.
 */
static bool group_add(struct divvy_compute_device *device, const struct divvy_compute_segment *segment,
                      const struct divvy_estimator_stretch *stretch, struct divvy_compute_group *ret) {
    struct divvy_compute_group *group = segment->group ? group_find(device, segment->group) : NULL;

    *ret = (struct divvy_compute_group){
        .stretch = *stretch, .only = segment->only, .only_key = segment->only_key, .launches = segment->launches,
        .crossed = segment->crossed};
    if (!segment->group || (!group && !(group = group_find(device, 0))))
        return true;
    if (group->id == 0) {
        *group = *ret;
        group->id = segment->group;
        group->missing = segment->group_size - 1;
        return false;
    }
    group->stretch.estimate_ns += stretch->estimate_ns;
    group->stretch.span_ns += stretch->span_ns;
    group->stretch.most_ns += stretch->most_ns;
    if (stretch->gap_ns < group->stretch.gap_ns)
        group->stretch.gap_ns = stretch->gap_ns;
    if (stretch->doubt_ns > group->stretch.doubt_ns)
        group->stretch.doubt_ns = stretch->doubt_ns;
    if (group->only != segment->only || group->only_key != segment->only_key)
        group->only = &divvy_compute_mixed;
    group->launches += segment->launches;
    group->stretch.edge |= stretch->edge;
    group->crossed |= segment->crossed;
    if (--group->missing)
        return false;
    *ret = *group;
    group->id = 0;
    return true;
}

/* A segment that nothing is known about: it took what it was estimated at. */
static struct divvy_estimator_stretch stretch_unknown(const struct divvy_compute_segment *segment) {
    return (struct divvy_estimator_stretch){.estimate_ns = segment->estimate_ns,
                                            .span_ns = segment->estimate_ns,
                                            .most_ns = segment->estimate_ns,
                                            .doubt_ns = UINT64_MAX};
}

static void segment_settle(struct divvy_compute_device *device, const struct divvy_compute_segment *segment,
                           const struct divvy_estimator_stretch *stretch) {
    struct divvy_compute_group whole;

    if (group_add(device, segment, stretch, &whole)) {
        divvy_compute_cost_learn(&whole);
        charge(device, segment->leased, whole.stretch.estimate_ns, divvy_estimator_charge(&whole.stretch, &device->carry_ns));
    }
    segment_release(segment);
    flight_done(device, segment);
}

/* The device cannot have been idle while it is known to have been busy with something before. */
static void stretch_reduce_doubt(struct divvy_estimator_stretch *stretch, uint64_t busy_ns) {
    uint64_t gap_busy_ns = busy_ns < stretch->gap_ns ? busy_ns : stretch->gap_ns;

    stretch->gap_ns -= gap_busy_ns;
    busy_ns -= gap_busy_ns;
    stretch->doubt_ns -= busy_ns < stretch->doubt_ns ? busy_ns : stretch->doubt_ns;
}

static void batch_settle(struct divvy_compute_device *device, struct settled *settled) {
    struct divvy_compute_segment *segment = &settled->segment;
    struct divvy_estimator_stretch stretch = stretch_unknown(segment);

    if (settled->measured) {
        struct divvy_union *busy = &settled->context->busy;

        stretch.gap_ns = segment->gap_ns;
        stretch.doubt_ns = segment->doubt_ns;
        if (segment->doubt_ns != UINT64_MAX)
            stretch_reduce_doubt(&stretch, divvy_union_covered(busy, settled->start_ns, settled->end_ns));
        stretch.span_ns = settled->end_ns > settled->start_ns ? settled->end_ns - settled->start_ns : 0;
        stretch.most_ns = divvy_union_add(busy, settled->start_ns, settled->end_ns);
        /* It went on beyond the end of its lease, whatever was expected: another tenant's work may have met it. */
        segment->edge |= segment->leased && segment->opened_ns + stretch.span_ns > segment->lease_end_ns;
        stretch.neighbours = __atomic_load_n(&device->siblings, __ATOMIC_RELAXED);
        stretch.neighbours += segment->edge;
        stretch.edge = segment->edge != 0;
        stretch.leased = segment->leased;
        if (!segment->leased)
            stretch.neighbours += __atomic_load_n(&device->strangers, __ATOMIC_RELAXED);
    } else {
        segment->only = &divvy_compute_mixed; /* nothing to learn from it */
    }
    segment_settle(device, segment, &stretch);
}

/*
 * Whether the work just queued may share the device with another tenant's: begun while that one's rest may still have been
 * running, or running on when the next one's lease begins. The lock of the device is held.
 */
static bool is_edge(const struct divvy_compute_device *device, const struct divvy_compute_segment *segment) {
    uint64_t begin_ns = __atomic_load_n(&device->lease_begin_ns, __ATOMIC_RELAXED);
    uint64_t end_ns = __atomic_load_n(&device->lease_end_ns, __ATOMIC_RELAXED);

    return segment->leased && (segment->opened_ns < begin_ns + DIVVY_COMPUTE_EDGE_NS ||
                               device->flight.drain_ns + DIVVY_COMPUTE_EDGE_NS > end_ns);
}

void divvy_compute_segment_add(struct divvy_compute_device *device,
                               const struct divvy_compute_segment *segment) {
    struct divvy_estimator_stretch unknown;
    uint64_t now_ns = divvy_compute_port.now();
    bool added = false;

    usage_add(&device->usage->launches, segment->launches);
    divvy_lock_take(&device->lock);
    divvy_pacer_flight_add(&device->flight, segment->opened_ns, segment->estimate_ns);
    flight_publish(device, now_ns);
    if (segment->start != DIVVY_COMPUTE_NONE && segment->end != DIVVY_COMPUTE_NONE &&
        device->segment_count < DIVVY_COMPUTE_SEGMENTS) {
        device->segments[device->segment_count] = *segment;
        device->segments[device->segment_count].edge = is_edge(device, segment);
        device->segments[device->segment_count].lease_end_ns = __atomic_load_n(&device->lease_end_ns, __ATOMIC_RELAXED);
        __atomic_fetch_add(&device->segment_count, 1, __ATOMIC_RELAXED);
        added = true;
    }
    divvy_lock_give(&device->lock);
    if (added)
        return;
    while (!settling_try(device))
        settling_wait(device);
    unknown = stretch_unknown(segment);
    segment_settle(device, segment, &unknown);
    settling_done(device);
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
        settling_wait(device);
    for (uint32_t i = 0;;) {
        struct divvy_compute_segment segment;
        struct divvy_estimator_stretch unknown;
        bool found = false;

        divvy_lock_take(&device->lock);
        for (; i < device->segment_count && !found; i++)
            found = device->segments[i].context == context;
        if (found) {
            segment = device->segments[--i];
            segment_remove(device, i);
        }
        divvy_lock_give(&device->lock);
        if (!found)
            break;
        unknown = stretch_unknown(&segment);
        segment_settle(device, &segment, &unknown);
    }
    settling_done(device);
}
