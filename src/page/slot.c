/*
 * Slots: one for each process of the tenant. Claimed by one compare-and-swap that carries the
 * owner's identity, so that a death at any moment leaves either a free slot or one whose owner can
 * be asked after.
 */
#include "core/clock.h"
#include "page/ledger.h"
#include "page/page.h"
#include "page/word.h"

#include <errno.h>
#include <string.h>

static struct divvy_page_word owner_word(const struct divvy_page_identity *who, unsigned state) {
    return (struct divvy_page_word){.low = who->pid | (uint64_t)who->pidns << 32,
                                    .high = who->start_ticks << 2 | state};
}

static struct divvy_page_identity owner_identity(const struct divvy_page_slot *slot,
                                                 struct divvy_page_word owner) {
    return (struct divvy_page_identity){
        .pid = (uint32_t)owner.low,
        .pidns = (uint32_t)(owner.low >> 32),
        .start_ticks = owner.high >> 2,
        /* The image is the owner's; a reaper, named by the same word, has none. */
        .image = (owner.high & 3) == DIVVY_PAGE_STATE_LIVE
                     ? __atomic_load_n(&slot->image, __ATOMIC_ACQUIRE)
                     : 0,
    };
}

static bool word_is_zero(struct divvy_page_word word) {
    return word.low == 0 && word.high == 0;
}

static void usage_quiet(struct divvy_page_slot *slot) {
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        __atomic_store_n(&slot->usage[device].inflight_ns, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->usage[device].waiting, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->cells[device].overhead_bytes, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->cells[device].context_count, 0, __ATOMIC_RELAXED);
    }
}

static void slot_empty(struct divvy_page *page, unsigned index) {
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++)
        divvy_page_cell_empty(page, index, device);
    usage_quiet(&page->slots[index]);
}

/* The slot is ours, by whichever way: make it a fresh one. */
static void slot_begin(struct divvy_page *page, unsigned index,
                       const struct divvy_page_identity *self) {
    struct divvy_page_slot *slot = &page->slots[index];

    slot_empty(page, index);
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++)
        memset(&slot->usage[device], 0, sizeof slot->usage[device]);
    __atomic_store_n(&slot->host_pid, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->attached_ns, divvy_core_clock_ns(), __ATOMIC_RELAXED);
    __atomic_store_n(&slot->image, self->image, __ATOMIC_RELEASE);
    __atomic_fetch_add(&slot->generation, 1, __ATOMIC_ACQ_REL);
}

/* The slot is claimed for reaping: empty it and let it go. */
static void slot_free_claimed(struct divvy_page *page, unsigned index,
                              struct divvy_page_word claimed) {
    struct divvy_page_slot *slot = &page->slots[index];

    /* Left by the dead, or not yet set when it died: no successor may be judged by it. */
    __atomic_store_n(&slot->image, 0, __ATOMIC_RELEASE);
    slot_empty(page, index);
    (void)divvy_page_word_swap(&slot->owner, &claimed, (struct divvy_page_word){0});
}

/* Reap one slot if its owner is proven dead: whether it was. */
static bool slot_reap(struct divvy_page *page, unsigned index,
                      const struct divvy_page_identity *self) {
    struct divvy_page_slot *slot = &page->slots[index];
    struct divvy_page_word owner = divvy_page_word_load(&slot->owner);
    struct divvy_page_word claimed = owner_word(self, DIVVY_PAGE_STATE_REAPING);
    struct divvy_page_identity identity = owner_identity(slot, owner);

    if (word_is_zero(owner) || divvy_page_identity_alive(&identity, self))
        return false;
    if (!divvy_page_word_swap(&slot->owner, &owner, claimed))
        return false;
    slot_free_claimed(page, index, claimed);
    __atomic_fetch_add(&page->reaped, 1, __ATOMIC_RELAXED);
    return true;
}

unsigned divvy_page_reap(struct divvy_page *page, const struct divvy_page_identity *self) {
    unsigned count = 0;

    __atomic_store_n(&page->reap_ns, divvy_core_clock_ns(), __ATOMIC_RELAXED);
    for (unsigned index = 0; index < DIVVY_PAGE_SLOTS; index++)
        count += slot_reap(page, index, self);
    return count;
}

unsigned divvy_page_reap_if_due(struct divvy_page *page, const struct divvy_page_identity *self,
                                uint64_t interval_ns) {
    uint64_t last = __atomic_load_n(&page->reap_ns, __ATOMIC_RELAXED);

    /* A time in the future is of another boot or of another time namespace. */
    if (divvy_core_clock_ns() - last < interval_ns)
        return 0;
    return divvy_page_reap(page, self);
}

/*
 * Give back what this very process held before it called exec, also a slot that it was reaping
 * then. Others may be at the same: whoever turns the owner word has it.
 */
static void slots_of_former_self_free(struct divvy_page *page,
                                      const struct divvy_page_identity *self) {
    struct divvy_page_word claimed = owner_word(self, DIVVY_PAGE_STATE_REAPING);

    for (unsigned index = 0; index < DIVVY_PAGE_SLOTS; index++) {
        struct divvy_page_slot *slot = &page->slots[index];
        struct divvy_page_word owner = divvy_page_word_load(&slot->owner);

        if (owner.low == claimed.low && owner.high >> 2 == claimed.high >> 2 &&
            divvy_page_word_swap(&slot->owner, &owner, claimed))
            slot_free_claimed(page, index, claimed);
    }
}

static int slot_claim_free(struct divvy_page *page, const struct divvy_page_identity *self) {
    struct divvy_page_word own = owner_word(self, DIVVY_PAGE_STATE_LIVE);

    for (unsigned index = 0; index < DIVVY_PAGE_SLOTS; index++) {
        struct divvy_page_word owner = {0};

        if (word_is_zero(divvy_page_word_load(&page->slots[index].owner)) &&
            divvy_page_word_swap(&page->slots[index].owner, &owner, own))
            return (int)index;
    }
    return -EUSERS;
}

/* So that readers need not look at all the slots. */
static void slots_high_raise(struct divvy_page *page, uint64_t count) {
    uint64_t high = __atomic_load_n(&page->slots_high, __ATOMIC_RELAXED);

    while (high < count && !__atomic_compare_exchange_n(&page->slots_high, &high, count, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

int divvy_page_slot_claim(struct divvy_page *page, const struct divvy_page_identity *self) {
    int index;

    slots_of_former_self_free(page, self);
    index = slot_claim_free(page, self);
    if (index < 0 && divvy_page_reap(page, self) > 0)
        index = slot_claim_free(page, self);
    if (index >= 0) {
        slots_high_raise(page, (uint64_t)index + 1);
        slot_begin(page, (unsigned)index, self);
    }
    return index;
}

void divvy_page_slot_release(struct divvy_page *page, unsigned index) {
    struct divvy_page_slot *slot = &page->slots[index];
    struct divvy_page_word owner = divvy_page_word_load(&slot->owner);

    slot_empty(page, index);
    __atomic_store_n(&slot->image, 0, __ATOMIC_RELEASE);
    (void)divvy_page_word_swap(&slot->owner, &owner, (struct divvy_page_word){0});
}
