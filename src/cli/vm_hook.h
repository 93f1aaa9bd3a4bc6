/*
 * The program that stops and starts VMs for `divvy vm': how it is run, and what is done with a VM around a change.
 *
 *   PROGRAM ACTION NAME UUID ID POOL PRIORITY SOCKET        ("-" for what there is not)
 *
 *   running   0: the VM runs, 1: it does not      stop     ask it to end            kill    end it now
 *   update    its device model's arguments        start    start it
 */
#ifndef DIVVY_CLI_VM_HOOK_H
#define DIVVY_CLI_VM_HOOK_H

#include "base/error.h"
#include "remote/relay/store.h"

#include <limits.h>
#include <stdbool.h>

#define DIVVY_CLI_VM_HOOK_SETTING "vm_hook"

struct divvy_cli_vm_hook {
    char program[PATH_MAX]; /* empty: none */
};

/* Whether this program may be a hook: an absolute path to a program that nobody but root and this user can change. 0, -EINVAL or -EPERM. */
int divvy_cli_vm_hook_check(const char *program, struct divvy_error *error);

/* The hook of a state. 0, also where there is none; or what is wrong with it. */
int divvy_cli_vm_hook_read(struct divvy_relay_store *store, struct divvy_cli_vm_hook *ret_hook, struct divvy_error *error);

/* 1: the VM runs; 0: it does not, or there is no hook; or a negative errno. */
int divvy_cli_vm_hook_running(const struct divvy_cli_vm_hook *hook, const struct divvy_relay_store_vm *vm, struct divvy_error *error);

/* Ends a VM that runs: five seconds for it to go by itself, five more to be ended. -EBUSY: it still runs. Blocks. */
int divvy_cli_vm_hook_stop(const struct divvy_cli_vm_hook *hook, const struct divvy_relay_store_vm *vm, struct divvy_error *error);

/* Gives the VM's device model its values, where `updated`, and starts it. */
int divvy_cli_vm_hook_start(const struct divvy_cli_vm_hook *hook, const struct divvy_relay_store_vm *vm, bool updated,
                            struct divvy_error *error);

#endif
