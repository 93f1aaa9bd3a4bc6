/* The device controller: see devices.h. */
#include "backend/devices.h"

#include "backend/devices_inside.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- the table --------------------------------------------------------------------------------------------------------------- */

struct divvy_backend_device **divvy_backend_devices_find(struct divvy_backend_devices *devices, const char *uuid) {
    for (size_t i = 0; i < devices->count; i++)
        if (divvy_backend_device_is(devices->table[i], uuid))
            return &devices->table[i];
    return NULL;
}

int divvy_backend_devices_enter(struct divvy_backend_devices *devices, struct divvy_backend_device *device) {
    struct divvy_backend_device **grown = reallocarray(devices->table, devices->count + 1, sizeof *grown);

    if (!grown)
        return -ENOMEM;
    devices->table = grown;
    devices->table[devices->count++] = device;
    return 0;
}

void divvy_backend_devices_leave(struct divvy_backend_devices *devices, struct divvy_backend_device **place) {
    *place = devices->table[--devices->count];
}

static int order(const void *a, const void *b) {
    const struct divvy_backend_device *x = *(struct divvy_backend_device *const *)a, *y = *(struct divvy_backend_device *const *)b;

    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    if (!x->parent[0] != !y->parent[0])
        return x->parent[0] ? 1 : -1;
    return strcmp(x->uuid, y->uuid);
}

int divvy_backend_devices_list(struct divvy_backend_devices *devices, struct divvy_backend_device_list *ret_list) {
    struct divvy_backend_device_list list = {0};

    (void)pthread_mutex_lock(&devices->lock);
    list.devices = calloc(devices->count + 1, sizeof(struct divvy_backend_device *));
    for (size_t i = 0; list.devices && i < devices->count; i++)
        if (devices->table[i]->healthy)
            list.devices[list.count++] = divvy_backend_device_ref(devices->table[i]);
    (void)pthread_mutex_unlock(&devices->lock);
    if (!list.devices)
        return -ENOMEM;
    qsort(list.devices, list.count, sizeof(struct divvy_backend_device *), order);
    *ret_list = list;
    return 0;
}

void divvy_backend_device_list_free(struct divvy_backend_device_list *list) {
    for (size_t i = 0; i < list->count; i++)
        divvy_backend_device_unref(list->devices[i]);
    free(list->devices);
    *list = (struct divvy_backend_device_list){0};
}

struct divvy_backend_device *divvy_backend_devices_get(struct divvy_backend_devices *devices, const char *uuid) {
    struct divvy_backend_device **place, *device = NULL;

    (void)pthread_mutex_lock(&devices->lock);
    place = divvy_backend_devices_find(devices, uuid);
    if (place && (*place)->healthy)
        device = divvy_backend_device_ref(*place);
    (void)pthread_mutex_unlock(&devices->lock);
    return device;
}

/* --- handlers: under `work`, without `lock` -------------------------------------------------------------------------------------- */

void divvy_backend_devices_tell(struct divvy_backend_devices *devices, enum divvy_backend_tale tale,
                                struct divvy_backend_device *before, struct divvy_backend_device *after) {
    for (size_t i = 0; i < devices->handler_count; i++) {
        const struct divvy_backend_device_handler handler = devices->handlers[i];

        if (tale == DIVVY_BACKEND_ADDED && handler.added)
            handler.added(handler.data, after);
        else if (tale == DIVVY_BACKEND_REMOVED && handler.removed)
            handler.removed(handler.data, before);
        else if (tale == DIVVY_BACKEND_UPDATED && handler.updated)
            handler.updated(handler.data, before, after);
    }
}

static struct divvy_backend_node node_of(struct divvy_backend_devices *devices) {
    struct divvy_backend_node node = {0};

    (void)pthread_mutex_lock(&devices->lock);
    for (size_t i = 0; i < devices->count; i++) {
        const struct divvy_backend_device *device = devices->table[i];

        if (!device->healthy)
            continue;
        node.partitions += device->parent[0] != '\0';
        node.devices += device->parent[0] == '\0';
        node.memory_bytes += device->parent[0] ? 0 : device->memory_bytes;
        node.tflops += device->parent[0] ? 0 : device->tflops;
    }
    (void)pthread_mutex_unlock(&devices->lock);
    return node;
}

int divvy_backend_devices_handler_add(struct divvy_backend_devices *devices, const struct divvy_backend_device_handler *handler) {
    struct divvy_backend_device_handler *grown;
    struct divvy_backend_device_list list;
    struct divvy_backend_node node;
    int status;

    (void)pthread_mutex_lock(&devices->work);
    grown = reallocarray(devices->handlers, devices->handler_count + 1, sizeof *grown);
    status = grown ? divvy_backend_devices_list(devices, &list) : -ENOMEM;
    if (grown)
        devices->handlers = grown;
    if (status == 0) {
        devices->handlers[devices->handler_count++] = *handler;
        for (size_t i = 0; i < list.count; i++)
            if (handler->added)
                handler->added(handler->data, list.devices[i]);
        node = node_of(devices);
        if (devices->discovered && handler->discovered)
            handler->discovered(handler->data, &node);
        divvy_backend_device_list_free(&list);
    }
    (void)pthread_mutex_unlock(&devices->work);
    return status;
}

void divvy_backend_devices_handler_remove(struct divvy_backend_devices *devices, const void *data) {
    size_t kept = 0;

    (void)pthread_mutex_lock(&devices->work);
    for (size_t i = 0; i < devices->handler_count; i++)
        if (devices->handlers[i].data != data)
            devices->handlers[kept++] = devices->handlers[i];
    devices->handler_count = kept;
    (void)pthread_mutex_unlock(&devices->work);
}

/* --- discovery --------------------------------------------------------------------------------------------------------------- */

/* Puts a device's new state in the place of the old one and tells of it. Takes `after` over. */
static void device_replace(struct divvy_backend_devices *devices, struct divvy_backend_device *after) {
    struct divvy_backend_device **place, *before = NULL;
    enum divvy_backend_tale tale = DIVVY_BACKEND_ADDED;
    bool entered = true;

    (void)pthread_mutex_lock(&devices->lock);
    place = divvy_backend_devices_find(devices, after->uuid);
    if (place) {
        before = *place;
        *place = after;
    } else {
        entered = divvy_backend_devices_enter(devices, after) == 0;
    }
    (void)pthread_mutex_unlock(&devices->lock);
    if (!entered) {
        divvy_log_error("no memory for device %s", after->uuid);
        divvy_backend_device_unref(after);
        return;
    }
    if (before && before->healthy)
        tale = after->healthy ? DIVVY_BACKEND_UPDATED : DIVVY_BACKEND_REMOVED;
    else if (!after->healthy)
        tale = DIVVY_BACKEND_NO_TALE;
    if (before && divvy_backend_device_equal(before, after))
        tale = DIVVY_BACKEND_NO_TALE;
    if (tale == DIVVY_BACKEND_ADDED || tale == DIVVY_BACKEND_REMOVED)
        divvy_log_at(tale == DIVVY_BACKEND_ADDED ? DIVVY_LOG_INFO : DIVVY_LOG_WARN, NULL, 0, "device %s %s", after->uuid,
                     tale == DIVVY_BACKEND_ADDED ? "is there" : "has vanished");
    divvy_backend_devices_tell(devices, tale, before, after);
    divvy_backend_device_unref(before);
}

/* A device in the table whose health is to be another. Its state is replaced outside of the lock: one at a time. */
static struct divvy_backend_device *health_next(struct divvy_backend_devices *devices, const struct divvy_accel_devices *found) {
    struct divvy_backend_device *changed = NULL;

    (void)pthread_mutex_lock(&devices->lock);
    for (size_t i = 0; i < devices->count && !changed; i++) {
        struct divvy_backend_device *device = devices->table[i];
        const char *whole = device->parent[0] ? device->parent : device->uuid;
        const struct divvy_accel_device *there = NULL;

        for (size_t k = 0; k < found->count && !there; k++)
            if (divvy_core_word_equal(whole, strlen(whole), found->devices[k].uuid))
                there = &found->devices[k];
        if (device->healthy == (there != NULL) || !(changed = divvy_backend_device_copy(device)))
            continue;
        changed->healthy = there != NULL;
        if (there && changed->parent[0]) { /* the state file has it in lower case */
            memcpy(changed->parent, there->uuid, sizeof changed->parent);
            changed->index = there->index;
            changed->numa_node = there->numa_node;
        }
    }
    (void)pthread_mutex_unlock(&devices->lock);
    return changed;
}

static void found_enter(struct divvy_backend_devices *devices, const struct divvy_accel_devices *found) {
    struct divvy_backend_device *device;

    for (size_t i = 0; i < found->count; i++) {
        device = divvy_backend_device_new(&found->devices[i], devices->options.isolation);
        if (device)
            device_replace(devices, device);
    }
    while ((device = health_next(devices, found)))
        device_replace(devices, device);
}

int divvy_backend_devices_discover(struct divvy_backend_devices *devices, struct divvy_error *error) {
    struct divvy_accel_devices found;
    struct divvy_backend_node node;
    int status;

    (void)pthread_mutex_lock(&devices->work);
    status = devices->accel ? divvy_accel_devices_get(devices->accel, &found, error)
                            : divvy_error_set(error, -ENODEV, "the accelerator library is not loaded");
    if (status == 0) {
        found_enter(devices, &found);
        divvy_accel_devices_free(&found);
        devices->discovered = true;
        divvy_backend_devices_save(devices);
        node = node_of(devices);
        for (size_t i = 0; i < devices->handler_count; i++)
            if (devices->handlers[i].discovered)
                devices->handlers[i].discovered(devices->handlers[i].data, &node);
    }
    (void)pthread_mutex_unlock(&devices->work);
    return status;
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

int divvy_backend_devices_new(const struct divvy_backend_devices_options *options, struct divvy_backend_devices **ret_devices,
                              struct divvy_error *error) {
    struct divvy_backend_devices *devices = calloc(1, sizeof *devices);
    pthread_mutexattr_t recursive;
    pthread_condattr_t monotonic;
    int status = 0;

    if (!devices)
        return divvy_error_set_errno(error, -ENOMEM, "devices");
    devices->options = *options;
    devices->options.library = devices->options.vendor = NULL;
    devices->library = options->library ? strdup(options->library) : NULL;
    devices->vendor = options->vendor ? strdup(options->vendor) : NULL;
    (void)pthread_mutexattr_init(&recursive);
    (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&devices->work, &recursive);
    (void)pthread_mutexattr_destroy(&recursive);
    (void)pthread_mutex_init(&devices->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&devices->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if ((options->library && !devices->library) || (options->vendor && !devices->vendor))
        status = divvy_error_set_errno(error, -ENOMEM, "devices");
    if (status == 0 && options->state_fd >= 0)
        status = divvy_backend_filestate_open(options->state_fd, DIVVY_BACKEND_DEVICES_FILE, DIVVY_BACKEND_DEVICES, &devices->file, error);
    if (status < 0) {
        divvy_backend_devices_free(devices);
        return status;
    }
    *ret_devices = devices;
    return 0;
}

static void *look_for_ever(void *data) {
    struct divvy_backend_devices *devices = data;

    (void)pthread_mutex_lock(&devices->lock);
    while (!devices->stopping) {
        struct timespec until = divvy_core_clock_timespec(divvy_core_clock_ns() + (uint64_t)devices->options.interval_ns);
        struct divvy_error error = {0, ""};

        while (!devices->stopping && pthread_cond_timedwait(&devices->wake, &devices->lock, &until) == 0)
            ;
        if (devices->stopping)
            break;
        (void)pthread_mutex_unlock(&devices->lock);
        if (divvy_backend_devices_discover(devices, &error) < 0)
            divvy_log_warn("devices cannot be looked for: %s", error.text);
        (void)pthread_mutex_lock(&devices->lock);
    }
    (void)pthread_mutex_unlock(&devices->lock);
    return NULL;
}

int divvy_backend_devices_start(struct divvy_backend_devices *devices, struct divvy_error *error) {
    struct divvy_accel_settings settings = {.path = devices->library, .vendor = devices->vendor};
    int status = 0;

    (void)pthread_mutex_lock(&devices->work);
    if (!devices->accel)
        status = divvy_accel_open(&settings, &devices->accel, error);
    if (status == 0)
        divvy_backend_devices_recover(devices);
    if (status == 0)
        status = divvy_backend_devices_discover(devices, error);
    (void)pthread_mutex_unlock(&devices->work);
    devices->stopping = false;
    if (status == 0 && devices->options.interval_ns > 0 && !devices->looking) {
        status = -pthread_create(&devices->thread, NULL, look_for_ever, devices);
        devices->looking = status == 0;
        if (status < 0)
            return divvy_error_set_errno(error, status, "cannot start a thread");
    }
    return status;
}

void divvy_backend_devices_stop(struct divvy_backend_devices *devices) {
    (void)pthread_mutex_lock(&devices->lock);
    devices->stopping = true;
    (void)pthread_cond_broadcast(&devices->wake);
    (void)pthread_mutex_unlock(&devices->lock);
    if (devices->looking)
        (void)pthread_join(devices->thread, NULL);
    devices->looking = false;
}

void divvy_backend_devices_free(struct divvy_backend_devices *devices) {
    if (!devices)
        return;
    divvy_backend_devices_stop(devices);
    if (devices->accel)
        divvy_accel_close(devices->accel);
    for (size_t i = 0; i < devices->count; i++)
        divvy_backend_device_unref(devices->table[i]);
    free(devices->table);
    free(devices->handlers);
    free(devices->library);
    free(devices->vendor);
    divvy_backend_filestate_close(devices->file);
    (void)pthread_mutex_destroy(&devices->lock);
    (void)pthread_mutex_destroy(&devices->work);
    (void)pthread_cond_destroy(&devices->wake);
    free(devices);
}

const char *divvy_backend_devices_vendor(const struct divvy_backend_devices *devices) {
    return devices->accel ? divvy_accel_vendor(devices->accel) : "";
}
