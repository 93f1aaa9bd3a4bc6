/* The simulated GPU machine: devices, memory and time, shared between processes through one file and no daemon.
 *
 * This is the door for the layers above (the libcuda.so.1 and libnvidia-ml.so.1 surfaces, the tool divvy-sim).
 * It knows no CUDA types: plain integers and its own enums. It comes in these parts:
 *
 *   machine.h   attach/detach, device facts, faults, who uses what (snapshots for NVML and tools)
 *   memory.h    device memory: linear allocations, physical handles and reserved addresses, IPC, lookup
 *   queue.h     contexts, channels, work items, events, waiting
 *   mig.h       multi-instance GPU: instances and the units that they are
 *   checkpoint.h  stopping a process and taking its memory off the device
 *
 * Conventions: functions return 0 or a negative errno; out-parameters come last, named ret_*, and are untouched
 * on failure. Time is nanoseconds of CLOCK_MONOTONIC, which is also the clock of every simulated device.
 * All functions are thread-safe unless said otherwise. None may be called from a signal handler.
 * Errors common to all: -ENOTCONN not attached (or a fork child), -ENODEV no such device or the device is lost.
 *
 * Fork: a child is never attached, whatever the parent was; every call answers -ENOTCONN there, and a new attach
 * is refused with -EPERM until the child has exec'ed. Mappings of device memory do not exist in the child.
 */
#ifndef DIVVY_SIMGPU_ENGINE_H
#define DIVVY_SIMGPU_ENGINE_H

#include "simgpu/engine/checkpoint.h"
#include "simgpu/engine/machine.h"
#include "simgpu/engine/memory.h"
#include "simgpu/engine/mig.h"
#include "simgpu/engine/queue.h"

#endif
