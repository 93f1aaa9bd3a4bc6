/*
 * The tenant's account in the usage page: one word, moved by compare-and-swap by all its processes. A process that dies
 * between two moves leaves an account that is off by one chunk at most.
 */
#include "limiter/compute/account.h"
#include "limiter/compute/state.h"

static uint64_t *account_word(struct divvy_page_device *page) {
    return &page->compute.spare[DIVVY_COMPUTE_PAGE_PAID_NS];
}

/* The account is kept in wall time at a share; when the share changes, one process converts it. */
static void account_rescale(struct divvy_page_device *page, uint64_t now_ns, uint32_t permille) {
    uint64_t *share = &page->compute.spare[DIVVY_COMPUTE_PAGE_PERMILLE];
    uint64_t old_permille = __atomic_load_n(share, __ATOMIC_RELAXED);
    uint64_t paid_ns, scaled_ns;

    if (old_permille == permille ||
        !__atomic_compare_exchange_n(share, &old_permille, permille, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    __atomic_add_fetch(&page->compute.generation, 1, __ATOMIC_RELAXED);
    paid_ns = __atomic_load_n(account_word(page), __ATOMIC_RELAXED);
    do {
        if (paid_ns == 0 || old_permille == 0 || old_permille > 1000)
            return;
        scaled_ns = divvy_pacer_rescale(paid_ns, now_ns, (uint32_t)old_permille, permille);
    } while (!__atomic_compare_exchange_n(account_word(page), &paid_ns, scaled_ns, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
}

void divvy_compute_account_rest(struct divvy_page_device *page) {
    uint64_t *share = &page->compute.spare[DIVVY_COMPUTE_PAGE_PERMILLE];
    uint64_t permille = __atomic_load_n(share, __ATOMIC_RELAXED);

    if (permille == 0 ||
        !__atomic_compare_exchange_n(share, &permille, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(account_word(page), 0, __ATOMIC_RELAXED);
    __atomic_add_fetch(&page->compute.generation, 1, __ATOMIC_RELAXED);
}

bool divvy_compute_account_reserve(struct divvy_page_device *page, uint64_t now_ns, uint32_t permille,
                                   uint64_t gpu_ns, uint64_t *ret_open_ns) {
    uint64_t paid_ns, none = 0;

    account_rescale(page, now_ns, permille);
    (void)__atomic_compare_exchange_n(&page->compute.epoch_ns, &none, now_ns, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED);
    paid_ns = __atomic_load_n(account_word(page), __ATOMIC_RELAXED);
    for (;;) {
        uint64_t settled_ns = divvy_pacer_settle(paid_ns, now_ns, permille, DIVVY_COMPUTE_BANK_NS);

        if (settled_ns > now_ns) {
            *ret_open_ns = settled_ns;
            return false;
        }
        if (__atomic_compare_exchange_n(account_word(page), &paid_ns,
                                        divvy_pacer_charge(settled_ns, (int64_t)gpu_ns, permille), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
    }
}

void divvy_compute_account_correct(struct divvy_page_device *page, int64_t gpu_ns) {
    uint64_t permille = __atomic_load_n(&page->compute.spare[DIVVY_COMPUTE_PAGE_PERMILLE], __ATOMIC_RELAXED);
    uint64_t paid_ns = __atomic_load_n(account_word(page), __ATOMIC_RELAXED);

    if (gpu_ns == 0 || permille == 0 || permille > 1000)
        return;
    while (paid_ns != 0 &&
           !__atomic_compare_exchange_n(account_word(page), &paid_ns,
                                        divvy_pacer_charge(paid_ns, gpu_ns, (uint32_t)permille), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}
