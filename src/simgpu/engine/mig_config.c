/* DIVVY_SIM_MIG: which devices start with MIG on, and what instances they have. Parts for devices are separated by
 * ';', the last stands for all that follow: "off", "on", or instances separated by ',', each a profile with a number
 * of them in front ("4*1g.18gb,3g.71gb"). Every instance is one GPU instance with one compute instance. */
#include "simgpu/engine/mig_make.h"
#include "simgpu/engine/self.h"

#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int refuse(char *error, const char *text, size_t length, const char *why) {
    if (error)
        snprintf(error, DIVVY_SIMGPU_ERROR_MAX, "DIVVY_SIM_MIG: '%.*s': %s",
                 (int)(length < 80 ? length : 80), text, why);
    return -EINVAL;
}

/* The device that is being made: in f, or only in thought. */
typedef struct draft {
    sim_file_t *f;
    uint32_t device;
    sim_mig_table_t table;
    sim_mig_use_t use;
} draft_t;

static int named_row(const sim_mig_table_t *table, const char *text, size_t length) {
    for (unsigned row = 0; row < table->rows; row++)
        if (strlen(table->row[row].name) == length &&
            !strncasecmp(table->row[row].name, text, length))
            return (int)row;
    return -1;
}

/* The compute instance that takes all of a GPU instance has its name. */
static uint32_t whole(const sim_mig_table_t *table, unsigned row) {
    divvy_simgpu_ci_profile_t profile = {0};

    for (unsigned n = 0; !sim_mig_ci_profile(table, row, n, &profile); n++)
        if (!strcmp(profile.name, table->row[row].name))
            break;
    return profile.id;
}

static int make_one(draft_t *d, unsigned row) {
    int start = sim_mig_choose(&d->table, row, &d->use);
    uint32_t slot, index;

    if (start < 0)
        return start;
    d->use.taken |= ((UINT32_C(1) << d->table.row[row].size) - 1) << start;
    d->use.count[row]++;
    if (!d->f)
        return 0;
    int r = sim_mig_make_gi(d->f, 0, &d->table, d->device, d->table.row[row].id, start, &slot);

    return r < 0 ? r
                 : sim_mig_make_ci(d->f, 0, &d->table, d->device, slot, whole(&d->table, row),
                                   DIVVY_SIMGPU_MIG_ANYWHERE, &index);
}

static int read_instances(draft_t *d, const char *text, size_t length, char *error) {
    const char *star = memchr(text, '*', length), *name = star ? star + 1 : text;
    size_t name_length = length - (size_t)(name - text);
    uint64_t count = 1;
    int row = named_row(&d->table, name, name_length);

    if (star && (divvy_core_u64_parse(text, (size_t)(star - text), &count, NULL) < 0 || !count ||
                 count > DIVVY_SIMGPU_MIG_MAX))
        return refuse(error, text, length, "want a number from 1 to 7 before '*'");
    if (row < 0)
        return refuse(error, text, length, "no MIG profile of this model");
    while (count--)
        if (make_one(d, (unsigned)row) < 0)
            return refuse(error, text, length, "does not fit beside the others");
    return 0;
}

static int read_device(sim_file_t *f, const sim_config_t *config, uint32_t device, const char *text,
                       size_t length, char *error) {
    draft_t d = {.f = f, .device = device};
    int r = 0;

    if (!length || divvy_core_word_equal(text, length, "off"))
        return 0;
    if (!sim_config_mig(config, device, &d.table))
        return refuse(error, text, length, "this model has no MIG");
    for (size_t at = 0; !r && at <= length && !divvy_core_word_equal(text, length, "on");) {
        const char *comma = memchr(text + at, ',', length - at);
        size_t end = comma ? (size_t)(comma - text) : length;

        r = read_instances(&d, text + at, end - at, error);
        at = end + 1;
    }
    if (!r && f) {
        sim_store(&f->header.mig[device].pending, 1);
        sim_store(&f->header.mig[device].mode, 1);
    }
    return r;
}

int sim_mig_configure(sim_file_t *f, const sim_config_t *config, char *error) {
    const char *part = config->mig;

    for (uint32_t device = 0; device < config->devices; device++) {
        const char *end = strchrnul(part, ';');
        int r = read_device(f, config, device, part, (size_t)(end - part), error);

        if (r < 0)
            return r;
        if (*end && device + 1 < config->devices)
            part = end + 1;
        else if (*end)
            return refuse(error, end + 1, strlen(end + 1), "there are fewer devices");
    }
    return 0;
}
