/* A reservation's life: heartbeat, release, and what it says of itself. */
#include "mig/reservation.h"

#include "core/clock.h"
#include "core/sys.h"
#include "mig/apart.h"
#include "mig/create.h"
#include "mig/error.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREAD_STACK_BYTES (128u * 1024)

/* The installed structures: what other programs were built with. They may only grow at their ends. */
_Static_assert(offsetof(struct divvy_mig_device, memory_bytes) == 40, "struct divvy_mig_device");
_Static_assert(offsetof(struct divvy_mig_device, uuid) == 56, "struct divvy_mig_device");
_Static_assert(offsetof(struct divvy_mig_device, profile) == 344, "struct divvy_mig_device");
_Static_assert(offsetof(struct divvy_mig_options, lock_dir) == 32, "struct divvy_mig_options");
_Static_assert(offsetof(struct divvy_mig_options, log_data) == 64, "struct divvy_mig_options");
_Static_assert(sizeof(struct divvy_mig_error) == 512, "struct divvy_mig_error");
_Static_assert(sizeof(struct divvy_mig_profile) == 64, "struct divvy_mig_profile");
_Static_assert(sizeof(struct divvy_mig_holder) == 32, "struct divvy_mig_holder");

void divvy_mig_say(void (*log)(void *log_data, int level, const char *line), void *log_data, int level, const char *format,
                   ...) {
    char line[DIVVY_MIG_ERROR_BYTES];
    va_list arguments;

    if (!log)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    log(log_data, level, line);
}

/* --- heartbeat ------------------------------------------------------------------------------------------------ */

int64_t divvy_mig_heartbeat_interval_ns(const struct divvy_mig_reservation *reservation) {
    return reservation->ttl_ns / 3 > 0 ? reservation->ttl_ns / 3 : 1;
}

int divvy_mig_heartbeat(struct divvy_mig_reservation *reservation, struct divvy_mig_error *error) {
    int status = divvy_mig_lock_beat(&reservation->folder, &reservation->lock);

    if (status == -ESTALE)
        return divvy_mig_error_set(error, status,
                                   "somebody removed or replaced the lock file %s: %s is in use here, and others may take it",
                                   reservation->path, reservation->device.uuid);
    return status < 0 ? divvy_mig_error_set_errno(error, status, "heartbeat of %s", reservation->path) : 0;
}

static struct timespec deadline_after_ns(int64_t duration_ns) {
    uint64_t end_ns = divvy_core_clock_ns() + (uint64_t)duration_ns;

    return divvy_core_clock_timespec(end_ns);
}

static void *heartbeat_run(void *data) {
    struct divvy_mig_reservation *reservation = data;
    int reported = 0;

    (void)pthread_mutex_lock(&reservation->mutex);
    while (!reservation->is_stopping) {
        struct timespec deadline = deadline_after_ns(divvy_mig_heartbeat_interval_ns(reservation));
        struct divvy_mig_error error = {0};
        int status = 0;

        while (!reservation->is_stopping && status != ETIMEDOUT)
            status = pthread_cond_timedwait(&reservation->wake, &reservation->mutex, &deadline);
        if (reservation->is_stopping)
            break;
        status = divvy_mig_heartbeat(reservation, &error);
        if (status < 0 && status != reported) /* once for each trouble */
            divvy_mig_say(reservation->log, reservation->log_data, DIVVY_MIG_LOG_ERROR, "%s", error.text);
        reported = status;
    }
    (void)pthread_mutex_unlock(&reservation->mutex);
    return NULL;
}

int divvy_mig_heartbeat_start(struct divvy_mig_reservation *reservation) {
    pthread_condattr_t clock;
    pthread_attr_t attributes;
    sigset_t all, kept;
    int status;

    (void)pthread_mutex_init(&reservation->mutex, NULL);
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&reservation->wake, &clock);
    (void)pthread_condattr_destroy(&clock);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    /* Signals are for the threads of the program. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &kept);
    status = pthread_create(&reservation->thread, &attributes, heartbeat_run, reservation);
    (void)pthread_sigmask(SIG_SETMASK, &kept, NULL);
    (void)pthread_attr_destroy(&attributes);
    reservation->has_thread = status == 0;
    return -status;
}

static void heartbeat_stop(struct divvy_mig_reservation *reservation) {
    if (!reservation->has_thread)
        return;
    (void)pthread_mutex_lock(&reservation->mutex);
    reservation->is_stopping = true;
    (void)pthread_cond_signal(&reservation->wake);
    (void)pthread_mutex_unlock(&reservation->mutex);
    (void)pthread_join(reservation->thread, NULL);
    (void)pthread_cond_destroy(&reservation->wake);
    (void)pthread_mutex_destroy(&reservation->mutex);
}

/* --- release -------------------------------------------------------------------------------------------------- */

static int created_destroy(const struct divvy_mig_reservation *reservation, struct divvy_mig_error *error) {
    struct divvy_mig *mig;
    int status;

    if (reservation->is_apart)
        return divvy_mig_apart_destroy(reservation->library, &reservation->folder, reservation->device.uuid, error);
    status = divvy_mig_open(reservation->library, &mig, error);
    if (status < 0)
        return status;
    status = divvy_mig_destroy(mig, &reservation->folder, reservation->device.uuid, error);
    divvy_mig_close(mig);
    return status;
}

int divvy_mig_release(struct divvy_mig_reservation *reservation, struct divvy_mig_error *error) {
    int status = 0, released, turn = -1;

    if (!reservation)
        return 0;
    if (reservation->lock.owner == getpid()) {
        heartbeat_stop(reservation);
        /* While the lock keeps others off it; one that is somebody else's by now is theirs. */
        if (reservation->is_created && divvy_mig_lock_is_ours(&reservation->folder, &reservation->lock))
            status = turn = divvy_mig_turn_take(&reservation->folder, error);
        if (turn >= 0)
            status = created_destroy(reservation, error);
    }
    released = divvy_mig_lock_release(&reservation->folder, &reservation->lock);
    divvy_core_sys_close(&turn); /* not before: the next one of its UUID is the next maker's */
    if (released == -ESTALE)
        status = divvy_mig_error_set(error, released, "the lock file %s was not ours any more, and is left alone",
                                     reservation->path);
    else if (released == -EPERM)
        status = divvy_mig_error_set(error, released, "%s is its parent's to give back", reservation->device.uuid);
    else if (released < 0)
        status = divvy_mig_error_set_errno(error, released, "lock file %s", reservation->path);
    divvy_mig_folder_close(&reservation->folder);
    free(reservation);
    return status;
}

/* --- what it is ----------------------------------------------------------------------------------------------- */

const struct divvy_mig_device *divvy_mig_reservation_device(const struct divvy_mig_reservation *reservation) {
    return &reservation->device;
}

int divvy_mig_reservation_match(const struct divvy_mig_reservation *reservation) {
    return reservation->match;
}

int divvy_mig_reservation_is_created(const struct divvy_mig_reservation *reservation) {
    return reservation->is_created;
}

int divvy_mig_reservation_fd(const struct divvy_mig_reservation *reservation) {
    return reservation->lock.fd;
}

const char *divvy_mig_reservation_path(const struct divvy_mig_reservation *reservation) {
    return reservation->path;
}
