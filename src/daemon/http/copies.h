/* Copies of what the state knows, for handlers that need several of them at once. */
#ifndef DIVVY_DAEMON_HTTP_COPIES_H
#define DIVVY_DAEMON_HTTP_COPIES_H

#include "daemon/http/request.h"

#include <stddef.h>

struct divvy_http_copies {
    struct divvy_node_device *devices;
    size_t device_count;
    struct divvy_node_tenant *tenants; /* those that whoever asks may see, in the order of their ids */
    size_t tenant_count;
};

/* 0, or a negative errno. To be freed also after a failure. */
int divvy_http_copies_get(struct divvy_http_request *request, struct divvy_http_copies *ret_copies);
void divvy_http_copies_free(struct divvy_http_copies *copies);

/*
 * {key: list} of make(tenant, devices, count) for all tenants that take() wants (NULL: all), as the answer 200; or a failure.
 */
int divvy_http_answer_tenants(struct divvy_http_request *request, const char *key,
                              json_t *(*make)(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices,
                                              size_t count),
                              bool (*take)(const struct divvy_node_tenant *tenant));

/* Copies of a tenant, if whoever asks may see it, and its devices. -ENOENT. */
int divvy_http_copies_tenant(struct divvy_http_request *request, const char *id, struct divvy_node_tenant *ret_tenant);

#endif
