/* Placement of MIG instances. */
#include "simgpu/engine/mig_plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of two equal instances of half a board, the upper one was seen with that much less. */
#define UPPER_LESS_BYTES (UINT64_C(128) << 20)
enum { HALF_SLOTS = DIVVY_SIMGPU_MIG_SLOTS / 2 };

int sim_mig_row(const sim_mig_table_t *table, uint32_t profile_id) {
    for (unsigned row = 0; row < table->rows; row++)
        if (table->row[row].id == profile_id)
            return (int)row;
    return -1;
}

static uint32_t span(uint32_t start, uint32_t size) {
    return ((UINT32_C(1) << size) - 1) << start;
}

uint32_t sim_mig_starts_free(uint32_t starts, uint32_t size, uint32_t taken) {
    uint32_t free_starts = 0;

    for (uint32_t start = 0; start < DIVVY_SIMGPU_MIG_SLOTS; start++)
        if (starts >> start & 1 && !(span(start, size) & taken))
            free_starts |= UINT32_C(1) << start;
    return free_starts;
}

/* Spans of equal size: taking the lowest that fits, again and again, is as good as any choice. */
static unsigned fit(uint32_t starts, uint32_t size, uint32_t taken, unsigned most) {
    unsigned count = 0;

    for (uint32_t start = 0; start < DIVVY_SIMGPU_MIG_SLOTS && count < most; start++)
        if (starts >> start & 1 && !(span(start, size) & taken)) {
            taken |= span(start, size);
            count++;
        }
    return count;
}

unsigned sim_mig_remaining(const sim_mig_table_t *table, unsigned row, const sim_mig_use_t *use) {
    const divvy_simgpu_gi_profile_t *p = &table->row[row];

    if (use->count[row] >= p->instances_max)
        return 0;
    return fit(p->starts, p->size, use->taken, p->instances_max - use->count[row]);
}

/* What could still be made of a device, bigger instances counting more. */
static unsigned worth(const sim_mig_table_t *table, const sim_mig_use_t *use) {
    unsigned sum = 0;

    for (unsigned row = 0; row < table->rows; row++)
        sum += sim_mig_remaining(table, row, use) * table->row[row].slices * table->row[row].size;
    return sum;
}

int sim_mig_choose(const sim_mig_table_t *table, unsigned row, const sim_mig_use_t *use) {
    const divvy_simgpu_gi_profile_t *p = &table->row[row];
    uint32_t starts = sim_mig_starts_free(p->starts, p->size, use->taken);
    int best = -ENOSPC;
    unsigned most = 0;

    if (!sim_mig_remaining(table, row, use))
        return -ENOSPC;
    for (uint32_t start = 0; start < DIVVY_SIMGPU_MIG_SLOTS; start++) {
        sim_mig_use_t after = *use;

        if (!(starts >> start & 1))
            continue;
        after.taken |= span(start, p->size);
        after.count[row]++;
        unsigned left = worth(table, &after);

        if (best < 0 || left > most) {
            best = (int)start;
            most = left;
        }
    }
    return best;
}

uint32_t sim_mig_gi_id(uint32_t start, uint32_t size) {
    return DIVVY_SIMGPU_MIG_SLOTS / size - 1 + start / size;
}

uint64_t sim_mig_bytes(const divvy_simgpu_gi_profile_t *profile, uint32_t start) {
    bool less =
        profile->size == HALF_SLOTS && start && profile->memory_bytes > 4 * UPPER_LESS_BYTES;

    return profile->memory_bytes - (less ? UPPER_LESS_BYTES : 0);
}

/* --- compute instances ------------------------------------------------------------------------------------- */

/* Sizes of compute instances, and where they may start in a GPU instance of so many slices. */
static const struct {
    uint32_t id, slices;
    uint32_t starts[DIVVY_SIMGPU_MIG_MAX + 1]; /* by slices of the GPU instance; 0: not offered */
} computes[] = {
    {0, 1, {0, 0x01, 0x03, 0x07, 0x0F, 0, 0, 0x7F}},
    {1, 2, {0, 0, 0x01, 0x01, 0x05, 0, 0, 0x15}},
    {2, 3, {0, 0, 0, 0x01, 0, 0, 0, 0x11}},
    {3, 4, {0, 0, 0, 0, 0x01, 0, 0, 0x01}},
    {4, 7, {0, 0, 0, 0, 0, 0, 0, 0x01}},
    {7, 1, {0}}, /* the whole of a GPU instance that has one slice and more SMs than that */
};
enum { COMPUTES = sizeof computes / sizeof *computes };

/* An instance of one slice that has the SMs of more. */
static bool is_rich(const sim_mig_table_t *table, const divvy_simgpu_gi_profile_t *gi) {
    return gi->slices == 1 && gi->sm_count > table->slice_sm_count;
}

static bool describe(const sim_mig_table_t *table, unsigned row, unsigned n,
                     divvy_simgpu_ci_profile_t *ret_profile) {
    const divvy_simgpu_gi_profile_t *gi = &table->row[row];
    bool rest = computes[n].id == 7, rich = is_rich(table, gi);
    uint32_t starts = rest ? rich : computes[n].starts[gi->slices];
    bool whole = rest || (computes[n].slices == gi->slices && !rich);

    if (!starts)
        return false;
    memset(ret_profile, 0, sizeof *ret_profile);
    ret_profile->id = computes[n].id;
    ret_profile->slices = computes[n].slices;
    ret_profile->starts = starts;
    ret_profile->instances_max = (uint32_t)__builtin_popcount(starts);
    ret_profile->sm_count = whole ? gi->sm_count : computes[n].slices * table->slice_sm_count;
    if (whole)
        snprintf(ret_profile->name, sizeof ret_profile->name, "%.23s", gi->name);
    else
        snprintf(ret_profile->name, sizeof ret_profile->name, "%uc.%.18s", computes[n].slices,
                 gi->name);
    return true;
}

int sim_mig_ci_profile(const sim_mig_table_t *table, unsigned row, unsigned n,
                       divvy_simgpu_ci_profile_t *ret_profile) {
    divvy_simgpu_ci_profile_t profile;

    for (unsigned i = 0; i < COMPUTES; i++)
        if (describe(table, row, i, &profile) && !n--) {
            *ret_profile = profile;
            return 0;
        }
    return -ENOENT;
}

int sim_mig_ci_by_id(const sim_mig_table_t *table, unsigned row, uint32_t profile_id,
                     divvy_simgpu_ci_profile_t *ret_profile) {
    divvy_simgpu_ci_profile_t profile;

    for (unsigned n = 0; !sim_mig_ci_profile(table, row, n, &profile); n++)
        if (profile.id == profile_id) {
            *ret_profile = profile;
            return 0;
        }
    return -EINVAL;
}

unsigned sim_mig_ci_remaining(const divvy_simgpu_ci_profile_t *profile, uint32_t taken,
                              unsigned existing) {
    if (existing >= profile->instances_max)
        return 0;
    return fit(profile->starts, profile->slices, taken, profile->instances_max - existing);
}

/* What could still be made of a GPU instance, bigger ones counting more. */
static unsigned ci_worth(const sim_mig_table_t *table, unsigned row, uint32_t taken) {
    divvy_simgpu_ci_profile_t profile;
    unsigned sum = 0;

    for (unsigned n = 0; !sim_mig_ci_profile(table, row, n, &profile); n++)
        sum += sim_mig_ci_remaining(&profile, taken, 0) * profile.slices * profile.slices;
    return sum;
}

int sim_mig_ci_choose(const sim_mig_table_t *table, unsigned row,
                      const divvy_simgpu_ci_profile_t *profile, uint32_t taken) {
    uint32_t starts = sim_mig_starts_free(profile->starts, profile->slices, taken);
    int best = -ENOSPC;
    unsigned most = 0;

    for (uint32_t start = 0; start < DIVVY_SIMGPU_MIG_SLOTS; start++) {
        if (!(starts >> start & 1))
            continue;
        unsigned left = ci_worth(table, row, taken | span(start, profile->slices));

        if (best < 0 || left > most) {
            best = (int)start;
            most = left;
        }
    }
    return best;
}
