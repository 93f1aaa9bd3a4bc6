/* The smallest HTTP client that can also be rude. */
#include "client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int client_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror(path);
        abort();
    }
    return fd;
}

int client_tcp(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        abort();
    }
    return fd;
}

int client_send(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

        if (sent <= 0)
            return -1;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct client_answer client_read(int fd, int milliseconds) {
    struct client_answer answer = {0};
    int64_t until = now_ms() + milliseconds;
    size_t room = 0;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = until - now_ms();
        ssize_t got;

        if (answer.length + 4096 > room)
            answer.text = realloc(answer.text, room = room * 2 + 8192);
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
            break;
        got = recv(fd, answer.text + answer.length, room - answer.length - 1, 0);
        if (got <= 0)
            break;
        answer.length += (size_t)got;
    }
    close(fd);
    answer.text[answer.length] = '\0';
    if (strncmp(answer.text, "HTTP/1.1 100", 12) == 0 && strstr(answer.text, "\r\n\r\n")) {
        char *rest = strstr(answer.text, "\r\n\r\n") + 4;

        memmove(answer.text, rest, strlen(rest) + 1);
    }
    if (strncmp(answer.text, "HTTP/1.1 ", 9) == 0)
        answer.status = atoi(answer.text + 9);
    answer.body = strstr(answer.text, "\r\n\r\n");
    answer.body = answer.body ? answer.body + 4 : "";
    answer.json = json_loads(answer.body, JSON_REJECT_DUPLICATES, NULL);
    return answer;
}

struct client_answer client_ask_fd(int fd, const char *method, const char *url, const char *headers, const char *body) {
    char head[16384];
    int length = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", method, url,
                          headers ? headers : "");

    if (body)
        length += snprintf(head + length, sizeof head - (size_t)length, "Content-Length: %zu\r\n", strlen(body));
    length += snprintf(head + length, sizeof head - (size_t)length, "\r\n");
    (void)client_send(fd, head, (size_t)length);
    if (body)
        (void)client_send(fd, body, strlen(body));
    return client_read(fd, 20000);
}

struct client_answer client_ask(const char *path, const char *method, const char *url, const char *headers, const char *body) {
    return client_ask_fd(client_unix(path), method, url, headers, body);
}

void client_answer_free(struct client_answer *answer) {
    json_decref(answer->json);
    free(answer->text);
    memset(answer, 0, sizeof *answer);
}

int client_header(const struct client_answer *answer, const char *name, char *value, size_t size) {
    size_t length = strlen(name);

    for (const char *line = strstr(answer->text, "\r\n"); line && line + 2 < answer->body; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
            const char *from = line + 3 + length + strspn(line + 3 + length, " ");

            return snprintf(value, size, "%.*s", (int)strcspn(from, "\r"), from);
        }
    return -1;
}
