/*
 * SIGKILL at every instruction of an operation: a child is single-stepped into a reserve, a credit
 * or a reap, killed after n instructions for every n, and the ledger must come out right, whoever
 * else was at work meanwhile.
 */
#include "page/page.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct divvy_page *page;
static struct divvy_page_identity self;
static unsigned own_slot;

struct child {
    unsigned slot;
    unsigned dead_slot; /* what it reaps, when it does */
};
static struct child *shared; /* set up by the child before it stops */

typedef void child_body_t(unsigned slot);

static void body_reserve(unsigned slot) {
    (void)divvy_page_reserve(page, slot, 2, 100);
}

static void body_credit(unsigned slot) {
    divvy_page_credit(page, slot, 2, 30);
}

static void body_reap(unsigned slot) {
    struct divvy_page_identity me;

    (void)slot;
    divvy_page_identity_self(&me);
    (void)divvy_page_reap(page, &me);
}

static void body_claim(unsigned slot) {
    struct divvy_page_identity me;

    (void)slot;
    divvy_page_identity_self(&me);
    (void)divvy_page_slot_claim(page, &me);
}

/* The child: claims a slot, holds 70 bytes, stops, then does what shall be interrupted. */
static pid_t child_start(child_body_t *body) {
    pid_t child = fork();

    if (child == 0) {
        struct divvy_page_identity me;

        divvy_page_identity_self(&me);
        shared->slot = (unsigned)divvy_page_slot_claim(page, &me);
        if (divvy_page_reserve(page, shared->slot, 2, 70) < 0)
            _exit(9);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        raise(SIGSTOP);
        body(shared->slot);
        raise(SIGSTOP);
        _exit(0);
    }
    return child;
}

/* Steps `count` instructions; false: the body had ended before. */
static bool step(pid_t child, unsigned count) {
    int status;

    for (unsigned i = 0; i < count; i++) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0)
            fail_msg("singlestep: %s", strerror(errno));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            return false;
    }
    return true;
}

static void child_kill(pid_t child) {
    int status;

    assert_int_equal(kill(child, SIGKILL), 0);
    do
        assert_int_equal(waitpid(child, &status, 0), child);
    while (!WIFSIGNALED(status) && !WIFEXITED(status));
}

/* A process that dies with 40 bytes: something to reap for a child that is killed while reaping. */
static void leave_a_dead_slot(void) {
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct divvy_page_identity me;

        divvy_page_identity_self(&me);
        int slot = divvy_page_slot_claim(page, &me);
        (void)divvy_page_reserve(page, (unsigned)slot, 2, 40);
        _exit(0);
    }
    waitpid(child, &status, 0);
}

/* One child, killed after `steps` instructions of its body: false when the body had ended before.
 */
static bool kill_after(child_body_t *body, bool with_dead, unsigned steps) {
    uint64_t own_before = divvy_page_slot_bytes(page, own_slot, 2);
    bool inside;
    int status;
    pid_t child;

    if (with_dead)
        leave_a_dead_slot();
    child = child_start(body);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("ptrace is not permitted here\n");
        skip();
    }
    assert_true(WIFSTOPPED(status));
    inside = step(child, steps);
    /* Somebody else's operation replaces the last one: before the death, after it, or not at all.
     */
    if (steps % 3 == 0)
        assert_int_equal(divvy_page_reserve(page, own_slot, 2, 1), 0);
    child_kill(child);
    if (steps % 3 == 1)
        assert_int_equal(divvy_page_reserve(page, own_slot, 2, 1), 0);
    (void)divvy_page_reap(page, &self);
    if (divvy_page_used(page, 2) != divvy_page_slot_bytes(page, own_slot, 2))
        fail_msg("killed after %u instructions: %llu in the total, %llu in the only slot", steps,
                 (unsigned long long)divvy_page_used(page, 2),
                 (unsigned long long)divvy_page_slot_bytes(page, own_slot, 2));
    assert_int_equal(divvy_page_slot_bytes(page, own_slot, 2), own_before + (steps % 3 != 2));
    for (unsigned i = 0; i < DIVVY_PAGE_SLOTS; i++)
        assert_true(i == own_slot || page->slots[i].owner.low == 0);
    return inside;
}

static void every_instruction(child_body_t *body) {
    for (unsigned steps = 0; kill_after(body, false, steps); steps++) {
    }
}

/* For bodies that look at every slot and at /proc: as many points as time allows, denser towards
 * the beginning. */
static void random_instructions(child_body_t *body, bool with_dead) {
    for (int i = 0; i < 60; i++)
        (void)kill_after(body, with_dead, (unsigned)rand() % (1u << (4 + rand() % 12)));
}

static void test_reserve(void **state) {
    (void)state;
    every_instruction(body_reserve);
}

static void test_credit(void **state) {
    (void)state;
    every_instruction(body_credit);
}

static void test_claim(void **state) {
    (void)state;
    random_instructions(body_claim, false);
}

static void test_reap(void **state) {
    (void)state;
    random_instructions(body_reap, true);
}

/* Many processes at once, killed at random. */
static void test_storm(void **state) {
    enum { PROCESSES = 6, KILLS = 300 };
    pid_t children[PROCESSES] = {0};

    (void)state;
    __atomic_store_n(&page->devices[2].limit_bytes, 1000 + divvy_page_used(page, 2),
                     __ATOMIC_RELEASE);
    for (int kill_number = 0; kill_number < KILLS; kill_number++) {
        int who = rand() % PROCESSES;

        if (children[who] > 0) {
            kill(children[who], SIGKILL);
            waitpid(children[who], NULL, 0);
        }
        children[who] = fork();
        if (children[who] == 0) {
            struct divvy_page_identity me;
            unsigned seed = (unsigned)getpid();

            divvy_page_identity_self(&me);
            int slot = divvy_page_slot_claim(page, &me);
            uint64_t held = 0;
            for (;;) {
                uint64_t bytes = (uint64_t)rand_r(&seed) % 300;

                if (rand_r(&seed) % 2 == 0) {
                    if (divvy_page_reserve(page, (unsigned)slot, 2, bytes) == 0)
                        held += bytes;
                    else
                        (void)divvy_page_reap(page, &me);
                } else if (held > 0) {
                    bytes = 1 + bytes % held;
                    divvy_page_credit(page, (unsigned)slot, 2, bytes);
                    held -= bytes;
                }
            }
        }
        usleep((useconds_t)(rand() % 2000));
        assert_true(divvy_page_used(page, 2) <= page->devices[2].limit_bytes);
    }
    for (int i = 0; i < PROCESSES; i++) {
        if (children[i] > 0) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
    }
    (void)divvy_page_reap(page, &self);
    assert_int_equal(divvy_page_used(page, 2), divvy_page_slot_bytes(page, own_slot, 2));
    assert_int_equal(page->devices[2].clamped, 0);
}

int main(void) {
    unsigned seed = (unsigned)time(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve), cmocka_unit_test(test_credit), cmocka_unit_test(test_claim),
        cmocka_unit_test(test_reap),    cmocka_unit_test(test_storm),
    };

    printf("seed %u\n", seed);
    srand(seed);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || divvy_page_open_anonymous("kill", 0, &page) < 0)
        return 1;
    divvy_page_identity_self(&self);
    own_slot = (unsigned)divvy_page_slot_claim(page, &self);
    divvy_page_device_propose(page, 2, 1 << 20, 1000, 1 << 30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
