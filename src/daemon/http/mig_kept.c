/* Allocations in a file: see mig_kept.h. */
#include "daemon/http/mig_kept.h"

#include "base/json/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int divvy_http_mig_kept_write(const char *path, const struct divvy_http_mig_allocation *allocations, size_t count,
                              struct divvy_error *error) {
    json_t *list = json_array(), *all;
    int status;

    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "workload_id", allocations[i].workload, "device_uuid",
                            allocations[i].device.uuid, "uid", (json_int_t)allocations[i].uid, "created_ns",
                            (json_int_t)allocations[i].created_ns, "expires_ns", (json_int_t)allocations[i].expires_ns));
    all = json_pack("{s:o}", "allocations", list);
    if (!all || json_array_size(list) != count)
        status = divvy_error_set(error, -ENOMEM, "out of memory");
    else
        status = divvy_json_file_write(path, all, 0600, error);
    json_decref(all);
    return status;
}

static int one_read(json_t *object, struct divvy_http_mig_allocation *ret_allocation) {
    const char *workload, *uuid;
    json_int_t uid, created_ns, expires_ns;

    if (json_unpack(object, "{s:s, s:s, s:I, s:I, s:I}", "workload_id", &workload, "device_uuid", &uuid, "uid", &uid,
                    "created_ns", &created_ns, "expires_ns", &expires_ns) < 0)
        return -EINVAL;
    if (!workload[0] || strlen(workload) >= sizeof ret_allocation->workload || !uuid[0] ||
        strlen(uuid) >= sizeof ret_allocation->device.uuid || uid < 0 || uid > UINT32_MAX)
        return -EINVAL;
    *ret_allocation =
        (struct divvy_http_mig_allocation){.uid = (uint32_t)uid, .created_ns = created_ns, .expires_ns = expires_ns};
    memcpy(ret_allocation->workload, workload, strlen(workload));
    memcpy(ret_allocation->device.uuid, uuid, strlen(uuid));
    return 0;
}

int divvy_http_mig_kept_read(const char *path, struct divvy_http_mig_allocation **ret_allocations, size_t *ret_count,
                             struct divvy_error *error) {
    struct divvy_http_mig_allocation *allocations;
    json_t *all, *list;
    size_t count;
    int status = divvy_json_file_read(path, &all, error);

    *ret_allocations = NULL;
    *ret_count = 0;
    if (status < 0)
        return status == -ENOENT ? 0 : status;
    list = json_object_get(all, "allocations");
    count = json_array_size(list);
    allocations = calloc(count + 1, sizeof *allocations);
    status = !allocations ? -ENOMEM : json_is_array(list) ? 0 : -EINVAL;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = one_read(json_array_get(list, i), &allocations[i]);
    json_decref(all);
    if (status < 0) {
        free(allocations);
        return divvy_error_set(error, status, "%.200s is not what a daemon has written", path);
    }
    *ret_allocations = allocations;
    *ret_count = count;
    return 0;
}
