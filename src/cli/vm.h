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
    const char *uuid, *name, *id, *pool, *priority, *weight, *rate, *depth, *socket; /* NULL: not given */
    int json, yes, connects, prometheus;
};

/* Each returns the exit status, and has said what went wrong. */
typedef int divvy_cli_vm_part_t(const char *what, const struct divvy_cli_vm_arguments *arguments);

divvy_cli_vm_part_t divvy_cli_vm_register, divvy_cli_vm_update, divvy_cli_vm_remove, divvy_cli_vm_list, divvy_cli_vm_show,
    divvy_cli_vm_pools, divvy_cli_vm_status, divvy_cli_vm_metrics, divvy_cli_vm_health, divvy_cli_vm_connections,
    divvy_cli_vm_reload, divvy_cli_vm_quarantine, divvy_cli_vm_clear;

/* Says the error as "divvy vm WHAT: …"; the exit status that fits. */
int divvy_cli_vm_fail(const char *what, const struct divvy_error *error);

/*
 * One request to the relay. *ret_text is its answer, the caller's to free. -ENOTCONN: no relay runs there; what the relay refused;
 * -EPROTO; -ETIMEDOUT.
 */
int divvy_cli_vm_ask(const char *admin, uint32_t command, uint32_t parameter, char **ret_text, struct divvy_error *error);

/* The relay reads the state again, if one runs. The exit status. */
int divvy_cli_vm_push(const char *what, const struct divvy_cli_vm_arguments *arguments);

const char *divvy_cli_vm_priority_name(uint32_t priority);

#endif
