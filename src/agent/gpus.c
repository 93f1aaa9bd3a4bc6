/* GPUs of this machine: see gpus.h. */
#include "agent/gpus.h"

#include "accel/accel.h"
#include "base/log.h"
#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool divvy_agent_gpus_mocked(unsigned int *ret_count) {
    const char *text = getenv("GPU_GO_MOCK_GPUS");
    uint64_t number = 0;
    size_t digits;

    if (!text || !text[0])
        return false;
    digits = strspn(text, "0123456789");
    if (digits == 0 || divvy_core_u64_parse(text, digits, &number, NULL) < 0 || number == 0)
        number = 1;
    *ret_count = number > DIVVY_AGENT_GPUS_MAX ? DIVVY_AGENT_GPUS_MAX : (unsigned int)number;
    return true;
}

static void mock(unsigned int count, struct divvy_agent_gpus *gpus) {
    for (unsigned int i = 0; i < count; i++) {
        struct divvy_agent_gpu *gpu = &gpus->gpus[i];

        *gpu = (struct divvy_agent_gpu){.vendor = "nvidia",
                                        .model = "RTX 4090",
                                        .driver_version = "535.104.05",
                                        .cuda_version = "12.2",
                                        .index = i,
                                        .vram_mb = 24576};
        (void)snprintf(gpu->id, sizeof gpu->id, "GPU-%u", i);
    }
    gpus->count = count;
    gpus->is_mock = true;
}

static void lower_copy(const char *text, char *ret_text, size_t size_bytes) {
    size_t i = 0;

    for (; text[i] && i + 1 < size_bytes; i++)
        ret_text[i] = divvy_core_ascii_lower(text[i]);
    ret_text[i] = '\0';
}

static void device_take(const struct divvy_accel_device *device, struct divvy_agent_gpu *gpu) {
    const char *cuda = divvy_accel_device_property(device, "cudaVersion");

    memset(gpu, 0, sizeof *gpu);
    lower_copy(device->uuid, gpu->id, sizeof gpu->id);
    lower_copy(device->vendor, gpu->vendor, sizeof gpu->vendor);
    (void)snprintf(gpu->model, sizeof gpu->model, "%s", device->model);
    (void)snprintf(gpu->driver_version, sizeof gpu->driver_version, "%s", device->driver_version);
    (void)snprintf(gpu->cuda_version, sizeof gpu->cuda_version, "%.31s", cuda ? cuda : "");
    gpu->index = device->index < 0 ? 0 : (unsigned int)device->index;
    gpu->vram_mb = device->memory_bytes >> 20;
    gpu->workers_max = device->capabilities.workers_max;
}

static int discover(const char *library, struct divvy_agent_gpus *gpus, struct divvy_error *ret_why,
                    struct divvy_error *error) {
    const struct divvy_accel_settings settings = {.path = library, .discovery_only = true};
    struct divvy_accel *accel;
    struct divvy_accel_devices devices;
    int status = divvy_accel_open(&settings, &accel, error);

    /* No library, or none that shows a device: a machine without GPUs, unless one was named. */
    if ((status == -ENOENT || status == -ENODEV) && !library) {
        *ret_why = *error;
        return 0;
    }
    if (status < 0)
        return status;
    status = divvy_accel_devices_get(accel, &devices, error);
    if (status == 0) {
        for (size_t i = 0; i < devices.count && gpus->count < DIVVY_AGENT_GPUS_MAX; i++)
            device_take(&devices.devices[i], &gpus->gpus[gpus->count++]);
        if (devices.count == 0)
            (void)divvy_error_set(ret_why, -ENODEV, "%.150s shows no device",
                                  divvy_accel_path(accel));
        divvy_accel_devices_free(&devices);
    }
    divvy_accel_close(accel);
    return status;
}

int divvy_agent_gpus_find(const char *library, struct divvy_agent_gpus *ret_gpus,
                          struct divvy_error *ret_why, struct divvy_error *error) {
    unsigned int count;

    ret_gpus->count = 0;
    ret_gpus->is_mock = false;
    if (!divvy_agent_gpus_mocked(&count))
        return discover(library, ret_gpus, ret_why, error);
    mock(count, ret_gpus);
    divvy_log_info("%u made-up GPUs (GPU_GO_MOCK_GPUS)", count);
    return 0;
}

static json_t *gpu_pack(const struct divvy_agent_gpu *gpu) {
    return json_pack("{s:s, s:i, s:s, s:s, s:I}", "gpu_id", gpu->id, "gpu_index", (int)gpu->index,
                     "vendor", gpu->vendor, "model", gpu->model, "vram_mb",
                     (json_int_t)gpu->vram_mb);
}

json_t *divvy_agent_gpus_wire(const struct divvy_agent_gpus *gpus) {
    json_t *list = json_array();

    for (unsigned int i = 0; i < gpus->count; i++) {
        json_t *gpu = gpu_pack(&gpus->gpus[i]);

        if (gpu && gpus->gpus[i].driver_version[0])
            (void)json_object_set_new(gpu, "driver_version",
                                      json_string(gpus->gpus[i].driver_version));
        if (gpu && gpus->gpus[i].cuda_version[0])
            (void)json_object_set_new(gpu, "cuda_version", json_string(gpus->gpus[i].cuda_version));
        if (json_array_append_new(list, gpu) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *divvy_agent_gpus_file(const struct divvy_agent_gpus *gpus) {
    json_t *list = json_array();

    for (unsigned int i = 0; i < gpus->count; i++) {
        json_t *gpu = gpu_pack(&gpus->gpus[i]);

        if (!gpu || json_object_set_new(gpu, "used_by_worker", json_null()) < 0 ||
            json_array_append_new(list, gpu) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
