/* The command line of divvy-relay. */
#ifndef DIVVY_REMOTE_RELAY_OPTIONS_H
#define DIVVY_REMOTE_RELAY_OPTIONS_H

#include "base/error.h"
#include "remote/relay/relay.h"

#define DIVVY_RELAY_OPTION_VMS_MAX 64u

struct divvy_relay_options {
    struct divvy_relay_settings settings;
    struct {
        const char *endpoint; /* borrowed from argv */
        char pools[4];
    } workers[DIVVY_RELAY_WORKERS_MAX];
    uint32_t worker_count;
    struct divvy_relay_vm_config vms[DIVVY_RELAY_OPTION_VMS_MAX];
    uint32_t vm_count;
    const char *state;    /* the file with pools and VMs; NULL: the default; empty: none */
    const char *admin;    /* the socket for `divvy vm'; NULL: the default; empty: none */
    const char *lock;     /* NULL: the default */
    const char *xenstore; /* NULL: no XenStore; empty: the system's */
    struct divvy_log_settings log;
};

/*
 * 0; 1: help or version was printed and the program ends with 0; or -EINVAL and `error`.
 */
int divvy_relay_options_parse(int argc, char **argv, struct divvy_relay_options *ret_options, struct divvy_error *error);

#endif
