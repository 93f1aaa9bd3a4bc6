/* Robust locks in shared memory, and whether processes live. */
#include "simgpu/engine/lock.h"

#include "core/clock.h"
#include "core/futex.h"
#include "core/sys.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { SPINS = 200 };
#define SLEEPERS (UINT32_C(1) << 31)
/* How long a waiter sleeps before it asks whether the owner still lives. */
#define PATIENCE_NS (2 * DIVVY_NS_PER_MS)
/* Pid reuse needs the whole pid space to wrap; the start time is compared this seldom. */
#define REUSE_CHECK_NS (200 * DIVVY_NS_PER_MS)

uint32_t sim_lock_tag(uint32_t slot, uint64_t generation) {
    return (slot + 1) | (uint32_t)(generation & 0xFFFFF) << 11;
}

bool sim_process_alive(int32_t pid, uint64_t start_ticks) {
    uint64_t ticks;
    int fd = divvy_core_sys_pidfd_open(pid);

    if (fd == -ESRCH)
        return false;
    if (fd < 0)
        return divvy_core_sys_is_alive(pid, start_ticks);
    /* readable once every thread is gone, also while a parent has not collected it */
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int saved = errno;
    bool gone = poll(&p, 1, 0) == 1 && (p.revents & (POLLIN | POLLHUP));

    errno = saved;
    divvy_core_sys_close(&fd);
    if (gone)
        return false;
    int r = divvy_core_sys_start_time(pid, &ticks);

    return r == -ESRCH ? false : r < 0 ? true : ticks == start_ticks;
}

/* As above without the start time: three cheap calls. */
static bool pid_runs(int32_t pid) {
    int fd = divvy_core_sys_pidfd_open(pid);

    if (fd == -ESRCH)
        return false;
    if (fd < 0)
        return true;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int saved = errno;
    bool gone = poll(&p, 1, 0) == 1 && (p.revents & (POLLIN | POLLHUP));

    errno = saved;
    divvy_core_sys_close(&fd);
    return !gone;
}

bool sim_proc_alive(sim_file_t *f, uint32_t slot, uint64_t now_ns, uint64_t max_age_ns) {
    sim_proc_t *p = &f->procs[slot & (SIM_PROCS - 1)];
    uint64_t checked = sim_load(&p->checked_ns);
    bool alive;

    if (checked + max_age_ns > now_ns && checked <= now_ns)
        return true;
    if (checked <= now_ns && checked / REUSE_CHECK_NS == now_ns / REUSE_CHECK_NS && max_age_ns)
        alive = pid_runs(sim_load(&p->pid));
    else
        alive = sim_process_alive(sim_load(&p->pid), sim_load(&p->start_ticks));
    if (alive)
        sim_store(&p->checked_ns, now_ns);
    return alive;
}

bool sim_lock_owner_dead(sim_file_t *f, uint32_t word) {
    uint32_t slot = (word & 0x7FF) - 1;

    if (slot >= SIM_PROCS)
        return true;
    uint64_t slot_word = sim_load(&f->header.proc_words[slot]);

    if (sim_slot_state(slot_word) == SIM_SLOT_FREE ||
        sim_lock_tag(slot, sim_slot_generation(slot_word)) != (word & ~SLEEPERS))
        return true;
    return !sim_proc_alive(f, slot, divvy_core_clock_ns(), 0);
}

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static bool take_slowly(sim_file_t *f, sim_lock_t *lock, uint32_t tag) {
    uint32_t sleepers = 0;

    for (int i = 0; i < SPINS; i++) {
        uint32_t word = 0;

        if (__atomic_compare_exchange_n(&lock->word, &word, tag, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return false;
        relax();
    }
    for (;;) {
        uint32_t word = sim_load(&lock->word);

        if (!word) {
            /* other sleepers may remain: keep the bit so that give wakes them */
            if (__atomic_compare_exchange_n(&lock->word, &word, tag | sleepers, false,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                return false;
            continue;
        }
        if (!(word & SLEEPERS) &&
            !__atomic_compare_exchange_n(&lock->word, &word, word | SLEEPERS, false,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        word |= SLEEPERS;
        sleepers = SLEEPERS;
        if (divvy_core_futex_wait(&lock->word, word, PATIENCE_NS, true) != -ETIMEDOUT)
            continue;
        word = sim_load(&lock->word);
        if (!word || !sim_lock_owner_dead(f, word))
            continue;
        if (__atomic_compare_exchange_n(&lock->word, &word, tag | SLEEPERS, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            __atomic_add_fetch(&lock->stolen, 1, __ATOMIC_RELAXED);
            return true;
        }
    }
}

bool sim_lock_take(sim_file_t *f, sim_lock_t *lock, uint32_t tag) {
    uint32_t word = 0;

    if (__atomic_compare_exchange_n(&lock->word, &word, tag, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED))
        return false;
    return take_slowly(f, lock, tag);
}

void sim_lock_give(sim_lock_t *lock) {
    if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) & SLEEPERS)
        (void)divvy_core_futex_wake(&lock->word, 1, true);
}
