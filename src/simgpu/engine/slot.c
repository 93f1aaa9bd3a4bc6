/* Process and context slots: coming to life, ending, and ending others that died. */
#include "simgpu/engine/self.h"

#include "simgpu/engine/sched.h"
#include "simgpu/engine/state.h"

#include "core/clock.h"
#include "core/futex.h"
#include "core/sys.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* --- processes --------------------------------------------------------------------------------------------- */

static void read_comm(char comm[DIVVY_SIMGPU_COMM_MAX]) {
    char text[64] = "";
    ssize_t n = divvy_core_sys_read_file("/proc/self/comm", text, sizeof text);

    if (n > 0 && text[n - 1] == '\n')
        text[n - 1] = 0;
    memset(comm, 0, DIVVY_SIMGPU_COMM_MAX);
    memcpy(comm, text, strnlen(text, DIVVY_SIMGPU_COMM_MAX - 1));
}

int sim_slot_claim(sim_file_t *f, unsigned flags, uint32_t *ret_slot) {
    for (uint32_t slot = 0; slot < SIM_PROCS; slot++) {
        uint64_t word = sim_load(&f->header.proc_words[slot]);
        sim_proc_t *p = &f->procs[slot];

        if (sim_slot_state(word) != SIM_SLOT_FREE)
            continue;
        /* what MIG devices need comes when one is opened */
        if (sim_state_populate(p, offsetof(sim_proc_t, use[SIM_DEVICES])) < 0)
            return -ENOSPC;
        memset(p, 0, offsetof(sim_proc_t, use[SIM_DEVICES]));
        p->pid = getpid();
        if (divvy_core_sys_start_time(0, &p->start_ticks) < 0)
            p->start_ticks = 0;
        p->flags = flags;
        p->id = __atomic_fetch_add(&f->header.next_id, 1, __ATOMIC_RELAXED);
        p->attached_ns = p->checked_ns = divvy_core_clock_ns();
        if (divvy_core_sys_getrandom(&p->nonce, sizeof p->nonce) < 0)
            p->nonce = p->attached_ns;
        read_comm(p->comm);
        sim_store(&f->header.proc_words[slot],
                  sim_slot_word(sim_slot_generation(word), SIM_SLOT_LIVE));
        *ret_slot = slot;
        return 0;
    }
    return -ENOSPC;
}

/* Once per process and device: a release that was interrupted is done again. */
static void remember(sim_file_t *f, uint32_t slot, uint32_t device) {
    const sim_proc_t *p = &f->procs[slot];
    const sim_usage_t *u = &p->use[device];

    if (!sim_load(&u->seen))
        return;
    for (uint32_t i = 0; i < SIM_HISTORY; i++)
        if (f->header.history[i].id == p->id && f->header.history[i].device == (int32_t)device)
            return;
    sim_ended_t *e = &f->header.history[f->header.history_next % SIM_HISTORY];

    sim_store(&e->id, 0);
    e->pid = p->pid;
    e->device = (int32_t)device;
    e->generation = sim_unit_generation(f, device);
    e->start_ticks = p->start_ticks;
    e->peak_bytes = u->peak_bytes;
    e->busy_ns = u->busy_ns;
    e->copy_busy_ns = u->copy_busy_ns;
    e->launches = u->launches;
    e->attached_ns = p->attached_ns;
    e->ended_ns = divvy_core_clock_ns();
    memcpy(e->comm, p->comm, sizeof e->comm);
    sim_store(&e->id, p->id);
    sim_store(&f->header.history_next, (f->header.history_next + 1) % SIM_HISTORY);
}

static void release_events(sim_file_t *f, uint64_t id) {
    for (uint32_t chunk = 0; chunk < SIM_EVENT_CHUNKS; chunk++) {
        if (sim_load(&f->header.chunk_words[chunk]) != id)
            continue;
        for (uint32_t i = 0; i < SIM_EVENTS_PER_CHUNK; i++) {
            uint32_t incarnation = sim_load(&f->events[chunk][i].incarnation);

            if (incarnation & 1)
                sim_store(&f->events[chunk][i].incarnation, incarnation + 1);
        }
        sim_store(&f->header.chunk_words[chunk], 0);
    }
}

void sim_slot_clear(sim_file_t *f, uint32_t tag, uint32_t slot) {
    sim_proc_t *p = &f->procs[slot];

    for (uint32_t c = 0; c < SIM_CONTEXTS; c++)
        if (sim_slot_state(sim_load(&f->header.context_words[c])) != SIM_SLOT_FREE &&
            f->contexts[c].proc == slot && f->contexts[c].proc_id == p->id)
            sim_context_free(f, tag, c);
    for (uint32_t unit = 0; unit < SIM_UNITS; unit++) {
        if (!sim_unit_plausible(f, unit) || !sim_proc_uses(p, unit))
            continue;
        sim_pool_release(f, tag, slot, unit);
        remember(f, slot, unit);
    }
    release_events(f, p->id);
}

void sim_slot_free(sim_file_t *f, uint32_t slot) {
    uint64_t word = sim_load(&f->header.proc_words[slot]);

    sim_store(&f->header.proc_words[slot],
              sim_slot_word(sim_slot_generation(word) + 1, SIM_SLOT_FREE));
}

int sim_slot_reap(sim_file_t *f, uint32_t tag) {
    int ended = 0;

    for (uint32_t slot = 0; slot < SIM_PROCS; slot++) {
        uint64_t word = sim_load(&f->header.proc_words[slot]);

        if (sim_slot_state(word) == SIM_SLOT_FREE ||
            sim_lock_tag(slot, sim_slot_generation(word)) == tag ||
            sim_proc_alive(f, slot, divvy_core_clock_ns(), 1)) /* looked at anew; its start time only now and then */
            continue;
        (void)sim_lock_take(f, &f->header.lock, tag);
        /* somebody else may have done it, and a new process taken the place */
        if (sim_load(&f->header.proc_words[slot]) == word) {
            sim_slot_clear(f, tag, slot);
            sim_slot_free(f, slot);
            ended++;
        }
        sim_lock_give(&f->header.lock);
    }
    return ended;
}

/* --- contexts ---------------------------------------------------------------------------------------------- */

int sim_context_claim(sim_file_t *f, uint32_t proc, uint32_t device, uint32_t *ret_context) {
    for (uint32_t slot = 0; slot < SIM_CONTEXTS; slot++) {
        uint64_t word = sim_load(&f->header.context_words[slot]);
        sim_context_t *c = &f->contexts[slot];

        if (sim_slot_state(word) != SIM_SLOT_FREE)
            continue;
        if (sim_state_populate(c, sizeof *c) < 0)
            return -ENOSPC;
        memset(c, 0, sizeof *c);
        c->device = device;
        c->proc = proc;
        c->proc_id = f->procs[proc].id;
        sim_store(&f->procs[proc].use[device].seen, 1);
        sim_store(&f->header.context_words[slot],
                  sim_slot_word(sim_slot_generation(word), SIM_SLOT_LIVE));
        *ret_context = slot;
        return 0;
    }
    return -ENOSPC;
}

void sim_context_wake(sim_context_t *c) {
    __atomic_add_fetch(&c->wake, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&c->waiters, __ATOMIC_SEQ_CST))
        (void)divvy_core_futex_wake(&c->wake, INT32_MAX, true);
}

void sim_context_kill(sim_file_t *f, uint32_t tag, uint32_t context) {
    sim_context_t *c = &f->contexts[context];
    uint32_t device = sim_load(&c->device) & (SIM_UNITS - 1);
    sim_device_t *d = sim_device_lock(f, device, tag);
    uint64_t word = sim_load(&f->header.context_words[context]);

    if (sim_slot_state(word) == SIM_SLOT_LIVE) {
        sim_sched_advance(f, device, divvy_core_clock_ns());
        sim_store(&f->header.context_words[context],
                  sim_slot_word(sim_slot_generation(word), SIM_SLOT_DEAD));
        sim_sched_advance(f, device, d->now_ns); /* who else may run, runs at once */
    }
    sim_lock_give(&d->lock);
    sim_context_wake(c);
}

void sim_context_free(sim_file_t *f, uint32_t tag, uint32_t context) {
    uint64_t word;

    sim_context_kill(f, tag, context);
    sim_state_discard(f->rings[context], sizeof f->rings[context]);
    word = sim_load(&f->header.context_words[context]);
    sim_store(&f->header.context_words[context],
              sim_slot_word(sim_slot_generation(word) + 1, SIM_SLOT_FREE));
}
