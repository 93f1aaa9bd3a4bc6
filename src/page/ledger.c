/*
 * Reserve and credit: the three steps of page.h. Everything here tolerates any content of the page.
 */
#include "page/ledger.h"
#include "page/word.h"

#include <errno.h>

#define SEQ_BITS 48
#define SEQ_MASK ((UINT64_C(1) << SEQ_BITS) - 1)

static uint64_t load(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void raise_to(uint64_t *word, uint64_t value) {
    uint64_t seen = load(word);

    while (seen < value && !__atomic_compare_exchange_n(word, &seen, value, false, __ATOMIC_ACQ_REL,
                                                        __ATOMIC_ACQUIRE)) {
    }
}

static uint64_t operation_id(unsigned slot, uint64_t seq) {
    return (uint64_t)slot << SEQ_BITS | (seq & SEQ_MASK);
}

/* Record that the word's last operation took effect, before anybody replaces it. Slot 0 seq 0 is
 * "none yet". */
static void record_applied(struct divvy_page *page, unsigned device, uint64_t operation,
                           unsigned own_slot) {
    uint64_t slot = operation >> SEQ_BITS;

    if (slot >= DIVVY_PAGE_SLOTS || slot == own_slot || operation == 0)
        return;
    raise_to(&page->slots[slot].cells[device].applied, operation & SEQ_MASK);
}

enum change { CHANGE_WITHIN_LIMIT, CHANGE_ALWAYS, CHANGE_DOWN };

/* One operation of `slot`: its contribution goes up by `bytes` (or down, CHANGE_DOWN), and the
 * device's total with it. */
static int change(struct divvy_page *page, unsigned slot, unsigned device, uint64_t bytes,
                  enum change kind) {
    struct divvy_page_device *entry = &page->devices[device];
    struct divvy_page_cell *cell = &page->slots[slot].cells[device];
    uint64_t before = load(&cell->bytes);
    uint64_t seq = (load(&cell->seq) + 1) & SEQ_MASK;
    uint64_t after = kind == CHANGE_DOWN ? before - bytes : before + bytes;
    struct divvy_page_word seen = divvy_page_word_load(&entry->used);
    struct divvy_page_word wanted = {.high = operation_id(slot, seq)};

    store(&cell->pending[seq & 1], after);
    store(&cell->seq, seq);
    do {
        if (kind == CHANGE_DOWN) {
            wanted.low = seen.low > bytes ? seen.low - bytes : 0;
        } else {
            if (__builtin_add_overflow(seen.low, bytes, &wanted.low))
                return -ENOMEM;
            if (kind == CHANGE_WITHIN_LIMIT && wanted.low > load(&entry->limit_bytes) &&
                load(&entry->limit_bytes) != 0)
                return -ENOMEM;
        }
        record_applied(page, device, seen.high, slot);
    } while (!divvy_page_word_swap(&entry->used, &seen, wanted));
    store(&cell->bytes, after);
    return 0;
}

int divvy_page_reserve(struct divvy_page *page, unsigned slot, unsigned device, uint64_t bytes) {
    struct divvy_page_device *entry = &page->devices[device];
    uint64_t used = load(&entry->used.low);
    uint64_t limit = load(&entry->limit_bytes);

    /* Refused before anything is announced: most refusals are of a size that cannot fit. */
    if (limit != 0 && (bytes > limit || used > limit - bytes))
        return -ENOMEM;
    if (change(page, slot, device, bytes, CHANGE_WITHIN_LIMIT) < 0)
        return -ENOMEM;
    if (load(&entry->peak_bytes) < used + bytes)
        raise_to(&entry->peak_bytes, load(&entry->used.low));
    return 0;
}

void divvy_page_charge(struct divvy_page *page, unsigned slot, unsigned device, uint64_t bytes) {
    (void)change(page, slot, device, bytes, CHANGE_ALWAYS);
}

void divvy_page_credit(struct divvy_page *page, unsigned slot, unsigned device, uint64_t bytes) {
    uint64_t held = load(&page->slots[slot].cells[device].bytes);

    if (bytes > held) {
        __atomic_fetch_add(&page->devices[device].clamped, 1, __ATOMIC_RELAXED);
        bytes = held;
    }
    if (bytes > 0)
        (void)change(page, slot, device, bytes, CHANGE_DOWN);
}

void divvy_page_refusal_count(struct divvy_page *page, unsigned device, uint64_t bytes) {
    __atomic_store_n(&page->devices[device].refused_bytes, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&page->devices[device].refused, 1, __ATOMIC_RELEASE);
}

uint64_t divvy_page_cell_settle(struct divvy_page *page, unsigned slot, unsigned device) {
    struct divvy_page_cell *cell = &page->slots[slot].cells[device];
    uint64_t seq = load(&cell->seq) & SEQ_MASK;
    /* In this order: once `last` is another's, applied has been recorded already. */
    bool is_last = seq != 0 && load(&page->devices[device].used.high) == operation_id(slot, seq);
    bool took_effect = is_last || (seq != 0 && load(&cell->applied) >= seq);

    if (took_effect)
        store(&cell->bytes, load(&cell->pending[seq & 1]));
    return load(&cell->bytes);
}

void divvy_page_cell_empty(struct divvy_page *page, unsigned slot, unsigned device) {
    uint64_t bytes = divvy_page_cell_settle(page, slot, device);

    if (bytes > 0)
        (void)change(page, slot, device, bytes, CHANGE_DOWN);
}

uint64_t divvy_page_used(const struct divvy_page *page, unsigned device) {
    return load(&page->devices[device].used.low);
}

uint64_t divvy_page_slot_bytes(const struct divvy_page *page, unsigned slot, unsigned device) {
    return load(&page->slots[slot].cells[device].bytes);
}
