/* Reserving: which instances fit, in which order they are tried, and waiting for one. */
#include "core/clock.h"
#include "core/sys.h"
#include "mig/create.h"
#include "mig/error.h"
#include "mig/intent.h"
#include "mig/list.h"
#include "mig/reservation.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C(1024) * 1024)

/* How often a waiter looks by itself: deaths make no event. */
#define LOOK_NS    (50 * DIVVY_NS_PER_MS)
/* How often it lists the devices anew: others create and destroy instances. */
#define RELIST_NS  DIVVY_NS_PER_SECOND
/* Looks at locks that somebody has only for a moment; the pause doubles each time. */
#define DOUBT_LOOKS 4u
#define DOUBT_NS    DIVVY_NS_PER_MS

struct candidate {
    const struct divvy_mig_device *device; /* the list's */
    int match;
    bool is_bigger; /* than asked for */
    bool is_doubtful;
};

/* One reservation under way. */
struct hunt {
    struct divvy_mig *mig;
    const struct divvy_mig_profile *wanted;
    struct divvy_mig_options options;
    struct divvy_mig_folder folder;
    struct divvy_mig_list *list;
    struct candidate *candidates;
    uint32_t count;
    struct divvy_mig_holder holder; /* of one that is taken, and which */
    const struct divvy_mig_device *taken;
    int last_fault_said; /* one line for each trouble, not for each look */

    /* What came of it. */
    struct divvy_mig_device device;
    struct divvy_mig_lock lock;
    int match;
    bool is_created;
};

#define SAY(hunt, level, ...) divvy_mig_say((hunt)->options.log, (hunt)->options.log_data, (level), __VA_ARGS__)

/* --- candidates ----------------------------------------------------------------------------------------------- */

static bool is_bigger(const struct divvy_mig_profile *wanted, const struct divvy_mig_device *device) {
    uint32_t compute = wanted->compute_slices ? wanted->compute_slices : wanted->gpu_slices;

    return !wanted->is_custom && !wanted->attribute[0] && device->gpu_slices >= wanted->gpu_slices &&
           device->compute_slices >= compute && device->memory_bytes / MIB * 1000 >= (uint64_t)wanted->gigabytes * 1024 * 850;
}

static bool is_admitted(const struct hunt *hunt, const struct divvy_mig_device *device) {
    return device->is_mig && (!hunt->options.uuid || strcasecmp(hunt->options.uuid, device->uuid) == 0) &&
           (!hunt->options.gpu_uuid || strcasecmp(hunt->options.gpu_uuid, device->parent_uuid) == 0);
}

static int by_order(const void *a, const void *b) {
    const struct candidate *left = a, *right = b;

    if (left->is_bigger != right->is_bigger)
        return left->is_bigger ? 1 : -1;
    if (left->device->memory_bytes / MIB != right->device->memory_bytes / MIB)
        return left->device->memory_bytes < right->device->memory_bytes ? -1 : 1;
    if (left->device->gpu_index != right->device->gpu_index)
        return left->device->gpu_index < right->device->gpu_index ? -1 : 1;
    return left->device->mig_index < right->device->mig_index ? -1 : left->device->mig_index > right->device->mig_index;
}

static void faults_say(struct hunt *hunt) {
    const char *first;
    uint32_t faults = divvy_mig_list_faults(hunt->list, &first);

    if (faults > 0 && hunt->last_fault_said == 0)
        SAY(hunt, DIVVY_MIG_LOG_WARN, "%u readings of devices failed, the first: %s", faults, first);
    hunt->last_fault_said = faults > 0;
}

/* Lists the devices, and which of them fit, anew. */
static int candidates_find(struct hunt *hunt, struct divvy_mig_error *error) {
    struct divvy_mig_list *list;
    struct candidate *candidates;
    int status = divvy_mig_list(hunt->mig, 0, &list, error);

    if (status < 0)
        return status;
    candidates = calloc(list->count + 1, sizeof *candidates);
    if (!candidates) {
        divvy_mig_list_free(list);
        return divvy_mig_error_set_errno(error, -ENOMEM, "the list of devices");
    }
    divvy_mig_list_free(hunt->list);
    free(hunt->candidates);
    hunt->list = list;
    hunt->candidates = candidates;
    hunt->count = 0;
    hunt->taken = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        struct candidate candidate = {.device = &list->devices[i]};

        if (!is_admitted(hunt, candidate.device))
            continue;
        candidate.match = divvy_mig_profile_matches(hunt->wanted, candidate.device);
        candidate.is_bigger = candidate.match == DIVVY_MIG_NO_MATCH && (hunt->options.flags & DIVVY_MIG_BIGGER) &&
                              is_bigger(hunt->wanted, candidate.device);
        if (candidate.match != DIVVY_MIG_NO_MATCH || candidate.is_bigger)
            candidates[hunt->count++] = candidate;
    }
    qsort(candidates, hunt->count, sizeof *candidates, by_order);
    faults_say(hunt);
    return 0;
}

/* --- trying --------------------------------------------------------------------------------------------------- */

static int candidate_take(struct hunt *hunt, struct candidate *candidate, struct divvy_mig_error *error) {
    struct divvy_mig_holder holder = {0};
    int status = divvy_mig_lock_take(&hunt->folder, candidate->device->uuid, hunt->options.ttl_ns, hunt->options.holder_pid,
                                     &hunt->lock, &holder, error);

    candidate->is_doubtful = status == -EBUSY && holder.reserved;
    if (status == -EBUSY) {
        hunt->holder = holder;
        hunt->taken = candidate->device;
    }
    if (status == 0) {
        hunt->device = *candidate->device;
        hunt->match = candidate->match;
    }
    return status;
}

/* Each once. `only_doubtful`: those that were so the last time. 0, -EBUSY all taken, or what is wrong with the folder. */
static int candidates_try(struct hunt *hunt, bool only_doubtful, bool *ret_doubtful, struct divvy_mig_error *error) {
    *ret_doubtful = false;
    for (uint32_t i = 0; i < hunt->count; i++) {
        struct candidate *candidate = &hunt->candidates[i];
        int status;

        if (only_doubtful && !candidate->is_doubtful)
            continue;
        status = candidate_take(hunt, candidate, error);
        if (status != -EBUSY)
            return status;
        *ret_doubtful = *ret_doubtful || candidate->is_doubtful;
    }
    return -EBUSY;
}

static int candidates_take(struct hunt *hunt, struct divvy_mig_error *error) {
    uint64_t pause_ns = DOUBT_NS;
    bool is_doubtful;
    int status = candidates_try(hunt, false, &is_doubtful, error);

    for (unsigned int look = 0; status == -EBUSY && is_doubtful && look < DOUBT_LOOKS; look++, pause_ns *= 2) {
        struct timespec pause = divvy_core_clock_timespec(pause_ns);

        (void)nanosleep(&pause, NULL);
        status = candidates_try(hunt, true, &is_doubtful, error);
    }
    return status;
}

/* The same for somebody who waits: what is taken is only looked at, which makes no event for others who wait. */
static int candidates_take_gently(struct hunt *hunt, struct divvy_mig_error *error) {
    for (uint32_t i = 0; i < hunt->count; i++) {
        struct divvy_mig_holder holder;
        int status = divvy_mig_lock_look(&hunt->folder, hunt->candidates[i].device->uuid, hunt->options.ttl_ns, &holder);

        if (status == 0 && divvy_mig_holder_is_taken(&holder))
            continue;
        status = candidate_take(hunt, &hunt->candidates[i], error);
        if (status != -EBUSY)
            return status;
    }
    return -EBUSY;
}

static int create(struct hunt *hunt, struct divvy_mig_error *error) {
    int status;

    (void)divvy_mig_reap(hunt->mig, hunt->folder.path, NULL);
    status = divvy_mig_create(hunt->mig, &hunt->folder, hunt->wanted, hunt->options.gpu_uuid, hunt->options.ttl_ns,
                              &hunt->device, &hunt->lock, error);
    if (status < 0)
        return status;
    hunt->is_created = true;
    hunt->match = DIVVY_MIG_MATCH_BY_NAME;
    SAY(hunt, DIVVY_MIG_LOG_INFO, "created MIG instance %s (%s) on GPU %u", hunt->device.uuid, hunt->device.profile,
        hunt->device.gpu_index);
    return 0;
}

/* --- what to say of a failure ------------------------------------------------------------------------------------ */

static int no_match_set(const struct hunt *hunt, struct divvy_mig_error *error) {
    char profiles[256];

    if (!divvy_mig_list_has_mig(hunt->list))
        return divvy_mig_error_set(error, -ENODEV, "%s", hunt->list->count ?
                                   "no GPU has MIG mode on (nvidia-smi -i 0 -mig 1 switches it on for GPU 0)" :
                                   "NVML works and shows no GPU");
    divvy_mig_list_profiles(hunt->list, profiles, sizeof profiles);
    if (hunt->options.uuid)
        return divvy_mig_error_set(error, -ENXIO, "there is no MIG instance %.96s that fits %s; profiles here: %s",
                                   hunt->options.uuid, hunt->wanted->text, profiles);
    return divvy_mig_error_set(error, -ENXIO, "no MIG instance here is of profile %s; profiles here: %s", hunt->wanted->text,
                               profiles);
}

static int busy_set(const struct hunt *hunt, int status, struct divvy_mig_error *error) {
    char who[160];

    if (hunt->holder.state == DIVVY_MIG_UNSURE)
        (void)snprintf(who, sizeof who, "has a lock that names nobody (it may be removed, or becomes free after the TTL)");
    else if (hunt->holder.state == DIVVY_MIG_DEAD)
        (void)snprintf(who, sizeof who, "was left by a dead process of user %u, whose lock only they or root may remove",
                       hunt->holder.uid);
    else
        (void)snprintf(who, sizeof who, "is held by process %d of user %u", hunt->holder.pid, hunt->holder.uid);
    if (hunt->count == 1)
        return divvy_mig_error_set(error, status, "the only MIG instance that fits %s is taken%s; %s %s", hunt->wanted->text,
                                   status == -ETIMEDOUT ? ", and did not become free in time" : "",
                                   hunt->candidates[0].device->uuid, who);
    return divvy_mig_error_set(error, status, "all %u MIG instances that fit %s are taken%s; %s %s", hunt->count,
                               hunt->wanted->text, status == -ETIMEDOUT ? ", and none became free in time" : "",
                               hunt->taken ? hunt->taken->uuid : "one of them", who);
}

static void created_not_add(struct divvy_mig_error *error, const struct divvy_mig_error *reason) {
    size_t length;

    if (!error || !reason->text[0])
        return;
    length = strlen(error->text);
    (void)snprintf(error->text + length, sizeof error->text - length, "; none was created: %.160s", reason->text);
}

/* --- the hunt --------------------------------------------------------------------------------------------------- */

/* One attempt. `is_first` tries hard, later ones gently; `is_new`: the devices were listed just now. */
static int attempt(struct hunt *hunt, bool is_first, bool is_new, struct divvy_mig_error *error) {
    struct divvy_mig_error reason = {0};
    int status = is_first ? candidates_take(hunt, error) : candidates_take_gently(hunt, error);

    if (status != -EBUSY)
        return status;
    if ((hunt->options.flags & DIVVY_MIG_CREATE) && !is_new)
        return status;
    if ((hunt->options.flags & DIVVY_MIG_CREATE) && divvy_mig_list_has_mig(hunt->list)) {
        status = create(hunt, &reason);
        if (status == 0)
            return 0;
        status = -EBUSY;
    }
    if (hunt->count == 0 && !(reason.status == -ENOSPC || reason.status == -EBUSY))
        status = no_match_set(hunt, error);
    else if (hunt->count == 0)
        (void)divvy_mig_error_set(error, status, "no MIG instance of profile %s is free", hunt->wanted->text);
    else
        (void)busy_set(hunt, status, error);
    created_not_add(error, &reason);
    return status;
}

/* Sleeps until something may have changed. -ECANCELED. */
static int nap(const struct hunt *hunt, int events_fd, uint64_t until_ns) {
    struct pollfd fds[] = {{.fd = events_fd, .events = POLLIN}, {.fd = hunt->options.cancel_fd, .events = POLLIN}};
    uint64_t now_ns = divvy_core_clock_ns(), end_ns = now_ns + LOOK_NS;
    struct timespec timeout;
    char events[4096];

    if (end_ns > until_ns)
        end_ns = until_ns > now_ns ? until_ns : now_ns;
    timeout = divvy_core_clock_timespec(end_ns - now_ns);
    (void)ppoll(fds, 2, &timeout, NULL);
    if (fds[1].revents)
        return -ECANCELED;
    if (fds[0].revents)
        (void)!read(events_fd, events, sizeof events);
    return 0;
}

static int wait_for_one(struct hunt *hunt, struct divvy_mig_error *error) {
    uint64_t now_ns = divvy_core_clock_ns(), listed_ns = now_ns;
    uint64_t until_ns = hunt->options.wait_ns < 0 || (uint64_t)hunt->options.wait_ns > UINT64_MAX / 2 ?
                            UINT64_MAX :
                            now_ns + (uint64_t)hunt->options.wait_ns;
    int events_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), status = -EBUSY;
    bool is_new;

    if (events_fd >= 0) /* without, there is the look every now and then */
        (void)inotify_add_watch(events_fd, hunt->folder.path, IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR);
    SAY(hunt, DIVVY_MIG_LOG_INFO, "waiting for a MIG instance of profile %s", hunt->wanted->text);
    while (status == -EBUSY) {
        status = nap(hunt, events_fd, until_ns);
        if (status < 0) {
            (void)divvy_mig_error_set(error, status, "the wait for a MIG instance of profile %s was called off",
                                      hunt->wanted->text);
            break;
        }
        now_ns = divvy_core_clock_ns();
        is_new = now_ns - listed_ns >= RELIST_NS;
        if (is_new) {
            status = candidates_find(hunt, error);
            if (status < 0)
                break;
            listed_ns = now_ns;
        }
        status = attempt(hunt, false, is_new, error);
        if (status == -EBUSY && now_ns >= until_ns)
            status = hunt->count ? busy_set(hunt, -ETIMEDOUT, error) :
                                   divvy_mig_error_set(error, -ETIMEDOUT, "no MIG instance of profile %s became free in time",
                                                       hunt->wanted->text);
    }
    divvy_core_sys_close(&events_fd);
    return status;
}

static void gain_say(const struct hunt *hunt) {
    if (hunt->match == DIVVY_MIG_MATCH_BY_SIZE)
        SAY(hunt, DIVVY_MIG_LOG_WARN, "%s was taken for %s by its size alone: neither its name nor its slices are known",
            hunt->device.uuid, hunt->wanted->text);
    if (hunt->device.mig_mode != hunt->device.mig_mode_pending)
        SAY(hunt, DIVVY_MIG_LOG_WARN, "GPU %u: MIG will be off after its next reset", hunt->device.gpu_index);
    SAY(hunt, DIVVY_MIG_LOG_DEBUG, "reserved %s (%s)", hunt->device.uuid, hunt->device.profile);
}

/* Options of an older program are shorter: what they lack is 0. */
static int options_read(const struct divvy_mig_options *options, struct divvy_mig_options *ret_options,
                        struct divvy_mig_error *error) {
    static const struct divvy_mig_options defaults = DIVVY_MIG_OPTIONS_INIT;
    const uint32_t known = DIVVY_MIG_CREATE | DIVVY_MIG_BIGGER | DIVVY_MIG_HEARTBEAT_THREAD;

    *ret_options = defaults;
    if (options && (options->size_bytes < sizeof options->size_bytes || options->size_bytes > sizeof *options))
        return divvy_mig_error_set(error, -EINVAL, "options of a reservation have a size that this library does not know");
    if (options)
        memcpy(ret_options, options, options->size_bytes);
    if (ret_options->ttl_ns == 0)
        ret_options->ttl_ns = DIVVY_MIG_TTL_NS;
    if (ret_options->ttl_ns < 0 || ret_options->wait_ns < DIVVY_MIG_WAIT_FOREVER || (ret_options->flags & ~known) ||
        ret_options->holder_pid < 0)
        return divvy_mig_error_set(error, -EINVAL, "options of a reservation are out of range");
    return 0;
}

/* Fills the last four members of `hunt`. */
static int hunt_run(struct hunt *hunt, struct divvy_mig_error *error) {
    int status = divvy_mig_folder_open(hunt->options.lock_dir, true, &hunt->folder, error);

    if (status < 0)
        return status;
    /* What somebody was making when they were killed is not for use, but taken away. */
    if (divvy_mig_intent_is_abandoned(&hunt->folder))
        (void)divvy_mig_reap(hunt->mig, hunt->folder.path, NULL);
    status = candidates_find(hunt, error);
    if (status == 0)
        status = attempt(hunt, true, true, error);
    if (status == -EBUSY && hunt->options.wait_ns != 0)
        status = wait_for_one(hunt, error);
    if (status == 0)
        gain_say(hunt);
    divvy_mig_list_free(hunt->list);
    free(hunt->candidates);
    return status;
}

int divvy_mig_reserve(struct divvy_mig *mig, const struct divvy_mig_profile *profile, const struct divvy_mig_options *options,
                      struct divvy_mig_reservation **ret_reservation, struct divvy_mig_error *error) {
    struct divvy_mig_reservation *reservation;
    struct hunt hunt = {.mig = mig, .wanted = profile, .folder = {.fd = -1}};
    int status = options_read(options, &hunt.options, error);

    if (status < 0)
        return status;
    if (hunt.options.holder_pid != 0)
        return divvy_mig_error_set(error, -EINVAL, "options of a reservation name another process");
    reservation = calloc(1, sizeof *reservation);
    if (!reservation)
        return divvy_mig_error_set_errno(error, -ENOMEM, "a reservation");
    status = hunt_run(&hunt, error);
    if (status < 0) {
        divvy_mig_folder_close(&hunt.folder);
        free(reservation);
        return status;
    }
    reservation->device = hunt.device;
    reservation->folder = hunt.folder;
    reservation->lock = hunt.lock;
    reservation->ttl_ns = hunt.options.ttl_ns;
    reservation->match = hunt.match;
    reservation->is_created = hunt.is_created;
    reservation->is_apart = mig->is_apart;
    reservation->log = hunt.options.log;
    reservation->log_data = hunt.options.log_data;
    memcpy(reservation->library, mig->library, sizeof reservation->library);
    (void)snprintf(reservation->path, sizeof reservation->path, "%s/%s", hunt.folder.path, hunt.lock.name);
    if (hunt.options.flags & DIVVY_MIG_HEARTBEAT_THREAD)
        status = divvy_mig_heartbeat_start(reservation);
    if (status < 0) {
        (void)divvy_mig_release(reservation, NULL);
        return divvy_mig_error_set_errno(error, status, "the thread of the heartbeat");
    }
    *ret_reservation = reservation;
    return 0;
}

int divvy_mig_reserve_by_profile(const char *profile, const struct divvy_mig_options *options,
                                 struct divvy_mig_reservation **ret_reservation, struct divvy_mig_error *error) {
    struct divvy_mig_profile wanted;
    struct divvy_mig *mig;
    int status = divvy_mig_open(NULL, &mig, error);

    if (status < 0)
        return divvy_mig_profile_parse(profile, &wanted, NULL) < 0 ? divvy_mig_profile_parse(profile, &wanted, error) : status;
    status = divvy_mig_profile_read(mig, profile, &wanted, error);
    if (status == 0)
        status = divvy_mig_reserve(mig, &wanted, options, ret_reservation, error);
    divvy_mig_close(mig);
    return status;
}

int divvy_mig_reserve_for(struct divvy_mig *mig, const struct divvy_mig_profile *profile,
                          const struct divvy_mig_options *options, struct divvy_mig_device *ret_device,
                          struct divvy_mig_error *error) {
    struct hunt hunt = {.mig = mig, .wanted = profile, .folder = {.fd = -1}};
    int status = options_read(options, &hunt.options, error);
    uint64_t ticks;

    if (status < 0)
        return status;
    if (hunt.options.holder_pid <= 0 || (hunt.options.flags & (DIVVY_MIG_CREATE | DIVVY_MIG_HEARTBEAT_THREAD)))
        return divvy_mig_error_set(error, -EINVAL, "a reservation for another process must name it, and can neither create "
                                                   "an instance nor keep a heartbeat");
    if (divvy_core_sys_start_time(hunt.options.holder_pid, &ticks) == -ESRCH)
        return divvy_mig_error_set(error, -ESRCH, "there is no process %d", hunt.options.holder_pid);
    status = hunt_run(&hunt, error);
    divvy_mig_folder_close(&hunt.folder);
    if (status == 0)
        *ret_device = hunt.device;
    return status;
}
