/*
 * Devices of the page: entered by UUID, so that processes which number their devices differently
 * agree.
 */
#include "page/page.h"
#include "page/word.h"

#include <errno.h>
#include <string.h>

int divvy_page_device_enter(struct divvy_page *page, const uint8_t uuid[16]) {
    struct divvy_page_word wanted;

    memcpy(&wanted, uuid, sizeof wanted);
    if (wanted.low == 0 && wanted.high == 0)
        return -EINVAL;
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        struct divvy_page_word there = {0};

        if (divvy_page_word_swap(&page->devices[device].uuid, &there, wanted) ||
            (there.low == wanted.low && there.high == wanted.high))
            return (int)device;
    }
    return -ENOSPC;
}

int divvy_page_device_find(const struct divvy_page *page, const uint8_t uuid[16]) {
    struct divvy_page_word wanted;

    memcpy(&wanted, uuid, sizeof wanted);
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        struct divvy_page_word there = divvy_page_word_load(&page->devices[device].uuid);

        if (there.low == wanted.low && there.high == wanted.high && (there.low | there.high) != 0)
            return (int)device;
    }
    return -ENOENT;
}

static void propose_u64(uint64_t *word, uint64_t value) {
    uint64_t unset = 0;

    (void)__atomic_compare_exchange_n(word, &unset, value, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE);
}

void divvy_page_device_propose(struct divvy_page *page, unsigned device, uint64_t limit_bytes,
                               uint32_t compute_permille, uint64_t physical_bytes) {
    struct divvy_page_device *entry = &page->devices[device];
    uint32_t unset = 0;

    propose_u64(&entry->limit_bytes, limit_bytes);
    propose_u64(&entry->physical_bytes, physical_bytes);
    (void)__atomic_compare_exchange_n(&entry->compute_permille, &unset, compute_permille, false,
                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
