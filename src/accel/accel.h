/*
 * Accelerator libraries (libaccelerator_*.so, ours or anybody's) behind one interface, whichever generation of the provider
 * ABI they speak (include/divvy/accelerator.h). Whoever uses this sees only the types below.
 *
 * A library is not trusted: counts are checked, texts always end, are valid UTF-8 and hold no control characters, figures are
 * finite, devices without a UUID and second devices of the same UUID are left out with a warning. What it answers wrongly is
 * -EPROTO. It does run in this process, though: one that crashes or never returns cannot be helped. A message of level FATAL
 * ends nothing; it is passed on as an error.
 *
 * UUIDs come in the library's spelling and are compared without regard to case by the functions here. Names that are longer
 * than 63 bytes are refused with -EINVAL, never cut.
 *
 * Errors of all functions, negative errno, with `error` (may be NULL) saying which library and which of its functions:
 *   -EINVAL      the library, or this room, calls an argument invalid
 *   -ENOENT      no such device, partition or process
 *   -EOPNOTSUPP  the library or the device cannot do it
 *   -ENOSPC      no room: partitions, memory
 *   -EIO         the library failed
 *   -EPROTO      it answered what cannot be
 *   -ENOMEM
 *
 * Any thread may call anything; calls into one library are one after another. They block as long as the library does. A child
 * of fork uses none of it before exec.
 */
#ifndef DIVVY_ACCEL_ACCEL_H
#define DIVVY_ACCEL_ACCEL_H

#include "base/error.h"
#include "core/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DIVVY_ACCEL_NAME_BYTES    64u  /* of UUIDs, ids, keys, with NUL */
#define DIVVY_ACCEL_VALUE_BYTES   256u /* of values of properties and of environment variables, with NUL */
#define DIVVY_ACCEL_PATH_BYTES    512u
#define DIVVY_ACCEL_DEVICES_MAX   64u /* that one library can show: its ABI's limit */
#define DIVVY_ACCEL_PROCESSES_MAX 1024u
#define DIVVY_ACCEL_ENV_MAX       16u
#define DIVVY_ACCEL_NODES_MAX     16u

/* An open library; opaque. */
struct divvy_accel;

/* --- opening ------------------------------------------------------------------------------------------------ */

/*
 * A message of the library, made during a call of yours or by a thread of its own. `message` is one line, borrowed. Must not call
 * functions of this header.
 */
typedef void (*divvy_accel_log_t)(void *data, divvy_log_level_t level, const char *message);

struct divvy_accel_settings {
    const char *path;    /* the library; a folder to look in; NULL or empty: searched for */
    const char *vendor;  /* "NVIDIA", "AMD", another (case ignored), or NULL or empty: whichever is found first */
    bool discovery_only; /* a library is good enough that has init, count, devices and metrics */
    divvy_accel_log_t log; /* NULL: base/log.h */
    void *log_data;
};

/*
 * Loads and initialises a library. Searched for, in this order:
 *   1. TF_ACCELERATOR_LIB_PATH, which wins over `path`: a file or a folder
 *   2. `path`: a file or a folder
 *   3. TENSOR_FUSION_ACCELERATOR_LIB: a file or a folder
 *   4. the library's name in: TENSOR_FUSION_LIB_PATH, TENSOR_FUSION_OPERATOR_PATH/provider/build, the folders beside this
 *      program's (../lib, ../lib/divvy), ~/.tensor-fusion/libs, /usr/lib/tensor-fusion, /usr/local/lib/tensor-fusion,
 *      /opt/tensor-fusion/lib, /usr/lib/divvy, /usr/local/lib/divvy
 * Whoever is named by 1 to 3 is taken or it is an error. In folders the first that loads, initialises and shows a device is taken.
 * TF_HARDWARE_VENDOR wins over `vendor`. The name is libaccelerator_nvidia.so for NVIDIA, libaccelerator_amd.so for AMD, and
 * libaccelerator_example.so for any other vendor. Without a vendor nvidia, amd and example are tried in this order; example, whose
 * devices do not exist, only in folders that 1 to 3 or the two variables of 4 name. The environment is not heeded in programs
 * that have more rights than their user.
 *
 * -ENOENT: nothing found; `error` tells where was looked. -ENODEV: there is no driver for it here, or in folders none that shows
 * a device. -ELIBBAD: not a library, or functions are missing, which `error` names. A library stays loaded for the life of the process.
 * It may be opened several times; the copies are independent, and it is shut down with the last.
 */
int divvy_accel_open(const struct divvy_accel_settings *settings, struct divvy_accel **ret_accel, struct divvy_error *error);

/* NULL is allowed. */
void divvy_accel_close(struct divvy_accel *accel);

/* The file, as it was loaded. Valid until close. */
const char *divvy_accel_path(const struct divvy_accel *accel);

/* As asked for; else that of the first device at opening. Valid until close. */
const char *divvy_accel_vendor(const struct divvy_accel *accel);

/* 1: VirtualGPUInit and bare names; 2: AccelInit and Accel*. 2 where a library has both. */
int divvy_accel_generation(const struct divvy_accel *accel);

/* --- devices ------------------------------------------------------------------------------------------------ */

struct divvy_accel_property {
    char key[DIVVY_ACCEL_NAME_BYTES];
    char value[DIVVY_ACCEL_VALUE_BYTES];
};

struct divvy_accel_capabilities {
    bool partitioning, soft_isolation, hard_isolation, snapshot, metrics, remoting;
    uint32_t partitions_max;
    uint32_t workers_max; /* per device */
};

struct divvy_accel_device {
    char uuid[DIVVY_ACCEL_NAME_BYTES]; /* never empty, unlike all others but for case */
    char vendor[32];
    char model[128];
    char driver_version[80];
    char firmware_version[64];
    char device_node[64]; /* "/dev/nvidia0"; empty: not told (always so in generation 1) */
    int32_t index;        /* the library's, >= 0 */
    int32_t numa_node;    /* -1: none, or not known */
    uint64_t memory_bytes;
    uint64_t compute_units;
    double tflops; /* 0: not known */
    uint32_t pcie_generation, pcie_width;
    struct divvy_accel_capabilities capabilities;
    size_t property_count;
    const struct divvy_accel_property *properties; /* part of the list; keys are not empty and not double */
};

struct divvy_accel_devices {
    size_t count;
    struct divvy_accel_device *devices;
};

/* Asks the library anew. The list is yours: divvy_accel_devices_free. No device: 0 and an empty list. */
int divvy_accel_devices_get(struct divvy_accel *accel, struct divvy_accel_devices *ret_devices, struct divvy_error *error);
void divvy_accel_devices_free(struct divvy_accel_devices *devices);

/* NULL where there is none. `key` in any case. */
const char *divvy_accel_device_property(const struct divvy_accel_device *device, const char *key);

/* --- topology ----------------------------------------------------------------------------------------------- */

/* The ABI's numbers. */
enum divvy_accel_topology_level {
    DIVVY_ACCEL_TOPOLOGY_INTERNAL,
    DIVVY_ACCEL_TOPOLOGY_SINGLE_SWITCH,
    DIVVY_ACCEL_TOPOLOGY_MULTI_SWITCH,
    DIVVY_ACCEL_TOPOLOGY_HOST_BRIDGE,
    DIVVY_ACCEL_TOPOLOGY_NUMA_NODE,
    DIVVY_ACCEL_TOPOLOGY_SYSTEM,
    DIVVY_ACCEL_TOPOLOGY_SELF,
    DIVVY_ACCEL_TOPOLOGY_UNKNOWN,
    DIVVY_ACCEL_TOPOLOGY_MAX
};

struct divvy_accel_peer {
    char uuid[DIVVY_ACCEL_NAME_BYTES];
    int32_t index;
    enum divvy_accel_topology_level level; /* a number that is none of these: UNKNOWN */
};

struct divvy_accel_topology_device {
    char uuid[DIVVY_ACCEL_NAME_BYTES];
    int32_t index;
    int32_t numa_node;
    size_t peer_count; /* 0 in generation 1 */
    const struct divvy_accel_peer *peers;
};

struct divvy_accel_topology {
    size_t count;
    struct divvy_accel_topology_device *devices;
    char kind[32]; /* generation 1's word for it, else empty */
};

/* Of all devices. Yours: divvy_accel_topology_free. */
int divvy_accel_topology_get(struct divvy_accel *accel, struct divvy_accel_topology *ret_topology, struct divvy_error *error);
void divvy_accel_topology_free(struct divvy_accel_topology *topology);

/* "internal", "single-switch", …; "unknown" for anything else. */
const char *divvy_accel_topology_level_name(enum divvy_accel_topology_level level);

/* --- figures ------------------------------------------------------------------------------------------------ */

struct divvy_accel_extra {
    char key[DIVVY_ACCEL_NAME_BYTES];
    double value;
};

struct divvy_accel_metrics {
    char uuid[DIVVY_ACCEL_NAME_BYTES]; /* as it was asked for */
    int status;                        /* 0, or why there are no figures for this device */
    double power_watts;
    double temperature_celsius;
    uint64_t pcie_rx_bytes, pcie_tx_bytes; /* as the library counts them: divvy's are bytes per second */
    uint32_t utilization_percent;          /* 0 to 100 */
    uint64_t memory_used_bytes;
    size_t extra_count;
    const struct divvy_accel_extra *extras;
};

struct divvy_accel_metrics_list {
    size_t count; /* that of the UUIDs, in their order */
    struct divvy_accel_metrics *metrics;
};

/*
 * The figures of these devices. Where the library fails for all of them, each is asked for alone, so that one broken device
 * does not hide the others; 0 when at least one answered. Yours: divvy_accel_metrics_free. Any number of UUIDs.
 */
int divvy_accel_metrics_get(struct divvy_accel *accel, const char *const *uuids, size_t count,
                            struct divvy_accel_metrics_list *ret_list, struct divvy_error *error);
void divvy_accel_metrics_free(struct divvy_accel_metrics_list *list);

struct divvy_accel_process {
    int64_t pid; /* > 0, in the pid namespace of the driver: usually the host's */
    char device_uuid[DIVVY_ACCEL_NAME_BYTES];
    double compute_percent; /* of the device's time */
    uint64_t active_units, total_units;
    uint64_t memory_used_bytes, memory_reserved_bytes;
    double memory_percent;
};

struct divvy_accel_processes {
    size_t count; /* one entry for each process and device */
    struct divvy_accel_process *processes;
};

/* Those that use a device, DIVVY_ACCEL_PROCESSES_MAX at most. Yours: divvy_accel_processes_free. */
int divvy_accel_processes_get(struct divvy_accel *accel, struct divvy_accel_processes *ret_processes, struct divvy_error *error);
void divvy_accel_processes_free(struct divvy_accel_processes *processes);

struct divvy_accel_mount {
    char host[DIVVY_ACCEL_PATH_BYTES], guest[DIVVY_ACCEL_PATH_BYTES]; /* absolute paths */
};

struct divvy_accel_mounts {
    size_t count;
    struct divvy_accel_mount *mounts;
};

/* Files and folders of the host that a container with a device needs. Yours: divvy_accel_mounts_free. */
int divvy_accel_mounts_get(struct divvy_accel *accel, struct divvy_accel_mounts *ret_mounts, struct divvy_error *error);
void divvy_accel_mounts_free(struct divvy_accel_mounts *mounts);

/* --- partitions --------------------------------------------------------------------------------------------- */

struct divvy_accel_variable {
    char key[DIVVY_ACCEL_NAME_BYTES];
    char value[DIVVY_ACCEL_VALUE_BYTES]; /* never empty */
};

struct divvy_accel_node {
    char host[DIVVY_ACCEL_PATH_BYTES + 1], guest[DIVVY_ACCEL_PATH_BYTES + 1]; /* absolute paths */
};

/* 20 KiB: not for small stacks. */
struct divvy_accel_partition {
    char uuid[DIVVY_ACCEL_NAME_BYTES];
    bool is_by_nodes; /* its nodes are what a worker is given, and not the device's; else the variables do it */
    size_t variable_count;
    struct divvy_accel_variable variables[DIVVY_ACCEL_ENV_MAX];
    size_t node_count; /* 0 unless is_by_nodes */
    struct divvy_accel_node nodes[DIVVY_ACCEL_NODES_MAX];
};

/* `template_id` is the vendor's: a MIG profile number ("19") or name ("1g.18gb"). */
int divvy_accel_partition_assign(struct divvy_accel *accel, const char *template_id, const char *device_uuid,
                                 struct divvy_accel_partition *ret_partition, struct divvy_error *error);

/* One that does not exist (any more) is removed with success. */
int divvy_accel_partition_remove(struct divvy_accel *accel, const char *partition_uuid, const char *device_uuid,
                                 struct divvy_error *error);

/* --- limits and snapshots ----------------------------------------------------------------------------------- */

/* Limits of the driver's own making. `worker_id` reaches libraries of generation 1 only. bytes > 0; percent 1 to 100. */
int divvy_accel_memory_limit(struct divvy_accel *accel, const char *worker_id, const char *device_uuid, uint64_t bytes,
                             struct divvy_error *error);
int divvy_accel_compute_limit(struct divvy_accel *accel, const char *worker_id, const char *device_uuid, uint32_t percent,
                              struct divvy_error *error);

/*
 * Stops these processes' work on devices and moves their device memory away, or the other way; or, with no pids, of all
 * processes of a device. 1 to DIVVY_ACCEL_PROCESSES_MAX pids and device_uuid NULL, or 0 and a device.
 */
int divvy_accel_snapshot(struct divvy_accel *accel, const pid_t *pids, size_t count, const char *device_uuid,
                         struct divvy_error *error);
int divvy_accel_resume(struct divvy_accel *accel, const pid_t *pids, size_t count, const char *device_uuid,
                       struct divvy_error *error);

#endif
