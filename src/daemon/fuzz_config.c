/*
 * Fuzz target of the configuration file: what is accepted must be printed as a file that is accepted again and means the same.
 */
#include "daemon/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void values_compare(const struct divvy_config *a, const struct divvy_config *b) {
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count);

    for (size_t i = 0; i < count; i++) {
        char first[1100], second[1100];

        if (!table[i].section)
            continue;
        divvy_config_value_format(&table[i], a, first, sizeof first);
        divvy_config_value_format(&table[i], b, second, sizeof second);
        if (strcmp(first, second) != 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_error error = {0, ""};
    struct divvy_config config, again;
    /* A copy of the exact length lets the address sanitizer see a read beyond the end. */
    char *text = malloc(size ? size : 1), *printed = NULL;
    size_t printed_length = 0;
    FILE *out;

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    divvy_config_defaults(&config);
    if (divvy_config_text_read(&config, "fuzz", text, size, &error) < 0) {
        if (!error.text[0])
            abort();
        free(text);
        return 0;
    }
    out = open_memstream(&printed, &printed_length);
    if (!out)
        abort();
    divvy_config_print(&config, out);
    (void)fclose(out);
    divvy_config_defaults(&again);
    if (divvy_config_text_read(&again, "printed", printed, printed_length, &error) < 0)
        abort();
    values_compare(&config, &again);
    free(printed);
    free(text);
    return 0;
}
