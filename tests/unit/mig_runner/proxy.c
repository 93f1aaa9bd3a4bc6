/* The proxy between a client and a model that this program plays both: what passes, what is refused, what is counted. */
#include "mig/runner/proxy.h"

#include "mig/runner/http.h"

#include "core/clock.h"
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* What the proxy's process tells. */
struct shared {
    struct divvy_runner_latency latency;
    struct divvy_runner_proxy_counts counts;
    uint64_t turns; /* of its loop, each told with its counts */
    int stop;
};

struct stage {
    struct shared *shared;
    pid_t pid;
    int model_fd; /* listener */
    uint16_t port;
};

static void proxy_run(int listen_fd, uint16_t model_port, struct shared *shared) {
    struct sockaddr_in model = {
        .sin_family = AF_INET, .sin_port = htons(model_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct divvy_runner_proxy *proxy;
    struct divvy_loop loop;
    uint64_t tick_ns = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    if (divvy_loop_init(&loop) < 0 ||
        divvy_runner_proxy_new(&loop, listen_fd, &model, &shared->latency, &proxy, NULL) < 0)
        _exit(1);
    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        uint64_t now_ns = divvy_core_clock_ns();

        divvy_loop_turn(&loop, now_ns + 2 * DIVVY_NS_PER_MS);
        divvy_runner_proxy_counts(proxy, &shared->counts);
        __atomic_fetch_add(&shared->turns, 1, __ATOMIC_RELEASE);
        if (now_ns < tick_ns)
            continue;
        tick_ns = now_ns + DIVVY_NS_PER_SECOND;
        divvy_runner_proxy_tick(proxy, divvy_core_clock_coarse_ns());
    }
    divvy_runner_proxy_free(proxy);
    divvy_loop_done(&loop);
}

static int stage_up(void **state) {
    static struct stage stage;
    uint16_t model_port;
    int listen_fd = net_listen(&stage.port);

    *state = &stage;
    (void)fcntl(listen_fd, F_SETFL, O_NONBLOCK);
    stage.model_fd = net_listen(&model_port);
    stage.shared = mmap(NULL, sizeof *stage.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage.shared == MAP_FAILED)
        return -1;
    stage.pid = fork();
    if (stage.pid == 0) {
        (void)close(stage.model_fd);
        proxy_run(listen_fd, model_port, stage.shared);
        _exit(0);
    }
    (void)close(listen_fd);
    return stage.pid < 0 ? -1 : 0;
}

static int stage_down(void **state) {
    struct stage *stage = *state;
    int status = 1;

    __atomic_store_n(&stage->shared->stop, 1, __ATOMIC_RELEASE);
    if (waitpid(stage->pid, &status, 0) != stage->pid || status != 0)
        return -1;
    (void)close(stage->model_fd);
    return munmap(stage->shared, sizeof *stage->shared);
}

/* A test's first: the counters as they are when all that earlier tests did is told. The turn that goes on may have read before. */
static void counts_settle(const struct stage *stage) {
    uint64_t turns = __atomic_load_n(&stage->shared->turns, __ATOMIC_ACQUIRE);

    for (int i = 0; i < 10000 && __atomic_load_n(&stage->shared->turns, __ATOMIC_ACQUIRE) < turns + 2; i++)
        (void)usleep(2000);
    assert_true(__atomic_load_n(&stage->shared->turns, __ATOMIC_ACQUIRE) >= turns + 2);
}

/* The counters reach us a turn later. */
static void count_pass(const uint64_t *counter, uint64_t value) {
    for (int i = 0; i < 2000 && __atomic_load_n(counter, __ATOMIC_RELAXED) < value; i++)
        (void)usleep(2000);
    assert_true(__atomic_load_n(counter, __ATOMIC_RELAXED) >= value);
}

static void count_reach(const uint64_t *counter, uint64_t value) {
    count_pass(counter, value);
    assert_int_equal(__atomic_load_n(counter, __ATOMIC_RELAXED), value);
}

static int model_of(const struct stage *stage) {
    int fd = net_accept(stage->model_fd, 20000);

    assert_true(fd >= 0);
    return fd;
}

#define GET   "GET /v1/models HTTP/1.1\r\nHost: model\r\nX-Odd:   kept as it is  \r\n\r\n"
#define FOUND "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nserver: Test\r\n\r\nhello"

static void unchanged(void **state) {
    const struct stage *stage = *state;
    uint64_t before;
    int client = net_connect(stage->port), model;

    counts_settle(stage);
    before = stage->shared->latency.count;
    net_say(client, GET);
    model = model_of(stage);
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            net_say(client, GET);
        net_expect(model, GET);
        net_say(model, FOUND);
        net_expect(client, FOUND);
    }
    count_reach(&stage->shared->latency.count, before + 3);
    (void)close(client);
    /* The model learns that nobody is there any more. */
    assert_int_equal(recv(model, (char[1]){0}, 1, 0), 0);
    (void)close(model);
}

/* A head and bytes that nobody could guess; what comes out at the other end is what went in. */
static void body_pass(int from, int to, const char *head, const char *bytes, size_t length) {
    size_t at = 0;
    char *got = malloc(length + 1);

    net_say(from, head);
    net_expect(to, head);
    while (at < length) {
        /* Both ends in turn: neither this program nor the proxy holds all of it. */
        size_t part = length - at < 60000 ? length - at : 60000;

        net_send(from, bytes + at, part);
        net_take(to, got, part);
        assert_memory_equal(got, bytes + at, part);
        at += part;
    }
    free(got);
}

static void long_bodies(void **state) {
    const struct stage *stage = *state;
    size_t length = 3u << 20;
    char *bytes = malloc(length), head[128];
    unsigned int seed = (unsigned int)time(NULL);
    int client = net_connect(stage->port), model;

    print_message("seed %u\n", seed);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)rand_r(&seed);
    net_say(client, GET);
    model = model_of(stage);
    net_expect(model, GET);
    net_say(model, FOUND);
    net_expect(client, FOUND);
    (void)snprintf(head, sizeof head, "POST /v1/x HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", length);
    body_pass(client, model, head, bytes, length);
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", length);
    body_pass(model, client, head, bytes, length);
    /* The connection goes on behind both. */
    net_say(client, GET);
    net_expect(model, GET);
    net_say(model, FOUND);
    net_expect(client, FOUND);
    free(bytes);
    (void)close(client);
    (void)close(model);
}

static void chunks(void **state) {
    static const char post[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: z\r\n\r\n";
    static const char answer[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    const struct stage *stage = *state;
    int client = net_connect(stage->port), model = -1;

    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k + 1 < sizeof post; k++)
            net_send(client, post + k, 1);
        model = model < 0 ? model_of(stage) : model;
        net_expect(model, post);
        for (size_t k = 0; k + 1 < sizeof answer; k++)
            net_send(model, answer + k, 1);
        net_expect(client, answer);
    }
    (void)close(client);
    (void)close(model);
}

/* Many at once; answers without bodies in between are not mistaken for the next. */
static void pipelined(void **state) {
    static const char *const requests[] = {"HEAD /1 HTTP/1.1\r\n\r\n", "GET /2 HTTP/1.1\r\n\r\n",
                                           "POST /3 HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", "GET /4 HTTP/1.1\r\n\r\n",
                                           "GET /5 HTTP/1.1\r\n\r\n"};
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HTTP/1.1 204 None\r\n\r\n",
                                          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                                          "HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n",
                                          "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"};
    const struct stage *stage = *state;
    uint64_t count, errors;
    int client = net_connect(stage->port), model = -1;

    counts_settle(stage);
    count = stage->shared->latency.count;
    errors = stage->shared->counts.errors;
    for (int round = 0; round < 8; round++)
        for (size_t i = 0; i < 5; i++)
            net_say(client, requests[i]);
    model = model_of(stage);
    for (int round = 0; round < 8; round++)
        for (size_t i = 0; i < 5; i++) {
            net_expect(model, requests[i]);
            net_say(model, answers[i]);
            net_expect(client, answers[i]);
        }
    count_reach(&stage->shared->latency.count, count + 40);
    count_reach(&stage->shared->counts.errors, errors + 8);
    (void)close(client);
    (void)close(model);
}

static void expectation(void **state) {
    static const char head[] = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    const struct stage *stage = *state;
    int client = net_connect(stage->port), model;

    net_say(client, head);
    model = model_of(stage);
    net_expect(model, head);
    net_say(model, "HTTP/1.1 100 Continue\r\n\r\n");
    net_expect(client, "HTTP/1.1 100 Continue\r\n\r\n");
    net_say(client, "body");
    net_expect(model, "body");
    net_say(model, FOUND);
    net_expect(client, FOUND);
    (void)close(client);
    (void)close(model);
}

static void tunnel(void **state) {
    static const char head[] = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const struct stage *stage = *state;
    uint64_t count, requests;
    char rest[64];
    int client = net_connect(stage->port), model;

    counts_settle(stage);
    count = stage->shared->latency.count;
    requests = stage->shared->counts.requests;
    net_say(client, head);
    model = model_of(stage);
    net_expect(model, head);
    /* Bytes of the new protocol right behind the answer. */
    net_say(model, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello");
    net_expect(client, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello");
    for (int i = 0; i < 50; i++) {
        net_say(client, "GET no HTTP at all\n\n");
        net_expect(model, "GET no HTTP at all\n\n");
        net_say(model, "\r\n\r\n\r\n");
        net_expect(client, "\r\n\r\n\r\n");
    }
    (void)shutdown(client, SHUT_WR);
    assert_true(net_rest(model, rest, sizeof rest));
    net_say(model, "last words");
    (void)close(model);
    assert_true(net_rest(client, rest, sizeof rest));
    assert_string_equal(rest, "last words");
    (void)close(client);
    count_reach(&stage->shared->counts.requests, requests + 1);
    assert_int_equal(stage->shared->latency.count, count);
}

/* An upgrade that the model does not want: plain HTTP goes on. */
static void upgrade_refused(void **state) {
    const struct stage *stage = *state;
    int client = net_connect(stage->port), model;

    net_say(client, "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" GET);
    model = model_of(stage);
    net_expect(model, "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    net_say(model, FOUND);
    net_expect(client, FOUND);
    net_expect(model, GET);
    net_say(model, FOUND);
    net_expect(client, FOUND);
    (void)close(client);
    (void)close(model);
}

static void ends_of_answers(void **state) {
    const struct stage *stage = *state;
    char rest[256];
    int client = net_connect(stage->port), model;

    /* Framed by the connection's end. */
    net_say(client, "GET / HTTP/1.0\r\n\r\n");
    model = model_of(stage);
    net_expect(model, "GET / HTTP/1.0\r\n\r\n");
    net_say(model, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    (void)close(model);
    assert_true(net_rest(client, rest, sizeof rest));
    assert_string_equal(rest, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    (void)close(client);
    /* "close" of either side ends the connection behind the answer, though the model keeps it open. */
    for (int i = 0; i < 2; i++) {
        client = net_connect(stage->port);
        net_say(client, i ? GET : "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
        model = model_of(stage);
        net_head(model, rest, sizeof rest);
        net_say(model, i ? "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nokJUNK"
                         : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_true(net_rest(client, rest, sizeof rest));
        assert_string_equal(rest + strlen(rest) - 4, "\r\nok");
        (void)close(client);
        (void)close(model);
    }
}

static void refused(void **state) {
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400 "},
        {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
        {"\x16\x03\x01\x02\x00\x01", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
        {"CONNECT x:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 501 "},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 501 "},
    };
    const struct stage *stage = *state;
    uint64_t before;
    char rest[512];

    counts_settle(stage);
    before = stage->shared->counts.refused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int client = net_connect(stage->port);

        if (i == 2)
            net_send(client, cases[i].request, 6);
        else
            net_say(client, cases[i].request);
        assert_true(net_rest(client, rest, sizeof rest));
        assert_memory_equal(rest, cases[i].answer, strlen(cases[i].answer));
        (void)close(client);
    }
    count_reach(&stage->shared->counts.refused, before + sizeof cases / sizeof cases[0]);
    /* The model has seen none of it. */
    assert_int_equal(net_accept(stage->model_fd, 0), -1);
}

static void long_head(void **state) {
    const struct stage *stage = *state;
    static char field[DIVVY_RUNNER_HTTP_HEAD_BYTES];
    int client = net_connect(stage->port);
    char rest[512];

    memset(field, 'a', sizeof field);
    net_say(client, "GET / HTTP/1.1\r\nA: ");
    net_send(client, field, sizeof field);
    assert_true(net_rest(client, rest, sizeof rest));
    assert_memory_equal(rest, "HTTP/1.1 431 ", 13);
    (void)close(client);
}

/* What is refused comes behind the answers that are still out. */
static void refused_in_turn(void **state) {
    const struct stage *stage = *state;
    int client = net_connect(stage->port), model;
    char rest[512];

    net_say(client, GET "bad\r\n\r\n");
    model = model_of(stage);
    net_expect(model, GET);
    net_say(model, FOUND);
    assert_true(net_rest(client, rest, sizeof rest));
    assert_memory_equal(rest, FOUND "HTTP/1.1 400 ", strlen(FOUND) + 13);
    (void)close(client);
    (void)close(model);
}

static void bad_chunks(void **state) {
    const struct stage *stage = *state;
    int client = net_connect(stage->port), model;
    char rest[512];

    net_say(client, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    model = model_of(stage);
    net_head(model, rest, sizeof rest);
    net_say(client, "zz\r\n");
    assert_true(net_rest(client, rest, sizeof rest));
    assert_memory_equal(rest, "HTTP/1.1 400 ", 13);
    assert_true(net_rest(model, rest, sizeof rest));
    assert_string_equal(rest, "");
    (void)close(client);
    (void)close(model);
}

static void bad_models(void **state) {
    static const char *const says[] = {"", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
                                       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                                       "HTTP/1.1 101 No\r\n\r\n"};
    const struct stage *stage = *state;
    uint64_t errors;
    char rest[512];

    counts_settle(stage);
    errors = stage->shared->counts.errors;
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        int client = net_connect(stage->port), model;

        net_say(client, GET);
        model = model_of(stage);
        net_expect(model, GET);
        net_say(model, says[i]);
        (void)close(model);
        assert_true(net_rest(client, rest, sizeof rest));
        assert_memory_equal(rest, "HTTP/1.1 502 ", 13);
        (void)close(client);
    }
    count_reach(&stage->shared->counts.errors, errors + sizeof says / sizeof says[0]);
}

/* An answer that breaks off must not look whole. */
static void broken_off(void **state) {
    const struct stage *stage = *state;
    int client = net_connect(stage->port), model;
    char rest[512];

    net_say(client, GET);
    model = model_of(stage);
    net_expect(model, GET);
    net_say(model, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    net_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    (void)close(model);
    assert_false(net_rest(client, rest, sizeof rest));
    (void)close(client);
}

/* The model says no before it has the body, and closes. */
static void early_answer(void **state) {
    static const char no[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n";
    const struct stage *stage = *state;
    int client = net_connect(stage->port), model;
    char rest[512];

    net_say(client, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    model = model_of(stage);
    net_head(model, rest, sizeof rest);
    net_say(model, no);
    net_expect(client, no);
    assert_true(net_rest(client, rest, sizeof rest));
    (void)close(model);
    (void)close(client);
}

static void newcomers(void **state) {
    const struct stage *stage = *state;
    uint64_t displaced;
    static int idle[DIVVY_RUNNER_PROXY_CONNECTIONS];
    int client, model;

    counts_settle(stage);
    displaced = stage->shared->counts.displaced;
    for (size_t i = 0; i < DIVVY_RUNNER_PROXY_CONNECTIONS; i++) {
        idle[i] = net_connect(stage->port);
        net_say(idle[i], "GET / HTTP/1.1\r\nA:");
    }
    client = net_connect(stage->port);
    net_say(client, GET);
    model = model_of(stage);
    net_expect(model, GET);
    net_say(model, FOUND);
    net_expect(client, FOUND);
    count_pass(&stage->shared->counts.displaced, displaced + 1);
    for (size_t i = 0; i < DIVVY_RUNNER_PROXY_CONNECTIONS; i++)
        (void)close(idle[i]);
    (void)close(client);
    (void)close(model);
}

static char message[300000], got[300000];

/* A message of random shape and content: its length. */
static size_t message_make(unsigned int *seed, const char *first_line) {
    size_t body = (size_t)rand_r(seed) % (rand_r(seed) % 8 ? 2000 : 200000);
    bool is_chunked = rand_r(seed) % 2;
    size_t length = (size_t)snprintf(message, sizeof message, is_chunked ? "%s\r\nTransfer-Encoding: chunked\r\n\r\n"
                                                                         : "%s\r\nContent-Length: %zu\r\n\r\n",
                                     first_line, body);

    while (body > 0) {
        size_t part = is_chunked ? (size_t)rand_r(seed) % body + 1 : body;

        if (is_chunked)
            length += (size_t)snprintf(message + length, sizeof message - length, "%zx\r\n", part);
        for (size_t i = 0; i < part; i++)
            message[length++] = (char)rand_r(seed);
        if (is_chunked)
            length += (size_t)snprintf(message + length, sizeof message - length, "\r\n");
        body -= part;
    }
    if (is_chunked)
        length += (size_t)snprintf(message + length, sizeof message - length, "0\r\n\r\n");
    return length;
}

/* Sends the message in random pieces while the other end takes it, so that nobody waits for this very program. */
static void message_pass(unsigned int *seed, int from, int to, size_t length) {
    size_t sent = 0, taken = 0;

    while (taken < length) {
        struct pollfd ready[] = {{.fd = to, .events = POLLIN}, {.fd = from, .events = sent < length ? POLLOUT : 0}};
        size_t part = (size_t)rand_r(seed) % (length - sent < 50000 ? length - sent + 1 : 50000);
        ssize_t moved;

        assert_true(poll(ready, 2, 20000) > 0);
        if (ready[0].revents) {
            moved = recv(to, got + taken, length - taken, MSG_DONTWAIT);
            assert_true(moved > 0);
            taken += (size_t)moved;
        }
        if (ready[1].revents & POLLOUT && part > 0) {
            moved = send(from, message + sent, part, MSG_DONTWAIT | MSG_NOSIGNAL);
            assert_true(moved > 0);
            sent += (size_t)moved;
        }
    }
    assert_memory_equal(got, message, length);
}

/* Whatever is said in whatever pieces, both ways: what arrives is what was sent, message by message. */
static void random_talk(void **state) {
    const struct stage *stage = *state;
    unsigned int seed = (unsigned int)time(NULL) ^ (unsigned int)getpid();
    int client = net_connect(stage->port), model;

    print_message("seed %u\n", seed);
    net_say(client, GET);
    model = model_of(stage);
    net_expect(model, GET);
    net_say(model, FOUND);
    net_expect(client, FOUND);
    for (int i = 0; i < 60; i++) {
        message_pass(&seed, client, model, message_make(&seed, "POST / HTTP/1.1"));
        message_pass(&seed, model, client, message_make(&seed, "HTTP/1.1 200 OK"));
    }
    (void)close(client);
    (void)close(model);
}

/* No model at all. */
static void unreachable(void **state) {
    struct stage *stage = *state;
    char rest[512];
    int client;

    (void)close(stage->model_fd);
    client = net_connect(stage->port);
    net_say(client, GET);
    assert_true(net_rest(client, rest, sizeof rest));
    assert_memory_equal(rest, "HTTP/1.1 503 ", 13);
    assert_non_null(strstr(rest, "Retry-After: 1\r\n"));
    (void)close(client);
    stage->model_fd = -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unchanged),       cmocka_unit_test(long_bodies),  cmocka_unit_test(chunks),
        cmocka_unit_test(pipelined),       cmocka_unit_test(expectation),  cmocka_unit_test(tunnel),
        cmocka_unit_test(upgrade_refused), cmocka_unit_test(ends_of_answers), cmocka_unit_test(refused),
        cmocka_unit_test(long_head),       cmocka_unit_test(refused_in_turn), cmocka_unit_test(bad_chunks),
        cmocka_unit_test(bad_models),      cmocka_unit_test(broken_off),   cmocka_unit_test(early_answer),
        cmocka_unit_test(newcomers),       cmocka_unit_test(random_talk),  cmocka_unit_test(unreachable)};

    return cmocka_run_group_tests(tests, stage_up, stage_down);
}
