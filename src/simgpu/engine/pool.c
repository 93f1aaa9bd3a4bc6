/* The pool of a device's bytes. The bytes of each process are the truth; the sum is kept beside them. */
#include "simgpu/engine/self.h"

#include <errno.h>

/* What the process has of the pool: of the device itself, or of all the compute instances that share it. */
static uint64_t process_bytes(sim_file_t *f, uint32_t slot, uint32_t pool) {
    const sim_proc_t *p = &f->procs[slot];
    uint32_t first = pool, end = pool + 1;
    uint64_t bytes = 0;

    if (pool >= SIM_DEVICES) {
        first = DIVVY_SIMGPU_UNIT(sim_unit_device(pool), 0);
        end = first + DIVVY_SIMGPU_MIG_MAX;
    }
    for (uint32_t unit = first; unit < end; unit++)
        if (sim_proc_uses(p, unit) && sim_unit_pool(f, unit) == pool)
            bytes += sim_load(&p->use[unit].bytes);
    return bytes;
}

void sim_pool_repair(sim_file_t *f, uint32_t pool) {
    uint64_t used = 0;

    for (uint32_t slot = 0; slot < SIM_PROCS; slot++)
        if (sim_slot_state(sim_load(&f->header.proc_words[slot])) != SIM_SLOT_FREE)
            used += process_bytes(f, slot, pool);
    sim_store(&f->header.devices[pool].used_bytes, used);
}

static int charge(sim_device_t *d, sim_usage_t *u, int64_t bytes) {
    uint64_t used = d->used_bytes, total = d->pool_bytes;

    if (bytes < 0) {
        uint64_t back = (uint64_t)0 - (uint64_t)bytes;

        if (back > u->bytes)
            return -EINVAL;
        sim_store(&u->bytes, u->bytes - back);
        sim_store(&d->used_bytes, back < used ? used - back : 0);
        return 0;
    }
    if (used > total || (uint64_t)bytes > total - used)
        return -ENOMEM;
    /* the sum first: between these two stores it errs on the safe side */
    sim_store(&d->used_bytes, used + (uint64_t)bytes);
    sim_store(&u->bytes, u->bytes + (uint64_t)bytes);
    if (u->bytes > u->peak_bytes)
        sim_store(&u->peak_bytes, u->bytes);
    sim_store(&u->seen, 1);
    return 0;
}

int sim_pool_charge(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device, int64_t bytes) {
    uint32_t pool = sim_unit_pool(f, device);
    sim_device_t *d = sim_memory_lock(f, pool, tag);
    int r = charge(d, &f->procs[slot].use[device], bytes);

    sim_lock_give(&d->memory_lock);
    if (r != -ENOMEM || (uint64_t)bytes > d->pool_bytes || !sim_slot_reap(f, tag))
        return r;
    d = sim_memory_lock(f, pool, tag);
    r = charge(d, &f->procs[slot].use[device], bytes);
    sim_lock_give(&d->memory_lock);
    return r;
}

void sim_pool_save(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device) {
    uint32_t pool = sim_unit_pool(f, device);
    sim_device_t *d = sim_memory_lock(f, pool, tag);
    sim_usage_t *u = &f->procs[slot].use[device];

    /* noted before it goes: whoever is killed in between leaves it in both places, and this again puts it right */
    if (u->bytes) {
        sim_store(&u->saved_bytes, u->bytes);
        sim_store(&u->bytes, 0);
        sim_pool_repair(f, pool);
    }
    sim_lock_give(&d->memory_lock);
}

int sim_pool_restore(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device) {
    sim_device_t *d = sim_memory_lock(f, sim_unit_pool(f, device), tag);
    sim_usage_t *u = &f->procs[slot].use[device];
    uint64_t bytes = u->saved_bytes;
    int r = bytes > INT64_MAX ? -ENOMEM : bytes ? charge(d, u, (int64_t)bytes) : 0;

    if (!r)
        sim_store(&u->saved_bytes, 0);
    sim_lock_give(&d->memory_lock);
    return r;
}

void sim_pool_release(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device) {
    uint32_t pool = sim_unit_pool(f, device);
    sim_device_t *d = sim_memory_lock(f, pool, tag);

    sim_store(&f->procs[slot].use[device].bytes, 0);
    sim_pool_repair(f, pool);
    sim_lock_give(&d->memory_lock);
}
