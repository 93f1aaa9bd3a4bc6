/* The smallest HTTP client that can also be rude: bytes out, bytes in. */
#ifndef DIVVY_TESTS_DAEMON_HTTP_CLIENT_H
#define DIVVY_TESTS_DAEMON_HTTP_CLIENT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct client_answer {
    int status; /* 0: the connection ended without an answer */
    char *text; /* all that came, NUL-terminated */
    size_t length;
    const char *body; /* in text */
    json_t *json;     /* of the body, or NULL */
};

int client_unix(const char *path);
int client_tcp(uint16_t port);
/* Sends bytes, as many as are taken; 0 or -1. */
int client_send(int fd, const char *bytes, size_t length);
/* One request on a new connection to the unix socket; body may be NULL, headers too (each line ends in CRLF). */
struct client_answer client_ask(const char *path, const char *method, const char *url, const char *headers, const char *body);
struct client_answer client_ask_fd(int fd, const char *method, const char *url, const char *headers, const char *body);
/* What comes until the end, or until milliseconds have passed; fd is closed. */
struct client_answer client_read(int fd, int milliseconds);
void client_answer_free(struct client_answer *answer);
/* A header's value, cut out into `value`; its length or -1. */
int client_header(const struct client_answer *answer, const char *name, char *value, size_t size);

#endif
