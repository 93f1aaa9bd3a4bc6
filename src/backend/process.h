/*
 * Workers as processes: started, watched, started again, stopped, and taken over from an earlier run of the program that started them.
 *
 * Each worker runs in a process group of its own with its output in a log file, and goes on when its supervisor ends. Who runs
 * is written down, one file a worker, by the new process itself before it becomes the worker: whatever is killed when, the next
 * supervisor finds every worker by pid, start time and boot, and never starts one twice.
 *
 * A worker that ends without having been asked to is started again, after 3 s, then 6, 12 ... at most 60 s; a run of 60 s
 * begins that row anew. A worker is stopped by SIGTERM to its group, and SIGKILL when the grace is over or its first process is gone while
 * others of the group are left.
 *
 * Nothing here starts a thread or installs a signal handler: the owner polls _fd and calls _turn. All calls from one thread, or
 * under one lock; callbacks come from within the calls. The program must not reap children that it does not know (no
 * waitpid(-1), no SIGCHLD set to SIG_IGN).
 */
#ifndef DIVVY_BACKEND_PROCESS_H
#define DIVVY_BACKEND_PROCESS_H

#include "backend/filestate.h"
#include "base/error.h"
#include "node/life.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct divvy_backend_processes;

/* How a worker is run. Everything is copied. */
struct divvy_backend_command {
    const char *binary;             /* a path, or a name to be found in PATH */
    const char *const *arguments;   /* after the program's name, ended by NULL; NULL: none */
    const char *const *environment; /* "NAME=VALUE" over what is inherited, "NAME" alone takes it away; ended by NULL; NULL: none */
    const char *folder;             /* working directory; NULL: stays */
    const char *log;                /* path of its log; NULL: worker-<id>.log in the options' log folder */
    uint16_t port;                  /* it will listen on; 0: none. Nobody else may have it when the worker starts */
};

/* A worker as it is now. */
struct divvy_backend_process {
    char id[DIVVY_BACKEND_ID_BYTES];
    enum divvy_node_life_phase phase;
    pid_t pid; /* 0: it does not run */
    uint64_t start_ticks;
    bool adopted;          /* was started by an earlier supervisor */
    uint16_t port;
    uint32_t restarts;     /* starts after the first, under this supervisor */
    int64_t started_ns;    /* CLOCK_MONOTONIC of this supervisor's start or adoption; 0 never */
    int64_t retry_ns;      /* when it is started again, in phase DIVVY_NODE_LIFE_WAITING */
    bool exited;           /* it has ended at least once */
    bool exit_known;       /* false: it was no child of ours, its status is not to be had */
    int exit_code;         /* of the last end: 0..255, or -1 for a signal */
    int exit_signal;       /* 0 for none */
    char reason[160];      /* why it does not run, or how it last ended: "exited with status 3", "killed by signal 9 (Killed)" */
};

struct divvy_backend_process_options {
    int state_fd;          /* folder of state; run/ below it holds the records. Duplicated */
    const char *log_folder; /* made when missing */
    uint64_t log_bytes;    /* a log this long is begun anew, the old ones are <log>.1, <log>.2, …; 0: never */
    uint32_t log_files;    /* how many old ones are kept */
    int64_t grace_ns;      /* from SIGTERM to SIGKILL; 0: ten seconds */
    struct divvy_node_life_params life; /* zeros: as above */
    /* Called on every change of phase, pid or reason; the view is borrowed. May call nothing of this header. May be NULL. */
    void (*changed)(void *data, const struct divvy_backend_process *process);
    void *data;
};

/* No lock is taken yet: one who only looks disturbs nobody. */
int divvy_backend_processes_new(const struct divvy_backend_process_options *options,
                                struct divvy_backend_processes **ret_processes, struct divvy_error *error);
/* The workers run on. NULL is fine. */
void divvy_backend_processes_free(struct divvy_backend_processes *processes);

/*
 * This worker shall run: adopts it where it runs already, else starts it; what keeps it from starting (a taken port, no such
 * binary) is its phase and reason, and is tried again like an end. Asked again with the same command nothing happens; with another
 * one a running worker is stopped first. 0, -EINVAL (id, command), -ENOMEM, -ENAMETOOLONG; -EBUSY: another program runs the workers of this
 * folder of state (it is asked to let go for two seconds, since one that was killed may have left a child that holds its lock).
 */
int divvy_backend_process_want(struct divvy_backend_processes *processes, const char *id,
                               const struct divvy_backend_command *command, struct divvy_error *error);
/* It shall not: stopped, and forgotten when it is gone. Also stops what an earlier supervisor left. 0, -ENOENT, or -EBUSY as above. */
int divvy_backend_process_unwant(struct divvy_backend_processes *processes, const char *id);
/* Stopped and started again; -ENOENT. */
int divvy_backend_process_restart(struct divvy_backend_processes *processes, const char *id);

/* Readable when _turn has something to do. */
int divvy_backend_processes_fd(const struct divvy_backend_processes *processes);
/* Does what is due: reaps, starts, kills, rotates logs. Never blocks for long (a start waits for the child's exec). */
void divvy_backend_processes_turn(struct divvy_backend_processes *processes);

/* -ENOENT. */
int divvy_backend_process_get(const struct divvy_backend_processes *processes, const char *id,
                              struct divvy_backend_process *ret_process);
/* Where a worker runs that perhaps another program supervises: pid, start_ticks and port of the view are of meaning. -ENOENT. */
int divvy_backend_process_recorded(const struct divvy_backend_processes *processes, const char *id,
                                   struct divvy_backend_process *ret_process);
size_t divvy_backend_processes_count(const struct divvy_backend_processes *processes);
int divvy_backend_processes_at(const struct divvy_backend_processes *processes, size_t index,
                               struct divvy_backend_process *ret_process);
/* The worker whose process tree holds this pid, its own id: 0 or -ENOENT. Reads /proc, without locks. */
int divvy_backend_process_of_pid(const struct divvy_backend_processes *processes, pid_t pid,
                                 struct divvy_backend_process *ret_process);

/*
 * Ids of workers whose records say that they run though nobody wants them: what an earlier supervisor left. Calls `found` for each; 0 or
 * a negative errno.
 */
int divvy_backend_processes_left(const struct divvy_backend_processes *processes,
                                 void (*found)(void *data, const char *id), void *data);

/* Whether nobody listens on this TCP port on any address: 0, -EADDRINUSE, or what the system says. */
int divvy_backend_port_check(uint16_t port);

#endif
