/* The runner's command line. Pure, but for --help and --version, which print. */
#ifndef DIVVY_MIG_RUNNER_OPTIONS_H
#define DIVVY_MIG_RUNNER_OPTIONS_H

#include "base/error.h"
#include "base/log.h"
#include "mig/runner/address.h"

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses of the runner itself; else it ends with the program's. */
enum {
    DIVVY_RUNNER_FAILED = 1,
    DIVVY_RUNNER_USAGE = 2,
    DIVVY_RUNNER_BUSY = 75, /* no slice to be had, and nothing else allowed: another time may be luckier */
    DIVVY_RUNNER_NOT_EXECUTABLE = 126,
    DIVVY_RUNNER_NOT_FOUND = 127,
};

/* What is done when all slices that fit are taken. */
enum divvy_runner_busy { DIVVY_RUNNER_BUSY_FAIL, DIVVY_RUNNER_BUSY_WAIT, DIVVY_RUNNER_BUSY_FALLBACK };

/* When the program is started again after it has ended by itself. */
enum divvy_runner_restart { DIVVY_RUNNER_RESTART_NEVER, DIVVY_RUNNER_RESTART_ON_FAILURE, DIVVY_RUNNER_RESTART_ALWAYS };

struct divvy_runner_options {
    const char *target;     /* NULL: a model file says */
    char **arguments;       /* argv from the program's name on, ended by NULL; NULL with a model file */
    char **words;           /* what a string was split into: owned, as is `arguments` */
    const char *model_file;
    const char *profile;    /* NULL: HC_MIG_PROFILE */
    const char *gpu;        /* only slices of this one; NULL: any */
    const char *lock_dir;   /* NULL: the usual one */
    const char *instance;   /* NULL: made up */
    const char *latency_socket; /* NULL: in the runner's own folder */
    enum divvy_runner_busy busy;
    int64_t wait_ns;        /* DIVVY_MIG_WAIT_FOREVER */
    bool bigger, create, simulate, require_slice;
    bool no_metrics, has_metrics, has_proxy, has_restart, has_model_port;
    struct divvy_runner_address metrics, proxy;
    uint16_t model_port;
    enum divvy_runner_restart restart;
    uint32_t restart_limit; /* 0: none */
    int64_t kill_after_ns;  /* from passing on SIGTERM or SIGINT to SIGKILL; 0: never */
    enum divvy_log_format log_format;
};

/*
 * Reads it; texts are argv's. 1: --help or --version was answered. 0; -EINVAL or -ENOMEM. To be freed with _done, whatever came.
 */
int divvy_runner_options_parse(int argc, char **argv, struct divvy_runner_options *ret_options, struct divvy_error *error);
void divvy_runner_options_done(struct divvy_runner_options *options);

#endif
