/*
 * The slow path of a launch: about every half millisecond of work a thread comes by here, closes what it has open, settles
 * what has completed, waits until more may start, and takes the credit for the next chunk.
 */
#include "core/clock.h"
#include "core/futex.h"
#include "limiter/compute/fast.h"
#include "limiter/compute/state.h"
#include "limiter/hook/control.h"
#include "limiter/hook/door.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"

#include <errno.h>
#include <string.h>

/* Nobody sleeps longer than this without looking at the limit again. */
#define SLEEP_MAX_NS UINT64_C(20000000)
/* The first at the gate looks at least every SLEEP_MAX_NS; after this long it is gone. */
#define GONE_NS UINT64_C(500000000)
/* After a pause this long a thread starts with small chunks again: what it reserves and does not use blocks others. */
#define PAUSE_NS UINT64_C(5000000)
/* Unsampled chunks after which a launch is measured alone. */
#define SAMPLE_CHUNKS 8u
#define SAMPLES_FIRST 4u
#define SAMPLES_TRIED 16u
/* However many processes share a lease: with less in flight the device would run dry between two looks. */
#define BUDGET_LEAST_NS UINT64_C(200000)
/* Work that takes so much longer than estimated is not watched closely any more. */
#define OVERDUE_NS UINT64_C(20000000)
/* A longer gap before a launch may have come after the launch as well: the host was away. */
#define GAP_KNOWN_NS UINT64_C(20000)
/* Doubt about so little is not worth a question to the driver. */
#define DOUBT_SMALL_NS UINT64_C(500)
/* More interruptions per millisecond than this are not measured around. */
#define BREAKS_MAX 2u

static struct divvy_compute_device *thread_device(const struct divvy_compute_thread *thread) {
    return thread->device < DIVVY_PAGE_DEVICES && divvy_compute_devices[thread->device].page
               ? &divvy_compute_devices[thread->device]
               : NULL;
}

static bool context_is_current(CUcontext handle) {
    CUcontext current = NULL;

    return divvy_real.cuCtxGetCurrent(&current) == CUDA_SUCCESS && current == handle;
}

/* --- closing ------------------------------------------------------------------------------------------------------ */

/* Whether the device had work without a break while the segment was filled. */
static bool slot_was_busy(const struct divvy_compute_slot *slot, struct divvy_compute_context *context) {
    CUstreamCaptureMode mode;
    int passed;

    if (!slot->shared)
        return false;
    mode = divvy_compute_relax();
    passed = divvy_compute_event_passed(context, slot->start);
    divvy_compute_unrelax(mode);
    return passed == 0;
}

/* How long the device may have been idle inside the segment: no longer than it took to fill. */
static uint64_t slot_doubt_ns(const struct divvy_compute_slot *slot, struct divvy_compute_context *context,
                              uint64_t now_ns) {
    uint64_t filled_ns = now_ns - slot->opened_ns;

    if (slot->loose)
        return UINT64_MAX;
    filled_ns -= slot->gap_ns < filled_ns ? slot->gap_ns : filled_ns;
    return filled_ns > slot->estimate_ns / 32 + DOUBT_SMALL_NS && slot_was_busy(slot, context) ? 0 : filled_ns;
}

static void last_end_release(struct divvy_compute_thread *thread) {
    struct divvy_compute_context *context =
        divvy_compute_context_get(thread->context_index, thread->context_generation);

    if (context)
        divvy_compute_event_release(context, thread->last_end);
    thread->last_end = DIVVY_COMPUTE_NONE;
}

/* The event after the segment, kept also as the start of the next. */
static uint16_t slot_record_end(struct divvy_compute_thread *thread, struct divvy_compute_slot *slot,
                                struct divvy_compute_context *context) {
    uint16_t end = divvy_compute_event_record(context, slot->stream);

    last_end_release(thread);
    if (end != DIVVY_COMPUTE_NONE && slot->context == thread->context_index &&
        slot->context_generation == thread->context_generation) {
        divvy_compute_event_hold(context, end);
        thread->last_end = end;
        thread->last_stream = slot->stream;
    }
    return end;
}

static void slot_close(struct divvy_compute_thread *thread, struct divvy_compute_slot *slot, uint64_t now_ns,
                       bool record, uint32_t group, uint32_t group_size) {
    struct divvy_compute_context *context =
        divvy_compute_context_get(slot->context, slot->context_generation);
    struct divvy_compute_device *device = thread_device(thread);
    struct divvy_compute_segment segment = {
        .estimate_ns = slot->estimate_ns,
        .gap_ns = slot->gap_ns,
        .opened_ns = slot->opened_ns,
        .group = group_size > 1 ? group : 0,
        .group_size = group_size,
        .only = slot->only ? slot->only : &divvy_compute_mixed,
        .launches = slot->launches,
        .stream = slot->stream == CU_STREAM_PER_THREAD ? (uintptr_t)thread : (uintptr_t)slot->stream,
        .context = slot->context,
        .context_generation = slot->context_generation,
        .start = slot->start,
        .end = DIVVY_COMPUTE_NONE,
        .leased = thread->leased != 0,
        .crossed = slot->crossed != 0,
    };
    uint64_t taken_ns = slot->estimate_ns < thread->grant_ns ? slot->estimate_ns : thread->grant_ns;

    if (segment.only != &divvy_compute_mixed)
        segment.only_key = __atomic_load_n(&segment.only->key, __ATOMIC_RELAXED);
    slot->open = 0;
    if (context && record && slot->start != DIVVY_COMPUTE_NONE && slot->launches &&
        !__atomic_load_n(&slot->dead, __ATOMIC_SEQ_CST)) {
        segment.doubt_ns = slot_doubt_ns(slot, context, now_ns);
        segment.end = slot_record_end(thread, slot, context);
    }
    slot->start = DIVVY_COMPUTE_NONE;
    slot->estimate_ns = 0;
    slot->launches = 0;
    thread->grant_ns -= taken_ns;
    if (!device)
        return;
    __atomic_fetch_sub(&device->granted_ns, taken_ns, __ATOMIC_RELAXED);
    divvy_compute_segment_add(device, &segment);
}

/* Give back what was granted and not used. */
static void grant_return(struct divvy_compute_thread *thread) {
    struct divvy_compute_device *device = thread_device(thread);
    uint64_t unused_ns = thread->grant_ns;

    thread->grant_ns = 0;
    thread->credit_ns = 0;
    if (!device || unused_ns == 0)
        return;
    divvy_compute_granted(device, -(int64_t)unused_ns);
    if (!thread->leased)
        divvy_compute_account_correct(device->page, -(int64_t)unused_ns);
}

static void busy_begin(struct divvy_compute_thread *thread) {
    __atomic_store_n(&thread->busy, 1, __ATOMIC_SEQ_CST);
}

static void busy_end(struct divvy_compute_thread *thread) {
    __atomic_store_n(&thread->busy, 0, __ATOMIC_RELEASE);
}

static void thread_close(struct divvy_compute_thread *thread, uint64_t now_ns, bool record) {
    struct divvy_compute_device *device = thread_device(thread);
    uint32_t open = 0, group = 0;

    busy_begin(thread);
    for (unsigned i = 0; i < DIVVY_COMPUTE_SLOTS; i++)
        open += thread->slots[i].open;
    while (device && open > 1 && group == 0)
        group = __atomic_add_fetch(&device->group_last, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < DIVVY_COMPUTE_SLOTS; i++)
        if (thread->slots[i].open)
            slot_close(thread, &thread->slots[i], now_ns, record, group, open);
    busy_end(thread);
    thread->streams = (uint8_t)open;
    grant_return(thread);
}

static void slots_clear(struct divvy_compute_thread *thread) {
    last_end_release(thread);
    for (unsigned i = 0; i < DIVVY_COMPUTE_SLOTS; i++)
        __atomic_store_n(&thread->slots[i].stream, NULL, __ATOMIC_RELAXED);
}

void divvy_compute_close(struct divvy_compute_thread *thread, uint64_t now_ns) {
    thread_close(thread, now_ns, context_is_current(thread->context));
}

void divvy_compute_abandon(struct divvy_compute_thread *thread) {
    thread_close(thread, 0, false);
    slots_clear(thread);
}

/* --- which context and device ------------------------------------------------------------------------------------- */

void divvy_compute_park(void) {
    struct divvy_compute_thread *thread = divvy_compute_self;

    if (!thread || !thread->context_known)
        return;
    thread->context_known = 0;
    thread->parked_ns = thread->credit_ns > 0 ? (uint64_t)thread->credit_ns : 0;
    thread->credit_ns = 0;
}

/* The thread's context is no longer current: close what it has open there, from there if that can still be had. */
static void thread_leave(struct divvy_compute_thread *thread) {
    bool there = divvy_compute_context_get(thread->context_index, thread->context_generation) != NULL &&
                 divvy_real.cuCtxPushCurrent_v2(thread->context) == CUDA_SUCCESS;
    CUcontext popped;

    thread_close(thread, divvy_compute_port.now(), there);
    slots_clear(thread);
    if (there)
        (void)divvy_real.cuCtxPopCurrent_v2(&popped);
}

static void thread_enter(struct divvy_compute_thread *thread, CUcontext handle) {
    thread->context = handle;
    thread->context_index = divvy_compute_context_find(handle, &thread->device);
    thread->context_generation = thread->context_index == DIVVY_COMPUTE_NONE
                                     ? 0
                                     : divvy_compute_contexts[thread->context_index].generation;
    thread->salt = (uint64_t)thread->device << DIVVY_COMPUTE_KEY_SALT_SHIFT;
    thread->last_end = DIVVY_COMPUTE_NONE;
    thread->context_known = 1;
}

/* Make sure that the thread's record fits its current context. False: there is none. */
static bool thread_refresh(struct divvy_compute_thread *thread) {
    CUcontext current = NULL;

    if (thread->context_known)
        return true;
    if (divvy_real.cuCtxGetCurrent(&current) != CUDA_SUCCESS || !current)
        return false;
    if (thread->context == current &&
        (thread->context_index == DIVVY_COMPUTE_NONE ||
         divvy_compute_context_get(thread->context_index, thread->context_generation))) {
        thread->credit_ns = (int64_t)thread->parked_ns;
        thread->context_known = 1;
        return true;
    }
    if (thread->context)
        thread_leave(thread);
    thread_enter(thread, current);
    return true;
}

/* --- slots -------------------------------------------------------------------------------------------------------- */

/* The slot of the stream; one that has to make room for it is closed. */
static struct divvy_compute_slot *slot_take(struct divvy_compute_thread *thread, CUstream stream) {
    struct divvy_compute_slot *first = &thread->slots[divvy_compute_slot_place(stream)];
    struct divvy_compute_slot *second = &thread->slots[divvy_compute_slot_place(stream) ^ 1];
    struct divvy_compute_slot *slot = first;

    if (first->stream == stream || second->stream == stream) {
        slot = first->stream == stream ? first : second;
        if (!__atomic_load_n(&slot->dead, __ATOMIC_SEQ_CST))
            return slot;
    } else if (first->stream && (!second->stream || first->open)) {
        slot = second;
    }
    busy_begin(thread);
    if (slot->open)
        slot_close(thread, slot, divvy_compute_port.now(), true, 0, 1);
    slot->start = DIVVY_COMPUTE_NONE;
    slot->broken = 1;
    slot->context = thread->context_index;
    slot->context_generation = thread->context_generation;
    __atomic_store_n(&slot->dead, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->stream, stream, __ATOMIC_RELAXED);
    busy_end(thread);
    return slot;
}

static void slot_open(struct divvy_compute_thread *thread, struct divvy_compute_slot *slot) {
    struct divvy_compute_context *context =
        divvy_compute_context_get(slot->context, slot->context_generation);

    busy_begin(thread);
    slot->open = 1;
    slot->only = NULL;
    slot->estimate_ns = 0;
    slot->launches = 0;
    slot->gap_ns = 0;
    slot->shared = slot->crossed = slot->loose = 0;
    slot->first = 1;
    slot->start = DIVVY_COMPUTE_NONE;
    if (context && thread->last_end != DIVVY_COMPUTE_NONE && !slot->broken) {
        CUstreamCaptureMode mode = divvy_compute_relax();

        slot->shared = divvy_compute_event_passed(context, thread->last_end) == 0;
        divvy_compute_unrelax(mode);
    }
    if (slot->shared) {
        slot->start = thread->last_end;
        slot->crossed = slot->stream != thread->last_stream;
        divvy_compute_event_hold(context, slot->start);
    } else if (context && !__atomic_load_n(&slot->dead, __ATOMIC_SEQ_CST)) {
        slot->start = divvy_compute_event_record(context, slot->stream);
    }
    slot->broken = 0;
    slot->opened_ns = divvy_compute_port.now();
    busy_end(thread);
}

/* The first launch of a segment has gone to the driver: until then the device may have been idle. */
static void slot_first(struct divvy_compute_slot *slot) {
    uint64_t gap_ns;

    slot->first = 0;
    if (slot->shared)
        return;
    gap_ns = divvy_compute_port.now() - slot->opened_ns;
    if (gap_ns < GAP_KNOWN_NS)
        slot->gap_ns = (uint32_t)gap_ns;
}

/* --- the gate ----------------------------------------------------------------------------------------------------- */

/* Size of the next chunk: small after a pause, growing while the thread keeps coming back; many streams, many events. */
static uint64_t chunk_next(struct divvy_compute_thread *thread, uint64_t now_ns, uint64_t cost_ns, bool alone) {
    uint64_t chunk_ns = thread->chunk_ns * 2;
    uint64_t most_ns = thread->streams > 2 ? 2 * DIVVY_COMPUTE_CHUNK_NS : DIVVY_COMPUTE_CHUNK_NS;

    if (now_ns > thread->closed_ns + PAUSE_NS)
        chunk_ns = cost_ns;
    if (chunk_ns < 4 * cost_ns && now_ns <= thread->closed_ns + PAUSE_NS)
        chunk_ns = 4 * cost_ns;
    if (chunk_ns > most_ns)
        chunk_ns = most_ns;
    if (chunk_ns < cost_ns)
        chunk_ns = cost_ns;
    thread->chunk_ns = chunk_ns;
    return alone ? cost_ns : chunk_ns;
}

static bool is_unknown(struct divvy_compute_cost *cost) {
    const struct divvy_compute_lesson *lesson = divvy_compute_cost_lesson(cost);

    return __atomic_load_n(&lesson->launched, __ATOMIC_RELAXED) &&
           __atomic_load_n(&lesson->samples, __ATOMIC_RELAXED) == 0;
}

/* Whether this launch is to be measured alone. */
static bool is_sample(struct divvy_compute_cost *cost) {
    struct divvy_compute_lesson *lesson = divvy_compute_cost_lesson(cost);
    uint32_t chunks = __atomic_add_fetch(&lesson->chunks_since, 1, __ATOMIC_RELAXED);

    return __atomic_load_n(&lesson->suspect, __ATOMIC_RELAXED) ||
           (chunks < SAMPLES_TRIED && __atomic_load_n(&lesson->samples, __ATOMIC_RELAXED) < SAMPLES_FIRST) ||
           chunks % SAMPLE_CHUNKS == 0;
}

/*
 * When the work fits into what is in flight; not after now_ns: it does. In flight is what was launched and closed: what other
 * threads have been granted and have not launched is not, or a thread that went away in the middle of a chunk would hold up
 * the others (a framework's forward and backward pass take turns like that).
 */
static uint64_t flight_open(struct divvy_compute_device *device, uint64_t now_ns, uint64_t work_ns, uint64_t budget_ns,
                            bool unknown) {
    uint64_t open_ns;

    divvy_lock_take(&device->lock);
    open_ns = divvy_pacer_flight_wait(&device->flight, now_ns, work_ns, budget_ns, unknown,
                                      __atomic_load_n(&device->siblings, __ATOMIC_RELAXED) != 0);
    if (open_ns <= now_ns && device->flight.pending_ns && divvy_pacer_flight_is_stuck(&device->flight, now_ns))
        divvy_pacer_flight_forced(&device->flight, now_ns);
    divvy_lock_give(&device->lock);
    return open_ns;
}

/*
 * When what is in flight will be done; 0: nothing is. Other processes of the tenant take turns with this one, which puts that off;
 * *ret_alone_ns is when it would be without them: from then on it is worth looking. *ret_last_ns: when all but the newest of it should be done; 0: it is.
 */
static uint64_t flight_drain_ns(struct divvy_compute_device *device, uint64_t now_ns, uint64_t *ret_alone_ns,
                                uint64_t *ret_last_ns) {
    uint64_t siblings = __atomic_load_n(&device->siblings, __ATOMIC_RELAXED);
    uint64_t drain_ns;

    divvy_lock_take(&device->lock);
    drain_ns = *ret_alone_ns = device->flight.pending_ns ? device->flight.drain_ns : 0;
    *ret_last_ns = divvy_pacer_flight_is_behind(&device->flight, 0) && drain_ns > device->flight.newest_ns
                       ? drain_ns - device->flight.newest_ns
                       : 0;
    if (drain_ns && siblings)
        drain_ns = now_ns + device->flight.pending_ns * (siblings + 1);
    divvy_lock_give(&device->lock);
    return drain_ns;
}

/* What this process may have in flight: all processes of the tenant together keep to the lease's budget. */
static uint64_t lease_budget_ns(struct divvy_compute_device *device, const struct divvy_control_lease *lease) {
    uint64_t processes = 1 + __atomic_load_n(&device->siblings, __ATOMIC_RELAXED);
    uint64_t budget_ns = lease->budget_ns / processes;

    return budget_ns < BUDGET_LEAST_NS ? BUDGET_LEAST_NS : budget_ns;
}

/* A chunk on its way through the gate. */
struct passing {
    struct divvy_compute_cost *cost;
    uint64_t wanted_ns;
    uint64_t work_ns;  /* what can be granted of it, at the last try */
    uint64_t least_ns; /* it is of no use with less */
    struct divvy_compute_say say;
    uint64_t open_ns; /* not let through: when to try again */
    bool is_shut;     /* by the lease, or for want of one */
    uint64_t rang_ns; /* when the bell was last rung */
};

/*
 * The gate is shut until open_ns. Until then what is in flight is watched: the daemon wants to know when the device is done, and
 * how long it took. It is looked at too when only the newest of it should be left (last_ns; 0: it is): then the end is known well.
 */
static uint64_t shut_look_ns(uint64_t open_ns, uint64_t last_ns, uint64_t drain_ns, uint64_t now_ns) {
    uint64_t look_ns = last_ns ? last_ns : drain_ns;

    if (drain_ns == 0)
        return open_ns;
    if (look_ns <= now_ns)
        look_ns = now_ns + (look_ns + OVERDUE_NS > now_ns ? DIVVY_PACER_POLL_NS : OVERDUE_NS / 20);
    return look_ns < open_ns ? look_ns : open_ns;
}

/* What is launched from now on belongs to this lease. */
static void lease_note(struct divvy_compute_device *device, uint64_t begin_ns, uint64_t end_ns) {
    __atomic_store_n(&device->lease_begin_ns, begin_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&device->lease_end_ns, end_ns, __ATOMIC_RELAXED);
}

static bool gate_try_leased(struct divvy_compute_device *device, struct passing *passing, uint64_t now_ns) {
    uint64_t budget_ns, drain_ns, alone_ns, last_ns;

    if (passing->say.lease.mode == DIVVY_CONTROL_OPEN) {
        lease_note(device, 0, UINT64_MAX - DIVVY_COMPUTE_EDGE_NS);
        return true;
    }
    budget_ns = lease_budget_ns(device, &passing->say.lease);
    if (passing->work_ns > budget_ns / 2)
        passing->work_ns = budget_ns / 2 > passing->least_ns ? budget_ns / 2 : passing->least_ns;
    drain_ns = flight_drain_ns(device, now_ns, &alone_ns, &last_ns);
    passing->open_ns =
        divvy_compute_lease_wait(&passing->say.lease, now_ns, drain_ns, passing->least_ns, &passing->work_ns);
    if (passing->open_ns > now_ns) {
        passing->is_shut = true;
        passing->open_ns = shut_look_ns(passing->open_ns, last_ns, alone_ns, now_ns);
        return false;
    }
    passing->open_ns = flight_open(device, now_ns, passing->work_ns, budget_ns, is_unknown(passing->cost));
    if (passing->open_ns > now_ns)
        return false;
    lease_note(device, (uint64_t)passing->say.lease.begin_ns, (uint64_t)passing->say.lease.end_ns);
    return true;
}

/*
 * Reserve passing->work_ns if it may start now: true; else passing->open_ns says when it may. A lease decides where there is a
 * daemon, the tenant's account elsewhere.
 */
static bool gate_try(struct divvy_compute_device *device, struct passing *passing, uint64_t now_ns) {
    divvy_compute_ask(device, now_ns, &passing->say);
    passing->work_ns = passing->wanted_ns;
    passing->is_shut = false;
    if (passing->say.is_leased)
        return gate_try_leased(device, passing, now_ns);
    passing->open_ns =
        flight_open(device, now_ns, passing->work_ns, DIVVY_COMPUTE_BUDGET_NS, is_unknown(passing->cost));
    return passing->open_ns <= now_ns &&
           (!divvy_pacer_limits(passing->say.permille) ||
            divvy_compute_account_reserve(device->page, now_ns, passing->say.permille, passing->work_ns,
                                          &passing->open_ns));
}

/* The first in the queue may try; the lock of the device is held. */
static void queue_call_first(struct divvy_compute_device *device, uint64_t now_ns) {
    struct divvy_compute_thread *first = device->queue[device->queue_first];

    __atomic_store_n(&device->queue_ns, now_ns, __ATOMIC_RELAXED);
    if (!device->queue_count)
        return;
    __atomic_store_n(&first->turn, 1, __ATOMIC_RELEASE);
    (void)divvy_core_futex_wake(&first->turn, 1, true);
}

/* False: there is no room, and the thread waits without a place. */
static bool queue_join(struct divvy_compute_device *device, struct divvy_compute_thread *thread, uint64_t now_ns) {
    bool joined;

    divvy_lock_take(&device->lock);
    joined = device->queue_count < DIVVY_COMPUTE_QUEUE;
    if (joined) {
        __atomic_store_n(&thread->turn, 0, __ATOMIC_RELAXED);
        device->queue[(device->queue_first + device->queue_count) % DIVVY_COMPUTE_QUEUE] = thread;
        if (__atomic_fetch_add(&device->queue_count, 1, __ATOMIC_RELAXED) == 0)
            queue_call_first(device, now_ns);
    }
    divvy_lock_give(&device->lock);
    return joined;
}

/* `thread` gives up the first place, if it still has it. */
static void queue_leave(struct divvy_compute_device *device, const struct divvy_compute_thread *thread,
                        uint64_t now_ns) {
    divvy_lock_take(&device->lock);
    if (device->queue_count && device->queue[device->queue_first] == thread) {
        device->queue_first = (device->queue_first + 1) % DIVVY_COMPUTE_QUEUE;
        __atomic_fetch_sub(&device->queue_count, 1, __ATOMIC_RELAXED);
        queue_call_first(device, now_ns);
    }
    divvy_lock_give(&device->lock);
}

/* Not first: sleep until called. A first that does not wake up any more (it was thrown out of the call) is passed over. */
static void queue_wait(struct divvy_compute_device *device, struct divvy_compute_thread *thread, uint64_t now_ns) {
    const struct divvy_compute_thread *first;

    divvy_compute_port.sleep(&thread->turn, 0, now_ns + SLEEP_MAX_NS);
    if (__atomic_load_n(&thread->turn, __ATOMIC_ACQUIRE) ||
        divvy_compute_port.now() < __atomic_load_n(&device->queue_ns, __ATOMIC_RELAXED) + GONE_NS)
        return;
    divvy_lock_take(&device->lock);
    first = device->queue[device->queue_first];
    divvy_lock_give(&device->lock);
    queue_leave(device, first, now_ns);
}

static uint64_t gate_wait(struct divvy_compute_device *device, struct divvy_compute_thread *thread,
                          struct passing *passing, uint64_t now_ns) {
    bool joined = queue_join(device, thread, now_ns);

    for (;; now_ns = divvy_compute_port.now()) {
        divvy_door_pass(); /* settling asks the driver */
        if (joined && !__atomic_load_n(&thread->turn, __ATOMIC_ACQUIRE)) {
            queue_wait(device, thread, now_ns);
            continue;
        }
        __atomic_store_n(&device->queue_ns, now_ns, __ATOMIC_RELAXED);
        divvy_compute_settle(device);
        if (gate_try(device, passing, now_ns))
            break;
        if (passing->is_shut && now_ns >= passing->rang_ns + SLEEP_MAX_NS &&
            divvy_compute_lease_wants_bell(device, &passing->say)) {
            passing->rang_ns = now_ns;
            divvy_control_ring();
        }
        divvy_compute_port.sleep(passing->say.word, passing->say.seen,
                                 passing->open_ns < now_ns + SLEEP_MAX_NS ? passing->open_ns : now_ns + SLEEP_MAX_NS);
    }
    if (joined)
        queue_leave(device, thread, now_ns);
    return now_ns;
}

/* Wait until the chunk may start, and reserve it. Threads pass in the order in which they came. */
static void gate_pass(struct divvy_compute_device *device, struct divvy_compute_thread *thread, struct passing *passing,
                      uint64_t now_ns) {
    uint64_t came_ns = now_ns;

    divvy_compute_settle(device);
    if (!__atomic_load_n(&device->queue_count, __ATOMIC_RELAXED) && gate_try(device, passing, now_ns))
        return;
    __atomic_fetch_add(&device->usage->waiting, 1, __ATOMIC_SEQ_CST);
    now_ns = gate_wait(device, thread, passing, now_ns);
    __atomic_fetch_sub(&device->usage->waiting, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&device->usage->waited_ns, now_ns - came_ns, __ATOMIC_RELAXED);
}

/* --- one launch --------------------------------------------------------------------------------------------------- */

bool divvy_compute_is_capturing(CUstream stream) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;

    return __atomic_load_n(&divvy_compute_gate.capturing, __ATOMIC_RELAXED) &&
           (divvy_real.cuStreamIsCapturing(stream, &status) != CUDA_SUCCESS ||
            status != CU_STREAM_CAPTURE_STATUS_NONE);
}

/* Streams of another context than the current one: found once per thread and stream. */
static CUcontext foreign_context(const struct divvy_compute_thread *thread, CUstream stream) {
    CUcontext context = NULL;

    if (stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD ||
        thread->slots[divvy_compute_slot_place(stream)].stream == stream ||
        thread->slots[divvy_compute_slot_place(stream) ^ 1].stream == stream)
        return NULL;
    if (divvy_real.cuStreamGetCtx(stream, &context) != CUDA_SUCCESS || context == thread->context)
        return NULL;
    return context;
}

/* A record for this one launch, in the context given (NULL: the current one). */
static struct divvy_compute_thread *pass_temporary(struct divvy_compute_pass *pass, CUcontext context) {
    struct divvy_compute_thread *thread = &pass->temporary;

    memset(thread, 0, sizeof(*thread));
    if (context) {
        if (divvy_real.cuCtxPushCurrent_v2(context) != CUDA_SUCCESS)
            return NULL;
        pass->pushed = true;
    }
    return thread_refresh(thread) ? thread : NULL;
}

static struct divvy_compute_thread *pass_thread(struct divvy_compute_pass *pass, CUstream stream) {
    struct divvy_compute_thread *thread = divvy_compute_thread_own();
    CUcontext context;

    if (!thread)
        return pass_temporary(pass, NULL);
    if (!thread_refresh(thread))
        return NULL;
    context = foreign_context(thread, stream);
    return context ? pass_temporary(pass, context) : thread;
}

/*
 * The first launch of a lease that was waited for is with the driver. What the daemon is told is the second quickest of the last few
 * times that this took.
 */
static void late_learn(struct divvy_compute_thread *thread) {
    struct divvy_compute_device *device = thread_device(thread);
    uint64_t late_ns = divvy_compute_port.now() - thread->late_from_ns, quickest_ns = UINT64_MAX, second_ns = UINT64_MAX;

    thread->late_from_ns = 0;
    if (!device)
        return;
    divvy_lock_take(&device->lock);
    device->late[device->late_count++ % DIVVY_COMPUTE_LATE] = late_ns;
    for (uint32_t i = 0; i < DIVVY_COMPUTE_LATE && i < device->late_count; i++) {
        uint64_t other_ns = device->late[i] < quickest_ns ? quickest_ns : device->late[i];

        quickest_ns = device->late[i] < quickest_ns ? device->late[i] : quickest_ns;
        second_ns = other_ns < second_ns ? other_ns : second_ns;
    }
    divvy_lock_give(&device->lock);
    __atomic_store_n(&device->usage->late_ns, second_ns == UINT64_MAX ? quickest_ns : second_ns, __ATOMIC_RELAXED);
}

/* A new chunk: close what is open, wait until it may start. */
static void pass_grant(const struct divvy_compute_pass *pass, struct divvy_compute_device *device) {
    struct divvy_compute_thread *thread = pass->thread;
    struct passing passing = {.cost = pass->cost, .least_ns = pass->cost_ns};
    uint64_t now_ns = divvy_compute_port.now();

    thread_close(thread, now_ns, true);
    divvy_compute_neighbours_look(device, now_ns);
    passing.wanted_ns =
        chunk_next(thread, now_ns, pass->cost_ns, is_sample(pass->cost) || thread == &pass->temporary);
    gate_pass(device, thread, &passing, now_ns);
    thread->late_from_ns = passing.say.is_leased && passing.say.lease.mode == DIVVY_CONTROL_LEASED &&
                                   now_ns < (uint64_t)passing.say.lease.begin_ns
                               ? (uint64_t)passing.say.lease.begin_ns
                               : 0;
    thread->word = device->control ? passing.say.word : NULL;
    thread->seen = passing.say.seen;
    thread->leased = passing.say.is_leased;
    thread->until_ns = passing.say.is_leased && passing.say.lease.mode == DIVVY_CONTROL_LEASED
                           ? (uint64_t)passing.say.lease.end_ns
                           : UINT64_MAX;
    thread->until_ticks =
        thread->until_ns == UINT64_MAX ? 0 : divvy_compute_ticks_at(divvy_compute_port.now(), thread->until_ns);
    thread->grant_ns = passing.work_ns;
    thread->credit_ns = (int64_t)passing.work_ns;
    divvy_compute_granted(device, (int64_t)passing.work_ns);
}

static void pass_admit(struct divvy_compute_pass *pass, struct divvy_compute_device *device, uint64_t key,
                       uint64_t guess_ns, CUstream stream) {
    struct divvy_compute_thread *thread = pass->thread;
    struct divvy_compute_lesson *lesson;

    pass->cost = divvy_compute_cost_find(key ^ thread->salt, guess_ns);
    pass->cost_ns = __atomic_load_n(&pass->cost->cost_ns, __ATOMIC_RELAXED);
    lesson = divvy_compute_cost_lesson(pass->cost);
    if (thread->credit_ns < (int64_t)pass->cost_ns || !divvy_compute_grant_holds(thread))
        pass_grant(pass, device);
    pass->slot = slot_take(thread, stream);
    if (!pass->slot->open)
        slot_open(thread, pass->slot);
    thread->credit_ns -= (int64_t)pass->cost_ns;
    pass->slot->estimate_ns += pass->cost_ns;
    pass->slot->launches++;
    if (!pass->slot->only)
        pass->slot->only = pass->cost;
    else if (pass->slot->only != pass->cost)
        pass->slot->only = &divvy_compute_mixed;
    pass->close = thread->credit_ns < (int64_t)pass->cost_ns;
    __atomic_store_n(&lesson->launched, 1, __ATOMIC_RELAXED);
}

static void pass_restore(struct divvy_compute_pass *pass) {
    CUcontext popped;

    if (pass->pushed)
        (void)divvy_real.cuCtxPopCurrent_v2(&popped);
    pass->pushed = false;
}

void divvy_compute_begin(struct divvy_compute_pass *pass, uint64_t key, uint64_t guess_ns, CUstream stream) {
    struct divvy_compute_device *device;
    int saved = errno;

    pass->thread = NULL;
    pass->pushed = false;
    divvy_door_pass();
    if (divvy_process_ready() && !divvy_compute_is_capturing(stream)) {
        pass->thread = pass_thread(pass, stream);
        device = pass->thread ? thread_device(pass->thread) : NULL;
        if (device && divvy_compute_armed_on(device))
            pass_admit(pass, device, key, guess_ns, stream);
        else
            pass->thread = NULL;
        pass_restore(pass);
    }
    errno = saved;
}

void divvy_compute_end(struct divvy_compute_pass *pass, CUresult result) {
    struct divvy_compute_thread *thread = pass->thread;
    struct divvy_compute_slot *slot = pass->slot;
    int saved = errno;

    if (!thread)
        return;
    if (result != CUDA_SUCCESS && slot->open && slot->launches) {
        slot->estimate_ns -= pass->cost_ns;
        slot->launches--;
        thread->credit_ns += (int64_t)pass->cost_ns;
    }
    if (slot->first)
        slot_first(slot);
    if (thread->late_from_ns)
        late_learn(thread);
    if (pass->close) {
        uint64_t now_ns = divvy_compute_port.now();

        if (thread == &pass->temporary)
            pass->pushed = !context_is_current(thread->context) &&
                           divvy_real.cuCtxPushCurrent_v2(thread->context) == CUDA_SUCCESS;
        thread_close(thread, now_ns, true);
        thread->closed_ns = now_ns;
        if (thread == &pass->temporary)
            slots_clear(thread);
        pass_restore(pass);
    }
    errno = saved;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

void divvy_compute_break(CUstream stream) {
    struct divvy_compute_thread *thread = divvy_compute_self;
    struct divvy_compute_slot *slot;
    uint64_t now_ns;
    int saved = errno;

    if (!thread || !thread->context_known)
        return;
    slot = &thread->slots[divvy_compute_slot_place(stream)];
    if (slot->stream != stream)
        slot = &thread->slots[divvy_compute_slot_place(stream) ^ 1];
    if (slot->stream != stream)
        return;
    now_ns = divvy_compute_port.now();
    if (now_ns > thread->break_ns + DIVVY_NS_PER_MS) {
        thread->break_ns = now_ns;
        thread->breaks = 0;
    }
    if (slot->open && ++thread->breaks > BREAKS_MAX) {
        slot->loose = 1;
    } else {
        busy_begin(thread);
        if (slot->open)
            slot_close(thread, slot, now_ns, true, 0, 1);
        slot->broken = 1;
        busy_end(thread);
    }
    errno = saved;
}

void divvy_compute_stream_forget(CUstream stream) {
    struct divvy_compute_thread *self = divvy_compute_self;
    int saved = errno;

    if (self && self->context_known)
        divvy_compute_break(stream);
    for (unsigned i = 0; i < DIVVY_COMPUTE_THREADS; i++) {
        struct divvy_compute_thread *thread = &divvy_compute_threads[i];

        if (!__atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE))
            continue;
        for (unsigned j = 0; j < DIVVY_COMPUTE_SLOTS; j++)
            if (__atomic_load_n(&thread->slots[j].stream, __ATOMIC_RELAXED) == stream)
                __atomic_store_n(&thread->slots[j].dead, 1, __ATOMIC_SEQ_CST);
        while (thread != self && __atomic_load_n(&thread->busy, __ATOMIC_SEQ_CST))
            divvy_compute_port.sleep(&thread->busy, 1, divvy_compute_port.now() + DIVVY_PACER_POLL_NS / 4);
    }
    errno = saved;
}
