/* Queues of virtual machines: see vmq.h. */
#include "node/vmq.h"

#include "node/heap.h"
#include "node/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE       UINT32_MAX
#define SECOND_NS  INT64_C(1000000000)
#define HOT_C      95u
#define ECC_ERRORS 100u
#define SHORT_NS   INT64_C(1000000) /* jobs of up to this are charged their kind's mean */
#define SLACK_NS   INT64_C(1000000) /* so far ahead of its share a VM still has short jobs beside others' */
#define COST_JOBS  32u              /* that it is the mean of */
#define BANK_NS    INT64_C(50000000)

struct list {
    uint32_t first, last;
};

enum state { STATE_FREE, STATE_WAITS, STATE_RUNS };

struct job {
    uint32_t next, previous; /* in the VM's queue, or among those that run */
    uint32_t vm;
    uint8_t state;
    int64_t submitted_ns, started_ns;
    uint64_t arrival;
};

struct vm {
    struct divvy_node_vmq_params params;
    bool exists, quarantined;
    bool ready;    /* stands in an order: has jobs that wait and none that runs */
    uint8_t class; /* of its oldest job, age counted in, or of the one that runs */
    bool awake;    /* for a scheduler: also while a job runs, so that its claim does not lapse meanwhile */
    uint8_t awake_class;
    struct list queue;
    uint32_t queued, running, faults;
    int64_t tokens_ns; /* a job costs SECOND_NS / rate; at most SECOND_NS */
    int64_t filled_ns;
    uint64_t jobs, errors, rejected, used_ns;
    uint32_t samples; /* in all; the ring holds the last ones */
    uint32_t *latency_us;
};

/* One order: a class of a queue. */
struct order {
    struct divvy_node_sched *sched; /* NULL when by arrival */
    struct divvy_node_heap heap;
    uint32_t ready;
};

struct divvy_node_vmq {
    struct divvy_node_vmq_settings settings;
    struct vm *vms;
    struct job *jobs;
    struct order orders[DIVVY_NODE_VMQ_POOLS][DIVVY_NODE_VMQ_CLASSES];
    uint32_t last_vm[DIVVY_NODE_VMQ_POOLS];
    uint32_t turn;               /* the pool that is asked first */
    struct divvy_node_heap ages; /* ready VMs by the time at which they move up */
    uint32_t *place;             /* of the orders' heaps: a VM stands in one */
    struct list runs;            /* longest running first */
    uint64_t arrivals;
    struct divvy_node_vmq_totals totals;
};

void divvy_node_vmq_defaults(struct divvy_node_vmq_settings *ret_settings) {
    *ret_settings = (struct divvy_node_vmq_settings){.vms_max = 256,
                                                     .jobs_max = 16384,
                                                     .age_low_ns = 30 * SECOND_NS,
                                                     .age_medium_ns = 60 * SECOND_NS,
                                                     .job_limit_ns = 30 * SECOND_NS,
                                                     .depth = 256,
                                                     .faults = 5};
}

static bool settings_fit(const struct divvy_node_vmq_settings *s) {
    return s->vms_max >= 1 && s->vms_max <= 100000 && s->jobs_max >= 1 && s->jobs_max <= 10000000 && s->age_low_ns > 0 &&
           s->age_medium_ns >= s->age_low_ns && s->job_limit_ns > 0 && s->depth >= 1;
}

static int heap_init(struct divvy_node_heap *heap, uint32_t capacity, uint32_t *place) {
    heap->items = calloc(capacity, sizeof *heap->items);
    heap->keys = calloc(capacity, sizeof *heap->keys);
    heap->place = place;
    return heap->items && heap->keys ? 0 : -ENOMEM;
}

static int orders_init(struct divvy_node_vmq *vmq) {
    const struct divvy_node_vmq_settings *s = &vmq->settings;
    struct divvy_node_sched_params params;

    /* Jobs may be long, and a VM that waits for an answer before its next job sleeps in between: what that is worth must outlive them. */
    divvy_node_sched_defaults(&params);
    params.bank_ns = BANK_NS;
    params.debt_max_ns = s->job_limit_ns;

    for (uint32_t pool = 0; pool < (s->single_queue ? 1 : DIVVY_NODE_VMQ_POOLS); pool++)
        for (uint32_t class = 0; class < DIVVY_NODE_VMQ_CLASSES; class++) {
            struct order *order = &vmq->orders[pool][class];
            int status = s->by_arrival ? heap_init(&order->heap, s->vms_max, vmq->place) :
                                         divvy_node_sched_new(s->vms_max, &params, &order->sched);

            if (status < 0)
                return status;
        }
    return 0;
}

int divvy_node_vmq_new(const struct divvy_node_vmq_settings *settings, struct divvy_node_vmq **ret_vmq) {
    struct divvy_node_vmq *vmq;
    uint32_t *age_place;

    if (!settings_fit(settings))
        return -EINVAL;
    vmq = calloc(1, sizeof *vmq);
    if (!vmq)
        return -ENOMEM;
    vmq->settings = *settings;
    vmq->vms = calloc(settings->vms_max, sizeof *vmq->vms);
    vmq->jobs = calloc(settings->jobs_max, sizeof *vmq->jobs);
    vmq->place = malloc(settings->vms_max * sizeof *vmq->place);
    age_place = malloc(settings->vms_max * sizeof *age_place);
    vmq->ages.place = age_place;
    if (!vmq->vms || !vmq->jobs || !vmq->place || !age_place || heap_init(&vmq->ages, settings->vms_max, age_place) < 0 ||
        orders_init(vmq) < 0) {
        divvy_node_vmq_free(vmq);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < settings->vms_max; i++)
        vmq->place[i] = age_place[i] = DIVVY_NODE_HEAP_ABSENT;
    for (uint32_t i = 0; i < DIVVY_NODE_VMQ_POOLS; i++)
        vmq->last_vm[i] = NONE;
    vmq->runs = (struct list){NONE, NONE};
    *ret_vmq = vmq;
    return 0;
}

void divvy_node_vmq_free(struct divvy_node_vmq *vmq) {
    if (!vmq)
        return;
    for (uint32_t pool = 0; pool < DIVVY_NODE_VMQ_POOLS; pool++)
        for (uint32_t class = 0; class < DIVVY_NODE_VMQ_CLASSES; class++) {
            divvy_node_sched_free(vmq->orders[pool][class].sched);
            free(vmq->orders[pool][class].heap.items);
            free(vmq->orders[pool][class].heap.keys);
        }
    for (uint32_t i = 0; vmq->vms && i < vmq->settings.vms_max; i++)
        free(vmq->vms[i].latency_us);
    free(vmq->ages.items);
    free(vmq->ages.keys);
    free(vmq->ages.place);
    free(vmq->place);
    free(vmq->vms);
    free(vmq->jobs);
    free(vmq);
}

/* --- lists of jobs ------------------------------------------------------------------------------------------ */

static void list_append(struct job *jobs, struct list *list, uint32_t job) {
    jobs[job].next = NONE;
    jobs[job].previous = list->last;
    if (list->last == NONE)
        list->first = job;
    else
        jobs[list->last].next = job;
    list->last = job;
}

static void list_remove(struct job *jobs, struct list *list, uint32_t job) {
    if (jobs[job].previous == NONE)
        list->first = jobs[job].next;
    else
        jobs[jobs[job].previous].next = jobs[job].next;
    if (jobs[job].next == NONE)
        list->last = jobs[job].previous;
    else
        jobs[jobs[job].next].previous = jobs[job].previous;
}

/* --- orders ------------------------------------------------------------------------------------------------- */

static uint32_t vm_number(const struct divvy_node_vmq *vmq, const struct vm *vm) {
    return (uint32_t)(vm - vmq->vms);
}

static struct vm *vm_find(const struct divvy_node_vmq *vmq, uint32_t number) {
    return number < vmq->settings.vms_max && vmq->vms[number].exists ? &vmq->vms[number] : NULL;
}

static uint32_t vm_lane(const struct divvy_node_vmq *vmq, const struct vm *vm) {
    return vmq->settings.single_queue ? 0 : vm->params.pool;
}

static uint8_t class_now(const struct divvy_node_vmq *vmq, const struct vm *vm, int64_t now_ns) {
    int64_t waited_ns = now_ns - vmq->jobs[vm->queue.first].submitted_ns;

    if (vm->params.priority == 2 || waited_ns >= vmq->settings.age_medium_ns)
        return 2;
    return vm->params.priority == 1 || waited_ns >= vmq->settings.age_low_ns ? 1 : 0;
}

static void vm_sleep(struct divvy_node_vmq *vmq, struct vm *vm, int64_t now_ns) {
    if (vm->awake)
        (void)divvy_node_sched_sleep(vmq->orders[vm_lane(vmq, vm)][vm->awake_class].sched, vm_number(vmq, vm), now_ns);
    vm->awake = false;
}

static void vm_wake(struct divvy_node_vmq *vmq, struct vm *vm, int64_t now_ns) {
    if (vm->awake && vm->awake_class == vm->class)
        return;
    vm_sleep(vmq, vm, now_ns);
    (void)divvy_node_sched_wake(vmq->orders[vm_lane(vmq, vm)][vm->class].sched, vm_number(vmq, vm), now_ns);
    vm->awake = true;
    vm->awake_class = vm->class;
}

/* Puts a VM into the order of its oldest job, if it can run one. */
static void vm_enter(struct divvy_node_vmq *vmq, struct vm *vm, int64_t now_ns) {
    uint32_t number = vm_number(vmq, vm);
    const struct job *job;
    struct order *order;

    if (vm->running > 0)
        return;
    if (vm->queued == 0) {
        vm_sleep(vmq, vm, now_ns);
        return;
    }
    job = &vmq->jobs[vm->queue.first];
    vm->ready = true;
    vm->class = class_now(vmq, vm, now_ns);
    order = &vmq->orders[vm_lane(vmq, vm)][vm->class];
    order->ready++;
    if (order->sched)
        vm_wake(vmq, vm, now_ns);
    else
        divvy_node_heap_insert(&order->heap, number, (int64_t)job->arrival);
    if (vm->class < 2)
        divvy_node_heap_insert(&vmq->ages, number,
                               job->submitted_ns + (vm->class == 0 ? vmq->settings.age_low_ns : vmq->settings.age_medium_ns));
}

/* Takes it out again; a scheduler still knows that it is awake. */
static void vm_leave(struct divvy_node_vmq *vmq, struct vm *vm) {
    uint32_t number = vm_number(vmq, vm);
    struct order *order;

    if (!vm->ready)
        return;
    order = &vmq->orders[vm_lane(vmq, vm)][vm->class];
    vm->ready = false;
    order->ready--;
    if (!order->sched)
        divvy_node_heap_remove(&order->heap, number);
    if (vmq->ages.place[number] != DIVVY_NODE_HEAP_ABSENT)
        divvy_node_heap_remove(&vmq->ages, number);
}

static void ages_apply(struct divvy_node_vmq *vmq, int64_t now_ns) {
    while (vmq->ages.count > 0 && vmq->ages.keys[0] <= now_ns) {
        struct vm *vm = &vmq->vms[vmq->ages.items[0]];

        vm_leave(vmq, vm);
        vm_enter(vmq, vm, now_ns);
    }
}

/* Tells the schedulers of a queue about a VM, or makes them forget it. */
static int scheds_add(struct divvy_node_vmq *vmq, const struct vm *vm, int64_t now_ns) {
    struct divvy_node_tenant_params params = {.weight = vm->params.weight, .qos = DIVVY_NODE_QOS_MEDIUM};
    int status = 0;

    for (uint32_t class = 0; class < DIVVY_NODE_VMQ_CLASSES && status == 0; class++) {
        struct divvy_node_sched *sched = vmq->orders[vm_lane(vmq, vm)][class].sched;

        if (sched)
            status = divvy_node_sched_add(sched, vm_number(vmq, vm), &params, now_ns);
    }
    return status;
}

static void scheds_remove(struct divvy_node_vmq *vmq, const struct vm *vm, int64_t now_ns) {
    for (uint32_t class = 0; class < DIVVY_NODE_VMQ_CLASSES; class++) {
        struct divvy_node_sched *sched = vmq->orders[vm_lane(vmq, vm)][class].sched;

        if (sched)
            (void)divvy_node_sched_remove(sched, vm_number(vmq, vm), now_ns);
    }
}

static void scheds_set(struct divvy_node_vmq *vmq, const struct vm *vm, int64_t now_ns) {
    struct divvy_node_tenant_params params = {.weight = vm->params.weight, .qos = DIVVY_NODE_QOS_MEDIUM};

    for (uint32_t class = 0; class < DIVVY_NODE_VMQ_CLASSES; class++) {
        struct divvy_node_sched *sched = vmq->orders[vm_lane(vmq, vm)][class].sched;

        if (sched)
            (void)divvy_node_sched_set(sched, vm_number(vmq, vm), &params, now_ns);
    }
}

/* --- VMs ---------------------------------------------------------------------------------------------------- */

static bool params_fit(const struct divvy_node_vmq_params *p) {
    return p->pool < DIVVY_NODE_VMQ_POOLS && p->priority < DIVVY_NODE_VMQ_CLASSES && p->weight >= 1 &&
           p->weight <= DIVVY_NODE_VMQ_WEIGHT_MAX && p->rate <= DIVVY_NODE_VMQ_RATE_MAX;
}

int divvy_node_vmq_add(struct divvy_node_vmq *vmq, uint32_t number, const struct divvy_node_vmq_params *params, int64_t now_ns) {
    struct vm *vm;
    uint32_t *ring;

    if (!params_fit(params))
        return -EINVAL;
    if (number >= vmq->settings.vms_max)
        return -ERANGE;
    vm = &vmq->vms[number];
    if (vm->exists)
        return -EEXIST;
    ring = calloc(DIVVY_NODE_VMQ_WINDOW, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    *vm = (struct vm){.params = *params,
                      .exists = true,
                      .queue = {NONE, NONE},
                      .tokens_ns = SECOND_NS,
                      .filled_ns = now_ns,
                      .latency_us = ring};
    return scheds_add(vmq, vm, now_ns);
}

int divvy_node_vmq_set(struct divvy_node_vmq *vmq, uint32_t number, const struct divvy_node_vmq_params *params, int64_t now_ns) {
    struct vm *vm = vm_find(vmq, number);
    bool moves;

    if (!params_fit(params))
        return -EINVAL;
    if (!vm)
        return -ENOENT;
    moves = !vmq->settings.single_queue && params->pool != vm->params.pool;
    vm_leave(vmq, vm);
    if (moves) {
        vm_sleep(vmq, vm, now_ns);
        scheds_remove(vmq, vm, now_ns);
    }
    vm->params = *params;
    if (moves)
        (void)scheds_add(vmq, vm, now_ns); /* cannot fail: the number is free there, the parameters were looked at */
    else
        scheds_set(vmq, vm, now_ns);
    vm_enter(vmq, vm, now_ns);
    return 0;
}

int divvy_node_vmq_remove(struct divvy_node_vmq *vmq, uint32_t number, int64_t now_ns) {
    struct vm *vm = vm_find(vmq, number);

    if (!vm)
        return -ENOENT;
    if (vm->queued > 0 || vm->running > 0)
        return -EBUSY;
    scheds_remove(vmq, vm, now_ns);
    for (uint32_t pool = 0; pool < DIVVY_NODE_VMQ_POOLS; pool++)
        if (vmq->last_vm[pool] == number)
            vmq->last_vm[pool] = NONE;
    free(vm->latency_us);
    *vm = (struct vm){0};
    return 0;
}

int divvy_node_vmq_quarantine(struct divvy_node_vmq *vmq, uint32_t number, bool quarantined) {
    struct vm *vm = vm_find(vmq, number);

    if (!vm)
        return -ENOENT;
    vm->quarantined = quarantined;
    if (!quarantined)
        vm->faults = 0;
    return 0;
}

int divvy_node_vmq_faults_restore(struct divvy_node_vmq *vmq, uint32_t number, uint32_t faults) {
    struct vm *vm = vm_find(vmq, number);

    if (!vm)
        return -ENOENT;
    vm->faults = faults;
    return 0;
}

/* --- jobs --------------------------------------------------------------------------------------------------- */

/* Takes a job's worth out of the bucket, if it is there. */
static bool rate_allows(struct vm *vm, int64_t now_ns) {
    int64_t cost_ns;

    if (vm->params.rate == 0)
        return true;
    cost_ns = SECOND_NS / (int64_t)vm->params.rate;
    vm->tokens_ns = now_ns - vm->filled_ns >= SECOND_NS - vm->tokens_ns ? SECOND_NS : vm->tokens_ns + (now_ns - vm->filled_ns);
    vm->filled_ns = now_ns;
    if (vm->tokens_ns < cost_ns)
        return false;
    vm->tokens_ns -= cost_ns;
    return true;
}

static int admit(const struct divvy_node_vmq *vmq, struct vm *vm, int64_t now_ns) {
    if (vm->quarantined)
        return -EACCES;
    if (vm->queued >= (vm->params.depth ? vm->params.depth : vmq->settings.depth))
        return -ENOSPC;
    return rate_allows(vm, now_ns) ? 0 : -EBUSY;
}

int divvy_node_vmq_admits(const struct divvy_node_vmq *vmq, uint32_t number, int64_t now_ns) {
    const struct vm *vm = vm_find(vmq, number);
    struct vm copy;

    if (!vm)
        return -ENOENT;
    copy = *vm;
    return admit(vmq, &copy, now_ns);
}

int divvy_node_vmq_submit(struct divvy_node_vmq *vmq, uint32_t number, uint32_t job, bool cleanup, int64_t now_ns) {
    struct vm *vm = vm_find(vmq, number);
    int status;

    if (!vm)
        return -ENOENT;
    if (job >= vmq->settings.jobs_max)
        return -ERANGE;
    if (vmq->jobs[job].state != STATE_FREE)
        return -EEXIST;
    status = cleanup ? 0 : admit(vmq, vm, now_ns);
    if (status < 0) {
        vm->rejected++;
        vmq->totals.rejected++;
        return status;
    }
    vmq->jobs[job] = (struct job){.vm = number, .state = STATE_WAITS, .submitted_ns = now_ns, .arrival = vmq->arrivals++};
    list_append(vmq->jobs, &vm->queue, job);
    vm->queued++;
    vm->jobs++;
    vmq->totals.jobs++;
    vmq->totals.queued++;
    if (!vm->ready)
        vm_enter(vmq, vm, now_ns);
    return 0;
}

/* The VM whose turn it is in an order with VMs that are ready. */
static uint32_t order_first(struct divvy_node_vmq *vmq, struct order *order, int64_t now_ns) {
    struct divvy_node_lease lease;

    if (!order->sched)
        return order->heap.items[0];
    for (;;) {
        (void)divvy_node_sched_pick(order->sched, now_ns, &lease);
        if (lease.tenant == DIVVY_NODE_SCHED_NOBODY)
            return NONE;
        (void)divvy_node_sched_end(order->sched, lease.tenant, now_ns);
        if (vmq->vms[lease.tenant].ready)
            return lease.tenant;
        /* Another worker runs a job of its: the others do not wait for that. */
        vm_sleep(vmq, &vmq->vms[lease.tenant], now_ns);
    }
}

static uint32_t lane_first(struct divvy_node_vmq *vmq, uint32_t lane, int64_t now_ns) {
    for (uint32_t class = DIVVY_NODE_VMQ_CLASSES; class-- > 0;)
        if (vmq->orders[lane][class].ready > 0)
            return order_first(vmq, &vmq->orders[lane][class], now_ns);
    return NONE;
}

static uint32_t job_start(struct divvy_node_vmq *vmq, uint32_t lane, uint32_t number, int64_t now_ns) {
    struct vm *vm = &vmq->vms[number];
    uint32_t job = vm->queue.first;

    vm_leave(vmq, vm);
    list_remove(vmq->jobs, &vm->queue, job);
    list_append(vmq->jobs, &vmq->runs, job);
    vmq->jobs[job].state = STATE_RUNS;
    vmq->jobs[job].started_ns = now_ns;
    vm->queued--;
    vm->running++;
    vmq->totals.queued--;
    vmq->totals.running++;
    if (vmq->last_vm[lane] != NONE && vmq->last_vm[lane] != number)
        vmq->totals.switches++;
    vmq->last_vm[lane] = number;
    return job;
}

int divvy_node_vmq_next(struct divvy_node_vmq *vmq, uint32_t pools, int64_t now_ns, uint32_t *ret_job) {
    uint32_t lanes = vmq->settings.single_queue ? 1 : DIVVY_NODE_VMQ_POOLS;

    ages_apply(vmq, now_ns);
    for (uint32_t i = 0; i < lanes; i++) {
        uint32_t lane = (vmq->turn + i) % lanes, number;

        if (!vmq->settings.single_queue && !(pools & (1u << lane)))
            continue;
        number = lane_first(vmq, lane, now_ns);
        if (number == NONE)
            continue;
        vmq->turn = (lane + 1) % lanes;
        *ret_job = job_start(vmq, lane, number, now_ns);
        return 0;
    }
    return -EAGAIN;
}

static bool is_ready(const void *data, uint32_t number) {
    return ((const struct divvy_node_vmq *)data)->vms[number].ready;
}

/* Of the highest class with ready VMs. Those that run are still known to their scheduler, so that what they are entitled to counts. */
static uint32_t lane_behind(struct divvy_node_vmq *vmq, uint32_t lane, int64_t now_ns) {
    for (uint32_t class = DIVVY_NODE_VMQ_CLASSES; class-- > 0;) {
        const struct order *order = &vmq->orders[lane][class];

        if (order->ready > 0)
            return order->sched ? divvy_node_sched_first_within(order->sched, SLACK_NS, now_ns, is_ready, vmq) : NONE;
    }
    return NONE;
}

static bool is_outranked(const struct divvy_node_vmq *vmq, uint32_t lane, const struct vm *vm) {
    for (uint32_t job = vmq->runs.first; job != NONE; job = vmq->jobs[job].next) {
        const struct vm *other = &vmq->vms[vmq->jobs[job].vm];

        if (vm_lane(vmq, other) == lane && other->class > vm->class)
            return true;
    }
    return false;
}

int divvy_node_vmq_behind(struct divvy_node_vmq *vmq, uint32_t pools, int64_t now_ns, uint32_t *ret_job) {
    uint32_t lanes = vmq->settings.single_queue ? 1 : DIVVY_NODE_VMQ_POOLS;

    ages_apply(vmq, now_ns);
    for (uint32_t lane = 0; lane < lanes; lane++) {
        uint32_t number = vmq->settings.single_queue || (pools & (1u << lane)) ? lane_behind(vmq, lane, now_ns) : NONE;

        if (number == NONE || is_outranked(vmq, lane, &vmq->vms[number]))
            continue;
        *ret_job = vmq->vms[number].queue.first;
        return 0;
    }
    return -EAGAIN;
}

int divvy_node_vmq_start(struct divvy_node_vmq *vmq, uint32_t job, int64_t now_ns) {
    struct vm *vm = job < vmq->settings.jobs_max && vmq->jobs[job].state == STATE_WAITS ? &vmq->vms[vmq->jobs[job].vm] : NULL;

    if (!vm || !vm->ready || vm->queue.first != job)
        return -ENOENT;
    (void)job_start(vmq, vm_lane(vmq, vm), vmq->jobs[job].vm, now_ns);
    return 0;
}

static void latency_note(struct vm *vm, int64_t latency_ns) {
    int64_t latency_us = latency_ns / 1000;

    vm->latency_us[vm->samples % DIVVY_NODE_VMQ_WINDOW] = latency_us > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_us;
    vm->samples++;
    if (vm->samples == 2 * DIVVY_NODE_VMQ_WINDOW)
        vm->samples = DIVVY_NODE_VMQ_WINDOW;
}

static bool fault_note(const struct divvy_node_vmq *vmq, struct vm *vm) {
    vm->faults++;
    if (vmq->settings.faults == 0 || vm->faults < vmq->settings.faults || vm->quarantined)
        return false;
    vm->quarantined = true;
    return true;
}

int divvy_node_vmq_end(struct divvy_node_vmq *vmq, uint32_t number, int64_t used_ns, enum divvy_node_vmq_outcome outcome,
                       int64_t now_ns, bool *ret_quarantined) {
    struct job *job;
    struct vm *vm;
    struct order *order;
    bool quarantined = false;

    if (used_ns < 0)
        return -EINVAL;
    if (number >= vmq->settings.jobs_max || vmq->jobs[number].state != STATE_RUNS)
        return -ENOENT;
    job = &vmq->jobs[number];
    vm = &vmq->vms[job->vm];
    list_remove(vmq->jobs, &vmq->runs, number);
    job->state = STATE_FREE;
    vm->running--;
    vmq->totals.running--;
    vm->used_ns += (uint64_t)used_ns;
    vmq->totals.used_ns += (uint64_t)used_ns;
    /* In the order where it was served: its class is still the one of that job. */
    order = &vmq->orders[vm_lane(vmq, vm)][vm->class];
    if (order->sched)
        (void)divvy_node_sched_charge(order->sched, job->vm, used_ns, now_ns);
    if (outcome == DIVVY_NODE_VMQ_FAILED || outcome == DIVVY_NODE_VMQ_TIMED_OUT) {
        vm->errors++;
        vmq->totals.errors++;
    }
    if (outcome == DIVVY_NODE_VMQ_TIMED_OUT)
        quarantined = fault_note(vmq, vm);
    if (outcome != DIVVY_NODE_VMQ_GONE)
        latency_note(vm, now_ns - job->submitted_ns);
    vm_enter(vmq, vm, now_ns);
    if (ret_quarantined)
        *ret_quarantined = quarantined;
    return 0;
}

int divvy_node_vmq_withdraw(struct divvy_node_vmq *vmq, uint32_t number, int64_t now_ns) {
    struct vm *vm;
    bool was_first;

    if (number >= vmq->settings.jobs_max || vmq->jobs[number].state != STATE_WAITS)
        return -ENOENT;
    vm = &vmq->vms[vmq->jobs[number].vm];
    was_first = vm->queue.first == number;
    if (was_first)
        vm_leave(vmq, vm);
    list_remove(vmq->jobs, &vm->queue, number);
    vmq->jobs[number].state = STATE_FREE;
    vm->queued--;
    vmq->totals.queued--;
    if (was_first)
        vm_enter(vmq, vm, now_ns);
    return 0;
}

int64_t divvy_node_vmq_late_at_ns(const struct divvy_node_vmq *vmq) {
    return vmq->runs.first == NONE ? INT64_MAX : vmq->jobs[vmq->runs.first].started_ns + vmq->settings.job_limit_ns;
}

int divvy_node_vmq_late(const struct divvy_node_vmq *vmq, int64_t now_ns, uint32_t *ret_job) {
    if (now_ns <= divvy_node_vmq_late_at_ns(vmq))
        return -EAGAIN;
    *ret_job = vmq->runs.first;
    return 0;
}

uint32_t divvy_node_vmq_oldest(const struct divvy_node_vmq *vmq, uint32_t number) {
    const struct vm *vm = vm_find(vmq, number);

    return vm ? vm->queue.first : DIVVY_NODE_VMQ_NOBODY;
}

/* --- figures ------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void latencies_rank(const struct vm *vm, struct divvy_node_vmq_stats *stats) {
    uint32_t sorted[DIVVY_NODE_VMQ_WINDOW];
    uint32_t count = vm->samples < DIVVY_NODE_VMQ_WINDOW ? vm->samples : DIVVY_NODE_VMQ_WINDOW;

    if (count == 0)
        return;
    memcpy(sorted, vm->latency_us, count * sizeof sorted[0]);
    qsort(sorted, count, sizeof sorted[0], ascending);
    stats->p50_us = sorted[(count - 1) * 50 / 100];
    stats->p95_us = sorted[(count * 95 + 99) / 100 - 1];
    stats->p99_us = sorted[(count * 99 + 99) / 100 - 1];
}

int divvy_node_vmq_stats(const struct divvy_node_vmq *vmq, uint32_t number, struct divvy_node_vmq_stats *ret_stats) {
    const struct vm *vm = vm_find(vmq, number);

    if (!vm)
        return -ENOENT;
    *ret_stats = (struct divvy_node_vmq_stats){.jobs = vm->jobs,
                                               .errors = vm->errors,
                                               .rejected = vm->rejected,
                                               .used_ns = vm->used_ns,
                                               .queued = vm->queued,
                                               .running = vm->running,
                                               .faults = vm->faults,
                                               .quarantined = vm->quarantined};
    latencies_rank(vm, ret_stats);
    return 0;
}

void divvy_node_vmq_totals(const struct divvy_node_vmq *vmq, struct divvy_node_vmq_totals *ret_totals) {
    *ret_totals = vmq->totals;
}

static unsigned int length_power(uint64_t bytes) {
    return bytes ? 63u - (unsigned int)__builtin_clzll(bytes) : 0;
}

bool divvy_node_vmq_cost_is_short(const struct divvy_node_vmq_costs *costs, uint64_t bytes) {
    unsigned int power = length_power(bytes);

    return costs->lengths[power].count > 0 && !costs->lengths[power].is_long;
}

int64_t divvy_node_vmq_cost(struct divvy_node_vmq_costs *costs, uint64_t bytes, int64_t took_ns) {
    unsigned int power = length_power(bytes);
    int64_t *mean_ns = &costs->lengths[power].mean_ns;
    uint32_t *count = &costs->lengths[power].count;

    if (took_ns < 0)
        took_ns = 0;
    costs->lengths[power].is_long = took_ns > SHORT_NS;
    if (took_ns > SHORT_NS)
        return took_ns;
    *count += *count < COST_JOBS;
    *mean_ns += (took_ns - *mean_ns) / (int64_t)*count;
    return *mean_ns;
}

bool divvy_node_vmq_gpu_needs_reset(uint32_t temperature_c, uint64_t uncorrected_errors) {
    return temperature_c > HOT_C || uncorrected_errors > ECC_ERRORS;
}
