/* The state file: finding it, making it free of races, and not trusting what lies there. */
#include "simgpu/engine/state.h"

#include "simgpu/engine/fault.h"
#include "simgpu/engine/self.h"

#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int refuse(char *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(char *error, int status, const char *format, ...) {
    if (error) {
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(error, DIVVY_SIMGPU_ERROR_MAX, format, arguments);
        va_end(arguments);
    }
    return status;
}

int sim_state_directory(char *buf, size_t size) {
    const char *directory = secure_getenv("DIVVY_SIM_DIR");
    int n;

    if (directory && *directory)
        n = snprintf(buf, size, "%s", directory);
    else
        n = snprintf(buf, size, "%s/divvy-sim-%u",
                     access("/dev/shm", W_OK | X_OK) ? "/tmp" : "/dev/shm", (unsigned)geteuid());
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int sim_state_populate(void *address, size_t bytes) {
    uintptr_t first = (uintptr_t)address & ~(uintptr_t)4095;
    uintptr_t end = ((uintptr_t)address + bytes + 4095) & ~(uintptr_t)4095;

    if (!madvise((void *)first, end - first, MADV_POPULATE_WRITE) || errno == EINVAL)
        return 0; /* EINVAL: a kernel before 5.14, which cannot tell */
    return -ENOSPC;
}

void sim_state_discard(void *address, size_t bytes) {
    if (madvise(address, bytes, MADV_REMOVE))
        memset(address, 0, bytes); /* a file system without holes */
}

void sim_state_init(sim_file_t *f, const sim_config_t *config) {
    sim_header_t *h = &f->header;
    uint64_t now_ns = divvy_core_clock_ns();

    h->version = SIM_VERSION;
    h->header_bytes = (uint32_t)offsetof(sim_file_t, events);
    h->file_bytes = sizeof *f;
    h->uid = geteuid();
    (void)divvy_core_sys_namespace_id("pid", &h->pid_namespace);
    h->boot_ns_check = now_ns;
    h->config = *config;
    h->next_id = 1;
    for (uint32_t i = 0; i < SIM_PROCS; i++)
        h->proc_words[i] = sim_slot_word(1, SIM_SLOT_FREE);
    for (uint32_t i = 0; i < SIM_CONTEXTS; i++)
        h->context_words[i] = sim_slot_word(1, SIM_SLOT_FREE);
    for (uint32_t i = 0; i < config->devices; i++) {
        sim_device_t *d = &h->devices[i];

        sim_config_facts(config, i, &d->facts);
        d->created_ns = d->now_ns = now_ns;
        d->current = d->last = SIM_CONTEXTS;
        d->next_ns = UINT64_MAX;
        d->pool = i;
        d->pool_bytes = d->facts.memory_bytes;
    }
    (void)sim_fault_parse(f, config->faults, NULL); /* were parsed before: they are valid */
    (void)sim_mig_configure(f, config, NULL);
    sim_store(&h->magic, SIM_MAGIC);
}

/* --- opening ----------------------------------------------------------------------------------------------- */

static int open_directory(const char *path, bool make, char *error) {
    struct stat st;

    if (make && mkdir(path, 0700) && errno != EEXIST)
        return refuse(error, -errno, "%s: cannot make the simulated GPU's directory: %s", path,
                      strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? refuse(error, -ENOENT, "%s: no simulated machine here", path)
                               : refuse(error, -errno, "%s: %s", path, strerror(errno));
    if (divvy_core_sys_fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 022) {
        close(fd);
        return refuse(error, -EPERM, "%s: not a private directory of this user; set DIVVY_SIM_DIR",
                      path);
    }
    return fd;
}

/* Opens and locks the file that the name stands for once the lock is held. */
static int open_locked(int directory, bool make, const char *path, char *error) {
    struct stat st, named;

    for (;;) {
        int fd = openat(directory, "state", O_RDWR | O_NOFOLLOW | O_CLOEXEC | (make ? O_CREAT : 0),
                        0600);

        if (fd < 0)
            return errno == ENOENT ? refuse(error, -ENOENT, "%s: no simulated machine here", path)
                                   : refuse(error, errno == ELOOP ? -EPROTO : -errno,
                                            "%s/state: %s", path, strerror(errno));
        while (flock(fd, LOCK_EX) && errno == EINTR)
            ;
        if (!divvy_core_sys_fstat(fd, &st) &&
            !divvy_core_sys_fstatat(directory, "state", &named, AT_SYMLINK_NOFOLLOW) &&
            st.st_ino == named.st_ino && st.st_dev == named.st_dev) {
            if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022))
                return fd;
            close(fd);
            return refuse(error, -EPERM, "%s/state: not a private file of this user", path);
        }
        close(fd); /* replaced while we waited */
    }
}

static int map_file(int fd, sim_file_t **ret_file) {
    void *p =
        mmap(NULL, sizeof(sim_file_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    (void)madvise(p, sizeof(sim_file_t), MADV_DONTFORK);
    (void)madvise(p, sizeof(sim_file_t), MADV_DONTDUMP);
    *ret_file = p;
    return 0;
}

void sim_state_unmap(sim_file_t *file) {
    if (file)
        (void)munmap(file, sizeof *file);
}

void sim_state_unlock(int fd) {
    (void)flock(fd, LOCK_UN); /* a concurrent fork may hold a copy of the descriptor */
    close(fd);
}

static int create(int fd, const sim_config_t *config, const char *path, sim_file_t **ret_file,
                  char *error) {
    sim_file_t *f;
    int r;

    if (ftruncate(fd, 0) || ftruncate(fd, (off_t)sizeof(sim_file_t)))
        return refuse(error, -ENOSPC, "%s/state: cannot make it: %s", path, strerror(errno));
    if ((r = map_file(fd, &f)) < 0)
        return refuse(error, r, "%s/state: cannot map it: %s", path, strerror(-r));
    if (sim_state_populate(&f->header, sizeof f->header) < 0) {
        sim_state_unmap(f);
        (void)ftruncate(fd, 0);
        return refuse(error, -ENOSPC, "%s: no space left for the simulated GPU; set DIVVY_SIM_DIR",
                      path);
    }
    sim_state_init(f, config);
    *ret_file = f;
    return 0;
}

/* What lies in the file: 0 to be made, 1 a machine, or an error. */
static int judge(int fd, const char *path, char *error) {
    struct {
        uint64_t magic;
        uint32_t version, header_bytes;
        uint64_t file_bytes;
    } head = {0};
    struct stat st;

    if (divvy_core_sys_fstat(fd, &st) < 0)
        return refuse(error, -EIO, "%s/state: cannot be examined", path);
    if (!st.st_size)
        return 0;
    if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return refuse(
            error, -EPROTO,
            "%s/state: too short to be a simulated machine; remove it or run 'divvy-sim reset'",
            path);
    if (!head.magic && st.st_size == (off_t)sizeof(sim_file_t))
        return 0; /* its maker died half way */
    if (head.magic != SIM_MAGIC)
        return refuse(error, -EPROTO,
                      "%s/state: not a simulated machine; remove it or set DIVVY_SIM_DIR", path);
    if (head.version != SIM_VERSION || head.header_bytes != offsetof(sim_file_t, events) ||
        head.file_bytes != sizeof(sim_file_t))
        return refuse(error, -EPROTO,
                      "%s/state: made by another version of divvy; run 'divvy-sim reset'", path);
    if (st.st_size != (off_t)sizeof(sim_file_t))
        return refuse(error, -EPROTO, "%s/state: cut off; run 'divvy-sim reset'", path);
    return 1;
}

static bool header_sane(const sim_header_t *h) {
    if (!sim_config_sane(&h->config) || h->fault_count > SIM_FAULTS)
        return false;
    for (uint32_t i = 0; i < h->config.devices; i++) {
        divvy_simgpu_device_t facts;

        sim_config_facts(&h->config, i, &facts);
        if (memcmp(&facts, &h->devices[i].facts, sizeof facts) ||
            h->devices[i].now_ns > divvy_core_clock_ns())
            return false;
    }
    return true;
}

/* First process that lives in the machine; -1: none. */
static int live_process(sim_file_t *f) {
    for (uint32_t i = 0; i < SIM_PROCS; i++)
        if (sim_slot_state(sim_load(&f->header.proc_words[i])) != SIM_SLOT_FREE &&
            sim_process_alive(f->procs[i].pid, f->procs[i].start_ticks))
            return (int)i;
    return -1;
}

enum { JOIN, REPLACE };

/* Whether to join the machine that exists. */
static int decide(sim_file_t *f, unsigned flags, const sim_request_t *request, const char *path,
                  char *error) {
    uint64_t namespace_id = 0;
    const char *variable;
    int live;

    (void)divvy_core_sys_namespace_id("pid", &namespace_id);
    if (f->header.boot_ns_check > divvy_core_clock_ns())
        return flags & DIVVY_SIMGPU_EXISTING
                   ? refuse(error, -ENOENT, "%s: no simulated machine here", path)
                   : REPLACE; /* from before the last boot */
    if (!header_sane(&f->header))
        return refuse(error, -EPROTO, "%s/state: damaged; run 'divvy-sim reset'", path);
    if (f->header.pid_namespace != namespace_id)
        return refuse(error, -EPERM,
                      "%s/state: belongs to another pid namespace; set DIVVY_SIM_DIR", path);
    if (flags & DIVVY_SIMGPU_EXISTING)
        return JOIN;
    live = live_process(f);
    if (live < 0)
        return sim_config_equal(&f->header.config, &request->config) ? JOIN : REPLACE;
    if (!(variable = sim_config_conflict(request, &f->header.config)))
        return JOIN;
    return refuse(
        error, -EBUSY,
        "%s differs from the machine in use (pid %d, %.15s); unset it or set DIVVY_SIM_DIR",
        variable, f->procs[live].pid, f->procs[live].comm);
}

static int open_machine(int directory, unsigned flags, const sim_request_t *request,
                        const char *path, sim_file_t **ret_file, int *ret_fd, char *error) {
    bool make = !(flags & DIVVY_SIMGPU_EXISTING);

    for (;;) {
        int fd = open_locked(directory, make, path, error);
        sim_file_t *f = NULL;
        int r;

        if (fd < 0)
            return fd;
        r = judge(fd, path, error);
        if (!r)
            r = make ? create(fd, &request->config, path, &f, error)
                     : refuse(error, -ENOENT, "%s: no simulated machine here", path);
        else if (r > 0 && (r = map_file(fd, &f)) < 0)
            (void)refuse(error, r, "%s/state: cannot map it: %s", path, strerror(-r));
        else if (r == 0)
            r = decide(f, flags, request, path, error);
        if (r == JOIN) {
            *ret_file = f;
            *ret_fd = fd;
            return 0;
        }
        sim_state_unmap(f);
        if (r == REPLACE)
            (void)unlinkat(directory, "state", 0);
        close(fd);
        if (r < 0)
            return r;
    }
}

int sim_state_open(unsigned flags, sim_file_t **ret_file, int *ret_fd, char *error) {
    sim_request_t request = {0};
    char path[PATH_MAX];
    int r;

    if (sim_state_directory(path, sizeof path) < 0)
        return refuse(error, -ENAMETOOLONG, "DIVVY_SIM_DIR: too long");
    if (!(flags & DIVVY_SIMGPU_EXISTING)) {
        if ((r = sim_config_read(&request, error)) < 0)
            return r;
        if ((r = sim_fault_parse(NULL, request.config.faults, error)) < 0)
            return r;
    }
    int directory = open_directory(path, !(flags & DIVVY_SIMGPU_EXISTING), error);

    if (directory < 0)
        return directory;
    r = open_machine(directory, flags, &request, path, ret_file, ret_fd, error);
    close(directory);
    return r;
}

int sim_state_remove(bool force, int *ret_pid) {
    char path[PATH_MAX], error[DIVVY_SIMGPU_ERROR_MAX];
    sim_file_t *f;
    int live = -1;

    if (sim_state_directory(path, sizeof path) < 0)
        return -ENAMETOOLONG;
    int directory = open_directory(path, false, NULL);

    if (directory < 0)
        return directory;
    int fd = open_locked(directory, false, path, NULL);

    if (fd < 0) {
        close(directory);
        return fd;
    }
    if (!force && judge(fd, path, error) == 1 && !map_file(fd, &f)) {
        if ((live = live_process(f)) >= 0)
            *ret_pid = f->procs[live].pid;
        sim_state_unmap(f);
    }
    int r = live >= 0 ? -EBUSY : unlinkat(directory, "state", 0) ? -errno : 0;

    sim_state_unlock(fd);
    close(directory);
    return r;
}
