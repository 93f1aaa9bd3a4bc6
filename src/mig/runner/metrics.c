/* The text of /metrics: see metrics.h. */
#include "mig/runner/metrics.h"

#include "base/table.h"
#include "core/text.h"

#include <string.h>

/* Label values in their escaped form. */
struct labels {
    char instance[2 * DIVVY_RUNNER_LABEL_BYTES];
    char mig_uuid[2 * DIVVY_RUNNER_LABEL_BYTES];
    char profile[2 * DIVVY_RUNNER_LABEL_BYTES];
    char model_id[2 * DIVVY_RUNNER_LABEL_BYTES];
};

static void label_escape(const char *value, char ret_escaped[2 * DIVVY_RUNNER_LABEL_BYTES]) {
    char clean[DIVVY_RUNNER_LABEL_BYTES];
    size_t length = 0;

    /* A label that is not UTF-8 would spoil the whole scrape. */
    divvy_text_clean(value, clean, sizeof clean);
    for (const char *at = clean; *at; at++) {
        if (*at == '"' || *at == '\\')
            ret_escaped[length++] = '\\';
        ret_escaped[length++] = *at;
    }
    ret_escaped[length] = '\0';
}

static void head_add(divvy_core_text_t *text, const char *name, const char *type, const char *help) {
    divvy_core_text_format(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void figure_add(divvy_core_text_t *text, const struct labels *labels, const char *name, const char *type,
                       const char *help, uint64_t value) {
    if (value == DIVVY_RUNNER_UNKNOWN)
        return;
    head_add(text, name, type, help);
    divvy_core_text_format(text, "%s{instance=\"%s\"} %llu\n", name, labels->instance, (unsigned long long)value);
}

/* used of limit in percent, with four places. */
static void percent_add(divvy_core_text_t *text, const struct labels *labels, const char *name, const char *help,
                        uint64_t used, uint64_t limit) {
    unsigned __int128 scaled;

    if (used == DIVVY_RUNNER_UNKNOWN || limit == DIVVY_RUNNER_UNKNOWN || limit == 0)
        return;
    scaled = (unsigned __int128)used * 1000000 / limit;
    head_add(text, name, "gauge", help);
    divvy_core_text_format(text, "%s{instance=\"%s\"} %llu.%04llu\n", name, labels->instance,
                           (unsigned long long)(scaled / 10000), (unsigned long long)(scaled % 10000));
}

/* A bound in seconds as the seed's dashboards ask for it: no zeros at the end. */
static void bound_add(divvy_core_text_t *text, uint64_t bound_ns) {
    unsigned long long ms = bound_ns / 1000000;
    unsigned int places = 3;

    divvy_core_text_format(text, "%llu", ms / 1000);
    ms %= 1000;
    for (; ms > 0 && ms % 10 == 0; ms /= 10)
        places--;
    if (ms > 0 && places == 3)
        divvy_core_text_format(text, ".%03llu", ms);
    else if (ms > 0 && places == 2)
        divvy_core_text_format(text, ".%02llu", ms);
    else if (ms > 0)
        divvy_core_text_format(text, ".%llu", ms);
}

static void histogram_add(divvy_core_text_t *text, const struct labels *labels, const struct divvy_runner_latency *latency) {
    static const char name[] = "hypercore_infer_latency_seconds";
    uint64_t below = 0;

    head_add(text, name, "histogram", "How long inferences took.");
    for (size_t i = 0; i < DIVVY_RUNNER_BUCKETS; i++) {
        below += latency->buckets[i];
        divvy_core_text_format(text, "%s_bucket{instance=\"%s\",le=\"", name, labels->instance);
        bound_add(text, divvy_runner_bucket_ns[i]);
        divvy_core_text_format(text, "\"} %llu\n", (unsigned long long)below);
    }
    divvy_core_text_format(text, "%s_bucket{instance=\"%s\",le=\"+Inf\"} %llu\n", name, labels->instance,
                           (unsigned long long)latency->count);
    divvy_core_text_format(text, "%s_sum{instance=\"%s\"} %llu.%09llu\n", name, labels->instance,
                           (unsigned long long)(latency->sum_ns / 1000000000),
                           (unsigned long long)(latency->sum_ns % 1000000000));
    divvy_core_text_format(text, "%s_count{instance=\"%s\"} %llu\n", name, labels->instance,
                           (unsigned long long)latency->count);
}

static void quota_add(divvy_core_text_t *text, const struct labels *labels, uint64_t count) {
    static const char name[] = "hypercore_gpu_quota_exceeded_total";

    head_add(text, name, "counter", "Allocations of device memory refused because of the limit.");
    divvy_core_text_format(text, "%s{instance=\"%s\",mig_uuid=\"%s\"} %llu\n", name, labels->instance, labels->mig_uuid,
                           (unsigned long long)count);
}

static void info_add(divvy_core_text_t *text, const struct labels *labels) {
    static const char name[] = "hypercore_runner_info";

    head_add(text, name, "gauge", "What this runner runs, and on which slice.");
    divvy_core_text_format(text, "%s{instance=\"%s\",mig_uuid=\"%s\",profile=\"%s\",model_id=\"%s\"} 1\n", name,
                           labels->instance, labels->mig_uuid, labels->profile, labels->model_id);
}

size_t divvy_runner_metrics_render(const struct divvy_runner_figures *f, char *ret_text, size_t size_bytes) {
    struct labels labels;
    divvy_core_text_t text;

    label_escape(f->instance, labels.instance);
    label_escape(f->mig_uuid, labels.mig_uuid);
    label_escape(f->profile, labels.profile);
    label_escape(f->model_id, labels.model_id);
    divvy_core_text_init(&text, ret_text, size_bytes);
    quota_add(&text, &labels, f->quota_exceeded);
    histogram_add(&text, &labels, f->latency);
    figure_add(&text, &labels, "hypercore_model_restarts_total", "counter", "Times that the model was started again.",
               f->restarts);
    percent_add(&text, &labels, "hypercore_gpu_vram_utilization_percent", "Device memory in use, of the limit.",
                f->vram_used_bytes, f->vram_limit_bytes);
    percent_add(&text, &labels, "hypercore_gpu_cpu_mem_utilization_percent",
                "Host memory of the model's processes, of HYPERCORE_CPU_MEM_MB, or of the host's where that is not set.",
                f->memory_used_bytes, f->memory_limit_bytes);
    figure_add(&text, &labels, "hypercore_gpu_model_count", "gauge", "Models that run: 1 or 0.", f->is_running ? 1 : 0);
    figure_add(&text, &labels, "hypercore_gpu_model_requests_total", "counter", "Requests answered, and inferences told of.",
               f->requests);
    figure_add(&text, &labels, "hypercore_gpu_model_errors_total", "counter",
               "Of those, answers of status 500 and more, and errors told of.", f->errors);
    figure_add(&text, &labels, "hypercore_runner_observations_refused_total", "counter",
               "Lines at the latency socket that were none.", f->latency->refused);
    figure_add(&text, &labels, "hypercore_runner_proxy_refused_total", "counter",
               "Requests that the proxy did not pass on: no HTTP, or too slow.", f->proxy_refused);
    if (f->proxy_refused != DIVVY_RUNNER_UNKNOWN)
        figure_add(&text, &labels, "hypercore_runner_proxy_connections", "gauge", "Clients that are connected.",
                   f->proxy_connections);
    info_add(&text, &labels);
    return text.length;
}
