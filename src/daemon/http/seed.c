/* JSON with the names of TensorFusion's hypervisor. */
#include "daemon/http/seed.h"

#include "core/parse.h"
#include "daemon/http/shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *lower(const char *text, char out[DIVVY_NODE_UUID_BYTES]) {
    size_t i = 0;

    for (; text[i] && i + 1 < DIVVY_NODE_UUID_BYTES; i++)
        out[i] = divvy_core_ascii_lower(text[i]);
    out[i] = '\0';
    return out;
}

static json_t *text(const char *value) {
    json_t *json = json_string(value);

    return json ? json : json_string("");
}

json_t *divvy_http_device_info(const struct divvy_node_device *device) {
    char uuid[DIVVY_NODE_UUID_BYTES];
    json_t *capabilities =
        json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:i, s:i}", "SupportsPartitioning", 0, "SupportsSoftIsolation", 1,
                  "SupportsHardIsolation", 0, "SupportsSnapshot", 0, "SupportsMetrics", 1, "SupportsRemoting", 0,
                  "MaxPartitions", 0, "MaxWorkersPerDevice", (int)DIVVY_NODE_TENANTS_MAX);

    return json_pack("{s:s, s:o, s:o, s:I, s:i, s:n, s:o, s:f, s:o, s:{s:s, s:s}, s:b, s:s, s:n, s:n, s:s, s:s}", "UUID",
                     lower(device->uuid_text, uuid), "Vendor", text(device->vendor), "Model", text(device->model), "Index",
                     (json_int_t)device->index, "NUMANode", device->numa_node, "Topology", "TotalMemoryBytes",
                     divvy_http_u64_json(device->memory_bytes), "MaxTflops", device->max_tflops, "VirtualizationCapabilities",
                     capabilities, "Properties", "pciBusId", device->pci_bus_id, "simulated",
                     device->simulated ? "true" : "false", "Healthy", (int)device->healthy, "ParentUUID", "", "DeviceNode",
                     "DeviceEnv", "IsolationMode", "soft", "IsolationPolicy", "dynamic");
}

static const struct divvy_node_device *device_of(const struct divvy_node_binding *binding,
                                                 const struct divvy_node_device *devices, size_t count) {
    return binding->device < count ? &devices[binding->device] : NULL;
}

/* A Kubernetes quantity: the largest binary unit that divides the bytes. */
static void quantity(uint64_t bytes, char out[32]) {
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
    size_t unit = 0;

    while (bytes > 0 && bytes % 1024 == 0 && unit + 1 < sizeof units / sizeof units[0]) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, 32, "%llu%s", (unsigned long long)bytes, units[unit]);
}

/* What a worker has on all its devices together, as that hypervisor counts it; "0" where there is no limit. */
static json_t *resource(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count) {
    double tflops = 0, percent = 0;
    uint64_t bytes = 0;
    char tflops_text[32], percent_text[32], vram[32];

    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        const struct divvy_node_binding *binding = &tenant->bindings[i];
        const struct divvy_node_device *device = device_of(binding, devices, count);

        if (binding->limit_bytes != DIVVY_NODE_MEMORY_NONE && __builtin_add_overflow(bytes, binding->limit_bytes, &bytes))
            bytes = UINT64_MAX;
        if (binding->compute_permille >= DIVVY_NODE_PERMILLE_NONE)
            continue;
        percent += binding->compute_permille / 10.0;
        if (device)
            tflops += binding->compute_permille * device->max_tflops / 1000.0;
    }
    snprintf(tflops_text, sizeof tflops_text, tflops == floor(tflops) ? "%.0f" : "%.0fm",
             tflops == floor(tflops) ? tflops : tflops * 1000);
    snprintf(percent_text, sizeof percent_text, "%.10g", percent);
    quantity(bytes, vram);
    return json_pack("{s:s, s:s, s:s}", "tflops", tflops_text, "compute", percent_text, "vram", vram);
}

static json_t *uuids(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count,
                     bool is_lower) {
    json_t *list = json_array();
    char uuid[DIVVY_NODE_UUID_BYTES];

    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        const struct divvy_node_device *device = device_of(&tenant->bindings[i], devices, count);

        if (device)
            json_array_append_new(list, json_string(is_lower ? lower(device->uuid_text, uuid) : device->uuid_text));
    }
    return list;
}

static json_t *worker_info(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count) {
    const char *name = tenant->pod[0] ? tenant->pod : tenant->id;

    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:n, s:n, s:n, s:i}", "WorkerUID",
                     tenant->id, "Namespace", tenant->namespace, "WorkerName", name, "AllocatedDevices",
                     uuids(tenant, devices, count, true), "Status", "Running", "QoS", divvy_node_qos_name(tenant->qos),
                     "IsolationMode", "soft", "Requests", resource(tenant, devices, count), "Limits",
                     resource(tenant, devices, count), "WorkloadName", "", "WorkloadNamespace", "", "PartitionTemplateID", "",
                     "Labels", "Annotations", "WorkerRunningInfo", "DeletedAt", 0);
}

json_t *divvy_http_worker_allocation(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices,
                                     size_t count) {
    json_t *infos = json_array();

    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        const struct divvy_node_device *device = device_of(&tenant->bindings[i], devices, count);

        if (device)
            json_array_append_new(infos, divvy_http_device_info(device));
    }
    return json_pack("{s:o, s:o, s:{s:s}, s:[{s:s, s:s}], s:n}", "WorkerInfo", worker_info(tenant, devices, count),
                     "DeviceInfos", infos, "Envs", "DIVVY_TENANT_DIR", tenant->folder, "Mounts", "guestPath", tenant->folder,
                     "hostPath", tenant->folder, "Devices");
}

/* What one process has on one device: only known where the tenant has one device, or one process. */
static json_t *process_metrics(const struct divvy_node_tenant *tenant, const struct divvy_node_binding *binding,
                               const struct divvy_node_device *device, const struct divvy_node_process *process,
                               size_t process_count) {
    bool knows_memory = tenant->binding_count == 1, knows_share = process_count == 1;
    uint64_t of = binding->limit_bytes != DIVVY_NODE_MEMORY_NONE ? binding->limit_bytes : device->memory_bytes;
    uint64_t bytes = knows_memory ? process->used_bytes : binding->used_bytes;
    char uuid[DIVVY_NODE_UUID_BYTES], pid[16];

    knows_memory = knows_memory || process_count == 1;
    snprintf(pid, sizeof pid, "%d", process->host_pid);
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:n}", "DeviceUUID", lower(device->uuid_text, uuid), "WorkerUID", tenant->id,
        "ProcessID", pid, "MemoryBytes", knows_memory ? divvy_http_u64_json(bytes) : json_null(), "MemoryPercentage",
        knows_memory && of > 0 ? json_real((double)bytes * 100 / (double)of) : json_null(), "ComputeTflops",
        knows_share && device->max_tflops > 0 ? json_real(binding->share_permille * device->max_tflops / 1000.0) : json_null(),
        "ComputePercentage", knows_share ? json_real(binding->share_permille / 10.0) : json_null(), "ExtraMetrics");
}

json_t *divvy_http_worker_metrics(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count,
                                  const struct divvy_node_process *processes, size_t process_count) {
    json_t *metrics = json_object();

    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        const struct divvy_node_device *device = device_of(&tenant->bindings[i], devices, count);
        char uuid[DIVVY_NODE_UUID_BYTES], pid[16];
        json_t *of_device;

        if (!device)
            continue;
        of_device = json_object();
        for (size_t j = 0; j < process_count; j++) {
            snprintf(pid, sizeof pid, "%d", processes[j].host_pid);
            json_object_set_new(of_device, pid,
                                process_metrics(tenant, &tenant->bindings[i], device, &processes[j], process_count));
        }
        json_object_set_new(metrics, lower(device->uuid_text, uuid), of_device);
    }
    return metrics;
}

json_t *divvy_http_limiter_json(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count) {
    return json_pack("{s:s, s:o, s:o}", "worker_uid", tenant->id, "requests", resource(tenant, devices, count), "limits",
                     resource(tenant, devices, count));
}

/* What is the same for a pod in the list and alone; values that are not set are left out. */
json_t *divvy_http_pod_entry(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count) {
    static const char *const levels[DIVVY_NODE_QOS_MAX] = {"Low", "Medium", "High", "Critical"};
    const struct divvy_node_binding *binding = &tenant->bindings[0];
    const struct divvy_node_device *device = tenant->binding_count ? device_of(binding, devices, count) : NULL;
    json_t *json = json_pack("{s:s, s:s, s:o}", "pod_name", tenant->pod, "namespace", tenant->namespace, "gpu_uuids",
                             uuids(tenant, devices, count, false));

    if (json && device && device->max_tflops > 0 && binding->compute_permille < DIVVY_NODE_PERMILLE_NONE)
        json_object_set_new(json, "tflops_limit", json_real(binding->compute_permille * device->max_tflops / 1000.0));
    if (json && device && binding->limit_bytes != DIVVY_NODE_MEMORY_NONE)
        json_object_set_new(json, "vram_limit", divvy_http_u64_json(binding->limit_bytes));
    if (json && (unsigned)tenant->qos < DIVVY_NODE_QOS_MAX)
        json_object_set_new(json, "qos_level", json_string(levels[tenant->qos]));
    return json;
}

json_t *divvy_http_pod_info(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count,
                            int64_t autofreeze_ns) {
    json_t *json = divvy_http_pod_entry(tenant, devices, count);
    char ttl[32];

    if (!json)
        return NULL;
    /* Ours, 1000 for none: what a limiter can enforce without a table of TFLOPS, and tells it whom it speaks with. */
    json_object_set_new(json, "compute_permille",
                        json_integer(tenant->binding_count > 0 ? tenant->bindings[0].compute_permille : DIVVY_NODE_PERMILLE_NONE));
    json_object_set_new(json, "compute_shard", json_false());
    json_object_set_new(json, "isolation", json_string("soft"));
    if (autofreeze_ns > 0) {
        snprintf(ttl, sizeof ttl, "%llds", (long long)(autofreeze_ns / 1000000000));
        json_object_set_new(json, "auto_freeze", json_pack("{s:s, s:b}", "freeze_to_mem_ttl", ttl, "enable", 1));
    }
    return json;
}
