/* The state file: configuration, joining, and files that are not what they should be. */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

static char error[DIVVY_SIMGPU_ERROR_MAX];

static void path_of(char path[96]) {
    snprintf(path, 96, "%s/state", real_directory);
}

static void write_at(off_t offset, const void *bytes, size_t length) {
    char path[96];

    path_of(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, offset), length);
    close(fd);
}

static void refused(int status, const char *word) {
    int r = divvy_simgpu_attach(0, error);

    if (r != status || !strstr(error, word))
        fail_msg("got %d \"%s\", want %d and \"%s\"", r, error, status, word);
    assert_null(strchr(error, '\n'));
    assert_false(divvy_simgpu_attached());
}

static void the_environment_decides(void **state) {
    (void)state;
    setenv("DIVVY_SIM_DEVICES", "3", 1);
    setenv("DIVVY_SIM_MODEL", "h200,A100,small", 1);
    setenv("DIVVY_SIM_MEMORY", "8GiB,50%,512MiB", 1);
    setenv("DIVVY_SIM_SLICE_US", "500", 1);
    real_attach(0);
    assert_int_equal(divvy_simgpu_device_count(), 3);
    assert_int_equal(divvy_simgpu_slice_ns(), 500000);
    assert_string_equal(divvy_simgpu_device_get(0)->name, "NVIDIA H200");
    assert_int_equal(divvy_simgpu_device_get(0)->memory_bytes, UINT64_C(8) << 30);
    assert_int_equal(divvy_simgpu_device_get(1)->sm_count, 108);
    assert_int_equal(divvy_simgpu_device_get(1)->memory_bytes, UINT64_C(40) << 30);
    assert_int_equal(divvy_simgpu_device_get(2)->memory_bytes, UINT64_C(512) << 20);
    assert_null(divvy_simgpu_device_get(3));
    assert_null(divvy_simgpu_device_get(-1));
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(divvy_simgpu_device_get(i)->uuid_text,
                                    divvy_simgpu_device_get(j)->uuid_text);
            assert_string_not_equal(divvy_simgpu_device_get(i)->pci_text,
                                    divvy_simgpu_device_get(j)->pci_text);
        }
    assert_int_equal(strlen(divvy_simgpu_device_get(0)->uuid_text), 40);
    divvy_simgpu_detach();
    unsetenv("DIVVY_SIM_DEVICES");
    unsetenv("DIVVY_SIM_MODEL");
    unsetenv("DIVVY_SIM_MEMORY");
    unsetenv("DIVVY_SIM_SLICE_US");
    real_attach(0); /* nobody is left: what the environment says now */
    assert_int_equal(divvy_simgpu_device_count(), 1);
    assert_string_equal(divvy_simgpu_device_get(0)->name, "NVIDIA H200");
    assert_int_equal(divvy_simgpu_device_get(0)->memory_bytes, UINT64_C(141) << 30);
    divvy_simgpu_detach();
}

static void bad_values_are_named(void **state) {
    static const char *const bad[][2] = {
        {"DIVVY_SIM_DEVICES", "0"},        {"DIVVY_SIM_DEVICES", "17"},
        {"DIVVY_SIM_DEVICES", "two"},      {"DIVVY_SIM_DEVICES", "-1"},
        {"DIVVY_SIM_MODEL", "H300"},       {"DIVVY_SIM_MODEL", "small,H200"},
        {"DIVVY_SIM_MODEL", ","},          {"DIVVY_SIM_MEMORY", "1"},
        {"DIVVY_SIM_MEMORY", "8 GiB"},     {"DIVVY_SIM_MEMORY", "99999999999999999999"},
        {"DIVVY_SIM_MEMORY", "2000GiB"},   {"DIVVY_SIM_SLICE_US", "1"},
        {"DIVVY_SIM_SLICE_US", "9999999"}, {"DIVVY_SIM_SWITCH_US", "-1"}, {"DIVVY_SIM_FAULTS", "fail:cuInit=1;oops"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv(bad[i][0], bad[i][1], 1);
        refused(-EINVAL, bad[i][0]);
        unsetenv(bad[i][0]);
    }
}

/* --- joining ------------------------------------------------------------------------------------------------ */

static int gate[2], go[2];

static void hold_machine(void *arg) {
    (void)arg;
    if (divvy_simgpu_attach(0, NULL) < 0 || write(gate[1], "x", 1) != 1)
        _exit(1);
    pause();
}

static void a_machine_in_use_stays_as_it_is(void **state) {
    char c;
    int status;

    (void)state;
    assert_int_equal(pipe(gate), 0);
    setenv("DIVVY_SIM_MEMORY", "64MiB", 1);
    pid_t pid = start(hold_machine, NULL);

    assert_int_equal(read(gate[0], &c, 1), 1);
    setenv("DIVVY_SIM_MEMORY", "65MiB", 1);
    refused(-EBUSY, "DIVVY_SIM_MEMORY");
    setenv("DIVVY_SIM_MEMORY", "64MiB", 1);
    setenv("DIVVY_SIM_DEVICES", "2", 1);
    refused(-EBUSY, "DIVVY_SIM_DEVICES");
    unsetenv("DIVVY_SIM_DEVICES");
    setenv("DIVVY_SIM_FAULTS", "fail:cuInit=1", 1);
    refused(-EBUSY, "DIVVY_SIM_FAULTS");
    unsetenv("DIVVY_SIM_FAULTS");
    unsetenv("DIVVY_SIM_MEMORY"); /* asks for nothing: joins */
    real_attach(0);
    assert_int_equal(divvy_simgpu_device_get(0)->memory_bytes, 64 << 20);
    divvy_simgpu_detach();
    int live = 0;

    assert_int_equal(sim_state_remove(false, &live), -EBUSY);
    assert_int_equal(live, pid);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    real_attach(0);
    assert_int_equal(divvy_simgpu_device_get(0)->memory_bytes, 1 << 30);
    divvy_simgpu_detach();
    assert_int_equal(sim_state_remove(false, &live), 0);
    assert_int_equal(sim_state_remove(false, &live), -ENOENT);
    assert_int_equal(divvy_simgpu_attach(DIVVY_SIMGPU_EXISTING, error), -ENOENT);
}

static void attach_at_once(void *arg) {
    char c;
    uint64_t address;

    (void)arg;
    if (read(go[0], &c, 1) != 1 || divvy_simgpu_attach(0, NULL) < 0)
        _exit(1);
    if (divvy_simgpu_mem_alloc(0, 1 << 20, 0, 0, &address) < 0 || write(gate[1], "x", 1) != 1)
        _exit(2);
    pause();
}

static void many_make_one_machine(void **state) {
    enum { N = 40 };
    divvy_simgpu_status_t status;
    pid_t pids[N];
    char c[N] = {0};

    (void)state;
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < N; i++)
        pids[i] = start(attach_at_once, NULL);
    assert_int_equal(write(go[1], c, N), N);
    for (int i = 0; i < N; i++)
        assert_int_equal(read(gate[0], c, 1), 1);
    real_attach(DIVVY_SIMGPU_OBSERVER);
    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(status.processes, N);
    assert_int_equal(status.used_bytes, N << 20);
    for (int i = 0; i < N; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    assert_int_equal(divvy_simgpu_status(0, &status), 0);
    assert_int_equal(status.used_bytes, 0);
    divvy_simgpu_detach();
}

static void history_outlives_processes(void **state) {
    divvy_simgpu_process_t process;
    size_t total;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_mem_charge(0, 12345), 0);
    divvy_simgpu_detach();
    real_attach(DIVVY_SIMGPU_EXISTING | DIVVY_SIMGPU_OBSERVER);
    assert_int_equal(divvy_simgpu_history(0, &process, 1, &total), 0);
    assert_int_equal(total, 1);
    assert_int_equal(process.pid, getpid());
    assert_int_equal(process.peak_bytes, 12345);
    assert_true(process.ended_ns >= process.attached_ns);
    divvy_simgpu_detach();
}

/* --- files that are not machines ---------------------------------------------------------------------------- */

static void foreign_files_are_refused(void **state) {
    char path[96], junk[4096];
    uint32_t version = 99;

    (void)state;
    path_of(path);
    memset(junk, 'j', sizeof junk);
    write_at(0, "x", 1);
    refused(-EPROTO, "short");
    write_at(0, junk, sizeof junk);
    refused(-EPROTO, "not a simulated machine");
    assert_int_equal(truncate(path, (off_t)sizeof(sim_file_t)), 0);
    refused(-EPROTO, "not a simulated machine");
    unlink(path);
    real_attach(0);
    divvy_simgpu_detach();
    assert_int_equal(truncate(path, 4096), 0);
    refused(-EPROTO, "cut off");
    unlink(path);
    real_attach(0);
    divvy_simgpu_detach();
    write_at((off_t)offsetof(sim_header_t, version), &version, sizeof version);
    refused(-EPROTO, "another version");
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    refused(-EPROTO, "state");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(divvy_simgpu_attach(0, error) < 0);
    rmdir(path);
    real_attach(0);
    divvy_simgpu_detach();
    assert_int_equal(chmod(path, 0666), 0);
    refused(-EPERM, "private");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(real_directory, 0777), 0);
    refused(-EPERM, "private");
    assert_int_equal(chmod(real_directory, 0700), 0);
    uint32_t devices = 0;

    write_at((off_t)offsetof(sim_header_t, config.devices), &devices, sizeof devices);
    refused(-EPROTO, "damaged");
    int live;

    assert_int_equal(sim_state_remove(false, &live), 0);
    real_attach(0);
    divvy_simgpu_detach();
}

static void a_maker_that_died_is_replaced(void **state) {
    char path[96];

    (void)state;
    path_of(path);
    write_at(0, "", 0);
    real_attach(0);
    divvy_simgpu_detach();
    uint64_t none = 0;

    write_at(0, &none, sizeof none); /* everything but the last store of making */
    real_attach(0);
    assert_int_equal(divvy_simgpu_device_count(), 1);
    divvy_simgpu_detach();
}

static int nothing(void *arg, uint64_t *duration_ns) {
    (void)arg;
    (void)duration_ns;
    return 0;
}

/* Uses the machine as well as it lets itself be used. */
static void use(void *arg) {
    divvy_simgpu_process_t processes[8];
    divvy_simgpu_status_t status;
    divvy_simgpu_context_t *context;
    divvy_simgpu_channel_t *channel;
    divvy_simgpu_position_t position;
    divvy_simgpu_event_t event;
    uint64_t address, deadline_ns = divvy_simgpu_now_ns() + 30 * MS;
    unsigned permille;
    size_t total;

    (void)arg;
    alarm(20);
    if (divvy_simgpu_attach(0, NULL) < 0)
        _exit(0);
    (void)divvy_simgpu_status(0, &status);
    (void)divvy_simgpu_processes(0, processes, 8, &total);
    (void)divvy_simgpu_history(0, processes, 8, &total);
    (void)divvy_simgpu_utilisation(0, 0, 100 * MS, &permille);
    (void)divvy_simgpu_fault("cuInit");
    if (!divvy_simgpu_mem_alloc(0, 5000, 0, 0, &address)) {
        memset((void *)(uintptr_t)address, 1, 5000);
        (void)divvy_simgpu_mem_free(address);
    }
    if (!divvy_simgpu_context_create(0, &context)) {
        if (!divvy_simgpu_channel_open(context, 0, &channel)) {
            divvy_simgpu_item_t item = {
                .kind = DIVVY_SIMGPU_WORK, .duration_ns = 1000, .flags = DIVVY_SIMGPU_NONBLOCK};

            (void)divvy_simgpu_submit(channel, &item, &position);
            item = (divvy_simgpu_item_t){
                .kind = DIVVY_SIMGPU_COPY, .run = nothing, .flags = DIVVY_SIMGPU_NONBLOCK};
            (void)divvy_simgpu_submit(channel, &item, &position);
            if (!divvy_simgpu_event_create(&event))
                (void)divvy_simgpu_event_record(channel, event, DIVVY_SIMGPU_NONBLOCK);
            (void)divvy_simgpu_wait_until(divvy_simgpu_channel_tail(channel), deadline_ns);
        }
        divvy_simgpu_context_destroy(context);
    }
    divvy_simgpu_detach();
    _exit(0);
}

/* Damages bytes of the file where it matters, behind the checks of its header. */
static void damaged_files_never_crash(void **state) {
    unsigned seed = (unsigned)time(NULL);
    const char *rounds = getenv("DIVVY_TEST_DAMAGE");
    int count = rounds ? atoi(rounds) : 60;
    char path[96];

    (void)state;
    path_of(path);
    print_message("seed %u\n", seed);
    for (int n = 0; n < count; n++) {
        unlink(path);
        assert_int_equal(in_process(use, NULL), 0);
        for (int i = 0; i < 40; i++) {
            /* header behind the configuration, or the first slots of processes, contexts and events */
            static const struct {
                size_t from, bytes;
            } areas[] = {
                {offsetof(sim_header_t, lock), 1 << 14},
                {offsetof(sim_header_t, chunk_words), 64},
                {offsetof(sim_header_t, history),
                 sizeof(sim_header_t) - offsetof(sim_header_t, history)},
                {offsetof(sim_header_t, devices[0].created_ns), sizeof(sim_device_t)},
                {offsetof(sim_file_t, procs), 2 * sizeof(sim_proc_t)},
                {offsetof(sim_file_t, contexts), 2 * sizeof(sim_context_t)},
                {offsetof(sim_file_t, events), 4096},
                {offsetof(sim_file_t, rings), 4096},
            };
            size_t area = (size_t)rand_r(&seed) % (sizeof areas / sizeof *areas);
            uint64_t values[] = {
                0, 1, 2, UINT64_MAX, UINT64_MAX / 2, (uint64_t)rand_r(&seed) << 32 | 6, 5};
            uint64_t value = values[rand_r(&seed) % 7];

            write_at((off_t)(areas[area].from + (size_t)rand_r(&seed) % areas[area].bytes / 8 * 8),
                     &value, sizeof value);
        }
        int status = in_process(use, NULL);

        if (status)
            fail_msg("round %d: status %d", n, status);
    }
}

#define REAL(test) cmocka_unit_test_setup_teardown(test, real_setup, real_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        REAL(the_environment_decides),         REAL(bad_values_are_named),
        REAL(a_machine_in_use_stays_as_it_is), REAL(many_make_one_machine),
        REAL(history_outlives_processes),      REAL(foreign_files_are_refused),
        REAL(a_maker_that_died_is_replaced),   REAL(damaged_files_never_crash),
    };

    return cmocka_run_group_tests_name("simgpu state file", tests, NULL, NULL);
}
