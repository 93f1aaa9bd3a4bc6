/* The server of /metrics: answers, and what hostile clients get. */
#include "mig/runner/serve.h"

#include "core/clock.h"
#include "net.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static uint16_t port;
static pid_t pid;

static const char *metrics(void *data, size_t *ret_length) {
    (void)data;
    *ret_length = 4;
    return "a 1\n";
}

static const char *health(void *data, int *ret_is_well) {
    (void)data;
    *ret_is_well = 0;
    return "not running\n";
}

static void serve_run(int listen_fd) {
    const struct divvy_runner_serve_source source = {.metrics = metrics, .health = health};
    struct divvy_runner_serve *serve;
    struct divvy_loop loop;

    if (divvy_loop_init(&loop) < 0 || divvy_runner_serve_new(&loop, listen_fd, &source, &serve, NULL) < 0)
        _exit(1);
    while (getppid() != 1) {
        divvy_loop_turn(&loop, divvy_core_clock_ns() + 100 * DIVVY_NS_PER_MS);
        divvy_runner_serve_tick(serve, divvy_core_clock_coarse_ns());
    }
}

static int up(void **state) {
    int listen_fd = net_listen(&port);

    (void)state;
    (void)fcntl(listen_fd, F_SETFL, O_NONBLOCK);
    pid = fork();
    if (pid == 0)
        serve_run(listen_fd);
    (void)close(listen_fd);
    return pid < 0 ? -1 : 0;
}

static int down(void **state) {
    (void)state;
    (void)kill(pid, SIGKILL);
    return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static void answers(void **state) {
    int fd = net_connect(port);
    char text[512];

    (void)state;
    for (int i = 0; i < 3; i++) {
        net_say(fd, "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        net_head(fd, text, sizeof text);
        assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
        assert_non_null(strstr(text, "text/plain; version=0.0.4"));
        net_expect(fd, "a 1\n");
    }
    net_say(fd, "HEAD /metrics HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n");
    net_head(fd, text, sizeof text);
    assert_non_null(strstr(text, "Content-Length: 4\r\n"));
    net_head(fd, text, sizeof text);
    assert_memory_equal(text, "HTTP/1.1 503 ", 13);
    net_expect(fd, "not running\n");
    (void)close(fd);
}

static void others(void **state) {
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /metricsx HTTP/1.0\r\n\r\n", "HTTP/1.1 404 "},
        {"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 405 "},
        {"GET /metrics\r\n\r\n", "HTTP/1.1 400 "},
        {"\r\n\r\n", "HTTP/1.1 400 "},
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = net_connect(port);

        net_say(fd, cases[i].request);
        (void)net_rest(fd, text, sizeof text);
        assert_memory_equal(text, cases[i].answer, strlen(cases[i].answer));
        (void)close(fd);
    }
}

static void too_long(void **state) {
    static char field[5000];
    int fd = net_connect(port);
    char text[512];

    (void)state;
    memset(field, 'a', sizeof field);
    net_say(fd, "GET /metrics HTTP/1.1\r\nA: ");
    (void)send(fd, field, sizeof field, MSG_NOSIGNAL);
    /* It may be a reset: more came than was read. */
    (void)net_rest(fd, text, sizeof text);
    (void)close(fd);
}

/* More who say nothing than there is room for: who says something is served. */
static void crowd(void **state) {
    int idle[3 * DIVVY_RUNNER_SERVE_CONNECTIONS];
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        idle[i] = net_connect(port);
        net_say(idle[i], "G");
    }
    for (int i = 0; i < 3; i++) {
        int fd = net_connect(port);

        net_say(fd, "GET /metrics HTTP/1.0\r\n\r\n");
        assert_true(net_rest(fd, text, sizeof text));
        assert_memory_equal(text, "HTTP/1.1 200 ", 13);
        (void)close(fd);
    }
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++)
        (void)close(idle[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(others), cmocka_unit_test(too_long),
                                       cmocka_unit_test(crowd)};

    return cmocka_run_group_tests(tests, up, down);
}
