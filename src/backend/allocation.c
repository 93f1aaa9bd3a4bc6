/* The allocation controller: see allocation.h. */
#include "backend/allocation.h"

#include "base/cleanup.h"
#include "base/install.h"
#include "base/log.h"
#include "base/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * `work` is held for the whole of an allocation, `lock` for moments. Handlers of the device controller, which has locks of its own, take
 * `lock` only: an allocation may wait for the device controller, never the other way round.
 */
struct divvy_backend_allocations {
    struct divvy_backend_devices *devices;
    struct divvy_backend_allocations_options options;
    pthread_mutex_t work, lock;
    struct divvy_node_allotment *book; /* under lock */
    struct divvy_map by_uid;           /* under lock; changed under work too */
    char *library_dir;
};

struct divvy_backend_allocation *divvy_backend_allocation_ref(struct divvy_backend_allocation *allocation) {
    (void)__atomic_add_fetch(&allocation->references, 1, __ATOMIC_RELAXED);
    return allocation;
}

void divvy_backend_allocation_unref(struct divvy_backend_allocation *allocation) {
    if (!allocation || __atomic_sub_fetch(&allocation->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (uint32_t i = 0; i < allocation->device_count; i++)
        divvy_backend_device_unref(allocation->devices[i]);
    divvy_backend_environment_done(&allocation->environment);
    divvy_accel_mounts_free(&allocation->mounts);
    free(allocation);
}

/* --- devices that come and go ----------------------------------------------------------------------------------------------------- */

static void device_set(void *data, struct divvy_backend_device *device) {
    struct divvy_backend_allocations *allocations = data;
    struct divvy_node_capacity capacity;

    divvy_backend_device_capacity(device, &capacity);
    (void)pthread_mutex_lock(&allocations->lock);
    if (divvy_node_allotment_device_set(allocations->book, &capacity) < 0)
        divvy_log_error("no memory for device %s: nobody can have it", device->uuid);
    (void)pthread_mutex_unlock(&allocations->lock);
}

static void device_update(void *data, struct divvy_backend_device *before, struct divvy_backend_device *after) {
    (void)before;
    device_set(data, after);
}

static void device_lose(void *data, struct divvy_backend_device *device) {
    struct divvy_backend_allocations *allocations = data;

    (void)pthread_mutex_lock(&allocations->lock);
    if (divvy_node_allotment_device_remove(allocations->book, device->uuid) == -EBUSY)
        (void)divvy_node_allotment_device_lose(allocations->book, device->uuid);
    (void)pthread_mutex_unlock(&allocations->lock);
}

int divvy_backend_allocations_new(struct divvy_backend_devices *devices, const struct divvy_backend_allocations_options *options,
                                  struct divvy_backend_allocations **ret_allocations) {
    struct divvy_backend_allocations *allocations = calloc(1, sizeof *allocations);
    struct divvy_backend_device_handler handler = {
        .data = allocations, .added = device_set, .removed = device_lose, .updated = device_update};

    if (!allocations || divvy_node_allotment_new(&allocations->book) < 0) {
        free(allocations);
        return -ENOMEM;
    }
    allocations->devices = devices;
    allocations->options = *options;
    allocations->library_dir = options->library_dir ? strdup(options->library_dir) : NULL;
    if (!allocations->options.overcommit.memory_permille)
        allocations->options.overcommit.memory_permille = 1000;
    if (!allocations->options.overcommit.compute_permille)
        allocations->options.overcommit.compute_permille = 1000;
    if (!allocations->options.limiter.hold)
        allocations->options.limiter = divvy_backend_limiter_alone(NULL);
    (void)pthread_mutex_init(&allocations->work, NULL);
    (void)pthread_mutex_init(&allocations->lock, NULL);
    if ((options->library_dir && !allocations->library_dir) || divvy_backend_devices_handler_add(devices, &handler) < 0) {
        divvy_backend_allocations_free(allocations);
        return -ENOMEM;
    }
    *ret_allocations = allocations;
    return 0;
}

void divvy_backend_allocations_free(struct divvy_backend_allocations *allocations) {
    struct divvy_backend_allocation *allocation;
    size_t cursor = 0;

    if (!allocations)
        return;
    divvy_backend_devices_handler_remove(allocations->devices, allocations);
    while ((allocation = divvy_map_next(&allocations->by_uid, &cursor)))
        divvy_backend_allocation_unref(allocation);
    divvy_map_done(&allocations->by_uid);
    free(allocations->library_dir);
    divvy_node_allotment_free(allocations->book);
    (void)pthread_mutex_destroy(&allocations->work);
    (void)pthread_mutex_destroy(&allocations->lock);
    free(allocations);
}

/* --- partitions -------------------------------------------------------------------------------------------------------------- */

static bool is_among(const struct divvy_backend_allocation *allocation, const struct divvy_backend_device *device) {
    for (uint32_t i = 0; allocation && i < allocation->device_count; i++)
        if (divvy_backend_device_is(device, allocation->devices[i]->uuid))
            return true;
    return false;
}

/* One that was made for this worker and that it has not taken yet; the caller's reference, or NULL. */
static struct divvy_backend_device *partition_find(struct divvy_backend_allocations *allocations,
                                                   const struct divvy_backend_allocation *allocation, const char *parent) {
    struct divvy_backend_device *found = NULL, *whole = divvy_backend_devices_get(allocations->devices, parent);
    struct divvy_backend_device_list list;

    if (whole && divvy_backend_devices_list(allocations->devices, &list) == 0) {
        for (size_t i = 0; i < list.count && !found; i++) {
            struct divvy_backend_device *device = list.devices[i];

            if (device->parent[0] && divvy_backend_device_is(whole, device->parent) &&
                strcmp(device->worker, allocation->worker.uid) == 0 &&
                strcmp(device->template_id, allocation->worker.template_id) == 0 && !is_among(allocation, device))
                found = divvy_backend_device_ref(device);
        }
        divvy_backend_device_list_free(&list);
    }
    divvy_backend_device_unref(whole);
    return found;
}

/* Partitions of `allocation` that `other` has not. */
static void partitions_undo(struct divvy_backend_allocations *allocations, const struct divvy_backend_allocation *allocation,
                            const struct divvy_backend_allocation *other) {
    for (uint32_t i = 0; i < allocation->device_count; i++) {
        const struct divvy_backend_device *device = allocation->devices[i];
        struct divvy_error error = {0, ""};
        int status;

        if (!device->parent[0] || device->worker[0] == '\0' || is_among(other, device))
            continue;
        status = divvy_backend_devices_partition_remove(allocations->devices, device->uuid, device->parent, &error);
        if (status < 0 && status != -ENOENT)
            divvy_log_error("partition %s of worker %s is not removed: %s", device->uuid, allocation->worker.uid, error.text);
    }
}

static int devices_take(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation *allocation,
                        struct divvy_error *error) {
    for (uint32_t i = 0; i < allocation->claims.count; i++) {
        const struct divvy_node_claim *claim = &allocation->claims.claims[i];
        struct divvy_backend_device *device = claim->partition ? partition_find(allocations, allocation, claim->uuid)
                                                               : divvy_backend_devices_get(allocations->devices, claim->uuid);
        int status = 0;

        if (!device && claim->partition)
            status = divvy_backend_devices_split(allocations->devices, claim->uuid, allocation->worker.template_id,
                                                 allocation->worker.uid, &device, error);
        else if (!device)
            status = divvy_error_set(error, -ENODEV, "device %.60s has vanished", claim->uuid);
        if (status < 0)
            return status;
        allocation->devices[allocation->device_count++] = device;
    }
    return 0;
}

/* --- limits and environment -------------------------------------------------------------------------------------------------------- */

static bool has_limits(const struct divvy_backend_allocation *allocation) {
    for (uint32_t i = 0; i < allocation->claims.count; i++)
        if (allocation->claims.claims[i].demand.limit_bytes ||
            allocation->claims.claims[i].demand.limit_permille < DIVVY_NODE_PERMILLE_NONE)
            return true;
    return false;
}

static uint32_t percent_of(const struct divvy_node_claim *claim) {
    uint32_t permille = claim->demand.limit_permille;

    return permille < DIVVY_NODE_PERMILLE_NONE ? (permille + 9) / 10 : 0;
}

/* Hard limits: asks the driver; where it cannot, somebody else has to. */
static int driver_limits_set(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation *allocation,
                             struct divvy_error *error) {
    allocation->driver_keeps = true;
    for (uint32_t i = 0; i < allocation->claims.count; i++) {
        const struct divvy_node_claim *claim = &allocation->claims.claims[i];
        int status = divvy_backend_devices_limit(allocations->devices, allocation->worker.uid, claim->uuid,
                                                 claim->demand.limit_bytes, percent_of(claim), error);

        if (status == -EOPNOTSUPP)
            allocation->driver_keeps = false;
        else if (status < 0)
            return status;
    }
    *error = (struct divvy_error){0, ""};
    return 0;
}

static int partition_variables_set(struct divvy_backend_allocation *allocation) {
    for (uint32_t i = 0; i < allocation->device_count; i++) {
        const struct divvy_backend_device *device = allocation->devices[i];

        for (size_t k = 0; k < device->environment.count; k++) {
            /* the names of all its devices are there already; a variable of one would hide the others */
            if (allocation->device_count > 1 && strstr(device->environment.pairs[k].key, "VISIBLE_DEVICES"))
                continue;
            int status = divvy_backend_environment_set(&allocation->environment, device->environment.pairs[k].key,
                                                       device->environment.pairs[k].value);
            if (status < 0)
                return status;
        }
    }
    return 0;
}

static int library_dir_set(const struct divvy_backend_allocations *allocations, struct divvy_backend_allocation *allocation) {
    cleanup_free char *list = divvy_install_list_front(allocations->library_dir, getenv("LD_LIBRARY_PATH"));

    return list ? divvy_backend_environment_set(&allocation->environment, "LD_LIBRARY_PATH", list) : -ENOMEM;
}

static int environment_make(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation *allocation,
                            struct divvy_error *error) {
    const char *uuids[DIVVY_NODE_WORKER_DEVICES];
    const struct divvy_node_claim *first = &allocation->claims.claims[0];
    bool told = allocation->claims.isolation == DIVVY_NODE_HARD;
    struct divvy_backend_grant grant = {.worker = allocation->worker.uid,
                                        .vendor = divvy_backend_devices_vendor(allocations->devices),
                                        .devices = uuids,
                                        .device_count = allocation->device_count,
                                        .memory_bytes = told ? first->demand.limit_bytes : 0,
                                        .compute_percent = told ? percent_of(first) : 0};
    int status;

    for (uint32_t i = 0; i < allocation->device_count; i++)
        uuids[i] = allocation->devices[i]->uuid;
    status = divvy_backend_environment_init(&allocation->environment, &grant, error);
    if (status < 0)
        return status;
    status = partition_variables_set(allocation);
    if (status == 0 && allocations->library_dir)
        status = library_dir_set(allocations, allocation);
    if (status == 0)
        status = divvy_backend_environment_set(&allocation->environment, "TF_ISOLATION_MODE",
                                               divvy_node_isolation_name(allocation->claims.isolation));
    return status < 0 ? divvy_error_set_errno(error, status, "the environment of worker %.100s", allocation->worker.uid) : 0;
}

static int mounts_take(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation *allocation,
                       struct divvy_error *error) {
    int status = divvy_backend_devices_mounts(allocations->devices, &allocation->mounts, error);

    if (status != -EOPNOTSUPP && status != -ENOENT)
        return status;
    *error = (struct divvy_error){0, ""};
    return 0;
}

static bool needs_limiter(const struct divvy_backend_allocation *allocation) {
    return allocation->claims.isolation == DIVVY_NODE_SOFT ||
           (allocation->claims.isolation == DIVVY_NODE_HARD && has_limits(allocation) && !allocation->driver_keeps);
}

/* --- allocating -------------------------------------------------------------------------------------------------------------- */

/* All that comes after the claim. On failure partitions that `before` has not are taken back by the caller. */
static int equip(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation *allocation, struct divvy_error *error) {
    const struct divvy_backend_limiter *limiter = &allocations->options.limiter;
    int status = devices_take(allocations, allocation, error);

    if (status == 0)
        status = mounts_take(allocations, allocation, error);
    if (status == 0 && allocation->claims.isolation == DIVVY_NODE_HARD && has_limits(allocation))
        status = driver_limits_set(allocations, allocation, error);
    if (status == 0)
        status = environment_make(allocations, allocation, error);
    if (status == 0 && needs_limiter(allocation))
        status = limiter->hold(limiter->data, &allocation->worker, &allocation->claims, &allocation->environment, error);
    return status;
}

static int claim(struct divvy_backend_allocations *allocations, const struct divvy_node_worker *worker,
                 struct divvy_node_claims *ret_claims, struct divvy_error *error) {
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    int status;

    (void)pthread_mutex_lock(&allocations->lock);
    status = divvy_node_allotment_claim(allocations->book, worker, allocations->options.isolation, allocations->options.overcommit,
                                        ret_claims, why);
    (void)pthread_mutex_unlock(&allocations->lock);
    return status < 0 ? divvy_error_set(error, status, "%s", why) : 0;
}

/* The book is again as it was before the claim. */
static void claim_undo(struct divvy_backend_allocations *allocations, const char *uid, const struct divvy_backend_allocation *before) {
    char why[DIVVY_NODE_TEXT_BYTES];

    (void)pthread_mutex_lock(&allocations->lock);
    (void)divvy_node_allotment_release(allocations->book, uid);
    if (before && divvy_node_allotment_claim(allocations->book, &before->worker, allocations->options.isolation,
                                             (struct divvy_node_overcommit){UINT32_MAX, UINT32_MAX}, NULL, why) < 0)
        divvy_log_error("worker %s: what it had is not in the book any more: %s", uid, why);
    (void)pthread_mutex_unlock(&allocations->lock);
}

static bool resource_equal(const struct divvy_node_resource *a, const struct divvy_node_resource *b) {
    return a->vram_bytes == b->vram_bytes && divvy_node_quantity_compare(a->tflops, b->tflops) == 0 &&
           divvy_node_quantity_compare(a->compute, b->compute) == 0;
}

/* What counts for an allocation; names and status do not. */
static bool wish_equal(const struct divvy_node_worker *a, const struct divvy_node_worker *b) {
    if (a->has_isolation != b->has_isolation || (a->has_isolation && a->isolation != b->isolation) || a->qos != b->qos ||
        a->device_count != b->device_count || strcmp(a->template_id, b->template_id) != 0 ||
        !resource_equal(&a->requests, &b->requests) || !resource_equal(&a->limits, &b->limits))
        return false;
    for (uint32_t i = 0; i < a->device_count; i++)
        if (strcmp(a->devices[i], b->devices[i]) != 0)
            return false;
    return true;
}

static int enter(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation *allocation) {
    int status;

    (void)pthread_mutex_lock(&allocations->lock);
    status = divvy_map_put(&allocations->by_uid, allocation->worker.uid, allocation);
    (void)pthread_mutex_unlock(&allocations->lock);
    return status;
}

/* A worker's limits as they were, after an attempt to change them has failed. */
static void limits_restore(struct divvy_backend_allocations *allocations, const struct divvy_backend_allocation *tried,
                           struct divvy_backend_allocation *before) {
    const struct divvy_backend_limiter *limiter = &allocations->options.limiter;
    struct divvy_backend_environment scratch = {0};
    struct divvy_error error = {0, ""};

    if (before && needs_limiter(before)) {
        if (limiter->hold(limiter->data, &before->worker, &before->claims, &scratch, &error) < 0)
            divvy_log_error("worker %s: its limits are not as they were: %s", before->worker.uid, error.text);
    } else if (needs_limiter(tried)) {
        limiter->drop(limiter->data, tried->worker.uid);
    }
    divvy_backend_environment_done(&scratch);
}

static int allocate(struct divvy_backend_allocations *allocations, const struct divvy_node_worker *worker,
                    struct divvy_backend_allocation *before, struct divvy_backend_allocation **ret_allocation, struct divvy_error *error) {
    struct divvy_backend_allocation *allocation = calloc(1, sizeof *allocation);
    int status;

    if (!allocation)
        return divvy_error_set_errno(error, -ENOMEM, "worker %.100s", worker->uid);
    allocation->references = 1;
    allocation->worker = *worker;
    status = claim(allocations, worker, &allocation->claims, error);
    if (status < 0) {
        divvy_backend_allocation_unref(allocation);
        return status;
    }
    status = equip(allocations, allocation, error);
    if (status == 0 && enter(allocations, allocation) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "worker %.100s", worker->uid);
    if (status < 0) {
        limits_restore(allocations, allocation, before);
        partitions_undo(allocations, allocation, before);
        claim_undo(allocations, worker->uid, before);
        divvy_backend_allocation_unref(allocation);
        return status;
    }
    if (before) {
        partitions_undo(allocations, before, allocation);
        if (needs_limiter(before) && !needs_limiter(allocation))
            allocations->options.limiter.drop(allocations->options.limiter.data, worker->uid);
        divvy_backend_allocation_unref(before);
    }
    *ret_allocation = allocation;
    return 0;
}

int divvy_backend_allocate(struct divvy_backend_allocations *allocations, const struct divvy_node_worker *worker,
                           struct divvy_backend_allocation **ret_allocation, struct divvy_error *error) {
    struct divvy_backend_allocation *allocation;
    struct divvy_error own = {0, ""};
    int status = 0;

    (void)pthread_mutex_lock(&allocations->work);
    allocation = divvy_map_get(&allocations->by_uid, worker->uid);
    if (!allocation || !wish_equal(&allocation->worker, worker))
        status = allocate(allocations, worker, allocation, &allocation, &own);
    if (status == 0 && ret_allocation)
        *ret_allocation = divvy_backend_allocation_ref(allocation);
    (void)pthread_mutex_unlock(&allocations->work);
    if (status < 0 && error)
        *error = own;
    return status;
}

int divvy_backend_release(struct divvy_backend_allocations *allocations, const char *uid) {
    struct divvy_backend_allocation *allocation;

    (void)pthread_mutex_lock(&allocations->work);
    (void)pthread_mutex_lock(&allocations->lock);
    allocation = divvy_map_remove(&allocations->by_uid, uid);
    (void)pthread_mutex_unlock(&allocations->lock);
    if (allocation) {
        if (needs_limiter(allocation))
            allocations->options.limiter.drop(allocations->options.limiter.data, uid);
        partitions_undo(allocations, allocation, NULL);
        (void)pthread_mutex_lock(&allocations->lock);
        (void)divvy_node_allotment_release(allocations->book, uid);
        (void)pthread_mutex_unlock(&allocations->lock);
        divvy_backend_allocation_unref(allocation);
    }
    (void)pthread_mutex_unlock(&allocations->work);
    return allocation ? 0 : -ENOENT;
}

/* --- looking ----------------------------------------------------------------------------------------------------------------- */

struct divvy_backend_allocation *divvy_backend_allocation_get(struct divvy_backend_allocations *allocations, const char *uid) {
    struct divvy_backend_allocation *allocation;

    (void)pthread_mutex_lock(&allocations->lock);
    allocation = divvy_map_get(&allocations->by_uid, uid);
    if (allocation)
        (void)divvy_backend_allocation_ref(allocation);
    (void)pthread_mutex_unlock(&allocations->lock);
    return allocation;
}

static int by_uid(const void *a, const void *b) {
    const struct divvy_backend_allocation *x = *(struct divvy_backend_allocation *const *)a;
    const struct divvy_backend_allocation *y = *(struct divvy_backend_allocation *const *)b;

    return strcmp(x->worker.uid, y->worker.uid);
}

int divvy_backend_allocations_list(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation ***ret_list,
                                   size_t *ret_count) {
    struct divvy_backend_allocation **list = NULL, *allocation;
    size_t count = 0, cursor = 0;

    (void)pthread_mutex_lock(&allocations->lock);
    if (allocations->by_uid.count)
        list = calloc(allocations->by_uid.count, sizeof(struct divvy_backend_allocation *));
    while (list && (allocation = divvy_map_next(&allocations->by_uid, &cursor)))
        list[count++] = divvy_backend_allocation_ref(allocation);
    cursor = allocations->by_uid.count;
    (void)pthread_mutex_unlock(&allocations->lock);
    if (cursor && !list)
        return -ENOMEM;
    if (list)
        qsort(list, count, sizeof(struct divvy_backend_allocation *), by_uid);
    *ret_list = list;
    *ret_count = count;
    return 0;
}

uint32_t divvy_backend_allocation_lost(struct divvy_backend_allocations *allocations, const char *uid) {
    struct divvy_node_claims *claims = malloc(sizeof *claims);
    uint32_t lost = 0;

    (void)pthread_mutex_lock(&allocations->lock);
    if (claims && divvy_node_allotment_get(allocations->book, uid, claims) == 0)
        for (uint32_t i = 0; i < claims->count; i++)
            lost += claims->claims[i].lost;
    (void)pthread_mutex_unlock(&allocations->lock);
    free(claims);
    return lost;
}

void divvy_backend_allocations_sweep(struct divvy_backend_allocations *allocations, bool (*is_wanted)(void *data, const char *uid),
                                     void *data) {
    struct divvy_backend_device_list list;

    (void)pthread_mutex_lock(&allocations->work);
    if (divvy_backend_devices_list(allocations->devices, &list) == 0) {
        for (size_t i = 0; i < list.count; i++) {
            const struct divvy_backend_device *device = list.devices[i];
            struct divvy_backend_allocation *holder = divvy_map_get(&allocations->by_uid, device->worker);
            struct divvy_error error = {0, ""};

            if (!device->parent[0] || !device->worker[0] || is_among(holder, device) || (!holder && is_wanted(data, device->worker)))
                continue;
            if (divvy_backend_devices_partition_remove(allocations->devices, device->uuid, device->parent, &error) < 0)
                divvy_log_warn("partition %s, which worker %s had, is not removed: %s", device->uuid, device->worker, error.text);
            else
                divvy_log_info("partition %s, which worker %s had, is removed", device->uuid, device->worker);
        }
        divvy_backend_device_list_free(&list);
    }
    (void)pthread_mutex_unlock(&allocations->work);
}
