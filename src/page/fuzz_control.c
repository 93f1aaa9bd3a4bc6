/*
 * Fuzz target of the control page: foreign bytes must be refused, or read without a crash.
 *
 * Input: a file's content as it is, and the same bytes as patches of a valid page (4 bytes of offset, 8 of content each), which
 * is then read in every way.
 */
#include "page/control.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void page_fill(struct divvy_control *control) {
    memset(control, 0, sizeof *control);
    control->version = DIVVY_CONTROL_VERSION;
    control->header_bytes = (uint32_t)offsetof(struct divvy_control, devices);
    control->page_bytes = sizeof *control;
    control->magic = DIVVY_CONTROL_MAGIC;
    control->device_count = DIVVY_PAGE_DEVICES;
    control->device_bytes = sizeof control->devices[0];
}

static void page_read(const struct divvy_control *control) {
    struct divvy_control_lease lease;

    if (memchr(control->name, '\0', sizeof control->name) == NULL ||
        memchr(control->pod, '\0', sizeof control->pod) == NULL ||
        memchr(control->namespace, '\0', sizeof control->namespace) == NULL)
        abort();
    (void)divvy_control_is_alive(control, 1);
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        const uint8_t *uuid = (const uint8_t *)&control->devices[i].uuid;
        int found = divvy_control_device_find(control, uuid);

        if (found > (int)i)
            abort();
        if (divvy_control_lease_read(control, i, &lease) && (lease.seq & 1 || lease.mode >= DIVVY_CONTROL_MODE_MAX))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct divvy_control page;
    uint8_t *exact = calloc(1, size ? size : 1);

    if (!exact)
        return 0;
    if (size)
        memcpy(exact, data, size);
    if (divvy_control_validate(exact, size) == 0) {
        if (size != sizeof page)
            abort();
        page_read((const struct divvy_control *)(const void *)exact);
    }
    free(exact);

    page_fill(&page);
    for (; size >= 12; data += 12, size -= 12) {
        uint32_t offset;

        memcpy(&offset, data, sizeof offset);
        offset %= (uint32_t)(sizeof page - 8);
        memcpy((uint8_t *)&page + offset, data + 4, 8);
    }
    if (divvy_control_validate(&page, sizeof page) == 0)
        page_read(&page);
    return 0;
}
