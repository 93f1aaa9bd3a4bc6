/* Fuzz target: records of who runs, and quantities, of any content. */
#include "backend/record.h"
#include "node/quantity.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    divvy_node_quantity_t quantity, again;
    char *text = calloc(1, size + 1), written[DIVVY_NODE_QUANTITY_TEXT_BYTES];
    struct divvy_backend_record record;

    if (!text)
        return 0;
    memcpy(text, data, size);
    if (divvy_backend_record_parse(text, &record) == 0 && (record.pid <= 0 || !record.id[0]))
        abort();
    if (divvy_node_quantity_parse(text, size, &quantity, NULL) == 0) {
        divvy_node_quantity_format(quantity, written);
        if (divvy_node_quantity_parse(written, strlen(written), &again, NULL) < 0 ||
            divvy_node_quantity_compare(quantity, again) != 0)
            abort();
    }
    free(text);
    return 0;
}
