/* The lease thread: its clock, its bells, its turns. */
#include "daemon/lease_inside.h"

#include "base/log.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BELL_PAUSE_NS       (200 * US)
#define BELL_FLOOD          500u /* rings in a second; beyond, the bell is heard a hundred times a second */
#define BELL_FLOOD_PAUSE_NS (10 * MS)
#define EPOLL_BATCH         64

static void bell_listen(struct divvy_lease *lease, const struct tenant *tenant, bool on) {
    struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.u64 = tenant->info.number};

    if (tenant->info.bell_fd >= 0)
        (void)epoll_ctl(lease->epoll_fd, EPOLL_CTL_MOD, tenant->info.bell_fd, &event);
}

static void bell_heard(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    char bytes[256];

    while (read(tenant->info.bell_fd, bytes, sizeof bytes) == sizeof bytes)
        ;
    if (now_ns > tenant->rings_ns + 1000 * MS) {
        tenant->rings_ns = now_ns;
        tenant->rings = 0;
    }
    tenant->bell_ns = now_ns + (++tenant->rings > BELL_FLOOD ? BELL_FLOOD_PAUSE_NS : BELL_PAUSE_NS);
    bell_listen(lease, tenant, false);
    tenant->next_muted = lease->muted;
    lease->muted = tenant;
    lease->health.bells++;
    divvy_lease_tenant_knocked(lease, tenant);
    divvy_lease_tenant_rang(lease, tenant, now_ns);
}

/* Hear the bells again whose pause is over; returns when the next one's is. */
static int64_t bells_unmute(struct divvy_lease *lease, int64_t now_ns) {
    int64_t next_ns = INT64_MAX;

    for (struct tenant **link = &lease->muted; *link;) {
        struct tenant *tenant = *link;

        if (tenant->bell_ns > now_ns) {
            next_ns = earlier(next_ns, tenant->bell_ns);
            link = &tenant->next_muted;
            continue;
        }
        *link = tenant->next_muted;
        tenant->bell_ns = 0;
        bell_listen(lease, tenant, true);
    }
    return next_ns;
}

static void heartbeat(struct divvy_lease *lease, int64_t now_ns) {
    if (now_ns < lease->heartbeat_ns)
        return;
    lease->heartbeat_ns = now_ns + DIVVY_CONTROL_HEARTBEAT_NS;
    for (uint32_t i = 0; i < lease->high; i++)
        if (lease->tenants[i])
            __atomic_store_n(&lease->tenants[i]->info.control->heartbeat_ns, now_ns,
                             __ATOMIC_RELAXED);
}

/* Nobody holds the device any more; who waits at its gate is ready. */
static void device_begin_anew(struct divvy_lease *lease, uint32_t index, int64_t now_ns) {
    struct device *device = &lease->devices[index];
    uint32_t number = divvy_node_sched_holder(device->sched);
    struct tenant *holder = tenant_of(lease, number);
    struct seat *held = seat_of(holder, index);

    (void)divvy_node_sched_end(device->sched, number, now_ns); /* -ENOENT: nobody holds it */
    if (held)
        divvy_lease_page_shut(holder, held);
    device->holder = device->previous = DIVVY_NODE_SCHED_NOBODY;
    device->open = false;
    for (uint32_t i = 0; i < lease->high; i++) {
        struct seat *seat = seat_of(lease->tenants[i], index);

        if (!seat)
            continue;
        divvy_lease_seat_catch_up(lease, lease->tenants[i], seat, now_ns);
        /* Some of it may have been charged: who stops the daemon may do so in the middle of a look. */
        (void)divvy_node_sched_renew(device->sched, lease->tenants[i]->info.number, now_ns);
        if (seat->last.waiting && !seat->stuck)
            divvy_lease_seat_wake(lease, lease->tenants[i], seat, now_ns);
    }
    device->next_ns = now_ns;
}

int64_t divvy_lease_now(struct divvy_lease *lease) {
    int64_t now_ns = now(), silent_ns = now_ns - (lease->heartbeat_ns - DIVVY_CONTROL_HEARTBEAT_NS);

    if (lease->heartbeat_ns == 0 || silent_ns < DIVVY_CONTROL_STALE_NS)
        return now_ns;
    divvy_log_warn("stopped for %lld.%lld s: tenants paced themselves meanwhile", (long long)(silent_ns / (1000 * MS)),
                   (long long)(silent_ns / (100 * MS) % 10));
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES; i++)
        if (lease->devices[i].seats)
            device_begin_anew(lease, i, now_ns);
    lease->heartbeat_ns = now_ns;
    return now_ns;
}

static void second_close(struct divvy_lease *lease, int64_t now_ns) {
    if (now_ns < lease->second.since_ns + 1000 * MS)
        return;
    lease->health.decision_ns_mean =
        lease->second.decisions ? lease->second.decision_sum_ns / (int64_t)lease->second.decisions
                                : 0;
    lease->health.decision_ns_max = lease->second.decision_max_ns;
    lease->health.late_ns_mean =
        lease->second.wakes ? lease->second.late_sum_ns / (int64_t)lease->second.wakes : 0;
    lease->health.late_ns_max = lease->second.late_max_ns;
    memset(&lease->second, 0, sizeof lease->second);
    lease->second.since_ns = now_ns;
}

/* All that is due. Returns when the next is. */
static int64_t turn(struct divvy_lease *lease, int64_t now_ns) {
    int64_t next_ns;

    heartbeat(lease, now_ns);
    second_close(lease, now_ns);
    divvy_lease_remote_listen(lease, now_ns);
    next_ns = earlier(lease->heartbeat_ns, bells_unmute(lease, now_ns));
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        struct device *device = &lease->devices[i];

        if (!device->seats)
            continue;
        for (int tries = 0; device->next_ns <= now_ns && tries < 8; tries++)
            device->next_ns = divvy_lease_device_look(lease, i, now_ns);
        if (device->next_ns <= now_ns)
            device->next_ns = now_ns + POLL_NS;
        next_ns = earlier(next_ns, device->next_ns);
    }
    return next_ns;
}

void *divvy_lease_thread_run(void *data) {
    struct divvy_lease *lease = data;
    struct epoll_event events[EPOLL_BATCH];
    int64_t due_ns = 0;

    (void)prctl(PR_SET_NAME, "divvyd-lease");
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        int count = epoll_wait(lease->epoll_fd, events, EPOLL_BATCH, -1);
        int64_t now_ns;
        struct itimerspec when = {0};

        (void)pthread_mutex_lock(&lease->lock);
        now_ns = divvy_lease_now(lease);
        for (int i = 0; i < count; i++) {
            uint64_t value;

            if (events[i].data.u64 == TIMER_EVENT) {
                int64_t late_ns = now_ns - due_ns;

                (void)!read(lease->timer_fd, &value, sizeof value);
                lease->second.wakes++;
                lease->second.late_sum_ns += late_ns;
                if (late_ns > lease->second.late_max_ns)
                    lease->second.late_max_ns = late_ns;
            } else if (events[i].data.u64 == WAKE_EVENT) {
                (void)!read(lease->wake_fd, &value, sizeof value);
            } else if (tenant_of(lease, (uint32_t)events[i].data.u64)) {
                bell_heard(lease, lease->tenants[events[i].data.u64], now_ns);
            }
        }
        if (lease->stopping) {
            (void)pthread_mutex_unlock(&lease->lock);
            return NULL;
        }
        due_ns = turn(lease, now_ns);
        (void)pthread_mutex_unlock(&lease->lock);
        if (due_ns < 1)
            due_ns = 1;
        when.it_value.tv_sec = (time_t)(due_ns / (1000 * MS));
        when.it_value.tv_nsec = (long)(due_ns % (1000 * MS));
        (void)timerfd_settime(lease->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    }
}

void divvy_lease_wake(const struct divvy_lease *lease) {
    uint64_t one = 1;

    (void)!write(lease->wake_fd, &one, sizeof one);
}
