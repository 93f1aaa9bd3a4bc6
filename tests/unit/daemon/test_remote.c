/*
 * Leases by the channel without a channel: the sending function is this test's. What arrives, what is taken back, what a process
 * that lies, floods, is silent or goes away brings about, and random operations from two threads that must leave nothing behind.
 */
#include "daemon/remote.h"

#include "core/clock.h"
#include "wire/channel/channel.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { CAPACITY = 8, ORDERS = 64 };

/* The other side: what was sent, in order. */
static struct wire {
    pthread_mutex_t lock;
    struct divvy_remote_order orders[ORDERS];
    uint32_t count;
    uint64_t number;
    int status; /* of sending */
    struct divvy_remote *answers; /* each order is taken at once, before it has a number for the sender */
    uint32_t heard;
    bool holds; /* sending takes until this is false again */
} wire = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct divvy_control control;

static const char device[] = "GPU-01010101-0101-0101-0101-010101010101";

static int wire_send(void *context, const struct divvy_remote_order *order, uint64_t *ret_number) {
    struct wire *to = context;
    struct divvy_remote *answers;
    int status;

    pthread_mutex_lock(&to->lock);
    status = to->status;
    *ret_number = __atomic_add_fetch(&to->number, 1, __ATOMIC_RELAXED);
    if (status == 0)
        to->orders[to->count++ % ORDERS] = *order;
    answers = to->answers;
    pthread_mutex_unlock(&to->lock);
    while (__atomic_load_n(&to->holds, __ATOMIC_ACQUIRE))
        usleep(1000);
    if (answers && status == 0)
        divvy_remote_done(answers, order->pid, *ret_number, NULL);
    return status;
}

static void wire_heard(void *data) {
    __atomic_add_fetch(&((struct wire *)data)->heard, 1, __ATOMIC_RELAXED);
}

static uint32_t sent_count(void) {
    uint32_t count;

    pthread_mutex_lock(&wire.lock);
    count = wire.count;
    pthread_mutex_unlock(&wire.lock);
    return count;
}

/* The order with this number of all that were sent, from 1 on; waits for it. */
static struct divvy_remote_order sent(uint32_t which) {
    struct divvy_remote_order order = {0};

    for (int i = 0; i < 20000 && sent_count() < which; i++)
        usleep(1000);
    pthread_mutex_lock(&wire.lock);
    if (wire.count >= which)
        order = wire.orders[(which - 1) % ORDERS];
    pthread_mutex_unlock(&wire.lock);
    assert_true(order.pid != 0);
    return order;
}

/* What should not be sent had time to be; of what was, the sender knows the numbers: what is said about it is understood. */
static void sender_settle(struct divvy_remote *remote) {
    struct divvy_remote_figures figures = {0};

    usleep(20000);
    for (int i = 0; i < 20000; i++) {
        divvy_remote_figures(remote, &figures);
        if (figures.orders == sent_count())
            return;
        usleep(1000);
    }
    assert_int_equal(figures.orders, sent_count());
}

static struct divvy_remote *remote_make(void) {
    struct divvy_remote *remote;

    memset(&control, 0, sizeof control);
    memset(&control.devices[0].uuid, 1, 16);
    control.devices[0].limit_bytes = DIVVY_PAGE_UNLIMITED;
    control.devices[0].compute_permille = 300;
    control.devices[0].mode = DIVVY_CONTROL_LEASED;
    wire.count = wire.heard = 0;
    wire.number = 100;
    wire.status = 0;
    wire.answers = NULL;
    assert_int_equal(divvy_remote_new(CAPACITY, wire_heard, &wire, &remote), 0);
    assert_int_equal(divvy_remote_sender_set(remote, wire_send, &wire), 0);
    return remote;
}

static int64_t now(void) {
    return (int64_t)divvy_core_clock_ns();
}

static void lease_give(struct divvy_remote *remote, uint32_t tenant, int64_t begin_ns, int64_t end_ns) {
    struct divvy_control_lease lease = {.mode = DIVVY_CONTROL_LEASED, .begin_ns = begin_ns, .end_ns = end_ns};

    divvy_remote_lease(remote, tenant, 0, &lease, &control);
}

static struct divvy_usage_device usage_of(struct divvy_remote *remote, uint32_t tenant) {
    struct divvy_usage_device use = {0};

    (void)divvy_remote_usage(remote, tenant, 0, &use);
    return use;
}

static int say(struct divvy_remote *remote, int32_t pid, struct divvy_remote_told told) {
    memcpy(told.device, device, sizeof device);
    return divvy_remote_report(remote, pid, 0, &told, 1);
}

static void test_life(void **state) {
    struct divvy_remote *remote = remote_make();
    struct divvy_remote_order order;
    uint32_t number;
    int64_t begin_ns;

    (void)state;
    assert_false(divvy_remote_is_there(remote, 3));
    assert_false(divvy_remote_usage(remote, 3, 0, &(struct divvy_usage_device){0}));
    assert_int_equal(divvy_remote_come(remote, 4711, CAPACITY, &control), -EINVAL);
    assert_int_equal(divvy_remote_come(remote, 4711, 3, &control), 0);
    assert_true(divvy_remote_is_there(remote, 3));
    assert_true(divvy_remote_heard_next(remote, &number));
    assert_int_equal(number, 3);
    assert_false(divvy_remote_heard_next(remote, &number));

    /* What is in the page is told at once: a gate that is shut, and the limits. */
    order = sent(1);
    assert_int_equal(order.pid, 4711);
    assert_string_equal(order.device, device);
    assert_int_equal(order.mode, DIVVY_CONTROL_LEASED);
    assert_int_equal(order.length_ns, 1);
    assert_int_equal(order.permille, 300);
    assert_int_equal(order.memory_bytes, 0);
    sender_settle(remote);

    /* No second one before the first was answered; the newest wins. */
    begin_ns = now();
    lease_give(remote, 3, begin_ns, begin_ns + INT64_C(1000000));
    lease_give(remote, 3, begin_ns, begin_ns + INT64_C(60000000000));
    sender_settle(remote);
    assert_int_equal(sent_count(), 1);
    divvy_remote_done(remote, 4711, 101, NULL);
    order = sent(2);
    assert_true(order.length_ns > UINT64_C(50000000000) && order.length_ns <= UINT64_C(60000000000));
    assert_int_equal(order.begin_ns, 0);
    sender_settle(remote);
    assert_int_equal(sent_count(), 2);
    assert_false(divvy_remote_is_over(remote, 3, 0));
    divvy_remote_done(remote, 4711, 102, NULL);
    assert_false(divvy_remote_is_over(remote, 3, 0));

    /* It says what it uses; what it had used before it first did is not counted. */
    assert_int_equal(say(remote, 4711, (struct divvy_remote_told){.busy_ns = 1000, .waiting = 2, .used_bytes = 5, .lease = 102}), 0);
    assert_int_equal(usage_of(remote, 3).charged_ns, 0);
    assert_int_equal(usage_of(remote, 3).waiting, 2);
    assert_int_equal(usage_of(remote, 3).used_bytes, 5);
    assert_int_equal(say(remote, 4711, (struct divvy_remote_told){.busy_ns = 1700, .inflight_ns = 40, .drain_ns = 50, .lease = 102}), 0);
    assert_int_equal(usage_of(remote, 3).charged_ns, 700);
    assert_int_equal(usage_of(remote, 3).inflight_ns, 40);
    assert_true(usage_of(remote, 3).drain_ns >= begin_ns);
    assert_int_equal(usage_of(remote, 3).busy_processes, 1);
    assert_int_equal(say(remote, 4711, (struct divvy_remote_told){.busy_ns = 1700, .lease = 102, .is_over = true}), 0);
    assert_true(divvy_remote_is_over(remote, 3, 0));

    /* A lease of which the end is behind needs no word. */
    lease_give(remote, 3, 0, 0);
    sender_settle(remote);
    order = sent(3); /* the one before would have gone on for a minute */
    assert_int_equal(order.length_ns, 1);
    divvy_remote_done(remote, 4711, 103, NULL);
    lease_give(remote, 3, 0, 0);
    sender_settle(remote);
    assert_int_equal(sent_count(), 3);
    /* But other limits do. */
    control.devices[0].compute_permille = 600;
    lease_give(remote, 3, 0, 0);
    assert_int_equal(sent(4).permille, 600);

    /* It goes: what it used stays with its tenant. */
    divvy_remote_went(remote, 4711);
    divvy_remote_went(remote, 4711);
    assert_false(divvy_remote_is_there(remote, 3));
    assert_int_equal(usage_of(remote, 3).charged_ns, 700);
    assert_int_equal(usage_of(remote, 3).waiting, 0);
    assert_int_equal(say(remote, 4711, (struct divvy_remote_told){.busy_ns = 1}), -ENOENT);
    divvy_remote_free(remote);
}

/* What it claims is taken for a claim. */
static void test_liar(void **state) {
    struct divvy_remote *remote = remote_make();
    struct divvy_remote_told elsewhere = {.device = "GPU-02020202-0202-0202-0202-020202020202", .waiting = 9, .busy_ns = 9};
    struct divvy_remote_told nonsense = {.device = "../../etc/passwd", .waiting = 9, .busy_ns = 9};
    uint32_t refused = 0;

    (void)state;
    assert_int_equal(divvy_remote_come(remote, 7, 0, &control), 0);
    assert_int_equal(divvy_remote_report(remote, 7, 0, &elsewhere, 1), 0);
    assert_int_equal(divvy_remote_report(remote, 7, 0, &nonsense, 1), 0);
    assert_int_equal(usage_of(remote, 0).waiting, 0);
    assert_int_equal(usage_of(remote, 0).charged_ns, 0);
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.busy_ns = 100}), 0);
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.busy_ns = 150}), 0);
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.busy_ns = 10}), 0); /* back in time */
    assert_int_equal(usage_of(remote, 0).charged_ns, 50);
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.busy_ns = UINT64_MAX, .waiting = UINT64_MAX, .used_bytes = UINT64_MAX,
                                                               .inflight_ns = UINT64_MAX, .drain_ns = UINT64_MAX}),
                     0);
    assert_int_equal(divvy_remote_come(remote, 8, 0, &control), 0);
    assert_int_equal(say(remote, 8, (struct divvy_remote_told){.used_bytes = UINT64_MAX, .waiting = 1}), 0);
    assert_true(usage_of(remote, 0).used_bytes == UINT64_MAX);
    assert_int_equal(usage_of(remote, 0).waiting, UINT16_MAX + 1);
    assert_true(usage_of(remote, 0).drain_ns <= now() + INT64_C(600000000000));
    /* A number that it was never given. */
    divvy_remote_done(remote, 7, UINT64_MAX, NULL);
    divvy_remote_done(remote, 7, 0, DIVVY_CHANNEL_LEASE_PAGED);
    assert_true(divvy_remote_is_there(remote, 0));
    for (uint32_t i = 0; i < 3 * DIVVY_REMOTE_REPORTS_MAX; i++)
        refused += say(remote, 8, (struct divvy_remote_told){.busy_ns = i}) == -EBUSY;
    assert_true(refused >= DIVVY_REMOTE_REPORTS_MAX);
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){0}), 0); /* another one is still heard */
    divvy_remote_free(remote);
}

static void test_pages(void **state) {
    struct divvy_remote *remote = remote_make();

    (void)state;
    assert_int_equal(divvy_remote_come(remote, 7, 0, &control), 0);
    (void)sent(1);
    sender_settle(remote);
    divvy_remote_done(remote, 7, 101, DIVVY_CHANNEL_LEASE_PAGED);
    assert_false(divvy_remote_is_there(remote, 0));
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.busy_ns = 1}), -ENOENT);
    lease_give(remote, 0, 0, DIVVY_CONTROL_FOREVER_NS);
    sender_settle(remote);
    assert_int_equal(sent_count(), 1);
    /* It comes back after exec, without pages. */
    assert_int_equal(divvy_remote_come(remote, 7, 0, &control), 0);
    assert_true(divvy_remote_is_there(remote, 0));
    assert_int_equal(sent(2).pid, 7);
    divvy_remote_free(remote);
}

/* An answer that overtakes the number; one that never comes; a stream that takes nothing. */
static void test_answers(void **state) {
    struct divvy_remote *remote = remote_make();
    struct divvy_remote_figures figures;

    (void)state;
    wire.answers = remote;
    assert_int_equal(divvy_remote_come(remote, 7, 1, &control), 0);
    (void)sent(1);
    sender_settle(remote);
    lease_give(remote, 1, now(), now() + INT64_C(10000000));
    (void)sent(2);
    sender_settle(remote);
    for (int i = 0; i < 20000 && !divvy_remote_is_over(remote, 1, 0); i++)
        usleep(1000);
    assert_true(divvy_remote_is_over(remote, 1, 0)); /* by the clock, from when the answer came */
    pthread_mutex_lock(&wire.lock);
    wire.answers = NULL;
    pthread_mutex_unlock(&wire.lock);
    lease_give(remote, 1, now(), now() + INT64_C(10000000));
    (void)sent(3);
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.waiting = 1}), 0);
    sender_settle(remote);
    assert_false(divvy_remote_is_over(remote, 1, 0));
    assert_int_equal(usage_of(remote, 1).waiting, 1);
    usleep(DIVVY_REMOTE_SILENT_NS / 1000);
    assert_true(divvy_remote_is_over(remote, 1, 0));
    assert_int_equal(usage_of(remote, 1).waiting, 0); /* who does not answer wants nothing */
    divvy_remote_figures(remote, &figures);
    assert_int_equal(figures.silent, 1);
    /* A report that names the lease is as good as the answer. */
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.waiting = 1, .lease = 103, .is_over = true}), 0);
    assert_int_equal(usage_of(remote, 1).waiting, 1);
    pthread_mutex_lock(&wire.lock);
    wire.status = -ENOENT;
    pthread_mutex_unlock(&wire.lock);
    lease_give(remote, 1, now(), now() + INT64_C(10000000));
    sender_settle(remote);
    assert_int_equal(sent_count(), 3);
    divvy_remote_free(remote);
}

/* A tenant that goes while its process is there: the process is told the last word, then nothing is left of either. */
static void test_forget(void **state) {
    struct divvy_remote *remote = remote_make();
    struct divvy_control_lease self = {.mode = DIVVY_CONTROL_SELF};
    uint32_t number;

    (void)state;
    assert_int_equal(divvy_remote_come(remote, 7, 2, &control), 0);
    (void)sent(1);
    sender_settle(remote);
    divvy_remote_lease(remote, 2, 0, &self, &control);
    divvy_remote_forget(remote, 2);
    assert_false(divvy_remote_is_there(remote, 2));
    assert_false(divvy_remote_heard_next(remote, &number));
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.busy_ns = 1}), 0);
    divvy_remote_done(remote, 7, 101, NULL);
    assert_int_equal(sent(2).mode, DIVVY_CONTROL_SELF);
    sender_settle(remote);
    divvy_remote_done(remote, 7, 102, NULL);
    sender_settle(remote);
    assert_int_equal(say(remote, 7, (struct divvy_remote_told){.busy_ns = 1}), -ENOENT);
    assert_false(divvy_remote_heard_next(remote, &number));
    divvy_remote_free(remote);
}

static int say_door(struct divvy_remote *remote, int32_t pid, uint64_t door, uint64_t lease) {
    struct divvy_remote_told told = {.lease = lease, .is_over = true};

    memcpy(told.device, device, sizeof device);
    return divvy_remote_report(remote, pid, door, &told, 1);
}

/* The door's word goes with the leases, and what comes by comes with the reports. */
static void test_door(void **state) {
    struct divvy_remote *remote = remote_make();
    bool all = true, came = false;
    uint32_t count = 0;

    (void)state;
    assert_true(divvy_remote_has_said(remote, 5)); /* there is nobody */
    assert_int_equal(divvy_remote_come(remote, 7, 5, &control), 0);
    assert_int_equal(sent(1).door, 0);
    sender_settle(remote);
    assert_false(divvy_remote_has_said(remote, 5));
    divvy_remote_door(remote, 5, 12, &all, &came, &count);
    assert_false(all); /* it has not said whether it looks at the door */
    assert_false(came);
    assert_int_equal(count, 1);
    divvy_remote_done(remote, 7, 101, NULL);
    assert_false(divvy_remote_has_said(remote, 5));
    assert_int_equal(say_door(remote, 7, DIVVY_CONTROL_DOOR_KNOWN, 101), 0);
    assert_true(divvy_remote_has_said(remote, 5));

    control.door = 12;
    lease_give(remote, 5, 0, 0);
    assert_int_equal(sent(2).door, 12); /* the same lease, but another door */
    sender_settle(remote);
    divvy_remote_done(remote, 7, 102, NULL);
    assert_false(divvy_remote_has_said(remote, 5));
    assert_int_equal(say_door(remote, 7, 12, 102), 0);
    all = true;
    count = 0;
    divvy_remote_door(remote, 5, 12, &all, &came, &count);
    assert_true(all);
    assert_true(came);

    /* Asked again, it is sent what it knows. */
    sender_settle(remote);
    assert_int_equal(sent_count(), 2);
    divvy_remote_ask(remote, 5);
    assert_false(divvy_remote_has_said(remote, 5));
    assert_int_equal(sent(3).door, 12);
    sender_settle(remote);
    divvy_remote_done(remote, 7, 103, NULL);
    assert_false(divvy_remote_has_said(remote, 5));
    assert_int_equal(say_door(remote, 7, 12, 103), 0);
    assert_true(divvy_remote_has_said(remote, 5));
    divvy_remote_free(remote);
}

/* While an order is on its way, what was said of the one before stands for nothing. */
static void test_under_way(void **state) {
    struct divvy_remote *remote = remote_make();
    bool said, over;

    (void)state;
    assert_int_equal(divvy_remote_come(remote, 7, 5, &control), 0);
    (void)sent(1);
    sender_settle(remote);
    divvy_remote_done(remote, 7, 101, NULL);
    assert_int_equal(say_door(remote, 7, 12, 101), 0);
    assert_true(divvy_remote_has_said(remote, 5));
    assert_true(divvy_remote_is_over(remote, 5, 0));

    __atomic_store_n(&wire.holds, true, __ATOMIC_RELEASE);
    lease_give(remote, 5, now(), now() + INT64_C(60000000000));
    (void)sent(2);
    said = divvy_remote_has_said(remote, 5);
    over = divvy_remote_is_over(remote, 5, 0);
    __atomic_store_n(&wire.holds, false, __ATOMIC_RELEASE);
    assert_false(said);
    assert_false(over);
    sender_settle(remote);
    assert_false(divvy_remote_has_said(remote, 5));
    divvy_remote_done(remote, 7, 102, NULL);
    assert_int_equal(say_door(remote, 7, 12, 102), 0);
    assert_true(divvy_remote_has_said(remote, 5));
    divvy_remote_free(remote);
}

static uint64_t random_next(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static void operate(struct divvy_remote *remote, uint64_t *random) {
    int32_t pid = (int32_t)(1 + random_next(random) % 5) * 256; /* all in one bucket */
    uint32_t tenant = (uint32_t)(random_next(random) % CAPACITY), number;
    int64_t now_ns = now();

    switch (random_next(random) % 9) {
    case 0:
        (void)divvy_remote_come(remote, pid, tenant, &control);
        break;
    case 1:
        divvy_remote_went(remote, pid);
        break;
    case 2:
        divvy_remote_forget(remote, tenant);
        break;
    case 3:
    case 4:
        lease_give(remote, tenant, now_ns, now_ns + (int64_t)(random_next(random) % 3000000));
        break;
    case 5:
        (void)say(remote, pid, (struct divvy_remote_told){.busy_ns = random_next(random) % 1000, .waiting = 1});
        break;
    case 6:
        divvy_remote_done(remote, pid, __atomic_load_n(&wire.number, __ATOMIC_RELAXED),
                          random_next(random) % 8 ? NULL : DIVVY_CHANNEL_LEASE_PAGED);
        break;
    case 7:
        (void)divvy_remote_heard_next(remote, &number);
        break;
    default:
        (void)divvy_remote_is_over(remote, tenant, 0);
        (void)usage_of(remote, tenant);
    }
}

static void *operate_run(void *data) {
    uint64_t random = 88172645463325252u;

    for (int i = 0; i < 20000; i++)
        operate(data, &random);
    return NULL;
}

static void test_random(void **state) {
    struct divvy_remote *remote = remote_make();
    struct divvy_remote_figures figures;
    uint64_t random = (uint64_t)time(NULL) * 2654435761u | 1;
    pthread_t other;
    uint32_t number;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)random);
    assert_int_equal(pthread_create(&other, NULL, operate_run, remote), 0);
    for (int i = 0; i < 20000; i++)
        operate(remote, &random);
    assert_int_equal(pthread_join(other, NULL), 0);
    for (int32_t pid = 256; pid <= 5 * 256; pid += 256)
        divvy_remote_went(remote, pid);
    divvy_remote_figures(remote, &figures);
    assert_int_equal(figures.processes, 0);
    for (uint32_t tenant = 0; tenant < CAPACITY; tenant++)
        divvy_remote_forget(remote, tenant);
    assert_false(divvy_remote_heard_next(remote, &number));
    divvy_remote_free(remote);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),    cmocka_unit_test(test_liar),   cmocka_unit_test(test_pages),
        cmocka_unit_test(test_answers), cmocka_unit_test(test_forget), cmocka_unit_test(test_random),
        cmocka_unit_test(test_door),    cmocka_unit_test(test_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
