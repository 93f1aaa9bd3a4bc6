/* What the kernel's compute driver says of devices in sysfs and ROCm SMI does not: their compute units. No allocation. */
#ifndef DIVVY_ACCEL_AMD_KFD_H
#define DIVVY_ACCEL_AMD_KFD_H

#include <stdint.h>

#define DIVVY_AMD_KFD_NODES "/sys/class/kfd/kfd/topology/nodes"

/*
 * Compute units of the device with ROCm SMI's PCI id (domain in bits 32 and up, a partition in 28 to 31, bus in 8 to 15, device
 * in 3 to 7, function in 0 to 2), from the numbered folders in `nodes`. 0: not known.
 */
uint64_t divvy_amd_kfd_units(const char *nodes, uint64_t bdfid);

#endif
