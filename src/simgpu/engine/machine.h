/* Attaching to the simulated machine, device facts, faults, and the read side for NVML and tools. */
#ifndef DIVVY_SIMGPU_MACHINE_H
#define DIVVY_SIMGPU_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIVVY_SIMGPU_DEVICES_MAX = 16,
    DIVVY_SIMGPU_MIG_MAX = 7, /* MIG devices of one device */
    /* Devices and MIG devices together (mig.h): wherever a "device" is asked for, a unit's number does. */
    DIVVY_SIMGPU_UNITS_MAX = DIVVY_SIMGPU_DEVICES_MAX * (1 + DIVVY_SIMGPU_MIG_MAX),
    DIVVY_SIMGPU_NAME_MAX = 64,
    DIVVY_SIMGPU_COMM_MAX = 16,
    DIVVY_SIMGPU_ERROR_MAX = 256,
};

enum divvy_simgpu_attach_flags {
    /* Looks, but computes nothing: NVML and tools. Never listed as a process of a device. */
    DIVVY_SIMGPU_OBSERVER = 1 << 0,
    /* Take the machine that exists, whatever the environment asks for; -ENOENT where there is none. */
    DIVVY_SIMGPU_EXISTING = 1 << 1,
};

/* Facts of a device that never change while the machine lives. */
typedef struct divvy_simgpu_device {
    char name[DIVVY_SIMGPU_NAME_MAX]; /* "NVIDIA H200" */
    char uuid_text[64]; /* "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case; of units see mig.h */
    uint8_t uuid[16];
    char pci_text[16];    /* "0000:1b:00.0" */
    char serial_text[24]; /* board serial */
    uint32_t pci_domain, pci_bus, pci_device;
    uint32_t pci_id;           /* device id << 16 | vendor id */
    uint32_t pci_subsystem_id; /* the same for the subsystem */
    int32_t index; /* of the device or unit */
    int32_t cc_major, cc_minor;
    int32_t sm_count;
    int32_t threads_per_sm_max;
    int32_t blocks_per_sm_max;
    int32_t cores_per_sm; /* FP32 lanes */
    int32_t copy_engines;
    uint64_t memory_bytes; /* capacity of the pool */
    uint64_t l2_bytes;
    uint64_t shared_per_sm_bytes, shared_per_block_bytes, shared_per_block_optin_bytes;
    int32_t registers_per_sm, registers_per_block;
    uint32_t sm_clock_khz, memory_clock_khz; /* maxima; the simulated device always runs at them */
    uint32_t memory_bus_bits;
    uint64_t memory_bytes_per_s; /* bandwidth of device memory */
    uint64_t pcie_bytes_per_s;   /* one direction, effective */
    uint32_t pcie_gen, pcie_width;
    uint32_t power_limit_mw, power_idle_mw;
} divvy_simgpu_device_t;

/* State of a device at one moment; taken after advancing the device to the present. */
typedef struct divvy_simgpu_status {
    uint64_t now_ns;     /* device clock */
    uint64_t created_ns; /* device clock when the machine was made */
    uint64_t busy_ns; /* time with at least one kernel running, since creation: the ground truth */
    uint64_t copy_busy_ns[2]; /* copy engines: to the device, from the device */
    uint64_t copy_bytes[2];
    uint64_t launches;
    uint64_t used_bytes, total_bytes;
    int32_t contexts, processes;
    bool lost;
} divvy_simgpu_status_t;

/* One process on one device. */
typedef struct divvy_simgpu_process {
    int32_t pid;
    int32_t contexts;     /* live contexts on this device; 0 in the history */
    uint64_t start_ticks; /* field 22 of /proc/pid/stat */
    uint64_t id;          /* unique in this machine's life, also over pid reuse; never 0 */
    uint64_t bytes;       /* device memory charged */
    uint64_t peak_bytes;
    uint64_t busy_ns; /* exact: while one of its contexts was current with a kernel running */
    uint64_t copy_busy_ns;
    uint64_t launches;
    uint64_t attached_ns, ended_ns; /* ended_ns is 0 while it lives */
    char name[DIVVY_SIMGPU_COMM_MAX];
} divvy_simgpu_process_t;

/* Busy time in one bin of DIVVY_SIMGPU_BIN_NS that started at start_ns. */
enum { DIVVY_SIMGPU_BIN_NS = 10000000, DIVVY_SIMGPU_BINS = 128 };
typedef struct divvy_simgpu_sample {
    uint64_t start_ns;
    uint32_t busy_ns;
} divvy_simgpu_sample_t;

/* --- attach ------------------------------------------------------------------------------------------------ */

/* Joins (or first makes) the machine of DIVVY_SIM_DIR and takes a process slot. Counted: each success needs one
 * detach. error may be NULL; else DIVVY_SIMGPU_ERROR_MAX bytes that receive one line naming cause and remedy.
 * -EINVAL bad environment value; -EBUSY another configuration is alive; -EPROTO the file is not a machine of
 * this version, or damaged; -EPERM fork child, foreign owner, or another pid namespace; -ENOSPC no slot or no
 * space; -ENOENT with DIVVY_SIMGPU_EXISTING and no machine. May block while another process creates the machine. */
int divvy_simgpu_attach(unsigned flags, char *error);
/* Gives back one attach; the last one destroys all contexts, memory and events of this process. The caller has
 * no other call in progress. Harmless when not attached. A process that exits without it is reaped by others. */
void divvy_simgpu_detach(void);
/* True in a process that attached and is not a fork child of it. A load and a branch. */
bool divvy_simgpu_attached(void);
/* Path of the state file of this process's environment, into buf. -ENAMETOOLONG. */
int divvy_simgpu_path(char *buf, size_t size);

uint64_t divvy_simgpu_now_ns(void);
uint64_t divvy_simgpu_slice_ns(void);

/* --- devices ----------------------------------------------------------------------------------------------- */

int divvy_simgpu_device_count(void); /* or -ENOTCONN */
/* Facts of device index; valid until detach. NULL when not attached or no such index. Lost devices answer too. */
const divvy_simgpu_device_t *divvy_simgpu_device_get(int device);
bool divvy_simgpu_device_lost(int device);
/* Makes the device fall off the bus now (lost) or come back. Waiters wake with -ENODEV. */
int divvy_simgpu_device_set_lost(int device, bool lost);

/* --- the read side ----------------------------------------------------------------------------------------- */

/* Reaps dead processes, advances the device, reads. Answers for lost devices too. */
int divvy_simgpu_status(int device, divvy_simgpu_status_t *ret_status);
/* Live processes that hold a context or memory on the device, up to count, ordered by id. ret_total is the number
 * there are, which may exceed count. vector may be NULL when count is 0. */
int divvy_simgpu_processes(int device, divvy_simgpu_process_t *vector, size_t count,
                           size_t *ret_total);
/* The same for processes that have ended, newest first; the machine remembers the last 256. */
int divvy_simgpu_history(int device, divvy_simgpu_process_t *vector, size_t count,
                         size_t *ret_total);
/* Busy time in the bins that began at or after since_ns, oldest first, idle bins included as zero; covers at most
 * the last DIVVY_SIMGPU_BINS bins; the bin in progress is left out. pid 0: the whole device; else one live
 * process (-ESRCH). vector holds count; ret_count is the number written, the newest ones if count is too small. */
int divvy_simgpu_samples(int device, int pid, uint64_t since_ns, divvy_simgpu_sample_t *vector,
                         size_t count, size_t *ret_count);
/* Share of the last window_ns (10 ms .. 1.2 s, whole bins) in which the device, or the process pid on it, was
 * busy, in parts of 1000. */
int divvy_simgpu_utilisation(int device, int pid, uint64_t window_ns, unsigned *ret_permille);
/* Reaps every process that has ended; the functions above do it themselves. Returns how many, or an error. */
int divvy_simgpu_reap(void);

/* --- faults ------------------------------------------------------------------------------------------------ */

typedef enum divvy_simgpu_fault_kind {
    DIVVY_SIMGPU_FAULT_NONE,
    DIVVY_SIMGPU_FAULT_FAIL,        /* return code, do nothing */
    DIVVY_SIMGPU_FAULT_UNSUPPORTED, /* as if this driver lacked the call's feature */
} divvy_simgpu_fault_kind_t;

typedef struct divvy_simgpu_fault {
    divvy_simgpu_fault_kind_t kind;
    int code; /* FAIL: the API's own number, as given (CUresult or nvmlReturn_t) */
} divvy_simgpu_fault_t;

/* To be asked once by every API call, with its exported name. A rule for a name also covers its _v2, _v3, _ptsz
 * and _ptds forms. Sleeps itself for "slow" rules. When no rule exists the cost is a load and a branch. */
divvy_simgpu_fault_t divvy_simgpu_fault(const char *call);
/* Adds rules (the grammar of DIVVY_SIM_FAULTS, docs/SIMGPU.md) to the running machine. error as in attach. */
int divvy_simgpu_fault_add(const char *text, char *error);
int divvy_simgpu_fault_clear(void);
/* Text of rule number (0..) with its hits; -ENOENT past the last. */
int divvy_simgpu_fault_describe(unsigned number, char *buf, size_t size);

#endif
