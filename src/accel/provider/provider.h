/*
 * What a vendor's folder implements: one table of functions, from which provider/exports_1.c and exports_2.c make the two
 * generations of the ABI. Structures are those of generation 2, of which generation 1 knows a part.
 *
 * The functions of the table are called one at a time, under one lock, with the driver started, and with arguments that are checked:
 * no NULL, ids of 1 to 64 bytes with a NUL, counts above 0 and within the ABI's maxima, outputs zeroed. A slot may be NULL: the
 * vendor cannot do it. Nothing here runs in a constructor, starts a thread, or writes to stdout or stderr.
 */
#ifndef DIVVY_ACCEL_PROVIDER_PROVIDER_H
#define DIVVY_ACCEL_PROVIDER_PROVIDER_H

#include "divvy/accelerator.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* An id as it came, ended: 64 bytes may have arrived without a NUL. */
#define DIVVY_PROVIDER_ID_BYTES (UUID_STRING_LENGTH + 1)

struct divvy_provider {
    /* Answers about devices that do not exist as the ABI's public test programs want it; others do so by DIVVY_ACCEL_LENIENT. */
    bool always_lenient;
    /* Generation 1's word for how devices are connected. */
    const char *topology_kind;

    /* Takes hold of the driver; only called when not started. NOT_FOUND: there is none here. */
    AccelResult (*start)(void);
    /* Lets go of it. NULL: nothing to let go of. */
    void (*stop)(void);

    AccelResult (*count)(size_t *ret_count);
    /* The index is below count. A failure leaves this device out. */
    AccelResult (*device)(size_t index, Accel2DeviceBasicInfo *ret_basic, DeviceProperties *ret_properties,
                          VirtualizationCapabilities *ret_capabilities);
    AccelResult (*topology)(size_t index, Accel2DeviceTopologyInfo *ret_row);
    /* SUCCESS when there is such a device (partitions count), else NOT_FOUND. */
    AccelResult (*find)(const char *uuid);

    AccelResult (*assign)(const char *template_id, const char *device_uuid, Accel2PartitionResult *ret_result);
    /* `name` is a partition's UUID or a template. */
    AccelResult (*remove)(const char *name, const char *device_uuid);
    AccelResult (*memory_limit)(const char *device_uuid, uint64_t bytes);
    AccelResult (*compute_limit)(const char *device_uuid, uint32_t percent);

    /* All or none. The processes exist. */
    AccelResult (*snapshot)(const pid_t *pids, size_t count);
    AccelResult (*resume)(const pid_t *pids, size_t count);
    /* Those that use a device. */
    AccelResult (*device_pids)(const char *device_uuid, pid_t *ret_pids, size_t max, size_t *ret_count);

    AccelResult (*processes)(ProcessInformation *ret_infos, size_t max, size_t *ret_count);
    /* All but deviceUUID. NOT_FOUND for a device that is none; a reading that fails stays 0. */
    AccelResult (*metrics)(const char *uuid, DeviceMetrics *ret_metrics);
    AccelResult (*mounts)(MountPath *ret_mounts, size_t max, size_t *ret_count);
};

/* The library's own: each has exactly one. */
extern const struct divvy_provider divvy_provider;

/*
 * A message for the host, from within a function of the table; delivered when the call has let go of the lock. Level DEBUG,
 * INFO, WARN or ERROR. What does not fit is cut; of very many the last are dropped.
 */
void divvy_provider_log(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text into a field of the ABI: cut, and always ended. */
void divvy_provider_text(char *ret_field, size_t size_bytes, const char *text);

/* A property or an extra figure; nothing when the list is full. */
void divvy_provider_property(DeviceProperties *properties, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void divvy_provider_extra(DeviceMetrics *metrics, const char *key, double value);

/* "KEY=VALUE" into the next free slot of a partition's result; nothing when it does not fit or the value is empty. */
void divvy_provider_variable(Accel2PartitionResult *result, const char *key, const char *value);

/* Whether two spellings name one device: case and a "GPU-" or "MIG-" in front of one of them make no difference. */
bool divvy_provider_same_device(const char *one, const char *other);

#endif
