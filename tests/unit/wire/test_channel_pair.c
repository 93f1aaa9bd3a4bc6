/*
 * The channel's two ends together over the loopback and a unix socket: commands there and back, readers that die, servers that
 * are killed, are slow, break off or talk nonsense. Clients run on threads; waits have generous ends, nothing is timed.
 */
#include "../../../bench/channel_host.h"
#include "wire/channel/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MS     INT64_C(1000000)
#define S      INT64_C(1000000000)
#define LONG_S (30 * S) /* for what must happen, on a machine that is busy */

/* ---- a client on a thread ---- */

struct runner {
    struct divvy_wire_client client;
    pthread_t thread;
    char name[32];
    unsigned handled, connected, disconnected, ticks;
    uint64_t last_number, sum;
};

static void handle(void *context, const struct divvy_wire_client_task *task, struct divvy_wire_client_result *ret_result) {
    struct runner *runner = context;
    struct divvy_wire_command command;

    if (divvy_wire_command_parse(task->data, &command) < 0) {
        (void)snprintf(ret_result->error, sizeof ret_result->error, "no command");
        return;
    }
    runner->last_number = command.number;
    runner->sum += command.number;
    divvy_wire_command_answer(&command, command.kind != DIVVY_CHANNEL_VRAM_RECLAIM, "as \"told\"", ret_result);
    __atomic_add_fetch(&runner->handled, 1, __ATOMIC_RELEASE);
}

static void connected(void *context, bool is_connected) {
    struct runner *runner = context;

    __atomic_add_fetch(is_connected ? &runner->connected : &runner->disconnected, 1, __ATOMIC_RELEASE);
}

static uint64_t tick(void *context) {
    struct runner *runner = context;

    __atomic_add_fetch(&runner->ticks, 1, __ATOMIC_RELEASE);
    return UINT64_MAX; /* only when it is woken, or told something */
}

static void *run(void *context) {
    struct runner *runner = context;

    divvy_wire_client_run(&runner->client);
    return NULL;
}

static void runner_init(struct runner *runner, const char *host, unsigned port, const char *name, bool is_polling) {
    struct divvy_wire_client_settings settings = {
        .base = DIVVY_CHANNEL_BASE,
        .client_id = runner->name,
        .is_polling = is_polling,
        .can_stop = true,
        .can_wake = true,
        .tick = tick,
        .request_ns = 10 * S,
        .connect_ns = 10 * S,
        .pause_ns = 5 * MS,
        .pause_max_ns = 40 * MS,
        .context = runner,
        .handle = handle,
        .connected = connected,
    };
    char text[16];

    memset(runner, 0, sizeof *runner);
    (void)snprintf(runner->name, sizeof runner->name, "%s", name);
    (void)snprintf(text, sizeof text, "%u", port);
    assert_int_equal(divvy_wire_address_parse(host, text, &settings.address), 0);
    assert_int_equal(divvy_wire_client_init(&runner->client, &settings), 0);
}

static void runner_start(struct runner *runner) {
    assert_int_equal(pthread_create(&runner->thread, NULL, run, runner), 0);
}

static void runner_stop(struct runner *runner) {
    divvy_wire_client_stop(&runner->client);
    assert_int_equal(pthread_join(runner->thread, NULL), 0);
    divvy_wire_client_done(&runner->client);
}

static struct runner *runner_new(const char *host, unsigned port, const char *name, bool is_polling) {
    struct runner *runner = malloc(sizeof *runner);

    assert_non_null(runner);
    runner_init(runner, host, port, name, is_polling);
    runner_start(runner);
    return runner;
}

static void runner_free(struct runner *runner) {
    runner_stop(runner);
    free(runner);
}

static bool until(bool (*is_so)(void *context), void *context) {
    for (int i = 0; i < 6000; i++) {
        if (is_so(context))
            return true;
        (void)poll(NULL, 0, 5);
    }
    return false;
}

static void host_start(struct channel_host *host, const struct divvy_channel_server_options *options, unsigned port) {
    int status = -EADDRINUSE;

    for (int i = 0; i < 100 && status == -EADDRINUSE; i++) {
        status = channel_host_start(host, options, NULL, (uint16_t)port);
        if (status == -EADDRINUSE)
            (void)poll(NULL, 0, 20);
    }
    assert_int_equal(status, 0);
}

/* Send a command and wait for its result. */
static int command(struct channel_host *host, const char *client, enum divvy_channel_kind kind,
                   struct divvy_channel_outcome *ret_outcome, uint64_t *ret_number) {
    struct divvy_channel_order order = {.kind = kind, .device = "GPU-1", .length_ns = 1000};
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    int status = divvy_channel_server_command(host->server, client, &order, ret_number, id);

    return status < 0 ? status : divvy_channel_server_wait(host->server, client, id, LONG_S, ret_outcome);
}

static void outcome_free(struct divvy_channel_outcome *outcome) {
    free(outcome->result);
    free(outcome->error);
}

static void round_trips(struct channel_host *host, const char *address, unsigned port, bool is_polling) {
    struct runner *runner = runner_new(address, port, "worker_1", is_polling);
    struct divvy_channel_outcome outcome;
    char expected[128];
    uint64_t number, sum = 0;

    for (int i = 0; i < 40; i++) {
        enum divvy_channel_kind kind = (enum divvy_channel_kind)(i % DIVVY_CHANNEL_KIND_MAX);

        assert_int_equal(command(host, "worker_1", kind, &outcome, &number), 0);
        assert_true(outcome.success == (kind != DIVVY_CHANNEL_VRAM_RECLAIM));
        (void)snprintf(expected, sizeof expected, "{\"id\":%llu,\"success\":%s,\"message\":\"as \\\"told\\\"\"}",
                       (unsigned long long)number, outcome.success ? "true" : "false");
        assert_string_equal(outcome.result, expected);
        outcome_free(&outcome);
        sum += number;
    }
    runner_stop(runner);
    assert_int_equal(runner->handled, 40);
    assert_int_equal(runner->sum, sum);
    assert_int_equal(runner->client.figures.unsent, 0);
    free(runner);
}

static void commands_by_stream_and_poll(void **state) {
    struct channel_host host;

    (void)state;
    host_start(&host, NULL, 0);
    round_trips(&host, "127.0.0.1", host.port, false);
    round_trips(&host, "127.0.0.1", host.port, true);
    channel_host_stop(&host);
}

static void commands_by_unix_socket(void **state) {
    char folder[] = "/tmp/divvy-channel-XXXXXX", path[64];
    struct channel_host host;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/socket", folder);
    assert_int_equal(channel_host_start(&host, NULL, path, 0), 0);
    round_trips(&host, path, 0, false);
    channel_host_stop(&host);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void no_command(void **state) {
    struct channel_host host;
    struct runner *runner;
    struct divvy_channel_outcome outcome;
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    json_t *data = json_pack("{s:s}", "not", "a command\n\"");

    (void)state;
    host_start(&host, NULL, 0);
    runner = runner_new("127.0.0.1", host.port, "a", false);
    assert_int_equal(divvy_channel_server_send(host.server, "a", data, 0, id), 0);
    json_decref(data);
    assert_int_equal(divvy_channel_server_wait(host.server, "a", id, LONG_S, &outcome), 0);
    assert_false(outcome.success);
    assert_null(outcome.result);
    assert_string_equal(outcome.error, "no command");
    outcome_free(&outcome);
    assert_int_equal(divvy_channel_server_wait(host.server, "nobody", id, 0, &outcome), -ENOENT);
    assert_int_equal(command(&host, "bad id", DIVVY_CHANNEL_RESUME, &outcome, NULL), -EINVAL);
    runner_free(runner);
    channel_host_stop(&host);
}

/* ---- many at once ---- */

#define MANY_CLIENTS  24
#define MANY_COMMANDS 40

struct many {
    struct channel_host host;
    unsigned good;
};

static void *produce(void *context) {
    struct many *many = context;

    for (int i = 0; i < MANY_COMMANDS; i++)
        for (int c = 0; c < MANY_CLIENTS; c += 6) {
            struct divvy_channel_outcome outcome;
            char name[16];

            (void)snprintf(name, sizeof name, "c%d", (c + i) % MANY_CLIENTS);
            if (command(&many->host, name, DIVVY_CHANNEL_HEALTH_CHECK, &outcome, NULL) == 0) {
                __atomic_add_fetch(&many->good, outcome.success, __ATOMIC_RELAXED);
                outcome_free(&outcome);
            }
        }
    return NULL;
}

static void many_at_once(void **state) {
    struct many many = {.good = 0};
    struct runner *runners[MANY_CLIENTS];
    pthread_t producers[3];
    unsigned handled = 0;

    (void)state;
    host_start(&many.host, NULL, 0);
    for (int i = 0; i < MANY_CLIENTS; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "c%d", i);
        runners[i] = runner_new("127.0.0.1", many.host.port, name, i % 3 == 0);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, produce, &many), 0);
    for (int i = 0; i < 3; i++)
        (void)pthread_join(producers[i], NULL);
    for (int i = 0; i < MANY_CLIENTS; i++) {
        runner_stop(runners[i]);
        handled += runners[i]->handled;
        free(runners[i]);
    }
    assert_int_equal(many.good, 3 * MANY_COMMANDS * MANY_CLIENTS / 6);
    assert_int_equal(handled, many.good);
    channel_host_stop(&many.host);
}

/* ---- raw readers ---- */

static int raw_connect(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int raw_get(unsigned port, const char *client, bool is_stream, const char *query) {
    char text[256];
    int fd = raw_connect(port);
    int length = snprintf(text, sizeof text, "GET %s/events/%s%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: %s\r\n\r\n",
                          DIVVY_CHANNEL_BASE, client, query, is_stream ? "text/event-stream" : "*/*");

    assert_int_equal(write(fd, text, (size_t)length), length);
    return fd;
}

/* Reads until `wanted` has been seen, or the end when it is NULL. False when it does not come. */
static bool raw_expect(int fd, const char *wanted, char *text, size_t size) {
    size_t length = 0;

    text[0] = '\0';
    while (length < size - 1 && !(wanted && strstr(text, wanted))) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        ssize_t got = poll(&poller, 1, 30000) == 1 ? read(fd, text + length, size - 1 - length) : -1;

        if (got <= 0)
            return !wanted && got == 0;
        length += (size_t)got;
        text[length] = '\0';
    }
    return wanted && strstr(text, wanted);
}

/* A reader that takes a task and dies loses nothing: the next one gets it at once, a hundred times over. */
static void reader_dies(void **state) {
    struct divvy_channel_order order = {.kind = DIVVY_CHANNEL_SUSPEND};
    char id[DIVVY_CHANNEL_TASK_ID_BYTES], text[4096];
    struct divvy_channel_outcome outcome;
    struct divvy_channel_figures figures;
    struct channel_host host;
    struct runner *runner;

    (void)state;
    host_start(&host, NULL, 0);
    assert_int_equal(divvy_channel_server_command(host.server, "a", &order, NULL, id), 0);
    for (int i = 0; i < 100; i++) {
        int fd = raw_get(host.port, "a", true, "");

        assert_true(raw_expect(fd, id, text, sizeof text));
        (void)close(fd);
    }
    runner = runner_new("127.0.0.1", host.port, "a", false);
    assert_int_equal(divvy_channel_server_wait(host.server, "a", id, LONG_S, &outcome), 0);
    assert_true(outcome.success);
    outcome_free(&outcome);
    runner_free(runner);
    divvy_channel_server_figures(host.server, &figures);
    assert_int_equal(figures.delivered, 101);
    assert_int_equal(figures.requeued, 100);
    channel_host_stop(&host);
}

static bool nobody_reads(void *context) {
    struct channel_host *host = context;

    return !divvy_channel_server_is_there(host->server, "a");
}

/* The end of an idle client is noticed without a keep-alive. */
static void hang_up_is_noticed(void **state) {
    struct divvy_channel_server_options options = {.keep_alive_ns = 3600 * S};
    struct channel_host host;
    char text[1024];
    int fd;

    (void)state;
    host_start(&host, &options, 0);
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        fd = raw_get(host.port, "a", is_stream, "");
        assert_true(raw_expect(fd, is_stream ? ": open" : "\r\n\r\n", text, sizeof text));
        assert_true(divvy_channel_server_is_there(host.server, "a"));
        (void)close(fd);
        assert_true(until(nobody_reads, &host));
    }
    channel_host_stop(&host);
}

static void stream_is_replaced(void **state) {
    struct channel_host host;
    char text[2048];
    int first, second;

    (void)state;
    host_start(&host, NULL, 0);
    first = raw_get(host.port, "a", true, "");
    assert_true(raw_expect(first, ": open", text, sizeof text));
    second = raw_get(host.port, "a", true, "");
    assert_true(raw_expect(second, ": open", text, sizeof text));
    assert_true(raw_expect(first, "event: error\ndata: {\"error\":\"another stream of this client took over\"}", text, sizeof text));
    assert_true(raw_expect(first, NULL, text, sizeof text));
    assert_true(divvy_channel_server_is_there(host.server, "a"));
    divvy_channel_server_stop(host.server);
    assert_true(raw_expect(second, "event: error\ndata: {\"error\":\"the server is stopping\"}", text, sizeof text));
    (void)close(first);
    (void)close(second);
    channel_host_stop(&host);
}

static void keep_alive_and_empty_poll(void **state) {
    struct divvy_channel_server_options options = {.keep_alive_ns = S + 50 * MS};
    struct channel_host host;
    char text[2048];
    int stream, polled;

    (void)state;
    host_start(&host, &options, 0);
    stream = raw_get(host.port, "a", true, "");
    polled = raw_get(host.port, "b", false, "?wait=1");
    assert_true(raw_expect(stream, ": keep-alive\n\n", text, sizeof text));
    assert_non_null(strstr(text, "Content-Type: text/event-stream"));
    assert_true(raw_expect(polled, NULL, text, sizeof text));
    assert_non_null(strstr(text, "[]"));
    assert_non_null(strstr(text, "application/json"));
    (void)close(stream);
    (void)close(polled);
    channel_host_stop(&host);
}

/* ---- what is posted ---- */

static int take_report(void *context, const struct divvy_channel_report *report) {
    *(struct divvy_channel_report *)context = *report;
    return 0;
}

static int post_result(struct channel_host *host, const char *id, const char *body) {
    struct divvy_error error = {0};
    int status = divvy_channel_server_result(host->server, id, body, strlen(body), &error);

    assert_true((status == 200) == (error.text[0] == '\0'));
    return status;
}

static void posts(void **state) {
    static const char *const bad[] = {"", "{", "[]", "1", "{}", "{\"client_id\":1,\"task_id\":\"x\",\"success\":true}",
                                      "{\"client_id\":\"a\",\"success\":true}", "{\"client_id\":\"a\",\"task_id\":\"x\",\"success\":1}",
                                      "{\"client_id\":\"a\",\"task_id\":\"x\",\"success\":true,\"error\":3}",
                                      "{\"client_id\":\"a\",\"client_id\":\"a\",\"task_id\":\"x\",\"success\":true}"};
    static const char unknown[] = "{\"client_id\":\"a\",\"task_id\":\"x\",\"success\":true}";
    static const char report[] = "{\"client_id\":\"a\",\"devices\":[{\"uuid\":\"GPU-1\",\"waiting\":2,\"busy_ns\":7}]}";
    struct divvy_channel_report seen;
    struct divvy_channel_server_options options = {.context = &seen, .report = take_report};
    struct channel_host host;
    struct divvy_error error = {0};
    char large[40000];

    (void)state;
    host_start(&host, &options, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(post_result(&host, NULL, bad[i]), 400);
    assert_int_equal(post_result(&host, NULL, unknown), 500);
    assert_int_equal(post_result(&host, "a", unknown), 500);
    assert_int_equal(post_result(&host, "b", unknown), 403);
    assert_int_equal(divvy_channel_server_report(host.server, "a", report, sizeof report - 1, &error), 200);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.devices[0].waiting, 2);
    assert_string_equal(seen.devices[0].uuid, "GPU-1");
    assert_int_equal(divvy_channel_server_report(host.server, "b", report, sizeof report - 1, &error), 403);
    assert_int_equal(divvy_channel_server_report(host.server, "a", "{\"client_id\":\"a\",\"devices\":[{\"uuid\":\"x\",\"waiting\":-1}]}",
                                                 59, &error),
                     400);
    memset(large, '[', sizeof large);
    assert_int_equal(divvy_channel_server_result(host.server, NULL, large, sizeof large, &error), 400);
    channel_host_stop(&host);
    host_start(&host, NULL, 0);
    assert_int_equal(divvy_channel_server_report(host.server, "a", report, sizeof report - 1, &error), 404);
    channel_host_stop(&host);
}

/* ---- servers that fail ---- */

static bool is_handled(void *context) {
    struct runner *runner = context;

    return __atomic_load_n(&runner->handled, __ATOMIC_ACQUIRE) > 0;
}

static void server_is_killed(void **state) {
    struct divvy_channel_order order = {.kind = DIVVY_CHANNEL_RESUME};
    struct divvy_channel_outcome outcome;
    struct channel_host host;
    struct runner *runner;
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    unsigned port;

    (void)state;
    host_start(&host, NULL, 0);
    port = host.port;
    runner = runner_new("127.0.0.1", port, "a", false);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(command(&host, "a", DIVVY_CHANNEL_HEALTH_CHECK, &outcome, NULL), 0);
        outcome_free(&outcome);
        /* One is on its way when the server ends. */
        assert_int_equal(divvy_channel_server_command(host.server, "a", &order, NULL, id), 0);
        channel_host_stop(&host);
        host_start(&host, NULL, port);
    }
    assert_int_equal(command(&host, "a", DIVVY_CHANNEL_HEALTH_CHECK, &outcome, NULL), 0);
    assert_true(outcome.success);
    outcome_free(&outcome);
    runner_stop(runner);
    assert_true(runner->handled >= 9);
    assert_true(runner->connected >= 9);
    free(runner);
    channel_host_stop(&host);
}

/* A server that gives each connection the next of its answers, in pieces, and closes it. */
struct script {
    const char *const *answers;
    size_t count, next;
    int listener;
    unsigned results, connections;
    bool is_slow, is_over;
};

static void script_answer(struct script *script, int fd) {
    char request[4096];
    size_t used = 0;
    const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    do {
        ssize_t got = read(fd, request + used, sizeof request - 1 - used);

        if (got <= 0)
            return;
        used += (size_t)got;
        request[used] = '\0';
    } while (!strstr(request, "\r\n\r\n"));
    if (strncmp(request, "POST", 4) == 0) {
        /* The first result of all is refused, and must come again. */
        if (__atomic_fetch_add(&script->results, 1, __ATOMIC_RELAXED) == 0)
            text = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    } else {
        size_t next = script->next < script->count ? script->next++ : script->count - 1;

        text = script->answers[next];
    }
    while (*text) {
        size_t piece = script->is_slow ? 7 : 4096, left = strlen(text);

        piece = left < piece ? left : piece;
        if (send(fd, text, piece, MSG_NOSIGNAL) < 0)
            return;
        text += piece;
        if (script->is_slow)
            (void)poll(NULL, 0, 1);
    }
}

static void *script_run(void *context) {
    struct script *script = context;

    while (!__atomic_load_n(&script->is_over, __ATOMIC_ACQUIRE)) {
        struct pollfd poller = {.fd = script->listener, .events = POLLIN};
        int fd = poll(&poller, 1, 50) == 1 ? accept(script->listener, NULL, NULL) : -1;

        if (fd < 0)
            continue;
        __atomic_add_fetch(&script->connections, 1, __ATOMIC_RELEASE);
        script_answer(script, fd);
        (void)close(fd);
    }
    return NULL;
}

#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
#define GOOD                                                                                                                   \
    "data: {\"id\":\"00000000-0000-4000-8000-000000000001\",\"data\":{\"id\":1,\"kind\":\"HealthCheck\"},\"state\":"            \
    "\"Processing\"}\n\n"

static pthread_t script_start(struct script *script, unsigned *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    pthread_t thread;

    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(script->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(script->listener, 16), 0);
    assert_int_equal(getsockname(script->listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(pthread_create(&thread, NULL, script_run, script), 0);
    *ret_port = ntohs(address.sin_port);
    return thread;
}

static void script_stop(struct script *script, pthread_t thread) {
    __atomic_store_n(&script->is_over, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    (void)close(script->listener);
}

static void run_script(const char *const *answers, size_t count, bool is_slow, struct runner **ret_runner, unsigned *ret_results) {
    struct script script = {.answers = answers, .count = count, .is_slow = is_slow};
    struct runner *runner;
    unsigned port;
    pthread_t thread = script_start(&script, &port);

    runner = runner_new("127.0.0.1", port, "a", false);
    assert_true(until(is_handled, runner));
    for (int i = 0; i < 6000 && __atomic_load_n(&script.results, __ATOMIC_ACQUIRE) < 2; i++)
        (void)poll(NULL, 0, 5);
    runner_stop(runner);
    script_stop(&script, thread);
    *ret_runner = runner;
    *ret_results = script.results;
}

/* Whatever the server does first, the task that comes at last is done, and its result arrives. */
static void bad_servers(void **state) {
    static const char *const answers[] = {
        "",
        "\r\n\r\n\r\n",
        "garbage \x01\x02\x03 without end",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nsorry",
        "HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\":\"no\"}",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-st",
        STREAM "data: {\"id\":\"00000000-0000-4000-8000-000000000009\",\"data\":{\"id\":1,\"ki",
        STREAM "data: not JSON\n\ndata: {}\n\ndata: {\"id\":5,\"data\":{}}\n\ndata: {\"id\":\"../../x\",\"data\":{}}\n\n",
        STREAM "event: error\ndata: {\"error\":\"x\"}\n\n" GOOD,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" GOOD,
        STREAM "data: bad\n\n" GOOD GOOD,
    };

    (void)state;
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        struct runner *runner;
        unsigned results;

        run_script(answers, sizeof answers / sizeof *answers, is_slow, &runner, &results);
        assert_int_equal(runner->handled, 1); /* delivered twice or more, done once */
        assert_true(results >= 2);
        assert_true(runner->client.figures.poison >= 5);
        assert_true(runner->client.figures.streams >= 3);
        free(runner);
    }
}

/* ---- single requests ---- */

static void calls(void **state) {
    struct divvy_wire_client_answer answer;
    struct channel_host host;
    static struct runner runner;
    char target[600];

    (void)state;
    host_start(&host, NULL, 0);
    runner_init(&runner, "127.0.0.1", host.port, "a", false);
    assert_int_equal(divvy_wire_client_call(&runner.client, "GET", "/nothing", NULL, 0, &answer), 0);
    assert_int_equal(answer.status, 404);
    assert_int_equal(divvy_wire_client_call(&runner.client, "POST", DIVVY_CHANNEL_BASE "/result", "{", 1, &answer), 0);
    assert_int_equal(answer.status, 400);
    assert_true(answer.length > 0);
    assert_int_equal(divvy_wire_client_call(&runner.client, "GET", "/a b", NULL, 0, &answer), -EINVAL);
    assert_int_equal(divvy_wire_client_call(&runner.client, "GET", "/a\r\nX: y", NULL, 0, &answer), -EINVAL);
    memset(target, '/', sizeof target - 1);
    target[sizeof target - 1] = '\0';
    assert_int_equal(divvy_wire_client_call(&runner.client, "GET", target, NULL, 0, &answer), -EINVAL);
    channel_host_stop(&host);
    assert_int_equal(divvy_wire_client_call(&runner.client, "GET", "/", NULL, 0, &answer), -ECONNREFUSED);
    divvy_wire_client_done(&runner.client);
}

/* The pause between tries grows to its end, and is short again after a task. */
static void pause_grows_and_resets(void **state) {
    static const char *const answers[] = {"", "", "", "", "", "", STREAM GOOD};
    struct script script = {.answers = answers, .count = 1};
    struct runner *runner;
    unsigned results, port;
    pthread_t thread;

    (void)state;
    run_script(answers, 7, false, &runner, &results);
    assert_true(runner->client.pause_ns <= 2 * runner->client.settings.pause_ns);
    free(runner);

    thread = script_start(&script, &port);
    runner = runner_new("127.0.0.1", port, "a", false);
    for (int i = 0; i < 6000 && __atomic_load_n(&script.connections, __ATOMIC_ACQUIRE) < 6; i++)
        (void)poll(NULL, 0, 5);
    runner_stop(runner);
    script_stop(&script, thread);
    assert_int_equal(runner->client.pause_ns, 40 * MS);
    free(runner);
}

static bool has_ticked(void *context) {
    struct runner *runner = ((void **)context)[0];

    return __atomic_load_n(&runner->ticks, __ATOMIC_ACQUIRE) > *(unsigned *)((void **)context)[1];
}

/* Woken from another thread, it looks again, at once and as often as it is asked; commands go on. */
static void woken(void **state) {
    struct channel_host host;
    struct divvy_channel_outcome outcome;
    struct runner *runner;
    unsigned before = 0;
    void *both[2];

    (void)state;
    host_start(&host, NULL, 0);
    runner = runner_new("127.0.0.1", host.port, "sleeper", false);
    both[0] = runner;
    both[1] = &before;
    assert_true(until(has_ticked, both)); /* when the stream was opened */
    for (int i = 0; i < 20; i++) {
        before = __atomic_load_n(&runner->ticks, __ATOMIC_ACQUIRE);
        errno = 4711;
        divvy_wire_client_wake(&runner->client);
        assert_int_equal(errno, 4711);
        assert_true(until(has_ticked, both));
    }
    assert_int_equal(command(&host, "sleeper", DIVVY_CHANNEL_HEALTH_CHECK, &outcome, NULL), 0);
    assert_true(outcome.success);
    free(outcome.result);
    free(outcome.error);
    runner_free(runner);
    channel_host_stop(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(woken),
        cmocka_unit_test(commands_by_stream_and_poll), cmocka_unit_test(commands_by_unix_socket),
        cmocka_unit_test(no_command),                  cmocka_unit_test(many_at_once),
        cmocka_unit_test(reader_dies),                 cmocka_unit_test(hang_up_is_noticed),
        cmocka_unit_test(stream_is_replaced),          cmocka_unit_test(keep_alive_and_empty_poll),
        cmocka_unit_test(posts),                       cmocka_unit_test(server_is_killed),
        cmocka_unit_test(bad_servers),                 cmocka_unit_test(calls),
        cmocka_unit_test(pause_grows_and_resets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
