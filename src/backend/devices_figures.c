/* What the library measures, and limits that it keeps: see devices.h. */
#include "backend/devices_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KILO 1024.0

static int usage_fill(struct divvy_backend_usage *usage, const struct divvy_accel_metrics *metrics) {
    const struct divvy_backend_device *device = usage->device;

    usage->status = metrics->status;
    if (metrics->status < 0)
        return 0;
    usage->memory_bytes = metrics->memory_used_bytes;
    usage->memory_percent = device->memory_bytes ? (double)metrics->memory_used_bytes * 100 / (double)device->memory_bytes : 0;
    usage->compute_percent = metrics->utilization_percent;
    usage->compute_tflops = device->tflops * metrics->utilization_percent / 100;
    usage->rx_kb = (double)metrics->pcie_rx_bytes / KILO;
    usage->tx_kb = (double)metrics->pcie_tx_bytes / KILO;
    usage->temperature_c = metrics->temperature_celsius;
    usage->power_watts = metrics->power_watts;
    usage->extras = calloc(metrics->extra_count + 1, sizeof *usage->extras);
    if (!usage->extras)
        return -ENOMEM;
    usage->extra_count = metrics->extra_count;
    memcpy(usage->extras, metrics->extras, metrics->extra_count * sizeof *usage->extras);
    return 0;
}

void divvy_backend_usage_list_free(struct divvy_backend_usage_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        divvy_backend_device_unref(list->usages[i].device);
        free(list->usages[i].extras);
    }
    free(list->usages);
    *list = (struct divvy_backend_usage_list){0};
}

/* Whole devices only: the library has no figures of partitions. */
static int wholes_take(struct divvy_backend_devices *devices, struct divvy_backend_usage_list *list, const char **uuids) {
    struct divvy_backend_device_list all;
    int status = divvy_backend_devices_list(devices, &all);

    if (status < 0)
        return status;
    list->usages = calloc(all.count + 1, sizeof *list->usages);
    for (size_t i = 0; list->usages && i < all.count; i++)
        if (!all.devices[i]->parent[0] && list->count < DIVVY_ACCEL_DEVICES_MAX) {
            uuids[list->count] = all.devices[i]->uuid;
            list->usages[list->count++].device = divvy_backend_device_ref(all.devices[i]);
        }
    status = list->usages ? 0 : -ENOMEM;
    divvy_backend_device_list_free(&all);
    return status;
}

int divvy_backend_devices_metrics(struct divvy_backend_devices *devices, struct divvy_backend_usage_list *ret_list,
                                  struct divvy_error *error) {
    const char *uuids[DIVVY_ACCEL_DEVICES_MAX];
    struct divvy_backend_usage_list list = {0};
    struct divvy_accel_metrics_list metrics;
    int status = devices->accel ? wholes_take(devices, &list, uuids) : -ENODEV;

    if (status < 0) {
        divvy_backend_usage_list_free(&list);
        return divvy_error_set_errno(error, status, "figures of devices");
    }
    if (list.count) {
        status = divvy_accel_metrics_get(devices->accel, uuids, list.count, &metrics, error);
        for (size_t i = 0; status == 0 && i < list.count && i < metrics.count; i++)
            if (usage_fill(&list.usages[i], &metrics.metrics[i]) < 0)
                list.usages[i].status = -ENOMEM;
        if (status == 0)
            divvy_accel_metrics_free(&metrics);
    }
    if (status < 0) {
        divvy_backend_usage_list_free(&list);
        return status;
    }
    *ret_list = list;
    return 0;
}

static int loaded(const struct divvy_backend_devices *devices, struct divvy_error *error) {
    return devices->accel ? 0 : divvy_error_set(error, -ENODEV, "the accelerator library is not loaded");
}

int divvy_backend_devices_processes(struct divvy_backend_devices *devices, struct divvy_accel_processes *ret_processes,
                                    struct divvy_error *error) {
    int status = loaded(devices, error);

    return status < 0 ? status : divvy_accel_processes_get(devices->accel, ret_processes, error);
}

int divvy_backend_devices_mounts(struct divvy_backend_devices *devices, struct divvy_accel_mounts *ret_mounts, struct divvy_error *error) {
    int status = loaded(devices, error);

    return status < 0 ? status : divvy_accel_mounts_get(devices->accel, ret_mounts, error);
}

int divvy_backend_devices_limit(struct divvy_backend_devices *devices, const char *worker, const char *uuid, uint64_t memory_bytes,
                                uint32_t percent, struct divvy_error *error) {
    int status = loaded(devices, error);

    if (status == 0 && memory_bytes)
        status = divvy_accel_memory_limit(devices->accel, worker, uuid, memory_bytes, error);
    if (status == 0 && percent)
        status = divvy_accel_compute_limit(devices->accel, worker, uuid, percent, error);
    return status;
}
