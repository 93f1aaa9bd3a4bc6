/* Work that a program states instead of launching it past our hooks: see divvy_compute_state. */
#include "limiter/compute/account.h"
#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"
#include "limiter/hook/process.h"

#include <errno.h>

/* Whoever asks does not stay: this long a shut gate is waited at, so that whoever gives leases sees that somebody wants one. */
#define WAIT_NS UINT64_C(20000000)

static bool leased_try(const struct divvy_control_lease *lease, uint64_t now_ns, uint64_t work_ns, uint64_t *ret_left_ns) {
    uint64_t granted_ns = work_ns, end_ns = (uint64_t)lease->end_ns;
    bool is_open = divvy_compute_lease_wait(lease, now_ns, 0, work_ns, &granted_ns) <= now_ns;

    *ret_left_ns = !is_open ? 0 : lease->mode == DIVVY_CONTROL_OPEN ? UINT64_MAX : end_ns - now_ns;
    return is_open;
}

/* What the account has banked; nothing while it owes. */
static uint64_t banked_ns(const struct divvy_page_device *page, uint64_t now_ns, uint32_t permille) {
    uint64_t paid_ns = __atomic_load_n(&page->compute.spare[DIVVY_COMPUTE_PAGE_PAID_NS], __ATOMIC_RELAXED);
    uint64_t settled_ns = divvy_pacer_settle(paid_ns, now_ns, permille, DIVVY_COMPUTE_BANK_NS);

    return settled_ns >= now_ns ? 0 : (uint64_t)((unsigned __int128)(now_ns - settled_ns) * permille / 1000);
}

static bool own_try(struct divvy_compute_device *device, uint64_t now_ns, const struct divvy_compute_say *say, uint64_t work_ns,
                    uint64_t *ret_open_ns, uint64_t *ret_left_ns) {
    bool is_open = true;

    *ret_left_ns = UINT64_MAX;
    if (!divvy_pacer_limits(say->permille))
        return true;
    is_open = divvy_compute_account_reserve(device->page, now_ns, say->permille, work_ns, ret_open_ns);
    *ret_left_ns = is_open ? banked_ns(device->page, now_ns, say->permille) : 0;
    return is_open;
}

/* False: *ret_say says what to wait for, *ret_open_ns until when at most. */
static bool work_try(struct divvy_compute_device *device, uint64_t now_ns, uint64_t work_ns, struct divvy_compute_say *ret_say,
                     uint64_t *ret_open_ns, uint64_t *ret_left_ns) {
    divvy_compute_ask(device, now_ns, ret_say);
    *ret_open_ns = UINT64_MAX;
    if (ret_say->is_leased)
        return leased_try(&ret_say->lease, now_ns, work_ns, ret_left_ns);
    return own_try(device, now_ns, ret_say, work_ns, ret_open_ns, ret_left_ns);
}

static bool work_wait(struct divvy_compute_device *device, uint64_t now_ns, uint64_t work_ns, uint64_t *ret_left_ns) {
    uint64_t until_ns = now_ns + WAIT_NS, came_ns = now_ns, open_ns;
    struct divvy_compute_say say;
    bool is_open, has_rung = false;

    __atomic_fetch_add(&device->usage->waiting, 1, __ATOMIC_SEQ_CST);
    while (!(is_open = work_try(device, now_ns, work_ns, &say, &open_ns, ret_left_ns)) && now_ns < until_ns) {
        if (!has_rung && divvy_compute_lease_wants_bell(device, &say)) {
            has_rung = true;
            divvy_control_ring();
        }
        divvy_compute_port.sleep(say.word, say.seen, open_ns < until_ns ? open_ns : until_ns);
        now_ns = divvy_compute_port.now();
    }
    __atomic_fetch_sub(&device->usage->waiting, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&device->usage->waited_ns, now_ns - came_ns, __ATOMIC_RELAXED);
    return is_open;
}

int divvy_compute_state(unsigned index, uint64_t work_ns, uint64_t *ret_left_ns) {
    struct divvy_compute_device *device = index < DIVVY_PAGE_DEVICES ? &divvy_compute_devices[index] : NULL;
    uint64_t now_ns = divvy_compute_port.now(), open_ns;
    struct divvy_compute_say say;

    if (!device || !device->page)
        return -ENODEV;
    if (!work_try(device, now_ns, work_ns, &say, &open_ns, ret_left_ns) && !work_wait(device, now_ns, work_ns, ret_left_ns))
        return -EAGAIN;
    __atomic_fetch_add(&device->page->compute.charged_ns, work_ns, __ATOMIC_RELAXED);
    __atomic_fetch_add(&device->usage->busy_ns, work_ns, __ATOMIC_RELAXED);
    __atomic_fetch_add(&device->usage->launches, 1, __ATOMIC_RELAXED);
    return 0;
}
