/* Waiting at the tenant's door: see door.h. */
#include "limiter/hook/door.h"

#include "core/clock.h"
#include "core/futex.h"
#include "limiter/hook/control.h"
#include "limiter/hook/process.h"

#include <errno.h>

/* Who waits rings again after this long: the daemon may have been started anew. */
#define RING_NS (100 * DIVVY_NS_PER_MS)

static const uint32_t open_door;
const uint32_t *divvy_door = &open_door;

/* What a process knows of its door before it has come by one that is watched. */
static void word_leave(uint32_t word) {
    uint64_t *told;

    if (__atomic_load_n(divvy_process_attached_word, __ATOMIC_ACQUIRE) != 1)
        return; /* a forked child, whose slot this is not */
    told = &divvy_process.page->slots[divvy_process.slot].door;
    if (__atomic_load_n(told, __ATOMIC_RELAXED) != word)
        __atomic_store_n(told, word, __ATOMIC_SEQ_CST);
}

void divvy_door_attached(void) {
    word_leave(DIVVY_CONTROL_DOOR_KNOWN);
}

bool divvy_door_is_shut(void) {
    return (__atomic_load_n(divvy_door, __ATOMIC_RELAXED) & DIVVY_CONTROL_DOOR_SHUT) != 0;
}

/* A daemon that is gone opens no doors: after a while the driver may decide. */
static bool daemon_is_there(uint64_t now_ns) {
    uint64_t beat_ns = (uint64_t)__atomic_load_n(&divvy_control_link.page->heartbeat_ns, __ATOMIC_RELAXED);

    return now_ns < beat_ns + (uint64_t)DIVVY_CONTROL_FROZEN_STALE_NS;
}

void divvy_door_wait(void) {
    int host_errno = errno;
    uint32_t word;

    for (;;) {
        uint64_t now_ns;

        word = __atomic_load_n(divvy_door, __ATOMIC_ACQUIRE);
        if (word == 0)
            break;
        word_leave(word);
        now_ns = divvy_core_clock_ns();
        if (!(word & DIVVY_CONTROL_DOOR_SHUT) || !daemon_is_there(now_ns))
            break;
        divvy_control_ring();
        (void)divvy_core_futex_wait_until(divvy_door, word, now_ns + RING_NS, true);
    }
    errno = host_errno;
}
