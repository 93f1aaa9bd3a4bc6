/*
 * The devices as NVML tells them: loading the library, discovery, samples. No thread, no lock: one caller at a time, and every
 * function may block for as long as the driver does.
 */
#ifndef DIVVY_DAEMON_NVML_H
#define DIVVY_DAEMON_NVML_H

#include "base/error.h"
#include "node/registry.h"

#include <stdbool.h>
#include <stddef.h>

struct divvy_nvml;

/*
 * Load the library `file` (a name for the loader to find, or a path) and begin. -ENOENT: no such library; -ENODEV: it works
 * and shows no device, or there is no driver; -EIO: broken, with the reason. Half a library is enough: what it lacks beyond
 * the few functions that name the devices is treated as not supported.
 */
int divvy_nvml_open(const char *file, struct divvy_nvml **ret_nvml, struct divvy_error *error);

/* End NVML. The library stays loaded: unloading a driver is not safe. NULL is fine. */
void divvy_nvml_close(struct divvy_nvml *nvml);

/* Whether the library lies in a folder called simgpu. */
bool divvy_nvml_is_simulated(const struct divvy_nvml *nvml);

/* Look for devices anew, beginning NVML anew when `again`. How many there are, or -ENODEV, -EIO. */
int divvy_nvml_discover(struct divvy_nvml *nvml, bool again, struct divvy_error *error);

/*
 * Read the newest values of the devices found, and *ret_devices (DIVVY_NODE_DEVICES entries) is filled with their number,
 * which is returned. A device that the driver has lost has healthy = false; *ret_lost counts those. `tick` grows by one
 * with each call: what is dear to read (PCIe traffic, 40 ms) is read at every tenth, and kept in between.
 */
size_t divvy_nvml_sample(struct divvy_nvml *nvml, uint64_t tick, struct divvy_node_device *ret_devices, size_t *ret_lost);

/*
 * What the driver says of the processes on the devices that are not lost, up to `room`: how many. Busy times are of the time
 * since the call before, averaged over all samples that the driver has of it.
 */
size_t divvy_nvml_processes(struct divvy_nvml *nvml, struct divvy_node_sighting *ret_sightings, size_t room);

/* Half-precision tensor TFLOPS (dense) of a model by its name as NVML has it, as its maker states them; 0 unknown. */
double divvy_nvml_model_tflops(const char *model);

#endif
