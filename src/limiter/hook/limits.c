/*
 * Limits from the environment. Messages are written once per process: a program that retries does
 * not fill a log.
 */
#include "limiter/hook/limits.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UP_VARIABLE  "TENSOR_FUSION_CUDA_UP_LIMIT"
#define MEM_VARIABLE "TENSOR_FUSION_CUDA_MEM_LIMIT"

const char *divvy_limits_what_follows(void) {
    return divvy_limits_fail_closed()
               ? "CUDA is refused until this is mended (DIVVY_FAIL_POLICY=open: run without limits)"
               : "running without limits, as DIVVY_FAIL_POLICY=open asks";
}

bool divvy_limits_word_is_true(const char *value) {
    return value &&
           (strcmp(value, "1") == 0 || divvy_core_word_equal(value, strlen(value), "true"));
}

static int read_variable(const char *variable, divvy_core_limits_kind_t kind,
                         divvy_core_limits_t *ret_limits, bool *ret_any) {
    const char *text = getenv(variable);
    divvy_core_fault_t fault = {0};
    int status;

    ret_limits->count = 0;
    if (!text || !*text)
        return 0;
    status = divvy_core_limits_parse(text, strlen(text), kind, ret_limits, &fault);
    if (status < 0) {
        divvy_core_log_once(
            DIVVY_LOG_ERROR,
            "%s: byte %zu: %s; write it as {\"0\": %s} or {\"GPU-<uuid>\": %s}; %s", variable,
            fault.position, fault.reason, kind == DIVVY_CORE_LIMITS_PERCENT ? "30" : "2147483648",
            kind == DIVVY_CORE_LIMITS_PERCENT ? "30" : "2147483648", divvy_limits_what_follows());
        return -EINVAL;
    }
    *ret_any = *ret_any || ret_limits->count > 0;
    return 0;
}

int divvy_limits_read(struct divvy_limits *ret_limits) {
    int percent_status, bytes_status;

    ret_limits->any = false;
    percent_status = read_variable(UP_VARIABLE, DIVVY_CORE_LIMITS_PERCENT, &ret_limits->percent,
                                   &ret_limits->any);
    ret_limits->bytes.count = 0;
    bytes_status = 0;
    if (!divvy_limits_word_is_true(getenv("TF_DISABLE_MEMORY_MANAGER")))
        bytes_status = read_variable(MEM_VARIABLE, DIVVY_CORE_LIMITS_BYTES, &ret_limits->bytes,
                                     &ret_limits->any);
    return percent_status < 0 ? percent_status : bytes_status;
}

bool divvy_limits_is_mig(const struct divvy_limit_device *device) {
    static const divvy_core_uuid_t zero;

    return !divvy_core_uuid_equal(&device->parent, &zero);
}

static bool names(const divvy_core_limit_t *entry, const struct divvy_limit_device *device) {
    if (entry->key == DIVVY_CORE_LIMIT_KEY_UUID)
        return divvy_core_uuid_equal(&entry->uuid, &device->uuid) ||
               (divvy_core_uuid_equal(&entry->uuid, &device->parent) &&
                divvy_limits_is_mig(device));
    return device->index >= 0 && entry->index == (uint32_t)device->index;
}

/* The strictest value for the device (0: none) and the entry it comes from. */
static uint64_t strictest(const divvy_core_limits_t *limits,
                          const struct divvy_limit_device *device,
                          const divvy_core_limit_t **ret_entry) {
    uint64_t value = 0;

    for (size_t i = 0; i < limits->count; i++) {
        const divvy_core_limit_t *entry = &limits->entries[i];

        if (!names(entry, device) || entry->value == 0 || (value != 0 && entry->value >= value))
            continue;
        value = entry->value;
        *ret_entry = entry;
    }
    return value;
}

int divvy_limits_of(const struct divvy_limits *limits, const struct divvy_limit_device *device,
                    struct divvy_limit *ret_limit) {
    const divvy_core_limit_t *entry = NULL;
    uint64_t percent = strictest(&limits->percent, device, &entry);
    uint64_t bytes = strictest(&limits->bytes, device, &entry);

    /* Whoever does not know the device's exact size asks for as much of it as there is. */
    if (device->total_bytes != 0 && bytes > device->total_bytes &&
        divvy_limits_word_is_true(getenv("DIVVY_LIMIT_FITS")))
        bytes = device->total_bytes;
    if (bytes != 0 && device->total_bytes != 0 && bytes > device->total_bytes) {
        char uuid[DIVVY_CORE_UUID_TEXT_BYTES];

        divvy_core_uuid_format_any(&device->uuid, divvy_limits_is_mig(device), uuid);
        divvy_core_log_once(DIVVY_LOG_ERROR,
                            "%s: byte %zu: %llu is more than the %llu bytes of device %s; give it "
                            "%llu or less, or 0 for "
                            "no limit; %s",
                            MEM_VARIABLE, entry->value_position, (unsigned long long)bytes,
                            (unsigned long long)device->total_bytes, uuid,
                            (unsigned long long)device->total_bytes, divvy_limits_what_follows());
        return -ERANGE;
    }
    ret_limit->permille = (uint32_t)(percent * 10);
    ret_limit->bytes = bytes;
    return 0;
}

static bool any_named(const divvy_core_limit_t *entry, const struct divvy_limit_device *devices,
                      size_t count) {
    for (size_t i = 0; i < count; i++)
        if (names(entry, &devices[i]))
            return true;
    return false;
}

size_t divvy_limits_gpus(const struct divvy_limit_device *devices, size_t count) {
    size_t gpus = 0;

    while (gpus < count && !divvy_limits_is_mig(&devices[gpus]))
        gpus++;
    return gpus;
}

static int check_keys(const char *variable, const divvy_core_limits_t *limits,
                      const struct divvy_limit_device *devices, size_t count) {
    const divvy_core_limit_t *stray = NULL;
    bool some_good = false;

    for (size_t i = 0; i < limits->count; i++) {
        const divvy_core_limit_t *entry = &limits->entries[i];
        char uuid[DIVVY_CORE_UUID_TEXT_BYTES];

        if (any_named(entry, devices, count)) {
            some_good = true;
        } else if (entry->key == DIVVY_CORE_LIMIT_KEY_INDEX) {
            stray = stray ? stray : entry;
        } else {
            divvy_core_uuid_format_any(&entry->uuid, entry->is_mig, uuid);
            divvy_core_log_once(DIVVY_LOG_ERROR,
                                "%s: byte %zu: no device of this machine is %s; `divvy gpus` or "
                                "`nvidia-smi -L` lists "
                                "them; %s",
                                variable, entry->key_position, uuid, divvy_limits_what_follows());
            return -ENODEV;
        }
    }
    if (!stray)
        return 0;
    if (some_good) {
        divvy_core_log_once(DIVVY_LOG_WARN,
                            "%s: byte %zu: there is no device %u here; this key is not used",
                            variable, stray->key_position, stray->index);
        return 0;
    }
    divvy_core_log_once(
        DIVVY_LOG_ERROR,
        "%s: byte %zu: there is no device %u; this machine has %zu, numbered from 0; %s", variable,
        stray->key_position, stray->index, divvy_limits_gpus(devices, count), divvy_limits_what_follows());
    return -ENODEV;
}

int divvy_limits_check_keys(const struct divvy_limits *limits,
                            const struct divvy_limit_device *devices, size_t count, bool complete) {
    int percent_status, bytes_status;

    if (!complete)
        return 0;
    percent_status = check_keys(UP_VARIABLE, &limits->percent, devices, count);
    bytes_status = check_keys(MEM_VARIABLE, &limits->bytes, devices, count);
    return percent_status < 0 ? percent_status : bytes_status;
}

static bool has_index(const divvy_core_limits_t *limits) {
    for (size_t i = 0; i < limits->count; i++)
        if (limits->entries[i].key == DIVVY_CORE_LIMIT_KEY_INDEX)
            return true;
    return false;
}

bool divvy_limits_need_index(const struct divvy_limits *limits) {
    return has_index(&limits->percent) || has_index(&limits->bytes);
}

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (; text && *text; text++)
        hash = divvy_core_hash_pair(hash, (unsigned char)*text);
    return divvy_core_hash_pair(hash, 0x100);
}

uint64_t divvy_limits_hash(void) {
    static const char *const variables[] = {UP_VARIABLE,     MEM_VARIABLE, "DIVVY_TENANT",
                                            "POD_NAMESPACE", "POD_NAME",   "CONTAINER_NAME"};
    uint64_t hash = 1;

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        hash = hash_text(hash, getenv(variables[i]));
    return hash;
}

bool divvy_limits_fail_closed(void) {
    const char *policy = getenv("DIVVY_FAIL_POLICY");

    return !policy || !divvy_core_word_equal(policy, strlen(policy), "open");
}
