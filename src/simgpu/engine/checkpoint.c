/* Locking, saving, restoring and unlocking a process: see checkpoint.h.
 *
 * What is in device memory lies in a file in memory in any case; saving moves the charge from the device to the host,
 * and takes the time and the copy engine that the bytes would take. */
#include "simgpu/engine/checkpoint.h"

#include "simgpu/engine/local.h"
#include "simgpu/engine/sched.h"
#include "simgpu/engine/self.h"

#include "core/clock.h"
#include "core/futex.h"

#include <errno.h>
#include <time.h>

/* How long is slept before it is asked whether the other side still lives. */
#define PATIENCE_NS (20 * DIVVY_NS_PER_MS)
/* And where only a wake is expected. */
#define CALM_NS DIVVY_NS_PER_SECOND

enum { FROM_DEVICE = 1, TO_DEVICE = 0 }; /* copy engines */

static enum sim_checkpoint_state state_of(uint64_t word) {
    return (enum sim_checkpoint_state)(word & 0xFF);
}

static uint64_t step_word(enum sim_checkpoint_state step, uint32_t tag) {
    return (uint64_t)tag << 8 | (uint64_t)step;
}

static bool word_move(sim_proc_t *p, uint64_t from, uint64_t to) {
    return __atomic_compare_exchange_n(&p->checkpoint, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static void bell_ring(sim_proc_t *p) {
    __atomic_add_fetch(&p->checkpoint_bell, 1, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wake(&p->checkpoint_bell, INT32_MAX, true);
}

/* --- the target ---------------------------------------------------------------------------------------------- */

typedef struct target {
    sim_file_t *f;
    sim_proc_t *p;
    uint32_t slot;
    uint64_t slot_word;
} target_t;

static bool is_gone(const target_t *t) {
    return sim_load(&t->f->header.proc_words[t->slot]) != t->slot_word ||
           !sim_proc_alive(t->f, t->slot, divvy_core_clock_ns(), 0);
}

static bool uses(const target_t *t, uint32_t unit) {
    return sim_unit_plausible(t->f, unit) && sim_proc_uses(t->p, unit);
}

static int target_find(int pid, target_t *ret_target) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    for (uint32_t slot = 0; slot < SIM_PROCS; slot++) {
        target_t t = {.f = f, .p = &f->procs[slot], .slot = slot};

        t.slot_word = sim_load(&f->header.proc_words[slot]);
        if (sim_slot_state(t.slot_word) != SIM_SLOT_LIVE || sim_load(&t.p->pid) != pid ||
            sim_load(&t.p->flags) & DIVVY_SIMGPU_OBSERVER || is_gone(&t))
            continue;
        *ret_target = t;
        return 0;
    }
    return -ESRCH;
}

/* Everything of the target off the devices. The machine lock keeps those away who would end it meanwhile. */
static void charges_save(const target_t *t) {
    sim_self_lock(&t->f->header.lock);
    if (sim_load(&t->f->header.proc_words[t->slot]) == t->slot_word)
        for (uint32_t unit = 0; unit < SIM_UNITS; unit++)
            if (uses(t, unit))
                sim_pool_save(t->f, sim_self_tag(), t->slot, unit);
    sim_lock_give(&t->f->header.lock);
}

static int charges_restore(const target_t *t) {
    int r = 0;

    (void)sim_slot_reap(t->f, sim_self_tag()); /* the dead hold no memory */
    sim_self_lock(&t->f->header.lock);
    if (sim_load(&t->f->header.proc_words[t->slot]) != t->slot_word)
        r = -ESRCH;
    for (uint32_t unit = 0; !r && unit < SIM_UNITS; unit++)
        if (uses(t, unit))
            r = sim_pool_restore(t->f, sim_self_tag(), t->slot, unit);
    sim_lock_give(&t->f->header.lock);
    if (r == -ENOMEM)
        charges_save(t);
    return r;
}

/* --- steps --------------------------------------------------------------------------------------------------- */

static void step_end(const target_t *t, enum sim_checkpoint_state step,
                     enum sim_checkpoint_state outcome) {
    (void)word_move(t->p, step_word(step, sim_self_tag()), step_word(outcome, 0));
    bell_ring(t->p);
}

/* A step whose maker died is taken over: a lock is undone; of the others, memory goes off the device, which cannot
 * fail. The word as it is then. */
static uint64_t settle(const target_t *t) {
    uint64_t word = __atomic_load_n(&t->p->checkpoint, __ATOMIC_SEQ_CST);
    enum sim_checkpoint_state step = state_of(word);

    if (step < SIM_CHECKPOINT_LOCKING || step > SIM_CHECKPOINT_RESTORING ||
        !sim_lock_owner_dead(t->f, (uint32_t)(word >> 8)) ||
        !word_move(t->p, word, step_word(step, sim_self_tag())))
        return word;
    if (step == SIM_CHECKPOINT_LOCKING) {
        step_end(t, step, SIM_CHECKPOINT_RUNNING);
    } else {
        charges_save(t);
        step_end(t, step, SIM_CHECKPOINT_SAVED);
    }
    return __atomic_load_n(&t->p->checkpoint, __ATOMIC_SEQ_CST);
}

static int step_begin(int pid, enum sim_checkpoint_state from, enum sim_checkpoint_state step,
                      target_t *ret_target) {
    target_t t;
    int r = target_find(pid, &t);

    if (r < 0)
        return r;
    uint64_t word = settle(&t);

    if (word != step_word(from, 0) || !word_move(t.p, word, step_word(step, sim_self_tag())))
        return -EPROTO;
    if (is_gone(&t)) {
        step_end(&t, step, from);
        return -ESRCH;
    }
    *ret_target = t;
    return 0;
}

int divvy_simgpu_checkpoint_state(int pid, divvy_simgpu_checkpoint_t *ret_state) {
    target_t t;
    int r = target_find(pid, &t);

    if (r < 0)
        return r;
    switch (state_of(settle(&t))) {
    case SIM_CHECKPOINT_LOCKED:
    case SIM_CHECKPOINT_SAVING:
        *ret_state = DIVVY_SIMGPU_LOCKED;
        break;
    case SIM_CHECKPOINT_SAVED:
    case SIM_CHECKPOINT_RESTORING:
        *ret_state = DIVVY_SIMGPU_SAVED;
        break;
    default:
        *ret_state = DIVVY_SIMGPU_RUNNING;
        break;
    }
    return 0;
}

/* --- lock, unlock -------------------------------------------------------------------------------------------- */

static bool calls_under_way(const sim_proc_t *p) {
    uint32_t count = 0;

    for (unsigned lane = 0; lane < SIM_CALL_LANES; lane++)
        count += __atomic_load_n(&p->calls[lane].count, __ATOMIC_SEQ_CST);
    return count != 0;
}

int divvy_simgpu_checkpoint_lock(int pid, uint64_t deadline_ns) {
    target_t t;
    int r = step_begin(pid, SIM_CHECKPOINT_RUNNING, SIM_CHECKPOINT_LOCKING, &t);

    if (r < 0)
        return r;
    for (;;) {
        uint32_t seen = sim_load(&t.p->checkpoint_bell);
        uint64_t now_ns = divvy_core_clock_ns(), until_ns = now_ns + PATIENCE_NS;

        if (is_gone(&t))
            r = -ESRCH;
        else if (!calls_under_way(t.p))
            break;
        else if (now_ns >= deadline_ns)
            r = -ETIMEDOUT;
        if (r < 0) {
            step_end(&t, SIM_CHECKPOINT_LOCKING, SIM_CHECKPOINT_RUNNING);
            return r;
        }
        (void)divvy_core_futex_wait_until(&t.p->checkpoint_bell, seen,
                                          until_ns < deadline_ns ? until_ns : deadline_ns, true);
    }
    step_end(&t, SIM_CHECKPOINT_LOCKING, SIM_CHECKPOINT_LOCKED);
    return 0;
}

int divvy_simgpu_checkpoint_unlock(int pid) {
    target_t t;
    int r = target_find(pid, &t);

    if (r < 0)
        return r;
    if (settle(&t) != step_word(SIM_CHECKPOINT_LOCKED, 0) ||
        !word_move(t.p, step_word(SIM_CHECKPOINT_LOCKED, 0), step_word(SIM_CHECKPOINT_RUNNING, 0)))
        return -EPROTO;
    bell_ring(t.p);
    return 0;
}

/* --- save, restore ------------------------------------------------------------------------------------------- */

static int channel_drain(const target_t *t, uint32_t context, uint64_t generation,
                         uint32_t channel) {
    sim_channel_t *ch = &t->f->contexts[context].channels[channel];
    divvy_simgpu_position_t tail = {.channel = sim_position_channel(generation, context, channel),
                                    .seq = sim_load(&ch->tail)};
    int r = 0;

    if (sim_load(&ch->head) == tail.seq)
        return 0;
    while ((r = sim_wait(t->f, tail, divvy_core_clock_ns() + PATIENCE_NS, NULL)) == -ETIMEDOUT)
        if (is_gone(t))
            return -ESRCH;
    return r;
}

/* Waits for all that the target has submitted. */
static int work_drain(const target_t *t) {
    int r = 0;

    for (uint32_t i = 0; !r && i < SIM_CONTEXTS; i++) {
        uint64_t word = sim_load(&t->f->header.context_words[i]);

        if (sim_slot_state(word) != SIM_SLOT_LIVE || sim_load(&t->f->contexts[i].proc) != t->slot)
            continue;
        for (uint32_t channel = 0; !r && channel < DIVVY_SIMGPU_CHANNELS; channel++)
            r = channel_drain(t, i, sim_slot_generation(word), channel);
    }
    return r;
}

/* Takes the copy engine for the bytes. When they are over. */
static uint64_t copy_take(sim_file_t *f, uint32_t device, unsigned engine, uint64_t bytes) {
    sim_device_t *d = sim_self_lock_device(device);
    uint64_t rate = d->facts.pcie_bytes_per_s ? d->facts.pcie_bytes_per_s : 1, start_ns;
    uint64_t took_ns =
        bytes / rate * DIVVY_NS_PER_SECOND + bytes % rate * DIVVY_NS_PER_MS / rate * 1000;

    sim_sched_advance(f, device, divvy_core_clock_ns());
    start_ns = d->copy_free_ns[engine] > d->now_ns ? d->copy_free_ns[engine] : d->now_ns;
    sim_store(&d->copy_free_ns[engine], start_ns + took_ns);
    sim_store(&d->copy_busy_ns[engine], d->copy_busy_ns[engine] + took_ns);
    sim_store(&d->copy_bytes[engine], d->copy_bytes[engine] + bytes);
    sim_lock_give(&d->lock);
    return start_ns + took_ns;
}

/* Takes the time of copying what the target has charged; devices side by side. */
static int copies_wait(const target_t *t, unsigned engine) {
    uint64_t end_ns = 0, now_ns;

    for (uint32_t device = 0; device < SIM_UNITS; device++) {
        uint64_t bytes = uses(t, device) ? sim_load(&t->p->use[device].bytes) : 0, over_ns;

        if (!bytes)
            continue;
        if (divvy_simgpu_device_lost((int)device))
            return -ENODEV;
        over_ns = copy_take(t->f, device, engine, bytes);
        if (over_ns > end_ns)
            end_ns = over_ns;
    }
    while ((now_ns = divvy_core_clock_ns()) < end_ns) {
        struct timespec pause = divvy_core_clock_timespec(
            end_ns - now_ns < PATIENCE_NS ? end_ns - now_ns : PATIENCE_NS);

        if (is_gone(t))
            return -ESRCH;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return 0;
}

int divvy_simgpu_checkpoint_save(int pid) {
    target_t t;
    int r = step_begin(pid, SIM_CHECKPOINT_LOCKED, SIM_CHECKPOINT_SAVING, &t);

    if (r < 0)
        return r;
    if (sim_load(&t.p->sharing))
        r = -EOPNOTSUPP;
    if (!r)
        r = work_drain(&t);
    if (!r)
        r = copies_wait(&t, FROM_DEVICE);
    if (!r)
        charges_save(&t);
    step_end(&t, SIM_CHECKPOINT_SAVING, r ? SIM_CHECKPOINT_LOCKED : SIM_CHECKPOINT_SAVED);
    return r;
}

int divvy_simgpu_checkpoint_restore(int pid) {
    target_t t;
    int r = step_begin(pid, SIM_CHECKPOINT_SAVED, SIM_CHECKPOINT_RESTORING, &t);

    if (r < 0)
        return r;
    if (!(r = charges_restore(&t)) && (r = copies_wait(&t, TO_DEVICE)) < 0)
        charges_save(&t);
    step_end(&t, SIM_CHECKPOINT_RESTORING, r ? SIM_CHECKPOINT_SAVED : SIM_CHECKPOINT_LOCKED);
    return r;
}

/* --- the target's calls --------------------------------------------------------------------------------------- */

static uint64_t lanes = UINT64_C(1) << SIM_CALL_SHARED; /* taken */

unsigned divvy_simgpu_call_lane(void) {
    uint64_t taken = __atomic_load_n(&lanes, __ATOMIC_RELAXED);

    while (~taken) {
        unsigned lane = (unsigned)__builtin_ctzll(~taken);

        if (__atomic_compare_exchange_n(&lanes, &taken, taken | UINT64_C(1) << lane, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return lane;
    }
    return SIM_CALL_SHARED;
}

void divvy_simgpu_call_lane_give(unsigned lane) {
    if (lane < SIM_CALL_SHARED)
        (void)__atomic_fetch_and(&lanes, ~(UINT64_C(1) << lane), __ATOMIC_ACQ_REL);
}

/* A step sums the counts after it has entered itself, a call looks for steps after it has counted: one sees the other. */
static void call_count(sim_proc_t *p, unsigned lane) {
    if (lane < SIM_CALL_SHARED)
        __atomic_store_n(&p->calls[lane].count, 1, __ATOMIC_SEQ_CST);
    else
        __atomic_add_fetch(&p->calls[SIM_CALL_SHARED].count, 1, __ATOMIC_SEQ_CST);
}

/* A step that enters itself at this very moment may be missed: it looks again by itself after a while. */
static void call_uncount(sim_proc_t *p, unsigned lane) {
    if (lane < SIM_CALL_SHARED)
        sim_store(&p->calls[lane].count, 0);
    else
        __atomic_sub_fetch(&p->calls[SIM_CALL_SHARED].count, 1, __ATOMIC_RELEASE);
    if (__builtin_expect(state_of(sim_load(&p->checkpoint)) == SIM_CHECKPOINT_LOCKING, 0))
        bell_ring(p);
}

static void unlocked_wait(sim_file_t *f, sim_proc_t *p) {
    target_t t = {.f = f, .p = p, .slot = sim_self_slot()};
    enum sim_checkpoint_state state;

    t.slot_word = sim_load(&f->header.proc_words[t.slot]);
    for (;;) {
        uint32_t seen = sim_load(&p->checkpoint_bell);

        state = state_of(settle(&t));
        if (state == SIM_CHECKPOINT_RUNNING)
            return;
        (void)divvy_core_futex_wait(&p->checkpoint_bell, seen,
                                    state >= SIM_CHECKPOINT_LOCKING ? PATIENCE_NS : CALM_NS, true);
    }
}

void divvy_simgpu_call_begin(unsigned lane) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return;
    sim_proc_t *p = &f->procs[sim_self_slot()];

    for (;;) {
        call_count(p, lane);
        if (__builtin_expect(state_of(__atomic_load_n(&p->checkpoint, __ATOMIC_SEQ_CST)) ==
                                 SIM_CHECKPOINT_RUNNING,
                             1))
            return;
        call_uncount(p, lane);
        unlocked_wait(f, p);
    }
}

void divvy_simgpu_call_end(unsigned lane) {
    sim_file_t *f = sim_self_file();

    if (f)
        call_uncount(&f->procs[sim_self_slot()], lane);
}
