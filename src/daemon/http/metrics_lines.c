/* The lines of the metrics file: see metrics_file.h. */
#include "daemon/http/buffer.h"
#include "daemon/http/metrics_file.h"
#include "daemon/http/shape.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* One line under way. */
struct line {
    const struct divvy_metrics_lines *all;
    struct divvy_http_buffer *out;
    bool has_tag, has_field;
};

static void json_text(struct divvy_http_buffer *out, const char *text) {
    json_t *json = json_string(text);
    char *coded = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

    divvy_http_buffer_add(out, coded ? coded : "\"\"");
    free(coded);
    json_decref(json);
}

static void line_begin(struct line *line, const char *measure) {
    line->has_tag = line->has_field = false;
    divvy_http_buffer_format(line->out, line->all->is_json ? "{\"measure\":\"%s\",\"tag\":{" : "%s", measure);
}

/* An empty value is no tag. */
static void tag(struct line *line, const char *name, const char *value) {
    if (!value || !*value)
        return;
    if (line->all->is_json) {
        divvy_http_buffer_add(line->out, line->has_tag ? "," : "");
        json_text(line->out, name);
        divvy_http_buffer_add(line->out, ":");
        json_text(line->out, value);
    } else {
        divvy_http_buffer_add(line->out, ",");
        divvy_http_buffer_escaped(line->out, name, "\\, =\n");
        divvy_http_buffer_add(line->out, "=");
        divvy_http_buffer_escaped(line->out, value, "\\, =\n");
    }
    line->has_tag = true;
}

static void field_name(struct line *line, const char *name) {
    const char *before = line->has_field ? "," : line->all->is_json ? "},\"field\":{" : " ";

    divvy_http_buffer_format(line->out, line->all->is_json ? "%s\"%s\":" : "%s%s=", before, name);
    line->has_field = true;
}

static void field(struct line *line, const char *name, double value) {
    field_name(line, name);
    divvy_http_buffer_number(line->out, value);
}

static void field_known(struct line *line, const char *name, int64_t value, double scale) {
    if (value != DIVVY_NODE_UNKNOWN)
        field(line, name, (double)value * scale);
}

static void field_whole(struct line *line, const char *name, uint64_t value) {
    field_name(line, name);
    divvy_http_buffer_format(line->out, line->all->is_json ? "%" PRIu64 : "%" PRIu64 "i", value);
}

static void line_end(struct line *line, int64_t realtime_ns) {
    divvy_http_buffer_format(line->out, line->all->is_json ? "},\"ts\":%" PRId64 "}\n" : " %" PRId64 "\n", realtime_ns / 1000000);
}

static void tags_of_node(struct line *line, const struct divvy_node_device *device) {
    tag(line, "uuid", device->uuid_text);
    tag(line, "node", line->all->node);
    tag(line, "pool", line->all->pool);
}

static void gpu_line(struct line *line, const struct divvy_node_device *device) {
    if (device->sampled_ns == 0 || !device->healthy)
        return; /* nothing is known of it now */
    line_begin(line, "tf_gpu_usage");
    tags_of_node(line, device);
    field_known(line, "rx", device->pcie_rx_kb, 1);
    field_known(line, "tx", device->pcie_tx_kb, 1);
    field_known(line, "temperature", device->temperature_c, 1);
    if (device->memory_used_bytes != DIVVY_NODE_UNKNOWN && device->memory_used_bytes >= 0) {
        field_whole(line, "memory_bytes", (uint64_t)device->memory_used_bytes);
        if (device->memory_bytes > 0)
            field(line, "memory_percentage", (double)device->memory_used_bytes * 100 / (double)device->memory_bytes);
    }
    field_known(line, "compute_percentage", device->utilisation_permille, 0.1);
    if (device->max_tflops > 0)
        field_known(line, "compute_tflops", device->utilisation_permille, 0.001 * device->max_tflops);
    field_known(line, "power_usage", device->power_mw, 0.001);
    field_known(line, "graphics_clock_mhz", device->clock_graphics_mhz, 1);
    field_known(line, "sm_clock_mhz", device->clock_sm_mhz, 1);
    field_known(line, "memory_clock_mhz", device->clock_memory_mhz, 1);
    field_known(line, "video_clock_mhz", device->clock_video_mhz, 1);
    if (!line->has_field) /* a line needs one */
        field_whole(line, "memory_total_bytes", device->memory_bytes);
    line_end(line, line->all->realtime_ns);
}

#define WORKLOAD_LABEL "tensor-fusion.ai/workload"

/* Tags that come of the pod's labels; a label that it does not have is no tag. */
static void tags_of_labels(struct line *line, const json_t *labels) {
    const char *label;
    json_t *name;

    json_object_foreach((json_t *)(uintptr_t)line->all->labels, label, name)
        tag(line, json_string_value(name), json_string_value(json_object_get(labels, label)));
}

static void worker_line(struct line *line, const struct divvy_node_tenant *tenant, const struct divvy_node_binding *binding,
                        const json_t *labels) {
    const struct divvy_node_device *device;

    if (binding->device >= line->all->device_count)
        return;
    device = &line->all->devices[binding->device];
    line_begin(line, "tf_worker_usage");
    tags_of_node(line, device);
    tag(line, "pod_name", tenant->pod);
    tag(line, "namespace", tenant->namespace);
    tag(line, "workload", json_string_value(json_object_get(labels, WORKLOAD_LABEL)));
    tag(line, "worker", tenant->id);
    tags_of_labels(line, labels);
    field_whole(line, "memory_bytes", binding->used_bytes);
    if (binding->limit_bytes != DIVVY_NODE_MEMORY_NONE && binding->limit_bytes > 0)
        field(line, "memory_percentage", (double)binding->used_bytes * 100 / (double)binding->limit_bytes);
    field(line, "compute_percentage", binding->share_permille / 10.0);
    if (device->max_tflops > 0)
        field(line, "compute_tflops", binding->share_permille / 1000.0 * device->max_tflops);
    field(line, "compute_throttled_cnt", (double)binding->sched.granted);
    field(line, "compute_throttled_seconds", (double)binding->waited_ns * 1e-9);
    field(line, "vram_freezed_cnt", (double)tenant->frozen_count);
    field(line, "vram_resumed_cnt", (double)tenant->resumed_count);
    line_end(line, line->all->realtime_ns);
}

static void worker_lines(struct line *line, const struct divvy_node_tenant *tenant) {
    json_t *labels = tenant->labels[0] ? json_loads(tenant->labels, JSON_REJECT_DUPLICATES, NULL) : NULL;

    for (uint32_t i = 0; i < tenant->binding_count && i < DIVVY_NODE_DEVICES; i++)
        worker_line(line, tenant, &tenant->bindings[i], labels);
    json_decref(labels);
}

static void tag_in(struct line *line, const char *name, const json_t *worker, const char *key) {
    tag(line, name, json_string_value(json_object_get(worker, key)));
}

static void field_in(struct line *line, const char *name, const json_t *worker, const char *key) {
    const json_t *value = json_object_get(worker, key);

    if (json_is_number(value))
        field(line, name, json_number_value(value));
}

/* A worker that is no tenant: what the driver tells of its processes. Nobody throttles it. */
static void other_worker_line(struct line *line, const json_t *worker) {
    const json_t *bytes = json_object_get(worker, "MemoryBytes");

    line_begin(line, "tf_worker_usage");
    tag_in(line, "uuid", worker, "DeviceUUID");
    tag(line, "node", line->all->node);
    tag(line, "pool", line->all->pool);
    tag_in(line, "pod_name", worker, "WorkerName");
    tag_in(line, "namespace", worker, "Namespace");
    tag_in(line, "workload", worker, "WorkloadName");
    tag_in(line, "worker", worker, "WorkerUID");
    field_whole(line, "memory_bytes", json_is_integer(bytes) && json_integer_value(bytes) > 0 ? (uint64_t)json_integer_value(bytes) : 0);
    field_in(line, "memory_percentage", worker, "MemoryPercentage");
    field_in(line, "compute_percentage", worker, "ComputePercentage");
    field_in(line, "compute_tflops", worker, "ComputeTflops");
    line_end(line, line->all->realtime_ns);
}

/* --- what happened -------------------------------------------------------------------------------------------------- */

static const struct {
    enum divvy_node_event_kind kind;
    const char *type;
} event_types[] = {
    {DIVVY_NODE_EVENT_PROCESS_STARTED, "register_process"},
    {DIVVY_NODE_EVENT_PROCESS_ENDED, "remove_process"},
    {DIVVY_NODE_EVENT_TRAP, "on_trap"},
};

static const char *event_type(const struct divvy_node_event *event) {
    for (size_t i = 0; i < sizeof event_types / sizeof event_types[0]; i++)
        if (event_types[i].kind == event->kind)
            return event_types[i].type;
    return NULL;
}

static void field_text(struct line *line, const char *name, const char *text) {
    field_name(line, name);
    if (line->all->is_json) {
        json_text(line->out, text);
        return;
    }
    divvy_http_buffer_add(line->out, "\"");
    divvy_http_buffer_escaped(line->out, text, "\\\"");
    divvy_http_buffer_add(line->out, "\"");
}

static void event_line(struct line *line, const struct divvy_node_event *event) {
    const char *type = event_type(event);
    char pid[16];

    if (!type || event->pid <= 0)
        return;
    snprintf(pid, sizeof pid, "%" PRId32, event->pid);
    line_begin(line, "tf_scheduler_event");
    tag(line, "event_type", type);
    tag(line, "pid", pid);
    tag(line, "qos", divvy_node_qos_name(event->qos));
    field(line, "weight", event->weight);
    if (event->kind == DIVVY_NODE_EVENT_TRAP)
        field_text(line, "trap_details", event->text);
    line_end(line, event->time_ns);
}

char *divvy_metrics_lines_render(const struct divvy_metrics_lines *lines, size_t *ret_length) {
    struct divvy_http_buffer out = {0};
    struct line line = {.all = lines, .out = &out};

    for (size_t i = 0; i < lines->device_count; i++)
        gpu_line(&line, &lines->devices[i]);
    for (size_t i = 0; i < lines->tenant_count; i++)
        if (lines->tenants[i].process_count > 0)
            worker_lines(&line, &lines->tenants[i]);
    for (size_t i = 0; i < json_array_size(lines->workers); i++)
        other_worker_line(&line, json_array_get(lines->workers, i));
    for (size_t i = 0; i < lines->event_count; i++)
        event_line(&line, &lines->events[i]);
    return divvy_http_buffer_take(&out, ret_length);
}
