/* The stub's end of the relay's socket: frames in pieces, relays that break the protocol, relays that come and go. */
#include <errno.h>
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

#include "stub/link.h"

static char path[64];
static int listen_fd = -1, relay_fd = -1;
static struct divvy_stub_link stub;

static void relay_listen(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)unlink(path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(listen_fd >= 0);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listen_fd, 1), 0);
}

static int start(void **state) {
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/divvy-link-%d.sock", (int)getpid());
    relay_listen();
    assert_int_equal(divvy_stub_link_init(&stub, path, NULL), 0);
    assert_int_equal(divvy_stub_link_connect(&stub), 0);
    relay_fd = accept(listen_fd, NULL, NULL);
    assert_true(relay_fd >= 0);
    return 0;
}

static int stop(void **state) {
    (void)state;
    divvy_stub_link_close(&stub);
    close(relay_fd);
    close(listen_fd);
    (void)unlink(path);
    return 0;
}

static void frames_come_in_pieces(void **state) {
    const struct divvy_wire_vgpu_header header = {.kind = DIVVY_WIRE_VGPU_RESPONSE, .request_id = 3, .payload_bytes = 40};
    uint8_t bytes[2 * 64];
    struct divvy_stub_frame frame;

    (void)state;
    for (int i = 0; i < 2; i++) {
        divvy_wire_vgpu_header_write(&header, bytes + 64 * i);
        memset(bytes + 64 * i + 24, 'a' + i, 40);
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        int status;

        assert_int_equal(write(relay_fd, bytes + i, 1), 1);
        status = divvy_stub_link_receive(&stub, &frame);
        assert_int_equal(status, i % 64 == 63);
        if (status == 1) {
            assert_int_equal(frame.header.request_id, 3);
            assert_int_equal(frame.payload[39], 'a' + (int)(i / 64));
        }
    }
    assert_int_equal(divvy_stub_link_receive(&stub, &frame), 0);
}

static void a_wrong_frame_closes(void **state) {
    struct divvy_stub_frame frame;
    uint8_t bytes[24] = {0};

    (void)state;
    assert_int_equal(write(relay_fd, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(divvy_stub_link_receive(&stub, &frame), -EPROTO);
    assert_int_equal(stub.fd, -1);
    assert_int_equal(divvy_stub_link_receive(&stub, &frame), 0);
    assert_int_equal(divvy_stub_link_send(&stub, &(struct divvy_wire_vgpu_header){0}, NULL), -ENOTCONN);
}

static void a_relay_that_goes_comes_back(void **state) {
    struct divvy_stub_frame frame;

    (void)state;
    close(relay_fd);
    close(listen_fd);
    assert_int_equal(divvy_stub_link_receive(&stub, &frame), -ECONNRESET);
    assert_int_equal(divvy_stub_link_connect(&stub), -ECONNREFUSED);
    (void)unlink(path);
    assert_int_equal(divvy_stub_link_connect(&stub), -ENOENT);
    relay_listen();
    assert_int_equal(divvy_stub_link_connect(&stub), 0);
    relay_fd = accept(listen_fd, NULL, NULL);
    assert_int_equal(divvy_stub_link_receive(&stub, &frame), 0);
}

/* A relay that reads nothing: what the socket does not take is kept, up to a bound, and no call blocks. */
static void a_relay_that_does_not_read_is_left(void **state) {
    const struct divvy_wire_vgpu_header header = {.kind = DIVVY_WIRE_VGPU_REQUEST, .payload_bytes = 1024};
    static const uint8_t payload[1024];
    int status = 0, sent = 0;

    (void)state;
    while ((status = divvy_stub_link_send(&stub, &header, payload)) == 0 && sent < 100000)
        sent++;
    assert_int_equal(status, -ENOBUFS);
    assert_int_equal(stub.fd, -1);
}

static void long_paths_are_refused(void **state) {
    char longest[200];
    struct divvy_stub_link other;
    struct divvy_error error = {0};

    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[108] = '\0';
    assert_int_equal(divvy_stub_link_init(&other, longest, &error), -ENAMETOOLONG);
    longest[107] = '\0';
    assert_int_equal(divvy_stub_link_init(&other, longest, &error), 0);
    assert_int_equal(divvy_stub_link_init(&other, "", &error), -ENAMETOOLONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_come_in_pieces, start, stop),
        cmocka_unit_test_setup_teardown(a_wrong_frame_closes, start, stop),
        cmocka_unit_test_setup_teardown(a_relay_that_goes_comes_back, start, stop),
        cmocka_unit_test_setup_teardown(a_relay_that_does_not_read_is_left, start, stop),
        cmocka_unit_test(long_paths_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
