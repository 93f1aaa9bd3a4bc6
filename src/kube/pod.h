/*
 * What a pod asks of the GPUs of its node: its labels and annotations, read into plain data, and made into what the registry takes once the
 * devices are known. Pure.
 *
 * Annotations are those of TensorFusion and vgpu.rs (prefix tensor-fusion.ai/); each may also have the prefix divvy.io/, which goes
 * first. A pod is ours when it has one of them that asks for something, or the label tensor-fusion.ai/component=worker, or a container that
 * requests divvy.io/gpu. One that is malformed in any of them is refused as a whole, with the first fault in words.
 */
#ifndef DIVVY_KUBE_POD_H
#define DIVVY_KUBE_POD_H

#include "kube/cgroup.h"
#include "node/quantity.h"
#include "node/registry.h"

#include <jansson.h>

#define DIVVY_KUBE_NAMESPACE_BYTES 64u
#define DIVVY_KUBE_NAME_BYTES      254u
#define DIVVY_KUBE_VERSION_BYTES   128u
#define DIVVY_KUBE_VALUE_BYTES     4096u /* of an annotation that is looked at */
#define DIVVY_KUBE_RESOURCE        "divvy.io/gpu"

/* All zero: nothing is asked for. */
struct divvy_kube_ask {
    uint64_t memory_bytes;
    uint32_t compute_permille;        /* cap, 1 to 1000 */
    uint32_t request_permille;        /* weight */
    divvy_node_quantity_t tflops, request_tflops;
    enum divvy_node_qos qos;
    bool has_qos;
    bool is_shared; /* isolation: no limits */
    uint32_t owner_uid;
    uint32_t device_count; /* 0: whichever fits */
    char devices[DIVVY_NODE_DEVICES][DIVVY_NODE_UUID_BYTES];
    char labels[DIVVY_NODE_LABELS_BYTES]; /* JSON, as in the registry */
};

struct divvy_kube_pod {
    char namespace[DIVVY_KUBE_NAMESPACE_BYTES], name[DIVVY_KUBE_NAME_BYTES], uid[DIVVY_KUBE_UID_BYTES];
    char node[DIVVY_KUBE_NAME_BYTES]; /* or empty */
    bool is_ours;
    bool has_slots; /* a container requests DIVVY_KUBE_RESOURCE: the device plugin makes the tenant, annotations change it */
    bool is_over; /* has succeeded or failed: no process of it is left */
    struct divvy_kube_ask ask;
    char fault[DIVVY_NODE_TEXT_BYTES]; /* not empty: `ask` is not to be used */
};

/*
 * 0; -EPROTO: not a pod, or one whose names no API server would have let pass (path tricks). What is too long to be kept is a fault of the
 * pod, not an error.
 */
int divvy_kube_pod_read(const json_t *object, struct divvy_kube_pod *ret_pod);

/* "namespace/name": the tenant's id. -ENAMETOOLONG. */
int divvy_kube_pod_id(const struct divvy_kube_pod *pod, char ret_id[DIVVY_NODE_ID_BYTES]);

/*
 * The spec of the pod's tenant among these devices; promises[i] is what device i has given out. A pod that names no device gets the healthy one
 * with the least promised memory. -EINVAL: it asks for what cannot be; -ENODEV: a device that is not there (yet). `why` in words.
 */
int divvy_kube_pod_spec(const struct divvy_kube_pod *pod, const struct divvy_node_device *const *devices,
                        const struct divvy_node_promise *promises, uint32_t count, struct divvy_node_spec *ret_spec,
                        char why[DIVVY_NODE_TEXT_BYTES]);

#endif
