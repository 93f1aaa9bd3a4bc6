/* Fuzz target: what a management server answers. */
#include "cli/cloudstack.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *response = NULL;
    struct divvy_cloudstack_vm *vms = NULL;
    struct divvy_error error = {0};
    size_t count = 0, total;

    if (divvy_cloudstack_answer_read("listVirtualMachines", 200, (const char *)data, size, &response, &error) == 0) {
        int got = divvy_cloudstack_page_read(response, &vms, &count, &total, &error);

        if (got >= 0 && count > (size_t)got)
            abort();
        for (size_t i = 0; i < count; i++)
            if (strlen(vms[i].id) != 36 || !vms[i].state[0])
                abort();
    } else if (!error.text[0]) {
        abort();
    }
    free(vms);
    json_decref(response);
    return 0;
}
