/* Server and client of gRPC in one loop: unary and streaming calls, ends in time, texts, sizes, and peers that leave. */
#include "core/clock.h"
#include "grpc/client.h"
#include "grpc/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS (60 * DIVVY_NS_PER_SECOND)
#define BIG_BYTES   (900u << 10)

struct room {
    struct divvy_loop loop;
    struct divvy_grpc_server *server;
    char folder[64], path[96];
    struct divvy_grpc_call *open; /* of /t/Open */
    uint32_t gone;
};

/* What a client was told. */
struct outcome {
    bool ended;
    enum divvy_grpc_status status;
    char text[DIVVY_GRPC_TEXT_BYTES];
    uint32_t messages;
    size_t bytes;
    uint32_t sum;
};

/* --- methods -------------------------------------------------------------------------------------------------------------- */

static void echo(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    (void)data;
    assert_int_equal(divvy_grpc_call_send(call, request, length), 0);
    divvy_grpc_call_finish(call, DIVVY_GRPC_OK, NULL);
}

static void refuse(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    (void)data;
    (void)request;
    (void)length;
    divvy_grpc_call_finish(call, DIVVY_GRPC_FAILED_PRECONDITION, "100 % \xc3\xbc, a line\nand another");
}

static void many(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    (void)data;
    for (uint8_t i = 0; i < 200; i++)
        assert_int_equal(divvy_grpc_call_send(call, request, length), 0);
    divvy_grpc_call_finish(call, DIVVY_GRPC_OK, "ignored");
}

/* More than anybody is given room for. */
static void flood(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    int status = 0;

    (void)data;
    for (int i = 0; i < 100 && status == 0; i++)
        status = divvy_grpc_call_send(call, request, length);
    assert_int_equal(status, -105);
}

static void open_gone(struct divvy_grpc_call *call, void *data) {
    struct room *room = data;

    assert_ptr_equal(room->open, call);
    room->open = NULL;
    room->gone++;
}

static void open_call(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    struct room *room = data;

    room->open = call;
    divvy_grpc_call_keep(call, room, open_gone);
    assert_int_equal(divvy_grpc_call_send(call, request, length), 0);
}

static const struct divvy_grpc_method methods[] = {
    {"/t/Echo", echo}, {"/t/Refuse", refuse}, {"/t/Many", many}, {"/t/Flood", flood}, {"/t/Open", open_call}};

/* --- room ----------------------------------------------------------------------------------------------------------------- */

static void serve(struct room *room) {
    struct divvy_grpc_server_options options = {
        .path = room->path, .methods = methods, .method_count = sizeof methods / sizeof methods[0], .data = room};
    struct divvy_error error = {0, ""};

    assert_int_equal(divvy_grpc_server_new(&room->loop, &options, &room->server, &error), 0);
}

static void room_open(struct room *room) {
    *room = (struct room){.folder = "/tmp/divvy-grpc-XXXXXX"};
    assert_non_null(mkdtemp(room->folder));
    (void)snprintf(room->path, sizeof room->path, "%s/socket", room->folder);
    assert_int_equal(divvy_loop_init(&room->loop), 0);
    serve(room);
}

static void room_close(struct room *room) {
    divvy_grpc_server_free(room->server);
    for (int i = 0; i < 3; i++)
        divvy_loop_turn(&room->loop, 0);
    divvy_loop_done(&room->loop);
    assert_int_equal(access(room->path, F_OK), -1);
    assert_int_equal(rmdir(room->folder), 0);
}

static void on_message(void *data, const uint8_t *message, size_t length) {
    struct outcome *outcome = data;

    outcome->messages++;
    outcome->bytes += length;
    for (size_t i = 0; i < length; i++)
        outcome->sum = outcome->sum * 31 + message[i];
}

static void on_done(void *data, enum divvy_grpc_status status, const char *text) {
    struct outcome *outcome = data;

    assert_false(outcome->ended);
    outcome->ended = true;
    outcome->status = status;
    (void)snprintf(outcome->text, sizeof outcome->text, "%s", text);
}

static struct divvy_grpc_client *call(struct room *room, const char *method, const void *request, size_t length, uint64_t timeout_ns,
                                      size_t max_bytes, struct outcome *outcome) {
    struct divvy_grpc_client_options options = {.socket_path = room->path,
                                                .path = method,
                                                .request = request,
                                                .length = length,
                                                .timeout_ns = timeout_ns,
                                                .answer_max_bytes = max_bytes,
                                                .message = on_message,
                                                .done = on_done,
                                                .data = outcome};
    struct divvy_grpc_client *client;

    *outcome = (struct outcome){0};
    assert_int_equal(divvy_grpc_client_new(&room->loop, &options, &client), 0);
    assert_false(outcome->ended);
    return client;
}

static void turn(struct room *room, struct divvy_grpc_client *client) {
    uint64_t now_ns = divvy_core_clock_ns(), due_ns = now_ns + DIVVY_NS_PER_SECOND / 100;

    (void)divvy_grpc_client_tick(client, now_ns);
    if (room->server)
        (void)divvy_grpc_server_tick(room->server, now_ns);
    divvy_loop_turn(&room->loop, due_ns);
}

static void until_end(struct room *room, struct divvy_grpc_client *client, const struct outcome *outcome) {
    uint64_t end_ns = divvy_core_clock_ns() + PATIENCE_NS;

    while (!outcome->ended) {
        assert_true(divvy_core_clock_ns() < end_ns);
        turn(room, client);
    }
    divvy_grpc_client_free(client);
}

static void run(struct room *room, const char *method, const void *request, size_t length, struct outcome *outcome) {
    until_end(room, call(room, method, request, length, PATIENCE_NS, 1u << 20, outcome), outcome);
}

/* --- tests ---------------------------------------------------------------------------------------------------------------- */

static void unary(void **state) {
    struct outcome outcome;
    struct room room;
    struct stat found;

    (void)state;
    room_open(&room);
    assert_int_equal(lstat(room.path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    run(&room, "/t/Echo", "hello", 5, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_OK);
    assert_int_equal(outcome.messages, 1);
    assert_int_equal(outcome.bytes, 5);
    run(&room, "/t/Echo", NULL, 0, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_OK);
    assert_int_equal(outcome.messages, 1);
    run(&room, "/t/Refuse", "x", 1, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_FAILED_PRECONDITION);
    assert_string_equal(outcome.text, "100 % \xc3\xbc, a line and another");
    assert_int_equal(outcome.messages, 0);
    run(&room, "/t/Nothing", "x", 1, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_UNIMPLEMENTED);
    room_close(&room);
}

static void sizes(void **state) {
    uint8_t *big = malloc(2u << 20);
    struct outcome outcome;
    struct room room;

    (void)state;
    assert_non_null(big);
    for (size_t i = 0; i < (2u << 20); i++)
        big[i] = (uint8_t)(i * 7 + (i >> 9));
    room_open(&room);
    run(&room, "/t/Echo", big, BIG_BYTES, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_OK);
    assert_int_equal(outcome.bytes, BIG_BYTES);
    run(&room, "/t/Echo", big, 2u << 20, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_RESOURCE_EXHAUSTED);
    until_end(&room, call(&room, "/t/Echo", big, 1000, PATIENCE_NS, 999, &outcome), &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(outcome.messages, 0);
    run(&room, "/t/Flood", big, BIG_BYTES, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_UNAVAILABLE);
    room_close(&room);
    free(big);
}

static void streaming(void **state) {
    struct divvy_grpc_client *client;
    struct outcome outcome;
    struct room room;
    uint64_t end_ns;

    (void)state;
    room_open(&room);
    run(&room, "/t/Many", "0123456789", 10, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_OK);
    assert_int_equal(outcome.messages, 200);
    assert_int_equal(outcome.bytes, 2000);

    client = call(&room, "/t/Open", "a", 1, PATIENCE_NS, 100, &outcome);
    for (uint32_t count = 1; count < 20; count++) {
        end_ns = divvy_core_clock_ns() + PATIENCE_NS;
        while (outcome.messages < count) {
            assert_true(divvy_core_clock_ns() < end_ns);
            turn(&room, client);
        }
        assert_int_equal(divvy_grpc_call_send(room.open, (const uint8_t *)"b", 1), 0);
    }
    divvy_grpc_call_finish(room.open, DIVVY_GRPC_ABORTED, "enough");
    until_end(&room, client, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_ABORTED);
    assert_int_equal(outcome.messages, 20);
    assert_int_equal(room.gone, 0);
    room_close(&room);
}

static void time_limits(void **state) {
    struct divvy_grpc_client *client;
    struct outcome outcome;
    struct room room;
    uint64_t end_ns;

    (void)state;
    room_open(&room);
    /* The client's own; the server sees its end, by the same limit or by the connection's. */
    until_end(&room, call(&room, "/t/Open", "a", 1, DIVVY_NS_PER_SECOND / 5, 100, &outcome), &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_DEADLINE_EXCEEDED);
    end_ns = divvy_core_clock_ns() + PATIENCE_NS;
    while (room.gone < 1) {
        assert_true(divvy_core_clock_ns() < end_ns);
        turn(&room, NULL);
    }
    /* A call that is taken back. */
    client = call(&room, "/t/Open", "a", 1, PATIENCE_NS, 100, &outcome);
    while (!room.open)
        turn(&room, client);
    divvy_grpc_client_free(client);
    end_ns = divvy_core_clock_ns() + PATIENCE_NS;
    while (room.gone < 2) {
        assert_true(divvy_core_clock_ns() < end_ns);
        turn(&room, NULL);
    }
    assert_false(outcome.ended);
    room_close(&room);
}

static void servers_end(void **state) {
    struct divvy_grpc_client *client;
    struct outcome outcome;
    struct room room;
    char path[96];

    (void)state;
    room_open(&room);
    client = call(&room, "/t/Open", "a", 1, PATIENCE_NS, 100, &outcome);
    while (!room.open)
        turn(&room, client);
    divvy_grpc_server_free(room.server);
    room.server = NULL;
    assert_int_equal(room.gone, 1);
    until_end(&room, client, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_UNAVAILABLE);
    /* Nobody there, and a name that is too long. */
    run(&room, "/t/Echo", "a", 1, &outcome);
    assert_int_equal(outcome.status, DIVVY_GRPC_UNAVAILABLE);
    assert_non_null(strstr(outcome.text, "No such file"));
    memcpy(path, room.path, sizeof path);
    serve(&room);
    assert_true(divvy_grpc_server_is_there(room.server));
    assert_int_equal(unlink(path), 0);
    assert_false(divvy_grpc_server_is_there(room.server));
    room_close(&room);
}

static void sockets(void **state) {
    struct divvy_grpc_server_options options = {.methods = methods, .method_count = 1};
    struct divvy_grpc_server *server;
    struct divvy_error error = {0, ""};
    char longest[200];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct room room;
    int fd;

    (void)state;
    room_open(&room);
    options.path = room.path;
    assert_int_equal(divvy_grpc_server_new(&room.loop, &options, &server, &error), -98);
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    options.path = longest;
    assert_int_equal(divvy_grpc_server_new(&room.loop, &options, &server, &error), -36);
    options.path = room.folder;
    assert_int_equal(divvy_grpc_server_new(&room.loop, &options, &server, &error), -88);
    divvy_grpc_server_free(room.server);
    /* What is left of one that was killed is taken over. */
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", room.path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    (void)close(fd);
    serve(&room);
    room_close(&room);
}

/* Many that speak at once, and one that says nothing: it is sent away in time, the others are served. */
static void crowd(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct outcome outcomes[DIVVY_GRPC_CONNECTIONS - 1];
    struct divvy_grpc_client *clients[DIVVY_GRPC_CONNECTIONS - 1];
    struct room room;
    char byte;
    int fd;

    (void)state;
    room_open(&room);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", room.path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    for (size_t i = 0; i < DIVVY_GRPC_CONNECTIONS - 1; i++)
        clients[i] = call(&room, "/t/Echo", "hello", 5, PATIENCE_NS, 100, &outcomes[i]);
    for (size_t i = 0; i < DIVVY_GRPC_CONNECTIONS - 1; i++) {
        until_end(&room, clients[i], &outcomes[i]);
        assert_int_equal(outcomes[i].status, DIVVY_GRPC_OK);
    }
    (void)divvy_grpc_server_tick(room.server, divvy_core_clock_ns() + 2 * DIVVY_GRPC_HANDSHAKE_NS);
    turn(&room, NULL);
    while (recv(fd, &byte, 1, 0) > 0) /* the server's settings, then its end */
        ;
    (void)close(fd);
    room_close(&room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary),       cmocka_unit_test(sizes),   cmocka_unit_test(streaming), cmocka_unit_test(time_limits),
        cmocka_unit_test(servers_end), cmocka_unit_test(sockets), cmocka_unit_test(crowd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
