/*
 * Fuzz target of the limit objects: no input crashes, and every refusal names a place and a reason.
 */
#include "core/limits_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_as(const char *text, size_t size, divvy_core_limits_kind_t kind) {
    divvy_core_fault_t fault = {0, NULL};
    divvy_core_limits_t limits;

    if (divvy_core_limits_parse(text, size, kind, &limits, &fault) < 0) {
        if (!fault.reason || fault.position > size)
            abort();
        return;
    }
    if (limits.count > DIVVY_CORE_LIMITS_MAX)
        abort();
    for (size_t i = 0; i < limits.count; i++) {
        const divvy_core_limit_t *entry = &limits.entries[i];

        if (entry->key >= DIVVY_CORE_LIMIT_KEY_MAX || entry->value_position >= size ||
            entry->key_position >= size)
            abort();
        if (kind == DIVVY_CORE_LIMITS_PERCENT && entry->value > 100)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    parse_as(text, size, DIVVY_CORE_LIMITS_PERCENT);
    parse_as(text, size, DIVVY_CORE_LIMITS_BYTES);
    free(text);
    return 0;
}
