/*
 * Fuzz target: a usage page with hostile contents. The first byte chooses: odd, the bytes are a foreign file that has to be
 * refused or accepted without a crash; even, they lie behind a valid header, and every operation on the page is run over
 * them. Nothing that a tenant writes into its page may crash, hang or mislead a reader into memory outside the page.
 */
#include "page/page.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Offset of the first byte that belongs to no fixed header field. */
#define BODY offsetof(struct divvy_page, tenant)

/* The input again and again over the whole body; most of it at the places that operations look at first. */
static void body_fill(struct divvy_page *page, const uint8_t *data, size_t size) {
    uint8_t *bytes = (uint8_t *)page;

    for (size_t i = BODY; size > 0 && i < sizeof *page; i++)
        bytes[i] = data[(i - BODY) % size];
}

static void operate(struct divvy_page *page, const uint8_t *data, size_t size) {
    struct divvy_page_identity self;
    uint8_t uuid[16] = {1};
    int device, slot;

    divvy_page_identity_self(&self);
    memcpy(uuid, data, size < sizeof uuid ? size : sizeof uuid);
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++)
        (void)divvy_page_used(page, i);
    (void)divvy_page_reap(page, &self);
    device = divvy_page_device_enter(page, uuid);
    if (device < 0)
        return;
    divvy_page_device_propose(page, (unsigned)device, 1 << 20, 500, 1 << 30);
    slot = divvy_page_slot_claim(page, &self);
    if (slot < 0)
        return;
    (void)divvy_page_reserve(page, (unsigned)slot, (unsigned)device, size);
    divvy_page_charge(page, (unsigned)slot, (unsigned)device, size * 3);
    divvy_page_credit(page, (unsigned)slot, (unsigned)device, size * 5);
    (void)divvy_page_slot_bytes(page, (unsigned)slot, (unsigned)device);
    divvy_page_slot_release(page, (unsigned)slot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_page *page;
    size_t room = (sizeof *page + 63) / 64 * 64;

    if (size < 1 || !(page = aligned_alloc(64, room)))
        return 0;
    memset(page, 0, room);
    if (data[0] & 1) {
        memcpy(page, data + 1, size - 1 < sizeof *page ? size - 1 : sizeof *page);
        (void)divvy_page_validate(page, size - 1 < sizeof *page ? size - 1 : sizeof *page);
    } else {
        page->version = DIVVY_PAGE_VERSION;
        page->header_bytes = offsetof(struct divvy_page, devices);
        page->page_bytes = sizeof *page;
        page->magic = DIVVY_PAGE_MAGIC;
        page->device_count = DIVVY_PAGE_DEVICES;
        page->device_bytes = sizeof page->devices[0];
        page->slot_count = DIVVY_PAGE_SLOTS;
        page->slot_bytes = sizeof page->slots[0];
        if (divvy_page_validate(page, sizeof *page) < 0)
            abort(); /* the header above is what the room itself writes: the target would test nothing */
        body_fill(page, data + 1, size - 1);
        operate(page, data + 1, size - 1);
    }
    free(page);
    return 0;
}
