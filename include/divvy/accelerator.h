/*
 * The accelerator provider ABI: how a host (a node's daemon or agent) finds and divides devices by a library
 * libaccelerator_VENDOR.so. There are two generations, whose functions have different names, so that a library exports both:
 *
 *   1  VirtualGPUInit, GetDeviceCount, …    hosts until March 2026
 *   2  AccelInit, AccelGetDeviceCount, …    hosts since then
 *
 * This header shows both: structures that differ are called Accel1… and Accel2…. A program that knows one generation only defines
 * DIVVY_ACCELERATOR_GENERATION as 1 or 2 before it includes this, and has that generation's published names (ExtendedDeviceInfo,
 * Result, RESULT_SUCCESS, …).
 */
#ifndef DIVVY_ACCELERATOR_H
#define DIVVY_ACCELERATOR_H

#include "divvy/accelerator_1.h"
#include "divvy/accelerator_2.h"
#include "divvy/accelerator_limiter.h"
#include "divvy/accelerator_types.h"

#if defined(DIVVY_ACCELERATOR_GENERATION) && DIVVY_ACCELERATOR_GENERATION == 1

#define RESULT_SUCCESS                  ACCEL_SUCCESS
#define RESULT_ERROR_INVALID_PARAM      ACCEL_ERROR_INVALID_PARAM
#define RESULT_ERROR_NOT_FOUND          ACCEL_ERROR_NOT_FOUND
#define RESULT_ERROR_NOT_SUPPORTED      ACCEL_ERROR_NOT_SUPPORTED
#define RESULT_ERROR_RESOURCE_EXHAUSTED ACCEL_ERROR_RESOURCE_EXHAUSTED
#define RESULT_ERROR_OPERATION_FAILED   ACCEL_ERROR_OPERATION_FAILED
#define RESULT_ERROR_INTERNAL           ACCEL_ERROR_INTERNAL
typedef AccelResult Result;
typedef LogCallbackFunc LogCallback;
typedef MountPath Mount;
typedef Accel1DeviceBasicInfo DeviceBasicInfo;
typedef Accel1ExtendedDeviceInfo ExtendedDeviceInfo;
typedef Accel1DeviceTopology DeviceTopology;
typedef Accel1ExtendedDeviceTopology ExtendedDeviceTopology;
typedef Accel1EnvVar EnvVar;
typedef Accel1PartitionAssignment PartitionAssignment;
typedef Accel1WorkerInfo WorkerInfo;
typedef Accel1ProcessArray ProcessArray;
typedef Accel1DeviceUUIDEntry DeviceUUIDEntry;

#elif defined(DIVVY_ACCELERATOR_GENERATION) && DIVVY_ACCELERATOR_GENERATION == 2

typedef Accel2DeviceBasicInfo DeviceBasicInfo;
typedef Accel2ExtendedDeviceInfo ExtendedDeviceInfo;
typedef Accel2DeviceTopoNode DeviceTopoNode;
typedef Accel2DeviceTopologyInfo DeviceTopologyInfo;
typedef Accel2ExtendedDeviceTopology ExtendedDeviceTopology;
typedef Accel2SnapshotContext SnapshotContext;
typedef Accel2PartitionResult PartitionResult;

#elif defined(DIVVY_ACCELERATOR_GENERATION)
#error "DIVVY_ACCELERATOR_GENERATION is 1 or 2"
#endif

#endif
