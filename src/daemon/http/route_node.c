/* Health, readiness, the node itself and its devices in our own shape. */
#include "daemon/http/server.h"
#include "daemon/http/shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef DIVVY_VERSION
#define DIVVY_VERSION "0"
#endif

int divvy_http_get_healthz(struct divvy_http_request *request) {
    return divvy_http_answer(request, 200, json_pack("{s:s}", "status", "ok"));
}

int divvy_http_get_readyz(struct divvy_http_request *request) {
    struct divvy_daemon_health health;

    divvy_daemon_health(request->daemon, &health);
    return divvy_http_answer(request, health.ready ? 200 : 503,
                             json_pack("{s:s}", "status", health.ready ? "ready" : "not ready"));
}

int divvy_http_get_node(struct divvy_http_request *request) {
    const struct divvy_daemon_settings *settings = divvy_daemon_settings(request->daemon);
    struct divvy_node_device *devices = NULL;
    struct divvy_daemon_health health;
    size_t count = 0;
    bool simulated;
    int result = divvy_daemon_devices(request->daemon, &devices, &count);

    if (result < 0)
        return divvy_http_fail_errno(request, result, NULL);
    simulated = count > 0;
    for (size_t i = 0; i < count; i++)
        simulated = simulated && devices[i].simulated;
    free(devices);
    divvy_daemon_health(request->daemon, &health);
    return divvy_http_answer(request, 200,
                             json_pack("{s:s, s:s, s:b, s:b, s:I, s:f, s:s, s:I, s:s}", "name", settings->node, "version",
                                       DIVVY_VERSION, "simulated", (int)simulated, "ready", (int)health.ready, "pid",
                                       (json_int_t)getpid(), "uptime_seconds", (double)health.uptime_ns * 1e-9, "socket",
                                       request->http->socket_path, "devices", (json_int_t)count, "fail_policy",
                                       divvy_daemon_fails_open(request->daemon) ? "open" : "closed"));
}

int divvy_http_get_node_devices(struct divvy_http_request *request) {
    struct divvy_node_device *devices = NULL;
    struct divvy_node_tenant *tenants = NULL;
    size_t count = 0, tenant_count = 0;
    json_t *list = json_array();
    int result = divvy_daemon_devices(request->daemon, &devices, &count);

    if (result == 0)
        result = divvy_daemon_tenants(request->daemon, &tenants, &tenant_count);
    for (size_t i = 0; i < count && result == 0; i++)
        if (json_array_append_new(list, divvy_http_device_json(devices, i, tenants, tenant_count)) != 0)
            result = -ENOMEM;
    free(devices);
    free(tenants);
    if (result < 0) {
        json_decref(list);
        return divvy_http_fail_errno(request, result, NULL);
    }
    return divvy_http_answer(request, 200, json_pack("{s:o}", "devices", list));
}

/* A pod sees itself; of the others only their own limits would tell, which are tenants'. */
static bool pod_is_shown(const struct divvy_http_request *request, const json_t *pod) {
    const char *namespace = json_string_value(json_object_get(pod, "namespace")), *name = json_string_value(json_object_get(pod, "name"));

    if (request->credential == DIVVY_HTTP_CREDENTIAL_POD)
        return namespace && name && strcmp(namespace, request->peer.namespace) == 0 && strcmp(name, request->peer.pod) == 0;
    return request->credential == DIVVY_HTTP_CREDENTIAL_ADMIN || !request->http->hide_others;
}

int divvy_http_get_node_pods(struct divvy_http_request *request) {
    const struct divvy_http_cluster *cluster = &request->http->cluster;
    json_t *json = cluster->pods ? cluster->pods(cluster->data)
                                 : json_pack("{s:b, s:s, s:b, s:s, s:[]}", "cluster", 0, "node",
                                             divvy_daemon_settings(request->daemon)->node, "in_step", 0, "message", "", "pods");
    json_t *pods = json_object_get(json, "pods");

    for (size_t i = json_array_size(pods); i-- > 0;)
        if (!pod_is_shown(request, json_array_get(pods, i)))
            (void)json_array_remove(pods, i);
    return divvy_http_answer(request, 200, json);
}
