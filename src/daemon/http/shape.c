/* JSON of our own routes. Keys always come in the same order and are always there: unknown values are null. */
#include "daemon/http/shape.h"

#include "page/control.h"

#include <stdio.h>
#include <time.h>

json_t *divvy_http_u64_json(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *divvy_http_known_json(int64_t value) {
    return value == DIVVY_NODE_UNKNOWN ? json_null() : json_integer(value);
}

json_t *divvy_http_known_real_json(int64_t value, double divisor) {
    return value == DIVVY_NODE_UNKNOWN ? json_null() : json_real((double)value / divisor);
}

void divvy_http_time_format(int64_t realtime_ns, char text[DIVVY_HTTP_TIME_BYTES]) {
    time_t seconds = (time_t)(realtime_ns / 1000000000);
    struct tm parts;
    size_t length;

    if (!gmtime_r(&seconds, &parts)) {
        text[0] = '\0';
        return;
    }
    length = strftime(text, DIVVY_HTTP_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, DIVVY_HTTP_TIME_BYTES - length, ".%03dZ", (int)(realtime_ns / 1000000 % 1000));
}

const char *divvy_http_source_name(enum divvy_node_source source) {
    static const char *const names[DIVVY_NODE_SOURCE_MAX] = {"run", "pod", "api"};

    return (unsigned)source < DIVVY_NODE_SOURCE_MAX ? names[source] : "api";
}

const char *divvy_http_mode_name(uint32_t mode) {
    static const char *const names[DIVVY_CONTROL_MODE_MAX] = {"self", "open", "leased", "frozen"};

    return mode < DIVVY_CONTROL_MODE_MAX ? names[mode] : "self";
}

static json_t *text_or_null(const char *text) {
    json_t *json = text && *text ? json_string(text) : NULL;

    return json ? json : json_null(); /* what is not UTF-8 is not passed on */
}

static json_t *binding_json(const struct divvy_node_binding *binding, const struct divvy_node_device *devices, size_t count) {
    const struct divvy_node_device *device = binding->device < count ? &devices[binding->device] : NULL;
    bool capped = binding->compute_permille < DIVVY_NODE_PERMILLE_NONE;

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I, s:f, s:o, s:o, s:I, s:o, s:s}", "uuid",
                     text_or_null(device ? device->uuid_text : NULL), "index",
                     device ? json_integer(device->index) : json_null(), "memory_limit_bytes",
                     binding->limit_bytes == DIVVY_NODE_MEMORY_NONE ? json_null() : divvy_http_u64_json(binding->limit_bytes),
                     "memory_used_bytes", divvy_http_u64_json(binding->used_bytes), "memory_peak_bytes",
                     divvy_http_u64_json(binding->peak_bytes), "refused", divvy_http_u64_json(binding->refused),
                     "compute_percent", capped ? json_real(binding->compute_permille / 10.0) : json_null(), "soft",
                     (int)binding->soft, "weight", (json_int_t)binding->weight, "share_percent", binding->share_permille / 10.0,
                     "busy_ns", divvy_http_u64_json(binding->busy_ns), "waited_ns", divvy_http_u64_json(binding->waited_ns),
                     "waiting", (json_int_t)binding->waiting, "launches", divvy_http_u64_json(binding->launches), "mode",
                     divvy_http_mode_name(binding->mode));
}

/* null where there are none, or no such object. */
static json_t *labels_json(const char *labels) {
    json_t *json = *labels ? json_loads(labels, JSON_REJECT_DUPLICATES, NULL) : NULL;

    return json ? json : json_null();
}

json_t *divvy_http_tenant_json(const struct divvy_node_tenant *tenant, const struct divvy_node_device *devices, size_t count) {
    json_t *bindings = json_array();
    char created[DIVVY_HTTP_TIME_BYTES];

    for (uint32_t i = 0; i < tenant->binding_count && i < DIVVY_NODE_DEVICES; i++)
        if (json_array_append_new(bindings, binding_json(&tenant->bindings[i], devices, count)) != 0) {
            json_decref(bindings);
            return NULL;
        }
    divvy_http_time_format(tenant->created_ns, created);
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:o, s:o, s:o, s:s, s:s, s:I, s:o, s:o}", "id", tenant->id, "state",
                     divvy_node_state_name(tenant->state), "qos", divvy_node_qos_name(tenant->qos), "source",
                     divvy_http_source_name(tenant->source), "frozen", (int)tenant->frozen, "owner_uid",
                     (json_int_t)tenant->owner_uid, "keeper_pid", (json_int_t)tenant->keeper_pid, "pod",
                     text_or_null(tenant->pod), "namespace", text_or_null(tenant->namespace), "container",
                     text_or_null(tenant->container), "folder", tenant->folder, "created", created, "process_count",
                     (json_int_t)tenant->process_count, "devices", bindings, "labels", labels_json(tenant->labels));
}

json_t *divvy_http_device_json(const struct divvy_node_device *devices, size_t place, const struct divvy_node_tenant *tenants,
                               size_t tenant_count) {
    const struct divvy_node_device *device = &devices[place];
    uint64_t promised = 0;
    json_int_t on_it = 0;

    for (size_t i = 0; i < tenant_count; i++)
        for (uint32_t j = 0; j < tenants[i].binding_count; j++) {
            const struct divvy_node_binding *binding = &tenants[i].bindings[j];

            if (binding->device != place)
                continue;
            on_it++;
            if (binding->limit_bytes != DIVVY_NODE_MEMORY_NONE &&
                __builtin_add_overflow(promised, binding->limit_bytes, &promised))
                promised = UINT64_MAX;
        }
    return json_pack(
        "{s:s, s:I, s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "uuid",
        device->uuid_text, "index", (json_int_t)device->index, "model", text_or_null(device->model), "vendor",
        text_or_null(device->vendor), "pci_bus_id", text_or_null(device->pci_bus_id), "simulated", (int)device->simulated,
        "healthy", (int)device->healthy, "numa_node", device->numa_node < 0 ? json_null() : json_integer(device->numa_node),
        "memory_bytes", divvy_http_u64_json(device->memory_bytes), "memory_used_bytes",
        divvy_http_known_json(device->memory_used_bytes), "memory_promised_bytes", divvy_http_u64_json(promised), "max_tflops",
        device->max_tflops > 0 ? json_real(device->max_tflops) : json_null(), "utilisation_percent",
        divvy_http_known_real_json(device->utilisation_permille, 10.0), "temperature_c",
        divvy_http_known_json(device->temperature_c), "power_w", divvy_http_known_real_json(device->power_mw, 1000.0),
        "clock_sm_mhz", divvy_http_known_json(device->clock_sm_mhz), "clock_memory_mhz",
        divvy_http_known_json(device->clock_memory_mhz), "pcie_rx_kb_per_second", divvy_http_known_json(device->pcie_rx_kb),
        "pcie_tx_kb_per_second", divvy_http_known_json(device->pcie_tx_kb), "clock_graphics_mhz",
        divvy_http_known_json(device->clock_graphics_mhz), "tenants", on_it);
}

json_t *divvy_http_process_json(const struct divvy_node_process *process) {
    json_t *name = text_or_null(process->name);

    return json_pack("{s:I, s:I, s:o, s:o}", "host_pid", (json_int_t)process->host_pid, "container_pid",
                     (json_int_t)process->container_pid, "name", name, "memory_bytes",
                     divvy_http_u64_json(process->used_bytes));
}

json_t *divvy_http_event_json(const struct divvy_node_event *event) {
    char when[DIVVY_HTTP_TIME_BYTES];
    const char *kind = divvy_node_event_name(event->kind);

    divvy_http_time_format(event->time_ns, when);
    return json_pack("{s:o, s:s, s:s, s:o, s:o}", "number", divvy_http_u64_json(event->number), "time", when, "kind",
                     kind ? kind : "daemon", "tenant", text_or_null(event->tenant), "text", text_or_null(event->text));
}
