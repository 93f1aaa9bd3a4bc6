/* The thread that writes the file of metrics, and the file's rotation. */
#include "daemon/http/metrics_file.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct divvy_metrics_file {
    struct divvy_daemon *daemon;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool is_stopping, has_thread;
    pthread_t thread;
    uint64_t version;        /* of the settings */
    char path[PATH_MAX - 8]; /* empty: no file */
    char pool[DIVVY_NODE_ID_BYTES];
    int64_t interval_ns;
    bool is_json;
    json_t *labels; /* NULL: none; others hold references while they use it */
    uint64_t event; /* the newest that a line was written for; the thread's */
    json_t *(*workers)(void *data);
    void *workers_data;
    int fd;
};

static int file_open(const char *path, struct divvy_error *error) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    struct stat status;

    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "metrics file %s cannot be opened", path);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        divvy_cleanup_close(&fd);
        return divvy_error_set(error, -EINVAL, "metrics file %s is not a regular file", path);
    }
    return fd;
}

/* Whether lines have this tag anyhow, or another label has it. */
static bool tag_is_taken(const json_t *labels, const char *label, const char *name) {
    static const char *const own[] = {"uuid", "node", "pool", "pod_name", "namespace", "workload", "worker"};
    const char *other;
    json_t *value;

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(own[i], name) == 0)
            return true;
    json_object_foreach((json_t *)(uintptr_t)labels, other, value)
        if (strcmp(other, label) != 0 && strcmp(json_string_value(value) ? json_string_value(value) : "", name) == 0)
            return true;
    return false;
}

int divvy_metrics_labels_read(const char *labels, json_t **ret_labels, struct divvy_error *error) {
    json_t *json, *value;
    const char *key;
    int result = 0;

    *ret_labels = NULL;
    if (!labels || !*labels || strcmp(labels, "null") == 0)
        return 0;
    json = json_loads(labels, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json))
        result = divvy_error_set(error, -EINVAL, "metrics labels are not a JSON object of pod label to tag name");
    json_object_foreach(json, key, value) {
        if (!json_is_string(value) || json_string_length(value) == 0)
            result = divvy_error_set(error, -EINVAL, "metrics labels: '%.60s' has no tag name", key);
        else if (tag_is_taken(json, key, json_string_value(value)))
            result = divvy_error_set(error, -EINVAL, "metrics labels: the tag '%.60s' of '%.60s' is there already",
                                     json_string_value(value), key);
    }
    if (result == 0)
        *ret_labels = json;
    else
        json_decref(json);
    return result;
}

/* Takes over settings, with the file open. Lock held. */
static int settings_take(struct divvy_metrics_file *file, const struct divvy_metrics_file_settings *settings,
                         struct divvy_error *error) {
    const char *path = settings->path ? settings->path : "";
    json_t *labels;
    int fd = -1, result = divvy_metrics_labels_read(settings->labels, &labels, error);

    if (result == 0 && *path && settings->interval_ns < 10000000)
        result = divvy_error_set(error, -EINVAL, "the interval of metrics is below 10 ms");
    if (result == 0 && strlen(path) >= sizeof file->path)
        result = divvy_error_set(error, -ENAMETOOLONG, "the path of the metrics file is too long");
    if (result == 0 && *path && (fd = file_open(path, error)) < 0)
        result = fd;
    if (result < 0) {
        json_decref(labels);
        return result;
    }
    json_decref(file->labels);
    file->labels = labels;
    divvy_cleanup_close(&file->fd);
    file->fd = fd;
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(file->pool, sizeof file->pool, "%s", settings->pool && *settings->pool ? settings->pool : "unknown");
    file->interval_ns = settings->interval_ns;
    file->is_json = settings->is_json;
    file->version++;
    return 0;
}

/* PATH becomes PATH.1, PATH.1 PATH.2 and so on; the last is dropped. */
static void rotate(const char *path) {
    char from[PATH_MAX], to[PATH_MAX];

    for (unsigned i = DIVVY_METRICS_FILE_KEPT - 1; i > 0; i--) {
        snprintf(from, sizeof from, i > 1 ? "%s.%u" : "%s", path, i - 1);
        snprintf(to, sizeof to, "%s.%u", path, i);
        if (rename(from, to) != 0 && errno != ENOENT)
            divvy_log_warn("metrics file %s cannot be renamed: %s", from, strerror(errno));
    }
}

/* Rotated when it is full; opened anew when somebody else has moved it away. Lock held. */
static int file_ready(struct divvy_metrics_file *file, size_t length, struct divvy_error *error) {
    struct stat ours, named;
    int fd;

    if (file->fd >= 0 && fstat(file->fd, &ours) == 0 && stat(file->path, &named) == 0 && ours.st_ino == named.st_ino &&
        ours.st_dev == named.st_dev) {
        if (ours.st_size == 0 || ours.st_size + (off_t)length <= DIVVY_METRICS_FILE_BYTES)
            return 0;
        rotate(file->path);
    }
    fd = file_open(file->path, error);
    if (fd < 0)
        return fd;
    divvy_cleanup_close(&file->fd);
    file->fd = fd;
    return 0;
}

static void file_write(struct divvy_metrics_file *file, const char *text, size_t length) {
    struct divvy_error error = {0};

    if (file_ready(file, length, &error) < 0) {
        divvy_log_warn("%s", error.text);
        return;
    }
    while (length > 0) {
        ssize_t written = write(file->fd, text, length);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            divvy_log_warn("metrics file %s cannot be written: %s", file->path, strerror(errno));
            return;
        }
        text += written;
        length -= (size_t)written;
    }
}

/* Since the last time; the newest DIVVY_NODE_EVENTS where there were more. */
static size_t events_take(struct divvy_metrics_file *file, struct divvy_node_event **ret_events) {
    struct divvy_node_event *events = malloc(DIVVY_NODE_EVENTS * sizeof *events);
    uint32_t count = events ? divvy_daemon_events(file->daemon, file->event, 0, events, DIVVY_NODE_EVENTS) : 0;

    if (count > 0)
        file->event = events[count - 1].number;
    *ret_events = events;
    return count;
}

static void measure(struct divvy_metrics_file *file, bool is_json, const char *pool, const json_t *labels, char **ret_text,
                    size_t *ret_length) {
    struct divvy_node_device *devices = NULL;
    struct divvy_node_tenant *tenants = NULL;
    struct divvy_node_event *events = NULL;
    struct divvy_metrics_lines lines = {.pool = pool, .is_json = is_json, .labels = labels};
    json_t *workers = file->workers ? file->workers(file->workers_data) : NULL;
    struct timespec now;

    *ret_text = NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    lines.realtime_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    lines.node = divvy_daemon_settings(file->daemon)->node;
    if (divvy_daemon_devices(file->daemon, &devices, &lines.device_count) == 0 &&
        divvy_daemon_tenants(file->daemon, &tenants, &lines.tenant_count) == 0) {
        lines.devices = devices;
        lines.tenants = tenants;
        lines.workers = workers;
        lines.event_count = events_take(file, &events);
        lines.events = events;
        *ret_text = divvy_metrics_lines_render(&lines, ret_length);
    }
    json_decref(workers);
    free(devices);
    free(tenants);
    free(events);
}

static struct timespec later(struct timespec time, int64_t ns) {
    time.tv_sec += (time_t)(ns / 1000000000);
    time.tv_nsec += ns % 1000000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

static void *file_main(void *argument) {
    struct divvy_metrics_file *file = argument;
    struct timespec now, next;
    uint64_t version = 0;

    pthread_mutex_lock(&file->lock);
    clock_gettime(CLOCK_MONOTONIC, &next);
    while (!file->is_stopping) {
        char pool[sizeof file->pool], *text;
        bool is_json = file->is_json;
        json_t *labels;
        size_t length = 0;

        clock_gettime(CLOCK_MONOTONIC, &now);
        if (version != file->version) {
            version = file->version;
            next = later(now, file->interval_ns);
        }
        if (!file->path[0]) {
            pthread_cond_wait(&file->change, &file->lock);
            continue;
        }
        if (now.tv_sec < next.tv_sec || (now.tv_sec == next.tv_sec && now.tv_nsec < next.tv_nsec)) {
            pthread_cond_timedwait(&file->change, &file->lock, &next);
            continue;
        }
        next = later(now, file->interval_ns);
        memcpy(pool, file->pool, sizeof pool);
        labels = json_incref(file->labels);
        pthread_mutex_unlock(&file->lock);
        measure(file, is_json, pool, labels, &text, &length);
        pthread_mutex_lock(&file->lock);
        json_decref(labels);
        if (text && length > 0 && version == file->version)
            file_write(file, text, length);
        free(text);
    }
    pthread_mutex_unlock(&file->lock);
    return NULL;
}

int divvy_metrics_file_start(struct divvy_daemon *daemon, const struct divvy_metrics_file_settings *settings,
                             struct divvy_metrics_file **ret_file, struct divvy_error *error) {
    struct divvy_metrics_file *file = calloc(1, sizeof *file);
    pthread_condattr_t attributes;
    sigset_t all, kept;
    int result;

    if (!file)
        return divvy_error_set(error, -ENOMEM, "out of memory");
    file->daemon = daemon;
    file->workers = settings->workers;
    file->workers_data = settings->workers_data;
    file->fd = -1;
    pthread_mutex_init(&file->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&file->change, &attributes);
    pthread_condattr_destroy(&attributes);
    result = settings_take(file, settings, error);
    if (result == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &kept);
        result = -pthread_create(&file->thread, NULL, file_main, file);
        pthread_sigmask(SIG_SETMASK, &kept, NULL);
        file->has_thread = result == 0;
        if (result < 0)
            divvy_error_set_errno(error, result, "the thread of metrics cannot be made");
    }
    if (result < 0) {
        divvy_metrics_file_stop(file);
        return result;
    }
    *ret_file = file;
    return 0;
}

int divvy_metrics_file_reload(struct divvy_metrics_file *file, const struct divvy_metrics_file_settings *settings,
                              struct divvy_error *error) {
    int result;

    pthread_mutex_lock(&file->lock);
    result = settings_take(file, settings, error);
    pthread_cond_signal(&file->change);
    pthread_mutex_unlock(&file->lock);
    return result;
}

void divvy_metrics_file_stop(struct divvy_metrics_file *file) {
    if (!file)
        return;
    if (file->has_thread) {
        pthread_mutex_lock(&file->lock);
        file->is_stopping = true;
        pthread_cond_signal(&file->change);
        pthread_mutex_unlock(&file->lock);
        pthread_join(file->thread, NULL);
    }
    json_decref(file->labels);
    divvy_cleanup_close(&file->fd);
    pthread_cond_destroy(&file->change);
    pthread_mutex_destroy(&file->lock);
    free(file);
}
