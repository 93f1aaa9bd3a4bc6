/* Instances made on demand: see create.h. */
#include "mig/create.h"

#include "core/clock.h"
#include "core/sys.h"
#include "mig/apart.h"
#include "mig/error.h"
#include "mig/intent.h"
#include "mig/lock.h"
#include "mig/offers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TURN_FILE      ".create"
#define TURN_WAIT_NS   (10 * DIVVY_NS_PER_SECOND)
#define TURN_PAUSE_NS  (5 * DIVVY_NS_PER_MS)
#define TAKE_TRIES     20
#define DESTROY_TRIES  20 /* the driver lets go of a dead process's memory a moment later */
#define DESTROY_PAUSE_NS (50 * DIVVY_NS_PER_MS)
#define MARK_PREFIX    "."
#define MARK_ENDING    ".made"

static void pause_ns(uint64_t duration_ns) {
    struct timespec time = divvy_core_clock_timespec(duration_ns);

    (void)nanosleep(&time, NULL);
}

/* --- the mark ------------------------------------------------------------------------------------------------- */

int divvy_mig_mark_set(const struct divvy_mig_folder *folder, const char *uuid, struct divvy_mig_error *error) {
    char name[DIVVY_MIG_LOCK_NAME_BYTES];
    int fd, status = divvy_mig_folder_name(uuid, MARK_PREFIX, MARK_ENDING, name);

    if (status < 0)
        return divvy_mig_error_set(error, status, "'%.100s' cannot be the UUID of a device", uuid);
    fd = divvy_core_sys_openat(folder->fd, name, O_CREAT | O_WRONLY | O_NOFOLLOW, 0644);
    if (fd < 0)
        return divvy_mig_folder_fail(folder, fd, error);
    divvy_core_sys_close(&fd);
    return 0;
}

static void mark_remove(const struct divvy_mig_folder *folder, const char *uuid) {
    char name[DIVVY_MIG_LOCK_NAME_BYTES];

    if (divvy_mig_folder_name(uuid, MARK_PREFIX, MARK_ENDING, name) == 0)
        (void)unlinkat(folder->fd, name, 0);
}

bool divvy_mig_is_marked(const struct divvy_mig_folder *folder, const char *uuid) {
    char name[DIVVY_MIG_LOCK_NAME_BYTES];
    struct stat mark;

    return divvy_mig_folder_name(uuid, MARK_PREFIX, MARK_ENDING, name) == 0 &&
           divvy_core_sys_fstatat(folder->fd, name, &mark, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(mark.st_mode) &&
           (mark.st_uid == 0 || mark.st_uid == geteuid());
}

/* --- one at a time -------------------------------------------------------------------------------------------- */

bool divvy_mig_turn_is_free(const struct divvy_mig_folder *folder) {
    int fd = divvy_core_sys_openat(folder->fd, TURN_FILE, O_RDONLY | O_NOFOLLOW, 0);
    bool is_free = fd == -ENOENT || (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);

    divvy_core_sys_close(&fd);
    return is_free;
}

int divvy_mig_turn_take(const struct divvy_mig_folder *folder, struct divvy_mig_error *error) {
    int fd = divvy_core_sys_openat(folder->fd, TURN_FILE, O_CREAT | O_RDONLY | O_NOFOLLOW, 0644);
    uint64_t end_ns = divvy_core_clock_ns() + TURN_WAIT_NS;

    if (fd < 0)
        return divvy_mig_folder_fail(folder, fd, error);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int status = -errno;

        if ((status != -EWOULDBLOCK && status != -EINTR) || divvy_core_clock_ns() > end_ns) {
            divvy_core_sys_close(&fd);
            return divvy_mig_error_set(error, -EBUSY, "another program has been creating MIG instances for ten seconds");
        }
        pause_ns(TURN_PAUSE_NS);
    }
    return fd;
}

/* --- creating ------------------------------------------------------------------------------------------------- */

/* Where and of what the new instance is. */
struct plan {
    nvmlDevice_t gpu;
    const struct divvy_mig_device *device;
    struct divvy_mig_offer offer;
};

/* For a wish by size the smallest that is enough, then the GPU that is fullest: so that big ones can be had elsewhere. */
static bool is_better(const struct divvy_mig_offer *a, const struct divvy_mig_offer *b) {
    if (a->memory_mib != b->memory_mib)
        return a->memory_mib < b->memory_mib;
    if (a->gpu_slices != b->gpu_slices)
        return a->gpu_slices < b->gpu_slices;
    return a->creatable < b->creatable;
}

static int plan_make(struct divvy_mig *mig, const struct divvy_mig_list *list, const struct divvy_mig_profile *wanted,
                     const char *gpu_uuid, struct plan *ret_plan) {
    bool is_offered = false, is_found = false;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct divvy_mig_device *device = &list->devices[i];
        struct divvy_mig_offer offer;
        nvmlDevice_t gpu;

        if (device->is_mig || !device->mig_mode || (gpu_uuid && strcasecmp(gpu_uuid, device->uuid) != 0) ||
            mig->nvmlDeviceGetHandleByIndex_v2(device->gpu_index, &gpu) != NVML_SUCCESS)
            continue;
        for (uint32_t number = 0; number < DIVVY_MIG_PROFILE_NUMBERS; number++) {
            if (!divvy_mig_offer_read(mig, gpu, device, number, &offer) || !divvy_mig_offer_fits(&offer, wanted) ||
                (wanted->is_custom && (strchr(offer.profile, '+') || strchr(offer.profile, '-'))))
                continue;
            is_offered = true;
            if (offer.creatable == 0 || (is_found && !is_better(&offer, &ret_plan->offer)))
                continue;
            is_found = true;
            *ret_plan = (struct plan){.gpu = gpu, .device = device, .offer = offer};
        }
    }
    return is_found ? 0 : is_offered ? -ENOSPC : -ENOTSUP;
}

static nvmlReturn_t compute_create(struct divvy_mig *mig, nvmlGpuInstance_t instance, uint32_t slices,
                                   nvmlComputeInstance_t *ret_compute) {
    for (unsigned int number = 0; number < NVML_COMPUTE_INSTANCE_PROFILE_COUNT; number++) {
        nvmlComputeInstanceProfileInfo_t info = {0};

        if (DIVVY_MIG_ASK(mig, nvmlGpuInstanceGetComputeInstanceProfileInfo, instance, number,
                          NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED, &info) == NVML_SUCCESS &&
            info.sliceCount == slices)
            return DIVVY_MIG_ASK(mig, nvmlGpuInstanceCreateComputeInstance, instance, info.id, ret_compute);
    }
    return NVML_ERROR_NOT_SUPPORTED;
}

int divvy_mig_instance_find(struct divvy_mig *mig, nvmlDevice_t gpu, const struct divvy_mig_device *parent, uint32_t id,
                            struct divvy_mig_device *ret_device) {
    struct divvy_mig_list scratch = {0};
    unsigned int slots = 0;

    if (DIVVY_MIG_ASK(mig, nvmlDeviceGetMaxMigDeviceCount, gpu, &slots) != NVML_SUCCESS)
        return -EIO;
    for (uint32_t slot = 0; slot < slots && slot < 64; slot++)
        if (divvy_mig_list_instance_read(mig, gpu, parent, slot, 0, &scratch, ret_device) == 0 &&
            ret_device->gpu_instance == id)
            return 0;
    return -EIO;
}

/* The driver has made it: now its id is written down, it gets a compute instance, and its mark. */
static int instance_complete(struct divvy_mig *mig, const struct divvy_mig_folder *folder, const struct plan *plan, int intent_fd,
                             nvmlGpuInstance_t instance, uint32_t compute_slices, struct divvy_mig_device *ret_device,
                             struct divvy_mig_error *error) {
    nvmlComputeInstance_t compute;
    nvmlGpuInstanceInfo_t info = {0};
    nvmlReturn_t result = DIVVY_MIG_ASK(mig, nvmlGpuInstanceGetInfo, instance, &info);
    int status;

    if (result != NVML_SUCCESS)
        return divvy_mig_error_set(error, divvy_mig_nvml_errno(result), "the new MIG instance on GPU %u cannot be found",
                                   plan->device->gpu_index);
    status = divvy_mig_intent_made(intent_fd, info.id);
    if (status < 0)
        return divvy_mig_folder_fail(folder, status, error);
    result = compute_create(mig, instance, compute_slices ? compute_slices : plan->offer.gpu_slices, &compute);
    if (result != NVML_SUCCESS)
        return divvy_mig_error_set(error, divvy_mig_nvml_errno(result), "GPU %u: no compute instance of %s can be created: %s",
                                   plan->device->gpu_index, plan->offer.profile, mig->nvmlErrorString(result));
    if (divvy_mig_instance_find(mig, plan->gpu, plan->device, info.id, ret_device) < 0)
        status = divvy_mig_error_set(error, -EIO, "the new MIG instance on GPU %u cannot be found", plan->device->gpu_index);
    else
        status = divvy_mig_mark_set(folder, ret_device->uuid, error);
    if (status < 0)
        (void)DIVVY_MIG_ASK(mig, nvmlComputeInstanceDestroy, compute);
    return status;
}

static int plan_carry_out(struct divvy_mig *mig, const struct divvy_mig_folder *folder, const struct plan *plan,
                          uint32_t compute_slices, struct divvy_mig_device *ret_device, struct divvy_mig_error *error) {
    nvmlGpuInstance_t instance;
    nvmlReturn_t result;
    bool is_left = false;
    int intent_fd, status;

    status = divvy_mig_intent_begin(mig, folder, plan->gpu, plan->device->uuid, plan->offer.profile_id, &intent_fd, error);
    if (status < 0)
        return status;
    result = DIVVY_MIG_ASK(mig, nvmlDeviceCreateGpuInstance, plan->gpu, plan->offer.profile_id, &instance);
    if (result != NVML_SUCCESS)
        status = divvy_mig_error_set(error, divvy_mig_nvml_errno(result), "GPU %u: no instance of %s can be created: %s",
                                     plan->device->gpu_index, plan->offer.profile, mig->nvmlErrorString(result));
    else
        status = instance_complete(mig, folder, plan, intent_fd, instance, compute_slices, ret_device, error);
    if (result == NVML_SUCCESS && status < 0)
        is_left = DIVVY_MIG_ASK(mig, nvmlGpuInstanceDestroy, instance) != NVML_SUCCESS;
    divvy_core_sys_close(&intent_fd);
    if (!is_left) /* else it is for whoever comes next */
        divvy_mig_intent_end(folder);
    return status;
}

/*
 * Without its lock, whoever looks for what the dead left would destroy it. An instance in the same place has the same UUID: the
 * lock of the one before may still be about to go.
 */
static int created_take(struct divvy_mig_folder *folder, int64_t ttl_ns, const struct divvy_mig_device *device,
                        struct divvy_mig_lock *ret_lock, struct divvy_mig_error *error) {
    struct divvy_mig_holder holder;
    int status = divvy_mig_lock_take(folder, device->uuid, ttl_ns, 0, ret_lock, &holder, error);

    for (int tries = 0; status == -EBUSY && tries < TAKE_TRIES; tries++) {
        pause_ns(TURN_PAUSE_NS);
        status = divvy_mig_lock_take(folder, device->uuid, ttl_ns, 0, ret_lock, &holder, error);
    }

    if (status == -EBUSY)
        return divvy_mig_error_set(error, status, "another program took %s as soon as it was created", device->uuid);
    return status;
}

int divvy_mig_create_instance(struct divvy_mig *mig, const struct divvy_mig_folder *folder,
                              const struct divvy_mig_profile *wanted, const char *gpu_uuid, struct divvy_mig_device *ret_device,
                              struct divvy_mig_error *error) {
    struct divvy_mig_list *list;
    struct plan plan;
    int status;

    if (mig->is_apart)
        return divvy_mig_apart_create(mig->library, folder, wanted, gpu_uuid, ret_device, error);
    (void)divvy_mig_intent_settle(mig, folder, NULL);
    status = divvy_mig_list(mig, 0, &list, error);
    if (status < 0)
        return status;
    status = plan_make(mig, list, wanted, gpu_uuid, &plan);
    if (status == -ENOSPC)
        (void)divvy_mig_error_set(error, status, "no GPU has room for another %s", wanted->text);
    else if (status < 0)
        (void)divvy_mig_error_set(error, status, "no GPU with MIG on offers %s", wanted->text);
    else
        status = plan_carry_out(mig, folder, &plan, wanted->compute_slices, ret_device, error);
    divvy_mig_list_free(list);
    return status;
}

int divvy_mig_create(struct divvy_mig *mig, struct divvy_mig_folder *folder, const struct divvy_mig_profile *wanted,
                     const char *gpu_uuid, int64_t ttl_ns, struct divvy_mig_device *ret_device,
                     struct divvy_mig_lock *ret_lock, struct divvy_mig_error *error) {
    int status, turn = divvy_mig_turn_take(folder, error);

    if (turn < 0)
        return turn;
    status = divvy_mig_create_instance(mig, folder, wanted, gpu_uuid, ret_device, error);
    if (status == 0)
        status = created_take(folder, ttl_ns, ret_device, ret_lock, error);
    divvy_core_sys_close(&turn);
    return status;
}

/* --- destroying ----------------------------------------------------------------------------------------------- */

static nvmlReturn_t instance_destroy(struct divvy_mig *mig, const struct divvy_mig_folder *folder,
                                     const struct divvy_mig_device *device) {
    nvmlGpuInstanceInfo_t info = {0};
    nvmlComputeInstance_t compute;
    nvmlGpuInstance_t instance;
    nvmlDevice_t gpu;
    nvmlReturn_t result = mig->nvmlDeviceGetHandleByIndex_v2(device->gpu_index, &gpu);

    if (result == NVML_SUCCESS)
        result = DIVVY_MIG_ASK(mig, nvmlDeviceGetGpuInstanceById, gpu, device->gpu_instance, &instance);
    if (result != NVML_SUCCESS)
        return result;
    if (DIVVY_MIG_ASK(mig, nvmlGpuInstanceGetInfo, instance, &info) == NVML_SUCCESS)
        divvy_mig_intent_unmake(folder, device->parent_uuid, info.profileId, device->gpu_instance);
    /* A try before may have got as far as the compute instance. */
    result = DIVVY_MIG_ASK(mig, nvmlGpuInstanceGetComputeInstanceById, instance, device->compute_instance, &compute);
    if (result == NVML_SUCCESS)
        result = DIVVY_MIG_ASK(mig, nvmlComputeInstanceDestroy, compute);
    if (result != NVML_SUCCESS && result != NVML_ERROR_NOT_FOUND)
        return result;
    return DIVVY_MIG_ASK(mig, nvmlGpuInstanceDestroy, instance);
}

static const struct divvy_mig_device *by_uuid(const struct divvy_mig_list *list, const char *uuid) {
    for (uint32_t i = 0; i < list->count; i++)
        if (list->devices[i].is_mig && strcmp(list->devices[i].uuid, uuid) == 0)
            return &list->devices[i];
    return NULL;
}

int divvy_mig_destroy(struct divvy_mig *mig, const struct divvy_mig_folder *folder, const char *uuid,
                      struct divvy_mig_error *error) {
    const struct divvy_mig_device *device;
    nvmlReturn_t result = NVML_SUCCESS;
    struct divvy_mig_list *list;
    int status;

    if (mig->is_apart)
        return divvy_mig_apart_destroy(mig->library, folder, uuid, error);
    status = divvy_mig_list(mig, 0, &list, error);
    if (status < 0)
        return status;
    device = by_uuid(list, uuid);
    for (int tries = 0; device && tries < DESTROY_TRIES; tries++) {
        result = instance_destroy(mig, folder, device);
        if (result != NVML_ERROR_IN_USE)
            break;
        pause_ns(DESTROY_PAUSE_NS);
    }
    divvy_mig_list_free(list);
    if (result == NVML_SUCCESS || result == NVML_ERROR_IN_USE || result == NVML_ERROR_NO_PERMISSION)
        divvy_mig_intent_end(folder); /* else it may be half gone */
    if (result != NVML_SUCCESS)
        return divvy_mig_error_set(error, divvy_mig_nvml_errno(result), "MIG instance %s cannot be destroyed: %s", uuid,
                                   mig->nvmlErrorString(result));
    mark_remove(folder, uuid);
    return 0;
}

/* --- what the dead left ----------------------------------------------------------------------------------------- */

/* Destroys it if nobody has it: 1, 0 somebody has, or a negative errno. */
static int orphan_destroy(struct divvy_mig *mig, struct divvy_mig_folder *folder, const char *uuid,
                          struct divvy_mig_error *error) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;
    int status = divvy_mig_lock_take(folder, uuid, DIVVY_MIG_TTL_NS, 0, &lock, &holder, error);

    if (status < 0)
        return status == -EBUSY ? 0 : status;
    status = divvy_mig_destroy(mig, folder, uuid, error);
    (void)divvy_mig_lock_release(folder, &lock);
    return status < 0 ? status : 1;
}

/* Marks of instances that are gone would stick to another of the same UUID. */
static void stale_marks_remove(const struct divvy_mig_folder *folder, const struct divvy_mig_list *list) {
    int fd = divvy_core_sys_openat(folder->fd, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!directory) {
        divvy_core_sys_close(&fd);
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        size_t length = strlen(entry->d_name), ending = strlen(MARK_ENDING);
        bool is_stale = entry->d_name[0] == '.' && length > ending &&
                        strcmp(entry->d_name + length - ending, MARK_ENDING) == 0;

        for (uint32_t i = 0; i < list->count && is_stale; i++) {
            char name[DIVVY_MIG_LOCK_NAME_BYTES];

            is_stale = divvy_mig_folder_name(list->devices[i].uuid, MARK_PREFIX, MARK_ENDING, name) < 0 ||
                       strcmp(name, entry->d_name) != 0;
        }
        if (is_stale)
            (void)unlinkat(folder->fd, entry->d_name, 0);
    }
    (void)closedir(directory);
}

static int settle(struct divvy_mig *mig, const struct divvy_mig_folder *folder, struct divvy_mig_error *error) {
    return mig->is_apart ? divvy_mig_apart_settle(mig->library, folder, error) : divvy_mig_intent_settle(mig, folder, error);
}

int divvy_mig_reap(struct divvy_mig *mig, const char *lock_dir, struct divvy_mig_error *error) {
    struct divvy_mig_folder folder;
    struct divvy_mig_list *list;
    int turn, destroyed = 0, status = divvy_mig_folder_open(lock_dir, false, &folder, error);

    if (status < 0)
        return status == -ENOENT ? 0 : status;
    turn = divvy_mig_turn_take(&folder, error);
    divvy_mig_list_free(mig->fresh); /* read before it was our turn */
    mig->fresh = NULL;
    status = turn < 0 ? turn : settle(mig, &folder, error);
    if (status == 0)
        status = divvy_mig_list(mig, 0, &list, error);
    if (status == 0) {
        for (uint32_t i = 0; i < list->count && status >= 0; i++) {
            if (!list->devices[i].is_mig || !divvy_mig_is_marked(&folder, list->devices[i].uuid))
                continue;
            status = orphan_destroy(mig, &folder, list->devices[i].uuid, error);
            destroyed += status > 0;
        }
        if (list->faults == 0)
            stale_marks_remove(&folder, list);
        divvy_mig_list_free(list);
    }
    divvy_core_sys_close(&turn);
    divvy_mig_folder_close(&folder);
    return status < 0 ? status : destroyed;
}
