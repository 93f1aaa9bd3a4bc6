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

#include "wire/ring/ring.h"

#define MEMORY_BYTES 8192u

static _Alignas(64) uint8_t memory[MEMORY_BYTES];
static struct divvy_wire_ring host, guest;

static int fresh(void **state) {
    (void)state;
    memset(memory, 0xEE, sizeof memory);
    assert_int_equal(divvy_wire_ring_create(memory, sizeof memory, &host), 0);
    assert_int_equal(divvy_wire_ring_attach(memory, sizeof memory, DIVVY_WIRE_RING_GUEST, &guest), 0);
    return 0;
}

static void both_directions_keep_order(void **state) {
    char buffer[64];
    uint32_t tag, size;
    bool wake;

    (void)state;
    assert_int_equal(divvy_wire_ring_send(&host, 1, "to the guest", 12, &wake), 0);
    assert_false(wake);
    assert_int_equal(divvy_wire_ring_send(&host, 2, NULL, 0, &wake), 0);
    assert_int_equal(divvy_wire_ring_send(&guest, 3, "to the host", 11, &wake), 0);
    assert_int_equal(divvy_wire_ring_receive(&guest, buffer, 5, &tag, &size), -EMSGSIZE);
    assert_int_equal(size, 12);
    assert_int_equal(divvy_wire_ring_receive(&guest, buffer, sizeof buffer, &tag, &size), 0);
    assert_int_equal(tag, 1);
    assert_memory_equal(buffer, "to the guest", 12);
    assert_int_equal(divvy_wire_ring_receive(&guest, buffer, 0, &tag, &size), 0);
    assert_int_equal(tag, 2);
    assert_int_equal(size, 0);
    assert_int_equal(divvy_wire_ring_receive(&guest, buffer, sizeof buffer, &tag, &size), -EAGAIN);
    assert_int_equal(divvy_wire_ring_receive(&host, buffer, sizeof buffer, &tag, &size), 0);
    assert_memory_equal(buffer, "to the host", 11);
}

static void a_sleeper_is_woken_once(void **state) {
    char buffer[64];
    uint32_t tag, size;
    bool wake;

    (void)state;
    assert_true(divvy_wire_ring_sleep(&guest));
    assert_int_equal(divvy_wire_ring_send(&host, 1, "a", 1, &wake), 0);
    assert_true(wake);
    assert_int_equal(divvy_wire_ring_send(&host, 1, "b", 1, &wake), 0);
    assert_false(wake);
    assert_false(divvy_wire_ring_sleep(&guest));
    assert_int_equal(divvy_wire_ring_receive(&guest, buffer, sizeof buffer, &tag, &size), 0);
}

static void a_full_ring_says_so(void **state) {
    static uint8_t big[MEMORY_BYTES];
    uint32_t tag, size, largest = (uint32_t)divvy_wire_ring_message_bytes(&host);
    int sent = 0;
    bool wake;

    (void)state;
    assert_int_equal(divvy_wire_ring_send(&host, 0, big, largest + 1, &wake), -EMSGSIZE);
    assert_int_equal(divvy_wire_ring_send(&host, 0, big, UINT32_MAX, &wake), -EMSGSIZE);
    while (divvy_wire_ring_send(&host, 0, big, largest, &wake) == 0)
        sent++;
    assert_int_equal(sent, 4);
    assert_int_equal(divvy_wire_ring_send(&host, 0, NULL, 0, &wake), -EAGAIN);
    assert_int_equal(divvy_wire_ring_receive(&guest, big, sizeof big, &tag, &size), 0);
    assert_int_equal(divvy_wire_ring_send(&host, 0, big, largest, &wake), 0);
}

static void random_messages_against_a_model(void **state) {
    static struct {
        uint32_t tag, size, first;
    } model[4096];
    static uint8_t bytes[MEMORY_BYTES];
    unsigned int seed = (unsigned int)time(NULL), head = 0, tail = 0;

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 200000; round++) {
        uint32_t tag = (uint32_t)rand(), size = (uint32_t)rand() % (uint32_t)(divvy_wire_ring_message_bytes(&host) + 1), first;
        bool wake;

        if (rand() % 2) {
            memset(bytes, (int)(tag & 0xFF), size);
            if (divvy_wire_ring_send(&host, tag, bytes, size, &wake) == 0) {
                model[head % 4096].tag = tag;
                model[head++ % 4096].size = size;
            } else {
                assert_true(head != tail);
            }
        } else if (divvy_wire_ring_receive(&guest, bytes, sizeof bytes, &tag, &size) == 0) {
            assert_true(tail != head);
            assert_int_equal(tag, model[tail % 4096].tag);
            assert_int_equal(size, model[tail++ % 4096].size);
            first = size ? bytes[0] : tag & 0xFF;
            assert_int_equal(first, tag & 0xFF);
            assert_true(size == 0 || bytes[size - 1] == (tag & 0xFF));
        } else {
            assert_true(tail == head);
        }
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
        {offsetof(struct divvy_wire_ring_header, capacity_bytes), 3000, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, capacity_bytes), UINT64_C(1) << 63, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, offsets), 0, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, offsets), 8192, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, offsets), UINT64_MAX - 63, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, offsets) + 8, 320, -EINVAL},
        {offsetof(struct divvy_wire_ring_header, magic), 0, -EAGAIN},
        {offsetof(struct divvy_wire_ring_header, magic), UINT64_C(0x00020000) << 32 | DIVVY_WIRE_RING_MAGIC, -EPROTO},
        {offsetof(struct divvy_wire_ring_shared, lines) + 128, UINT64_C(1) << 40, -EINVAL}, /* the guest's own position */
        {offsetof(struct divvy_wire_ring_shared, lines) + 128, 4, -EINVAL},
    };
    struct divvy_wire_ring ring;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fresh(state);
        memcpy(memory + cases[i].offset, &cases[i].value, 8);
        assert_int_equal(divvy_wire_ring_attach(memory, sizeof memory, DIVVY_WIRE_RING_GUEST, &ring), cases[i].status);
    }
    assert_int_equal(divvy_wire_ring_create(memory + 8, 8192 - 64, &ring), -EINVAL);
    assert_int_equal(divvy_wire_ring_create(memory, 4096, &ring), -EINVAL);
}

static void a_hostile_side_is_found_out(void **state) {
    struct divvy_wire_ring_shared *shared = (struct divvy_wire_ring_shared *)memory;
    static uint8_t big[MEMORY_BYTES];
    uint32_t tag, size, largest = (uint32_t)divvy_wire_ring_message_bytes(&host);
    bool wake;

    shared->lines[1].written = host.capacity_bytes + 8; /* more than fits */
    assert_int_equal(divvy_wire_ring_receive(&host, big, sizeof big, &tag, &size), -EPROTO);
    fresh(state);
    shared->lines[1].written = 4; /* half a record */
    assert_int_equal(divvy_wire_ring_receive(&host, big, sizeof big, &tag, &size), -EPROTO);
    fresh(state);
    assert_int_equal(divvy_wire_ring_send(&guest, 1, big, 8, &wake), 0);
    memset(guest.out, 0xFF, 4); /* a length beyond what was written */
    assert_int_equal(divvy_wire_ring_receive(&host, big, sizeof big, &tag, &size), -EPROTO);
    assert_int_equal(divvy_wire_ring_send(&host, 1, big, 8, &wake), -EPROTO);
    assert_false(divvy_wire_ring_sleep(&host));
    fresh(state);
    while (divvy_wire_ring_send(&host, 0, big, largest, &wake) == 0)
        continue;
    shared->lines[0].read = host.written + 8; /* has read what was never written */
    assert_int_equal(divvy_wire_ring_send(&host, 0, big, 8, &wake), -EPROTO);
    /* What a side relies on is not in shared memory: a rubbed out header changes nothing. */
    fresh(state);
    memset(&shared->header, 0xFF, sizeof shared->header);
    assert_int_equal(divvy_wire_ring_send(&guest, 7, "still", 5, &wake), 0);
    assert_int_equal(divvy_wire_ring_receive(&host, big, sizeof big, &tag, &size), 0);
    assert_int_equal(tag, 7);
}

/* --- two processes ----------------------------------------------------------------------------------------- */

#define SHARED_BYTES 65536u
#define MESSAGES     20000

/* Receives, sleeping on the stream when there is nothing; a lost wake-up would show as a test that times out. */
static int receive_waiting(struct divvy_wire_ring *ring, int stream, void *buffer, uint32_t bytes, uint32_t *ret_tag, uint32_t *ret_size) {
    int status;

    while ((status = divvy_wire_ring_receive(ring, buffer, bytes, ret_tag, ret_size)) == -EAGAIN) {
        struct pollfd words = {.fd = stream, .events = POLLIN};
        char byte;

        if (divvy_wire_ring_sleep(ring) && (poll(&words, 1, 20000) != 1 || read(stream, &byte, 1) != 1))
            return -ETIMEDOUT;
    }
    return status;
}

static int echo(uint8_t *shared, int stream) {
    static uint8_t buffer[SHARED_BYTES];
    struct divvy_wire_ring ring;
    uint32_t tag, size;
    bool wake;

    if (divvy_wire_ring_attach(shared, SHARED_BYTES, DIVVY_WIRE_RING_GUEST, &ring) < 0)
        return 1;
    for (int i = 0; i < MESSAGES; i++) {
        if (receive_waiting(&ring, stream, buffer, sizeof buffer, &tag, &size) < 0)
            return 2;
        if (divvy_wire_ring_send(&ring, tag + 1, buffer, size, &wake) < 0)
            return 3;
        if (wake && write(stream, "", 1) != 1)
            return 4;
    }
    return 0;
}

static void two_processes_talk(void **state) {
    static uint8_t sent[SHARED_BYTES], got[SHARED_BYTES];
    uint8_t *shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct divvy_wire_ring ring;
    uint32_t tag, size;
    int pair[2], exit_status;
    bool wake;
    pid_t pid;

    (void)state;
    assert_true(shared != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(divvy_wire_ring_create(shared, SHARED_BYTES, &ring), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(echo(shared, pair[1]));
    close(pair[1]);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        uint32_t length = (i * 2654435761u) % (uint32_t)(divvy_wire_ring_message_bytes(&ring) + 1);

        memset(sent, (int)(i & 0xFF), length);
        assert_int_equal(divvy_wire_ring_send(&ring, i, sent, length, &wake), 0);
        if (wake)
            assert_int_equal(write(pair[0], "", 1), 1);
        assert_int_equal(receive_waiting(&ring, pair[0], got, sizeof got, &tag, &size), 0);
        assert_int_equal(tag, i + 1);
        assert_int_equal(size, length);
        assert_true(memcmp(sent, got, length) == 0);
    }
    assert_int_equal(waitpid(pid, &exit_status, 0), pid);
    assert_int_equal(exit_status, 0);
    close(pair[0]);
    munmap(shared, SHARED_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(both_directions_keep_order, fresh),
        cmocka_unit_test_setup(a_sleeper_is_woken_once, fresh),
        cmocka_unit_test_setup(a_full_ring_says_so, fresh),
        cmocka_unit_test_setup(random_messages_against_a_model, fresh),
        cmocka_unit_test(layouts_that_cannot_be_are_refused),
        cmocka_unit_test_setup(a_hostile_side_is_found_out, fresh),
        cmocka_unit_test(two_processes_talk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
