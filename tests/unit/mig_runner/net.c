/* Sockets for tests: see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

static struct sockaddr_in address_of(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void patience_set(int fd) {
    struct timeval limit = {.tv_sec = 20};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
}

int net_listen(uint16_t *ret_port) {
    struct sockaddr_in address = address_of(0);
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 512), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int net_connect(uint16_t port) {
    struct sockaddr_in address = address_of(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    patience_set(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

int net_accept(int listen_fd, int timeout_ms) {
    struct pollfd wait = {.fd = listen_fd, .events = POLLIN};
    int fd;

    if (poll(&wait, 1, timeout_ms) <= 0)
        return -1;
    fd = accept(listen_fd, NULL, NULL);
    assert_true(fd >= 0);
    patience_set(fd);
    return fd;
}

void net_send(int fd, const void *bytes, size_t length) {
    const char *at = bytes;

    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);

        if (sent <= 0)
            fail_msg("send: %s", strerror(errno));
        at += sent;
        length -= (size_t)sent;
    }
}

void net_say(int fd, const char *text) {
    net_send(fd, text, strlen(text));
}

void net_take(int fd, void *bytes, size_t length) {
    char *at = bytes;

    while (length > 0) {
        ssize_t got = recv(fd, at, length, 0);

        if (got <= 0)
            fail_msg("recv: %s, %zu bytes missing", got < 0 ? strerror(errno) : "end", length);
        at += got;
        length -= (size_t)got;
    }
}

void net_expect(int fd, const char *text) {
    char got[4096];

    assert_true(strlen(text) < sizeof got);
    net_take(fd, got, strlen(text));
    got[strlen(text)] = '\0';
    assert_string_equal(got, text);
}

void net_head(int fd, char *ret_head, size_t size) {
    size_t length = 0;

    do {
        assert_true(length + 1 < size);
        net_take(fd, ret_head + length, 1);
        ret_head[++length] = '\0';
    } while (length < 4 || strcmp(ret_head + length - 4, "\r\n\r\n") != 0);
}

bool net_rest(int fd, char *ret_text, size_t size) {
    size_t length = 0;
    ssize_t got;

    while ((got = recv(fd, ret_text + length, size - 1 - length, 0)) > 0)
        length += (size_t)got;
    ret_text[length] = '\0';
    if (got < 0 && errno == EAGAIN)
        fail_msg("nothing came, and no end either");
    return got == 0;
}
