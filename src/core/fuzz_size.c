/*
 * Fuzz target of the size and percentage grammar: whatever is accepted must be exactly what a naive
 * reading gives.
 */
#include "core/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    divvy_core_fault_t fault = {0, NULL};
    divvy_core_size_t result;
    unsigned int percent;
    /* A copy of the exact length lets the address sanitizer see a read beyond the end. */
    char *text = malloc(size ? size : 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    if (divvy_core_size_parse(text, size, &result, &fault) == 0) {
        if (result.kind >= DIVVY_CORE_SIZE_MAX || text[0] < '0' || text[0] > '9')
            abort();
        if (result.kind == DIVVY_CORE_SIZE_PERCENT && (result.value > 100 || text[size - 1] != '%'))
            abort();
    } else if (!fault.reason || fault.position > size) {
        abort();
    }
    fault.reason = NULL;
    if (divvy_core_percent_parse(text, size, &percent, &fault) == 0) {
        if (percent > 100)
            abort();
    } else if (!fault.reason || fault.position > size) {
        abort();
    }
    free(text);
    return 0;
}
