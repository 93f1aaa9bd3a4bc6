/* From wishes to a tenant's limits: see plan.h. */
#include "cli/plan.h"

#include "core/limits_json.h"
#include "core/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int divvy_cli_plan_memory_parse(const char *value, divvy_core_size_t *ret_size,
                                struct divvy_error *error) {
    static const char remedy[] = "write a size such as 8GiB, 800MiB or 50%";
    divvy_core_fault_t fault;
    divvy_core_size_t size;
    int status = divvy_core_size_parse(value, strlen(value), &size, &fault);

    if (status < 0)
        return divvy_error_set(error, status, "--memory '%.40s': character %zu: %s; %s", value,
                               fault.position + 1, fault.reason, remedy);
    if (size.value == 0)
        return divvy_error_set(
            error, -EINVAL,
            "--memory '%.40s': nothing could run in no memory; leave the option out "
            "for no limit",
            value);
    if (size.kind == DIVVY_CORE_SIZE_BYTES && size.value < DIVVY_CLI_MEMORY_MIN_BYTES)
        return divvy_error_set(error, -EINVAL,
                               "--memory '%.40s': less than 1 MiB; was a unit forgotten? %s", value,
                               remedy);
    *ret_size = size;
    return 0;
}

int divvy_cli_plan_compute_parse(const char *value, unsigned int *ret_percent,
                                 struct divvy_error *error) {
    static const char remedy[] = "write 1% to 100%";
    divvy_core_fault_t fault;
    unsigned int percent;
    int status = divvy_core_percent_parse(value, strlen(value), &percent, &fault);

    if (status < 0)
        return divvy_error_set(error, status, "--compute '%.40s': character %zu: %s; %s", value,
                               fault.position + 1, fault.reason, remedy);
    if (percent == 0)
        return divvy_error_set(
            error, -EINVAL,
            "--compute '%.40s': nothing could run in no time; leave the option out "
            "for no limit, or %s",
            value, remedy);
    *ret_percent = percent;
    return 0;
}

int divvy_cli_plan_weight_parse(const char *value, uint64_t *ret_weight,
                                struct divvy_error *error) {
    divvy_core_fault_t fault;
    uint64_t weight;
    int status = divvy_core_u64_parse(value, strlen(value), &weight, &fault);

    if (status < 0)
        return divvy_error_set(error, status, "--weight '%.40s': character %zu: %s; write 1 to %u",
                               value, fault.position + 1, fault.reason, DIVVY_CLI_WEIGHT_MAX);
    if (weight < 1 || weight > DIVVY_CLI_WEIGHT_MAX)
        return divvy_error_set(error, -ERANGE, "--weight '%.40s': write 1 to %u", value,
                               DIVVY_CLI_WEIGHT_MAX);
    *ret_weight = weight;
    return 0;
}

int divvy_cli_plan_qos_check(const char *value, struct divvy_error *error) {
    static const char *const classes[] = {"low", "medium", "high", "critical"};

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (divvy_core_word_equal(value, strlen(value), classes[i]))
            return 0;
    return divvy_error_set(error, -EINVAL, "--qos '%.40s': write low, medium, high or critical",
                           value);
}

static bool is_name_byte(char byte, bool is_first) {
    if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
        (byte >= 'A' && byte <= 'Z'))
        return true;
    return !is_first && (byte == '.' || byte == '_' || byte == '-');
}

int divvy_cli_plan_name_check(const char *name, struct divvy_error *error) {
    size_t length = strlen(name);

    if (length == 0)
        return divvy_error_set(error, -EINVAL,
                               "--name '': an empty name; use letters, digits, '.', '_' and '-'");
    for (size_t i = 0; i < length; i++)
        if (!is_name_byte(name[i], i == 0))
            return divvy_error_set(error, -EINVAL,
                                   "--name '%.70s': character %zu cannot stand there; use letters, "
                                   "digits, '.', '_' and '-'",
                                   name, i + 1);
    if (length > DIVVY_CLI_NAME_MAX)
        return divvy_error_set(error, -EINVAL, "--name '%.70s': longer than %d characters", name,
                               DIVVY_CLI_NAME_MAX);
    return 0;
}

void divvy_cli_plan_name_default(const char *program, int pid,
                                 char ret_name[DIVVY_CLI_NAME_MAX + 1]) {
    const char *slash = strrchr(program, '/');
    size_t length = 0;

    for (const char *at = slash ? slash + 1 : program; *at && length < 40; at++)
        if (is_name_byte(*at, length == 0))
            ret_name[length++] = *at;
    (void)snprintf(ret_name + length, DIVVY_CLI_NAME_MAX + 1 - length, "%s%d",
                   length ? "-" : "tenant-", pid);
}

int divvy_cli_plan_memory_resolve(const divvy_core_size_t *size, const struct divvy_cli_gpu *gpu,
                                  uint64_t *ret_bytes, struct divvy_error *error) {
    uint64_t bytes = divvy_core_size_resolve(size, gpu->memory_bytes);

    if (bytes > gpu->memory_bytes) {
        char have[32], asked[32];
        divvy_core_text_t text;

        divvy_core_text_init(&text, have, sizeof have);
        divvy_core_text_add_size(&text, gpu->memory_bytes);
        divvy_core_text_init(&text, asked, sizeof asked);
        divvy_core_text_add_size(&text, bytes);
        return divvy_error_set(error, -ERANGE,
                               "--memory: %s (%" PRIu64 " bytes) is more than GPU %u has (%s, %" PRIu64
                               " bytes); ask for at most that, or for 100%%",
                               asked, bytes, gpu->index, have, gpu->memory_bytes);
    }
    if (bytes < DIVVY_CLI_MEMORY_MIN_BYTES)
        return divvy_error_set(
            error, -ERANGE, "--memory: %" PRIu64 " bytes are less than 1 MiB; ask for more", bytes);
    *ret_bytes = bytes;
    return 0;
}

void divvy_cli_plan_limit_format(const struct divvy_cli_gpu *gpu, uint64_t value,
                                 char ret_text[DIVVY_CLI_LIMIT_TEXT_BYTES]) {
    char name[DIVVY_CORE_UUID_TEXT_BYTES];

    divvy_cli_gpu_uuid_format(gpu, name);
    (void)snprintf(ret_text, DIVVY_CLI_LIMIT_TEXT_BYTES, "{\"%s\": %" PRIu64 "}", name, value);
}

int divvy_cli_plan_variable_check(const char *variable, const char *value, int is_memory,
                                  struct divvy_error *error) {
    static divvy_core_limits_t limits;
    divvy_core_fault_t fault;
    int status;

    if (!value || !value[0])
        return 0;
    status = divvy_core_limits_parse(
        value, strlen(value), is_memory ? DIVVY_CORE_LIMITS_BYTES : DIVVY_CORE_LIMITS_PERCENT,
        &limits, &fault);
    if (status == 0)
        return 0;
    return divvy_error_set(error, -EINVAL,
                           "%s: byte %zu: %s; write it like {\"0\": %s}, or unset it", variable,
                           fault.position, fault.reason, is_memory ? "2147483648" : "20");
}

uint64_t divvy_cli_plan_variable_value(const char *value, int is_memory,
                                       const struct divvy_cli_gpu *gpu) {
    static divvy_core_limits_t limits;
    uint64_t least = 0;

    if (!value || !value[0] ||
        divvy_core_limits_parse(value, strlen(value),
                                is_memory ? DIVVY_CORE_LIMITS_BYTES : DIVVY_CORE_LIMITS_PERCENT,
                                &limits, NULL) < 0)
        return 0;
    for (size_t i = 0; i < limits.count; i++) {
        const divvy_core_limit_t *entry = &limits.entries[i];
        bool is_it = entry->key == DIVVY_CORE_LIMIT_KEY_INDEX
                         ? entry->index == gpu->index
                         : divvy_core_uuid_equal(&entry->uuid, &gpu->uuid);

        if (is_it && entry->value > 0 && (least == 0 || entry->value < least))
            least = entry->value;
    }
    return least;
}
