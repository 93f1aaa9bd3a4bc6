/*
 * Reading a tenant's usage page, which the tenant may write at will: random bytes, cut short, changing under the reader. It is read
 * by pread into memory of ours, so that a file that shrinks is a short read and not a signal, and every value is taken for a
 * claim: counters may go back, sums saturate, names are not looked at.
 */
#ifndef DIVVY_DAEMON_USAGE_H
#define DIVVY_DAEMON_USAGE_H

#include "page/page.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* One reader of one page; not thread-safe. Zero is not open: start with divvy_usage_init. */
struct divvy_usage {
    int fd;                  /* of the page, -1 not open yet */
    uint32_t slots;          /* that are read: as many as were ever claimed */
    struct divvy_page *copy; /* where it is read to; the caller's */
    /* There was no page in the folder when it had last changed then: until it changes, so many looks may be spared. */
    struct timespec absent_since;
    uint32_t absent_looks;
};

/* What the processes of the tenant say of one device. */
struct divvy_usage_device {
    uint64_t used_bytes, peak_bytes, refused;
    uint64_t charged_ns;  /* GPU time since the tenant began, of processes that ended too */
    uint64_t inflight_ns; /* estimate of what is launched and not known to have completed */
    int64_t
        drain_ns; /* CLOCK_MONOTONIC at which that will be done, by estimates of all processes together */
    int64_t
        last_ns; /* the latest that any of them told: work was launched or seen to complete about then */
    int64_t late_ns; /* from the begin of a lease to the first launch, of the quickest of them; 0 unknown */
    uint64_t waited_ns, launches; /* of the processes that are attached now */
    uint32_t waiting;             /* threads at the gate */
    uint32_t processes;           /* slots in use */
    uint32_t busy_processes;      /* of them, with work in flight */
};

/* Who owns a slot. */
struct divvy_usage_process {
    uint32_t pid, pidns;
    uint64_t start_ticks;
    uint64_t host_pid; /* as claimed; 0 unknown */
    uint64_t used_bytes;
};

/* `copy` may be shared by readers of one thread: of its megabyte only the beginning is ever touched for small tenants. */
void divvy_usage_init(struct divvy_usage *usage, struct divvy_page *copy);
void divvy_usage_close(struct divvy_usage *usage);

/* Whether the process is known to be gone: it is of this pid namespace (by its inode), and there is no such pid. */
bool divvy_usage_is_dead(const struct divvy_usage_process *process, uint32_t own_pidns);

/*
 * Read what concerns one device at now_ns (CLOCK_MONOTONIC), opening `usage` in the folder first if that has not been done. With
 * own_pidns slots of dead processes count for nothing; NULL: nobody looks. 0; -ENOENT: no page yet, or the device is not in it; -EPROTO: not a page of
 * owner_uid: refused. Costs about two microseconds with a handful of processes, less where there is none yet.
 */
int divvy_usage_read(struct divvy_usage *usage, int folder_fd, uid_t owner_uid,
                     const uint8_t uuid[16], int64_t now_ns, const uint32_t *own_pidns,
                     struct divvy_usage_device *ret_device);

/*
 * What the tenant's processes know of its door (page/control.h): *ret_all, all of them look at it; *ret_came, one has come by since
 * `word` was written; *ret_count, how many there are that are not known to be dead. Errors as above.
 */
int divvy_usage_door(struct divvy_usage *usage, int folder_fd, uid_t owner_uid, uint32_t own_pidns, uint32_t word,
                     bool *ret_all, bool *ret_came, uint32_t *ret_count);

/* The owners of slots in use, up to `room`: how many, or as above. */
int divvy_usage_processes(struct divvy_usage *usage, int folder_fd, uid_t owner_uid,
                          struct divvy_usage_process *ret_processes, uint32_t room);

/*
 * As divvy_usage_read, but of what the call before has read: one that succeeded, of this reader, with no other reader's call on the
 * same copy since.
 */
int divvy_usage_sum(const struct divvy_usage *usage, const uint8_t uuid[16], int64_t now_ns, const uint32_t *own_pidns,
                    struct divvy_usage_device *ret_device);

#endif
