/*
 * The control page of a tenant: what the daemon tells the tenant's processes. The daemon writes it, processes map it read
 * only. It lies beside the usage page, `$DIVVY_TENANT_DIR/control`, and is also the daemon's record of the tenant: after a
 * restart the daemon reads its pages again and goes on with what they say.
 *
 * Leases. Each device has a lease: an interval [begin_ns, end_ns) of CLOCK_MONOTONIC in which the tenant's processes may start
 * work. It is written under a sequence lock, `lease_seq`: odd while it is being written, and one futex word for all that a
 * process at the gate can wait for (a new lease, another mode, another share). A lease may be written before it begins, so
 * that the hand-over is not late by the time of a wake-up: who waits sleeps until begin_ns. Outside the interval nothing new is
 * launched. Inside, work is launched that will begin on the device before end_ns as far as the process can tell (what it has in
 * flight comes first), in chunks no longer than what is left; and nothing longer than DIVVY_CONTROL_LAST_NS that would begin within
 * that time of the end. So at end_ns little more than the rest of one kernel drains, and is charged, and the next tenant's lease
 * can begin at that moment.
 *
 *   DIVVY_CONTROL_SELF     no leases: the limiter paces itself at compute_permille
 *   DIVVY_CONTROL_OPEN     nothing is waited for and nothing measured: alone on the device, no cap
 *   DIVVY_CONTROL_LEASED   work starts inside leases only, and is measured
 *   DIVVY_CONTROL_FROZEN   nothing starts
 *
 * The bell. A process that comes to a shut gate counts itself in `waiting` of the usage page and, where `listening` is set,
 * writes one byte to the FIFO `$DIVVY_TENANT_DIR/bell`. The daemon sets `listening` before it stops watching a tenant, and looks
 * at `waiting` once more after that, so no wish is missed and a busy tenant never rings.
 *
 * The door. `door` is 0 while it is open: nothing waits there, and nobody looks twice. Otherwise it is a word that was not used
 * before, with one of two bits:
 *
 *   DIVVY_CONTROL_DOOR_WATCHED  whoever comes by on the way to the driver, for whatever, writes the word into its slot of the usage
 *                               page first: so the daemon learns of calls that are not measured, before it saves an idle tenant
 *   DIVVY_CONTROL_DOOR_SHUT     the same, and rings the bell, and waits for the word (a futex) to change: the tenant's device
 *                               memory is saved, or about to be, or about to come back
 *
 * A slot whose word is 0 is of a process that knows of no door; a tenant with such a process is not saved when it is idle. While
 * the door is not open `armed` of all devices is 1 and their lease words were written anew, so that launches, which do not look
 * at the door, come to where they do.
 *
 * When the daemon is gone. `heartbeat_ns` (CLOCK_MONOTONIC) is renewed every DIVVY_CONTROL_HEARTBEAT_NS. Processes that find it
 * older than DIVVY_CONTROL_STALE_NS pace themselves at the page's last compute_permille, memory limits stay, FROZEN stays
 * frozen for DIVVY_CONTROL_FROZEN_STALE_NS; as soon as it is renewed, leases count again. Nothing is reopened for that: the
 * page stays the same file.
 */
#ifndef DIVVY_PAGE_CONTROL_H
#define DIVVY_PAGE_CONTROL_H

#include "page/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_CONTROL_MAGIC           0x4c4f525459564944ull /* "DIVYTROL", little endian */
#define DIVVY_CONTROL_VERSION         1u
#define DIVVY_CONTROL_NAME_BYTES      128u
#define DIVVY_CONTROL_FILE            "control"
#define DIVVY_CONTROL_BELL            "bell"
#define DIVVY_CONTROL_HEARTBEAT_NS    INT64_C(100000000)
#define DIVVY_CONTROL_STALE_NS        INT64_C(500000000)
#define DIVVY_CONTROL_FROZEN_STALE_NS INT64_C(10000000000)
#define DIVVY_CONTROL_LAST_NS         INT64_C(400000) /* before the end of a lease, see above */
#define DIVVY_CONTROL_DOOR_KNOWN      1u /* in a slot: its process looks at the door, and has not come by yet */
#define DIVVY_CONTROL_DOOR_WATCHED    2u
#define DIVVY_CONTROL_DOOR_SHUT       4u
#define DIVVY_CONTROL_DOOR_STEP       8u /* between words that are used one after another */
#define DIVVY_CONTROL_FOREVER_NS      INT64_MAX       /* of end_ns: until it is taken back */

enum divvy_control_mode {
    DIVVY_CONTROL_SELF = 0,
    DIVVY_CONTROL_OPEN = 1,
    DIVVY_CONTROL_LEASED = 2,
    DIVVY_CONTROL_FROZEN = 3,
    DIVVY_CONTROL_MODE_MAX
};

struct divvy_control_device {
    struct divvy_page_word
        uuid;                  /* the 16 raw bytes; zero: this entry and those behind it are free */
    uint64_t limit_bytes;      /* atomic; DIVVY_PAGE_UNLIMITED: none */
    uint32_t compute_permille; /* atomic; cap of GPU time, 1000: none. What self-pacing goes by */
    uint32_t weight;           /* share under contention; the daemon's own record */
    uint32_t flags;            /* DIVVY_CONTROL_SOFT; the daemon's own record */
    uint32_t
        armed; /* atomic; 1 while launches have to be looked at, 0 in mode OPEN and uncapped SELF */
    uint32_t lease_seq; /* atomic; sequence lock and futex word */
    uint32_t mode;      /* under lease_seq */
    int64_t begin_ns;   /* under lease_seq */
    int64_t end_ns;     /* under lease_seq */
    uint64_t lease_id;  /* under lease_seq; counts leases of the device, for people */
    uint32_t budget_ns; /* under lease_seq; work in flight, at most */
    uint32_t listening; /* atomic; the daemon wants the bell rung */
    uint64_t reserved[5];
};

/* Why a tenant is frozen. */
enum divvy_control_frozen {
    DIVVY_CONTROL_FROZEN_NOT = 0,
    DIVVY_CONTROL_FROZEN_ASKED = 1, /* somebody wanted it, and will thaw it */
    DIVVY_CONTROL_FROZEN_IDLE = 2,  /* it had nothing to do: its next call brings it back */
};

#define DIVVY_CONTROL_SOFT 1u /* the cap may be exceeded while nobody else can run */

struct divvy_control {
    uint32_t version;
    uint32_t header_bytes;
    uint64_t page_bytes;
    uint64_t magic;
    uint32_t device_count; /* DIVVY_PAGE_DEVICES: entries, used or free */
    uint32_t device_bytes;
    int64_t heartbeat_ns; /* atomic */
    uint64_t daemon_pid;  /* atomic; of the daemon that writes now */
    uint64_t created_ns;  /* CLOCK_REALTIME */
    uint32_t owner_uid;   /* of the tenant's processes */
    uint32_t qos;         /* enum divvy_node_qos */
    uint32_t frozen;      /* enum divvy_control_frozen: survives a restart of the daemon */
    uint32_t keeper_pid;  /* who registered the tenant and keeps its name; 0 nobody */
    uint64_t keeper_start_ticks;
    char name[DIVVY_CONTROL_NAME_BYTES]; /* the tenant's id; NUL-terminated */
    char pod[DIVVY_CONTROL_NAME_BYTES];  /* Kubernetes names, or empty */
    char namespace[DIVVY_CONTROL_NAME_BYTES];
    uint32_t door; /* atomic; a futex word */
    uint32_t reserved0;
    uint64_t reserved[5];
    struct divvy_control_device devices[DIVVY_PAGE_DEVICES];
};

_Static_assert(offsetof(struct divvy_control_device, lease_seq) == 40, "control.lease_seq");
_Static_assert(offsetof(struct divvy_control_device, begin_ns) == 48, "control.begin_ns");
_Static_assert(sizeof(struct divvy_control_device) == 128, "control device");
_Static_assert(offsetof(struct divvy_control, heartbeat_ns) == 32, "control.heartbeat_ns");
_Static_assert(offsetof(struct divvy_control, name) == 80, "control.name");
_Static_assert(sizeof(struct divvy_control) == 512 + 128 * DIVVY_PAGE_DEVICES, "control");

/* What a process has to know of a device's lease, read in one piece. */
struct divvy_control_lease {
    uint32_t seq; /* the futex word's value that belongs to it; even */
    uint32_t mode;
    int64_t begin_ns;
    int64_t end_ns;
    uint64_t id;
    uint32_t budget_ns;
};

/* --- for the daemon ---------------------------------------------------------------------------------------------- */

/*
 * Create `control` in the open folder, complete under a temporary name and then renamed, mode 0644. *ret_control is mapped
 * shared and writable; *ret_fd stays open with an exclusive flock for as long as the daemon keeps the tenant. -EEXIST: there is
 * one. The caller fills in names and devices afterwards, through the functions below.
 */
int divvy_control_create(int folder_fd, struct divvy_control **ret_control, int *ret_fd);

/*
 * Open the page that is there for writing (adoption after a restart): validated, owner must be the caller's effective user.
 * -EPROTO: not such a page; -EWOULDBLOCK: another daemon holds it; -ENOENT and others of openat.
 */
int divvy_control_adopt(int folder_fd, struct divvy_control **ret_control, int *ret_fd);

/* Write a lease or another mode under the sequence lock, and wake whoever waits for it. One writer only. */
void divvy_control_lease_write(struct divvy_control *control, unsigned device,
                               const struct divvy_control_lease *lease);

/* --- for the limiter and for display ------------------------------------------------------------------------------ */

/*
 * Map the page at `path` read-only: validated, a regular file that belongs to root or to the caller's effective user, not
 * writable by group or others. -EPROTO: refused; others of open. libc's system calls only.
 */
int divvy_control_open(const char *path, const struct divvy_control **ret_control);

void divvy_control_close(const struct divvy_control *control);

/* Check `bytes` bytes of foreign memory as a control page: header, counts, NUL-terminated names, modes in range. 0 or -EPROTO. */
int divvy_control_validate(const void *memory, size_t bytes);

/* Entry of the device with this UUID, or -ENOENT. */
int divvy_control_device_find(const struct divvy_control *control, const uint8_t uuid[16]);

/*
 * Read the lease in one piece. False where the writer is in the middle of it, after some tries: the daemon has lost the
 * processor or has died there, which its heartbeat tells apart. The futex word is odd then, and changes when it goes on.
 */
bool divvy_control_lease_read(const struct divvy_control *control, unsigned device,
                              struct divvy_control_lease *ret_lease);

/* Whether the daemon is alive at now_ns (CLOCK_MONOTONIC), by its heartbeat. */
static inline bool divvy_control_is_alive(const struct divvy_control *control, int64_t now_ns) {
    uint64_t age_ns =
        (uint64_t)now_ns - (uint64_t)__atomic_load_n(&control->heartbeat_ns, __ATOMIC_RELAXED);

    /* A heartbeat a little in the future is of a daemon that was just faster. */
    return age_ns + (uint64_t)DIVVY_CONTROL_STALE_NS < 2 * (uint64_t)DIVVY_CONTROL_STALE_NS;
}

#endif
