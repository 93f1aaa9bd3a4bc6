/* Reading usage pages: see usage.h. */
#include "daemon/usage.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The smallest part of a page that is read: header, devices, and the slot of a tenant's only process. */
#define SLOTS_FIRST  1u
/* Looks for a page in a folder that has not changed since there was none; then one that does not trust its time. */
#define ABSENT_LOOKS 15u
#define SETTLED_S    1 /* a folder that changed no longer ago may do so again without its time telling */
#define DRAIN_MAX_NS INT64_C(600000000000)
#define LATE_MAX_NS  INT64_C(1000000000)

void divvy_usage_init(struct divvy_usage *usage, struct divvy_page *copy) {
    *usage = (struct divvy_usage){.fd = -1, .slots = SLOTS_FIRST, .copy = copy};
}

void divvy_usage_close(struct divvy_usage *usage) {
    divvy_cleanup_close(&usage->fd);
}

static bool is_same_time(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* There is none in a folder that had last changed at `changed`. */
static void absent_remember(struct divvy_usage *usage, const struct timespec *changed) {
    struct timespec clock;

    (void)clock_gettime(CLOCK_REALTIME, &clock);
    usage->absent_since = *changed;
    usage->absent_looks = clock.tv_sec > changed->tv_sec + SETTLED_S ? ABSENT_LOOKS : 0;
}

/*
 * Most tenants of a full node have no process, and each is looked at every second: looking for a file that is not there takes
 * 2.2 us, asking the folder for its time 0.4 (tmpfs).
 */
static int page_open(struct divvy_usage *usage, int folder_fd, uid_t owner_uid) {
    cleanup_close int fd = -1;
    struct stat folder, status;
    bool is_timed = fstat(folder_fd, &folder) == 0;

    if (is_timed && usage->absent_looks && is_same_time(&folder.st_mtim, &usage->absent_since)) {
        usage->absent_looks--;
        return -ENOENT;
    }
    usage->absent_looks = 0;
    fd = openat(folder_fd, "usage", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return -EPROTO;
    if (fd < 0) {
        if (is_timed)
            absent_remember(usage, &folder.st_mtim);
        return -ENOENT;
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != owner_uid)
        return -EPROTO;
    usage->fd = divvy_cleanup_keep(&fd);
    return 0;
}

static bool read_to(const struct divvy_usage *usage, size_t from, size_t to) {
    while (from < to) {
        ssize_t got = pread(usage->fd, (char *)usage->copy + from, to - from, (off_t)from);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        from += (size_t)got;
    }
    return true;
}

/* Bring the used beginning of the page into `copy`. */
static int page_read(struct divvy_usage *usage, int folder_fd, uid_t owner_uid) {
    size_t bytes =
        offsetof(struct divvy_page, slots) + usage->slots * sizeof(struct divvy_page_slot);
    struct stat status;
    uint32_t high;
    int error = usage->fd < 0 ? page_open(usage, folder_fd, owner_uid) : 0;

    if (error)
        return error;
    if (!read_to(usage, 0, bytes) || fstat(usage->fd, &status) < 0 ||
        (uint64_t)status.st_size != sizeof(struct divvy_page) ||
        divvy_page_validate(usage->copy, sizeof(struct divvy_page)) < 0) {
        divvy_usage_close(usage); /* perhaps another file is there next time */
        return -EPROTO;
    }
    high = usage->copy->slots_high < DIVVY_PAGE_SLOTS ? (uint32_t)usage->copy->slots_high
                                                      : DIVVY_PAGE_SLOTS;
    if (high > usage->slots) {
        if (!read_to(usage, bytes,
                     offsetof(struct divvy_page, slots) + high * sizeof(struct divvy_page_slot)))
            return -EPROTO;
        usage->slots = high;
    }
    return 0;
}

static bool slot_process(const struct divvy_page_slot *slot,
                         struct divvy_usage_process *ret_process) {
    if (slot->owner.low == 0 && slot->owner.high == 0)
        return false;
    *ret_process = (struct divvy_usage_process){.pid = (uint32_t)slot->owner.low,
                                                .pidns = (uint32_t)(slot->owner.low >> 32),
                                                .start_ticks = slot->owner.high >> 2,
                                                .host_pid = slot->host_pid};
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++)
        ret_process->used_bytes += slot->cells[i].bytes;
    return true;
}

static uint64_t sum(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

bool divvy_usage_is_dead(const struct divvy_usage_process *process, uint32_t own_pidns) {
    return own_pidns && process->pidns == own_pidns && process->pid <= INT32_MAX &&
           kill((pid_t)process->pid, 0) < 0 && errno == ESRCH;
}

static void slot_add(const struct divvy_page_slot *slot, unsigned device, int64_t now_ns,
                     struct divvy_usage_device *sums) {
    const struct divvy_page_usage *usage = &slot->usage[device];

    sums->processes++;
    sums->inflight_ns = sum(sums->inflight_ns, usage->inflight_ns);
    sums->waited_ns = sum(sums->waited_ns, usage->waited_ns);
    sums->launches = sum(sums->launches, usage->launches);
    if (usage->late_ns && usage->late_ns < (uint64_t)LATE_MAX_NS &&
        (!sums->late_ns || (int64_t)usage->late_ns < sums->late_ns))
        sums->late_ns = (int64_t)usage->late_ns;
    sums->waiting += usage->waiting > UINT16_MAX ? UINT16_MAX : (uint32_t)usage->waiting;
    if (usage->drain_ns > (uint64_t)(now_ns + DRAIN_MAX_NS))
        return; /* nobody estimates so far ahead */
    if ((int64_t)usage->drain_ns > sums->drain_ns)
        sums->drain_ns = (int64_t)usage->drain_ns;
    sums->busy_processes += usage->inflight_ns != 0;
    if ((int64_t)usage->drain_ns > sums->last_ns)
        sums->last_ns = (int64_t)usage->drain_ns;
}

int divvy_usage_sum(const struct divvy_usage *usage, const uint8_t uuid[16], int64_t now_ns, const uint32_t *own_pidns,
                    struct divvy_usage_device *ret_device) {
    int index = divvy_page_device_find(usage->copy, uuid);
    const struct divvy_page_device *device;

    if (index < 0)
        return -ENOENT;
    device = &usage->copy->devices[index];
    *ret_device = (struct divvy_usage_device){.used_bytes = device->used.low,
                                              .peak_bytes = device->peak_bytes,
                                              .refused = device->refused,
                                              .drain_ns = now_ns,
                                              .charged_ns = device->compute.charged_ns};
    for (uint32_t i = 0; i < usage->slots; i++) {
        struct divvy_usage_process process;

        if (!slot_process(&usage->copy->slots[i], &process))
            continue;
        if (!own_pidns || !divvy_usage_is_dead(&process, *own_pidns))
            slot_add(&usage->copy->slots[i], (unsigned)index, now_ns, ret_device);
        else if (usage->copy->slots[i].cells[index].bytes < ret_device->used_bytes)
            ret_device->used_bytes -= usage->copy->slots[i].cells[index].bytes;
        else
            ret_device->used_bytes = 0;
    }
    /* Each estimates as if it had the device alone. */
    if (ret_device->busy_processes > 1 && ret_device->inflight_ns < (uint64_t)DRAIN_MAX_NS &&
        ret_device->drain_ns < now_ns + (int64_t)ret_device->inflight_ns)
        ret_device->drain_ns = now_ns + (int64_t)ret_device->inflight_ns;
    return 0;
}

int divvy_usage_read(struct divvy_usage *usage, int folder_fd, uid_t owner_uid,
                     const uint8_t uuid[16], int64_t now_ns, const uint32_t *own_pidns,
                     struct divvy_usage_device *ret_device) {
    int error = page_read(usage, folder_fd, owner_uid);

    return error ? error : divvy_usage_sum(usage, uuid, now_ns, own_pidns, ret_device);
}

int divvy_usage_processes(struct divvy_usage *usage, int folder_fd, uid_t owner_uid,
                          struct divvy_usage_process *ret_processes, uint32_t room) {
    int error = page_read(usage, folder_fd, owner_uid), count = 0;

    if (error)
        return error;
    for (uint32_t i = 0; i < usage->slots && (uint32_t)count < room; i++)
        count += slot_process(&usage->copy->slots[i], &ret_processes[count]);
    return count;
}

int divvy_usage_door(struct divvy_usage *usage, int folder_fd, uid_t owner_uid, uint32_t own_pidns, uint32_t word,
                     bool *ret_all, bool *ret_came, uint32_t *ret_count) {
    int error = page_read(usage, folder_fd, owner_uid);

    *ret_all = true;
    *ret_came = false;
    *ret_count = 0;
    if (error)
        return error;
    for (uint32_t i = 0; i < usage->slots; i++) {
        const struct divvy_page_slot *slot = &usage->copy->slots[i];
        struct divvy_usage_process process;

        if (!slot_process(slot, &process) || divvy_usage_is_dead(&process, own_pidns))
            continue;
        (*ret_count)++;
        *ret_all = *ret_all && slot->door != 0;
        *ret_came = *ret_came || slot->door == word;
    }
    return 0;
}
