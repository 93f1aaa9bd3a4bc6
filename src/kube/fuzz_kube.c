/*
 * Fuzz target of what a cluster sends: the first byte says as what the rest comes in, a list, a watch, a pod, a kubeconfig, a cgroup path or
 * the answer to a TokenReview. What is taken must be whole: names that are names, limits within their ranges.
 */
#include "kube/review.h"
#include "kube/watch.h"
#include "kube/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pod_check(const struct divvy_kube_pod *pod) {
    static const struct divvy_node_device device = {.uuid_text = "GPU-a", .healthy = true, .memory_bytes = 1000, .max_tflops = 10};
    static const struct divvy_node_device *const devices[] = {&device};
    static const struct divvy_node_promise promises[1];
    const struct divvy_kube_ask *ask = &pod->ask;
    struct divvy_node_spec spec;
    char why[DIVVY_NODE_TEXT_BYTES];

    if (!pod->name[0] || !pod->namespace[0] || !pod->uid[0] || strpbrk(pod->name, "/\\") || strstr(pod->name, "..") ||
        strpbrk(pod->namespace, "./\\") || memchr(pod->fault, '\0', sizeof pod->fault) == NULL)
        abort();
    if (pod->fault[0] || !pod->is_ours)
        return;
    if (ask->compute_permille > 1000 || ask->request_permille > 1000 || ask->qos >= DIVVY_NODE_QOS_MAX || ask->device_count > DIVVY_NODE_DEVICES)
        abort();
    if (divvy_kube_pod_spec(pod, devices, promises, 1, &spec, why) == 0 &&
        (spec.binding_count == 0 || spec.bindings[0].compute_permille == 0 || spec.bindings[0].limit_bytes == 0 || strpbrk(spec.pod, "/\\")))
        abort();
}

static void on_nothing(void *data) {
    (void)data;
}

static void on_odd(void *data, const char *text) {
    (void)data;
    if (!text[0])
        abort();
}

static void on_pod(void *data, enum divvy_kube_change change, const struct divvy_kube_pod *pod) {
    (void)data;
    (void)change;
    pod_check(pod);
}

/* In two portions, at a place that the content chooses. */
static void watch_feed(bool is_watching, const char *text, size_t length) {
    static const struct divvy_kube_watch_calls calls = {on_nothing, on_pod, on_nothing, on_odd, NULL};
    static struct divvy_kube_watch watch;
    static char path[DIVVY_KUBE_PATH_BYTES];
    struct divvy_error error = {0, ""};
    size_t half = length ? (unsigned char)text[length - 1] % length : 0;
    int status;

    divvy_kube_watch_init(&watch, &calls, "n", "", 1);
    watch.is_watching = is_watching;
    divvy_kube_watch_begin(&watch, 0, path);
    status = divvy_kube_watch_take(&watch, 200, text, half);
    if (status == 0)
        status = divvy_kube_watch_take(&watch, 200, text + half, length - half);
    status = divvy_kube_watch_end(&watch, 1, 200, status < 0, &error);
    if (status < 0 && (!error.text[0] || divvy_kube_watch_due_ns(&watch) <= 1))
        abort();
    divvy_kube_watch_begin(&watch, 2, path);
    divvy_kube_watch_done(&watch);
}

static void json_feed(const char *text, size_t length, bool is_review) {
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    struct divvy_kube_identity identity;
    struct divvy_kube_pod pod;

    if (is_review && divvy_kube_review_read(json, NULL, &identity) == 0 && (!identity.pod[0] || !identity.namespace[0] || strchr(identity.pod, '/')))
        abort();
    if (!is_review && divvy_kube_pod_read(json, &pod) == 0)
        pod_check(&pod);
    json_decref(json);
}

static void text_feed(const char *text, size_t length, bool is_cgroup) {
    struct divvy_error error = {0, ""};
    char uid[DIVVY_KUBE_UID_BYTES];
    json_t *json = NULL;

    if (is_cgroup && divvy_kube_cgroup_pod(text, length, uid) && strlen(uid) != 36 && strlen(uid) != 32)
        abort();
    if (!is_cgroup && divvy_kube_yaml_parse(text, length, &json, &error) < 0 && !error.text[0])
        abort();
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text;

    if (size < 1)
        return 0;
    text = malloc(size); /* of the exact length, and without a NUL behind */
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    switch (data[0] % 6) {
    case 0: watch_feed(false, text, size - 1); break;
    case 1: watch_feed(true, text, size - 1); break;
    case 2: json_feed(text, size - 1, false); break;
    case 3: text_feed(text, size - 1, false); break;
    case 4: text_feed(text, size - 1, true); break;
    default: json_feed(text, size - 1, true); break;
    }
    free(text);
    return 0;
}
