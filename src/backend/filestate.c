/* State files, read and written: see filestate.h. */
#include "backend/filestate.h"

#include "backend/entries.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define NAME_BYTES      64u /* of a file of state */
#define LOCK_NS         (INT64_C(10) * DIVVY_NS_PER_SECOND)
#define TORN_TRIES      10u /* an editor may be writing in place: a file that cannot be read is looked at so often, */
#define TORN_WAIT_NS    (20 * DIVVY_NS_PER_MS) /* so long apart, before it is held to be broken */
#define INTERFERED_MAX  1000u /* changes are made again so often on top of others' */
#define WATCHED_EVENTS  (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

/* Which file lies under the name; all zero: none. */
struct identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct divvy_backend_filestate {
    int folder_fd, watch_fd;
    enum divvy_backend_schema schema;
    char name[NAME_BYTES], lock_name[NAME_BYTES + 8], aside[NAME_BYTES + 64];
    struct identity read; /* of the file as it was read last */
    bool told;            /* the watch has named the file since it was read */
    char *last;           /* its content then, as long as it could be read */
    size_t last_length;
};

/* --- the folder -------------------------------------------------------------------------------------------------------------- */

static int folders_make(const char *path) {
    char part[PATH_MAX];

    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return -ENAMETOOLONG;
    for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(part, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int no_folder_set(const char *path, struct divvy_error *error) {
    return divvy_error_set(error, -EPERM, "the folder of state %.150s is a link or no folder", path);
}

static int open_to_others_set(const char *path, struct divvy_error *error) {
    return divvy_error_set(error, -EPERM, "others may write to the folder of state %.120s; chmod go-w would end that", path);
}

int divvy_backend_folder_check(const char *path, struct divvy_error *error) {
    struct stat found;
    int status = !path[0] ? -ENOTDIR : lstat(path, &found) < 0 ? -errno : S_ISDIR(found.st_mode) ? 0 : -ENOTDIR;

    if (status == -ENOTDIR)
        return no_folder_set(path, error);
    if (status < 0)
        return status == -ENOENT ? 0 : divvy_error_set_errno(error, status, "the folder of state %.150s cannot be used", path);
    return found.st_mode & 0022 ? open_to_others_set(path, error) : 0;
}

int divvy_backend_folder_open(const char *path, struct divvy_error *error) {
    int status = path[0] ? folders_make(path) : -ENOENT;
    cleanup_close int fd = -1;
    struct stat found;

    if (status == 0 && (fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        status = -errno;
    if (status == -ENOTDIR || status == -ELOOP)
        return no_folder_set(path, error);
    if (status < 0)
        return divvy_error_set_errno(error, status, "the folder of state %.150s cannot be used", path);
    if (fstat(fd, &found) < 0 || found.st_uid != geteuid())
        return divvy_error_set(error, -EPERM, "the folder of state %.120s belongs to another user; name one of your own", path);
    if (found.st_mode & 0022)
        return open_to_others_set(path, error);
    return divvy_cleanup_keep(&fd);
}

/* --- the object -------------------------------------------------------------------------------------------------------------- */

static bool is_leftover(const char *entry, const char *name) {
    size_t length = strlen(name);

    return entry[0] == '.' && strncmp(entry + 1, name, length) == 0 && entry[1 + length] == '.' &&
           strlen(entry) > 5 && strcmp(entry + strlen(entry) - 4, ".tmp") == 0;
}

/* Under the lock: whoever was writing is dead. */
static void leftovers_remove(const struct divvy_backend_filestate *state) {
    int fd = openat(state->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        divvy_cleanup_close(&fd);
        return;
    }
    while ((entry = readdir(folder)))
        if (is_leftover(entry->d_name, state->name))
            (void)unlinkat(state->folder_fd, entry->d_name, 0);
}

/* The lock file is never removed; where somebody else did, whoever holds a name's file holds the lock. */
static int lock_is_named(const struct divvy_backend_filestate *state, int fd) {
    struct stat held, named;

    return fstat(fd, &held) == 0 && fstatat(state->folder_fd, state->lock_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

static int lock_take(const struct divvy_backend_filestate *state, struct divvy_error *error) {
    int64_t deadline_ns = (int64_t)divvy_core_clock_ns() + LOCK_NS;
    uint64_t wait_ns = 50 * DIVVY_NS_PER_US;

    for (;;) {
        cleanup_close int fd =
            openat(state->folder_fd, state->lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        struct timespec wait = divvy_core_clock_timespec(wait_ns);

        if (fd < 0)
            return divvy_error_set_errno(error, -errno, "%s cannot be used", state->lock_name);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && lock_is_named(state, fd))
            return divvy_cleanup_keep(&fd);
        if ((int64_t)divvy_core_clock_ns() > deadline_ns)
            return divvy_error_set(error, -ETIMEDOUT, "%s: another program has held %s for ten seconds", state->name,
                                   state->lock_name);
        (void)nanosleep(&wait, NULL);
        if (wait_ns < 2 * DIVVY_NS_PER_MS)
            wait_ns *= 2;
    }
}

static int watch_open(int folder_fd) {
    char path[64];
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", folder_fd);
    if (fd >= 0 && inotify_add_watch(fd, path, WATCHED_EVENTS) < 0)
        divvy_cleanup_close(&fd);
    return fd;
}

int divvy_backend_filestate_open(int folder_fd, const char *name, enum divvy_backend_schema schema,
                                 struct divvy_backend_filestate **ret_state, struct divvy_error *error) {
    struct divvy_backend_filestate *state = calloc(1, sizeof *state);
    cleanup_close int lock_fd = -1;

    if (!state)
        return divvy_error_set_errno(error, -ENOMEM, "%s", name);
    state->schema = schema;
    state->watch_fd = -1;
    (void)snprintf(state->lock_name, sizeof state->lock_name, "%s.lock", name);
    state->folder_fd = fcntl(folder_fd, F_DUPFD_CLOEXEC, 3);
    if (snprintf(state->name, sizeof state->name, "%s", name) >= (int)sizeof state->name || strchr(name, '/') || !name[0]) {
        divvy_backend_filestate_close(state);
        return divvy_error_set(error, -EINVAL, "not a name for a file of state: %.100s", name);
    }
    if (state->folder_fd < 0 || (lock_fd = lock_take(state, error)) < 0) {
        int status = state->folder_fd < 0 ? divvy_error_set_errno(error, -errno, "%s", name) : lock_fd;

        divvy_backend_filestate_close(state);
        return status;
    }
    leftovers_remove(state);
    state->watch_fd = watch_open(state->folder_fd);
    *ret_state = state;
    return 0;
}

void divvy_backend_filestate_close(struct divvy_backend_filestate *state) {
    if (!state)
        return;
    divvy_cleanup_close(&state->folder_fd);
    divvy_cleanup_close(&state->watch_fd);
    free(state->last);
    free(state);
}

/* --- reading ----------------------------------------------------------------------------------------------------------------- */

static struct identity identity_of(const struct stat *status) {
    return (struct identity){status->st_dev, status->st_ino, status->st_size, status->st_mtim, status->st_ctim};
}

static bool identity_equal(const struct identity *a, const struct identity *b) {
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct identity identity_now(const struct divvy_backend_filestate *state) {
    struct identity none = {0};
    struct stat status;

    return fstatat(state->folder_fd, state->name, &status, AT_SYMLINK_NOFOLLOW) < 0 ? none : identity_of(&status);
}

/* The whole file, malloc'd; a file that is missing is empty. */
static int bytes_read(const struct divvy_backend_filestate *state, struct identity *ret_identity, mode_t *ret_mode,
                      char **ret_text, size_t *ret_length, struct divvy_error *error) {
    cleanup_close int fd = openat(state->folder_fd, state->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status = {0};
    ssize_t length = 0;
    char *text;

    *ret_identity = (struct identity){0};
    if (fd < 0 && (errno == ELOOP || errno == ENXIO)) {
        *ret_identity = identity_now(state);
        return divvy_error_set(error, -EBADMSG, "%s is a link or no file", state->name);
    }
    if ((fd < 0 && errno != ENOENT) || (fd >= 0 && fstat(fd, &status) < 0))
        return divvy_error_set_errno(error, -errno, "%s cannot be read", state->name);
    if (fd >= 0)
        *ret_identity = identity_of(&status);
    if (fd >= 0 && !S_ISREG(status.st_mode))
        return divvy_error_set(error, -EBADMSG, "%s is no file", state->name);
    if (status.st_size > (off_t)DIVVY_BACKEND_FILE_BYTES)
        return divvy_error_set(error, -EFBIG, "%s has more than %u MiB", state->name, DIVVY_BACKEND_FILE_BYTES >> 20);
    text = malloc((size_t)status.st_size + 1);
    if (!text)
        return divvy_error_set_errno(error, -ENOMEM, "%s", state->name);
    if (fd >= 0 && (length = divvy_core_sys_read(fd, text, (size_t)status.st_size)) < 0) {
        free(text);
        return divvy_error_set_errno(error, (int)length, "%s cannot be read", state->name);
    }
    *ret_mode = fd >= 0 ? status.st_mode & 0777 : 0644;
    *ret_length = (size_t)length;
    *ret_text = text;
    return 0;
}

/* A read file becomes the last one that could be read; takes the text over. */
static void last_keep(struct divvy_backend_filestate *state, char *text, size_t length) {
    free(state->last);
    state->last = text;
    state->last_length = length;
}

/* A file that is there and has nothing in it is most likely about to be written in place: it is nobody's wish until it stays so. */
static int text_read(struct divvy_backend_filestate *state, mode_t *ret_mode, char **ret_text, size_t *ret_length,
                     struct divvy_error *error) {
    int status = bytes_read(state, &state->read, ret_mode, ret_text, ret_length, error);

    for (unsigned int i = 0; i < TORN_TRIES && status == 0 && *ret_length == 0 && state->read.inode; i++) {
        struct timespec wait = divvy_core_clock_timespec(TORN_WAIT_NS);

        free(*ret_text);
        (void)nanosleep(&wait, NULL);
        status = bytes_read(state, &state->read, ret_mode, ret_text, ret_length, error);
    }
    return status;
}

static int load(struct divvy_backend_filestate *state, struct divvy_backend_entries *ret_entries, mode_t *ret_mode,
                struct divvy_error *error) {
    char *text = NULL;
    size_t length = 0;
    int status;

    *ret_entries = (struct divvy_backend_entries){0};
    state->told = false;
    status = text_read(state, ret_mode, &text, &length, error);
    if (status < 0)
        return status;
    status = divvy_backend_entries_parse(ret_entries, state->schema, state->name, text, length, error);
    if (status < 0) {
        divvy_backend_entries_done(ret_entries);
        free(text);
        return status;
    }
    last_keep(state, text, length);
    return 0;
}

int divvy_backend_filestate_read(struct divvy_backend_filestate *state, json_t **ret_array,
                                 struct divvy_backend_findings *ret_findings, struct divvy_error *error) {
    struct divvy_backend_entries entries;
    json_t *list;
    mode_t mode;
    int status = load(state, &entries, &mode, error);

    if (status < 0)
        return status;
    list = divvy_backend_entries_list(&entries);
    if (list && ret_findings)
        *ret_findings = entries.findings;
    divvy_backend_entries_done(&entries);
    if (!list)
        return divvy_error_set_errno(error, -ENOMEM, "%s", state->name);
    *ret_array = list;
    return 0;
}

/* --- writing ----------------------------------------------------------------------------------------------------------------- */

static int temporary_open(const struct divvy_backend_filestate *state, mode_t mode, char ret_name[NAME_BYTES + 48]) {
    uint64_t random = 0;
    int fd;

    (void)divvy_core_sys_getrandom(&random, sizeof random);
    (void)snprintf(ret_name, NAME_BYTES + 48, ".%s.%d.%016llx.tmp", state->name, (int)getpid(), (unsigned long long)random);
    fd = openat(state->folder_fd, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, mode) < 0) {
        int status = -errno;

        (void)close(fd);
        (void)unlinkat(state->folder_fd, ret_name, 0);
        return status;
    }
    return fd;
}

static int temporary_write(const struct divvy_backend_filestate *state, const char *text, size_t length, mode_t mode,
                           char ret_name[NAME_BYTES + 48], struct divvy_error *error) {
    cleanup_close int fd = temporary_open(state, mode, ret_name);
    int status = fd < 0 ? fd : divvy_core_sys_write(fd, text, length);

    if (status == 0 && fsync(fd) < 0)
        status = -errno;
    if (status < 0 && fd >= 0)
        (void)unlinkat(state->folder_fd, ret_name, 0);
    return status < 0 ? divvy_error_set_errno(error, status, "%s cannot be written", state->name) : 0;
}

/* A file stays under a second name; what is no file, or none of ours, is moved there. What cannot be kept is not written over. */
static int aside_keep(struct divvy_backend_filestate *state, struct divvy_error *error) {
    struct timespec now;
    struct tm utc;
    char time_text[32];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(time_text, sizeof time_text, "%Y%m%dT%H%M%S", &utc);
    (void)snprintf(state->aside, sizeof state->aside, "%s.unreadable-%s.%09u", state->name, time_text,
                   (unsigned int)(now.tv_nsec % 1000000000));
    if (linkat(state->folder_fd, state->name, state->folder_fd, state->aside, 0) < 0 &&
        renameat(state->folder_fd, state->name, state->folder_fd, state->aside) < 0) {
        state->aside[0] = '\0';
        return divvy_error_set_errno(error, -errno, "%s can neither be read nor kept under another name, and stays", state->name);
    }
    divvy_log_error("%s could not be read and was kept as %s; the last content that could be read goes on", state->name,
                    state->aside);
    return 0;
}

/* Loads for a change: a file that stays unreadable gives way to the last content that was not. */
static int load_to_change(struct divvy_backend_filestate *state, struct divvy_backend_entries *ret_entries,
                          mode_t *ret_mode, bool *ret_broken, struct divvy_error *error) {
    int status = load(state, ret_entries, ret_mode, error);

    for (unsigned int i = 0; i < TORN_TRIES && (status == -EBADMSG || status == -EFBIG); i++) {
        struct timespec wait = divvy_core_clock_timespec(TORN_WAIT_NS);

        (void)nanosleep(&wait, NULL);
        status = load(state, ret_entries, ret_mode, error);
    }
    *ret_broken = status == -EBADMSG || status == -EFBIG;
    if (!*ret_broken)
        return status;
    divvy_log_error("%s", error && error->text[0] ? error->text : state->name);
    *ret_mode = 0644;
    status = divvy_backend_entries_parse(ret_entries, state->schema, state->name, state->last ? state->last : "",
                                         state->last_length, error);
    if (status < 0)
        divvy_backend_entries_done(ret_entries);
    return status;
}

/* Puts the new text in the file's place, unless another program was faster: 1. Takes the text over. */
static int replace(struct divvy_backend_filestate *state, char *text, size_t length, mode_t mode, bool broken,
                   struct divvy_error *error) {
    char temporary[NAME_BYTES + 48];
    struct identity now;
    int status = temporary_write(state, text, length, mode, temporary, error);

    if (status == 0) {
        now = identity_now(state);
        if (!identity_equal(&now, &state->read)) {
            (void)unlinkat(state->folder_fd, temporary, 0);
            status = 1;
        }
    }
    if (status == 0) {
        status = broken ? aside_keep(state, error) : 0;
        if (status == 0 && renameat(state->folder_fd, temporary, state->folder_fd, state->name) < 0)
            status = divvy_error_set_errno(error, -errno, "%s cannot be written", state->name);
        if (status != 0)
            (void)unlinkat(state->folder_fd, temporary, 0);
    }
    if (status != 0) {
        free(text);
        return status;
    }
    (void)fsync(state->folder_fd); /* where a folder cannot be synced the file system does not need it */
    state->read = identity_now(state);
    last_keep(state, text, length);
    return 0;
}

/* One attempt: 0 done, 1 another program wrote in between. */
static int change_once(struct divvy_backend_filestate *state, divvy_backend_change_t body, void *data,
                       struct divvy_error *error) {
    struct divvy_backend_entries entries;
    mode_t mode = 0644;
    bool broken;
    size_t length = 0;
    char *text;
    int status = load_to_change(state, &entries, &mode, &broken, error);

    if (status < 0)
        return status;
    status = body(data, &entries, error);
    text = status == 0 ? divvy_backend_entries_text(&entries, &length) : NULL;
    divvy_backend_entries_done(&entries);
    if (status != 0)
        return status == DIVVY_BACKEND_UNCHANGED ? 0 : status;
    if (!text)
        return divvy_error_set_errno(error, -ENOMEM, "%s", state->name);
    return replace(state, text, length, mode, broken, error);
}

int divvy_backend_filestate_change(struct divvy_backend_filestate *state, divvy_backend_change_t body, void *data,
                                   struct divvy_error *error) {
    cleanup_close int lock_fd = lock_take(state, error);
    int status = 1;

    if (lock_fd < 0)
        return lock_fd;
    state->aside[0] = '\0';
    for (unsigned int i = 0; status == 1 && i < INTERFERED_MAX; i++)
        status = change_once(state, body, data, error);
    if (status == 1)
        return divvy_error_set(error, -EBUSY, "%s: another program writes it without end", state->name);
    return status;
}

/* --- single elements --------------------------------------------------------------------------------------------------------- */

struct put {
    const struct divvy_backend_filestate *state;
    const json_t *object;
    const char *id;
};

static int put_body(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    const struct put *put = data;
    json_t *element = divvy_backend_entries_put(entries, put->id), *value;
    const char *key;

    if (!element)
        return divvy_error_set_errno(error, -ENOMEM, "%s", put->state->name);
    json_object_foreach((json_t *)put->object, key, value) {
        json_t *copy = json_deep_copy(value);

        if (!copy || divvy_backend_object_set(element, key, copy) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "%s", put->state->name);
    }
    return 0;
}

int divvy_backend_filestate_put(struct divvy_backend_filestate *state, const json_t *object, struct divvy_error *error) {
    struct put put = {state, object, divvy_backend_object_id(object, state->schema)};

    if (!put.id)
        return divvy_error_set(error, -EINVAL, "%s: an element without a usable id", state->name);
    return divvy_backend_filestate_change(state, put_body, &put, error);
}

static int remove_body(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    const struct put *put = data;
    int status = divvy_backend_entries_remove(entries, put->id);

    return status < 0 ? divvy_error_set_errno(error, status, "%s: %.100s", put->state->name, put->id) : 0;
}

int divvy_backend_filestate_remove(struct divvy_backend_filestate *state, const char *id, struct divvy_error *error) {
    struct put put = {state, NULL, id};

    return divvy_backend_filestate_change(state, remove_body, &put, error);
}

/* --- watching ---------------------------------------------------------------------------------------------------------------- */

int divvy_backend_filestate_fd(const struct divvy_backend_filestate *state) {
    return state->watch_fd;
}

static void events_drain(struct divvy_backend_filestate *state) {
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got;

    while (state->watch_fd >= 0 && (got = read(state->watch_fd, buffer, sizeof buffer)) > 0)
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const void *)at;

            if ((event->mask & IN_Q_OVERFLOW) || (event->len && strcmp(event->name, state->name) == 0))
                state->told = true;
            at += sizeof *event + event->len;
        }
}

bool divvy_backend_filestate_changed(struct divvy_backend_filestate *state) {
    struct identity now;

    events_drain(state);
    now = identity_now(state);
    return state->told || !identity_equal(&now, &state->read);
}

const char *divvy_backend_filestate_aside(const struct divvy_backend_filestate *state) {
    return state->aside;
}
