/* The life of a worker's process: the row of delays, and random events against what must hold at any time. */
#include "node/life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

/* Ends at once, or after `run_ns`; the delay until the next start, in seconds. */
static int64_t delay_after(struct divvy_node_life *life, int64_t *now_ns, int64_t run_ns) {
    int64_t ended_ns;

    assert_int_equal(divvy_node_life_due(life, *now_ns), DIVVY_NODE_LIFE_START);
    divvy_node_life_started(life, *now_ns);
    assert_int_equal(divvy_node_life_next_ns(life), INT64_MAX);
    *now_ns += run_ns;
    divvy_node_life_ended(life, *now_ns);
    ended_ns = *now_ns;
    *now_ns = divvy_node_life_next_ns(life);
    assert_int_equal(divvy_node_life_due(life, *now_ns - 1), DIVVY_NODE_LIFE_NOTHING);
    return (*now_ns - ended_ns) / SECOND;
}

static void delays_grow_and_begin_anew(void **data) {
    static const int64_t expected[] = {3, 6, 12, 24, 48, 60, 60, 60};
    struct divvy_node_life life;
    int64_t now_ns = 1000 * SECOND;

    (void)data;
    divvy_node_life_init(&life, NULL);
    divvy_node_life_want(&life, true, now_ns);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(delay_after(&life, &now_ns, SECOND), expected[i]);
    assert_int_equal(delay_after(&life, &now_ns, 59 * SECOND), 60);
    assert_int_equal(delay_after(&life, &now_ns, 60 * SECOND), 3);
    assert_int_equal(delay_after(&life, &now_ns, SECOND), 6);
    divvy_node_life_failed(&life, now_ns); /* could not be started: counts as well */
    assert_int_equal((life.retry_ns - now_ns) / SECOND, 12);
}

static void stopping_ends_in_a_kill(void **data) {
    struct divvy_node_life life;

    (void)data;
    divvy_node_life_init(&life, NULL);
    divvy_node_life_want(&life, true, 0);
    divvy_node_life_started(&life, 0);
    divvy_node_life_want(&life, false, SECOND);
    assert_int_equal(divvy_node_life_due(&life, SECOND), DIVVY_NODE_LIFE_TERMINATE);
    divvy_node_life_terminated(&life, SECOND);
    assert_int_equal(divvy_node_life_due(&life, 11 * SECOND - 1), DIVVY_NODE_LIFE_NOTHING);
    assert_int_equal(divvy_node_life_due(&life, 11 * SECOND), DIVVY_NODE_LIFE_KILL);
    divvy_node_life_killed(&life, 11 * SECOND);
    assert_int_equal(divvy_node_life_due(&life, 100 * SECOND), DIVVY_NODE_LIFE_NOTHING);
    divvy_node_life_ended(&life, 100 * SECOND);
    assert_int_equal(divvy_node_life_due(&life, 100 * SECOND), DIVVY_NODE_LIFE_FORGET);
}

static void a_wish_during_the_end_starts_anew(void **data) {
    struct divvy_node_life life;

    (void)data;
    divvy_node_life_init(&life, NULL);
    divvy_node_life_want(&life, true, 0);
    divvy_node_life_started(&life, 0);
    divvy_node_life_restart(&life, SECOND);
    assert_int_equal(divvy_node_life_due(&life, SECOND), DIVVY_NODE_LIFE_TERMINATE);
    divvy_node_life_terminated(&life, SECOND);
    divvy_node_life_want(&life, false, SECOND);
    divvy_node_life_want(&life, true, SECOND);
    divvy_node_life_ended(&life, 2 * SECOND);
    assert_int_equal(divvy_node_life_due(&life, 2 * SECOND), DIVVY_NODE_LIFE_START); /* without a delay */
}

/* --- random ------------------------------------------------------------------------------------------------------------------ */

/* The world outside: whether a process runs, and was asked to end. */
struct world {
    bool runs, asked;
    int64_t started_ns;
};

static void act(struct divvy_node_life *life, struct world *world, int64_t now_ns) {
    switch (divvy_node_life_due(life, now_ns)) {
    case DIVVY_NODE_LIFE_START:
        assert_false(world->runs); /* never two */
        assert_true(life->wanted);
        if (random() % 4 == 0) {
            divvy_node_life_failed(life, now_ns);
        } else {
            divvy_node_life_started(life, now_ns);
            *world = (struct world){true, false, now_ns};
        }
        break;
    case DIVVY_NODE_LIFE_TERMINATE:
        assert_true(world->runs && !world->asked);
        divvy_node_life_terminated(life, now_ns);
        world->asked = true;
        break;
    case DIVVY_NODE_LIFE_KILL:
        assert_true(world->runs && world->asked);
        divvy_node_life_killed(life, now_ns);
        break;
    case DIVVY_NODE_LIFE_FORGET:
        assert_false(world->runs || life->wanted);
        break;
    default:
        break;
    }
}

static void random_lives(void **data) {
    unsigned int seed = (unsigned int)time(NULL);
    struct divvy_node_life life;
    struct world world = {0};
    int64_t now_ns = 0;
    bool wanted = false;

    (void)data;
    print_message("seed %u\n", seed);
    srandom(seed);
    divvy_node_life_init(&life, NULL);
    for (size_t step = 0; step < 300000; step++) {
        now_ns += (random() % 8) * SECOND;
        switch (random() % 5) {
        case 0:
            wanted = random() % 3 != 0;
            divvy_node_life_want(&life, wanted, now_ns);
            break;
        case 1:
            divvy_node_life_restart(&life, now_ns);
            break;
        case 2:
            if (world.runs) {
                divvy_node_life_ended(&life, now_ns);
                world.runs = false;
            }
            break;
        default:
            act(&life, &world, now_ns);
        }
        assert_int_equal(life.wanted, wanted);
        assert_true(world.runs == (life.phase == DIVVY_NODE_LIFE_RUNNING || life.phase == DIVVY_NODE_LIFE_STOPPING ||
                                   life.phase == DIVVY_NODE_LIFE_KILLED));
        assert_true(wanted == false || life.phase != DIVVY_NODE_LIFE_STOPPED); /* who is wanted is on its way */
        assert_true(life.phase != DIVVY_NODE_LIFE_WAITING || life.retry_ns <= now_ns + 60 * SECOND);
    }
    /* left alone, it comes to what is wished */
    for (size_t step = 0; step < 100; step++) {
        int64_t next_ns = divvy_node_life_next_ns(&life);

        if (next_ns == INT64_MAX && life.phase != DIVVY_NODE_LIFE_KILLED)
            break;
        now_ns = next_ns > now_ns && next_ns < INT64_MAX ? next_ns : now_ns;
        act(&life, &world, now_ns);
        if (world.runs && life.phase == DIVVY_NODE_LIFE_KILLED) {
            divvy_node_life_ended(&life, now_ns);
            world.runs = false;
        }
    }
    assert_true(world.runs == wanted);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_grow_and_begin_anew),
        cmocka_unit_test(stopping_ends_in_a_kill),
        cmocka_unit_test(a_wish_during_the_end_starts_anew),
        cmocka_unit_test(random_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
