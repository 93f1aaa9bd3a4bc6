/*
 * Turns of clients that wait for each answer before they ask for more, by weight: relay, worker and clients in one thread, so that a busy machine
 * stops all of them alike.
 */
#include "remote/relay/relay.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define VMS     2u
#define WORK_NS (2 * DIVVY_NS_PER_MS) /* of each request */
#define USED_NS (3 * DIVVY_NS_PER_SECOND) /* so long it takes until what a busy machine does is evened out */

static struct divvy_relay relay; /* large */

static int socket_at(const char *path, bool listens) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (listens) {
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(fd, 8), 0);
    } else {
        assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    }
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void frame_send(int fd, uint16_t op, uint16_t flags) {
    const struct {
        struct divvy_wire_header header;
        uint64_t words[9];
    } frame = {.header = {.magic = DIVVY_WIRE_MAGIC, .op = op, .flags = flags, .length = op == DIVVY_WIRE_OP_LAUNCH ? 72 : 0}};

    assert_int_equal(send(fd, &frame, sizeof frame.header + frame.header.length, MSG_NOSIGNAL),
                     sizeof frame.header + frame.header.length);
}

/* One frame of those that are there; 0: none, else its operation. */
static uint16_t frame_take(int fd) {
    struct divvy_wire_header header;
    char rest[128];
    ssize_t got = recv(fd, &header, sizeof header, MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return 0;
    assert_int_equal(got, sizeof header);
    assert_true(header.length <= sizeof rest);
    if (header.length > 0)
        assert_int_equal(recv(fd, rest, header.length, MSG_WAITALL), header.length);
    return header.op;
}

static void relay_turn(void) {
    if (divvy_core_clock_ns() >= relay.next_ns)
        divvy_relay_tick(&relay);
    divvy_loop_turn(&relay.loop, 0);
}

/* A worker that does one thing at a time, whoever asked. */
struct worker {
    int listener, fds[VMS];
    size_t count, at; /* at: whose work is done */
    uint64_t done_ns; /* when; 0: none is */
    uint16_t ops[VMS]; /* to be answered then */
};

static void worker_turn(struct worker *worker) {
    int fd = worker->count < VMS ? accept(worker->listener, NULL, NULL) : -1;

    if (fd >= 0)
        worker->fds[worker->count++] = fd;
    for (size_t i = 0; i < worker->count; i++) {
        uint16_t op;

        if (worker->done_ns > 0 && worker->at == i && divvy_core_clock_ns() < worker->done_ns)
            continue;
        op = frame_take(worker->fds[i]);
        if (op == DIVVY_WIRE_OP_LAUNCH) {
            worker->at = i;
            worker->done_ns = divvy_core_clock_ns() + WORK_NS;
        } else if (op != 0) {
            frame_send(worker->fds[i], op, DIVVY_WIRE_ANSWER);
        }
    }
}

static uint64_t used_ns(uint32_t vm) {
    struct divvy_node_vmq_stats stats;

    assert_int_equal(divvy_node_vmq_stats(relay.vmq, vm, &stats), 0);
    return stats.used_ns;
}

static void begin(char *folder, struct worker *worker, int clients[VMS]) {
    struct divvy_relay_settings settings;
    struct divvy_relay_vm_config config = {.params = {.priority = 1}};
    struct divvy_error error = {0};
    char path[96];

    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/worker", folder);
    *worker = (struct worker){.listener = socket_at(path, true)};
    divvy_relay_settings_default(&settings);
    assert_int_equal(divvy_relay_init(&relay, &settings, &error), 0);
    assert_int_equal(divvy_relay_worker_add(&relay, path, "AB", &error), 0);
    for (uint32_t i = 0; i < VMS; i++) {
        config.vm_id = i + 1;
        config.params.weight = i == 0 ? 80 : 20;
        (void)snprintf(config.name, sizeof config.name, "vm%u", i);
        (void)snprintf(config.socket, sizeof config.socket, "%s/vm%u", folder, i);
        assert_int_equal(divvy_relay_vm_add(&relay, &config, NULL, &error), 0);
        clients[i] = socket_at(config.socket, false);
    }
}

static void end(const char *folder, const struct worker *worker, const int clients[VMS]) {
    char path[96];

    for (uint32_t i = 0; i < VMS; i++)
        (void)close(clients[i]);
    for (size_t i = 0; i < worker->count; i++)
        (void)close(worker->fds[i]);
    (void)close(worker->listener);
    divvy_relay_done(&relay);
    (void)snprintf(path, sizeof path, "%s/worker", folder);
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void who_waits_for_each_answer_has_its_weight(void **state) {
    char folder[] = "/tmp/divvy-turns-XXXXXX";
    uint64_t first[VMS] = {0};
    struct worker worker;
    uint32_t turns = 0;
    int clients[VMS];
    double ratio;

    (void)state;
    begin(folder, &worker, clients);
    for (uint32_t i = 0; i < VMS; i++) {
        frame_send(clients[i], DIVVY_WIRE_OP_LAUNCH, 0);
        frame_send(clients[i], DIVVY_WIRE_OP_CONTEXT_SYNC, 0);
    }
    while (turns < 20 || used_ns(0) + used_ns(1) < first[0] + first[1] + USED_NS) {
        relay_turn();
        worker_turn(&worker);
        relay_turn();
        for (uint32_t i = 0; i < VMS; i++) {
            uint16_t op = frame_take(clients[i]);

            if (op == 0)
                continue;
            assert_int_equal(op, DIVVY_WIRE_OP_CONTEXT_SYNC); /* what the relay asks for itself is not seen */
            frame_send(clients[i], DIVVY_WIRE_OP_LAUNCH, 0);
            frame_send(clients[i], DIVVY_WIRE_OP_CONTEXT_SYNC, 0);
            turns++;
            if (turns == 20)
                first[0] = used_ns(0), first[1] = used_ns(1);
        }
    }
    ratio = (double)(used_ns(0) - first[0]) / (double)(used_ns(1) - first[1]);
    print_message("time by weights 80:20: %.2f\n", ratio);
    assert_true(ratio > 3 && ratio < 5.3); /* 1 where turns just alternate */
    end(folder, &worker, clients);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_waits_for_each_answer_has_its_weight)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
