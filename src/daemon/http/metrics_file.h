/*
 * The file of metrics: one measurement of all devices and tenants every interval, as line protocol or as JSON lines, with the
 * names and types that hypervisors of TensorFusion write, and what happened to processes since the one before
 * (tf_scheduler_event, as vgpu.rs has it). What is unknown is left out, never written as 0.
 */
#ifndef DIVVY_DAEMON_HTTP_METRICS_FILE_H
#define DIVVY_DAEMON_HTTP_METRICS_FILE_H

#include "base/error.h"
#include "daemon/state.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_METRICS_FILE_BYTES INT64_C(100000000) /* then it is renamed to PATH.1, PATH.1 to PATH.2, … */
#define DIVVY_METRICS_FILE_KEPT  10u

/* Strings are borrowed for the time of the call. */
struct divvy_metrics_file_settings {
    const char *path; /* empty or NULL: no file */
    int64_t interval_ns;
    bool is_json;
    const char *labels; /* JSON object {pod label: tag name}, "null" or empty */
    const char *pool;   /* empty or NULL: "unknown" */
    /*
     * Workers that are no tenants, for whom others know what they use: an array of what divvy_single_usages_json tells, the caller's. NULL:
     * there are none such. Asked by the file's thread at each measurement; not changed by a reload.
     */
    json_t *(*workers)(void *data);
    void *workers_data;
};

struct divvy_metrics_file;

/*
 * The setting `labels` as an object, the caller's; NULL: there are none. -EINVAL: it is no object of label to tag, a tag stands
 * twice or is one that lines have anyhow.
 */
int divvy_metrics_labels_read(const char *labels, json_t **ret_labels, struct divvy_error *error);

/* 0, also without a path; -EINVAL labels or interval (below 10 ms); what open says of the path. */
int divvy_metrics_file_start(struct divvy_daemon *daemon, const struct divvy_metrics_file_settings *settings,
                             struct divvy_metrics_file **ret_file, struct divvy_error *error);
/* Other settings from here on, the path opened anew; on failure the old ones stay. */
int divvy_metrics_file_reload(struct divvy_metrics_file *file, const struct divvy_metrics_file_settings *settings,
                              struct divvy_error *error);
/* NULL is fine. */
void divvy_metrics_file_stop(struct divvy_metrics_file *file);

/*
 * The lines of one measurement, malloc'd; NULL when out of memory. Pure: times and figures come in.
 */
struct divvy_metrics_lines {
    const char *node, *pool;
    bool is_json;
    int64_t realtime_ns;
    const struct divvy_node_device *devices;
    size_t device_count;
    const struct divvy_node_tenant *tenants;
    size_t tenant_count;
    const json_t *workers; /* array, or NULL: see settings */
    const json_t *labels; /* {label of a pod: tag}, or NULL; checked by divvy_metrics_labels_read */
    const struct divvy_node_event *events; /* what happened since the measurement before; others than those of processes are passed over */
    size_t event_count;
};
char *divvy_metrics_lines_render(const struct divvy_metrics_lines *lines, size_t *ret_length);

#endif
