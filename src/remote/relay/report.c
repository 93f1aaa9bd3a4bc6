/* Metrics, health and connections: see report.h. */
#include "remote/relay/report.h"

#include "remote/relay/channel.h"
#include "remote/relay/ring.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int json_append(json_t *value, struct divvy_relay_bytes *out) {
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    int status = text ? divvy_relay_bytes_append(out, text, strlen(text)) : -ENOMEM;

    free(text);
    json_decref(value);
    return status < 0 ? status : divvy_relay_bytes_append(out, "\n", 1);
}

static uint64_t uptime_ns(const struct divvy_relay *relay) {
    return divvy_core_clock_ns() - relay->started_ns;
}

static double utilisation(const struct divvy_relay *relay, uint64_t used_ns) {
    uint64_t up_ns = uptime_ns(relay);

    return up_ns ? (double)used_ns / (double)up_ns : 0;
}

static json_t *vm_json(const struct divvy_relay_vm *vm) {
    const struct divvy_relay *relay = vm->relay;
    const struct divvy_node_vmq_params *params = &vm->config.params;
    const char pool[2] = {(char)('A' + params->pool)};
    struct divvy_node_vmq_stats s;

    if (divvy_node_vmq_stats(relay->vmq, vm->number, &s) < 0)
        return NULL;
    return json_pack("{s:I, s:s, s:b, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:f}", "vm_id",
                     (json_int_t)vm->config.vm_id, "name", vm->config.name, "registered", !vm->is_unregistered, "pool", pool,
                     "priority", (int)params->priority, "weight", (int)params->weight, "jobs", (json_int_t)s.jobs, "errors",
                     (json_int_t)s.errors, "rejected", (json_int_t)s.rejected, "used_ns", (json_int_t)s.used_ns, "queued",
                     (int)s.queued, "running", (int)s.running, "p50_us", (int)s.p50_us, "p95_us", (int)s.p95_us, "p99_us",
                     (int)s.p99_us, "faults", (int)s.faults, "quarantined", (int)s.quarantined, "utilisation",
                     utilisation(relay, s.used_ns));
}

int divvy_relay_report_metrics(const struct divvy_relay *relay, struct divvy_relay_bytes *out) {
    struct divvy_node_vmq_totals t;
    json_t *vms = json_array();

    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++)
        if (relay->vms[i].is_used && json_array_append_new(vms, vm_json(&relay->vms[i])) < 0) {
            json_decref(vms);
            return -ENOMEM;
        }
    divvy_node_vmq_totals(relay->vmq, &t);
    return json_append(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:I, s:o}", "jobs", (json_int_t)t.jobs, "errors",
                                 (json_int_t)t.errors, "rejected", (json_int_t)t.rejected, "used_ns", (json_int_t)t.used_ns,
                                 "context_switches", (json_int_t)t.switches, "gpu_resets", (json_int_t)relay->resets, "queued",
                                 (int)t.queued, "running", (int)t.running, "uptime_ns", (json_int_t)uptime_ns(relay), "vms", vms),
                       out);
}

/* --- Prometheus ------------------------------------------------------------------------------------------------------- */

static int line(struct divvy_relay_bytes *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int line(struct divvy_relay_bytes *out, const char *format, ...) {
    char text[256];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return divvy_relay_bytes_append(out, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

struct row {
    const struct divvy_relay_vm *vm;
    struct divvy_node_vmq_stats stats;
};

static double of_jobs(const struct row *row) {
    return (double)row->stats.jobs;
}
static double of_errors(const struct row *row) {
    return (double)row->stats.errors;
}
static double of_rejected(const struct row *row) {
    return (double)row->stats.rejected;
}
static double of_seconds(const struct row *row) {
    return (double)row->stats.used_ns / 1e9;
}
static double of_p50(const struct row *row) {
    return row->stats.p50_us;
}
static double of_p95(const struct row *row) {
    return row->stats.p95_us;
}
static double of_p99(const struct row *row) {
    return row->stats.p99_us;
}
static double of_queued(const struct row *row) {
    return row->stats.queued;
}
static double of_utilisation(const struct row *row) {
    return utilisation(row->vm->relay, row->stats.used_ns);
}
static double of_quarantine(const struct row *row) {
    return row->stats.quarantined;
}

static const struct {
    const char *name, *kind, *about;
    double (*value)(const struct row *row);
} by_vm[] = {
    {"vgpu_vm_jobs_total", "counter", "Jobs taken into the queue.", of_jobs},
    {"vgpu_vm_errors_total", "counter", "Jobs that failed or ran beyond the limit.", of_errors},
    {"vgpu_vm_rejected_total", "counter", "Jobs refused by rate, queue or quarantine.", of_rejected},
    {"vgpu_vm_gpu_seconds_total", "counter", "Time that the VM's jobs ran at workers.", of_seconds},
    {"vgpu_vm_latency_p50_us", "gauge", "Median of waiting and running of the last 1000 jobs.", of_p50},
    {"vgpu_vm_latency_p95_us", "gauge", "95th percentile of the same.", of_p95},
    {"vgpu_vm_latency_p99_us", "gauge", "99th percentile of the same.", of_p99},
    {"vgpu_vm_queue_depth", "gauge", "Jobs that wait.", of_queued},
    {"vgpu_vm_utilisation_ratio", "gauge", "GPU time of the VM in parts of the relay's uptime.", of_utilisation},
    {"vgpu_vm_quarantined", "gauge", "1 while the VM is under quarantine.", of_quarantine},
};

static int head(struct divvy_relay_bytes *out, const char *name, const char *kind, const char *about) {
    return line(out, "# HELP %s %s\n# TYPE %s %s\n", name, about, name, kind);
}

static int vms_report(const struct divvy_relay *relay, struct divvy_relay_bytes *out) {
    int status = 0;

    for (size_t m = 0; m < sizeof by_vm / sizeof by_vm[0] && status == 0; m++) {
        status = head(out, by_vm[m].name, by_vm[m].kind, by_vm[m].about);
        for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX && status == 0; i++) {
            struct row row = {.vm = &relay->vms[i]};

            if (row.vm->is_used && divvy_node_vmq_stats(relay->vmq, i, &row.stats) == 0)
                status = line(out, "%s{vm_id=\"%u\",name=\"%s\"} %.9g\n", by_vm[m].name, row.vm->config.vm_id,
                              row.vm->config.name, by_vm[m].value(&row));
        }
    }
    return status;
}

int divvy_relay_report_prometheus(const struct divvy_relay *relay, struct divvy_relay_bytes *out) {
    struct divvy_node_vmq_totals t;
    int status = 0;

    divvy_node_vmq_totals(relay->vmq, &t);
    const struct {
        const char *name, *kind, *about;
        uint64_t value;
    } totals[] = {
        {"vgpu_jobs_total", "counter", "Jobs taken into the queues.", t.jobs},
        {"vgpu_errors_total", "counter", "Jobs that failed or ran beyond the limit.", t.errors},
        {"vgpu_rejected_total", "counter", "Jobs refused by rate, queue or quarantine.", t.rejected},
        {"vgpu_context_switches_total", "counter", "Jobs of another VM than the one before.", t.switches},
        {"vgpu_gpu_resets_total", "counter", "Workers that went and came back.", relay->resets},
        {"vgpu_queue_depth", "gauge", "Jobs that wait.", t.queued},
        {"vgpu_running", "gauge", "Jobs that run.", t.running},
    };

    for (size_t i = 0; i < sizeof totals / sizeof totals[0] && status == 0; i++) {
        status = head(out, totals[i].name, totals[i].kind, totals[i].about);
        if (status == 0)
            status = line(out, "%s %" PRIu64 "\n", totals[i].name, totals[i].value);
    }
    return status < 0 ? status : vms_report(relay, out);
}

/* --- health, connections ------------------------------------------------------------------------------------------------ */

int divvy_relay_report_health(const struct divvy_relay *relay, struct divvy_relay_bytes *out) {
    json_t *workers = json_array();
    uint32_t up = 0;

    for (uint32_t i = 0; i < relay->worker_count; i++) {
        const struct divvy_relay_worker *worker = &relay->workers[i];
        char pools[DIVVY_NODE_VMQ_POOLS + 1] = "";
        size_t count = 0;

        for (uint32_t pool = 0; pool < DIVVY_NODE_VMQ_POOLS; pool++)
            if (worker->pools & (1u << pool))
                pools[count++] = (char)('A' + pool);
        up += !worker->told_down;
        (void)json_array_append_new(workers, json_pack("{s:s, s:s, s:b, s:i}", "address", worker->endpoint.text, "pools", pools,
                                                       "reachable", (int)!worker->told_down, "running", (int)worker->running));
    }
    return json_append(json_pack("{s:b, s:I, s:o}", "healthy", up > 0, "uptime_s",
                                 (json_int_t)(uptime_ns(relay) / DIVVY_NS_PER_SECOND), "workers", workers),
                       out);
}

static json_t *connection_json(const struct divvy_relay_channel *c) {
    return json_pack("{s:I, s:s, s:I, s:I, s:I, s:s}", "vm_id", (json_int_t)c->vm->config.vm_id, "name", c->vm->config.name, "age_s",
                     (json_int_t)((divvy_core_clock_ns() - c->opened_ns) / DIVVY_NS_PER_SECOND), "rx_bytes",
                     (json_int_t)c->rx_bytes, "tx_bytes", (json_int_t)c->tx_bytes, "dialect",
                     c->tunnel || divvy_relay_ring_is_handed_over(c) ? "frames" :
                     c->dialect ? c->dialect->name :
                                  "none yet");
}

int divvy_relay_report_connections(const struct divvy_relay *relay, struct divvy_relay_bytes *out) {
    json_t *connections = json_array();

    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++)
        for (const struct divvy_relay_channel *c = relay->vms[i].is_used ? relay->vms[i].channels : NULL; c; c = c->next)
            if (json_array_append_new(connections, connection_json(c)) < 0) {
                json_decref(connections);
                return -ENOMEM;
            }
    return json_append(json_pack("{s:o}", "connections", connections), out);
}
