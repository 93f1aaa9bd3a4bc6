/*
 * The host's half of limiter.h (divvy/accelerator_limiter.h): pod files of other systems' layout (page/podfile.h) below a folder, for a
 * hypervisor that has this library loaded instead of writing them itself. Every call opens what it needs by names that are checked,
 * follows no link below the folder, and closes it again. Linked into the library itself, like exports.c.
 */
#include "core/sys.h"
#include "divvy/accelerator_limiter.h"
#include "limiter/hook/lock.h"
#include "page/podfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME_BYTES 254u /* of a namespace or a pod, with its NUL: Kubernetes has no longer ones */
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW)

static divvy_lock_t lock; /* over `base` and what is made and removed below it */
static int base = -1;

static AccelResult result_of(int status) {
    static const struct {
        int status;
        AccelResult result;
    } table[] = {{0, ACCEL_SUCCESS},
                 {-ENOENT, ACCEL_ERROR_NOT_FOUND},
                 {-EINVAL, ACCEL_ERROR_INVALID_PARAM},
                 {-ERANGE, ACCEL_ERROR_INVALID_PARAM},
                 {-EROFS, ACCEL_ERROR_NOT_SUPPORTED},
                 {-ENOSPC, ACCEL_ERROR_RESOURCE_EXHAUSTED},
                 {-ENOMEM, ACCEL_ERROR_RESOURCE_EXHAUSTED}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].result;
    return ACCEL_ERROR_OPERATION_FAILED;
}

static bool name_is_good(const char *name) {
    size_t length = name ? strnlen(name, NAME_BYTES) : 0;

    if (length == 0 || length == NAME_BYTES || name[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '/' || (unsigned char)name[i] <= ' ' || name[i] == 127)
            return false;
    return true;
}

static double now_s(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- folders; the lock is held ------------------------------------------------------------------------------------------------- */

static int folder_open(int above, const char *name, bool may_make) {
    int fd;

    if (may_make && mkdirat(above, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = divvy_core_sys_openat(above, name, OPEN_DIRECTORY, 0);
    return fd == -ENOTDIR || fd == -ELOOP ? -EPROTO : fd;
}

/* The folders of the namespace and of the pod, both open. */
static int pod_open(const char *ns, const char *pod, bool may_make, int *ret_ns, int *ret_pod) {
    int outer = base < 0 ? -EBADF : folder_open(base, ns, may_make), inner;

    if (outer < 0)
        return outer;
    inner = folder_open(outer, pod, may_make);
    if (inner < 0) {
        divvy_core_sys_close(&outer);
        return inner;
    }
    *ret_ns = outer;
    *ret_pod = inner;
    return 0;
}

/* Folders that still hold something stay. */
static void folders_remove(const char *ns, const char *pod, int outer) {
    (void)unlinkat(outer, pod, AT_REMOVEDIR);
    (void)unlinkat(base, ns, AT_REMOVEDIR);
}

static int file_open(const char *ns, const char *pod, struct divvy_podfile *ret_file) {
    int outer, inner, status;

    if (!name_is_good(ns) || !name_is_good(pod))
        return -EINVAL;
    divvy_lock_take(&lock);
    status = pod_open(ns, pod, false, &outer, &inner);
    if (status == 0) {
        status = divvy_podfile_open(inner, DIVVY_PODFILE_NAME, ret_file);
        divvy_core_sys_close(&inner);
        divvy_core_sys_close(&outer);
    }
    divvy_lock_give(&lock);
    return status;
}

/* --- the folder ------------------------------------------------------------------------------------------------------------------ */

ACCELERATOR_API AccelResult LimiterInit(const char *shmBasePath) {
    int saved = errno, fd;

    if (!shmBasePath || shmBasePath[0] != '/')
        return ACCEL_ERROR_INVALID_PARAM;
    fd = divvy_core_sys_open(shmBasePath, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0) {
        divvy_lock_take(&lock);
        divvy_core_sys_close(&base);
        base = fd;
        divvy_lock_give(&lock);
    }
    errno = saved;
    return fd < 0 ? result_of(fd) : ACCEL_SUCCESS;
}

ACCELERATOR_API AccelResult LimiterShutdown(void) {
    divvy_lock_take(&lock);
    divvy_core_sys_close(&base);
    divvy_lock_give(&lock);
    return ACCEL_SUCCESS;
}

/* --- pods -------------------------------------------------------------------------------------------------------------------------- */

static bool config_is_good(const LimiterDeviceConfig *config) {
    size_t length = strnlen(config->deviceUUID, sizeof config->deviceUUID);

    return config->deviceIdx < DIVVY_PODFILE_DEVICES && length > 0 && length < sizeof config->deviceUUID && config->upLimit <= 100;
}

static bool configs_are_good(const LimiterDeviceConfig *configs, size_t count) {
    uint32_t seen = 0;

    for (size_t i = 0; i < count; i++) {
        if (!config_is_good(&configs[i]) || (seen & UINT32_C(1) << configs[i].deviceIdx))
            return false;
        seen |= UINT32_C(1) << configs[i].deviceIdx;
    }
    return true;
}

/* Devices as configured, and no others. */
static int devices_set(const struct divvy_podfile *file, const LimiterDeviceConfig *configs, size_t count) {
    uint32_t kept = 0;
    int status = 0;

    for (size_t i = 0; i < count && status == 0; i++) {
        const struct divvy_podfile_limits limits = {configs[i].deviceUUID, configs[i].upLimit, configs[i].memLimit,
                                                    configs[i].totalCudaCores};

        status = divvy_podfile_device_set(file, configs[i].deviceIdx, &limits, now_s());
        kept |= UINT32_C(1) << configs[i].deviceIdx;
    }
    for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES && status == 0; i++)
        if (!(kept & UINT32_C(1) << i))
            status = divvy_podfile_device_clear(file, i);
    return status;
}

/* A file that is there keeps its tokens, its use and its pids. */
static int pod_make(int folder, const LimiterDeviceConfig *configs, size_t count) {
    struct divvy_podfile file = {0};
    int status = divvy_podfile_create(folder, DIVVY_PODFILE_NAME, (uint64_t)now_s(), &file);
    bool is_new = status == 0;

    if (status == -EEXIST)
        status = divvy_podfile_open(folder, DIVVY_PODFILE_NAME, &file);
    if (status == 0)
        status = devices_set(&file, configs, count);
    divvy_podfile_close(&file);
    if (status < 0 && is_new)
        (void)unlinkat(folder, DIVVY_PODFILE_NAME, 0);
    return status;
}

ACCELERATOR_API AccelResult LimiterCreateWorker(const char *ns, const char *pod, const LimiterDeviceConfig *cfgs, size_t n) {
    int saved = errno, outer, inner, status;

    if (!name_is_good(ns) || !name_is_good(pod) || !cfgs || n == 0)
        return ACCEL_ERROR_INVALID_PARAM;
    if (n > DIVVY_PODFILE_DEVICES)
        return ACCEL_ERROR_RESOURCE_EXHAUSTED;
    if (!configs_are_good(cfgs, n))
        return ACCEL_ERROR_INVALID_PARAM;
    divvy_lock_take(&lock);
    status = pod_open(ns, pod, true, &outer, &inner);
    if (status == 0) {
        status = pod_make(inner, cfgs, n);
        divvy_core_sys_close(&inner);
        if (status < 0)
            folders_remove(ns, pod, outer);
        divvy_core_sys_close(&outer);
    }
    divvy_lock_give(&lock);
    errno = saved;
    return result_of(status);
}

ACCELERATOR_API AccelResult LimiterRemoveWorker(const char *ns, const char *pod) {
    int saved = errno, outer, inner, status;

    if (!name_is_good(ns) || !name_is_good(pod))
        return ACCEL_ERROR_INVALID_PARAM;
    divvy_lock_take(&lock);
    status = pod_open(ns, pod, false, &outer, &inner);
    if (status == 0) {
        status = unlinkat(inner, DIVVY_PODFILE_NAME, 0) < 0 ? -errno : 0;
        divvy_core_sys_close(&inner);
        folders_remove(ns, pod, outer);
        divvy_core_sys_close(&outer);
    }
    divvy_lock_give(&lock);
    errno = saved;
    return result_of(status);
}

ACCELERATOR_API AccelResult LimiterRegisterPID(const char *ns, const char *pod, uint32_t hostPID) {
    struct divvy_podfile file = {0};
    int saved = errno, status = hostPID == 0 ? -EINVAL : file_open(ns, pod, &file);

    if (status == 0)
        status = divvy_podfile_pid_add(&file, hostPID);
    divvy_podfile_close(&file);
    errno = saved;
    return result_of(status);
}

/* Rates are set by a controller that sees every tenant of the device, which is a daemon's work and not a library's. */
ACCELERATOR_API AccelResult LimiterUpdateERL(const char *ns, const char *pod, uint32_t deviceIdx, uint32_t upLimit,
                                             double utilizationPercent, uint64_t timestampMicros) {
    (void)deviceIdx;
    (void)upLimit;
    (void)utilizationPercent;
    (void)timestampMicros;
    return name_is_good(ns) && name_is_good(pod) ? ACCEL_ERROR_NOT_SUPPORTED : ACCEL_ERROR_INVALID_PARAM;
}

ACCELERATOR_API AccelResult LimiterUpdateHeartbeat(const char *ns, const char *pod, uint64_t timestampSecs) {
    struct divvy_podfile file = {0};
    int saved = errno, status = file_open(ns, pod, &file);

    if (status == 0)
        status = divvy_podfile_beat(&file, timestampSecs);
    divvy_podfile_close(&file);
    errno = saved;
    return result_of(status);
}

ACCELERATOR_API AccelResult LimiterSetPodMemoryUsed(const char *ns, const char *pod, uint32_t deviceIdx, uint64_t memoryUsed) {
    struct divvy_podfile file = {0};
    int saved = errno, status = file_open(ns, pod, &file);

    if (status == 0)
        status = divvy_podfile_device_use(&file, deviceIdx, memoryUsed);
    divvy_podfile_close(&file);
    errno = saved;
    return result_of(status);
}
