/* Processes that are locked, saved and restored by others: order, calls that wait, memory, death on either side. */
#include "machine.h"

#include <errno.h>
#include <time.h>

#define MIB   (UINT64_C(1) << 20)
#define NEVER UINT64_MAX

/* What a target and its test tell each other. */
typedef struct board {
    uint32_t calls; /* made so far */
    uint32_t hold;  /* the target stays inside its next call while this is set */
    uint32_t inside;
    uint32_t ready;
    uint32_t wrong; /* words that were not as before */
    uint32_t go;
} board_t;

static board_t *board;
static unsigned own_lane = 3, shared_lane = SIM_CALL_SHARED;

static void nap(uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    nanosleep(&t, NULL);
}

static int end(pid_t pid, int signal) {
    int status;

    kill(pid, signal);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Bounded, for a machine that is very busy. */
static void await(const uint32_t *word, uint32_t at_least) {
    for (int i = 0; i < 20000; i++) {
        if (sim_load(word) >= at_least)
            return;
        nap(1 * MS);
    }
    fail_msg("a process does not get on");
}

static int setup(void **state) {
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return board == MAP_FAILED ? -1 : real_setup(state);
}

static int teardown(void **state) {
    munmap(board, sizeof *board);
    return real_teardown(state);
}

/* --- targets -------------------------------------------------------------------------------------------------- */

static void attach_or_die(void) {
    if (divvy_simgpu_attach(0, NULL) < 0)
        _exit(1);
}

static void make_calls(void *arg) {
    attach_or_die();
    for (;;) {
        divvy_simgpu_call_begin(*(unsigned *)arg);
        sim_store(&board->inside, 1);
        while (sim_load(&board->hold))
            nap(1 * MS);
        sim_store(&board->inside, 0);
        divvy_simgpu_call_end(*(unsigned *)arg);
        __atomic_add_fetch(&board->calls, 1, __ATOMIC_RELEASE);
        sim_store(&board->ready, 1);
        nap(MS / 10);
    }
}

/* Fills megabytes of device memory, and looks at them again when told to. */
static void fill(void *arg) {
    uint64_t bytes = *(uint64_t *)arg * MIB, address;
    divvy_simgpu_context_t *context;

    attach_or_die();
    if (divvy_simgpu_context_create(0, &context) < 0 ||
        divvy_simgpu_mem_alloc(0, bytes, 0, 0, &address) < 0)
        _exit(2);
    uint64_t *words = (uint64_t *)(uintptr_t)address;

    for (uint64_t i = 0; i < bytes / 8; i += 509)
        words[i] = i * 31 + 7;
    sim_store(&board->ready, 1);
    while (!sim_load(&board->go))
        nap(1 * MS);
    divvy_simgpu_call_begin(0);
    for (uint64_t i = 0; i < bytes / 8; i += 509)
        board->wrong += words[i] != i * 31 + 7;
    divvy_simgpu_call_end(0);
    if (divvy_simgpu_mem_free(address) < 0)
        _exit(3);
    sim_store(&board->ready, 2);
    pause();
}

static divvy_simgpu_checkpoint_t state_of(pid_t pid) {
    divvy_simgpu_checkpoint_t state = 99;

    assert_int_equal(divvy_simgpu_checkpoint_state(pid, &state), 0);
    return state;
}

static uint64_t used(void) {
    divvy_simgpu_status_t status;

    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    return status.used_bytes;
}

/* --- tests ---------------------------------------------------------------------------------------------------- */

static void steps_have_an_order(void **state) {
    divvy_simgpu_checkpoint_t found;
    pid_t pid = start(make_calls, &own_lane);

    (void)state;
    assert_int_equal(divvy_simgpu_checkpoint_lock(pid, NEVER), -ENOTCONN);
    await(&board->ready, 1);
    real_attach(0);
    assert_int_equal(divvy_simgpu_checkpoint_state(1, &found), -ESRCH);
    assert_int_equal(divvy_simgpu_checkpoint_lock(-1, NEVER), -ESRCH);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_RUNNING);
    assert_int_equal(divvy_simgpu_checkpoint_unlock(pid), -EPROTO);
    assert_int_equal(divvy_simgpu_checkpoint_save(pid), -EPROTO);
    assert_int_equal(divvy_simgpu_checkpoint_restore(pid), -EPROTO);
    assert_int_equal(divvy_simgpu_checkpoint_lock(pid, NEVER), 0);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_LOCKED);
    assert_int_equal(divvy_simgpu_checkpoint_lock(pid, NEVER), -EPROTO);
    assert_int_equal(divvy_simgpu_checkpoint_restore(pid), -EPROTO);
    assert_int_equal(divvy_simgpu_checkpoint_save(pid), 0);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_SAVED);
    assert_int_equal(divvy_simgpu_checkpoint_save(pid), -EPROTO);
    assert_int_equal(divvy_simgpu_checkpoint_unlock(pid), -EPROTO);
    assert_int_equal(divvy_simgpu_checkpoint_restore(pid), 0);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_LOCKED);
    assert_int_equal(divvy_simgpu_checkpoint_unlock(pid), 0);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_RUNNING);
    end(pid, SIGKILL);
    assert_int_equal(divvy_simgpu_checkpoint_lock(pid, NEVER), -ESRCH);
    /* of itself, too */
    assert_int_equal(divvy_simgpu_checkpoint_lock(getpid(), NEVER), 0);
    assert_int_equal(divvy_simgpu_checkpoint_save(getpid()), 0);
    assert_int_equal(divvy_simgpu_checkpoint_restore(getpid()), 0);
    assert_int_equal(divvy_simgpu_checkpoint_unlock(getpid()), 0);
    divvy_simgpu_call_begin(0);
    divvy_simgpu_call_end(0);
    divvy_simgpu_detach();
}

static void lanes_are_given_out_once(void **state) {
    bool seen[SIM_CALL_LANES] = {false};

    (void)state;
    for (int i = 0; i < SIM_CALL_SHARED; i++) {
        unsigned lane = divvy_simgpu_call_lane();

        assert_true(lane < SIM_CALL_SHARED && !seen[lane]);
        seen[lane] = true;
    }
    assert_int_equal(divvy_simgpu_call_lane(), SIM_CALL_SHARED);
    divvy_simgpu_call_lane_give(SIM_CALL_SHARED);
    assert_int_equal(divvy_simgpu_call_lane(), SIM_CALL_SHARED);
    divvy_simgpu_call_lane_give(17);
    assert_int_equal(divvy_simgpu_call_lane(), 17);
}

static void calls_wait_while_locked_in(unsigned *lane) {
    pid_t pid = start(make_calls, lane);
    uint32_t calls;

    await(&board->ready, 1);
    real_attach(0);
    for (int round = 0; round < 20; round++) {
        assert_int_equal(divvy_simgpu_checkpoint_lock(pid, NEVER), 0);
        assert_int_equal(sim_load(&board->inside), 0);
        nap(1 * MS); /* the one that ended may not have been counted yet */
        calls = sim_load(&board->calls);
        nap(5 * MS);
        assert_int_equal(sim_load(&board->calls), calls);
        assert_int_equal(sim_load(&board->inside), 0);
        assert_int_equal(divvy_simgpu_checkpoint_unlock(pid), 0);
        await(&board->calls, calls + 2);
    }
    end(pid, SIGKILL);
    divvy_simgpu_detach();
}

static void calls_wait_while_locked(void **state) {
    (void)state;
    calls_wait_while_locked_in(&own_lane);
    memset(board, 0, sizeof *board);
    calls_wait_while_locked_in(&shared_lane);
}

static void a_long_call_outlasts_the_lock(void **state) {
    pid_t pid = start(make_calls, &own_lane);
    uint32_t calls;

    (void)state;
    await(&board->ready, 1);
    real_attach(0);
    sim_store(&board->hold, 1);
    await(&board->inside, 1);
    nap(2 * MS);
    await(&board->inside, 1); /* this one is held */
    assert_int_equal(divvy_simgpu_checkpoint_lock(pid, divvy_simgpu_now_ns() + 30 * MS),
                     -ETIMEDOUT);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_RUNNING);
    calls = sim_load(&board->calls);
    sim_store(&board->hold, 0);
    await(&board->calls, calls + 2);
    assert_int_equal(divvy_simgpu_checkpoint_lock(pid, NEVER), 0);
    assert_int_equal(end(pid, SIGKILL), 128 + SIGKILL); /* a locked process can be killed */
    divvy_simgpu_detach();
}

static void memory_leaves_and_comes_back(void **state) {
    uint64_t megabytes = 600, address;
    pid_t pid = start(fill, &megabytes);
    divvy_simgpu_process_t processes[4];
    divvy_simgpu_status_t status;
    size_t total;

    (void)state;
    await(&board->ready, 1);
    real_attach(0);
    assert_int_equal(used(), 600 * MIB);
    assert_int_equal(divvy_simgpu_checkpoint_lock(pid, NEVER), 0);
    assert_int_equal(used(), 600 * MIB);
    assert_int_equal(divvy_simgpu_checkpoint_save(pid), 0);
    assert_int_equal(used(), 0);
    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(status.copy_bytes[1], 600 * MIB);
    assert_int_equal(divvy_simgpu_processes(0, processes, 4, &total), 0);
    assert_int_equal(total, 0);
    /* somebody else takes the place */
    assert_int_equal(divvy_simgpu_mem_alloc(0, 500 * MIB, 0, 0, &address), 0);
    assert_int_equal(divvy_simgpu_checkpoint_restore(pid), -ENOMEM);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_SAVED);
    assert_int_equal(used(), 500 * MIB);
    assert_int_equal(divvy_simgpu_mem_free(address), 0);
    assert_int_equal(divvy_simgpu_checkpoint_restore(pid), 0);
    assert_int_equal(used(), 600 * MIB);
    assert_int_equal(divvy_simgpu_processes(0, processes, 4, &total), 0);
    assert_int_equal(total, 1);
    sim_store(&board->go, 1);
    nap(10 * MS);
    assert_int_equal(sim_load(&board->ready), 1);
    assert_int_equal(divvy_simgpu_checkpoint_unlock(pid), 0);
    await(&board->ready, 2);
    assert_int_equal(board->wrong, 0);
    assert_int_equal(used(), 0);
    end(pid, SIGKILL);
    divvy_simgpu_detach();
}

static void submitted_work_comes_first(void **state) {
    divvy_simgpu_item_t item = {
        .kind = DIVVY_SIMGPU_WORK, .duration_ns = 40 * MS, .fraction_permille = 1000};
    divvy_simgpu_position_t position;
    divvy_simgpu_context_t *context;
    divvy_simgpu_channel_t *channel;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_context_create(0, &context), 0);
    assert_int_equal(divvy_simgpu_channel_open(context, 0, &channel), 0);
    assert_int_equal(divvy_simgpu_submit(channel, &item, &position), 0);
    assert_int_equal(divvy_simgpu_checkpoint_lock(getpid(), NEVER), 0);
    assert_int_equal(divvy_simgpu_checkpoint_save(getpid()), 0);
    assert_int_equal(divvy_simgpu_query(position), 1);
    assert_int_equal(divvy_simgpu_checkpoint_restore(getpid()), 0);
    assert_int_equal(divvy_simgpu_checkpoint_unlock(getpid()), 0);
    divvy_simgpu_detach();
}

static void shared_memory_stays(void **state) {
    divvy_simgpu_ipc_t ipc;
    uint64_t address;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 4096, 0, 0, &address), 0);
    assert_int_equal(divvy_simgpu_ipc_export(address, &ipc), 0);
    assert_int_equal(divvy_simgpu_checkpoint_lock(getpid(), NEVER), 0);
    assert_int_equal(divvy_simgpu_checkpoint_save(getpid()), -EOPNOTSUPP);
    assert_int_equal(state_of(getpid()), DIVVY_SIMGPU_LOCKED);
    assert_int_equal(divvy_simgpu_checkpoint_unlock(getpid()), 0);
    divvy_simgpu_detach();
}

/* --- death ---------------------------------------------------------------------------------------------------- */

static void lock_for_ever(void *arg) {
    attach_or_die();
    sim_store(&board->ready, 2);
    (void)divvy_simgpu_checkpoint_lock(*(pid_t *)arg, NEVER);
}

static void a_killed_locker_locks_nobody_out(void **state) {
    pid_t pid = start(make_calls, &own_lane), locker;
    uint32_t calls;

    (void)state;
    await(&board->ready, 1);
    sim_store(&board->hold, 1);
    await(&board->inside, 1);
    nap(2 * MS);
    await(&board->inside, 1);
    locker = start(lock_for_ever, &pid);
    await(&board->ready, 2);
    nap(20 * MS); /* it waits for the call */
    assert_int_equal(end(locker, SIGKILL), 128 + SIGKILL);
    calls = sim_load(&board->calls);
    sim_store(&board->hold, 0);
    await(&board->calls, calls + 3);
    real_attach(0);
    assert_int_equal(state_of(pid), DIVVY_SIMGPU_RUNNING);
    end(pid, SIGKILL);
    divvy_simgpu_detach();
}

static void save_and_restore(void *arg) {
    pid_t pid = *(pid_t *)arg;

    attach_or_die();
    for (;;) {
        (void)divvy_simgpu_checkpoint_lock(pid, NEVER);
        (void)divvy_simgpu_checkpoint_save(pid);
        (void)divvy_simgpu_checkpoint_restore(pid);
        (void)divvy_simgpu_checkpoint_unlock(pid);
    }
}

/* Killed anywhere in the cycle: the memory is in one place, all of it, and the process can go on. */
static void killed_savers_lose_nothing(void **state) {
    const char *text = getenv("DIVVY_TEST_KILLS");
    int rounds = text ? atoi(text) : 40;
    uint64_t megabytes = 200, seed = divvy_simgpu_now_ns();
    pid_t pid = start(fill, &megabytes);

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    await(&board->ready, 1);
    for (int round = 0; round < rounds; round++) {
        /* only who is not attached can have children that attach */
        pid_t saver = start(save_and_restore, &pid);

        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        nap((seed >> 33) % (40 * MS));
        assert_int_equal(end(saver, SIGKILL), 128 + SIGKILL);
        real_attach(0);
        divvy_simgpu_checkpoint_t found = state_of(pid);

        assert_int_equal(used(), found == DIVVY_SIMGPU_SAVED ? 0 : 200 * MIB);
        if (found == DIVVY_SIMGPU_SAVED) {
            assert_int_equal(divvy_simgpu_checkpoint_restore(pid), 0);
            found = state_of(pid);
        }
        if (found == DIVVY_SIMGPU_LOCKED)
            assert_int_equal(divvy_simgpu_checkpoint_unlock(pid), 0);
        assert_int_equal(state_of(pid), DIVVY_SIMGPU_RUNNING);
        assert_int_equal(used(), 200 * MIB);
        divvy_simgpu_detach();
    }
    sim_store(&board->go, 1);
    await(&board->ready, 2);
    assert_int_equal(board->wrong, 0);
    end(pid, SIGKILL);
}

static void a_killed_target_leaves_nothing(void **state) {
    uint64_t megabytes = 200;

    (void)state;
    for (int round = 0; round < 10; round++) {
        divvy_simgpu_checkpoint_t found;

        memset(board, 0, sizeof *board);
        pid_t pid = start(fill, &megabytes);

        await(&board->ready, 1);
        pid_t saver = start(save_and_restore, &pid);

        nap((uint64_t)round * 3 * MS);
        assert_int_equal(end(pid, SIGKILL), 128 + SIGKILL);
        real_attach(0);
        assert_int_equal(divvy_simgpu_checkpoint_state(pid, &found), -ESRCH);
        nap(2 * MS);
        end(saver, SIGKILL);
        assert_int_equal(used(), 0);
        divvy_simgpu_detach();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(steps_have_an_order),
        T(lanes_are_given_out_once),
        T(calls_wait_while_locked),
        T(a_long_call_outlasts_the_lock),
        T(memory_leaves_and_comes_back),
        T(submitted_work_comes_first),
        T(shared_memory_stays),
        T(a_killed_locker_locks_nobody_out),
        T(killed_savers_lose_nothing),
        T(a_killed_target_leaves_nothing),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
