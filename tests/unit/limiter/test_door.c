/* The tenant's door with real threads: open, watched, shut, and with a daemon that is gone. */
#include "limiter/hook/door.h"

#include "core/clock.h"
#include "core/futex.h"
#include "limiter/hook/control.h"
#include "limiter/hook/process.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 8 };

/* What door.c reaches. */
struct divvy_process divvy_process;
uint32_t divvy_process_fork_words[3 * DIVVY_PROCESS_FORK_PAGE / sizeof(uint32_t)];
struct divvy_control_link divvy_control_link;

static struct divvy_page page;
static struct divvy_control control;
static uint32_t rings, passed;

void divvy_control_ring(void) {
    __atomic_add_fetch(&rings, 1, __ATOMIC_SEQ_CST);
}

bool divvy_process_attach(void) {
    return false;
}

static uint32_t word_of(uint32_t number, uint32_t bits) {
    return number * DIVVY_CONTROL_DOOR_STEP | bits;
}

static void door_write(uint32_t word) {
    __atomic_store_n(&control.door, word, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wake(&control.door, INT32_MAX, true);
}

static int setup(void **state) {
    (void)state;
    memset(&page, 0, sizeof page);
    memset(&control, 0, sizeof control);
    control.heartbeat_ns = (int64_t)divvy_core_clock_ns();
    divvy_process.page = &page;
    divvy_process.slot = 3;
    *divvy_process_attached_word = 1;
    divvy_control_link.page = &control;
    divvy_door = &control.door;
    rings = passed = 0;
    return 0;
}

static uint64_t said(void) {
    return __atomic_load_n(&page.slots[3].door, __ATOMIC_SEQ_CST);
}

static void test_open(void **state) {
    (void)state;
    divvy_door_pass();
    assert_int_equal(said(), 0);
    divvy_door_attached();
    assert_int_equal(said(), DIVVY_CONTROL_DOOR_KNOWN);
    divvy_door_pass();
    assert_int_equal(said(), DIVVY_CONTROL_DOOR_KNOWN);
    assert_false(divvy_door_is_shut());
}

static void test_watched(void **state) {
    (void)state;
    door_write(word_of(7, DIVVY_CONTROL_DOOR_WATCHED));
    errno = 4711;
    divvy_door_pass();
    assert_int_equal(errno, 4711);
    assert_int_equal(said(), word_of(7, DIVVY_CONTROL_DOOR_WATCHED));
    assert_int_equal(rings, 0);
    assert_false(divvy_door_is_shut());
    /* A forked child, whose slot this is not. */
    *divvy_process_attached_word = 0;
    door_write(word_of(8, DIVVY_CONTROL_DOOR_WATCHED));
    divvy_door_pass();
    assert_int_equal(said(), word_of(7, DIVVY_CONTROL_DOOR_WATCHED));
}

static void *pass_run(void *data) {
    (void)data;
    divvy_door_pass();
    __atomic_add_fetch(&passed, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void until_rung(uint32_t count) {
    for (int i = 0; i < 10000 && __atomic_load_n(&rings, __ATOMIC_SEQ_CST) < count; i++)
        usleep(1000);
    assert_true(__atomic_load_n(&rings, __ATOMIC_SEQ_CST) >= count);
}

static void test_shut(void **state) {
    pthread_t threads[THREADS];

    (void)state;
    door_write(word_of(9, DIVVY_CONTROL_DOOR_SHUT));
    assert_true(divvy_door_is_shut());
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pass_run, NULL), 0);
    until_rung(THREADS);
    assert_int_equal(said(), word_of(9, DIVVY_CONTROL_DOOR_SHUT));
    usleep(50000);
    assert_int_equal(__atomic_load_n(&passed, __ATOMIC_SEQ_CST), 0);
    /* Another word that is shut: nobody goes on, and all ring for it, since it may be another daemon's. */
    __atomic_store_n(&rings, 0, __ATOMIC_SEQ_CST);
    door_write(word_of(10, DIVVY_CONTROL_DOOR_SHUT));
    until_rung(THREADS);
    assert_int_equal(said(), word_of(10, DIVVY_CONTROL_DOOR_SHUT));
    assert_int_equal(__atomic_load_n(&passed, __ATOMIC_SEQ_CST), 0);
    door_write(0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(passed, THREADS);
}

/* Nobody opens it any more: the driver may decide. */
static void test_no_daemon(void **state) {
    (void)state;
    control.heartbeat_ns -= DIVVY_CONTROL_FROZEN_STALE_NS + 1;
    door_write(word_of(11, DIVVY_CONTROL_DOOR_SHUT));
    divvy_door_pass();
    assert_int_equal(rings, 0);
    assert_int_equal(said(), word_of(11, DIVVY_CONTROL_DOOR_SHUT));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_open, setup),
        cmocka_unit_test_setup(test_watched, setup),
        cmocka_unit_test_setup(test_shut, setup),
        cmocka_unit_test_setup(test_no_daemon, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
