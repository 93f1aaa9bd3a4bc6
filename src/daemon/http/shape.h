/* What the server says of tenants, devices, processes and events: JSON of our own routes. NULL when out of memory. */
#ifndef DIVVY_DAEMON_HTTP_SHAPE_H
#define DIVVY_DAEMON_HTTP_SHAPE_H

#include "node/registry.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

json_t *divvy_http_tenant_json(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count);
/* tenants: all of the node, for what is promised of the device. */
json_t *divvy_http_device_json(const struct divvy_node_device *devices, size_t place, const struct divvy_node_tenant *tenants,
                               size_t tenant_count);
json_t *divvy_http_process_json(const struct divvy_node_process *process);
json_t *divvy_http_event_json(const struct divvy_node_event *event);

/* JSON has no unsigned 64 bits: what is beyond is the largest that it has. */
json_t *divvy_http_u64_json(uint64_t value);
/* null for DIVVY_NODE_UNKNOWN. */
json_t *divvy_http_known_json(int64_t value);
json_t *divvy_http_known_real_json(int64_t value, double divisor);

/* RFC 3339, UTC, milliseconds. */
#define DIVVY_HTTP_TIME_BYTES 32
void divvy_http_time_format(int64_t realtime_ns, char text[DIVVY_HTTP_TIME_BYTES]);
/* "run", "pod", "api"; "self", "open", "leased", "frozen". */
const char *divvy_http_source_name(enum divvy_node_source source);
const char *divvy_http_mode_name(uint32_t mode);

#endif
