/* Topology, metrics, processes and mounts as a library tells them: see accel.h. */
#include "accel/library.h"
#include "core/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOUNTS_MAX 64u

/* --- topology ------------------------------------------------------------------------------------------------ */

const char *divvy_accel_topology_level_name(enum divvy_accel_topology_level level) {
    static const char *const names[DIVVY_ACCEL_TOPOLOGY_MAX] = {
        "internal", "single-switch", "multi-switch", "host-bridge", "numa-node", "system", "self", "unknown",
    };

    return names[level >= 0 && level < DIVVY_ACCEL_TOPOLOGY_MAX ? level : DIVVY_ACCEL_TOPOLOGY_UNKNOWN];
}

static enum divvy_accel_topology_level level_read(const TopoLevelType *field) {
    uint32_t level;

    memcpy(&level, field, sizeof level);
    return level < DIVVY_ACCEL_TOPOLOGY_MAX ? (enum divvy_accel_topology_level)level : DIVVY_ACCEL_TOPOLOGY_UNKNOWN;
}

static void peers_read(const Accel2DeviceTopologyInfo *from, struct divvy_accel_topology_device *to, struct divvy_accel_peer **room) {
    size_t count = from->peerCount < MAX_TOPOLOGY_DEVICES ? from->peerCount : MAX_TOPOLOGY_DEVICES;

    to->peers = *room;
    for (size_t i = 0; i < count; i++) {
        struct divvy_accel_peer *peer = *room;

        if (!divvy_accel_text_read(from->peers[i].peerUUID, UUID_STRING_LENGTH, peer->uuid, sizeof peer->uuid) || !peer->uuid[0])
            continue;
        peer->index = from->peers[i].peerIndex;
        peer->level = level_read(&from->peers[i].topoLevel);
        to->peer_count++;
        ++*room;
    }
}

static int32_t node_read(int32_t node) {
    return node >= 0 ? node : -1;
}

static int topology_2(struct divvy_accel *accel, struct divvy_accel_topology *ret_topology, struct divvy_error *error) {
    static const char name[] = "AccelGetAllDevicesTopology";
    Accel2ExtendedDeviceTopology *from = calloc(1, sizeof *from);
    struct divvy_accel_topology_device *devices = NULL;
    struct divvy_accel_peer *peers;
    size_t count = 0;
    int status;

    if (!from)
        return divvy_error_set_errno(error, -ENOMEM, "cannot read the topology");
    divvy_accel_enter(accel);
    status = divvy_accel_result(accel, name, (int)accel->library->two.AccelGetAllDevicesTopology(from), error);
    divvy_accel_leave(accel);
    if (status == 0 && from->deviceCount > MAX_TOPOLOGY_DEVICES)
        status = divvy_accel_nonsense(accel, name, error, "%zu devices", from->deviceCount);
    if (status == 0 && from->deviceCount > 0) {
        devices = calloc(1, from->deviceCount * (sizeof *devices + MAX_TOPOLOGY_DEVICES * sizeof *peers));
        if (!devices)
            status = divvy_error_set_errno(error, -ENOMEM, "cannot read the topology");
    }
    peers = devices ? (struct divvy_accel_peer *)(void *)(devices + from->deviceCount) : NULL;
    for (size_t i = 0; status == 0 && i < from->deviceCount; i++) {
        struct divvy_accel_topology_device *to = &devices[count];

        if (!divvy_accel_text_read(from->devices[i].deviceUUID, UUID_STRING_LENGTH, to->uuid, sizeof to->uuid) || !to->uuid[0])
            continue;
        to->index = from->devices[i].deviceIndex;
        to->numa_node = node_read(from->devices[i].numaNode);
        peers_read(&from->devices[i], to, &peers);
        count++;
    }
    free(from);
    if (status == 0)
        *ret_topology = (struct divvy_accel_topology){.count = count, .devices = devices};
    return status;
}

/* Generation 1 is asked by index, as its devices came. */
static int topology_1(struct divvy_accel *accel, struct divvy_accel_topology *ret_topology, struct divvy_error *error) {
    static const char name[] = "GetDeviceTopology";
    struct divvy_accel_topology topology = {.count = 0};
    struct divvy_accel_devices list;
    int32_t indices[MAX_TOPOLOGY_DEVICES];
    Accel1ExtendedDeviceTopology *from;
    int status = divvy_accel_devices_get(accel, &list, error);

    if (status < 0)
        return status;
    from = calloc(1, sizeof *from);
    topology.devices = calloc(list.count + 1, sizeof *topology.devices);
    if (!from || !topology.devices)
        status = divvy_error_set_errno(error, -ENOMEM, "cannot read the topology");
    for (size_t i = 0; i < list.count; i++)
        indices[i] = list.devices[i].index;
    if (status == 0 && list.count > 0) {
        divvy_accel_enter(accel);
        status = divvy_accel_result(accel, name, (int)accel->library->one.GetDeviceTopology(indices, list.count, from), error);
        divvy_accel_leave(accel);
    }
    if (status == 0 && from->deviceCount > list.count)
        status = divvy_accel_nonsense(accel, name, error, "%zu devices where %zu were asked for", from->deviceCount, list.count);
    for (size_t i = 0; status == 0 && i < from->deviceCount; i++) {
        struct divvy_accel_topology_device *to = &topology.devices[topology.count];

        if (!divvy_accel_text_read(from->devices[i].deviceUUID, UUID_STRING_LENGTH, to->uuid, sizeof to->uuid) || !to->uuid[0])
            continue;
        to->index = indices[i];
        to->numa_node = node_read(from->devices[i].numaNode);
        topology.count++;
    }
    if (status == 0) {
        (void)divvy_accel_text_read(from->topologyType, sizeof from->topologyType, topology.kind, sizeof topology.kind);
        *ret_topology = topology;
    } else {
        free(topology.devices);
    }
    free(from);
    divvy_accel_devices_free(&list);
    return status;
}

static int unsupported(const struct divvy_accel *accel, const char *what, struct divvy_error *error) {
    return divvy_error_set(error, -EOPNOTSUPP, "%s has no functions for %s", accel->library->path, what);
}

int divvy_accel_topology_get(struct divvy_accel *accel, struct divvy_accel_topology *ret_topology, struct divvy_error *error) {
    if (!accel->library->is_whole)
        return unsupported(accel, "topology", error);
    return accel->library->generation == 1 ? topology_1(accel, ret_topology, error) : topology_2(accel, ret_topology, error);
}

void divvy_accel_topology_free(struct divvy_accel_topology *topology) {
    free(topology->devices);
    *topology = (struct divvy_accel_topology){.count = 0};
}

/* --- metrics --------------------------------------------------------------------------------------------------- */

static int metrics_ask(struct divvy_accel *accel, const char *const *uuids, size_t count, DeviceMetrics *room,
                       struct divvy_error *error) {
    bool first = accel->library->generation == 1;
    const char *names[MAX_DEVICE_UUIDS]; /* the library gets a copy: it is not bound to leave ours alone */
    int result;

    memcpy(names, uuids, count * sizeof *names);
    memset(room, 0, count * sizeof *room);
    divvy_accel_enter(accel);
    result = first ? (int)accel->library->one.GetDeviceMetrics(names, count, room)
                   : (int)accel->library->two.AccelGetDeviceMetrics(names, count, room);
    divvy_accel_leave(accel);
    return divvy_accel_result(accel, first ? "GetDeviceMetrics" : "AccelGetDeviceMetrics", result, error);
}

static size_t extras_count(const DeviceMetrics *from) {
    return from->extraMetricsCount < MAX_EXTRA_METRICS ? from->extraMetricsCount : MAX_EXTRA_METRICS;
}

static void metrics_read(const DeviceMetrics *from, struct divvy_accel_metrics *to, struct divvy_accel_extra *extras) {
    size_t count = extras_count(from);

    to->power_watts = divvy_accel_figure_read(from->powerUsageWatts);
    to->temperature_celsius = divvy_accel_figure_read(from->temperatureCelsius);
    to->pcie_rx_bytes = from->pcieRxBytes;
    to->pcie_tx_bytes = from->pcieTxBytes;
    to->utilization_percent = from->utilizationPercent < 100 ? from->utilizationPercent : 100;
    to->memory_used_bytes = from->memoryUsedBytes;
    to->extras = extras;
    for (size_t i = 0; i < count; i++) {
        struct divvy_accel_extra *extra = &extras[to->extra_count];

        (void)divvy_accel_text_read(from->extraMetrics[i].key, sizeof from->extraMetrics[i].key, extra->key, sizeof extra->key);
        extra->value = from->extraMetrics[i].value;
        if (extra->key[0] && extra->value - extra->value == 0) /* neither infinite nor no number */
            to->extra_count++;
    }
}

/* One round of up to 64 devices into `room`, statuses into `statuses`. */
static int round_ask(struct divvy_accel *accel, const char *const *uuids, size_t count, DeviceMetrics *room, int *statuses,
                     struct divvy_error *error) {
    int status = metrics_ask(accel, uuids, count, room, error);
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        statuses[i] = status;
        if (status < 0 && count > 1)
            statuses[i] = metrics_ask(accel, &uuids[i], 1, &room[i], error);
        any = any || statuses[i] == 0;
    }
    return any ? 0 : statuses[0];
}

static int metrics_list(const char *const *uuids, size_t count, const DeviceMetrics *room, const int *statuses,
                        struct divvy_accel_metrics_list *ret_list) {
    struct divvy_accel_metrics_list list = {.count = count};
    struct divvy_accel_extra *extras;
    size_t extra_count = 0;

    for (size_t i = 0; i < count; i++)
        extra_count += statuses[i] == 0 ? extras_count(&room[i]) : 0;
    list.metrics = calloc(1, count * sizeof *list.metrics + extra_count * sizeof *extras);
    if (!list.metrics)
        return -ENOMEM;
    extras = (struct divvy_accel_extra *)(void *)(list.metrics + count);
    for (size_t i = 0; i < count; i++) {
        struct divvy_accel_metrics *metrics = &list.metrics[i];

        memcpy(metrics->uuid, uuids[i], strlen(uuids[i]));
        metrics->status = statuses[i];
        if (statuses[i] < 0)
            continue;
        metrics_read(&room[i], metrics, extras);
        extras += metrics->extra_count;
    }
    *ret_list = list;
    return 0;
}

int divvy_accel_metrics_get(struct divvy_accel *accel, const char *const *uuids, size_t count,
                            struct divvy_accel_metrics_list *ret_list, struct divvy_error *error) {
    DeviceMetrics *room;
    bool any = false;
    int status = 0, *statuses;

    if (count == 0) {
        *ret_list = (struct divvy_accel_metrics_list){0, NULL};
        return 0;
    }
    for (size_t i = 0; i < count && status == 0; i++)
        status = divvy_accel_id_check("a device's UUID", uuids[i], error);
    if (status < 0)
        return status;
    room = calloc(count, sizeof *room);
    statuses = calloc(count, sizeof *statuses);
    if (!room || !statuses)
        status = divvy_error_set_errno(error, -ENOMEM, "cannot read figures");
    for (size_t i = 0, part; status != -ENOMEM && i < count; i += part) {
        part = count - i < MAX_DEVICE_UUIDS ? count - i : MAX_DEVICE_UUIDS;
        status = round_ask(accel, uuids + i, part, room + i, statuses + i, error);
        any = any || status == 0;
    }
    if (any)
        status = metrics_list(uuids, count, room, statuses, ret_list);
    free(room);
    free(statuses);
    return status;
}

void divvy_accel_metrics_free(struct divvy_accel_metrics_list *list) {
    free(list->metrics);
    *list = (struct divvy_accel_metrics_list){0, NULL};
}

/* --- processes ------------------------------------------------------------------------------------------------- */

/* False: it names no process or no device. */
static bool process_read(const ProcessInformation *from, struct divvy_accel_process *to) {
    char pid[sizeof from->processId];
    uint64_t value;

    if (!divvy_accel_text_read(from->processId, sizeof from->processId, pid, sizeof pid) ||
        divvy_core_u64_parse(pid, strlen(pid), &value, NULL) < 0 || value == 0 || value > INT32_MAX ||
        !divvy_accel_text_read(from->deviceUUID, sizeof from->deviceUUID, to->device_uuid, sizeof to->device_uuid) ||
        !to->device_uuid[0])
        return false;
    to->pid = (int64_t)value;
    to->compute_percent = divvy_accel_figure_read(from->computeUtilizationPercent);
    to->active_units = from->activeSMs;
    to->total_units = from->totalSMs;
    to->memory_used_bytes = from->memoryUsedBytes;
    to->memory_reserved_bytes = from->memoryReservedBytes;
    to->memory_percent = divvy_accel_figure_read(from->memoryUtilizationPercent);
    return true;
}

int divvy_accel_processes_get(struct divvy_accel *accel, struct divvy_accel_processes *ret_processes, struct divvy_error *error) {
    bool first = accel->library->generation == 1;
    const char *name = first ? "GetProcessInformation" : "AccelGetProcessInformation";
    struct divvy_accel_processes list = {0, NULL};
    ProcessInformation *room;
    size_t count = 0;
    int result, status;

    if (!accel->library->is_whole)
        return unsupported(accel, "processes", error);
    room = calloc(MAX_PROCESSES, sizeof *room);
    if (!room)
        return divvy_error_set_errno(error, -ENOMEM, "cannot list processes");
    divvy_accel_enter(accel);
    result = first ? (int)accel->library->one.GetProcessInformation(room, MAX_PROCESSES, &count)
                   : (int)accel->library->two.AccelGetProcessInformation(room, MAX_PROCESSES, &count);
    divvy_accel_leave(accel);
    status = divvy_accel_result(accel, name, result, error);
    if (status == 0 && count > MAX_PROCESSES)
        status = divvy_accel_nonsense(accel, name, error, "%zu processes where %u were asked for", count, MAX_PROCESSES);
    if (status == 0 && count > 0) {
        list.processes = calloc(count, sizeof *list.processes);
        if (!list.processes)
            status = divvy_error_set_errno(error, -ENOMEM, "cannot list processes");
    }
    for (size_t i = 0; status == 0 && i < count; i++) {
        if (process_read(&room[i], &list.processes[list.count]))
            list.count++;
        else
            memset(&list.processes[list.count], 0, sizeof list.processes[list.count]);
    }
    free(room);
    if (status == 0)
        *ret_processes = list;
    return status;
}

void divvy_accel_processes_free(struct divvy_accel_processes *processes) {
    free(processes->processes);
    *processes = (struct divvy_accel_processes){0, NULL};
}

/* --- mounts ---------------------------------------------------------------------------------------------------- */

/* False: a path that is not absolute, or would be another one after cleaning. */
static bool mount_read(struct divvy_accel *accel, const MountPath *from, struct divvy_accel_mount *to) {
    bool whole = divvy_accel_text_read(from->hostPath, sizeof from->hostPath, to->host, sizeof to->host);

    whole = divvy_accel_text_read(from->guestPath, sizeof from->guestPath, to->guest, sizeof to->guest) && whole;
    if (whole && to->host[0] == '/' && to->guest[0] == '/')
        return true;
    divvy_accel_warn(accel, "%s wants '%s' mounted at '%s': left out", accel->library->path, to->host, to->guest);
    memset(to, 0, sizeof *to);
    return false;
}

int divvy_accel_mounts_get(struct divvy_accel *accel, struct divvy_accel_mounts *ret_mounts, struct divvy_error *error) {
    bool first = accel->library->generation == 1;
    const char *name = first ? "GetVendorMountLibs" : "AccelGetVendorMountLibs";
    struct divvy_accel_mounts list = {0, NULL};
    MountPath *room;
    size_t count = 0;
    int result, status;

    if (!accel->library->is_whole)
        return unsupported(accel, "mounts", error);
    room = calloc(MOUNTS_MAX, sizeof *room);
    list.mounts = calloc(MOUNTS_MAX, sizeof *list.mounts);
    if (!room || !list.mounts) {
        free(room);
        free(list.mounts);
        return divvy_error_set_errno(error, -ENOMEM, "cannot list mounts");
    }
    divvy_accel_enter(accel);
    result = first ? (int)accel->library->one.GetVendorMountLibs(room, MOUNTS_MAX, &count)
                   : (int)accel->library->two.AccelGetVendorMountLibs(room, MOUNTS_MAX, &count);
    divvy_accel_leave(accel);
    status = divvy_accel_result(accel, name, result, error);
    if (status == 0 && count > MOUNTS_MAX)
        status = divvy_accel_nonsense(accel, name, error, "%zu mounts where %u were asked for", count, MOUNTS_MAX);
    for (size_t i = 0; status == 0 && i < count; i++)
        list.count += mount_read(accel, &room[i], &list.mounts[list.count]);
    free(room);
    if (status == 0)
        *ret_mounts = list;
    else
        free(list.mounts);
    return status;
}

void divvy_accel_mounts_free(struct divvy_accel_mounts *mounts) {
    free(mounts->mounts);
    *mounts = (struct divvy_accel_mounts){0, NULL};
}
