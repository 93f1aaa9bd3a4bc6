/* Virtual machines of QEMU among the processes of this host. */
#ifndef DIVVY_CLI_QEMU_H
#define DIVVY_CLI_QEMU_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DIVVY_CLI_QEMU_MAX 1024u

/* What a process says of itself on its command line: anybody can start one that says so. */
struct divvy_cli_qemu {
    pid_t pid;
    uid_t uid;
    uint32_t domain; /* of Xen; 0: none */
    char name[64];   /* of -name, or of its guest=; '?' for bytes that do not belong into names; empty: none */
    char uuid[40];   /* of -uuid, a UUID in lower case; empty: none */
};

/*
 * Reads a command line as /proc has it (arguments with NUL between). 0; -ENOENT: it is not QEMU's, or names no VM; the process' own
 * values are not touched. Pure.
 */
int divvy_cli_qemu_parse(const char *line, size_t length, struct divvy_cli_qemu *ret_vm);

/* The VMs that run, `ret_vms` having room for DIVVY_CLI_QEMU_MAX. 0, or a negative errno for `proc` (NULL: /proc). */
int divvy_cli_qemu_scan(const char *proc, struct divvy_cli_qemu *ret_vms, size_t *ret_count, struct divvy_error *error);

#endif
