/*
 * Fuzz target of the server: any bytes on a connection. The first bytes, when the input begins with 'H', are a client's preface and
 * settings, so that inputs may begin with frames.
 */
#include "core/clock.h"
#include "grpc/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TURNS 6

static struct divvy_loop loop;
static struct divvy_grpc_server *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct divvy_grpc_call *open_call;

static void echo(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    (void)data;
    if (divvy_grpc_call_send(call, request, length) == 0)
        divvy_grpc_call_finish(call, DIVVY_GRPC_OK, NULL);
}

static void stream_gone(struct divvy_grpc_call *call, void *data) {
    (void)data;
    if (open_call == call)
        open_call = NULL;
}

static void stream(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    (void)data;
    if (open_call)
        divvy_grpc_call_finish(open_call, DIVVY_GRPC_ABORTED, "another one came");
    open_call = call;
    divvy_grpc_call_keep(call, NULL, stream_gone);
    (void)divvy_grpc_call_send(call, request, length);
}

static const struct divvy_grpc_method methods[] = {{"/f/Echo", echo}, {"/f/Stream", stream}};

static void folder_remove(void) {
    divvy_grpc_server_free(server);
    divvy_loop_turn(&loop, 0);
    divvy_loop_done(&loop);
    *strrchr(address.sun_path, '/') = '\0';
    (void)rmdir(address.sun_path);
}

static void begin(void) {
    struct divvy_grpc_server_options options = {.path = address.sun_path, .methods = methods, .method_count = 2};
    struct divvy_error error;
    char folder[] = "/tmp/divvy-fuzz-XXXXXX";

    if (!mkdtemp(folder) || divvy_loop_init(&loop) < 0)
        abort();
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    if (divvy_grpc_server_new(&loop, &options, &server, &error) < 0)
        abort();
    (void)atexit(folder_remove);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0"; /* with the end's zero: empty settings */
    uint8_t answer[4096];
    int fd;

    if (!server)
        begin();
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        abort();
    if (size > 0 && data[0] == 'H') {
        (void)send(fd, preface, sizeof preface, MSG_NOSIGNAL);
        data++;
        size--;
    }
    if (size > 65536)
        size = 65536;
    for (int turn = 0; turn < TURNS; turn++) {
        if (turn == 0 && size > 0)
            (void)send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        divvy_loop_turn(&loop, 0);
        while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0)
            ;
    }
    /* As if much time had passed: time limits end what is still open. */
    (void)divvy_grpc_server_tick(server, divvy_core_clock_ns() + UINT64_C(1000) * DIVVY_NS_PER_SECOND);
    (void)close(fd);
    divvy_loop_turn(&loop, 0);
    divvy_loop_turn(&loop, 0);
    return 0;
}
