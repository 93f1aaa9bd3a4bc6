/* Devices as TensorFusion's hypervisor tells of them. */
#include "daemon/http/seed.h"
#include "daemon/http/server.h"
#include "daemon/http/spec.h"

#include <errno.h>
#include <stdlib.h>

static int by_index(const void *a, const void *b) {
    const struct divvy_node_device *left = a, *right = b;

    return left->index < right->index ? -1 : left->index > right->index;
}

int divvy_http_get_devices(struct divvy_http_request *request) {
    struct divvy_node_device *devices = NULL;
    size_t count = 0;
    int result = divvy_daemon_devices(request->daemon, &devices, &count);
    json_t *list = json_array();

    if (count > 1)
        qsort(devices, count, sizeof *devices, by_index);
    for (size_t i = 0; i < count && result == 0; i++)
        if (json_array_append_new(list, divvy_http_device_info(&devices[i])) != 0)
            result = -ENOMEM;
    free(devices);
    if (result < 0) {
        json_decref(list);
        return divvy_http_fail_errno(request, result, NULL);
    }
    return divvy_http_answer(request, 200, json_pack("{s:o}", "data", list));
}

int divvy_http_get_device(struct divvy_http_request *request) {
    struct divvy_node_device *devices = NULL;
    size_t count = 0;
    int result = divvy_daemon_devices(request->daemon, &devices, &count), place;
    json_t *info = NULL;

    if (result < 0)
        return divvy_http_fail_errno(request, result, NULL);
    place = divvy_http_device_find(devices, count, request->id);
    if (place >= 0)
        info = json_pack("{s:o}", "data", divvy_http_device_info(&devices[place]));
    free(devices);
    return place >= 0 ? divvy_http_answer(request, 200, info) : divvy_http_fail(request, 404, "Device not found");
}

int divvy_http_discover(struct divvy_http_request *request) {
    struct divvy_error error = {0};
    int result = divvy_daemon_discover(request->daemon, &error);

    if (result < 0 && result != -ENODEV) /* that there is none has been discovered, too */
        return divvy_http_fail_errno(request, result, &error);
    return divvy_http_answer(request, 200, json_pack("{s:s}", "status", "Device discovery triggered"));
}
