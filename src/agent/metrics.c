/* Figures for the platform: see metrics.h. */
#include "agent/metrics.h"

#include "accel/accel.h"
#include "agent/config.h"
#include "agent/gpus.h"
#include "base/log.h"
#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STUCK_NS (2 * DIVVY_NS_PER_SECOND) /* how long its end is waited for */

struct divvy_agent_metrics {
    char *library;
    uint64_t every_ns;
    void (*ready)(void *data);
    void *data;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool must_end, has_ended; /* under the lock, as all below */
    json_t *body;
    /* The thread's own. */
    struct divvy_accel *accel;
    uint64_t busy, total; /* ticks of all processors at the last reading */
};

/* ---- the machine ---- */

/* Percent of all processors since the last reading; negative: not known. */
static double cpu_read(struct divvy_agent_metrics *metrics) {
    char text[512] = "";
    uint64_t ticks[8] = {0}, total = 0, idle, before_total = metrics->total,
             before_busy = metrics->busy;

    /* Its first line is enough; the rest may well not fit. */
    (void)divvy_core_sys_read_file("/proc/stat", text, sizeof text);
    text[sizeof text - 1] = '\0';
    if (sscanf(text,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6],
               &ticks[7]) < 5)
        return -1;
    for (size_t i = 0; i < 8; i++)
        total += ticks[i];
    idle = ticks[3] + ticks[4];
    metrics->total = total;
    metrics->busy = total - idle;
    if (before_total == 0 || total <= before_total)
        return -1;
    return 100.0 * (double)(metrics->busy - before_busy) / (double)(total - before_total);
}

/* A line of /proc/meminfo in MiB; 0: not there. */
static uint64_t memory_line(const char *text, const char *name) {
    const char *at = strstr(text, name);
    uint64_t kib = 0;

    return at && sscanf(at + strlen(name), ": %" SCNu64, &kib) == 1 ? kib >> 10 : 0;
}

static json_t *system_read(struct divvy_agent_metrics *metrics) {
    char text[8192] = "";
    double cpu = cpu_read(metrics);
    json_t *value = json_object();
    uint64_t total, available;

    (void)divvy_core_sys_read_file("/proc/meminfo", text, sizeof text);
    text[sizeof text - 1] = '\0';
    total = memory_line(text, "MemTotal");
    available = memory_line(text, "MemAvailable");
    if (cpu >= 0)
        (void)json_object_set_new(value, "cpu_usage", json_real(cpu));
    if (total > 0 && available <= total) {
        (void)json_object_set_new(value, "memory_used_mb",
                                  json_integer((json_int_t)(total - available)));
        (void)json_object_set_new(value, "memory_total_mb", json_integer((json_int_t)total));
    }
    return value;
}

/* ---- its GPUs ---- */

static void lower(char *text) {
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static json_t *gpu_pack(const struct divvy_accel_device *device,
                        const struct divvy_accel_metrics *figures) {
    char id[DIVVY_ACCEL_NAME_BYTES];

    memcpy(id, device->uuid, sizeof id);
    lower(id);
    return json_pack("{s:s, s:f, s:I, s:I, s:f, s:f, s:I, s:I}", "gpu_id", id, "utilization",
                     (double)figures->utilization_percent, "vram_used_mb",
                     (json_int_t)(figures->memory_used_bytes >> 20), "vram_total_mb",
                     (json_int_t)(device->memory_bytes >> 20), "temperature",
                     figures->temperature_celsius, "power_usage_w", figures->power_watts,
                     "pcie_rx_kb", (json_int_t)(figures->pcie_rx_bytes >> 10), "pcie_tx_kb",
                     (json_int_t)(figures->pcie_tx_bytes >> 10));
}

static json_t *gpus_read(struct divvy_agent_metrics *metrics) {
    const char *uuids[DIVVY_AGENT_GPUS_MAX];
    struct divvy_accel_devices devices;
    struct divvy_accel_metrics_list list;
    struct divvy_error error;
    json_t *gpus = json_array();
    size_t count = 0;

    if (!metrics->accel || divvy_accel_devices_get(metrics->accel, &devices, &error) < 0)
        return gpus;
    for (; count < devices.count && count < DIVVY_AGENT_GPUS_MAX; count++)
        uuids[count] = devices.devices[count].uuid;
    if (count > 0 && divvy_accel_metrics_get(metrics->accel, uuids, count, &list, &error) == 0) {
        for (size_t i = 0; i < list.count; i++)
            if (list.metrics[i].status == 0)
                (void)json_array_append_new(gpus, gpu_pack(&devices.devices[i], &list.metrics[i]));
        divvy_accel_metrics_free(&list);
    }
    divvy_accel_devices_free(&devices);
    return gpus;
}

static void library_open(struct divvy_agent_metrics *metrics) {
    const struct divvy_accel_settings settings = {.path = metrics->library, .discovery_only = true};
    struct divvy_error error = {0};
    unsigned int count;

    if (!divvy_agent_gpus_mocked(&count) &&
        divvy_accel_open(&settings, &metrics->accel, &error) < 0)
        divvy_log_debug("no figures of GPUs: %s", error.text);
}

/* ---- the thread ---- */

/* Waits until it is time again, or for the end of all; true for the latter. The lock is held. */
static bool time_wait(struct divvy_agent_metrics *metrics) {
    struct timespec until = divvy_core_clock_timespec(divvy_core_clock_ns() + metrics->every_ns);

    while (!metrics->must_end)
        if (pthread_cond_timedwait(&metrics->changed, &metrics->lock, &until) == ETIMEDOUT)
            break;
    return metrics->must_end;
}

static void *thread_run(void *data) {
    struct divvy_agent_metrics *metrics = data;

    library_open(metrics);
    (void)cpu_read(metrics);
    (void)pthread_mutex_lock(&metrics->lock);
    while (!time_wait(metrics)) {
        char now[DIVVY_AGENT_TIME_BYTES];
        json_t *body;

        (void)pthread_mutex_unlock(&metrics->lock);
        divvy_agent_time_format((int64_t)time(NULL), now);
        body = json_pack("{s:s, s:o, s:o}", "timestamp", now, "system", system_read(metrics),
                         "gpus", gpus_read(metrics));
        (void)pthread_mutex_lock(&metrics->lock);
        json_decref(metrics->body);
        metrics->body = body;
        metrics->ready(metrics->data);
    }
    metrics->has_ended = true;
    (void)pthread_cond_broadcast(&metrics->changed);
    (void)pthread_mutex_unlock(&metrics->lock);
    return NULL;
}

struct divvy_agent_metrics *divvy_agent_metrics_new(const char *library, uint64_t every_ns,
                                                    void (*ready)(void *data), void *data) {
    struct divvy_agent_metrics *metrics = calloc(1, sizeof *metrics);
    pthread_condattr_t attributes;

    if (!metrics)
        return NULL;
    metrics->every_ns = every_ns;
    metrics->ready = ready;
    metrics->data = data;
    metrics->library = library ? strdup(library) : NULL;
    (void)pthread_mutex_init(&metrics->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&metrics->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_create(&metrics->thread, NULL, thread_run, metrics) != 0) {
        free(metrics->library);
        free(metrics);
        return NULL;
    }
    return metrics;
}

json_t *divvy_agent_metrics_take(struct divvy_agent_metrics *metrics) {
    json_t *body;

    (void)pthread_mutex_lock(&metrics->lock);
    body = metrics->body;
    metrics->body = NULL;
    (void)pthread_mutex_unlock(&metrics->lock);
    return body;
}

void divvy_agent_metrics_free(struct divvy_agent_metrics *metrics) {
    struct timespec until = divvy_core_clock_timespec(divvy_core_clock_ns() + STUCK_NS);
    bool has_ended;

    if (!metrics)
        return;
    (void)pthread_mutex_lock(&metrics->lock);
    metrics->must_end = true;
    (void)pthread_cond_broadcast(&metrics->changed);
    while (!metrics->has_ended &&
           pthread_cond_timedwait(&metrics->changed, &metrics->lock, &until) != ETIMEDOUT)
        ;
    has_ended = metrics->has_ended;
    (void)pthread_mutex_unlock(&metrics->lock);
    if (!has_ended) {
        /* It uses all of this still; the program is about to end. */
        (void)pthread_detach(metrics->thread);
        return;
    }
    (void)pthread_join(metrics->thread, NULL);
    divvy_accel_close(metrics->accel);
    json_decref(metrics->body);
    free(metrics->library);
    (void)pthread_cond_destroy(&metrics->changed);
    (void)pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}
