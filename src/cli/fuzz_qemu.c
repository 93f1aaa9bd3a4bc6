/* Fuzz target: command lines of processes. */
#include "cli/qemu.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_cli_qemu vm = {.pid = 7};

    if (divvy_cli_qemu_parse((const char *)data, size, &vm) < 0)
        return 0;
    if (vm.pid != 7 || (!vm.name[0] && !vm.uuid[0]) || strlen(vm.name) >= sizeof vm.name || (vm.uuid[0] && strlen(vm.uuid) != 36))
        abort();
    for (const char *c = vm.name; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            abort();
    return 0;
}
