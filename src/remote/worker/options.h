/* The command line of divvy-worker. */
#ifndef DIVVY_REMOTE_WORKER_OPTIONS_H
#define DIVVY_REMOTE_WORKER_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_WORKER_PORT    5000u
#define DIVVY_WORKER_CLIENTS 64u

/* Texts are borrowed from the command line. */
struct divvy_worker_options {
    bool has_tcp;
    uint16_t port; /* 0: any that is free */
    const char *address; /* numeric, NULL: all */
    const char *socket;  /* path, or NULL */
    unsigned int clients; /* at most, at one time */
    const char *gpu, *memory, *compute, *name; /* for `divvy run', or NULL */
    bool no_daemon;
    bool help, version;
};

/* -EINVAL: something is wrong with the command line. */
int divvy_worker_options_parse(int argc, char **argv, struct divvy_worker_options *ret_options,
                               struct divvy_error *error);

/* What --help prints. */
extern const char divvy_worker_help[];

#endif
