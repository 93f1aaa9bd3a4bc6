/*
 * A model's HTTP port, as thin as can be: subject_model PORT answers every request on 127.0.0.1 with 200 and two hundred bytes.
 * Requests have no body. One thread.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, ANSWER_BODY = 200 };

static char answer[512];
static size_t answer_length;

/* How many heads end in these bytes; clients send whole requests. */
static int requests_count(const char *bytes, size_t length) {
    int count = 0;

    for (size_t i = 3; i < length; i++)
        count += memcmp(bytes + i - 3, "\r\n\r\n", 4) == 0;
    return count;
}

static void serve(int fd) {
    char bytes[8192];
    ssize_t length = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (length <= 0) {
        (void)close(fd);
        return;
    }
    for (int left = requests_count(bytes, (size_t)length); left > 0; left--)
        (void)!send(fd, answer, answer_length, MSG_NOSIGNAL);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};

    if (argc != 2)
        return 2;
    address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    event.data.fd = listener;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 512) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("subject_model");
        return 1;
    }
    answer_length = (size_t)snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", ANSWER_BODY);
    memset(answer + answer_length, 'x', ANSWER_BODY);
    answer_length += ANSWER_BODY;
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            event.data.fd = accept(listener, NULL, NULL);
            (void)setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            (void)epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
        }
    }
}
