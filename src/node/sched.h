/*
 * The scheduler of one device's GPU time: who holds the lease, for how long, and who must wait.
 *
 * Pure decisions. There is no clock, thread, socket or file here: `now_ns` comes in with every call and must never go back
 * (a smaller value is taken as the latest seen). All memory is taken once by divvy_node_sched_new. Not thread-safe: one
 * caller, or the caller's lock.
 *
 * Tenants are named by a small integer that the caller chooses (0 .. capacity - 1). A tenant that wants GPU time is ready;
 * one ready tenant at a time holds the lease. The order is weighted fair queueing by virtual time: a tenant is eligible when
 * it has not run ahead of the fair share, and among eligible tenants the earliest virtual deadline goes first (EEVDF).
 * What is charged is what was used, overrun included, so that errors do not add up.
 *
 *   weight      share under contention: weight / sum of the ready tenants' weights
 *   hard cap    never more than cap_permille of wall time; the remainder stays idle
 *   soft cap    as a hard cap while another tenant could run, borrowing while nobody else can
 *   QoS         a higher class asks for shorter leases, so its deadlines come sooner and it waits less, and it may revoke the
 *               lease of a lower class; its share still follows its weight
 *   frozen      is not granted anything until it is thawed
 */
#ifndef DIVVY_NODE_SCHED_H
#define DIVVY_NODE_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_NODE_SCHED_NOBODY      UINT32_MAX
#define DIVVY_NODE_SCHED_NEVER       INT64_MAX
#define DIVVY_NODE_SCHED_WEIGHT_MAX  1000000u
#define DIVVY_NODE_SCHED_STRETCH_MAX 3000u

enum divvy_node_qos {
    DIVVY_NODE_QOS_LOW,
    DIVVY_NODE_QOS_MEDIUM,
    DIVVY_NODE_QOS_HIGH,
    DIVVY_NODE_QOS_CRITICAL,
    DIVVY_NODE_QOS_MAX
};

struct divvy_node_tenant_params {
    uint32_t weight;       /* 1 .. DIVVY_NODE_SCHED_WEIGHT_MAX */
    uint32_t cap_permille; /* 1 .. 1000; 0 or 1000: no cap */
    bool cap_soft;         /* the cap may be exceeded while nobody else can run */
    enum divvy_node_qos qos;
};

/* The scheduler's own settings; divvy_node_sched_defaults fills in the documented ones. */
struct divvy_node_sched_params {
    int64_t lease_ns[DIVVY_NODE_QOS_MAX]; /* length of a lease by class */
    int64_t lease_min_ns; /* a capped tenant is granted a lease when its cap has so much left */
    int64_t
        bank_ns; /* GPU time of credit that idleness (twice that in classes high and critical) or a cap can save up */
    int64_t debt_max_ns; /* virtual lateness kept for a tenant that overran while others slept */
};

enum divvy_node_lease_kind {
    DIVVY_NODE_LEASE_NONE,  /* nobody may run now */
    DIVVY_NODE_LEASE_TIMED, /* ends after length_ns */
    DIVVY_NODE_LEASE_OPEN   /* the only tenant, without a cap: stays until somebody else is ready */
};

struct divvy_node_lease {
    enum divvy_node_lease_kind kind;
    uint32_t tenant;   /* DIVVY_NODE_SCHED_NOBODY for kind NONE */
    int64_t length_ns; /* 0 unless kind is TIMED */
    int64_t
        retry_ns; /* kind NONE: absolute time at which somebody may run again, or DIVVY_NODE_SCHED_NEVER */
};

struct divvy_node_sched_stats {
    uint64_t used_ns;     /* charged in all */
    uint64_t granted;     /* leases */
    uint64_t revoked;     /* leases taken back before their end */
    uint64_t waited_ns;   /* ready without the lease */
    uint64_t wait_max_ns; /* longest such wait */
    uint64_t overrun_ns;  /* used beyond the length of a lease */
};

struct divvy_node_sched;

void divvy_node_sched_defaults(struct divvy_node_sched_params *ret_params);

/* NULL params: the defaults. Returns 0, -EINVAL (capacity 0 or above 1,000,000, times not positive) or -ENOMEM. */
int divvy_node_sched_new(uint32_t capacity, const struct divvy_node_sched_params *params,
                         struct divvy_node_sched **ret_sched);
void divvy_node_sched_free(struct divvy_node_sched *sched); /* NULL is fine */

/* Add a tenant, idle. 0, -EINVAL (parameters out of range), -ERANGE (id), -EEXIST. */
int divvy_node_sched_add(struct divvy_node_sched *sched, uint32_t tenant,
                         const struct divvy_node_tenant_params *params, int64_t now_ns);
/* Forget a tenant; a lease that it holds ends. 0 or -ENOENT. */
int divvy_node_sched_remove(struct divvy_node_sched *sched, uint32_t tenant, int64_t now_ns);
/* Change a tenant's parameters while it lives; what it has used stays charged. 0, -EINVAL or -ENOENT. */
int divvy_node_sched_set(struct divvy_node_sched *sched, uint32_t tenant,
                         const struct divvy_node_tenant_params *params, int64_t now_ns);

/*
 * Its account begins anew, as if it had just been added: neither debts nor savings; what it has had stays in its statistics. For a
 * time that nobody watched. 0, -ENOENT, or -EBUSY: it holds the lease.
 */
int divvy_node_sched_renew(struct divvy_node_sched *sched, uint32_t tenant, int64_t now_ns);

/* The tenant wants GPU time (again) / has nothing to run. Repeating either is harmless. 0 or -ENOENT.
 * A tenant that sleeps while it holds the lease gives it up. */
int divvy_node_sched_wake(struct divvy_node_sched *sched, uint32_t tenant, int64_t now_ns);
int divvy_node_sched_sleep(struct divvy_node_sched *sched, uint32_t tenant, int64_t now_ns);
int divvy_node_sched_freeze(struct divvy_node_sched *sched, uint32_t tenant, bool frozen,
                            int64_t now_ns);

/* GPU time that the tenant has used since the last charge, in or out of a lease. 0, -EINVAL (negative) or -ENOENT. */
int divvy_node_sched_charge(struct divvy_node_sched *sched, uint32_t tenant, int64_t used_ns,
                            int64_t now_ns);

/*
 * Time for which the tenant held a timed lease while the device did nothing, though it could have worked for others: it counts
 * against the tenant's share as use does, but not against its cap, and not as use. 0, -EINVAL (negative) or -ENOENT.
 */
int divvy_node_sched_charge_idle(struct divvy_node_sched *sched, uint32_t tenant, int64_t idle_ns,
                                 int64_t now_ns);

/*
 * Hand-overs cost: from now on leases of classes low and medium are permille / 1000 times as long as the settings say, 1000 ..
 * DIVVY_NODE_SCHED_STRETCH_MAX (cut to that); what idleness and caps may bank grows with them. Those under way are not changed.
 */
void divvy_node_sched_stretch(struct divvy_node_sched *sched, uint32_t permille);

/* Decide who runs. Call it when nobody holds the lease; while somebody does, the same lease is answered (an open lease turns
 * into a timed one as soon as a second tenant is ready). 0 always. */
int divvy_node_sched_pick(struct divvy_node_sched *sched, int64_t now_ns,
                          struct divvy_node_lease *ret_lease);

/* The holder's lease is over (time up, or given back). Charge its use before. 0 or -ENOENT where it holds none. */
int divvy_node_sched_end(struct divvy_node_sched *sched, uint32_t tenant, int64_t now_ns);

/* Whether the holder should lose its lease now: its cap is used up while it holds an open lease, or a ready tenant of a higher
 * class is eligible and would be picked before it. */
bool divvy_node_sched_should_revoke(struct divvy_node_sched *sched, int64_t now_ns);

/*
 * Who would be picked next of the tenants that are ready, have had at most slack_ns (>= 0) more than their share, and of which may_run says
 * so; NOBODY: none. Nothing is granted. Looks at all of them.
 */
uint32_t divvy_node_sched_first_within(struct divvy_node_sched *sched, int64_t slack_ns, int64_t now_ns,
                                       bool (*may_run)(const void *data, uint32_t tenant), const void *data);

uint32_t divvy_node_sched_holder(
    const struct divvy_node_sched *sched); /* DIVVY_NODE_SCHED_NOBODY when free */
int divvy_node_sched_stats(const struct divvy_node_sched *sched, uint32_t tenant,
                           struct divvy_node_sched_stats *ret_stats); /* 0 or -ENOENT */

#endif
