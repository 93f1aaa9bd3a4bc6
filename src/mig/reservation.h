/* A reservation from the inside. */
#ifndef DIVVY_MIG_RESERVATION_H
#define DIVVY_MIG_RESERVATION_H

#include "mig/lock.h"

#include <pthread.h>
#include <stdbool.h>

struct divvy_mig_reservation {
    struct divvy_mig_device device;
    struct divvy_mig_folder folder;
    struct divvy_mig_lock lock;
    int64_t ttl_ns;
    int match;
    bool is_created;
    bool is_apart; /* NVML is asked in processes of its own */
    char library[256]; /* for destroying what was created */
    void (*log)(void *log_data, int level, const char *line);
    void *log_data;
    char path[DIVVY_MIG_FOLDER_BYTES + DIVVY_MIG_LOCK_NAME_BYTES];

    bool has_thread;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool is_stopping; /* under the mutex */
};

/* Calls a log function of options or of a reservation, if there is one. */
void divvy_mig_say(void (*log)(void *log_data, int level, const char *line), void *log_data, int level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Starts the thread that keeps the heartbeat. 0 or a negative errno. */
int divvy_mig_heartbeat_start(struct divvy_mig_reservation *reservation);

#endif
