/* What a stub makes of QEMU's command line, and of a QEMU that writes too much or does not start. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "stub/machine.h"

static void memory_is_read_as_qemu_reads_it(void **state) {
    static const struct {
        const char *text;
        uint64_t mib;
        int status;
    } cases[] = {
        {"256", 256, 0},       {"256M", 256, 0}, {"1G", 1024, 0},    {"2g", 2048, 0},      {"size=64M,slots=2", 64, 0},
        {"512,slots=1", 512, 0}, {"", 0, -EINVAL}, {"0", 0, -EINVAL}, {"many", 0, -EINVAL}, {"-5", 0, -EINVAL},
        {"10%", 0, -EINVAL},
    };
    char *none[] = {"qemu", NULL}, *last[] = {"qemu", "-m", NULL};
    uint64_t bytes;

    (void)state;
    assert_int_equal(divvy_stub_machine_memory_read(none, &bytes), 0);
    assert_int_equal(bytes, UINT64_C(128) << 20);
    assert_int_equal(divvy_stub_machine_memory_read(last, &bytes), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *arguments[] = {"qemu", "-nographic", "-m", (char *)cases[i].text, NULL};

        assert_int_equal(divvy_stub_machine_memory_read(arguments, &bytes), cases[i].status);
        if (cases[i].status == 0)
            assert_int_equal(bytes, cases[i].mib << 20);
    }
}

static void a_machine_ends_with_its_status(void **state) {
    char *arguments[] = {"sh", "-c", "exit 7", NULL}, *missing[] = {"/no/such/qemu", NULL};
    const struct divvy_stub_bulk none = {0};
    struct divvy_stub_machine machine;

    (void)state;
    assert_int_equal(divvy_stub_machine_start(arguments, &none, &machine, NULL), 0);
    assert_int_equal(poll(&(struct pollfd){machine.exit_fd, POLLIN, 0}, 1, 10000), 1);
    assert_int_equal(divvy_stub_machine_end(&machine), 7);
    assert_int_equal(divvy_stub_machine_start(missing, &none, &machine, NULL), 0);
    assert_int_equal(poll(&(struct pollfd){machine.exit_fd, POLLIN, 0}, 1, 10000), 1);
    assert_int_equal(divvy_stub_machine_end(&machine), 127);
}

static void a_running_machine_is_ended(void **state) {
    char *arguments[] = {"sh", "-c", "exec sleep 1000", NULL};
    const struct divvy_stub_bulk none = {0};
    struct divvy_stub_machine machine;

    (void)state;
    assert_int_equal(divvy_stub_machine_start(arguments, &none, &machine, NULL), 0);
    assert_int_equal(divvy_stub_machine_end(&machine), 128 + 15);
}

/* A QEMU that floods its standard error never waits for long, and what is passed on has a bound. */
static void a_flood_is_bounded(void **state) {
    char *arguments[] = {"sh", "-c", "head -c 4000000 /dev/zero >&2", NULL};
    const struct divvy_stub_bulk none = {0};
    struct divvy_stub_machine machine;
    char path[] = "/tmp/divvy-flood-XXXXXX";
    int kept = dup(STDERR_FILENO), file = mkstemp(path);
    uint64_t begun_ns = divvy_core_clock_ns();
    struct stat status;

    (void)state;
    assert_true(kept >= 0 && file >= 0);
    assert_int_equal(divvy_stub_machine_start(arguments, &none, &machine, NULL), 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    for (;;) {
        struct pollfd words = {.fd = machine.stderr_fd, .events = POLLIN};

        if (poll(&words, 1, 10000) != 1 || !divvy_stub_machine_stderr_pass(&machine, begun_ns))
            break;
    }
    (void)dup2(kept, STDERR_FILENO);
    assert_int_equal(fstat(file, &status), 0);
    close(kept);
    close(file);
    (void)unlink(path);
    assert_in_range(status.st_size, 1, DIVVY_STUB_STDERR_BURST_BYTES);
    assert_in_range(machine.stderr_dropped_bytes, 4000000 - DIVVY_STUB_STDERR_BURST_BYTES, 4000000);
    assert_int_equal(divvy_stub_machine_end(&machine), 0);
}

static void bulk_files_are_made_and_checked(void **state) {
    char *arguments[] = {"true", NULL}, path[64], comma[80];
    struct divvy_stub_bulk bulk = {path, 65536}, bad = {comma, 65536};
    struct divvy_stub_machine machine;
    struct divvy_error error = {0};
    struct stat status;

    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/divvy-bulk-%d", (int)getpid());
    (void)snprintf(comma, sizeof comma, "%s,mem=1", path);
    assert_int_equal(divvy_stub_machine_start(arguments, &bad, &machine, &error), -EINVAL);
    assert_int_equal(divvy_stub_machine_start(arguments, &bulk, &machine, &error), 0);
    (void)divvy_stub_machine_end(&machine);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 65536);
    assert_int_equal(status.st_mode & 0777, 0600);
    bulk.bytes = 4096;
    assert_int_equal(divvy_stub_machine_start(arguments, &bulk, &machine, &error), -EINVAL);
    (void)unlink(path);
    bulk.path = "/dev/null"; /* exists, and is no file */
    assert_int_equal(divvy_stub_machine_start(arguments, &bulk, &machine, &error), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_read_as_qemu_reads_it), cmocka_unit_test(a_machine_ends_with_its_status),
        cmocka_unit_test(a_running_machine_is_ended),      cmocka_unit_test(a_flood_is_bounded),
        cmocka_unit_test(bulk_files_are_made_and_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
