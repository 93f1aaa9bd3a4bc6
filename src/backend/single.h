/*
 * The backend of a node by itself: workers.json is what is wished, this makes it so. It watches the file, tells handlers of every change,
 * has a keeper (the worker controller) prepare and clean up after each worker, and runs the workers' processes.
 *
 * A worker that shall run (see worker_json.h) is prepared; what cannot be prepared is said in its element ("Message") and tried again when
 * something changes. It is run as a process when it says how (WorkerRunningInfo) or a program for workers is set; else somebody else runs it, the
 * agent above all, and only its allocation is kept here. How the process fares is written back into WorkerRunningInfo; nobody's wish
 * (Status, devices, limits) is ever changed. A file that cannot be read changes nothing: everybody goes on at the last that could.
 *
 * One thread of its own does the work. All functions may be called from any thread and from handlers; handlers are called on that thread, one
 * at a time, in the order of events.
 */
#ifndef DIVVY_BACKEND_SINGLE_H
#define DIVVY_BACKEND_SINGLE_H

#include "backend/allocation.h"
#include "backend/process.h"
#include "backend/worker_json.h"

struct divvy_backend_single;

struct divvy_backend_single_options {
    int state_fd;              /* folder of state; duplicated */
    const char *log_folder;    /* of workers' output */
    const char *worker_binary; /* runs workers that do not say how: `<binary> -p <port>`; NULL: they are not run */
    uint16_t port_first;       /* ports are given out from here on; 0: 42352 */
    uint64_t log_bytes;        /* see process.h; 0: 16 MiB */
    uint32_t log_files;        /* 0: 2 */
    int64_t grace_ns;          /* 0: ten seconds */
    struct divvy_node_life_params life;
};

/* A worker as it is. */
struct divvy_backend_worker {
    struct divvy_node_worker worker;
    enum divvy_node_worker_status status; /* what is, not what the file says */
    bool wanted;
    bool has_process; /* `process` is of meaning */
    struct divvy_backend_process process;
    char message[160]; /* why it is not as wished; else empty */
};

/* Functions may be NULL. Workers are borrowed during the call. */
struct divvy_backend_worker_handler {
    void *data;
    void (*added)(void *data, const struct divvy_node_worker *worker);
    void (*removed)(void *data, const struct divvy_node_worker *worker);
    void (*updated)(void *data, const struct divvy_node_worker *before, const struct divvy_node_worker *after);
};

/* Who prepares workers and cleans up after them: at most one. */
struct divvy_backend_keeper {
    void *data;
    /* Before it is run, and when its wish has changed. *ret_allocation is the caller's reference. A failure is tried again. */
    int (*prepare)(void *data, const struct divvy_node_worker *worker, struct divvy_backend_allocation **ret_allocation,
                   struct divvy_error *error);
    void (*clean)(void *data, const char *uid); /* it is gone, its process too */
    uint32_t (*lost)(void *data, const char *uid); /* of its devices, how many have vanished */
    /* Every worker of the file has been looked at; `is_wanted` tells by id. */
    void (*settled)(void *data, bool (*is_wanted)(void *backend, const char *uid), void *backend);
};

/* `options` texts are copied. */
int divvy_backend_single_new(const struct divvy_backend_single_options *options, struct divvy_backend_single **ret_single,
                             struct divvy_error *error);
/* Stops it too. NULL is fine. */
void divvy_backend_single_free(struct divvy_backend_single *single);

/* Reads the file (one that is unreadable is said in the log) and goes on from there. */
int divvy_backend_single_start(struct divvy_backend_single *single, struct divvy_error *error);
/* The workers run on, and are found again at the next start. */
void divvy_backend_single_stop(struct divvy_backend_single *single);

/* NULL: nobody. Workers that shall run are prepared (again) by the new one. */
void divvy_backend_single_keeper_set(struct divvy_backend_single *single, const struct divvy_backend_keeper *keeper);

/* `handler` (copied) hears of all workers that are known, before this returns, and of every event from then on. -ENOMEM. */
int divvy_backend_single_handler_add(struct divvy_backend_single *single, const struct divvy_backend_worker_handler *handler);
void divvy_backend_single_handler_remove(struct divvy_backend_single *single, const void *data);

/* What the device controller is to tell; to be added to it while this lives. */
struct divvy_backend_device_handler divvy_backend_single_device_handler(struct divvy_backend_single *single);

/*
 * Writes the worker, with Status Running unless it has one, or takes it out. When this returns 0 the file has it on disk, and (unless called
 * from a handler, or before the start) the change has been acted on: a worker is allocated and its process started, or being stopped.
 * -ENOENT: there is none to stop.
 */
int divvy_backend_single_worker_start(struct divvy_backend_single *single, const struct divvy_node_worker *worker,
                                      struct divvy_error *error);
/* Many at once, in one write. */
int divvy_backend_single_workers_start(struct divvy_backend_single *single, const struct divvy_node_worker *workers, size_t count,
                                       struct divvy_error *error);
int divvy_backend_single_worker_stop(struct divvy_backend_single *single, const char *uid, struct divvy_error *error);

/* All known workers by id, malloc'd; to be freed by the caller. */
int divvy_backend_single_list(struct divvy_backend_single *single, struct divvy_backend_worker **ret_workers, size_t *ret_count);
/* -ENOENT. */
int divvy_backend_single_get(struct divvy_backend_single *single, const char *uid, struct divvy_backend_worker *ret_worker);

/* Which worker a process of the host belongs to, by its parents. */
struct divvy_backend_mapping {
    char worker[DIVVY_NODE_WORKER_ID_BYTES];
    pid_t host_pid, guest_pid; /* guest: in its own pid namespace */
    pid_t leader;              /* the worker's first process */
};
/* -ENOENT: none of our workers'; -ESRCH: no such process. */
int divvy_backend_single_mapping(struct divvy_backend_single *single, pid_t host_pid, struct divvy_backend_mapping *ret_mapping);

#endif
