/*
 * The usage page of a tenant: the memory that all processes of one tenant share. The limiter writes
 * it; the daemon and the command line read it as hostile input.
 *
 * Where it lies. `$DIVVY_TENANT_DIR/usage` when the tenant was set up by somebody (divvy run, the
 * daemon). Under a bare LD_PRELOAD: `/dev/shm/divvy-<uid>/<key>` (else $XDG_RUNTIME_DIR, else
 * /tmp), where the key is a hash of the limits as given, the tenant's name, and the root of the
 * process tree that was started with those limits: pid and start time of the topmost ancestor whose
 * environment carries the same limits. So all children of one program share one page, in whatever
 * order they come to use CUDA, two programs started apart are two tenants, and nothing is written
 * into anybody's environment. Where no file can be had the page is anonymous shared memory: forked
 * children share it.
 *
 * A page is created complete under a temporary name, its blocks allocated (a full tmpfs must not
 * mean SIGBUS later), and linked to its name: nobody ever sees half a page. Each attached process
 * holds a shared flock on the file, so a page that nobody holds can be told from one in use and
 * removed.
 *
 * The ledger. `used` of a device is one 16-byte word {bytes, last operation}, changed by
 * compare-and-swap against the limit. Each (slot, device) has a cell that says what this process
 * contributes. SIGKILL at any instruction must leave both reconcilable, without a lock between
 * processes:
 *
 *   1. A process changes its cell under a lock of its own (death takes the lock along). Operation
 *      number q first announces itself: pending[q & 1] = contribution after it; then seq = q.
 *   2. The word goes from {u, last} to {u + delta, (slot, q)}. Whoever replaces a `last` of another
 *      slot first records it in that slot's cell: applied = max(applied, last's q).
 *   3. The process commits: bytes = pending[q & 1].
 *
 * So operation q of a slot took effect if, and only if, the word's last operation is (slot, q) or
 * applied >= q, whoever died where. Before 2 neither is true and `bytes` is the contribution; from
 * 2 on one of them is true for ever, since `last` cannot be replaced before applied is recorded,
 * and pending[q & 1] is the contribution. pending has two places because operation q + 1 writes its
 * value before it announces itself. seq never goes back, not even when the slot gets a new owner,
 * so a late recorder of an old `last` changes nothing (max) and (slot, q) never repeats.
 *
 * A reaper claims the dead owner's slot by compare-and-swap of the owner word, then takes the
 * contribution to zero as the next operation of that slot, by the same three steps: if the reaper
 * dies, the next one goes on from there.
 *
 * What no order can know: whether the driver's call had happened when a process died between
 * reserve and call. It does not matter: the driver frees everything that a dead process had, and
 * the ledger credits all of its cell.
 */
#ifndef DIVVY_PAGE_PAGE_H
#define DIVVY_PAGE_PAGE_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_PAGE_MAGIC              0x4547415059564944ull /* "DIVYPAGE", little endian */
#define DIVVY_PAGE_VERSION            1u
#define DIVVY_PAGE_DEVICES            16u
#define DIVVY_PAGE_SLOTS              512u
#define DIVVY_PAGE_UNLIMITED          UINT64_MAX /* of limit_bytes; 0 there means "not set yet" */
#define DIVVY_PAGE_PERMILLE_UNLIMITED 1000u /* of compute_permille; 0 there means "not set yet" */

/* Two words changed together by compare-and-swap of 16 bytes. */
struct divvy_page_word {
    uint64_t low;
    uint64_t high;
} __attribute__((aligned(16)));

/* Compute section of a device, shared by the tenant's processes. Layout of `spare` belongs to
 * limiter/compute. */
struct divvy_page_compute {
    uint64_t epoch_ns;   /* CLOCK_MONOTONIC at which the accounting of this generation began */
    uint64_t charged_ns; /* GPU time charged to the tenant since epoch_ns; atomic */
    uint64_t generation; /* changes whenever the accounting restarts (limit changed) */
    uint64_t reserved;
    uint64_t spare[16];
};

struct divvy_page_device {
    struct divvy_page_word uuid; /* the 16 raw bytes; zero: entry is free. Set once */
    struct divvy_page_word used; /* low: bytes charged; high: last operation, slot << 48 | seq */
    uint64_t limit_bytes;        /* atomic; DIVVY_PAGE_UNLIMITED: none */
    uint64_t physical_bytes;     /* of the device, as the driver told the first process */
    uint32_t compute_permille;   /* atomic; share of GPU time, 1000: unlimited */
    uint32_t reserved0;
    uint64_t refused;    /* allocations refused because of the limit; atomic */
    uint64_t clamped;    /* credits that would have gone below zero; atomic */
    uint64_t peak_bytes; /* highest `used` seen; atomic, a hint */
    uint64_t refused_bytes; /* what the allocation refused last had asked for; atomic */
    uint64_t reserved1[5];
    struct divvy_page_compute compute;
    uint64_t reserved2[6];
};

/* What one process contributes to one device. */
struct divvy_page_cell {
    uint64_t bytes;          /* contribution after the last committed operation */
    uint64_t seq;            /* number of the last announced operation */
    uint64_t pending[2];     /* contribution after operation q: pending[q & 1] */
    uint64_t applied;        /* highest operation known to have taken effect, recorded by others */
    uint64_t overhead_bytes; /* contexts, code and heaps as measured: shown; also in `bytes` if
                                policy charges them */
    uint64_t context_count;  /* contexts this process holds on the device: a hint for views */
    uint64_t reserved;
};

/* GPU time of one process on one device. Written by its owner only; atomic stores, read by anybody.
 */
struct divvy_page_usage {
    uint64_t busy_ns;     /* GPU time used so far */
    uint64_t inflight_ns; /* estimate of what was launched and has not completed */
    uint64_t launches;
    uint64_t waited_ns; /* time that launches waited at the gate */
    uint64_t waiting;   /* threads at the gate now */
    uint64_t drain_ns; /* CLOCK_MONOTONIC at which what is in flight will be done, by estimates */
    uint64_t late_ns; /* from the begin of a lease that was waited for to its first launch, when it is quick; 0 unknown */
    uint64_t spare;
};

/* Owner word. low: pid | pid namespace inode << 32. high: start time in clock ticks << 2 | state.
 * Zero: free. */
#define DIVVY_PAGE_STATE_LIVE    1u
#define DIVVY_PAGE_STATE_REAPING 2u /* pid, namespace and start time are the reaper's */

struct divvy_page_slot {
    struct divvy_page_word owner;
    uint64_t generation; /* counts owners of this slot; references to a slot carry it */
    uint64_t host_pid;   /* pid outside the tenant's pid namespace, 0 unknown */
    uint64_t attached_ns;
    uint64_t image; /* stack address of the owner's program image, which exec changes; 0 unknown */
    uint64_t door;  /* atomic; newest word of the tenant's door that the owner has seen: see control.h */
    uint64_t reserved[1];
    struct divvy_page_cell cells[DIVVY_PAGE_DEVICES];
    struct divvy_page_usage usage[DIVVY_PAGE_DEVICES];
};

struct divvy_page {
    uint32_t version; /* DIVVY_PAGE_VERSION */
    uint32_t header_bytes;
    uint64_t page_bytes; /* of the whole page */
    uint64_t magic;
    uint32_t device_count; /* DIVVY_PAGE_DEVICES */
    uint32_t device_bytes;
    uint32_t slot_count; /* DIVVY_PAGE_SLOTS */
    uint32_t slot_bytes;
    uint64_t created_ns; /* CLOCK_REALTIME */
    uint64_t tenant_hash;
    char tenant[64];  /* name for people, NUL-terminated */
    uint64_t reaped;  /* slots given back for dead processes; atomic */
    uint64_t reap_ns; /* CLOCK_MONOTONIC at which some process last looked for dead ones; atomic */
    uint64_t slots_high; /* slots below it have been claimed at some time; atomic */
    uint64_t reserved[14];
    uint64_t reserved_to_alignment;
    struct divvy_page_device devices[DIVVY_PAGE_DEVICES];
    struct divvy_page_slot slots[DIVVY_PAGE_SLOTS];
};

_Static_assert(sizeof(struct divvy_page_word) == 16, "word");
_Static_assert(sizeof(struct divvy_page_compute) == 160, "compute section");
_Static_assert(offsetof(struct divvy_page_device, used) == 16, "device.used");
_Static_assert(offsetof(struct divvy_page_device, limit_bytes) == 32, "device.limit_bytes");
_Static_assert(offsetof(struct divvy_page_device, compute_permille) == 48,
               "device.compute_permille");
_Static_assert(offsetof(struct divvy_page_device, compute) == 128, "device.compute");
_Static_assert(sizeof(struct divvy_page_device) == 336, "device");
_Static_assert(sizeof(struct divvy_page_cell) == 64, "cell");
_Static_assert(sizeof(struct divvy_page_usage) == 64, "usage");
_Static_assert(offsetof(struct divvy_page_slot, cells) == 64, "slot.cells");
_Static_assert(sizeof(struct divvy_page_slot) == 64 + 128 * DIVVY_PAGE_DEVICES, "slot");
_Static_assert(offsetof(struct divvy_page, magic) == 16, "page.magic");
_Static_assert(offsetof(struct divvy_page, tenant) == 56, "page.tenant");
_Static_assert(offsetof(struct divvy_page, devices) == 272, "page.devices");
_Static_assert(sizeof(struct divvy_page) ==
                   272 + 336 * DIVVY_PAGE_DEVICES + 2112 * DIVVY_PAGE_SLOTS,
               "page");

/* Who a process is. start_ticks 0: /proc could not be read; then only the pid tells. */
struct divvy_page_identity {
    uint32_t pid;
    uint32_t pidns;
    uint64_t start_ticks;
    uint64_t image; /* as in struct divvy_page_slot */
};

/*
 * Fill in the identity of the calling process. Three small reads of /proc; async-signal-safe. Call
 * again after fork.
 */
void divvy_page_identity_self(struct divvy_page_identity *ret_identity);

/*
 * Whether a process still holds what it held: 1 yes or cannot be known (another pid namespace); 0
 * proven dead, or it has become another program by exec.
 */
int divvy_page_identity_alive(const struct divvy_page_identity *other,
                              const struct divvy_page_identity *self);

/*
 * Create the page at `path` or attach to the one there. The folder must exist. On success *ret_page
 * is mapped shared and *ret_fd holds the shared lock (close-on-exec; needed for nothing else, may
 * be lost). `tenant` may be NULL. -EPROTO: a file of another kind, size or version, or not a
 * regular file of this user (never touched); -ENOSPC, -EACCES, -ENOENT and others of open. Blocks
 * for nothing but the file system.
 */
int divvy_page_open(const char *path, const char *tenant, uint64_t tenant_hash,
                    struct divvy_page **ret_page, int *ret_fd);

/* The same without a file: shared with children by fork only. -ENOMEM. */
int divvy_page_open_anonymous(const char *tenant, uint64_t tenant_hash,
                              struct divvy_page **ret_page);

/* Attach read-only to the page at `path` for display: nothing is created, no lock is taken. As
 * divvy_page_open. */
int divvy_page_open_readonly(const char *path, const struct divvy_page **ret_page);

void divvy_page_close(const struct divvy_page *page);

/* Check the fixed header of `bytes` bytes of foreign memory: 0 or -EPROTO. Counters inside are
 * data, never trusted. */
int divvy_page_validate(const void *memory, size_t bytes);

/* Remove the page files in `folder` that nobody holds and none of whose slots lives. Returns how
 * many. */
int divvy_page_sweep(const char *folder, const struct divvy_page_identity *self);

/*
 * Index of the device with this UUID, entered if new. -ENOSPC: more than DIVVY_PAGE_DEVICES;
 * -EINVAL: all-zero UUID. Lock-free; all processes of the tenant get the same index.
 */
int divvy_page_device_enter(struct divvy_page *page, const uint8_t uuid[16]);

/* The same without entering: -ENOENT. */
int divvy_page_device_find(const struct divvy_page *page, const uint8_t uuid[16]);

/* Set limits unless somebody did: 0 there means not set. DIVVY_PAGE_UNLIMITED / _PERMILLE_UNLIMITED
 * for none. */
void divvy_page_device_propose(struct divvy_page *page, unsigned device, uint64_t limit_bytes,
                               uint32_t compute_permille, uint64_t physical_bytes);

/* Claim a slot for `self`, reaping if none is free. Slot index, or -EUSERS: all taken by living
 * processes. */
int divvy_page_slot_claim(struct divvy_page *page, const struct divvy_page_identity *self);

/* Give the slot back with all its bytes. Only the owner, when it can no longer hold device memory.
 */
void divvy_page_slot_release(struct divvy_page *page, unsigned slot);

/* Give back what dead processes held: number of slots. Cost: one read of /proc per occupied slot of
 * this namespace. */
unsigned divvy_page_reap(struct divvy_page *page, const struct divvy_page_identity *self);

/* The same, unless some process of the tenant did so within the last interval_ns. */
unsigned divvy_page_reap_if_due(struct divvy_page *page, const struct divvy_page_identity *self,
                                uint64_t interval_ns);

/*
 * Reserve bytes on a device for a slot: 0, or -ENOMEM and nothing changed if used + bytes would
 * exceed the limit. The caller owns the slot and serialises its own threads per device (page.h
 * explains why). Lock-free between processes.
 */
int divvy_page_reserve(struct divvy_page *page, unsigned slot, unsigned device, uint64_t bytes);

/* Credit bytes; same rule for threads. Never below zero: clamped and counted in device.clamped. */
void divvy_page_credit(struct divvy_page *page, unsigned slot, unsigned device, uint64_t bytes);

/* Charge bytes whatever the limit (what the driver took already: contexts, corrections). Same rule
 * for threads. */
void divvy_page_charge(struct divvy_page *page, unsigned slot, unsigned device, uint64_t bytes);

/* Count a refusal that the application saw, of so many bytes. */
void divvy_page_refusal_count(struct divvy_page *page, unsigned device, uint64_t bytes);

/* Bytes charged to the tenant on a device, and what one slot contributes. Atomic loads. */
uint64_t divvy_page_used(const struct divvy_page *page, unsigned device);
uint64_t divvy_page_slot_bytes(const struct divvy_page *page, unsigned slot, unsigned device);

#endif
