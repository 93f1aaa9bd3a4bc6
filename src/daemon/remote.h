/*
 * Tenants whose processes cannot map the daemon's pages: what those say over the two-way channel, and the leases that go to them
 * the same way. To the lease thread such a tenant is a seat like another: divvy_remote_usage stands for its usage page, and
 * divvy_remote_lease for its control page.
 *
 * A lease is told in durations, so no clocks are compared. It runs on the other side from its receipt on, which is later than it
 * was sent and earlier than its result comes back: what is granted to somebody else begins when the process has said that its
 * lease is over, or when it must be, by the daemon's own clock. One order is under way to a process at a time, the newest wins,
 * and who does not answer gets no more, so that orders which arrive late, all at once, open the gate for one lease at most.
 *
 * All that a process says is a claim: counters never go back, sums saturate, devices that its tenant does not have are passed
 * over, and more than DIVVY_REMOTE_REPORTS_MAX reports a second are refused.
 *
 * Thread-safe; one lock, under which nothing is called. The lease thread's lock may be held around all of these but
 * divvy_remote_free, and that of the channel's server around divvy_remote_done and divvy_remote_went.
 */
#ifndef DIVVY_DAEMON_REMOTE_H
#define DIVVY_DAEMON_REMOTE_H

#include "daemon/usage.h"
#include "page/control.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_REMOTE_REPORTS_MAX 500u
#define DIVVY_REMOTE_SILENT_NS   INT64_C(250000000) /* an order without an answer: the process is not there */
#define DIVVY_REMOTE_LEASE_NS    INT64_C(20000000)  /* leases are no shorter, nor than 50 times the way there and back */
#define DIVVY_REMOTE_LEASE_MAX_NS INT64_C(100000000)

struct divvy_remote;

/* A lease on its way to a process. */
struct divvy_remote_order {
    int32_t pid; /* in the daemon's pid namespace: client "worker_<pid>" */
    char device[48];
    uint32_t mode;
    uint64_t begin_ns, length_ns; /* from receipt; length 0: no end */
    uint64_t budget_ns;
    uint32_t door;
    uint64_t memory_bytes; /* 0: no limit */
    uint32_t permille;
};

/* What a process says of one device. */
struct divvy_remote_told {
    char device[48];
    uint64_t waiting, busy_ns, used_bytes, launches, inflight_ns, drain_ns, lease;
    bool is_over;
};

/*
 * For tenants with numbers below `capacity`. `heard` is called without a lock of this module when divvy_remote_heard_next has
 * something to tell. 0, -EINVAL, -ENOMEM.
 */
int divvy_remote_new(uint32_t capacity, void (*heard)(void *data), void *data, struct divvy_remote **ret_remote);
/* NULL is fine. The sending function is not called any more when it returns. */
void divvy_remote_free(struct divvy_remote *remote);

/*
 * Where orders go: starts the thread that sends them; `send` (0 and *ret_number, or a negative errno) is called by it without a
 * lock. NULL ends it: no call is under way when this returns. 0, or what pthread_create says.
 */
typedef int divvy_remote_send_t(void *context, const struct divvy_remote_order *order, uint64_t *ret_number);
int divvy_remote_sender_set(struct divvy_remote *remote, divvy_remote_send_t *send, void *context);

/* --- processes --- */

/* A process of the tenant follows its stream (again). The control page names the devices. -ENOMEM, -EINVAL; harmless twice. */
int divvy_remote_come(struct divvy_remote *remote, int32_t pid, uint32_t tenant, const struct divvy_control *control);
/* Its stream has ended, or it has. What it has used stays with its tenant. */
void divvy_remote_went(struct divvy_remote *remote, int32_t pid);
/* The tenant goes, with all its processes. */
void divvy_remote_forget(struct divvy_remote *remote, uint32_t tenant);

/* `door`: the newest word that it has come by. 0; -ENOENT: no such process, or one that has pages; -EBUSY: too many in this second. */
int divvy_remote_report(struct divvy_remote *remote, int32_t pid, uint64_t door, const struct divvy_remote_told *told,
                        uint32_t count);

/* The order with this number was answered; `why` is the process's reason, NULL: it was taken. */
void divvy_remote_done(struct divvy_remote *remote, int32_t pid, uint64_t number, const char *why);

/* --- for the lease thread and the watch; `entry` is a device's place in the tenant's control page --- */

/* Whether any process of the tenant goes by the channel. */
bool divvy_remote_is_there(struct divvy_remote *remote, uint32_t tenant);

/* A tenant that should be looked at; false: none. */
bool divvy_remote_heard_next(struct divvy_remote *remote, uint32_t *ret_tenant);

/* Adds what they say to what is in `use`. False: the tenant never had such a process. */
bool divvy_remote_usage(struct divvy_remote *remote, uint32_t tenant, uint32_t entry, struct divvy_usage_device *use);

/* What is in the tenant's control page now is what its processes are to do. */
void divvy_remote_lease(struct divvy_remote *remote, uint32_t tenant, uint32_t entry, const struct divvy_control_lease *lease,
                        const struct divvy_control *control);

/* Whether all of them have said that the newest lease is over, or are not there any more. */
bool divvy_remote_is_over(struct divvy_remote *remote, uint32_t tenant, uint32_t entry);

/*
 * What the tenant's processes say of its door, as divvy_usage_door does of those with pages, to what is there in the three: whether
 * all look at it, whether one has come by `word`, how many they are.
 */
void divvy_remote_door(struct divvy_remote *remote, uint32_t tenant, uint32_t word, bool *all, bool *came, uint32_t *count);
/* Tell them all once more what they are to do, so that they say how things are. */
void divvy_remote_ask(struct divvy_remote *remote, uint32_t tenant);
/* Whether each has reported since it was told the newest. True without any. */
bool divvy_remote_has_said(struct divvy_remote *remote, uint32_t tenant);

/* How long an order and its answer take, smoothed: an order counts after this at the latest, mostly. */
int64_t divvy_remote_way_ns(struct divvy_remote *remote, uint32_t tenant);

struct divvy_remote_figures {
    uint32_t processes;
    uint64_t orders, refused, reports, flooded, silent;
    int64_t way_ns; /* as divvy_remote_way_ns, of all of them; 0 none yet */
};
void divvy_remote_figures(struct divvy_remote *remote, struct divvy_remote_figures *ret_figures);

#endif
