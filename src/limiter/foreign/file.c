/*
 * The foreign pod file: found, mapped once, and looked at ten times a second by whoever comes by. A look reads the whole file by
 * a system call into memory of our own, which no cut file can hurt, and checks it there.
 */
#include "limiter/foreign/foreign.h"

#include "core/hash.h"
#include "core/log.h"
#include "core/sys.h"
#include "core/uuid.h"
#include "limiter/channel/channel.h"
#include "limiter/compute/compute.h"
#include "limiter/hook/limits.h"
#include "limiter/hook/lock.h"
#include "limiter/hook/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Hypervisors add up what a pod uses once or twice a second: what was given back may be in their sum for that long. */
#define PEAK_NS UINT64_C(1000000000)
/* What a test's file begins with. */
#define TEST_PERCENT 80u
#define TEST_BYTES   (UINT64_C(8) << 30)

struct divvy_foreign divvy_foreign;

static struct divvy_foreign_source source;
static int file_fd = -1;   /* atomic */
static uint64_t looked_ns; /* atomic */
static divvy_lock_t lock;  /* of a look: what follows, and who writes divvy_foreign */
static uint64_t peak_ns;
static union {
    struct divvy_podfile_v2 v2;
    struct divvy_podfile_v1 v1;
} copy;

/* --- the file ---------------------------------------------------------------------------------------------------------- */

static uint64_t realtime_s(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > 0 ? (uint64_t)now.tv_sec : 0;
}

static bool is_file(const struct stat *status) {
    return status->st_ino == __atomic_load_n(&divvy_foreign.file.inode, __ATOMIC_RELAXED) &&
           status->st_dev == __atomic_load_n(&divvy_foreign.file.filesystem, __ATOMIC_RELAXED);
}

/* A program may have closed our descriptor and used its number for something else, which is not ours to close. */
static void descriptor_drop(void) {
    int fd = __atomic_exchange_n(&file_fd, -1, __ATOMIC_ACQ_REL);
    struct stat status;

    if (fd >= 0 && divvy_core_sys_fstat(fd, &status) == 0 && is_file(&status))
        divvy_core_sys_close(&fd);
}

bool divvy_foreign_is_whole(void) {
    struct stat status;

    return divvy_core_sys_fstat(__atomic_load_n(&file_fd, __ATOMIC_ACQUIRE), &status) == 0 &&
           is_file(&status) && status.st_size == (off_t)DIVVY_PODFILE_BYTES;
}

/* A descriptor of the very file that was mapped. */
static int descriptor_open(const struct divvy_podfile *file, int *ret_fd) {
    int fd = divvy_core_sys_open(source.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat status;

    if (fd < 0)
        return fd;
    if (divvy_core_sys_fstat(fd, &status) < 0 || status.st_ino != file->inode ||
        status.st_dev != file->filesystem) {
        divvy_core_sys_close(&fd);
        return -EAGAIN; /* exchanged in between */
    }
    *ret_fd = fd;
    return 0;
}

/*
 * Map the file that is there now. One that was mapped before gives its addresses to it in one step: another thread may be
 * taking tokens.
 */
static int file_map(void) {
    struct divvy_podfile file = {0};
    int fd = -1, saved = errno, status = divvy_podfile_open(AT_FDCWD, source.path, &file);

    if (status == 0)
        status = descriptor_open(&file, &fd);
    if (status == 0 && divvy_foreign.file.v2 &&
        (file.tag != divvy_foreign.file.tag ||
         mremap(file.v2, DIVVY_PODFILE_BYTES, DIVVY_PODFILE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
                divvy_foreign.file.v2) == MAP_FAILED))
        status = -EPROTO;
    errno = saved;
    if (status < 0) {
        divvy_podfile_close(&file);
        divvy_core_sys_close(&fd);
        return status;
    }
    descriptor_drop();
    if (divvy_foreign.file.v2) { /* address and tag are what they were */
        __atomic_store_n(&divvy_foreign.file.inode, file.inode, __ATOMIC_RELAXED);
        __atomic_store_n(&divvy_foreign.file.filesystem, file.filesystem, __ATOMIC_RELAXED);
    } else {
        divvy_foreign.file = file;
    }
    __atomic_store_n(&file_fd, fd, __ATOMIC_RELEASE);
    return 0;
}

/* What the file says now into the copy: 0, or why it cannot be believed. */
static int file_copy(void) {
    int saved = errno;
    long length;

    if (!divvy_podfile_is_current(&divvy_foreign.file, AT_FDCWD, source.path)) {
        int status = file_map();

        if (status < 0)
            return status;
    }
    if (!divvy_foreign_is_whole())
        return -EPROTO;
    length = syscall(SYS_pread64, file_fd, &copy, sizeof copy, 0L);
    errno = saved;
    if (length != (long)sizeof copy || copy.v2.tag != divvy_foreign.file.tag)
        return -EPROTO;
    return divvy_podfile_validate(&copy, sizeof copy);
}

static struct divvy_podfile copy_file(void) {
    return (struct divvy_podfile){.v2 = &copy.v2, .tag = copy.v2.tag};
}

/* --- devices ----------------------------------------------------------------------------------------------------------- */

static int entry_find(unsigned device, struct divvy_podfile_entry *ret_entry) {
    struct divvy_podfile file = copy_file();
    char text[DIVVY_CORE_UUID_TEXT_BYTES];
    divvy_core_uuid_t uuid;
    int entry;

    memcpy(uuid.bytes, &divvy_process.page->devices[device].uuid, sizeof uuid.bytes);
    divvy_core_uuid_format(&uuid, text);
    entry = divvy_podfile_device_find(&file, text);
    return entry < 0 || divvy_podfile_device_read(&file, (unsigned)entry, ret_entry) < 0 ? -ENOENT
                                                                                         : entry;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void peak_raise(struct divvy_foreign_device *device, uint64_t bytes) {
    if (__atomic_load_n(&device->peaks_bytes[0], __ATOMIC_RELAXED) < bytes)
        __atomic_store_n(&device->peaks_bytes[0], bytes, __ATOMIC_RELAXED);
}

static void peaks_turn(uint64_t now_ns) {
    if (now_ns - peak_ns < PEAK_NS)
        return;
    peak_ns = now_ns;
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        struct divvy_foreign_device *device = &divvy_foreign.devices[i];
        uint64_t used = divvy_page_used(divvy_process.page, i);

        __atomic_store_n(&device->peaks_bytes[1],
                         __atomic_load_n(&device->peaks_bytes[0], __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
        __atomic_store_n(&device->peaks_bytes[0], used, __ATOMIC_RELAXED);
    }
}

/*
 * What the hypervisor has counted and the usage page has not: other containers, limiters of other systems, contexts. Its figure is
 * old; what our own processes have held since then may be in it.
 */
static uint64_t others_of(struct divvy_foreign_device *device, unsigned index, uint64_t pod_bytes) {
    uint64_t own;

    peak_raise(device, divvy_page_used(divvy_process.page, index));
    own = larger(__atomic_load_n(&device->peaks_bytes[0], __ATOMIC_RELAXED),
                 __atomic_load_n(&device->peaks_bytes[1], __ATOMIC_RELAXED));
    return pod_bytes > own ? pod_bytes - own : 0;
}

/* 0 percent is none at all; the page's 0 would be "not set". */
static uint32_t permille_of(uint32_t percent) {
    if (percent >= DIVVY_PODFILE_UNTHROTTLED)
        return DIVVY_PAGE_PERMILLE_UNLIMITED;
    return percent ? percent * 10 : 1;
}

/* The page says what the file said last, whatever else was written there. */
static void limits_follow(unsigned index) {
    const struct divvy_foreign_device *device = &divvy_foreign.devices[index];
    struct divvy_page_device *page = &divvy_process.page->devices[index];
    uint64_t bytes = __atomic_load_n(&device->mem_limit, __ATOMIC_RELAXED);
    uint32_t permille = permille_of(__atomic_load_n(&device->up_limit, __ATOMIC_RELAXED));

    if (bytes == 0)
        bytes = DIVVY_PAGE_UNLIMITED;
    if (__atomic_load_n(&page->limit_bytes, __ATOMIC_RELAXED) == bytes &&
        __atomic_load_n(&page->compute_permille, __ATOMIC_RELAXED) == permille)
        return;
    __atomic_store_n(&page->limit_bytes, bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&page->compute_permille, permille, __ATOMIC_RELAXED);
    divvy_channel_device_changed(divvy_process.page, index);
}

/* An entry that is no longer there leaves its device with the limits that it had. */
static void device_update(unsigned index) {
    struct divvy_foreign_device *device = &divvy_foreign.devices[index];
    struct divvy_podfile_entry seen;
    int entry = entry_find(index, &seen);
    uint64_t capacity;

    if (entry < 0)
        return;
    memcpy(&capacity, &seen.capacity, sizeof capacity);
    __atomic_store_n(&device->entry, (uint32_t)entry, __ATOMIC_RELAXED);
    __atomic_store_n(&device->up_limit, seen.up_limit, __ATOMIC_RELAXED);
    __atomic_store_n(&device->mem_limit, seen.mem_limit, __ATOMIC_RELAXED);
    __atomic_store_n(&device->capacity, capacity, __ATOMIC_RELAXED);
    __atomic_store_n(&device->others_bytes, others_of(device, index, seen.pod_memory_used),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&device->is_known, 1, __ATOMIC_RELEASE);
}

/* --- looking ------------------------------------------------------------------------------------------------------------ */

static void state_set(divvy_foreign_state_t state, int cause) {
    divvy_foreign_state_t before = divvy_foreign_state();

    __atomic_store_n(&divvy_foreign.state, (uint32_t)state, __ATOMIC_RELEASE);
    if (state == before)
        return;
    if (state == DIVVY_FOREIGN_HEALTHY)
        divvy_core_log_info("%s: its hypervisor %s", source.path,
                            before == DIVVY_FOREIGN_NONE ? "decides" : "is back");
    else
        divvy_core_log_limited(DIVVY_LOG_ERROR, 60 * DIVVY_NS_PER_SECOND,
                               "%s: %s; %s, and its last memory limit holds", source.path,
                               cause == 0         ? "its hypervisor gives no sign of life"
                               : cause == -EPROTO ? "it is no pod file any more"
                                                  : "it is gone",
                               divvy_foreign.is_closed
                                   ? "GPU time is kept to the last limit"
                                   : "GPU time is not limited, as DIVVY_FAIL_POLICY=open asks");
}

static divvy_foreign_state_t copy_state(void) {
    struct divvy_podfile file = copy_file();

    return divvy_podfile_is_healthy(&file, realtime_s()) ? DIVVY_FOREIGN_HEALTHY
                                                         : DIVVY_FOREIGN_SILENT;
}

static bool is_entered(unsigned device) {
    return (divvy_process.page->devices[device].uuid.low |
            divvy_process.page->devices[device].uuid.high) != 0;
}

static void look_locked(uint64_t now_ns) {
    int status = file_copy();

    if (status < 0) {
        state_set(DIVVY_FOREIGN_SILENT, status);
        return;
    }
    peaks_turn(now_ns);
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        if (is_entered(i))
            device_update(i);
        if (__atomic_load_n(&divvy_foreign.devices[i].is_known, __ATOMIC_RELAXED))
            limits_follow(i);
    }
    state_set(copy_state(), 0);
}

void divvy_foreign_look(uint64_t now_ns) {
    uint64_t last_ns = __atomic_load_n(&looked_ns, __ATOMIC_RELAXED);

    if (divvy_foreign_state() == DIVVY_FOREIGN_NONE || now_ns - last_ns < DIVVY_FOREIGN_LOOK_NS ||
        !__atomic_compare_exchange_n(&looked_ns, &last_ns, now_ns, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    divvy_lock_take(&lock);
    look_locked(now_ns);
    divvy_lock_give(&lock);
}

void divvy_foreign_doubt(void) {
    __atomic_store_n(&looked_ns, 0, __ATOMIC_RELAXED);
}

uint64_t divvy_foreign_others(unsigned device, uint64_t wanted_bytes) {
    struct divvy_foreign_device *own = &divvy_foreign.devices[device];

    if (divvy_foreign_state() == DIVVY_FOREIGN_NONE ||
        !__atomic_load_n(&own->is_known, __ATOMIC_ACQUIRE))
        return 0;
    divvy_foreign_look(divvy_core_clock_ns());
    limits_follow(device);
    if (wanted_bytes > 0)
        peak_raise(own, divvy_page_used(divvy_process.page, device) + wanted_bytes);
    return __atomic_load_n(&own->others_bytes, __ATOMIC_RELAXED);
}

/* --- attaching ---------------------------------------------------------------------------------------------------------- */

static int32_t machine_index(const struct divvy_limit_device *machine, size_t count,
                             const divvy_core_uuid_t *uuid) {
    for (size_t i = 0; i < count; i++)
        if (divvy_core_uuid_equal(&machine[i].uuid, uuid))
            return machine[i].index;
    return -1;
}

/* TF_VISIBLE_DEVICES into a file that a test has not made: -EINVAL when it is no list of this machine's GPUs. */
static int test_devices(const struct divvy_podfile *file, const struct divvy_limit_device *machine,
                        size_t count) {
    const struct divvy_podfile_limits limits = {.up_limit = TEST_PERCENT, .mem_limit = TEST_BYTES};
    const char *at = getenv("TF_VISIBLE_DEVICES");
    int status = at && *at ? 0 : -EINVAL;

    while (status == 0 && *at) {
        struct divvy_podfile_limits of_device = limits;
        size_t length = strcspn(at, ",");
        char text[DIVVY_CORE_UUID_TEXT_BYTES];
        divvy_core_uuid_t uuid;
        int32_t index;

        status = divvy_core_uuid_parse(at, length, &uuid, NULL);
        if (status < 0)
            break;
        divvy_core_uuid_format(&uuid, text);
        index = machine_index(machine, count, &uuid);
        of_device.uuid = text;
        status = index < 0 ? -EINVAL
                           : divvy_podfile_device_set(file, (unsigned)index, &of_device,
                                                      (double)realtime_s());
        at += length + (at[length] == ',');
    }
    return status;
}

static int test_file_make(const struct divvy_limit_device *machine, size_t count) {
    struct divvy_podfile file = {0};
    int saved = errno, status = divvy_podfile_create(AT_FDCWD, source.path, realtime_s(), &file);

    if (status < 0)
        return status == -EEXIST ? 0 : status;
    status = test_devices(&file, machine, count);
    divvy_podfile_close(&file);
    if (status < 0) {
        (void)syscall(SYS_unlinkat, AT_FDCWD, source.path, 0);
        errno = saved;
        divvy_core_log_once(
            DIVVY_LOG_ERROR,
            "TF_VISIBLE_DEVICES must name GPUs of this machine by UUID, with commas, for %s to be "
            "made",
            source.path);
    }
    return status;
}

static int refuse(int status) {
    const char *what_follows = divvy_limits_what_follows();

    if (status == -EPROTO)
        divvy_core_log_once(
            DIVVY_LOG_ERROR,
            "%s: %s is no pod file of a hypervisor (a file of %u bytes, with a tag of 0 or 1); %s",
            source.variable ? source.variable : "POD_NAME", source.path, DIVVY_PODFILE_BYTES,
            what_follows);
    else
        divvy_core_log_once(
            DIVVY_LOG_ERROR, "%s: the hypervisor's pod file %s cannot be opened: %s (errno %d); %s",
            source.variable ? source.variable : "POD_NAME", source.path, divvy_core_sys_error_text(status), -status, what_follows);
    return status;
}

static int attach_to(const struct divvy_limit_device *machine, size_t count) {
    int status = file_map();

    if (status == -ENOENT && source.is_test) {
        status = test_file_make(machine, count);
        if (status == -EINVAL)
            return status;
        if (status == 0)
            status = file_map();
    }
    if (status == -ENOENT && !source.variable)
        return 0;
    if (status == 0)
        status = file_copy();
    if (status < 0)
        return refuse(status);
    divvy_foreign.is_closed = divvy_limits_fail_closed();
    state_set(copy_state(), 0);
    return 0;
}

int divvy_foreign_attach(const struct divvy_limit_device *machine, size_t count) {
    int status = divvy_foreign_source_find(&source);

    if (status == -ENOENT)
        return 0;
    if (status < 0) {
        divvy_core_log_once(
            DIVVY_LOG_ERROR,
            "%s must be the whole path of the hypervisor's pod file, from / on and of less than %u "
            "bytes",
            source.variable, DIVVY_FOREIGN_PATH_BYTES);
        return status;
    }
    divvy_lock_take(&lock);
    status = attach_to(machine, count);
    divvy_lock_give(&lock);
    return status;
}

void divvy_foreign_detach(void) {
    descriptor_drop();
    divvy_podfile_close(&divvy_foreign.file);
    memset(&divvy_foreign, 0, sizeof divvy_foreign);
    divvy_compute_set_toll(NULL);
    looked_ns = peak_ns = 0;
}

/* The place and not the file: a hypervisor may make it again. Other containers have another folder at the same place. */
uint64_t divvy_foreign_key(void) {
    char folder[DIVVY_FOREIGN_PATH_BYTES];
    struct stat status;
    uint64_t key = 0;

    for (const char *at = source.path; *at; at++)
        key = divvy_core_hash_pair(key, (unsigned char)*at);
    memcpy(folder, source.path, sizeof folder);
    *strrchr(folder, '/') = '\0';
    if (divvy_core_sys_fstatat(AT_FDCWD, folder[0] ? folder : "/", &status, 0) < 0)
        return key;
    return divvy_core_hash_pair(divvy_core_hash_pair(key, status.st_ino), status.st_dev);
}

void divvy_foreign_device_entered(unsigned device) {
    if (divvy_foreign_state() == DIVVY_FOREIGN_NONE)
        return;
    divvy_lock_take(&lock);
    if (file_copy() == 0)
        device_update(device);
    divvy_lock_give(&lock);
    if (!__atomic_load_n(&divvy_foreign.devices[device].is_known, __ATOMIC_ACQUIRE))
        divvy_core_log_warn("%s says nothing of one of this machine's GPUs, which is not limited",
                            source.path);
    else
        limits_follow(device);
}

/*
 * Where a hypervisor can be asked by HTTP it enters the host's pid itself. Otherwise ours is right if it lives among the same
 * pids, which shows in its own being one of them.
 */
static void pid_enter(void) {
    uint64_t owner;
    int saved = errno;

    divvy_lock_take(&lock);
    owner = copy.v2.pid_set.owner;
    divvy_lock_give(&lock);
    if (divvy_channel_is_wanted() || divvy_foreign.file.tag != DIVVY_PODFILE_TAG_V2 || owner == 0 ||
        owner > INT32_MAX)
        return;
    if ((kill((pid_t)owner, 0) == 0 || errno == EPERM) && divvy_foreign_is_whole())
        (void)divvy_podfile_pid_add(&divvy_foreign.file, (uint64_t)divvy_core_sys_getpid());
    errno = saved;
}

void divvy_foreign_fork_child(void) {
    divvy_lock_reset(&lock);
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++)
        __atomic_store_n(&divvy_foreign.devices[i].first, 0, __ATOMIC_RELAXED);
}

void divvy_foreign_joined(void) {
    if (divvy_foreign_state() == DIVVY_FOREIGN_NONE)
        return;
    (void)divvy_page_reap(divvy_process.page,
                          &divvy_process.self); /* the hypervisor counts the dead no more */
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++)
        for (unsigned k = 0; k < 2; k++)
            __atomic_store_n(&divvy_foreign.devices[i].peaks_bytes[k], 0, __ATOMIC_RELAXED);
    divvy_foreign_doubt();
    divvy_foreign_look(divvy_core_clock_ns());
    pid_enter();
    divvy_compute_set_toll(&divvy_foreign_toll);
}
