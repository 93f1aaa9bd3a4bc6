/*
 * The device controller: which devices the node has, by way of an accelerator library; their partitions; what happens to them.
 *
 * Partitions are the controller's: they are written to devices.json with whom they were made for, are kept when devices are looked for anew, and are
 * found again after a restart. A device that vanishes takes its partitions along, and brings them back when it returns.
 *
 * All functions may be called from any thread, and from handlers. Those that ask the library block as long as it does. Handlers are called
 * one at a time, in the order of events, by whoever caused them: the thread of a call, or the controller's own.
 */
#ifndef DIVVY_BACKEND_DEVICES_H
#define DIVVY_BACKEND_DEVICES_H

#include "backend/device.h"
#include "base/error.h"

struct divvy_backend_devices;

struct divvy_backend_devices_options {
    const char *library; /* of the accelerator; NULL or a folder: looked for, see accel/accel.h */
    const char *vendor;  /* NULL: any */
    int64_t interval_ns; /* between looks for devices; 0: never by itself */
    enum divvy_node_isolation isolation; /* of workers that name none */
    int state_fd;        /* folder of devices.json, duplicated; -1: nothing is written down */
};

/* What a node has, all together. */
struct divvy_backend_node {
    size_t devices, partitions;
    uint64_t memory_bytes;
    double tflops;
};

/* Functions may be NULL. Devices are borrowed during the call: _ref keeps them. */
struct divvy_backend_device_handler {
    void *data;
    void (*added)(void *data, struct divvy_backend_device *device);
    void (*removed)(void *data, struct divvy_backend_device *device);
    void (*updated)(void *data, struct divvy_backend_device *before, struct divvy_backend_device *after);
    void (*discovered)(void *data, const struct divvy_backend_node *node); /* a look for devices is complete */
};

struct divvy_backend_device_list {
    size_t count;
    struct divvy_backend_device **devices; /* by index, partitions behind their device */
};

/* Loads nothing yet. 0, -ENOMEM, or why devices.json cannot be used. */
int divvy_backend_devices_new(const struct divvy_backend_devices_options *options, struct divvy_backend_devices **ret_devices,
                              struct divvy_error *error);
/* Stops it too. NULL is fine. */
void divvy_backend_devices_free(struct divvy_backend_devices *devices);

/* Loads the library, finds the partitions of an earlier run, looks for devices, and goes on doing so. As divvy_accel_open. */
int divvy_backend_devices_start(struct divvy_backend_devices *devices, struct divvy_error *error);
void divvy_backend_devices_stop(struct divvy_backend_devices *devices); /* partitions stay */

/* Looks for devices now. */
int divvy_backend_devices_discover(struct divvy_backend_devices *devices, struct divvy_error *error);

/* Those that are there. To be freed with _list_free. */
int divvy_backend_devices_list(struct divvy_backend_devices *devices, struct divvy_backend_device_list *ret_list);
void divvy_backend_device_list_free(struct divvy_backend_device_list *list);
/* The caller's reference, or NULL. */
struct divvy_backend_device *divvy_backend_devices_get(struct divvy_backend_devices *devices, const char *uuid);

/*
 * Makes a partition of a device after a template of its vendor, for a worker (NULL: nobody). It is on the device and on disk when this
 * returns, or on neither. ret_device is the caller's reference. -ENODEV, -EOPNOTSUPP, -ENOSPC and what else the library says.
 */
int divvy_backend_devices_split(struct divvy_backend_devices *devices, const char *uuid, const char *template_id, const char *worker,
                                struct divvy_backend_device **ret_device, struct divvy_error *error);
/* -ENOENT: no such partition of that device (`uuid` may be NULL: of any). One that the library does not know any more is forgotten. */
int divvy_backend_devices_partition_remove(struct divvy_backend_devices *devices, const char *partition, const char *uuid,
                                           struct divvy_error *error);

/* A device's figures. */
struct divvy_backend_usage {
    struct divvy_backend_device *device; /* a reference */
    int status; /* 0, or why there are none */
    uint64_t memory_bytes;
    double memory_percent, compute_percent, compute_tflops;
    double rx_kb, tx_kb; /* per second */
    double temperature_c, power_watts;
    size_t extra_count;
    struct divvy_accel_extra *extras;
};
struct divvy_backend_usage_list {
    size_t count;
    struct divvy_backend_usage *usages;
};
int divvy_backend_devices_metrics(struct divvy_backend_devices *devices, struct divvy_backend_usage_list *ret_list,
                                  struct divvy_error *error);
void divvy_backend_usage_list_free(struct divvy_backend_usage_list *list);

/* As accel/accel.h has them. -ENODEV before the start. */
int divvy_backend_devices_processes(struct divvy_backend_devices *devices, struct divvy_accel_processes *ret_processes,
                                    struct divvy_error *error);
int divvy_backend_devices_mounts(struct divvy_backend_devices *devices, struct divvy_accel_mounts *ret_mounts, struct divvy_error *error);
/* Limits that the driver keeps: -EOPNOTSUPP where it does not. Zero: that one is not set. */
int divvy_backend_devices_limit(struct divvy_backend_devices *devices, const char *worker, const char *uuid, uint64_t memory_bytes,
                                uint32_t percent, struct divvy_error *error);

/*
 * From here on `handler` (copied) hears of every event; first, before this returns, of what is there. 0 or -ENOMEM. _remove: by its
 * data; when it returns no call is under way any more, unless it is called from a handler.
 */
int divvy_backend_devices_handler_add(struct divvy_backend_devices *devices, const struct divvy_backend_device_handler *handler);
void divvy_backend_devices_handler_remove(struct divvy_backend_devices *devices, const void *data);

/* The library's vendor; empty before the start. */
const char *divvy_backend_devices_vendor(const struct divvy_backend_devices *devices);

#endif
