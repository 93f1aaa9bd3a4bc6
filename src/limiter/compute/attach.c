/*
 * Beginning: the tables, their state in a fresh or forked process, threads and their blocks, contexts that come and go.
 */
#include "core/clock.h"
#include "core/futex.h"
#include "core/sys.h"
#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"
#include "limiter/hook/process.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const uint32_t share_none = DIVVY_PAGE_PERMILLE_UNLIMITED;
static const uint32_t share_look = 1; /* several devices: each launch looks at its own */

static uint64_t port_now(void) {
    return divvy_core_clock_ns();
}

static void port_sleep(const uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    (void)divvy_core_futex_wait_until(word, expected, deadline_ns, true);
}

struct divvy_compute_gate divvy_compute_gate = {.permille = &share_none};
struct divvy_compute_port divvy_compute_port = {.now = port_now, .sleep = port_sleep};
struct divvy_compute_cost divvy_compute_costs[DIVVY_COMPUTE_COSTS] __attribute__((aligned(64)));
struct divvy_compute_cost divvy_compute_mixed;
struct divvy_compute_thread divvy_compute_threads[DIVVY_COMPUTE_THREADS];
struct divvy_compute_context divvy_compute_contexts[DIVVY_COMPUTE_CONTEXTS];
struct divvy_compute_device divvy_compute_devices[DIVVY_PAGE_DEVICES];
__thread struct divvy_compute_thread *divvy_compute_self __attribute__((tls_model("initial-exec")));

/* --- threads ------------------------------------------------------------------------------------------------------ */

struct divvy_compute_thread *divvy_compute_thread_own(void) {
    uint32_t tid;

    if (divvy_compute_self)
        return divvy_compute_self;
    tid = (uint32_t)divvy_core_sys_gettid();
    for (uint32_t i = 0; i < DIVVY_COMPUTE_THREADS; i++) {
        struct divvy_compute_thread *thread = &divvy_compute_threads[i];
        uint32_t none = 0, high = __atomic_load_n(&divvy_compute_gate.threads_high, __ATOMIC_RELAXED);

        if (!__atomic_compare_exchange_n(&thread->tid, &none, tid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        while (high <= i && !__atomic_compare_exchange_n(&divvy_compute_gate.threads_high, &high, i + 1, false, __ATOMIC_RELAXED,
                                                         __ATOMIC_RELAXED))
            ;
        divvy_compute_self = thread;
        return thread;
    }
    return NULL;
}

static bool thread_is_gone(uint32_t tid, pid_t pid) {
    int saved = errno;
    bool gone = syscall(SYS_tgkill, pid, tid, 0) != 0 && errno == ESRCH;

    errno = saved;
    return gone;
}

void divvy_compute_threads_sweep(void) {
    static divvy_lock_t lock;
    uint32_t high = __atomic_load_n(&divvy_compute_gate.threads_high, __ATOMIC_RELAXED);
    pid_t pid = divvy_core_sys_getpid();

    divvy_lock_take(&lock);
    for (uint32_t i = 0; i < high; i++) {
        struct divvy_compute_thread *thread = &divvy_compute_threads[i];
        uint32_t tid = __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE);

        if (!tid || thread == divvy_compute_self || !thread_is_gone(tid, pid))
            continue;
        divvy_compute_abandon(thread);
        memset(thread, 0, offsetof(struct divvy_compute_thread, tid));
        __atomic_store_n(&thread->tid, 0, __ATOMIC_RELEASE);
    }
    divvy_lock_give(&lock);
}

/* --- suspension --------------------------------------------------------------------------------------------------- */

static const uint32_t *permille_usual = &share_none; /* what the gate looks at unless all is suspended */
uint32_t divvy_compute_suspended;
static uint32_t stoppers; /* who did, by bits; under the lock, with the word above */
static divvy_lock_t stoppers_lock;

static void gate_set(void) {
    bool looks = __atomic_load_n(&divvy_compute_suspended, __ATOMIC_SEQ_CST) || divvy_compute_gate.toll;
    const uint32_t *word = looks ? &share_look : permille_usual;

    __atomic_store_n(&divvy_compute_gate.permille, word, __ATOMIC_RELEASE);
}

void divvy_compute_suspend(enum divvy_compute_stopper stopper, bool is_suspended) {
    divvy_lock_take(&stoppers_lock);
    stoppers = is_suspended ? stoppers | stopper : stoppers & ~(uint32_t)stopper;
    __atomic_store_n(&divvy_compute_suspended, stoppers != 0, __ATOMIC_SEQ_CST);
    gate_set();
    divvy_lock_give(&stoppers_lock);
    (void)divvy_core_futex_wake(&divvy_compute_suspended, INT32_MAX, true);
}

bool divvy_compute_is_suspended(void) {
    return __atomic_load_n(&divvy_compute_suspended, __ATOMIC_SEQ_CST) != 0;
}

void divvy_compute_set_toll(const struct divvy_compute_toll *toll) {
    __atomic_store_n(&divvy_compute_gate.toll, toll, __ATOMIC_RELEASE);
    gate_set();
}

/* --- attaching ---------------------------------------------------------------------------------------------------- */

static void device_attach(CUdevice ordinal, unsigned index) {
    struct divvy_compute_device *device = &divvy_compute_devices[index];

    if (device->page)
        return;
    device->ordinal = ordinal;
    device->usage = &divvy_process.page->slots[divvy_process.slot].usage[index];
    device->control = divvy_control_link.devices[index];
    device->page = &divvy_process.page->devices[index];
}

/* The word that says whether launches have to be looked at. */
static const uint32_t *device_permille(const struct divvy_compute_device *device) {
    return device->control ? &device->control->armed : &device->page->compute_permille;
}

void divvy_compute_attach(void) {
    unsigned count = 0;
    const uint32_t *permille = &share_none;

    divvy_compute_self = NULL;
    divvy_compute_contexts_reset();
    divvy_compute_costs_reset();
    memset(divvy_compute_threads, 0, divvy_compute_gate.threads_high * sizeof(divvy_compute_threads[0]));
    divvy_compute_gate.threads_high = 0;
    divvy_compute_captures_reset();
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++)
        if (divvy_compute_devices[i].page)
            memset(&divvy_compute_devices[i], 0, sizeof(divvy_compute_devices[i]));
    for (unsigned i = 0; divvy_process.page && i < divvy_process.device_count && i < DIVVY_CUDA_DEVICES; i++) {
        int index = divvy_process_page_device((CUdevice)i);

        if (index < 0 || (unsigned)index >= DIVVY_PAGE_DEVICES)
            continue;
        device_attach((CUdevice)i, (unsigned)index);
        permille = device_permille(&divvy_compute_devices[index]);
        /* A device that the daemon does not know has no word that is armed while the door is shut. */
        count += divvy_control_link.page && !divvy_compute_devices[index].control ? 2 : 1;
    }
    divvy_compute_gate.ticks_from = divvy_compute_ticks(&divvy_compute_port);
    divvy_compute_gate.ns_from = divvy_compute_port.now();
    permille_usual = count > 1 ? &share_look : permille;
    divvy_lock_reset(&stoppers_lock);
    stoppers = 0;
    __atomic_store_n(&divvy_compute_suspended, 0, __ATOMIC_RELAXED);
    gate_set();
}

/* --- contexts that go --------------------------------------------------------------------------------------------- */

void divvy_compute_context_switched(void) {
    divvy_compute_park();
}

static void context_gone(unsigned index) {
    struct divvy_compute_context *context = &divvy_compute_contexts[index];
    int saved = errno;

    if (divvy_compute_self && divvy_compute_self->context == context->handle && divvy_compute_self->context_known)
        divvy_compute_close(divvy_compute_self, divvy_compute_port.now());
    if (context->device < DIVVY_PAGE_DEVICES && divvy_compute_devices[context->device].page)
        divvy_compute_settle_context(&divvy_compute_devices[context->device], (uint16_t)index);
    divvy_compute_context_drop(context);
    divvy_compute_park();
    errno = saved;
}

void divvy_compute_context_destroying(CUcontext handle) {
    for (unsigned i = 0; handle && i < DIVVY_COMPUTE_CONTEXTS; i++)
        if (__atomic_load_n(&divvy_compute_contexts[i].handle, __ATOMIC_ACQUIRE) == handle)
            context_gone(i);
}

void divvy_compute_device_destroying(CUdevice ordinal) {
    int index = divvy_process_page_device(ordinal);

    for (unsigned i = 0; index >= 0 && i < DIVVY_COMPUTE_CONTEXTS; i++)
        if (__atomic_load_n(&divvy_compute_contexts[i].handle, __ATOMIC_ACQUIRE) &&
            divvy_compute_contexts[i].device == index)
            context_gone(i);
}
