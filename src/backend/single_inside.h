/* The single-node backend from inside: for single*.c only. */
#ifndef DIVVY_BACKEND_SINGLE_INSIDE_H
#define DIVVY_BACKEND_SINGLE_INSIDE_H

#include "backend/single.h"
#include "base/map.h"

#include <pthread.h>

/* A worker that is in the file, or was and is not gone yet. */
struct divvy_backend_held {
    struct divvy_node_worker worker; /* the last wish that could be read */
    json_t *object;                  /* its element, as it was read; a reference */
    char message[160];
    bool listed;   /* is in the file */
    bool wanted;   /* shall run */
    bool dirty;    /* is to be prepared (again) */
    bool told;     /* handlers know it */
    bool running;  /* its process was wished for */
    bool unwritten; /* how it fares is not in the file yet */
    bool ran;       /* its process was alive when it became known: it goes before those that are not there yet */
    uint16_t port;
    size_t place;   /* in the file: who comes first has what several want */
    int64_t retry_ns; /* when to prepare it again */
    struct divvy_backend_allocation *allocation; /* reference, or NULL */
};

/*
 * `lock` guards the table and all that hangs on it, and is held for moments. `turn` is held by whoever makes events and calls
 * handlers; its holder may take it again. The files are used under `writing`.
 */
struct divvy_backend_single {
    struct divvy_backend_single_options options;
    char *worker_binary, *log_folder;
    struct divvy_backend_keeper keeper;
    pthread_mutex_t lock, turn, writing;
    pthread_cond_t settled; /* with lock: a turn is complete */
    pthread_t thread;
    bool started, stopping;
    int wake_fd;
    uint64_t turns_asked, turns_done;
    struct divvy_backend_filestate *file;    /* the thread's own */
    struct divvy_backend_filestate *changes; /* of calls, under writing */
    struct divvy_backend_processes *processes;
    struct divvy_map by_uid; /* of struct divvy_backend_held */
    struct divvy_backend_worker_handler *handlers;
    size_t handler_count;
    bool read_failed, devices_changed;
    int64_t write_ns;  /* when what is not written is to be; 0: nothing */
    int64_t look_ns;   /* when to look at the file without being told */
};

/* Of the thread, under `turn`. */
void divvy_backend_single_read(struct divvy_backend_single *single);
void divvy_backend_single_settle(struct divvy_backend_single *single, int64_t now_ns);
/* When it is due; INT64_MAX: whatever there is. */
void divvy_backend_single_write_back(struct divvy_backend_single *single, int64_t now_ns);

void divvy_backend_single_held_free(struct divvy_backend_held *held);

/* Under `lock`. Says something about a worker, or with NULL nothing any more. */
void divvy_backend_single_say(struct divvy_backend_single *single, struct divvy_backend_held *held, const char *message);
/* The command of a worker; the arrays are malloc'd, and to be freed with _command_done. false: it is not run by us. */
struct divvy_backend_single_command {
    struct divvy_backend_command command;
    json_t *info; /* a reference that the texts lie in */
    char port_text[8];
    const char **arguments, **environment;
    char **made; /* texts of our own */
    size_t made_count;
};
int divvy_backend_single_command_make(struct divvy_backend_single *single, struct divvy_backend_held *held,
                                      struct divvy_backend_single_command *ret_command, struct divvy_error *error);
void divvy_backend_single_command_done(struct divvy_backend_single_command *command);

#endif
