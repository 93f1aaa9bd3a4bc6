/* Answers to the kubelet: see answer.h. */
#include "plugin/answer.h"

#include "plugin/device_plugin.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENVS_MAX   5u
#define MOUNTS_MAX 3u
#define NODES_MAX  (DIVVY_NODE_DEVICES + 3u)
#define PATH_BYTES 384u

static int pack(const ProtobufCMessage *message, uint8_t **ret_bytes, size_t *ret_length) {
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(length + 1);

    if (!bytes)
        return -ENOMEM;
    *ret_length = protobuf_c_message_pack(message, bytes);
    *ret_bytes = bytes;
    return 0;
}

static int broken(struct divvy_error *error) {
    return divvy_error_set(error, -EINVAL, "the request is not what this method takes");
}

/* --- options, list, registration ------------------------------------------------------------------------------------------ */

static void options_fill(V1beta1__DevicePluginOptions *options) {
    v1beta1__device_plugin_options__init(options);
    options->pre_start_required = 1;
    options->get_preferred_allocation_available = 1;
}

int divvy_plugin_answer_options(uint8_t **ret_bytes, size_t *ret_length) {
    V1beta1__DevicePluginOptions options;

    options_fill(&options);
    return pack(&options.base, ret_bytes, ret_length);
}

int divvy_plugin_request_register(const char *endpoint, const char *resource, uint8_t **ret_bytes, size_t *ret_length) {
    V1beta1__RegisterRequest request = V1BETA1__REGISTER_REQUEST__INIT;
    V1beta1__DevicePluginOptions options;

    options_fill(&options);
    request.version = (char *)"v1beta1";
    request.endpoint = (char *)endpoint;
    request.resource_name = (char *)resource;
    request.options = &options;
    return pack(&request.base, ret_bytes, ret_length);
}

/* A device's slots have its health and its place in common. */
struct list_entry {
    V1beta1__Device device;
    char id[DIVVY_PLUGIN_ID_BYTES];
};

struct list_place {
    V1beta1__TopologyInfo topology;
    V1beta1__NUMANode numa, *numas[1];
};

static void place_fill(struct list_place *place, const struct divvy_node_device *device) {
    v1beta1__topology_info__init(&place->topology);
    v1beta1__numanode__init(&place->numa);
    place->numa.id = device->numa_node;
    place->numas[0] = &place->numa;
    place->topology.nodes = place->numas;
    place->topology.n_nodes = 1;
}

static void list_fill(const struct divvy_plugin_node *node, size_t count, struct list_entry *entries, struct list_place *places) {
    for (size_t i = 0; i < count; i++) {
        const struct divvy_node_device *device = &node->devices[i / node->slots];
        struct list_entry *entry = &entries[i];

        if (i % node->slots == 0)
            place_fill(&places[i / node->slots], device);
        v1beta1__device__init(&entry->device);
        divvy_plugin_slot_id(device, (uint32_t)(i % node->slots), entry->id);
        entry->device.id = entry->id;
        entry->device.health = device->healthy ? (char *)"Healthy" : (char *)"Unhealthy";
        if (device->numa_node >= 0)
            entry->device.topology = &places[i / node->slots].topology;
    }
}

int divvy_plugin_answer_list(const struct divvy_plugin_node *node, uint8_t **ret_bytes, size_t *ret_length) {
    size_t count = node->device_count * node->slots;
    V1beta1__ListAndWatchResponse list = V1BETA1__LIST_AND_WATCH_RESPONSE__INIT;
    struct list_entry *entries = calloc(count + 1, sizeof *entries);
    V1beta1__Device **devices = calloc(count + 1, sizeof(V1beta1__Device *));
    struct list_place places[DIVVY_NODE_DEVICES];
    int status = -ENOMEM;

    if (entries && devices) {
        list_fill(node, count, entries, places);
        for (size_t i = 0; i < count; i++)
            devices[i] = &entries[i].device;
        list.devices = devices;
        list.n_devices = count;
        status = pack(&list.base, ret_bytes, ret_length);
    }
    free(entries);
    free(devices);
    return status;
}

/* --- Allocate ------------------------------------------------------------------------------------------------------------- */

/* One container's answer, with the memory that its parts point into. */
struct container {
    V1beta1__ContainerAllocateResponse response;
    V1beta1__Pair env[ENVS_MAX], *envs[ENVS_MAX];
    V1beta1__Mount mount[MOUNTS_MAX], *mounts[MOUNTS_MAX];
    V1beta1__DeviceSpec node[NODES_MAX], *nodes[NODES_MAX];
    char inside[NODES_MAX][32], outside[NODES_MAX][PATH_BYTES];
    char uuids[DIVVY_NODE_DEVICES * DIVVY_NODE_UUID_BYTES];
    char tenant[PATH_BYTES];
};

static void env_add(struct container *container, const char *name, const char *value) {
    V1beta1__Pair *pair = &container->env[container->response.n_envs];

    v1beta1__pair__init(pair);
    pair->key = (char *)name;
    pair->value = (char *)value;
    container->envs[container->response.n_envs++] = pair;
}

static void mount_add(struct container *container, const char *inside, const char *outside, bool read_only) {
    V1beta1__Mount *mount = &container->mount[container->response.n_mounts];

    v1beta1__mount__init(mount);
    mount->container_path = (char *)inside;
    mount->host_path = (char *)outside;
    mount->read_only = read_only;
    container->mounts[container->response.n_mounts++] = mount;
}

/* A device file. What is missing is an error where `needed`, else it is left out. */
static int node_add(struct container *container, const char *root, const char *name, bool needed, struct divvy_error *error) {
    size_t i = container->response.n_devices;
    V1beta1__DeviceSpec *spec = &container->node[i];

    (void)snprintf(container->inside[i], sizeof container->inside[i], "/dev/%s", name);
    (void)snprintf(container->outside[i], sizeof container->outside[i], "%s/%s", root, name);
    if (access(container->outside[i], F_OK) < 0)
        return needed ? divvy_error_set(error, -ENOENT, "the device file %.180s is missing on this node", container->outside[i]) : 0;
    v1beta1__device_spec__init(spec);
    spec->container_path = container->inside[i];
    spec->host_path = container->outside[i];
    spec->permissions = (char *)"rw";
    container->nodes[container->response.n_devices++] = spec;
    return 0;
}

/* The devices' own files, then those that all devices of the driver share. A simulated device has none. */
static int nodes_add(struct container *container, const struct divvy_plugin_node *node, const struct divvy_plugin_share *shares,
                     size_t count, struct divvy_error *error) {
    static const struct {
        const char *name;
        bool needed;
    } common[] = {{"nvidiactl", true}, {"nvidia-uvm", false}, {"nvidia-uvm-tools", false}};
    bool real = false;
    char name[32];

    for (size_t i = 0; i < count; i++) {
        const struct divvy_node_device *device = &node->devices[shares[i].device];

        if (device->minor < 0)
            return divvy_error_set(error, -ENOENT, "the driver does not tell which device file %s has", device->uuid_text);
        (void)snprintf(name, sizeof name, "nvidia%d", device->minor);
        if (node_add(container, node->device_root, name, !device->simulated, error) < 0)
            return -ENOENT;
        real = real || !device->simulated;
    }
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (node_add(container, node->device_root, common[i].name, common[i].needed && real, error) < 0)
            return -ENOENT;
    return 0;
}

static int slots_take(const struct divvy_plugin_node *node, char *const *ids, size_t count, struct divvy_plugin_slot *ret_slots,
                      struct divvy_error *error) {
    if (divvy_plugin_slots_parse((const char *const *)ids, count, node->devices, node->device_count, node->slots, ret_slots, error) < 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!node->devices[ret_slots[i].device].healthy)
            return divvy_error_set(error, -ENODEV, "the device %s is lost", node->devices[ret_slots[i].device].uuid_text);
    return 0;
}

/* By index, as NVML orders them: so does whoever reads the list. */
static void uuids_write(struct container *container, const struct divvy_plugin_node *node, const struct divvy_plugin_share *shares,
                        size_t count) {
    bool written[DIVVY_NODE_DEVICES] = {false};
    size_t length = 0;

    for (size_t round = 0; round < count; round++) {
        size_t next = count;

        for (size_t i = 0; i < count; i++)
            if (!written[i] && (next == count || node->devices[shares[i].device].index < node->devices[shares[next].device].index))
                next = i;
        written[next] = true;
        length += (size_t)snprintf(container->uuids + length, sizeof container->uuids - length, "%s%s", round ? "," : "",
                                   node->devices[shares[next].device].uuid_text);
    }
}

static int container_fill(struct container *container, const struct divvy_plugin_node *node, const V1beta1__ContainerAllocateRequest *request,
                          struct divvy_plugin_slot *slots, struct divvy_error *error) {
    struct divvy_plugin_share shares[DIVVY_NODE_DEVICES];
    char name[DIVVY_PLUGIN_ID_BYTES];
    size_t count;
    int status;

    if (request->n_devices_ids > DIVVY_PLUGIN_IDS_MAX)
        return broken(error);
    status = slots_take(node, request->devices_ids, request->n_devices_ids, slots, error);
    if (status < 0)
        return status;
    count = divvy_plugin_slots_share(slots, request->n_devices_ids, node->devices, node->slots, shares);
    v1beta1__container_allocate_response__init(&container->response);
    container->response.envs = container->envs;
    container->response.mounts = container->mounts;
    container->response.devices = container->nodes;
    divvy_plugin_slot_name(&node->devices[slots[0].device], slots[0].number, name);
    (void)snprintf(container->tenant, sizeof container->tenant, "%s/%s", node->slots_dir, name);
    uuids_write(container, node, shares, count);
    env_add(container, "NVIDIA_VISIBLE_DEVICES", container->uuids);
    env_add(container, "LD_PRELOAD", DIVVY_PLUGIN_LIMITER_INSIDE);
    env_add(container, "DIVVY_TENANT_DIR", DIVVY_PLUGIN_TENANT_INSIDE);
    if (node->fails_open)
        env_add(container, "DIVVY_FAIL_POLICY", "open");
    mount_add(container, DIVVY_PLUGIN_LIBRARY_INSIDE, node->library_dir, true);
    mount_add(container, DIVVY_PLUGIN_TENANT_INSIDE, container->tenant, false);
    /* Also for programs that clear their environment. */
    if (node->preload_file[0] && access(node->preload_file, F_OK) == 0)
        mount_add(container, DIVVY_PLUGIN_PRELOAD_INSIDE, node->preload_file, true);
    return nodes_add(container, node, shares, count, error);
}

static int allocate(const struct divvy_plugin_node *node, const V1beta1__AllocateRequest *request, uint8_t **ret_bytes, size_t *ret_length,
                    struct divvy_error *error) {
    V1beta1__AllocateResponse response = V1BETA1__ALLOCATE_RESPONSE__INIT;
    size_t count = request->n_container_requests;
    struct container *containers;
    V1beta1__ContainerAllocateResponse *answers[DIVVY_PLUGIN_CONTAINERS_MAX];
    struct divvy_plugin_slot slots[DIVVY_PLUGIN_IDS_MAX];
    int status = 0;

    if (count == 0 || count > DIVVY_PLUGIN_CONTAINERS_MAX)
        return divvy_error_set(error, -EINVAL, "a request is for 1 to %u containers", DIVVY_PLUGIN_CONTAINERS_MAX);
    containers = calloc(count, sizeof *containers);
    if (!containers)
        return divvy_error_set_errno(error, -ENOMEM, "the answer");
    for (size_t i = 0; i < count && status == 0; i++) {
        status = container_fill(&containers[i], node, request->container_requests[i], slots, error);
        answers[i] = &containers[i].response;
    }
    response.container_responses = answers;
    response.n_container_responses = count;
    if (status == 0 && pack(&response.base, ret_bytes, ret_length) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "the answer");
    free(containers);
    return status;
}

int divvy_plugin_answer_allocate(const struct divvy_plugin_node *node, const uint8_t *request, size_t length, uint8_t **ret_bytes,
                                 size_t *ret_length, struct divvy_error *error) {
    V1beta1__AllocateRequest *message = v1beta1__allocate_request__unpack(NULL, length, request);
    int status = message ? allocate(node, message, ret_bytes, ret_length, error) : broken(error);

    if (message)
        v1beta1__allocate_request__free_unpacked(message, NULL);
    return status;
}

int divvy_plugin_request_start(const struct divvy_plugin_node *node, const uint8_t *request, size_t length,
                               struct divvy_plugin_slot *ret_slots, struct divvy_error *error) {
    V1beta1__PreStartContainerRequest *message = v1beta1__pre_start_container_request__unpack(NULL, length, request);
    int status = -EINVAL;

    if (!message)
        return broken(error);
    if (message->n_devices_ids > DIVVY_PLUGIN_IDS_MAX)
        status = broken(error);
    else
        status = slots_take(node, message->devices_ids, message->n_devices_ids, ret_slots, error);
    if (status == 0)
        status = (int)message->n_devices_ids;
    v1beta1__pre_start_container_request__free_unpacked(message, NULL);
    return status;
}

/* --- GetPreferredAllocation ----------------------------------------------------------------------------------------------- */

struct preferred {
    V1beta1__ContainerPreferredAllocationResponse response;
    char **ids;
    char (*texts)[DIVVY_PLUGIN_ID_BYTES];
};

static int list_take(const struct divvy_plugin_node *node, char *const *ids, size_t count, struct divvy_plugin_slot *ret_slots,
                     struct divvy_error *error) {
    if (count == 0)
        return 0;
    return divvy_plugin_slots_parse((const char *const *)ids, count, node->devices, node->device_count, node->slots, ret_slots, error);
}

static int preferred_fill(struct preferred *preferred, const struct divvy_plugin_node *node,
                          const V1beta1__ContainerPreferredAllocationRequest *request, struct divvy_error *error) {
    struct divvy_plugin_slot available[DIVVY_PLUGIN_IDS_MAX], must[DIVVY_PLUGIN_IDS_MAX], chosen[DIVVY_PLUGIN_IDS_MAX];
    size_t size = (size_t)request->allocation_size;

    v1beta1__container_preferred_allocation_response__init(&preferred->response);
    if (request->allocation_size < 0 || size > DIVVY_PLUGIN_IDS_MAX)
        return divvy_error_set(error, -EINVAL, "%d devices cannot be chosen", (int)request->allocation_size);
    if (list_take(node, request->available_deviceids, request->n_available_deviceids, available, error) < 0 ||
        list_take(node, request->must_include_deviceids, request->n_must_include_deviceids, must, error) < 0 ||
        divvy_plugin_slots_choose(node->policy, available, request->n_available_deviceids, must, request->n_must_include_deviceids, size,
                                  chosen, error) < 0)
        return -EINVAL;
    preferred->ids = calloc(size + 1, sizeof(char *));
    preferred->texts = calloc(size + 1, sizeof *preferred->texts);
    if (!preferred->ids || !preferred->texts)
        return divvy_error_set_errno(error, -ENOMEM, "the answer");
    for (size_t i = 0; i < size; i++) {
        divvy_plugin_slot_id(&node->devices[chosen[i].device], chosen[i].number, preferred->texts[i]);
        preferred->ids[i] = preferred->texts[i];
    }
    preferred->response.deviceids = preferred->ids;
    preferred->response.n_deviceids = size;
    return 0;
}

static int prefer(const struct divvy_plugin_node *node, const V1beta1__PreferredAllocationRequest *request, uint8_t **ret_bytes,
                  size_t *ret_length, struct divvy_error *error) {
    V1beta1__PreferredAllocationResponse response = V1BETA1__PREFERRED_ALLOCATION_RESPONSE__INIT;
    struct preferred containers[DIVVY_PLUGIN_CONTAINERS_MAX] = {0};
    V1beta1__ContainerPreferredAllocationResponse *answers[DIVVY_PLUGIN_CONTAINERS_MAX];
    size_t count = request->n_container_requests;
    int status = 0;

    if (count == 0 || count > DIVVY_PLUGIN_CONTAINERS_MAX)
        return divvy_error_set(error, -EINVAL, "a request is for 1 to %u containers", DIVVY_PLUGIN_CONTAINERS_MAX);
    for (size_t i = 0; i < count && status == 0; i++) {
        status = preferred_fill(&containers[i], node, request->container_requests[i], error);
        answers[i] = &containers[i].response;
    }
    response.container_responses = answers;
    response.n_container_responses = count;
    if (status == 0 && pack(&response.base, ret_bytes, ret_length) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "the answer");
    for (size_t i = 0; i < count; i++) {
        free(containers[i].ids);
        free(containers[i].texts);
    }
    return status;
}

int divvy_plugin_answer_preferred(const struct divvy_plugin_node *node, const uint8_t *request, size_t length, uint8_t **ret_bytes,
                                  size_t *ret_length, struct divvy_error *error) {
    V1beta1__PreferredAllocationRequest *message = v1beta1__preferred_allocation_request__unpack(NULL, length, request);
    int status = message ? prefer(node, message, ret_bytes, ret_length, error) : broken(error);

    if (message)
        v1beta1__preferred_allocation_request__free_unpacked(message, NULL);
    return status;
}
