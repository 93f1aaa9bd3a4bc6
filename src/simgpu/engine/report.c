/* The read side: what NVML and tools see. */
#include "simgpu/engine/engine.h"
#include "simgpu/engine/sched.h"
#include "simgpu/engine/self.h"

#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Brings the device to the present. NULL and a negative errno, or the device. */
static sim_device_t *advance(int device, int *ret_status) {
    sim_file_t *f = sim_self_file();

    *ret_status = !f                                                    ? -ENOTCONN
                  : device < 0 || !sim_unit_exists(f, (uint32_t)device) ? -ENODEV
                                                                        : 0;
    if (*ret_status < 0)
        return NULL;
    sim_device_t *d = sim_self_lock_device((uint32_t)device);

    sim_sched_advance(f, (uint32_t)device, divvy_core_clock_ns());
    sim_lock_give(&d->lock);
    return d;
}

/* The same, after ending the dead. */
static sim_device_t *refresh(int device, int *ret_status) {
    sim_file_t *f = sim_self_file();

    if (f)
        (void)sim_slot_reap(f, sim_self_tag());
    return advance(device, ret_status);
}

int divvy_simgpu_reap(void) {
    sim_file_t *f = sim_self_file();

    return f ? sim_slot_reap(f, sim_self_tag()) : -ENOTCONN;
}

/* Contexts of a process on a device; proc SIM_PROCS: of all. */
static int32_t count_contexts(sim_file_t *f, uint32_t device, uint32_t proc) {
    int32_t count = 0;

    for (uint32_t i = 0; i < SIM_CONTEXTS; i++)
        count += sim_slot_state(sim_load(&f->header.context_words[i])) == SIM_SLOT_LIVE &&
                 sim_load(&f->contexts[i].device) == device &&
                 (proc == SIM_PROCS || sim_load(&f->contexts[i].proc) == proc);
    return count;
}

/* One process on one device. False: it has nothing there. */
static bool read_process(sim_file_t *f, uint32_t slot, uint32_t device,
                         divvy_simgpu_process_t *ret) {
    const sim_proc_t *p = &f->procs[slot];
    const sim_usage_t *u = &p->use[device];

    if (sim_slot_state(sim_load(&f->header.proc_words[slot])) == SIM_SLOT_FREE ||
        !sim_proc_uses(p, device) || !sim_load(&u->seen))
        return false;
    *ret = (divvy_simgpu_process_t){
        .pid = p->pid,
        .contexts = count_contexts(f, device, slot),
        .start_ticks = p->start_ticks,
        .id = p->id,
        .bytes = sim_load(&u->bytes),
        .peak_bytes = sim_load(&u->peak_bytes),
        .busy_ns = sim_load(&u->busy_ns),
        .copy_busy_ns = sim_load(&u->copy_busy_ns),
        .launches = sim_load(&u->launches),
        .attached_ns = p->attached_ns,
    };
    memcpy(ret->name, p->comm, sizeof ret->name);
    ret->name[sizeof ret->name - 1] = 0;
    /* what is saved has no part of the device, as far as anybody can see */
    return (ret->contexts || ret->bytes) &&
           (sim_load(&p->checkpoint) & 0xFF) != SIM_CHECKPOINT_SAVED;
}

int divvy_simgpu_status(int device, divvy_simgpu_status_t *ret_status) {
    int r;
    sim_device_t *d = refresh(device, &r);
    divvy_simgpu_process_t process;

    if (!d)
        return r;
    sim_file_t *f = sim_self_file();
    divvy_simgpu_status_t s = {
        .now_ns = sim_load(&d->now_ns),
        .created_ns = d->created_ns,
        .busy_ns = sim_load(&d->busy_ns),
        .copy_busy_ns = {sim_load(&d->copy_busy_ns[0]), sim_load(&d->copy_busy_ns[1])},
        .copy_bytes = {sim_load(&d->copy_bytes[0]), sim_load(&d->copy_bytes[1])},
        .launches = sim_load(&d->launches),
        .used_bytes = sim_device_used(f, (uint32_t)device),
        .total_bytes = d->facts.memory_bytes,
        .contexts = count_contexts(f, (uint32_t)device, SIM_PROCS),
        .lost = divvy_simgpu_device_lost(device),
    };

    for (uint32_t slot = 0; slot < SIM_PROCS; slot++)
        s.processes += read_process(f, slot, (uint32_t)device, &process);
    *ret_status = s;
    return 0;
}

static int by_id(const void *a, const void *b) {
    uint64_t x = ((const divvy_simgpu_process_t *)a)->id,
             y = ((const divvy_simgpu_process_t *)b)->id;

    return x < y ? -1 : x > y;
}

int divvy_simgpu_processes(int device, divvy_simgpu_process_t *vector, size_t count,
                           size_t *ret_total) {
    divvy_simgpu_process_t process;
    size_t total = 0;
    int r;

    if (!refresh(device, &r))
        return r;
    sim_file_t *f = sim_self_file();

    for (uint32_t slot = 0; slot < SIM_PROCS; slot++) {
        if (!read_process(f, slot, (uint32_t)device, &process))
            continue;
        if (total < count)
            vector[total] = process;
        total++;
    }
    if (count)
        qsort(vector, total < count ? total : count, sizeof *vector, by_id);
    *ret_total = total;
    return 0;
}

int divvy_simgpu_history(int device, divvy_simgpu_process_t *vector, size_t count,
                         size_t *ret_total) {
    size_t total = 0;
    int r;

    if (!refresh(device, &r))
        return r;
    sim_file_t *f = sim_self_file();

    sim_self_lock(&f->header.lock);
    for (uint32_t i = 0; i < SIM_HISTORY; i++) {
        const sim_ended_t *e = &f->header.history[(f->header.history_next - 1 - i) % SIM_HISTORY];

        if (!sim_load(&e->id) || e->device != device ||
            e->generation != sim_unit_generation(f, (uint32_t)device))
            continue;
        if (total < count) {
            vector[total] = (divvy_simgpu_process_t){
                .pid = e->pid,
                .start_ticks = e->start_ticks,
                .id = e->id,
                .peak_bytes = e->peak_bytes,
                .busy_ns = e->busy_ns,
                .copy_busy_ns = e->copy_busy_ns,
                .launches = e->launches,
                .attached_ns = e->attached_ns,
                .ended_ns = e->ended_ns,
            };
            memcpy(vector[total].name, e->comm, sizeof e->comm - 1);
        }
        total++;
    }
    sim_lock_give(&f->header.lock);
    *ret_total = total;
    return 0;
}

/* --- bins -------------------------------------------------------------------------------------------------- */

/* Busy time in the bin; what an earlier round left there is idle. */
static uint32_t bin_busy(const uint64_t *bins, uint64_t bin) {
    uint64_t word = sim_load(&bins[bin % DIVVY_SIMGPU_BINS]);

    return word >> 32 == (uint32_t)bin ? (uint32_t)word : 0;
}

/* Bins of pid's process (summed if it attached more than once), or of the device for pid 0. */
static int add_bins(sim_file_t *f, uint32_t device, int pid, uint64_t first, size_t count,
                    uint32_t *busy) {
    bool found = false;

    memset(busy, 0, count * sizeof *busy);
    if (!pid) {
        for (size_t i = 0; i < count; i++)
            busy[i] = bin_busy(f->header.devices[device].bins, first + i);
        return 0;
    }
    for (uint32_t slot = 0; slot < SIM_PROCS; slot++) {
        if (sim_slot_state(sim_load(&f->header.proc_words[slot])) == SIM_SLOT_FREE ||
            f->procs[slot].pid != pid || !sim_proc_uses(&f->procs[slot], device) ||
            !sim_proc_alive(f, slot, divvy_core_clock_ns(), 0))
            continue;
        found = true;
        for (size_t i = 0; i < count; i++)
            busy[i] += bin_busy(f->procs[slot].use[device].bins, first + i);
    }
    return found ? 0 : -ESRCH;
}

int divvy_simgpu_samples(int device, int pid, uint64_t since_ns, divvy_simgpu_sample_t *vector,
                         size_t count, size_t *ret_count) {
    uint32_t busy[DIVVY_SIMGPU_BINS];
    int r;
    /* Of one process nobody else's end matters: who asks for all of them one by one would look at each for each. */
    sim_device_t *d = pid ? advance(device, &r) : refresh(device, &r);

    if (!d)
        return r;
    uint64_t end = sim_load(&d->now_ns) / DIVVY_SIMGPU_BIN_NS; /* the bin in progress */
    uint64_t first = since_ns / DIVVY_SIMGPU_BIN_NS + (since_ns % DIVVY_SIMGPU_BIN_NS != 0);

    if (count > DIVVY_SIMGPU_BINS - 1)
        count = DIVVY_SIMGPU_BINS - 1; /* one place holds the bin in progress */
    if (first >= end)
        first = end;
    if (end - first > count)
        first = end - count;
    if ((r = add_bins(sim_self_file(), (uint32_t)device, pid, first, end - first, busy)) < 0)
        return r;
    for (size_t i = 0; i < end - first; i++)
        vector[i] = (divvy_simgpu_sample_t){.start_ns = (first + i) * DIVVY_SIMGPU_BIN_NS,
                                            .busy_ns = busy[i]};
    *ret_count = end - first;
    return 0;
}

int divvy_simgpu_utilisation(int device, int pid, uint64_t window_ns, unsigned *ret_permille) {
    uint32_t busy[DIVVY_SIMGPU_BINS];
    uint64_t sum = 0, count = window_ns / DIVVY_SIMGPU_BIN_NS;
    int r;
    sim_device_t *d = refresh(device, &r);

    if (!d)
        return r;
    count = count < 1 ? 1 : count > 120 ? 120 : count;
    uint64_t end = sim_load(&d->now_ns) / DIVVY_SIMGPU_BIN_NS;

    if ((r = add_bins(sim_self_file(), (uint32_t)device, pid, end - count, count, busy)) < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        sum += busy[i];
    *ret_permille = (unsigned)(sum * 1000 / (count * DIVVY_SIMGPU_BIN_NS));
    return 0;
}
