/* Leases, for the rest of the daemon: see lease.h. */
#include "daemon/lease_inside.h"

#include "base/cleanup.h"
#include "core/futex.h"
#include "core/sys.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int lock_init(pthread_mutex_t *lock) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error)
        return -error;
    (void)pthread_mutexattr_setprotocol(
        &attributes, PTHREAD_PRIO_INHERIT); /* whoever holds it must not hold up leases */
    error = pthread_mutex_init(lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return -error;
}

static void remote_heard(void *data) {
    divvy_lease_wake(data);
}

struct divvy_remote *divvy_lease_remote(struct divvy_lease *lease) {
    return lease->remote;
}

int divvy_lease_new(uint32_t capacity, const struct divvy_node_sched_params *params,
                    struct divvy_lease **ret_lease) {
    struct epoll_event wake_event = {.events = EPOLLIN, .data.u64 = WAKE_EVENT};
    struct epoll_event timer_event = {.events = EPOLLIN, .data.u64 = TIMER_EVENT};
    struct divvy_lease *lease;
    uint64_t pidns;

    if (capacity == 0)
        return -EINVAL;
    lease = calloc(1, sizeof *lease);
    if (!lease)
        return -ENOMEM;
    lease->capacity = capacity;
    if (divvy_core_sys_namespace_id("pid", &pidns) == 0)
        lease->own_pidns = (uint32_t)pidns;
    lease->tenants = calloc(capacity, sizeof(lease->tenants[0]));
    lease->copy = calloc(1, sizeof *lease->copy);
    lease->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    lease->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lease->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (params)
        lease->params = *params;
    else
        divvy_node_sched_defaults(&lease->params);
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES; i++)
        lease->devices[i].holder = lease->devices[i].previous = DIVVY_NODE_SCHED_NOBODY;
    if (!lease->tenants || !lease->copy || lease->epoll_fd < 0 || lease->wake_fd < 0 ||
        lease->timer_fd < 0 ||
        epoll_ctl(lease->epoll_fd, EPOLL_CTL_ADD, lease->wake_fd, &wake_event) < 0 ||
        epoll_ctl(lease->epoll_fd, EPOLL_CTL_ADD, lease->timer_fd, &timer_event) < 0 ||
        lock_init(&lease->lock) || divvy_remote_new(capacity, remote_heard, lease, &lease->remote) < 0) {
        int error = lease->tenants && lease->copy && errno ? -errno : -ENOMEM;

        divvy_lease_free(lease);
        return error;
    }
    *ret_lease = lease;
    return 0;
}

int divvy_lease_start(struct divvy_lease *lease, struct divvy_error *error) {
    struct sched_param real_time = {.sched_priority = 2};
    int result = pthread_create(&lease->thread, NULL, divvy_lease_thread_run, lease);

    if (result)
        return divvy_error_set_errno(error, -result, "the lease thread cannot be started");
    lease->started = true;
    /* Late hand-overs waste the device: first in line where we may, a little ahead of others where we may do that. */
    if (pthread_setschedparam(lease->thread, SCHED_RR, &real_time) != 0)
        (void)setpriority(PRIO_PROCESS, 0, -10);
    divvy_lease_wake(lease);
    return 0;
}

static void tenant_let_go(struct tenant *tenant) {
    if (tenant->info.door && !(tenant->info.door & DIVVY_CONTROL_DOOR_SHUT))
        tenant->info.door = 0;
    __atomic_store_n(&tenant->info.control->door, tenant->info.door, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wake(&tenant->info.control->door, INT32_MAX, true);
    for (uint32_t i = 0; i < tenant->info.binding_count; i++) {
        struct divvy_control_lease self = {.mode = DIVVY_CONTROL_SELF, .budget_ns = BUDGET_NS};

        if (tenant->info.frozen)
            self.mode = DIVVY_CONTROL_FROZEN;
        divvy_lease_page_write(tenant, &tenant->seats[i], &self);
    }
}

static void tenant_free(struct tenant *tenant) {
    for (uint32_t i = 0; i < tenant->info.binding_count; i++)
        divvy_usage_close(&tenant->seats[i].usage);
    free(tenant->seats);
    free(tenant);
}

void divvy_lease_free(struct divvy_lease *lease) {
    if (!lease)
        return;
    if (lease->started) {
        (void)pthread_mutex_lock(&lease->lock);
        lease->stopping = true;
        (void)pthread_mutex_unlock(&lease->lock);
        divvy_lease_wake(lease);
        (void)pthread_join(lease->thread, NULL);
    }
    for (uint32_t i = 0; lease->tenants && i < lease->high; i++)
        if (lease->tenants[i]) {
            tenant_let_go(lease->tenants[i]);
            tenant_free(lease->tenants[i]);
        }
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES; i++)
        divvy_node_sched_free(lease->devices[i].sched);
    divvy_remote_free(lease->remote);
    divvy_cleanup_close(&lease->epoll_fd);
    divvy_cleanup_close(&lease->wake_fd);
    divvy_cleanup_close(&lease->timer_fd);
    free(lease->copy);
    free(lease->tenants);
    (void)pthread_mutex_destroy(&lease->lock);
    free(lease);
}

static void seat_remove(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                        int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    if (!seat->present)
        return;
    (void)divvy_node_sched_remove(device->sched, tenant->info.number, now_ns);
    device->seats--;
    device->way_ns = 0; /* the others say theirs with their next word */
    device->sensitive -= seat->binding.params.qos >= DIVVY_NODE_QOS_HIGH;
    if (device->previous == tenant->info.number)
        device->previous = DIVVY_NODE_SCHED_NOBODY;
    device->next_ns = now_ns;
    seat->present = false;
}

/* Where somebody's waits must be short, leases are as short as the settings say from now on. */
static void sensitive_add(struct device *device, const struct divvy_node_tenant_params *params) {
    device->sensitive += params->qos >= DIVVY_NODE_QOS_HIGH;
    if (device->sensitive)
        divvy_node_sched_stretch(device->sched, 1000);
}

/*
 * A new tenant is taken for ready when its page says so, and listened for otherwise. After a restart of the daemon its page has a
 * past, which is not charged again.
 */
static int seat_add(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                    int64_t now_ns) {
    struct device *device;
    int error;

    if (seat->binding.device >= DIVVY_PAGE_DEVICES || seat->binding.entry >= DIVVY_PAGE_DEVICES)
        return -EINVAL;
    device = &lease->devices[seat->binding.device];
    if (!device->sched) {
        error = divvy_node_sched_new(lease->capacity, &lease->params, &device->sched);
        if (error)
            return error;
        device->lease_ns = lease->params.lease_ns[DIVVY_NODE_QOS_MEDIUM];
    }
    error = divvy_node_sched_add(device->sched, tenant->info.number, &seat->binding.params, now_ns);
    if (error)
        return error;
    seat->present = true;
    device->seats++;
    sensitive_add(device, &seat->binding.params);
    if (tenant->info.frozen)
        (void)divvy_node_sched_freeze(device->sched, tenant->info.number, true, now_ns);
    divvy_lease_seat_catch_up(lease, tenant, seat, now_ns);
    divvy_lease_page_shut(tenant, seat);
    divvy_lease_listen_set(tenant, seat, 1);
    if (divvy_lease_seat_read(lease, tenant, seat, true, now_ns) && seat->last.waiting)
        divvy_lease_seat_wake(lease, tenant, seat, now_ns);
    device->next_ns = now_ns;
    return 0;
}

static int tenant_enter(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tenant->info.number};
    int error = 0;

    __atomic_store_n(&tenant->info.control->heartbeat_ns, now_ns, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < tenant->info.binding_count && !error; i++)
        error = seat_add(lease, tenant, &tenant->seats[i], now_ns);
    if (!error && tenant->info.bell_fd >= 0 &&
        epoll_ctl(lease->epoll_fd, EPOLL_CTL_ADD, tenant->info.bell_fd, &event) < 0)
        error = -errno;
    if (error) {
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            seat_remove(lease, tenant, &tenant->seats[i], now_ns);
        return error;
    }
    lease->tenants[tenant->info.number] = tenant;
    if (lease->high <= tenant->info.number)
        lease->high = tenant->info.number + 1;
    return 0;
}

int divvy_lease_tenant_add(struct divvy_lease *lease, const struct divvy_lease_tenant *info) {
    struct tenant *tenant;
    int error = -EEXIST;

    if (info->number >= lease->capacity || info->binding_count > DIVVY_PAGE_DEVICES)
        return -EINVAL;
    tenant = calloc(1, sizeof *tenant);
    if (!tenant)
        return -ENOMEM;
    tenant->info = *info;
    tenant->remote = lease->remote;
    tenant->seats = calloc(info->binding_count ? info->binding_count : 1, sizeof(tenant->seats[0]));
    if (!tenant->seats) {
        free(tenant);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < info->binding_count; i++) {
        tenant->seats[i].binding = info->bindings[i];
        divvy_usage_init(&tenant->seats[i].usage, lease->copy);
    }
    (void)pthread_mutex_lock(&lease->lock);
    if (!lease->tenants[info->number])
        error = tenant_enter(lease, tenant, now());
    (void)pthread_mutex_unlock(&lease->lock);
    if (error)
        tenant_free(tenant);
    else
        divvy_lease_wake(lease);
    return error;
}

static void seat_freeze(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                        bool frozen, int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    (void)divvy_lease_seat_read(lease, tenant, seat, false, now_ns);
    (void)divvy_node_sched_freeze(device->sched, tenant->info.number, frozen, now_ns);
    if (!frozen)
        (void)divvy_node_sched_sleep(device->sched, tenant->info.number, now_ns);
    divvy_lease_page_shut(tenant, seat);
    divvy_lease_listen_set(tenant, seat, !frozen);
    if (!frozen && divvy_lease_seat_read(lease, tenant, seat, false, now_ns) && seat->last.waiting)
        divvy_lease_seat_wake(lease, tenant, seat, now_ns);
    device->next_ns = now_ns;
}

int divvy_lease_tenant_freeze(struct divvy_lease *lease, uint32_t number, bool frozen) {
    struct tenant *tenant;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    if (tenant && tenant->info.frozen != frozen) {
        tenant->info.frozen = frozen;
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            seat_freeze(lease, tenant, &tenant->seats[i], frozen, divvy_lease_now(lease));
    }
    (void)pthread_mutex_unlock(&lease->lock);
    divvy_lease_wake(lease);
    return tenant ? 0 : -ENOENT;
}

/* The door, then the leases once more: whoever has looked at the old ones comes by again. */
static void tenant_door(struct tenant *tenant, uint32_t word) {
    tenant->info.door = word;
    __atomic_store_n(&tenant->info.control->door, word, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < tenant->info.binding_count; i++) {
        struct divvy_control_lease lease;

        if (divvy_control_lease_read(tenant->info.control, tenant->seats[i].binding.entry, &lease))
            divvy_lease_page_write(tenant, &tenant->seats[i], &lease);
    }
    (void)divvy_core_futex_wake(&tenant->info.control->door, INT32_MAX, true);
}

int divvy_lease_tenant_door(struct divvy_lease *lease, uint32_t number, uint32_t word) {
    struct tenant *tenant;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    if (tenant)
        tenant_door(tenant, word);
    (void)pthread_mutex_unlock(&lease->lock);
    return tenant ? 0 : -ENOENT;
}

void divvy_lease_knock_set(struct divvy_lease *lease, void (*knock)(void *data, uint32_t number), void *data) {
    lease->knock = knock;
    lease->knock_data = data;
}

/* The new parameters count from now: the lease under way ends, and the next is granted by them. */
static int seat_set(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                    const struct divvy_node_tenant_params *params, int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];
    int error;

    (void)divvy_lease_seat_read(lease, tenant, seat, false, now_ns);
    error = divvy_node_sched_set(device->sched, tenant->info.number, params, now_ns);
    if (error)
        return error;
    device->sensitive -= seat->binding.params.qos >= DIVVY_NODE_QOS_HIGH;
    sensitive_add(device, params);
    seat->binding.params = *params;
    if (device->holder == tenant->info.number) {
        (void)divvy_node_sched_end(device->sched, tenant->info.number, now_ns);
        divvy_lease_page_shut(tenant, seat);
    }
    device->next_ns = now_ns;
    return 0;
}

int divvy_lease_tenant_set(struct divvy_lease *lease, uint32_t number, uint32_t device,
                           const struct divvy_node_tenant_params *params) {
    struct tenant *tenant;
    struct seat *seat;
    int error = -ENOENT;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    seat = seat_of(tenant, device);
    if (seat)
        error = seat_set(lease, tenant, seat, params, divvy_lease_now(lease));
    (void)pthread_mutex_unlock(&lease->lock);
    divvy_lease_wake(lease);
    return error;
}

int divvy_lease_tenant_remove(struct divvy_lease *lease, uint32_t number) {
    struct tenant *tenant;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    if (tenant) {
        lease->tenants[number] = NULL;
        if (tenant->info.bell_fd >= 0)
            (void)epoll_ctl(lease->epoll_fd, EPOLL_CTL_DEL, tenant->info.bell_fd, NULL);
        for (struct tenant **link = &lease->muted; *link; link = &(*link)->next_muted)
            if (*link == tenant) {
                *link = tenant->next_muted;
                break;
            }
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            seat_remove(lease, tenant, &tenant->seats[i], now());
        tenant_let_go(tenant);
        tenant_free(tenant);
        divvy_remote_forget(lease->remote, number);
    }
    (void)pthread_mutex_unlock(&lease->lock);
    divvy_lease_wake(lease);
    return tenant ? 0 : -ENOENT;
}

int divvy_lease_stats(struct divvy_lease *lease, uint32_t number, uint32_t device,
                      struct divvy_node_sched_stats *ret_stats, bool *ret_ready) {
    struct seat *seat;
    int error = -ENOENT;

    (void)pthread_mutex_lock(&lease->lock);
    seat = seat_of(tenant_of(lease, number), device);
    if (seat) {
        error = divvy_node_sched_stats(lease->devices[device].sched, number, ret_stats);
        *ret_ready = seat->last_known && divvy_lease_seat_is_busy(seat, now());
    }
    (void)pthread_mutex_unlock(&lease->lock);
    return error;
}

void divvy_lease_health(struct divvy_lease *lease, struct divvy_lease_health *ret_health) {
    (void)pthread_mutex_lock(&lease->lock);
    *ret_health = lease->health;
    (void)pthread_mutex_unlock(&lease->lock);
}
