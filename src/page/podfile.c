/*
 * The pod file of other hypervisors: made whole under a temporary name, opened after every check, tokens by
 * compare-and-swap, the PID set under the file's own lock.
 */
#include "page/podfile.h"

#include "core/checked.h"
#include "core/sys.h"
#include "core/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TEMPORARY_SUFFIX ".new"
#define NAME_BYTES       1024
#define PID_LIMIT        4194304u /* the kernel's highest pid, plus one */
#define LOCK_TRIES       20
#define LOCK_PAUSE_NS    250000
#define WORD_BITS        64u

static int result_of(long result, int saved_errno) {
    int status = result < 0 ? -errno : (int)result;

    errno = saved_errno;
    return status;
}

static double double_of(uint64_t bits) {
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value) {
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Without the symbols of libm. */
static bool is_finite(double value) { return value - value == 0; }

/* A number out of the file: what is not one, or negative, is none. */
static double amount_of(uint64_t bits) {
    double value = double_of(bits);

    return is_finite(value) && value > 0 ? value : 0;
}

static double load_amount(const uint64_t *word) { return amount_of(__atomic_load_n(word, __ATOMIC_ACQUIRE)); }

static void store_amount(uint64_t *word, double value) { __atomic_store_n(word, bits_of(value), __ATOMIC_RELEASE); }

/* --- the file ---------------------------------------------------------------------------------------------------------- */

int divvy_podfile_validate(const void *memory, size_t bytes) {
    const struct divvy_podfile_v2 *v2 = memory;
    const struct divvy_podfile_v1 *v1 = memory;
    bool is_v2;

    if (bytes != DIVVY_PODFILE_BYTES)
        return -EPROTO;
    is_v2 = v2->tag == DIVVY_PODFILE_TAG_V2;
    if (!is_v2 && v1->tag != DIVVY_PODFILE_TAG_V1)
        return -EPROTO;
    if ((is_v2 ? v2->device_count : v1->device_count) > DIVVY_PODFILE_DEVICES)
        return -EPROTO;
    if ((is_v2 ? v2->pid_set.length : v1->pid_set.length) > DIVVY_PODFILE_PIDS)
        return -EPROTO;
    for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES; i++)
        if (!memchr(is_v2 ? v2->devices[i].uuid : v1->devices[i].uuid, '\0', DIVVY_PODFILE_UUID_BYTES))
            return -EPROTO;
    return 0;
}

static int map(int fd, bool writable, void **ret_memory) {
    int saved = errno;
    void *memory = mmap(NULL, DIVVY_PODFILE_BYTES, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    int status = memory == MAP_FAILED ? -errno : 0;

    errno = saved;
    if (status == 0)
        *ret_memory = memory;
    return status;
}

void divvy_podfile_close(struct divvy_podfile *file) {
    int saved = errno;

    if (file->v2)
        (void)munmap((void *)(uintptr_t)file->v1, DIVVY_PODFILE_BYTES);
    memset(file, 0, sizeof *file);
    errno = saved;
}

/* Blocks for the whole file, so that no later store meets a full file system. */
static int reserve(int fd) {
    int saved = errno;
    int status = result_of(syscall(SYS_fallocate, fd, 0, 0L, (long)DIVVY_PODFILE_BYTES), saved);

    return status == -EOPNOTSUPP ? divvy_core_sys_ftruncate(fd, DIVVY_PODFILE_BYTES) : status;
}

static int fill(int fd, uint64_t now_s, struct divvy_podfile *ret_file) {
    struct stat status;
    void *memory = NULL;
    int result = divvy_core_sys_fstat(fd, &status);

    if (result == 0)
        result = map(fd, true, &memory);
    if (result < 0)
        return result;
    *ret_file = (struct divvy_podfile){
        .v2 = memory, .tag = DIVVY_PODFILE_TAG_V2, .inode = status.st_ino, .filesystem = status.st_dev};
    ret_file->v2->tag = DIVVY_PODFILE_TAG_V2;
    ret_file->v2->heartbeat = now_s;
    ret_file->v2->pid_set.owner = (uint64_t)divvy_core_sys_getpid();
    return 0;
}

int divvy_podfile_create(int folder_fd, const char *name, uint64_t now_s, struct divvy_podfile *ret_file) {
    struct divvy_podfile file = {0};
    char temporary[NAME_BYTES];
    size_t length = strlen(name);
    int saved = errno, fd, status;

    if (length + sizeof TEMPORARY_SUFFIX > sizeof temporary)
        return -ENAMETOOLONG;
    memcpy(temporary, name, length);
    memcpy(temporary + length, TEMPORARY_SUFFIX, sizeof TEMPORARY_SUFFIX);
    (void)result_of(syscall(SYS_unlinkat, folder_fd, temporary, 0), saved);
    fd = divvy_core_sys_openat(folder_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    status = reserve(fd);
    if (status == 0)
        status = fill(fd, now_s, &file);
    if (status == 0) /* other users' limiters write their tokens */
        status = result_of(syscall(SYS_fchmod, fd, 0666), saved);
    if (status == 0)
        status = result_of(syscall(SYS_linkat, folder_fd, temporary, folder_fd, name, 0), saved);
    (void)result_of(syscall(SYS_unlinkat, folder_fd, temporary, 0), saved);
    divvy_core_sys_close(&fd);
    if (status < 0) {
        divvy_podfile_close(&file);
        return status;
    }
    *ret_file = file;
    return 0;
}

/* Size and tag by system calls, so that most of what is wrong is refused before it is mapped. */
static int file_check(int fd, struct divvy_podfile *ret_file) {
    struct stat status;
    uint32_t tag;
    ssize_t length;
    int result = divvy_core_sys_fstat(fd, &status);

    if (result < 0)
        return result;
    if (!S_ISREG(status.st_mode) || status.st_size != (off_t)DIVVY_PODFILE_BYTES)
        return -EPROTO;
    length = divvy_core_sys_read(fd, &tag, sizeof tag);
    if (length < 0)
        return (int)length;
    if (length != sizeof tag || (tag != DIVVY_PODFILE_TAG_V1 && tag != DIVVY_PODFILE_TAG_V2))
        return -EPROTO;
    *ret_file = (struct divvy_podfile){.tag = tag, .inode = status.st_ino, .filesystem = status.st_dev};
    return 0;
}

int divvy_podfile_open(int folder_fd, const char *name, struct divvy_podfile *ret_file) {
    struct divvy_podfile file = {0};
    void *memory = NULL;
    int fd = divvy_core_sys_openat(folder_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    int status;

    if (fd < 0)
        return fd == -ELOOP ? -EPROTO : fd;
    status = file_check(fd, &file);
    if (status == 0)
        status = map(fd, file.tag == DIVVY_PODFILE_TAG_V2, &memory);
    divvy_core_sys_close(&fd);
    if (status < 0)
        return status;
    file.v2 = memory;
    status = divvy_podfile_validate(memory, DIVVY_PODFILE_BYTES);
    if (status == 0 && file.v2->tag != file.tag)
        status = -EPROTO; /* changed under our hands */
    if (status < 0) {
        divvy_podfile_close(&file);
        return status;
    }
    *ret_file = file;
    return 0;
}

bool divvy_podfile_is_current(const struct divvy_podfile *file, int folder_fd, const char *name) {
    struct stat status;

    return divvy_core_sys_fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_ino == file->inode &&
           status.st_dev == file->filesystem && status.st_size == (off_t)DIVVY_PODFILE_BYTES;
}

/* Whether it may be written, and has such a device. */
static int check_writable(const struct divvy_podfile *file, unsigned device) {
    if (file->tag != DIVVY_PODFILE_TAG_V2)
        return -EROFS;
    return device < DIVVY_PODFILE_DEVICES ? 0 : -ERANGE;
}

/* --- heartbeat ---------------------------------------------------------------------------------------------------------- */

bool divvy_podfile_is_healthy(const struct divvy_podfile *file, uint64_t now_s) {
    const uint64_t *word = file->tag == DIVVY_PODFILE_TAG_V2 ? &file->v2->heartbeat : &file->v1->heartbeat;
    uint64_t heartbeat = __atomic_load_n(word, __ATOMIC_ACQUIRE);

    return heartbeat != 0 && heartbeat <= now_s && now_s - heartbeat <= DIVVY_PODFILE_STALE_S;
}

int divvy_podfile_beat(const struct divvy_podfile *file, uint64_t now_s) {
    int status = check_writable(file, 0);

    if (status == 0)
        __atomic_store_n(&file->v2->heartbeat, now_s, __ATOMIC_RELEASE);
    return status;
}

/* --- devices ------------------------------------------------------------------------------------------------------------ */

static void uuid_copy(char to[DIVVY_PODFILE_UUID_BYTES], const char from[DIVVY_PODFILE_UUID_BYTES]) {
    memcpy(to, from, DIVVY_PODFILE_UUID_BYTES);
    to[DIVVY_PODFILE_UUID_BYTES - 1] = '\0';
}

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)

static void entry_read_v1(const struct divvy_podfile_v1_device *device, struct divvy_podfile_entry *entry) {
    *entry = (struct divvy_podfile_entry){
        .is_active = LOAD(device->is_active) != 0,
        .up_limit = LOAD(device->up_limit),
        .mem_limit = LOAD(device->mem_limit),
        .pod_memory_used = LOAD(device->pod_memory_used),
        .total_cuda_cores = LOAD(device->total_cuda_cores),
        .available_cores = LOAD(device->available_cores),
    };
    uuid_copy(entry->uuid, device->uuid);
}

static void entry_read_v2(const struct divvy_podfile_v2_device *device, struct divvy_podfile_entry *entry) {
    *entry = (struct divvy_podfile_entry){
        .is_active = LOAD(device->is_active) != 0,
        .up_limit = LOAD(device->up_limit),
        .mem_limit = LOAD(device->mem_limit),
        .pod_memory_used = LOAD(device->pod_memory_used),
        .total_cuda_cores = LOAD(device->total_cuda_cores),
        .rate = load_amount(&device->rate),
        .capacity = load_amount(&device->capacity),
        .tokens = load_amount(&device->tokens),
        .last_update = load_amount(&device->last_update),
    };
    uuid_copy(entry->uuid, device->uuid);
}

int divvy_podfile_device_read(const struct divvy_podfile *file, unsigned device, struct divvy_podfile_entry *ret_entry) {
    if (device >= DIVVY_PODFILE_DEVICES)
        return -ERANGE;
    if (file->tag == DIVVY_PODFILE_TAG_V2)
        entry_read_v2(&file->v2->devices[device], ret_entry);
    else
        entry_read_v1(&file->v1->devices[device], ret_entry);
    return 0;
}

int divvy_podfile_device_find(const struct divvy_podfile *file, const char *uuid) {
    struct divvy_podfile_entry entry;

    for (unsigned i = 0; divvy_podfile_device_read(file, i, &entry) == 0; i++)
        if (entry.is_active && divvy_core_uuid_text_equal(entry.uuid, strlen(entry.uuid), uuid, strlen(uuid)))
            return (int)i;
    return -ENOENT;
}

static void devices_count(struct divvy_podfile_v2 *v2) {
    uint32_t count = 0;

    for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES; i++)
        count += LOAD(v2->devices[i].is_active) != 0;
    __atomic_store_n(&v2->device_count, count, __ATOMIC_RELEASE);
}

static void entry_begin(struct divvy_podfile_v2_device *entry, const char *uuid, double now_s) {
    __atomic_store_n(&entry->is_active, 0, __ATOMIC_SEQ_CST);
    memset(entry, 0, offsetof(struct divvy_podfile_v2_device, is_active));
    memcpy(entry->uuid, uuid, strlen(uuid));
    store_amount(&entry->rate, DIVVY_PODFILE_NEW_RATE);
    store_amount(&entry->capacity, DIVVY_PODFILE_NEW_CAPACITY);
    store_amount(&entry->tokens, DIVVY_PODFILE_NEW_CAPACITY);
    store_amount(&entry->last_update, now_s);
}

int divvy_podfile_device_set(const struct divvy_podfile *file, unsigned device, const struct divvy_podfile_limits *limits,
                             double now_s) {
    struct divvy_podfile_v2_device *entry;
    struct divvy_podfile_entry seen;
    int status = check_writable(file, device);

    if (status < 0)
        return status;
    if (limits->uuid[0] == '\0' || strlen(limits->uuid) >= DIVVY_PODFILE_UUID_BYTES)
        return -EINVAL;
    entry = &file->v2->devices[device];
    entry_read_v2(entry, &seen);
    if (!seen.is_active ||
        !divvy_core_uuid_text_equal(seen.uuid, strlen(seen.uuid), limits->uuid, strlen(limits->uuid)))
        entry_begin(entry, limits->uuid, now_s);
    __atomic_store_n(&entry->up_limit, limits->up_limit, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->mem_limit, limits->mem_limit, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->total_cuda_cores, limits->total_cuda_cores, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->is_active, 1, __ATOMIC_RELEASE);
    devices_count(file->v2);
    return 0;
}

int divvy_podfile_device_clear(const struct divvy_podfile *file, unsigned device) {
    int status = check_writable(file, device);

    if (status < 0)
        return status;
    __atomic_store_n(&file->v2->devices[device].is_active, 0, __ATOMIC_RELEASE);
    devices_count(file->v2);
    return 0;
}

int divvy_podfile_device_use(const struct divvy_podfile *file, unsigned device, uint64_t bytes) {
    int status = check_writable(file, device);

    if (status == 0)
        __atomic_store_n(&file->v2->devices[device].pod_memory_used, bytes, __ATOMIC_RELEASE);
    return status;
}

/* --- tokens ------------------------------------------------------------------------------------------------------------- */

int divvy_podfile_rate_set(const struct divvy_podfile *file, unsigned device, double rate, double capacity, double now_s) {
    int status = check_writable(file, device);

    if (status < 0)
        return status;
    if (!is_finite(rate) || !is_finite(capacity) || !is_finite(now_s) || rate < 0 || capacity < 0 || now_s < 0)
        return -EINVAL;
    store_amount(&file->v2->devices[device].rate, rate);
    store_amount(&file->v2->devices[device].capacity, capacity);
    store_amount(&file->v2->devices[device].last_update, now_s);
    return 0;
}

/* exp(-x) for x >= 0. libm's has got a new version since the glibc that injected code must run with. */
static double exp_of_minus(double x) {
    double term = 1, sum = 1;
    int halvings = 0;

    if (x > 700)
        return 0;
    while (x > 0.25) {
        x /= 2;
        halvings++;
    }
    for (int i = 1; i <= 12; i++) {
        term *= -x / i;
        sum += term;
    }
    while (halvings-- > 0)
        sum *= sum;
    return sum;
}

double divvy_podfile_cost(uint64_t blocks, uint64_t threads) {
    uint64_t all = divvy_core_u64_mul_saturated(blocks > 0 ? blocks : 1, threads > 0 ? threads : 1);

    return 0.1 + 9.9 * (1 - exp_of_minus((double)all / 400000));
}

int divvy_podfile_tokens_take(const struct divvy_podfile *file, unsigned device, double cost) {
    int status = check_writable(file, device);
    uint64_t *word, seen, wanted;

    if (status < 0)
        return status;
    word = &file->v2->devices[device].tokens;
    seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    do {
        double tokens = amount_of(seen);

        if (!(tokens >= cost))
            return -EAGAIN;
        wanted = bits_of(tokens - cost > 0 ? tokens - cost : 0);
    } while (!__atomic_compare_exchange_n(word, &seen, wanted, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return 0;
}

int divvy_podfile_tokens_add(const struct divvy_podfile *file, unsigned device, double amount) {
    int status = check_writable(file, device);
    uint64_t *word, seen, wanted;

    if (status < 0)
        return status;
    if (!is_finite(amount))
        return -EINVAL;
    word = &file->v2->devices[device].tokens;
    seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    do {
        double capacity = load_amount(&file->v2->devices[device].capacity);
        double tokens = amount_of(seen) + amount;

        if (tokens > capacity)
            tokens = capacity;
        wanted = bits_of(tokens > 0 ? tokens : 0);
    } while (!__atomic_compare_exchange_n(word, &seen, wanted, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return 0;
}

int divvy_podfile_tokens_drop(const struct divvy_podfile *file, unsigned device, double amount, double floor) {
    int status = check_writable(file, device);
    uint64_t *word, seen, wanted;

    if (status < 0)
        return status;
    if (!is_finite(amount) || !is_finite(floor) || amount < 0 || floor < 0)
        return -EINVAL;
    word = &file->v2->devices[device].tokens;
    seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    do {
        double tokens = amount_of(seen);

        if (tokens <= floor)
            return 0;
        wanted = bits_of(tokens - amount > floor ? tokens - amount : floor);
    } while (!__atomic_compare_exchange_n(word, &seen, wanted, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return 0;
}

/* --- PID set ------------------------------------------------------------------------------------------------------------ */

static bool holder_is_gone(uint64_t holder) {
    int saved = errno;

    if (holder >= PID_LIMIT)
        return true; /* no process can have it */
    return result_of(kill((pid_t)holder, 0), saved) == -ESRCH;
}

static int lock_take(struct divvy_podfile_pid_set *set, uint64_t *ret_mine) {
    static const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    uint64_t mine = LOAD(set->owner);
    int saved = errno;

    if (mine == 0)
        mine = (uint64_t)divvy_core_sys_getpid(); /* 0 would leave it free */
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        uint64_t holder = 0;

        if (__atomic_compare_exchange_n(&set->lock, &holder, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            *ret_mine = mine;
            return 0;
        }
        /* Given free, not taken over: of several that see it, one gets it in the next turn. */
        if (holder_is_gone(holder))
            (void)__atomic_compare_exchange_n(&set->lock, &holder, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        else
            (void)result_of(nanosleep(&pause, NULL), saved);
    }
    return -EBUSY;
}

static void lock_release(struct divvy_podfile_pid_set *set, uint64_t mine) {
    (void)__atomic_compare_exchange_n(&set->lock, &mine, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static uint64_t place_bit(unsigned place) { return UINT64_C(1) << (WORD_BITS - 1 - place % WORD_BITS); }

static bool place_is_used(const struct divvy_podfile_pid_set *set, unsigned place) {
    return (LOAD(set->bitmap[place / WORD_BITS]) & place_bit(place)) != 0;
}

static void pids_count(struct divvy_podfile_pid_set *set) {
    uint64_t count = 0;

    for (unsigned word = 0; word < DIVVY_PODFILE_PIDS / WORD_BITS; word++)
        count += (uint64_t)__builtin_popcountll(LOAD(set->bitmap[word]));
    __atomic_store_n(&set->length, count, __ATOMIC_RELEASE);
}

/* The place of a pid, or -ENOENT and the first free place, DIVVY_PODFILE_PIDS: none. */
static int place_find(const struct divvy_podfile_pid_set *set, uint64_t pid, unsigned *ret_free) {
    unsigned free_place = DIVVY_PODFILE_PIDS;

    for (unsigned place = 0; place < DIVVY_PODFILE_PIDS; place++) {
        if (!place_is_used(set, place))
            free_place = free_place < place ? free_place : place;
        else if (LOAD(set->pids[place]) == pid)
            return (int)place;
    }
    *ret_free = free_place;
    return -ENOENT;
}

static int pid_add_locked(struct divvy_podfile_pid_set *set, uint64_t pid) {
    unsigned place = 0;

    if (place_find(set, pid, &place) >= 0)
        return 0;
    if (place >= DIVVY_PODFILE_PIDS)
        return -ENOSPC;
    __atomic_store_n(&set->pids[place], pid, __ATOMIC_RELEASE);
    (void)__atomic_fetch_or(&set->bitmap[place / WORD_BITS], place_bit(place), __ATOMIC_ACQ_REL);
    pids_count(set);
    return 0;
}

static int pid_remove_locked(struct divvy_podfile_pid_set *set, uint64_t pid) {
    unsigned unused;
    int place = place_find(set, pid, &unused);

    if (place < 0)
        return place;
    (void)__atomic_fetch_and(&set->bitmap[(unsigned)place / WORD_BITS], ~place_bit((unsigned)place), __ATOMIC_ACQ_REL);
    __atomic_store_n(&set->pids[place], 0, __ATOMIC_RELEASE);
    pids_count(set);
    return 0;
}

static int pid_change(const struct divvy_podfile *file, uint64_t pid,
                      int (*change)(struct divvy_podfile_pid_set *set, uint64_t pid)) {
    int status = check_writable(file, 0);
    uint64_t mine;

    if (status < 0)
        return status;
    if (pid == 0 || pid >= PID_LIMIT)
        return -EINVAL;
    status = lock_take(&file->v2->pid_set, &mine);
    if (status < 0)
        return status;
    status = change(&file->v2->pid_set, pid);
    lock_release(&file->v2->pid_set, mine);
    return status;
}

int divvy_podfile_pid_add(const struct divvy_podfile *file, uint64_t pid) {
    return pid_change(file, pid, pid_add_locked);
}

int divvy_podfile_pid_remove(const struct divvy_podfile *file, uint64_t pid) {
    return pid_change(file, pid, pid_remove_locked);
}

unsigned divvy_podfile_pid_list(const struct divvy_podfile *file, uint64_t *ret_pids, unsigned room) {
    const struct divvy_podfile_pid_set *set =
        file->tag == DIVVY_PODFILE_TAG_V2 ? &file->v2->pid_set : &file->v1->pid_set;
    unsigned count = 0;

    for (unsigned word = 0; word < DIVVY_PODFILE_PIDS / WORD_BITS; word++) {
        for (uint64_t left = LOAD(set->bitmap[word]); left != 0; count++) {
            unsigned bit = (unsigned)__builtin_clzll(left);

            left &= ~(UINT64_C(1) << (WORD_BITS - 1 - bit));
            if (count < room)
                ret_pids[count] = LOAD(set->pids[word * WORD_BITS + bit]);
        }
    }
    return count;
}

int divvy_podfile_lock_reset(const struct divvy_podfile *file) {
    int status = check_writable(file, 0);

    if (status < 0)
        return status;
    __atomic_store_n(&file->v2->pid_set.owner, (uint64_t)divvy_core_sys_getpid(), __ATOMIC_RELEASE);
    pids_count(&file->v2->pid_set);
    __atomic_store_n(&file->v2->pid_set.lock, 0, __ATOMIC_SEQ_CST);
    return 0;
}
