/* Instances in the state file. What an instance consists of is written first; the store of its word makes it one. */
#include "simgpu/engine/mig_make.h"

#include "simgpu/engine/self.h"

#include "core/clock.h"
#include "core/hash.h"
#include "core/parse.h"
#include "core/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* From this driver on MIG devices have UUIDs of their own. */
#define DRIVER_OWN_UUIDS 470

static bool lives(uint64_t word) {
    return sim_slot_state(word) == SIM_SLOT_LIVE;
}

/* Whether what a slot says can be: the file may have been written by anybody. */
static bool gi_sane(const sim_mig_table_t *table, const sim_mig_gi_t *g) {
    return g->row < table->rows && g->start < DIVVY_SIMGPU_MIG_SLOTS &&
           table->row[g->row].starts >> g->start & 1;
}

sim_mig_use_t sim_mig_use(const sim_mig_table_t *table, const sim_mig_t *m) {
    sim_mig_use_t use = {0};

    for (uint32_t slot = 0; slot < DIVVY_SIMGPU_MIG_MAX; slot++) {
        const sim_mig_gi_t *g = &m->gi[slot];

        if (!lives(sim_load(&g->word)) || !gi_sane(table, g))
            continue;
        use.taken |= ((UINT32_C(1) << table->row[g->row].size) - 1) << g->start;
        use.count[g->row]++;
    }
    return use;
}

uint32_t sim_mig_ci_taken(const sim_mig_table_t *table, const sim_mig_t *m, uint32_t slot,
                          uint32_t profile_id, unsigned *ret_existing) {
    divvy_simgpu_ci_profile_t profile;
    uint32_t taken = 0;

    *ret_existing = 0;
    for (uint32_t i = 0; i < DIVVY_SIMGPU_MIG_MAX; i++) {
        const sim_mig_ci_t *c = &m->ci[i];

        if (!lives(sim_load(&c->word)) || c->gi != slot || !gi_sane(table, &m->gi[slot]) ||
            sim_mig_ci_by_id(table, m->gi[slot].row, c->profile_id, &profile) < 0)
            continue;
        taken |= ((UINT32_C(1) << profile.slices) - 1) << (c->start & 7);
        *ret_existing += c->profile_id == profile_id;
    }
    return taken;
}

bool sim_mig_gi_is(const sim_mig_t *m, const divvy_simgpu_gi_t *gi) {
    return gi->slot < DIVVY_SIMGPU_MIG_MAX &&
           sim_load(&m->gi[gi->slot].word) == sim_slot_word(gi->generation, SIM_SLOT_LIVE);
}

void sim_mig_clear(sim_mig_t *m) {
    for (uint32_t i = 0; i < DIVVY_SIMGPU_MIG_MAX; i++)
        sim_store(&m->ci[i].word, sim_slot_word(sim_slot_generation(m->ci[i].word), SIM_SLOT_FREE));
    for (uint32_t i = 0; i < DIVVY_SIMGPU_MIG_MAX; i++)
        sim_store(&m->gi[i].word, sim_slot_word(sim_slot_generation(m->gi[i].word), SIM_SLOT_FREE));
}

/* --- views ------------------------------------------------------------------------------------------------- */

int sim_mig_gi_view(const sim_file_t *f, const sim_mig_table_t *table, uint32_t device,
                    uint32_t slot, divvy_simgpu_gi_t *ret_gi) {
    const sim_mig_gi_t *shared = &f->header.mig[device].gi[slot];
    const sim_device_t *pool = &f->header.devices[DIVVY_SIMGPU_UNIT(device, slot)];
    sim_mig_gi_t g = {.word = sim_load(&shared->word)};

    g.row = sim_load(&shared->row);
    g.start = sim_load(&shared->start);
    if (!lives(g.word) || sim_load(&shared->word) != g.word || !gi_sane(table, &g))
        return -ENOENT;
    memset(ret_gi, 0, sizeof *ret_gi);
    ret_gi->device = (int32_t)device;
    ret_gi->slot = slot;
    ret_gi->generation = sim_slot_generation(g.word);
    ret_gi->profile = table->row[g.row];
    ret_gi->start = g.start;
    ret_gi->id = sim_mig_gi_id(g.start, ret_gi->profile.size);
    ret_gi->memory_bytes = sim_mig_bytes(&ret_gi->profile, g.start);
    ret_gi->used_bytes = sim_load(&pool->used_bytes);
    return 0;
}

static uint64_t driver_major(const sim_file_t *f) {
    const char *text = f->header.config.driver;
    uint64_t major = 0;

    (void)divvy_core_u64_parse(text, strnlen(text, 3), &major, NULL);
    return major;
}

/* Made of the device and the two ids, so that an instance made again in the same place is called the same, as NVIDIA's
 * are; version 5 like those. */
static void uuid_make(const divvy_simgpu_device_t *board, uint32_t gi_id, uint32_t ci_id,
                      divvy_core_uuid_t *ret_uuid) {
    uint64_t seed, halves[2];

    memcpy(&seed, board->uuid, sizeof seed);
    halves[0] = divvy_core_hash_pair(seed, UINT64_C(0x4D4947) << 16 | gi_id << 8 | ci_id);
    halves[1] = divvy_core_hash_mix(halves[0] ^ UINT64_C(0x73696D677075));
    memcpy(ret_uuid->bytes, halves, sizeof halves);
    ret_uuid->bytes[6] = (uint8_t)((ret_uuid->bytes[6] & 0x0F) | 0x50);
    ret_uuid->bytes[8] = (uint8_t)((ret_uuid->bytes[8] & 0x3F) | 0x80);
}

static void uuid_texts(const sim_file_t *f, divvy_simgpu_ci_t *ci) {
    const divvy_simgpu_device_t *board = &f->header.devices[ci->device].facts;
    char plain[DIVVY_CORE_UUID_TEXT_BYTES];
    uint64_t major = driver_major(f);
    divvy_core_uuid_t uuid;

    uuid_make(board, ci->gi.id, ci->id, &uuid);
    divvy_core_uuid_format(&uuid, plain);
    snprintf(ci->uuid_plain, sizeof ci->uuid_plain, "MIG-%s", plain + 4); /* behind "GPU-" */
    snprintf(ci->uuid_legacy, sizeof ci->uuid_legacy, "MIG-%.40s/%u/%u", board->uuid_text,
             ci->gi.id, ci->id);
    snprintf(ci->uuid_text, sizeof ci->uuid_text, "%s",
             major && major < DRIVER_OWN_UUIDS ? ci->uuid_legacy : ci->uuid_plain);
}

int sim_mig_ci_view(const sim_file_t *f, const sim_mig_table_t *table, uint32_t device,
                    uint32_t index, divvy_simgpu_ci_t *ret_ci) {
    const sim_mig_ci_t *shared = &f->header.mig[device].ci[index];
    sim_mig_ci_t c = {.word = sim_load(&shared->word)};
    divvy_simgpu_ci_t ci = {.device = (int32_t)device, .index = index};

    c.gi = sim_load(&shared->gi);
    c.id = sim_load(&shared->id);
    c.profile_id = sim_load(&shared->profile_id);
    c.start = sim_load(&shared->start);
    if (!lives(c.word) || sim_load(&shared->word) != c.word || c.gi >= DIVVY_SIMGPU_MIG_MAX ||
        sim_mig_gi_view(f, table, device, c.gi, &ci.gi) < 0 ||
        sim_mig_ci_by_id(table, (unsigned)sim_mig_row(table, ci.gi.profile.id), c.profile_id,
                         &ci.profile) < 0)
        return -ENOENT;
    ci.generation = sim_slot_generation(c.word);
    ci.unit = (int32_t)DIVVY_SIMGPU_UNIT(device, index);
    ci.id = c.id & 7;
    ci.start = c.start & 7;
    uuid_texts(f, &ci);
    *ret_ci = ci;
    return 0;
}

/* --- making ------------------------------------------------------------------------------------------------ */

/* A place where nothing lives; -ENOSPC. */
static int free_place(const uint64_t *first_word, size_t stride) {
    for (int i = 0; i < DIVVY_SIMGPU_MIG_MAX; i++)
        if (!lives(sim_load(
                (const uint64_t *)(const void *)((const char *)first_word + (size_t)i * stride))))
            return i;
    return -ENOSPC;
}

int sim_mig_make_gi(sim_file_t *f, uint32_t tag, const sim_mig_table_t *table, uint32_t device,
                    uint32_t profile_id, int start, uint32_t *ret_slot) {
    sim_mig_t *m = &f->header.mig[device];
    sim_mig_use_t use = sim_mig_use(table, m);
    int row = sim_mig_row(table, profile_id), slot = free_place(&m->gi[0].word, sizeof m->gi[0]);

    if (row < 0)
        return -EINVAL;
    const divvy_simgpu_gi_profile_t *p = &table->row[row];

    if (start == DIVVY_SIMGPU_MIG_ANYWHERE)
        start = sim_mig_choose(table, (unsigned)row, &use);
    else if (start < 0 || start >= DIVVY_SIMGPU_MIG_SLOTS || !(p->starts >> start & 1))
        return -EINVAL;
    if (start < 0 || slot < 0 || use.count[row] >= p->instances_max ||
        !(sim_mig_starts_free(p->starts, p->size, use.taken) >> start & 1))
        return -ENOSPC;
    sim_mig_gi_t *g = &m->gi[slot];
    uint32_t pool = DIVVY_SIMGPU_UNIT(device, (uint32_t)slot);
    sim_device_t *d = sim_memory_lock(f, pool, tag);

    sim_store(&d->pool_bytes, sim_mig_bytes(p, (uint32_t)start));
    sim_store(&d->used_bytes, 0);
    sim_lock_give(&d->memory_lock);
    sim_store(&g->row, (uint32_t)row);
    sim_store(&g->start, (uint32_t)start);
    sim_store(&g->word, sim_slot_word(sim_slot_generation(g->word) + 1, SIM_SLOT_LIVE));
    *ret_slot = (uint32_t)slot;
    return 0;
}

/* Facts of a unit: the board's, but for what the instance has its own part of. */
static divvy_simgpu_device_t facts_of(const sim_file_t *f, const divvy_simgpu_gi_t *gi,
                                      const sim_mig_ci_t *c, uint32_t index,
                                      const divvy_simgpu_ci_profile_t *profile) {
    divvy_simgpu_device_t d = f->header.devices[gi->device].facts;
    divvy_simgpu_ci_t ci = {.device = gi->device, .index = index, .id = c->id, .gi = *gi};
    divvy_core_uuid_t uuid;

    uuid_texts(f, &ci);
    uuid_make(&d, gi->id, c->id, &uuid);
    memcpy(d.uuid, uuid.bytes, sizeof d.uuid);
    memset(d.uuid_text, 0, sizeof d.uuid_text);
    memcpy(d.uuid_text, ci.uuid_text, strlen(ci.uuid_text));
    size_t length = strlen(d.name);

    snprintf(d.name + length, sizeof d.name - length, " MIG %s", profile->name);
    d.index = (int32_t)DIVVY_SIMGPU_UNIT(gi->device, index);
    d.sm_count = (int32_t)profile->sm_count;
    d.copy_engines = (int32_t)gi->profile.copy_engines;
    d.memory_bytes = gi->memory_bytes;
    d.memory_bytes_per_s = d.memory_bytes_per_s / DIVVY_SIMGPU_MIG_SLOTS * gi->profile.size;
    d.l2_bytes = d.l2_bytes / DIVVY_SIMGPU_MIG_SLOTS * gi->profile.size;
    return d;
}

/* A unit as good as new. Nobody computes on it: it does not exist yet. */
static void unit_renew(sim_file_t *f, uint32_t tag, uint32_t unit, uint32_t pool,
                       const divvy_simgpu_device_t *facts) {
    sim_device_t *d = sim_device_lock(f, unit, tag);

    d->facts = *facts;
    sim_store(&d->step.valid, 0);
    d->created_ns = divvy_core_clock_ns();
    sim_store(&d->now_ns, d->created_ns);
    d->slice_end_ns = 0;
    d->ready_ns = 0;
    d->current = d->last = SIM_CONTEXTS;
    d->next_ns = UINT64_MAX;
    d->busy_ns = d->launches = 0;
    for (unsigned engine = 0; engine < 2; engine++)
        d->copy_free_ns[engine] = d->copy_busy_ns[engine] = d->copy_bytes[engine] = 0;
    memset(d->active, 0, sizeof d->active);
    memset(d->bins, 0, sizeof d->bins);
    sim_store(&d->pool, pool);
    sim_lock_give(&d->lock);
}

/* The lowest id that no compute instance of the GPU instance has. */
static uint32_t free_id(const sim_mig_t *m, uint32_t gi_slot) {
    uint32_t used = 0;

    for (uint32_t i = 0; i < DIVVY_SIMGPU_MIG_MAX; i++)
        if (lives(sim_load(&m->ci[i].word)) && m->ci[i].gi == gi_slot)
            used |= UINT32_C(1) << (m->ci[i].id & 7);
    return (uint32_t)__builtin_ctz(~used);
}

int sim_mig_make_ci(sim_file_t *f, uint32_t tag, const sim_mig_table_t *table, uint32_t device,
                    uint32_t gi_slot, uint32_t profile_id, int start, uint32_t *ret_index) {
    sim_mig_t *m = &f->header.mig[device];
    int index = free_place(&m->ci[0].word, sizeof m->ci[0]);
    divvy_simgpu_ci_profile_t profile;
    divvy_simgpu_gi_t gi;
    unsigned existing;

    if (sim_mig_gi_view(f, table, device, gi_slot, &gi) < 0)
        return -ENOENT;
    if (sim_mig_ci_by_id(table, m->gi[gi_slot].row, profile_id, &profile) < 0 ||
        (start != DIVVY_SIMGPU_MIG_ANYWHERE &&
         (start < 0 || start >= DIVVY_SIMGPU_MIG_SLOTS || !(profile.starts >> start & 1))))
        return -EINVAL;
    uint32_t taken = sim_mig_ci_taken(table, m, gi_slot, profile_id, &existing);
    uint32_t starts = sim_mig_starts_free(profile.starts, profile.slices, taken);

    if (start == DIVVY_SIMGPU_MIG_ANYWHERE)
        start = sim_mig_ci_choose(table, m->gi[gi_slot].row, &profile, taken);
    if (index < 0 || start < 0 || existing >= profile.instances_max || !(starts >> start & 1))
        return -ENOSPC;
    sim_mig_ci_t made = {.gi = gi_slot,
                         .id = free_id(m, gi_slot),
                         .profile_id = profile_id,
                         .start = (uint32_t)start};
    divvy_simgpu_device_t facts = facts_of(f, &gi, &made, (uint32_t)index, &profile);
    sim_mig_ci_t *c = &m->ci[index];

    unit_renew(f, tag, DIVVY_SIMGPU_UNIT(device, (uint32_t)index),
               DIVVY_SIMGPU_UNIT(device, gi_slot), &facts);
    sim_store(&c->gi, made.gi);
    sim_store(&c->id, made.id);
    sim_store(&c->profile_id, made.profile_id);
    sim_store(&c->start, made.start);
    sim_store(&c->word, sim_slot_word(sim_slot_generation(c->word) + 1, SIM_SLOT_LIVE));
    *ret_index = (uint32_t)index;
    return 0;
}
