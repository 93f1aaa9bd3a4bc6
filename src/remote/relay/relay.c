/* VMs, jobs and workers of the relay: see relay.h. */
#include "remote/relay/relay.h"
#include "remote/relay/ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOWN_NS (200 * DIVVY_NS_PER_MS) /* so long a worker that failed is not asked again */
#define TICK_NS DIVVY_NS_PER_SECOND

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

void divvy_relay_settings_default(struct divvy_relay_settings *ret_settings) {
    *ret_settings = (struct divvy_relay_settings){.parallel = 1,
                                                  .beside = true,
                                                  .connect_timeout_ns = DIVVY_NS_PER_SECOND,
                                                  .partial_timeout_ns = 30 * DIVVY_NS_PER_SECOND,
                                                  .unregistered = {.priority = 1, .weight = 50}};
    divvy_node_vmq_defaults(&ret_settings->vmq);
    ret_settings->vmq.vms_max = DIVVY_RELAY_VMS_MAX;
    ret_settings->vmq.jobs_max = DIVVY_RELAY_JOBS_MAX;
}

/* --- jobs --------------------------------------------------------------------------------------------------- */

static struct divvy_relay_job *job_new(struct divvy_relay *relay) {
    struct divvy_relay_job *job = relay->free_jobs;

    if (job)
        relay->free_jobs = job->next;
    return job;
}

static void job_free(struct divvy_relay_job *job) {
    struct divvy_relay *relay = job->vm->relay;
    uint64_t length = divvy_relay_bytes_length(&job->request);

    job->vm->bytes -= length;
    relay->bytes -= length;
    divvy_relay_bytes_done(&job->request);
    *job = (struct divvy_relay_job){.number = job->number, .next = relay->free_jobs};
    relay->free_jobs = job;
}

static void job_refuse(struct divvy_relay_job *job, uint32_t code, const char *message) {
    if (job->front)
        job->front->refuse(job->front, job, code, message);
    job->front = NULL;
}

/* What the guest is told for the errors of divvy_node_vmq_submit. */
static const struct {
    int status;
    uint32_t code;
    const char *message;
} refusals[] = {
    {-EACCES, 11, "this VM is under quarantine"},
    {-ENOSPC, 7, "too many requests wait"},
    {-EBUSY, 10, "more requests than this VM's rate allows"},
    {-ENOENT, 6, "this VM is being removed"},
};

static void submit_refuse(struct divvy_relay_job *job, int status) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i].status == status) {
            job_refuse(job, refusals[i].code, refusals[i].message);
            return;
        }
    job_refuse(job, 7, "the relay has no room for this request");
}

void divvy_relay_submit(struct divvy_relay_vm *vm, struct divvy_relay_front *front, const struct divvy_relay_job *model,
                        struct divvy_relay_bytes *request) {
    struct divvy_relay *relay = vm->relay;
    uint64_t length = divvy_relay_bytes_length(request);
    struct divvy_relay_job *job = job_new(relay);
    struct divvy_relay_job spare = *model;
    int status;

    if (!job) {
        spare.vm = vm;
        front->refuse(front, &spare, 7, "the relay has no room for this request");
        divvy_relay_bytes_done(request);
        return;
    }
    spare.number = job->number;
    *job = spare;
    job->vm = vm;
    job->front = front;
    job->request = *request;
    *request = (struct divvy_relay_bytes){0};
    job->submitted_ns = divvy_core_clock_ns();
    vm->bytes += length;
    relay->bytes += length;
    status = vm->is_going                                                                 ? -ENOENT :
             vm->bytes > DIVVY_RELAY_VM_BYTES || relay->bytes > DIVVY_RELAY_ALL_BYTES ? -ENOSPC :
                                              divvy_node_vmq_submit(relay->vmq, vm->number, job->number, false, divvy_relay_now_ns());
    if (status < 0) {
        submit_refuse(job, status);
        job_free(job);
        return;
    }
    divvy_loop_queue(&relay->loop, &relay->schedule);
}

void divvy_relay_job_finish(struct divvy_relay_job *job, const char *json, size_t length, uint32_t code, const char *message,
                            enum divvy_node_vmq_outcome outcome) {
    struct divvy_relay_vm *vm = job->vm;
    struct divvy_relay *relay = vm->relay;
    int64_t used_ns = job->sent_ns ? (int64_t)(divvy_core_clock_ns() - job->sent_ns) : 0;
    bool quarantined = false;

    if (outcome == DIVVY_NODE_VMQ_DONE && !job->turn && !job->ring)
        used_ns = divvy_node_vmq_cost(&relay->costs, divvy_relay_bytes_length(&job->request), used_ns);
    if (!job->front)
        outcome = outcome == DIVVY_NODE_VMQ_TIMED_OUT ? outcome : DIVVY_NODE_VMQ_GONE;
    (void)divvy_node_vmq_end(relay->vmq, job->number, used_ns, outcome, divvy_relay_now_ns(), &quarantined);
    if (!json)
        job_refuse(job, code, message);
    else if (job->front) {
        job->front->answer(job->front, job, json, length);
        job->front = NULL;
    }
    job_free(job);
    vm->config.quarantined = vm->config.quarantined || quarantined;
    if (quarantined)
        divvy_log_warn("VM-%s is under quarantine: too many of its jobs ran beyond the limit", vm->config.name);
    if (quarantined)
        divvy_relay_channels_quarantined(vm);
    if (outcome == DIVVY_NODE_VMQ_TIMED_OUT)
        divvy_relay_state_note(vm);
    divvy_loop_queue(&relay->loop, &relay->schedule);
}

/*
 * Jobs of one VM, or those of one front end: waiting ones go, running ones are answered to nobody. Sockets have left when their VM goes;
 * whoever waits behind XenStore is told.
 */
static void jobs_drop(struct divvy_relay_vm *vm, const struct divvy_relay_front *front) {
    struct divvy_relay *relay = vm->relay;

    for (uint32_t i = 0; i < DIVVY_RELAY_JOBS_MAX; i++) {
        struct divvy_relay_job *job = &relay->jobs[i];

        if (job->vm != vm || (front && job->front != front))
            continue;
        if (!front)
            job_refuse(job, 3, "the relay serves this VM no more");
        job->front = NULL;
        if (divvy_node_vmq_withdraw(relay->vmq, job->number, divvy_relay_now_ns()) == 0)
            job_free(job);
    }
}

void divvy_relay_front_leave(struct divvy_relay_vm *vm, const struct divvy_relay_front *front) {
    jobs_drop(vm, front);
}

/* --- workers ------------------------------------------------------------------------------------------------ */

int divvy_relay_worker_add(struct divvy_relay *relay, const char *endpoint, const char *pools, struct divvy_error *error) {
    struct divvy_relay_worker worker = {0};

    for (const char *p = pools; *p; p++) {
        if (*p < 'A' || *p >= (char)('A' + DIVVY_NODE_VMQ_POOLS))
            return divvy_error_set(error, -EINVAL, "'%.20s' names a pool that there is not: pools are A and B", pools);
        worker.pools |= 1u << (*p - 'A');
    }
    if (worker.pools == 0)
        return divvy_error_set(error, -EINVAL, "worker %.60s serves no pool", endpoint);
    if (relay->worker_count == DIVVY_RELAY_WORKERS_MAX)
        return divvy_error_set(error, -ENOSPC, "more than %u workers", DIVVY_RELAY_WORKERS_MAX);
    if (divvy_relay_endpoint_parse(endpoint, &worker.endpoint, error) < 0)
        return divvy_error_prefix(error, "worker");
    worker.given_pools = worker.pools;
    relay->workers[relay->worker_count++] = worker;
    return 0;
}

int divvy_relay_worker_set(struct divvy_relay *relay, const char *endpoint, uint32_t pools, struct divvy_error *error) {
    struct divvy_relay_worker worker = {.pools = pools};
    uint32_t i = 0;

    while (i < relay->worker_count && strcmp(relay->workers[i].endpoint.text, endpoint) != 0)
        i++;
    if (i == DIVVY_RELAY_WORKERS_MAX)
        return divvy_error_set(error, -ENOSPC, "more than %u workers since the relay began", DIVVY_RELAY_WORKERS_MAX);
    if (i == relay->worker_count) {
        if (divvy_relay_endpoint_parse(endpoint, &worker.endpoint, error) < 0)
            return divvy_error_prefix(error, "worker");
        relay->workers[relay->worker_count++] = worker;
    }
    if (relay->workers[i].pools != pools)
        divvy_log_info("worker %s serves %s", endpoint, pools == 3 ? "pools A and B" : pools == 2 ? "pool B" : pools == 1 ? "pool A" : "no pool any more");
    relay->workers[i].pools = pools;
    divvy_loop_queue(&relay->loop, &relay->schedule);
    return 0;
}

bool divvy_relay_worker_serves(const struct divvy_relay *relay, const struct divvy_relay_worker *worker, uint32_t pool) {
    return worker->pools & (relay->settings.vmq.single_queue ? UINT32_MAX : 1u << pool);
}

struct divvy_relay_worker *divvy_relay_worker_choose(struct divvy_relay_vm *vm) {
    struct divvy_relay *relay = vm->relay;
    struct divvy_relay_worker *best = NULL;
    uint64_t now_ns = divvy_core_clock_ns();

    for (uint32_t i = 0; i < relay->worker_count; i++) {
        struct divvy_relay_worker *worker = &relay->workers[i];

        if (!divvy_relay_worker_serves(relay, worker, vm->config.params.pool) || worker->down_until_ns > now_ns)
            continue;
        if (!best || worker->running + worker->tunnels < best->running + best->tunnels)
            best = worker;
    }
    return best;
}

void divvy_relay_worker_failed(struct divvy_relay *relay, struct divvy_relay_worker *worker, int status) {
    (void)relay;
    worker->down_until_ns = divvy_core_clock_ns() + DOWN_NS;
    if (!worker->told_down)
        divvy_log_warn("worker %s cannot be reached: %s", worker->endpoint.text, strerror(-status));
    worker->told_down = true;
}

void divvy_relay_worker_answered(struct divvy_relay *relay, struct divvy_relay_worker *worker) {
    relay->resets += worker->told_down;
    if (worker->told_down)
        divvy_log_info("worker %s answers again", worker->endpoint.text);
    worker->told_down = false;
    worker->down_until_ns = 0;
}

static bool is_short(const struct divvy_relay *relay, const struct divvy_relay_job *job) {
    return !job->ring && !job->turn && divvy_node_vmq_cost_is_short(&relay->costs, divvy_relay_bytes_length(&job->request));
}

static void job_start(const struct divvy_relay *relay, struct divvy_relay_job *job, struct divvy_relay_worker *worker) {
    job->is_short = is_short(relay, job);
    if (job->ring)
        divvy_relay_ring_turn_start(job, worker);
    else if (job->turn)
        divvy_relay_turn_start(job, worker);
    else
        divvy_relay_link_start(job, worker);
}

/* Beside short requests another one may run, of a VM that is behind: see divvy_node_vmq_behind. */
static void schedule_beside(struct divvy_relay *relay, struct divvy_relay_worker *worker) {
    uint32_t number;

    if (!relay->settings.beside || worker->running != relay->settings.parallel || worker->running_long > 0 ||
        divvy_node_vmq_behind(relay->vmq, worker->pools, divvy_relay_now_ns(), &number) < 0 || !is_short(relay, &relay->jobs[number]) ||
        divvy_node_vmq_start(relay->vmq, number, divvy_relay_now_ns()) < 0)
        return;
    job_start(relay, &relay->jobs[number], worker);
}

/* Jobs for workers that have room; and where no worker is up, the jobs are refused at once. */
static void schedule_run(struct divvy_later *later) {
    struct divvy_relay *relay = (struct divvy_relay *)(void *)((char *)later - offsetof(struct divvy_relay, schedule));
    uint64_t now_ns = divvy_core_clock_ns();
    struct divvy_node_vmq_totals totals;
    uint32_t up = 0, number;

    for (uint32_t i = 0; i < relay->worker_count; i++) {
        struct divvy_relay_worker *worker = &relay->workers[i];

        if (worker->down_until_ns > now_ns || worker->pools == 0)
            continue;
        up |= relay->settings.vmq.single_queue ? UINT32_MAX : worker->pools;
        while (worker->running < relay->settings.parallel && worker->down_until_ns <= now_ns &&
               divvy_node_vmq_next(relay->vmq, worker->pools, divvy_relay_now_ns(), &number) == 0)
            job_start(relay, &relay->jobs[number], worker);
        if (worker->down_until_ns <= now_ns)
            schedule_beside(relay, worker);
    }
    /* Who has a turn may have to end it earlier now. */
    divvy_node_vmq_totals(relay->vmq, &totals);
    if (totals.queued > 0)
        divvy_relay_deadline(relay, now_ns + DIVVY_NS_PER_MS);
    if (up == UINT32_MAX)
        return;
    while (divvy_node_vmq_next(relay->vmq, ~up, divvy_relay_now_ns(), &number) == 0)
        divvy_relay_job_finish(&relay->jobs[number], NULL, 0, 3, "no worker can be reached", DIVVY_NODE_VMQ_FAILED);
}

/* --- VMs ---------------------------------------------------------------------------------------------------- */

static int vm_check(const struct divvy_relay *relay, const struct divvy_relay_vm *self, const struct divvy_relay_vm_config *config,
                    struct divvy_error *error) {
    if (!config->name[0] || config->name[strspn(config->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        return divvy_error_set(error, -EINVAL, "a VM's name has letters, digits, '.', '_' and '-'");
    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++) {
        const struct divvy_relay_vm *vm = &relay->vms[i];

        if (!vm->is_used || vm == self)
            continue;
        if (vm->config.vm_id == config->vm_id)
            return divvy_error_set(error, -EEXIST, "there is a VM with id %u already", config->vm_id);
        if (strcmp(vm->config.name, config->name) == 0)
            return divvy_error_set(error, -EEXIST, "there is a VM with the name %s already", config->name);
    }
    return 0;
}

static uint32_t vm_free_number(const struct divvy_relay *relay) {
    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++)
        if (!relay->vms[i].is_used)
            return i;
    return DIVVY_NODE_VMQ_NOBODY;
}

int divvy_relay_vm_add(struct divvy_relay *relay, const struct divvy_relay_vm_config *config, struct divvy_relay_vm **ret_vm,
                       struct divvy_error *error) {
    uint32_t number = vm_free_number(relay);
    struct divvy_relay_vm *vm;
    int status = vm_check(relay, NULL, config, error);

    if (status < 0)
        return status;
    if (number == DIVVY_NODE_VMQ_NOBODY)
        return divvy_error_set(error, -ENOSPC, "more than %u VMs", DIVVY_RELAY_VMS_MAX);
    status = divvy_node_vmq_add(relay->vmq, number, &config->params, divvy_relay_now_ns());
    if (status < 0)
        return divvy_error_set_errno(error, status, "VM %s", config->name);
    (void)divvy_node_vmq_faults_restore(relay->vmq, number, config->faults);
    if (config->quarantined)
        (void)divvy_node_vmq_quarantine(relay->vmq, number, true);
    vm = &relay->vms[number];
    vm->relay = relay;
    vm->config = *config;
    vm->number = number;
    vm->is_used = true;
    vm->is_going = vm->is_unregistered = vm->is_stored = false;
    vm->listener.fd = -1;
    vm->rx_bytes = vm->tx_bytes = 0;
    status = divvy_relay_ring_open(vm, error);
    if (status == 0)
        status = divvy_relay_vm_listen(vm, error);
    if (status < 0) {
        divvy_relay_ring_close(vm);
        (void)divvy_node_vmq_remove(relay->vmq, number, divvy_relay_now_ns());
        vm->is_used = false;
        return status;
    }
    if (ret_vm)
        *ret_vm = vm;
    return 0;
}

int divvy_relay_vm_change(struct divvy_relay_vm *vm, const struct divvy_relay_vm_config *config, struct divvy_error *error) {
    bool remapped = strcmp(vm->config.shm, config->shm) != 0 || vm->config.shm_bytes != config->shm_bytes;
    bool moved = remapped || strcmp(vm->config.socket, config->socket) != 0 || vm->config.connects != config->connects ||
                 strcmp(vm->config.qmp, config->qmp) != 0;
    int status = vm_check(vm->relay, vm, config, error);

    if (status < 0)
        return status;
    status = divvy_node_vmq_set(vm->relay->vmq, vm->number, &config->params, divvy_relay_now_ns());
    if (status < 0)
        return divvy_error_set_errno(error, status, "VM %s", config->name);
    if (moved)
        divvy_relay_vm_close(vm);
    if (remapped)
        divvy_relay_ring_close(vm);
    vm->config = *config;
    vm->is_unregistered = false;
    divvy_loop_queue(&vm->relay->loop, &vm->relay->schedule);
    if (remapped)
        status = divvy_relay_ring_open(vm, error);
    return status < 0 ? status : moved ? divvy_relay_vm_listen(vm, error) : 0;
}

void divvy_relay_vm_quarantine(struct divvy_relay_vm *vm, bool quarantined) {
    (void)divvy_node_vmq_quarantine(vm->relay->vmq, vm->number, quarantined);
    vm->config.quarantined = quarantined;
    if (!quarantined)
        vm->config.faults = 0;
    divvy_relay_channels_quarantined(vm);
}

/* Forgets a VM that is going and has nothing left. */
static void vm_sweep(struct divvy_relay_vm *vm) {
    if (divvy_node_vmq_remove(vm->relay->vmq, vm->number, divvy_relay_now_ns()) < 0)
        return;
    divvy_relay_link_free(vm);
    vm->is_used = false;
}

void divvy_relay_vm_remove(struct divvy_relay_vm *vm) {
    vm->is_going = true;
    divvy_relay_vm_close(vm);
    divvy_relay_ring_close(vm);
    jobs_drop(vm, NULL);
    vm_sweep(vm);
}

struct divvy_relay_vm *divvy_relay_vm_by_id(struct divvy_relay *relay, uint32_t vm_id) {
    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++)
        if (relay->vms[i].is_used && relay->vms[i].config.vm_id == vm_id)
            return &relay->vms[i];
    return NULL;
}

/* --- life --------------------------------------------------------------------------------------------------- */

int divvy_relay_init(struct divvy_relay *relay, const struct divvy_relay_settings *settings, struct divvy_error *error) {
    int status;

    relay->settings = *settings;
    relay->started_ns = divvy_core_clock_ns();
    relay->schedule.run = schedule_run;
    status = divvy_loop_init(&relay->loop);
    if (status < 0)
        return divvy_error_set_errno(error, status, "epoll");
    relay->loop.spin.window_ns = DIVVY_CORE_SPIN_WINDOW_NS;
    status = divvy_node_vmq_new(&settings->vmq, &relay->vmq);
    if (status < 0)
        return divvy_error_set_errno(error, status, "the queues");
    relay->jobs = calloc(DIVVY_RELAY_JOBS_MAX, sizeof *relay->jobs);
    if (!relay->jobs)
        return divvy_error_set(error, -ENOMEM, "no memory for the jobs");
    for (uint32_t i = DIVVY_RELAY_JOBS_MAX; i-- > 0;) {
        relay->jobs[i].number = i;
        relay->jobs[i].next = relay->free_jobs;
        relay->free_jobs = &relay->jobs[i];
    }
    return 0;
}

void divvy_relay_done(struct divvy_relay *relay) {
    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++) {
        struct divvy_relay_vm *vm = &relay->vms[i];

        if (!vm->is_used)
            continue;
        divvy_relay_vm_close(vm);
        divvy_relay_ring_close(vm);
        jobs_drop(vm, NULL);
        divvy_relay_link_free(vm);
        if (vm->config.socket[0] && !vm->config.connects)
            (void)unlink(vm->config.socket);
    }
    divvy_relay_xen_close(relay);
    divvy_relay_leftovers_done(relay);
    divvy_loop_turn(&relay->loop, 0); /* what is to be freed after the turn */
    for (uint32_t i = 0; relay->jobs && i < DIVVY_RELAY_JOBS_MAX; i++)
        divvy_relay_bytes_done(&relay->jobs[i].request);
    free(relay->jobs);
    divvy_node_vmq_free(relay->vmq);
    divvy_loop_done(&relay->loop);
}

void divvy_relay_tick(struct divvy_relay *relay) {
    uint64_t now_ns = divvy_core_clock_ns(), next_ns = now_ns + TICK_NS;
    uint32_t number;

    while (divvy_node_vmq_late(relay->vmq, (int64_t)now_ns, &number) == 0) {
        struct divvy_relay_job *job = &relay->jobs[number];

        divvy_log_warn("a job of VM-%s ran beyond the limit and is ended", job->vm->config.name);
        divvy_relay_link_abandon(job->link);
        divvy_relay_turn_abandon(relay, job->turn);
        divvy_relay_job_finish(job, NULL, 0, 4, "the job ran beyond the limit", DIVVY_NODE_VMQ_TIMED_OUT);
    }
    next_ns = earlier(next_ns, (uint64_t)divvy_node_vmq_late_at_ns(relay->vmq) + 1);
    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++) {
        struct divvy_relay_vm *vm = &relay->vms[i];

        if (!vm->is_used)
            continue;
        divvy_relay_link_tick(vm, now_ns, &next_ns);
        divvy_relay_channels_tick(vm, now_ns, &next_ns);
        if (vm->is_going)
            vm_sweep(vm);
    }
    divvy_relay_rings_tick(relay, now_ns, &next_ns);
    if (relay->xen)
        divvy_relay_xen_tick(relay->xen, now_ns, &next_ns);
    divvy_log_tick();
    relay->next_ns = next_ns;
}
