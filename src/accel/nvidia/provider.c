/* libaccelerator_nvidia.so: its table. The driver has no hard limits for a process; MIG is what it has. */
#include "accel/nvidia/nvidia.h"

static AccelResult find(const char *uuid) {
    struct nvidia_device device;

    return divvy_nvidia_find(uuid, &device);
}

const struct divvy_provider divvy_provider = {
    .topology_kind = "PCIe",
    .start = divvy_nvidia_start,
    .stop = divvy_nvidia_stop,
    .count = divvy_nvidia_count,
    .device = divvy_nvidia_device,
    .topology = divvy_nvidia_topology,
    .find = find,
    .assign = divvy_nvidia_assign,
    .remove = divvy_nvidia_remove,
    .snapshot = divvy_nvidia_snapshot,
    .resume = divvy_nvidia_resume,
    .device_pids = divvy_nvidia_device_pids,
    .processes = divvy_nvidia_processes,
    .metrics = divvy_nvidia_metrics,
    .mounts = divvy_nvidia_mounts,
};
