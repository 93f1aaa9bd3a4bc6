/* Asking a relay: see ask.h. */
#include "remote/relay/ask.h"

#include "base/cleanup.h"
#include "remote/relay/admin.h"
#include "wire/vgpu/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define ANSWER_S 10

static int relay_connect(const char *path, struct divvy_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval timeout = {.tv_sec = ANSWER_S};
    cleanup_close int fd = -1;

    if (strlen(path) >= sizeof address.sun_path)
        return divvy_error_set(error, -EINVAL, "'%.60s...' is too long for a unix socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return divvy_error_set_errno(error, errno == ENOENT || errno == ECONNREFUSED ? -ENOTCONN : -errno,
                                     "no relay answers at %.120s", path);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    return divvy_cleanup_keep(&fd);
}

static int read_all(int fd, void *bytes, size_t length, struct divvy_error *error) {
    for (size_t got = 0; got < length;) {
        ssize_t count = recv(fd, (char *)bytes + got, length - got, 0);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return divvy_error_set(error, count == 0 ? -EPROTO : -ETIMEDOUT, "the relay did not answer in full");
        got += (size_t)count;
    }
    return 0;
}

/* The text behind the head of a reply: malloc'd, a string. */
static int text_read(int fd, uint32_t length, char **ret_text, struct divvy_error *error) {
    char *text = calloc(1, (size_t)length + 1);

    if (!text)
        return divvy_error_set(error, -ENOMEM, "no memory for the answer");
    if (read_all(fd, text, length, error) < 0) {
        free(text);
        return error->status;
    }
    *ret_text = text;
    return 0;
}

int divvy_relay_ask(const char *admin, uint32_t command, uint32_t parameter, char **ret_text, struct divvy_error *error) {
    cleanup_close int fd = relay_connect(admin, error);
    uint8_t request[DIVVY_RELAY_ADMIN_REQUEST_BYTES] = {0}, reply[DIVVY_RELAY_ADMIN_REPLY_BYTES];
    char *text = NULL;
    uint32_t length;

    if (fd < 0)
        return error->status;
    divvy_wire_u32_put(request, DIVVY_RELAY_ADMIN_MAGIC);
    divvy_wire_u32_put(request + 4, command);
    divvy_wire_u32_put(request + 8, parameter);
    if (send(fd, request, sizeof request, MSG_NOSIGNAL) != (ssize_t)sizeof request)
        return divvy_error_set_errno(error, -errno, "the relay takes no request");
    if (read_all(fd, reply, sizeof reply, error) < 0)
        return error->status;
    length = divvy_wire_u32_get(reply + 8);
    if (divvy_wire_u32_get(reply) != DIVVY_RELAY_ADMIN_MAGIC || length > DIVVY_RELAY_ADMIN_TEXT_BYTES)
        return divvy_error_set(error, -EPROTO, "what answers at %.100s is no relay", admin);
    if (text_read(fd, length, &text, error) < 0)
        return error->status;
    if (divvy_wire_u32_get(reply + 4) != 0) {
        int status = -(int)(divvy_wire_u32_get(reply + 4) & 0xFFF);

        if (text[0])
            (void)divvy_error_set(error, status, "the relay: %.200s", text);
        else
            (void)divvy_error_set_errno(error, status, "the relay refused");
        free(text);
        return error->status;
    }
    *ret_text = text;
    return 0;
}
