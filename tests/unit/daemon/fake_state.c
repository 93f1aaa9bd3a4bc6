/* Stands in for the daemon's state: see fake_state.h. */
#include "fake_state.h"

#include "daemon/liveness.h"
#include "daemon/state.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct divvy_node_device seen[DIVVY_NODE_DEVICES];
static size_t seen_count;
static uint64_t looks;
static struct fake_ended ended[FAKE_ENDED_MAX];
static uint32_t ended_count;

bool divvy_daemon_processes_wanted(struct divvy_daemon *daemon) {
    (void)daemon;
    return false;
}

void divvy_daemon_processes_seen(struct divvy_daemon *daemon, const struct divvy_node_sighting *sightings, size_t count) {
    (void)daemon, (void)sightings, (void)count;
}

void divvy_daemon_devices_seen(struct divvy_daemon *daemon, const struct divvy_node_device *devices, size_t count) {
    (void)daemon;
    (void)pthread_mutex_lock(&lock);
    if (count)
        memcpy(seen, devices, count * sizeof *devices);
    seen_count = count;
    looks++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static void ended_add(const char *id, int32_t pid, uint64_t start_ticks) {
    (void)pthread_mutex_lock(&lock);
    if (ended_count < FAKE_ENDED_MAX) {
        (void)snprintf(ended[ended_count].id, sizeof ended[ended_count].id, "%s", id);
        ended[ended_count].pid = pid;
        ended[ended_count++].start_ticks = start_ticks;
    }
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

void divvy_daemon_process_ended(struct divvy_daemon *daemon, const char *id, int32_t host_pid, uint64_t start_ticks) {
    (void)daemon;
    ended_add(id, host_pid, start_ticks);
}

void divvy_daemon_keeper_ended(struct divvy_daemon *daemon, const char *id) {
    (void)daemon;
    ended_add(id, 0, 0);
}

static struct timespec seconds_from_now(int seconds) {
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    return until;
}

uint64_t fake_devices(struct divvy_node_device *ret_devices, size_t *ret_count) {
    uint64_t number;

    (void)pthread_mutex_lock(&lock);
    memcpy(ret_devices, seen, sizeof seen);
    *ret_count = seen_count;
    number = looks;
    (void)pthread_mutex_unlock(&lock);
    return number;
}

bool fake_devices_wait(bool (*good)(const struct divvy_node_device *devices, size_t count)) {
    struct timespec until = seconds_from_now(15);
    bool is_good;
    int status = 0;

    (void)pthread_mutex_lock(&lock);
    while (!(is_good = good(seen, seen_count)) && status == 0)
        status = pthread_cond_timedwait(&changed, &lock, &until);
    (void)pthread_mutex_unlock(&lock);
    return is_good;
}

uint32_t fake_ended_wait(uint32_t count, struct fake_ended *ret_ended, uint32_t room) {
    struct timespec until = seconds_from_now(20);
    uint32_t found;
    int status = 0;

    (void)pthread_mutex_lock(&lock);
    while (ended_count < count && status == 0)
        status = pthread_cond_timedwait(&changed, &lock, &until);
    found = ended_count;
    if (ret_ended)
        memcpy(ret_ended, ended, (found < room ? found : room) * sizeof *ended);
    (void)pthread_mutex_unlock(&lock);
    return found;
}

void fake_ended_forget(void) {
    (void)pthread_mutex_lock(&lock);
    ended_count = 0;
    (void)pthread_mutex_unlock(&lock);
}
