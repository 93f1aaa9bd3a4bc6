/* The table of routes. The OpenAPI document describes the same; a test holds one against the other. */
#include "daemon/http/route.h"

#include <string.h>
#include <strings.h>

const struct divvy_http_route divvy_http_routes[] = {
    {"GET", "/healthz", divvy_http_get_healthz, DIVVY_HTTP_FOR_ANYBODY, "getHealth", false},
    {"GET", "/readyz", divvy_http_get_readyz, DIVVY_HTTP_FOR_ANYBODY, "getReadiness", false},

    {"GET", "/api/v1/node", divvy_http_get_node, DIVVY_HTTP_FOR_READERS, "getNode", false},
    {"GET", "/api/v1/node/devices", divvy_http_get_node_devices, DIVVY_HTTP_FOR_READERS, "listNodeDevices", false},
    {"GET", "/api/v1/node/pods", divvy_http_get_node_pods, DIVVY_HTTP_FOR_READERS, "listNodePods", false},
    {"GET", "/api/v1/tenants", divvy_http_get_tenants, DIVVY_HTTP_FOR_READERS, "listTenants", false},
    {"POST", "/api/v1/tenants", divvy_http_post_tenants, DIVVY_HTTP_FOR_USERS, "createTenant", false},
    {"GET", "/api/v1/tenants/{id}", divvy_http_get_tenant, DIVVY_HTTP_FOR_READERS, "getTenant", false},
    {"PATCH", "/api/v1/tenants/{id}", divvy_http_patch_tenant, DIVVY_HTTP_FOR_USERS, "changeTenant", false},
    {"DELETE", "/api/v1/tenants/{id}", divvy_http_delete_tenant, DIVVY_HTTP_FOR_USERS, "removeTenant", false},
    {"POST", "/api/v1/tenants/{id}/freeze", divvy_http_freeze_tenant, DIVVY_HTTP_FOR_USERS, "freezeTenant", false},
    {"POST", "/api/v1/tenants/{id}/thaw", divvy_http_thaw_tenant, DIVVY_HTTP_FOR_USERS, "thawTenant", false},
    {"POST", "/api/v1/tenants/{id}/snapshot", divvy_http_snapshot_tenant, DIVVY_HTTP_FOR_USERS, "snapshotTenant", true},
    {"POST", "/api/v1/tenants/{id}/resume", divvy_http_resume_tenant, DIVVY_HTTP_FOR_USERS, "resumeTenant", true},
    {"GET", "/api/v1/tenants/{id}/processes", divvy_http_get_tenant_processes, DIVVY_HTTP_FOR_READERS, "listTenantProcesses",
     false},
    {"POST", "/api/v1/tenants/{id}/processes", divvy_http_post_tenant_process, DIVVY_HTTP_FOR_USERS, "registerTenantProcess",
     true},
    {"GET", "/api/v1/events", divvy_http_get_events, DIVVY_HTTP_FOR_READERS, "listEvents", false},
    {"GET", "/metrics", divvy_http_get_metrics, DIVVY_HTTP_FOR_READERS, "getMetrics", false},

    {"GET", "/api/v1/devices", divvy_http_get_devices, DIVVY_HTTP_FOR_READERS, "listDevices", false},
    {"GET", "/api/v1/devices/{uuid}", divvy_http_get_device, DIVVY_HTTP_FOR_READERS, "getDevice", false},
    {"POST", "/api/v1/devices/discover", divvy_http_discover, DIVVY_HTTP_FOR_ADMINS, "discoverDevices", true},
    {"GET", "/api/v1/workers", divvy_http_get_workers, DIVVY_HTTP_FOR_READERS, "listWorkers", false},
    {"GET", "/api/v1/workers/{id}", divvy_http_get_worker, DIVVY_HTTP_FOR_READERS, "getWorker", false},
    {"POST", "/api/v1/workers/{id}/snapshot", divvy_http_snapshot_worker, DIVVY_HTTP_FOR_USERS, "snapshotWorker", true},
    {"POST", "/api/v1/workers/{id}/resume", divvy_http_resume_worker, DIVVY_HTTP_FOR_USERS, "resumeWorker", true},
    {"GET", "/api/v1/limiter", divvy_http_get_limiter, DIVVY_HTTP_FOR_READERS, "listLimiters", false},
    {"GET", "/api/v1/limiter/events/{client_id}", divvy_http_get_channel_events, DIVVY_HTTP_FOR_PODS, "followCommands", false},
    {"POST", "/api/v1/limiter/result", divvy_http_post_channel_result, DIVVY_HTTP_FOR_PODS, "postCommandResult", false},
    {"POST", "/api/v1/limiter/report", divvy_http_post_channel_report, DIVVY_HTTP_FOR_PODS, "postReport", false},
    {"POST", "/api/v1/trap", divvy_http_trap, DIVVY_HTTP_FOR_PODS, "trap", true},
    {"GET", "/api/v1/pod", divvy_http_get_pod, DIVVY_HTTP_FOR_PODS, "getPod", false},
    {"POST", "/api/v1/process", divvy_http_post_process, DIVVY_HTTP_FOR_PODS, "initProcess", true},

    {"POST", "/api/v1/gpu/allocate", divvy_http_post_gpu_allocate, DIVVY_HTTP_FOR_USERS, "allocateGpu", true},
    {"DELETE", "/api/v1/gpu/deallocate/{id}", divvy_http_delete_gpu_allocation, DIVVY_HTTP_FOR_USERS, "deallocateGpu", true},
    {"GET", "/api/v1/gpu/allocation/{id}", divvy_http_get_gpu_allocation, DIVVY_HTTP_FOR_READERS, "getGpuAllocation", false},
    {"GET", "/api/v1/gpu/allocations", divvy_http_get_gpu_allocations, DIVVY_HTTP_FOR_READERS, "listGpuAllocations", false},
    {"GET", "/api/v1/gpu/devices", divvy_http_get_gpu_devices, DIVVY_HTTP_FOR_READERS, "listGpuDevices", true},
    {"GET", "/api/v1/gpu/devices/available", divvy_http_get_gpu_available, DIVVY_HTTP_FOR_READERS, "listFreeGpuDevices", true},
    {"GET", "/api/v1/gpu/devices/utilization", divvy_http_get_gpu_utilization, DIVVY_HTTP_FOR_READERS, "getGpuUtilization",
     true},
    {"GET", "/api/v1/gpu/devices/status", divvy_http_get_gpu_status, DIVVY_HTTP_FOR_READERS, "getGpuStatus", true},
    {"GET", "/api/v1/health", divvy_http_get_gpu_health, DIVVY_HTTP_FOR_ANYBODY, "getMigHealth", false},

    {"GET", "/api/v1/vgpu/capacity", divvy_http_get_vgpu_capacity, DIVVY_HTTP_FOR_READERS, "getVgpuCapacity", true},
    {"GET", "/api/v1/vgpu/assignments", divvy_http_get_vgpu_assignments, DIVVY_HTTP_FOR_ADMINS, "listVgpuAssignments", true},
    {"POST", "/api/v1/vgpu/assignments", divvy_http_post_vgpu_assignment, DIVVY_HTTP_FOR_ADMINS, "createVgpuAssignment", true},
    {"GET", "/api/v1/vgpu/assignments/{id}", divvy_http_get_vgpu_assignment, DIVVY_HTTP_FOR_ADMINS, "getVgpuAssignment", true},
    {"DELETE", "/api/v1/vgpu/assignments/{id}", divvy_http_delete_vgpu_assignment, DIVVY_HTTP_FOR_ADMINS, "destroyVgpuAssignment", true},
    {"GET", "/api/v1/vgpu/usage", divvy_http_get_vgpu_usage, DIVVY_HTTP_FOR_ADMINS, "getVgpuUsage", true},
};

const size_t divvy_http_route_count = sizeof divvy_http_routes / sizeof divvy_http_routes[0];

const char *divvy_http_right_name(enum divvy_http_right right) {
    static const char *const names[DIVVY_HTTP_FOR_MAX] = {"anybody", "readers", "pods", "users", "admins"};

    return (unsigned)right < DIVVY_HTTP_FOR_MAX ? names[right] : NULL;
}

/* Whether `path` is one that `pattern` stands for. At most one part of a pattern is in braces. */
static bool pattern_matches(const char *pattern, const char *path, const char **ret_id, size_t *ret_id_length) {
    *ret_id = NULL;
    *ret_id_length = 0;
    while (*pattern) {
        if (*pattern == '{') {
            *ret_id = path;
            *ret_id_length = strcspn(path, "/");
            if (*ret_id_length == 0)
                return false;
            path += *ret_id_length;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static void allow_add(char allow[64], const char *method) {
    size_t used = strlen(allow);

    if (used + strlen(method) + 3 > 64)
        return;
    if (used > 0) {
        memcpy(allow + used, ", ", 3);
        used += 2;
    }
    memcpy(allow + used, method, strlen(method) + 1);
}

const struct divvy_http_route *divvy_http_route_find(const char *method, const char *path, const char **ret_id,
                                                     size_t *ret_id_length, char ret_allow[64]) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    ret_allow[0] = '\0';
    for (size_t i = 0; i < divvy_http_route_count; i++) {
        const struct divvy_http_route *route = &divvy_http_routes[i];

        if (!pattern_matches(route->pattern, path, ret_id, ret_id_length))
            continue;
        if (strcmp(route->method, wanted) == 0)
            return route;
        allow_add(ret_allow, route->method);
        if (strcmp(route->method, "GET") == 0)
            allow_add(ret_allow, "HEAD");
    }
    *ret_id = NULL;
    *ret_id_length = 0;
    return NULL;
}
