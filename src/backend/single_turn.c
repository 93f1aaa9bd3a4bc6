/* The backend of a node by itself: what a turn does. See single.h. */
#include "backend/single_inside.h"

#include "base/log.h"
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS       ((int64_t)DIVVY_NS_PER_MS)
#define RETRY_NS (INT64_C(5) * DIVVY_NS_PER_SECOND) /* until a worker that could not be prepared is tried again, if nothing changes before */
#define WRITE_NS (100 * MS)                         /* in which what is to be written back gathers */

enum tale { ADDED, REMOVED, UPDATED };

/* --- events ------------------------------------------------------------------------------------------------------------------ */

static void tell(struct divvy_backend_single *single, enum tale tale, const struct divvy_node_worker *before,
                 const struct divvy_node_worker *after) {
    for (size_t i = 0; i < single->handler_count; i++) {
        const struct divvy_backend_worker_handler handler = single->handlers[i];

        if (tale == ADDED && handler.added)
            handler.added(handler.data, after);
        else if (tale == REMOVED && handler.removed)
            handler.removed(handler.data, before);
        else if (tale == UPDATED && handler.updated)
            handler.updated(handler.data, before, after);
    }
}

static void write_soon(struct divvy_backend_single *single, struct divvy_backend_held *held) {
    held->unwritten = true;
    if (!single->write_ns)
        single->write_ns = (int64_t)divvy_core_clock_ns() + WRITE_NS;
}

void divvy_backend_single_say(struct divvy_backend_single *single, struct divvy_backend_held *held, const char *message) {
    if (strcmp(held->message, message ? message : "") == 0)
        return;
    (void)snprintf(held->message, sizeof held->message, "%s", message ? message : "");
    write_soon(single, held);
}

/* --- reading ----------------------------------------------------------------------------------------------------------------- */

/* What a read has found: told to handlers when the lock is given back. */
struct news {
    enum tale tale;
    struct divvy_node_worker before, after;
};

static struct divvy_backend_held *held_make(struct divvy_backend_single *single, const struct divvy_node_worker *worker) {
    struct divvy_backend_held *held = calloc(1, sizeof *held);

    if (held && divvy_map_put(&single->by_uid, worker->uid, held) == 0)
        return held;
    free(held);
    divvy_log_error("no memory for worker %s", worker->uid);
    return NULL;
}

static void port_take(struct divvy_backend_held *held, const json_t *object) {
    const json_t *port = divvy_backend_object_get(object, DIVVY_BACKEND_OWN_PORT);
    json_int_t number = json_is_integer(port) ? json_integer_value(port) : 0;

    if (number > 0 && number <= UINT16_MAX)
        held->port = (uint16_t)number;
}

/* The new wish of a worker; whether handlers are to hear of it. Under `lock`. */
static bool wish_take(struct divvy_backend_single *single, json_t *object, size_t place, struct news *news) {
    struct divvy_backend_process process;
    struct divvy_backend_held *held = divvy_map_get(&single->by_uid, divvy_backend_object_id(object, DIVVY_BACKEND_WORKERS));
    struct divvy_error error = {0, ""};
    bool is_readable = divvy_backend_worker_read(object, &news->after, &error) == 0;

    if (held)
        held->place = place;
    if (held && held->listed && held->object && divvy_backend_worker_same(held->object, object))
        return false;
    if (!held) {
        held = held_make(single, &news->after);
        if (!held)
            return false;
        held->place = place;
        held->ran = divvy_backend_process_recorded(single->processes, held->worker.uid, &process) == 0;
    }
    json_decref(held->object);
    held->object = json_incref(object);
    news->tale = held->told ? UPDATED : ADDED;
    held->listed = true;
    if (!is_readable) { /* the last wish that could be read stands */
        if (!held->told)
            held->worker = news->after;
        divvy_log_warn("%s: %s", DIVVY_BACKEND_WORKERS_FILE, error.text);
        divvy_backend_single_say(single, held, error.text);
        return false;
    }
    news->before = held->worker;
    held->worker = news->after;
    held->wanted = divvy_backend_worker_is_wanted(object, &held->worker);
    held->dirty = true;
    held->retry_ns = 0;
    held->told = true;
    port_take(held, object);
    if (!held->wanted)
        divvy_backend_single_say(single, held, NULL);
    return true;
}

static void array_take(struct divvy_backend_single *single, json_t *array) {
    struct news *news = malloc(sizeof *news);
    size_t i;
    json_t *object;

    json_array_foreach(array, i, object) {
        bool is_new;

        if (!news)
            break;
        (void)pthread_mutex_lock(&single->lock);
        is_new = wish_take(single, object, i, news);
        (void)pthread_mutex_unlock(&single->lock);
        if (is_new)
            tell(single, news->tale, &news->before, &news->after);
    }
    free(news);
}

/* A worker that the file does not have any more. */
static void worker_leave(struct divvy_backend_single *single, const char *uid) {
    struct divvy_node_worker *before = malloc(sizeof *before);
    struct divvy_backend_held *held;
    bool told = false;

    (void)pthread_mutex_lock(&single->lock);
    held = divvy_map_get(&single->by_uid, uid);
    if (held) {
        told = held->told && before;
        if (told)
            *before = held->worker;
        held->listed = held->wanted = held->told = false;
    }
    (void)pthread_mutex_unlock(&single->lock);
    if (told)
        tell(single, REMOVED, before, NULL);
    free(before);
}

static void missing_take(struct divvy_backend_single *single, json_t *array) {
    struct divvy_map present = {0};
    struct divvy_backend_held *held;
    json_t *object, *missing = json_array();
    size_t i, cursor = 0;

    json_array_foreach(array, i, object)
        (void)divvy_map_put(&present, divvy_backend_object_id(object, DIVVY_BACKEND_WORKERS), object);
    (void)pthread_mutex_lock(&single->lock);
    while (missing && present.count == json_array_size(array) && (held = divvy_map_next(&single->by_uid, &cursor)))
        if (held->listed && !divvy_map_get(&present, held->worker.uid))
            (void)json_array_append_new(missing, json_string(held->worker.uid));
    (void)pthread_mutex_unlock(&single->lock);
    json_array_foreach(missing, i, object) worker_leave(single, json_string_value(object));
    json_decref(missing);
    divvy_map_done(&present);
}

void divvy_backend_single_read(struct divvy_backend_single *single) {
    struct divvy_backend_findings findings = {0};
    struct divvy_error error = {0, ""};
    json_t *array;
    bool failed = divvy_backend_filestate_read(single->file, &array, &findings, &error) < 0;

    if (failed && !single->read_failed)
        divvy_log_error("%s; workers stay as they are until it can be read", error.text);
    single->read_failed = failed;
    if (failed)
        return;
    if (findings.duplicates || findings.nameless)
        divvy_log_warn("%s: %u workers come more than once (the last counts), %u have no WorkerUID (they are left alone)",
                       DIVVY_BACKEND_WORKERS_FILE, findings.duplicates, findings.nameless);
    missing_take(single, array);
    array_take(single, array);
    json_decref(array);
}

/* --- settling ---------------------------------------------------------------------------------------------------------------- */

static uint16_t port_find(struct divvy_backend_single *single) {
    struct divvy_backend_held *held;

    for (uint32_t port = single->options.port_first; port <= UINT16_MAX; port++) {
        size_t cursor = 0;
        bool taken = false;

        while (!taken && (held = divvy_map_next(&single->by_uid, &cursor)))
            taken = held->port == port;
        if (!taken && divvy_backend_port_check((uint16_t)port) == 0)
            return (uint16_t)port;
    }
    return 0;
}

/* Its process is wished for, if it is ours to run. Under `lock`. */
static int run(struct divvy_backend_single *single, struct divvy_backend_held *held, struct divvy_error *error) {
    struct divvy_backend_single_command command;
    bool our_way = single->worker_binary && (!divvy_backend_object_get(held->object, "WorkerRunningInfo") ||
                                             divvy_backend_object_get(held->object, DIVVY_BACKEND_OWN_PORT));
    int status;

    if (our_way && !held->port)
        held->port = port_find(single);
    if (our_way && !held->port)
        return divvy_error_set(error, -EADDRINUSE, "there is no free port");
    status = divvy_backend_single_command_make(single, held, &command, error);
    if (status == 0 && command.command.binary) {
        status = divvy_backend_process_want(single->processes, held->worker.uid, &command.command, error);
        held->running = held->running || status == 0;
    }
    divvy_backend_single_command_done(&command);
    return status;
}

/* A worker that shall run, and has a new wish or was refused before. */
static void prepare(struct divvy_backend_single *single, struct divvy_backend_held *held, int64_t now_ns) {
    struct divvy_node_worker *worker = malloc(sizeof *worker);
    struct divvy_backend_allocation *allocation = NULL;
    struct divvy_error error = {0, ""};
    int status = worker ? 0 : divvy_error_set_errno(&error, -ENOMEM, "worker %.100s", held->worker.uid);

    if (worker)
        *worker = held->worker; /* only this thread changes it */
    if (status == 0 && single->keeper.prepare)
        status = single->keeper.prepare(single->keeper.data, worker, &allocation, &error);
    free(worker);
    (void)pthread_mutex_lock(&single->lock);
    if (status == 0) {
        divvy_backend_allocation_unref(held->allocation);
        held->allocation = allocation;
        status = run(single, held, &error);
    }
    held->dirty = status < 0;
    held->retry_ns = now_ns + RETRY_NS;
    if (status < 0 && strcmp(held->message, error.text) != 0)
        divvy_log_warn("worker %s: %s", held->worker.uid, error.text);
    divvy_backend_single_say(single, held, status < 0 ? error.text : NULL);
    (void)pthread_mutex_unlock(&single->lock);
}

/* A worker that shall not run: first its process, then what it had. Whether that is done. */
static bool clean(struct divvy_backend_single *single, struct divvy_backend_held *held) {
    struct divvy_backend_process process;
    bool gone;

    (void)pthread_mutex_lock(&single->lock);
    if (held->running) {
        (void)divvy_backend_process_unwant(single->processes, held->worker.uid);
        held->running = false;
    }
    gone = divvy_backend_process_get(single->processes, held->worker.uid, &process) == -ENOENT;
    (void)pthread_mutex_unlock(&single->lock);
    if (!gone || !held->allocation)
        return gone;
    if (single->keeper.clean)
        single->keeper.clean(single->keeper.data, held->worker.uid);
    (void)pthread_mutex_lock(&single->lock);
    divvy_backend_allocation_unref(held->allocation);
    held->allocation = NULL;
    single->devices_changed = true; /* others may fit in now */
    (void)pthread_mutex_unlock(&single->lock);
    return true;
}

static void lost_tell(struct divvy_backend_single *single, struct divvy_backend_held *held) {
    uint32_t lost = single->keeper.lost && held->allocation ? single->keeper.lost(single->keeper.data, held->worker.uid) : 0;
    char text[64];

    (void)snprintf(text, sizeof text, "%u of its devices have vanished", lost);
    (void)pthread_mutex_lock(&single->lock);
    if (lost)
        divvy_backend_single_say(single, held, text);
    else if (strstr(held->message, "of its devices have vanished"))
        divvy_backend_single_say(single, held, NULL);
    (void)pthread_mutex_unlock(&single->lock);
}

static bool is_wanted(void *data, const char *uid) {
    struct divvy_backend_single *single = data;
    const struct divvy_backend_held *held;
    bool wanted;

    (void)pthread_mutex_lock(&single->lock);
    held = divvy_map_get(&single->by_uid, uid);
    wanted = held && (held->wanted || held->allocation);
    (void)pthread_mutex_unlock(&single->lock);
    return wanted;
}

static int order(const void *a, const void *b) {
    const struct divvy_backend_held *x = *(struct divvy_backend_held *const *)a, *y = *(struct divvy_backend_held *const *)b;

    if (x->ran != y->ran)
        return x->ran ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The workers in their order, so that the table may change while they are looked at; only this thread frees them. */
static struct divvy_backend_held **all_of(struct divvy_backend_single *single, size_t *ret_count) {
    struct divvy_backend_held **all, *held;
    size_t cursor = 0, count = 0;

    (void)pthread_mutex_lock(&single->lock);
    all = calloc(single->by_uid.count + 1, sizeof(struct divvy_backend_held *));
    while (all && (held = divvy_map_next(&single->by_uid, &cursor)))
        all[count++] = held;
    (void)pthread_mutex_unlock(&single->lock);
    if (all)
        qsort(all, count, sizeof(struct divvy_backend_held *), order);
    *ret_count = count;
    return all;
}

static void forget(struct divvy_backend_single *single, struct divvy_backend_held *held) {
    (void)pthread_mutex_lock(&single->lock);
    (void)divvy_map_remove(&single->by_uid, held->worker.uid);
    (void)pthread_mutex_unlock(&single->lock);
    divvy_backend_single_held_free(held);
}

/* Those that go first: others may need what they had. */
static void settle_once(struct divvy_backend_single *single, int64_t now_ns, bool devices_changed) {
    size_t count;
    struct divvy_backend_held **all = all_of(single, &count);

    for (size_t i = 0; all && i < count; i++)
        if (!all[i]->wanted && clean(single, all[i]) && !all[i]->listed) {
            forget(single, all[i]);
            all[i] = NULL;
        }
    for (size_t i = 0; all && i < count; i++) {
        if (!all[i] || !all[i]->wanted)
            continue;
        if (all[i]->dirty && (devices_changed || all[i]->retry_ns <= now_ns))
            prepare(single, all[i], now_ns);
        else if (devices_changed)
            lost_tell(single, all[i]);
    }
    free(all);
}

static bool devices_changed_take(struct divvy_backend_single *single) {
    bool changed;

    (void)pthread_mutex_lock(&single->lock);
    changed = single->devices_changed;
    single->devices_changed = false;
    (void)pthread_mutex_unlock(&single->lock);
    return changed;
}

void divvy_backend_single_settle(struct divvy_backend_single *single, int64_t now_ns) {
    (void)pthread_mutex_lock(&single->lock);
    divvy_backend_processes_turn(single->processes); /* who has ended makes room */
    (void)pthread_mutex_unlock(&single->lock);
    settle_once(single, now_ns, devices_changed_take(single));
    (void)pthread_mutex_lock(&single->lock);
    divvy_backend_processes_turn(single->processes); /* who is wished for now starts */
    (void)pthread_mutex_unlock(&single->lock);
    if (devices_changed_take(single))
        settle_once(single, now_ns, true);
    if (single->keeper.settled && !single->read_failed)
        single->keeper.settled(single->keeper.data, is_wanted, single);
}
