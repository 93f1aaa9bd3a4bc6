/* The environment of a worker: see environment.h. */
#include "backend/environment.h"

#include "core/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEBIBYTE (UINT64_C(1) << 20)

static size_t place_of(const struct divvy_backend_environment *environment, const char *name, size_t length) {
    size_t i = 0;

    while (i < environment->count && (strncmp(environment->entries[i], name, length) != 0 ||
                                      (environment->entries[i][length] != '=' && environment->entries[i][length])))
        i++;
    return i;
}

int divvy_backend_environment_set(struct divvy_backend_environment *environment, const char *name, const char *value) {
    size_t place = place_of(environment, name, strlen(name));
    char *entry;

    if (!name[0] || strchr(name, '='))
        return -EINVAL;
    if (place == DIVVY_BACKEND_ENVIRONMENT_MAX)
        return -ENOSPC;
    if (!value)
        entry = strdup(name);
    else if (asprintf(&entry, "%s=%s", name, value) < 0)
        entry = NULL;
    if (!entry)
        return -ENOMEM;
    if (place == environment->count)
        environment->entries[++environment->count] = NULL;
    else
        free(environment->entries[place]);
    environment->entries[place] = entry;
    return 0;
}

const char *divvy_backend_environment_get(const struct divvy_backend_environment *environment, const char *name) {
    size_t length = strlen(name), place = place_of(environment, name, length);

    if (place == environment->count || environment->entries[place][length] != '=')
        return NULL;
    return environment->entries[place] + length + 1;
}

void divvy_backend_environment_done(struct divvy_backend_environment *environment) {
    for (size_t i = 0; i < environment->count; i++)
        free(environment->entries[i]);
    *environment = (struct divvy_backend_environment){0};
}

/* The driver's programs know prefixes in capitals only; what follows them in any case. */
static void spelling_mend(char *uuid) {
    static const char *const prefixes[] = {"GPU-", "MIG-", "MIG-GPU-"};

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t length = strlen(prefixes[i]);

        if (strlen(uuid) >= length && divvy_core_word_equal(uuid, length, prefixes[i]))
            memcpy(uuid, prefixes[i], length);
    }
}

/* The devices with commas between; NULL: no memory. */
static char *list_of(const struct divvy_backend_grant *grant) {
    size_t length = 1;
    char *list, *at;

    for (size_t i = 0; i < grant->device_count; i++)
        length += strlen(grant->devices[i]) + 1;
    list = at = calloc(1, length);
    for (size_t i = 0; list && i < grant->device_count; i++) {
        size_t part = strlen(grant->devices[i]);

        if (i)
            *at++ = ',';
        memcpy(at, grant->devices[i], part + 1);
        spelling_mend(at);
        at += part;
    }
    return list;
}

static int visible_set(struct divvy_backend_environment *environment, const struct divvy_backend_grant *grant) {
    static const char *const names[][2] = {{"NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"},
                                           {"HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"}};
    bool is_amd = grant->vendor && divvy_core_word_equal(grant->vendor, strlen(grant->vendor), "amd");
    /* "void" is what NVIDIA's container runtime takes for none; an empty list hides all from CUDA and HIP */
    const char *none = is_amd ? "" : "void";
    char *list = list_of(grant);
    int status = list ? 0 : -ENOMEM;

    if (status == 0)
        status = divvy_backend_environment_set(environment, names[is_amd][0], grant->device_count ? list : none);
    if (status == 0)
        status = divvy_backend_environment_set(environment, names[is_amd][1], list);
    free(list);
    return status;
}

static int number_set(struct divvy_backend_environment *environment, const char *name, uint64_t value) {
    char text[24];

    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return divvy_backend_environment_set(environment, name, value ? text : NULL);
}

int divvy_backend_environment_init(struct divvy_backend_environment *ret_environment, const struct divvy_backend_grant *grant,
                                   struct divvy_error *error) {
    struct divvy_backend_environment *environment = ret_environment;
    uint64_t megabytes = grant->memory_bytes / MEBIBYTE;
    int status;

    *environment = (struct divvy_backend_environment){0};
    if (!grant->worker || !grant->worker[0] || grant->compute_percent > 100)
        return divvy_error_set(error, -EINVAL, "a worker needs a name, and a limit of at most 100 percent");
    if (grant->memory_bytes && !megabytes)
        return divvy_error_set(error, -EINVAL, "worker %.100s: a memory limit below 1 MiB cannot be told", grant->worker);
    status = divvy_backend_environment_set(environment, "WORKER_ID", grant->worker);
    if (status == 0)
        status = visible_set(environment, grant);
    if (status == 0)
        status = number_set(environment, "TF_CUDA_SM_PERCENT_LIMIT", grant->compute_percent);
    if (status == 0)
        status = number_set(environment, "TF_GPU_MEMORY_LIMIT", megabytes);
    if (status == 0)
        status = number_set(environment, "TF_CUDA_MEMORY_LIMIT", megabytes);
    return status < 0 ? divvy_error_set_errno(error, status, "the environment of worker %.100s", grant->worker) : 0;
}
