/*
 * Fuzz target of what comes over HTTP: the first byte chooses the reader (body of a new tenant, body of a change, token,
 * percent encoding), the rest is its input. What is accepted must keep the promises of the headers.
 */
#include "daemon/http/fields.h"
#include "daemon/http/jwt.h"
#include "daemon/http/request.h"
#include "daemon/http/spec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct divvy_node_device devices[2] = {{.index = 0, .uuid_text = "GPU-00000000-0000-0000-0000-00000000000a"},
                                                    {.index = 1, .uuid_text = "GPU-00000000-0000-0000-0000-00000000000b"}};

static void must(bool holds) {
    if (!holds)
        abort();
}

static void spec_check(const json_t *body) {
    struct divvy_node_spec spec;
    struct divvy_error error = {0};
    bool owner_set;
    int result = divvy_http_spec_read(body, devices, 2, &spec, &owner_set, &error);

    if (result < 0) {
        must(error.text[0] != '\0');
        return;
    }
    must(spec.id[0] && strlen(spec.id) < sizeof spec.id && spec.qos < DIVVY_NODE_QOS_MAX && spec.keeper_pid >= 0);
    must(spec.binding_count >= 1 && spec.binding_count <= DIVVY_NODE_DEVICES);
    for (uint32_t i = 0; i < spec.binding_count; i++)
        must(spec.bindings[i].device < 2 && spec.bindings[i].limit_bytes > 0 && spec.bindings[i].compute_permille >= 1 &&
             spec.bindings[i].compute_permille <= 1000 && spec.bindings[i].weight <= DIVVY_NODE_SCHED_WEIGHT_MAX);
}

static void change_check(const json_t *body) {
    struct divvy_node_change change;
    struct divvy_error error = {0};
    int result = divvy_http_change_read(body, devices, 2, &change, &error);

    must(result == 0 ? change.fields != 0 && change.device >= -1 && change.device < 2 : error.text[0] != '\0');
}

static void body_check(const char *text, size_t size, void (*check)(const json_t *body)) {
    json_error_t error;
    json_t *body = divvy_http_json_parse(text, size, &error);

    if (!body)
        must(error.text[0] != '\0');
    else if (json_is_object(body))
        check(body);
    json_decref(body);
}

static void token_check(const char *text) {
    struct divvy_http_pod pod;
    const char *fault = NULL;

    if (divvy_http_jwt_pod(NULL, NULL, text, 1000000, &pod, &fault) == 0)
        must(pod.pod[0] && pod.namespace[0] && !strchr(pod.pod, '/') && !strchr(pod.namespace, '/'));
    else
        must(fault != NULL);
}

static void decode_check(const char *text, size_t size) {
    char decoded[64];
    int length = divvy_http_percent_decode(text, size, decoded, sizeof decoded);

    must(length < 0 || (length < (int)sizeof decoded && strlen(decoded) == (size_t)length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* A copy of the exact length lets the address sanitizer see a read beyond the end. */
    char *text = size > 0 ? malloc(size) : NULL;

    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 4) {
    case 0:
        body_check(text, size - 1, spec_check);
        break;
    case 1:
        body_check(text, size - 1, change_check);
        break;
    case 2:
        token_check(text);
        break;
    default:
        decode_check(text, size - 1);
    }
    free(text);
    return 0;
}
