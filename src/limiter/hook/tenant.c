/*
 * The tenant of a bare LD_PRELOAD is the process tree that was started with the same limits. Its
 * root is found by walking up the parents and reading their environment; no variable is written.
 * Reads a few small files of /proc, once in the life of a process, at its first use of CUDA or
 * NVML.
 */
#include "limiter/hook/tenant.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/sys.h"
#include "core/text.h"
#include "limiter/foreign/foreign.h"
#include "limiter/hook/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_BYTES    512
#define ANCESTORS_MAX 64

static const char *const variables[] = {"TENSOR_FUSION_CUDA_UP_LIMIT",
                                        "TENSOR_FUSION_CUDA_MEM_LIMIT"};
#define VARIABLES (sizeof variables / sizeof variables[0])

bool divvy_tenant_is_set_up(void) {
    const char *folder = getenv("DIVVY_TENANT_DIR");

    return folder && *folder;
}

/* ---- ancestors ---- */

/* Parent of a process as /proc tells, 0: none or not known. */
static uint32_t parent_of(uint32_t pid) {
    char path_bytes[40], text[1024];
    divvy_core_text_t path;
    const char *end;

    divvy_core_text_init(&path, path_bytes, sizeof path_bytes);
    divvy_core_text_format(&path, "/proc/%u/stat", pid);
    if (divvy_core_sys_read_file(path_bytes, text, sizeof text) < 0)
        return 0;
    end = strrchr(text, ')');
    return end && strlen(end) > 4 ? (uint32_t)strtoul(end + 4, NULL, 10) : 0;
}

/* A scan of NUL-separated NAME=VALUE entries that come in pieces: which of our variables have our
 * values. */
struct scan {
    size_t position;         /* in the entry */
    bool matches[VARIABLES]; /* the entry so far, for each variable */
    bool found[VARIABLES];   /* some entry was that variable with our value */
};

/* Byte `position` of "NAME=VALUE" of a variable that is set; -1 past its end. */
static int expected_byte(size_t variable, size_t position) {
    const char *name = variables[variable];
    size_t length = strlen(name);
    const char *value = getenv(name);

    if (position < length)
        return (unsigned char)name[position];
    if (position == length)
        return '=';
    position -= length + 1;
    return value && position < strlen(value) ? (unsigned char)value[position] : -1;
}

static void scan_byte(struct scan *scan, char byte) {
    for (size_t i = 0; i < VARIABLES; i++) {
        if (scan->position == 0)
            scan->matches[i] = true;
        if (!scan->matches[i])
            continue;
        if (byte == '\0')
            scan->found[i] =
                scan->found[i] || (scan->position > 0 && expected_byte(i, scan->position) < 0);
        else
            scan->matches[i] = expected_byte(i, scan->position) == (unsigned char)byte;
    }
    scan->position = byte == '\0' ? 0 : scan->position + 1;
}

/* Whether the process was started with the limits that this one has. */
static bool has_same_limits(uint32_t pid) {
    char path_bytes[40], buffer[4096];
    divvy_core_text_t path;
    struct scan scan = {0};
    bool same = true;
    ssize_t length;
    int fd;

    divvy_core_text_init(&path, path_bytes, sizeof path_bytes);
    divvy_core_text_format(&path, "/proc/%u/environ", pid);
    fd = divvy_core_sys_open(path_bytes, O_RDONLY, 0);
    if (fd < 0)
        return false;
    while ((length = divvy_core_sys_read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < length; i++)
            scan_byte(&scan, buffer[i]);
    divvy_core_sys_close(&fd);
    for (size_t i = 0; i < VARIABLES; i++)
        same = same && scan.found[i] == (getenv(variables[i]) != NULL);
    return same;
}

/* ---- where pages of bare programs lie ---- */

static bool folder_usable(const char *path) {
    struct stat status;
    int saved = errno;

    (void)syscall(SYS_mkdirat, AT_FDCWD, path, 0700);
    errno = saved;
    return divvy_core_sys_fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode) && status.st_uid == geteuid() && (status.st_mode & 022) == 0;
}

static bool folder_find(char *ret_path, size_t capacity) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    for (int choice = 0; choice < 3; choice++) {
        divvy_core_text_t path;

        divvy_core_text_init(&path, ret_path, capacity);
        if (choice == 0)
            divvy_core_text_format(&path, "/dev/shm/divvy-%u", (unsigned)geteuid());
        else if (choice == 1 && runtime && *runtime == '/')
            divvy_core_text_format(&path, "%s/divvy", runtime);
        else if (choice == 2)
            divvy_core_text_format(&path, "/tmp/divvy-%u", (unsigned)geteuid());
        if (path.length > 0 && !path.is_cut && folder_usable(ret_path))
            return true;
    }
    return false;
}

static uint64_t tenant_key(const struct divvy_page_identity *root) {
    uint64_t key = divvy_core_hash_pair(divvy_limits_hash(), root->pid);

    key = divvy_core_hash_pair(key, root->start_ticks);
    return divvy_core_hash_pair(key, root->pidns);
}

static bool page_path(const char *folder, uint64_t key, char *ret_path, size_t capacity) {
    divvy_core_text_t path;

    divvy_core_text_init(&path, ret_path, capacity);
    divvy_core_text_format(&path, "%s/%016llx", folder, (unsigned long long)key);
    return !path.is_cut;
}

static bool exists(const char *path) {
    struct stat status;

    return divvy_core_sys_fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * The topmost ancestor that was started with the same limits, or that has a page under them already
 * (it set its own environment before its first use of CUDA).
 */
static uint64_t root_key(const char *folder, const struct divvy_page_identity *self) {
    uint64_t key = tenant_key(self);
    uint32_t pid = parent_of(self->pid);

    for (int steps = 0; pid != 0 && steps < ANCESTORS_MAX; steps++, pid = parent_of(pid)) {
        struct divvy_page_identity ancestor = {.pid = pid, .pidns = self->pidns};
        char path[PATH_BYTES];
        uint64_t its_key;

        if (divvy_core_sys_start_time((pid_t)pid, &ancestor.start_ticks) < 0)
            break;
        its_key = tenant_key(&ancestor);
        if (has_same_limits(pid) || (page_path(folder, its_key, path, sizeof path) && exists(path)))
            key = its_key;
    }
    return key;
}

/* ---- opening ---- */

static int open_set_up(struct divvy_page **ret_page, int *ret_fd) {
    const char *folder = getenv("DIVVY_TENANT_DIR");
    char path_bytes[PATH_BYTES];
    divvy_core_text_t path;
    int status;

    divvy_core_text_init(&path, path_bytes, sizeof path_bytes);
    divvy_core_text_format(&path, "%s/usage", folder);
    status = path.is_cut ? -ENAMETOOLONG
                         : divvy_page_open(path_bytes, getenv("DIVVY_TENANT"), 0, ret_page, ret_fd);
    if (status == -EPROTO)
        divvy_core_log_once(DIVVY_LOG_ERROR,
                            "DIVVY_TENANT_DIR: %s is not a usage page of this version of divvy and "
                            "of this user; remove it, or start the tenant again with `divvy run`; %s",
                            path_bytes, divvy_limits_what_follows());
    else if (status < 0)
        divvy_core_log_once(
            DIVVY_LOG_ERROR,
            "DIVVY_TENANT_DIR: cannot open %s: %s (errno %d); start the tenant again with `divvy run`; %s",
            path_bytes, divvy_core_sys_error_text(status), -status, divvy_limits_what_follows());
    return status;
}

static int open_bare(const struct divvy_page_identity *self, struct divvy_page **ret_page,
                     int *ret_fd) {
    char folder[PATH_BYTES], path[PATH_BYTES];
    int status = -ENOENT;
    uint64_t key = tenant_key(self);

    if (folder_find(folder, sizeof folder - 32)) {
        key = divvy_foreign_state() == DIVVY_FOREIGN_NONE ? root_key(folder, self) : divvy_foreign_key();
        if (page_path(folder, key, path, sizeof path)) {
            bool is_new = !exists(path);

            status = divvy_page_open(path, getenv("DIVVY_TENANT"), key, ret_page, ret_fd);
            if (status == 0 && is_new)
                (void)divvy_page_sweep(folder, self);
        }
    }
    if (status == 0)
        return 0;
    divvy_core_log_warn(
        "no shared file for this tenant: %s (errno %d); its other programs are limited apart",
        divvy_core_sys_error_text(status), -status);
    *ret_fd = -1;
    return divvy_page_open_anonymous(getenv("DIVVY_TENANT"), key, ret_page);
}

int divvy_tenant_open(const struct divvy_page_identity *self, struct divvy_page **ret_page,
                      int *ret_fd) {
    return divvy_tenant_is_set_up() ? open_set_up(ret_page, ret_fd)
                                    : open_bare(self, ret_page, ret_fd);
}
