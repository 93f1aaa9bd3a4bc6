/* Copies of what the state knows. */
#include "daemon/http/copies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct divvy_node_tenant *)a)->id, ((const struct divvy_node_tenant *)b)->id);
}

int divvy_http_copies_get(struct divvy_http_request *request, struct divvy_http_copies *ret_copies) {
    int result;
    size_t kept = 0;

    memset(ret_copies, 0, sizeof *ret_copies);
    result = divvy_daemon_devices(request->daemon, &ret_copies->devices, &ret_copies->device_count);
    if (result == 0)
        result = divvy_daemon_tenants(request->daemon, &ret_copies->tenants, &ret_copies->tenant_count);
    if (result < 0)
        return result;
    for (size_t i = 0; i < ret_copies->tenant_count; i++)
        if (divvy_http_may_see(request, &ret_copies->tenants[i])) {
            if (kept != i)
                ret_copies->tenants[kept] = ret_copies->tenants[i];
            kept++;
        }
    ret_copies->tenant_count = kept;
    if (kept > 1)
        qsort(ret_copies->tenants, kept, sizeof *ret_copies->tenants, by_id);
    return 0;
}

void divvy_http_copies_free(struct divvy_http_copies *copies) {
    free(copies->devices);
    free(copies->tenants);
    memset(copies, 0, sizeof *copies);
}

int divvy_http_answer_tenants(struct divvy_http_request *request, const char *key,
                              json_t *(*make)(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices,
                                              size_t count),
                              bool (*take)(const struct divvy_node_tenant *tenant)) {
    struct divvy_http_copies copies;
    json_t *list = json_array();
    int result = divvy_http_copies_get(request, &copies);

    for (size_t i = 0; result == 0 && i < copies.tenant_count; i++)
        if ((!take || take(&copies.tenants[i])) &&
            json_array_append_new(list, make(&copies.tenants[i], copies.devices, copies.device_count)) != 0)
            result = -ENOMEM;
    divvy_http_copies_free(&copies);
    if (result < 0) {
        json_decref(list);
        return divvy_http_fail_errno(request, result, NULL);
    }
    return divvy_http_answer(request, 200, json_pack("{s:o}", key, list));
}

int divvy_http_copies_tenant(struct divvy_http_request *request, const char *id, struct divvy_node_tenant *ret_tenant) {
    struct divvy_node_tenant tenant;
    int result = divvy_daemon_tenant(request->daemon, id, &tenant);

    if (result == 0 && !divvy_http_may_see(request, &tenant))
        result = -ENOENT;
    if (result == 0)
        *ret_tenant = tenant;
    return result;
}
