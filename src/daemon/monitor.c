/* The thread that watches the devices: see monitor.h. */
#include "daemon/monitor.h"

#include "base/log.h"
#include "core/clock.h"
#include "daemon/nvml.h"
#include "daemon/podfiles.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY        "libnvidia-ml.so.1"
#define RETRY_MIN_NS   ((int64_t)DIVVY_NS_PER_SECOND)
#define RETRY_MAX_NS   (60 * (int64_t)DIVVY_NS_PER_SECOND)
#define BEGIN_FACTOR   6 /* beginning takes longer than a sample: the driver may start each device */
#define SIGHTINGS_MAX  4096u
#define SAMPLE_SLACK_NS (10 * (int64_t)DIVVY_NS_PER_MS)
#define STOP_WAIT_NS   (2 * (int64_t)DIVVY_NS_PER_SECOND)

struct divvy_monitor {
    struct divvy_daemon *daemon;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows; never held during a call of the driver or of the state */
    pthread_cond_t wake, looked;
    bool stop;
    bool simulated;
    struct divvy_monitor_options options;
    char simulated_dir[PATH_MAX];
    uint64_t asked, answered; /* discoveries */
    int result;               /* of the last one: devices, or a negative errno */
    char text[DIVVY_ERROR_TEXT_BYTES];
    int64_t call_ns;          /* when the thread went into the driver, 0: it is not there */
    bool call_is_begin;
    bool hung_told;
    bool ended, abandoned;    /* the thread is through; it was left behind and frees everything itself */

    /* The thread's own. */
    struct divvy_nvml *nvml;
    uint64_t tick;
    size_t lost; /* devices, at the last sample */
    bool with_processes; /* they are asked for: at least as often as pod files have use for it */
    int64_t next_discovery_ns, next_sample_ns, retry_ns;
};

static int64_t now_ns(void) {
    return (int64_t)divvy_core_clock_ns();
}

/* --- the thread ----------------------------------------------------------------------------------------- */

static void call_mark(struct divvy_monitor *monitor, bool begins, bool is_begin) {
    bool was_hung;

    (void)pthread_mutex_lock(&monitor->lock);
    monitor->call_ns = begins ? now_ns() : 0;
    monitor->call_is_begin = is_begin;
    was_hung = monitor->hung_told && !begins;
    if (!begins)
        monitor->hung_told = false;
    (void)pthread_mutex_unlock(&monitor->lock);
    if (was_hung)
        divvy_log_info("the GPU driver answers again");
}

static int library_open(struct divvy_monitor *monitor, enum divvy_monitor_gpu gpu, struct divvy_error *error) {
    char path[PATH_MAX + sizeof LIBRARY + 1];
    int status = -ENODEV;

    if (gpu != DIVVY_MONITOR_GPU_SIM) {
        status = divvy_nvml_open(LIBRARY, &monitor->nvml, error);
        /* What is there but broken is no reason to simulate. */
        if (status == 0 || gpu == DIVVY_MONITOR_GPU_REAL || (status != -ENOENT && status != -ENODEV))
            return status;
    }
    if (!monitor->simulated_dir[0])
        return divvy_error_set(error, -ENOENT, "%s",
                               gpu == DIVVY_MONITOR_GPU_SIM ? "the simulated GPU is not installed"
                                                            : "no GPU driver is here, and the simulated GPU is not installed");
    if (gpu == DIVVY_MONITOR_GPU_AUTO)
        divvy_log_warn("no GPU is here (%s): the simulated GPU is used", error->text);
    (void)snprintf(path, sizeof path, "%s/" LIBRARY, monitor->simulated_dir);
    return divvy_nvml_open(path, &monitor->nvml, error);
}

/* Number of devices, or why there is none. */
static int discover(struct divvy_monitor *monitor, bool again, enum divvy_monitor_gpu gpu, struct divvy_error *error) {
    int status;

    call_mark(monitor, true, true);
    if (!monitor->nvml) {
        status = library_open(monitor, gpu, error);
        if (status == 0)
            status = divvy_nvml_discover(monitor->nvml, false, error);
    } else {
        status = divvy_nvml_discover(monitor->nvml, again, error);
    }
    call_mark(monitor, false, true);
    return status;
}

/*
 * Whether divvy_monitor_stop was called: a thread that came back from a hanging driver after that must not touch the state any
 * more.
 */
static bool is_stopped(struct divvy_monitor *monitor) {
    bool stop;

    (void)pthread_mutex_lock(&monitor->lock);
    stop = monitor->stop;
    (void)pthread_mutex_unlock(&monitor->lock);
    return stop;
}

static void hand_over(struct divvy_monitor *monitor, const struct divvy_node_device *devices, size_t count) {
    if (!is_stopped(monitor))
        divvy_daemon_devices_seen(monitor->daemon, devices, count);
}

/* What processes use, where somebody wants to know. */
static void processes_sample(struct divvy_monitor *monitor) {
    static struct divvy_node_sighting sightings[SIGHTINGS_MAX]; /* of the one monitor of a daemon */
    size_t count;

    monitor->with_processes = divvy_daemon_processes_wanted(monitor->daemon);
    if (!monitor->with_processes)
        return;
    call_mark(monitor, true, false);
    count = divvy_nvml_processes(monitor->nvml, sightings, SIGHTINGS_MAX);
    call_mark(monitor, false, false);
    if (!is_stopped(monitor))
        divvy_daemon_processes_seen(monitor->daemon, sightings, count);
}

/* Reads and hands over. How many devices are lost. */
static size_t sample(struct divvy_monitor *monitor) {
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    size_t count, lost;

    call_mark(monitor, true, false);
    count = divvy_nvml_sample(monitor->nvml, monitor->tick++, devices, &lost);
    call_mark(monitor, false, false);
    hand_over(monitor, devices, count);
    if (lost > monitor->lost)
        divvy_log_error("%zu of %zu devices lost: the driver does not reach them", lost, count);
    else if (lost < monitor->lost)
        divvy_log_info("%zu of %zu devices lost, %zu before", lost, count, monitor->lost);
    monitor->lost = lost;
    return lost;
}

static void result_tell(struct divvy_monitor *monitor, int status, const struct divvy_error *error, uint64_t asked) {
    bool changed;

    (void)pthread_mutex_lock(&monitor->lock);
    changed = monitor->answered == 0 || (status < 0) != (monitor->result < 0);
    monitor->result = status;
    monitor->answered = asked > monitor->answered ? asked : monitor->answered;
    monitor->simulated = monitor->nvml && divvy_nvml_is_simulated(monitor->nvml);
    (void)snprintf(monitor->text, sizeof monitor->text, "%s", status < 0 ? error->text : "");
    (void)pthread_cond_broadcast(&monitor->looked);
    (void)pthread_mutex_unlock(&monitor->lock);
    if (changed && status < 0)
        divvy_log_error("no device: %s", error->text);
    else if (changed)
        divvy_log_info("%d device%s", status, status == 1 ? "" : "s");
}

/* A look at the devices, by discovery where that is due. */
static void look(struct divvy_monitor *monitor, const struct divvy_monitor_options *options, uint64_t asked, bool wanted) {
    struct divvy_error error = {0, ""};
    bool is_due = wanted || !monitor->nvml || now_ns() >= monitor->next_discovery_ns;
    int status = 0;
    size_t lost = 0;

    if (is_due) {
        /* Lost ones, and new ones, are only shown by an NVML that begins anew. */
        status = discover(monitor, wanted || monitor->retry_ns > 0, options->gpu, &error);
        monitor->next_discovery_ns = now_ns() + options->discovery_interval_ns;
    }
    if (monitor->nvml)
        lost = sample(monitor);
    else
        hand_over(monitor, NULL, 0);
    monitor->next_sample_ns = now_ns() + options->sample_interval_ns;
    if (status >= 0 && lost == 0) {
        monitor->retry_ns = 0;
    } else if (is_due || monitor->retry_ns == 0) {
        monitor->retry_ns = monitor->retry_ns == 0 ? RETRY_MIN_NS : monitor->retry_ns * 2;
        if (monitor->retry_ns > RETRY_MAX_NS)
            monitor->retry_ns = RETRY_MAX_NS;
        monitor->next_discovery_ns = now_ns() + monitor->retry_ns;
    }
    if (is_due)
        result_tell(monitor, status, &error, asked);
}

static void monitor_free(struct divvy_monitor *monitor) {
    (void)pthread_cond_destroy(&monitor->looked);
    (void)pthread_cond_destroy(&monitor->wake);
    (void)pthread_mutex_destroy(&monitor->lock);
    free(monitor);
}

static void *monitor_run(void *data) {
    struct divvy_monitor *monitor = data;
    bool abandoned;

    (void)pthread_mutex_lock(&monitor->lock);
    while (!monitor->stop) {
        struct divvy_monitor_options options = monitor->options;
        uint64_t asked = monitor->asked;
        bool wanted = asked != monitor->answered;
        struct timespec until;

        (void)pthread_mutex_unlock(&monitor->lock);
        /* What processes use is wanted twice a second where there are pods; the rest no more often than ever. */
        if (wanted || !monitor->nvml || now_ns() >= monitor->next_sample_ns - SAMPLE_SLACK_NS)
            look(monitor, &options, asked, wanted);
        if (monitor->nvml && !is_stopped(monitor))
            processes_sample(monitor);
        if (monitor->with_processes && options.sample_interval_ns > DIVVY_PODFILES_TURN_NS)
            options.sample_interval_ns = DIVVY_PODFILES_TURN_NS;
        until = divvy_core_clock_timespec(
            (uint64_t)now_ns() +
            (uint64_t)(monitor->nvml || monitor->retry_ns == 0 ? options.sample_interval_ns : monitor->retry_ns));
        (void)pthread_mutex_lock(&monitor->lock);
        while (!monitor->stop && monitor->asked == monitor->answered &&
               pthread_cond_timedwait(&monitor->wake, &monitor->lock, &until) != ETIMEDOUT)
            ;
    }
    (void)pthread_mutex_unlock(&monitor->lock);
    call_mark(monitor, true, false);
    divvy_nvml_close(monitor->nvml);
    call_mark(monitor, false, false);
    (void)pthread_mutex_lock(&monitor->lock);
    monitor->ended = true;
    (void)pthread_cond_broadcast(&monitor->looked);
    abandoned = monitor->abandoned;
    (void)pthread_mutex_unlock(&monitor->lock);
    if (abandoned)
        monitor_free(monitor);
    return NULL;
}

/* --- others ----------------------------------------------------------------------------------------------- */

static struct divvy_monitor *monitor_new(struct divvy_daemon *daemon, const struct divvy_monitor_options *options) {
    struct divvy_monitor *monitor = calloc(1, sizeof *monitor);
    pthread_condattr_t attributes;

    if (!monitor)
        return NULL;
    monitor->daemon = daemon;
    monitor->options = *options;
    (void)snprintf(monitor->simulated_dir, sizeof monitor->simulated_dir, "%s",
                   options->simulated_dir ? options->simulated_dir : "");
    monitor->options.simulated_dir = monitor->simulated_dir;
    monitor->asked = 1;
    (void)pthread_mutex_init(&monitor->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&monitor->wake, &attributes);
    (void)pthread_cond_init(&monitor->looked, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return monitor;
}

/* Waits until discovery number `asked` is answered. */
static int answer_wait(struct divvy_monitor *monitor, uint64_t asked, int64_t wait_ns, struct divvy_error *error) {
    struct timespec until = divvy_core_clock_timespec((uint64_t)(now_ns() + wait_ns));
    int status = 0;

    (void)pthread_mutex_lock(&monitor->lock);
    while (monitor->answered < asked && status != ETIMEDOUT)
        status = pthread_cond_timedwait(&monitor->looked, &monitor->lock, &until);
    if (monitor->answered < asked)
        status = divvy_error_set(error, -ETIMEDOUT, "the GPU driver has not answered yet");
    else if (monitor->result < 0)
        status = divvy_error_set(error, monitor->result, "%s", monitor->text);
    else
        status = monitor->result;
    (void)pthread_mutex_unlock(&monitor->lock);
    return status;
}

int divvy_monitor_start(struct divvy_daemon *daemon, const struct divvy_monitor_options *options, int64_t wait_ns,
                        struct divvy_monitor **ret_monitor, struct divvy_error *error) {
    struct divvy_monitor *monitor = monitor_new(daemon, options);
    int status;

    if (!monitor)
        return divvy_error_set_errno(error, -ENOMEM, "cannot watch devices");
    status = pthread_create(&monitor->thread, NULL, monitor_run, monitor);
    if (status != 0) {
        monitor_free(monitor);
        return divvy_error_set_errno(error, -status, "cannot watch devices");
    }
    (void)pthread_setname_np(monitor->thread, "monitor");
    (void)answer_wait(monitor, 1, wait_ns, error);
    *ret_monitor = monitor;
    return 0;
}

int divvy_monitor_discover(struct divvy_monitor *monitor, int64_t wait_ns, struct divvy_error *error) {
    uint64_t asked;

    (void)pthread_mutex_lock(&monitor->lock);
    asked = ++monitor->asked;
    (void)pthread_cond_signal(&monitor->wake);
    (void)pthread_mutex_unlock(&monitor->lock);
    return answer_wait(monitor, asked, wait_ns, error);
}

void divvy_monitor_reload(struct divvy_monitor *monitor, const struct divvy_monitor_options *options) {
    (void)pthread_mutex_lock(&monitor->lock);
    monitor->options.sample_interval_ns = options->sample_interval_ns;
    monitor->options.discovery_interval_ns = options->discovery_interval_ns;
    monitor->options.hang_ns = options->hang_ns;
    (void)pthread_cond_signal(&monitor->wake);
    (void)pthread_mutex_unlock(&monitor->lock);
}

bool divvy_monitor_check(struct divvy_monitor *monitor) {
    int64_t limit_ns, since_ns;
    bool hangs, tell;

    (void)pthread_mutex_lock(&monitor->lock);
    limit_ns = monitor->options.hang_ns * (monitor->call_is_begin ? BEGIN_FACTOR : 1);
    since_ns = monitor->call_ns ? now_ns() - monitor->call_ns : 0;
    hangs = since_ns > limit_ns;
    tell = hangs && !monitor->hung_told;
    if (tell)
        monitor->hung_told = true;
    (void)pthread_mutex_unlock(&monitor->lock);
    if (tell) {
        divvy_log_error("the GPU driver has not answered for %lld s: devices count as unhealthy",
                        (long long)(since_ns / (int64_t)DIVVY_NS_PER_SECOND));
        divvy_daemon_devices_seen(monitor->daemon, NULL, 0);
    }
    return hangs;
}

bool divvy_monitor_is_simulated(const struct divvy_monitor *monitor) {
    struct divvy_monitor *own = (struct divvy_monitor *)monitor;
    bool simulated;

    (void)pthread_mutex_lock(&own->lock);
    simulated = own->simulated;
    (void)pthread_mutex_unlock(&own->lock);
    return simulated;
}

void divvy_monitor_stop(struct divvy_monitor *monitor) {
    struct timespec until = divvy_core_clock_timespec((uint64_t)(now_ns() + STOP_WAIT_NS));
    pthread_t thread;
    int status = 0;
    bool ended;

    if (!monitor)
        return;
    (void)pthread_mutex_lock(&monitor->lock);
    monitor->stop = true;
    (void)pthread_cond_signal(&monitor->wake);
    while (!monitor->ended && status != ETIMEDOUT)
        status = pthread_cond_timedwait(&monitor->looked, &monitor->lock, &until);
    ended = monitor->ended;
    monitor->abandoned = !ended;
    thread = monitor->thread;
    (void)pthread_mutex_unlock(&monitor->lock);
    if (ended) {
        (void)pthread_join(thread, NULL);
        monitor_free(monitor);
        return;
    }
    divvy_log_warn("the GPU driver does not answer: its thread is left behind");
    (void)pthread_detach(thread);
}
