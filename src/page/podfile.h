/*
 * The pod file of other hypervisors: `<base>/<namespace>/<pod>/shm`, 35,504 bytes that TensorFusion's and vgpu.rs's limiters
 * share with their hypervisor. divvyd serves it to limiters that are not divvy's, and divvy's limiter attaches to one whose
 * hypervisor is not divvyd. The layout is theirs, byte for byte; nothing in it is divvy's own.
 *
 * Everybody in the pod may write the whole file, so all of it is hostile input to whoever reads it: indexes are bounded by the
 * functions here, strings are copied and ended, numbers that are not finite count as zero. Limits read from it are what the
 * pod's processes may have written: a daemon keeps its own record and writes it again. A file that is cut short under a
 * mapping raises SIGBUS, which no check can prevent; who maps files of others has to live with it or handle it.
 *
 * Two layouts exist. V2 (tag 1) is the only one that is written. V1 (tag 0) is mapped read only, and writing functions refuse
 * it with -EROFS.
 *
 * All functions are async-signal-safe and keep errno; none allocates. Those that change the file are safe between threads and
 * processes. Blocking is said where it happens.
 */
#ifndef DIVVY_PAGE_PODFILE_H
#define DIVVY_PAGE_PODFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_PODFILE_NAME         "shm"
#define DIVVY_PODFILE_BYTES        35504u
#define DIVVY_PODFILE_DEVICES      16u
#define DIVVY_PODFILE_PIDS         2048u
#define DIVVY_PODFILE_UUID_BYTES   64u
#define DIVVY_PODFILE_TAG_V1       0u
#define DIVVY_PODFILE_TAG_V2       1u
#define DIVVY_PODFILE_HEARTBEAT_MS 500u /* between two of the hypervisor's */
#define DIVVY_PODFILE_STALE_S      2u   /* whole seconds after which a heartbeat no longer counts */
#define DIVVY_PODFILE_UNTHROTTLED  100u /* up_limit from which on launches need no tokens */
/* What a new entry starts with. */
#define DIVVY_PODFILE_NEW_RATE     10.0
#define DIVVY_PODFILE_NEW_CAPACITY 100.0

struct divvy_podfile_v2_device {
    char uuid[DIVVY_PODFILE_UUID_BYTES]; /* NUL padded */
    uint32_t up_limit;                   /* percent */
    uint32_t padding0;
    uint64_t mem_limit; /* bytes */
    uint32_t total_cuda_cores;
    uint32_t padding1;
    uint64_t pod_memory_used; /* bytes */
    uint64_t rate;            /* these four: bits of a double. Tokens per second */
    uint64_t capacity;        /* tokens */
    uint64_t tokens;          /* changed by both sides, by compare-and-swap only */
    uint64_t last_update;     /* unix seconds */
    uint32_t is_active;
    uint32_t padding2;
};

struct divvy_podfile_v1_device {
    char uuid[DIVVY_PODFILE_UUID_BYTES];
    int32_t available_cores;
    uint32_t up_limit;
    uint64_t mem_limit;
    uint32_t total_cuda_cores;
    uint32_t padding0;
    uint64_t pod_memory_used;
    uint32_t is_active;
    uint32_t padding1;
};

struct divvy_podfile_pid_set {
    uint64_t lock; /* 0: free; else what `owner` was for whoever took it */
    uint64_t pids[DIVVY_PODFILE_PIDS];
    uint64_t bitmap[DIVVY_PODFILE_PIDS]; /* pids[k] counts: word k / 64, bit 63 - k % 64; the rest is unused */
    uint64_t length;
    uint64_t owner; /* pid of the process that initialised the lock */
};

struct divvy_podfile_v2 {
    uint32_t tag;
    uint32_t padding0;
    struct divvy_podfile_v2_device devices[DIVVY_PODFILE_DEVICES]; /* by NVML index */
    uint32_t device_count;                                         /* entries that are active */
    uint32_t padding1;
    uint64_t heartbeat; /* unix seconds */
    struct divvy_podfile_pid_set pid_set;
    uint8_t padding2[512];
};

struct divvy_podfile_v1 {
    uint32_t tag;
    uint32_t padding0;
    struct divvy_podfile_v1_device devices[DIVVY_PODFILE_DEVICES];
    uint32_t device_count;
    uint32_t padding1;
    uint64_t heartbeat;
    struct divvy_podfile_pid_set pid_set;
    uint8_t padding2[512];
    uint8_t rest[512]; /* V1 is shorter than V2, files are not */
};

#define DIVVY_PODFILE_AT(type, member, offset) _Static_assert(offsetof(struct type, member) == (offset), #type "." #member)
DIVVY_PODFILE_AT(divvy_podfile_v2_device, uuid, 0);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, up_limit, 64);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, mem_limit, 72);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, total_cuda_cores, 80);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, pod_memory_used, 88);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, rate, 96);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, capacity, 104);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, tokens, 112);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, last_update, 120);
DIVVY_PODFILE_AT(divvy_podfile_v2_device, is_active, 128);
_Static_assert(sizeof(struct divvy_podfile_v2_device) == 136, "entry of V2");
DIVVY_PODFILE_AT(divvy_podfile_v1_device, uuid, 0);
DIVVY_PODFILE_AT(divvy_podfile_v1_device, available_cores, 64);
DIVVY_PODFILE_AT(divvy_podfile_v1_device, up_limit, 68);
DIVVY_PODFILE_AT(divvy_podfile_v1_device, mem_limit, 72);
DIVVY_PODFILE_AT(divvy_podfile_v1_device, total_cuda_cores, 80);
DIVVY_PODFILE_AT(divvy_podfile_v1_device, pod_memory_used, 88);
DIVVY_PODFILE_AT(divvy_podfile_v1_device, is_active, 96);
_Static_assert(sizeof(struct divvy_podfile_v1_device) == 104, "entry of V1");
DIVVY_PODFILE_AT(divvy_podfile_v2, tag, 0);
DIVVY_PODFILE_AT(divvy_podfile_v2, devices, 8);
DIVVY_PODFILE_AT(divvy_podfile_v2, device_count, 2184);
DIVVY_PODFILE_AT(divvy_podfile_v2, heartbeat, 2192);
DIVVY_PODFILE_AT(divvy_podfile_v2, pid_set.lock, 2200);
DIVVY_PODFILE_AT(divvy_podfile_v2, pid_set.pids, 2208);
DIVVY_PODFILE_AT(divvy_podfile_v2, pid_set.bitmap, 18592);
DIVVY_PODFILE_AT(divvy_podfile_v2, pid_set.length, 34976);
DIVVY_PODFILE_AT(divvy_podfile_v2, pid_set.owner, 34984);
DIVVY_PODFILE_AT(divvy_podfile_v2, padding2, 34992);
_Static_assert(sizeof(struct divvy_podfile_v2) == DIVVY_PODFILE_BYTES, "V2");
DIVVY_PODFILE_AT(divvy_podfile_v1, tag, 0);
DIVVY_PODFILE_AT(divvy_podfile_v1, devices, 8);
DIVVY_PODFILE_AT(divvy_podfile_v1, device_count, 1672);
DIVVY_PODFILE_AT(divvy_podfile_v1, heartbeat, 1680);
DIVVY_PODFILE_AT(divvy_podfile_v1, pid_set.lock, 1688);
DIVVY_PODFILE_AT(divvy_podfile_v1, pid_set.pids, 1696);
DIVVY_PODFILE_AT(divvy_podfile_v1, pid_set.bitmap, 18080);
DIVVY_PODFILE_AT(divvy_podfile_v1, pid_set.length, 34464);
DIVVY_PODFILE_AT(divvy_podfile_v1, pid_set.owner, 34472);
DIVVY_PODFILE_AT(divvy_podfile_v1, padding2, 34480);
DIVVY_PODFILE_AT(divvy_podfile_v1, rest, 34992);
_Static_assert(sizeof(struct divvy_podfile_v1) == DIVVY_PODFILE_BYTES, "V1");
#undef DIVVY_PODFILE_AT
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the pod file is little endian");

/* An open file. Plain value; all zero is none. The tag is taken once, when it is opened. */
struct divvy_podfile {
    union {
        struct divvy_podfile_v2 *v2;
        const struct divvy_podfile_v1 *v1;
    };
    uint32_t tag; /* which of the two */
    uint64_t inode;
    uint64_t filesystem;
};

/* A device as the file has it now, for either layout; what a layout does not have is zero. */
struct divvy_podfile_entry {
    char uuid[DIVVY_PODFILE_UUID_BYTES]; /* ended */
    bool is_active;
    uint32_t up_limit; /* percent, as written: above 100 is possible */
    uint64_t mem_limit;
    uint64_t pod_memory_used;
    uint32_t total_cuda_cores;
    int32_t available_cores; /* V1 only */
    double rate, capacity, tokens, last_update; /* V2 only; finite, not negative */
};

/*
 * Check `bytes` bytes of a file: 0, or -EPROTO when it is of another size, has another tag, a UUID without end, more devices
 * or more pids than there is room for. A bare V2 payload without tag (35,496 bytes) is of another size.
 */
int divvy_podfile_validate(const void *memory, size_t bytes);

/*
 * Make the file `name` in an open folder (or AT_FDCWD and a path), complete before it has its name: V2, no devices, heartbeat
 * `now_s` (unix seconds), lock free and owned by this process, mode 0666 whatever the umask is. One creator of a name at a
 * time. -EEXIST: there is one, untouched; and the errors of open, link and mmap. Close with divvy_podfile_close.
 */
int divvy_podfile_create(int folder_fd, const char *name, uint64_t now_s, struct divvy_podfile *ret_file);

/*
 * Map an existing file: V2 for reading and writing, V1 for reading. Nothing in it changes. -EPROTO: not a regular file, a
 * symbolic link, or divvy_podfile_validate's; and the errors of open and mmap.
 */
int divvy_podfile_open(int folder_fd, const char *name, struct divvy_podfile *ret_file);

/* Unmap; the file stays. A closed or zero handle is left as it is. */
void divvy_podfile_close(struct divvy_podfile *file);

/*
 * Whether `name` still is the file that was opened, with all its bytes. False: removed, made again or cut; open it anew.
 */
bool divvy_podfile_is_current(const struct divvy_podfile *file, int folder_fd, const char *name);

/* Whether the hypervisor lives: its heartbeat is not 0, not of the future and at most DIVVY_PODFILE_STALE_S old. */
bool divvy_podfile_is_healthy(const struct divvy_podfile *file, uint64_t now_s);

/* The hypervisor's: write the heartbeat. -EROFS. */
int divvy_podfile_beat(const struct divvy_podfile *file, uint64_t now_s);

/* Read entry `device`. -ERANGE: no such index. */
int divvy_podfile_device_read(const struct divvy_podfile *file, unsigned device, struct divvy_podfile_entry *ret_entry);

/* Index of the active device with this UUID, in any case, with or without "GPU-". -ENOENT. */
int divvy_podfile_device_find(const struct divvy_podfile *file, const char *uuid);

/* What the hypervisor says of a device. */
struct divvy_podfile_limits {
    const char *uuid;  /* at most 63 characters */
    uint32_t up_limit; /* percent */
    uint64_t mem_limit;
    uint32_t total_cuda_cores;
};

/*
 * The hypervisor's: make entry `device` (NVML index) active with these limits. An active entry of the same UUID keeps its
 * tokens, rate and use; any other starts afresh. -EROFS, -ERANGE (index above 15: the format has no room), -EINVAL (UUID
 * empty or too long).
 */
int divvy_podfile_device_set(const struct divvy_podfile *file, unsigned device, const struct divvy_podfile_limits *limits,
                             double now_s);

/* The hypervisor's: the entry is no longer active. -EROFS, -ERANGE. */
int divvy_podfile_device_clear(const struct divvy_podfile *file, unsigned device);

/* The hypervisor's: bytes that the pod holds on the device. -EROFS, -ERANGE. */
int divvy_podfile_device_use(const struct divvy_podfile *file, unsigned device, uint64_t bytes);

/* The hypervisor's: what the controller decided, and when. All finite and >= 0. -EROFS, -ERANGE, -EINVAL. */
int divvy_podfile_rate_set(const struct divvy_podfile *file, unsigned device, double rate, double capacity, double now_s);

/*
 * Cost in tokens of a launch of `blocks` blocks of `threads` threads: 0.1 for next to nothing up to 10, whatever the kernel
 * does. 0 counts as 1; products beyond 64 bits count as very many.
 */
double divvy_podfile_cost(uint64_t blocks, uint64_t threads);

/*
 * The limiter's: take `cost` tokens, all or none: 0, or -EAGAIN when there are fewer (wait, and try again). No debt is made.
 * -EROFS, -ERANGE. Lock-free.
 */
int divvy_podfile_tokens_take(const struct divvy_podfile *file, unsigned device, double cost);

/* The hypervisor's: add tokens, up to the capacity; never below zero. -EROFS, -ERANGE, -EINVAL (not finite). Lock-free. */
int divvy_podfile_tokens_add(const struct divvy_podfile *file, unsigned device, double amount);

/*
 * The hypervisor's: take away up to `amount`, but nothing below `floor`; where there are fewer than `floor`, nothing.
 * -EROFS, -ERANGE, -EINVAL. Lock-free.
 */
int divvy_podfile_tokens_drop(const struct divvy_podfile *file, unsigned device, double amount, double floor);

/*
 * The PID set: processes of the pod by their pids outside it. Written by the hypervisor only, under the file's lock: it is
 * taken from a holder that is gone, and waited for from one that lives (EPERM is alive), for at most a few milliseconds.
 * -EBUSY: it did not come free. -EROFS. -EINVAL: no pid.
 */
int divvy_podfile_pid_add(const struct divvy_podfile *file, uint64_t pid);    /* 0 also when it is in; -ENOSPC: 2,048 are */
int divvy_podfile_pid_remove(const struct divvy_podfile *file, uint64_t pid); /* -ENOENT */

/* The pids, up to `room`, in the order of their places, without the lock: a snapshot. Returns how many there are. */
unsigned divvy_podfile_pid_list(const struct divvy_podfile *file, uint64_t *ret_pids, unsigned room);

/*
 * The hypervisor's, when it has come anew and knows that there is no second one: the lock is free and this process's. The
 * count of pids is made to agree with the bitmap. -EROFS.
 */
int divvy_podfile_lock_reset(const struct divvy_podfile *file);

#endif
