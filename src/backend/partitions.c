/* Partitions of devices, and devices.json, in which they outlive us: see devices.h. */
#include "backend/devices_inside.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* On a device, while the library is making a partition of it: whoever finds it knows that one may be there that nobody has. */
#define OWN_PENDING "PartitionPending"

/* --- devices.json ------------------------------------------------------------------------------------------------------------ */

static bool is_kept(struct divvy_backend_devices *devices, const char *uuid) {
    struct divvy_backend_device **place = divvy_backend_devices_find(devices, uuid);

    return place && ((*place)->healthy || (*place)->parent[0]);
}

/* The file has what is there, and partitions of devices that may come back. */
static int save_body(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    struct divvy_backend_devices *devices = data;
    int status = 0;

    (void)pthread_mutex_lock(&devices->lock);
    for (size_t i = 0; i < divvy_backend_entries_count(entries); i++) {
        const json_t *object = divvy_backend_entries_at(entries, i);
        const char *uuid = object ? divvy_backend_object_id(object, DIVVY_BACKEND_DEVICES) : NULL;

        if (uuid && !is_kept(devices, uuid))
            (void)divvy_backend_entries_remove(entries, uuid);
    }
    for (size_t i = 0; i < devices->count && status == 0; i++) {
        json_t *object;

        if (!is_kept(devices, devices->table[i]->uuid))
            continue;
        object = divvy_backend_entries_put(entries, devices->table[i]->uuid);
        status = object ? divvy_backend_device_write(devices->table[i], object) : -ENOMEM;
    }
    (void)pthread_mutex_unlock(&devices->lock);
    return status < 0 ? divvy_error_set_errno(error, status, DIVVY_BACKEND_DEVICES_FILE) : 0;
}

static int save(struct divvy_backend_devices *devices, struct divvy_error *error) {
    return devices->file ? divvy_backend_filestate_change(devices->file, save_body, devices, error) : 0;
}

void divvy_backend_devices_save(struct divvy_backend_devices *devices) {
    struct divvy_error error = {0, ""};

    if (save(devices, &error) < 0)
        divvy_log_error("the devices were not written down: %s", error.text);
}

struct pending {
    const char *uuid, *template_id; /* NULL: none any more */
};

static int pending_body(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    const struct pending *pending = data;
    json_t *object = divvy_backend_entries_find(entries, pending->uuid);

    if (!object)
        return DIVVY_BACKEND_UNCHANGED;
    if (!pending->template_id)
        return json_object_del(object, OWN_PENDING) < 0 ? DIVVY_BACKEND_UNCHANGED : 0;
    return divvy_backend_object_set(object, OWN_PENDING, json_string(pending->template_id)) < 0
               ? divvy_error_set_errno(error, -ENOMEM, DIVVY_BACKEND_DEVICES_FILE)
               : 0;
}

static int pending_set(struct divvy_backend_devices *devices, const char *uuid, const char *template_id, struct divvy_error *error) {
    struct pending pending = {uuid, template_id};

    return devices->file ? divvy_backend_filestate_change(devices->file, pending_body, &pending, error) : 0;
}

static void pending_clear(struct divvy_backend_devices *devices, const char *uuid) {
    struct divvy_error error = {0, ""};

    if (pending_set(devices, uuid, NULL, &error) < 0)
        divvy_log_warn("device %s: %s", uuid, error.text);
}

static void partition_recover(struct divvy_backend_devices *devices, const json_t *object) {
    struct divvy_backend_device *device = divvy_backend_device_read(object);
    int status = -EEXIST;

    if (!device)
        return;
    (void)pthread_mutex_lock(&devices->lock);
    if (!divvy_backend_devices_find(devices, device->uuid))
        status = divvy_backend_devices_enter(devices, device);
    (void)pthread_mutex_unlock(&devices->lock);
    if (status < 0)
        divvy_backend_device_unref(device);
}

static bool has_partition_of(struct divvy_backend_devices *devices, const char *uuid, const char *template_id) {
    bool has = false;

    (void)pthread_mutex_lock(&devices->lock);
    for (size_t i = 0; i < devices->count && !has; i++)
        has = divvy_core_word_equal(uuid, strlen(uuid), devices->table[i]->parent) &&
              strcmp(devices->table[i]->template_id, template_id) == 0;
    (void)pthread_mutex_unlock(&devices->lock);
    return has;
}

/*
 * A partition was being made when the program ended. A library takes a template for the newest partition that it made from it there: that
 * is the one, if it was made at all, unless others of that template are known, which it could be mistaken for.
 */
static void pending_recover(struct divvy_backend_devices *devices, const json_t *object) {
    const char *uuid = divvy_backend_object_id(object, DIVVY_BACKEND_DEVICES);
    struct divvy_error error = {0, ""};
    char template_id[DIVVY_ACCEL_NAME_BYTES];
    int status;

    if (!uuid || divvy_backend_object_text(object, OWN_PENDING, template_id, sizeof template_id) < 0 || !template_id[0])
        return;
    if (has_partition_of(devices, uuid, template_id)) {
        divvy_log_warn("device %s: a partition of template %s was being made when the program ended; if it is there, nobody has it: "
                       "it cannot be told from the others of that template",
                       uuid, template_id);
        pending_clear(devices, uuid);
        return;
    }
    status = divvy_accel_partition_remove(devices->accel, template_id, uuid, &error);
    if (status < 0 && status != -ENOENT) {
        divvy_log_error("device %s: a partition of template %s that was being made when the program ended is not taken back: %s", uuid,
                        template_id, error.text);
        return; /* at the next start */
    }
    divvy_log_info("device %s: what there was of a partition of template %s, which was being made when the program ended, is taken back",
                   uuid, template_id);
    pending_clear(devices, uuid);
}

void divvy_backend_devices_recover(struct divvy_backend_devices *devices) {
    struct divvy_error error = {0, ""};
    json_t *array, *object;
    size_t i;

    if (!devices->file)
        return;
    if (divvy_backend_filestate_read(devices->file, &array, NULL, &error) < 0) {
        divvy_log_error("partitions of an earlier run are not found again: %s", error.text);
        return;
    }
    json_array_foreach(array, i, object) partition_recover(devices, object);
    json_array_foreach(array, i, object) pending_recover(devices, object);
    json_decref(array);
}

/* --- making ------------------------------------------------------------------------------------------------------------------ */

/* It is on the device: into the table and the file, or off the device again. */
static int partition_enter(struct divvy_backend_devices *devices, struct divvy_backend_device *made, struct divvy_error *error) {
    struct divvy_backend_device **place;
    int status;

    (void)pthread_mutex_lock(&devices->lock);
    status = divvy_backend_devices_find(devices, made->uuid) ? -EEXIST : divvy_backend_devices_enter(devices, made);
    (void)pthread_mutex_unlock(&devices->lock);
    if (status < 0)
        return divvy_error_set_errno(error, status, "partition %.60s", made->uuid);
    status = save(devices, error);
    if (status == 0)
        return 0;
    (void)pthread_mutex_lock(&devices->lock);
    place = divvy_backend_devices_find(devices, made->uuid);
    if (place)
        divvy_backend_devices_leave(devices, place);
    (void)pthread_mutex_unlock(&devices->lock);
    return status;
}

static int partition_make(struct divvy_backend_devices *devices, struct divvy_backend_device *parent, const char *template_id,
                          const char *worker, struct divvy_backend_device **ret_made, struct divvy_error *error) {
    struct divvy_accel_partition *partition = calloc(1, sizeof *partition);
    struct divvy_backend_device *made = NULL;
    struct divvy_error undo = {0, ""};
    int status = partition ? divvy_accel_partition_assign(devices->accel, template_id, parent->uuid, partition, error)
                           : divvy_error_set_errno(error, -ENOMEM, "a partition of %.60s", parent->uuid);

    if (status < 0) {
        free(partition);
        return status;
    }
    made = divvy_backend_device_partition(parent, template_id, worker, partition);
    status = made ? partition_enter(devices, made, error)
                  : divvy_error_set_errno(error, -ENOMEM, "a partition of %.60s", parent->uuid);
    if (status < 0 && divvy_accel_partition_remove(devices->accel, partition->uuid, parent->uuid, &undo) < 0)
        divvy_log_error("partition %s of device %s is left over: %s", partition->uuid, parent->uuid, undo.text);
    free(partition);
    if (status < 0) {
        divvy_backend_device_unref(made);
        return status;
    }
    *ret_made = made;
    return 0;
}

static int split(struct divvy_backend_devices *devices, struct divvy_backend_device *parent, const char *template_id,
                 const char *worker, struct divvy_backend_device **ret_device, struct divvy_error *error) {
    struct divvy_backend_device *made;
    int status;

    if (parent->parent[0] || !parent->capabilities.partitioning)
        return divvy_error_set(error, -EOPNOTSUPP, "device %.60s cannot be divided", parent->uuid);
    status = pending_set(devices, parent->uuid, template_id, error);
    if (status < 0)
        return status;
    status = partition_make(devices, parent, template_id, worker, &made, error);
    pending_clear(devices, parent->uuid);
    if (status < 0)
        return status;
    *ret_device = divvy_backend_device_ref(made);
    divvy_backend_devices_tell(devices, DIVVY_BACKEND_ADDED, NULL, made);
    return 0;
}

int divvy_backend_devices_split(struct divvy_backend_devices *devices, const char *uuid, const char *template_id, const char *worker,
                                struct divvy_backend_device **ret_device, struct divvy_error *error) {
    struct divvy_backend_device *parent;
    int status;

    (void)pthread_mutex_lock(&devices->work);
    parent = devices->accel ? divvy_backend_devices_get(devices, uuid) : NULL;
    status = parent ? split(devices, parent, template_id, worker, ret_device, error)
                    : divvy_error_set(error, -ENODEV, "there is no device %.60s", uuid);
    divvy_backend_device_unref(parent);
    (void)pthread_mutex_unlock(&devices->work);
    return status;
}

/* --- removing ---------------------------------------------------------------------------------------------------------------- */

/* The reference is the caller's. */
static struct divvy_backend_device *partition_get(struct divvy_backend_devices *devices, const char *partition, const char *uuid) {
    struct divvy_backend_device **place, *found = NULL;

    (void)pthread_mutex_lock(&devices->lock);
    place = divvy_backend_devices_find(devices, partition);
    if (place && (*place)->parent[0] && (!uuid || divvy_core_word_equal(uuid, strlen(uuid), (*place)->parent)))
        found = divvy_backend_device_ref(*place);
    (void)pthread_mutex_unlock(&devices->lock);
    return found;
}

static void partition_leave(struct divvy_backend_devices *devices, struct divvy_backend_device *gone) {
    struct divvy_backend_device **place;
    bool had = false;

    (void)pthread_mutex_lock(&devices->lock);
    place = divvy_backend_devices_find(devices, gone->uuid);
    if (place) {
        divvy_backend_devices_leave(devices, place);
        had = true;
    }
    (void)pthread_mutex_unlock(&devices->lock);
    divvy_backend_devices_save(devices);
    if (gone->healthy)
        divvy_backend_devices_tell(devices, DIVVY_BACKEND_REMOVED, gone, NULL);
    if (had)
        divvy_backend_device_unref(gone);
}

int divvy_backend_devices_partition_remove(struct divvy_backend_devices *devices, const char *partition, const char *uuid,
                                           struct divvy_error *error) {
    struct divvy_backend_device *gone;
    int status = 0;

    (void)pthread_mutex_lock(&devices->work);
    gone = partition_get(devices, partition, uuid);
    if (!gone)
        status = divvy_error_set(error, -ENOENT, "there is no partition %.60s", partition);
    else if (!devices->accel)
        status = divvy_error_set(error, -ENODEV, "the accelerator library is not loaded");
    else
        status = divvy_accel_partition_remove(devices->accel, gone->uuid, gone->parent, error);
    if (gone && (status == 0 || status == -ENOENT)) { /* the library does not know it: it is gone already */
        status = 0;
        partition_leave(devices, gone);
    }
    divvy_backend_device_unref(gone);
    (void)pthread_mutex_unlock(&devices->work);
    return status;
}
