/* Pods and their processes: what limiters in containers ask, with the pod's token. */
#include "daemon/http/copies.h"
#include "daemon/http/seed.h"
#include "daemon/http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A failure that these routes tell with status 200. */
static int envelope_fail(struct divvy_http_request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int envelope_fail(struct divvy_http_request *request, const char *format, ...) {
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return divvy_http_answer(request, 200, json_pack("{s:b, s:n, s:s}", "success", 0, "data", "message", text));
}

static bool is_pod(const struct divvy_node_tenant *tenant) {
    return tenant->pod[0] != '\0';
}

static int pods_list(struct divvy_http_request *request) {
    struct divvy_http_copies copies;
    size_t pods = 0;
    int result = divvy_http_copies_get(request, &copies);

    for (size_t i = 0; result == 0 && i < copies.tenant_count; i++)
        pods += is_pod(&copies.tenants[i]);
    divvy_http_copies_free(&copies);
    if (result < 0)
        return divvy_http_fail_errno(request, result, NULL);
    if (pods == 0 && !request->http->cluster.pods)
        return divvy_http_fail(request, 503, "kubernetes backend not enabled");
    return divvy_http_answer_tenants(request, "pods", divvy_http_pod_entry, is_pod);
}

/* The tenant by the name that containers of pods have, without a look at all the others. */
static bool named_tenant(struct divvy_http_request *request, const char *container, struct divvy_node_tenant *ret_tenant) {
    const struct divvy_daemon_peer *peer = &request->peer;
    char id[DIVVY_NODE_ID_BYTES];
    int length = snprintf(id, sizeof id, "%s/%s/%s", peer->namespace, peer->pod, container);

    return length > 0 && (size_t)length < sizeof id && divvy_http_copies_tenant(request, id, ret_tenant) == 0 &&
           strcmp(ret_tenant->container, container) == 0;
}

/* A pod's name may come again with another pod, which the caller may not see: it is told why nothing is found. */
static bool name_is_anothers(struct divvy_http_request *request) {
    const struct divvy_daemon_peer *peer = &request->peer;
    struct divvy_node_tenant tenant;
    char id[DIVVY_NODE_ID_BYTES];
    int length = snprintf(id, sizeof id, "%s/%s", peer->namespace, peer->pod);

    return length > 0 && (size_t)length < sizeof id && peer->pod_uid[0] && divvy_daemon_tenant(request->daemon, id, &tenant) == 0 &&
           tenant.pod_uid[0] && strcmp(tenant.pod_uid, peer->pod_uid) != 0;
}

/* The caller's own tenant with this container, or the one that its pod has for all of them. -ENOENT, -EKEYREJECTED. */
static int own_tenant(struct divvy_http_request *request, const char *container, struct divvy_node_tenant *ret_tenant) {
    struct divvy_http_copies copies;
    const struct divvy_node_tenant *found = NULL, *fallback = NULL;
    int result;

    if (named_tenant(request, container, ret_tenant))
        return 0;
    result = divvy_http_copies_get(request, &copies);
    for (size_t i = 0; result == 0 && i < copies.tenant_count; i++) {
        const struct divvy_node_tenant *tenant = &copies.tenants[i];

        if (strcmp(tenant->pod, request->peer.pod) != 0 || strcmp(tenant->namespace, request->peer.namespace) != 0)
            continue;
        if (strcmp(tenant->container, container) == 0)
            found = tenant;
        else if (tenant->container[0] == '\0')
            fallback = tenant; /* registered for all containers of the pod */
    }
    if (!found)
        found = fallback;
    if (found)
        *ret_tenant = *found;
    else if (result == 0)
        result = -ENOENT;
    divvy_http_copies_free(&copies);
    return result == -ENOENT && name_is_anothers(request) ? -EKEYREJECTED : result;
}

static int is_another(struct divvy_http_request *request) {
    return divvy_http_fail(request, 403, "the token is of another pod that was called %s", request->peer.pod);
}

int divvy_http_get_pod(struct divvy_http_request *request) {
    struct divvy_node_device *devices = NULL;
    struct divvy_node_tenant tenant;
    char container[DIVVY_NODE_ID_BYTES];
    size_t count = 0;
    char message[DIVVY_NODE_ID_BYTES + 64];
    json_t *info;
    int result, named = divvy_http_query(request, "container_name", container, sizeof container);

    if (named == -EINVAL)
        return divvy_http_fail(request, 400, "container_name is too long or not well encoded");
    if (request->credential != DIVVY_HTTP_CREDENTIAL_POD) {
        if (named >= 0 || request->credential != DIVVY_HTTP_CREDENTIAL_ADMIN)
            return divvy_http_fail(request, 401, "Missing authorization header");
        return pods_list(request);
    }
    result = own_tenant(request, named >= 0 ? container : "", &tenant);
    if (result == -ENOENT)
        return envelope_fail(request, "Pod %s not found in namespace %s", request->peer.pod, request->peer.namespace);
    if (result == -EKEYREJECTED)
        return is_another(request);
    if (result == 0)
        result = divvy_daemon_devices(request->daemon, &devices, &count);
    if (result < 0)
        return divvy_http_fail_errno(request, result, NULL);
    info = divvy_http_pod_info(&tenant, devices, count, divvy_daemon_autofreeze_ns(request->daemon, tenant.qos));
    free(devices);
    snprintf(message, sizeof message, "Pod %s information retrieved successfully", tenant.pod);
    return divvy_http_answer(request, 200, json_pack("{s:b, s:o, s:s}", "success", 1, "data", info, "message", message));
}

int divvy_http_post_process(struct divvy_http_request *request) {
    struct divvy_node_process process;
    struct divvy_node_tenant tenant;
    struct divvy_error error = {0};
    char container[DIVVY_NODE_ID_BYTES];
    uint64_t container_pid = 0;
    int result;

    if (divvy_http_query(request, "container_name", container, sizeof container) <= 0)
        return divvy_http_fail(request, 400, "container_name is missing or not well encoded");
    if (divvy_http_query_u64(request, "container_pid", INT32_MAX, &container_pid) < 0 || container_pid == 0)
        return divvy_http_fail(request, 400, "container_pid is missing or not a process id");
    if (request->credential != DIVVY_HTTP_CREDENTIAL_POD)
        return divvy_http_fail(request, 401, "Missing authorization header");
    result = own_tenant(request, container, &tenant);
    if (result == -ENOENT)
        return envelope_fail(request, "Pod %s not found in namespace %s", request->peer.pod, request->peer.namespace);
    if (result == -EKEYREJECTED)
        return is_another(request);
    memcpy(request->peer.container, container, sizeof request->peer.container);
    if (result == 0)
        result =
            divvy_daemon_process_register(request->daemon, &request->peer, tenant.id, (int32_t)container_pid, &process, &error);
    if (result == -EPERM)
        return divvy_http_fail_errno(request, result, &error);
    if (result == -ETIMEDOUT)
        return envelope_fail(request, "Process initialization timed out after 5 seconds");
    if (result < 0)
        return envelope_fail(request, "Failed to initialize process: %s", error.text[0] ? error.text : strerror(-result));
    return divvy_http_answer(request, 200,
                             json_pack("{s:b, s:{s:I, s:I, s:s, s:s, s:s}, s:s}", "success", 1, "data", "host_pid",
                                       (json_int_t)process.host_pid, "container_pid", (json_int_t)container_pid,
                                       "container_name", container, "pod_name", tenant.pod, "namespace", tenant.namespace,
                                       "message", "Process initialized successfully"));
}
