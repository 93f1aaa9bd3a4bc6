/* Contexts, channels, events, host work on a real clock. Durations of the device are exact; those of the host are
 * never asserted. */
#include "machine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

static const divvy_simgpu_item_t work_1ms = {
    .kind = DIVVY_SIMGPU_WORK, .duration_ns = MS, .fraction_permille = 1000};

typedef struct fixture {
    divvy_simgpu_context_t *context;
    divvy_simgpu_channel_t *channel;
} fixture_t;

static fixture_t fixture_open(void) {
    fixture_t x;

    real_attach(0);
    assert_int_equal(divvy_simgpu_context_create(0, &x.context), 0);
    assert_int_equal(divvy_simgpu_channel_open(x.context, 0, &x.channel), 0);
    return x;
}

static void fixture_close(fixture_t *x) {
    divvy_simgpu_channel_close(x->channel);
    divvy_simgpu_context_destroy(x->context);
    divvy_simgpu_detach();
    assert_false(divvy_simgpu_attached());
}

/* A gate at the head of a channel: the device does nothing behind it before the test opens it. So a test that is held
 * up by other programs still has submitted everything before any of it runs. */
static uint32_t gate_open;

static int gate_run(void *arg, uint64_t *duration_ns) {
    (void)arg;
    (void)duration_ns;
    while (!__atomic_load_n(&gate_open, __ATOMIC_ACQUIRE))
        usleep(100);
    return 0;
}

static void gate_set(uint32_t open) {
    __atomic_store_n(&gate_open, open, __ATOMIC_RELEASE);
}

static void gate_put(divvy_simgpu_channel_t *channel) {
    const divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_HOST, .run = gate_run};

    gate_set(0);
    assert_int_equal(divvy_simgpu_submit(channel, &item, NULL), 0);
}

/* Also after a failure: nothing may wait for a gate while the machine is taken down. */
static int teardown(void **state) {
    gate_set(1);
    return real_teardown(state);
}

static void events_measure_exactly(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_event_t first, second, never;
    uint64_t t1, t2;

    (void)state;
    assert_int_equal(divvy_simgpu_event_create(&first), 0);
    assert_int_equal(divvy_simgpu_event_create(&second), 0);
    assert_int_equal(divvy_simgpu_event_create(&never), 0);
    gate_put(x.channel);
    assert_int_equal(divvy_simgpu_submit(x.channel, &work_1ms, NULL), 0);
    assert_int_equal(divvy_simgpu_event_record(x.channel, first, 0), 0);
    assert_int_equal(divvy_simgpu_event_query(first), 0);
    assert_int_equal(divvy_simgpu_event_time(first, &t1), -EAGAIN);
    for (int i = 0; i < 5; i++)
        assert_int_equal(divvy_simgpu_submit(x.channel, &work_1ms, NULL), 0);
    assert_int_equal(divvy_simgpu_event_record(x.channel, second, 0), 0);
    gate_set(1);
    assert_int_equal(divvy_simgpu_event_wait(second), 0);
    assert_int_equal(divvy_simgpu_event_time(first, &t1), 0);
    assert_int_equal(divvy_simgpu_event_time(second, &t2), 0);
    assert_int_equal(t2 - t1, 5 * MS);
    assert_int_equal(divvy_simgpu_event_query(never), 1);
    assert_int_equal(divvy_simgpu_event_time(never, &t1), -ENODATA);
    assert_int_equal(divvy_simgpu_event_wait(never), 0);
    assert_int_equal(divvy_simgpu_event_destroy(first), 0);
    assert_int_equal(divvy_simgpu_event_query(first), -EINVAL);
    assert_int_equal(divvy_simgpu_event_destroy(first), -EINVAL);
    assert_int_equal(divvy_simgpu_event_query(0), -EINVAL);
    assert_int_equal(divvy_simgpu_event_query(UINT64_MAX), -EINVAL);
    assert_int_equal(divvy_simgpu_context_busy_ns(x.context), 6 * MS);
    fixture_close(&x);
}

static void many_events_live(void **state) {
    enum { N = 5000 };
    static divvy_simgpu_event_t events[N];
    fixture_t x = fixture_open();

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            assert_int_equal(divvy_simgpu_event_create(&events[i]), 0);
        for (int i = 0; i < N; i++)
            assert_int_equal(divvy_simgpu_event_record(x.channel, events[i], 0), 0);
        assert_int_equal(divvy_simgpu_context_wait(x.context), 0);
        for (int i = 0; i < N; i++) {
            assert_int_equal(divvy_simgpu_event_query(events[i]), 1);
            assert_int_equal(divvy_simgpu_event_destroy(events[i]), 0);
        }
    }
    fixture_close(&x);
}

static void a_full_channel_blocks(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_item_t item = {
        .kind = DIVVY_SIMGPU_WORK, .duration_ns = 10 * MS, .flags = DIVVY_SIMGPU_NONBLOCK};
    divvy_simgpu_position_t last;
    int accepted = 0, r;

    (void)state;
    while ((r = divvy_simgpu_submit(x.channel, &item, NULL)) == 0 && accepted < 5000)
        accepted++;
    assert_int_equal(r, -EAGAIN);
    assert_in_range(accepted, DIVVY_SIMGPU_DEPTH, DIVVY_SIMGPU_DEPTH + 50);
    item.flags = 0;
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, &last), 0); /* after an item has ended */
    assert_true(last.seq > DIVVY_SIMGPU_DEPTH);
    assert_true(divvy_simgpu_context_busy_ns(x.context) >= 10 * MS);
    assert_int_equal(divvy_simgpu_wait_until(last, divvy_simgpu_now_ns() + MS), -ETIMEDOUT);
    fixture_close(&x);
}

/* --- work of the host --------------------------------------------------------------------------------------- */

typedef struct order {
    pthread_mutex_t mutex;
    int ran[64], count, dropped;
    bool blocked_signals;
} order_t;
static order_t order = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int note(void *arg, uint64_t *duration_ns) {
    sigset_t set;

    pthread_sigmask(SIG_SETMASK, NULL, &set);
    pthread_mutex_lock(&order.mutex);
    order.ran[order.count++ % 64] = (int)(intptr_t)arg;
    order.blocked_signals = sigismember(&set, SIGTERM) && sigismember(&set, SIGUSR1);
    pthread_mutex_unlock(&order.mutex);
    if ((intptr_t)arg == 500)
        *duration_ns = 7 * MS;
    return (intptr_t)arg == 99 ? 700 : 0;
}

static void note_drop(void *arg) {
    (void)arg;
    __atomic_add_fetch(&order.dropped, 1, __ATOMIC_RELAXED);
}

static divvy_simgpu_item_t host_item(int number, uint64_t duration_ns) {
    return (divvy_simgpu_item_t){.kind = DIVVY_SIMGPU_HOST,
                                 .run = note,
                                 .drop = note_drop,
                                 .arg = (void *)(intptr_t)number,
                                 .duration_ns = duration_ns};
}

static void actions_run_in_order_and_once(void **state) {
    fixture_t x = fixture_open();

    (void)state;
    order = (order_t){.mutex = PTHREAD_MUTEX_INITIALIZER};
    for (int i = 0; i < 30; i++) {
        divvy_simgpu_item_t item = host_item(i, i % 3 ? 100 * US : 0);

        if (i % 5 == 0)
            item.kind = DIVVY_SIMGPU_COPY;
        assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), 0);
        assert_int_equal(divvy_simgpu_submit(x.channel, &work_1ms, NULL), 0);
    }
    assert_int_equal(divvy_simgpu_context_wait(x.context), 0);
    assert_int_equal(order.count, 30);
    for (int i = 0; i < 30; i++)
        assert_int_equal(order.ran[i], i);
    assert_true(order.blocked_signals);
    assert_int_equal(order.dropped, 0);
    assert_int_equal(divvy_simgpu_context_error(x.context), 0);
    divvy_simgpu_item_t bad = host_item(99, 0);

    assert_int_equal(divvy_simgpu_submit(x.channel, &bad, NULL), 0);
    assert_int_equal(divvy_simgpu_context_wait(x.context), 0);
    assert_int_equal(divvy_simgpu_context_error(x.context), 700);
    fixture_close(&x);
}

static void late_durations_count(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_item_t item = host_item(500, 0);
    uint64_t before = divvy_simgpu_context_busy_ns(x.context);

    (void)state;
    item.flags = DIVVY_SIMGPU_LATE;
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), 0);
    assert_int_equal(divvy_simgpu_context_wait(x.context), 0);
    assert_int_equal(divvy_simgpu_context_busy_ns(x.context) - before, 7 * MS);
    fixture_close(&x);
}

static void destroying_drops_what_did_not_run(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_WORK,
                                .duration_ns = 3600 * UINT64_C(1000000000)};
    divvy_simgpu_position_t last;

    (void)state;
    order = (order_t){.mutex = PTHREAD_MUTEX_INITIALIZER};
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), 0);
    for (int i = 0; i < 20; i++) {
        item = host_item(i, 0);
        assert_int_equal(divvy_simgpu_submit(x.channel, &item, &last), 0);
    }
    assert_int_equal(divvy_simgpu_query(last), 0);
    divvy_simgpu_channel_close(x.channel);
    divvy_simgpu_context_destroy(x.context);
    assert_int_equal(order.count, 0);
    assert_int_equal(order.dropped, 20);
    assert_int_equal(divvy_simgpu_query(last), 1);
    divvy_simgpu_status_t status;

    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(status.contexts, 0);
    divvy_simgpu_detach();
}

static void memory_operations_order_streams(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_channel_t *other;
    divvy_simgpu_position_t waited;
    uint64_t address;

    (void)state;
    assert_int_equal(divvy_simgpu_channel_open(x.context, 0, &other), 0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 64, 0, 0, &address), 0);
    divvy_simgpu_mem_zero(address, 64);
    divvy_simgpu_item_t wait = {
        .kind = DIVVY_SIMGPU_MEM_WAIT, .address = address, .value = 5, .compare = DIVVY_SIMGPU_GEQ};
    divvy_simgpu_item_t write = {.kind = DIVVY_SIMGPU_MEM_WRITE, .address = address, .value = 4};

    assert_int_equal(divvy_simgpu_submit(other, &wait, &waited), 0);
    assert_int_equal(divvy_simgpu_submit(x.channel, &write, NULL), 0);
    assert_int_equal(divvy_simgpu_wait_until(waited, divvy_simgpu_now_ns() + 20 * MS), -ETIMEDOUT);
    write.value = 6;
    assert_int_equal(divvy_simgpu_submit(x.channel, &write, NULL), 0);
    assert_int_equal(divvy_simgpu_wait(waited), 0);
    write.flags = wait.flags = DIVVY_SIMGPU_WIDE;
    write.value = UINT64_C(1) << 40;
    wait.value = UINT64_C(1) << 40;
    wait.compare = DIVVY_SIMGPU_AND;
    assert_int_equal(divvy_simgpu_submit(other, &wait, &waited), 0);
    assert_int_equal(divvy_simgpu_submit(x.channel, &write, NULL), 0);
    assert_int_equal(divvy_simgpu_wait(waited), 0);
    assert_int_equal(*(uint64_t *)(uintptr_t)address, UINT64_C(1) << 40);
    write.address++;
    assert_int_equal(divvy_simgpu_submit(x.channel, &write, NULL), -EINVAL);
    /* a wait that nobody ends does not keep the context alive */
    wait.value = UINT64_C(1) << 41;
    assert_int_equal(divvy_simgpu_submit(other, &wait, NULL), 0);
    fixture_close(&x);
}

static void waits_follow_events_of_other_channels(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_channel_t *other;
    divvy_simgpu_event_t event, after;
    divvy_simgpu_item_t slow = host_item(1, 0), wait = {.kind = DIVVY_SIMGPU_EVENT_WAIT};
    uint64_t t1, t2;

    /* all is queued before the gate opens: from then on the host's lateness shows in no time of the device */
    (void)state;
    assert_int_equal(divvy_simgpu_channel_open(x.context, 0, &other), 0);
    assert_int_equal(divvy_simgpu_event_create(&event), 0);
    assert_int_equal(divvy_simgpu_event_create(&after), 0);
    gate_put(x.channel);
    assert_int_equal(divvy_simgpu_submit(x.channel, &work_1ms, NULL), 0);
    assert_int_equal(divvy_simgpu_submit(x.channel, &slow, NULL), 0);
    assert_int_equal(divvy_simgpu_event_record(x.channel, event, 0), 0);
    assert_int_equal(divvy_simgpu_event_position(event, &wait.position), 0);
    assert_int_equal(divvy_simgpu_submit(other, &wait, NULL), 0);
    assert_int_equal(divvy_simgpu_submit(other, &work_1ms, NULL), 0);
    assert_int_equal(divvy_simgpu_event_record(other, after, 0), 0);
    gate_set(1);
    assert_int_equal(divvy_simgpu_event_wait(after), 0);
    assert_int_equal(divvy_simgpu_event_time(event, &t1), 0);
    assert_int_equal(divvy_simgpu_event_time(after, &t2), 0);
    assert_int_equal(t2 - t1, MS);
    fixture_close(&x);
}

/* Work that comes after the event it waits for starts when it comes, not before. */
static void late_work_starts_when_it_comes(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_channel_t *other;
    divvy_simgpu_event_t event, after;
    divvy_simgpu_item_t wait = {.kind = DIVVY_SIMGPU_EVENT_WAIT};
    uint64_t t1, t2, submitted;

    (void)state;
    assert_int_equal(divvy_simgpu_channel_open(x.context, 0, &other), 0);
    assert_int_equal(divvy_simgpu_event_create(&event), 0);
    assert_int_equal(divvy_simgpu_event_create(&after), 0);
    assert_int_equal(divvy_simgpu_event_record(x.channel, event, 0), 0);
    assert_int_equal(divvy_simgpu_event_position(event, &wait.position), 0);
    assert_int_equal(divvy_simgpu_submit(other, &wait, NULL), 0);
    assert_int_equal(divvy_simgpu_event_wait(event), 0);
    usleep(2000);
    submitted = divvy_simgpu_now_ns();
    assert_int_equal(divvy_simgpu_submit(other, &work_1ms, NULL), 0);
    assert_int_equal(divvy_simgpu_event_record(other, after, 0), 0);
    assert_int_equal(divvy_simgpu_event_wait(after), 0);
    assert_int_equal(divvy_simgpu_event_time(event, &t1), 0);
    assert_int_equal(divvy_simgpu_event_time(after, &t2), 0);
    assert_true(t1 < submitted);
    assert_true(t2 >= submitted + MS);
    fixture_close(&x);
}

static void channels_are_shared_when_they_run_out(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_channel_t *channels[100];

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(divvy_simgpu_channel_open(x.context, i % 2, &channels[i]), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(divvy_simgpu_submit(channels[i],
                                             &(divvy_simgpu_item_t){.kind = DIVVY_SIMGPU_WORK,
                                                                    .duration_ns = 10 * US,
                                                                    .fraction_permille = 100},
                                             NULL),
                         0);
    assert_int_equal(divvy_simgpu_context_wait(x.context), 0);
    assert_true(divvy_simgpu_context_idle(x.context));
    for (int i = 0; i < 100; i++)
        divvy_simgpu_channel_close(channels[i]);
    fixture_close(&x);
}

static void *hammer(void *arg) {
    divvy_simgpu_channel_t *channel = arg;
    divvy_simgpu_position_t last = {0};

    for (int i = 0; i < 3000; i++) {
        divvy_simgpu_item_t item = {
            .kind = DIVVY_SIMGPU_WORK, .duration_ns = 1000, .fraction_permille = 200};

        if (i % 500 == 0) {
            item = host_item(i, 1000);
            item.drop = NULL;
        }
        if (divvy_simgpu_submit(channel, &item, &last) < 0)
            return (void *)1;
        if (i % 100 == 0 && divvy_simgpu_wait(last) < 0)
            return (void *)2;
    }
    return divvy_simgpu_wait(last) < 0 ? (void *)3 : NULL;
}

static void many_threads_submit_and_wait(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_status_t before, after;
    pthread_t threads[6];
    void *result;

    (void)state;
    assert_int_equal(divvy_simgpu_status(0, &before), 0);
    for (int i = 0; i < 6; i++) {
        divvy_simgpu_channel_t *channel = x.channel;

        if (i % 2) /* half of them share one channel */
            assert_int_equal(divvy_simgpu_channel_open(x.context, 0, &channel), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, channel), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(divvy_simgpu_status(0, &after), 0);
    assert_int_equal(after.launches - before.launches, 6 * 3000);
    fixture_close(&x);
}

/* --- faults ------------------------------------------------------------------------------------------------- */

static void faults_hit_as_asked(void **state) {
    char error[DIVVY_SIMGPU_ERROR_MAX], text[256];

    (void)state;
    setenv("DIVVY_SIM_FAULTS",
           "fail:cuMemAlloc=2,after=1,times=2;unsupported:nvmlDeviceGetFan*;slow:cuInit=1us", 1);
    real_attach(0);
    unsetenv("DIVVY_SIM_FAULTS");
    assert_int_equal(divvy_simgpu_fault("cuMemAlloc_v2").kind, DIVVY_SIMGPU_FAULT_NONE);
    assert_int_equal(divvy_simgpu_fault("cuMemAlloc_v2").kind, DIVVY_SIMGPU_FAULT_FAIL);
    assert_int_equal(divvy_simgpu_fault("cuMemAllocHost_v2").kind, DIVVY_SIMGPU_FAULT_NONE);
    assert_int_equal(divvy_simgpu_fault("cuMemAlloc").code, 2);
    assert_int_equal(divvy_simgpu_fault("cuMemAlloc").kind, DIVVY_SIMGPU_FAULT_NONE);
    assert_int_equal(divvy_simgpu_fault("nvmlDeviceGetFanSpeed_v2").kind,
                     DIVVY_SIMGPU_FAULT_UNSUPPORTED);
    assert_int_equal(divvy_simgpu_fault("cuInit").kind, DIVVY_SIMGPU_FAULT_NONE);
    assert_int_equal(divvy_simgpu_fault_add("fail:cuLaunchKernel=719,p=50%", error), 0);
    int hits = 0;

    for (int i = 0; i < 1000; i++)
        hits += divvy_simgpu_fault("cuLaunchKernel_ptsz").kind == DIVVY_SIMGPU_FAULT_FAIL;
    assert_in_range(hits, 400, 600);
    assert_int_equal(divvy_simgpu_fault_describe(0, text, sizeof text), 0);
    assert_non_null(strstr(text, "cuMemAlloc=2"));
    assert_int_equal(divvy_simgpu_fault_describe(4, text, sizeof text), -ENOENT);
    assert_int_equal(divvy_simgpu_fault_clear(), 0);
    assert_int_equal(divvy_simgpu_fault("cuLaunchKernel").kind, DIVVY_SIMGPU_FAULT_NONE);
    static const char *const bad[] = {
        "x",
        "fail:",
        "fail:cuInit",
        "fail:cuInit=",
        "slow:cuInit=5",
        "slow:cuInit=99999s",
        "lost:",
        "lost:99",
        "lost:0@",
        "lost:0@1s,",
        "fail:cuInit=1,p=101%",
        "fail:cuInit=1 ",
        "unsupported:a-b",
        "fail:cuInit=99999999999999999999",
        "fail:cuMemAllocWithANameThatIsMuchTooLongToBeTheNameOfAnyCall=1"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(divvy_simgpu_fault_add(bad[i], error), -EINVAL);
        assert_non_null(strstr(error, "byte"));
    }
    divvy_simgpu_detach();
}

static void a_lost_device_answers_so(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_WORK,
                                .duration_ns = 3600 * UINT64_C(1000000000)};
    divvy_simgpu_position_t position;
    char error[DIVVY_SIMGPU_ERROR_MAX];
    uint64_t address;

    (void)state;
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, &position), 0);
    assert_int_equal(divvy_simgpu_fault_add("lost:0@20ms", error), 0);
    assert_int_equal(divvy_simgpu_wait(position), -ENODEV);
    assert_true(divvy_simgpu_device_lost(0));
    assert_int_equal(divvy_simgpu_query(position), -ENODEV);
    assert_int_equal(divvy_simgpu_submit(x.channel, &work_1ms, NULL), -ENODEV);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 64, 0, 0, &address), -ENODEV);
    divvy_simgpu_context_destroy(x.context);
    assert_int_equal(divvy_simgpu_context_create(0, &x.context), -ENODEV);
    assert_int_equal(divvy_simgpu_device_set_lost(0, false), 0);
    assert_int_equal(divvy_simgpu_context_create(0, &x.context), 0);
    assert_int_equal(divvy_simgpu_channel_open(x.context, 0, &x.channel), 0);
    assert_int_equal(divvy_simgpu_submit(x.channel, &work_1ms, &position), 0);
    assert_int_equal(divvy_simgpu_wait(position), 0);
    fixture_close(&x);
}

static void wrong_items_are_refused(void **state) {
    fixture_t x = fixture_open();
    divvy_simgpu_item_t item = {.kind = 0};

    (void)state;
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), -EINVAL);
    item.kind = DIVVY_SIMGPU_KIND_MAX;
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), -EINVAL);
    item.kind = DIVVY_SIMGPU_HOST;
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), -EINVAL);
    item = (divvy_simgpu_item_t){.kind = DIVVY_SIMGPU_WORK, .duration_ns = UINT64_MAX};
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), -EINVAL);
    item = (divvy_simgpu_item_t){.kind = DIVVY_SIMGPU_EVENT_WAIT,
                                 .position = {UINT64_MAX, UINT64_MAX}};
    assert_int_equal(divvy_simgpu_submit(x.channel, &item, NULL), 0);
    assert_int_equal(divvy_simgpu_context_wait(x.context), 0); /* a context that never was */
    divvy_simgpu_context_t *none;

    assert_int_equal(divvy_simgpu_context_create(1, &none), -ENODEV);
    assert_int_equal(divvy_simgpu_context_create(-1, &none), -ENODEV);
    fixture_close(&x);
}

#define REAL(test) cmocka_unit_test_setup_teardown(test, real_setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        REAL(events_measure_exactly),
        REAL(many_events_live),
        REAL(a_full_channel_blocks),
        REAL(actions_run_in_order_and_once),
        REAL(late_durations_count),
        REAL(destroying_drops_what_did_not_run),
        REAL(memory_operations_order_streams),
        REAL(waits_follow_events_of_other_channels),
        REAL(late_work_starts_when_it_comes),
        REAL(channels_are_shared_when_they_run_out),
        REAL(many_threads_submit_and_wait),
        REAL(faults_hit_as_asked),
        REAL(a_lost_device_answers_so),
        REAL(wrong_items_are_refused),
    };

    return cmocka_run_group_tests_name("simgpu queues", tests, NULL, NULL);
}
