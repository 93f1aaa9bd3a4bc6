/* Reading pods: see pod.h. */
#include "kube/pod.h"

#include "core/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_OURS   "divvy.io/"
#define PREFIX_THEIRS "tensor-fusion.ai/"

static int fault_set(struct divvy_kube_pod *pod, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fault_set(struct divvy_kube_pod *pod, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(pod->fault, sizeof pod->fault, format, arguments);
    va_end(arguments);
    for (char *at = pod->fault; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
            *at = '?';
    return -EINVAL;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static bool is_label_char(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

/* RFC 1123: labels of [a-z0-9-] that neither begin nor end with '-', with dots between where `dots`. */
static bool is_dns_name(const char *text, size_t length, bool dots) {
    for (size_t i = 0; i < length; i++) {
        bool at_edge = i == 0 || i + 1 == length || text[i - 1] == '.' || text[i + 1] == '.';

        if (is_label_char(text[i]) || (text[i] == '-' && !at_edge) || (text[i] == '.' && dots && !at_edge))
            continue;
        return false;
    }
    return length > 0;
}

static bool is_uid(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!is_label_char(text[i]) && text[i] != '-' && !(text[i] >= 'A' && text[i] <= 'Z'))
            return false;
    return length > 0;
}

static bool text_take(const json_t *value, char *text, size_t size) {
    const char *from = json_string_value(value);
    size_t length = from ? json_string_length(value) : 0;

    if (!from || length >= size || strlen(from) != length)
        return false;
    memcpy(text, from, length + 1);
    return true;
}

static int identity_read(const json_t *object, struct divvy_kube_pod *pod) {
    const json_t *metadata = json_object_get(object, "metadata"), *node = json_object_get(json_object_get(object, "spec"), "nodeName");
    const char *kind = json_string_value(json_object_get(object, "kind"));
    const json_t *version = json_object_get(metadata, "resourceVersion");
    char unkept[DIVVY_KUBE_VERSION_BYTES]; /* a watch goes on from the stream's */

    if (kind && strcmp(kind, "Pod") != 0) /* items of a list have none */
        return -EPROTO;
    if (!text_take(json_object_get(metadata, "namespace"), pod->namespace, sizeof pod->namespace) ||
        !text_take(json_object_get(metadata, "name"), pod->name, sizeof pod->name) ||
        !text_take(json_object_get(metadata, "uid"), pod->uid, sizeof pod->uid))
        return -EPROTO;
    if ((version && !text_take(version, unkept, sizeof unkept)) ||
        (node && !text_take(node, pod->node, sizeof pod->node)))
        return -EPROTO;
    return is_dns_name(pod->namespace, strlen(pod->namespace), false) && is_dns_name(pod->name, strlen(pod->name), true) &&
                   is_uid(pod->uid, strlen(pod->uid))
               ? 0
               : -EPROTO;
}

/* --- annotations -------------------------------------------------------------------------------------------------- */

struct annotation {
    const char *key;  /* without its prefix */
    bool is_asking;   /* makes a pod ours */
    /* -EINVAL, with the fault set where its words would not do. `value` is not empty. */
    int (*read)(struct divvy_kube_pod *pod, const char *value, const struct annotation *self);
    size_t offset;    /* in struct divvy_kube_ask */
};

static void *place_of(struct divvy_kube_pod *pod, const struct annotation *self) {
    return (char *)&pod->ask + self->offset;
}

static int bytes_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    divvy_core_fault_t fault = {0, NULL};
    uint64_t bytes = 0;

    if (divvy_node_quantity_bytes_parse(value, strlen(value), &bytes, &fault) < 0)
        return fault_set(pod, "%s '%.40s': %.80s", self->key, value, fault.reason);
    if (bytes == UINT64_MAX)
        return fault_set(pod, "%s '%.40s': the quantity is too large", self->key, value);
    if (self->offset != SIZE_MAX)
        *(uint64_t *)place_of(pod, self) = bytes;
    return 0;
}

static int tflops_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    divvy_core_fault_t fault = {0, NULL};

    if (divvy_node_quantity_parse(value, strlen(value), place_of(pod, self), &fault) < 0)
        return fault_set(pod, "%s '%.40s': %.80s", self->key, value, fault.reason);
    return 0;
}

static int percent_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    divvy_core_fault_t fault = {0, NULL};
    size_t length = strlen(value);
    divvy_node_quantity_t percent;
    double permille;

    if (length > 1 && value[length - 1] == '%')
        length--;
    if (divvy_node_quantity_parse(value, length, &percent, &fault) < 0)
        return fault_set(pod, "%s '%.40s': %.80s", self->key, value, fault.reason);
    permille = divvy_node_quantity_value(percent) * 10;
    if (permille > 1000 || (permille > 0 && permille < 1))
        return fault_set(pod, "%s '%.40s': must be from 0.1 to 100 percent, or 0 for none", self->key, value);
    *(uint32_t *)place_of(pod, self) = (uint32_t)(permille + 0.5);
    return 0;
}

static int qos_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    if (divvy_node_qos_parse(value, &pod->ask.qos) < 0)
        return fault_set(pod, "%s '%.40s' is none of low, medium, high, critical", self->key, value);
    pod->ask.has_qos = true;
    return 0;
}

static int isolation_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    static const char *const unserved[] = {"partitioned", "shard"};
    size_t length = strlen(value);

    for (size_t i = 0; i < sizeof unserved / sizeof unserved[0]; i++)
        if (divvy_core_word_equal(value, length, unserved[i]))
            return fault_set(pod, "%s '%s' is not served for pods: use soft, hard or shared", self->key, unserved[i]);
    pod->ask.is_shared = divvy_core_word_equal(value, length, "shared");
    if (!pod->ask.is_shared && !divvy_core_word_equal(value, length, "soft") && !divvy_core_word_equal(value, length, "hard"))
        return fault_set(pod, "%s '%.40s' is none of shared, soft, hard, partitioned", self->key, value);
    return 0;
}

static int device_add(struct divvy_kube_pod *pod, const char *text, size_t length, const struct annotation *self) {
    struct divvy_kube_ask *ask = &pod->ask;
    char uuid[DIVVY_NODE_UUID_BYTES] = "";

    while (length > 0 && *text == ' ')
        text++, length--;
    while (length > 0 && text[length - 1] == ' ')
        length--;
    if (length == 0 || length >= sizeof uuid || strcspn(text, "/\\\"'<>") < length)
        return fault_set(pod, "%s: '%.*s' is no UUID of a GPU", self->key, (int)(length < 48 ? length : 48), text);
    memcpy(uuid, text, length);
    uuid[length] = '\0';
    for (uint32_t i = 0; i < ask->device_count; i++)
        if (divvy_core_word_equal(uuid, length, ask->devices[i]))
            return 1; /* named before */
    if (ask->device_count == DIVVY_NODE_DEVICES)
        return fault_set(pod, "%s: more than %u GPUs", self->key, DIVVY_NODE_DEVICES);
    memcpy(ask->devices[ask->device_count++], uuid, sizeof uuid);
    return 0;
}

static int devices_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        int status = device_add(pod, at, length, self);

        if (status == 1)
            return fault_set(pod, "%s names GPU '%.*s' twice", self->key, (int)(length < 48 ? length : 48), at);
        if (status < 0)
            return status;
        at += length;
        if (!*at)
            return 0;
    }
}

/* {container: [uuid]}: all processes of a pod share one quota, so the pod has the GPUs of all its containers. */
static int containers_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    json_t *object = json_loads(value, JSON_REJECT_DUPLICATES, NULL), *list, *uuid;
    const char *container;
    int status = json_is_object(object) ? 0 : -EINVAL;
    size_t i;

    json_object_foreach(object, container, list) {
        if (status < 0 || !json_is_array(list) || !is_dns_name(container, strlen(container), false))
            status = -EINVAL;
        json_array_foreach(list, i, uuid) {
            const char *text = json_string_value(uuid);

            if (status >= 0)
                status = text && strlen(text) == json_string_length(uuid) ? device_add(pod, text, strlen(text), self) : -EINVAL;
        }
    }
    json_decref(object);
    if (status < 0 && !pod->fault[0])
        (void)fault_set(pod, "%s is no JSON object of lists of GPUs by container", self->key);
    return status < 0 ? status : 0;
}

static int names_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        size_t skip = strspn(at, " ");

        if (skip >= length || !is_dns_name(at + skip, length - skip, false))
            return fault_set(pod, "%s: '%.*s' is no name of a container", self->key, (int)(length < 63 ? length : 63), at);
        at += length;
        if (!*at)
            return 0;
    }
}

static int index_read(struct divvy_kube_pod *pod, const char *value, const struct annotation *self) {
    uint64_t index;

    if (divvy_core_u64_parse(value, strlen(value), &index, NULL) < 0 || index < 1 || index > 128)
        return fault_set(pod, "%s '%.40s' is not from 1 to 128", self->key, value);
    return 0;
}

#define ASK(member) offsetof(struct divvy_kube_ask, member)
static const struct annotation annotations[] = {
    {"isolation", true, isolation_read, 0},
    {"qos", true, qos_read, ASK(qos)},
    {"vram-request", true, bytes_read, SIZE_MAX},
    {"vram-limit", true, bytes_read, ASK(memory_bytes)},
    {"tflops-request", true, tflops_read, ASK(request_tflops)},
    {"tflops-limit", true, tflops_read, ASK(tflops)},
    {"compute-percent-request", true, percent_read, ASK(request_permille)},
    {"compute-percent-limit", true, percent_read, ASK(compute_permille)},
    {"gpu-ids", true, devices_read, 0},
    {"container-gpus", true, containers_read, 0},
    {"inject-container", false, names_read, 0},
    {"index", false, index_read, 0},
};

/* An annotation by its key, ours before theirs; NULL: absent or empty. What is no text is a fault. */
static const char *annotation_get(const json_t *all, const char *key, struct divvy_kube_pod *pod) {
    static const char *const prefixes[] = {PREFIX_OURS, PREFIX_THEIRS};
    char whole[64];

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const json_t *value;
        const char *text;

        (void)snprintf(whole, sizeof whole, "%s%s", prefixes[i], key);
        value = json_object_get(all, whole);
        text = json_string_value(value);
        if (value && (!text || strlen(text) != json_string_length(value) || json_string_length(value) > DIVVY_KUBE_VALUE_BYTES)) {
            if (!pod->fault[0])
                (void)fault_set(pod, "%s is no text of at most %u characters", key, DIVVY_KUBE_VALUE_BYTES);
            return "";
        }
        if (text && *text)
            return text;
    }
    return NULL;
}

static void annotations_read(const json_t *metadata, struct divvy_kube_pod *pod) {
    const json_t *all = json_object_get(metadata, "annotations");

    for (size_t i = 0; i < sizeof annotations / sizeof annotations[0]; i++) {
        const struct annotation *annotation = &annotations[i];
        const char *value = annotation_get(all, annotation->key, pod);

        if (!value)
            continue;
        pod->is_ours |= annotation->is_asking;
        /* container-gpus says the same as gpu-ids in more words */
        if (pod->fault[0] || (annotation->read == containers_read && pod->ask.device_count))
            continue;
        (void)annotation->read(pod, value, annotation);
    }
}

/* --- the rest ------------------------------------------------------------------------------------------------------- */

static bool requests_gpu(const json_t *spec) {
    static const char *const lists[] = {"containers", "initContainers"};
    const json_t *container;
    size_t i;

    for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++)
        json_array_foreach(json_object_get(spec, lists[k]), i, container) {
            const json_t *limits = json_object_get(json_object_get(container, "resources"), "limits");

            if (json_object_get(limits, DIVVY_KUBE_RESOURCE))
                return true;
        }
    return false;
}

static bool user_read(const json_t *object, uint32_t *ret_uid) {
    const json_t *user = json_object_get(json_object_get(object, "securityContext"), "runAsUser");
    json_int_t uid = json_is_integer(user) ? json_integer_value(user) : -1;

    if (uid < 0 || uid > UINT32_MAX - 1)
        return false;
    *ret_uid = (uint32_t)uid;
    return true;
}

/* Whose the tenant's folder is: the user of the first container that names one, else the pod's, else root. */
static uint32_t owner_of(const json_t *spec) {
    const json_t *container;
    uint32_t uid = 0;
    size_t i;

    json_array_foreach(json_object_get(spec, "containers"), i, container) if (user_read(container, &uid)) return uid;
    (void)user_read(spec, &uid);
    return uid;
}

/* As many labels as there is room for, those of the workload first. */
static void labels_read(const json_t *metadata, struct divvy_kube_pod *pod) {
    const json_t *labels = json_object_get(metadata, "labels");
    json_t *kept = json_object(), *value;
    const char *key;
    size_t length = 2;

    for (int pass = 0; kept && pass < 2; pass++)
        json_object_foreach((json_t *)labels, key, value) {
            bool is_theirs = strncmp(key, PREFIX_THEIRS, strlen(PREFIX_THEIRS)) == 0;
            size_t more = strlen(key) + json_string_length(value) + 6;

            if (!json_is_string(value) || is_theirs != (pass == 0) || length + more >= sizeof pod->ask.labels / 2)
                continue;
            length += more;
            (void)json_object_set(kept, key, value);
        }
    if (kept && json_object_size(kept) > 0) {
        size_t dumped = json_dumpb(kept, pod->ask.labels, sizeof pod->ask.labels - 1, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);

        pod->ask.labels[dumped < sizeof pod->ask.labels ? dumped : 0] = '\0';
    }
    json_decref(kept);
}

int divvy_kube_pod_read(const json_t *object, struct divvy_kube_pod *ret_pod) {
    const json_t *metadata = json_object_get(object, "metadata"), *spec = json_object_get(object, "spec");
    const char *phase = json_string_value(json_object_get(json_object_get(object, "status"), "phase"));
    const char *component = json_string_value(json_object_get(json_object_get(metadata, "labels"), PREFIX_THEIRS "component"));
    char id[DIVVY_NODE_ID_BYTES];
    struct divvy_kube_pod pod = {.ask = {.qos = DIVVY_NODE_QOS_MEDIUM}};
    int status = identity_read(object, &pod);

    if (status < 0)
        return status;
    pod.is_over = phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
    pod.has_slots = requests_gpu(spec);
    pod.is_ours = (component && strcmp(component, "worker") == 0) || pod.has_slots;
    annotations_read(metadata, &pod);
    if (pod.is_ours) {
        pod.ask.owner_uid = owner_of(spec);
        labels_read(metadata, &pod);
        if (!pod.fault[0] && divvy_kube_pod_id(&pod, id) < 0)
            (void)fault_set(&pod, "namespace and name have more than %u characters", DIVVY_NODE_ID_BYTES - 2);
    }
    *ret_pod = pod;
    return 0;
}

int divvy_kube_pod_id(const struct divvy_kube_pod *pod, char ret_id[DIVVY_NODE_ID_BYTES]) {
    int length = snprintf(ret_id, DIVVY_NODE_ID_BYTES, "%s/%s", pod->namespace, pod->name);

    return length < (int)DIVVY_NODE_ID_BYTES ? 0 : -ENAMETOOLONG;
}

/* --- among devices -------------------------------------------------------------------------------------------------- */

static int why_set(char why[DIVVY_NODE_TEXT_BYTES], int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int why_set(char why[DIVVY_NODE_TEXT_BYTES], int status, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(why, DIVVY_NODE_TEXT_BYTES, format, arguments);
    va_end(arguments);
    return status;
}

/* UUIDs in any case, with or without their prefix. */
static bool uuid_equal(const char *a, const char *b) {
    a += strncasecmp(a, "GPU-", 4) == 0 ? 4 : 0;
    b += strncasecmp(b, "GPU-", 4) == 0 ? 4 : 0;
    return strcasecmp(a, b) == 0;
}

static int device_find(const char *uuid, const struct divvy_node_device *const *devices, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (uuid_equal(uuid, devices[i]->uuid_text))
            return (int)i;
    return -ENODEV;
}

static int device_choose(const struct divvy_node_device *const *devices, const struct divvy_node_promise *promises, uint32_t count) {
    int best = -ENODEV;

    for (uint32_t i = 0; i < count; i++) {
        if (!devices[i]->healthy)
            continue;
        if (best < 0 || promises[i].memory_bytes < promises[best].memory_bytes ||
            (promises[i].memory_bytes == promises[best].memory_bytes && promises[i].compute_permille < promises[best].compute_permille))
            best = (int)i;
    }
    return best;
}

/* TFLOPS as a part of the device's, in whole percent as others count; 0: not asked for. */
static int permille_of(divvy_node_quantity_t tflops, const struct divvy_node_device *device, uint32_t *ret_permille,
                       char why[DIVVY_NODE_TEXT_BYTES]) {
    double percent;

    *ret_permille = 0;
    if (divvy_node_quantity_is_zero(tflops))
        return 0;
    if (device->max_tflops <= 0)
        return why_set(why, -EINVAL, "a limit in TFLOPS, and what '%.60s' can do is not known: use compute-percent-limit", device->model);
    percent = divvy_node_quantity_value(tflops) / device->max_tflops * 100;
    if (percent > 100)
        percent = 100;
    *ret_permille = (uint32_t)percent * 10 + (percent > (uint32_t)percent ? 10 : 0);
    return 0;
}

static int binding_fill(const struct divvy_kube_ask *ask, const struct divvy_node_device *device, struct divvy_node_spec *spec,
                        char why[DIVVY_NODE_TEXT_BYTES]) {
    uint32_t i = spec->binding_count, cap, weight;
    int status = permille_of(ask->tflops, device, &cap, why);

    if (status == 0)
        status = permille_of(ask->request_tflops, device, &weight, why);
    if (status < 0)
        return status;
    cap = ask->compute_permille ? ask->compute_permille : cap;
    weight = ask->request_permille ? ask->request_permille : weight;
    if (cap == DIVVY_NODE_PERMILLE_NONE && !weight)
        weight = cap; /* all of it: more than those who name no cap at all */
    spec->bindings[i].limit_bytes = ask->memory_bytes && !ask->is_shared ? ask->memory_bytes : DIVVY_NODE_MEMORY_NONE;
    spec->bindings[i].compute_permille = cap && !ask->is_shared ? cap : DIVVY_NODE_PERMILLE_NONE;
    spec->bindings[i].weight = weight;
    spec->binding_count++;
    return 0;
}

int divvy_kube_pod_spec(const struct divvy_kube_pod *pod, const struct divvy_node_device *const *devices,
                        const struct divvy_node_promise *promises, uint32_t count, struct divvy_node_spec *ret_spec,
                        char why[DIVVY_NODE_TEXT_BYTES]) {
    struct divvy_node_spec spec = {.source = DIVVY_NODE_FROM_POD, .qos = pod->ask.qos, .owner_uid = pod->ask.owner_uid};
    uint32_t wanted = pod->ask.device_count ? pod->ask.device_count : 1;

    if (divvy_kube_pod_id(pod, spec.id) < 0 || strlen(pod->name) >= sizeof spec.pod)
        return why_set(why, -EINVAL, "its name is too long");
    (void)snprintf(spec.pod, sizeof spec.pod, "%.127s", pod->name);
    (void)snprintf(spec.namespace, sizeof spec.namespace, "%s", pod->namespace);
    memcpy(spec.labels, pod->ask.labels, sizeof spec.labels);
    memcpy(spec.pod_uid, pod->uid, sizeof spec.pod_uid);
    for (uint32_t i = 0; i < wanted; i++) {
        int device = pod->ask.device_count ? device_find(pod->ask.devices[i], devices, count) : device_choose(devices, promises, count);
        int status;

        if (device < 0 && pod->ask.device_count)
            return why_set(why, device, "there is no GPU '%.60s' on this node", pod->ask.devices[i]);
        if (device < 0)
            return why_set(why, device, "there is no healthy GPU on this node");
        spec.bindings[i].device = (uint32_t)device;
        status = binding_fill(&pod->ask, devices[device], &spec, why);
        if (status < 0)
            return status;
    }
    *ret_spec = spec;
    return 0;
}
