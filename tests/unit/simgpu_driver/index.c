/* The index of allocations, against a plain array. */
#include "simgpu/driver/memory.h"
#include "simgpu/driver/op.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PLACES = 2000, STEP = 100 }; /* place i is [base + i*STEP, + its bytes), at most STEP long */

static unsigned random_state;

static unsigned rnd(unsigned below) {
    random_state = random_state * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(random_state >> 8) * below >> 24);
}

static uint64_t address_of(unsigned place) {
    return 0x7000000000ull + (uint64_t)place * STEP;
}

static void lookups_agree(const unsigned *bytes, unsigned at) {
    divvy_drv_mem_t found;
    unsigned place = at / STEP, offset = at % STEP;
    bool expected = bytes[place] > offset;
    assert_int_equal(divvy_drv_mem_find(0x7000000000ull + at, &found), expected);
    if (expected) {
        assert_int_equal(found.address, address_of(place));
        assert_int_equal(found.bytes, bytes[place]);
    }
}

static void random_operations(void **state) {
    static unsigned bytes[PLACES]; /* 0: nothing there */
    divvy_drv_mem_t mem;
    (void)state;
    for (int i = 0; i < 60000; i++) {
        unsigned place = rnd(PLACES);
        if (!bytes[place]) {
            bytes[place] = 1 + rnd(STEP);
            mem = (divvy_drv_mem_t){
                .address = address_of(place), .bytes = bytes[place], .kind = DRV_MEM_HOST};
            assert_int_equal(divvy_drv_mem_enter(&mem), 0);
        } else if (rnd(2)) {
            assert_false(
                divvy_drv_mem_take(address_of(place), DRV_MEM_LINEAR, &mem)); /* not of that kind */
            assert_true(divvy_drv_mem_take(address_of(place), DRV_MEM_HOST | DRV_MEM_IPC, &mem));
            assert_int_equal(mem.bytes, bytes[place]);
            bytes[place] = 0;
        }
        lookups_agree(bytes, rnd(PLACES * STEP));
        unsigned from = rnd(PLACES * STEP - 300), length = 1 + rnd(250);
        bool any = false;
        for (unsigned p = from / STEP; p <= (from + length - 1) / STEP; p++)
            any = any || (bytes[p] && p * STEP + bytes[p] > from && p * STEP < from + length);
        assert_int_equal(divvy_drv_mem_overlaps(0x7000000000ull + from, length), any);
        assert_int_equal(divvy_drv_mem_is_host(0x7000000000ull + from, 2),
                         bytes[from / STEP] >= from % STEP + 2);
    }
    for (unsigned place = 0; place < PLACES; place++)
        if (bytes[place])
            assert_true(divvy_drv_mem_take(address_of(place), DRV_MEM_HOST, &mem));
    assert_false(divvy_drv_mem_find(address_of(5), &mem));
}

/* The barrier lets nobody through before the actions that ran when it was called have ended. */
static _Atomic int stage;

static void *act(void *argument) {
    (void)argument;
    uint64_t ticket = divvy_drv_action_begin();
    atomic_store(&stage, 1);
    usleep(50000);
    atomic_store(&stage, 2);
    divvy_drv_action_end(ticket);
    return NULL;
}

static void barrier_waits(void **state) {
    pthread_t thread;
    (void)state;
    assert_true(divvy_drv_action_none());
    divvy_drv_action_barrier();
    pthread_create(&thread, NULL, act, NULL);
    while (atomic_load(&stage) < 1)
        usleep(1000);
    assert_false(divvy_drv_action_none());
    divvy_drv_action_barrier();
    assert_int_equal(atomic_load(&stage), 2);
    pthread_join(thread, NULL);
    assert_true(divvy_drv_action_none());
}

int main(void) {
    const char *seed = getenv("SEED");
    random_state =
        seed ? (unsigned)strtoul(seed, NULL, 0) : (unsigned)time(NULL) ^ (unsigned)getpid();
    printf("SEED=%u\n", random_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(barrier_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
