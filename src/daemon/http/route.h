/* The table of routes: all that the server answers, in one place; and the search in it. */
#ifndef DIVVY_DAEMON_HTTP_ROUTE_H
#define DIVVY_DAEMON_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

struct divvy_http_request;

/* Who may call a route. What they may do with which tenant is the state's business. */
enum divvy_http_right {
    DIVVY_HTTP_FOR_ANYBODY, /* no credential */
    DIVVY_HTTP_FOR_READERS, /* whoever has any */
    DIVVY_HTTP_FOR_PODS,    /* a pod's token, for its own pod; users of the unix socket and admins */
    DIVVY_HTTP_FOR_USERS,   /* users of the unix socket (for their own tenants), and admins */
    DIVVY_HTTP_FOR_ADMINS,
    DIVVY_HTTP_FOR_MAX
};

struct divvy_http_route {
    const char *method;
    const char *pattern;                                /* "/api/v1/tenants/{id}": a part in braces is any text without '/' */
    int (*handler)(struct divvy_http_request *request); /* returns the status of the answer, or DIVVY_HTTP_LATER */
    enum divvy_http_right right;
    const char *operation; /* operationId in the OpenAPI document */
    bool is_slow;          /* may block: runs on a worker */
};

extern const struct divvy_http_route divvy_http_routes[];
extern const size_t divvy_http_route_count;

/*
 * The route of a method and an undecoded path; HEAD is looked up as GET. NULL: none. Then *ret_allow (64 bytes) lists the
 * methods that the path has, or is empty when there is no such path. *ret_id and *ret_id_length are the part in braces,
 * still encoded, or NULL.
 */
const struct divvy_http_route *divvy_http_route_find(const char *method, const char *path, const char **ret_id,
                                                     size_t *ret_id_length, char ret_allow[64]);

/* "anybody", "readers", … */
const char *divvy_http_right_name(enum divvy_http_right right);

/* Handlers, each in the file of its group. */
int divvy_http_get_healthz(struct divvy_http_request *request);
int divvy_http_get_readyz(struct divvy_http_request *request);
int divvy_http_get_node(struct divvy_http_request *request);
int divvy_http_get_node_devices(struct divvy_http_request *request);
int divvy_http_get_node_pods(struct divvy_http_request *request);
int divvy_http_get_tenants(struct divvy_http_request *request);
int divvy_http_post_tenants(struct divvy_http_request *request);
int divvy_http_get_tenant(struct divvy_http_request *request);
int divvy_http_patch_tenant(struct divvy_http_request *request);
int divvy_http_delete_tenant(struct divvy_http_request *request);
int divvy_http_freeze_tenant(struct divvy_http_request *request);
int divvy_http_thaw_tenant(struct divvy_http_request *request);
int divvy_http_snapshot_tenant(struct divvy_http_request *request);
int divvy_http_resume_tenant(struct divvy_http_request *request);
int divvy_http_get_tenant_processes(struct divvy_http_request *request);
int divvy_http_post_tenant_process(struct divvy_http_request *request);
int divvy_http_get_events(struct divvy_http_request *request);
int divvy_http_get_devices(struct divvy_http_request *request);
int divvy_http_get_device(struct divvy_http_request *request);
int divvy_http_discover(struct divvy_http_request *request);
int divvy_http_get_workers(struct divvy_http_request *request);
int divvy_http_get_worker(struct divvy_http_request *request);
int divvy_http_snapshot_worker(struct divvy_http_request *request);
int divvy_http_resume_worker(struct divvy_http_request *request);
int divvy_http_get_limiter(struct divvy_http_request *request);
int divvy_http_trap(struct divvy_http_request *request);
int divvy_http_get_pod(struct divvy_http_request *request);
int divvy_http_post_process(struct divvy_http_request *request);
int divvy_http_get_channel_events(struct divvy_http_request *request);
int divvy_http_post_channel_result(struct divvy_http_request *request);
int divvy_http_post_channel_report(struct divvy_http_request *request);
int divvy_http_get_metrics(struct divvy_http_request *request);
int divvy_http_post_gpu_allocate(struct divvy_http_request *request);
int divvy_http_delete_gpu_allocation(struct divvy_http_request *request);
int divvy_http_get_gpu_allocation(struct divvy_http_request *request);
int divvy_http_get_gpu_allocations(struct divvy_http_request *request);
int divvy_http_get_gpu_devices(struct divvy_http_request *request);
int divvy_http_get_gpu_available(struct divvy_http_request *request);
int divvy_http_get_gpu_utilization(struct divvy_http_request *request);
int divvy_http_get_gpu_status(struct divvy_http_request *request);
int divvy_http_get_vgpu_capacity(struct divvy_http_request *request);
int divvy_http_get_vgpu_assignments(struct divvy_http_request *request);
int divvy_http_post_vgpu_assignment(struct divvy_http_request *request);
int divvy_http_get_vgpu_assignment(struct divvy_http_request *request);
int divvy_http_delete_vgpu_assignment(struct divvy_http_request *request);
int divvy_http_get_vgpu_usage(struct divvy_http_request *request);
int divvy_http_get_gpu_health(struct divvy_http_request *request);

#endif
