/* What a client asks for: bodies of POST and PATCH of tenants. Pure; -EINVAL with `error` naming the field. */
#ifndef DIVVY_DAEMON_HTTP_SPEC_H
#define DIVVY_DAEMON_HTTP_SPEC_H

#include "base/error.h"
#include "node/registry.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A Spec of docs/openapi.json. Its devices are looked up among `devices`, the registry's in their order. owner_uid is taken
 * over only from the body, where it is set (*ret_owner_set).
 */
int divvy_http_spec_read(const json_t *body, const struct divvy_node_device *devices, size_t count,
                         struct divvy_node_spec *ret_spec, bool *ret_owner_set, struct divvy_error *error);
/* A Change. */
int divvy_http_change_read(const json_t *body, const struct divvy_node_device *devices, size_t count,
                           struct divvy_node_change *ret_change, struct divvy_error *error);

/* Place of a device by UUID (any case, with or without prefix) or decimal NVML index, or -ENOENT. */
int divvy_http_device_find(const struct divvy_node_device *devices, size_t count, const char *text);

#endif
