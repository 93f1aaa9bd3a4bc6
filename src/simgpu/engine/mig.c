/* MIG: the mode, making and destroying instances, and which units there are. */
#include "simgpu/engine/mig.h"

#include "simgpu/engine/mig_make.h"
#include "simgpu/engine/self.h"
#include "simgpu/engine/state.h"

#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what there is ----------------------------------------------------------------------------------------- */

static const sim_mig_ci_t *unit_ci(const sim_file_t *f, uint32_t unit) {
    return &f->header.mig[sim_unit_device(unit)].ci[(unit - SIM_DEVICES) % DIVVY_SIMGPU_MIG_MAX];
}

bool sim_unit_exists(const sim_file_t *f, uint32_t unit) {
    if (!sim_unit_plausible(f, unit))
        return false;
    return unit < SIM_DEVICES ||
           (sim_load(&f->header.mig[sim_unit_device(unit)].mode) &&
            sim_slot_state(sim_load(&unit_ci(f, unit)->word)) == SIM_SLOT_LIVE);
}

uint64_t sim_unit_generation(const sim_file_t *f, uint32_t unit) {
    return unit < SIM_DEVICES ? 0 : sim_slot_generation(sim_load(&unit_ci(f, unit)->word));
}

uint64_t sim_device_used(const sim_file_t *f, uint32_t device) {
    uint64_t used = sim_load(&f->header.devices[sim_unit_pool(f, device)].used_bytes);

    if (device >= SIM_DEVICES || !sim_load(&f->header.mig[device].mode))
        return used;
    for (uint32_t slot = 0; slot < DIVVY_SIMGPU_MIG_MAX; slot++)
        if (sim_slot_state(sim_load(&f->header.mig[device].gi[slot].word)) == SIM_SLOT_LIVE)
            used += sim_load(&f->header.devices[DIVVY_SIMGPU_UNIT(device, slot)].used_bytes);
    return used;
}

int sim_self_unit(int unit) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    if (unit < 0 || !sim_unit_plausible(f, (uint32_t)unit) ||
        !sim_proc_uses(&f->procs[sim_self_slot()], (uint32_t)unit))
        return -ENODEV;
    return 0;
}

int divvy_simgpu_unit_device(int unit) {
    return unit < 0 || unit >= DIVVY_SIMGPU_UNITS_MAX ? unit : (int)sim_unit_device((uint32_t)unit);
}

int divvy_simgpu_driver_version(char *buf, size_t size) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    int n = snprintf(buf, size, "%.*s", (int)sizeof f->header.config.driver - 1,
                     f->header.config.driver);

    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* The device of an API call and what its model offers. */
static int begin(int device, sim_file_t **ret_file, sim_mig_table_t *table) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    if (device < 0 || (uint32_t)device >= f->header.config.devices ||
        divvy_simgpu_device_lost(device))
        return -ENODEV;
    if (!sim_config_mig(&f->header.config, (uint32_t)device, table))
        return -EOPNOTSUPP;
    *ret_file = f;
    return 0;
}

/* The same where the mode must be on. */
static int begin_on(int device, sim_file_t **ret_file, sim_mig_table_t *table) {
    int r = begin(device, ret_file, table);

    return !r && !sim_load(&(*ret_file)->header.mig[device].mode) ? -EOPNOTSUPP : r;
}

/* --- in use ------------------------------------------------------------------------------------------------ */

int sim_unit_open(sim_file_t *f, uint32_t slot, uint32_t unit) {
    sim_proc_t *p = &f->procs[slot];

    if (unit >= SIM_UNITS || !sim_unit_exists(f, unit))
        return -ENOENT;
    if (unit < SIM_DEVICES && sim_load(&f->header.mig[unit].mode))
        return -EBUSY;
    if (sim_load(&p->opened[unit / 64]) >> unit % 64 & 1)
        return 0;
    if (unit >= SIM_DEVICES) {
        sim_usage_t *u = &p->use[unit & (SIM_UNITS - 1)];

        if (sim_state_populate(u, sizeof *u) < 0)
            return -ENOSPC;
        memset(u, 0, sizeof *u);
    }
    __atomic_or_fetch(&p->opened[unit / 64], UINT64_C(1) << unit % 64, __ATOMIC_SEQ_CST);
    return 0;
}

int divvy_simgpu_open(int unit) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    if (unit < 0)
        return -ENODEV;
    sim_self_lock(&f->header.lock);
    int r = sim_unit_open(f, sim_self_slot(), (uint32_t)unit);

    sim_lock_give(&f->header.lock);
    return r;
}

/* Whether a process has one of the units first to end-1 open. */
static bool any_open(sim_file_t *f, uint32_t first, uint32_t end) {
    for (uint32_t slot = 0; slot < SIM_PROCS; slot++) {
        if (sim_slot_state(sim_load(&f->header.proc_words[slot])) == SIM_SLOT_FREE)
            continue;
        for (uint32_t unit = first; unit < end; unit++)
            if (sim_load(&f->procs[slot].opened[unit / 64]) >> unit % 64 & 1)
                return true;
    }
    return false;
}

static bool device_in_use(sim_file_t *f, uint32_t device) {
    uint32_t first = DIVVY_SIMGPU_UNIT(device, 0);

    return any_open(f, device, device + 1) || any_open(f, first, first + DIVVY_SIMGPU_MIG_MAX);
}

/* Takes the machine lock, makes the change, and again if it found something in use by those that meanwhile died. */
static int change(sim_file_t *f, int (*make)(sim_file_t *f, void *arg), void *arg) {
    int r;

    do {
        (void)sim_slot_reap(f, sim_self_tag());
        sim_self_lock(&f->header.lock);
        r = make(f, arg);
        sim_lock_give(&f->header.lock);
    } while (r == -EBUSY && sim_slot_reap(f, sim_self_tag()) > 0);
    return r;
}

/* --- mode -------------------------------------------------------------------------------------------------- */

int divvy_simgpu_mig_mode(int device, bool *ret_current, bool *ret_pending) {
    sim_mig_table_t table;
    sim_file_t *f;
    int r = begin(device, &f, &table);

    if (r < 0)
        return r;
    *ret_current = sim_load(&f->header.mig[device].mode) != 0;
    *ret_pending = sim_load(&f->header.mig[device].pending) != 0;
    return 0;
}

/* The pending mode becomes current. Instances go while the mode is off, so that none is ever half there. */
static int activate(sim_file_t *f, void *arg) {
    uint32_t device = *(const uint32_t *)arg;
    sim_mig_t *m = &f->header.mig[device];

    if (device_in_use(f, device))
        return -EBUSY;
    if ((m->mode != 0) == (m->pending != 0))
        return 0;
    sim_store(&m->mode, 0);
    sim_mig_clear(m);
    sim_store(&m->mode, m->pending);
    return 0;
}

int divvy_simgpu_mig_reset(int device) {
    uint32_t number = (uint32_t)device;
    sim_mig_table_t table;
    sim_file_t *f;
    int r = begin(device, &f, &table);

    return r < 0 ? r : change(f, activate, &number);
}

int divvy_simgpu_mig_set_mode(int device, bool on, bool *ret_active) {
    uint32_t number = (uint32_t)device;
    sim_mig_table_t table;
    sim_file_t *f;
    int r = begin(device, &f, &table);

    if (r < 0)
        return r;
    sim_store(&f->header.mig[device].pending, on);
    r = (sim_load(&f->header.mig[device].mode) != 0) == on ? 0 : change(f, activate, &number);
    if (r < 0 && r != -EBUSY)
        return r;
    *ret_active = !r;
    return 0;
}

/* --- profiles ---------------------------------------------------------------------------------------------- */

int divvy_simgpu_gi_profile(int device, unsigned n, divvy_simgpu_gi_profile_t *ret_profile) {
    sim_mig_table_t table;
    sim_file_t *f;
    int r = begin(device, &f, &table);

    if (r < 0)
        return r;
    if (n >= table.rows)
        return -ENOENT;
    *ret_profile = table.row[n];
    return 0;
}

int divvy_simgpu_gi_remaining(int device, uint32_t profile_id, unsigned *ret_count) {
    sim_mig_table_t table;
    sim_mig_use_t use;
    sim_file_t *f;
    int r = begin_on(device, &f, &table), row;

    if (r < 0)
        return r;
    if ((row = sim_mig_row(&table, profile_id)) < 0)
        return -EINVAL;
    sim_self_lock(&f->header.lock);
    use = sim_mig_use(&table, &f->header.mig[device]);
    sim_lock_give(&f->header.lock);
    *ret_count = sim_mig_remaining(&table, (unsigned)row, &use);
    return 0;
}

int divvy_simgpu_ci_profile(const divvy_simgpu_gi_t *gi, unsigned n,
                            divvy_simgpu_ci_profile_t *ret_profile) {
    sim_mig_table_t table;
    sim_file_t *f;
    int r = begin(gi->device, &f, &table), row;

    if (r < 0)
        return r;
    if ((row = sim_mig_row(&table, gi->profile.id)) < 0)
        return -EINVAL;
    return sim_mig_ci_profile(&table, (unsigned)row, n, ret_profile);
}

int divvy_simgpu_ci_remaining(const divvy_simgpu_gi_t *gi, uint32_t profile_id,
                              unsigned *ret_count) {
    divvy_simgpu_ci_profile_t profile;
    sim_mig_table_t table;
    unsigned existing;
    uint32_t taken;
    sim_file_t *f;
    int r = begin_on(gi->device, &f, &table), row;

    if (r < 0)
        return r;
    if ((row = sim_mig_row(&table, gi->profile.id)) < 0 ||
        sim_mig_ci_by_id(&table, (unsigned)row, profile_id, &profile) < 0)
        return -EINVAL;
    sim_self_lock(&f->header.lock);
    r = sim_mig_gi_is(&f->header.mig[gi->device], gi) ? 0 : -ENOENT;
    taken = sim_mig_ci_taken(&table, &f->header.mig[gi->device], gi->slot, profile_id, &existing);
    sim_lock_give(&f->header.lock);
    if (!r)
        *ret_count = sim_mig_ci_remaining(&profile, taken, existing);
    return r;
}

/* --- views ------------------------------------------------------------------------------------------------- */

int divvy_simgpu_gi_get(int device, unsigned slot, divvy_simgpu_gi_t *ret_gi) {
    sim_mig_table_t table;
    sim_file_t *f;
    int r = begin_on(device, &f, &table);

    if (!r && slot >= DIVVY_SIMGPU_MIG_MAX)
        r = -ENOENT;
    return r < 0 ? r : sim_mig_gi_view(f, &table, (uint32_t)device, slot, ret_gi);
}

int divvy_simgpu_ci_get(int device, unsigned index, divvy_simgpu_ci_t *ret_ci) {
    sim_mig_table_t table;
    sim_file_t *f;
    int r = begin(device, &f, &table);

    if (!r && (index >= DIVVY_SIMGPU_MIG_MAX || !sim_load(&f->header.mig[device].mode)))
        r = -ENOENT;
    return r < 0 ? r : sim_mig_ci_view(f, &table, (uint32_t)device, index, ret_ci);
}

int divvy_simgpu_ci_of_unit(int unit, divvy_simgpu_ci_t *ret_ci) {
    if (unit < DIVVY_SIMGPU_DEVICES_MAX || unit >= DIVVY_SIMGPU_UNITS_MAX)
        return -ENOENT;
    return divvy_simgpu_ci_get(divvy_simgpu_unit_device(unit),
                               (unsigned)(unit - DIVVY_SIMGPU_DEVICES_MAX) % DIVVY_SIMGPU_MIG_MAX,
                               ret_ci);
}

/* --- making and destroying --------------------------------------------------------------------------------- */

/* What a change is about. */
typedef struct order {
    sim_mig_table_t table;
    uint32_t device, slot; /* of the GPU instance, or the index of the compute instance */
    const divvy_simgpu_gi_t *gi;
    const divvy_simgpu_ci_t *ci;
    uint32_t profile_id;
    int start;
} order_t;

static int gi_make(sim_file_t *f, void *arg) {
    order_t *o = arg;
    sim_mig_t *m = &f->header.mig[o->device];

    return m->mode ? sim_mig_make_gi(f, sim_self_tag(), &o->table, o->device, o->profile_id,
                                     o->start, &o->slot)
                   : -EOPNOTSUPP;
}

int divvy_simgpu_gi_create(int device, uint32_t profile_id, int start, divvy_simgpu_gi_t *ret_gi) {
    order_t o = {.device = (uint32_t)device, .profile_id = profile_id, .start = start};
    sim_file_t *f;
    int r = begin_on(device, &f, &o.table);

    if (!r)
        r = change(f, gi_make, &o);
    return r < 0 ? r : sim_mig_gi_view(f, &o.table, o.device, o.slot, ret_gi);
}

static int gi_unmake(sim_file_t *f, void *arg) {
    const order_t *o = arg;
    sim_mig_t *m = &f->header.mig[o->device];

    if (!m->mode || !sim_mig_gi_is(m, o->gi))
        return -ENOENT;
    for (uint32_t i = 0; i < DIVVY_SIMGPU_MIG_MAX; i++)
        if (sim_slot_state(m->ci[i].word) == SIM_SLOT_LIVE && m->ci[i].gi == o->gi->slot)
            return -EBUSY;
    sim_store(&m->gi[o->gi->slot].word, sim_slot_word(o->gi->generation, SIM_SLOT_FREE));
    return 0;
}

int divvy_simgpu_gi_destroy(const divvy_simgpu_gi_t *gi) {
    order_t o = {.device = (uint32_t)gi->device, .gi = gi};
    sim_file_t *f;
    int r = begin(gi->device, &f, &o.table);

    return r < 0 ? r : change(f, gi_unmake, &o);
}

static int ci_make(sim_file_t *f, void *arg) {
    order_t *o = arg;
    const sim_mig_t *m = &f->header.mig[o->device];

    if (!m->mode || !sim_mig_gi_is(m, o->gi))
        return -ENOENT;
    return sim_mig_make_ci(f, sim_self_tag(), &o->table, o->device, o->gi->slot, o->profile_id,
                           o->start, &o->slot);
}

int divvy_simgpu_ci_create(const divvy_simgpu_gi_t *gi, uint32_t profile_id, int start,
                           divvy_simgpu_ci_t *ret_ci) {
    order_t o = {
        .device = (uint32_t)gi->device, .gi = gi, .profile_id = profile_id, .start = start};
    sim_file_t *f;
    int r = begin_on(gi->device, &f, &o.table);

    if (!r)
        r = change(f, ci_make, &o);
    return r < 0 ? r : sim_mig_ci_view(f, &o.table, o.device, o.slot, ret_ci);
}

static int ci_unmake(sim_file_t *f, void *arg) {
    const order_t *o = arg;
    sim_mig_t *m = &f->header.mig[o->device];
    uint64_t live = sim_slot_word(o->ci->generation, SIM_SLOT_LIVE);

    if (!m->mode || o->ci->index >= DIVVY_SIMGPU_MIG_MAX || m->ci[o->ci->index].word != live)
        return -ENOENT;
    uint32_t unit = DIVVY_SIMGPU_UNIT(o->device, o->ci->index);

    if (any_open(f, unit, unit + 1))
        return -EBUSY;
    sim_store(&m->ci[o->ci->index].word, sim_slot_word(o->ci->generation, SIM_SLOT_FREE));
    return 0;
}

int divvy_simgpu_ci_destroy(const divvy_simgpu_ci_t *ci) {
    order_t o = {.device = (uint32_t)ci->device, .ci = ci};
    sim_file_t *f;
    int r = begin(ci->device, &f, &o.table);

    return r < 0 ? r : change(f, ci_unmake, &o);
}
