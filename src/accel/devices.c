/* Devices as a library shows them: see accel.h. */
#include "accel/library.h"
#include "core/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What of a device both generations have, wherever it lies. */
struct shown {
    const char *uuid, *vendor, *model, *driver, *firmware, *node;
    size_t driver_bytes, node_bytes;
    int32_t index, numa_node;
    uint64_t memory_bytes, compute_units;
    double tflops;
    uint32_t pcie_generation, pcie_width;
    const DeviceProperties *properties;
    const VirtualizationCapabilities *capabilities;
};

#define SHOWN(device)                                                                              \
    .uuid = (device)->basic.uuid, .vendor = (device)->basic.vendor, .model = (device)->basic.model, \
    .driver = (device)->basic.driverVersion, .driver_bytes = sizeof (device)->basic.driverVersion, \
    .firmware = (device)->basic.firmwareVersion, .index = (device)->basic.index,                   \
    .numa_node = (device)->basic.numaNode, .memory_bytes = (device)->basic.totalMemoryBytes,       \
    .compute_units = (device)->basic.totalComputeUnits, .tflops = (device)->basic.maxTflops,       \
    .pcie_generation = (device)->basic.pcieGen, .pcie_width = (device)->basic.pcieWidth,           \
    .properties = &(device)->props, .capabilities = &(device)->virtualizationCapabilities

/* The buffer that a library fills, in its generation's layout. */
union room {
    Accel1ExtendedDeviceInfo one[DIVVY_ACCEL_DEVICES_MAX];
    Accel2ExtendedDeviceInfo two[DIVVY_ACCEL_DEVICES_MAX];
};

static struct shown shown_of(int generation, const union room *room, size_t index) {
    if (generation == 1)
        return (struct shown){SHOWN(&room->one[index]), .node = ""};
    return (struct shown){SHOWN(&room->two[index]), .node = room->two[index].basic.deviceNode,
                          .node_bytes = sizeof room->two[index].basic.deviceNode};
}

/* Fills the room; the count is what may be read. */
static int ask(struct divvy_accel *accel, union room *room, size_t *ret_count, struct divvy_error *error) {
    const struct divvy_accel_library *library = accel->library;
    bool first = library->generation == 1;
    size_t count = 0, max;
    int result = first ? (int)library->one.GetDeviceCount(&count) : (int)library->two.AccelGetDeviceCount(&count);
    int status = divvy_accel_result(accel, first ? "GetDeviceCount" : "AccelGetDeviceCount", result, error);

    *ret_count = 0;
    if (status < 0 || count == 0)
        return status;
    max = count < DIVVY_ACCEL_DEVICES_MAX ? count : DIVVY_ACCEL_DEVICES_MAX;
    if (count > max)
        divvy_accel_warn(accel, "%s counts %zu devices; the first %zu are shown", library->path, count, max);
    result = first ? (int)library->one.GetAllDevices(room->one, max, ret_count)
                   : (int)library->two.AccelGetAllDevices(room->two, max, ret_count);
    status = divvy_accel_result(accel, first ? "GetAllDevices" : "AccelGetAllDevices", result, error);
    if (status == 0 && *ret_count > max)
        status = divvy_accel_nonsense(accel, first ? "GetAllDevices" : "AccelGetAllDevices", error,
                                      "%zu devices where %zu were asked for", *ret_count, max);
    return status;
}

static bool key_is_known(const struct divvy_accel_property *properties, size_t count, const char *key) {
    for (size_t i = 0; i < count; i++)
        if (divvy_core_word_equal(key, strlen(key), properties[i].key))
            return true;
    return false;
}

/* How many were written. */
static size_t properties_read(const DeviceProperties *from, struct divvy_accel_property *ret_properties) {
    size_t count = from->count < MAX_DEVICE_PROPERTIES ? from->count : MAX_DEVICE_PROPERTIES, written = 0;

    for (size_t i = 0; i < count; i++) {
        struct divvy_accel_property *property = &ret_properties[written];

        (void)divvy_accel_text_read(from->properties[i].key, sizeof from->properties[i].key, property->key,
                                    sizeof property->key);
        (void)divvy_accel_text_read(from->properties[i].value, sizeof from->properties[i].value, property->value,
                                    sizeof property->value);
        if (property->key[0] && !key_is_known(ret_properties, written, property->key))
            written++;
    }
    return written;
}

/* False: without a name of its own it is none. */
static bool device_read(struct divvy_accel *accel, const struct shown *from, const struct divvy_accel_devices *before,
                        struct divvy_accel_device *ret_device) {
    struct divvy_accel_device *to = ret_device;
    bool whole = divvy_accel_text_read(from->uuid, UUID_STRING_LENGTH, to->uuid, sizeof to->uuid);

    if (!whole || !to->uuid[0]) {
        divvy_accel_warn(accel, "%s shows a device without a proper UUID ('%s'): left out", accel->library->path, to->uuid);
        return false;
    }
    for (size_t i = 0; i < before->count; i++)
        if (divvy_core_word_equal(to->uuid, strlen(to->uuid), before->devices[i].uuid)) {
            divvy_accel_warn(accel, "%s shows device %s twice: left out", accel->library->path, to->uuid);
            return false;
        }
    (void)divvy_accel_text_read(from->vendor, 32, to->vendor, sizeof to->vendor);
    (void)divvy_accel_text_read(from->model, 128, to->model, sizeof to->model);
    (void)divvy_accel_text_read(from->driver, from->driver_bytes, to->driver_version, sizeof to->driver_version);
    (void)divvy_accel_text_read(from->firmware, 64, to->firmware_version, sizeof to->firmware_version);
    (void)divvy_accel_text_read(from->node, from->node_bytes, to->device_node, sizeof to->device_node);
    to->index = from->index >= 0 ? from->index : (int32_t)before->count;
    to->numa_node = from->numa_node >= 0 ? from->numa_node : -1;
    to->memory_bytes = from->memory_bytes;
    to->compute_units = from->compute_units;
    to->tflops = divvy_accel_figure_read(from->tflops);
    to->pcie_generation = from->pcie_generation;
    to->pcie_width = from->pcie_width;
    to->capabilities = (struct divvy_accel_capabilities){
        .partitioning = divvy_accel_bool_read(&from->capabilities->supportsPartitioning),
        .soft_isolation = divvy_accel_bool_read(&from->capabilities->supportsSoftIsolation),
        .hard_isolation = divvy_accel_bool_read(&from->capabilities->supportsHardIsolation),
        .snapshot = divvy_accel_bool_read(&from->capabilities->supportsSnapshot),
        .metrics = divvy_accel_bool_read(&from->capabilities->supportsMetrics),
        .remoting = divvy_accel_bool_read(&from->capabilities->supportsRemoting),
        .partitions_max = from->capabilities->maxPartitions,
        .workers_max = from->capabilities->maxWorkersPerDevice,
    };
    return true;
}

/* One block: the devices, then all their properties. */
static int list_make(struct divvy_accel *accel, const union room *room, size_t count, struct divvy_accel_devices *ret_devices) {
    struct divvy_accel_devices list = {0, NULL};
    struct divvy_accel_property *properties;
    size_t property_count = 0;

    for (size_t i = 0; i < count; i++) {
        size_t own = shown_of(accel->library->generation, room, i).properties->count;

        property_count += own < MAX_DEVICE_PROPERTIES ? own : MAX_DEVICE_PROPERTIES;
    }
    list.devices = calloc(1, count * sizeof *list.devices + property_count * sizeof *properties);
    if (!list.devices)
        return -ENOMEM;
    properties = (struct divvy_accel_property *)(void *)(list.devices + count);
    for (size_t i = 0; i < count; i++) {
        struct shown shown = shown_of(accel->library->generation, room, i);
        struct divvy_accel_device *device = &list.devices[list.count];

        if (!device_read(accel, &shown, &list, device)) {
            memset(device, 0, sizeof *device);
            continue;
        }
        device->properties = properties;
        device->property_count = properties_read(shown.properties, properties);
        properties += device->property_count;
        list.count++;
    }
    *ret_devices = list;
    return 0;
}

int divvy_accel_devices_get(struct divvy_accel *accel, struct divvy_accel_devices *ret_devices, struct divvy_error *error) {
    union room *room = calloc(1, sizeof *room);
    size_t count = 0;
    int status;

    if (!room)
        return divvy_error_set_errno(error, -ENOMEM, "cannot list devices");
    divvy_accel_enter(accel);
    status = ask(accel, room, &count, error);
    divvy_accel_leave(accel);
    if (status == 0 && count == 0)
        *ret_devices = (struct divvy_accel_devices){0, NULL};
    else if (status == 0 && list_make(accel, room, count, ret_devices) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "cannot list devices");
    free(room);
    return status;
}

void divvy_accel_devices_free(struct divvy_accel_devices *devices) {
    free(devices->devices);
    *devices = (struct divvy_accel_devices){0, NULL};
}

const char *divvy_accel_device_property(const struct divvy_accel_device *device, const char *key) {
    for (size_t i = 0; i < device->property_count; i++)
        if (divvy_core_word_equal(key, strlen(key), device->properties[i].key))
            return device->properties[i].value;
    return NULL;
}
