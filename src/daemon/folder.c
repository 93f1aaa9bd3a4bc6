/* Folders of tenants: see folder.h. */
#include "daemon/folder.h"

#include "base/cleanup.h"
#include "core/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES DIVVY_NODE_ID_BYTES

static void name_of(const char *id, char name[NAME_BYTES]) {
    (void)snprintf(name, NAME_BYTES, "%s", id);
    for (char *at = name; *at; at++)
        if (*at == '/')
            *at = '+';
}

static int parents_make(const char *base, mode_t mode) {
    char path[256];

    if (snprintf(path, sizeof path, "%s", base) >= (int)sizeof path)
        return -ENAMETOOLONG;
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, mode) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

int divvy_folder_base_open(const char *base, struct divvy_error *error) {
    mode_t mode = geteuid() == 0 ? 0755 : 0700;
    int status = parents_make(base, mode);
    cleanup_close int fd = -1;
    struct stat found;

    if (status == 0 && (fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        status = -errno;
    if (status < 0)
        return divvy_error_set_errno(error, status, "the folder of tenants %.150s cannot be used",
                                     base);
    if (fstat(fd, &found) < 0 || found.st_uid != geteuid() || (found.st_mode & 0022))
        return divvy_error_set(
            error, -EPERM,
            "the folder of tenants %.120s belongs to another user, or others may write to it",
            base);
    return divvy_cleanup_keep(&fd);
}

/* --- removing ------------------------------------------------------------------------------------------------------- */

static void folder_empty(int folder_fd) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        divvy_cleanup_close(&fd);
        return;
    }
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(folder_fd, entry->d_name, 0);
}

/* Locked, so that nobody takes it for a leftover (divvy run does likewise). -EBUSY: somebody else has it. */
static int folder_open(int base_fd, const char *name) {
    int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    (void)close(fd);
    return -EBUSY;
}

/* Whether a process uses the page in it, without divvyd: each holds a lock on it. */
static bool page_in_use(int folder_fd) {
    cleanup_close int fd =
        openat(folder_fd, "usage", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

void divvy_folder_discard(int base_fd, const char *name) {
    cleanup_close int fd = folder_open(base_fd, name);

    if (fd < 0 || page_in_use(fd))
        return;
    folder_empty(fd);
    (void)unlinkat(base_fd, name, AT_REMOVEDIR);
}

bool divvy_folder_is_half_made(int base_fd, const char *name, int64_t before_realtime_ns) {
    cleanup_close int fd = folder_open(base_fd, name);
    struct stat status;

    return fd >= 0 && fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
           (int64_t)status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec < before_realtime_ns &&
           faccessat(fd, "usage", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && faccessat(fd, DIVVY_CONTROL_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

void divvy_folder_close(struct divvy_folder *folder) {
    if (folder->control)
        divvy_control_close(folder->control);
    folder->control = NULL;
    divvy_cleanup_close(&folder->control_fd);
    divvy_cleanup_close(&folder->bell_fd);
    divvy_cleanup_close(&folder->fd);
}

void divvy_folder_remove(int base_fd, const char *id, struct divvy_folder *folder) {
    char name[NAME_BYTES];

    name_of(id, name);
    if (folder->fd >= 0)
        folder_empty(folder->fd);
    divvy_folder_close(folder);
    (void)unlinkat(base_fd, name, AT_REMOVEDIR);
}

/* --- making --------------------------------------------------------------------------------------------------------- */

/* 0 for a process that is gone. */
static uint64_t start_ticks(int32_t pid) {
    uint64_t ticks = 0;

    return divvy_core_sys_start_time(pid, &ticks) < 0 ? 0 : ticks;
}

static void control_fill(struct divvy_control *control, const struct divvy_node_spec *spec,
                         const struct divvy_node_device *const *devices) {
    control->owner_uid = spec->owner_uid;
    control->qos = (uint32_t)spec->qos;
    control->keeper_pid = (uint32_t)spec->keeper_pid;
    control->keeper_start_ticks = spec->keeper_pid > 0 ? start_ticks(spec->keeper_pid) : 0;
    (void)snprintf(control->name, sizeof control->name, "%s", spec->id);
    (void)snprintf(control->pod, sizeof control->pod, "%s", spec->pod);
    (void)snprintf(control->namespace, sizeof control->namespace, "%s", spec->namespace);
    for (uint32_t i = 0; i < spec->binding_count; i++) {
        struct divvy_control_device *entry = &control->devices[i];

        memcpy(&entry->uuid, devices[i]->uuid, sizeof entry->uuid);
        entry->limit_bytes = spec->bindings[i].limit_bytes;
        entry->compute_permille = spec->bindings[i].compute_permille;
        entry->weight = spec->bindings[i].weight;
        entry->flags = spec->bindings[i].soft ? DIVVY_CONTROL_SOFT : 0;
        entry->armed = 1;
    }
}

#define ABOUT       "about"
#define ABOUT_BYTES (DIVVY_NODE_ID_BYTES + DIVVY_NODE_LABELS_BYTES + DIVVY_NODE_POD_UID_BYTES + 3)

static int about_write(int folder_fd, const struct divvy_node_spec *spec) {
    char text[ABOUT_BYTES];
    size_t length = (size_t)snprintf(text, sizeof text, "%s\n%s\n%s\n", spec->container, spec->labels, spec->pod_uid);
    cleanup_close int fd = -1;

    if (length <= 3) /* nothing to say */
        return 0;
    fd = openat(folder_fd, ABOUT, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    return length >= sizeof text ? -ENAMETOOLONG : divvy_core_sys_write(fd, text, length);
}

/* The tenant's user can put anything in its place: only a file of ours is believed. */
static void about_read(int folder_fd, struct divvy_node_spec *spec) {
    cleanup_close int fd = openat(folder_fd, ABOUT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char text[ABOUT_BYTES + 1], *labels, *end, *uid_end;
    struct stat status;
    ssize_t length;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_uid != geteuid() || (status.st_mode & 022) || status.st_nlink != 1 ||
        status.st_size > (off_t)ABOUT_BYTES)
        return;
    length = divvy_core_sys_read(fd, text, sizeof text - 1);
    if (length < 2 || memchr(text, '\0', (size_t)length))
        return;
    text[length] = '\0';
    labels = strchr(text, '\n');
    end = labels ? strchr(labels + 1, '\n') : NULL;
    if (!end || (size_t)(labels - text) >= sizeof spec->container ||
        (size_t)(end - labels) > sizeof spec->labels)
        return;
    /* Those of older daemons have two lines. */
    uid_end = strchr(end + 1, '\n');
    if (uid_end && (size_t)(uid_end - end) <= sizeof spec->pod_uid) {
        *uid_end = '\0';
        memcpy(spec->pod_uid, end + 1, (size_t)(uid_end - end));
    }
    *labels = *end = '\0';
    memcpy(spec->container, text, (size_t)(labels - text) + 1);
    memcpy(spec->labels, labels + 1, (size_t)(end - labels));
}

static int bell_open(int folder_fd, uid_t owner_uid, bool make) {
    struct stat status;
    int fd;

    if (make && mkfifoat(folder_fd, DIVVY_CONTROL_BELL, 0600) < 0 && errno != EEXIST)
        return -errno;
    if (make && owner_uid != geteuid() &&
        fchownat(folder_fd, DIVVY_CONTROL_BELL, owner_uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    fd = openat(folder_fd, DIVVY_CONTROL_BELL, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode))
        return fd;
    (void)close(fd);
    return -EPROTO;
}

static int folder_fill(struct divvy_folder *folder, const struct divvy_node_spec *spec,
                       const struct divvy_node_device *const *devices) {
    /* Before the control page, whose name makes a folder one that is gone on with: whoever is that must be known whole. */
    int status = about_write(folder->fd, spec);

    if (status == 0)
        status = divvy_control_create(folder->fd, &folder->control, &folder->control_fd);
    if (status < 0)
        return status;
    control_fill(folder->control, spec, devices);
    folder->bell_fd = bell_open(folder->fd, spec->owner_uid, true);
    if (folder->bell_fd < 0)
        return folder->bell_fd;
    /* last: until now nobody else could put anything into it */
    if (spec->owner_uid != geteuid() && fchown(folder->fd, spec->owner_uid, (gid_t)-1) < 0)
        return -errno;
    return 0;
}

int divvy_folder_create(int base_fd, const char *base, const struct divvy_node_spec *spec,
                        const struct divvy_node_device *const *devices,
                        struct divvy_folder *ret_folder, struct divvy_error *error) {
    struct divvy_folder folder = {.fd = -1, .control_fd = -1, .bell_fd = -1};
    char name[NAME_BYTES];
    int status;

    name_of(spec->id, name);
    if (snprintf(folder.path, sizeof folder.path, "%s/%s", base, name) >= (int)sizeof folder.path)
        return divvy_error_set(error, -ENAMETOOLONG,
                               "the path of the tenant's folder below %.100s is too long", base);
    divvy_folder_discard(base_fd, name);
    status = mkdirat(base_fd, name, 0700) < 0 ? -errno : 0;
    if (status == -EEXIST)
        return divvy_error_set(error, status,
                               "the name '%.128s' is in use by a tenant that runs without divvyd",
                               spec->id);
    if (status < 0)
        return divvy_error_set_errno(error, status, "the tenant's folder %.150s cannot be made",
                                     folder.path);
    folder.fd = folder_open(base_fd, name);
    status = folder.fd < 0 ? folder.fd : folder_fill(&folder, spec, devices);
    if (status < 0) {
        divvy_folder_remove(base_fd, spec->id, &folder);
        return divvy_error_set_errno(error, status, "the tenant's folder %.150s cannot be filled",
                                     folder.path);
    }
    *ret_folder = folder;
    return 0;
}

/* --- adopting ------------------------------------------------------------------------------------------------------- */

static int spec_from(const struct divvy_control *control, struct divvy_node_spec *ret_spec) {
    *ret_spec = (struct divvy_node_spec){.qos = (enum divvy_node_qos)control->qos,
                                         .owner_uid = control->owner_uid,
                                         .keeper_pid = (int32_t)control->keeper_pid,
                                         .source = control->pod[0]       ? DIVVY_NODE_FROM_POD
                                                   : control->keeper_pid ? DIVVY_NODE_FROM_RUN
                                                                         : DIVVY_NODE_FROM_API};
    if (control->qos >= DIVVY_NODE_QOS_MAX)
        return -EPROTO;
    (void)snprintf(ret_spec->id, sizeof ret_spec->id, "%s", control->name);
    (void)snprintf(ret_spec->pod, sizeof ret_spec->pod, "%s", control->pod);
    (void)snprintf(ret_spec->namespace, sizeof ret_spec->namespace, "%s", control->namespace);
    for (uint32_t i = 0; i < DIVVY_NODE_DEVICES && i < DIVVY_PAGE_DEVICES; i++) {
        const struct divvy_control_device *entry = &control->devices[i];

        if (entry->uuid.low == 0 && entry->uuid.high == 0)
            break;
        ret_spec->bindings[i].device = i;
        ret_spec->bindings[i].limit_bytes = entry->limit_bytes;
        ret_spec->bindings[i].compute_permille = entry->compute_permille;
        ret_spec->bindings[i].weight = entry->weight;
        ret_spec->bindings[i].soft = entry->flags & DIVVY_CONTROL_SOFT;
        ret_spec->binding_count = i + 1;
    }
    if (ret_spec->keeper_pid > 0 &&
        start_ticks(ret_spec->keeper_pid) != control->keeper_start_ticks)
        ret_spec->keeper_pid = 0; /* it is gone, and its pid may be somebody else's */
    return 0;
}

int divvy_folder_adopt(int base_fd, const char *base, const char *name,
                       struct divvy_folder *ret_folder, struct divvy_node_spec *ret_spec,
                       bool *ret_frozen) {
    struct divvy_folder folder = {.fd = -1, .control_fd = -1, .bell_fd = -1};
    char expected[NAME_BYTES];
    int status;

    if (snprintf(folder.path, sizeof folder.path, "%s/%s", base, name) >= (int)sizeof folder.path)
        return -ENAMETOOLONG;
    folder.fd = folder_open(base_fd, name);
    if (folder.fd < 0)
        return folder.fd;
    status = divvy_control_adopt(folder.fd, &folder.control, &folder.control_fd);
    if (status == 0)
        status = spec_from(folder.control, ret_spec);
    if (status == 0) {
        name_of(ret_spec->id, expected);
        status = strcmp(expected, name) == 0 ? 0 : -EPROTO;
    }
    if (status == 0) {
        about_read(folder.fd, ret_spec);
        *ret_frozen = folder.control->frozen;
        folder.bell_fd = bell_open(folder.fd, ret_spec->owner_uid, true);
        status = folder.bell_fd < 0 ? folder.bell_fd : 0;
    }
    if (status < 0)
        divvy_folder_close(&folder);
    else
        *ret_folder = folder;
    return status;
}
