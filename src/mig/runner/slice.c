/* The GPU of the program: see slice.h. */
#include "mig/runner/slice.h"

#include "base/log.h"
#include "mig/apart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Where there are no slices at all, and where there is none of this kind, one log line says why; then this. */
struct attempt {
    const struct divvy_runner_wish *wish;
    struct divvy_mig_profile profile;
    struct divvy_mig_options options;
    struct divvy_mig *mig; /* NULL: NVML cannot be had */
    struct divvy_mig_list *list;
};

static void library_log(void *data, int level, const char *line) {
    (void)data;
    if (level <= DIVVY_MIG_LOG_ERROR)
        divvy_log_error("%s", line);
    else if (level == DIVVY_MIG_LOG_WARN)
        divvy_log_warn("%s", line);
    else if (level == DIVVY_MIG_LOG_INFO)
        divvy_log_info("%s", line);
    else
        divvy_log_debug("%s", line);
}

static void options_fill(const struct divvy_runner_wish *wish, struct divvy_mig_options *ret_options) {
    *ret_options = (struct divvy_mig_options)DIVVY_MIG_OPTIONS_INIT;
    ret_options->log = library_log;
    divvy_mig_options_read_environment(ret_options);
    ret_options->flags = (wish->create ? DIVVY_MIG_CREATE : 0) | (wish->bigger ? DIVVY_MIG_BIGGER : 0);
    ret_options->wait_ns = wish->busy == DIVVY_RUNNER_BUSY_WAIT ? wish->wait_ns : 0;
    ret_options->cancel_fd = wish->cancel_fd;
    if (wish->lock_dir)
        ret_options->lock_dir = wish->lock_dir;
}

static const char *kind_of(const struct divvy_mig_device *device) {
    return device->is_mig ? "slice" : "whole GPU";
}

static void reservation_take(struct divvy_runner_slice *slice, struct divvy_mig_reservation *reservation) {
    slice->reservation = reservation;
    slice->device = *divvy_mig_reservation_device(reservation);
    slice->devices[0] = slice->device;
    slice->count = 1;
}

/* By its UUID in any case, else as CUDA_VISIBLE_DEVICES names one. */
static const struct divvy_mig_device *gpu_find(const struct attempt *attempt) {
    for (uint32_t i = 0; i < divvy_mig_list_count(attempt->list); i++)
        if (strcasecmp(divvy_mig_list_at(attempt->list, i)->uuid, attempt->wish->gpu) == 0)
            return divvy_mig_list_at(attempt->list, i);
    return divvy_mig_list_resolve(attempt->list, attempt->wish->gpu);
}

static int reserve(struct attempt *attempt, struct divvy_runner_slice *slice, struct divvy_mig_error *ret_reason) {
    const struct divvy_mig_device *gpu = NULL;
    struct divvy_mig_options options = attempt->options;
    struct divvy_mig_reservation *reservation;
    int status;

    if (attempt->wish->gpu && attempt->list)
        gpu = gpu_find(attempt);
    if (gpu)
        options.gpu_uuid = gpu->is_mig ? gpu->parent_uuid : gpu->uuid;
    status = divvy_mig_reserve(attempt->mig, &attempt->profile, &options, &reservation, ret_reason);
    if (status < 0)
        return status;
    reservation_take(slice, reservation);
    slice->is_set = true;
    divvy_log_info("running on slice %s of GPU %u: %s, %llu MiB%s%s%s", slice->device.uuid, slice->device.gpu_index,
                   slice->device.profile, (unsigned long long)(slice->device.memory_bytes >> 20),
                   divvy_mig_reservation_match(reservation) == DIVVY_MIG_MATCH_BY_SIZE ? ", matched by size alone" : "",
                   divvy_mig_reservation_is_created(reservation) ? ", created for this run" : "",
                   attempt->wish->visible ? "; CUDA_VISIBLE_DEVICES was set otherwise and is not heeded" : "");
    return 0;
}

/* ---- without a slice of the profile ---- */

/*
 * A slice that the program would run on by what CUDA_VISIBLE_DEVICES says: it is reserved like any other, so that neither it nor
 * anybody else's is used twice.
 */
static int named_reserve(struct attempt *attempt, const struct divvy_mig_device *device, struct divvy_runner_slice *slice,
                         struct divvy_error *error) {
    struct divvy_mig_profile any = {.is_custom = 1, .text = "custom.0"};
    struct divvy_mig_options options = attempt->options;
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_holder holder;
    struct divvy_mig_error reason;

    options.flags = 0;
    options.wait_ns = 0;
    options.uuid = device->uuid;
    if (divvy_mig_reserve(attempt->mig, &any, &options, &reservation, &reason) == 0) {
        reservation_take(slice, reservation);
        return 0;
    }
    if (divvy_mig_holder(options.lock_dir, device->uuid, options.ttl_ns, &holder, NULL) < 0 ||
        !divvy_mig_holder_is_taken(&holder)) {
        divvy_log_warn("slice %s is not reserved: %s", device->uuid, reason.text);
        return 0;
    }
    return divvy_error_set(error, -EBUSY,
                           "CUDA_VISIBLE_DEVICES=%.40s is slice %s, which process %d holds; wait for it, or choose another",
                           attempt->wish->visible ? attempt->wish->visible : "(not set)", device->uuid, holder.pid);
}

static bool is_known(const struct divvy_runner_slice *slice, const struct divvy_mig_device *device) {
    for (uint32_t i = 0; i < slice->count; i++)
        if (strcmp(slice->devices[i].uuid, device->uuid) == 0)
            return true;
    return false;
}

/* The devices that a value of CUDA_VISIBLE_DEVICES names; NULL: not set, all GPUs. CUDA stops at the first that it cannot find. */
static void visible_find(const struct divvy_mig_list *list, const char *visible, struct divvy_runner_slice *slice) {
    char word[DIVVY_MIG_UUID_BYTES + 1];

    for (uint32_t i = 0; !visible && i < divvy_mig_list_count(list) && slice->count < DIVVY_RUNNER_DEVICES; i++)
        if (!divvy_mig_list_at(list, i)->is_mig && !divvy_mig_list_at(list, i)->mig_mode)
            slice->devices[slice->count++] = *divvy_mig_list_at(list, i);
    if (!visible && slice->count == 0)
        visible = "0"; /* all GPUs are divided: CUDA shows the first slice */
    while (visible && *visible && slice->count < DIVVY_RUNNER_DEVICES) {
        size_t length = strcspn(visible, ",");
        const struct divvy_mig_device *device;

        (void)snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), visible);
        device = divvy_mig_list_resolve(list, word);
        if (!device)
            break;
        if (!is_known(slice, device))
            slice->devices[slice->count++] = *device;
        visible += length + (visible[length] == ',');
    }
}

static void outcome_say(const struct divvy_runner_slice *slice, const char *visible, const char *why) {
    const char *value = visible ? visible : "(not set)";

    if (slice->count > 0)
        divvy_log_info("%s%srunning with CUDA_VISIBLE_DEVICES=%.80s: %s %s (GPU %u)%s", why, *why ? "; " : "", value,
                       kind_of(&slice->devices[0]), slice->devices[0].uuid, slice->devices[0].gpu_index,
                       slice->count > 1 ? " and others" : "");
    else
        divvy_log_info("%s%srunning with CUDA_VISIBLE_DEVICES=%.80s as it is", why, *why ? "; " : "", value);
}

/* The program runs as the user's environment says, if that is nobody else's slice. */
static int fall_back(struct attempt *attempt, const char *why, struct divvy_runner_slice *slice, struct divvy_error *error) {
    if (attempt->list)
        visible_find(attempt->list, attempt->wish->visible, slice);
    if (slice->count > 0 && slice->devices[0].is_mig && named_reserve(attempt, &slice->devices[0], slice, error) < 0) {
        (void)divvy_error_prefix(error, "%.100s", why);
        return error->status;
    }
    outcome_say(slice, attempt->wish->visible, why);
    return 0;
}

/* A reservation that failed: what it means by the wish's policy. */
static int failure_judge(struct attempt *attempt, int status, const char *reason, struct divvy_runner_slice *slice,
                         struct divvy_error *error) {
    bool is_taken = status == -EBUSY || status == -ETIMEDOUT;

    if (status == -EINVAL || status == -ERANGE || status == -ECANCELED || status == -ENOMEM)
        return divvy_error_set(error, status, "%s", reason);
    if (attempt->wish->slice_is_needed)
        return divvy_error_set(error, is_taken ? status : -EBUSY, "%s", reason);
    if (is_taken && attempt->wish->busy != DIVVY_RUNNER_BUSY_FALLBACK)
        return divvy_error_set(error, status, "%s", reason);
    return fall_back(attempt, reason, slice, error);
}

static int wish_serve(struct attempt *attempt, int open_status, struct divvy_mig_error *reason,
                      struct divvy_runner_slice *slice, struct divvy_error *error) {
    struct divvy_mig_error fault;
    int status;

    /* What is no profile is none on any machine; those of this one show how they are written. */
    if (divvy_mig_profile_read(attempt->mig, attempt->wish->profile, &attempt->profile, &fault) < 0)
        return divvy_error_set(error, -EINVAL, "%s", fault.text);
    if (attempt->wish->gpu_is_needed && attempt->list && !gpu_find(attempt))
        return divvy_error_set(error, -EINVAL, "--gpu: there is no GPU '%.96s' here", attempt->wish->gpu);
    status = open_status < 0 ? open_status : reserve(attempt, slice, reason);
    return status < 0 ? failure_judge(attempt, status, reason->text, slice, error) : 0;
}

int divvy_runner_slice_check(const struct divvy_runner_wish *wish, struct divvy_error *error) {
    struct divvy_mig_profile profile;
    struct divvy_mig_error fault;
    struct divvy_mig *mig = NULL;
    int status;

    if (!wish->profile[0] || divvy_mig_profile_parse(wish->profile, &profile, NULL) == 0)
        return 0;
    (void)divvy_mig_open_apart(wish->library, &mig, NULL); /* those of this machine show how they are written */
    status = divvy_mig_profile_read(mig, wish->profile, &profile, &fault);
    divvy_mig_close(mig);
    return status < 0 ? divvy_error_set(error, -EINVAL, "%s", fault.text) : 0;
}

int divvy_runner_slice_take(const struct divvy_runner_wish *wish, struct divvy_runner_slice *ret_slice,
                            struct divvy_error *error) {
    struct attempt attempt = {.wish = wish};
    struct divvy_mig_error reason = {0};
    int status;

    *ret_slice = (struct divvy_runner_slice){0};
    options_fill(wish, &attempt.options);
    status = divvy_mig_open_apart(wish->library, &attempt.mig, &reason);
    if (status == 0)
        (void)divvy_mig_list(attempt.mig, 0, &attempt.list, &reason);
    if (wish->profile[0]) {
        status = wish_serve(&attempt, status, &reason, ret_slice, error);
    } else {
        if (attempt.list)
            visible_find(attempt.list, wish->visible, ret_slice);
        divvy_log_debug("no profile is asked for: no slice is reserved");
        status = 0;
    }
    divvy_mig_list_free(attempt.list);
    divvy_mig_close(attempt.mig);
    if (status < 0)
        divvy_runner_slice_give(ret_slice);
    return status;
}

void divvy_runner_slice_give(struct divvy_runner_slice *slice) {
    struct divvy_mig_error reason;

    if (slice->reservation && divvy_mig_release(slice->reservation, &reason) < 0)
        divvy_log_error("slice %s: %s", slice->device.uuid, reason.text);
    slice->reservation = NULL;
}
