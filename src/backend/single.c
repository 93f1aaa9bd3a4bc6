/* The backend of a node by itself: life, handlers and calls. See single.h. */
#include "backend/single.h"

#include "backend/single_inside.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MS          ((int64_t)DIVVY_NS_PER_MS)
#define SECOND      ((int64_t)DIVVY_NS_PER_SECOND)
#define LOOK_NS     (5 * SECOND) /* at the file, without being told of a change; a second where there is no watch */
#define CALL_NS     (2 * SECOND) /* that a call waits for what it has changed to be acted on */
#define PORT_FIRST  42352
#define LOG_BYTES   (UINT64_C(16) << 20)
#define LOG_FILES   2u

static int64_t now_ns(void) {
    return (int64_t)divvy_core_clock_ns();
}

/* --- making ------------------------------------------------------------------------------------------------------------------ */

/* A worker's process has changed: what is written of it is old. Under `lock`, from within a call on the processes. */
static void process_changed(void *data, const struct divvy_backend_process *process) {
    struct divvy_backend_single *single = data;
    struct divvy_backend_held *held = divvy_map_get(&single->by_uid, process->id);

    if (!held)
        return;
    held->unwritten = true;
    if (!single->write_ns)
        single->write_ns = now_ns() + 100 * MS;
    if (process->phase == DIVVY_NODE_LIFE_WAITING || process->phase == DIVVY_NODE_LIFE_RUNNING)
        divvy_backend_single_say(single, held, process->reason[0] ? process->reason : NULL);
}

static int processes_make(struct divvy_backend_single *single, struct divvy_error *error) {
    struct divvy_backend_process_options options = {.state_fd = single->options.state_fd,
                                                    .log_folder = single->log_folder,
                                                    .log_bytes = single->options.log_bytes,
                                                    .log_files = single->options.log_files,
                                                    .grace_ns = single->options.grace_ns,
                                                    .life = single->options.life,
                                                    .changed = process_changed,
                                                    .data = single};

    return divvy_backend_processes_new(&options, &single->processes, error);
}

static int open_all(struct divvy_backend_single *single, const struct divvy_backend_single_options *options, struct divvy_error *error) {
    int status;

    single->log_folder = strdup(options->log_folder);
    single->worker_binary = options->worker_binary ? strdup(options->worker_binary) : NULL;
    single->options.state_fd = fcntl(options->state_fd, F_DUPFD_CLOEXEC, 3);
    single->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!single->log_folder || (options->worker_binary && !single->worker_binary))
        return divvy_error_set_errno(error, -ENOMEM, "workers");
    if (single->options.state_fd < 0 || single->wake_fd < 0)
        return divvy_error_set_errno(error, -errno, "workers");
    status = divvy_backend_filestate_open(single->options.state_fd, DIVVY_BACKEND_WORKERS_FILE, DIVVY_BACKEND_WORKERS, &single->file, error);
    if (status == 0)
        status = divvy_backend_filestate_open(single->options.state_fd, DIVVY_BACKEND_WORKERS_FILE, DIVVY_BACKEND_WORKERS, &single->changes,
                                              error);
    return status == 0 ? processes_make(single, error) : status;
}

int divvy_backend_single_new(const struct divvy_backend_single_options *options, struct divvy_backend_single **ret_single,
                             struct divvy_error *error) {
    struct divvy_backend_single *single = calloc(1, sizeof *single);
    pthread_mutexattr_t recursive;
    pthread_condattr_t monotonic;
    int status;

    if (!single)
        return divvy_error_set_errno(error, -ENOMEM, "workers");
    single->options = *options;
    if (!single->options.port_first)
        single->options.port_first = PORT_FIRST;
    if (!single->options.log_bytes)
        single->options.log_bytes = LOG_BYTES;
    if (!single->options.log_files)
        single->options.log_files = LOG_FILES;
    single->options.state_fd = single->wake_fd = -1;
    (void)pthread_mutexattr_init(&recursive);
    (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&single->turn, &recursive);
    (void)pthread_mutexattr_destroy(&recursive);
    (void)pthread_mutex_init(&single->lock, NULL);
    (void)pthread_mutex_init(&single->writing, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&single->settled, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    status = open_all(single, options, error);
    if (status < 0) {
        divvy_backend_single_free(single);
        return status;
    }
    *ret_single = single;
    return 0;
}

void divvy_backend_single_held_free(struct divvy_backend_held *held) {
    divvy_backend_allocation_unref(held->allocation);
    json_decref(held->object);
    free(held);
}

void divvy_backend_single_free(struct divvy_backend_single *single) {
    struct divvy_backend_held *held;
    size_t cursor = 0;

    if (!single)
        return;
    divvy_backend_single_stop(single);
    while ((held = divvy_map_next(&single->by_uid, &cursor)))
        divvy_backend_single_held_free(held);
    divvy_map_done(&single->by_uid);
    divvy_backend_processes_free(single->processes);
    divvy_backend_filestate_close(single->file);
    divvy_backend_filestate_close(single->changes);
    divvy_cleanup_close(&single->options.state_fd);
    divvy_cleanup_close(&single->wake_fd);
    free(single->handlers);
    free(single->log_folder);
    free(single->worker_binary);
    (void)pthread_mutex_destroy(&single->lock);
    (void)pthread_mutex_destroy(&single->turn);
    (void)pthread_mutex_destroy(&single->writing);
    (void)pthread_cond_destroy(&single->settled);
    free(single);
}

/* --- the thread -------------------------------------------------------------------------------------------------------------- */

static void wake(struct divvy_backend_single *single) {
    uint64_t one = 1;

    (void)!write(single->wake_fd, &one, sizeof one);
}

void divvy_backend_single_keeper_set(struct divvy_backend_single *single, const struct divvy_backend_keeper *keeper) {
    struct divvy_backend_held *held;
    size_t cursor = 0;

    (void)pthread_mutex_lock(&single->turn);
    single->keeper = keeper ? *keeper : (struct divvy_backend_keeper){0};
    (void)pthread_mutex_lock(&single->lock);
    while ((held = divvy_map_next(&single->by_uid, &cursor))) {
        held->dirty = held->wanted;
        held->retry_ns = 0;
    }
    (void)pthread_mutex_unlock(&single->lock);
    (void)pthread_mutex_unlock(&single->turn);
    wake(single);
}

static int64_t retry_next_ns(struct divvy_backend_single *single) {
    struct divvy_backend_held *held;
    int64_t next_ns = single->look_ns;
    size_t cursor = 0;

    (void)pthread_mutex_lock(&single->lock);
    while ((held = divvy_map_next(&single->by_uid, &cursor)))
        if (held->wanted && held->dirty && held->retry_ns < next_ns)
            next_ns = held->retry_ns;
    if (single->write_ns && single->write_ns < next_ns)
        next_ns = single->write_ns;
    (void)pthread_mutex_unlock(&single->lock);
    return next_ns;
}

static void wait_for_something(struct divvy_backend_single *single) {
    struct pollfd ready[] = {{.fd = single->wake_fd, .events = POLLIN},
                             {.fd = divvy_backend_filestate_fd(single->file), .events = POLLIN},
                             {.fd = divvy_backend_processes_fd(single->processes), .events = POLLIN}};
    int64_t left_ns = retry_next_ns(single) - now_ns();
    uint64_t count;

    (void)poll(ready, sizeof ready / sizeof ready[0], left_ns > 0 ? (int)(left_ns / MS) + 1 : 0);
    (void)!read(single->wake_fd, &count, sizeof count);
}

static void turn(struct divvy_backend_single *single) {
    int64_t at_ns = now_ns();
    uint64_t asked;

    (void)pthread_mutex_lock(&single->turn);
    (void)pthread_mutex_lock(&single->lock);
    asked = single->turns_asked;
    (void)pthread_mutex_unlock(&single->lock);
    if (divvy_backend_filestate_changed(single->file) || (single->read_failed && at_ns >= single->look_ns))
        divvy_backend_single_read(single);
    if (at_ns >= single->look_ns)
        single->look_ns = at_ns + (divvy_backend_filestate_fd(single->file) < 0 ? SECOND : LOOK_NS);
    divvy_backend_single_settle(single, at_ns);
    divvy_backend_single_write_back(single, at_ns);
    (void)pthread_mutex_lock(&single->lock);
    single->turns_done = asked;
    (void)pthread_cond_broadcast(&single->settled);
    (void)pthread_mutex_unlock(&single->lock);
    (void)pthread_mutex_unlock(&single->turn);
}

static bool is_stopping(struct divvy_backend_single *single) {
    bool stopping;

    (void)pthread_mutex_lock(&single->lock);
    stopping = single->stopping;
    (void)pthread_mutex_unlock(&single->lock);
    return stopping;
}

static void *run(void *data) {
    struct divvy_backend_single *single = data;

    while (!is_stopping(single)) {
        wait_for_something(single);
        turn(single);
    }
    return NULL;
}

static void left_stop(void *data, const char *id) {
    struct divvy_backend_single *single = data;

    const struct divvy_backend_held *held = divvy_map_get(&single->by_uid, id);

    if (held && held->wanted)
        return;
    divvy_log_info("worker %s runs, but nobody wants it: it is stopped", id);
    (void)divvy_backend_process_unwant(single->processes, id);
}

int divvy_backend_single_start(struct divvy_backend_single *single, struct divvy_error *error) {
    int status;

    (void)pthread_mutex_lock(&single->turn);
    divvy_backend_single_read(single);
    if (!single->read_failed) {
        (void)pthread_mutex_lock(&single->lock);
        (void)divvy_backend_processes_left(single->processes, left_stop, single);
        (void)pthread_mutex_unlock(&single->lock);
    }
    (void)pthread_mutex_unlock(&single->turn);
    turn(single);
    single->stopping = false;
    status = -pthread_create(&single->thread, NULL, run, single);
    if (status < 0)
        return divvy_error_set_errno(error, status, "cannot start a thread");
    single->started = true;
    return 0;
}

void divvy_backend_single_stop(struct divvy_backend_single *single) {
    if (!single->started)
        return;
    (void)pthread_mutex_lock(&single->lock);
    single->stopping = true;
    (void)pthread_mutex_unlock(&single->lock);
    wake(single);
    (void)pthread_join(single->thread, NULL);
    single->started = false;
    divvy_backend_single_write_back(single, INT64_MAX);
}

/* --- handlers ---------------------------------------------------------------------------------------------------------------- */

int divvy_backend_single_handler_add(struct divvy_backend_single *single, const struct divvy_backend_worker_handler *handler) {
    struct divvy_backend_worker *workers;
    struct divvy_backend_worker_handler *grown;
    size_t count;
    int status;

    (void)pthread_mutex_lock(&single->turn);
    grown = reallocarray(single->handlers, single->handler_count + 1, sizeof *grown);
    if (grown)
        single->handlers = grown;
    status = grown ? divvy_backend_single_list(single, &workers, &count) : -ENOMEM;
    if (status == 0) {
        single->handlers[single->handler_count++] = *handler;
        for (size_t i = 0; i < count && handler->added; i++)
            handler->added(handler->data, &workers[i].worker);
        free(workers);
    }
    (void)pthread_mutex_unlock(&single->turn);
    return status;
}

void divvy_backend_single_handler_remove(struct divvy_backend_single *single, const void *data) {
    size_t kept = 0;

    (void)pthread_mutex_lock(&single->turn);
    for (size_t i = 0; i < single->handler_count; i++)
        if (single->handlers[i].data != data)
            single->handlers[kept++] = single->handlers[i];
    single->handler_count = kept;
    (void)pthread_mutex_unlock(&single->turn);
}

static void devices_changed(struct divvy_backend_single *single) {
    (void)pthread_mutex_lock(&single->lock);
    single->devices_changed = true;
    (void)pthread_mutex_unlock(&single->lock);
    wake(single);
}

static void device_came_or_went(void *data, struct divvy_backend_device *device) {
    (void)device;
    devices_changed(data);
}

static void device_updated(void *data, struct divvy_backend_device *before, struct divvy_backend_device *after) {
    (void)before;
    (void)after;
    devices_changed(data);
}

struct divvy_backend_device_handler divvy_backend_single_device_handler(struct divvy_backend_single *single) {
    return (struct divvy_backend_device_handler){
        .data = single, .added = device_came_or_went, .removed = device_came_or_went, .updated = device_updated};
}

/* --- calls ------------------------------------------------------------------------------------------------------------------- */

struct wishes {
    const struct divvy_node_worker *workers;
    size_t count;
    const char *uid; /* to be removed, with no workers */
};

static int wishes_body(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    const struct wishes *wishes = data;

    for (size_t i = 0; i < wishes->count; i++) {
        json_t *object = divvy_backend_entries_put(entries, wishes->workers[i].uid);

        if (!object || divvy_backend_worker_write(&wishes->workers[i], object) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "worker %.100s", wishes->workers[i].uid);
    }
    if (wishes->uid && divvy_backend_entries_remove(entries, wishes->uid) < 0)
        return divvy_error_set(error, -ENOENT, "there is no worker %.100s", wishes->uid);
    return 0;
}

/* Until a turn that began after now is complete. */
static void turn_await(struct divvy_backend_single *single) {
    struct timespec until = divvy_core_clock_timespec((uint64_t)(now_ns() + CALL_NS));
    uint64_t asked;

    if (!single->started || pthread_equal(single->thread, pthread_self()))
        return;
    (void)pthread_mutex_lock(&single->lock);
    asked = ++single->turns_asked;
    wake(single);
    while (single->turns_done < asked && pthread_cond_timedwait(&single->settled, &single->lock, &until) == 0)
        ;
    (void)pthread_mutex_unlock(&single->lock);
}

static int wishes_write(struct divvy_backend_single *single, const struct wishes *wishes, struct divvy_error *error) {
    int status;

    (void)pthread_mutex_lock(&single->writing);
    status = divvy_backend_filestate_change(single->changes, wishes_body, (void *)wishes, error);
    (void)pthread_mutex_unlock(&single->writing);
    if (status == 0)
        turn_await(single);
    return status;
}

int divvy_backend_single_workers_start(struct divvy_backend_single *single, const struct divvy_node_worker *workers, size_t count,
                                       struct divvy_error *error) {
    struct wishes wishes = {.workers = workers, .count = count};

    for (size_t i = 0; i < count; i++)
        if (!workers[i].uid[0] || !memchr(workers[i].uid, '\0', sizeof workers[i].uid) ||
            workers[i].device_count > DIVVY_NODE_WORKER_DEVICES)
            return divvy_error_set(error, -EINVAL, "a worker without an id, or with too many devices");
    return wishes_write(single, &wishes, error);
}

int divvy_backend_single_worker_start(struct divvy_backend_single *single, const struct divvy_node_worker *worker,
                                      struct divvy_error *error) {
    return divvy_backend_single_workers_start(single, worker, 1, error);
}

int divvy_backend_single_worker_stop(struct divvy_backend_single *single, const char *uid, struct divvy_error *error) {
    struct wishes wishes = {.uid = uid};

    return wishes_write(single, &wishes, error);
}

/* --- looking ----------------------------------------------------------------------------------------------------------------- */

static enum divvy_node_worker_status status_of(const struct divvy_backend_held *held, const struct divvy_backend_worker *view) {
    if (!held->wanted)
        return view->has_process || (held->worker.has_status && held->worker.status == DIVVY_NODE_WORKER_PENDING && held->listed)
                   ? DIVVY_NODE_WORKER_PENDING
                   : DIVVY_NODE_WORKER_TERMINATED;
    if (held->dirty && !held->allocation)
        return held->message[0] ? DIVVY_NODE_WORKER_PENDING : DIVVY_NODE_WORKER_ALLOCATING;
    if (held->running && (!view->has_process || view->process.phase != DIVVY_NODE_LIFE_RUNNING))
        return DIVVY_NODE_WORKER_PENDING;
    return DIVVY_NODE_WORKER_RUNNING;
}

/* Under `lock`. */
static void view_make(struct divvy_backend_single *single, const struct divvy_backend_held *held, struct divvy_backend_worker *view) {
    view->worker = held->worker;
    view->wanted = held->wanted;
    view->has_process = divvy_backend_process_get(single->processes, held->worker.uid, &view->process) == 0;
    if (!view->has_process && held->listed)
        view->has_process = divvy_backend_process_recorded(single->processes, held->worker.uid, &view->process) == 0;
    memcpy(view->message, held->message, sizeof view->message);
    view->status = status_of(held, view);
}

static int view_order(const void *a, const void *b) {
    return strcmp(((const struct divvy_backend_worker *)a)->worker.uid, ((const struct divvy_backend_worker *)b)->worker.uid);
}

int divvy_backend_single_list(struct divvy_backend_single *single, struct divvy_backend_worker **ret_workers, size_t *ret_count) {
    struct divvy_backend_worker *workers;
    struct divvy_backend_held *held;
    size_t count = 0, cursor = 0;

    (void)pthread_mutex_lock(&single->lock);
    workers = calloc(single->by_uid.count + 1, sizeof *workers);
    while (workers && (held = divvy_map_next(&single->by_uid, &cursor)))
        if (held->listed)
            view_make(single, held, &workers[count++]);
    (void)pthread_mutex_unlock(&single->lock);
    if (!workers)
        return -ENOMEM;
    qsort(workers, count, sizeof *workers, view_order);
    *ret_workers = workers;
    *ret_count = count;
    return 0;
}

int divvy_backend_single_get(struct divvy_backend_single *single, const char *uid, struct divvy_backend_worker *ret_worker) {
    const struct divvy_backend_held *held;

    (void)pthread_mutex_lock(&single->lock);
    held = divvy_map_get(&single->by_uid, uid);
    if (held && held->listed)
        view_make(single, held, ret_worker);
    else
        held = NULL;
    (void)pthread_mutex_unlock(&single->lock);
    return held ? 0 : -ENOENT;
}
