/* The calls that are the same in both generations: arguments judged, then the vendor's table. See call.h. */
#include "accel/provider/call.h"
#include "accel/provider/lenient.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

bool divvy_provider_id_read(const char *id, char ret_id[DIVVY_PROVIDER_ID_BYTES]) {
    size_t length = id ? strnlen(id, UUID_STRING_LENGTH) : 0;

    if (length == 0)
        return false;
    memcpy(ret_id, id, length);
    ret_id[length] = '\0';
    return true;
}

AccelResult divvy_provider_count_get(size_t *ret_count) {
    size_t count = 0;
    struct divvy_provider_call call;
    AccelResult result;

    if (!ret_count)
        return ACCEL_ERROR_INVALID_PARAM;
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS)
        result = divvy_provider.count(&count);
    *ret_count = result == ACCEL_SUCCESS ? count : 0;
    return divvy_provider_leave(&call, result);
}

/* --- partitions -------------------------------------------------------------------------------------------- */

AccelResult divvy_provider_partition_make(int generation, const char *template_id, const char *device_uuid,
                                          Accel2PartitionResult *ret_result) {
    char name[DIVVY_PROVIDER_ID_BYTES], device[DIVVY_PROVIDER_ID_BYTES];
    struct divvy_provider_call call;
    AccelResult result;

    if (ret_result)
        memset(ret_result, 0, sizeof *ret_result);
    if (!ret_result || !divvy_provider_id_read(template_id, name) || !divvy_provider_id_read(device_uuid, device))
        return ACCEL_ERROR_INVALID_PARAM;
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS)
        result = divvy_provider.find(device);
    if (divvy_provider_is_lenient() && (result == ACCEL_ERROR_NOT_FOUND || !divvy_provider.assign))
        result = divvy_lenient_assign(generation, name, device, ret_result);
    else if (result == ACCEL_SUCCESS)
        result = divvy_provider.assign ? divvy_provider.assign(name, device, ret_result) : ACCEL_ERROR_NOT_SUPPORTED;
    if (result != ACCEL_SUCCESS)
        memset(ret_result, 0, sizeof *ret_result);
    return divvy_provider_leave(&call, result);
}

AccelResult divvy_provider_partition_remove(const char *name, const char *device_uuid) {
    char id[DIVVY_PROVIDER_ID_BYTES], device[DIVVY_PROVIDER_ID_BYTES];
    struct divvy_provider_call call;
    AccelResult result;

    if (!name || !device_uuid)
        return ACCEL_ERROR_INVALID_PARAM;
    /* What has no name does not exist, and what does not exist is removed. */
    if (!divvy_provider.remove || !divvy_provider_id_read(name, id) || !divvy_provider_id_read(device_uuid, device))
        return ACCEL_SUCCESS;
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS)
        result = divvy_provider.remove(id, device);
    else if (result == ACCEL_ERROR_NOT_FOUND && divvy_provider_is_lenient())
        result = ACCEL_SUCCESS;
    return divvy_provider_leave(&call, result);
}

/* --- limits ------------------------------------------------------------------------------------------------ */

/* SUCCESS: the device is there, and the vendor is to be asked. *ret_done: there is no more to do. */
static AccelResult limit_begin(struct divvy_provider_call *call, const char *device_uuid,
                               char ret_device[DIVVY_PROVIDER_ID_BYTES], bool *ret_done) {
    AccelResult result = divvy_provider_enter(call);

    if (result == ACCEL_SUCCESS && !divvy_provider_id_read(device_uuid, ret_device))
        result = ACCEL_ERROR_INVALID_PARAM;
    if (result == ACCEL_SUCCESS)
        result = divvy_provider.find(ret_device);
    *ret_done = result != ACCEL_SUCCESS;
    if (result == ACCEL_ERROR_NOT_FOUND && divvy_provider_is_lenient())
        result = ACCEL_SUCCESS;
    return result;
}

AccelResult divvy_provider_memory_limit(const char *device_uuid, uint64_t bytes) {
    char device[DIVVY_PROVIDER_ID_BYTES];
    struct divvy_provider_call call;
    AccelResult result;
    bool done;

    if (!device_uuid || bytes == 0)
        return ACCEL_ERROR_INVALID_PARAM;
    result = limit_begin(&call, device_uuid, device, &done);
    if (!done)
        result = divvy_provider.memory_limit ? divvy_provider.memory_limit(device, bytes) : ACCEL_ERROR_NOT_SUPPORTED;
    return divvy_provider_leave(&call, result);
}

AccelResult divvy_provider_compute_limit(const char *device_uuid, uint32_t percent) {
    char device[DIVVY_PROVIDER_ID_BYTES];
    struct divvy_provider_call call;
    AccelResult result;
    bool done;

    if (!device_uuid || percent == 0 || percent > 100)
        return ACCEL_ERROR_INVALID_PARAM;
    result = limit_begin(&call, device_uuid, device, &done);
    if (!done)
        result = divvy_provider.compute_limit ? divvy_provider.compute_limit(device, percent) : ACCEL_ERROR_NOT_SUPPORTED;
    return divvy_provider_leave(&call, result);
}

/* --- snapshots --------------------------------------------------------------------------------------------- */

static AccelResult pids_check(const pid_t *pids, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (pids[i] <= 0)
            return ACCEL_ERROR_INVALID_PARAM;
        if (kill(pids[i], 0) < 0 && errno == ESRCH) {
            divvy_provider_log("ERROR", "there is no process %d", pids[i]);
            return ACCEL_ERROR_NOT_FOUND;
        }
        /* The host would wait for itself, for good. */
        if (pids[i] == getpid() && divvy_provider.snapshot && !divvy_provider.always_lenient) {
            divvy_provider_log("ERROR", "process %d is the one that asks", pids[i]);
            return ACCEL_ERROR_INVALID_PARAM;
        }
    }
    return ACCEL_SUCCESS;
}

/* The processes of a device, in `room` for MAX_PROCESSES. */
static AccelResult device_pids(const char *device_uuid, pid_t *room, size_t *ret_count) {
    char device[DIVVY_PROVIDER_ID_BYTES];
    AccelResult result;

    *ret_count = 0;
    if (!divvy_provider_id_read(device_uuid, device))
        return ACCEL_ERROR_INVALID_PARAM;
    result = divvy_provider.find(device);
    if (result == ACCEL_ERROR_NOT_FOUND && divvy_provider_is_lenient())
        return ACCEL_SUCCESS;
    if (result == ACCEL_SUCCESS && divvy_provider.device_pids)
        result = divvy_provider.device_pids(device, room, MAX_PROCESSES, ret_count);
    return result;
}

AccelResult divvy_provider_freeze(const pid_t *pids, size_t count, const char *device_uuid, bool resume) {
    AccelResult (*act)(const pid_t *, size_t) = resume ? divvy_provider.resume : divvy_provider.snapshot;
    struct divvy_provider_call call;
    pid_t *found = NULL;
    AccelResult result;

    if (count > MAX_PROCESSES || (count > 0 && !pids) || (count == 0 && !device_uuid))
        return ACCEL_ERROR_INVALID_PARAM;
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS && count == 0) {
        found = calloc(MAX_PROCESSES, sizeof *found);
        result = found ? device_pids(device_uuid, found, &count) : ACCEL_ERROR_INTERNAL;
        pids = found;
    } else if (result == ACCEL_SUCCESS) {
        result = pids_check(pids, count);
    }
    if (result == ACCEL_SUCCESS && !act)
        result = ACCEL_ERROR_NOT_SUPPORTED;
    if (result == ACCEL_SUCCESS && count > 0)
        result = act(pids, count);
    free(found);
    return divvy_provider_leave(&call, result);
}

/* --- figures ----------------------------------------------------------------------------------------------- */

AccelResult divvy_provider_processes_get(ProcessInformation *infos, size_t max, size_t *ret_count) {
    struct divvy_provider_call call;
    AccelResult result;
    size_t count = 0;

    if (ret_count)
        *ret_count = 0;
    if (!infos || !ret_count || max == 0)
        return ACCEL_ERROR_INVALID_PARAM;
    result = divvy_provider_enter(&call);
    max = least(max, MAX_PROCESSES);
    if (result == ACCEL_SUCCESS && divvy_provider.processes) {
        memset(infos, 0, max * sizeof *infos);
        result = divvy_provider.processes(infos, max, &count);
    }
    *ret_count = result == ACCEL_SUCCESS ? least(count, max) : 0;
    return divvy_provider_leave(&call, result);
}

/* A device that is none costs the others nothing: the host would drop the figures of all. */
static AccelResult metrics_fill(const char **uuids, size_t count, DeviceMetrics *metrics) {
    size_t unknown = 0;

    for (size_t i = 0; i < count; i++) {
        char device[DIVVY_PROVIDER_ID_BYTES];

        memset(&metrics[i], 0, sizeof metrics[i]);
        if (!divvy_provider_id_read(uuids[i], device))
            return ACCEL_ERROR_INVALID_PARAM;
        if (divvy_provider.metrics(device, &metrics[i]) == ACCEL_ERROR_NOT_FOUND) {
            unknown++;
            divvy_provider_log("WARN", "no figures: there is no device %s", device);
        }
        divvy_provider_text(metrics[i].deviceUUID, sizeof metrics[i].deviceUUID, device);
    }
    return unknown == count && !divvy_provider_is_lenient() ? ACCEL_ERROR_NOT_FOUND : ACCEL_SUCCESS;
}

AccelResult divvy_provider_metrics_get(const char **uuids, size_t count, DeviceMetrics *metrics) {
    struct divvy_provider_call call;
    AccelResult result;

    if (!uuids || !metrics || count == 0 || count > MAX_DEVICE_UUIDS)
        return ACCEL_ERROR_INVALID_PARAM;
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS)
        result = metrics_fill(uuids, count, metrics);
    return divvy_provider_leave(&call, result);
}

/* A host gives up a worker when this fails, so it does not. */
AccelResult divvy_provider_mounts_get(MountPath *mounts, size_t max, size_t *ret_count) {
    struct divvy_provider_call call;
    size_t count = 0;

    if (ret_count)
        *ret_count = 0;
    if (!mounts || !ret_count || max == 0)
        return ACCEL_ERROR_INVALID_PARAM;
    if (divvy_provider_enter(&call) == ACCEL_SUCCESS && divvy_provider.mounts) {
        memset(mounts, 0, max * sizeof *mounts);
        if (divvy_provider.mounts(mounts, max, &count) != ACCEL_SUCCESS)
            count = 0;
    }
    *ret_count = least(count, max);
    return divvy_provider_leave(&call, ACCEL_SUCCESS);
}
