/*
 * The limiter's end of the two-way channel to the hypervisor of the node (docs/CHANNEL.md), for pods: HYPERVISOR_IP,
 * HYPERVISOR_PORT and CONTAINER_NAME name it; without them nothing here does anything.
 *
 * Two parts. At activation, on the caller's thread: one request, which tells the pod's limits and GPUs; CUDA_VISIBLE_DEVICES is
 * rewritten to them. After the first CUDA call: one thread with all signals blocked, which registers the process and then does
 * what it is told. A forked child that uses CUDA gets a thread of its own.
 */
#ifndef DIVVY_LIMITER_CHANNEL_CHANNEL_H
#define DIVVY_LIMITER_CHANNEL_CHANNEL_H

#include "limiter/hook/limits.h"
#include "page/page.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether the environment names a hypervisor. Pure but for the environment. */
bool divvy_channel_is_wanted(void);

/*
 * Ask for the pod, and rewrite the visible devices. `machine`: all GPUs in NVML's order, count 0 when not known. 0; or a negative
 * errno after one line: the hypervisor did not tell. Blocks as long as HTTP_CONNECT_TIMEOUT and HTTP_REQUEST_TIMEOUT allow. Before
 * the driver's cuInit; once.
 */
int divvy_channel_pod_ask(const struct divvy_limit_device *machine, size_t count);

/* Whether the hypervisor that answered for the pod is divvyd, which needs no pod file with us. */
bool divvy_channel_is_divvyd(void);

/* What the pod's limits are for this device: made stricter by them. */
void divvy_channel_limit(const struct divvy_limit_device *device, struct divvy_limit *limit);

/* A device was entered into the usage page with its limits, or those were changed from within the process. */
void divvy_channel_device_entered(const struct divvy_page *usage, unsigned device);
void divvy_channel_device_changed(const struct divvy_page *usage, unsigned device);

/* This process uses CUDA now: start the thread, if there is to be one. Again in a forked child. */
void divvy_channel_start(void);

/* In a forked child, from the atfork handler or later: what the parent's thread had open is let go. */
void divvy_channel_forked(void);

#endif
