/* Fuzz target of durations (HC_MIG_TTL) and sizes: accepted values are in range, and nothing else has been written. */
#include "divvy/mig.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    int64_t ns = -1;
    uint64_t bytes = 77;

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (divvy_mig_ttl_parse(text, &ns) == 0 ? ns <= 0 || !strpbrk(text, "smh") : ns != -1)
        abort();
    if (divvy_mig_size_parse(text, &bytes) == 0 ? !strpbrk(text, "bB") || text[0] < '0' || text[0] > '9' : bytes != 77)
        abort();
    free(text);
    return 0;
}
