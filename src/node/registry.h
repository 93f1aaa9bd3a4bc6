/*
 * What the node knows: devices, tenants, their processes, and what happened (events). Plain data and the rules that keep it
 * consistent; no clock, socket, thread or file: times come in as arguments. Not thread-safe: the daemon's state has the lock.
 *
 * A tenant is whoever has limits of its own: a program started by divvy run, a container of a pod, a virtual machine. Its id is
 * unique on the node: the name given to divvy run, or "<namespace>/<pod>/<container>" of a pod. It may use up to DIVVY_NODE_DEVICES
 * devices, and any number of processes belong to it.
 */
#ifndef DIVVY_NODE_REGISTRY_H
#define DIVVY_NODE_REGISTRY_H

#include "node/sched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_NODE_DEVICES        16u /* of a node */
#define DIVVY_NODE_TENANTS_MAX    16384u
#define DIVVY_NODE_PROCESSES_MAX  512u /* of a tenant */
#define DIVVY_NODE_ID_BYTES       128u
#define DIVVY_NODE_TEXT_BYTES     160u
#define DIVVY_NODE_LABELS_BYTES   1024u
#define DIVVY_NODE_POD_UID_BYTES 64u
#define DIVVY_NODE_UUID_BYTES     48u /* "GPU-…", NUL-terminated */
#define DIVVY_NODE_EVENTS         4096u /* the newest are kept */
#define DIVVY_NODE_MEMORY_NONE    UINT64_MAX
#define DIVVY_NODE_PERMILLE_NONE  1000u

/* A value that the device could not tell is DIVVY_NODE_UNKNOWN. */
#define DIVVY_NODE_UNKNOWN INT64_MIN

struct divvy_node_device {
    uint32_t index;   /* as NVML counts */
    int32_t minor;    /* number of its device file; -1 unknown */
    uint8_t uuid[16]; /* raw */
    char uuid_text[DIVVY_NODE_UUID_BYTES];
    char model[DIVVY_NODE_TEXT_BYTES];
    char vendor[32];
    char pci_bus_id[32];
    bool simulated;
    bool healthy;
    int32_t numa_node; /* -1 unknown */
    uint64_t memory_bytes;
    double max_tflops; /* 0 unknown */
    uint32_t cores;    /* 0 unknown */
    /* the newest sample */
    int64_t sampled_ns; /* CLOCK_MONOTONIC, 0 never */
    int64_t utilisation_permille;
    int64_t memory_used_bytes;
    int64_t temperature_c;
    int64_t power_mw;
    int64_t clock_sm_mhz, clock_memory_mhz, clock_graphics_mhz, clock_video_mhz;
    int64_t pcie_rx_kb, pcie_tx_kb; /* per second */
};

struct divvy_node_binding {
    uint32_t device;           /* index in the registry's devices */
    uint64_t limit_bytes;      /* DIVVY_NODE_MEMORY_NONE: none */
    uint32_t compute_permille; /* cap, DIVVY_NODE_PERMILLE_NONE: none */
    bool soft;                 /* the cap may be exceeded while nobody else can run */
    uint32_t weight;           /* 1..DIVVY_NODE_SCHED_WEIGHT_MAX */
    /* as last read from the usage page */
    uint64_t used_bytes;
    uint64_t peak_bytes;
    uint64_t refused;
    uint64_t busy_ns;     /* GPU time since the tenant began */
    uint64_t waited_ns;   /* at the gate, summed over threads */
    uint64_t launches;
    uint32_t waiting;     /* threads at the gate now */
    uint32_t share_permille; /* of GPU time, got in the last second; of the device's wall time */
    uint32_t mode;        /* enum divvy_control_mode */
    struct divvy_node_sched_stats sched;
};

enum divvy_node_tenant_state {
    DIVVY_NODE_TENANT_IDLE,    /* no process, or none that wants GPU time */
    DIVVY_NODE_TENANT_RUNNING, /* has wanted GPU time in the last second */
    DIVVY_NODE_TENANT_FROZEN,  /* by request */
    DIVVY_NODE_TENANT_SAVED,   /* by request; its device memory lies in host memory (checkpoint) */
    DIVVY_NODE_TENANT_ASLEEP,  /* the same, because it was idle: its next call of the driver brings it back */
    DIVVY_NODE_TENANT_STATE_MAX
};

enum divvy_node_source { DIVVY_NODE_FROM_RUN, DIVVY_NODE_FROM_POD, DIVVY_NODE_FROM_API, DIVVY_NODE_SOURCE_MAX };

struct divvy_node_tenant {
    uint32_t number; /* what the scheduler calls it */
    char id[DIVVY_NODE_ID_BYTES];
    char pod[DIVVY_NODE_ID_BYTES], namespace[DIVVY_NODE_ID_BYTES], container[DIVVY_NODE_ID_BYTES]; /* or empty */
    char labels[DIVVY_NODE_LABELS_BYTES]; /* of the pod: a JSON object {label: value}, or empty; for metrics only */
    char pod_uid[DIVVY_NODE_POD_UID_BYTES]; /* of a pod that the cluster has told of; else empty */
    enum divvy_node_source source;
    enum divvy_node_tenant_state state;
    enum divvy_node_qos qos;
    uint32_t owner_uid;
    int32_t keeper_pid; /* registered it and keeps it; 0 nobody */
    bool frozen;        /* by request */
    bool asleep;        /* saved because it was idle, or on the way to that or back */
    int64_t created_ns; /* CLOCK_REALTIME */
    int64_t active_ns;  /* CLOCK_MONOTONIC at which it last wanted GPU time */
    uint32_t process_count;
    uint32_t binding_count;
    struct divvy_node_binding bindings[DIVVY_NODE_DEVICES];
    char folder[256]; /* where its pages lie */
    uint64_t frozen_count, resumed_count; /* of its device memory, by checkpoint */
    int64_t return_ns_last, return_ns_total; /* how long it took to come back from sleep, from the first call on */
};

struct divvy_node_process {
    int32_t host_pid;
    int32_t container_pid; /* in its own pid namespace */
    uint64_t start_ticks;
    char name[32];
    uint64_t used_bytes; /* on all its devices */
};

/* What the driver says of one process on one device. */
struct divvy_node_sighting {
    uint8_t uuid[16]; /* of the device */
    int32_t host_pid;
    uint64_t used_bytes;
    int64_t busy_permille; /* of the time since it was asked before; DIVVY_NODE_UNKNOWN: the driver does not tell */
};

/* What is asked for when a tenant is made. */
struct divvy_node_spec {
    char id[DIVVY_NODE_ID_BYTES];
    char pod[DIVVY_NODE_ID_BYTES], namespace[DIVVY_NODE_ID_BYTES], container[DIVVY_NODE_ID_BYTES];
    char labels[DIVVY_NODE_LABELS_BYTES]; /* as in the tenant; not looked into here */
    char pod_uid[DIVVY_NODE_POD_UID_BYTES]; /* likewise */
    enum divvy_node_source source;
    enum divvy_node_qos qos;
    uint32_t owner_uid;
    int32_t keeper_pid;
    uint32_t binding_count;
    struct {
        uint32_t device;
        uint64_t limit_bytes;
        uint32_t compute_permille;
        bool soft;
        uint32_t weight; /* 0: the cap in permille, or DIVVY_NODE_WEIGHT_DEFAULT without one */
    } bindings[DIVVY_NODE_DEVICES];
};
#define DIVVY_NODE_WEIGHT_DEFAULT 500u

/*
 * A change while the tenant lives; what is not in `fields` stays. A weight that equals what the cap alone would give follows the
 * cap when that changes, unless the change names a weight; weight 0 goes back to that.
 */
#define DIVVY_NODE_CHANGE_MEMORY  1u
#define DIVVY_NODE_CHANGE_COMPUTE 2u
#define DIVVY_NODE_CHANGE_SOFT    4u
#define DIVVY_NODE_CHANGE_WEIGHT  8u
#define DIVVY_NODE_CHANGE_QOS     16u
struct divvy_node_change {
    uint32_t fields;
    int32_t device; /* which of its devices, by index in the registry; -1 all */
    uint64_t limit_bytes;
    uint32_t compute_permille;
    bool soft;
    uint32_t weight;
    enum divvy_node_qos qos;
};

enum divvy_node_event_kind {
    DIVVY_NODE_EVENT_TENANT_CREATED,
    DIVVY_NODE_EVENT_TENANT_ADOPTED,
    DIVVY_NODE_EVENT_TENANT_CHANGED,
    DIVVY_NODE_EVENT_TENANT_FROZEN,
    DIVVY_NODE_EVENT_TENANT_RESUMED,
    DIVVY_NODE_EVENT_TENANT_REMOVED,
    DIVVY_NODE_EVENT_PROCESS_STARTED,
    DIVVY_NODE_EVENT_PROCESS_ENDED,
    DIVVY_NODE_EVENT_MEMORY_REFUSED,
    DIVVY_NODE_EVENT_LONG_KERNEL,
    DIVVY_NODE_EVENT_DEVICE_LOST,
    DIVVY_NODE_EVENT_DEVICE_BACK,
    DIVVY_NODE_EVENT_PAGE_BROKEN, /* a tenant's usage page is not to be believed */
    DIVVY_NODE_EVENT_DAEMON,
    DIVVY_NODE_EVENT_TRAP, /* a process that ran out of memory has asked what to do */
    DIVVY_NODE_EVENT_KIND_MAX
};

struct divvy_node_event {
    uint64_t number;  /* from 1, never reused while the daemon lives */
    int64_t time_ns;  /* CLOCK_REALTIME */
    enum divvy_node_event_kind kind;
    char tenant[DIVVY_NODE_ID_BYTES]; /* or empty */
    char text[DIVVY_NODE_TEXT_BYTES]; /* one line for people */
    int32_t pid;                      /* of the process that it is about, as the host counts; 0 none */
    enum divvy_node_qos qos;          /* of the tenant then; with weight 0: not known */
    uint32_t weight;                  /* on its first device */
};

/* Names in JSON and on the command line: "low", "tenant-created", "running", "open". NULL when out of range. */
const char *divvy_node_qos_name(enum divvy_node_qos qos);
const char *divvy_node_event_name(enum divvy_node_event_kind kind);
const char *divvy_node_state_name(enum divvy_node_tenant_state state);
const char *divvy_node_source_name(enum divvy_node_source source); /* "run", "pod", "api" */
const char *divvy_node_mode_name(uint32_t mode);                   /* of enum divvy_control_mode */
/* The other way; any case. 0 or -EINVAL. */
int divvy_node_qos_parse(const char *text, enum divvy_node_qos *ret_qos);

struct divvy_node_registry;

/* 0 or -ENOMEM. */
int divvy_node_registry_new(struct divvy_node_registry **ret_registry);
void divvy_node_registry_free(struct divvy_node_registry *registry);

/* Enter or update a device by UUID: its index in the registry, or -ENOSPC. Its samples are taken as they are. */
int divvy_node_registry_device_set(struct divvy_node_registry *registry, const struct divvy_node_device *device);
uint32_t divvy_node_registry_device_count(const struct divvy_node_registry *registry);
/* NULL beyond the count. Valid until the registry is freed. */
struct divvy_node_device *divvy_node_registry_device(struct divvy_node_registry *registry, uint32_t index);
/*
 * By UUID text in any case, with or without its prefix, or by the decimal index that NVML gives it (a healthy device goes before
 * a lost one of the same index): its index in the registry, or -ENOENT.
 */
int divvy_node_registry_device_find(const struct divvy_node_registry *registry, const char *text);

/* What a device's tenants were promised, all together. */
struct divvy_node_promise {
    uint64_t memory_bytes;     /* sum of the memory limits; a tenant without one counts nothing. Saturated */
    uint64_t compute_permille; /* sum of the caps; a tenant without one counts 1000 */
    uint32_t tenants;          /* bound to the device */
};
/* Zeros beyond the count of devices. */
struct divvy_node_promise divvy_node_registry_promise(const struct divvy_node_registry *registry, uint32_t device);

/*
 * Check a spec and make the tenant. -EINVAL id not well formed (1 to 127 of letters, digits, '.', '_', '-', and '/' between parts,
 * no part "." or ".."; names of pod, namespace and container likewise but without '/', or empty), limits out of range (memory 0,
 * cap 0 or above 1000, weight), no or a repeated device; -EEXIST; -ENOSPC; -ENOMEM. `why` (may be NULL) says what was wrong and is
 * left alone on success.
 * Memory may be given out beyond what the device has only where `overcommit_permille` of its size allows it: else -EDQUOT.
 * UINT32_MAX: no such check. One tenant's limit above the device's size is -EINVAL always. Nothing is checked for a device of
 * unknown size or a tenant without a memory limit.
 * A tenant's number is below DIVVY_NODE_TENANTS_MAX, and is given out again only after many others were.
 */
int divvy_node_registry_tenant_add(struct divvy_node_registry *registry, const struct divvy_node_spec *spec,
                                   int64_t realtime_ns, uint32_t overcommit_permille, struct divvy_node_tenant **ret_tenant,
                                   char why[DIVVY_NODE_TEXT_BYTES]);
/*
 * Apply a change, all or nothing; the same checks. -ENOENT (no such tenant, or the device is none of its), -EINVAL, -EDQUOT.
 * A memory limit may always be lowered, also below what is in use and while more is promised than there is.
 */
int divvy_node_registry_tenant_change(struct divvy_node_registry *registry, const char *id,
                                      const struct divvy_node_change *change, uint32_t overcommit_permille,
                                      char why[DIVVY_NODE_TEXT_BYTES]);
int divvy_node_registry_tenant_remove(struct divvy_node_registry *registry, const char *id); /* 0 or -ENOENT */
struct divvy_node_tenant *divvy_node_registry_tenant(struct divvy_node_registry *registry, const char *id); /* or NULL */
struct divvy_node_tenant *divvy_node_registry_tenant_number(struct divvy_node_registry *registry, uint32_t number);
uint32_t divvy_node_registry_tenant_count(const struct divvy_node_registry *registry);
/* The tenants in the order of their making: the one after `tenant`, the first after NULL; NULL at the end. */
struct divvy_node_tenant *divvy_node_registry_tenant_next(struct divvy_node_registry *registry,
                                                          const struct divvy_node_tenant *tenant);

/*
 * Processes of a tenant. Enter: 0, -EEXIST (its used_bytes are taken over), -ENOSPC, -ENOMEM, -ENOENT (tenant). Identity is pid
 * and start time.
 */
int divvy_node_registry_process_add(struct divvy_node_registry *registry, const char *id,
                                    const struct divvy_node_process *process);
/* What a known process uses now. 0, or -ENOENT: it is not known. */
int divvy_node_registry_process_used(struct divvy_node_registry *registry, const char *id, int32_t host_pid,
                                     uint64_t start_ticks, uint64_t used_bytes);
int divvy_node_registry_process_remove(struct divvy_node_registry *registry, const char *id, int32_t host_pid,
                                       uint64_t start_ticks);
/* Copies up to `room`; returns how many there are, or -ENOENT. */
int divvy_node_registry_processes(const struct divvy_node_registry *registry, const char *id,
                                  struct divvy_node_process *ret_processes, uint32_t room);
/* The tenant that has a process of this pid, the newest if several claim it; NULL. Looks at all of them. */
struct divvy_node_tenant *divvy_node_registry_process_tenant(struct divvy_node_registry *registry, int32_t host_pid);

/*
 * Enter an event; the oldest is dropped when there are DIVVY_NODE_EVENTS. Returns its number. `tenant` may be NULL. What is not
 * one printable line becomes one: control characters turn into blanks, and what is too long is cut between characters. `pid`: the
 * process that it is about, 0 none.
 */
uint64_t divvy_node_registry_event(struct divvy_node_registry *registry, int64_t realtime_ns,
                                   enum divvy_node_event_kind kind, const char *tenant, int32_t pid, const char *text);
/* Events with numbers above `after`, oldest first, up to `room`: how many were copied. */
uint32_t divvy_node_registry_events(const struct divvy_node_registry *registry, uint64_t after,
                                    struct divvy_node_event *ret_events, uint32_t room);

#endif
