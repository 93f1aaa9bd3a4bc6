/* An HTTP daemon around a channel server: see channel_host.h. */
#include "channel_host.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_MAX 65536

struct body {
    size_t length;
    char bytes[BODY_MAX];
};

static enum MHD_Result answer(struct MHD_Connection *connection, int status, const char *text) {
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);

    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result events(struct channel_host *host, struct MHD_Connection *connection, const char *client_id) {
    const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    const char *wait = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "wait");
    struct MHD_Response *response;
    enum MHD_Result result;
    int status = divvy_channel_server_events(host->server, client_id, accept && strstr(accept, "text/event-stream"),
                                             wait ? strtol(wait, NULL, 10) * INT64_C(1000000000) : 0, connection, &response);

    if (status < 0)
        return answer(connection, status == -EINVAL ? 400 : 503, "");
    result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result other(struct channel_host *host, struct MHD_Connection *connection, const char *method,
                             const char *path) {
    const char *container = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "container_name");
    const char *pid = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "container_pid");
    char text[2048] = "";

    return answer(connection,
                  host->other ? host->other(host->context, method, path, container, pid ? (int)strtol(pid, NULL, 10) : 0, text,
                                            sizeof text)
                              : 404,
                  text);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **state) {
    static const char prefix[] = DIVVY_CHANNEL_BASE "/events/";
    struct channel_host *host = context;
    struct body *body = *state;
    struct divvy_error error = {0};
    int status;

    (void)version;
    if (!body) {
        *state = calloc(1, sizeof *body);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        if (*size <= BODY_MAX - body->length) {
            memcpy(body->bytes + body->length, data, *size);
            body->length += *size;
        }
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") == 0 && strncmp(url, prefix, sizeof prefix - 1) == 0)
        return events(host, connection, url + sizeof prefix - 1);
    if (strcmp(method, "POST") == 0 && strcmp(url, DIVVY_CHANNEL_BASE "/result") == 0)
        status = divvy_channel_server_result(host->server, NULL, body->bytes, body->length, &error);
    else if (strcmp(method, "POST") == 0 && strcmp(url, DIVVY_CHANNEL_BASE "/report") == 0)
        status = divvy_channel_server_report(host->server, NULL, body->bytes, body->length, &error);
    else
        return other(host, connection, method, url);
    return answer(connection, status, error.text);
}

static void completed(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code) {
    (void)context;
    (void)connection;
    (void)code;
    free(*state);
    *state = NULL;
}

static int listen_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int listen_tcp(uint16_t port, uint16_t *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        (void)close(fd);
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int channel_host_start(struct channel_host *host, const struct divvy_channel_server_options *options, const char *path,
                       uint16_t port) {
    int fd, status;

    memset(host, 0, sizeof *host);
    fd = path ? listen_unix(path) : listen_tcp(port, &host->port);
    if (fd < 0)
        return -errno;
    status = divvy_channel_server_new(options, &host->server);
    if (status < 0) {
        (void)close(fd);
        return status;
    }
    host->http = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                                  handle, host, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, 2u,
                                  MHD_OPTION_CONNECTION_LIMIT, 20000u, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                                  MHD_OPTION_END);
    if (!host->http) {
        divvy_channel_server_free(host->server);
        (void)close(fd);
        return -EIO;
    }
    return 0;
}

void channel_host_stop(struct channel_host *host) {
    divvy_channel_server_stop(host->server);
    MHD_stop_daemon(host->http);
    divvy_channel_server_free(host->server);
    memset(host, 0, sizeof *host);
}
