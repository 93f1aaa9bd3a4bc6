/*
 * Tokens for launches: taken from the pod file before the launch, and waited for where there are too few. Nobody is woken when
 * tokens come, so who waits looks again at least every 10 ms. The thread that came first keeps its place, or those that need few
 * tokens would never leave enough for one that needs many; between processes there is no such order.
 */
#include "limiter/foreign/foreign.h"

#include "core/clock.h"
#include "core/futex.h"
#include "limiter/compute/state.h"
#include "limiter/hook/process.h"
#include "limiter/memory/account.h"

#include <errno.h>
#include <string.h>

#define PAUSE_FIRST_NS UINT64_C(1000000)
#define PAUSE_MAX_NS   UINT64_C(10000000)
/* A thread that was first and has not looked for so long is gone. */
#define GONE_NS UINT64_C(500000000)
/* What one launch costs at most; a graph pays in portions of no more, so that it need not fit into the bucket. */
#define PORTION_MAX 10.0

/* A launch that has to be paid for. */
struct due {
    unsigned device; /* of the usage page */
    double cost;     /* still to be paid */
    uint32_t thread;
    uint64_t pause_ns;
    uint64_t came_ns; /* when it began to wait; 0: it did not */
};

enum verdict { VERDICT_PAID, VERDICT_WAIT, VERDICT_FREE, VERDICT_NOT_OURS };

static struct divvy_foreign_device *device_of(const struct due *due) {
    return &divvy_foreign.devices[due->device];
}

static struct divvy_page_usage *usage_of(const struct due *due) {
    return &divvy_process.page->slots[divvy_process.slot].usage[due->device];
}

/* --- who is first --------------------------------------------------------------------------------------------------------- */

static bool turn_is_mine(const struct due *due, uint64_t now_ns) {
    struct divvy_foreign_device *device = device_of(due);
    uint32_t first = __atomic_load_n(&device->first, __ATOMIC_ACQUIRE);

    if (first == 0)
        return true;
    if (first != due->thread &&
        (now_ns < __atomic_load_n(&device->first_ns, __ATOMIC_RELAXED) + GONE_NS ||
         !__atomic_compare_exchange_n(&device->first, &first, due->thread, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_RELAXED)))
        return false;
    __atomic_store_n(&device->first_ns, now_ns, __ATOMIC_RELAXED);
    return true;
}

static void turn_keep(const struct due *due, uint64_t now_ns) {
    struct divvy_foreign_device *device = device_of(due);
    uint32_t nobody = 0;

    if (__atomic_compare_exchange_n(&device->first, &nobody, due->thread, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
        __atomic_store_n(&device->first_ns, now_ns, __ATOMIC_RELAXED);
}

static void turn_leave(const struct due *due) {
    struct divvy_foreign_device *device = device_of(due);
    uint32_t mine = due->thread;

    if (__atomic_compare_exchange_n(&device->first, &mine, 0, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
        (void)divvy_core_futex_wake(&device->first, 1, false);
}

/* --- paying --------------------------------------------------------------------------------------------------------------- */

/* What is to be paid next: no more than one launch's, and no more than there can ever be. */
static double portion_of(const struct due *due) {
    uint64_t bits = __atomic_load_n(&device_of(due)->capacity, __ATOMIC_RELAXED);
    double capacity, portion = due->cost < PORTION_MAX ? due->cost : PORTION_MAX;

    memcpy(&capacity, &bits, sizeof capacity);
    return capacity > 0 && capacity < portion ? capacity : portion;
}

static int portion_take(struct due *due) {
    double portion = portion_of(due), cost = due->cost < PORTION_MAX ? due->cost : PORTION_MAX;
    int status;

    if (!divvy_foreign_is_whole()) {
        divvy_foreign_doubt();
        return -EAGAIN;
    }
    status = divvy_podfile_tokens_take(
        &divvy_foreign.file, __atomic_load_n(&device_of(due)->entry, __ATOMIC_RELAXED), portion);
    if (status == 0)
        due->cost -= cost;
    return status;
}

/* A lease or freeze that came over the channel is the gate's to heed. */
static bool gate_is_wanted(unsigned device) {
    const struct divvy_control_device *control = divvy_control_link.devices[device];

    return control && __atomic_load_n(&control->mode, __ATOMIC_RELAXED) != DIVVY_CONTROL_SELF;
}

static enum verdict try(struct due *due, uint64_t now_ns) {
    divvy_foreign_look(now_ns);
    if (gate_is_wanted(due->device))
        return VERDICT_NOT_OURS;
    if (__atomic_load_n(&divvy_compute_suspended, __ATOMIC_SEQ_CST))
        return VERDICT_WAIT;
    if (divvy_foreign_state() != DIVVY_FOREIGN_HEALTHY)
        return divvy_foreign.is_closed ? VERDICT_NOT_OURS : VERDICT_FREE;
    if (__atomic_load_n(&device_of(due)->up_limit, __ATOMIC_RELAXED) >= DIVVY_PODFILE_UNTHROTTLED)
        return VERDICT_FREE;
    if (divvy_foreign.file.tag != DIVVY_PODFILE_TAG_V2)
        return VERDICT_NOT_OURS;
    if (!turn_is_mine(due, now_ns))
        return VERDICT_WAIT;
    while (due->cost > 0)
        if (portion_take(due) < 0)
            return VERDICT_WAIT;
    return VERDICT_PAID;
}

static void rest(struct due *due, uint64_t now_ns) {
    struct divvy_foreign_device *device = device_of(due);

    if (due->came_ns == 0) {
        due->came_ns = now_ns;
        __atomic_fetch_add(&usage_of(due)->waiting, 1, __ATOMIC_RELAXED);
    }
    if (__atomic_load_n(&divvy_compute_suspended, __ATOMIC_SEQ_CST)) {
        divvy_compute_port.sleep(&divvy_compute_suspended, 1, now_ns + PAUSE_MAX_NS);
        return;
    }
    if (turn_is_mine(due, now_ns)) {
        turn_keep(due, now_ns);
        divvy_compute_port.sleep(&due->thread, due->thread, now_ns + due->pause_ns);
    } else {
        uint32_t first = __atomic_load_n(&device->first, __ATOMIC_ACQUIRE);

        if (first != 0)
            (void)divvy_core_futex_wait_until(&device->first, first, now_ns + PAUSE_MAX_NS, false);
    }
    due->pause_ns = due->pause_ns * 2 < PAUSE_MAX_NS ? due->pause_ns * 2 : PAUSE_MAX_NS;
}

static void waited(const struct due *due) {
    if (due->came_ns == 0)
        return;
    turn_leave(due);
    __atomic_fetch_sub(&usage_of(due)->waiting, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&usage_of(due)->waited_ns, divvy_compute_port.now() - due->came_ns,
                       __ATOMIC_RELAXED);
}

/* A number for this thread that no other one of the process has; not its tid, which costs a system call. */
static uint32_t thread_number(void) {
    static __thread uint32_t number __attribute__((tls_model("initial-exec")));
    static uint32_t last;

    while (number == 0)
        number = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
    return number;
}

static bool pay(double cost, CUstream stream) {
    struct due due = {.cost = cost, .pause_ns = PAUSE_FIRST_NS};
    enum verdict verdict;
    CUcontext context;
    int device;

    if (!divvy_process_ready() || divvy_compute_is_capturing(stream))
        return false;
    device = divvy_memory_current(&context);
    if (device < 0 || !__atomic_load_n(&divvy_foreign.devices[device].is_known, __ATOMIC_ACQUIRE))
        return false;
    due.device = (unsigned)device;
    due.thread = thread_number();
    for (uint64_t now_ns = divvy_compute_port.now(); (verdict = try(&due, now_ns)) == VERDICT_WAIT;
         now_ns = divvy_compute_port.now())
        rest(&due, now_ns);
    waited(&due);
    if (verdict == VERDICT_NOT_OURS)
        return false;
    __atomic_fetch_add(&usage_of(&due)->launches, 1, __ATOMIC_RELAXED);
    return true;
}

static bool kernel(uint64_t blocks, uint64_t threads_per_block, CUstream stream) {
    int saved = errno;
    bool paid = pay(divvy_podfile_cost(blocks, threads_per_block), stream);

    errno = saved;
    return paid;
}

static bool graph(CUgraphExec exec, CUstream stream) {
    int saved = errno;
    bool paid = pay(divvy_foreign_graph_cost(exec), stream);

    errno = saved;
    return paid;
}

const struct divvy_compute_toll divvy_foreign_toll = {
    .kernel = kernel, .graph = graph, .graph_made = divvy_foreign_graph_learn};
