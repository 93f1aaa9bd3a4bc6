/* Several processes on one machine: the pool, time slices, IPC, fork, death at any moment. */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#define GIB (UINT64_C(1) << 30)

static void nap(uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    nanosleep(&t, NULL);
}

static int end(pid_t pid, int signal) {
    int status;

    if (signal)
        kill(pid, signal);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- the pool ----------------------------------------------------------------------------------------------- */

static int pipe_ready[2];

static void say_ready(void) {
    if (write(pipe_ready[1], "x", 1) != 1)
        _exit(9);
}

static void wait_ready(void) {
    char c;

    assert_int_equal(read(pipe_ready[0], &c, 1), 1);
}

static void take_most(void *arg) {
    uint64_t address;

    (void)arg;
    if (divvy_simgpu_attach(0, NULL) < 0 ||
        divvy_simgpu_mem_alloc(0, GIB - 4096, 0, 0, &address) < 0)
        _exit(1);
    say_ready();
    pause();
}

static void one_pool_for_all(void **state) {
    divvy_simgpu_process_t processes[4];
    uint64_t address;
    size_t total;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(pipe_ready), 0);
    pid = start(take_most, NULL);
    wait_ready();
    real_attach(0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 8192, 0, 0, &address), -ENOMEM);
    assert_int_equal(divvy_simgpu_processes(0, processes, 4, &total), 0);
    assert_int_equal(total, 1);
    assert_int_equal(processes[0].pid, pid);
    assert_int_equal(processes[0].bytes, GIB - 4096);
    assert_int_equal(end(pid, SIGKILL), 128 + SIGKILL);
    /* nobody is told: running out of memory finds it */
    assert_int_equal(divvy_simgpu_mem_alloc(0, GIB, 0, 0, &address), 0);
    assert_int_equal(divvy_simgpu_history(0, processes, 4, &total), 0);
    assert_int_equal(total, 1);
    assert_int_equal(processes[0].pid, pid);
    assert_int_equal(processes[0].peak_bytes, GIB - 4096);
    divvy_simgpu_detach();
}

/* --- time --------------------------------------------------------------------------------------------------- */

static void work_hard(void *arg) {
    divvy_simgpu_item_t item = {
        .kind = DIVVY_SIMGPU_WORK, .duration_ns = 300 * US, .fraction_permille = 1000};
    divvy_simgpu_context_t *context;
    divvy_simgpu_channel_t *channel;

    (void)arg;
    if (divvy_simgpu_attach(0, NULL) < 0 || divvy_simgpu_context_create(0, &context) < 0 ||
        divvy_simgpu_channel_open(context, 0, &channel) < 0)
        _exit(1);
    say_ready();
    for (;;)
        if (divvy_simgpu_submit(channel, &item, NULL) < 0)
            _exit(2);
}

static void busy_processes_share_time(void **state) {
    divvy_simgpu_process_t before[4], after[4];
    divvy_simgpu_status_t status, status2;
    pid_t pids[3];
    size_t total;

    (void)state;
    assert_int_equal(pipe(pipe_ready), 0);
    for (int i = 0; i < 3; i++)
        pids[i] = start(work_hard, NULL);
    for (int i = 0; i < 3; i++)
        wait_ready();
    real_attach(DIVVY_SIMGPU_OBSERVER);
    nap(20 * MS); /* all queues are deep now */
    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(divvy_simgpu_processes(0, before, 4, &total), 0);
    assert_int_equal(total, 3);
    nap(300 * MS);
    assert_int_equal(divvy_simgpu_processes(0, after, 4, &total), 0);
    assert_int_equal(divvy_simgpu_status(0, &status2), 0);
    assert_true(status2.busy_ns - status.busy_ns <= status2.now_ns - status.now_ns);
    for (int i = 0; i < 3; i++) {
        /* equal to within a slice at each end, by the device's own clock */
        uint64_t got = after[i].busy_ns - before[i].busy_ns,
                 fair = (status2.busy_ns - status.busy_ns) / 3;

        assert_true(got + 4 * MS >= fair && got <= fair + 4 * MS);
    }
    unsigned permille = 0;

    assert_int_equal(divvy_simgpu_utilisation(0, 0, 100 * MS, &permille), 0);
    assert_true(permille > 900);
    assert_int_equal(divvy_simgpu_utilisation(0, pids[0], 100 * MS, &permille), 0);
    assert_in_range(permille, 200, 450);
    divvy_simgpu_sample_t samples[200];

    assert_int_equal(divvy_simgpu_samples(0, 0, 0, samples, 200, &total), 0);
    assert_int_equal(total, DIVVY_SIMGPU_BINS - 1);
    assert_int_equal(divvy_simgpu_samples(0, 1, 0, samples, 200, &total), -ESRCH);
    for (int i = 0; i < 3; i++)
        assert_int_equal(end(pids[i], SIGKILL), 128 + SIGKILL);
    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(status.contexts, 0);
    nap(5 * MS);
    assert_int_equal(divvy_simgpu_status(0, &status2), 0);
    assert_int_equal(status2.busy_ns, status.busy_ns); /* what they left queued runs no more */
    divvy_simgpu_detach();
}

/* --- fork --------------------------------------------------------------------------------------------------- */

static void as_fork_child(void *arg) {
    divvy_simgpu_range_t range;
    char error[DIVVY_SIMGPU_ERROR_MAX];
    uint64_t address = *(uint64_t *)arg, other;
    int bad = 0;

    bad |= divvy_simgpu_attached();
    bad |= divvy_simgpu_mem_alloc(0, 8, 0, 0, &other) != -ENOTCONN;
    bad |= divvy_simgpu_mem_lookup(address, &range) != -ENOTCONN;
    bad |= divvy_simgpu_device_count() != -ENOTCONN;
    bad |= divvy_simgpu_attach(0, error) != -EPERM;
    bad |= !strstr(error, "fork");
    divvy_simgpu_detach();
    _exit(bad);
}

static void a_fork_child_is_not_attached(void **state) {
    divvy_simgpu_context_t *context;
    uint64_t address;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_context_create(0, &context), 0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 8, 0, 0, &address), 0);
    assert_int_equal(in_process(as_fork_child, &address), 0);
    assert_true(divvy_simgpu_attached());
    divvy_simgpu_status_t status;

    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(status.contexts, 1);
    assert_int_equal(status.used_bytes, 512);
    divvy_simgpu_context_destroy(context);
    divvy_simgpu_detach();
}

/* --- IPC ---------------------------------------------------------------------------------------------------- */

typedef struct mail {
    divvy_simgpu_ipc_t ipc;
    divvy_simgpu_event_t event;
    uint32_t looked;
} mail_t;

/* The sender's device is busy until the receiver has looked. */
static int until_looked(void *arg, uint64_t *duration_ns) {
    mail_t *mail = arg;

    (void)duration_ns;
    while (!__atomic_load_n(&mail->looked, __ATOMIC_ACQUIRE))
        nap(MS);
    return 0;
}

static void send_memory(void *arg) {
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_HOST, .run = until_looked, .arg = arg};
    divvy_simgpu_context_t *context;
    divvy_simgpu_channel_t *channel;
    mail_t *mail = arg;
    uint64_t address;

    if (divvy_simgpu_attach(0, NULL) < 0 || divvy_simgpu_mem_alloc(0, 700, 0, 0, &address) < 0 ||
        divvy_simgpu_mem_alloc(0, 5000, 0, 0, &address) < 0 ||
        divvy_simgpu_context_create(0, &context) < 0 ||
        divvy_simgpu_channel_open(context, 0, &channel) < 0 ||
        divvy_simgpu_event_create(&mail->event) < 0)
        _exit(1);
    strcpy((char *)(uintptr_t)address, "hello");
    if (divvy_simgpu_submit(channel, &item, NULL) < 0 ||
        divvy_simgpu_event_record(channel, mail->event, 0) < 0)
        _exit(2);
    if (divvy_simgpu_ipc_export(address + 10, &mail->ipc) < 0)
        _exit(3);
    say_ready();
    while (strcmp((char *)(uintptr_t)address, "world"))
        nap(MS);
    say_ready();
    pause();
}

static void memory_and_events_cross_processes(void **state) {
    mail_t *mail = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    divvy_simgpu_range_t range;
    uint64_t address, again, t;

    (void)state;
    assert_int_equal(pipe(pipe_ready), 0);
    pid_t pid = start(send_memory, mail);

    wait_ready();
    real_attach(0);
    assert_int_equal(divvy_simgpu_event_time(mail->event, &t), -EAGAIN);
    __atomic_store_n(&mail->looked, 1, __ATOMIC_RELEASE);
    assert_int_equal(divvy_simgpu_event_wait(mail->event), 0);
    assert_int_equal(divvy_simgpu_event_time(mail->event, &t), 0);
    assert_int_equal(divvy_simgpu_event_destroy(mail->event), -EINVAL);
    assert_int_equal(divvy_simgpu_ipc_import(&mail->ipc, &address), 0);
    assert_int_equal(divvy_simgpu_ipc_import(&mail->ipc, &again), 0);
    assert_int_equal(address, again);
    assert_int_equal(divvy_simgpu_mem_lookup(address + 4999, &range), 0);
    assert_int_equal(range.kind, DIVVY_SIMGPU_RANGE_IPC);
    assert_int_equal(range.base, address);
    assert_int_equal(divvy_simgpu_mem_lookup(address + 5000, &range), -EFAULT);
    assert_string_equal((char *)(uintptr_t)address, "hello");
    strcpy((char *)(uintptr_t)address, "world");
    wait_ready();
    assert_int_equal(divvy_simgpu_mem_free(address), -EINVAL);
    assert_int_equal(divvy_simgpu_ipc_close(address), 0);
    assert_int_equal(divvy_simgpu_mem_lookup(address, &range), 0);
    assert_int_equal(divvy_simgpu_ipc_close(address), 0);
    assert_int_equal(divvy_simgpu_mem_lookup(address, &range), -EFAULT);
    assert_int_equal(divvy_simgpu_ipc_close(address), -EINVAL);
    for (size_t i = 0; i < 56;
         i++) { /* any change is noticed; the last eight bytes carry nothing */
        divvy_simgpu_ipc_t wrong = mail->ipc;

        wrong.bytes[i] ^= 0x10;
        assert_true(divvy_simgpu_ipc_import(&wrong, &address) < 0);
    }
    assert_int_equal(end(pid, SIGKILL), 128 + SIGKILL);
    (void)divvy_simgpu_reap();
    assert_int_equal(divvy_simgpu_ipc_import(&mail->ipc, &address), -EINVAL);
    assert_int_equal(divvy_simgpu_event_query(mail->event), -EINVAL);
    uint64_t own;

    assert_int_equal(divvy_simgpu_mem_alloc(0, 100, 0, 0, &own), 0);
    assert_int_equal(divvy_simgpu_ipc_export(own, &mail->ipc), 0);
    assert_int_equal(divvy_simgpu_ipc_import(&mail->ipc, &address), -EALREADY);
    assert_int_equal(divvy_simgpu_ipc_export(12345, &mail->ipc), -EINVAL);
    divvy_simgpu_detach();
    munmap(mail, 4096);
}

/* --- death -------------------------------------------------------------------------------------------------- */

static int nothing(void *arg, uint64_t *duration_ns) {
    (void)arg;
    (void)duration_ns;
    return 0;
}

/* Everything that takes locks or slots, as fast as possible. */
static void churn(void *arg) {
    unsigned seed = *(unsigned *)arg;
    divvy_simgpu_context_t *contexts[3] = {0};
    divvy_simgpu_channel_t *channels[3] = {0};
    uint64_t addresses[20] = {0}, handle, free_bytes, total;
    divvy_simgpu_event_t events[20] = {0};

    if (divvy_simgpu_attach(0, NULL) < 0)
        _exit(1);
    for (;;) {
        unsigned pick = (unsigned)rand_r(&seed), i = pick % 3, j = (pick >> 8) % 20;
        divvy_simgpu_item_t item = {
            .kind = DIVVY_SIMGPU_WORK, .duration_ns = 20 * US, .fraction_permille = 300};

        switch ((pick >> 16) % 12) {
        case 0:
            if (!contexts[i] && !divvy_simgpu_context_create(0, &contexts[i]))
                (void)divvy_simgpu_channel_open(contexts[i], 0, &channels[i]);
            break;
        case 1:
            if ((pick >> 4) % 8 == 0) {
                divvy_simgpu_context_destroy(contexts[i]);
                contexts[i] = NULL;
                channels[i] = NULL;
            }
            break;
        case 2:
        case 3:
            if (!addresses[j])
                (void)divvy_simgpu_mem_alloc(0, 1 + pick % 100000, 0, 0, &addresses[j]);
            else if (!divvy_simgpu_mem_free(addresses[j]))
                addresses[j] = 0;
            break;
        case 4:
            if (!events[j])
                (void)divvy_simgpu_event_create(&events[j]);
            else if (channels[i])
                (void)divvy_simgpu_event_record(channels[i], events[j], DIVVY_SIMGPU_NONBLOCK);
            break;
        case 5:
            if (!divvy_simgpu_phys_create(0, 2 << 20, pick & 1, &handle))
                (void)divvy_simgpu_phys_release(handle);
            break;
        case 6:
            if (channels[i])
                (void)divvy_simgpu_query(divvy_simgpu_channel_tail(channels[i]));
            break;
        case 7:
            item = (divvy_simgpu_item_t){
                .kind = DIVVY_SIMGPU_HOST, .run = nothing, .duration_ns = 1000};
            /* fall through */
        case 8:
        case 9:
            item.flags = DIVVY_SIMGPU_NONBLOCK;
            if (channels[i])
                (void)divvy_simgpu_submit(channels[i], &item, NULL);
            break;
        case 10:
            (void)divvy_simgpu_mem_info(0, &free_bytes, &total);
            break;
        default:
            (void)divvy_simgpu_reap();
            break;
        }
    }
}

/* Looks straight into the state file. */
static void assert_machine_empty(void) {
    sim_file_t *f = sim_self_file();
    divvy_simgpu_status_t status;

    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(status.used_bytes, 0);
    assert_int_equal(status.contexts, 0);
    assert_int_equal(status.processes, 0);
    for (uint32_t i = 0; i < SIM_CONTEXTS; i++)
        assert_int_equal(sim_slot_state(f->header.context_words[i]), SIM_SLOT_FREE);
    for (uint32_t i = 0; i < SIM_PROCS; i++)
        assert_true(sim_slot_state(f->header.proc_words[i]) == SIM_SLOT_FREE ||
                    i == sim_self_slot());
    for (uint32_t i = 0; i < SIM_EVENT_CHUNKS; i++)
        assert_int_equal(f->header.chunk_words[i], 0);
    assert_true(status.busy_ns <= status.now_ns - status.created_ns);
}

static void killed_processes_leave_nothing(void **state) {
    enum { KILLS = 200, SIDE_BY_SIDE = 3 };
    const char *rounds = getenv("DIVVY_TEST_KILLS"); /* for a longer look */
    int kills = rounds ? atoi(rounds) : KILLS;
    unsigned seed = (unsigned)divvy_simgpu_now_ns(), seeds[SIDE_BY_SIDE];
    pid_t pids[SIDE_BY_SIDE] = {0};

    (void)state;
    print_message("seed %u\n", seed);
    /* the observer keeps the machine alive; fork children of it would not be able to attach, so it is one itself */
    pid_t keeper = start(take_most, NULL);

    end(keeper, SIGKILL);
    for (int n = 0; n < kills; n++) {
        int i = n % SIDE_BY_SIDE;

        if (pids[i])
            assert_int_equal(end(pids[i], SIGKILL), 128 + SIGKILL);
        seeds[i] = seed + (unsigned)n;
        pids[i] = start(churn, &seeds[i]);
        nap(MS + (uint64_t)rand_r(&seed) % (4 * MS));
    }
    for (int i = 0; i < SIDE_BY_SIDE; i++)
        if (pids[i])
            assert_int_equal(end(pids[i], SIGKILL), 128 + SIGKILL);
    real_attach(0);
    assert_machine_empty();
    divvy_simgpu_detach();
}

/* Dies with a lock in its hand and the state half changed. */
static void die_inside(void *arg) {
    int stage = *(int *)arg;
    divvy_simgpu_context_t *context;
    divvy_simgpu_channel_t *channel;
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_WORK, .duration_ns = 10 * MS};
    uint64_t address;

    if (divvy_simgpu_attach(0, NULL) < 0 || divvy_simgpu_context_create(0, &context) < 0 ||
        divvy_simgpu_channel_open(context, 0, &channel) < 0 ||
        divvy_simgpu_mem_alloc(0, 1 << 20, 0, 0, &address) < 0 ||
        divvy_simgpu_submit(channel, &item, NULL) < 0)
        _exit(1);
    sim_file_t *f = sim_self_file();

    switch (stage) {
    case 0:
        sim_self_lock_device(0);
        break;
    case 1: /* sum changed, process not */
        sim_memory_lock(sim_self_file(), 0, sim_self_tag())->used_bytes += 512 << 20;
        break;
    case 2: /* process changed, sum not */
        sim_memory_lock(sim_self_file(), 0, sim_self_tag());
        f->procs[sim_self_slot()].use[0].bytes += 512 << 20;
        break;
    case 3:
        sim_self_lock(&f->header.lock);
        break;
    case 4: { /* in the middle of a step of the clock */
        sim_device_t *d = sim_self_lock_device(0);

        d->step = (sim_step_t){.valid = 1, .context = SIM_CONTEXTS, .now_ns = d->now_ns + 1000};
        memset(d->active, 0, sizeof d->active);
        break;
    }
    default: { /* a context half freed */
        sim_self_lock(&f->header.lock);
        for (uint32_t i = 0; i < SIM_CONTEXTS; i++)
            if (sim_slot_state(f->header.context_words[i]) == SIM_SLOT_LIVE)
                sim_context_kill(f, sim_self_tag(), i);
        break;
    }
    }
    raise(SIGKILL);
}

static void a_lock_outlives_its_owner(void **state) {
    (void)state;
    for (int stage = 0; stage <= 5; stage++) {
        divvy_simgpu_context_t *context;
        divvy_simgpu_channel_t *channel;
        divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_WORK, .duration_ns = 2 * MS};
        divvy_simgpu_position_t position;
        uint64_t address;

        assert_int_equal(in_process(die_inside, &stage), 128 + SIGKILL);
        real_attach(0);
        assert_int_equal(divvy_simgpu_mem_alloc(0, GIB, 0, 0, &address), 0);
        assert_int_equal(divvy_simgpu_context_create(0, &context), 0);
        assert_int_equal(divvy_simgpu_channel_open(context, 0, &channel), 0);
        assert_int_equal(divvy_simgpu_submit(channel, &item, &position), 0);
        assert_int_equal(divvy_simgpu_wait(position), 0);
        assert_int_equal(divvy_simgpu_context_busy_ns(context), 2 * MS);
        divvy_simgpu_context_destroy(context);
        assert_int_equal(divvy_simgpu_mem_free(address), 0);
        assert_machine_empty();
        divvy_simgpu_detach();
    }
}

#define REAL(test) cmocka_unit_test_setup_teardown(test, real_setup, real_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        REAL(one_pool_for_all),
        REAL(busy_processes_share_time),
        REAL(a_fork_child_is_not_attached),
        REAL(memory_and_events_cross_processes),
        REAL(killed_processes_leave_nothing),
        REAL(a_lock_outlives_its_owner),
    };

    return cmocka_run_group_tests_name("simgpu processes", tests, NULL, NULL);
}
