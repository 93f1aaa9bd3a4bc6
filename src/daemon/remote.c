/* Leases over the two-way channel: see remote.h. */
#include "daemon/remote.h"

#include "core/clock.h"
#include "core/uuid.h"
#include "wire/channel/channel.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define SECOND_NS    INT64_C(1000000000)
#define DRAIN_MAX_NS INT64_C(600000000000) /* nobody estimates so far ahead */
#define WAY_FIRST_NS INT64_C(1000000)
#define WAY_MAX_NS   INT64_C(100000000)
#define BUCKETS      256u

/* A process on a device of its tenant. */
struct place {
    uint8_t uuid[16];
    bool is_absent; /* the process does not use the device */
    /* as it was told last */
    struct divvy_remote_told told;
    bool is_known;          /* there was a report */
    uint64_t busy_first_ns; /* what it had used before the first one is not charged */
    int64_t drain_ns;       /* on our clock */
    int64_t active_ns;      /* when it last told of something that was going on */
    /* what it is to do */
    struct divvy_control_lease wanted;
    uint64_t memory_bytes;
    uint32_t permille, door;
    bool is_pending, is_forced; /* forced: also what it knows */
    bool is_sending;            /* on its way, without a number yet: `sent` is the one before */
    /* what it was sent */
    uint64_t sent, answered;
    int64_t sent_ns;
    struct divvy_remote_order order; /* of `sent` */
    int64_t over_ns;                 /* answered: it has ended by then */
    bool is_silent;                  /* counted already */
};

struct process {
    int32_t pid;
    struct group *group;
    bool is_paged; /* it has a control page, and needs nothing of this */
    uint64_t door; /* newest word that it has come by, as it says */
    uint32_t place_count;
    struct place places[DIVVY_PAGE_DEVICES];
    int64_t second_ns; /* of the reports that are counted */
    uint32_t reports;
    bool is_queued;
    struct process *next_queued;
    struct process *next;      /* of the tenant */
    struct process *next_same; /* in the same bucket */
};

struct group {
    uint32_t tenant;
    bool is_forgotten; /* its tenant is gone, and its processes go when they have been told */
    bool is_heard;     /* in the list of those that the lease thread should look at */
    struct group *next_heard;
    struct process *first;
    uint32_t count; /* without those that have pages */
    uint64_t gone_busy_ns[DIVVY_PAGE_DEVICES]; /* of processes that went */
    int64_t way_ns;
};

struct divvy_remote {
    pthread_mutex_t lock;
    pthread_cond_t work;
    uint32_t capacity;
    struct group **groups; /* by tenant; NULL: never had such a process; atomic for those who only ask that */
    struct process *by_pid[BUCKETS];
    struct group *heard_first;
    void (*heard)(void *data);
    void *heard_data;
    struct process *queue_first, *queue_last;
    pthread_t thread;
    bool has_thread, stopping;
    divvy_remote_send_t *send;
    void *send_context;
    int32_t sending_pid; /* an order to it is under way, whose number is not known yet; 0 none */
    uint64_t early;      /* a number that was answered meanwhile */
    const char *early_why;
    struct divvy_remote_figures figures;
};

static int64_t now(void) {
    return (int64_t)divvy_core_clock_ns();
}

static uint64_t sum(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void lock(struct divvy_remote *remote) {
    (void)pthread_mutex_lock(&remote->lock);
}

static void unlock(struct divvy_remote *remote) {
    (void)pthread_mutex_unlock(&remote->lock);
}

/* --- who there is ----------------------------------------------------------------------------------------- */

static struct group *group_of(const struct divvy_remote *remote, uint32_t tenant) {
    return tenant < remote->capacity ? remote->groups[tenant] : NULL;
}

static struct process **bucket_of(struct divvy_remote *remote, int32_t pid) {
    return &remote->by_pid[(uint32_t)pid % BUCKETS];
}

static struct process *process_find(struct divvy_remote *remote, int32_t pid) {
    struct process *process = *bucket_of(remote, pid);

    while (process && process->pid != pid)
        process = process->next_same;
    return process;
}

/* The lease thread should look at the tenant; it is told so once the lock is given up. */
static void group_heard(struct divvy_remote *remote, struct group *group) {
    if (group->is_heard)
        return;
    group->is_heard = true;
    group->next_heard = remote->heard_first;
    remote->heard_first = group;
}

static uint64_t place_busy_ns(const struct place *place) {
    return place->is_known && place->told.busy_ns > place->busy_first_ns ? place->told.busy_ns - place->busy_first_ns : 0;
}

static bool place_is_open(const struct place *place) {
    return place->sent > place->answered;
}

static bool place_is_silent(const struct place *place, int64_t now_ns) {
    return place_is_open(place) && now_ns >= place->sent_ns + DIVVY_REMOTE_SILENT_NS;
}

static void queue_remove(struct divvy_remote *remote, struct process *process) {
    struct process *before = NULL;

    if (!process->is_queued)
        return;
    for (struct process *at = remote->queue_first; at && at != process; at = at->next_queued)
        before = at;
    if (before)
        before->next_queued = process->next_queued;
    else
        remote->queue_first = process->next_queued;
    if (remote->queue_last == process)
        remote->queue_last = before;
    process->is_queued = false;
}

static void queue_add(struct divvy_remote *remote, struct process *process) {
    if (process->is_queued)
        return;
    process->is_queued = true;
    process->next_queued = NULL;
    if (remote->queue_last)
        remote->queue_last->next_queued = process;
    else
        remote->queue_first = process;
    remote->queue_last = process;
    (void)pthread_cond_signal(&remote->work);
}

/* With the last process of a tenant that is gone its group goes too. */
static void process_drop(struct divvy_remote *remote, struct process *process) {
    struct group *group = process->group;
    struct process **link = &group->first;

    while (*link != process)
        link = &(*link)->next;
    *link = process->next;
    for (link = bucket_of(remote, process->pid); *link != process; link = &(*link)->next_same)
        ;
    *link = process->next_same;
    if (!group->is_forgotten)
        group_heard(remote, group);
    queue_remove(remote, process);
    for (uint32_t i = 0; i < process->place_count; i++)
        group->gone_busy_ns[i] = sum(group->gone_busy_ns[i], place_busy_ns(&process->places[i]));
    if (!process->is_paged) {
        group->count--;
        remote->figures.processes--;
    }
    free(process);
    if (group->is_forgotten && !group->first)
        free(group);
}

/* --- coming and going ------------------------------------------------------------------------------------- */

static int group_get(struct divvy_remote *remote, uint32_t tenant, struct group **ret_group) {
    if (tenant >= remote->capacity)
        return -EINVAL;
    if (!remote->groups[tenant]) {
        struct group *group = calloc(1, sizeof *group);

        if (!group)
            return -ENOMEM;
        group->tenant = tenant;
        group->way_ns = WAY_FIRST_NS;
        __atomic_store_n(&remote->groups[tenant], group, __ATOMIC_RELEASE);
    }
    *ret_group = remote->groups[tenant];
    return 0;
}

static void place_want(struct place *place, const struct divvy_control_lease *lease, const struct divvy_control *control,
                       uint32_t entry) {
    const struct divvy_control_device *limits = &control->devices[entry];
    uint64_t bytes = __atomic_load_n(&limits->limit_bytes, __ATOMIC_RELAXED);

    place->wanted = *lease;
    place->memory_bytes = bytes == DIVVY_PAGE_UNLIMITED ? 0 : bytes;
    place->permille = __atomic_load_n(&limits->compute_permille, __ATOMIC_RELAXED);
    place->door = __atomic_load_n(&control->door, __ATOMIC_RELAXED);
    place->is_pending = true;
}

static void process_begin(struct divvy_remote *remote, struct process *process, const struct divvy_control *control) {
    static const uint8_t none[16];

    process->place_count = 0;
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES && memcmp(&control->devices[i].uuid, none, sizeof none) != 0; i++) {
        struct place *place = &process->places[process->place_count++];
        struct divvy_control_lease lease;

        memcpy(place->uuid, &control->devices[i].uuid, sizeof place->uuid);
        if (divvy_control_lease_read(control, i, &lease))
            place_want(place, &lease, control, i);
    }
    queue_add(remote, process);
}

/* A stream that is opened again is another beginning: what was sent over the old one counts for nothing. */
static void process_again(struct divvy_remote *remote, struct process *process) {
    struct group *group = process->group;
    struct process *next = process->next, *next_same = process->next_same;

    for (uint32_t i = 0; i < process->place_count; i++)
        group->gone_busy_ns[i] = sum(group->gone_busy_ns[i], place_busy_ns(&process->places[i]));
    queue_remove(remote, process);
    if (process->is_paged) {
        group->count++;
        remote->figures.processes++;
    }
    *process =
        (struct process){.pid = process->pid, .group = group, .next = next, .next_same = next_same};
}

int divvy_remote_come(struct divvy_remote *remote, int32_t pid, uint32_t tenant, const struct divvy_control *control) {
    struct process *process;
    struct group *group;
    int status;

    lock(remote);
    process = process_find(remote, pid);
    if (process && process->group != group_of(remote, tenant)) {
        process_drop(remote, process);
        process = NULL;
    }
    status = group_get(remote, tenant, &group);
    if (status == 0 && process) {
        process_again(remote, process);
    } else if (status == 0) {
        process = calloc(1, sizeof *process);
        status = process ? 0 : -ENOMEM;
    }
    if (status == 0 && process->pid == 0) {
        *process = (struct process){
            .pid = pid, .group = group, .next = group->first, .next_same = *bucket_of(remote, pid)};
        group->first = process;
        *bucket_of(remote, pid) = process;
        group->count++;
        remote->figures.processes++;
    }
    if (status == 0) {
        process_begin(remote, process, control);
        group_heard(remote, group);
    }
    unlock(remote);
    if (status == 0)
        remote->heard(remote->heard_data);
    return status;
}

void divvy_remote_went(struct divvy_remote *remote, int32_t pid) {
    struct process *process;

    lock(remote);
    process = process_find(remote, pid);
    if (process)
        process_drop(remote, process);
    unlock(remote);
    if (process)
        remote->heard(remote->heard_data);
}

/* Whether it has nothing more to be told. */
static bool process_is_told(const struct process *process) {
    bool is_told = true;

    for (uint32_t i = 0; i < process->place_count && is_told; i++)
        is_told = !process->places[i].is_pending || process->places[i].is_absent;
    return is_told || process->is_paged;
}

static void heard_remove(struct divvy_remote *remote, struct group *group) {
    struct group **link = &remote->heard_first;

    if (!group->is_heard)
        return;
    while (*link != group)
        link = &(*link)->next_heard;
    *link = group->next_heard;
    group->is_heard = false;
}

void divvy_remote_forget(struct divvy_remote *remote, uint32_t tenant) {
    struct process *process, *next;
    struct group *group;

    lock(remote);
    group = group_of(remote, tenant);
    if (group) {
        heard_remove(remote, group);
        __atomic_store_n(&remote->groups[tenant], NULL, __ATOMIC_RELEASE);
        process = group->first;
        group->is_forgotten = process != NULL;
        if (!process)
            free(group);
        for (; process; process = next) {
            next = process->next;
            if (process_is_told(process) || !remote->has_thread)
                process_drop(remote, process);
        }
    }
    unlock(remote);
}

/* --- what they say ---------------------------------------------------------------------------------------- */

static struct place *place_named(struct process *process, const char *device) {
    divvy_core_uuid_t uuid;

    if (divvy_core_uuid_parse(device, strlen(device), &uuid, NULL) < 0)
        return NULL;
    for (uint32_t i = 0; i < process->place_count; i++)
        if (memcmp(process->places[i].uuid, uuid.bytes, sizeof uuid.bytes) == 0)
            return &process->places[i];
    return NULL;
}

static void place_answered(struct divvy_remote *remote, struct process *process, struct place *place, int64_t now_ns) {
    place->answered = place->sent;
    place->is_silent = false;
    place->over_ns = place->order.length_ns ? now_ns + (int64_t)(place->order.begin_ns + place->order.length_ns) : INT64_MAX;
    if (place->is_pending)
        queue_add(remote, process);
}

static void place_hear(struct divvy_remote *remote, struct process *process, struct place *place,
                       const struct divvy_remote_told *told, int64_t now_ns) {
    struct divvy_remote_told before = place->told;
    uint64_t drain_ns = told->drain_ns < (uint64_t)DRAIN_MAX_NS ? told->drain_ns : 0;

    place->told = *told;
    if (!place->is_known)
        place->busy_first_ns = told->busy_ns;
    else if (told->busy_ns < before.busy_ns)
        place->told.busy_ns = before.busy_ns;
    if (place->told.inflight_ns > (uint64_t)DRAIN_MAX_NS)
        place->told.inflight_ns = (uint64_t)DRAIN_MAX_NS;
    place->drain_ns = drain_ns ? now_ns + (int64_t)drain_ns : 0;
    if (told->inflight_ns || told->waiting || !place->is_known || told->busy_ns != before.busy_ns ||
        told->launches != before.launches)
        place->active_ns = now_ns;
    place->is_known = true;
    place->is_absent = false;
    if (place_is_open(place) && told->lease >= place->sent) /* the answer itself is on its way, or got lost */
        place_answered(remote, process, place, now_ns);
}

static int process_hear(struct divvy_remote *remote, struct process *process, uint64_t door,
                        const struct divvy_remote_told *told, uint32_t count, int64_t now_ns) {
    if (now_ns >= process->second_ns + SECOND_NS) {
        process->second_ns = now_ns;
        process->reports = 0;
    }
    if (++process->reports > DIVVY_REMOTE_REPORTS_MAX) {
        remote->figures.flooded++;
        return -EBUSY;
    }
    process->door = door;
    for (uint32_t i = 0; i < count; i++) {
        struct place *place = place_named(process, told[i].device);

        if (place)
            place_hear(remote, process, place, &told[i], now_ns);
    }
    remote->figures.reports++;
    if (!process->group->is_forgotten)
        group_heard(remote, process->group);
    return 0;
}

int divvy_remote_report(struct divvy_remote *remote, int32_t pid, uint64_t door, const struct divvy_remote_told *told,
                        uint32_t count) {
    struct process *process;
    int status = -ENOENT;

    lock(remote);
    process = process_find(remote, pid);
    if (process && !process->is_paged)
        status = process_hear(remote, process, door, told, count, now());
    unlock(remote);
    if (status == 0)
        remote->heard(remote->heard_data);
    return status;
}

static void way_learn(struct divvy_remote *remote, struct group *group, int64_t way_ns) {
    if (way_ns > WAY_MAX_NS)
        way_ns = WAY_MAX_NS;
    if (remote->figures.way_ns == 0)
        remote->figures.way_ns = way_ns;
    remote->figures.way_ns += (way_ns - remote->figures.way_ns) / 8;
    group->way_ns += (way_ns - group->way_ns) / 8;
}

static void place_done(struct divvy_remote *remote, struct process *process, struct place *place, const char *why) {
    struct group *group = process->group;
    int64_t now_ns = now();

    way_learn(remote, group, now_ns - place->sent_ns);
    place_answered(remote, process, place, now_ns);
    if (!group->is_forgotten)
        group_heard(remote, group);
    if (!why)
        return;
    remote->figures.refused++;
    if (strcmp(why, DIVVY_CHANNEL_LEASE_ABSENT) == 0) {
        place->is_absent = true;
    } else if (strcmp(why, DIVVY_CHANNEL_LEASE_PAGED) == 0 && !process->is_paged) {
        process->is_paged = true;
        group->count--;
        remote->figures.processes--;
    }
}

/* A reason that outlives the caller's text; of others nothing is made. */
static const char *why_keep(const char *why) {
    static const char *const known[] = {DIVVY_CHANNEL_LEASE_ABSENT, DIVVY_CHANNEL_LEASE_PAGED};

    for (size_t i = 0; why && i < sizeof known / sizeof known[0]; i++)
        if (strcmp(why, known[i]) == 0)
            return known[i];
    return why ? "" : NULL;
}

void divvy_remote_done(struct divvy_remote *remote, int32_t pid, uint64_t number, const char *why) {
    struct process *process;
    bool found = false;

    lock(remote);
    process = process_find(remote, pid);
    for (uint32_t i = 0; process && i < process->place_count && !found; i++) {
        found = place_is_open(&process->places[i]) && process->places[i].sent == number;
        if (found)
            place_done(remote, process, &process->places[i], why_keep(why));
    }
    if (!found && remote->sending_pid == pid) {
        remote->early = number;
        remote->early_why = why_keep(why);
    }
    unlock(remote);
    if (found)
        remote->heard(remote->heard_data);
}

/* --- what they are to do ---------------------------------------------------------------------------------- */

static bool order_is_shut(const struct divvy_remote_order *order) {
    return order->mode == DIVVY_CONTROL_LEASED && order->length_ns == 1;
}

static void order_make(const struct group *group, const struct process *process, const struct place *place, int64_t now_ns,
                       struct divvy_remote_order *ret_order) {
    const struct divvy_control_lease *lease = &place->wanted;
    int64_t begin_ns = lease->begin_ns - now_ns - group->way_ns / 3; /* by when it has arrived, for the most part */
    divvy_core_uuid_t uuid;

    *ret_order = (struct divvy_remote_order){.pid = process->pid,
                                             .mode = lease->mode,
                                             .budget_ns = lease->budget_ns,
                                             .door = place->door,
                                             .memory_bytes = place->memory_bytes,
                                             .permille = place->permille};
    memcpy(uuid.bytes, place->uuid, sizeof uuid.bytes);
    divvy_core_uuid_format(&uuid, ret_order->device);
    if (lease->mode != DIVVY_CONTROL_LEASED)
        return;
    if (lease->end_ns <= now_ns || lease->end_ns <= lease->begin_ns) {
        ret_order->length_ns = 1;
        return;
    }
    ret_order->begin_ns = begin_ns > 0 ? (uint64_t)begin_ns : 0;
    if (lease->end_ns < DIVVY_CONTROL_FOREVER_NS)
        ret_order->length_ns = (uint64_t)(lease->end_ns - (lease->begin_ns > now_ns ? lease->begin_ns : now_ns));
}

/* It is told nothing that it knows: that a lease which is over by itself is over. */
static bool order_is_needless(const struct place *place, const struct divvy_remote_order *order, int64_t now_ns) {
    return order_is_shut(order) && !place->is_forced && place->sent && place->order.mode == DIVVY_CONTROL_LEASED &&
           place->over_ns <= now_ns && place->order.door == order->door && place->order.memory_bytes == order->memory_bytes && place->order.permille == order->permille;
}

/* The next order to be sent, of the processes in the queue; false: none. */
static bool order_next(struct divvy_remote *remote, struct process **ret_process, struct place **ret_place) {
    int64_t now_ns = now();

    while (remote->queue_first) {
        struct process *process = remote->queue_first;

        for (uint32_t i = 0; i < process->place_count; i++) {
            struct place *place = &process->places[i];
            struct divvy_remote_order order;

            if (!place->is_pending || place_is_open(place))
                continue; /* the answer to the one under way brings it back here */
            place->is_pending = false;
            if (place->is_absent || process->is_paged)
                continue;
            order_make(process->group, process, place, now_ns, &order);
            if (order_is_needless(place, &order, now_ns))
                continue;
            place->is_forced = false;
            place->order = order;
            *ret_process = process;
            *ret_place = place;
            return true;
        }
        queue_remove(remote, process);
        if (process->group->is_forgotten && process_is_told(process))
            process_drop(remote, process);
    }
    return false;
}

/* Lock held, and given up while it is on its way: the process may be gone afterwards. */
static void order_send(struct divvy_remote *remote, const struct process *process, struct place *place) {
    struct divvy_remote_order order = place->order;
    int32_t pid = process->pid;
    uint32_t entry = (uint32_t)(place - process->places);
    divvy_remote_send_t *send = remote->send;
    void *context = remote->send_context;
    int64_t sent_ns = now();
    struct process *there;
    uint64_t number = 0;
    int status;

    remote->sending_pid = pid;
    remote->early = 0;
    place->is_sending = true;
    unlock(remote);
    status = send(context, &order, &number);
    lock(remote);
    remote->sending_pid = 0;
    remote->figures.orders += status == 0;
    there = process_find(remote, pid);
    if (!there || entry >= there->place_count)
        return;
    place = &there->places[entry];
    place->is_sending = false;
    if (status < 0)
        return;
    place->sent = number;
    place->sent_ns = sent_ns;
    if (remote->early == number)
        place_done(remote, there, place, remote->early_why);
}

static void *sender_run(void *data) {
    struct divvy_remote *remote = data;

    (void)prctl(PR_SET_NAME, "divvyd-remote");
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    lock(remote);
    while (!remote->stopping) {
        struct process *process;
        struct place *place;

        if (order_next(remote, &process, &place))
            order_send(remote, process, place);
        else
            (void)pthread_cond_wait(&remote->work, &remote->lock);
    }
    unlock(remote);
    return NULL;
}

static void sender_end(struct divvy_remote *remote) {
    if (!remote->has_thread)
        return;
    lock(remote);
    remote->stopping = true;
    (void)pthread_cond_signal(&remote->work);
    unlock(remote);
    (void)pthread_join(remote->thread, NULL);
    remote->has_thread = false;
    remote->stopping = false;
}

int divvy_remote_sender_set(struct divvy_remote *remote, divvy_remote_send_t *send, void *context) {
    int error;

    sender_end(remote);
    remote->send = send;
    remote->send_context = context;
    if (!send)
        return 0;
    error = pthread_create(&remote->thread, NULL, sender_run, remote);
    remote->has_thread = error == 0;
    return -error;
}

/* --- for the lease thread ----------------------------------------------------------------------------------- */

/* Most tenants never have such a process, and cost no lock. */
static bool has_group(struct divvy_remote *remote, uint32_t tenant) {
    return tenant < remote->capacity && __atomic_load_n(&remote->groups[tenant], __ATOMIC_RELAXED) != NULL;
}

bool divvy_remote_heard_next(struct divvy_remote *remote, uint32_t *ret_tenant) {
    struct group *group;

    lock(remote);
    group = remote->heard_first;
    if (group) {
        remote->heard_first = group->next_heard;
        group->is_heard = false;
        *ret_tenant = group->tenant;
    }
    unlock(remote);
    return group != NULL;
}

bool divvy_remote_is_there(struct divvy_remote *remote, uint32_t tenant) {
    const struct group *group;
    bool is_there;

    if (!has_group(remote, tenant))
        return false;
    lock(remote);
    group = group_of(remote, tenant);
    is_there = group && group->count > 0;
    unlock(remote);
    return is_there;
}

static void place_add(struct place *place, int64_t now_ns, struct divvy_usage_device *use) {
    const struct divvy_remote_told *told = &place->told;

    if (!place->is_known)
        return;
    use->processes++;
    use->charged_ns = sum(use->charged_ns, place_busy_ns(place));
    use->used_bytes = sum(use->used_bytes, told->used_bytes);
    use->launches = sum(use->launches, told->launches);
    if (place_is_silent(place, now_ns))
        return;
    use->waiting += told->waiting > UINT16_MAX ? UINT16_MAX : (uint32_t)told->waiting;
    use->inflight_ns = sum(use->inflight_ns, told->inflight_ns);
    use->busy_processes += told->inflight_ns != 0;
    if (place->drain_ns > use->drain_ns)
        use->drain_ns = place->drain_ns;
    if (place->active_ns > use->last_ns)
        use->last_ns = place->active_ns;
}

bool divvy_remote_usage(struct divvy_remote *remote, uint32_t tenant, uint32_t entry, struct divvy_usage_device *use) {
    int64_t now_ns = now();
    struct group *group;

    if (!has_group(remote, tenant))
        return false;
    lock(remote);
    group = group_of(remote, tenant);
    if (group && entry < DIVVY_PAGE_DEVICES) {
        use->charged_ns = sum(use->charged_ns, group->gone_busy_ns[entry]);
        for (struct process *process = group->first; process; process = process->next)
            if (!process->is_paged && entry < process->place_count)
                place_add(&process->places[entry], now_ns, use);
    }
    unlock(remote);
    return group != NULL;
}

void divvy_remote_lease(struct divvy_remote *remote, uint32_t tenant, uint32_t entry, const struct divvy_control_lease *lease,
                        const struct divvy_control *control) {
    struct group *group;

    if (!has_group(remote, tenant))
        return;
    lock(remote);
    group = group_of(remote, tenant);
    for (struct process *process = group ? group->first : NULL; process; process = process->next)
        if (!process->is_paged && entry < process->place_count) {
            place_want(&process->places[entry], lease, control, entry);
            queue_add(remote, process);
        }
    unlock(remote);
}

/* One that is silent is not waited for here: what it was sent is over by the clock. */
static bool place_is_over(struct divvy_remote *remote, struct place *place, int64_t now_ns) {
    if (place->is_absent)
        return true;
    if (place_is_silent(place, now_ns)) {
        remote->figures.silent += !place->is_silent;
        place->is_silent = true;
        return true;
    }
    if (place->is_pending || place->is_sending || place_is_open(place) || !place->sent)
        return false;
    return place->over_ns <= now_ns || (place->told.lease == place->sent && place->told.is_over);
}

bool divvy_remote_is_over(struct divvy_remote *remote, uint32_t tenant, uint32_t entry) {
    int64_t now_ns = now();
    struct group *group;
    bool is_over = true;

    lock(remote);
    group = group_of(remote, tenant);
    for (struct process *process = group ? group->first : NULL; process && is_over; process = process->next)
        if (!process->is_paged && entry < process->place_count)
            is_over = place_is_over(remote, &process->places[entry], now_ns);
    unlock(remote);
    return is_over;
}

/* A tenant without devices has no places; a process that uses none of its tenant's says nothing of them. */
static bool process_has_said(const struct process *process) {
    bool has_said = true;

    for (uint32_t i = 0; i < process->place_count && has_said; i++) {
        const struct place *place = &process->places[i];

        has_said = place->is_absent || (!place->is_pending && !place->is_sending && place->sent && place->told.lease >= place->sent);
    }
    return has_said;
}

void divvy_remote_door(struct divvy_remote *remote, uint32_t tenant, uint32_t word, bool *all, bool *came, uint32_t *count) {
    if (!has_group(remote, tenant))
        return;
    lock(remote);
    for (const struct process *process = group_of(remote, tenant) ? group_of(remote, tenant)->first : NULL; process;
         process = process->next) {
        if (process->is_paged)
            continue;
        (*count)++;
        *all = *all && process->door != 0;
        *came = *came || process->door == word;
    }
    unlock(remote);
}

void divvy_remote_ask(struct divvy_remote *remote, uint32_t tenant) {
    if (!has_group(remote, tenant))
        return;
    lock(remote);
    for (struct process *process = group_of(remote, tenant) ? group_of(remote, tenant)->first : NULL; process;
         process = process->next) {
        for (uint32_t i = 0; i < process->place_count; i++)
            process->places[i].is_pending = process->places[i].is_forced = true;
        if (!process->is_paged)
            queue_add(remote, process);
    }
    unlock(remote);
}

bool divvy_remote_has_said(struct divvy_remote *remote, uint32_t tenant) {
    bool has_said = true;

    if (!has_group(remote, tenant))
        return true;
    lock(remote);
    for (const struct process *process = group_of(remote, tenant) ? group_of(remote, tenant)->first : NULL;
         process && has_said; process = process->next)
        has_said = process->is_paged || process_has_said(process);
    unlock(remote);
    return has_said;
}

int64_t divvy_remote_way_ns(struct divvy_remote *remote, uint32_t tenant) {
    const struct group *group;
    int64_t way_ns;

    lock(remote);
    group = group_of(remote, tenant);
    way_ns = group ? group->way_ns : WAY_FIRST_NS;
    unlock(remote);
    return way_ns;
}

void divvy_remote_figures(struct divvy_remote *remote, struct divvy_remote_figures *ret_figures) {
    lock(remote);
    *ret_figures = remote->figures;
    unlock(remote);
}

/* --- beginning and end -------------------------------------------------------------------------------------- */

/* Whoever holds it must not hold up leases. */
static int lock_init(pthread_mutex_t *ret_lock) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error)
        return -error;
    (void)pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    error = pthread_mutex_init(ret_lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return -error;
}

int divvy_remote_new(uint32_t capacity, void (*heard)(void *data), void *data, struct divvy_remote **ret_remote) {
    struct divvy_remote *remote;

    if (capacity == 0 || !heard)
        return -EINVAL;
    remote = calloc(1, sizeof *remote);
    if (!remote)
        return -ENOMEM;
    remote->capacity = capacity;
    remote->heard = heard;
    remote->heard_data = data;
    remote->groups = calloc(capacity, sizeof(remote->groups[0]));
    if (!remote->groups || lock_init(&remote->lock) < 0) {
        free(remote->groups);
        free(remote);
        return -ENOMEM;
    }
    (void)pthread_cond_init(&remote->work, NULL);
    *ret_remote = remote;
    return 0;
}

void divvy_remote_free(struct divvy_remote *remote) {
    if (!remote)
        return;
    sender_end(remote);
    for (uint32_t i = 0; i < remote->capacity; i++)
        divvy_remote_forget(remote, i);
    for (uint32_t i = 0; i < BUCKETS; i++)
        while (remote->by_pid[i])
            process_drop(remote, remote->by_pid[i]);
    (void)pthread_cond_destroy(&remote->work);
    (void)pthread_mutex_destroy(&remote->lock);
    free(remote->groups);
    free(remote);
}
