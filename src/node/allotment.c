/* Who has what of which device: see allotment.h. */
#include "node/allotment.h"

#include "base/map.h"
#include "core/checked.h"
#include "core/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device {
    struct divvy_node_capacity capacity;
    struct divvy_node_given given;
    bool lost;
};

struct holder {
    enum divvy_node_isolation isolation;
    uint32_t count;
    struct {
        struct device *device;
        struct divvy_node_demand demand;
        bool partition;
    } parts[];
};

struct divvy_node_allotment {
    struct divvy_map devices; /* by UUID in lower case */
    struct divvy_map holders; /* by worker */
};

static int say(char why[DIVVY_NODE_TEXT_BYTES], int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int say(char why[DIVVY_NODE_TEXT_BYTES], int status, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(why, DIVVY_NODE_TEXT_BYTES, format, arguments);
    va_end(arguments);
    return status;
}

static struct device *device_find(const struct divvy_node_allotment *allotment, const char *uuid) {
    char key[DIVVY_NODE_WORKER_UUID_BYTES];
    size_t i = 0;

    for (; uuid[i] && i < sizeof key - 1; i++)
        key[i] = divvy_core_ascii_lower(uuid[i]);
    key[i] = '\0';
    return uuid[i] ? NULL : divvy_map_get(&allotment->devices, key);
}

/* --- making ------------------------------------------------------------------------------------------------------------------ */

int divvy_node_allotment_new(struct divvy_node_allotment **ret_allotment) {
    struct divvy_node_allotment *allotment = calloc(1, sizeof *allotment);

    if (!allotment)
        return -ENOMEM;
    *ret_allotment = allotment;
    return 0;
}

static void values_free(struct divvy_map *map) {
    size_t cursor = 0;
    void *value;

    while ((value = divvy_map_next(map, &cursor)))
        free(value);
    divvy_map_done(map);
}

void divvy_node_allotment_free(struct divvy_node_allotment *allotment) {
    if (!allotment)
        return;
    values_free(&allotment->devices);
    values_free(&allotment->holders);
    free(allotment);
}

/* --- devices ----------------------------------------------------------------------------------------------------------------- */

int divvy_node_allotment_device_set(struct divvy_node_allotment *allotment, const struct divvy_node_capacity *capacity) {
    struct device *device = device_find(allotment, capacity->uuid);
    char key[DIVVY_NODE_WORKER_UUID_BYTES];

    if (!capacity->uuid[0])
        return -EINVAL;
    if (!device) {
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = divvy_core_ascii_lower(capacity->uuid[i]);
        device = calloc(1, sizeof *device);
        if (!device || divvy_map_put(&allotment->devices, key, device) < 0) {
            free(device);
            return -ENOMEM;
        }
    }
    device->capacity = *capacity;
    device->lost = false;
    return 0;
}

int divvy_node_allotment_device_lose(struct divvy_node_allotment *allotment, const char *uuid) {
    struct device *device = device_find(allotment, uuid);

    if (!device)
        return -ENOENT;
    device->lost = true;
    return 0;
}

int divvy_node_allotment_device_remove(struct divvy_node_allotment *allotment, const char *uuid) {
    struct device *device = device_find(allotment, uuid);
    char key[DIVVY_NODE_WORKER_UUID_BYTES];

    if (!device)
        return -ENOENT;
    if (device->given.workers || device->given.partitions)
        return -EBUSY;
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = divvy_core_ascii_lower(device->capacity.uuid[i]);
    free(divvy_map_remove(&allotment->devices, key));
    return 0;
}

int divvy_node_allotment_device_given(const struct divvy_node_allotment *allotment, const char *uuid,
                                      struct divvy_node_given *ret_given) {
    const struct device *device = device_find(allotment, uuid);

    if (!device)
        return -ENOENT;
    *ret_given = device->given;
    return 0;
}

/* --- claims ------------------------------------------------------------------------------------------------------------------ */

static void part_give(struct holder *holder, uint32_t i, bool back) {
    struct divvy_node_given *given = &holder->parts[i].device->given;
    const struct divvy_node_demand *demand = &holder->parts[i].demand;

    given->memory_bytes = back ? given->memory_bytes - demand->reserve_bytes : given->memory_bytes + demand->reserve_bytes;
    given->compute_permille =
        back ? given->compute_permille - demand->reserve_permille : given->compute_permille + demand->reserve_permille;
    given->workers = back ? given->workers - 1 : given->workers + 1;
    if (holder->parts[i].partition)
        given->partitions = back ? given->partitions - 1 : given->partitions + 1;
}

static void parts_give(struct holder *holder, bool back) {
    for (uint32_t i = 0; holder && i < holder->count; i++)
        part_give(holder, i, back);
}

static bool is_beyond(uint64_t given, uint64_t more, uint64_t all, uint32_t permille) {
    if (all == 0 || permille == UINT32_MAX)
        return false;
    return divvy_core_u64_add_saturated(given, more) > divvy_core_u64_scale(all, permille, 1000);
}

static int mode_check(const struct device *device, enum divvy_node_isolation isolation, char why[DIVVY_NODE_TEXT_BYTES]) {
    const struct divvy_node_capacity *capacity = &device->capacity;
    bool can[DIVVY_NODE_ISOLATION_MAX] = {true, capacity->soft, capacity->hard, capacity->partitioning};
    uint32_t partitions = device->given.partitions, whole = device->given.workers - partitions;

    if (isolation == DIVVY_NODE_PARTITIONED && capacity->is_partition)
        return say(why, -EOPNOTSUPP, "device %.60s is a partition and cannot be divided", capacity->uuid);
    if (!can[isolation])
        return say(why, -EOPNOTSUPP, "device %.60s cannot do %s isolation", capacity->uuid, divvy_node_isolation_name(isolation));
    if (isolation == DIVVY_NODE_PARTITIONED ? whole > 0 : partitions > 0)
        return say(why, -EBUSY, "device %.60s is %s", capacity->uuid,
                   whole ? "used whole by other workers" : "divided into partitions");
    return 0;
}

static int room_check(const struct device *device, const struct divvy_node_demand *demand, enum divvy_node_isolation isolation,
                      struct divvy_node_overcommit overcommit, char why[DIVVY_NODE_TEXT_BYTES]) {
    const struct divvy_node_capacity *capacity = &device->capacity;
    const struct divvy_node_given *given = &device->given;
    uint32_t workers_max = capacity->is_partition ? 1 : capacity->workers_max;

    if (workers_max && given->workers >= workers_max)
        return say(why, -EUSERS, "device %.60s has as many workers as it takes (%u)", capacity->uuid, workers_max);
    if (isolation == DIVVY_NODE_PARTITIONED && capacity->partitions_max && given->partitions >= capacity->partitions_max)
        return say(why, -EUSERS, "device %.60s has as many partitions as it takes (%u)", capacity->uuid, capacity->partitions_max);
    if (is_beyond(given->memory_bytes, demand->reserve_bytes, capacity->memory_bytes, overcommit.memory_permille))
        return say(why, -EDQUOT, "device %.60s: %llu bytes of memory asked for, %llu of %llu are given out", capacity->uuid,
                   (unsigned long long)demand->reserve_bytes, (unsigned long long)given->memory_bytes,
                   (unsigned long long)capacity->memory_bytes);
    if (is_beyond(given->compute_permille, demand->reserve_permille, 1000, overcommit.compute_permille))
        return say(why, -EDQUOT, "device %.60s: %g %% of its time asked for, %g %% are given out", capacity->uuid,
                   demand->reserve_permille / 10.0, (double)given->compute_permille / 10);
    return 0;
}

/* One device of a claim, with those before it given already. */
static int part_make(const struct divvy_node_allotment *allotment, const struct divvy_node_worker *worker, struct holder *holder,
                     const char *uuid, struct divvy_node_overcommit overcommit, char why[DIVVY_NODE_TEXT_BYTES]) {
    struct device *device = device_find(allotment, uuid);
    bool partition = holder->isolation == DIVVY_NODE_PARTITIONED;
    struct divvy_node_demand demand = {.limit_permille = DIVVY_NODE_PERMILLE_NONE};
    char reason[DIVVY_NODE_TEXT_BYTES];
    int status;

    if (!device || device->lost || !device->capacity.healthy)
        return say(why, -ENODEV, "device %.60s %s", uuid,
                   !device ? "does not exist" : device->lost ? "has vanished" : "is not healthy");
    for (uint32_t i = 0; i < holder->count && !partition; i++)
        if (holder->parts[i].device == device)
            return say(why, -EINVAL, "device %.60s is named twice", uuid);
    /* a partition's size is the template's; a worker that shares is not held to anything */
    if (!partition && divvy_node_worker_demand(worker, device->capacity.memory_bytes, device->capacity.tflops, &demand, reason) < 0)
        return say(why, -EINVAL, "device %.60s: %.90s", uuid, reason);
    status = mode_check(device, holder->isolation, why);
    if (status == 0)
        status = room_check(device, &demand, holder->isolation, overcommit, why);
    if (status < 0)
        return status;
    holder->parts[holder->count].device = device;
    holder->parts[holder->count].demand = demand;
    holder->parts[holder->count].partition = partition;
    part_give(holder, holder->count++, false);
    return 0;
}

static int parts_make(struct divvy_node_allotment *allotment, const struct divvy_node_worker *worker, struct holder *holder,
                      struct divvy_node_overcommit overcommit, char why[DIVVY_NODE_TEXT_BYTES]) {
    int status = 0;

    for (uint32_t i = 0; i < worker->device_count && status == 0; i++)
        status = part_make(allotment, worker, holder, worker->devices[i], overcommit, why);
    if (status < 0)
        parts_give(holder, true);
    return status;
}

static void claims_copy(const struct holder *holder, struct divvy_node_claims *ret_claims) {
    ret_claims->isolation = holder->isolation;
    ret_claims->count = holder->count;
    for (uint32_t i = 0; i < holder->count; i++) {
        struct divvy_node_claim *claim = &ret_claims->claims[i];
        const struct device *device = holder->parts[i].device;

        memcpy(claim->uuid, device->capacity.uuid, sizeof claim->uuid);
        claim->demand = holder->parts[i].demand;
        claim->partition = holder->parts[i].partition;
        claim->lost = device->lost || !device->capacity.healthy;
    }
}

int divvy_node_allotment_claim(struct divvy_node_allotment *allotment, const struct divvy_node_worker *worker,
                               enum divvy_node_isolation isolation, struct divvy_node_overcommit overcommit,
                               struct divvy_node_claims *ret_claims, char why[DIVVY_NODE_TEXT_BYTES]) {
    struct holder *before = divvy_map_get(&allotment->holders, worker->uid), *holder;
    int status;

    if (worker->has_isolation)
        isolation = worker->isolation;
    if (!worker->uid[0] || worker->device_count == 0 || worker->device_count > DIVVY_NODE_WORKER_DEVICES)
        return say(why, -EINVAL, "worker %.100s names no device", worker->uid);
    if (isolation == DIVVY_NODE_PARTITIONED && !worker->template_id[0])
        return say(why, -EINVAL, "worker %.100s wants partitions and names no template", worker->uid);
    holder = calloc(1, sizeof *holder + worker->device_count * sizeof holder->parts[0]);
    if (!holder)
        return say(why, -ENOMEM, "no memory");
    holder->isolation = isolation;
    parts_give(before, true);
    status = parts_make(allotment, worker, holder, overcommit, why);
    if (status == 0 && divvy_map_put(&allotment->holders, worker->uid, holder) < 0) {
        parts_give(holder, true);
        status = say(why, -ENOMEM, "no memory");
    }
    if (status != 0) {
        parts_give(before, false);
        free(holder);
        return status;
    }
    free(before);
    if (ret_claims)
        claims_copy(holder, ret_claims);
    return 0;
}

int divvy_node_allotment_release(struct divvy_node_allotment *allotment, const char *uid) {
    struct holder *holder = divvy_map_remove(&allotment->holders, uid);

    if (!holder)
        return -ENOENT;
    parts_give(holder, true);
    free(holder);
    return 0;
}

int divvy_node_allotment_get(const struct divvy_node_allotment *allotment, const char *uid, struct divvy_node_claims *ret_claims) {
    const struct holder *holder = divvy_map_get(&allotment->holders, uid);

    if (!holder)
        return -ENOENT;
    claims_copy(holder, ret_claims);
    return 0;
}

size_t divvy_node_allotment_count(const struct divvy_node_allotment *allotment) {
    return allotment->holders.count;
}
