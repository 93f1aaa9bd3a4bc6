/* What the parts of divvy vm share. */
#ifndef DIVVY_CLI_VM_H
#define DIVVY_CLI_VM_H

#include "base/error.h"
#include "remote/relay/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The command line of any part; what a part does not know is refused before it is called. */
struct divvy_cli_vm_arguments {
    const char *state, *admin; /* never NULL */
    const char *vm;            /* the VM that is meant, by name, UUID or id; NULL: none */
    const char *uuid, *name, *id, *pool, *priority, *weight, *rate, *depth, *socket, *shm, *shm_size, *qmp; /* NULL: not given */
    const char *gpu, *gpu_id, *worker, *vms_max;                                     /* likewise */
    int json, yes, connects, prometheus;
};

/* Each returns the exit status, and has said what went wrong. */
typedef int divvy_cli_vm_part_t(const char *what, const struct divvy_cli_vm_arguments *arguments);

divvy_cli_vm_part_t divvy_cli_vm_register, divvy_cli_vm_update, divvy_cli_vm_remove, divvy_cli_vm_list, divvy_cli_vm_show,
    divvy_cli_vm_pools, divvy_cli_vm_status, divvy_cli_vm_metrics, divvy_cli_vm_health, divvy_cli_vm_connections,
    divvy_cli_vm_reload, divvy_cli_vm_quarantine, divvy_cli_vm_clear, divvy_cli_vm_scan, divvy_cli_vm_scan_gpus, divvy_cli_vm_assign_gpu,
    divvy_cli_vm_set_hook;

/* Says the error as "divvy vm WHAT: …"; the exit status that fits. */
int divvy_cli_vm_fail(const char *what, const struct divvy_error *error);

/* The relay reads the state again, if one runs. The exit status. */
int divvy_cli_vm_push(const char *what, const struct divvy_cli_vm_arguments *arguments);

const char *divvy_cli_vm_priority_name(uint32_t priority);

/* The GPUs as NVML of this host has them, an array with temperature, errors and needs_reset; NULL and why, where it tells nothing. */
json_t *divvy_cli_vm_gpu_health(const struct divvy_cli_vm_arguments *arguments, char *ret_why, size_t size);
/* The GPUs of pools, an array; NULL with `error`. */
json_t *divvy_cli_vm_gpus_assigned(struct divvy_relay_store *store, struct divvy_error *error);
/* Either as a table. The exit status. */
int divvy_cli_vm_gpus_print(const json_t *gpus);

/* The VMs that run on this host, an array of {name, uuid, pid, uid, domain, vm_id (null: not registered)}; NULL with `error`. */
json_t *divvy_cli_vm_running(struct divvy_relay_store *store, struct divvy_error *error);

#endif
