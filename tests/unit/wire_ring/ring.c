/* The ring in shared memory: order, bounds, a hostile other side, two processes that sleep and wake each other. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire/ring/pipe.h"

#define MEMORY_BYTES   12288u
#define CAPACITY_BYTES 4096u
#define SESSION        UINT64_C(0x1122334455667788)

static _Alignas(64) uint8_t memory[MEMORY_BYTES];
static struct divvy_wire_ring host, guest;

static int fresh(void **state) {
    (void)state;
    memset(memory, 0xEE, sizeof memory);
    assert_int_equal(divvy_wire_ring_create(memory, sizeof memory, SESSION, &host), 0);
    assert_int_equal(divvy_wire_ring_attach(memory, sizeof memory, SESSION, &guest), 0);
    return 0;
}

static void both_directions_keep_order(void **state) {
    char buffer[64];
    bool wake;

    (void)state;
    assert_int_equal(divvy_wire_ring_read(&guest, buffer, sizeof buffer, &wake), 0);
    assert_int_equal(divvy_wire_ring_write(&host, "to the ", 7, &wake), 7);
    assert_false(wake);
    assert_int_equal(divvy_wire_ring_write(&host, "guest", 5, &wake), 5);
    assert_int_equal(divvy_wire_ring_write(&guest, "to the host", 11, &wake), 11);
    assert_int_equal(divvy_wire_ring_read(&guest, buffer, 3, &wake), 3);
    assert_int_equal(divvy_wire_ring_read(&guest, buffer + 3, sizeof buffer - 3, &wake), 9);
    assert_memory_equal(buffer, "to the guest", 12);
    assert_int_equal(divvy_wire_ring_read(&host, buffer, sizeof buffer, &wake), 11);
    assert_memory_equal(buffer, "to the host", 11);
    assert_int_equal(divvy_wire_ring_write(&host, buffer, 0, &wake), 0);
}

static void a_sleeper_is_woken_once(void **state) {
    char buffer[64];
    bool wake;

    (void)state;
    assert_true(divvy_wire_ring_sleep(&guest));
    assert_int_equal(divvy_wire_ring_write(&host, "a", 1, &wake), 1);
    assert_true(wake);
    assert_int_equal(divvy_wire_ring_write(&host, "b", 1, &wake), 1);
    assert_false(wake);
    assert_false(divvy_wire_ring_sleep(&guest));
    assert_int_equal(divvy_wire_ring_read(&guest, buffer, sizeof buffer, &wake), 2);
}

static void who_waits_for_room_is_woken(void **state) {
    static uint8_t big[MEMORY_BYTES];
    bool wake;

    (void)state;
    assert_false(divvy_wire_ring_wait_room(&host));
    assert_int_equal(divvy_wire_ring_write(&host, big, sizeof big, &wake), CAPACITY_BYTES);
    assert_int_equal(divvy_wire_ring_write(&host, big, 1, &wake), 0);
    assert_true(divvy_wire_ring_wait_room(&host));
    assert_int_equal(divvy_wire_ring_read(&guest, big, 100, &wake), 100);
    assert_false(wake); /* not for so little */
    assert_int_equal(divvy_wire_ring_read(&guest, big, sizeof big, &wake), CAPACITY_BYTES - 100);
    assert_true(wake);
    assert_int_equal(divvy_wire_ring_write(&host, big, sizeof big, &wake), CAPACITY_BYTES);
}

static void a_side_is_taken_over(void **state) {
    struct divvy_wire_ring other;
    char buffer[8];
    bool wake;

    assert_int_equal(divvy_wire_ring_write(&guest, "early", 5, &wake), 5);
    memset(memory, 0, sizeof(struct divvy_wire_ring_header)); /* not looked at */
    assert_int_equal(divvy_wire_ring_take_over(memory, sizeof memory, &other), 0);
    assert_int_equal(divvy_wire_ring_read(&other, buffer, sizeof buffer, &wake), 5);
    assert_memory_equal(buffer, "early", 5);
    assert_int_equal(divvy_wire_ring_take_over(memory, 4096, &other), -EINVAL);
    (void)state;
}

static void random_bytes_against_a_model(void **state) {
    static uint8_t bytes[MEMORY_BYTES];
    unsigned int seed = (unsigned int)time(NULL);
    uint64_t put = 0, got = 0; /* the byte at a position is the position's */

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 100000; round++) {
        size_t size = (size_t)rand() % (rand() % 4 ? 300 : CAPACITY_BYTES + 10);
        ssize_t moved;
        bool wake;

        if (rand() % 2) {
            for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)((put + i) % 251);
            moved = divvy_wire_ring_write(&host, bytes, size, &wake);
            assert_true(moved >= 0 && put - got + (uint64_t)moved <= CAPACITY_BYTES);
            assert_true(moved == (ssize_t)size || put - got + (uint64_t)moved == CAPACITY_BYTES);
            put += (uint64_t)moved;
            continue;
        }
        moved = divvy_wire_ring_read(&guest, bytes, size, &wake);
        assert_int_equal(moved, size < put - got ? size : put - got);
        for (ssize_t i = 0; i < moved; i++)
            assert_int_equal(bytes[i], (got + (uint64_t)i) % 251);
        got += (uint64_t)moved;
    }
}

static void layouts_that_cannot_be_are_refused(void **state) {
    static const struct {
        size_t offset;
        uint64_t value;
        int status;
    } cases[] = {
        {offsetof(struct divvy_wire_ring_header, memory_bytes), 16384, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, capacity_bytes), 0, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, capacity_bytes), UINT64_C(1) << 63, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, offsets), 0, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, offsets) + 8, 4096, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, session), SESSION + 1, -ESTALE},
        {offsetof(struct divvy_wire_ring_header, magic), 0, -EAGAIN},
        {offsetof(struct divvy_wire_ring_header, magic), UINT64_C(0x00010000) << 32 | DIVVY_WIRE_RING_MAGIC, -EPROTO},
        {offsetof(struct divvy_wire_ring_header, magic), UINT64_C(0x00020001) << 32 | DIVVY_WIRE_RING_MAGIC, 0},
    };
    struct divvy_wire_ring ring;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fresh(state);
        memcpy(memory + cases[i].offset, &cases[i].value, 8);
        assert_int_equal(divvy_wire_ring_attach(memory, sizeof memory, SESSION, &ring), cases[i].status);
    }
    assert_int_equal(divvy_wire_ring_create(memory + 8, 8192, SESSION, &ring), -EINVAL);
    assert_int_equal(divvy_wire_ring_create(memory, 8192, SESSION, &ring), -EINVAL);
    assert_int_equal(divvy_wire_ring_create(memory, 12289, SESSION, &ring), -EINVAL);
}

static void a_hostile_side_is_found_out(void **state) {
    struct divvy_wire_ring_shared *shared = (struct divvy_wire_ring_shared *)memory;
    static uint8_t big[MEMORY_BYTES];
    struct iovec pieces[2];
    bool wake;

    shared->lines[1].written = CAPACITY_BYTES + 1; /* more than fits */
    assert_int_equal(divvy_wire_ring_read(&host, big, sizeof big, &wake), -EPROTO);
    assert_int_equal(divvy_wire_ring_write(&host, big, 8, &wake), -EPROTO); /* once broken, broken */
    assert_false(divvy_wire_ring_sleep(&host));
    assert_false(divvy_wire_ring_wait_room(&host));
    fresh(state);
    shared->lines[1].written = 100;
    assert_int_equal(divvy_wire_ring_there(&host, pieces), 100);
    shared->lines[1].written = 50; /* takes back what was seen */
    assert_int_equal(divvy_wire_ring_there(&host, pieces), -EPROTO);
    fresh(state);
    assert_int_equal(divvy_wire_ring_write(&host, big, 64, &wake), 64);
    shared->lines[0].read = 65; /* has read what was never written */
    assert_int_equal(divvy_wire_ring_room(&host, pieces), -EPROTO);
    fresh(state);
    assert_int_equal(divvy_wire_ring_write(&host, big, 64, &wake), 64);
    shared->lines[0].read = 32;
    assert_int_equal(divvy_wire_ring_room(&host, pieces), CAPACITY_BYTES - 32);
    shared->lines[0].read = 16; /* goes back */
    assert_int_equal(divvy_wire_ring_room(&host, pieces), -EPROTO);
    /* What a side relies on is not in shared memory: a rubbed out header and own words that changed do nothing. */
    fresh(state);
    memset(&shared->header, 0xFF, sizeof shared->header);
    shared->lines[0].written = 1 << 20;
    shared->lines[1].read = 1 << 20;
    assert_int_equal(divvy_wire_ring_write(&host, "still", 5, &wake), 5);
    assert_int_equal(divvy_wire_ring_read(&guest, big, sizeof big, &wake), 5);
}

/* --- two processes ----------------------------------------------------------------------------------------- */

#define SHARED_BYTES 65536u
#define TRIPS        600u
#define TRIP_BYTES   100000u

static int echo(uint8_t *shared, int stream) {
    static uint8_t buffer[SHARED_BYTES];
    struct divvy_wire_ring_pipe pipe = {.stream_fd = stream, .is_socket = true, .timeout_ms = 60000};
    ssize_t got;

    if (divvy_wire_ring_attach(shared, SHARED_BYTES, SESSION, &pipe.ring) < 0)
        return 1;
    divvy_wire_ring_pipe_init(&pipe);
    while ((got = divvy_wire_ring_pipe_read(&pipe, buffer, sizeof buffer)) > 0)
        if (divvy_wire_ring_pipe_write(&pipe, buffer, (size_t)got) < 0)
            return 2;
    return got == -ECONNRESET ? 0 : 3;
}

static size_t trip_bytes(uint32_t trip) {
    uint32_t mixed = trip * UINT32_C(2654435761);

    return mixed % 7 == 0 ? 1 + mixed % 20000 : 1 + mixed % 64; /* mostly small */
}

/* A lost wake-up would show as a time-out. */
static void two_processes_talk(void **state) {
    static uint8_t sent[TRIP_BYTES], got[TRIP_BYTES];
    uint8_t *shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct divvy_wire_ring_pipe pipe = {.is_socket = true, .timeout_ms = 60000};
    int pair[2], exit_status;
    pid_t pid;

    (void)state;
    assert_true(shared != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(divvy_wire_ring_create(shared, SHARED_BYTES, SESSION, &pipe.ring), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pair[0]);
        _exit(echo(shared, pair[1]));
    }
    close(pair[1]);
    pipe.stream_fd = pair[0];
    divvy_wire_ring_pipe_init(&pipe);
    for (uint32_t i = 0; i < TRIPS; i++) {
        size_t length = trip_bytes(i), there = 0;

        memset(sent, (int)(i & 0xFF), length);
        if (i % 100 == 0)
            usleep(20000); /* the other side has gone to sleep */
        assert_int_equal(divvy_wire_ring_pipe_write(&pipe, sent, length), 0);
        while (there < length) {
            ssize_t more = divvy_wire_ring_pipe_read(&pipe, got + there, length - there);

            assert_true(more > 0);
            there += (size_t)more;
        }
        assert_true(memcmp(sent, got, length) == 0);
    }
    close(pair[0]);
    assert_int_equal(waitpid(pid, &exit_status, 0), pid);
    assert_int_equal(exit_status, 0);
    munmap(shared, SHARED_BYTES);
}

/* Bytes that were put in before the end are still taken; a silent side is given up. */
static void ends_and_silence(void **state) {
    struct divvy_wire_ring_pipe pipe = {.ring = guest, .is_socket = true, .timeout_ms = 50};
    char buffer[8];
    int pair[2];
    bool wake;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pipe.stream_fd = pair[0];
    divvy_wire_ring_pipe_init(&pipe);
    assert_int_equal(divvy_wire_ring_pipe_read(&pipe, buffer, sizeof buffer), -ETIMEDOUT);
    assert_int_equal(divvy_wire_ring_write(&host, "last", 4, &wake), 4);
    close(pair[1]);
    assert_int_equal(divvy_wire_ring_pipe_read(&pipe, buffer, sizeof buffer), 4);
    assert_int_equal(divvy_wire_ring_pipe_read(&pipe, buffer, sizeof buffer), -ECONNRESET);
    close(pair[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(both_directions_keep_order, fresh),
        cmocka_unit_test_setup(a_sleeper_is_woken_once, fresh),
        cmocka_unit_test_setup(who_waits_for_room_is_woken, fresh),
        cmocka_unit_test_setup(a_side_is_taken_over, fresh),
        cmocka_unit_test_setup(random_bytes_against_a_model, fresh),
        cmocka_unit_test(layouts_that_cannot_be_are_refused),
        cmocka_unit_test_setup(a_hostile_side_is_found_out, fresh),
        cmocka_unit_test(two_processes_talk),
        cmocka_unit_test_setup(ends_and_silence, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
