/* The running agent: what its parts (workers.c, report.c, run.c) share. One thread. */
#ifndef DIVVY_AGENT_AGENT_H
#define DIVVY_AGENT_AGENT_H

#include "agent/apply.h"
#include "agent/config.h"
#include "agent/gpus.h"
#include "agent/link.h"
#include "agent/metrics.h"
#include "agent/paths.h"
#include "agent/wish.h"
#include "backend/environment.h"
#include "backend/process.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct divvy_agent {
    struct divvy_agent_paths paths;
    struct divvy_agent_registration registration;
    struct divvy_agent_platform platform;
    bool is_single_node;
    enum divvy_agent_isolation isolation;
    char worker_binary[PATH_MAX]; /* absolute, or a name that is nowhere yet */
    char limiter[PATH_MAX];       /* libcuda_limiter.so, "" when there is none */
    char runner[PATH_MAX];        /* divvy-runner, likewise */

    int state_fd, config_fd, pid_fd; /* folders, agent.pid */
    struct divvy_backend_filestate *state_workers, *config_workers, *config_gpus;
    struct divvy_backend_processes *processes;
    struct divvy_agent_link *link;
    struct divvy_agent_metrics *metrics;
    const char *library; /* --accelerator-lib, or NULL */
    int connections_fd;  /* told when a worker notes who is connected; -1: no watch */

    json_t *state, *config, *gpus; /* the files' elements as last read */
    bool state_failed;             /* the last reading of it was none; what was known stays */
    struct divvy_agent_wishes wishes;
    bool is_ending, stops_workers;

    bool must_read;     /* files are to be read and workers to be looked after */
    bool must_report;   /* files are to be written */
    uint64_t report_ns; /* not before */
    struct divvy_error last_state, last_config, last_report;
};

/* Reads the files anew and has workers started and stopped accordingly. What cannot be read stays as it was known. */
void divvy_agent_workers_follow(struct divvy_agent *agent);

/* What is said of a worker: status ("running", "stopped", "error", "terminated", "stopping"), pid (0: none), and why it does not run ("" else). */
struct divvy_agent_view {
    const char *status;
    pid_t pid;
    uint32_t restarts;
    int exit_code;
    char message[DIVVY_AGENT_REASON_BYTES];
};
void divvy_agent_worker_view(const struct divvy_agent *agent, const struct divvy_agent_wish *wish,
                             struct divvy_agent_view *ret_view);

/* The command of a worker; freed by _launch_done. -EINVAL with the reason when it cannot be run as wished. */
struct divvy_agent_launch {
    struct divvy_backend_command command;
    struct divvy_backend_environment environment;
    char port[8], profile[DIVVY_AGENT_PROFILE_BYTES];
    const char *arguments[20];
};
int divvy_agent_launch_make(const struct divvy_agent *agent, const struct divvy_agent_wish *wish,
                            struct divvy_agent_launch *ret_command, struct divvy_error *error);
void divvy_agent_launch_done(struct divvy_agent_launch *command);

/* Writes what became of the workers into the three files; failures are logged and tried again with the next change. */
void divvy_agent_report_write(struct divvy_agent *agent);

/* The body of a status post: a new reference. */
json_t *divvy_agent_report_body(const struct divvy_agent *agent);

/* Opens everything; what was opened is closed by _close, also after a failure. */
int divvy_agent_open(struct divvy_agent *agent, const struct divvy_agent_call *call,
                     struct divvy_error *error);
void divvy_agent_close(struct divvy_agent *agent);

/* Until a signal ends it. The exit status. */
int divvy_agent_run(struct divvy_agent *agent);

#endif
