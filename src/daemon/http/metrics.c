/* /metrics: one table of all metrics, and what walks over it. */
#include "daemon/http/metrics.h"

#include "daemon/http/buffer.h"
#include "daemon/http/shape.h"

#include <math.h>
#include <stdio.h>

/* What a value is read from: the parts that its scope has are set. */
struct view {
    const struct divvy_metrics_figures *all;
    const struct divvy_daemon_health *health;
    const struct divvy_node_device *device;
    size_t place; /* of the device */
    const struct divvy_node_tenant *tenant;
    const struct divvy_node_binding *binding;
    const struct divvy_http_mig_device *mig;
};

enum scope { OF_NODE, OF_DEVICE, OF_MIG, OF_TENANT, OF_BINDING };

struct metric {
    const char *name, *type, *help;
    enum scope scope;
    double (*value)(const struct view *view); /* NAN: unknown, the line is left out */
};

static double known(int64_t value, double scale) {
    return value == DIVVY_NODE_UNKNOWN ? NAN : (double)value * scale;
}

static double bytes_or_none(uint64_t bytes) {
    return bytes == DIVVY_NODE_MEMORY_NONE ? NAN : (double)bytes;
}

static double promised(const struct view *view) {
    double sum = 0;

    for (size_t i = 0; i < view->all->tenant_count; i++)
        for (uint32_t j = 0; j < view->all->tenants[i].binding_count; j++) {
            const struct divvy_node_binding *binding = &view->all->tenants[i].bindings[j];

            if (binding->device == view->place && binding->limit_bytes != DIVVY_NODE_MEMORY_NONE)
                sum += (double)binding->limit_bytes;
        }
    return sum;
}

static double device_tenants(const struct view *view) {
    double count = 0;

    for (size_t i = 0; i < view->all->tenant_count; i++)
        for (uint32_t j = 0; j < view->all->tenants[i].binding_count; j++)
            count += view->all->tenants[i].bindings[j].device == view->place;
    return count;
}

static double asked(const struct view *view) {
    uint32_t permille = view->binding->compute_permille;

    return permille < DIVVY_NODE_PERMILLE_NONE ? permille / 1000.0 : NAN;
}

#define VALUE(name, expression)                                                                                                \
    static double name(const struct view *v) {                                                                                 \
        return (double)(expression);                                                                                           \
    }
VALUE(one, v ? 1 : 1)
VALUE(ready, v->health->ready)
VALUE(uptime, (double)v->health->uptime_ns * 1e-9)
VALUE(tenants, v->all->tenant_count)
VALUE(devices, v->all->device_count)
VALUE(granted, v->health->leases_granted)
VALUE(revoked, v->health->leases_revoked)
VALUE(handovers, v->health->handovers)
VALUE(decision_mean, (double)v->health->decision_ns_mean * 1e-9)
VALUE(decision_max, (double)v->health->decision_ns_max * 1e-9)
VALUE(channel_processes, v->health->channel_processes)
VALUE(channel_orders, v->health->channel_orders)
VALUE(channel_reports, v->health->channel_reports)
VALUE(channel_flooded, v->health->channel_flooded)
VALUE(channel_silent, v->health->channel_silent)
VALUE(channel_way, (double)v->health->channel_way_ns * 1e-9)
VALUE(late_mean, (double)v->health->wake_late_ns_mean * 1e-9)
VALUE(late_max, (double)v->health->wake_late_ns_max * 1e-9)
VALUE(bells, v->health->bells)
VALUE(pages_broken, v->health->pages_broken)
VALUE(cpu, (double)v->health->cpu_ns * 1e-9)
VALUE(rss, v->health->rss_bytes)
VALUE(connections, v->all->connections)

VALUE(healthy, v->device->healthy)
VALUE(memory, v->device->memory_bytes)
VALUE(memory_used, known(v->device->memory_used_bytes, 1))
VALUE(utilisation, known(v->device->utilisation_permille, 1e-3))
VALUE(temperature, known(v->device->temperature_c, 1))
VALUE(power, known(v->device->power_mw, 1e-3))
VALUE(clock_sm, known(v->device->clock_sm_mhz, 1e6))
VALUE(clock_memory, known(v->device->clock_memory_mhz, 1e6))
VALUE(pcie_rx, known(v->device->pcie_rx_kb, 1000))
VALUE(pcie_tx, known(v->device->pcie_tx_kb, 1000))

/* Since when the holder has it; unknown where the lock does not say. */
static double mig_reserved_since(const struct view *view) {
    const struct divvy_mig_holder *holder = &view->mig->holder;

    return divvy_mig_holder_is_taken(holder) && holder->since_s > 0 ? (double)holder->since_s : NAN;
}

static double mig_memory_used(const struct view *view) {
    uint64_t bytes = view->mig->device.memory_used_bytes;

    return bytes == DIVVY_MIG_UNKNOWN_BYTES ? NAN : (double)bytes;
}

VALUE(mig_memory, v->mig->device.memory_bytes)
VALUE(mig_reserved, divvy_mig_holder_is_taken(&v->mig->holder))
VALUE(mig_left_behind, v->mig->holder.state == DIVVY_MIG_DEAD)
VALUE(mig_allocations, v->all->mig_allocations)

VALUE(processes, v->tenant->process_count)
VALUE(frozen, v->tenant->frozen)
VALUE(created, (double)v->tenant->created_ns * 1e-9)
VALUE(saved, v->tenant->frozen_count)
VALUE(resumed, v->tenant->resumed_count)
VALUE(asleep, v->tenant->asleep)
VALUE(return_last, (double)v->tenant->return_ns_last / 1e9)
VALUE(return_total, (double)v->tenant->return_ns_total / 1e9)

VALUE(weight, v->binding->weight)
VALUE(share, v->binding->share_permille / 1000.0)
VALUE(busy, (double)v->binding->busy_ns * 1e-9)
VALUE(waited, (double)v->binding->waited_ns * 1e-9)
VALUE(waiting, v->binding->waiting)
VALUE(launches, v->binding->launches)
VALUE(limit, bytes_or_none(v->binding->limit_bytes))
VALUE(used, v->binding->used_bytes)
VALUE(peak, v->binding->peak_bytes)
VALUE(refused, v->binding->refused)
VALUE(lease_granted, v->binding->sched.granted)
VALUE(lease_revoked, v->binding->sched.revoked)
VALUE(lease_waited, (double)v->binding->sched.waited_ns * 1e-9)
VALUE(lease_wait_max, (double)v->binding->sched.wait_max_ns * 1e-9)
VALUE(overrun, (double)v->binding->sched.overrun_ns * 1e-9)

static const struct metric metrics[] = {
    {"divvy_build_info", "gauge", "Version of the daemon and name of the node, as labels.", OF_NODE, one},
    {"divvy_ready", "gauge", "1 when devices are known and tenants left from before are adopted.", OF_NODE, ready},
    {"divvy_uptime_seconds", "gauge", "Since the daemon started.", OF_NODE, uptime},
    {"divvy_devices", "gauge", "Devices that the node has.", OF_NODE, devices},
    {"divvy_tenants", "gauge", "Tenants that are registered.", OF_NODE, tenants},
    {"divvy_leases_granted_total", "counter", "Leases of GPU time given to tenants.", OF_NODE, granted},
    {"divvy_leases_revoked_total", "counter", "Leases taken back before their end.", OF_NODE, revoked},
    {"divvy_handovers_total", "counter", "Changes of a device from one tenant to another.", OF_NODE, handovers},
    {"divvy_channel_lease_processes", "gauge", "Processes that get their leases by the two-way channel.", OF_NODE,
     channel_processes},
    {"divvy_channel_lease_orders_total", "counter", "Orders about leases that were sent to them.", OF_NODE, channel_orders},
    {"divvy_channel_lease_way_seconds", "gauge", "Time of an order and its answer, smoothed.", OF_NODE, channel_way},
    {"divvy_channel_reports_total", "counter", "Reports that were taken from them.", OF_NODE, channel_reports},
    {"divvy_channel_reports_refused_total", "counter", "Reports beyond the rate that one may send.", OF_NODE, channel_flooded},
    {"divvy_channel_silent_total", "counter", "Orders that were not answered in time.", OF_NODE, channel_silent},
    {"divvy_scheduler_decision_mean_seconds", "gauge", "Mean time of a decision over the last second.", OF_NODE, decision_mean},
    {"divvy_scheduler_decision_max_seconds", "gauge", "Longest decision of the last second.", OF_NODE, decision_max},
    {"divvy_lease_thread_late_mean_seconds", "gauge",
     "How far the lease thread woke behind its timer, mean of the last second.", OF_NODE, late_mean},
    {"divvy_lease_thread_late_max_seconds", "gauge",
     "How far the lease thread woke behind its timer, worst of the last second.", OF_NODE, late_max},
    {"divvy_bells_total", "counter", "Times that a sleeping tenant asked for GPU time.", OF_NODE, bells},
    {"divvy_usage_pages_refused_total", "counter", "Reads of tenants' usage pages that could not be believed.", OF_NODE,
     pages_broken},
    {"divvy_http_connections", "gauge", "Open connections of the HTTP server.", OF_NODE, connections},
    {"divvy_mig_allocations", "gauge", "MIG instances that were allocated over HTTP.", OF_NODE, mig_allocations},
    {"process_cpu_seconds_total", "counter", "CPU time of the daemon.", OF_NODE, cpu},
    {"process_resident_memory_bytes", "gauge", "Resident memory of the daemon.", OF_NODE, rss},

    {"divvy_device_info", "gauge", "A device, with its index, model and PCI address as labels.", OF_DEVICE, one},
    {"divvy_device_healthy", "gauge", "1 when the driver answers for the device.", OF_DEVICE, healthy},
    {"divvy_device_memory_bytes", "gauge", "Memory of the device.", OF_DEVICE, memory},
    {"divvy_device_memory_used_bytes", "gauge", "Memory in use, by whomever.", OF_DEVICE, memory_used},
    {"divvy_device_memory_promised_bytes", "gauge", "Sum of the memory limits of its tenants.", OF_DEVICE, promised},
    {"divvy_device_tenants", "gauge", "Tenants that may use the device.", OF_DEVICE, device_tenants},
    {"divvy_device_utilisation_ratio", "gauge", "Part of the time in which the device worked, as the driver says.", OF_DEVICE,
     utilisation},
    {"divvy_device_temperature_celsius", "gauge", "Temperature of the GPU.", OF_DEVICE, temperature},
    {"divvy_device_power_watts", "gauge", "Power drawn.", OF_DEVICE, power},
    {"divvy_device_sm_clock_hertz", "gauge", "Clock of the multiprocessors.", OF_DEVICE, clock_sm},
    {"divvy_device_memory_clock_hertz", "gauge", "Clock of the memory.", OF_DEVICE, clock_memory},
    {"divvy_device_pcie_receive_bytes_per_second", "gauge", "Data to the device over PCIe.", OF_DEVICE, pcie_rx},
    {"divvy_device_pcie_transmit_bytes_per_second", "gauge", "Data from the device over PCIe.", OF_DEVICE, pcie_tx},

    {"divvy_mig_memory_bytes", "gauge", "Memory of a MIG instance.", OF_MIG, mig_memory},
    {"divvy_mig_memory_used_bytes", "gauge", "Memory in use on a MIG instance, by whomever.", OF_MIG, mig_memory_used},
    {"divvy_mig_reserved", "gauge", "1 while somebody has reserved the MIG instance.", OF_MIG, mig_reserved},
    {"divvy_mig_reserved_since_timestamp_seconds", "gauge", "Since when.", OF_MIG, mig_reserved_since},
    {"divvy_mig_left_behind", "gauge", "1 where a lock of a dead holder lies; the next one takes it.", OF_MIG,
     mig_left_behind},

    {"divvy_tenant_info", "gauge", "A tenant, with its class, state, origin and names as labels.", OF_TENANT, one},
    {"divvy_tenant_processes", "gauge", "Processes of the tenant.", OF_TENANT, processes},
    {"divvy_tenant_frozen", "gauge", "1 while it is frozen by request.", OF_TENANT, frozen},
    {"divvy_tenant_created_timestamp_seconds", "gauge", "When it was registered.", OF_TENANT, created},
    {"divvy_tenant_saved_total", "counter", "Times that its device memory was moved to host memory.", OF_TENANT, saved},
    {"divvy_tenant_restored_total", "counter", "Times that its device memory was moved back.", OF_TENANT, resumed},
    {"divvy_tenant_asleep", "gauge", "1 while it is saved because it was idle.", OF_TENANT, asleep},
    {"divvy_tenant_return_seconds", "gauge", "Time from its first call to its return from sleep, the last time.", OF_TENANT,
     return_last},
    {"divvy_tenant_return_seconds_total", "counter", "The same, of all times.", OF_TENANT, return_total},

    {"divvy_tenant_share_asked_ratio", "gauge", "Cap of GPU time; absent without one.", OF_BINDING, asked},
    {"divvy_tenant_share_ratio", "gauge", "GPU time got over wall time, of the last second.", OF_BINDING, share},
    {"divvy_tenant_weight", "gauge", "Weight under contention.", OF_BINDING, weight},
    {"divvy_tenant_busy_seconds_total", "counter", "GPU time used.", OF_BINDING, busy},
    {"divvy_tenant_throttled_seconds_total", "counter", "Time at the gate, summed over threads.", OF_BINDING, waited},
    {"divvy_tenant_waiting_threads", "gauge", "Threads at the gate now.", OF_BINDING, waiting},
    {"divvy_tenant_launches_total", "counter", "Kernels and other work launched.", OF_BINDING, launches},
    {"divvy_tenant_memory_limit_bytes", "gauge", "Memory limit; absent without one.", OF_BINDING, limit},
    {"divvy_tenant_memory_used_bytes", "gauge", "Device memory in use.", OF_BINDING, used},
    {"divvy_tenant_memory_peak_bytes", "gauge", "Most device memory in use so far.", OF_BINDING, peak},
    {"divvy_tenant_memory_refused_total", "counter", "Allocations refused for the limit.", OF_BINDING, refused},
    {"divvy_tenant_leases_granted_total", "counter", "Leases got.", OF_BINDING, lease_granted},
    {"divvy_tenant_leases_revoked_total", "counter", "Leases taken back before their end.", OF_BINDING, lease_revoked},
    {"divvy_tenant_lease_wait_seconds_total", "counter", "Time ready without a lease.", OF_BINDING, lease_waited},
    {"divvy_tenant_lease_wait_max_seconds", "gauge", "Longest wait for a lease.", OF_BINDING, lease_wait_max},
    {"divvy_tenant_overrun_seconds_total", "counter", "GPU time used beyond the ends of leases.", OF_BINDING, overrun},
};
#define METRICS (sizeof metrics / sizeof metrics[0])

const char *divvy_metrics_name(size_t place) {
    return place < METRICS ? metrics[place].name : NULL;
}

static void label(struct divvy_http_buffer *out, const char *name, const char *value, char before) {
    if (value && *value) {
        divvy_http_buffer_add_bytes(out, &before, 1);
        divvy_http_buffer_add(out, name);
        divvy_http_buffer_add(out, "=\"");
        divvy_http_buffer_escaped(out, value, "\\\"\n");
        divvy_http_buffer_add(out, "\"");
    }
}

/* Of the pod's labels the one that names what it is a replica of. */
static void workload_label(struct divvy_http_buffer *out, const char *labels) {
    json_t *json = *labels ? json_loads(labels, JSON_REJECT_DUPLICATES, NULL) : NULL;

    label(out, "workload", json_string_value(json_object_get(json, "tensor-fusion.ai/workload")), ',');
    json_decref(json);
}

/* Identity is in every line, properties only in the _info metrics: what changes must not make another series. */
static void labels(struct divvy_http_buffer *out, const struct metric *metric, const struct view *view) {
    bool info = metric->value == one;
    char number[16];

    switch (metric->scope) {
    case OF_NODE:
        if (!info)
            return;
        label(out, "version", view->all->version, '{');
        label(out, "node", view->all->node, ',');
        break;
    case OF_DEVICE:
        label(out, "gpu", view->device->uuid_text, '{');
        if (info) {
            snprintf(number, sizeof number, "%u", view->device->index);
            label(out, "index", number, ',');
            label(out, "model", view->device->model, ',');
            label(out, "pci_bus_id", view->device->pci_bus_id, ',');
            label(out, "simulated", view->device->simulated ? "true" : "false", ',');
        }
        break;
    case OF_MIG:
        snprintf(number, sizeof number, "%u", view->mig->device.gpu_index);
        label(out, "mig_uuid", view->mig->device.uuid, '{');
        label(out, "gpu", view->mig->device.parent_uuid, ',');
        label(out, "index", number, ',');
        label(out, "profile", view->mig->device.profile, ',');
        break;
    case OF_TENANT:
        label(out, "tenant", view->tenant->id, '{');
        if (info) {
            label(out, "qos", divvy_node_qos_name(view->tenant->qos), ',');
            label(out, "state", divvy_node_state_name(view->tenant->state), ',');
            label(out, "source", divvy_http_source_name(view->tenant->source), ',');
            label(out, "namespace", view->tenant->namespace, ',');
            label(out, "pod", view->tenant->pod, ',');
            label(out, "container", view->tenant->container, ',');
            workload_label(out, view->tenant->labels);
        }
        break;
    case OF_BINDING:
        label(out, "tenant", view->tenant->id, '{');
        label(out, "gpu", view->device ? view->device->uuid_text : NULL, ',');
        break;
    }
    divvy_http_buffer_add(out, "}");
}

static void sample(struct divvy_http_buffer *out, const struct metric *metric, const struct view *view) {
    double value = metric->value(view);

    if (isnan(value))
        return;
    divvy_http_buffer_add(out, metric->name);
    labels(out, metric, view);
    divvy_http_buffer_add(out, " ");
    divvy_http_buffer_number(out, value);
    divvy_http_buffer_add(out, "\n");
}

static void of_tenant(struct divvy_http_buffer *out, const struct metric *metric, struct view *view) {
    const struct divvy_metrics_figures *all = view->all;

    if (metric->scope == OF_TENANT) {
        sample(out, metric, view);
        return;
    }
    for (uint32_t i = 0; i < view->tenant->binding_count && i < DIVVY_NODE_DEVICES; i++) {
        view->binding = &view->tenant->bindings[i];
        view->device = view->binding->device < all->device_count ? &all->devices[view->binding->device] : NULL;
        sample(out, metric, view);
    }
}

char *divvy_metrics_render(const struct divvy_metrics_figures *figures, size_t *ret_length) {
    struct divvy_http_buffer out = {0};
    struct view view = {.all = figures, .health = figures->health};

    for (const struct metric *metric = metrics; metric < metrics + METRICS; metric++) {
        divvy_http_buffer_format(&out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name, metric->type);
        if (metric->scope == OF_NODE)
            sample(&out, metric, &view);
        for (size_t i = 0; metric->scope == OF_DEVICE && i < figures->device_count; i++) {
            view.device = &figures->devices[i];
            view.place = i;
            sample(&out, metric, &view);
        }
        for (size_t i = 0; metric->scope == OF_MIG && i < figures->mig_count; i++) {
            view.mig = &figures->mig[i];
            if (view.mig->device.is_mig)
                sample(&out, metric, &view);
        }
        for (size_t i = 0; metric->scope >= OF_TENANT && i < figures->tenant_count; i++) {
            view.tenant = &figures->tenants[i];
            of_tenant(&out, metric, &view);
        }
    }
    return divvy_http_buffer_take(&out, ret_length);
}
