/* Answers about pod and process: see pod.h. */
#include "limiter/channel/pod.h"

#include "core/text.h"
#include "wire/channel/json.h"

#include <errno.h>
#include <string.h>

static int fail(int status, const char *reason, char message[DIVVY_POD_MESSAGE_BYTES]) {
    divvy_core_text_t text;

    divvy_core_text_init(&text, message, DIVVY_POD_MESSAGE_BYTES);
    divvy_core_text_add(&text, reason);
    return status;
}

/* The `data` of {"success":true,"data":{…},"message":s}. */
static int envelope_open(const char *body, size_t length, divvy_wire_json_t *ret_data, char message[DIVVY_POD_MESSAGE_BYTES]) {
    char reason[DIVVY_POD_MESSAGE_BYTES] = "no reason given";
    divvy_wire_json_t envelope, value;
    bool success;

    if (divvy_wire_json_check(body, length, &envelope) < 0 || divvy_wire_json_member(envelope, "success", &value) < 0 ||
        divvy_wire_json_bool(value, &success) < 0)
        return fail(-EINVAL, "the answer is not one of a hypervisor", message);
    if (success && divvy_wire_json_member(envelope, "data", ret_data) == 0 && ret_data->text[0] == '{')
        return 0;
    if (success)
        return fail(-EINVAL, "the answer has no data", message);
    if (divvy_wire_json_member(envelope, "message", &value) == 0)
        (void)divvy_wire_json_string(value, reason, sizeof reason);
    return fail(-ENOENT, reason, message);
}

/* A member that may be absent or null; false when it is something else than a number from 0 on. */
static bool count_read(divvy_wire_json_t object, const char *name, uint64_t *ret_value) {
    divvy_wire_json_t value;

    *ret_value = 0;
    if (divvy_wire_json_member(object, name, &value) == -ENOENT || divvy_wire_json_is_null(value))
        return true;
    return divvy_wire_json_u64(value, ret_value) == 0;
}

static bool is_given(divvy_wire_json_t object, const char *name) {
    divvy_wire_json_t value;

    return divvy_wire_json_member(object, name, &value) == 0 && !divvy_wire_json_is_null(value);
}

/* Names of MIG instances are no GPU UUIDs, and are passed over. */
static bool gpus_read(divvy_wire_json_t data, struct divvy_pod *pod) {
    divvy_wire_json_t list, element;
    size_t at = 0;

    if (!is_given(data, "gpu_uuids"))
        return true;
    (void)divvy_wire_json_member(data, "gpu_uuids", &list);
    if (list.text[0] != '[')
        return false;
    while (divvy_wire_json_next(list, &at, &element)) {
        char text[64];

        if (divvy_wire_json_string(element, text, sizeof text) < 0)
            return false;
        if (divvy_core_uuid_parse(text, strlen(text), &pod->gpus[pod->gpu_count], NULL) == 0 &&
            ++pod->gpu_count == DIVVY_POD_GPUS_MAX)
            break;
    }
    return true;
}

int divvy_pod_parse(const char *body, size_t length, struct divvy_pod *ret_pod, char message[DIVVY_POD_MESSAGE_BYTES]) {
    struct divvy_pod pod = {0};
    divvy_wire_json_t data;
    uint64_t permille;
    int status = envelope_open(body, length, &data, message);

    if (status < 0)
        return status;
    if (!count_read(data, "vram_limit", &pod.memory_bytes) || !count_read(data, "compute_permille", &permille) ||
        permille > 1000 || !gpus_read(data, &pod))
        return fail(-EINVAL, "the answer about the pod is malformed", message);
    pod.permille = permille == 1000 ? 0 : (uint32_t)permille;
    pod.is_divvyd = is_given(data, "compute_permille");
    pod.has_tflops = is_given(data, "tflops_limit") && !pod.is_divvyd;
    *ret_pod = pod;
    return 0;
}

int divvy_pod_process_parse(const char *body, size_t length, int32_t *ret_host_pid, char message[DIVVY_POD_MESSAGE_BYTES]) {
    divvy_wire_json_t data;
    uint64_t pid;
    int status = envelope_open(body, length, &data, message);

    if (status < 0)
        return status;
    if (!count_read(data, "host_pid", &pid) || pid == 0 || pid > INT32_MAX)
        return fail(-EINVAL, "the answer about the process has no host_pid", message);
    *ret_host_pid = (int32_t)pid;
    return 0;
}

bool divvy_pod_has(const struct divvy_pod *pod, const divvy_core_uuid_t *uuid) {
    for (unsigned i = 0; i < pod->gpu_count; i++)
        if (divvy_core_uuid_equal(&pod->gpus[i], uuid))
            return true;
    return pod->gpu_count == 0;
}
