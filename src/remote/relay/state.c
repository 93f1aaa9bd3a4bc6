/* The VMs of the state file become those of the relay: see relay.h. */
#include "remote/relay/relay.h"
#include "remote/relay/store.h"

#include <errno.h>
#include <string.h>

struct reading {
    struct divvy_relay *relay;
    struct divvy_error first; /* what went wrong first */
};

static struct divvy_relay_vm_config config_of(const struct divvy_relay_store_vm *stored) {
    struct divvy_relay_vm_config config = {.vm_id = stored->vm_id,
                                           .connects = stored->connects,
                                           .shm_bytes = stored->shm_bytes,
                                           .params = {.pool = (uint32_t)(stored->pool - 'A'),
                                                      .priority = stored->priority,
                                                      .weight = stored->weight,
                                                      .rate = stored->rate,
                                                      .depth = stored->depth},
                                           .quarantined = stored->quarantined,
                                           .faults = stored->error_count};

    memcpy(config.name, stored->name, sizeof config.name);
    memcpy(config.socket, stored->socket, sizeof config.socket);
    memcpy(config.shm, stored->shm, sizeof config.shm);
    memcpy(config.qmp, stored->qmp, sizeof config.qmp);
    return config;
}

static int vm_take(const struct divvy_relay_store_vm *stored, void *data) {
    struct reading *reading = data;
    struct divvy_relay_vm_config config = config_of(stored);
    struct divvy_relay_vm *vm = divvy_relay_vm_by_id(reading->relay, stored->vm_id);
    struct divvy_error error = {0};
    int status = divvy_relay_store_check(stored, &error);

    if (status == 0 && vm && vm->config.quarantined != config.quarantined)
        divvy_relay_vm_quarantine(vm, config.quarantined);
    if (status == 0)
        status = vm ? divvy_relay_vm_change(vm, &config, &error) : divvy_relay_vm_add(reading->relay, &config, &vm, &error);
    if (vm) {
        vm->is_stored = true;
        vm->is_seen = true;
    }
    if (status < 0) {
        divvy_log_error("VM-%s: %s", stored->name, error.text);
        if (reading->first.status == 0)
            (void)divvy_error_set(&reading->first, status, "VM %s: %s", stored->name, error.text);
    }
    return 0;
}

/* Workers serve the pools of the GPUs that they have; those that no GPU names, the pools of the command line. */
static int workers_load(struct divvy_relay *relay, struct divvy_error *error) {
    static struct divvy_relay_store_gpu gpus[DIVVY_RELAY_STORE_GPUS_MAX];
    uint32_t pools[DIVVY_RELAY_WORKERS_MAX] = {0};
    size_t count;
    int status = divvy_relay_store_gpus(relay->store, gpus, &count, error), last = 0;

    if (status < 0)
        return status;
    for (size_t g = 0; g < count; g++) {
        uint32_t all = 0;

        if (!gpus[g].worker[0])
            continue;
        for (size_t other = 0; other < count; other++)
            all |= strcmp(gpus[other].worker, gpus[g].worker) == 0 ? 1u << (gpus[other].pool - 'A') : 0;
        status = divvy_relay_worker_set(relay, gpus[g].worker, all, error);
        if (status < 0) {
            divvy_log_error("GPU %u: %s", gpus[g].gpu_id, error->text);
            last = status;
        }
        for (uint32_t i = 0; i < relay->worker_count; i++)
            pools[i] |= strcmp(relay->workers[i].endpoint.text, gpus[g].worker) == 0 ? all : 0;
    }
    for (uint32_t i = 0; i < relay->worker_count; i++)
        if (pools[i] == 0)
            (void)divvy_relay_worker_set(relay, relay->workers[i].endpoint.text, relay->workers[i].given_pools, error);
    return last;
}

int divvy_relay_state_load(struct divvy_relay *relay, struct divvy_error *error) {
    struct reading reading = {.relay = relay};
    int status;

    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++)
        relay->vms[i].is_seen = false;
    status = divvy_relay_store_each(relay->store, vm_take, &reading, &reading.first);
    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX && status == 0; i++)
        if (relay->vms[i].is_used && relay->vms[i].is_stored && !relay->vms[i].is_seen)
            divvy_relay_vm_remove(&relay->vms[i]);
    if (status < 0)
        divvy_log_error("%s", reading.first.text);
    else if (reading.first.status == 0)
        (void)workers_load(relay, &reading.first);
    else
        (void)workers_load(relay, &(struct divvy_error){0});
    for (uint32_t i = 0; i < DIVVY_RELAY_VMS_MAX; i++)
        if (relay->vms[i].is_used)
            divvy_relay_channels_misplaced(&relay->vms[i]);
    if (reading.first.status < 0)
        return divvy_error_set(error, reading.first.status, "%s", reading.first.text);
    return 0;
}

void divvy_relay_state_note(struct divvy_relay_vm *vm) {
    struct divvy_error error = {0};
    struct divvy_node_vmq_stats stats;

    if (divvy_node_vmq_stats(vm->relay->vmq, vm->number, &stats) < 0)
        return;
    vm->config.faults = stats.faults;
    if (vm->relay->store &&
        divvy_relay_store_faults(vm->relay->store, vm->config.vm_id, stats.quarantined, stats.faults, &error) < 0)
        divvy_log_error("the faults of VM-%s cannot be remembered: %s", vm->config.name, error.text);
}
