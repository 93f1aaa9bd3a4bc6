/* MIG for the HTTP server: see mig.h. */
#include "daemon/http/mig.h"

#include "base/json/file.h"
#include "base/log.h"
#include "core/clock.h"
#include "daemon/http/mig_kept.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALLOCATIONS_MAX 1024u
#define LOOK_NS         INT64_C(10000000000) /* how old the known devices may be */
#define LOOK_FAILED_NS  INT64_C(60000000000) /* how long nothing is tried after NVML could not be had */

struct entry {
    struct divvy_http_mig_allocation allocation;
    struct divvy_mig_reservation *reservation; /* NULL: under way, the place is kept */
    bool is_kept; /* of the daemon before: not reserved again yet */
    struct entry *next;
};

struct divvy_http_mig {
    char *library, *lock_dir, *kept; /* NULL: the default; no file */
    int64_t ttl_ns;

    pthread_mutex_t nvml_lock; /* before `lock` */
    struct divvy_mig *nvml;    /* NULL: not open */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct entry *entries;
    size_t count;
    struct divvy_mig_list *known; /* or NULL */
    bool is_stopping;
    pthread_t thread;
};

static int64_t realtime_ns(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)DIVVY_NS_PER_SECOND + now.tv_nsec;
}

static void library_log(void *data, int level, const char *line) {
    (void)data;
    if (level == DIVVY_MIG_LOG_ERROR)
        divvy_log_error("mig: %s", line);
    else if (level == DIVVY_MIG_LOG_WARN)
        divvy_log_warn("mig: %s", line);
    else
        divvy_log_debug("mig: %s", line);
}

static struct divvy_mig_options options_of(const struct divvy_http_mig *mig) {
    struct divvy_mig_options options = DIVVY_MIG_OPTIONS_INIT;

    options.log = library_log;
    options.ttl_ns = mig->ttl_ns;
    options.lock_dir = mig->lock_dir;
    return options;
}

/* --- NVML ------------------------------------------------------------------------------------------------------- */

/* nvml_lock is held: the devices as they are now. */
static int list_locked(struct divvy_http_mig *mig, struct divvy_mig_list **ret_list, struct divvy_mig_error *error) {
    int status = mig->nvml ? 0 : divvy_mig_open(mig->library, &mig->nvml, error);

    if (status == 0)
        status = divvy_mig_list(mig->nvml, DIVVY_MIG_LIST_USAGE, ret_list, error);
    if (status < 0 && status != -ENOMEM) { /* a driver that was reloaded wants a new beginning */
        divvy_mig_close(mig->nvml);
        mig->nvml = NULL;
    }
    return status;
}

static int devices_copy(const struct divvy_http_mig *mig, const struct divvy_mig_list *list,
                        struct divvy_http_mig_device **ret_devices, size_t *ret_count) {
    size_t count = list ? divvy_mig_list_count(list) : 0;
    struct divvy_http_mig_device *devices = calloc(count + 1, sizeof *devices);

    if (!devices)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        devices[i].device = *divvy_mig_list_at(list, (uint32_t)i);
        if (devices[i].device.is_mig &&
            divvy_mig_holder(mig->lock_dir, devices[i].device.uuid, mig->ttl_ns, &devices[i].holder, NULL) < 0)
            devices[i].holder.state = DIVVY_MIG_UNSURE;
    }
    *ret_devices = devices;
    *ret_count = count;
    return 0;
}

int divvy_http_mig_devices(struct divvy_http_mig *mig, struct divvy_http_mig_device **ret_devices, size_t *ret_count,
                           struct divvy_mig_error *error) {
    struct divvy_mig_list *list = NULL;
    int status;

    (void)pthread_mutex_lock(&mig->nvml_lock);
    status = list_locked(mig, &list, error);
    (void)pthread_mutex_unlock(&mig->nvml_lock);
    if (status == 0)
        status = devices_copy(mig, list, ret_devices, ret_count);
    divvy_mig_list_free(list);
    return status;
}

int divvy_http_mig_devices_known(struct divvy_http_mig *mig, struct divvy_http_mig_device **ret_devices, size_t *ret_count) {
    int status;

    (void)pthread_mutex_lock(&mig->lock);
    status = devices_copy(mig, mig->known, ret_devices, ret_count);
    (void)pthread_mutex_unlock(&mig->lock);
    return status;
}

/* --- allocations -------------------------------------------------------------------------------------------------- */

static struct entry **entry_find(struct divvy_http_mig *mig, const char *workload) {
    struct entry **at = &mig->entries;

    while (*at && strcmp((*at)->allocation.workload, workload) != 0)
        at = &(*at)->next;
    return at;
}

/* lock is held: takes it out and gives the instance back. */
static void entry_end(struct divvy_http_mig *mig, struct entry **at) {
    struct entry *entry = *at;
    struct divvy_mig_error error = {0};

    *at = entry->next;
    mig->count--;
    if (divvy_mig_release(entry->reservation, &error) < 0)
        divvy_log_warn("mig: %s", error.text);
    free(entry);
}

/* lock is held: the file has what there is. Nothing stops because it cannot. */
static void kept_write(const struct divvy_http_mig *mig) {
    struct divvy_http_mig_allocation *all;
    struct divvy_error error = {0};
    size_t count = 0;

    if (!mig->kept)
        return;
    all = calloc(mig->count ? mig->count : 1, sizeof *all);
    if (!all)
        return;
    for (const struct entry *entry = mig->entries; entry; entry = entry->next)
        if (entry->reservation || entry->is_kept)
            all[count++] = entry->allocation;
    if (divvy_http_mig_kept_write(mig->kept, all, count, &error) < 0)
        divvy_log_warn("mig: allocations are not remembered: %s", error.text);
    free(all);
}

/* Keeps a place for a workload, so that it is not allocated to twice at once. */
static int place_take(struct divvy_http_mig *mig, const struct divvy_http_mig_wish *wish, struct divvy_mig_error *error) {
    struct entry *entry = calloc(1, sizeof *entry);
    int status = entry ? 0 : -ENOMEM;

    (void)pthread_mutex_lock(&mig->lock);
    if (status == 0 && *entry_find(mig, wish->workload))
        status = -EEXIST;
    else if (status == 0 && mig->count >= ALLOCATIONS_MAX)
        status = -ENFILE;
    if (status == 0) {
        (void)snprintf(entry->allocation.workload, sizeof entry->allocation.workload, "%s", wish->workload);
        entry->allocation.uid = wish->uid;
        entry->next = mig->entries;
        mig->entries = entry;
        mig->count++;
        entry = NULL;
    }
    (void)pthread_mutex_unlock(&mig->lock);
    free(entry);
    if (status < 0) {
        error->status = status;
        (void)snprintf(error->text, sizeof error->text, "%s", status == -EEXIST ? "the workload has an allocation already" :
                       status == -ENFILE ? "there are too many allocations" : "out of memory");
    }
    return status;
}

/* uuid NULL: any that fits. */
static int reserve(struct divvy_http_mig *mig, const char *profile, const char *uuid,
                   struct divvy_mig_reservation **ret_reservation, struct divvy_mig_error *error) {
    struct divvy_mig_options options = options_of(mig);
    struct divvy_mig_profile wanted;
    int status;

    options.uuid = uuid;
    (void)pthread_mutex_lock(&mig->nvml_lock);
    status = mig->nvml ? 0 : divvy_mig_open(mig->library, &mig->nvml, error);
    if (status == 0)
        status = divvy_mig_profile_read(mig->nvml, profile, &wanted, error);
    if (status == 0)
        status = divvy_mig_reserve(mig->nvml, &wanted, &options, ret_reservation, error);
    (void)pthread_mutex_unlock(&mig->nvml_lock);
    return status;
}

int divvy_http_mig_allocate(struct divvy_http_mig *mig, const struct divvy_http_mig_wish *wish,
                            struct divvy_http_mig_allocation *ret_allocation, struct divvy_mig_error *error) {
    struct divvy_mig_reservation *reservation = NULL;
    struct entry **at;
    int status = place_take(mig, wish, error);

    if (status < 0)
        return status;
    status = reserve(mig, wish->profile, NULL, &reservation, error);
    (void)pthread_mutex_lock(&mig->lock);
    at = entry_find(mig, wish->workload); /* nobody else takes a place that is only kept */
    if (status < 0) {
        entry_end(mig, at);
    } else {
        (*at)->reservation = reservation;
        (*at)->allocation.device = *divvy_mig_reservation_device(reservation);
        (*at)->allocation.created_ns = realtime_ns();
        (*at)->allocation.expires_ns = (*at)->allocation.created_ns + wish->timeout_ns;
        *ret_allocation = (*at)->allocation;
        kept_write(mig);
        (void)pthread_cond_signal(&mig->wake);
    }
    (void)pthread_mutex_unlock(&mig->lock);
    return status;
}

int divvy_http_mig_deallocate(struct divvy_http_mig *mig, const char *workload, uint32_t uid, bool is_admin) {
    struct entry **at;
    int status = 0;

    (void)pthread_mutex_lock(&mig->lock);
    at = entry_find(mig, workload);
    if (!*at || !(*at)->reservation)
        status = -ENOENT;
    else if (!is_admin && (*at)->allocation.uid != uid)
        status = -EPERM;
    else
        entry_end(mig, at);
    if (status == 0)
        kept_write(mig);
    (void)pthread_mutex_unlock(&mig->lock);
    return status;
}

int divvy_http_mig_find(struct divvy_http_mig *mig, const char *workload, struct divvy_http_mig_allocation *ret_allocation) {
    struct entry *entry;
    int status = -ENOENT;

    (void)pthread_mutex_lock(&mig->lock);
    entry = *entry_find(mig, workload);
    if (entry && entry->reservation) {
        *ret_allocation = entry->allocation;
        status = 0;
    }
    (void)pthread_mutex_unlock(&mig->lock);
    return status;
}

static int by_workload(const void *a, const void *b) {
    const struct divvy_http_mig_allocation *left = a, *right = b;

    return strcmp(left->workload, right->workload);
}

int divvy_http_mig_allocations(struct divvy_http_mig *mig, struct divvy_http_mig_allocation **ret_allocations,
                               size_t *ret_count) {
    struct divvy_http_mig_allocation *all;
    size_t count = 0;

    (void)pthread_mutex_lock(&mig->lock);
    all = calloc(mig->count + 1, sizeof *all);
    for (const struct entry *entry = mig->entries; all && entry; entry = entry->next)
        if (entry->reservation)
            all[count++] = entry->allocation;
    (void)pthread_mutex_unlock(&mig->lock);
    if (!all)
        return -ENOMEM;
    qsort(all, count, sizeof *all, by_workload);
    *ret_allocations = all;
    *ret_count = count;
    return 0;
}

/* --- those of the daemon before ------------------------------------------------------------------------------------- */

/* Their places, until the thread has reserved them again. */
static void kept_places_take(struct divvy_http_mig *mig) {
    struct divvy_http_mig_allocation *all;
    struct divvy_error error = {0};
    char aside[PATH_MAX];
    size_t count;
    int status = mig->kept ? divvy_http_mig_kept_read(mig->kept, &all, &count, &error) : -ENOENT;

    if (status < 0 && mig->kept) {
        divvy_log_error("mig: allocations of the daemon before are lost: %s", error.text);
        if (divvy_json_file_set_aside(mig->kept, aside, &error) == 0)
            divvy_log_warn("mig: that file is now %s", aside);
    }
    if (status < 0)
        return;
    for (size_t i = 0; i < count && i < ALLOCATIONS_MAX; i++) {
        struct entry *entry = all[i].expires_ns > realtime_ns() && !*entry_find(mig, all[i].workload) ? calloc(1, sizeof *entry) : NULL;

        if (!entry)
            continue;
        *entry = (struct entry){.allocation = all[i], .is_kept = true, .next = mig->entries};
        mig->entries = entry;
        mig->count++;
    }
    free(all);
}

/* lock is held, and let go for each: nobody else touches an entry that is not reserved. */
static void kept_reserve(struct divvy_http_mig *mig) {
    for (struct entry *entry = mig->entries, *next; entry; entry = next) {
        struct divvy_mig_reservation *reservation = NULL;
        struct divvy_mig_error error = {0};
        int status;

        next = entry->next; /* new ones come before, and only this thread takes out those that are kept */
        if (!entry->is_kept)
            continue;
        (void)pthread_mutex_unlock(&mig->lock);
        status = reserve(mig, "custom.0", entry->allocation.device.uuid, &reservation, &error);
        (void)pthread_mutex_lock(&mig->lock);
        entry->is_kept = false;
        entry->reservation = reservation;
        if (status == 0) {
            entry->allocation.device = *divvy_mig_reservation_device(reservation);
            continue;
        }
        divvy_log_warn("mig: the allocation of %s is lost: %s", entry->allocation.workload, error.text);
        entry_end(mig, entry_find(mig, entry->allocation.workload));
    }
    kept_write(mig);
}

/* --- the thread ----------------------------------------------------------------------------------------------------- */

static void expired_end(struct divvy_http_mig *mig) {
    int64_t now_ns = realtime_ns();

    bool is_changed = false;

    for (struct entry **at = &mig->entries; *at;) {
        if ((*at)->reservation && (*at)->allocation.expires_ns <= now_ns) {
            divvy_log_info("mig: the allocation of %s has expired", (*at)->allocation.workload);
            entry_end(mig, at);
            is_changed = true;
        } else {
            at = &(*at)->next;
        }
    }
    if (is_changed)
        kept_write(mig);
}

static void hearts_beat(struct divvy_http_mig *mig) {
    struct divvy_mig_error error = {0};

    for (struct entry *entry = mig->entries; entry; entry = entry->next)
        if (entry->reservation && divvy_mig_heartbeat(entry->reservation, &error) < 0)
            divvy_log_error("mig: %s", error.text);
}

/* lock is held, and let go while NVML is asked. When to look again. */
static int64_t look(struct divvy_http_mig *mig) {
    struct divvy_mig_list *list = NULL, *old;
    int status;

    (void)pthread_mutex_unlock(&mig->lock);
    (void)pthread_mutex_lock(&mig->nvml_lock);
    status = list_locked(mig, &list, NULL);
    (void)pthread_mutex_unlock(&mig->nvml_lock);
    (void)pthread_mutex_lock(&mig->lock);
    old = mig->known;
    mig->known = list;
    divvy_mig_list_free(old);
    return (int64_t)divvy_core_clock_ns() + (status < 0 ? LOOK_FAILED_NS : LOOK_NS);
}

/* How long until the first allocation expires. */
static int64_t expiry_wait_ns(const struct divvy_http_mig *mig) {
    int64_t now_ns = realtime_ns(), wait_ns = LOOK_FAILED_NS;

    for (const struct entry *entry = mig->entries; entry; entry = entry->next)
        if (entry->reservation && entry->allocation.expires_ns - now_ns < wait_ns)
            wait_ns = entry->allocation.expires_ns - now_ns;
    return wait_ns > 0 ? wait_ns : 0;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void *run(void *data) {
    struct divvy_http_mig *mig = data;
    int64_t look_ns = 0, beat_ns = 0;

    (void)pthread_mutex_lock(&mig->lock);
    if (mig->count > 0)
        kept_reserve(mig);
    while (!mig->is_stopping) {
        int64_t now_ns = (int64_t)divvy_core_clock_ns(), until_ns;
        struct timespec deadline;

        expired_end(mig);
        if (now_ns >= beat_ns) {
            hearts_beat(mig);
            beat_ns = now_ns + mig->ttl_ns / 3;
        }
        if (now_ns >= look_ns) {
            look_ns = look(mig);
            if (mig->is_stopping)
                break;
        }
        until_ns = smaller(smaller(look_ns, beat_ns), (int64_t)divvy_core_clock_ns() + expiry_wait_ns(mig));
        deadline = divvy_core_clock_timespec((uint64_t)until_ns);
        (void)pthread_cond_timedwait(&mig->wake, &mig->lock, &deadline);
    }
    (void)pthread_mutex_unlock(&mig->lock);
    return NULL;
}

static void mig_free(struct divvy_http_mig *mig) {
    (void)pthread_cond_destroy(&mig->wake);
    (void)pthread_mutex_destroy(&mig->lock);
    (void)pthread_mutex_destroy(&mig->nvml_lock);
    free(mig->library);
    free(mig->lock_dir);
    free(mig->kept);
    free(mig);
}

static int text_copy(const char *text, char **ret_copy) {
    *ret_copy = text && *text ? strdup(text) : NULL;
    return text && *text && !*ret_copy ? -ENOMEM : 0;
}

int divvy_http_mig_start(const char *library, const char *lock_dir, const char *kept, struct divvy_http_mig **ret_mig,
                         struct divvy_error *error) {
    struct divvy_http_mig *mig = calloc(1, sizeof *mig);
    struct divvy_mig_options options = DIVVY_MIG_OPTIONS_INIT;
    pthread_condattr_t clock;
    int status;

    if (!mig)
        return divvy_error_set(error, -ENOMEM, "out of memory");
    options.log = library_log;
    divvy_mig_options_read_environment(&options);
    mig->ttl_ns = options.ttl_ns;
    (void)pthread_mutex_init(&mig->nvml_lock, NULL);
    (void)pthread_mutex_init(&mig->lock, NULL);
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&mig->wake, &clock);
    (void)pthread_condattr_destroy(&clock);
    status = text_copy(library, &mig->library);
    if (status == 0)
        status = text_copy(lock_dir, &mig->lock_dir);
    if (status == 0)
        status = text_copy(kept, &mig->kept);
    if (status == 0)
        kept_places_take(mig);
    if (status == 0)
        status = -pthread_create(&mig->thread, NULL, run, mig);
    if (status < 0) {
        mig_free(mig);
        return divvy_error_set_errno(error, status, "the thread for MIG cannot be started");
    }
    *ret_mig = mig;
    return 0;
}

void divvy_http_mig_stop(struct divvy_http_mig *mig) {
    if (!mig)
        return;
    (void)pthread_mutex_lock(&mig->lock);
    mig->is_stopping = true;
    (void)pthread_cond_signal(&mig->wake);
    (void)pthread_mutex_unlock(&mig->lock);
    (void)pthread_join(mig->thread, NULL);
    while (mig->entries)
        entry_end(mig, &mig->entries);
    divvy_mig_list_free(mig->known);
    divvy_mig_close(mig->nvml);
    mig_free(mig);
}
