/*
 * JSON with the names of TensorFusion's hypervisor (Go field names: all keys always there, maps and lists that are empty are
 * null), made of our tenants and devices. A worker is a tenant; its UID is the tenant's id. NULL when out of memory.
 */
#ifndef DIVVY_DAEMON_HTTP_SEED_H
#define DIVVY_DAEMON_HTTP_SEED_H

#include "daemon/state.h"

#include <jansson.h>
#include <stddef.h>

/* UUIDs are in lower case here ("gpu-…"), as that hypervisor has them. */
json_t *divvy_http_device_info(const struct divvy_node_device *device);
json_t *divvy_http_worker_allocation(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices,
                                     size_t count);
/* {device: {pid: WorkerMetrics}} of all devices of the tenant. */
json_t *divvy_http_worker_metrics(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count,
                                  const struct divvy_node_process *processes, size_t process_count);
/* {"worker_uid", "requests", "limits"}. */
json_t *divvy_http_limiter_json(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count);
/* PodInfo's data: all bindings of one tenant; optional values are left out. auto_freeze_ns 0: never. */
json_t *divvy_http_pod_info(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count,
                            int64_t autofreeze_ns);
/* An entry of the list of pods. */
json_t *divvy_http_pod_entry(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count);

#endif
