/* Pod files for limiters of other systems: see podfiles.h. */
#include "daemon/podfiles.h"

#include "base/cleanup.h"
#include "core/checked.h"
#include "core/sys.h"
#include "node/elastic.h"
#include "page/podfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS  INT64_C(1000000000)
#define NAME_BYTES 128
#define START_SLACK_S 2 /* of wall clock against time since boot, whole seconds and ticks */
#define TICK_NS       (SECOND_NS / 100)
#define REST_TURNS    4u /* of a pod at rest: in one of so many its file is looked into whole */

struct device {
    bool wanted, active;
    struct divvy_podfiles_device is;
    struct divvy_node_elastic elastic;
    int64_t stepped_ns, refilled_ns; /* 0 never */
    double left; /* tokens at the end of the last turn */
};

struct pod {
    struct pod *next;
    char namespace[NAME_BYTES], name[NAME_BYTES];
    bool added, frozen;
    bool at_rest; /* no process is known, and nobody has taken tokens: between turns there is nothing to refill */
    unsigned rest_turns; /* since its file was last looked into whole */
    int told; /* the error last told, 0 none */
    struct device devices[DIVVY_PODFILE_DEVICES];
    uint64_t *pids;
    uint32_t pid_count, pid_room;
    int folder_fd;
    struct divvy_podfile file;
};

struct divvy_podfiles {
    char base[256];
    int base_fd;
    struct divvy_podfiles_callbacks callbacks;
    struct divvy_node_elastic_params params;
    struct pod *pods;
    struct pod **cursor; /* behind the pod that was added last: they come in the same order each time */
    int64_t swept_ns;
};

/* --- files that are cut while they are read ------------------------------------------------------------------------------ */

/* The mapping that this thread works on, and whether it had to be replaced by memory of our own. */
static __thread volatile uintptr_t guarded;
static __thread volatile sig_atomic_t guarded_broke;

static void bus_error(int number, siginfo_t *info, void *context) {
    uintptr_t address = (uintptr_t)info->si_addr, begin = guarded;

    (void)context;
    if (begin && address >= begin && address - begin < DIVVY_PODFILE_BYTES &&
        mmap((void *)begin, DIVVY_PODFILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
            MAP_FAILED) {
        guarded_broke = 1;
        return;
    }
    (void)signal(number, SIG_DFL); /* and again at once, with the usual end */
}

static void bus_errors_take(void) {
    struct sigaction action = {.sa_sigaction = bus_error, .sa_flags = SA_SIGINFO};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}

static void guard_begin(const struct divvy_podfile *file) {
    guarded_broke = 0;
    guarded = (uintptr_t)file->v1;
}

/* Whether the file was whole all the time. */
static bool guard_end(void) {
    guarded = 0;
    return !guarded_broke;
}

/* --- beginning and end ---------------------------------------------------------------------------------------------------- */

int divvy_podfiles_new(const char *base, const struct divvy_podfiles_callbacks *callbacks, struct divvy_podfiles **ret_files) {
    struct divvy_podfiles *files = calloc(1, sizeof *files);

    if (!files)
        return -ENOMEM;
    (void)snprintf(files->base, sizeof files->base, "%s", base);
    files->base_fd = -1;
    files->callbacks = *callbacks;
    divvy_node_elastic_guarded(&files->params);
    bus_errors_take();
    *ret_files = files;
    return 0;
}

void divvy_podfiles_params_set(struct divvy_podfiles *files, const struct divvy_node_elastic_params *params) {
    struct divvy_node_elastic_params base;

    divvy_node_elastic_guarded(&base);
    files->params = *params;
    files->params.is_guarded = true; /* there is no key for it */
    divvy_node_elastic_settle(&files->params, &base);
}

static void pod_free(struct pod *pod) {
    divvy_podfile_close(&pod->file);
    divvy_cleanup_close(&pod->folder_fd);
    free(pod->pids);
    free(pod);
}

void divvy_podfiles_free(struct divvy_podfiles *files) {
    if (!files)
        return;
    while (files->pods) {
        struct pod *pod = files->pods;

        files->pods = pod->next;
        pod_free(pod);
    }
    divvy_cleanup_close(&files->base_fd);
    free(files);
}

/* A tenant can make the same happen again and again: what was told last is not told anew. */
static void tell(struct divvy_podfiles *files, struct pod *pod, int cause, const char *text) {
    char name[2 * NAME_BYTES + 1], line[256];

    if (pod->told == cause)
        return;
    pod->told = cause;
    (void)snprintf(name, sizeof name, "%s/%s", pod->namespace, pod->name);
    (void)snprintf(line, sizeof line, "%s: %s", text, strerror(-cause));
    files->callbacks.tell(files->callbacks.data, name, line);
}

/* --- what the state says -------------------------------------------------------------------------------------------------- */

static bool name_is_fit(const char *name) {
    size_t length = strlen(name);

    return length > 0 && length < NAME_BYTES && !strpbrk(name, "/\\") && !strstr(name, "..") && strcmp(name, ".") != 0;
}

static bool pod_is(const struct pod *pod, const char *namespace, const char *name) {
    return strcmp(pod->name, name) == 0 && strcmp(pod->namespace, namespace) == 0;
}

static struct pod *pod_find(struct divvy_podfiles *files, const char *namespace, const char *name) {
    struct pod **at = files->cursor;

    for (; *at; at = &(*at)->next)
        if (pod_is(*at, namespace, name))
            break;
    if (!*at)
        for (at = &files->pods; *at; at = &(*at)->next)
            if (pod_is(*at, namespace, name))
                break;
    if (*at)
        files->cursor = at; /* of several containers each finds it here */
    return *at;
}

static struct pod *pod_new(struct divvy_podfiles *files, const char *namespace, const char *name) {
    struct pod *pod = calloc(1, sizeof *pod);
    struct pod **at = &files->pods;

    if (!pod)
        return NULL;
    (void)snprintf(pod->namespace, sizeof pod->namespace, "%s", namespace);
    (void)snprintf(pod->name, sizeof pod->name, "%s", name);
    pod->folder_fd = -1;
    while (*at)
        at = &(*at)->next;
    *at = pod;
    return pod;
}

void divvy_podfiles_begin(struct divvy_podfiles *files) {
    files->cursor = &files->pods;
    for (struct pod *pod = files->pods; pod; pod = pod->next) {
        pod->added = pod->frozen = false;
        pod->pid_count = 0;
        for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES; i++)
            pod->devices[i].wanted = false;
    }
}

static void device_merge(struct device *device, const struct divvy_podfiles_device *more) {
    if (!device->wanted) {
        device->is = *more;
        device->wanted = true;
        return;
    }
    device->is.compute_permille += more->compute_permille;
    if (device->is.compute_permille > 1000)
        device->is.compute_permille = 1000;
    device->is.limit_bytes = divvy_core_u64_add_saturated(device->is.limit_bytes, more->limit_bytes);
    device->is.used_bytes = divvy_core_u64_add_saturated(device->is.used_bytes, more->used_bytes);
    device->is.utilisation += more->utilisation;
}

static int pids_merge(struct pod *pod, const uint64_t *pids, uint32_t count) {
    if (count > DIVVY_PODFILE_PIDS - pod->pid_count)
        count = DIVVY_PODFILE_PIDS - pod->pid_count; /* the format has no room for more */
    if (pod->pid_count + count > pod->pid_room) {
        uint64_t *wider = realloc(pod->pids, (pod->pid_count + count) * sizeof *wider);

        if (!wider)
            return -ENOMEM;
        pod->pids = wider;
        pod->pid_room = pod->pid_count + count;
    }
    if (count > 0)
        memcpy(pod->pids + pod->pid_count, pids, count * sizeof *pids);
    pod->pid_count += count;
    return 0;
}

int divvy_podfiles_add(struct divvy_podfiles *files, const struct divvy_podfiles_pod *pod) {
    struct pod *own;
    int status;

    if (!name_is_fit(pod->namespace) || !name_is_fit(pod->pod))
        return -EINVAL;
    own = pod_find(files, pod->namespace, pod->pod);
    if (!own)
        own = pod_new(files, pod->namespace, pod->pod);
    if (!own)
        return -ENOMEM;
    own->added = true;
    own->frozen |= pod->frozen;
    status = pids_merge(own, pod->pids, pod->pid_count);
    for (uint32_t i = 0; i < pod->device_count; i++) {
        if (pod->devices[i].index < DIVVY_PODFILE_DEVICES) {
            device_merge(&own->devices[pod->devices[i].index], &pod->devices[i]);
        } else {
            status = -ERANGE;
            tell(files, own, status, "a device of its pod has no place in the pod file");
        }
    }
    return status;
}

/* --- files ---------------------------------------------------------------------------------------------------------------- */

static int base_open(struct divvy_podfiles *files) {
    char path[sizeof files->base];

    if (files->base_fd >= 0)
        return 0;
    (void)snprintf(path, sizeof path, "%s", files->base);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return -errno;
    files->base_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return files->base_fd < 0 ? -errno : 0;
}

/* A folder of our own: in a base that all may write to, others may have made one. */
static int folder_open(int parent_fd, const char *name, bool make, int *ret_fd) {
    cleanup_close int fd = -1;
    struct stat status;

    if (make && mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != geteuid())
        return -EPERM;
    *ret_fd = divvy_cleanup_keep(&fd);
    return 0;
}

/* Whether the process has run since before the last heartbeat of the daemon that knew it. */
static bool is_as_old(uint64_t pid, uint64_t heartbeat_s, int64_t realtime_ns) {
    struct timespec boot;
    uint64_t ticks;
    int64_t age_ns;

    if (divvy_core_sys_start_time((pid_t)pid, &ticks) < 0 || clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
        return false;
    age_ns = boot.tv_sec * SECOND_NS + boot.tv_nsec - (int64_t)(ticks * (uint64_t)(SECOND_NS / sysconf(_SC_CLK_TCK)));
    return (realtime_ns - age_ns) / SECOND_NS <= (int64_t)heartbeat_s + START_SLACK_S;
}

/* What a daemon before us left in the file, which this one goes on with. */
static void file_adopt(struct divvy_podfiles *files, struct pod *pod, int64_t realtime_ns) {
    static uint64_t pids[DIVVY_PODFILE_PIDS];
    uint64_t heartbeat_s = __atomic_load_n(&pod->file.v2->heartbeat, __ATOMIC_ACQUIRE);
    unsigned count = divvy_podfile_pid_list(&pod->file, pids, DIVVY_PODFILE_PIDS);

    (void)divvy_podfile_lock_reset(&pod->file);
    for (unsigned i = 0; i < count; i++)
        if (pids[i] > 0 && pids[i] <= INT32_MAX && is_as_old(pids[i], heartbeat_s, realtime_ns) &&
            files->callbacks.restore(files->callbacks.data, pod->namespace, pod->name, pids[i]))
            (void)pids_merge(pod, &pids[i], 1);
}

static int folders_open(struct divvy_podfiles *files, struct pod *pod) {
    cleanup_close int namespace_fd = -1;
    int status = base_open(files);

    if (status == 0)
        status = folder_open(files->base_fd, pod->namespace, true, &namespace_fd);
    if (status == 0)
        status = folder_open(namespace_fd, pod->name, true, &pod->folder_fd);
    return status;
}

/* Open, or make when there is none: what is there and is no pod file, or none that we can write, is replaced. */
/* A limiter takes a heartbeat of the future for none; and time(2), which it may ask, lags behind other clocks by up to a tick of the kernel. */
static uint64_t beat_s(int64_t realtime_ns) {
    return (uint64_t)((realtime_ns - TICK_NS) / SECOND_NS);
}

static int file_open(struct divvy_podfiles *files, struct pod *pod, int64_t realtime_ns) {
    int status = folders_open(files, pod);

    if (status < 0)
        return status;
    status = divvy_podfile_open(pod->folder_fd, DIVVY_PODFILE_NAME, &pod->file);
    if (status == 0 && pod->file.tag != DIVVY_PODFILE_TAG_V2) {
        divvy_podfile_close(&pod->file);
        status = -EPROTO;
    }
    if (status == 0) {
        guard_begin(&pod->file);
        file_adopt(files, pod, realtime_ns);
        return guard_end() ? 0 : -EIO;
    }
    if (status == -EPROTO) {
        tell(files, pod, status, "its pod file was not one, and is made again");
        if (unlinkat(pod->folder_fd, DIVVY_PODFILE_NAME, 0) < 0)
            return -errno;
        status = -ENOENT;
    }
    if (status == -ENOENT)
        status = divvy_podfile_create(pod->folder_fd, DIVVY_PODFILE_NAME, beat_s(realtime_ns), &pod->file);
    return status;
}

static void file_close(struct pod *pod) {
    divvy_podfile_close(&pod->file);
    divvy_cleanup_close(&pod->folder_fd);
    for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES; i++)
        pod->devices[i].active = false;
}

/* --- a turn --------------------------------------------------------------------------------------------------------------- */

static bool has_pid(const uint64_t *pids, unsigned count, uint64_t pid) {
    for (unsigned i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

static int pids_write(struct pod *pod) {
    static uint64_t seen[DIVVY_PODFILE_PIDS];
    unsigned count = divvy_podfile_pid_list(&pod->file, seen, DIVVY_PODFILE_PIDS);
    int status = 0;

    for (unsigned i = 0; i < count && status != -EBUSY; i++)
        if (!has_pid(pod->pids, pod->pid_count, seen[i]))
            status = divvy_podfile_pid_remove(&pod->file, seen[i]);
    for (uint32_t i = 0; i < pod->pid_count && status != -EBUSY; i++)
        if (!has_pid(seen, count, pod->pids[i]))
            status = divvy_podfile_pid_add(&pod->file, pod->pids[i]);
    /* There is no other hypervisor here: a lock that is held was taken by a tenant, or is what a daemon left. */
    return status == -EBUSY ? divvy_podfile_lock_reset(&pod->file) : 0;
}

static uint32_t percent_of(const struct pod *pod, const struct device *device) {
    uint32_t percent = (device->is.compute_permille + 9) / 10;

    /* At 100 limiters do not look at tokens. */
    return pod->frozen && percent >= DIVVY_PODFILE_UNTHROTTLED ? DIVVY_PODFILE_UNTHROTTLED - 1 : percent;
}

static void tokens_refill(struct pod *pod, unsigned index, int64_t now_ns) {
    struct device *device = &pod->devices[index];
    double elapsed_s = (double)(now_ns - device->refilled_ns) / SECOND_NS;

    if (device->refilled_ns && !pod->frozen)
        (void)divvy_podfile_tokens_add(&pod->file, index, divvy_node_elastic_refill(&device->elastic, elapsed_s));
    device->refilled_ns = now_ns;
}

static void tokens_write(struct divvy_podfiles *files, struct pod *pod, unsigned index, int64_t now_ns, double realtime_s) {
    struct device *device = &pod->devices[index];
    double target = device->is.compute_permille / 1000.0, floor, drop, dt_s;
    struct divvy_podfile_entry entry;

    (void)divvy_podfile_device_read(&pod->file, index, &entry);
    pod->at_rest = pod->at_rest && entry.tokens >= device->left;
    dt_s = (double)(now_ns - device->stepped_ns) / SECOND_NS;
    if (device->stepped_ns == 0)
        dt_s = DIVVY_NODE_ELASTIC_TICK_S;
    if (isfinite(device->is.utilisation)) {
        divvy_node_elastic_step(&device->elastic, &files->params, target, device->is.utilisation, entry.tokens, dt_s);
        device->stepped_ns = now_ns;
    }
    (void)divvy_podfile_rate_set(&pod->file, index, device->elastic.rate, device->elastic.capacity, realtime_s);
    if (pod->frozen)
        (void)divvy_podfile_tokens_drop(&pod->file, index, entry.tokens + device->elastic.capacity, 0);
    tokens_refill(pod, index, now_ns);
    (void)divvy_podfile_device_read(&pod->file, index, &entry);
    drop = divvy_node_elastic_bleed(&device->elastic, &files->params, target, entry.tokens, &floor);
    if (drop > 0)
        (void)divvy_podfile_tokens_drop(&pod->file, index, drop, floor);
    (void)divvy_podfile_device_read(&pod->file, index, &entry);
    device->left = entry.tokens;
}

static void device_write(struct divvy_podfiles *files, struct pod *pod, unsigned index, bool whole, int64_t now_ns, double realtime_s) {
    struct device *device = &pod->devices[index];
    struct divvy_podfile_limits limits = {.uuid = device->is.uuid,
                                          .up_limit = percent_of(pod, device),
                                          .mem_limit = device->is.limit_bytes,
                                          .total_cuda_cores = device->is.cores};

    if (!device->wanted) {
        if (device->active || (whole && __atomic_load_n(&pod->file.v2->devices[index].is_active, __ATOMIC_RELAXED)))
            (void)divvy_podfile_device_clear(&pod->file, index);
        device->active = false;
        return;
    }
    if (!device->active) {
        divvy_node_elastic_init(&device->elastic, &files->params);
        device->stepped_ns = device->refilled_ns = 0;
        device->left = 0;
        device->active = true;
    }
    (void)divvy_podfile_device_set(&pod->file, index, &limits, realtime_s);
    (void)divvy_podfile_device_use(&pod->file, index, device->is.used_bytes);
    tokens_write(files, pod, index, now_ns, realtime_s);
}

/* whole: also the places of devices that the pod does not have, which somebody may have written to. */
static int file_write(struct divvy_podfiles *files, struct pod *pod, bool whole, int64_t now_ns, int64_t realtime_ns) {
    int status;

    pod->at_rest = pod->pid_count == 0;
    guard_begin(&pod->file);
    for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES; i++)
        device_write(files, pod, i, whole, now_ns, (double)realtime_ns / SECOND_NS);
    status = pids_write(pod);
    (void)divvy_podfile_beat(&pod->file, beat_s(realtime_ns));
    return guard_end() ? status : -EIO;
}

static void pod_serve(struct divvy_podfiles *files, struct pod *pod, int64_t now_ns, int64_t realtime_ns) {
    bool whole = !pod->at_rest || ++pod->rest_turns >= REST_TURNS;
    int status = 0;

    if (whole)
        pod->rest_turns = 0;
    if (whole && pod->file.v2 && !divvy_podfile_is_current(&pod->file, pod->folder_fd, DIVVY_PODFILE_NAME))
        file_close(pod);
    if (!pod->file.v2)
        status = file_open(files, pod, realtime_ns);
    if (status == 0)
        status = file_write(files, pod, whole, now_ns, realtime_ns);
    if (status < 0) {
        file_close(pod);
        tell(files, pod, status, "its pod file cannot be served");
    }
}

void divvy_podfiles_end(struct divvy_podfiles *files, int64_t now_ns, int64_t realtime_ns) {
    struct pod **at = &files->pods;

    while (*at) {
        struct pod *pod = *at;

        if (pod->added) {
            pod_serve(files, pod, now_ns, realtime_ns);
            at = &pod->next;
        } else {
            *at = pod->next;
            pod_free(pod);
        }
    }
    if (files->swept_ns == 0)
        files->swept_ns = now_ns; /* not at the start: limiters may be about to register */
    if (now_ns - files->swept_ns >= DIVVY_PODFILES_SWEEP_NS) {
        files->swept_ns = now_ns;
        (void)divvy_podfiles_sweep(files, realtime_ns);
    }
}

void divvy_podfiles_refill(struct divvy_podfiles *files, int64_t now_ns) {
    for (struct pod *pod = files->pods; pod; pod = pod->next) {
        if (!pod->file.v2 || pod->at_rest)
            continue;
        guard_begin(&pod->file);
        for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES; i++)
            if (pod->devices[i].active)
                tokens_refill(pod, i, now_ns);
        if (!guard_end())
            file_close(pod);
    }
}

/* --- orphans -------------------------------------------------------------------------------------------------------------- */

static bool is_orphan(int folder_fd, uint64_t now_s) {
    static uint64_t pids[DIVVY_PODFILE_PIDS];
    struct divvy_podfile file;
    uint64_t heartbeat_s;
    unsigned count, alive = 0;

    if (divvy_podfile_open(folder_fd, DIVVY_PODFILE_NAME, &file) < 0)
        return false; /* none, or not ours to judge */
    guard_begin(&file);
    heartbeat_s = file.tag == DIVVY_PODFILE_TAG_V2 ? file.v2->heartbeat : file.v1->heartbeat;
    count = divvy_podfile_pid_list(&file, pids, DIVVY_PODFILE_PIDS);
    for (unsigned i = 0; i < count; i++)
        alive += pids[i] > 0 && pids[i] <= INT32_MAX && (kill((pid_t)pids[i], 0) == 0 || errno == EPERM);
    if (!guard_end())
        alive = 1;
    divvy_podfile_close(&file);
    return alive == 0 && heartbeat_s <= now_s && now_s - heartbeat_s > DIVVY_PODFILES_ORPHAN_S;
}

static bool is_served(const struct divvy_podfiles *files, const char *namespace, const char *name) {
    for (const struct pod *pod = files->pods; pod; pod = pod->next)
        if (pod_is(pod, namespace, name))
            return true;
    return false;
}

static DIR *folder_list(int folder_fd) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    if (!folder)
        divvy_cleanup_close(&fd);
    return folder;
}

static unsigned namespace_sweep(const struct divvy_podfiles *files, const char *namespace, uint64_t now_s) {
    cleanup_close int fd = -1;
    int opened = folder_open(files->base_fd, namespace, false, &fd);
    cleanup_closedir DIR *folder = opened < 0 ? NULL : folder_list(fd);
    struct dirent *entry;
    unsigned removed = 0;

    while (folder && (entry = readdir(folder))) {
        cleanup_close int pod_fd = -1;

        if (!name_is_fit(entry->d_name) || is_served(files, namespace, entry->d_name) ||
            folder_open(fd, entry->d_name, false, &pod_fd) < 0 || !is_orphan(pod_fd, now_s))
            continue;
        removed += unlinkat(pod_fd, DIVVY_PODFILE_NAME, 0) == 0;
        (void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    if (removed > 0)
        (void)unlinkat(files->base_fd, namespace, AT_REMOVEDIR);
    return removed;
}

unsigned divvy_podfiles_sweep(struct divvy_podfiles *files, int64_t realtime_ns) {
    cleanup_closedir DIR *base = files->base_fd < 0 ? NULL : folder_list(files->base_fd);
    struct dirent *entry;
    unsigned removed = 0;

    while (base && (entry = readdir(base)))
        if (name_is_fit(entry->d_name))
            removed += namespace_sweep(files, entry->d_name, (uint64_t)(realtime_ns / SECOND_NS));
    return removed;
}
