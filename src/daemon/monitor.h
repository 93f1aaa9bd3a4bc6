/*
 * Watches the devices through NVML: discovery at the start, on request and at an interval, and a sample of cheap values every
 * second, both handed to the state (divvy_daemon_devices_seen). NVML is only ever called by the monitor's own thread; a call
 * that hangs holds nobody else, and its devices count as unhealthy until it returns.
 *
 * Each call that the driver does not support loses its own value only (DIVVY_NODE_UNKNOWN). A device that is lost becomes
 * unhealthy; NVML is then begun anew at growing intervals until it is back.
 *
 * Thread-safe.
 */
#ifndef DIVVY_DAEMON_MONITOR_H
#define DIVVY_DAEMON_MONITOR_H

#include "base/error.h"
#include "daemon/state.h"

#include <stdbool.h>
#include <stdint.h>

enum divvy_monitor_gpu {
    DIVVY_MONITOR_GPU_AUTO, /* the driver's devices; the simulated ones where there is no driver or no device */
    DIVVY_MONITOR_GPU_REAL,
    DIVVY_MONITOR_GPU_SIM,
    DIVVY_MONITOR_GPU_MAX
};

struct divvy_monitor_options {
    enum divvy_monitor_gpu gpu;
    const char *simulated_dir; /* holds the simulated libnvidia-ml.so.1; empty: not installed. Copied */
    int64_t sample_interval_ns;
    int64_t discovery_interval_ns;
    int64_t hang_ns; /* a look at the devices that takes longer counts as hung */
};

struct divvy_monitor;

/*
 * Start the thread and wait for the first look at the devices, at most wait_ns. 0 also when there is no device yet: the
 * monitor goes on looking, and `error` then says why (its status is negative). -ENOMEM and others of pthread_create.
 */
int divvy_monitor_start(struct divvy_daemon *daemon, const struct divvy_monitor_options *options, int64_t wait_ns,
                        struct divvy_monitor **ret_monitor, struct divvy_error *error);

/* Look for devices again, now; waits for it at most wait_ns. Number of healthy devices, -ENODEV, or -ETIMEDOUT. */
int divvy_monitor_discover(struct divvy_monitor *monitor, int64_t wait_ns, struct divvy_error *error);

/* The intervals from here on. */
void divvy_monitor_reload(struct divvy_monitor *monitor, const struct divvy_monitor_options *options);

/*
 * To be called about once a second by another thread: tells the state when the monitor's thread hangs in the driver. True
 * while it hangs.
 */
bool divvy_monitor_check(struct divvy_monitor *monitor);

/* Whether the devices are simulated ones; false until that is known. */
bool divvy_monitor_is_simulated(const struct divvy_monitor *monitor);

/*
 * End the thread and free everything; a thread that hangs in the driver is left behind after two seconds, and frees its
 * memory when it comes back. It does not touch the state any more. NULL is fine.
 */
void divvy_monitor_stop(struct divvy_monitor *monitor);

#endif
