/* Creations that were begun: see intent.h. One line: "gpu=UUID profile=ID before=IDS\n", then "made=ID\n". */
#include "mig/intent.h"

#include "core/parse.h"
#include "core/sys.h"
#include "mig/create.h"
#include "mig/error.h"
#include "mig/list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTENT_FILE  ".creating"
#define INTENT_BYTES 256u
#define INSTANCES    64u /* ids are small numbers: NVML's are below 15 */
#define UNKNOWN_ID   UINT64_MAX

struct intent {
    char gpu_uuid[DIVVY_MIG_UUID_BYTES];
    uint64_t profile_id, before /* a bit for each id */, made /* or UNKNOWN_ID */;
};

/* --- the file ------------------------------------------------------------------------------------------------------ */

static uint64_t instances_read(struct divvy_mig *mig, nvmlDevice_t gpu) {
    nvmlGpuInstance_t instance;
    uint64_t ids = 0;

    for (uint32_t id = 0; id < INSTANCES; id++)
        if (DIVVY_MIG_ASK(mig, nvmlDeviceGetGpuInstanceById, gpu, id, &instance) == NVML_SUCCESS)
            ids |= UINT64_C(1) << id;
    return ids;
}

/* *ret_fd: NULL, or for more. */
static int intent_write(const struct divvy_mig_folder *folder, const char *text, int length, int *ret_fd,
                        struct divvy_mig_error *error) {
    int status, fd;

    (void)unlinkat(folder->fd, INTENT_FILE, 0); /* one that cannot be read, or somebody else's */
    fd = divvy_core_sys_openat(folder->fd, INTENT_FILE, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0644);
    if (fd < 0)
        return divvy_mig_folder_fail(folder, fd, error);
    status = divvy_core_sys_write(fd, text, (size_t)length);
    if (status < 0)
        divvy_mig_intent_end(folder);
    if (status == 0 && ret_fd)
        *ret_fd = fd;
    else
        divvy_core_sys_close(&fd);
    return status < 0 ? divvy_mig_folder_fail(folder, status, error) : 0;
}

int divvy_mig_intent_begin(struct divvy_mig *mig, const struct divvy_mig_folder *folder, nvmlDevice_t gpu, const char *gpu_uuid,
                           uint32_t profile_id, int *ret_fd, struct divvy_mig_error *error) {
    char text[INTENT_BYTES];
    int length = snprintf(text, sizeof text, "gpu=%.95s profile=%" PRIu32 " before=%" PRIu64 "\n", gpu_uuid, profile_id,
                          instances_read(mig, gpu));

    return intent_write(folder, text, length, ret_fd, error);
}

void divvy_mig_intent_unmake(const struct divvy_mig_folder *folder, const char *gpu_uuid, uint32_t profile_id,
                             uint32_t instance_id) {
    char text[INTENT_BYTES];
    int length = snprintf(text, sizeof text, "gpu=%.95s profile=%" PRIu32 " before=0\nmade=%" PRIu32 "\n", gpu_uuid, profile_id,
                          instance_id);

    (void)intent_write(folder, text, length, NULL, NULL);
}

int divvy_mig_intent_made(int fd, uint32_t instance_id) {
    char text[32];

    return divvy_core_sys_write(fd, text, (size_t)snprintf(text, sizeof text, "made=%" PRIu32 "\n", instance_id));
}

void divvy_mig_intent_end(const struct divvy_mig_folder *folder) {
    (void)unlinkat(folder->fd, INTENT_FILE, 0);
}

/* The value behind "name=" at *at, up to `end`; moves *at behind it. */
static bool word_take(const char **at, const char *name, char end, const char **ret_value, size_t *ret_length) {
    size_t length = strlen(name);
    const char *stop;

    if (strncmp(*at, name, length) != 0 || !(stop = strchr(*at, end)))
        return false;
    *ret_value = *at + length;
    *ret_length = (size_t)(stop - *ret_value);
    *at = stop + 1;
    return true;
}

static bool number_take(const char **at, const char *name, char end, uint64_t *ret_number) {
    const char *value;
    size_t length;

    return word_take(at, name, end, &value, &length) && divvy_core_u64_parse(value, length, ret_number, NULL) == 0;
}

static int intent_parse(const char *text, struct intent *ret_intent) {
    struct intent intent = {.made = UNKNOWN_ID};
    const char *uuid;
    size_t length;

    if (!word_take(&text, "gpu=", ' ', &uuid, &length) || length == 0 || length >= sizeof intent.gpu_uuid ||
        !number_take(&text, "profile=", ' ', &intent.profile_id) || !number_take(&text, "before=", '\n', &intent.before))
        return -EINVAL;
    memcpy(intent.gpu_uuid, uuid, length);
    if (number_take(&text, "made=", '\n', &intent.made) && intent.made >= INSTANCES)
        return -EINVAL;
    *ret_intent = intent;
    return 0;
}

/* What a file of ours or of root says: -ENOENT there is none, -EINVAL it cannot be believed. */
static int intent_read(const struct divvy_mig_folder *folder, struct intent *ret_intent) {
    char text[INTENT_BYTES] = "";
    struct stat found;
    ssize_t length;
    int fd = divvy_core_sys_openat(folder->fd, INTENT_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    if (fd < 0)
        return fd == -ENOENT ? -ENOENT : -EINVAL;
    if (divvy_core_sys_fstat(fd, &found) < 0 || !S_ISREG(found.st_mode) || (found.st_uid != 0 && found.st_uid != geteuid()))
        length = -EINVAL;
    else
        length = divvy_core_sys_read(fd, text, sizeof text - 1);
    divvy_core_sys_close(&fd);
    return length < 0 ? -EINVAL : intent_parse(text, ret_intent);
}

bool divvy_mig_intent_is_abandoned(const struct divvy_mig_folder *folder) {
    struct stat found;

    return divvy_core_sys_fstatat(folder->fd, INTENT_FILE, &found, AT_SYMLINK_NOFOLLOW) == 0 && divvy_mig_turn_is_free(folder);
}

/* --- what it left --------------------------------------------------------------------------------------------------- */

static int gpu_find(struct divvy_mig *mig, const char *uuid, nvmlDevice_t *ret_gpu, struct divvy_mig_device *ret_device) {
    unsigned int count = 0;
    char text[DIVVY_MIG_UUID_BYTES];

    if (mig->nvmlDeviceGetCount_v2(&count) != NVML_SUCCESS)
        return -EIO;
    for (unsigned int index = 0; index < count; index++)
        if (mig->nvmlDeviceGetHandleByIndex_v2(index, ret_gpu) == NVML_SUCCESS &&
            mig->nvmlDeviceGetUUID(*ret_gpu, text, sizeof text) == NVML_SUCCESS && strcasecmp(text, uuid) == 0) {
            *ret_device = (struct divvy_mig_device){.gpu_index = index, .mig_mode = 1, .mig_mode_pending = 1};
            (void)snprintf(ret_device->uuid, sizeof ret_device->uuid, "%s", text);
            return 0;
        }
    return -ENOENT;
}

/* The next one, from *id on, that the dead writer may have made. */
static bool left_find(struct divvy_mig *mig, nvmlDevice_t gpu, const struct intent *intent, uint32_t *id,
                      nvmlGpuInstance_t *ret_instance) {
    for (; *id < INSTANCES; ++*id) {
        nvmlGpuInstanceInfo_t info = {0};

        if ((intent->before >> *id & 1) == 0 && (intent->made == UNKNOWN_ID || intent->made == *id) &&
            DIVVY_MIG_ASK(mig, nvmlDeviceGetGpuInstanceById, gpu, *id, ret_instance) == NVML_SUCCESS &&
            DIVVY_MIG_ASK(mig, nvmlGpuInstanceGetInfo, *ret_instance, &info) == NVML_SUCCESS &&
            info.profileId == intent->profile_id)
            return true;
    }
    return false;
}

/*
 * One that has a compute instance has a UUID too, and may be in use: it is ours when its id was written down, which is done before it gets
 * one. One without cannot be used by anybody, and goes. Where nothing was written down several of these cannot be told apart, and stay.
 */
static int left_clear(struct divvy_mig *mig, const struct divvy_mig_folder *folder, const struct intent *intent,
                      struct divvy_mig_error *error) {
    struct divvy_mig_device parent, device;
    nvmlGpuInstance_t instance, bare = NULL;
    uint32_t bare_count = 0;
    nvmlDevice_t gpu;
    nvmlReturn_t result;

    if (gpu_find(mig, intent->gpu_uuid, &gpu, &parent) < 0)
        return 0;
    for (uint32_t id = 0; left_find(mig, gpu, intent, &id, &instance); id++) {
        if (divvy_mig_instance_find(mig, gpu, &parent, id, &device) == 0) {
            if (intent->made == id)
                return divvy_mig_mark_set(folder, device.uuid, error);
            continue;
        }
        bare = instance;
        bare_count++;
    }
    result = bare_count == 1 ? DIVVY_MIG_ASK(mig, nvmlGpuInstanceDestroy, bare) : NVML_SUCCESS;
    if (result != NVML_SUCCESS)
        return divvy_mig_error_set(error, divvy_mig_nvml_errno(result),
                                   "GPU %u: an instance that a killed program has left cannot be destroyed: %s",
                                   parent.gpu_index, mig->nvmlErrorString(result));
    return 0;
}

int divvy_mig_intent_settle(struct divvy_mig *mig, const struct divvy_mig_folder *folder, struct divvy_mig_error *error) {
    struct intent intent;
    int status = intent_read(folder, &intent);

    if (status == -ENOENT)
        return 0;
    status = status < 0 ? 0 : left_clear(mig, folder, &intent, error);
    if (status == 0)
        divvy_mig_intent_end(folder);
    return status;
}
