/*
 * Fuzz target of the shared page: hostile content must be refused, or worked on without a crash.
 *
 * Input: a file's content as it is (whatever has another length than a page), and the same bytes as
 * patches of a valid page (4 bytes of offset, 8 of content each), on which every operation is then
 * done.
 */
#include "page/page.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct divvy_page *page;

static void page_renew(void) {
    struct divvy_page *fresh = NULL;

    if (divvy_page_open_anonymous("fuzz", 1, &fresh) < 0)
        abort();
    divvy_page_close(page);
    page = fresh;
}

static void operations(void) {
    /* Not a living process: slots of this process and of dead ones are both to be met. */
    struct divvy_page_identity self = {.pid = 4194303, .pidns = 1, .start_ticks = 5, .image = 6};
    uint8_t uuid[16] = {9};
    int slot = divvy_page_slot_claim(page, &self);
    int device = divvy_page_device_enter(page, uuid);

    (void)divvy_page_reap(page, &self);
    if (device >= 0)
        divvy_page_device_propose(page, (unsigned)device, 1000, 500, 2000);
    for (unsigned i = 0; slot >= 0 && i < DIVVY_PAGE_DEVICES; i++) {
        uint64_t before = divvy_page_used(page, i);

        if (divvy_page_reserve(page, (unsigned)slot, i, 100) == 0 &&
            divvy_page_used(page, i) != before + 100)
            abort();
        divvy_page_charge(page, (unsigned)slot, i, UINT64_MAX / 3);
        divvy_page_credit(page, (unsigned)slot, i, UINT64_MAX);
    }
    if (slot >= 0)
        divvy_page_slot_release(page, (unsigned)slot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *exact = malloc(size ? size : 1);

    if (!exact)
        return 0;
    if (size)
        memcpy(exact, data, size);
    if (size != sizeof *page && divvy_page_validate(exact, size) == 0)
        abort();
    free(exact);

    page_renew();
    for (; size >= 12; data += 12, size -= 12) {
        uint32_t offset;

        memcpy(&offset, data, sizeof offset);
        offset %= (uint32_t)(sizeof *page - 8);
        memcpy((uint8_t *)page + offset, data + 4, 8);
    }
    if (divvy_page_validate(page, sizeof *page) == 0)
        operations();
    return 0;
}
